"""`dfg`: what directly follows what in every application, beside PM4Py with all in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.harness import NOW, Figure, in_turn, meaning, seconds
from bench.log import filled
from journey.database import Database
from projections.directly_follows import Graph, graph
from projections.measures import Cohort, aggregate_map, read_paths
from projections.paths.kinds import KINDS
from projections.reading import fact_of
from projections.rebuild import rebuild


def run(url: str, size: int = 1_000_000, seed: int = 1) -> Iterator[Figure]:
    """Counts, means, medians and p90s of what directly follows what.

    Ours begins with nothing in memory; the peer has its DataFrame ready and sorted, and is asked
    for counts and means only, in the one pass that it knows for both.
    """
    with filled(url, size, seed) as database:
        rebuild(database, meaning(), NOW)
        frame = _frame(database)
        _compare(directly_follows(database), _with_pm4py(frame))
        best, peer = in_turn(
            lambda: size / seconds(lambda: directly_follows(database)),
            lambda: size / seconds(lambda: _with_pm4py(frame)),
        )
        more = {
            "seconds": round(size / best, 3),
            "peer_seconds": round(size / peer, 3),
            "peer_unsorted_seconds": round(seconds(lambda: _as_users_do(frame)), 3),
            "whole_map_seconds": round(seconds(lambda: aggregate_map(database, NOW)), 3),
        }
    yield Figure(
        "dfg", round(best), "touchpoints/s", size, seed,
        "PM4Py's get_dfg_graph on a sorted DataFrame in memory", round(peer),
        round(best / peer, 2), ">= 1", more,
    )  # fmt: skip


def directly_follows(database: Database) -> Graph:
    """The graph, from the store to typed results."""
    with database.transaction() as connection:
        return graph(read_paths(connection, Cohort()), KINDS, "kind")


def _with_pm4py(frame: Any) -> Any:
    """[counts, means] the quickest way there is: nothing is sorted, both in one pass."""
    from pm4py.algo.discovery.dfg.adapters.pandas.df_statistics import get_dfg_graph

    return get_dfg_graph(
        frame,
        measure="both",
        perf_aggregation_key="mean",
        sort_caseid_required=False,
        sort_timestamp_along_case_id=False,
    )


def _as_users_do(frame: Any) -> None:
    """The two functions that its manual names."""
    import pm4py

    pm4py.discover_dfg(frame)
    pm4py.discover_performance_dfg(frame, perf_aggregation_key="mean")


def _frame(database: Database) -> Any:
    """Every touchpoint of an application, by application, in order."""
    import pandas as pd

    with database.connect() as connection:
        rows = connection.execute(
            "SELECT originator_id, topic, state, notification_id FROM journey_events "
            "ORDER BY notification_id",
            binary=True,
        )
        told = [(str(row[0]), fact_of(*row[1:])) for row in rows]
    facts = [fact for _, fact in told]
    frame = pd.DataFrame(
        {
            # An application of the generated log may be told in two journeys, which are two cases.
            "case:concept:name": [f"{fact.application_id} {each}" for each, fact in told],
            "concept:name": [fact.kind for fact in facts],
            "time:timestamp": pd.to_datetime([fact.occurred_at for fact in facts], utc=True),
        }
    )
    return frame.sort_values(["case:concept:name", "time:timestamp"], kind="stable")


def _compare(ours: Graph, theirs: Any) -> None:
    """Both found the same, or the figure would mean nothing."""
    counts, means = theirs
    assert {(edge.before, edge.after): edge.count for edge in ours.edges} == counts
    for edge in ours.edges:
        assert abs(edge.mean_seconds - means[edge.before, edge.after]) < 1e-3, edge
