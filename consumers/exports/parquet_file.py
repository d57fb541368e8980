"""Parquet: typed columns, moments in UTC, compressed with zstd."""

# Arrow is loaded when a Parquet file is written: the other formats would only carry its weight.
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from consumers.exports.writer import Format
from projections.columns import Column, FlatTouchpoint

ROW_GROUP = 1 << 16
"""Rows held in memory at a time, as columns: some 20 MB."""

_UNIQUE = frozenset({"touchpoint_id", "source_event_id", "position"})
"""Columns in which hardly anything occurs twice, so that a dictionary would be waste."""


class ParquetWriter:
    """Gathers rows as columns until they make a row group."""

    def __init__(self, file: BinaryIO, path: Path | None, columns: Sequence[Column]) -> None:
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        from projections.tables import record_batch, schema_of, table_of

        self._columns = tuple(columns)
        self._batch_of, self._table_of = record_batch, table_of
        self._writer = pq.ParquetWriter(
            file,
            schema_of(self._columns),
            compression="zstd",
            use_dictionary=[each.name for each in columns if each.name not in _UNIQUE],
        )
        self._waiting: list[Any] = []
        self._rows = 0

    def write(self, touchpoints: Sequence[FlatTouchpoint]) -> None:
        """Keep them, and write a row group when it is full."""
        self._waiting.append(self._batch_of(touchpoints, self._columns))
        self._rows += len(touchpoints)
        if self._rows >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(self._table_of(self._waiting, self._columns))
        self._waiting, self._rows = [], 0

    def close(self) -> None:
        """The last row group, and the index of all."""
        self._flush()
        self._writer.close()


PARQUET = Format("parquet", "typed columns, zstd", ParquetWriter, streams=False)

__all__ = ["PARQUET"]
