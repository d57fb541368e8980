"""Where another column decides what an activity or a step means, and rows that are cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consumers.imports.csv_log import CsvLog
from consumers.imports.log_map import BUILT_IN, LogMap, checked_map, load_log_map
from consumers.imports.translate import Translator
from journey.errors import ConfigurationError

ANSWER = {
    "kind": "unrecognised_touchpoint",
    "by": "Status",
    "values": {"Rejected": "rejection_sent", "Turned down": "withdrew", "Lost": "ignore"},
}
WIDE = {
    "source": "diary",
    "case": "row:number",
    "steps": {"Applied": "application_submitted", "Answer": ANSWER},
}


def told(path: Path, fields: dict[str, Any]) -> list[tuple[str | None, str]]:
    """(application, kind) of everything a table says by this map."""
    log = CsvLog(path)
    translate = Translator(LogMap.model_validate(fields), log.key)
    return [
        (said.touchpoint.application_id, said.touchpoint.KIND)
        for _, cells, _ in log.rows()
        for said in translate(cells)
    ]


def test_another_column_decides_what_a_step_means(tmp_path: Path) -> None:
    """A row without a case column is a case by its number; a value not named keeps the kind."""
    path = tmp_path / "diary.csv"
    path.write_text(
        "Status,Applied,Answer\n"
        "Rejected,2026-01-05,2026-01-20\n"
        "Turned down,2026-01-06,2026-01-21\n"
        "\n"
        "Lost,2026-01-07,2026-01-22\n"
        "Odd,2026-01-08,2026-01-23\n"
        "Applied,2026-01-09,\n"
    )
    assert told(path, WIDE) == [
        ("diary:1", "application_submitted"),
        ("diary:1", "rejection_sent"),
        ("diary:2", "application_submitted"),
        ("diary:2", "withdrew"),
        ("diary:3", "application_submitted"),
        ("diary:4", "application_submitted"),
        ("diary:4", "unrecognised_touchpoint"),
        ("diary:5", "application_submitted"),
    ]


def test_another_column_decides_what_an_activity_means(tmp_path: Path) -> None:
    """The same where a row is an event."""
    path = tmp_path / "log.csv"
    path.write_text(
        "case,activity,time,Status\nc,Answer,2026-01-05,Rejected\nc,Answer,2026-01-06,\n"
    )
    fields = {
        "source": "log",
        "case": "case",
        "activity": "activity",
        "time": "time",
        "activities": {"Answer": ANSWER},
    }
    assert [kind for _, kind in told(path, fields)] == ["rejection_sent", "unrecognised_touchpoint"]


def test_a_numbered_row_keeps_its_number_among_its_cells(tmp_path: Path) -> None:
    """So that kept aside it is still the same case; a column of that name is taken as it is."""
    path = tmp_path / "log.csv"
    path.write_text("a,b\n1,2\n3\n4,5\n")
    log = CsvLog(path)
    log.key("row:number")
    assert log.columns == ("a", "b", "row:number")
    assert [cells for _, cells, broken in log.rows() if not broken] == [
        ["1", "2", "1"], ["4", "5", "3"],
    ]  # fmt: skip
    assert [broken for _, _, broken in log.rows() if broken] == [
        "it has 1 cells where the header has 2"
    ]
    path.write_text("a,row:number\n1,17\n")
    log = CsvLog(path)
    key = log.key("row:number")
    assert [cells[key] for _, cells, _ in log.rows()] == ["17"]


@pytest.mark.parametrize("half", [{"by": "Status"}, {"values": {"Rejected": "rejection_sent"}}])
def test_one_without_the_other_is_refused(half: dict[str, Any]) -> None:
    """`by` says where, `values` says what."""
    step = {"kind": "unrecognised_touchpoint", **half}
    with pytest.raises(ConfigurationError, match="each needs the other"):
        checked_map({**WIDE, "steps": {"Answer": step}}, "m.yaml")


def test_columns_of_both_are_known() -> None:
    """A map names every column it will ask for, so that a missing one is told beforehand."""
    values = {"Rejected": {"kind": "rejection_sent", "fields": {"reason": "Why"}}}
    step = {**ANSWER, "values": values}
    log_map = checked_map({**WIDE, "steps": {"Answer": step}}, "m.yaml")
    assert log_map.columns == ("row:number", "Answer", "Status", "Why")


@pytest.mark.parametrize("name", sorted(each.stem for each in BUILT_IN.glob("*.yaml")))
def test_built_in_maps_load(name: str) -> None:
    """By their names alone."""
    assert load_log_map(name).source
