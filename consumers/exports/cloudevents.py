"""CloudEvents 1.0, one JSON document a line: the envelope, and the columns as its data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec
from msgspec.structs import astuple

from consumers.exports.writer import Format
from projections.columns import Column, FlatTouchpoint

_encode_lines = msgspec.json.Encoder().encode_lines


class CloudEvent(msgspec.Struct, gc=False):
    """The envelope. `type` is the topic, `subject` the candidate, `time` when it happened."""

    id: str
    source: str
    type: str
    subject: str
    time: str
    data: dict[str, Any]
    specversion: str = "1.0"
    datacontenttype: str = "application/json"


class CloudEventsWriter:
    """The data leave out what was not told."""

    def __init__(self, file: BinaryIO, path: Path | None, columns: Sequence[Column]) -> None:
        self._file = file
        self._names = [column.name for column in columns]

    def write(self, touchpoints: Sequence[FlatTouchpoint]) -> None:
        """A line each."""
        self._file.write(_encode_lines([self._event(flat) for flat in touchpoints]))

    def _event(self, flat: FlatTouchpoint) -> CloudEvent:
        cells = zip(self._names, astuple(flat), strict=False)
        data = {name: value for name, value in cells if value is not None}
        # A reference to a URI, so what has a meaning in one is written with %.
        source = quote(flat.source, safe="/:") or "/"
        return CloudEvent(
            flat.touchpoint_id, source, flat.topic, flat.candidate_id, flat.occurred_at, data
        )

    def close(self) -> None:
        """Nothing comes last."""


CLOUDEVENTS = Format(
    "cloudevents", "a CloudEvent a line (NDJSON), its `data` the columns", CloudEventsWriter
)

__all__ = ["CLOUDEVENTS"]
