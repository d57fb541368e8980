"""OCEL 2.0 in XML: read twice, first its objects, then its events; neither is held as a whole.

A document type is refused before anything of it is read: entities can make a small file endless,
or fetch other files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from consumers.imports.log_file import CellMap, UnreadableLog
from consumers.imports.log_map import LogMap
from consumers.imports.ocel import ACTIVITY, EVENT_ID, TIME, Happened, ObjectIndex, OcelLog
from consumers.imports.reading import Opened

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

    def object_types(self) -> tuple[str, ...]:
        """Every type of which there are objects."""
        self._prepare()
        return self._objects.types

    def _declared(self) -> list[str] | None:
        return list(self._names) if self._has_declared else None

    def _stood_at(self, object_id: str, name: str, time: str) -> str:
        return self._objects.stood_at(object_id, name, time)

    def _index(self) -> None:
        objects = ObjectIndex()
        for element in self._elements():
            if element.kind == "object":
                self._add_object(objects, element)
            elif element.kind == "object-type":
                owner = element.told.get("name", "")
                self._names.update((f"{owner}:{name}", None) for name, _, _ in element.attributes)
            elif element.kind == "event-type":
                self._has_declared = True
                self._names.update((name, None) for name, _, _ in element.attributes)
        objects.done()
        self._objects = objects

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
            for chunk in opened.chunks():
                self._feed(parser, chunk)
                yield from done
                done.clear()
            self._feed(parser, b"", final=True)
            yield from done
        finally:
            opened.close()

    def _feed(self, parser: expat.XMLParserType, chunk: bytes, *, final: bool = False) -> None:
        try:
            parser.Parse(chunk, final)
        except expat.ExpatError as error:
            raise UnreadableLog(
                f"{self.path.name}, line {error.lineno:,}, is not well-formed XML "
                f"({expat.ErrorString(error.code)}); fetch or export it again"
            ) from None


def _parser(name: str, done: list[_Element]) -> expat.XMLParserType:
    """A parser that puts each whole element into `done`."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    owner: _Element | None = None
    attribute: tuple[str, str] | None = None
    value: list[str] = []
    depth = 0

    def root(tag: str, _: dict[str, str]) -> None:
        if _plain(tag) != "log":
            raise UnreadableLog(f"{name} is no OCEL: its root is <{tag[:40]}>")
        parser.StartElementHandler = start

    def start(tag: str, told: dict[str, str]) -> None:
        nonlocal owner, attribute, depth
        plain = _plain(tag)
        if owner is None:
            # The lists around them are called `objects` and `events`.
            if plain in _OWNERS:
                owner, depth = _Element(plain, told), 0
            return
        depth += 1
        if plain == "attribute":
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
            if attribute is not None and _plain(tag) == "attribute":
                owner.attributes.append((*attribute, "".join(value)))
                attribute = None
            return
        done.append(owner)
        owner = None

    def refuse_doctype(*_: object) -> None:
        raise UnreadableLog(
            f"{name} has a document type (DOCTYPE), which a log needs none of and which can do "
            "harm; remove it"
        )

    parser.StartDoctypeDeclHandler = refuse_doctype
    parser.StartElementHandler = root
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    return parser


def _plain(tag: str) -> str:
    """A name without its namespace prefix."""
    return tag.rpartition(":")[2]


__all__ = ["OcelXml"]
