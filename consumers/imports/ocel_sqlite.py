"""OCEL 2.0 in SQLite: an `event` and an `object` table, and for each type a table of its own.

The file is only read. What its rows need (the time and attributes of an event stand in another
table than the event, and published files have no indexes) is put in order in temporary tables,
which SQLite keeps on disk once they are large.
"""

from __future__ import annotations

import gzip
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from consumers.imports.log_file import CellMap, UnreadableLog, as_text
from consumers.imports.log_map import LogMap
from consumers.imports.ocel import ACTIVITY, EVENT_ID, TIME, Happened, ObjectIndex, OcelLog
from consumers.imports.reading import Opened

_TABLES = ("event", "object", "event_object", "event_map_type", "object_map_type")
_OF_OCEL = frozenset({"ocel_id", "ocel_time", "ocel_changed_field"})
_HEADER = b"SQLite format 3\0"
_ORDERED = """
    PRAGMA temp_store = file;
    PRAGMA temp.journal_mode = off;
    PRAGMA temp.synchronous = off;
    CREATE TEMP TABLE place (place INTEGER PRIMARY KEY, id TEXT, type TEXT);
    CREATE TEMP TABLE relation (number INTEGER PRIMARY KEY, place INTEGER, object TEXT);
    CREATE TEMP TABLE told (place INTEGER PRIMARY KEY, time TEXT, cells BLOB);
"""


class OcelSqlite(OcelLog):
    """An OCEL 2.0 file in SQLite, also as .gz (unpacked to a temporary file)."""

    def __init__(self, path: Path, log_map: LogMap | None = None) -> None:
        super().__init__(path, log_map)
        self._done = self._in_all = 0
        self._columns: dict[str, tuple[str, ...]] = {}

    def progress(self) -> tuple[int, int]:
        """(done, in all), in events."""
        return self._done, self._in_all

    def _declared(self) -> list[str]:
        of_events = [name for names in self._columns.values() for name in names]
        return [*of_events, *self._of_objects]

    # --- putting in order -------------------------------------------------------------------

    def _index(self, objects: ObjectIndex) -> None:
        with self._sentences():
            self._database = _connected(self.path)
            self._database.executescript(_ORDERED)
            self._tables = {
                row[1]: row[2] == "table" and not row[4]
                for row in self._database.execute("PRAGMA main.table_list")
            }
            missing = [name for name in _TABLES if name not in self._tables]
            if missing:
                raise UnreadableLog(
                    f"{self.path.name} is SQLite and no OCEL 2.0: it has no table "
                    f"{', '.join(missing)}"
                )
            self._database.execute("BEGIN")
            self._order_events()
            self._order_objects(objects)
            self._database.execute("COMMIT")

    def _order_events(self) -> None:
        execute = self._database.execute
        execute(
            "INSERT INTO place (id, type) SELECT CAST(ocel_id AS TEXT), CAST(ocel_type AS TEXT)"
            f" FROM main.event{self._in_row_order('event')}"
        )
        execute("CREATE INDEX temp.by_id ON place (id)")
        execute(
            "INSERT INTO relation (place, object)"
            " SELECT place.place, CAST(related.ocel_object_id AS TEXT)"
            " FROM main.event_object AS related CROSS JOIN place"
            " ON place.id = CAST(related.ocel_event_id AS TEXT)"
            + self._in_row_order("event_object", "related")
        )
        execute("CREATE INDEX temp.by_place ON relation (place, number, object)")
        self._in_all = execute("SELECT count(*) FROM place").fetchone()[0]
        used = {row[0] for row in execute("SELECT DISTINCT type FROM place")}
        for event_type, table in self._type_tables("event", used):
            self._order_type(event_type, table)

    def _order_type(self, event_type: str, table: str) -> None:
        """Times and attributes of the events of one type, put at the event's place."""
        names = self._columns[event_type] = self._attributes_of(table)
        columns = "".join(f", told.{_quoted(name)}" for name in names)
        found = self._database.execute(
            f"SELECT place.place, told.ocel_time{columns} FROM main.{_quoted(table)} AS told"
            " CROSS JOIN place ON place.id = CAST(told.ocel_id AS TEXT) WHERE place.type = ?",
            (event_type,),
        )
        self._database.executemany(
            "INSERT OR IGNORE INTO told VALUES (?, ?, ?)",
            (
                (place, as_text(time), orjson.dumps([*map(_told, values)]))
                for place, time, *values in found
            ),
        )

    def _order_objects(self, objects: ObjectIndex) -> None:
        for object_id, object_type in self._database.execute(
            f"SELECT ocel_id, ocel_type FROM main.object{self._in_row_order('object')}"
        ):
            objects.add(as_text(object_id), as_text(object_type))
        self._of_objects: list[str] = []
        for object_type, table in self._type_tables("object", set(objects.types)):
            names = self._attributes_of(table)
            self._of_objects += [f"{object_type}:{name}" for name in names]
            if object_type == self.case_type:
                for name in self._attributes:
                    if name in names:
                        self._read_attribute(objects, table, name)

    def _read_attribute(self, objects: ObjectIndex, table: str, name: str) -> None:
        """Its values over time: a row that tells a change fills in only what it changes."""
        changed = (
            "AND coalesce(ocel_changed_field, '') IN ('', ?)"
            if "ocel_changed_field" in self._all_columns(table)
            else "AND ? <> ''"
        )
        for object_id, time, value in self._database.execute(
            f"SELECT ocel_id, ocel_time, {_quoted(name)} FROM main.{_quoted(table)}"
            f" WHERE {_quoted(name)} IS NOT NULL {changed}",
            (name,),
        ):
            objects.change(as_text(object_id), name, as_text(time), as_text(value))

    def _type_tables(self, what: str, used: set[str]) -> Iterator[tuple[str, str]]:
        """(type, table) of every type; an unused one need have no table."""
        for told in self._database.execute(
            f"SELECT ocel_type, ocel_type_map FROM main.{what}_map_type"
        ).fetchall():
            name, mapped = map(as_text, told)
            table = f"{what}_{mapped}"
            if table in self._tables:
                yield name, table
            elif name in used:
                raise UnreadableLog(
                    f"{self.path.name} has no table {table}, where the {what}s of the type "
                    f"{name!r} should be"
                )

    def _attributes_of(self, table: str) -> tuple[str, ...]:
        return tuple(name for name in self._all_columns(table) if name not in _OF_OCEL)

    def _all_columns(self, table: str) -> list[str]:
        return [row[1] for row in self._database.execute(f"PRAGMA table_info({_quoted(table)})")]

    def _in_row_order(self, table: str, alias: str | None = None) -> str:
        """Said aloud, since SQLite may otherwise read an index instead of the rows."""
        return f" ORDER BY {alias or table}.rowid" if self._tables[table] else ""

    # --- reading ----------------------------------------------------------------------------

    def _events(self) -> Iterator[Happened]:
        with self._sentences():
            relations = groupby(
                self._database.execute("SELECT place, object FROM relation ORDER BY place, number"),
                itemgetter(0),
            )
            related_place, related = next(relations, (0, iter(())))
            for place, event_id, event_type, time, told in self._database.execute(
                "SELECT place, id, type, time, cells FROM place LEFT JOIN told USING (place)"
                " ORDER BY place"
            ):
                ids: list[str] = []
                if related_place == place:
                    ids = [row[1] for row in related]
                    related_place, related = next(relations, (0, iter(())))
                self._done = place
                cells = CellMap()
                if told is not None:
                    named = zip(self._columns[event_type], orjson.loads(told), strict=True)
                    cells.update((name, value) for name, value in named if value is not None)
                cells[EVENT_ID], cells[ACTIVITY] = as_text(event_id), as_text(event_type)
                cells[TIME] = as_text(time)
                if event_id:
                    yield Happened(place, cells, self._objects.related(ids))
                else:
                    yield Happened(place, cells, broken="the event has no id")

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """What SQLite says, put in a sentence of ours."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise UnreadableLog(f"{self.path.name} {_sentence(error)}") from None


def _told(value: Any) -> str | None:
    """A value as a cell, which an empty text is, and nothing is not."""
    return None if value is None else as_text(value)


def _connected(path: Path) -> sqlite3.Connection:
    """A connection that only reads; of a .gz through a copy that is gone once it is closed."""
    opened = Opened(path)
    try:
        if opened.read(len(_HEADER)) != _HEADER:
            raise UnreadableLog(f"{path.name} is no SQLite database")
        opened.stream.seek(0)
        if not isinstance(opened.stream, gzip.GzipFile):
            # A database that is being written has a log beside it, without which it is half
            # a database.
            logs = (path.with_name(f"{path.name}{each}") for each in ("-wal", "-journal"))
            is_in_use = any(each.exists() for each in logs)
            return _opened_read_only(path, "" if is_in_use else "&immutable=1")
        with tempfile.TemporaryDirectory(prefix="journey-import-") as folder:
            copy = Path(folder, "log.sqlite")
            with copy.open("wb") as file:
                shutil.copyfileobj(opened, file, 1 << 20)
            # The open database keeps the file until it is closed, whatever ends this process.
            return _opened_read_only(copy, "&immutable=1")
    except OSError as error:
        raise UnreadableLog(f"{path.name} cannot be unpacked ({error.strerror})") from None
    finally:
        opened.close()


def _sentence(error: sqlite3.DatabaseError) -> str:
    """What is wrong with a file, from what SQLite says of it."""
    # Some errors are Python's own and have no code; these quote the text, which may be personal.
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return "holds text that is not in UTF-8; convert it or export it again"
    # Less the extended part.
    if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY):
        return (
            "is being written by another program, or was when that ended; let it finish, or open "
            "and close the file with that program"
        )
    return f"is damaged, or no OCEL 2.0 in SQLite ({error}); fetch it again"


def _opened_read_only(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=ro{how}",
        uri=True,
        timeout=1,
        check_same_thread=False,
        isolation_level=None,
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


__all__ = ["OcelSqlite"]
