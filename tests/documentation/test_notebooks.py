"""docs/how-to/notebooks.md: its code runs, and its tables have the columns it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from consumers.bootstrap import Installation
from journey.database import Database
from projections.columns import COLUMNS
from tests.documentation.blocks import ROOT, blocks
from tests.support.builders import T0, days, statement
from tests.support.fakes import FrozenClock
from tests.support.installations import environment_for, settings_for

PAGE = ROOT / "docs" / "how-to" / "notebooks.md"


@pytest.fixture
def ran(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the page's code leaves behind, run on an installation of two candidates."""
    with Installation(settings_for(database, tmp_path), clock=FrozenClock(T0)) as engine:
        engine.log.put_statements(
            [
                statement(
                    "application_submitted", days(-300), person=person, application=person,
                    job_id=f"greenhouse:{job}",
                )
                for person, job in (("123", "9"), ("124", "10"))
            ]
            + [statement("rejection_sent", days(-200), person="124", application="124")]
            + [statement("reference_contacted", days(-100), person="124", application="124")]
        )  # fmt: skip
        engine.runner.catch_up()
    for name, value in environment_for(database, tmp_path).items():
        monkeypatch.setenv(name, value)
    (code,) = [block.text for block in blocks(PAGE) if block.language == "python"]
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_the_code_of_the_page_runs(ran: dict[str, Any]) -> None:
    """For all, for one, for a cohort."""
    rows = {name: table.num_rows for name, table in ran.items() if isinstance(table, pa.Table)}
    assert rows == {"everything": 4, "journey": 1, "cohort": 1, "waiting": 1, "found": 1}
    assert ran["waiting"].column("level").to_pylist() == ["ghosted"]
    assert ran["found"].column("rule").to_pylist() == ["reference_after_rejection"]


def test_the_tables_have_the_columns_that_the_page_names(ran: dict[str, Any]) -> None:
    """In the page's order."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("silences", ran["waiting"]), ("findings", ran["found"])):
        row = re.search(rf"^\| {name} \| (.*) \|$", text, re.MULTILINE)
        assert row is not None
        assert re.findall(r"`(\w+)`", row[1]) == table.column_names
    assert ran["everything"].column_names == [column.name for column in COLUMNS]
