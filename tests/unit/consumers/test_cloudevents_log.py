"""CloudEvents as lines: every leaf a cell, a broken line a broken row, the rest read on."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from consumers.imports.formats import open_log
from consumers.imports.log_file import UnreadableLog
from consumers.imports.log_map import LogMap
from consumers.imports.translate import Translator

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/ats",
    "type": "com.example.interview.held",
    "time": "2026-01-05T09:00:00Z",
    "subject": "a1",
    "data": {"application_id": "007", "emails": ["x@example.org", "y@example.org"], "n": 3},
}
MAP = LogMap.model_validate(
    {
        "source": "old",
        "case": "data.application_id",
        "event_id": "source#id",
        "activity": "type",
        "time": "time",
        "activities": {"com.example.interview.held": "interview_held"},
        "personal": {"emails": ["data.emails.0", "data.emails.1"]},
    }
)


def a_file(path: Path, *lines: object) -> Path:
    """A file of these lines; what is no text is written as JSON."""
    told = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(told) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> list[Any]:
    """All rows of a file that was checked."""
    log = open_log(path, MAP)
    log.check()
    return list(log.rows())


def test_every_leaf_is_a_cell(tmp_path: Path) -> None:
    """Attributes by name, data by its dotted path, places in lists by number; ids stay text."""
    ((line, cells, broken),) = read(a_file(tmp_path / "log.ndjson", EVENT))
    assert (line, broken) == (1, None)
    assert cells["data.application_id"] == "007"
    assert cells["data.emails.1"] == "y@example.org"
    assert (cells["data.n"], cells["subject"], cells["nothing"]) == ("3", "a1", "")
    assert cells["source#id"] == "/ats#1"


def test_the_same_map_translates_it(tmp_path: Path) -> None:
    """A row of an event is like any other row."""
    log = open_log(a_file(tmp_path / "log.ndjson", EVENT), MAP)
    ((_, cells, _),) = log.rows()
    (said,) = Translator(MAP, log.key)(cells)
    assert said.touchpoint.KIND == "interview_held"
    assert said.touchpoint.application_id == "old:007"
    assert said.personal is not None
    assert said.personal.emails == ("x@example.org", "y@example.org")


def test_data_in_base64_is_read(tmp_path: Path) -> None:
    """As the webhook reads it."""
    encoded = base64.b64encode(json.dumps(EVENT["data"]).encode()).decode()
    event = {key: value for key, value in EVENT.items() if key != "data"}
    rows = read(a_file(tmp_path / "log.ndjson", {**event, "data_base64": encoded}))
    assert rows[0][1]["data.application_id"] == "007"


def test_a_broken_line_stops_none_of_the_others(tmp_path: Path) -> None:
    """It keeps its number and its text, so that it can be mended; empty lines are nothing."""
    nested = "[" * 900 + "]" * 900
    path = a_file(
        tmp_path / "log.ndjson",
        EVENT,
        "not JSON",
        "",
        [1, 2],
        {**EVENT, "specversion": "0.3"},
        {key: value for key, value in EVENT.items() if key != "id"},
        {**EVENT, "data": json.loads(nested)},
        EVENT,
    )
    rows = read(path)
    assert [(line, broken) for line, _, broken in rows] == [
        (1, None),
        (2, "the line is not JSON"),
        (4, "the event is not a JSON object"),
        (5, "specversion is not 1.0"),
        (6, "the attribute id is missing; it is required by CloudEvents 1.0"),
        (7, None),
        (8, None),
    ]
    assert rows[1][1].raw == "not JSON"


def test_an_endless_line_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is skipped in pieces, and those after it are read."""
    monkeypatch.setattr("consumers.imports.cloudevents_log._LONGEST_LINE", 1_000)
    path = a_file(tmp_path / "log.ndjson", EVENT, "x" * 5_000, EVENT)
    assert [(line, broken) for line, _, broken in read(path)] == [
        (1, None), (2, "the line is longer than an event can be"), (3, None),
    ]  # fmt: skip


def test_a_packed_file_that_ends_too_soon_is_refused(tmp_path: Path) -> None:
    """Before a row of it is given; a whole one is read."""
    plain = a_file(tmp_path / "log.ndjson", *[{**EVENT, "id": str(n)} for n in range(2_000)])
    packed = tmp_path / "log.ndjson.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert len(read(packed)) == 2_000
    packed.write_bytes(packed.read_bytes()[:-3_000])
    with pytest.raises(UnreadableLog, match="fetch it again"):
        read(packed)


def test_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    """In one sentence, which quotes nothing."""
    path = a_file(tmp_path / "log.ndjson", EVENT)
    path.write_bytes(path.read_bytes() + b'{"name": "Ann\xe9"}\n')
    with pytest.raises(UnreadableLog, match="line 2, is not UTF-8") as caught:
        read(path)
    assert "Ann" not in str(caught.value)


def test_a_file_of_other_lines_is_refused(tmp_path: Path) -> None:
    """JSON lines that are no CloudEvents."""
    with pytest.raises(UnreadableLog, match=r"holds no CloudEvents 1\.0"):
        read(a_file(tmp_path / "log.ndjson", {"a": 1}, {"b": 2}))
