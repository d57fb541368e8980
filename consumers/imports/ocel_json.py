"""OCEL in JSON: 2.0 with its lists, and 1.0 with `ocel:events` and `ocel:objects`.

Read twice: first the objects, for an event tells only their ids, and the file may have them
last; then the events. Neither is ever held as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ijson  # type: ignore[import-untyped]

from consumers.imports.log_file import CellMap, UnreadableLog, as_text
from consumers.imports.log_map import LogMap
from consumers.imports.ocel import ACTIVITY, EVENT_ID, TIME, Happened, ObjectIndex, OcelLog
from consumers.imports.reading import Opened

_BIG = frozenset({"events", "objects", "ocel:events", "ocel:objects"})
_DECLARED_OF_EVENTS = frozenset(
    {"ocel:global-log.ocel:attribute-names.item", "eventTypes.item.attributes.item.name"}
)
_LONGEST_HEAD = 200_000
"""Tokens of the head that are read for what it declares."""
_DEEPEST = 100
_AT_A_TIME = 1 << 16
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_NO_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))


class OcelJson(OcelLog):
    """An OCEL file in JSON, of version 1.0 or 2.0, also as .gz."""

    def __init__(self, path: Path, log_map: LogMap | None = None) -> None:
        super().__init__(path, log_map)
        self._opened: Opened | None = None
        self._is_first_version = False
        self._attributes_declared: list[str] | None = None

    def progress(self) -> tuple[int, int]:
        """(done, in all), in bytes of the file."""
        return self._opened.progress() if self._opened else (0, self.path.stat().st_size)

    def _declared(self) -> list[str] | None:
        return self._attributes_declared

    def _index(self, objects: ObjectIndex) -> None:
        self._read_head()
        for object_id, document in self._entries("objects"):
            object_type = as_text(document.get("ocel:type" if self._is_first_version else "type"))
            objects.add(object_id, object_type)
            if object_type == self.case_type:
                for name, time, value in self._changes(document):
                    if name in self._attributes:
                        objects.change(object_id, name, time, value)

    def _read_head(self) -> None:
        """Which version it is, and what it declares before its events and objects."""
        names: dict[str, None] = {}
        has_declared = False
        owner = ""
        with self._reading() as file:
            for number, (prefix, token, value) in enumerate(ijson.parse(file)):
                if number == 0 and token != "start_map":
                    raise self._no_ocel()
                if token == "map_key" and not prefix:
                    self._is_first_version |= value.startswith("ocel:")
                    if value in _BIG:
                        break
                elif prefix in _DECLARED_OF_EVENTS:
                    names[as_text(value)] = None
                elif prefix == "objectTypes.item.name":
                    owner = as_text(value)
                elif prefix == "objectTypes.item.attributes.item.name":
                    names[f"{owner}:{as_text(value)}"] = None
                elif prefix == "eventTypes" and token == "end_array":
                    has_declared = True
                if number > _LONGEST_HEAD:
                    break
            else:
                raise self._no_ocel()
        self._attributes_declared = list(names) if has_declared else None

    def _events(self) -> Iterator[Happened]:
        first = self._is_first_version
        activity, time = ("ocel:activity", "ocel:timestamp") if first else ("type", "time")
        for number, (event_id, document) in enumerate(self._entries("events"), start=1):
            cells = CellMap()
            for name, _, value in self._changes(document):
                cells[name] = value
            cells[EVENT_ID] = event_id
            cells[ACTIVITY] = as_text(document.get(activity))
            cells[TIME] = as_text(document.get(time))
            if not event_id:
                yield Happened(number, cells, broken="the event has no id")
            else:
                yield Happened(number, cells, self._objects.related(self._related(document)))

    def _related(self, document: dict[str, Any]) -> Iterable[str]:
        if self._is_first_version:
            return map(as_text, _list(document.get("ocel:omap")))
        told = _list(document.get("relationships"))
        return (as_text(each.get("objectId")) for each in told if isinstance(each, dict))

    def _changes(self, document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """(name, since when, value) of every attribute of an event or object."""
        if self._is_first_version:
            told = document.get("ocel:vmap") or document.get("ocel:ovmap")
            if isinstance(told, dict):
                for name, value in told.items():
                    yield name, "", as_text(value)
            return
        for each in _list(document.get("attributes")):
            if isinstance(each, dict):
                name, value = as_text(each.get("name")), as_text(each.get("value"))
                yield name, as_text(each.get("time")), value

    def _entries(self, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """(id, the rest) of every event or object, whichever version it is."""
        with self._reading() as file:
            if self._is_first_version:
                for key, document in ijson.kvitems(file, f"ocel:{what}"):
                    yield key, document if isinstance(document, dict) else {}
            else:
                for document in ijson.items(file, f"{what}.item"):
                    told = document if isinstance(document, dict) else {}
                    yield as_text(told.get("id")), told

    @contextmanager
    def _reading(self) -> Iterator[_Flat]:
        """The file, with what the JSON reader says about it put in a sentence of ours.

        Its own words quote the text they stumbled over, which may be personal.
        """
        opened = self._opened = Opened(self.path)
        try:
            if opened.read(3) != b"\xef\xbb\xbf":
                opened.stream.seek(0)
            yield _Flat(opened)
        except ijson.JSONError as error:
            raise self._not_json(str(error)) from None
        finally:
            opened.close()

    def _not_json(self, said: str) -> UnreadableLog:
        name = self.path.name
        if "premature EOF" in said or "incomplete" in said.lower():
            return UnreadableLog(f"{name} ends in the middle of its JSON; fetch it again")
        if "UTF8" in said:
            return UnreadableLog(f"{name} is not in UTF-8, as JSON has to be; convert it")
        return UnreadableLog(f"{name} is not JSON, or not in UTF-8")

    def _no_ocel(self) -> UnreadableLog:
        return UnreadableLog(
            f"{self.path.name} is JSON and no OCEL: it has neither `events` nor `ocel:events`"
        )


class _Flat:
    """A file as the JSON reader reads it, refused where its values are nested without end.

    That reader keeps the whole path of every level: a hundred thousand brackets would be more than
    a machine has memory for.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._rest = b""
        self._in_text = False
        self._depth = 0

    def read(self, size: int) -> bytes:
        """The next bytes. Raises UnreadableLog."""
        chunk = self._opened.read(min(size, _AT_A_TIME))
        brackets = self._brackets(self._rest + chunk)
        # What opens and closes here is taken away, from the inside out; what is left goes on.
        rounds, left = 0, b""
        while left != brackets and rounds <= _DEEPEST:
            left, brackets = brackets, brackets.replace(b"[]", b"").replace(b"{}", b"")
            rounds += 1
        opening = left.count(b"[") + left.count(b"{")
        self._depth += 2 * opening - len(left)
        if rounds > _DEEPEST or max(self._depth, opening) > _DEEPEST:
            raise UnreadableLog(
                f"{self._opened.path.name} has values nested deeper than {_DEEPEST} levels, which "
                "no log needs"
            )
        return chunk

    def _brackets(self, chunk: bytes) -> bytes:
        """Those that are not within a text."""
        bare = _ESCAPED.sub(b"", chunk) if b"\\" in chunk else chunk
        self._rest = b"\\" if bare.endswith(b"\\") else b""
        bare = b'"' * self._in_text + bare.translate(None, _NO_STRUCTURE)
        # Most texts hold no bracket: two quotes are left of them.
        parts = bare.replace(b'""', b"").split(b'"')
        self._in_text = len(parts) % 2 == 0
        return b"".join(parts[::2])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


__all__ = ["OcelJson"]
