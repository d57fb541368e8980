"""What all applications together tell: the graph of what follows what, stages, waiting, outcomes.

The functions over arrays and rows are pure; `aggregate_map` reads the views' tables at one moment
and calls them. Durations are in seconds, to the microsecond. A median of an even number of values
is the mean of the middle two, a p90 lies between its neighbours in proportion, as NumPy, pandas
and PM4Py have it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from journey.database import Connection, Database
from journey.errors import JourneyError
from projections.paths.fold import packed
from projections.paths.kinds import KINDS, NUMBER
from projections.paths.unpacking import Numbers, Steps, moments, unpack
from projections.paths.view import part_name
from projections.positions import projected_up_to

By = Literal["kind", "stage"]
"""What a step of the graph is: a touchpoint, by its kind, or the entry into a stage."""

NOBODYS_STEPS = (
    "touchpoint_corrected", "touchpoint_retracted", "candidates_merged", "candidates_unmerged",
    "person_erased",
)  # fmt: skip
"""Kinds that speak of the log and not of what a candidate lived through."""

_MICROSECONDS = 1_000_000
Flags = NDArray[np.bool_]
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
class Step:
    """A node of the graph. `count`: how often; `applications`: of how many.

    `first` and `last`: how many paths begin and end with it. `place`: how many steps an
    application has behind it when it comes to this one for the first time, on average.
    """

    name: str
    count: int
    applications: int
    first: int
    last: int
    place: float


@dataclass(frozen=True, slots=True)
class Edge:
    """How often `after` came directly after `before` in one application, and how long it took."""

    before: str
    after: str
    count: int
    mean_seconds: float
    median_seconds: float
    p90_seconds: float


@dataclass(frozen=True, slots=True)
class Graph:
    """The directly-follows graph: steps and edges, the most frequent first.

    Per application, in order of (occurred_at, recorded). Touchpoints that name no application are
    in no path.
    """

    by: By
    applications: int
    touchpoints: int
    steps: tuple[Step, ...]
    edges: tuple[Edge, ...]


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


# --- the graph ------------------------------------------------------------------------------


def graph(steps: Steps, names: Sequence[str], by: By) -> Graph:
    """The directly-follows graph of paths; `names[number]` is what a step's number stands for."""
    starts, ends = _edges_of_cases(steps.case)
    return Graph(
        by,
        int(starts.sum()),
        len(steps.what),
        _steps(steps, names, starts, ends),
        _edges(steps, names, np.flatnonzero(~ends)),
    )


def without(steps: Steps, numbers: Sequence[int]) -> Steps:
    """The steps less those of some kinds."""
    kept = ~np.isin(steps.what, numbers)
    if kept.all():
        return steps
    return Steps(steps.what[kept], steps.at[kept], steps.case[kept])


def _steps(steps: Steps, names: Sequence[str], starts: Flags, ends: Flags) -> tuple[Step, ...]:
    first = np.bincount(steps.what[starts], minlength=len(names))
    last = np.bincount(steps.what[ends], minlength=len(names))
    groups = _Groups.of(steps.what, len(names))
    applications, places = _first_times(steps, starts, groups)
    found = [
        Step(names[key], int(count), int(many), int(first[key]), int(last[key]), float(place))
        for key, count, many, place in zip(
            groups.keys, groups.counts, applications, places, strict=True
        )
    ]
    return tuple(sorted(found, key=lambda step: (-step.count, step.name)))


def _edges(steps: Steps, names: Sequence[str], before: Numbers) -> tuple[Edge, ...]:
    """`before`: the places in the arrays whose next place is the next step of the same path."""
    pairs = steps.what[before] * len(names) + steps.what[before + 1]
    lasted = steps.at[before + 1] - steps.at[before]
    found = [
        Edge(names[pair // len(names)], names[pair % len(names)], *told)
        for pair, told in _spreads(pairs, lasted, len(names) ** 2)
    ]
    return tuple(sorted(found, key=lambda edge: (-edge.count, edge.before, edge.after)))


# --- arrays ---------------------------------------------------------------------------------


def _edges_of_cases(case: Numbers) -> tuple[Flags, Flags]:
    """Which places begin a case, and which end one."""
    starts, ends = np.ones(len(case), dtype=bool), np.ones(len(case), dtype=bool)
    starts[1:] = case[1:] != case[:-1]
    ends[:-1] = starts[1:]
    return starts, ends


def _first_times(
    steps: Steps, starts: Flags, groups: _Groups
) -> tuple[Numbers, NDArray[np.float64]]:
    """Of each group (a kind or stage): how many cases come to it, and with how many steps behind
    them when they first do, on average."""
    firsts = groups.firsts(steps.case)
    cases = groups.sums(firsts)
    here = np.arange(len(starts))
    behind = here - np.maximum.accumulate(np.where(starts, here, 0))
    return cases, groups.sums(behind[groups.order] * firsts) / cases


@dataclass(frozen=True, slots=True)
class _Groups:
    """Equal keys brought together by `order`: each key, where it begins there, how many it has."""

    order: Numbers
    keys: Numbers
    begins: Numbers
    counts: Numbers

    @classmethod
    def of(cls, keys: Numbers, below: int) -> _Groups:
        """Groups of keys from 0 to `below`; within each the order stays."""
        # NumPy sorts small numbers by counting them, many times faster than others.
        small = keys.astype(np.uint16) if below <= 1 << 16 else keys
        order = np.argsort(small, kind="stable")
        ordered = keys[order]
        changes = np.ones(len(keys), dtype=bool)
        changes[1:] = ordered[1:] != ordered[:-1]
        begins = np.flatnonzero(changes)
        return cls(order, ordered[begins], begins, np.diff(begins, append=len(keys)))

    def firsts(self, case: Numbers) -> Flags:
        """In the order of the groups: whether a case is there in its group for the first time."""
        ordered = case[self.order]
        found = np.ones(len(ordered), dtype=bool)
        found[1:] = ordered[1:] != ordered[:-1]
        found[self.begins] = True
        return found

    def sums(self, values: NDArray[Any]) -> Numbers:
        """The sum of each group; the values stand in the order of the groups."""
        if not len(self.begins):
            return np.zeros(0, dtype=np.int64)
        return np.add.reduceat(values.astype(np.int64), self.begins)

    def quantile(self, values: Numbers, share: float) -> NDArray[np.float64]:
        """A quantile of each group; the values of each group stand in order."""
        place = (self.counts - 1) * share
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, self.counts - 1)
        below, above = values[self.begins + low], values[self.begins + high]
        found: NDArray[np.float64] = below + (above - below) * (place - low)
        return found


def _spreads(
    keys: Numbers, lasted: Numbers, below: int
) -> Iterator[tuple[int, tuple[int, float, float, float]]]:
    """Each key with count, mean, median and p90 (in seconds) of what lasted (microseconds)."""
    groups = _Groups.of(keys, below)
    ordered = lasted[groups.order]
    means = groups.sums(ordered) / groups.counts
    for begin, count in zip(groups.begins, groups.counts, strict=True):
        ordered[begin : begin + count].sort()
    medians, p90s = groups.quantile(ordered, 0.5), groups.quantile(ordered, 0.9)
    for key, count, *took in zip(groups.keys, groups.counts, means, medians, p90s, strict=True):
        mean, median, p90 = (round(float(each)) / _MICROSECONDS for each in took)
        yield int(key), (int(count), mean, median, p90)


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
    starts, ends = _edges_of_cases(entries.case)
    groups = _Groups.of(entries.what, len(names))
    entered, places = _first_times(entries, starts, groups)
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
    return {key: Spread(*told) for key, told in _spreads(entries.what[over], lasted, stages)}


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
