"""What all applications together tell: stages, waiting, outcomes, and what follows what.

The functions over rows are pure; `aggregate_map` reads the views' tables at one moment and calls
them. Durations are in seconds, to the microsecond.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import numpy as np

from journey.database import Connection, Database
from journey.errors import JourneyError
from projections.directly_follows import NOBODYS_STEPS, By, Graph, graph, without
from projections.grouping import Flags, Groups, ends_of_cases, first_times, spreads
from projections.paths.fold import packed
from projections.paths.kinds import KINDS, NUMBER
from projections.paths.unpacking import Steps, moments, unpack
from projections.paths.view import part_name
from projections.positions import projected_up_to

_TABLES = "applications, paths, silences, projection_tracking"


class PathsIncomplete(JourneyError):
    """The views were written by a release that kept no paths."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Which applications are measured; all by default.

    `job_ids` None means any job. `since` and `until` (both inclusive) are about an application's
    first touchpoint, so an application is counted whole or not at all.
    """

    job_ids: tuple[str, ...] | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """How long something takes, in seconds; None where nothing was measured."""

    count: int
    mean_seconds: float | None
    median_seconds: float | None
    p90_seconds: float | None


@dataclass(frozen=True, slots=True)
class StageVolume:
    """One stage: who came, who is there, who went on, and who ended there as what.

    `entered`: applications that ever were in it, each once; of these `now` are open in it,
    `moved_on` are in, or ended in, another stage, and the rest ended here: `hired`, `rejected`,
    `withdrawn`, and `rejected_not_told`, who do not know it yet. `dropped_off`: the share of
    `entered` that ended here without being hired. `entries` counts returns, too. `stay` is from
    each entry to the next stage or the end; stays that last are not in it. `stage` None: never in
    one.
    """

    stage: str | None
    entered: int
    entries: int
    now: int
    moved_on: int
    hired: int
    rejected: int
    rejected_not_told: int
    withdrawn: int
    dropped_off: float
    stay: Spread


@dataclass(frozen=True, slots=True)
class Waiting:
    """Silences that began with one kind in one stage: how many, how many last, how long.

    `waited` is from since when the candidate waited until something came, or until now; its
    `total_seconds` are all of them added up.
    """

    stage: str | None
    began_kind: str
    silences: int
    open: int
    total_seconds: float
    waited: Spread


@dataclass(frozen=True, slots=True)
class AggregateMap:
    """What a cohort's journeys tell together at `now`, as far as the views have read the log.

    `outcomes`: status → applications. Stages stand in the order in which they are come to, the
    rest with the largest first.
    """

    now: datetime
    position: int
    cohort: Cohort
    applications: int
    candidates: int
    touchpoints: int
    outcomes: dict[str, int]
    stages: tuple[StageVolume, ...]
    waiting: tuple[Waiting, ...]
    graph: Graph


class Standing(NamedTuple):
    """One application: how it stands, and in which stages it was from when on."""

    status: str
    closed_at: datetime | None
    stages: Sequence[tuple[str, datetime]]


# --- stages ---------------------------------------------------------------------------------


def stage_steps(applications: Sequence[Standing]) -> tuple[Steps, tuple[str, ...]]:
    """The entries into stages as steps (a case an application), and the names of their numbers."""
    numbers: dict[str, int] = {}
    what = [
        numbers.setdefault(name, len(numbers)) for each in applications for name, _ in each.stages
    ]
    lengths = np.array([len(each.stages) for each in applications], np.int64)
    times = [packed([at for _, at in each.stages]) for each in applications]
    return (
        Steps(
            np.array(what, np.int64),
            moments(times, lengths),
            np.repeat(np.arange(len(applications)), lengths),
        ),
        tuple(numbers),
    )


def stage_volumes(
    applications: Sequence[Standing], entries: Steps, names: Sequence[str]
) -> tuple[StageVolume, ...]:
    """Stages in the order in which applications come to them, on average."""
    starts, ends = ends_of_cases(entries.case)
    groups = Groups.of(entries.what, len(names))
    entered, places = first_times(entries, starts, groups)
    standing: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for stage, case in zip(entries.what[ends], entries.case[ends], strict=True):
        standing[int(stage)][applications[case].status] += 1
    stays = _stays(applications, entries, ends, len(names))
    found = [
        _volume(names[key], int(many), int(count), standing[int(key)], stays.get(int(key)))
        for _, key, many, count in sorted(
            zip(places, groups.keys, entered, groups.counts, strict=True),
            key=lambda each: (each[0], -each[2], names[each[1]]),
        )
    ]
    nowhere = Counter(each.status for each in applications if not each.stages)
    if nowhere:
        found.append(_volume(None, nowhere.total(), 0, nowhere, None))
    return tuple(found)


def _stays(
    applications: Sequence[Standing], entries: Steps, ends: Flags, stages: int
) -> dict[int, Spread]:
    """From each entry to the next, and from the last to the end of the application, if it ended."""
    left = np.append(entries.at[1:], 0)
    closed = [applications[case].closed_at for case in entries.case[ends]]
    known = np.array([each is not None for each in closed], dtype=bool)
    over = ~ends
    over[np.flatnonzero(ends)[known]] = True
    times = [packed([each]) for each in closed if each is not None]
    left[np.flatnonzero(ends)[known]] = moments(times, np.ones(len(times), np.int64))
    # One that was closed before it came to this stage stays there after its end.
    over &= left >= entries.at
    lasted = (left - entries.at)[over]
    return {key: Spread(*told) for key, told in spreads(entries.what[over], lasted, stages)}


def _volume(
    stage: str | None, entered: int, entries: int, standing: Counter[str], stay: Spread | None
) -> StageVolume:
    lost = standing["rejected"] + standing["rejected, not told"] + standing["withdrawn"]
    return StageVolume(
        stage=stage,
        entered=entered,
        entries=entries,
        now=standing["open"],
        moved_on=entered - standing.total(),
        hired=standing["hired"],
        rejected=standing["rejected"],
        rejected_not_told=standing["rejected, not told"],
        withdrawn=standing["withdrawn"],
        dropped_off=lost / entered,
        stay=stay or Spread(0, None, None, None),
    )


# --- reading --------------------------------------------------------------------------------


def aggregate_map(
    database: Database, now: datetime, cohort: Cohort | None = None, by: By = "kind"
) -> AggregateMap:
    """What a cohort's journeys tell together, from the views' tables as of one moment.

    Takes some 40 bytes of memory a touchpoint. Raises DatabaseUnavailable, PathsIncomplete.
    """
    cohort = cohort or Cohort()
    with database.transaction() as connection:
        _hold_still(connection)
        applications, candidates, touchpoints = _applications(connection, cohort)
        waiting = _waiting(connection, cohort, now)
        position = projected_up_to(connection)
        paths = read_paths(connection, cohort) if by == "kind" else None
    entries, stages = stage_steps(applications)
    if paths is None:
        drawn = graph(entries, stages, by)
    else:
        if len(paths.what) != touchpoints:
            raise PathsIncomplete(
                "the paths do not hold every touchpoint, since they came with a newer release; "
                "run `journey rebuild` once"
            )
        drawn = graph(without(paths, [NUMBER[kind] for kind in NOBODYS_STEPS]), KINDS, by)
    return AggregateMap(
        now=now,
        position=position,
        cohort=cohort,
        applications=len(applications),
        candidates=candidates,
        touchpoints=touchpoints,
        outcomes=_outcomes(applications),
        stages=stage_volumes(applications, entries, stages),
        waiting=waiting,
        graph=drawn,
    )


def _outcomes(applications: Sequence[Standing]) -> dict[str, int]:
    counts = Counter(each.status for each in applications)
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def _hold_still(connection: Connection) -> None:
    """One snapshot for every query, and no rebuild swapping tables in between."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    connection.execute(f"LOCK TABLE {_TABLES} IN ACCESS SHARE MODE")


_CHOSEN = (
    "(%(jobs)s::text[] IS NULL OR a.job_id = ANY(%(jobs)s)) "
    "AND (%(source)s::text IS NULL OR a.source = %(source)s) "
    "AND (%(since)s::timestamptz IS NULL OR a.first_at >= %(since)s) "
    "AND (%(until)s::timestamptz IS NULL OR a.first_at <= %(until)s)"
)


def _chosen(cohort: Cohort) -> dict[str, Any]:
    return {
        "jobs": None if cohort.job_ids is None else list(cohort.job_ids),
        "source": cohort.source,
        "since": cohort.since,
        "until": cohort.until,
    }


def read_paths(connection: Connection, cohort: Cohort) -> Steps:
    """Every step of a cohort's paths."""
    chosen = _chosen(cohort)
    # Nearly all are of one part, and need no order.
    short = connection.execute(
        f"SELECT true, a.kinds, a.times FROM applications a WHERE {_CHOSEN} "
        "AND (a.candidate_id, a.application_id) NOT IN "
        "(SELECT candidate_id, application_id FROM paths)",
        chosen,
        binary=True,
    ).fetchall()
    long = connection.execute(
        "SELECT p.part = %(first)s, p.kinds, p.times FROM applications a CROSS JOIN LATERAL ("
        "SELECT part, kinds, times FROM paths "
        "WHERE (candidate_id, application_id) = (a.candidate_id, a.application_id) "
        "UNION ALL SELECT 'last', a.kinds, a.times) p "
        "WHERE (a.candidate_id, a.application_id) IN "
        f"(SELECT candidate_id, application_id FROM paths) AND {_CHOSEN} "
        "ORDER BY a.candidate_id, a.application_id, p.part",
        {**chosen, "first": part_name(0)},
        binary=True,
    ).fetchall()
    return unpack(short + long)


_to_stages = msgspec.json.Decoder(list[tuple[str, datetime]]).decode


def _applications(connection: Connection, cohort: Cohort) -> tuple[list[Standing], int, int]:
    """How each application stands; how many candidates and touchpoints they have."""
    rows = connection.execute(
        "SELECT a.candidate_id, a.touchpoints, a.status, a.closed_at, a.stages::text "
        f"FROM applications a WHERE {_CHOSEN}",
        _chosen(cohort),
        binary=True,
    ).fetchall()
    return (
        [
            Standing(status, closed_at, _to_stages(stages))
            for _, _, status, closed_at, stages in rows
        ],
        len({row[0] for row in rows}),
        sum(row[1] for row in rows),
    )


def _waiting(connection: Connection, cohort: Cohort, now: datetime) -> tuple[Waiting, ...]:
    rows = connection.execute(
        "SELECT stage, began_kind, count(*), count(*) FILTER (WHERE lasts), sum(waited)::float8, "
        "percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY waited::float8) FROM ("
        "SELECT s.stage, s.began_kind, (s.until IS NULL OR s.until > %(now)s) AS lasts, "
        # Summed as numeric: floats would add up to something else in another order of the rows.
        "extract(epoch FROM least(s.until, %(now)s) - s.since) AS waited "
        "FROM silences s JOIN applications a USING (candidate_id, application_id) "
        f"WHERE s.since <= %(now)s AND {_CHOSEN}) each_silence "
        "GROUP BY stage, began_kind ORDER BY 5 DESC, 1 NULLS LAST, 2",
        {**_chosen(cohort), "now": now},
        binary=True,
    ).fetchall()
    found = []
    for stage, kind, many, lasting, total, (median, p90) in rows:
        took = (round(each, 6) for each in (total / many, median, p90))
        found.append(Waiting(stage, kind, many, lasting, round(total, 6), Spread(many, *took)))
    return tuple(found)
