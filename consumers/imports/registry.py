"""Which logs were imported, with which maps and how far: table `imports`.

A source names one log, whatever files it comes in. So every map that any of its files was imported
with may have told something of this one; what one told stands until another tells it otherwise.
Imports of a source with one map may run side by side; one that corrects runs alone.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

from consumers.imports.log_map import LogMap, checked_map
from consumers.imports.reading import CHUNK
from journey.database import Connection
from journey.errors import ConfigurationError, JourneyError

IMPORT_LOCK = 0x696D70
_SOURCE_LOCK = IMPORT_LOCK + 1
_BEGIN_LOCK = IMPORT_LOCK + 2

OF_EXPORTS = "export"
"""Stands for source and map where the file is an export of ours, which needs neither."""


class ImportRunning(JourneyError):
    """Another import is in the way; wait for it or stop it."""


@dataclass(frozen=True, slots=True)
class Log:
    """A file and the map it is read with; None for an export of ours."""

    path: Path
    log_map: LogMap | None
    import_id: str
    file_digest: str

    @classmethod
    def of(cls, path: Path, log_map: LogMap | None) -> Log:
        """Reads the file for its digests."""
        file_digest = blake2b(digest_size=16)
        both = blake2b(_as_text(log_map).encode(), digest_size=16)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                file_digest.update(chunk)
                both.update(chunk)
        return cls(path, log_map, both.hexdigest(), file_digest.hexdigest())

    @property
    def source(self) -> str:
        """Which log it is."""
        return OF_EXPORTS if self.log_map is None else self.log_map.source


COUNTS = (
    "rows", "touchpoints", "repeated", "corrected", "restored", "retracted", "left_alone", "broken",
)  # fmt: skip
_COUNTS = ", ".join(COUNTS)


@dataclass(frozen=True, slots=True)
class Begun:
    """An import and how far it has come: `counts` are by the names of `COUNTS`, of all its runs.

    `aside` is where its broken rows go, `aside_bytes` how long that was. `earlier` are the other
    maps of the source.
    """

    log: Log
    counts: Mapping[str, int]
    aside: Path
    aside_bytes: int
    is_finished: bool
    earlier: tuple[LogMap, ...] = ()


@contextlib.contextmanager
def begun(session: Connection, log: Log, aside: Path, now: datetime) -> Iterator[Begun]:
    """The import of a log, which nobody else does meanwhile. `session` is in autocommit mode.

    Raises ImportRunning, and ConfigurationError where a map before forbids this one.
    """
    _lock(session, IMPORT_LOCK, log.import_id, "this file is being imported already")
    try:
        with session.transaction():
            # Briefly: of two imports that begin at once, the second knows of the first.
            session.execute(
                "SELECT pg_advisory_xact_lock(%s, hashtext(current_schema() || %s))",
                [_BEGIN_LOCK, log.source],
            )
            earlier = earlier_maps(session, log)
            is_new = _register(session, log, now)
            found = _read(session, log, aside, earlier)
            if not found.is_finished:
                _lock(
                    session,
                    _SOURCE_LOCK,
                    log.source,
                    f"source {log.source!r} is being imported, and what corrects runs alone",
                    shared=not earlier,
                )
        try:
            yield found
        finally:
            if is_new and not session.closed and not session.broken:
                # Nothing was told with this map, so it need never be asked what it told.
                session.execute(
                    "DELETE FROM imports WHERE import_id = %s AND rows = 0 AND finished_at IS NULL",
                    [log.import_id],
                )
    finally:
        if not session.closed and not session.broken:
            session.execute("SELECT pg_advisory_unlock_all()")


def earlier_maps(session: Connection, log: Log) -> tuple[LogMap, ...]:
    """The other maps with which files of this source were imported, the first one first.

    Raises ConfigurationError where this very file was imported as another source.
    """
    if log.log_map is None:
        return ()
    _refuse_another_source(session, log)
    rows = session.execute(
        "SELECT map FROM imports WHERE source = %s AND map <> %s "
        "GROUP BY map ORDER BY min(started_at), map",
        [log.source, _as_text(log.log_map)],
    ).fetchall()
    return tuple(checked_map(json.loads(row[0]), "of an earlier import") for row in rows)


def _refuse_another_source(session: Connection, log: Log) -> None:
    """Every id and every person begins with the source, so all of it would be told twice."""
    rows = session.execute(
        "SELECT source FROM ("
        "SELECT DISTINCT ON (source) source, finished_at IS NULL AND rows > 0 OR "
        "touchpoints + repeated + corrected + restored + left_alone > 0 AS told "
        "FROM imports WHERE file_digest = %s AND source <> %s AND map IS NOT NULL "
        "ORDER BY source, started_at DESC, superseded) AS newest WHERE told",
        [log.file_digest, log.source],
    ).fetchall()
    if rows:
        raise ConfigurationError(
            f"{log.path.name} was imported before as source {rows[0][0]!r}, so as {log.source!r} "
            f"all of it would be there twice; write `source: {rows[0][0]}` to correct what it "
            "told, or take that back first: import the file with that source, no `activities` "
            "and `other: ignore`"
        )


def supersede(session: Connection, log: Log) -> None:
    """What was imported with other maps of the source is to be done anew when it comes again."""
    session.execute(
        "UPDATE imports SET superseded = true WHERE source = %s AND map IS DISTINCT FROM %s",
        [log.source, _map_of(log)],
    )


def note(connection: Connection, log: Log, counts: Mapping[str, int], aside_bytes: int) -> None:
    """How far it has come, in the transaction of what was recorded."""
    connection.execute(
        f"UPDATE imports SET ({_COUNTS}, kept_aside_bytes) = "
        f"({', '.join(['%s'] * len(COUNTS))}, %s) WHERE import_id = %s",
        [*(counts[name] for name in COUNTS), aside_bytes, log.import_id],
    )


def finish(session: Connection, log: Log, now: datetime) -> None:
    """All of it is recorded."""
    session.execute(
        "UPDATE imports SET finished_at = %s WHERE import_id = %s", [now, log.import_id]
    )


def _register(session: Connection, log: Log, now: datetime) -> bool:
    """Whether this is its first run. One that was superseded begins anew."""
    new = session.execute(
        "INSERT INTO imports (import_id, file_name, source, started_at, file_digest, map) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (import_id) DO NOTHING RETURNING 1",
        [log.import_id, log.path.name, log.source, now, log.file_digest, _map_of(log)],
    ).fetchone()
    if new is None:
        # One that was begun before maps were kept is known from now on.
        session.execute(
            "UPDATE imports SET file_digest = %s, map = %s WHERE import_id = %s",
            [log.file_digest, _map_of(log), log.import_id],
        )
        session.execute(
            f"UPDATE imports SET {', '.join(f'{name} = 0' for name in COUNTS)}, "
            "kept_aside_bytes = 0, kept_aside = NULL, superseded = false, finished_at = NULL, "
            "started_at = %s WHERE import_id = %s AND superseded",
            [now, log.import_id],
        )
    return new is not None


def _read(session: Connection, log: Log, aside: Path, earlier: tuple[LogMap, ...]) -> Begun:
    row = session.execute(
        f"SELECT {_COUNTS}, kept_aside, kept_aside_bytes, finished_at IS NOT NULL FROM imports "
        "WHERE import_id = %s",
        [log.import_id],
    ).fetchone()
    assert row is not None
    *counts, kept_aside, aside_bytes, is_finished = row
    if kept_aside is None:
        aside = aside if aside_bytes else _free(aside)
        session.execute(
            "UPDATE imports SET kept_aside = %s WHERE import_id = %s", [aside.name, log.import_id]
        )
    else:
        aside = aside.with_name(kept_aside)
    return Begun(
        log, dict(zip(COUNTS, counts, strict=True)), aside, aside_bytes, is_finished, earlier
    )


def _free(aside: Path) -> Path:
    """A name that nothing has: rows that were kept aside before may have been mended since."""
    number, free = 1, aside
    while free.exists():
        number += 1
        free = aside.with_stem(f"{aside.stem}-{number}")
    return free


def _lock(session: Connection, kind: int, name: str, why: str, *, shared: bool = False) -> None:
    lock = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
    row = session.execute(
        f"SELECT {lock}(%s, hashtext(current_schema() || %s))",
        [kind, name],
    ).fetchone()
    if row is None or not row[0]:
        raise ImportRunning(f"{why}; wait for that to end or stop it")


def _map_of(log: Log) -> str | None:
    return None if log.log_map is None else _as_text(log.log_map)


def _as_text(log_map: LogMap | None) -> str:
    return OF_EXPORTS if log_map is None else log_map.model_dump_json()


__all__ = [
    "COUNTS", "IMPORT_LOCK", "Begun", "ImportRunning", "Log", "begun", "earlier_maps", "finish",
    "note", "supersede",
]  # fmt: skip
