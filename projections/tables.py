"""Arrow tables for notebooks: touchpoints, silences, findings.

    from consumers.bootstrap import installation
    from projections.tables import findings, silences, touchpoints

    with installation() as engine:
        table = touchpoints(engine, ["greenhouse:candidate/123"])

`table.to_pandas()`, `polars.from_arrow(table)` and `duckdb` take it from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec
import pyarrow as pa  # type: ignore[import-untyped]

from journey.clock import Clock
from journey.database import Database
from journey.errors import UnknownCandidate
from journey.journey_log import JourneyLog
from projections.columns import COLUMNS, Column, FlatTouchpoint, Type
from projections.contradictions.templates import Finding
from projections.contradictions.view import ContradictionView
from projections.projection import JourneyFold, Meaning
from projections.queries import Queries, finding_of, rows_of, silence_row
from projections.runner import fold_whole
from projections.selection import Reading, Selection
from projections.silence.rows import SilenceRow
from projections.silence.view import SilenceView
from projections.standing import (
    Silence,
    contradiction_at,
    gravity,
    is_found,
    is_pending,
    silences_at,
)
from schemas.errors import NaiveDatetime

Candidates = str | UUID | Iterable[str | UUID] | None
"""One candidate or several, as `journey show` takes them: an id, its first digits,
`namespace/value`, an e-mail address. None: all."""

AsOf = datetime | int | None
"""A recorded moment, a position of the log, or None for all that is known."""

MOMENT = pa.timestamp("us", tz="UTC")


class Engine(Protocol):
    """What is asked of an installation."""

    @property
    def database(self) -> Database: ...
    @property
    def log(self) -> JourneyLog: ...
    @property
    def meaning(self) -> Meaning: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def queries(self) -> Queries: ...


# --- touchpoints ----------------------------------------------------------------------------


def touchpoints(
    engine: Engine, candidates: Candidates = None, *, job: str | None = None, as_of: AsOf = None
) -> pa.Table:
    """Touchpoints as they were recorded, in that order; the columns of `journey export`.

    `job` keeps those of one job. `as_of` asks what was known then. Never personal.
    Raises UnknownCandidate, NaiveDatetime, DatabaseUnavailable.
    """
    jobs = frozenset() if job is None else frozenset([job])
    selection = Selection(candidates=_found(engine, candidates), jobs=jobs, as_of=_aware(as_of))
    pages = Reading(engine.database, selection).pages()
    return table_of([record_batch(page, COLUMNS) for page in pages], COLUMNS)


@cache
def schema_of(columns: tuple[Column, ...]) -> pa.Schema:
    """The columns as Arrow has them: text, moments in UTC, whole numbers, true and false."""
    return pa.schema([(column.name, _ARROW[column.type]) for column in columns])


def record_batch(flat: Sequence[FlatTouchpoint], columns: tuple[Column, ...]) -> pa.RecordBatch:
    """Rows as columns; `columns` are the first of a row's fields."""
    cells = zip(*map(msgspec.structs.astuple, flat), strict=True)
    arrays = [
        pa.array(column, pa.string()).cast(MOMENT)
        if described.type == "moment"
        else pa.array(column, _ARROW[described.type])
        for described, column in zip(columns, cells, strict=False)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema_of(columns))


def table_of(batches: Sequence[pa.RecordBatch], columns: tuple[Column, ...]) -> pa.Table:
    """Batches of these columns as one table."""
    return pa.Table.from_batches(batches, schema_of(columns))


_ARROW: dict[Type, pa.DataType] = {
    "id": pa.string(),
    "text": pa.string(),
    "json": pa.string(),
    "moment": MOMENT,
    "number": pa.int64(),
    "flag": pa.bool_(),
}


# --- silences and findings ------------------------------------------------------------------

_SILENCES = pa.schema(
    [
        ("journey_id", pa.string()),
        ("application_id", pa.string()),
        ("job_id", pa.string()),
        ("stage", pa.string()),
        ("source", pa.string()),
        ("since", MOMENT),
        ("until", MOMENT),
        ("began_by", pa.string()),
        ("began_kind", pa.string()),
        ("ended_by", pa.string()),
        ("ended_kind", pa.string()),
        ("interviews", pa.int64()),
        ("chases", pa.int64()),
        ("policy", pa.string()),
        ("level", pa.string()),
        ("explanation", pa.string()),
    ]
)
_FINDINGS = pa.schema(
    [
        ("journey_id", pa.string()),
        ("application_id", pa.string()),
        ("job_id", pa.string()),
        ("rule", pa.string()),
        ("severity", pa.string()),
        ("verdict", pa.string()),
        ("since", MOMENT),
        ("until", MOMENT),
        ("touchpoint_ids", pa.list_(pa.string())),
        ("explanation", pa.string()),
    ]
)


def silences(
    engine: Engine,
    candidates: Candidates = None,
    *,
    job: str | None = None,
    as_of: AsOf = None,
    now: datetime | None = None,
) -> pa.Table:
    """Spans in which the employer owed an answer and none came, as they stand at `now`.

    A row a silence, ended ones too; `until` is null while it lasts. `level` is the gravest that a
    policy has reached (`nudge`, `breach`, `ghosted`, or null), `policy` the one that says so.
    `now` is the moment of `as_of`, else the clock's.
    Raises UnknownCandidate, NaiveDatetime, DatabaseUnavailable.
    """
    moment = _moment(engine, as_of, now)
    told = [
        _as_row(_SILENCES, gravest, row, journey_id=row.candidate_id)
        for row in _silences(engine, _found(engine, candidates), as_of)
        if job is None or row.job_id == job
        for gravest in _gravest(silences_at(row, engine.meaning.policies, moment))
    ]
    return pa.Table.from_pylist(told, _SILENCES)


def findings(
    engine: Engine,
    candidates: Candidates = None,
    *,
    job: str | None = None,
    as_of: AsOf = None,
    now: datetime | None = None,
) -> pa.Table:
    """What the rules find, each with its verdict at `now`; pending obligations, too.

    A row a finding; of a pending one `since` is when its time runs out. `job` keeps those about
    an application for that job. Raises UnknownCandidate, NaiveDatetime, DatabaseUnavailable.
    """
    moment = _moment(engine, as_of, now)
    told = []
    for journey_id, finding, job_id in _findings(engine, _found(engine, candidates), as_of):
        is_told = is_found(finding, moment) or is_pending(finding, moment)
        if is_told and (job is None or job_id == job):
            found = contradiction_at(finding, journey_id, engine.meaning.rules, moment)
            told.append(_as_row(_FINDINGS, found, journey_id=journey_id, job_id=job_id))
    return pa.Table.from_pylist(told, _FINDINGS)


def _found(engine: Engine, candidates: Candidates) -> tuple[UUID, ...]:
    if candidates is None:
        return ()
    named = [candidates] if isinstance(candidates, str | UUID) else list(candidates)
    if not named:
        raise UnknownCandidate("the list of candidates is empty; leave it out to ask for all")
    return tuple(engine.log.find(str(each)) for each in named)


def _aware(moment: AsOf) -> AsOf:
    """A moment that says where on earth it is; else it would be one or another by machine."""
    if isinstance(moment, datetime) and moment.tzinfo is None:
        raise NaiveDatetime(f"the time {moment.isoformat()} has no zone; say which zone it is in")
    return moment


def _moment(engine: Engine, as_of: AsOf, now: datetime | None) -> datetime:
    for each in (as_of, now):
        _aware(each)
    if now is not None:
        return now
    with engine.database.transaction() as connection:
        return engine.queries.moment(connection, as_of, engine.clock.now())


def _silences(engine: Engine, candidates: tuple[UUID, ...], as_of: AsOf) -> Iterator[SilenceRow]:
    if as_of is None:
        for row in _stored(engine, candidates, SilenceView.columns, "silences"):
            yield silence_row(row)
    else:
        for journey in _folded(engine, candidates, as_of):
            yield from journey.silences


def _findings(
    engine: Engine, candidates: tuple[UUID, ...], as_of: AsOf
) -> Iterator[tuple[UUID, Finding, str | None]]:
    """(journey, finding, the job of its application)."""
    if as_of is None:
        columns = [*(f"findings.{name}" for name in ContradictionView.columns), "job_id"]
        columns[columns.index("findings.evidence")] += "::text"
        joined = "findings LEFT JOIN applications USING (candidate_id, application_id)"
        for *row, job_id in _stored(engine, candidates, columns, joined):
            yield row[0], finding_of(row), job_id
    else:
        for journey in _folded(engine, candidates, as_of):
            for finding in journey.findings:
                yield journey.journey_id, finding, journey.jobs.get(finding.application_id)


def _stored(
    engine: Engine, candidates: tuple[UUID, ...], columns: Sequence[str], table: str
) -> Iterator[tuple[Any, ...]]:
    """Rows of a view; those of merged candidates stand under the one that survived."""
    with engine.database.transaction() as connection:
        ids = [each for one in candidates for each in engine.log.members(connection, one)]
        yield from connection.execute(
            f"SELECT {', '.join(columns)} FROM {table} "
            "WHERE %(all)s OR candidate_id = ANY(%(ids)s) ORDER BY candidate_id, since".encode(),
            {"all": not candidates, "ids": ids},
            binary=True,
        )


class _Folded(NamedTuple):
    journey_id: UUID
    silences: list[SilenceRow]
    findings: list[Finding]
    jobs: dict[str | None, str | None]


def _folded(engine: Engine, candidates: tuple[UUID, ...], as_of: AsOf) -> Iterator[_Folded]:
    """Journeys as they stood, folded from the log."""
    fold = JourneyFold(engine.meaning)
    selection = Selection(candidates=candidates, as_of=as_of)
    for journey_id, facts in Reading(engine.database, selection).facts():
        journey = fold_whole(fold, facts, journey_id)
        jobs: dict[str | None, str | None] = {
            name: application.job_id for name, application in journey.map.items()
        }
        yield _Folded(journey_id, *rows_of(journey_id, journey, engine.meaning), jobs)


def _gravest(standing: list[Silence]) -> list[Silence]:
    """The one of the policies' verdicts that weighs most; nothing of nothing."""
    return [max(standing, key=lambda each: gravity(each.level))] if standing else []


def _as_row(schema: pa.Schema, *told: Any, **more: Any) -> dict[str, Any]:
    """Each column from the first of these that has it; ids as text."""
    row = {}
    for name in schema.names:
        if name in more:
            value = more[name]
        else:
            value = next(getattr(each, name) for each in told if hasattr(each, name))
        row[name] = str(value) if isinstance(value, UUID) else value
    return row


__all__ = ["findings", "record_batch", "schema_of", "silences", "table_of", "touchpoints"]
