"""Records a log: batches of rows, each with how far the import has come, in one transaction.

Killed at any moment it goes on where it was: what was recorded and how far it had read commit
together, and ids follow from the rows, so that nothing is doubled either way. A row that is
broken is kept aside in a file that can be mended and imported again; it stops nothing, unless
there are so many that the map is probably wrong.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from consumers.imports.formats import format_of
from consumers.imports.log_file import AnyRow, BrokenRow, LogFile
from consumers.imports.reading import CHUNK
from journey.arrays import UuidArray, use_arrays
from journey.clock import Clock
from journey.collector import collector_paused
from journey.database import Connection, Database
from journey.errors import JourneyError
from journey.journey_log import JourneyLog
from schemas.statement import Statement

BATCH = 5_000
"""Rows a transaction."""

MOST_BROKEN = 0.05
"""Share of broken rows above which an import stops: then it is the map that is wrong."""

_JUDGED_FROM = 100
"""Fewer rows than these are too few to speak of a share, before the end of the file."""
_FIRST_PROBLEMS = 20
_IMPORT_LOCK = 0x696D70

Translate = Callable[[Any], Sequence[Statement]]
"""Cells in, statements out; raises BrokenRow."""


class ImportStopped(JourneyError):
    """Too many rows are broken; what was recorded before stays, and is not doubled by a retry."""


class ImportRunning(JourneyError):
    """The same file is being imported by another process; wait for it or stop it."""


class Problem(NamedTuple):
    """A broken row: its line (or the number of the event) and why, never personal."""

    line: int
    reason: str


@dataclass(slots=True)
class Imported:
    """What an import did, or would do.

    `rows`, `touchpoints` (new ones), `repeated` and `broken` are of all its runs, the rest is of
    this one. `ignored` rows are those the map leaves out; `problems` the first of the `broken`;
    `kinds` counts statements by kind.
    """

    rows: int = 0
    touchpoints: int = 0
    repeated: int = 0
    ignored: int = 0
    broken: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    first_at: datetime | None = None
    last_at: datetime | None = None
    resumed_at: int = 0
    finished_before: bool = False
    kept_aside: Path | None = None


class Progress(Protocol):
    """Told after every batch."""

    def __call__(self, done: int, total: int, imported: Imported) -> None:
        """`done` of `total` as the log file counts them."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows that were read together, translated."""

    rows: int
    statements: list[Statement]
    broken: list[tuple[AnyRow, str]]
    ignored: int


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
        *,
        source: str,
        map_digest: str,
        quiet_until: datetime,
        aside: Path,
        most_broken: float = MOST_BROKEN,
        batch: int = BATCH,
        progress: Progress | None = None,
    ) -> Imported:
        """Import a file, or what is left of it. Raises UnreadableLog before anything is recorded.

        `quiet_until`: what was due before then alerts nobody. `aside` is where broken rows go.
        Raises also ImportStopped, ImportRunning, DatabaseUnavailable.
        """
        log_file.check()
        import_id = _digest(log_file.path, map_digest)
        with self._only_one(import_id), contextlib.closing(_Aside(aside, log_file)) as kept:
            imported = self._begin(import_id, log_file.path.name, source)
            if imported.finished_before:
                return imported
            kept.cut_to(self._aside_bytes(import_id))
            for read in _batches(log_file, translate, batch, imported.resumed_at):
                self._judge(imported, read, most_broken, last=read.rows < batch)
                self._record(import_id, imported, read, kept, quiet_until)
                if progress is not None:
                    progress(*log_file.progress(), imported)
            self._finish(import_id)
            imported.kept_aside = kept.path if imported.broken else None
            return imported

    def forecast(
        self,
        log_file: LogFile,
        translate: Translate,
        *,
        batch: int = BATCH,
        progress: Progress | None = None,
    ) -> Imported:
        """What `run` would do, without doing it."""
        log_file.check()
        imported = Imported()
        for read in _batches(log_file, translate, batch, 0):
            known = self._known(read.statements)
            _count(imported, read, len(read.statements) - known, known)
            if progress is not None:
                progress(*log_file.progress(), imported)
        return imported

    # --- one batch --------------------------------------------------------------------------

    def _judge(self, imported: Imported, read: _Batch, most: float, *, last: bool) -> None:
        rows, broken = imported.rows + read.rows, imported.broken + len(read.broken)
        if broken > most * rows and (last or rows >= _JUDGED_FROM):
            (line, *_), reason = (
                read.broken[0] if read.broken else ((0,), "see the rows kept aside")
            )
            raise ImportStopped(
                f"{broken:,} of {rows:,} rows are broken, more than {most:.0%}; "
                f"the first of these is at {line:,}: {reason}. "
                + (
                    f"The {imported.rows:,} rows before are recorded; "
                    if imported.rows
                    else "Nothing was recorded; "
                )
                + "mend the map or the file, or allow more with --max-broken"
            )

    def _record(
        self, import_id: str, imported: Imported, read: _Batch, kept: _Aside, quiet_until: datetime
    ) -> None:
        kept.write(read.broken)
        with self._database.transaction() as connection:
            recorded = self._log.record(read.statements, connection)
            _count(imported, read, len(recorded.appended), recorded.repeated)
            _be_quiet(connection, {each.bytes for each in recorded.candidates}, quiet_until)
            connection.execute(
                "UPDATE imports SET rows = %s, touchpoints = %s, repeated = %s, broken = %s, "
                "kept_aside_bytes = %s WHERE import_id = %s",
                [
                    imported.rows,
                    imported.touchpoints,
                    imported.repeated,
                    imported.broken,
                    kept.bytes,
                    import_id,
                ],
            )

    def _known(self, statements: Sequence[Statement]) -> int:
        """How many of these are recorded already, repeats among themselves included."""
        ids = {said.touchpoint.touchpoint_id.bytes for said in statements}
        with self._database.transaction() as connection:
            use_arrays(connection)
            row = connection.execute(
                "SELECT count(*) FROM journey_events WHERE touchpoint_id = ANY(%b)",
                [UuidArray.of(ids)],
            ).fetchone()
        assert row is not None
        return int(row[0]) + len(statements) - len(ids)

    # --- how far it has come ----------------------------------------------------------------

    @contextlib.contextmanager
    def _only_one(self, import_id: str) -> Iterator[None]:
        with self._database.connect(autocommit=True) as connection:
            row = connection.execute(
                "SELECT pg_try_advisory_lock(%s, hashtext(current_schema() || %s))",
                [_IMPORT_LOCK, import_id],
            ).fetchone()
            if row is None or not row[0]:
                raise ImportRunning(
                    "this file is being imported already; wait for that to end or stop it"
                )
            try:
                yield
            finally:
                if not connection.closed:
                    connection.execute("SELECT pg_advisory_unlock_all()")

    def _begin(self, import_id: str, file_name: str, source: str) -> Imported:
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO imports (import_id, file_name, source, started_at) "
                "VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [import_id, file_name, source, self._clock.now()],
            )
            row = connection.execute(
                "SELECT rows, touchpoints, repeated, broken, finished_at FROM imports "
                "WHERE import_id = %s",
                [import_id],
            ).fetchone()
        assert row is not None
        return Imported(
            rows=row[0],
            touchpoints=row[1],
            repeated=row[2],
            broken=row[3],
            resumed_at=row[0],
            finished_before=row[4] is not None,
        )

    def _aside_bytes(self, import_id: str) -> int:
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT kept_aside_bytes FROM imports WHERE import_id = %s", [import_id]
            ).fetchone()
        assert row is not None
        return int(row[0])

    def _finish(self, import_id: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE imports SET finished_at = %s WHERE import_id = %s",
                [self._clock.now(), import_id],
            )


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
            _translated(list(islice(rows, min(size, skip - start))), translate)
    while some := list(islice(rows, size)):
        # Statements are part of no cycle, and there are thousands of them at any moment.
        with collector_paused():
            read = _translated(some, translate)
        yield read


def _translated(rows: Sequence[AnyRow], translate: Translate) -> _Batch:
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
    return _Batch(len(rows), statements, broken, ignored)


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


def _be_quiet(connection: Connection, candidates: set[bytes], until: datetime) -> None:
    """What was due before `until` in these journeys alerts nobody: it is history."""
    if not candidates:
        return
    # Sorted, so that two imports of the same people wait for each other in one order.
    connection.execute(
        "INSERT INTO quiet_candidates SELECT candidate_id, %s FROM unnest(%b) AS candidate_id "
        "ON CONFLICT (candidate_id) DO UPDATE SET quiet_until = excluded.quiet_until "
        "WHERE quiet_candidates.quiet_until < excluded.quiet_until",
        [until, UuidArray.of(sorted(candidates))],
    )


def _digest(path: Path, map_digest: str) -> str:
    digest = blake2b(map_digest.encode(), digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


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
