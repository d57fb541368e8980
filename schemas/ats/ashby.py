"""What Ashby sends: the documented actions, and where things are in them.

Read leniently: real payloads lack keys that the specification requires and have null where others
leave a key out (facts/ats.md §3.5), so a field that is missing or has another shape is None, and
the adapter decides which of them it cannot do without. Nothing here raises.

What no fact needs is not read at all: file handles, the address and browser of the applicant,
custom fields, names and addresses of colleagues.

Source: developers.ashbyhq.com and Ashby's OpenAPI 3.1, `webhooks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.ats.lenient import Json, iso_instant, objects, opaque_id, part, text

ACTIONS: dict[str, str] = {
    "applicationSubmit": "application",
    "applicationUpdate": "application",
    "candidateStageChange": "application",
    "candidateHire": "application",
    "candidateDelete": "candidate",
    "candidateMerge": "candidate",
    "interviewScheduleCreate": "interview schedule",
    "interviewScheduleUpdate": "interview schedule",
    "offerCreate": "offer",
    "offerUpdate": "offer",
    "offerDelete": "offer",
    "signatureRequestUpdate": "signature request",
    "surveySubmit": "survey",
    "pushToHRIS": "application",
    "interviewPlanTransition": "job",
    "jobCreate": "job",
    "jobUpdate": "job",
    "jobPostingUpdate": "job posting",
    "jobPostingPublish": "job posting",
    "jobPostingUnpublish": "job posting",
    "openingCreate": "job opening",
}
"""Every documented action but the ping → what it is about."""


@dataclass(frozen=True, slots=True)
class Application:
    """What `data.application` says."""

    application_id: str | None
    candidate_id: str | None
    name: str | None
    emails: tuple[str, ...]
    phones: tuple[str, ...]
    job_id: str | None
    stage_id: str | None
    stage: str | None
    stage_type: str
    status: str
    created_at: datetime | None
    updated_at: datetime | None
    archived_at: datetime | None
    reason_id: str | None
    reason: str | None
    reason_type: str

    @classmethod
    def read(cls, data: Any) -> Application:
        """From `data`, whatever of it is there."""
        said = part(data, "application")
        candidate = part(said, "candidate")
        stage = part(said, "currentInterviewStage")
        reason = part(said, "archiveReason")
        return cls(
            application_id=opaque_id(said.get("id")),
            candidate_id=opaque_id(candidate.get("id")),
            name=text(candidate.get("name")),
            emails=_primary(candidate, "primaryEmailAddress"),
            phones=_primary(candidate, "primaryPhoneNumber"),
            job_id=opaque_id(part(said, "job").get("id")),
            stage_id=opaque_id(stage.get("id")),
            stage=text(stage.get("title")),
            stage_type=_word(stage.get("type")),
            status=_word(said.get("status")),
            created_at=iso_instant(said.get("createdAt")),
            updated_at=iso_instant(said.get("updatedAt")),
            archived_at=iso_instant(said.get("archivedAt")),
            reason_id=opaque_id(reason.get("id")),
            reason=text(reason.get("text")),
            reason_type=_word(reason.get("reasonType")),
        )

    @property
    def is_lead(self) -> bool:
        """Somebody who was found, and has not applied."""
        return self.status == "lead"

    @property
    def is_archived(self) -> bool:
        """Rejected, withdrawn, or put away for another reason."""
        return self.status == "archived" or (not self.status and self.stage_type == "archived")

    @property
    def is_active(self) -> bool:
        """Under way; a status that is missing or new to us does not say so."""
        return self.status == "active"

    @property
    def is_hired(self) -> bool:
        """Hired, as far as Ashby knows."""
        return self.status == "hired" or (not self.status and self.stage_type == "hired")


def _word(value: Any) -> str:
    """A word of Ashby's own list, in lower case; empty when there is none."""
    return (text(value) or "").casefold()


def _primary(candidate: Json, key: str) -> tuple[str, ...]:
    found = text(part(candidate, key).get("value"))
    return () if found is None else (found,)


@dataclass(frozen=True, slots=True)
class Slot:
    """One interview event of a schedule: a time in the calendar."""

    event_id: str | None
    starts_at: datetime
    ends_at: datetime
    created_at: datetime | None
    updated_at: datetime | None
    has_feedback: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """What `data.interviewSchedule` says: one appointment of one or several slots."""

    schedule_id: str | None
    application_id: str | None
    candidate_id: str | None
    status: str
    updated_at: datetime | None
    scheduled_by: str | None
    has_events: bool
    slots: tuple[Slot, ...]

    @classmethod
    def read(cls, data: Any) -> Schedule:
        """From `data`, whatever of it is there. Events without a readable time are no slots."""
        said = part(data, "interviewSchedule")
        events = objects(said.get("interviewEvents"))
        return cls(
            schedule_id=opaque_id(said.get("id")),
            application_id=opaque_id(said.get("applicationId")),
            candidate_id=opaque_id(said.get("candidateId")),
            status=_word(said.get("status")),
            updated_at=iso_instant(said.get("updatedAt")),
            scheduled_by=opaque_id(part(said, "scheduledBy").get("id")),
            has_events=bool(events),
            slots=tuple(slot for slot in map(_slot, events) if slot is not None),
        )


def _slot(event: Json) -> Slot | None:
    starts_at = iso_instant(event.get("startTime"))
    if starts_at is None:
        return None
    ends_at = iso_instant(event.get("endTime"))
    return Slot(
        event_id=opaque_id(event.get("id")),
        starts_at=starts_at,
        ends_at=starts_at if ends_at is None or ends_at < starts_at else ends_at,
        created_at=iso_instant(event.get("createdAt")),
        updated_at=iso_instant(event.get("updatedAt")),
        has_feedback=event.get("hasSubmittedFeedback") is True,
    )


@dataclass(frozen=True, slots=True)
class Offer:
    """What an offer says; `offerDelete` has its two ids alone."""

    offer_id: str | None
    application_id: str | None
    offer_status: str
    acceptance_status: str
    version_id: str | None
    first_created_at: datetime | None
    decided_at: datetime | None
    is_approved: bool
    author_id: str | None

    @classmethod
    def read(cls, data: Any) -> Offer:
        """From `data`, whatever of it is there."""
        said = part(data, "offer")
        latest = part(said, "latestVersion")
        times = [
            iso_instant(version.get("createdAt"))
            for version in (*objects(said.get("versions")), latest)
        ]
        return cls(
            offer_id=opaque_id(said.get("id")),
            application_id=opaque_id(said.get("applicationId")),
            offer_status=_word(said.get("offerStatus")),
            acceptance_status=_word(said.get("acceptanceStatus")),
            version_id=opaque_id(latest.get("id")),
            first_created_at=min((time for time in times if time is not None), default=None),
            decided_at=iso_instant(said.get("decidedAt")),
            is_approved=_word(latest.get("approvalStatus")) == "approved",
            author_id=opaque_id(part(latest, "author").get("id")),
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """What `data.surveySubmission` says. `answers` is what was written in words."""

    submission_id: str | None
    form_id: str | None
    candidate_id: str | None
    application_id: str | None
    survey_type: str | None
    submitted_at: datetime | None
    answers: tuple[str, ...]

    @classmethod
    def read(cls, data: Any) -> Survey:
        """From `data`, whatever of it is there."""
        said = part(data, "surveySubmission")
        answers = [text(value) for value in part(said, "submittedValues").values()]
        return cls(
            submission_id=opaque_id(said.get("id")),
            form_id=opaque_id(said.get("surveyFormDefinitionId")),
            candidate_id=opaque_id(said.get("candidateId")),
            application_id=opaque_id(said.get("applicationId")),
            survey_type=text(said.get("surveyType")),
            submitted_at=iso_instant(said.get("submittedAt")),
            answers=tuple(answer for answer in answers if answer is not None),
        )
