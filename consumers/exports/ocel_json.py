"""OCEL 2.0 in JSON: an event a touchpoint, and the people, applications and jobs it is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec.structs import astuple

from consumers.exports.ocel import OBJECT_TYPES, TYPES, Objects, all_attributes
from consumers.exports.writer import Format
from projections.columns import Column, FlatTouchpoint

_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
_OBJECTS_AT_A_TIME = 2_000


class OcelJsonWriter:
    """Events as they come; objects, which are all known only then, at the end."""

    def __init__(self, file: BinaryIO, path: Path | None, columns: Sequence[Column]) -> None:
        self._file = file
        self._objects = Objects()
        attributes = all_attributes(columns)
        self._plans = {
            kind: [(place, each.name) for place, each in mine] for kind, mine in attributes.items()
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
        self._between = b""

    def write(self, touchpoints: Sequence[FlatTouchpoint]) -> None:
        """An event each, on a line."""
        self._put([self._event(flat) for flat in touchpoints])
        self._objects.keep()

    def _event(self, flat: FlatTouchpoint) -> dict[str, Any]:
        cells = astuple(flat)
        return {
            "id": flat.touchpoint_id,
            "type": flat.kind,
            "time": flat.occurred_at,
            "attributes": [
                {"name": name, "value": value}
                for place, name in self._plans[flat.kind]
                if (value := cells[place]) is not None
            ],
            "relationships": [
                {"objectId": object_id, "qualifier": qualifier}
                for object_id, qualifier in self._objects.of(flat)
            ],
        }

    def _put(self, documents: list[dict[str, Any]]) -> None:
        # No line break is within a document, so the one between two of them takes the comma.
        lines = _encode_lines(documents)[:-1].replace(b"\n", b",\n")
        self._file.write(self._between + lines)
        self._between = b",\n"

    def close(self) -> None:
        """The objects."""
        self._file.write(b'\n],\n"objects":[\n')
        self._between = b""
        objects = map(_object, self._objects.all())
        while some := list(islice(objects, _OBJECTS_AT_A_TIME)):
            self._put(some)
        self._file.write(b"\n]}\n")
        self._objects.close()


def _object(told: tuple[str, str, Iterable[tuple[str, str]]]) -> dict[str, Any]:
    object_id, object_type, related = told
    return {
        "id": object_id,
        "type": object_type,
        "attributes": [],
        "relationships": [{"objectId": to, "qualifier": how} for to, how in related],
    }


OCEL_JSON = Format("ocel-json", "OCEL 2.0 in JSON", OcelJsonWriter)

__all__ = ["OCEL_JSON"]
