"""XES (IEEE 1849): a trace a case, an event a row; attributes of the trace begin with `case:`.

Read by expat in pieces, so that neither a file nor a trace need fit into memory. A document type
is refused before anything of it is read: XES needs none, and entities are how XML bites.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.parsers import expat

from consumers.imports.log_file import AnyRow, CellMap, UnreadableLog
from consumers.imports.reading import Opened

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
        parser = self._parser()
        parser.StartElementHandler = self._root(parser)
        try:
            self._parse(opened, parser)
        finally:
            opened.close()

    def key(self, column: str) -> str:
        """Attributes differ from event to event, so any name may be there."""
        return column

    def rows(self) -> Iterator[AnyRow]:
        """Every event of every trace, in the order of the file."""
        opened = self._opened = Opened(self.path)
        parser = self._parser()
        rows: list[AnyRow] = []
        _Events(parser, rows)
        try:
            for chunk in opened.chunks():
                self._feed(parser, chunk)
                yield from rows
                rows.clear()
            self._feed(parser, b"", final=True)
            yield from rows
        finally:
            opened.close()

    def progress(self) -> tuple[int, int]:
        """(bytes read, bytes in all)."""
        return self._opened.progress() if self._opened else (0, self.path.stat().st_size)

    # --- XML --------------------------------------------------------------------------------

    def _parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        return parser

    def _refuse_doctype(self, *_: object) -> None:
        raise UnreadableLog(
            f"{self.path.name} has a document type (DOCTYPE), which a log needs none of and which "
            "can do harm; remove it"
        )

    def _root(self, parser: expat.XMLParserType) -> Callable[..., None]:
        def start(name: str, attributes: object) -> None:
            if _plain(name) != "log":
                raise UnreadableLog(f"{self.path.name} is no XES: its root is <{name[:40]}>")
            # From here on only whether it is well-formed matters, and that is found in C.
            parser.StartElementHandler = None

        return start

    def _parse(self, opened: Opened, parser: expat.XMLParserType) -> None:
        for chunk in opened.chunks():
            self._feed(parser, chunk)
        self._feed(parser, b"", final=True)

    def _feed(self, parser: expat.XMLParserType, chunk: bytes, *, final: bool = False) -> None:
        try:
            parser.Parse(chunk, final)
        except expat.ExpatError as error:
            what = expat.ErrorString(error.code)
            raise UnreadableLog(
                f"{self.path.name}, line {error.lineno:,}, is not well-formed XML ({what}); "
                "fetch or export it again"
            ) from None


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
                if depth == 0 and _plain(name) == "event":
                    line = parser.CurrentLineNumber
                    event = CellMap(trace)
                    return
                depth += 1
                if depth == 1 and "key" in attributes and _plain(name) in _ATTRIBUTES:
                    trace[f"case:{attributes['key']}"] = attributes.get("value", "")
            elif _plain(name) == "trace":
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


def _plain(name: str) -> str:
    """A name without its namespace prefix."""
    return name.rpartition(":")[2]


__all__ = ["XesLog"]
