"""CloudEvents 1.0 as NDJSON: a structured event a line, a row each.

| cell | holds |
| --- | --- |
| `id`, `type`, `source`, `subject`, `time`… | the attributes, extensions too |
| `source#id` | the two that together name an event, as the webhook of the generic adapter does |
| `data.application_id`, `data.emails.0` | every leaf of the data; a number is a place in a list |

A line that is no event is a broken row; the others are read all the same.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from consumers.ats_adapters.generic import cloud_event
from consumers.imports.log_file import CellMap, Row, UnreadableLog, as_text
from consumers.imports.log_map import LogMap
from consumers.imports.reading import Opened, check_encoding

BOTH_IDS = "source#id"
_LONGEST_LINE = 16 << 20
"""Characters; a longer line is not held in memory."""


class CloudEventsLog:
    """An NDJSON file of CloudEvents, also as .gz."""

    columns = None

    def __init__(self, path: Path, log_map: LogMap | None = None) -> None:
        self.path = path
        self._encoding = log_map.encoding if log_map else "utf-8-sig"
        self._opened: Opened | None = None

    def check(self) -> None:
        """Reads through it: gzip and encoding whole, an event in it. Raises UnreadableLog."""
        check_encoding(self.path, self._encoding, ", as JSON has to be; convert it")
        self._holds_events()

    def _holds_events(self) -> None:
        for number, row in enumerate(self.rows()):
            if row.broken is None:
                return
            if number == 1_000:
                break
        raise UnreadableLog(
            f"{self.path.name} holds no CloudEvents 1.0, one JSON object a line, in its first lines"
        )

    def key(self, column: str) -> str:
        """Events differ from line to line, so any name may be there."""
        return column

    def rows(self) -> Iterator[Row]:
        """Every line that is not empty, in the order of the file."""
        opened = self._opened = Opened(self.path)
        text = io.TextIOWrapper(opened.stream, encoding=self._encoding, newline="\n")
        try:
            number = 0
            while line := text.readline(_LONGEST_LINE):
                number += 1
                if len(line) == _LONGEST_LINE and not line.endswith("\n"):
                    _skip_line(text)
                    row = Row(number, CellMap(), "the line is longer than an event can be")
                elif line.strip():
                    row = _row(number, line)
                else:
                    continue
                row.cells.raw = line.rstrip("\n")
                yield row
        finally:
            text.close()
            opened.close()

    def progress(self) -> tuple[int, int]:
        """(done, in all), in bytes of the file."""
        return self._opened.progress() if self._opened else (0, self.path.stat().st_size)


def _row(number: int, line: str) -> Row:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return Row(number, CellMap(), "the line is not JSON")
    event = cloud_event(document)
    cells = _flat(event.root)
    if event.event_id is not None:
        cells[BOTH_IDS] = event.event_id
    return Row(number, cells, event.problem)


def _flat(root: Any) -> CellMap:
    """Every leaf by its dotted path. Without recursion, for a line may be nested at will."""
    cells = CellMap()
    waiting: deque[tuple[str, Any]] = deque(root.items())
    while waiting:
        path, value = waiting.popleft()
        if isinstance(value, dict):
            waiting.extend((f"{path}.{name}", each) for name, each in value.items())
        elif isinstance(value, list):
            waiting.extend((f"{path}.{place}", each) for place, each in enumerate(value))
        elif value is not None:
            cells[path] = as_text(value)
    return cells


def _skip_line(text: io.TextIOWrapper) -> None:
    while (line := text.readline(_LONGEST_LINE)) and not line.endswith("\n"):
        pass


__all__ = ["BOTH_IDS", "CloudEventsLog"]
