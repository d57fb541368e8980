"""OCEL 2.0 in XML: read twice, first its objects, then its events; neither is held as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from consumers.imports.log_file import CellMap, UnreadableLog
from consumers.imports.log_map import LogMap
from consumers.imports.ocel import ACTIVITY, EVENT_ID, TIME, Happened, ObjectIndex, OcelLog
from consumers.imports.reading import Opened
from consumers.imports.xml_file import fed, new_parser, plain

_OWNERS = frozenset({"object", "event", "object-type", "event-type"})


@dataclass(slots=True)
class _Element:
    """An event, an object or a declared type: its own attributes, and what stands within."""

    kind: str
    told: dict[str, str]
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    """(name, since when, value)"""
    related: list[str] = field(default_factory=list)


class OcelXml(OcelLog):
    """An OCEL 2.0 file in XML, also as .gz."""

    def __init__(self, path: Path, log_map: LogMap | None = None) -> None:
        super().__init__(path, log_map)
        self._opened: Opened | None = None
        self._names: dict[str, None] = {}
        self._has_declared = False

    def progress(self) -> tuple[int, int]:
        """(done, in all), in bytes of the file."""
        return self._opened.progress() if self._opened else (0, self.path.stat().st_size)

    def _declared(self) -> list[str] | None:
        return list(self._names) if self._has_declared else None

    def _index(self, objects: ObjectIndex) -> None:
        for element in self._elements():
            if element.kind == "object":
                self._add_object(objects, element)
            elif element.kind == "object-type":
                owner = element.told.get("name", "")
                self._names.update((f"{owner}:{name}", None) for name, _, _ in element.attributes)
            elif element.kind == "event-type":
                self._has_declared = True
                self._names.update((name, None) for name, _, _ in element.attributes)

    def _add_object(self, objects: ObjectIndex, element: _Element) -> None:
        object_id, object_type = element.told.get("id", ""), element.told.get("type", "")
        objects.add(object_id, object_type)
        if object_type == self.case_type:
            for name, time, value in element.attributes:
                if name in self._attributes:
                    objects.change(object_id, name, time, value)

    def _events(self) -> Iterator[Happened]:
        events = (each for each in self._elements() if each.kind == "event")
        for number, element in enumerate(events, start=1):
            event_id = element.told.get("id", "")
            cells = CellMap((name, value) for name, _, value in element.attributes)
            cells[EVENT_ID] = event_id
            cells[ACTIVITY] = element.told.get("type", "")
            cells[TIME] = element.told.get("time", "")
            if event_id:
                yield Happened(number, cells, self._objects.related(element.related))
            else:
                yield Happened(number, cells, broken="the event has no id")

    def _elements(self) -> Iterator[_Element]:
        """Every event, object and declared type, in the order of the file."""
        opened = self._opened = Opened(self.path)
        done: list[_Element] = []
        parser = _parser(self.path.name, done)
        try:
            for _ in fed(parser, opened):
                yield from done
                done.clear()
        finally:
            opened.close()


def _parser(name: str, done: list[_Element]) -> expat.XMLParserType:
    """A parser that puts each whole element into `done`."""
    parser = new_parser(name)
    owner: _Element | None = None
    attribute: tuple[str, str] | None = None
    value: list[str] = []
    depth = 0

    def root(tag: str, _: dict[str, str]) -> None:
        if plain(tag) != "log":
            raise UnreadableLog(f"{name} is no OCEL: its root is <{tag[:40]}>")
        parser.StartElementHandler = start

    def start(tag: str, told: dict[str, str]) -> None:
        nonlocal owner, attribute, depth
        kind = plain(tag)
        if owner is None:
            # The lists around them are called `objects` and `events`.
            if kind in _OWNERS:
                owner, depth = _Element(kind, told), 0
            return
        depth += 1
        if kind == "attribute":
            attribute = told.get("name", ""), told.get("time", "")
            value.clear()
        elif "object-id" in told:
            owner.related.append(told["object-id"])

    def characters(text: str) -> None:
        if attribute is not None:
            value.append(text)

    def end(tag: str) -> None:
        nonlocal owner, attribute, depth
        if owner is None:
            return
        if depth:
            depth -= 1
            if attribute is not None and plain(tag) == "attribute":
                owner.attributes.append((*attribute, "".join(value)))
                attribute = None
            return
        done.append(owner)
        owner = None

    parser.StartElementHandler = root
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    return parser


__all__ = ["OcelXml"]
