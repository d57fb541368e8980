"""Records a log: batches of rows, each with how far the import has come, in one transaction.

Killed at any moment it goes on where it was: what was recorded and how far it had read commit
together, and ids follow from the rows, so that nothing is doubled either way. A row that is
broken is kept aside in a file that can be mended and imported again; it stops nothing, unless
there are so many that the map is probably wrong. A log that was imported with another map before
is corrected (`again`).
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import psycopg

from consumers.comparison import Step, Verb
from consumers.imports.again import Again
from consumers.imports.formats import format_of
from consumers.imports.log_file import AnyRow, BrokenRow, LogFile
from consumers.imports.log_map import LogMap
from consumers.imports.registry import (
    COUNTS,
    ImportRunning,
    Log,
    begun,
    earlier_maps,
    finish,
    note,
    supersede,
)
from journey.arrays import UuidArray, use_arrays
from journey.clock import Clock
from journey.collector import collector_paused
from journey.database import Connection, Database
from journey.errors import DatabaseUnavailable, JourneyError
from journey.journey_log import JourneyLog
from schemas.statement import Statement

BATCH = 5_000
"""Rows a transaction."""

MOST_BROKEN = 0.05
"""Share of broken rows above which an import stops: then it is the map that is wrong."""

_JUDGED_FROM = 100
"""Fewer rows than these are too few to speak of a share, before the end of the file."""
_FIRST_PROBLEMS = 20

Translate = Callable[[Any], Sequence[Statement]]
"""Cells in, statements out; raises BrokenRow."""


class ImportStopped(JourneyError):
    """Too many rows are broken, or rows would be corrected and that was not asked for.

    What was recorded before stays, and is not doubled by a retry.
    """


class Problem(NamedTuple):
    """A broken row: its line (or the number of the event) and why, never personal."""

    line: int
    reason: str


@dataclass(slots=True)
class Imported:
    """What an import did, or would do.

    `rows`, `broken` and the touchpoints are of all its runs, the rest is of this one. `touchpoints`
    are new ones, `repeated` those known as they are told. Where the log was imported with another
    map before: `corrected`, `retracted` and `restored` (taken back before, and told again) ones,
    and those `left_alone`, of which a webhook or somebody's own correction has the last word.
    `amended` counts these by kind, and `fields` which fields were corrected. `ignored` rows are
    those the map leaves out; `problems` the first of the `broken`; `kinds` counts statements.
    """

    rows: int = 0
    touchpoints: int = 0
    repeated: int = 0
    corrected: int = 0
    restored: int = 0
    retracted: int = 0
    left_alone: int = 0
    broken: int = 0
    ignored: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    amended: dict[str, Counter[Verb]] = field(default_factory=dict)
    fields: dict[str, Counter[str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    first_at: datetime | None = None
    last_at: datetime | None = None
    resumed_at: int = 0
    finished_before: bool = False
    is_again: bool = False
    kept_aside: Path | None = None

    @property
    def changed(self) -> int:
        """Touchpoints that are told otherwise than before."""
        return self.corrected + self.restored + self.retracted

    def counts(self) -> dict[str, int]:
        """What the registry keeps of it."""
        return {name: getattr(self, name) for name in COUNTS}

    def take(self, steps: Iterable[Step]) -> None:
        """Count what was found about a log that was imported before."""
        for step in steps:
            name = _COUNTED_AS[step.verb]
            setattr(self, name, getattr(self, name) + 1)
            kind = step.about.KIND
            self.amended.setdefault(kind, Counter())[step.verb] += 1
            self.fields.setdefault(kind, Counter()).update(step.fields)


_COUNTED_AS: dict[Verb, str] = {
    "added": "touchpoints",
    "corrected": "corrected",
    "restored": "restored",
    "retracted": "retracted",
    "unchanged": "repeated",
    "elsewhere": "left_alone",
    "by_hand": "left_alone",
}


class Progress(Protocol):
    """Told after every batch."""

    def __call__(self, done: int, total: int, imported: Imported) -> None:
        """`done` of `total` as the log file counts them."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows that were read together, translated. `at` are their numbers, from 0."""

    at: range
    rows: int = 0
    statements: Sequence[Statement] = ()
    broken: Sequence[tuple[AnyRow, str]] = ()
    ignored: int = 0


class Importer:
    """Imports logs into one tenant."""

    def __init__(self, database: Database, journey_log: JourneyLog, clock: Clock) -> None:
        self._database = database
        self._log = journey_log
        self._clock = clock

    def run(
        self,
        log_file: LogFile,
        translate: Translate,
        log_map: LogMap | None,
        *,
        quiet_until: datetime,
        aside: Path,
        most_broken: float = MOST_BROKEN,
        correct: bool = False,
        batch: int = BATCH,
        progress: Progress | None = None,
    ) -> Imported:
        """Import a file, or what is left of it. Raises UnreadableLog before anything is recorded.

        `log_map` is what `translate` goes by, None for an export of ours; what other maps told of
        the file before is corrected, or stops it unless `correct`: another map may be a mistake.
        `quiet_until`: what was due before then alerts nobody.
        `aside` is where broken rows go, or a name like it where that one is taken.
        Raises also ImportStopped, ImportRunning, ConfigurationError, DatabaseUnavailable.
        """
        log_file.check()
        log = Log.of(log_file.path, log_map)
        with self._session() as session, begun(session, log, aside, self._clock.now()) as found:
            imported = Imported(
                resumed_at=found.counts["rows"],
                finished_before=found.is_finished,
            )
            for name, count in found.counts.items():
                setattr(imported, name, count)
            if imported.finished_before:
                return imported
            shown = _Shown(progress, imported, len(found.earlier))
            again = self._again(session, log, log_file, found.earlier, shown)
            if again is not None:
                rows, broken, line, reason = again.broken
                if broken > most_broken * rows:
                    first = Problem(line, reason)
                    raise _stopped(rows, broken, most_broken, first, imported.rows)
                supersede(session, log)
            with contextlib.closing(_Aside(found.aside, log_file)) as kept:
                kept.cut_to(found.aside_bytes)
                for read in self._reads(log_file, translate, batch, imported, again):
                    if again is None:
                        _judge(imported, read, most_broken, last=read.rows < batch)
                    kept.write(read.broken)
                    with session.transaction():
                        before = imported.changed
                        candidates = self._record(session, read, again, imported)
                        if imported.changed > before and not correct:
                            raise _would_correct(log, read.at)
                        _be_quiet(session, candidates, quiet_until)
                        note(session, log, imported.counts(), kept.bytes)
                    shown(log_file, shown.last)
                finish(session, log, self._clock.now())
                imported.kept_aside = kept.path if imported.broken else None
            return imported

    def forecast(
        self,
        log_file: LogFile,
        translate: Translate,
        log_map: LogMap | None,
        *,
        batch: int = BATCH,
        progress: Progress | None = None,
    ) -> Imported:
        """What `run` would do, without doing it."""
        log_file.check()
        log = Log.of(log_file.path, log_map)
        with self._session() as session:
            earlier = earlier_maps(session, log)
            imported = Imported()
            shown = _Shown(progress, imported, len(earlier))
            again = self._again(session, log, log_file, earlier, shown)
            for read in self._reads(log_file, translate, batch, imported, again):
                if again is None:
                    known = _known(session, read.statements)
                    _count(imported, read, len(read.statements) - known, known)
                else:
                    with session.transaction():
                        self._record(session, read, again, imported)
                        raise psycopg.Rollback
                shown(log_file, shown.last)
            return imported

    @contextlib.contextmanager
    def _session(self) -> Iterator[Connection]:
        """A connection of its own, which holds locks and tables for as long as the import runs."""
        try:
            with self._database.connect(autocommit=True) as session:
                use_arrays(session)
                yield session
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable(" ".join(str(error).split())[:300]) from error

    def _again(
        self,
        session: Connection,
        log: Log,
        log_file: LogFile,
        earlier: Sequence[LogMap],
        shown: _Shown,
    ) -> Again | None:
        if not earlier:
            return None
        again = Again.prepared(session, self._log, log, log_file, earlier, shown)
        shown.imported.is_again = again is not None
        return again

    def _reads(
        self,
        log_file: LogFile,
        translate: Translate,
        size: int,
        imported: Imported,
        again: Again | None,
    ) -> Iterator[_Batch]:
        yield from _batches(log_file, translate, size, imported.rows)
        if again is not None:
            for rows in again.rows_left(imported.rows, size):
                yield _Batch(rows)

    def _record(
        self, session: Connection, read: _Batch, again: Again | None, imported: Imported
    ) -> Collection[UUID]:
        """Append a batch in the transaction of the session; whom it is about."""
        if again is None:
            recorded = self._log.record(read.statements, session)
            _count(imported, read, len(recorded.appended), recorded.repeated)
            return recorded.candidates
        amended = again.record(read.statements, read.at, session)
        _count(imported, read, 0, amended.repeated)
        imported.take(amended.steps)
        return amended.candidates


class _Shown:
    """Tells how far the import is, where the file is read several times."""

    def __init__(self, progress: Progress | None, imported: Imported, earlier: int) -> None:
        self._progress = progress
        self.imported = imported
        self.last = earlier + 1 if earlier else 0
        """The number of the reading that records."""

    def __call__(self, log_file: LogFile, reading: int) -> None:
        if self._progress is not None:
            done, total = log_file.progress()
            self._progress(reading * total + done, (self.last + 1) * total, self.imported)


def _judge(imported: Imported, read: _Batch, most: float, *, last: bool) -> None:
    rows, broken = imported.rows + read.rows, imported.broken + len(read.broken)
    if broken > most * rows and (last or rows >= _JUDGED_FROM):
        (line, *_), reason = read.broken[0] if read.broken else ((0,), "see the rows kept aside")
        raise _stopped(rows, broken, most, Problem(line, reason), imported.rows)


def _stopped(rows: int, broken: int, most: float, first: Problem, recorded: int) -> ImportStopped:
    before = f"The {recorded:,} rows before are" if recorded else "Nothing was"
    return ImportStopped(
        f"{broken:,} of {rows:,} rows are broken, more than {most:.0%}; "
        f"the first of these is at {first.line:,}: {first.reason}. {before} recorded; "
        "mend the map or the file, or allow more with --max-broken"
    )


def _would_correct(log: Log, rows: range) -> ImportStopped:
    before = f"The {rows.start:,} rows before are" if rows.start else "Nothing was"
    return ImportStopped(
        f"{log.path.name} was imported before with another map, which told some of it otherwise. "
        f"{before} recorded; --dry-run shows what this map would change, and --correct changes it"
    )


def _known(session: Connection, statements: Sequence[Statement]) -> int:
    """How many of these are recorded already, repeats among themselves included."""
    ids = {said.touchpoint.touchpoint_id.bytes for said in statements}
    row = session.execute(
        "SELECT count(*) FROM journey_events WHERE touchpoint_id = ANY(%b)", [UuidArray.of(ids)]
    ).fetchone()
    assert row is not None
    return int(row[0]) + len(statements) - len(ids)


def aside_of(path: Path) -> Path:
    """Where the broken rows of a file go: beside it, in a form that can be imported itself."""
    suffix = "ndjson" if format_of(path) == "cloudevents" else "csv"
    return path.with_name(f"{path.name}.broken.{suffix}")


def _batches(log_file: LogFile, translate: Translate, size: int, skip: int) -> Iterator[_Batch]:
    """Rows translated, `size` at a time, after the first `skip`.

    Those are translated too: which of several equal events one is depends on those before it.
    """
    rows = log_file.rows()
    for start in range(0, skip, size):
        with collector_paused():
            _translated(list(islice(rows, min(size, skip - start))), start, translate)
    start = skip
    while some := list(islice(rows, size)):
        # Statements are part of no cycle, and there are thousands of them at any moment.
        with collector_paused():
            read = _translated(some, start, translate)
        yield read
        start += read.rows


def _translated(rows: Sequence[AnyRow], start: int, translate: Translate) -> _Batch:
    statements: list[Statement] = []
    broken: list[tuple[AnyRow, str]] = []
    ignored = 0
    for row in rows:
        _, cells, problem = row
        if problem is not None:
            broken.append((row, problem))
            continue
        try:
            said = translate(cells)
        except BrokenRow as error:
            broken.append((row, error.reason))
            continue
        if said:
            statements += said
        else:
            ignored += 1
    at = range(start, start + len(rows))
    return _Batch(at, len(rows), statements, broken, ignored)


def _count(imported: Imported, read: _Batch, touchpoints: int, repeated: int) -> None:
    imported.rows += read.rows
    imported.touchpoints += touchpoints
    imported.repeated += repeated
    imported.broken += len(read.broken)
    imported.ignored += read.ignored
    imported.kinds.update(said.touchpoint.KIND for said in read.statements)
    room = _FIRST_PROBLEMS - len(imported.problems)
    imported.problems += [Problem(row[0], reason) for row, reason in read.broken[: max(0, room)]]
    times = [said.touchpoint.occurred_at for said in read.statements]
    if times:
        imported.first_at = min(times if imported.first_at is None else [imported.first_at, *times])
        imported.last_at = max(times if imported.last_at is None else [imported.last_at, *times])


def _be_quiet(connection: Connection, candidates: Collection[UUID], until: datetime) -> None:
    """What was due before `until` in these journeys alerts nobody: it is history."""
    if not candidates:
        return
    # Sorted, so that two imports of the same people wait for each other in one order.
    connection.execute(
        "INSERT INTO quiet_candidates SELECT candidate_id, %s FROM unnest(%b) AS candidate_id "
        "ON CONFLICT (candidate_id) DO UPDATE SET quiet_until = excluded.quiet_until "
        "WHERE quiet_candidates.quiet_until < excluded.quiet_until",
        [until, UuidArray.of(sorted({each.bytes for each in candidates}))],
    )


class _Aside:
    """The file of broken rows: lines as they came where rows are such (NDJSON), else a CSV.

    The CSV has the columns of the log, with line and problem before them, so that the map of the
    log reads it too.
    """

    EXTRA = ("journey:line", "journey:problem")

    def __init__(self, path: Path, log_file: LogFile) -> None:
        self.path = path
        self.bytes = 0
        # Broken rows that are broken still: theirs are the columns we added the first time.
        self._columns = tuple(c for c in log_file.columns or () if c not in self.EXTRA)
        self._keys: list[Any] = [log_file.key(column) for column in self._columns]
        self._width = len(log_file.columns or ())
        self._file: io.TextIOWrapper | None = None

    def cut_to(self, size: int) -> None:
        """Forget what was written after the last commit."""
        self.bytes = size
        if not size:
            self.path.unlink(missing_ok=True)
        elif self.path.exists():
            os.truncate(self.path, min(size, self.path.stat().st_size))

    def write(self, broken: Sequence[tuple[AnyRow, str]]) -> None:
        """Add rows, on disk before the transaction that counts them commits."""
        if not broken:
            return
        if self._file is None:
            self._file = self._opened(broken)
        writer = csv.writer(self._file)
        for (line, cells, _), reason in broken:
            if (raw := getattr(cells, "raw", None)) is not None:
                self._file.write(f"{raw}\n")
            else:
                writer.writerow((line, reason, *self._told(cells)))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.bytes = os.fstat(self._file.fileno()).st_size

    def _opened(self, broken: Sequence[tuple[AnyRow, str]]) -> io.TextIOWrapper:
        cells = [cells for (_, cells, _), _ in broken]
        if not self._columns:
            if self.bytes:
                self._columns = self._header()
            else:
                self._columns = tuple(dict.fromkeys(column for each in cells for column in each))
        file = self.path.open("a", encoding="utf-8", newline="")
        if not self.bytes and not hasattr(cells[0], "raw"):
            csv.writer(file).writerow((*self.EXTRA, *self._columns))
        return file

    def _header(self) -> tuple[str, ...]:
        with self.path.open(encoding="utf-8", newline="") as file:
            return tuple(next(csv.reader(file), []))[len(self.EXTRA) :]

    def _told(self, cells: Any) -> Sequence[str]:
        if not isinstance(cells, list):
            return [cells[column] for column in self._columns]
        # Of a row with too many or too few cells nobody knows which is which: as they came.
        return [cells[key] for key in self._keys] if len(cells) == self._width else cells

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()


__all__ = [
    "BATCH",
    "MOST_BROKEN",
    "ImportRunning",
    "ImportStopped",
    "Imported",
    "Importer",
    "aside_of",
]
