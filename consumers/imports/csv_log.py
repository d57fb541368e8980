"""Tables: CSV and its relatives, a header and a row an event (or a case, where the map is wide)."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from consumers.imports.log_file import AnyRow, UnreadableLog
from consumers.imports.reading import Opened, check_encoding

MOST_COLUMNS = 1_000
ROW_NUMBER = "row:number"
"""Taken for the number of a row where no column has this name: the case of a table without one."""

_DELIMITERS = ",;\t|"
_LONGEST_HEADER = 1 << 20


class CsvLog:
    """A CSV file as rows; cells are lists in the order of the header."""

    def __init__(
        self, path: Path, *, encoding: str = "utf-8-sig", delimiter: str | None = None
    ) -> None:
        """Reads the header. Raises UnreadableLog."""
        self.path = path
        self._encoding = encoding
        header = self._header()
        self.delimiter = delimiter or max(_DELIMITERS, key=header.count)
        self.columns: tuple[str, ...] = tuple(
            cell.strip() for cell in next(csv.reader([header], delimiter=self.delimiter), [])
        )
        if not any(self.columns):
            raise UnreadableLog(f"{path.name} has no header; its first line names the columns")
        if len(self.columns) > MOST_COLUMNS:
            raise UnreadableLog(
                f"{path.name} has {len(self.columns):,} columns and a log may have "
                f"{MOST_COLUMNS:,}; is {self.delimiter!r} really what stands between its cells?"
            )
        self._opened: Opened | None = None
        self._is_numbered = False

    def _header(self) -> str:
        opened = Opened(self.path)
        try:
            start = opened.read(_LONGEST_HEADER)
        finally:
            opened.close()
        # A cut-off character at the end of what was read is not the file's fault.
        text = codecs.getincrementaldecoder(self._encoding)(errors="replace").decode(start)
        return text.lstrip("\ufeff").split("\n", 1)[0].rstrip("\r")

    def check(self) -> None:
        """Read it through: gzip and encoding are whole. Raises UnreadableLog."""
        check_encoding(
            self.path, self._encoding, "; say what it is in the map, such as `encoding: cp1252`"
        )

    def key(self, column: str) -> int:
        """The place of a column. Raises UnreadableLog, with the nearest names."""
        places = [place for place, name in enumerate(self.columns) if name == column]
        if len(places) == 1:
            return places[0]
        if places:
            raise UnreadableLog(f"{self.path.name} has {len(places)} columns called {column!r}")
        if column == ROW_NUMBER:
            # Among the columns from now on: a row kept aside keeps the number it had.
            self._is_numbered = True
            self.columns = (*self.columns, ROW_NUMBER)
            return len(self.columns) - 1
        near = get_close_matches(column, self.columns, n=3, cutoff=0.4) or self.columns[:10]
        raise UnreadableLog(
            f"{self.path.name} has no column {column!r}, which the map names; "
            f"it has {', '.join(map(repr, near))}"
        )

    def rows(self) -> Iterator[AnyRow]:
        """Every row but empty ones; one with too few or too many cells is broken."""
        opened = self._opened = Opened(self.path)
        width, extra, number = len(self.columns), int(self._is_numbered), 0
        text = io.TextIOWrapper(opened.stream, encoding=self._encoding, newline="")
        reader = csv.reader(text, delimiter=self.delimiter)
        next(reader, None)
        try:
            while True:
                try:
                    for cells in reader:
                        if extra and cells:
                            number += 1
                            cells.append(str(number))
                        if len(cells) == width:
                            yield reader.line_num, cells, None
                        elif cells:
                            told = len(cells) - extra
                            yield reader.line_num, cells, _wrong_width(told, width - extra)
                    return
                except csv.Error as error:
                    yield reader.line_num, [], f"it is no CSV ({error}); is a quote left open?"
        finally:
            text.close()
            opened.close()

    def progress(self) -> tuple[int, int]:
        """(bytes read, bytes in all)."""
        return self._opened.progress() if self._opened else (0, self.path.stat().st_size)


def _wrong_width(told: int, width: int) -> str:
    return f"it has {told} cells where the header has {width}"


__all__ = ["CsvLog"]
