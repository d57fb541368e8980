"""OCEL 2.0 in JSON: an event a touchpoint, and the people, applications and jobs it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec.structs import astuple

from consumers.exports.ocel import OBJECT_TYPES, TYPES, Objects, Related, all_attributes
from consumers.exports.writer import Format
from projections.columns import Column, FlatTouchpoint

_encode = msgspec.json.encode
_OBJECTS_AT_A_TIME = 2_000
_EVENT = '{"id":"%s","type":"%s","time":"%s","attributes":[%s],"relationships":%s}'
_REMEMBERED = 1_000


class OcelJsonWriter:
    """Events as they come; objects, which are all known only then, at the end."""

    def __init__(self, file: BinaryIO, path: Path | None, columns: Sequence[Column]) -> None:
        self._file = file
        self._objects = Objects(_related)
        written = {column.name: _attribute(column) for column in columns}
        attributes = all_attributes(columns)
        self._plans = {
            kind: [(place, written[each.name]) for place, each in mine]
            for kind, mine in attributes.items()
        }
        event_types = [
            {
                "name": kind,
                "attributes": [{"name": each.name, "type": TYPES[each.type]} for _, each in mine],
            }
            for kind, mine in attributes.items()
        ]
        object_types = [{"name": name, "attributes": []} for name in OBJECT_TYPES]
        file.write(
            b'{"objectTypes":%b,\n"eventTypes":%b,\n"events":[\n'
            % (_encode(object_types), _encode(event_types))
        )
        self._between = ""

    def write(self, touchpoints: Sequence[FlatTouchpoint]) -> None:
        """An event each, on a line."""
        self._put(map(self._event, touchpoints))
        self._objects.keep()

    def _event(self, flat: FlatTouchpoint) -> str:
        cells = astuple(flat)
        attributes = ",".join(
            [
                write(value)
                for place, write in self._plans[flat.kind]
                if (value := cells[place]) is not None
            ]
        )
        return _EVENT % (
            flat.touchpoint_id, flat.kind, flat.occurred_at, attributes, self._objects.of(flat)
        )  # fmt: skip

    def _put(self, lines: Iterable[str]) -> None:
        self._file.write((self._between + ",\n".join(lines)).encode())
        self._between = ",\n"

    def close(self) -> None:
        """The objects."""
        self._file.write(b'\n],\n"objects":[\n')
        self._between = ""
        objects = map(_object, self._objects.all())
        while some := list(islice(objects, _OBJECTS_AT_A_TIME)):
            self._put(some)
        self._file.write(b"\n]}\n")
        self._objects.close()


def _attribute(column: Column) -> Callable[[Any], str]:
    """What writes a value of this column as an attribute.

    A text whatever it holds, as the schema of OCEL 2.0 has it; the declared type says what it is.
    A million events have some fifteen million of them, so each is one call that does not come
    back to Python, except for a text that was not met lately.
    """
    start = f'{{"name":"{column.name}","value":'
    if column.type in ("id", "moment"):
        return (start + '"%s"}').__mod__
    if column.type == "number":
        return (start + '"%d"}').__mod__
    if column.type == "flag":
        return {True: start + '"true"}', False: start + '"false"}'}.__getitem__
    return lru_cache(_REMEMBERED)(lambda text: f"{start}{_encode(text).decode()}}}")


def _related(related: Related) -> str:
    return _encode([{"objectId": to, "qualifier": how} for to, how in related]).decode()


def _object(told: tuple[str, str, Related]) -> str:
    object_id, object_type, related = told
    return (
        f'{{"id":{_encode(object_id).decode()},"type":"{object_type}","attributes":[],'
        f'"relationships":{_related(related)}}}'
    )


OCEL_JSON = Format("ocel-json", "OCEL 2.0 in JSON", OcelJsonWriter)

__all__ = ["OCEL_JSON"]
