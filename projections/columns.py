"""The flat columns of a touchpoint: their names, order, types and meaning, in one place.

Every export, the tables for notebooks and docs/reference/export-columns.md are made from
`COLUMNS`. Names and meanings are stable: a column may be added, none is renamed. A contract test
holds them to the registry, so that a new kind's field cannot be forgotten.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, NamedTuple

import msgspec

from schemas.event import Touchpoint
from schemas.registry import TOUCHPOINTS, touchpoint_class

Type = Literal["id", "text", "moment", "number", "flag", "json"]
"""What a cell holds: a UUID as text, text, ISO 8601 in UTC ending in `Z`, a whole number, true or
false, a list or mapping as JSON text."""


class Column(NamedTuple):
    """One column: its name, what a cell holds, and what that means."""

    name: str
    type: Type
    meaning: str


COLUMNS: tuple[Column, ...] = (
    Column("touchpoint_id", "id", "the touchpoint; the same each time it is told"),
    Column("candidate_id", "id", "the candidate in whose stream it stands"),
    Column("journey_id", "id", "the journey it is part of: the candidate's own unless merged"),
    Column("kind", "text", "what happened: one of [the kinds](events.md)"),
    Column("topic", "text", "the stored name of the kind and its version"),
    Column("application_id", "text", "the application, as its source names it"),
    Column("job_id", "text", "the job, as its source names it"),
    Column("occurred_at", "moment", "when it happened"),
    Column("occurred_offset_minutes", "number", "minutes from UTC of the time as it was told"),
    Column("occurred_quality", "text", "how well that is known: `exact`, `inferred`, `unknown`"),
    Column("occurred_precision", "text", "how finely: `instant`, `minute`, `day`"),
    Column("recorded_at", "moment", "when we learned it"),
    Column("position", "number", "its place in the log"),
    Column("source", "text", "who told it"),
    Column("source_event_id", "text", "what the source calls the event"),
    Column("delivery_id", "text", "the delivery that it was read from"),
    Column("stage", "text", "the stage that the application was in"),
    Column("channel", "text", "the way it went: `ats`, `email`, `phone`, …"),
    Column("actor_type", "text", "who did it: `person`, `automation`, `candidate`, `third_party`"),
    Column("actor_id", "text", "the source's opaque id of who did it"),
    Column("late", "flag", "whether we came upon it by looking"),
    Column("what", "text", "what was asked for or given"),
    Column("asks", "flag", "whether the message asks for something"),
    Column("time_zone", "text", "the time zone that was named"),
    Column("starts_at", "moment", "when the interview begins"),
    Column("ends_at", "moment", "when the interview ends"),
    Column("interview_id", "text", "the interview, as its source names it"),
    Column("offer_id", "text", "the offer, as its source names it"),
    Column("reason", "text", "the reason, as a code of the source"),
    Column("due_at", "moment", "by when it was promised"),
    Column("survey_id", "text", "the survey, as its source names it"),
    Column("score", "number", "the score that was given, 0 to 10"),
    Column("label", "text", "the source's own word for what has no kind here"),
    Column("corrects", "id", "the touchpoint that is corrected"),
    Column("corrected", "json", "its fields that were wrong, and what is right"),
    Column("retracts", "id", "the touchpoint that never happened"),
    Column("absorbed", "id", "the candidate whose stream is read as part of this journey"),
    Column("released", "id", "the candidate who is a journey of their own again"),
)
"""Every column that any export has, in order."""

PERSONAL_COLUMNS: tuple[Column, ...] = (
    Column("personal_name", "text", "the person's name"),
    Column("personal_emails", "json", "e-mail addresses"),
    Column("personal_phones", "json", "phone numbers"),
    Column("personal_addresses", "json", "postal addresses"),
    Column("personal_links", "json", "links"),
    Column("personal_text", "json", "free text by what it is: `subject`, `body`, `comment`, …"),
)
"""Columns that only an export with personal data has, after the others."""


class Actor(msgspec.Struct, gc=False):
    """Who did it, as it is stored."""

    type: str
    id: str | None = None


class FlatTouchpoint(msgspec.Struct, kw_only=True, gc=False):
    """One touchpoint as a row: the columns, and behind them what is stored otherwise.

    Values are as they are stored, so moments are text, which most formats write as it is. None:
    the kind has no such field, or nothing was told.
    """

    touchpoint_id: str
    candidate_id: str = ""
    journey_id: str = ""
    kind: str = ""
    topic: str = ""
    application_id: str | None = None
    job_id: str | None = None
    occurred_at: str
    occurred_offset_minutes: int = 0
    occurred_quality: str = "exact"
    occurred_precision: str = "instant"
    recorded_at: str | None = None
    position: int = 0
    source: str
    source_event_id: str
    delivery_id: str | None = None
    stage: str | None = None
    channel: str = "ats"
    actor_type: str | None = None
    actor_id: str | None = None
    late: bool = False
    what: str | None = None
    asks: bool | None = None
    time_zone: str | None = None
    starts_at: str | None = None
    ends_at: str | None = None
    interview_id: str | None = None
    offer_id: str | None = None
    reason: str | None = None
    due_at: str | None = None
    survey_id: str | None = None
    score: int | None = None
    label: str | None = None
    corrects: str | None = None
    corrected: Any = None
    retracts: str | None = None
    absorbed: str | None = None
    released: str | None = None
    personal_name: str | None = None
    personal_emails: str | None = None
    personal_phones: str | None = None
    personal_addresses: str | None = None
    personal_links: str | None = None
    personal_text: str | None = None
    actor: Actor | None = None
    personal: str | None = None


assert FlatTouchpoint.__struct_fields__ == (
    *(column.name for column in COLUMNS + PERSONAL_COLUMNS), "actor", "personal",
)  # fmt: skip

COMMON = frozenset(
    {"journey_id", "kind", "topic", "position", "actor_type", "actor_id"}
    | Touchpoint.model_fields.keys()
)
"""Columns that every kind has."""


def own_columns(kind: str) -> frozenset[str]:
    """The columns that a kind has beyond those that every kind has."""
    return frozenset(touchpoint_class(kind).model_fields) - COMMON


@cache
def _own_defaults() -> dict[str, dict[str, Any]]:
    """Kind → values of its own fields that a state leaves out because they are the usual ones."""
    found: dict[str, dict[str, Any]] = {}
    for kind, cls in TOUCHPOINTS.items():
        for name in own_columns(kind):
            default = cls.model_fields[name].get_default(call_default_factory=True)
            if default is not None and not cls.model_fields[name].is_required():
                found.setdefault(kind, {})[name] = default
    return found


def complete(touchpoints: list[FlatTouchpoint]) -> list[FlatTouchpoint]:
    """The same rows with every column as it should be: a decoded state holds some otherwise."""
    defaults = _own_defaults()
    for flat in touchpoints:
        if flat.kind in defaults:
            for name, default in defaults[flat.kind].items():
                if getattr(flat, name) is None:
                    setattr(flat, name, default)
        if flat.actor is not None:
            flat.actor_type, flat.actor_id = flat.actor.type, flat.actor.id
        if flat.corrected is not None:
            flat.corrected = msgspec.json.encode(flat.corrected).decode()
    return touchpoints


__all__ = [
    "COLUMNS", "COMMON", "PERSONAL_COLUMNS", "Column", "FlatTouchpoint", "Type", "complete",
    "own_columns",
]  # fmt: skip
