"""What Lever sends: the ten documented events, each with ids alone, and where things are in them.

Read leniently: of most events the documentation does not show the fields of `data`, and its own
example is no JSON (facts/ats.md §2). A field that is missing or has another shape is None, and the
adapter decides which of them it cannot do without. Nothing here raises.

Source: hire.lever.co/developer/documentation, "Webhooks".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from schemas.ats.lenient import Json, opaque_id, part
from schemas.event import Moment

EVENTS: dict[str, str] = {
    "applicationCreated": "opportunity",
    "candidateStageChange": "opportunity",
    "candidateArchiveChange": "opportunity",
    "candidateHired": "opportunity",
    "candidateDeleted": "opportunity",
    "interviewCreated": "interview",
    "interviewUpdated": "interview",
    "interviewDeleted": "interview",
    "contactCreated": "contact",
    "contactUpdated": "contact",
}
"""Every documented event → what it is about."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(milliseconds: Any) -> datetime | None:
    """The aware time of so many milliseconds since 1970; None for what is no such number."""
    if type(milliseconds) is not int:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def moment(milliseconds: Any) -> Moment | None:
    """`instant` as an exact moment."""
    found = instant(milliseconds)
    return None if found is None else Moment.of(found)


@dataclass(frozen=True, slots=True)
class Archived:
    """One archiving: when, and the id of its reason."""

    archived_at: Any
    reason_id: str | None


Archiving = Archived | Literal["not archived"] | None
"""An archiving, that there is none (`null`), or that nothing is said (no such field)."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a whole delivery says.

    `candidateId` is left out on purpose: it is an old name that usually, and not always, equals
    the id of the opportunity, so it names neither the person nor the candidacy.
    """

    event: str | None
    triggered_at: Any
    is_test: bool
    contact_id: str | None
    opportunity_id: str | None
    interview_id: str | None
    from_stage: str | None
    to_stage: str | None
    from_archived: Archiving
    to_archived: Archiving

    @classmethod
    def read(cls, document: Json) -> Event:
        """From the body, whatever of it is there."""
        data = part(document, "data")
        event = document.get("event")
        return cls(
            event=event if isinstance(event, str) else None,
            triggered_at=document.get("triggeredAt"),
            # Pressing "Verify" sends `candidateHired` with `data: {}`.
            is_test=document.get("data") == {},
            contact_id=opaque_id(data.get("contactId")),
            opportunity_id=opaque_id(data.get("opportunityId")),
            interview_id=opaque_id(data.get("interviewId")),
            from_stage=opaque_id(data.get("fromStageId")),
            to_stage=opaque_id(data.get("toStageId")),
            from_archived=_archiving(data, "fromArchived"),
            to_archived=_archiving(data, "toArchived"),
        )


def _archiving(data: Json, key: str) -> Archiving:
    if key not in data:
        return None
    if data[key] is None:
        return "not archived"
    archived = part(data, key)
    if not archived:
        return None
    return Archived(archived.get("archivedAt"), opaque_id(archived.get("reason")))
