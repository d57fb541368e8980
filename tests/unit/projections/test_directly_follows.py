"""The directly-follows graph, worked out by hand; and packed moments read as arrays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from projections.directly_follows import Edge, Graph, Step, graph, without
from projections.paths.fold import packed
from projections.paths.unpacking import Steps, moments, unpack
from tests.support.builders import T0, days, hours
from tests.support.truth import a_chance

NAMES = ("apply", "talk", "reject")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def steps(*paths: list[tuple[str, float]]) -> Steps:
    """Paths of (name, hours after T0), as arrays."""
    what = [NAMES.index(name) for path in paths for name, _ in path]
    at = [(hours(each) - EPOCH) // timedelta(microseconds=1) for path in paths for _, each in path]
    case = [number for number, path in enumerate(paths) for _ in path]
    return Steps(np.array(what, np.int64), np.array(at, np.int64), np.array(case, np.int64))


def test_edges_are_what_directly_follows_in_one_path() -> None:
    """How often, and mean, median and p90 of the time between, in seconds."""
    found = graph(
        steps(
            [("apply", 0), ("talk", 1), ("reject", 5)],
            [("apply", 0), ("talk", 2)],
            [("apply", 0), ("talk", 6)],
            [("apply", 0), ("talk", 11), ("talk", 11)],
        ),
        NAMES,
        "kind",
    )
    assert (found.applications, found.touchpoints) == (4, 10)
    assert found.edges == (
        # 1, 2, 6 and 11 hours: the p90 is seven tenths of the way from the third to the fourth.
        Edge("apply", "talk", 4, 5 * 3600, 4 * 3600, 9.5 * 3600),
        Edge("talk", "reject", 1, 4 * 3600, 4 * 3600, 4 * 3600),
        Edge("talk", "talk", 1, 0, 0, 0),
    )


def test_steps_say_how_often_and_where_paths_begin_and_end() -> None:
    """Counted by touchpoint and by application; `place` is of the first time in each."""
    found = graph(
        steps(
            [("talk", 0), ("apply", 1), ("talk", 2)], [("apply", 0), ("talk", 3)], [("apply", 0)]
        ),
        NAMES,
        "kind",
    )
    assert found.steps == (
        Step("apply", 3, 3, 2, 1, pytest.approx(1 / 3)),
        Step("talk", 3, 2, 1, 2, 0.5),
    )


def test_nothing_is_an_empty_graph() -> None:
    """No applications, no steps, no edges, and no division by zero."""
    assert graph(unpack([]), NAMES, "kind") == Graph("kind", 0, 0, (), ())
    assert graph(steps([("apply", 0)]), NAMES, "kind").edges == ()


def test_what_stood_between_is_left_out() -> None:
    """Without a kind its neighbours follow each other; a path of nothing else is no path."""
    left = without(steps([("apply", 0), ("talk", 1), ("reject", 3)], [("talk", 0)]), [1])
    found = graph(left, NAMES, "kind")
    assert found.applications == 1
    assert [(edge.before, edge.after, edge.median_seconds) for edge in found.edges] == [
        ("apply", "reject", 3 * 3600)
    ]


def test_many_kinds_of_steps_are_told_apart() -> None:
    """Also where their pairs no longer fit the numbers that sort fastest."""
    names = [f"stage {number}" for number in range(700)]
    what = np.arange(700, dtype=np.int64)
    found = graph(Steps(what, what * 1_000_000, np.zeros(700, np.int64)), names, "stage")
    assert len(found.edges) == 699
    assert {(edge.before, edge.after) for edge in found.edges} == set(pairwise(names))


# --- packed moments -------------------------------------------------------------------------


def test_moments_survive_packing_in_every_form() -> None:
    """Whole seconds, microseconds, before 1970 and after 2514, mixed in packets of any length."""
    rng, _ = a_chance()
    for spans in ([1 << 32], [1 << 32, 1 << 34], [1 << 32, 1 << 34, 1 << 37]):
        packets = [
            [
                EPOCH
                + timedelta(
                    seconds=rng.randrange(rng.choice(spans)) - rng.choice((0, *spans[2:])) // 4,
                    microseconds=rng.choice((0, rng.randrange(1_000_000))) * (len(spans) > 1),
                )
                for _ in range(rng.choice((1, 2, 15, 16, 17, 128)))
            ]
            for _ in range(50)
        ]
        read = moments([packed(each) for each in packets], np.array([*map(len, packets)]))
        expected = [(at - EPOCH) // timedelta(microseconds=1) for each in packets for at in each]
        assert read.tolist() == expected


def test_parts_of_a_path_are_one_case() -> None:
    """A part that does not begin a path goes on with the one before it."""
    one = packed([T0, days(1)])
    found = unpack([(True, b"\0\1", one), (False, b"\2\2", one), (True, b"\1\1", one)])
    assert found.case.tolist() == [0, 0, 0, 0, 1, 1]
    assert found.what.tolist() == [0, 1, 2, 2, 1, 1]
