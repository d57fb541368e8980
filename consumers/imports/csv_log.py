"""Tables: CSV and its relatives, a header and a row an event (or a case, where the map is wide)."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
from collections import deque
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TextIO

from consumers.imports.log_file import AnyRow, UnreadableLog
from consumers.imports.reading import Opened, check_encoding

MOST_COLUMNS = 1_000
ROW_NUMBER = "row:number"
"""Taken for the number of a row where no column has this name: the case of a table without one."""

_DELIMITERS = ",;\t|"
_LONGEST_HEADER = 1 << 20
_LONGEST_NAME = 1_000
_LONGEST_CELL = 16 << 20
"""Characters. A quote that is left open makes one cell of all that follows."""
_LONGEST_LINE = 64 << 20
_CHUNK = 1 << 15
"""Characters that are looked at together, in search of quotes."""


class CsvLog:
    """A CSV file as rows; cells are lists in the order of the header.

    Lines end in LF, CR LF or CR. Where a quote is left open, its line alone is broken: the lines
    that it would swallow are rows all the same.
    """

    def __init__(
        self, path: Path, *, encoding: str = "utf-8-sig", delimiter: str | None = None
    ) -> None:
        """Reads the header. Raises UnreadableLog."""
        self.path = path
        self._encoding = encoding
        start = self._start()
        headers = [(each, _header(start, each)) for each in delimiter or _DELIMITERS]
        # Of several as good as each other the first.
        self.delimiter, names = max(headers, key=lambda each: len(each[1]))
        self.columns: tuple[str, ...] = tuple(name.strip() for name in names)
        if not any(self.columns):
            raise UnreadableLog(f"{path.name} has no header; its first line names the columns")
        if any(len(name) > _LONGEST_NAME for name in self.columns):
            raise UnreadableLog(
                f"{path.name} names a column of more than {_LONGEST_NAME:,} characters; "
                "is a quote left open in its first line?"
            )
        if len(self.columns) > MOST_COLUMNS:
            raise UnreadableLog(
                f"{path.name} has {len(self.columns):,} columns and a log may have "
                f"{MOST_COLUMNS:,}; is {self.delimiter!r} really what stands between its cells?"
            )
        self._opened: Opened | None = None
        self._is_numbered = False

    def _start(self) -> str:
        opened = Opened(self.path)
        try:
            start = opened.read(_LONGEST_HEADER)
        finally:
            opened.close()
        # A cut-off character at the end of what was read is not the file's fault.
        text = codecs.getincrementaldecoder(self._encoding)(errors="replace").decode(start)
        return text.lstrip("\ufeff")

    def check(self) -> None:
        """Read it through: gzip and encoding are whole. Raises UnreadableLog."""
        check_encoding(
            self.path,
            self._encoding,
            "; say what it is in the map, such as `encoding: cp1252`",
            longest_line=_LONGEST_LINE,
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
        if any("\ufffd" in name for name in self.columns):
            # It may be there, in another encoding.
            self.check()
        near = get_close_matches(column, self.columns, n=3, cutoff=0.4) or self.columns[:10]
        raise UnreadableLog(
            f"{self.path.name} has no column {column!r}, which the map names; "
            f"it has {', '.join(map(repr, near))}"
        )

    def rows(self) -> Iterator[AnyRow]:
        """Every row but empty ones; one with too few or too many cells is broken."""
        opened = self._opened = Opened(self.path)
        text = io.TextIOWrapper(opened.stream, encoding=self._encoding, newline="")
        try:
            records = self._records(_Lines(text))
            next(records, None)
            if not self._is_numbered:
                yield from records
                return
            for number, (line, cells, broken) in enumerate(records, 1):
                yield line, [*cells, str(number)], broken
        finally:
            text.close()
            opened.close()

    def _records(self, lines: _Lines) -> Iterator[tuple[int, list[str], str | None]]:
        """Every record, the header first: (its last line, its cells, why it is broken)."""
        width, taken = len(self.columns) - int(self._is_numbered), lines.taken
        delimiter = self.delimiter
        for first, plain in lines.without_quotes():
            # Such a line is a record, and its cells are what stands between the delimiters.
            for number, line in enumerate(plain, first):
                cells = line.split(delimiter)
                if len(cells) == width and line:
                    yield number, cells, None
                elif line:
                    yield number, cells, _of_another_width(cells, width)
        while not lines.are_over:
            # Done with all lines, or with one that has a cell no memory should hold.
            with contextlib.suppress(csv.Error):
                for cells in self._reader(lines):
                    if lines.are_over:
                        # A record ends where its line does, unless a quote is open.
                        break
                    if len(cells) == width:
                        yield lines.number, cells, None
                    elif cells and len(taken) > 1 and len(self._alone(taken[1])) == width:
                        yield self._open_quote(lines)
                    elif cells:
                        yield lines.number, cells, _of_another_width(cells, width)
                    taken.clear()
            if taken:
                yield self._open_quote(lines)
                taken.clear()

    def _open_quote(self, lines: _Lines) -> tuple[int, list[str], str]:
        """The first line of a record is broken; the others are to be read again."""
        cells = self._alone(lines.only_the_first())
        return lines.number, cells, "a quote in it is left open, or a cell is far too long"

    def _alone(self, line: str) -> list[str]:
        """The cells of one line, whatever stands before and after it."""
        try:
            return next(self._reader([line]), [])
        except csv.Error:
            return [line]

    def _reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        csv.field_size_limit(_LONGEST_CELL)
        return csv.reader(lines, delimiter=self.delimiter)

    def progress(self) -> tuple[int, int]:
        """(bytes read, bytes in all)."""
        return self._opened.progress() if self._opened else (0, self.path.stat().st_size)


class _Lines:
    """The lines of a text, of which some may be read again.

    `number` is that of the latest, `taken` holds those of the record that is being read, and when
    `are_over` none is left.
    """

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._again: deque[str] = deque()
        self.number = 0
        self.taken: list[str] = []
        self.are_over = False

    def without_quotes(self) -> Iterator[tuple[int, list[str]]]:
        """Many lines at once, without their ends, and the number of the first of them.

        Until some hold what needs a reader of CSV: a quote, a cell that is far too long, the oldest
        of line ends. These are left to be taken one by one.
        """
        while text := self._text.read(_CHUNK) + self._text.readline():
            plain = text.replace("\r\n", "\n")
            if '"' in plain or "\r" in plain or len(plain) > _LONGEST_CELL:
                self._again.extend(io.StringIO(text, newline=""))
                return
            lines = plain.removesuffix("\n").split("\n")
            yield self.number + 1, lines
            self.number += len(lines)

    def __iter__(self) -> Iterator[str]:
        take, again = self.taken.append, self._again
        while True:
            while again:
                line = again.popleft()
                self.number += 1
                take(line)
                yield line
            for line in self._text:
                self.number += 1
                take(line)
                yield line
                if again:
                    break
            else:
                break
        self.are_over = True

    def only_the_first(self) -> str:
        """The first line that was taken; the others will come again."""
        self._again.extendleft(reversed(self.taken[1:]))
        self.number -= len(self.taken) - 1
        self.are_over = self.are_over and not self._again
        return self.taken[0]


def _of_another_width(cells: list[str], width: int) -> str:
    return f"it has {len(cells)} cells where the header has {width}"


def _header(start: str, delimiter: str) -> list[str]:
    """The first record that is not empty."""
    csv.field_size_limit(_LONGEST_CELL)
    records = csv.reader(io.StringIO(start, newline=""), delimiter=delimiter)
    return next((cells for cells in records if cells), [])


__all__ = ["CsvLog"]
