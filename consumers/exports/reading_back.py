"""Our own exports read back: rows into statements of the very touchpoints that were written.

Each format calls some columns by another name; apart from that a row is a row. A touchpoint keeps
its id, its candidate and the version of its kind, which is brought to the newest. What a log knows
of itself (`position`, `recorded_at`, `journey_id`) is made anew where it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from pydantic import ValidationError

from consumers.exports import xes_file
from consumers.exports.csv_file import ESCAPE
from consumers.imports import ocel
from consumers.imports.log_file import BrokenRow, LogFile, UnreadableLog
from journey.identity import OWN_NAMESPACE
from schemas.event import Touchpoint
from schemas.identifiers import PersonKey
from schemas.personal import Personal
from schemas.registry import BY_TOPIC
from schemas.statement import Statement
from schemas.upcasting import UPCASTERS, upcast

OwnRows = Callable[[Any], tuple[Statement]]
"""Cells in, the one statement they make out. Raises BrokenRow."""

_NEEDED = (
    "touchpoint_id", "candidate_id", "topic", "occurred_at", "source", "source_event_id",
)  # fmt: skip
_NOT_STORED = frozenset(
    {"candidate_id", "journey_id", "kind", "topic", "position", "recorded_at", "actor_type",
     "actor_id"}
)  # fmt: skip
_PERSONAL = "personal_"


@dataclass(frozen=True, slots=True)
class _Way:
    """How a format calls columns: some cells have `names` of their own, the rest a `prefix`.

    `unescaped` undoes what the format did to text.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    unescaped: Callable[[str], str] = str

    def cell(self, column: str) -> str:
        """Where a column stands."""
        return self.names.get(column, self.prefix + column)


_WAYS = (
    # CSV, Parquet
    _Way(),
    _Way({"kind": xes_file.KIND, "occurred_at": xes_file.TIME}, unescaped=xes_file.unescaped),
    _Way({"touchpoint_id": ocel.EVENT_ID, "kind": ocel.ACTIVITY, "occurred_at": ocel.TIME}),
    # CloudEvents
    _Way(prefix="data."),
)


def own_rows(log: LogFile) -> OwnRows | None:
    """What reads the rows of a file that `journey export` wrote; None for any other file.

    Raises UnreadableLog, also for one that holds nothing by which it could be known.
    """
    names = log.columns if log.columns is not None else _names_of_first_row(log)
    if not names:
        raise UnreadableLog(f"{log.path.name} holds no events, so there is nothing to record")
    for way in _WAYS:
        if all(way.cell(column) in names for column in _NEEDED):
            return _OwnRows(way, log, names).statement
    return None


def _names_of_first_row(log: LogFile) -> tuple[str, ...]:
    for _, cells, broken in log.rows():
        if broken is None:
            return tuple(cells)
    return ()


class _OwnRows:
    """Reads the rows of one file."""

    def __init__(self, way: _Way, log: LogFile, names: tuple[str, ...]) -> None:
        self._way = way
        # The cells of a table are a list, in which an empty text is escaped and nothing is "".
        self._places = (
            {name: place for place, name in enumerate(names)}
            if isinstance(log.key(names[0]), int)
            else None
        )
        self._has_personal = log.columns is None or any(
            name.startswith(way.prefix + _PERSONAL) for name in names
        )

    def statement(self, cells: Any) -> tuple[Statement]:
        """The touchpoint of a row and whose it is. Raises BrokenRow, without quoting a cell."""
        candidate = self._text(cells, "candidate_id") or ""
        try:
            UUID(candidate)
        except ValueError:
            raise BrokenRow("its candidate_id is no UUID") from None
        touchpoint = self._touchpoint(cells)
        return (
            Statement(touchpoint, (PersonKey(OWN_NAMESPACE, candidate),), self._personal(cells)),
        )

    def _touchpoint(self, cells: Any) -> Touchpoint:
        topic = self._text(cells, "topic") or ""
        cls = BY_TOPIC.get(topic)
        if cls is not None:
            fields = _fields(cls)
        elif topic in UPCASTERS:
            # The columns of an old version are no more; whatever the row holds may be one.
            fields = self._columns(cells)
        else:
            raise BrokenRow("its topic is none that this program knows; upgrade the program")
        state: dict[str, Any] = {}
        for name in fields:
            text = self._text(cells, name)
            if text is not None:
                state[name] = text
        if "corrected" in state:
            state["corrected"] = _json(state["corrected"], "corrected")
        if actor := self._text(cells, "actor_type"):
            state["actor"] = {"type": actor, "id": self._text(cells, "actor_id")}
        try:
            if cls is None:
                topic, state = upcast(topic, state)
                cls = BY_TOPIC[topic]
            return cls.model_validate(state)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            name = ".".join(str(part) for part in first["loc"])
            raise BrokenRow(f"its {name} is not what a {topic} has there") from None
        except (ValueError, TypeError):
            raise BrokenRow(f"it is no {topic}") from None

    def _columns(self, cells: Any) -> list[str]:
        """Every column that may belong to the touchpoint itself."""
        prefix = self._way.prefix
        names = cells if self._places is None else self._places
        own = [name.removeprefix(prefix) for name in names if name.startswith(prefix)] + [
            *self._way.names
        ]
        return [
            name
            for name in own
            if ":" not in name and name not in _NOT_STORED and not name.startswith(_PERSONAL)
        ]

    def _personal(self, cells: Any) -> Personal | None:
        if not self._has_personal:
            return None
        told: dict[str, Any] = {}
        for name in Personal.model_fields:
            text = self._text(cells, _PERSONAL + name)
            if text is not None:
                told[name] = text if name == "name" else _json(text, _PERSONAL + name)
        try:
            personal = Personal.model_validate(told)
        except ValidationError:
            raise BrokenRow("a personal column is not as we write it") from None
        return None if personal.is_empty() else personal

    def _text(self, cells: Any, column: str) -> str | None:
        """What a column holds; None for nothing."""
        cell = self._way.cell(column)
        if self._places is not None:
            place = self._places.get(cell)
            text: str = "" if place is None else cells[place]
            return self._way.unescaped(text.removeprefix(ESCAPE)) if text else None
        found: str | None = cells.get(cell)
        return None if found is None else self._way.unescaped(found)


@cache
def _fields(cls: type[Touchpoint]) -> list[str]:
    """The columns that are fields of the kind."""
    not_columns = _NOT_STORED | {"version", "actor", "personal"}
    return [name for name in cls.model_fields if name not in not_columns]


def _json(text: str, column: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise BrokenRow(f"its {column} is not JSON") from None


__all__ = ["OwnRows", "own_rows"]
