"""What every view keeps to, and that the hand-written list of views is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

import projections
from journey.database import Database
from projections.all_views import ALL_VIEWS
from projections.projection import DEADLINE_COLUMNS, DEADLINE_TYPES, View

FOLDER = Path(projections.__file__).parent
# Summed over the log rather than kept by journey; the runner writes it itself.
SUMMED = {"feeds"}


def test_every_folder_with_a_view_is_in_the_list() -> None:
    """A projection whose folder exists is kept by runner and rebuild."""
    folders = {path.parent.name for path in FOLDER.glob("*/view.py")}
    listed = {type(view).__module__.split(".")[1] for view in ALL_VIEWS}
    assert folders - SUMMED == listed


def columns_of(database: Database, table: str) -> dict[str, str]:
    """Column → its Postgres type, in order."""
    with database.connect() as connection:
        return dict(
            connection.execute(
                "SELECT column_name, udt_name FROM information_schema.columns "
                "WHERE table_schema = current_schema() AND table_name = %s "
                "ORDER BY ordinal_position",
                [table],
            ).fetchall()
        )


@pytest.mark.parametrize("view", ALL_VIEWS, ids=lambda view: view.table)
def test_a_view_fits_its_table(database: Database, view: View) -> None:
    """Columns and types are the table's own, in its order, and its key is text."""
    there = columns_of(database, view.table)
    assert list(there) == list(view.columns)
    assert list(there.values()) == list(view.types)
    assert view.columns[0] == "candidate_id"
    assert all(there[column] == "text" for column in view.key)


def test_deadlines_fit_their_table(database: Database) -> None:
    """What views say of deadlines is what the table takes."""
    there = columns_of(database, "deadlines")
    assert tuple(there) == DEADLINE_COLUMNS
    assert tuple(there.values()) == DEADLINE_TYPES
