"""CSV as RFC 4180 has it, in UTF-8: a header, then a row a touchpoint."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from msgspec.structs import astuple

from consumers.exports.writer import Format
from projections.columns import Column, FlatTouchpoint

ESCAPE = "'"
"""Put before a text that a spreadsheet might take for a formula; reading back takes it off."""

# What spreadsheets take for the beginning of a formula, as wide characters too; and the escape
# itself, so that one is always ours. A text of no characters at all would look like none.
_RISKY = frozenset(("", *"=+-@\t\r\n＝＋－＠", ESCAPE))


class CsvWriter:
    """Empty cells are what was not told; true and false are words.

    A text that begins with `= + - @`, a tab or a line break has an apostrophe before it: opened
    in a spreadsheet, a label written by a stranger must not become a formula.
    """

    def __init__(self, file: BinaryIO, path: Path | None, columns: Sequence[Column]) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
        self._put = csv.writer(self._text).writerows
        self._width = len(columns)
        self._texts = [place for place, each in enumerate(columns) if each.type == "text"]
        self._flags = [place for place, each in enumerate(columns) if each.type == "flag"]
        self._put([[column.name for column in columns]])

    def write(self, touchpoints: Sequence[FlatTouchpoint]) -> None:
        """A row each."""
        self._put(map(self._row, touchpoints))

    def _row(self, flat: FlatTouchpoint) -> list[object]:
        cells: list[object] = list(astuple(flat)[: self._width])
        for place in self._texts:
            text = cells[place]
            if isinstance(text, str) and text[:1] in _RISKY:
                cells[place] = ESCAPE + text
        for place in self._flags:
            if cells[place] is not None:
                cells[place] = "true" if cells[place] else "false"
        return cells

    def close(self) -> None:
        """Hand on what is still held."""
        self._text.flush()
        self._text.detach()


CSV = Format("csv", "a header and a row a touchpoint; RFC 4180, UTF-8", CsvWriter)

__all__ = ["CSV", "ESCAPE"]
