"""What a log file is to the importer: rows of named cells, whatever the format.

A CSV row, an XES event, an OCEL event with one of its objects: each is a row, so that one map,
one translator and one way of keeping broken rows aside serve them all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson

from journey.errors import JourneyError

Cells = Sequence[str] | Mapping[str, str]
"""A row's cells: a list in the order of `columns`, or a mapping that has "" for a missing one."""


class UnreadableLog(JourneyError):
    """The file is not what it should be; nothing of it was recorded."""


class BrokenRow(Exception):
    """One row that makes no touchpoint, with a reason that is never personal."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Row(NamedTuple):
    """One row and where it stands: the line of a text file, else the number of the event.

    `broken` is the reason why the reader itself could make nothing of it. A plain tuple of the
    three will do: readers of millions of rows yield those.
    """

    line: int
    cells: Any
    broken: str | None = None


AnyRow = Row | tuple[int, Any, str | None]


class CellMap(dict[str, str]):
    """The cells of a row whose columns differ from row to row.

    `raw` is the row as it came, where it is a line that can be kept aside and mended as such.
    """

    __slots__ = ("raw",)

    raw: str

    def __missing__(self, column: str) -> str:
        return ""


class LogFile(Protocol):
    """A log that can be read, from the beginning, in constant memory.

    `columns` are the names that rows may have, as far as they are known beforehand; None when
    they are not (then `key` takes any name).
    """

    path: Path

    @property
    def columns(self) -> tuple[str, ...] | None: ...

    def check(self) -> None:
        """Read through all of it cheaply. Raises UnreadableLog when it cannot be read to its end.

        So that a truncated or mis-encoded file is refused before anything of it is recorded.
        """
        ...

    def key(self, column: str) -> int | str:
        """What `cells[…]` takes for this column. Raises UnreadableLog for one that is not there,
        naming the nearest."""
        ...

    def rows(self) -> Iterator[AnyRow]:
        """Every row in the order of the file, which settles ties of time."""
        ...

    def progress(self) -> tuple[int, int]:
        """(done, in all), in bytes of the file or rows: whichever the format knows."""
        ...


def as_text(value: Any) -> str:
    """A value of JSON, SQLite or Parquet as a cell: "" for nothing, JSON for what has parts."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:
        # A number in it is longer than a machine word.
        return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))


def no_such_column(path: Path, column: str, known: Sequence[str]) -> UnreadableLog:
    """What to raise when a map names a column that the file has not: the nearest is told."""
    near = get_close_matches(column, known, n=1, cutoff=0.0) or ["none"]
    return UnreadableLog(f"{path.name} has no column {column!r}; the nearest is {near[0]!r}")


__all__ = [
    "AnyRow", "BrokenRow", "CellMap", "Cells", "LogFile", "Row", "UnreadableLog", "as_text",
    "no_such_column",
]  # fmt: skip
