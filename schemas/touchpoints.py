"""Every kind of touchpoint: one class, one stable TOPIC, its traits, its own fields.

A stored name outlives its class. A changed shape is a new version (`…v2`) and one upcaster in
`schemas/upcasting.py`; the JSON Schema of each version is kept in `tests/stored_schemas/`.
Turns and lifecycles follow design §5; where that is silent, the choice is explained at the kind.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, JsonValue, TypeAdapter, ValidationError
from pydantic_core import to_json

from schemas.event import NOT_CONTENT, Touchpoint, Traits, UtcDatetime


def _topic(kind: str, version: int = 1) -> str:
    return f"touchpoint.{kind}.v{version}"


# --- applying -------------------------------------------------------------------------------


class ApplicationStarted(Touchpoint):
    """The candidate began an application and has not sent it yet."""

    KIND = "application_started"
    TOPIC = _topic(KIND)
    TRAITS = Traits("from_candidate", True, turn="candidate")


class ApplicationSubmitted(Touchpoint):
    """The candidate applied."""

    KIND = "application_submitted"
    TOPIC = _topic(KIND)
    TRAITS = Traits("from_candidate", True, turn="employer", lifecycle="opens")


class ApplicationAbandoned(Touchpoint):
    """The candidate left an application unfinished."""

    KIND = "application_abandoned"
    TOPIC = _topic(KIND)
    TRAITS = Traits("from_candidate", True, turn="nobody")


class ApplicationAcknowledged(Touchpoint):
    """The employer confirmed that the application arrived."""

    KIND = "application_acknowledged"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, answers=True)


class InformationRequested(Touchpoint):
    """The employer asked the candidate for something; `what` is an opaque name of it."""

    KIND = "information_requested"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, turn="candidate", answers=True)
    what: str | None = None


class InformationProvided(Touchpoint):
    """The candidate gave what was asked."""

    KIND = "information_provided"
    TOPIC = _topic(KIND)
    TRAITS = Traits("from_candidate", True, turn="employer")
    what: str | None = None


# --- talking --------------------------------------------------------------------------------


class MessageSent(Touchpoint):
    """The employer wrote to the candidate. With `asks` it becomes the candidate's turn."""

    KIND = "message_sent"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, answers=True)
    asks: bool = False


class MessageReceived(Touchpoint):
    """The candidate wrote to the employer."""

    KIND = "message_received"
    TOPIC = _topic(KIND)
    TRAITS = Traits("from_candidate", True, turn="employer")


class CallMade(Touchpoint):
    """The two spoke."""

    KIND = "call_made"
    TOPIC = _topic(KIND)
    TRAITS = Traits("both", True, answers=True)


class CallMissedByEmployer(Touchpoint):
    """An agreed call did not come."""

    KIND = "call_missed_by_employer"
    TOPIC = _topic(KIND)
    TRAITS = Traits("both", True, turn="employer")


class CallMissedByCandidate(Touchpoint):
    """The employer called and nobody answered: the candidate saw the attempt."""

    KIND = "call_missed_by_candidate"
    TOPIC = _topic(KIND)
    TRAITS = Traits("both", True, turn="candidate", answers=True)


class ChaserReceived(Touchpoint):
    """The candidate asked where things stand. It restarts nothing; it counts as a chase."""

    KIND = "chaser_received"
    TOPIC = _topic(KIND)
    TRAITS = Traits("from_candidate", True)


# --- interviewing ---------------------------------------------------------------------------


class AvailabilityRequested(Touchpoint):
    """The employer asked when the candidate could come; `time_zone` is the zone it named."""

    KIND = "availability_requested"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, turn="candidate", answers=True)
    time_zone: str | None = None


class AvailabilityProvided(Touchpoint):
    """The candidate said when they could come."""

    KIND = "availability_provided"
    TOPIC = _topic(KIND)
    TRAITS = Traits("from_candidate", True, turn="employer")
    time_zone: str | None = None


class InterviewScheduled(Touchpoint):
    """An interview was booked. Nobody's turn until it ends.

    Version 1 carried `duration_minutes`; version 2 carries `ends_at`.
    """

    KIND = "interview_scheduled"
    TOPIC = _topic(KIND, 2)
    TRAITS = Traits("to_candidate", True, turn="nobody", answers=True)
    starts_at: UtcDatetime | None = None
    ends_at: UtcDatetime | None = None
    time_zone: str | None = None
    interview_id: str | None = None


class InterviewMoved(Touchpoint):
    """A booked interview was given another time."""

    KIND = "interview_moved"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, turn="nobody", answers=True)
    starts_at: UtcDatetime | None = None
    ends_at: UtcDatetime | None = None
    time_zone: str | None = None
    interview_id: str | None = None


class InterviewCancelled(Touchpoint):
    """A booked interview was called off."""

    KIND = "interview_cancelled"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, turn="employer", answers=True)
    interview_id: str | None = None


class InterviewHeld(Touchpoint):
    """The interview took place; the employer's turn from its end."""

    KIND = "interview_held"
    TOPIC = _topic(KIND)
    TRAITS = Traits("both", True, turn="employer", answers=True)
    ends_at: UtcDatetime | None = None
    interview_id: str | None = None


class InterviewMissedByEmployer(Touchpoint):
    """The candidate came and nobody else did."""

    KIND = "interview_missed_by_employer"
    TOPIC = _topic(KIND)
    TRAITS = Traits("both", True, turn="employer")
    interview_id: str | None = None


class InterviewMissedByCandidate(Touchpoint):
    """The candidate did not come; the next word is theirs."""

    KIND = "interview_missed_by_candidate"
    TOPIC = _topic(KIND)
    TRAITS = Traits("both", True, turn="candidate")
    interview_id: str | None = None


class ScorecardSubmitted(Touchpoint):
    """An interviewer wrote down what they thought. The candidate sees nothing of it."""

    KIND = "scorecard_submitted"
    TOPIC = _topic(KIND)
    TRAITS = Traits("internal", False)
    interview_id: str | None = None


# --- assessing ------------------------------------------------------------------------------


class AssessmentSent(Touchpoint):
    """The candidate was given a test to do."""

    KIND = "assessment_sent"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, turn="candidate", answers=True)


class AssessmentCompleted(Touchpoint):
    """The candidate handed the test in."""

    KIND = "assessment_completed"
    TOPIC = _topic(KIND)
    TRAITS = Traits("from_candidate", True, turn="employer")


class ReferenceRequested(Touchpoint):
    """The candidate was asked to name referees."""

    KIND = "reference_requested"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, turn="candidate", answers=True)


class ReferenceContacted(Touchpoint):
    """A referee was asked about the candidate."""

    KIND = "reference_contacted"
    TOPIC = _topic(KIND)
    TRAITS = Traits("third_party", False)


class ReferenceCompleted(Touchpoint):
    """A referee answered."""

    KIND = "reference_completed"
    TOPIC = _topic(KIND)
    TRAITS = Traits("third_party", False)


class BackgroundCheckStarted(Touchpoint):
    """A background check was ordered."""

    KIND = "background_check_started"
    TOPIC = _topic(KIND)
    TRAITS = Traits("third_party", False)


class BackgroundCheckCompleted(Touchpoint):
    """A background check came back."""

    KIND = "background_check_completed"
    TOPIC = _topic(KIND)
    TRAITS = Traits("third_party", False)


# --- deciding -------------------------------------------------------------------------------


class StageChanged(Touchpoint):
    """The application was moved in the ATS. The candidate does not notice."""

    KIND = "stage_changed"
    TOPIC = _topic(KIND)
    TRAITS = Traits("internal", False)


class OfferDecided(Touchpoint):
    """An offer was prepared inside; the candidate does not know."""

    KIND = "offer_decided"
    TOPIC = _topic(KIND)
    TRAITS = Traits("internal", False)
    offer_id: str | None = None


class OfferSent(Touchpoint):
    """The candidate received an offer."""

    KIND = "offer_sent"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, turn="candidate", answers=True)
    offer_id: str | None = None


class OfferAccepted(Touchpoint):
    """The candidate said yes."""

    KIND = "offer_accepted"
    TOPIC = _topic(KIND)
    TRAITS = Traits("from_candidate", True, turn="employer")
    offer_id: str | None = None


class OfferDeclined(Touchpoint):
    """The candidate said no; nobody owes the next word."""

    KIND = "offer_declined"
    TOPIC = _topic(KIND)
    TRAITS = Traits("from_candidate", True, turn="nobody")
    offer_id: str | None = None
    reason: str | None = None


class OfferRescinded(Touchpoint):
    """The employer took the offer back."""

    KIND = "offer_rescinded"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, answers=True)
    offer_id: str | None = None


class OfferExpired(Touchpoint):
    """The offer ran out unanswered; nobody owes the next word."""

    KIND = "offer_expired"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, turn="nobody")
    offer_id: str | None = None


class RejectionDecided(Touchpoint):
    """The employer decided against the candidate, who **does not know**."""

    KIND = "rejection_decided"
    TOPIC = _topic(KIND)
    TRAITS = Traits("internal", False)
    reason: str | None = None


class RejectionSent(Touchpoint):
    """The candidate was told no."""

    KIND = "rejection_sent"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, turn="nobody", lifecycle="closes", answers=True)
    reason: str | None = None


class Withdrew(Touchpoint):
    """The candidate took the application back."""

    KIND = "withdrew"
    TOPIC = _topic(KIND)
    TRAITS = Traits("from_candidate", True, turn="nobody", lifecycle="closes")
    reason: str | None = None


class Hired(Touchpoint):
    """The candidate got the job."""

    KIND = "hired"
    TOPIC = _topic(KIND)
    TRAITS = Traits("both", True, turn="nobody", lifecycle="closes", answers=True)


class ApplicationReopened(Touchpoint):
    """A closed application was opened again; the employer has to say so."""

    KIND = "application_reopened"
    TOPIC = _topic(KIND)
    TRAITS = Traits("internal", False, turn="employer", lifecycle="reopens")


class JobClosed(Touchpoint):
    """The job was closed; its candidates do not know."""

    KIND = "job_closed"
    TOPIC = _topic(KIND)
    TRAITS = Traits("internal", False)


class JobPutOnHold(Touchpoint):
    """The job was paused; its candidates do not know."""

    KIND = "job_put_on_hold"
    TOPIC = _topic(KIND)
    TRAITS = Traits("internal", False)


# --- promising ------------------------------------------------------------------------------


class PromiseMade(Touchpoint):
    """The employer promised something by `due_at`; its words are sealed."""

    KIND = "promise_made"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, answers=True)
    due_at: UtcDatetime | None = None


class KeptInMind(Touchpoint):
    """A promise without a date: "we will keep you in mind"."""

    KIND = "kept_in_mind"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, answers=True)


class NurtureSent(Touchpoint):
    """A talent-pool mailing: seen, and no answer to anything."""

    KIND = "nurture_sent"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True)


# --- listening ------------------------------------------------------------------------------


class SurveySent(Touchpoint):
    """The candidate was asked how it was: seen, and no answer to anything."""

    KIND = "survey_sent"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True)
    survey_id: str | None = None


class SurveyReminded(Touchpoint):
    """The candidate was asked again."""

    KIND = "survey_reminded"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True)
    survey_id: str | None = None


class SurveyAnswered(Touchpoint):
    """The candidate answered; the comment is sealed."""

    KIND = "survey_answered"
    TOPIC = _topic(KIND)
    TRAITS = Traits("from_candidate", True)
    survey_id: str | None = None
    score: int | None = Field(default=None, ge=0, le=10)


class FeedbackGiven(Touchpoint):
    """The employer told the candidate how they did; its words are sealed."""

    KIND = "feedback_given"
    TOPIC = _topic(KIND)
    TRAITS = Traits("to_candidate", True, answers=True)


# --- after ----------------------------------------------------------------------------------


class OnboardingStarted(Touchpoint):
    """The first day, or what leads to it, began."""

    KIND = "onboarding_started"
    TOPIC = _topic(KIND)
    TRAITS = Traits("both", True)


class OnboardingCompleted(Touchpoint):
    """The onboarding is done."""

    KIND = "onboarding_completed"
    TOPIC = _topic(KIND)
    TRAITS = Traits("both", True)


class EmployeeSurveyAnswered(Touchpoint):
    """The new colleague answered a survey."""

    KIND = "employee_survey_answered"
    TOPIC = _topic(KIND)
    TRAITS = Traits("from_candidate", True)
    score: int | None = Field(default=None, ge=0, le=10)


class Left(Touchpoint):
    """The colleague left the company."""

    KIND = "left"
    TOPIC = _topic(KIND)
    TRAITS = Traits("both", True)


# --- keeping --------------------------------------------------------------------------------


class UnrecognisedTouchpoint(Touchpoint):
    """Something about a candidate that has no kind here: kept, never dropped.

    `label` is the source's own word for it.
    """

    KIND = "unrecognised_touchpoint"
    TOPIC = _topic(KIND)
    TRAITS = Traits("internal", False)
    label: str


@cache
def _correctable() -> dict[str, TypeAdapter[Any]]:
    """Field → its type, for every field by which any kind says what happened."""
    concluded = (TouchpointCorrected, TouchpointRetracted, CandidatesMerged, CandidatesUnmerged)
    return {
        name: TypeAdapter(field.rebuild_annotation())
        for cls in ALL_TOUCHPOINTS
        if cls not in concluded
        for name, field in cls.model_fields.items()
        if name not in NOT_CONTENT
    }


def _as_stored(corrected: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Each value as its field stores it. What no reader could apply is refused."""
    stored: dict[str, JsonValue] = {}
    for name, value in corrected.items():
        field = _correctable().get(name)
        if field is None:
            raise ValueError(f"{name!r} is no field that can be corrected")
        try:
            right = field.validate_json(to_json(value), strict=True)
        except ValidationError:
            raise ValueError(f"{name!r} is corrected to what is no value of it") from None
        stored[name] = field.dump_python(right, mode="json")
    if stored.get("personal") is not None:
        raise ValueError("'personal' is sealed in the correction's own field")
    return stored


class TouchpointCorrected(Touchpoint):
    """An earlier touchpoint was wrong; these fields of it are right.

    `corrects` names it. `corrected` holds the right value of each field that was wrong, as it is
    stored; a field left out is as it was told, whatever an earlier correction said. Personal data
    that were wrong are right in this touchpoint's own sealed field.

    Version 1 could correct three fields, each in a field of its own.
    """

    KIND = "touchpoint_corrected"
    TOPIC = _topic(KIND, 2)
    TRAITS = Traits("internal", False)
    corrects: UUID
    corrected: Annotated[dict[str, JsonValue], AfterValidator(_as_stored)] = Field(
        default_factory=dict
    )


class TouchpointRetracted(Touchpoint):
    """An earlier touchpoint never happened; `retracts` names it."""

    KIND = "touchpoint_retracted"
    TOPIC = _topic(KIND)
    TRAITS = Traits("internal", False)
    retracts: UUID


class CandidatesMerged(Touchpoint):
    """Two candidates are one person: `absorbed` is read as part of this stream's journey."""

    KIND = "candidates_merged"
    TOPIC = _topic(KIND)
    TRAITS = Traits("internal", False)
    absorbed: UUID


class CandidatesUnmerged(Touchpoint):
    """They are two people after all: `released` is a journey of its own again."""

    KIND = "candidates_unmerged"
    TOPIC = _topic(KIND)
    TRAITS = Traits("internal", False)
    released: UUID


class PersonErased(Touchpoint):
    """The person's key, fingerprints and raw deliveries were destroyed."""

    KIND = "person_erased"
    TOPIC = _topic(KIND)
    TRAITS = Traits("internal", False)


ALL_TOUCHPOINTS: tuple[type[Touchpoint], ...] = (
    ApplicationStarted, ApplicationSubmitted, ApplicationAbandoned, ApplicationAcknowledged,
    InformationRequested, InformationProvided,
    MessageSent, MessageReceived, CallMade, CallMissedByEmployer, CallMissedByCandidate,
    ChaserReceived,
    AvailabilityRequested, AvailabilityProvided, InterviewScheduled, InterviewMoved,
    InterviewCancelled, InterviewHeld, InterviewMissedByEmployer, InterviewMissedByCandidate,
    ScorecardSubmitted,
    AssessmentSent, AssessmentCompleted, ReferenceRequested, ReferenceContacted,
    ReferenceCompleted, BackgroundCheckStarted, BackgroundCheckCompleted,
    StageChanged, OfferDecided, OfferSent, OfferAccepted, OfferDeclined, OfferRescinded,
    OfferExpired, RejectionDecided, RejectionSent, Withdrew, Hired, ApplicationReopened,
    JobClosed, JobPutOnHold,
    PromiseMade, KeptInMind, NurtureSent,
    SurveySent, SurveyReminded, SurveyAnswered, FeedbackGiven,
    OnboardingStarted, OnboardingCompleted, EmployeeSurveyAnswered, Left,
    UnrecognisedTouchpoint, TouchpointCorrected, TouchpointRetracted, CandidatesMerged,
    CandidatesUnmerged, PersonErased,
)  # fmt: skip
"""Every kind, by family, in the order of design §5."""
