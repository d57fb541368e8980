"""OCEL 2.0 in SQLite: the tables of the standard, one for each kind that occurs."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from msgspec.structs import astuple

from consumers.exports.ocel import (
    BEGINNING,
    OBJECT_TYPES,
    Objects,
    Related,
    all_attributes,
)
from consumers.exports.writer import Format
from projections.columns import Column, FlatTouchpoint, Type

_SQL_TYPES: dict[Type, str] = {
    "id": "TEXT", "text": "TEXT", "json": "TEXT", "moment": "TIMESTAMP", "number": "INTEGER",
    "flag": "BOOLEAN",
}  # fmt: skip

# References name their column: who checks a file by the standard looks for it.
_TABLES = """
CREATE TABLE event_map_type (ocel_type TEXT PRIMARY KEY, ocel_type_map TEXT);
CREATE TABLE object_map_type (ocel_type TEXT PRIMARY KEY, ocel_type_map TEXT);
CREATE TABLE event (
    ocel_id TEXT PRIMARY KEY, ocel_type TEXT REFERENCES event_map_type (ocel_type)
);
CREATE TABLE object (
    ocel_id TEXT PRIMARY KEY, ocel_type TEXT REFERENCES object_map_type (ocel_type)
);
CREATE TABLE event_object (
    ocel_event_id TEXT REFERENCES event (ocel_id), ocel_object_id TEXT REFERENCES object (ocel_id),
    ocel_qualifier TEXT, PRIMARY KEY (ocel_event_id, ocel_object_id, ocel_qualifier)
);
CREATE TABLE object_object (
    ocel_source_id TEXT REFERENCES object (ocel_id),
    ocel_target_id TEXT REFERENCES object (ocel_id),
    ocel_qualifier TEXT, PRIMARY KEY (ocel_source_id, ocel_target_id, ocel_qualifier)
);
"""


class OcelSqliteWriter:
    """Its own file is SQLite's: what is written goes by path."""

    def __init__(self, file: BinaryIO, path: Path | None, columns: Sequence[Column]) -> None:
        assert path is not None
        self._objects = Objects[Related](lambda related: related)
        self._attributes = all_attributes(columns)
        self._inserts: dict[str, str] = {}
        self._database = sqlite3.connect(path, isolation_level=None)
        # The file is put in its place when it is whole, so it needs no journal of its own.
        self._database.executescript(
            f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_TABLES}"
        )
        for object_type in OBJECT_TYPES:
            self._database.executescript(
                f"CREATE TABLE object_{object_type} (ocel_id TEXT REFERENCES object (ocel_id), "
                "ocel_time TIMESTAMP, ocel_changed_field TEXT);"
                f"INSERT INTO object_map_type VALUES ('{object_type}', '{object_type}');"
            )

    def write(self, touchpoints: Sequence[FlatTouchpoint]) -> None:
        """A row of `event`, one of the kind's own table, and one for each object related."""
        events, related = [], []
        rows: dict[str, list[tuple[Any, ...]]] = {}
        for flat in touchpoints:
            event_id, cells = flat.touchpoint_id, astuple(flat)
            events.append((event_id, flat.kind))
            related += [(event_id, *one) for one in self._objects.of(flat)]
            mine = [cells[place] for place, _ in self._attributes[flat.kind]]
            rows.setdefault(flat.kind, []).append((event_id, flat.occurred_at, *mine))
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO event VALUES (?, ?)", events)
        self._database.executemany("INSERT INTO event_object VALUES (?, ?, ?)", related)
        for kind, told in rows.items():
            self._database.executemany(self._insert(kind), told)
        self._database.execute("COMMIT")
        self._objects.keep()

    def _insert(self, kind: str) -> str:
        """The statement for the kind's own table, which is made when the kind first occurs."""
        known = self._inserts.get(kind)
        if known is None:
            columns = [f"{each.name} {_SQL_TYPES[each.type]}" for _, each in self._attributes[kind]]
            # Names of kinds and columns are ours: letters and underscores.
            self._database.execute(
                f"CREATE TABLE event_{kind} (ocel_id TEXT PRIMARY KEY "
                f"REFERENCES event (ocel_id), ocel_time TIMESTAMP, {', '.join(columns)})"
            )
            self._database.execute("INSERT INTO event_map_type VALUES (?, ?)", (kind, kind))
            places = ", ".join("?" * (len(columns) + 2))
            known = self._inserts[kind] = f"INSERT INTO event_{kind} VALUES ({places})"
        return known

    def close(self) -> None:
        """The objects."""
        put = self._database.execute
        put("BEGIN")
        for object_id, object_type, related in self._objects.all():
            put("INSERT INTO object VALUES (?, ?)", (object_id, object_type))
            put(f"INSERT INTO object_{object_type} VALUES (?, ?, NULL)", (object_id, BEGINNING))
            for target, qualifier in related:
                put("INSERT INTO object_object VALUES (?, ?, ?)", (object_id, target, qualifier))
        put("COMMIT")
        self._database.close()
        self._objects.close()


OCEL_SQLITE = Format("ocel-sqlite", "OCEL 2.0 in SQLite", OcelSqliteWriter, streams=False)

__all__ = ["OCEL_SQLITE"]
