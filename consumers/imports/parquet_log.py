"""Parquet: a row a touchpoint, or whatever a map says a row is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from consumers.imports.log_file import AnyRow, CellMap, UnreadableLog, as_text, no_such_column

_AT_A_TIME = 5_000


class ParquetLog:
    """A Parquet file as rows; cells are mappings that leave out what is null."""

    def __init__(self, path: Path) -> None:
        """Reads the file's index. Raises UnreadableLog."""
        self.path = path
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError, ValueError):
            raise UnreadableLog(
                f"{path.name} is no Parquet file, or not a whole one; fetch or export it again"
            ) from None
        self.columns: tuple[str, ...] | None = tuple(self._file.schema_arrow.names)
        self._read = 0

    def check(self) -> None:
        """Read it through: no page of it is damaged. Raises UnreadableLog."""
        for _ in self._batches():
            pass
        self._read = 0

    def key(self, column: str) -> str:
        """The column itself. Raises UnreadableLog for one that is not there, or there twice."""
        known = self.columns or ()
        if (many := known.count(column)) > 1:
            raise UnreadableLog(f"{self.path.name} has {many} columns called {column!r}")
        if many:
            return column
        raise no_such_column(self.path, column, known)

    def rows(self) -> Iterator[AnyRow]:
        """Every row, numbered from 1."""
        names = self.columns or ()
        for batch in self._batches():
            columns = [_texts(column) for column in batch.columns]
            for number, cells in enumerate(zip(*columns, strict=True), self._read + 1):
                told = zip(names, cells, strict=True)
                yield number, CellMap((n, t) for n, t in told if t is not None), None

    def _batches(self) -> Iterator[Any]:
        """Some thousand rows at a time; `_read` counts those that were handed on before."""
        self._read = 0
        try:
            for batch in self._file.iter_batches(batch_size=_AT_A_TIME):
                yield batch
                self._read += len(batch)
        except (pa.ArrowException, OSError):
            raise UnreadableLog(
                f"{self.path.name} is damaged after row {self._read:,}; fetch or export it again"
            ) from None

    def progress(self) -> tuple[int, int]:
        """(done, in all), in rows."""
        return self._read, self._file.metadata.num_rows


def _texts(column: Any) -> Sequence[str | None]:
    """The cells of a column as text: moments in ISO 8601, JSON for what has parts."""
    if not pa.types.is_nested(column.type):
        # What is no text, as bytes may be, is told one by one.
        with contextlib.suppress(pa.ArrowException):
            texts: Sequence[str | None] = column.cast(pa.string()).to_pylist()
            return texts
    return [None if value is None else as_text(value) for value in column.to_pylist()]


__all__ = ["ParquetLog"]
