"""XML of logs, read by expat in pieces, so that nothing of it need fit into memory.

A document type is refused before anything of it is read: logs need none, and its entities can
make a small file endless, or fetch other files.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

from consumers.imports.log_file import UnreadableLog
from consumers.imports.reading import Opened

_LONGEST_PIECE = 16 << 20
"""Bytes. A tag is handed on as a whole, and read anew with every piece of the file it spans."""


def new_parser(name: str) -> expat.XMLParserType:
    """A parser for the file of this name; what it calls is still to be set."""

    def refuse_doctype(*_: object) -> None:
        raise UnreadableLog(
            f"{name} has a document type (DOCTYPE), which a log needs none of and which can do "
            "harm; remove it"
        )

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse_doctype
    return parser


def fed(parser: expat.XMLParserType, opened: Opened) -> Iterator[None]:
    """Feeds the parser the whole file, and stops after every piece for what came of it.

    Raises UnreadableLog for XML that is cut off or not well-formed, or that has a piece no memory
    should hold.
    """
    fed_bytes = 0
    try:
        for chunk in opened.chunks():
            parser.Parse(chunk, False)
            fed_bytes += len(chunk)
            if fed_bytes - parser.CurrentByteIndex > _LONGEST_PIECE:
                raise UnreadableLog(
                    f"{opened.path.name}, line {parser.CurrentLineNumber:,}, has an attribute or "
                    f"a text of more than {_LONGEST_PIECE:,} bytes; is it a log?"
                )
            yield
        parser.Parse(b"", True)
        yield
    except expat.ExpatError as error:
        raise UnreadableLog(
            f"{opened.path.name}, line {error.lineno:,}, is not well-formed XML "
            f"({expat.ErrorString(error.code)}); fetch or export it again"
        ) from None
    except (LookupError, ValueError):
        # What the first line says that Python, or expat, has no decoder for.
        raise UnreadableLog(
            f"{opened.path.name} is in an encoding that cannot be read; convert it to UTF-8"
        ) from None


def plain(name: str) -> str:
    """A name without its namespace prefix."""
    return name.rpartition(":")[2]


__all__ = ["fed", "new_parser", "plain"]
