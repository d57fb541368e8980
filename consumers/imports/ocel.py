"""What the encodings of OCEL share: events related to objects become rows, one a case object.

An object-centric log has no case. The map chooses one by naming an object type: a row is an
event seen by one object of that type, so an event about two applications is told to both.

| cell | holds |
| --- | --- |
| `ocel:eid` | id of the event; `e1/app2` where the event has several case objects |
| `ocel:activity`, `ocel:timestamp` | as they are written |
| `ocel:type:<object type>` | the case object; of another type all related ids, joined by `,` |
| `<attribute>` | attribute of the event |
| `<case object type>:<attribute>` | of the case object, as it stood at the time of the event |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from consumers.imports.log_file import CellMap, Row, UnreadableLog, no_such_column
from consumers.imports.log_map import LogMap
from consumers.scratch import scratch

EVENT_ID, ACTIVITY, TIME = "ocel:eid", "ocel:activity", "ocel:timestamp"
OBJECT_TYPE = "ocel:type:"
_ALWAYS = (EVENT_ID, ACTIVITY, TIME)
_CACHED_OBJECTS = 50_000
_BATCH = 5_000


class Happened(NamedTuple):
    """One event as its encoding tells it: its own cells, and (id, type) of its objects."""

    number: int
    cells: CellMap
    objects: Sequence[tuple[str, str]] = ()
    broken: str | None = None


class OcelLog(ABC):
    """A log whose rows are events seen by one case object; an encoding says where things are.

    Without a map there is no case object: a row an event, with all ids of every type.
    `events_without_case` counts the events of the latest reading that made no row.
    """

    def __init__(self, path: Path, log_map: LogMap | None = None) -> None:
        self.path = path
        self.events_without_case = 0
        self.case_type = case_type_of(log_map)
        self._attributes = _case_attributes(log_map, self.case_type)
        self._ready = False

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Every name that a row may have; None where the log does not declare its attributes."""
        self._prepare()
        declared = self._declared()
        if declared is None:
            return None
        types = (OBJECT_TYPE + name for name in self.object_types())
        return tuple(dict.fromkeys((*_ALWAYS, *types, *declared)))

    def check(self) -> None:
        """Reads through all of it. Raises UnreadableLog when it is no OCEL, or not whole."""
        self._prepare()
        if next(self._events(), None) is None:
            raise UnreadableLog(f"{self.path.name} holds no OCEL events")
        if self.case_type is not None:
            self.key(OBJECT_TYPE + self.case_type)

    def key(self, column: str) -> str:
        """The column itself. Raises UnreadableLog for one the log cannot have."""
        self._prepare()
        columns = self.columns
        if column.startswith(OBJECT_TYPE):
            wanted, types = column.removeprefix(OBJECT_TYPE), self.object_types()
            if wanted not in types:
                raise UnreadableLog(
                    f"{self.path.name} has no objects of the type {wanted!r}; "
                    f"its object types are: {', '.join(types) or 'none'}"
                )
            return column
        if columns is None or column in columns:
            return column
        raise no_such_column(self.path, column, columns)

    def rows(self) -> Iterator[Row]:
        """A row for each event and case object, in the order of the file."""
        self._prepare()
        self.events_without_case = 0
        for event in self._events():
            if event.broken is not None:
                yield Row(event.number, event.cells, event.broken)
            else:
                yield from self._rows_of(event)

    def _rows_of(self, event: Happened) -> Iterator[Row]:
        related: dict[str, dict[str, None]] = {}
        for object_id, object_type in event.objects:
            related.setdefault(object_type, {})[object_id] = None
        cells = event.cells
        for object_type, ids in related.items():
            cells[OBJECT_TYPE + object_type] = ",".join(ids)
        if self.case_type is None:
            yield Row(event.number, cells)
            return
        cases = related.get(self.case_type, {})
        if not cases:
            self.events_without_case += 1
        for case in cases:
            own = CellMap(cells)
            own[OBJECT_TYPE + self.case_type] = case
            if len(cases) > 1:
                own[EVENT_ID] = f"{cells[EVENT_ID]}/{case}"
            for name in self._attributes:
                own[f"{self.case_type}:{name}"] = self._objects.stood_at(case, name, cells[TIME])
            yield Row(event.number, own)

    def object_types(self) -> tuple[str, ...]:
        """Every type of which the log has objects, in the order of the file."""
        self._prepare()
        return self._objects.types

    def _prepare(self) -> None:
        if not self._ready:
            self._objects = ObjectIndex()
            self._index(self._objects)
            self._objects.done()
            self._ready = True

    @abstractmethod
    def progress(self) -> tuple[int, int]:
        """(done, in all), in bytes or events."""

    @abstractmethod
    def _index(self, objects: ObjectIndex) -> None:
        """Reads what must be known before the first row: which object is of which type."""

    @abstractmethod
    def _events(self) -> Iterator[Happened]:
        """Every event in the order of the file."""

    @abstractmethod
    def _declared(self) -> Iterable[str] | None:
        """The attributes that the log says it has: of events by name, of objects `type:name`."""


class ObjectIndex:
    """Which object is of which type, and what it was like when: in a temporary database.

    A log may have more objects than fit in memory.
    """

    def __init__(self) -> None:
        self._database = scratch(
            "CREATE TABLE object (id TEXT PRIMARY KEY, type INTEGER) WITHOUT ROWID;"
            "CREATE TABLE attribute (object TEXT, name TEXT, since REAL, place INTEGER, value TEXT,"
            " PRIMARY KEY (object, name, since, place)) WITHOUT ROWID;"
        )
        self._types: dict[str, int] = {}
        self._names: tuple[str, ...] = ()
        self._objects: list[tuple[str, int]] = []
        self._changes: list[tuple[str, str, float, int, str]] = []
        self._place = 0
        self.type_of = lru_cache(maxsize=_CACHED_OBJECTS)(self._type_of)

    def add(self, object_id: str, object_type: str) -> None:
        """One object; what was said of an id first stays."""
        number = self._types.setdefault(object_type, len(self._types))
        self._objects.append((object_id, number))
        if len(self._objects) >= _BATCH:
            self._flush()

    def change(self, object_id: str, name: str, time: str, value: str) -> None:
        """From `time` on the object's attribute has this value; "" is since ever."""
        self._place += 1
        self._changes.append((object_id, name, instant(time), self._place, value))
        if len(self._changes) >= _BATCH:
            self._flush()

    def done(self) -> None:
        """All is added; from now on it can be asked."""
        self._flush()
        self._names = self.types

    @property
    def types(self) -> tuple[str, ...]:
        """Every type, in the order in which it was met."""
        return tuple(self._types)

    def related(self, ids: Iterable[str]) -> list[tuple[str, str]]:
        """(id, type) of these objects; an id of no object is left out."""
        found = []
        for each in ids:
            object_type = self.type_of(each)
            if object_type is not None:
                found.append((each, object_type))
        return found

    def stood_at(self, object_id: str, name: str, time: str) -> str:
        """The newest value that is not newer than `time`; "" when it had none yet."""
        found = self._database.execute(
            "SELECT value FROM attribute WHERE object = ? AND name = ? AND since <= ?"
            " ORDER BY since DESC, place DESC LIMIT 1",
            (object_id, name, instant(time)),
        ).fetchone()
        return found[0] if found else ""

    def _type_of(self, object_id: str) -> str | None:
        found = self._database.execute(
            "SELECT type FROM object WHERE id = ?", (object_id,)
        ).fetchone()
        return self._names[found[0]] if found else None

    def _flush(self) -> None:
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR IGNORE INTO object VALUES (?, ?)", self._objects)
        self._database.executemany("INSERT INTO attribute VALUES (?, ?, ?, ?, ?)", self._changes)
        self._database.execute("COMMIT")
        self._objects.clear()
        self._changes.clear()


def case_type_of(log_map: LogMap | None) -> str | None:
    """The object type that a map makes the case: that of `case`, else that of `candidate`."""
    if log_map is None:
        return None
    for column in (log_map.case, log_map.candidate):
        if column is not None and column.startswith(OBJECT_TYPE):
            return column.removeprefix(OBJECT_TYPE)
    return None


def _case_attributes(log_map: LogMap | None, case_type: str | None) -> tuple[str, ...]:
    """Only those the map names: looking up all of them for every row would be waste."""
    if log_map is None or case_type is None:
        return ()
    mine = f"{case_type}:"
    return tuple(name.removeprefix(mine) for name in log_map.columns if name.startswith(mine))


def instant(time: str) -> float:
    """Seconds to order the times of one file by; what is no time was always so.

    A naive time is read as UTC, which is right among times of one file told alike.
    """
    try:
        at = datetime.fromisoformat(time.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return float("-inf")


__all__ = ["Happened", "ObjectIndex", "OcelLog", "case_type_of", "instant"]
