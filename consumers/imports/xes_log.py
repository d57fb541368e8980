"""XES (IEEE 1849): a trace a case, an event a row; attributes of the trace begin with `case:`.

Neither a file nor a trace need fit into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.parsers import expat

from consumers.imports.log_file import AnyRow, CellMap, UnreadableLog
from consumers.imports.reading import Opened
from consumers.imports.xml_file import fed, new_parser, plain

_ATTRIBUTES = frozenset({"string", "date", "int", "float", "boolean", "id", "list", "container"})


class XesLog:
    """An XES file as rows; cells are mappings by attribute key."""

    columns = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: Opened | None = None

    def check(self) -> None:
        """Read it through: gzip and XML are whole, it is XES. Raises UnreadableLog."""
        opened = Opened(self.path)
        parser = new_parser(self.path.name)
        parser.StartElementHandler = self._root(parser)
        try:
            for _ in fed(parser, opened):
                pass
        finally:
            opened.close()

    def key(self, column: str) -> str:
        """Attributes differ from event to event, so any name may be there."""
        return column

    def rows(self) -> Iterator[AnyRow]:
        """Every event of every trace, in the order of the file."""
        opened = self._opened = Opened(self.path)
        parser = new_parser(self.path.name)
        rows: list[AnyRow] = []
        _Events(parser, rows)
        try:
            for _ in fed(parser, opened):
                yield from rows
                rows.clear()
        finally:
            opened.close()

    def progress(self) -> tuple[int, int]:
        """(bytes read, bytes in all)."""
        return self._opened.progress() if self._opened else (0, self.path.stat().st_size)

    def _root(self, parser: expat.XMLParserType) -> Callable[..., None]:
        def start(name: str, attributes: object) -> None:
            if plain(name) != "log":
                raise UnreadableLog(f"{self.path.name} is no XES: its root is <{name[:40]}>")
            # From here on only whether it is well-formed matters, and that is found in C.
            parser.StartElementHandler = None

        return start


class _Events:
    """Expat's calls into rows. `depth` counts elements inside the event or trace: an attribute
    of an attribute is none of ours."""

    def __init__(self, parser: expat.XMLParserType, rows: list[AnyRow]) -> None:
        trace: dict[str, str] = {}
        event: CellMap | None = None
        in_trace = False
        depth = 0
        line = 0

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal trace, event, in_trace, depth, line
            if event is not None:
                depth += 1
                if depth == 1 and "key" in attributes:
                    event[attributes["key"]] = attributes.get("value", "")
                return
            if in_trace:
                if depth == 0 and plain(name) == "event":
                    line = parser.CurrentLineNumber
                    event = CellMap(trace)
                    return
                depth += 1
                if depth == 1 and "key" in attributes and plain(name) in _ATTRIBUTES:
                    trace[f"case:{attributes['key']}"] = attributes.get("value", "")
            elif plain(name) == "trace":
                in_trace, trace = True, {}

        def end(name: str) -> None:
            nonlocal event, in_trace, depth
            if depth:
                depth -= 1
            elif event is not None:
                rows.append((line, event, None))
                event = None
            elif in_trace:
                in_trace = False

        parser.StartElementHandler = start
        parser.EndElementHandler = end


__all__ = ["XesLog"]
