"""The columns of an export fit the touchpoints, and stay as they are named."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from consumers import exports
from consumers.cli.export import FormatName
from consumers.exports import ALL_FORMATS
from projections.columns import COLUMNS, PERSONAL_COLUMNS, own_columns
from schemas.event import Touchpoint
from schemas.personal import Personal
from schemas.registry import TOUCHPOINTS

# Columns that are put behind these may be named here with them; none is renamed or taken away.
STABLE = [
    "touchpoint_id", "candidate_id", "journey_id", "kind", "topic", "application_id", "job_id",
    "occurred_at", "occurred_offset_minutes", "occurred_quality", "occurred_precision",
    "recorded_at", "position", "source", "source_event_id", "delivery_id", "stage", "channel",
    "actor_type", "actor_id", "late", "what", "asks", "time_zone", "starts_at", "ends_at",
    "interview_id", "offer_id", "reason", "due_at", "survey_id", "score", "label", "corrects",
    "corrected", "retracts", "absorbed", "released",
]  # fmt: skip

# Told in other columns, or in none: a stream's own numbering, and what is sealed.
ELSEWHERE = {"actor", "version", "personal"}

TYPES = {
    "UUID": "id", "Datetime": "moment", "datetime": "moment", "bool": "flag", "dict": "json",
    "int": "number", "str": "text", "Literal": "text",
}  # fmt: skip


def test_names_and_order_of_the_columns_are_settled() -> None:
    """What somebody has built on them goes on working."""
    assert [column.name for column in COLUMNS][: len(STABLE)] == STABLE


@pytest.mark.parametrize("kind", TOUCHPOINTS)
def test_every_field_of_a_kind_has_a_column_of_its_type(kind: str) -> None:
    """A new kind's field cannot be forgotten."""
    types = {column.name: column.type for column in COLUMNS}
    for name, field in TOUCHPOINTS[kind].model_fields.items():
        if name in ELSEWHERE:
            continue
        assert name in types, f"add a column {name!r} at the end of projections/columns.py"
        told = str(field.annotation)
        assert types[name] == next(each for word, each in TYPES.items() if word in told), name
    assert own_columns(kind) <= types.keys() - Touchpoint.model_fields.keys()


def test_everything_personal_has_a_column() -> None:
    """Nothing that was asked for is left out."""
    assert [column.name for column in PERSONAL_COLUMNS] == [
        f"personal_{name}" for name in Personal.model_fields
    ]


def test_every_format_is_in_the_list_and_in_the_command() -> None:
    """A format whose file exists is there to be asked for."""
    assert tuple(ALL_FORMATS) == get_args(FormatName)
    folder = Path(exports.__file__).parent
    written = {path.stem for path in folder.glob("*.py") if "Format(" in path.read_text()}
    assert len(written - {"writer"}) == len(ALL_FORMATS)
