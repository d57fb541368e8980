"""One export: what is selected, in constant memory, into a file that is there once it is whole.

Personal data are left out unless somebody asks for them by name and with a reason, and the master
key that sealed them is there; who asked is then logged, and nobody else may read the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import msgspec
import structlog

from consumers.exports.writer import Format
from consumers.scratch import scratch
from journey.collector import collector_paused
from journey.database import Database
from journey.errors import JourneyError
from journey.vault import Vault
from projections.columns import COLUMNS, PERSONAL_COLUMNS, FlatTouchpoint
from projections.selection import Reading, Selection
from schemas.personal import Personal

log = structlog.get_logger()

_BUFFER = 1 << 20
_REMEMBERED = 50_000

Progress = Callable[[int, int, int], None]
"""Called with (touchpoints written, positions of the log read, positions in all)."""


class ExportRefused(JourneyError):
    """It cannot be written there, or not like that; nothing was written."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks for personal data, and why, in words that name nobody. Both are logged."""

    by: str
    reason: str

    def __post_init__(self) -> None:
        if not self.by.strip() or not self.reason.strip():
            raise ExportRefused("personal data are exported to somebody with a name and a reason")


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote. `position`: the last one of the log that it looked at."""

    touchpoints: int
    candidates: int
    bytes: int
    seconds: float
    position: int


class Exporter:
    """Exports from one tenant. Every export may raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def to_file(
        self,
        form: Format,
        target: Path,
        selection: Selection,
        *,
        access: Access | None = None,
        vault: Vault | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Exported:
        """Write a file, which is there only once it is whole.

        With `access` personal columns are written, too, opened with `vault`, and the file is for
        its owner alone. Raises ExportRefused, WrongMasterKey.
        """
        if target.exists() and not target.is_file():
            raise ExportRefused(f"{target} is no file; name one, or - for standard output")
        if target.exists() and not overwrite:
            raise ExportRefused(f"{target.name} is there already; --force writes over it")
        unsealed = None
        if access is not None:
            if selection.effective:
                raise ExportRefused(
                    "a name that was corrected stands in the correction, which --effective leaves "
                    "out; export personal data as they were recorded"
                )
            if vault is None:
                raise ExportRefused("personal data are sealed, and the master key is not at hand")
            unsealed = _Unsealing(self._database, vault, access)
        with _sentences(target.name), _whole(target, private=unsealed is not None) as sink:
            return self._run(form, sink, selection, unsealed, progress)

    def to_stream(
        self,
        form: Format,
        stream: BinaryIO,
        selection: Selection,
        *,
        progress: Progress | None = None,
    ) -> Exported:
        """Write as it is read, without personal data. Raises ExportRefused."""
        if not form.streams:
            raise ExportRefused(f"{form.name} cannot be written to standard output; name a file")
        counted = _Counted(stream)
        sink = _Sink(io.BufferedWriter(counted, _BUFFER), None, lambda: counted.bytes)
        with _sentences("standard output"):
            return self._run(form, sink, selection, None, progress)

    def _run(
        self,
        form: Format,
        sink: _Sink,
        selection: Selection,
        unsealed: _Unsealing | None,
        progress: Progress | None,
    ) -> Exported:
        started = time.perf_counter()
        reading = Reading(self._database, selection)
        candidates = _Distinct()
        touchpoints = 0

        def reached(position: int) -> None:
            if progress is not None:
                progress(touchpoints, position, reading.position)

        if unsealed is not None:
            unsealed.announce(form.name, reading.position)
        with contextlib.closing(candidates), collector_paused():
            columns = COLUMNS if unsealed is None else COLUMNS + PERSONAL_COLUMNS
            writer = form.open(sink.file, sink.path, columns)
            for page in reading.journeys(reached) if form.by_journey else reading.pages(reached):
                if unsealed is not None:
                    unsealed.fill(page)
                writer.write(page)
                touchpoints += len(page)
                candidates.add(flat.candidate_id for flat in page)
            writer.close()
            sink.file.flush()
            return Exported(
                touchpoints=touchpoints,
                candidates=candidates.count(),
                bytes=sink.size(),
                seconds=time.perf_counter() - started,
                position=reading.position,
            )


# --- personal data --------------------------------------------------------------------------


class _Unsealing:
    """Fills in the personal columns of rows, for somebody who may see them."""

    def __init__(self, database: Database, vault: Vault, access: Access) -> None:
        self._database = database
        self._vault = vault
        self._access = access

    def announce(self, format_name: str, position: int) -> None:
        """Make sure that the master key is the right one, and log who asks. Raises WrongMasterKey.

        Logged before anything is written: an export that is given up has shown something, too.
        """
        with self._database.transaction() as connection:
            row = connection.execute("SELECT candidate_id FROM person_keys LIMIT 1").fetchone()
            if row is not None:
                self._vault.known_keys(connection, [row[0]])
        log.warning(
            "personal data are being exported",
            by=self._access.by,
            reason=self._access.reason,
            format=format_name,
            position=position,
        )

    def fill(self, touchpoints: Sequence[FlatTouchpoint]) -> None:
        """Open what is sealed; where a person's key was destroyed the columns stay empty."""
        sealed = [flat for flat in touchpoints if flat.personal is not None]
        if not sealed:
            return
        people = {flat.candidate_id: UUID(flat.candidate_id) for flat in sealed}
        with self._database.transaction() as connection:
            keys = self._vault.known_keys(connection, people.values())
        for flat in sealed:
            person = people[flat.candidate_id]
            if (key := keys.get(person)) is not None and flat.personal is not None:
                _fill(flat, self._vault.open(key, person, flat.personal))


def _fill(flat: FlatTouchpoint, personal: Personal) -> None:
    flat.personal_name = personal.name
    for name in ("emails", "phones", "addresses", "links", "text"):
        value = getattr(personal, name)
        if value:
            setattr(flat, f"personal_{name}", msgspec.json.encode(value).decode())


# --- files ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sink:
    """Where an export goes, and how many bytes have got there."""

    file: BinaryIO
    path: Path | None
    size: Callable[[], int]


@contextlib.contextmanager
def _whole(target: Path, *, private: bool) -> Iterator[_Sink]:
    """A file beside the target that takes its place in the end, or is gone.

    A process that is killed outright leaves it behind, hidden; the next export of the same target
    writes over it.
    """
    part = target.with_name(f".{target.name}.part")
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb", _BUFFER) as file:
        if not _is_ours(descriptor, part):
            raise ExportRefused(f"another export is writing {target.name}; wait for it")
        try:
            os.truncate(descriptor, 0)
            os.chmod(descriptor, 0o600 if private else 0o666 & ~_umask())
            yield _Sink(file, part, lambda: part.stat().st_size)
            os.fsync(descriptor)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _is_ours(descriptor: int, part: Path) -> bool:
    """Whether nobody else is writing it; then nobody else will until it is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who had it may just have put it in its place: then it is whole, and theirs.
        return os.path.samestat(os.fstat(descriptor), part.lstat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def _sentences(name: str) -> Iterator[None]:
    """What keeps a file from being written, in a sentence."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ExportRefused(f"{name} cannot be written ({error.strerror})") from None
    except sqlite3.OperationalError as error:
        # Less the extended part: a full disk is told in several ways.
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise
        raise ExportRefused(f"{name} cannot be written ({error})") from None


class _Counted(io.RawIOBase):
    """A stream that counts its bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.bytes = 0

    def writable(self) -> bool:
        """Nothing else."""
        return True

    def write(self, data: Any) -> int:
        """All of it."""
        self._stream.write(data)
        self.bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Hand it on."""
        self._stream.flush()


class _Distinct:
    """Counts different ids in constant memory."""

    def __init__(self) -> None:
        self._database = scratch("CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID;")
        self._recent: set[str] = set()

    def add(self, ids: Iterable[str]) -> None:
        """Ids that may have been added before."""
        fresh = set(ids) - self._recent
        if len(self._recent) > _REMEMBERED:
            self._recent.clear()
        self._recent |= fresh
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT OR IGNORE INTO seen VALUES (?)", ((each,) for each in fresh)
        )
        self._database.execute("COMMIT")

    def count(self) -> int:
        """How many different ones there were."""
        return int(self._database.execute("SELECT count(*) FROM seen").fetchone()[0])

    def close(self) -> None:
        """Give the disk back."""
        self._database.close()


__all__ = ["Access", "ExportRefused", "Exported", "Exporter", "Progress"]
