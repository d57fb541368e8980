"""Parquet: a row a touchpoint, or whatever a map says a row is."""

from __future__ import annotations

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
        """The index at the end of the file was there, so the file is whole."""

    def key(self, column: str) -> str:
        """The column itself. Raises UnreadableLog for one that is not there."""
        known = self.columns or ()
        if column in known:
            return column
        raise no_such_column(self.path, column, known)

    def rows(self) -> Iterator[AnyRow]:
        """Every row, numbered from 1."""
        self._read = 0
        names = self.columns or ()
        try:
            for batch in self._file.iter_batches(batch_size=_AT_A_TIME):
                columns = [_texts(column) for column in batch.columns]
                for cells in zip(*columns, strict=True):
                    self._read += 1
                    told = zip(names, cells, strict=True)
                    yield self._read, CellMap((n, t) for n, t in told if t is not None), None
        except (pa.ArrowException, OSError):
            raise UnreadableLog(
                f"{self.path.name} is damaged after row {self._read:,}; fetch or export it again"
            ) from None

    def progress(self) -> tuple[int, int]:
        """(done, in all), in rows."""
        return self._read, self._file.metadata.num_rows


def _texts(column: Any) -> Sequence[str | None]:
    """The cells of a column as text: moments in ISO 8601, JSON for what has parts."""
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        return [None if value is None else as_text(value) for value in column.to_pylist()]
    texts: Sequence[str | None] = column.cast(pa.string()).to_pylist()
    return texts


__all__ = ["ParquetLog"]
