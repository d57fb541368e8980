"""What Greenhouse Recruiting sends: the 29 documented actions and where things are in them.

Read leniently, by plain accessors: published payloads lack documented keys, rename others and
write dates in three ways (facts/ats.md §1.6), so a field that is missing or has another shape is
None, and the adapter decides which of them it cannot do without. Nothing here raises.

Applications, offers and interviews as the Harvest API lists them are read here, too.

Source: github.com/grnhse/greenhouse-api-docs, source/includes/webhooks/*.md and harvest/*.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from schemas.ats.lenient import Json, objects, opaque_id, part, text, values
from schemas.event import Moment, Precision, Quality

ACTIONS: dict[str, str] = {
    "new_candidate_application": "application",
    "new_prospect_application": "application",
    "application_updated": "application",
    "delete_application": "application",
    "candidate_stage_change": "application",
    "reject_candidate": "application",
    "unreject_candidate": "application",
    "hire_candidate": "application",
    "unhire_candidate": "application",
    "update_candidate": "candidate",
    "delete_candidate": "person",
    "merge_candidate": "person",
    "candidate_anonymized": "candidate_id",
    "offer_created": "offer",
    "offer_approved": "offer",
    "offer_updated": "offer",
    "offer_deleted": "offer",
    "interview_deleted": "interview",
    "scorecard_deleted": "scorecard",
    "job_created": "job",
    "job_updated": "job",
    "job_approved": "job",
    "job_deleted": "job",
    "job_post_created": "job post",
    "job_post_updated": "job post",
    "job_post_deleted": "job post",
    "job_interview_stage_deleted": "job stage",
    "department_deleted": "department",
    "office_deleted": "office",
}
"""Every documented action → what it is about."""

_US_DATE = re.compile(r"^(\d{1,2})/(\d{1,2})/(\d{4})$")
_ISO_DATE = 10
_LONGEST_TIME = 40


@lru_cache(maxsize=4_096)
def _instant(written: str) -> tuple[datetime, Precision] | None:
    try:
        if day := _US_DATE.match(written):
            month, date, year = (int(number) for number in day.groups())
            return datetime(year, month, date, tzinfo=UTC), "day"
        if len(written) == _ISO_DATE:
            return datetime.fromisoformat(written).replace(tzinfo=UTC), "day"
        at = datetime.fromisoformat(written)
        # Also asks whether it has an equivalent in UTC: the first hours of year 1 may not.
        return None if at.tzinfo is None or at.astimezone(UTC) is None else (at, "instant")
    except (ValueError, OverflowError):
        return None


def instant(value: Any) -> tuple[datetime, Precision] | None:
    """An aware time and how sharp it is, of an ISO date-time, ISO date or US date `MM/DD/YYYY`.

    None if unreadable; so is a time without a zone, since it names no moment.
    """
    if not isinstance(value, str) or len(value) > _LONGEST_TIME:
        return None
    return _instant(value.strip())


def moment(value: Any, quality: Quality = "exact") -> Moment | None:
    """`instant` as a moment of this quality."""
    found = instant(value)
    return None if found is None else Moment.of(found[0], quality=quality, precision=found[1])


@dataclass(frozen=True, slots=True)
class Application:
    """What the full `payload.application` and the flat one of `delete_application` say."""

    application_id: str | None
    candidate_id: str | None
    candidate: Json
    emails: tuple[str, ...]
    phones: tuple[str, ...]
    is_prospect: bool
    job_id: str | None
    stage_id: str | None
    stage: str | None
    applied_at: Any
    rejected_at: Any
    last_activity_at: Any
    rejection_reason: str | None
    rejection_type: str | None
    rejection_details: tuple[str, ...]
    offer: Json

    @classmethod
    def read(cls, payload: Any) -> Application:
        """From `payload`, whatever of it is there."""
        said = part(payload, "application")
        candidate = part(said, "candidate")
        stage = part(said, "current_stage")
        reason = part(said, "rejection_reason")
        return cls(
            application_id=opaque_id(said.get("id")),
            candidate_id=opaque_id(candidate.get("id")) or opaque_id(said.get("candidate_id")),
            candidate=candidate,
            emails=values(candidate.get("email_addresses")),
            phones=values(candidate.get("phone_numbers")),
            is_prospect=said.get("prospect") is True,
            job_id=_only_job(said),
            stage_id=opaque_id(stage.get("id")),
            stage=text(stage.get("name")),
            applied_at=said.get("applied_at"),
            rejected_at=said.get("rejected_at"),
            last_activity_at=said.get("last_activity_at"),
            rejection_reason=text(reason.get("name")),
            rejection_type=text(part(reason, "type").get("name")),
            rejection_details=_answers(part(said, "rejection_details")),
            offer=part(said, "offer"),
        )


def _only_job(application: Json) -> str | None:
    """The job, if it is one: a prospect may have several, old payloads have `job` for `jobs`."""
    jobs = application.get("jobs")
    if isinstance(jobs, list) and jobs:
        return opaque_id(part({"job": jobs[0]}, "job").get("id")) if len(jobs) == 1 else None
    return opaque_id(part(application, "job").get("id")) or opaque_id(application.get("job_id"))


def _answers(details: Json) -> tuple[str, ...]:
    fields = part(details, "custom_fields").values()
    answers = [text(field.get("value")) for field in fields if isinstance(field, dict)]
    return tuple(answer for answer in answers if answer is not None)


@dataclass(frozen=True, slots=True)
class Offer:
    """One version of an offer, in webhook words or in those of Harvest and `hire_candidate`."""

    offer_id: str | None
    application_id: str | None
    candidate_id: str | None
    job_id: str | None
    owner_id: str | None
    version: str | None
    status: str
    created_at: Any
    sent_on: Any
    resolved_at: Any
    notes: str | None

    @classmethod
    def read(cls, said: Any) -> Offer:
        """From the offer object itself: flat `payload`, `payload.offer`, `application.offer`."""
        if not isinstance(said, dict):
            said = {}
        return cls(
            offer_id=opaque_id(said.get("id")),
            application_id=opaque_id(said.get("application_id")),
            candidate_id=opaque_id(said.get("candidate_id")),
            job_id=opaque_id(said.get("job_id")),
            # `offer_deleted` renames it.
            owner_id=opaque_id(said.get("user_id")) or opaque_id(said.get("offering_user_id")),
            version=opaque_id(said.get("version")),
            status=(text(said.get("offer_status")) or text(said.get("status")) or "").casefold(),
            created_at=said.get("created_at"),
            sent_on=said.get("sent_on") or said.get("sent_at"),
            resolved_at=said.get("resolved_at"),
            notes=text(said.get("notes")),
        )


@dataclass(frozen=True, slots=True)
class ScheduledInterview:
    """An interview as Harvest lists it: its times as they stand now, never those before.

    An all-day one has dates for times; `all_day` is its last day then, since the end it is given
    is the day after (`2017-08-22` to `2017-08-23`).
    """

    interview_id: str | None
    application_id: str | None
    organizer_id: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    all_day: datetime | None
    status: str
    created_at: Any
    updated_at: Any
    scorecards: tuple[tuple[str, str | None], ...]
    """(scorecard, interviewer) for each scorecard that was handed in."""

    @classmethod
    def read(cls, said: Any) -> ScheduledInterview:
        """From an object of the list, whatever of it is there."""
        if not isinstance(said, dict):
            said = {}
        starts_at, whole_days = _edge(said, "start")
        ends_at, _ = _edge(said, "end")
        if whole_days and starts_at is not None and (ends_at is None or ends_at <= starts_at):
            ends_at = _later(starts_at, 1)
        if starts_at is not None and ends_at is not None and ends_at < starts_at:
            # Such as a day for its end and an hour for its start.
            ends_at = None
        return cls(
            interview_id=opaque_id(said.get("id")),
            application_id=opaque_id(said.get("application_id")),
            organizer_id=opaque_id(part(said, "organizer").get("id")),
            starts_at=starts_at,
            ends_at=ends_at,
            all_day=_later(ends_at, -1) if whole_days and ends_at is not None else None,
            status=(text(said.get("status")) or "").casefold(),
            created_at=said.get("created_at"),
            updated_at=said.get("updated_at"),
            scorecards=_scorecards(said.get("interviewers")),
        )


def _edge(interview: Json, key: str) -> tuple[datetime | None, bool]:
    """When it starts or ends, and whether only the day is told."""
    edge = part(interview, key)
    found = instant(edge.get("date_time")) or instant(edge.get("date"))
    return (None, False) if found is None else (found[0].astimezone(UTC), found[1] == "day")


def _later(at: datetime, days: int) -> datetime | None:
    try:
        return at + timedelta(days=days)
    except OverflowError:
        return None


def _scorecards(interviewers: Any) -> tuple[tuple[str, str | None], ...]:
    found = {}
    for entry in objects(interviewers):
        if scorecard := opaque_id(entry.get("scorecard_id")):
            found[scorecard] = opaque_id(entry.get("id"))
    return tuple(found.items())
