"""What single formats do to text, and take back."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumers.exports.cloudevents import CLOUDEVENTS
from consumers.exports.csv_file import CSV, ESCAPE
from consumers.exports.ocel_json import OCEL_JSON
from consumers.exports.reading_back import own_rows
from consumers.exports.writer import Format
from consumers.exports.xes_file import XES, escaped, unescaped
from consumers.imports.formats import open_log
from consumers.imports.log_file import UnreadableLog
from projections.columns import COLUMNS, FlatTouchpoint

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.text("_x0041F\b")
"""Any text, and often one that looks like what the escape of XES makes."""


def flat(**fields: object) -> FlatTouchpoint:
    """A row with what must be there."""
    return FlatTouchpoint(
        touchpoint_id="1",
        kind="hired",
        occurred_at="2026-03-02T09:00:00Z",
        source="s",
        source_event_id="1",
        **fields,  # type: ignore[arg-type]
    )


def row_of(touchpoint: FlatTouchpoint) -> dict[str, str]:
    """What a reader of CSV finds."""
    file = io.BytesIO()
    writer = CSV.open(file, None, COLUMNS)
    writer.write([touchpoint])
    writer.close()
    (row,) = csv.DictReader(io.StringIO(file.getvalue().decode(), newline=""))
    return row


@given(TEXT)
@example("_x0041\b")
def test_xes_holds_any_text(text: str) -> None:
    """Also what XML cannot, and what looks as if it were escaped already."""
    parsed = ElementTree.fromstring(f'<string value="{escaped(text)}"/>')
    assert unescaped(parsed.attrib["value"]) == text


@given(TEXT)
def test_no_text_becomes_a_formula_and_every_text_can_be_had_back(text: str) -> None:
    """Opened in a spreadsheet, a stage is a stage."""
    cell = row_of(flat(stage=text))["stage"]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert cell.removeprefix(ESCAPE) == text


def test_what_was_not_told_is_an_empty_cell_and_flags_are_words() -> None:
    """So that a program needs to know nothing of Python."""
    row = row_of(flat())
    assert (row["stage"], row["asks"], row["late"]) == ("", "", "false")
    assert row["occurred_offset_minutes"] == "0"


@pytest.mark.parametrize(
    ("form", "name"), [(XES, "x.xes"), (CLOUDEVENTS, "x.ndjson"), (OCEL_JSON, "x.jsonocel")]
)
def test_an_export_of_nothing_says_so_when_it_is_read_back(
    form: Format, name: str, tmp_path: Path
) -> None:
    """And not that it was somebody else's, or that it needs a map."""
    path = tmp_path / name
    with path.open("wb") as file:
        form.open(file, path, COLUMNS).close()
    log = open_log(path)

    def read() -> None:
        own_rows(log)
        log.check()

    with pytest.raises(UnreadableLog, match=r"holds no (OCEL )?events"):
        read()


@pytest.mark.parametrize("number", [-60, 330])
def test_a_number_is_never_escaped(number: int) -> None:
    """A minus is a minus."""
    assert row_of(flat(occurred_offset_minutes=number))["occurred_offset_minutes"] == str(number)
