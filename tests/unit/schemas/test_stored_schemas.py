"""The log outlives every class: each stored version is kept as a JSON Schema and still read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from pydantic import ValidationError

from journey.storage import state_of, touchpoint_of
from projections.fact import Fact
from projections.reading import fact_of
from schemas.errors import UnknownKind, UnknownTopic
from schemas.event import Moment, Touchpoint
from schemas.registry import BY_TOPIC, TOUCHPOINTS, touchpoint_class
from schemas.upcasting import UPCASTERS, upcast
from tests.support.builders import T0

STORED = Path(__file__).parents[2] / "stored_schemas"
COMMAND = "python -m tests.support.stored_schemas"

# Fields a kind cannot do without, for an instance of each.
NEEDED: dict[str, dict[str, Any]] = {
    "unrecognised_touchpoint": {"label": "x"},
    "touchpoint_corrected": {"corrects": UUID(int=1)},
    "touchpoint_retracted": {"retracts": UUID(int=1)},
    "candidates_merged": {"absorbed": UUID(int=1)},
    "candidates_unmerged": {"released": UUID(int=1)},
}
# Of the stream's key, and of no use to a fold.
NOT_FOR_FOLDS = {
    "candidate_id", "version", "source_event_id", "delivery_id", "actor", "personal",
    "occurred_offset_minutes",
}  # fmt: skip


def an_instance(cls: type[Touchpoint]) -> Touchpoint:
    return cls.told(
        source="test",
        source_event_id="1",
        moment=Moment.of(T0),
        **NEEDED.get(cls.KIND, {}),
    )


@pytest.mark.parametrize("topic", sorted(BY_TOPIC))
def test_the_schema_of_each_version_is_kept(topic: str) -> None:
    """A changed shape is a new version, never another meaning of an old name."""
    kept = STORED / f"{topic}.json"
    assert kept.exists(), f"no schema is kept for {topic}; write it with `{COMMAND}`"
    assert BY_TOPIC[topic].model_json_schema(mode="serialization") == json.loads(kept.read_text())


@pytest.mark.parametrize("path", sorted(STORED.glob("*.json")), ids=lambda path: path.stem)
def test_each_kept_version_can_still_be_read(path: Path) -> None:
    """What was ever stored leads, by upcasters where needed, to a class of today."""
    topic, _ = upcast(path.stem, {})
    assert topic in BY_TOPIC


@pytest.mark.parametrize("cls", TOUCHPOINTS.values(), ids=lambda cls: cls.KIND)
def test_a_touchpoint_survives_being_stored(cls: type[Touchpoint]) -> None:
    """What is written is what is read, by pydantic and by the folds' fast reader alike."""
    told = an_instance(cls)
    read = touchpoint_of(UUID(int=7), 3, cls.TOPIC, state_of(told))
    assert read == told.model_copy(update={"candidate_id": UUID(int=7), "version": 3})
    fact = fact_of(cls.TOPIC, state_of(told), 9)
    assert (fact.kind, fact.touchpoint_id, fact.position) == (cls.KIND, str(told.touchpoint_id), 9)
    assert fact.occurred_at == told.occurred_at


@pytest.mark.parametrize("cls", TOUCHPOINTS.values(), ids=lambda cls: cls.KIND)
def test_folds_can_read_every_field(cls: type[Touchpoint]) -> None:
    """No kind has a field that a rule or fold could not name."""
    known = {field.name for field in msgspec.structs.fields(Fact)}
    assert set(cls.model_fields) - NOT_FOR_FOLDS <= known


def test_a_kind_has_one_topic_and_one_class() -> None:
    """Names do not clash, and say their kind and version."""
    assert len(BY_TOPIC) == len(TOUCHPOINTS)
    for topic, cls in BY_TOPIC.items():
        assert topic.split(".")[:2] == ["touchpoint", cls.KIND]


def test_an_interview_of_version_1_gets_its_end() -> None:
    """`duration_minutes` of version 1 is read as `ends_at`, by both readers."""
    old = {
        "touchpoint_id": str(UUID(int=1)),
        "occurred_at": "2026-03-02T09:00:00Z",
        "source": "greenhouse",
        "source_event_id": "interview/1",
        "starts_at": "2026-03-05T13:00:00Z",
        "duration_minutes": 45,
    }
    topic, state = "touchpoint.interview_scheduled.v1", json.dumps(old).encode()
    read = touchpoint_of(UUID(int=7), 1, topic, state)
    assert read.ends_at.isoformat() == "2026-03-05T13:45:00+00:00"  # type: ignore[attr-defined]
    assert fact_of(topic, state, 1).ends_at == read.ends_at  # type: ignore[attr-defined]
    assert UPCASTERS[topic][0] == "touchpoint.interview_scheduled.v2"


def test_a_correction_of_version_1_says_the_same_in_one_map() -> None:
    """The three fields it could correct are entries of `corrected`, by both readers."""
    old = {
        "touchpoint_id": str(UUID(int=1)),
        "occurred_at": "2026-03-02T09:00:00Z",
        "source": "journey",
        "source_event_id": "1",
        "corrects": str(UUID(int=2)),
        "corrected_occurred_at": "2026-03-01T09:00:00Z",
        "corrected_stage": None,
    }
    topic, state = "touchpoint.touchpoint_corrected.v1", json.dumps(old).encode()
    right = {"occurred_at": "2026-03-01T09:00:00Z"}
    assert touchpoint_of(UUID(int=7), 1, topic, state).corrected == right  # type: ignore[attr-defined]
    assert fact_of(topic, state, 1).corrected == right


@pytest.mark.parametrize(
    "corrected",
    [
        {"occurred_at": None},
        {"occurred_at": "2026-03-01T09:00:00"},
        {"occurred_at": 5},
        {"score": 11},
        {"source": "greenhouse"},
        {"corrects": str(UUID(int=3))},
        {"personal": "in the open"},
    ],
)
def test_a_correction_that_nobody_could_apply_is_refused(corrected: dict[str, Any]) -> None:
    """The log is for ever, so a field or value that no reader knows does not get into it."""
    with pytest.raises(ValidationError):
        touchpoint_class("touchpoint_corrected").told(
            source="s",
            source_event_id="1",
            moment=Moment.of(T0),
            corrects=UUID(int=1),
            corrected=corrected,
        )


def test_an_unknown_name_is_told() -> None:
    """A stored name nobody knows stops reading with a sentence, never with silence."""
    with pytest.raises(UnknownTopic, match="does not know"):
        upcast("touchpoint.seance_held.v1", {})
    with pytest.raises(UnknownKind, match="interview_held"):
        touchpoint_class("interview_hold")


def test_a_field_too_many_is_refused() -> None:
    """A touchpoint takes the fields of its kind and no others."""
    with pytest.raises(ValidationError):
        touchpoint_class("interview_held").told(
            source="s", source_event_id="1", moment=Moment.of(T0), mood="good"
        )
