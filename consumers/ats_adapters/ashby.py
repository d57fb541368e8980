"""Ashby: 22 actions, a full object each; one click sends several of them.

A hire sends `candidateHire`, `candidateStageChange` and `applicationUpdate`; a stage change, a new
interview schedule and others have their echoes too. They share a `webhookActionId`, come in any
order, and each may be switched off. So one touchpoint a fact, under an id made from the fact, and
every action that shows a fact tells it:

- a *hire* is one an application, whichever of the three says so; the move into the stage "Hired"
  is the hire, and the one into "Archived" is the rejection or withdrawal: neither is told besides;
- an application is *archived* once a time (`archivedAt`), whatever edits follow;
- a *stage change* is told by `candidateStageChange` alone and counts once a click
  (`webhookActionId`), since nothing says when the stage was entered;
- `applicationUpdate` is a field edit or an echo, and looks the same as either: what it settles
  (archived, hired, reopened) is told, and the rest of it is context.

`updatedAt` moves for edits of any kind, so it is the time of a fact only where there is no better
one, and `inferred` then. An archive reason of the type "Other" means what the connection's
`archive_reasons` says; without that nothing is concluded.

An interview schedule is one appointment, of one slot or several, and the interview of our
touchpoints is the schedule: its slots change their ids when it is booked anew, and a cancellation
no longer lists them. Each set of slots is one booking, called a move if the slots were edited
later. An edit that leaves the times alone is no news to the candidate and tells nothing; moved
away and back to the very same slots is not told again.

`creditedToUser` and the hiring team are neither the person nor the actor.
Facts: facts/ats.md §3. Payloads: schemas/ats/ashby.py.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from pydantic import ValidationError

from consumers.ats_adapters.adapter import Delivery, Probe, Translation
from consumers.connections import ArchiveMeaning, Connection
from consumers.errors import Untranslatable
from consumers.webhooks.signatures import ASHBY as SIGNATURE
from schemas.ats.ashby import ACTIONS, Application, Offer, Schedule, Slot, Survey
from schemas.ats.lenient import opaque_id, part, plain_id
from schemas.event import Actor, Moment, Quality, Touchpoint
from schemas.identifiers import PersonKey, touchpoint_id
from schemas.personal import Personal
from schemas.statement import Statement
from schemas.touchpoints import (
    ApplicationReopened,
    ApplicationSubmitted,
    AvailabilityProvided,
    AvailabilityRequested,
    Hired,
    InformationProvided,
    InformationRequested,
    InterviewCancelled,
    InterviewHeld,
    InterviewMoved,
    InterviewScheduled,
    OfferAccepted,
    OfferDecided,
    OfferDeclined,
    OfferRescinded,
    OfferSent,
    RejectionDecided,
    RejectionSent,
    ScorecardSubmitted,
    StageChanged,
    SurveyAnswered,
    UnrecognisedTouchpoint,
    Withdrew,
)

_A_WORD = re.compile(r"^[a-z][A-Za-z]{0,59}$")

_SETTLING = timedelta(minutes=2)
"""Within so long a new slot is still being entered (rooms, links), and not edited."""


class Ashby:
    """The adapter of Ashby webhooks."""

    name = "ashby"
    success_code = 200
    # Ashby never tries again after 401, so a secret set wrong would lose what it refuses; after
    # 503 it tries for hours, which is time to set it right.
    refusal_code = 503
    content_types = frozenset({"application/json"})

    def verify(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
    ) -> None:
        """HMAC of the raw body in the `Ashby-Signature` header. Raises NotAuthentic."""
        SIGNATURE.verify(headers, body, secrets)

    def is_probe(self, headers: Mapping[str, str], body: Any | None, method: str) -> Probe | None:
        """The ping that is sent when a webhook is saved; unanswered, it is created disabled."""
        if isinstance(body, dict) and body.get("action") == "ping":
            return Probe("ping")
        return None

    def reference(
        self, headers: Mapping[str, str], body: Any | None, connection: Connection
    ) -> str | None:
        """The candidate's id, or the application's, wherever the action has it."""
        data = part(body, "data")
        application = part(data, "application")
        schedule, offer = part(data, "interviewSchedule"), part(data, "offer")
        named = (
            part(application, "candidate").get("id"),
            schedule.get("candidateId"),
            part(data, "candidate").get("id"),
            part(data, "mergedCandidate").get("id"),
            part(data, "surveySubmission").get("candidateId"),
            application.get("id"),
            schedule.get("applicationId"),
            offer.get("applicationId"),
        )
        return next((found for found in map(plain_id, named) if found), None)

    def translate(self, delivery: Delivery, connection: Connection) -> Translation:
        """What the delivery says. Raises Untranslatable."""
        document = _opened(delivery.body)
        action = document["action"]
        concern = ACTIONS.get(action)
        if concern is None:
            return Translation(context=_not_an_action(action))
        handler = _HANDLERS.get(action)
        if handler is None:
            return Translation(context=f"about a {concern}, not a candidate")
        click = opaque_id(document.get("webhookActionId"))
        return handler(_Told(delivery, connection, action, click, document.get("data")))


def _opened(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Untranslatable("the body is not JSON") from None
    if not isinstance(document, dict):
        raise Untranslatable("the body is not a JSON object")
    if not isinstance(document.get("action"), str):
        raise Untranslatable("action is missing")
    return document


def _not_an_action(action: str) -> str:
    if action == "ping":
        return "a ping"
    # Anything but a plain word may be personal, and reasons are not sealed.
    return f"unknown action {action}" if _A_WORD.match(action) else "unknown action"


@dataclass(frozen=True, slots=True)
class _Told:
    """One delivery being read: what every handler needs."""

    delivery: Delivery
    connection: Connection
    action: str
    webhook_action_id: str | None
    data: Any

    @property
    def source(self) -> str:
        return self.connection.source_name

    def touchpoint(
        self, kind: type[Touchpoint], event_id: str, when: Moment, **fields: Any
    ) -> Touchpoint:
        return kind.told(
            source=self.source,
            source_event_id=event_id,
            moment=when,
            delivery_id=self.delivery.delivery_id,
            **fields,
        )

    def unrecognised(
        self, event_id: str, when: Moment, label: str | None = None, **fields: Any
    ) -> Touchpoint:
        return self.touchpoint(
            UnrecognisedTouchpoint, event_id, when, label=label or self.action, **fields
        )

    def scoped(self, some_id: str | None) -> str | None:
        """An id of this source, told apart from equal ones of other sources."""
        return None if some_id is None else f"{self.source}:{some_id}"

    def key(self, namespace: str, value: str) -> PersonKey:
        return PersonKey(f"{self.source}:{namespace}", value)

    def keys(self, **ids: str | None) -> tuple[PersonKey, ...]:
        """Person keys of the ids that are there, in the order given: the strongest first."""
        return tuple(self.key(name, found) for name, found in ids.items() if found is not None)

    def received(self) -> Moment:
        """When it arrived: nothing says when it happened, and a retry may be hours late."""
        return Moment.of(self.delivery.received_at, quality="unknown")

    def moment(self, at: datetime | None, quality: Quality = "exact") -> Moment:
        return self.received() if at is None else Moment.of(at, quality=quality)

    def person(self, user_id: str | None) -> Actor | None:
        """Somebody of the employer's, by the id of their account."""
        return None if user_id is None else Actor(type="person", id=self.scoped(user_id))

    def click(self) -> str:
        """What stands for a fact without a time of its own: the same in every retry and echo."""
        return self.webhook_action_id or self.digest()

    def digest(self) -> str:
        return hashlib.sha256(self.delivery.body).hexdigest()[:32]


def _required(found: str | None, path: str) -> str:
    if found is None:
        raise Untranslatable(f"{path} is missing or no id")
    return found


def _stamp(at: datetime) -> str:
    """A time as part of an id."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


# --- applications ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    """An application that a delivery is about: its ids, its person, its fields."""

    told: _Told
    said: Application
    application_id: str

    @classmethod
    def of(cls, told: _Told) -> _Case:
        said = Application.read(told.data)
        return cls(told, said, _required(said.application_id, "data.application.id"))

    def event_id(self, *fact: str) -> str:
        return "/".join(("application", self.application_id, *fact))

    def person(self) -> tuple[PersonKey, ...]:
        said = self.said
        return (
            *self.told.keys(candidate=said.candidate_id, application=self.application_id),
            *(PersonKey("email", email) for email in said.emails),
            *(PersonKey("phone", phone) for phone in said.phones),
        )

    def profile(self) -> Personal | None:
        """What the delivery says about the person, to be sealed."""
        personal = Personal(name=self.said.name, emails=self.said.emails, phones=self.said.phones)
        return None if personal.is_empty() else personal

    def statement(
        self, kind: type[Touchpoint], event_id: str, when: Moment, **fields: Any
    ) -> Statement:
        touchpoint = self.told.touchpoint(
            kind,
            event_id,
            when,
            # A lead has not applied, so nothing may open an application for it.
            application_id=None if self.said.is_lead else self.told.scoped(self.application_id),
            job_id=self.told.scoped(self.said.job_id),
            **fields,
        )
        return Statement(touchpoint, self.person(), self.profile())

    def kept(self, event_id: str) -> Statement:
        """It concerns the person, and is no fact that has a kind."""
        when = self.updated()
        return self.statement(UnrecognisedTouchpoint, event_id, when, label=self.told.action)

    def updated(self) -> Moment:
        """The best time there is for most actions, and an approximate one."""
        return self.told.moment(self.said.updated_at, "inferred")


def _application_submitted(told: _Told) -> Translation:
    case = _Case.of(told)
    if case.said.is_lead:
        return Translation((case.kept(case.event_id("lead")),))
    created = case.said.created_at
    when = case.updated() if created is None else Moment.of(created)
    event_id = case.event_id("submitted")
    submitted = case.statement(ApplicationSubmitted, event_id, when, stage=case.said.stage)
    return Translation((submitted,))


def _application_updated(told: _Told) -> Translation:
    settled = _settled(_Case.of(told))
    if settled:
        return Translation(settled)
    return Translation(context="an edit of an application, or the echo of another action")


def _settled(case: _Case) -> tuple[Statement, ...]:
    """What the state of an application shows to have happened, under ids that bear repeating.

    Without a stage: "Archived" and "Hired" would hide the one it was in.
    """
    said = case.said
    if said.is_lead:
        return ()
    if said.is_hired:
        return (case.statement(Hired, case.event_id("hired"), case.updated()),)
    if said.is_archived:
        return (_archived(case),)
    if said.archived_at is not None:
        event_id = case.event_id("reopened", _stamp(said.archived_at))
        return (case.statement(ApplicationReopened, event_id, case.updated()),)
    return ()


def _archived(case: _Case) -> Statement:
    said = case.said
    event_id = case.event_id(
        "archived", case.told.click() if said.archived_at is None else _stamp(said.archived_at)
    )
    when = case.updated() if said.archived_at is None else Moment.of(said.archived_at)
    connection = case.told.connection
    meaning = _REASON_TYPES.get(said.reason_type) or connection.meaning_of_archive_reason(
        said.reason_id
    )
    if meaning == "hired":
        return case.statement(Hired, case.event_id("hired"), when)
    if meaning == "withdrew":
        return case.statement(Withdrew, event_id, when, reason=said.reason)
    if meaning == "rejected":
        kind = RejectionSent if connection.rejection_is_sent else RejectionDecided
        return case.statement(kind, event_id, when, reason=said.reason)
    return case.statement(UnrecognisedTouchpoint, event_id, when, label="archived")


_REASON_TYPES: dict[str, ArchiveMeaning] = {
    "rejectedbyorg": "rejected",
    "rejectedbycandidate": "withdrew",
}
"""Type of an archive reason → what it means. "Other" says nothing, such as a closed job."""


def _stage_changed(told: _Told) -> Translation:
    case = _Case.of(told)
    said = case.said
    event_id = case.event_id("stage", said.stage_id or said.stage or "none", told.click())
    if said.is_lead:
        return Translation((case.kept(event_id),))
    settled = _settled(case)
    if said.is_hired or said.is_archived:
        return Translation(settled)
    moved = case.statement(StageChanged, event_id, case.updated(), stage=said.stage)
    return Translation((*settled, moved, *_implied_by_stage(case, event_id)))


def _implied_by_stage(case: _Case, event_id: str) -> tuple[Statement, ...]:
    """What entering this stage means in this organisation, if its connection says so."""
    stage = case.said.stage
    kind = case.told.connection.kind_of_stage(stage)
    if kind is None:
        return ()
    try:
        # Moved there says that it was meant, and not when it was done.
        return (case.statement(kind, event_id, case.updated(), stage=stage),)
    except ValidationError:
        raise Untranslatable(
            f"the connection's stages map a stage to {kind.KIND}, which needs more than a stage"
        ) from None


def _hired(told: _Told) -> Translation:
    case = _Case.of(told)
    hired = case.statement(Hired, case.event_id("hired"), case.updated())
    offer = Offer.read(told.data)
    if offer.offer_id is None:
        return Translation((hired,))
    # The acceptance is told by `offerUpdate` too, under the same id.
    offered = _OfferCase(told, offer, offer.offer_id, case.application_id)
    return Translation((*(Statement(fact, case.person()) for fact in offered.answer()), hired))


def _pushed_to_hris(told: _Told) -> Translation:
    case = _Case.of(told)
    return Translation((case.kept(case.event_id("pushed to HRIS", told.click())),))


# --- candidates -----------------------------------------------------------------------------


def _candidate_deleted(told: _Told) -> Translation:
    found = opaque_id(part(told.data, "candidate").get("id"))
    candidate_id = _required(found, "data.candidate.id")
    touchpoint = told.unrecognised(f"candidate/{candidate_id}/deleted", told.received())
    return Translation((Statement(touchpoint, told.keys(candidate=candidate_id)),))


def _candidates_merged(told: _Told) -> Translation:
    deleted, merged = part(told.data, "deletedCandidate"), part(told.data, "mergedCandidate")
    absorbed = _required(opaque_id(deleted.get("id")), "data.deletedCandidate.id")
    survivor = _required(opaque_id(merged.get("id")), "data.mergedCandidate.id")
    touchpoint = told.unrecognised(f"candidate/{absorbed}/merged/{survivor}", told.received())
    same_as = () if absorbed == survivor else told.keys(candidate=absorbed)
    return Translation((Statement(touchpoint, told.keys(candidate=survivor), same_as=same_as),))


# --- interviews -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Appointment:
    """An interview schedule that a delivery is about."""

    told: _Told
    said: Schedule
    schedule_id: str
    application_id: str

    @classmethod
    def of(cls, told: _Told) -> _Appointment:
        said = Schedule.read(told.data)
        return cls(
            told,
            said,
            _required(said.schedule_id, "data.interviewSchedule.id"),
            _required(said.application_id, "data.interviewSchedule.applicationId"),
        )

    def translation(self, touchpoints: Iterable[Touchpoint]) -> Translation:
        person = self.told.keys(candidate=self.said.candidate_id, application=self.application_id)
        return Translation(tuple(Statement(touchpoint, person) for touchpoint in touchpoints))

    def touchpoint(
        self, kind: type[Touchpoint], fact: str, when: Moment, **fields: Any
    ) -> Touchpoint:
        return self.told.touchpoint(
            kind,
            f"interviewSchedule/{self.schedule_id}/{fact}",
            when,
            application_id=self.told.scoped(self.application_id),
            **fields,
        )

    def interview(self) -> str | None:
        return self.told.scoped(self.schedule_id)

    def updated(self) -> Moment:
        return self.told.moment(self.said.updated_at, "inferred")

    def version(self) -> str:
        """Tells two states of one schedule apart, and not a state from its retry or echo."""
        at = self.said.updated_at
        return self.told.click() if at is None else _stamp(at)


def _scheduled(told: _Told) -> Translation:
    """`interviewScheduleCreate` and `…Update`: all that the state of a schedule shows."""
    appointment = _Appointment.of(told)
    said = appointment.said
    status = said.status
    if said.slots and status in _BOOKED:
        return appointment.translation(_booked(appointment))
    # Nobody scheduled it and it lists nothing: a plan was dropped that the candidate never knew.
    if status == "cancelled" and (said.has_events or said.scheduled_by is not None):
        return appointment.translation([_cancelled(appointment)])
    if kind := _AVAILABILITY.get(status):
        # On a page of Ashby's that shows and takes times in the zone of whoever looks at it.
        asked = appointment.touchpoint(
            kind, f"{status}/{appointment.version()}", appointment.updated(), channel="web"
        )
        return appointment.translation([asked])
    kept = appointment.touchpoint(
        UnrecognisedTouchpoint,
        f"kept/{appointment.version()}",
        appointment.updated(),
        label=f"interview schedule {_STATUSES.get(status, 'of unknown status')}",
    )
    return appointment.translation([kept])


_BOOKED = frozenset({"scheduled", "waitingonfeedback", "complete"})
_AVAILABILITY: dict[str, type[Touchpoint]] = {
    "waitingoncandidatebooking": AvailabilityRequested,
    "waitingoncandidateavailability": AvailabilityRequested,
    "candidateavailabilitysubmitted": AvailabilityProvided,
}
_STATUSES = {
    "needsscheduling": "to be scheduled",
    "scheduled": "without times",
    "waitingonfeedback": "without times",
    "complete": "without times",
    "cancelled": "dropped before it was booked",
    "onhold": "on hold",
}


def _booked(appointment: _Appointment) -> list[Touchpoint]:
    """The booking, the feedback there is, and that it took place, as far as the state shows it.

    `WaitingOnFeedback` is no sign of that: Ashby says so as soon as the time has passed.
    """
    facts = [_booking(appointment)]
    facts += [
        appointment.touchpoint(
            ScorecardSubmitted,
            f"event/{slot.event_id}/feedback",
            appointment.told.moment(slot.updated_at or appointment.said.updated_at, "inferred"),
            interview_id=appointment.interview(),
        )
        for slot in appointment.said.slots
        if slot.has_feedback and slot.event_id is not None
    ]
    if appointment.said.status == "complete":
        facts.append(_held(appointment))
    return facts


def _booking(appointment: _Appointment) -> Touchpoint:
    """That these slots are booked: one fact, whether it is told as a booking or as a move."""
    told, slots = appointment.told, appointment.said.slots
    moved = told.action != "interviewScheduleCreate" and _was_moved(slots)
    touchpoint = appointment.touchpoint(
        InterviewMoved if moved else InterviewScheduled,
        f"booked/{_times_of(slots)}",
        _booked_at(appointment, moved),
        starts_at=min(slot.starts_at for slot in slots),
        ends_at=max(slot.ends_at for slot in slots),
        interview_id=appointment.interview(),
        actor=told.person(appointment.said.scheduled_by),
    )
    # One id for both words: an edit of another kind also shows up as a changed slot, and must
    # not turn a booking that is known into a move.
    same_id = touchpoint_id(told.source, touchpoint.source_event_id, InterviewScheduled.KIND)
    return touchpoint.model_copy(update={"touchpoint_id": same_id})


def _times_of(slots: Sequence[Slot]) -> str:
    """The times of all slots as part of an id."""
    times = sorted(f"{_stamp(slot.starts_at)}/{_stamp(slot.ends_at)}" for slot in slots)
    return hashlib.sha256("\n".join(times).encode()).hexdigest()[:32]


def _was_moved(slots: Sequence[Slot]) -> bool:
    """Whether slots were edited while they lay ahead, or some were made later than others."""
    made = _made(slots)
    return bool(_edits_ahead(slots)) or (bool(made) and max(made) - min(made) > _SETTLING)


def _booked_at(appointment: _Appointment, moved: bool) -> Moment:
    slots = appointment.said.slots
    times = [*_made(slots), *(_edits_ahead(slots) if moved else ())]
    if not times:
        return appointment.updated()
    untouched = not moved and not any(map(_is_edited, slots))
    return Moment.of(max(times), quality="exact" if untouched else "inferred")


def _made(slots: Sequence[Slot]) -> list[datetime]:
    return [slot.created_at for slot in slots if slot.created_at is not None]


def _edits_ahead(slots: Sequence[Slot]) -> list[datetime]:
    """When slots were edited before their time; an edit after it is feedback, and no move."""
    return [
        slot.updated_at
        for slot in slots
        if slot.updated_at is not None and _is_edited(slot) and slot.updated_at < slot.starts_at
    ]


def _is_edited(slot: Slot) -> bool:
    made, updated = slot.created_at, slot.updated_at
    return made is not None and updated is not None and updated - made > _SETTLING


def _held(appointment: _Appointment) -> Touchpoint:
    """Complete: every feedback is in. At its end, unless it was over sooner."""
    slots, updated = appointment.said.slots, appointment.said.updated_at
    ends_at = max(slot.ends_at for slot in slots)
    at = ends_at if updated is None else min(ends_at, updated)
    return appointment.touchpoint(
        InterviewHeld,
        f"held/{_times_of(slots)}",
        Moment.of(at, quality="inferred"),
        ends_at=at,
        interview_id=appointment.interview(),
    )


def _cancelled(appointment: _Appointment) -> Touchpoint:
    """Once a schedule: later edits of a cancelled one are no second cancellation."""
    return appointment.touchpoint(
        InterviewCancelled,
        "cancelled",
        appointment.updated(),
        interview_id=appointment.interview(),
    )


# --- offers ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _OfferCase:
    """An offer that a delivery is about. It names an application, no person."""

    told: _Told
    said: Offer
    offer_id: str
    application_id: str | None

    @classmethod
    def of(cls, told: _Told) -> _OfferCase:
        said = Offer.read(told.data)
        return cls(
            told,
            said,
            _required(said.offer_id, "data.offer.id"),
            _required(said.application_id, "data.offer.applicationId"),
        )

    def touchpoint(
        self, kind: type[Touchpoint], fact: str, when: Moment, **fields: Any
    ) -> Touchpoint:
        return self.told.touchpoint(
            kind,
            f"offer/{self.offer_id}/{fact}",
            when,
            application_id=self.told.scoped(self.application_id),
            **fields,
        )

    def offer(self, kind: type[Touchpoint], fact: str, when: Moment) -> Touchpoint:
        """A fact of this version of the offer; signing tells it too, and nothing but its ids."""
        event_id = f"{fact}/{self.said.version_id or 'any'}"
        return self.touchpoint(kind, event_id, when, offer_id=self.told.scoped(self.offer_id))

    def author(self) -> Actor | None:
        return self.told.person(self.said.author_id)

    def decided(self) -> Touchpoint:
        """Once an offer, whatever versions follow; the first of them says when."""
        return self.touchpoint(
            OfferDecided,
            "decided",
            self.told.moment(self.said.first_created_at),
            offer_id=self.told.scoped(self.offer_id),
            actor=self.author(),
        )

    def status(self) -> str:
        """Where it stands; `offerStatus` knows of approval, `acceptanceStatus` does not."""
        said = self.said
        own = _OFFER_STATUSES.get(said.offer_status)
        return own or _OFFER_STATUSES.get(said.acceptance_status, "unsent")

    def answer(self) -> list[Touchpoint]:
        """What the candidate said, if they did."""
        when = self.told.moment(self.said.decided_at)
        if self.status() == "accepted":
            return [self.offer(OfferAccepted, "accepted", when)]
        if self.status() == "declined":
            return [self.offer(OfferDeclined, "declined", when)]
        return []

    def sent(self) -> Touchpoint:
        # Nothing says when; the version was made before it was approved.
        return self.offer(OfferSent, "sent", self.told.received())

    def cancelled(self) -> Touchpoint:
        when = self.told.moment(self.said.decided_at, "inferred")
        if self.said.is_approved:
            return self.offer(OfferRescinded, "rescinded", when)
        # Unapproved, it never went out, and there is nothing to take back from the candidate.
        label = "offer cancelled before it was sent"
        return self.touchpoint(UnrecognisedTouchpoint, "cancelled", when, label=label)

    def translation(self, touchpoints: Iterable[Touchpoint]) -> Translation:
        # The offer is a key too: a signature request names nothing else.
        person = self.told.keys(application=self.application_id, offer=self.offer_id)
        return Translation(tuple(Statement(touchpoint, person) for touchpoint in touchpoints))


_OFFER_STATUSES = {
    "waitingonapprovalstart": "unsent",
    "waitingonofferapproval": "unsent",
    "waitingonapprovaldefinition": "unsent",
    "waitingoncandidateresponse": "sent",
    "candidateaccepted": "accepted",
    "candidaterejected": "declined",
    "offercancelled": "cancelled",
    # Of `acceptanceStatus`, for a payload without the other.
    "waitingonresponse": "sent",
    "accepted": "accepted",
    "declined": "declined",
    "cancelled": "cancelled",
}


def _offer(told: _Told) -> Translation:
    """`offerCreate` and `offerUpdate`: all that the state of an offer shows."""
    case = _OfferCase.of(told)
    facts = [case.decided(), *case.answer()]
    if case.status() == "sent":
        facts.append(case.sent())
    elif case.status() == "cancelled":
        facts.append(case.cancelled())
    return case.translation(facts)


def _offer_deleted(told: _Told) -> Translation:
    """Whether it was out is not said, so nothing is taken back by it."""
    case = _OfferCase.of(told)
    deleted = case.touchpoint(UnrecognisedTouchpoint, "deleted", told.received(), label=told.action)
    return case.translation([deleted])


# --- signatures, surveys --------------------------------------------------------------------


def _signature(told: _Told) -> Translation:
    """An e-signature of an offer, or of something else about an application."""
    said = told.data if isinstance(told.data, dict) else {}
    event = said.get("eventType")
    step = event if event in ("sent", "completed", "cancelled", "deleted") else "of unknown status"
    if said.get("relatedEntityType") == "offer":
        return _offer_signature(told, said, step)
    application_id = _required(opaque_id(said.get("applicationId")), "data.applicationId")
    kind, fields = _SIGNATURES.get(step) or _kept_signature(step)
    touchpoint = told.touchpoint(
        kind,
        f"application/{application_id}/signature/{told.click()}",
        told.received(),
        application_id=told.scoped(application_id),
        **fields,
    )
    return Translation((Statement(touchpoint, told.keys(application=application_id)),))


_Kept = tuple[type[Touchpoint], dict[str, str]]
_SIGNATURES: dict[str, _Kept] = {
    "sent": (InformationRequested, {"what": "signature"}),
    "completed": (InformationProvided, {"what": "signature"}),
}


def _kept_signature(step: str) -> _Kept:
    """A request that was called off says nothing else: it may be sent again, mended."""
    return UnrecognisedTouchpoint, {"label": f"signature request {step}"}


def _offer_signature(told: _Told, said: dict[str, Any], step: str) -> Translation:
    """Sent for signing is sent, and signed is accepted: the same facts as the offer's statuses."""
    offer_id = _required(opaque_id(said.get("offerId")), "data.offerId")
    offer = Offer.read({"offer": {"latestVersion": {"id": said.get("offerVersionId")}}})
    case = _OfferCase(told, offer, offer_id, None)
    if step == "sent":
        return case.translation([case.sent()])
    if step == "completed":
        return case.translation([case.offer(OfferAccepted, "accepted", told.received())])
    kind, fields = _kept_signature(step)
    return case.translation(
        [case.touchpoint(kind, f"signature/{told.click()}", told.received(), **fields)]
    )


def _survey_answered(told: _Told) -> Translation:
    said = Survey.read(told.data)
    submission = _required(said.submission_id, "data.surveySubmission.id")
    candidate_id = _required(said.candidate_id, "data.surveySubmission.candidateId")
    kind, fields = _meaning_of_survey(told, said)
    touchpoint = told.touchpoint(
        kind,
        f"survey/{submission}",
        told.moment(said.submitted_at),
        application_id=told.scoped(said.application_id),
        channel="survey",
        **fields,
    )
    person = told.keys(candidate=candidate_id, application=said.application_id)
    is_wanted = kind is SurveyAnswered and said.answers
    comment = Personal(text={"comment": "\n".join(said.answers)}) if is_wanted else None
    return Translation((Statement(touchpoint, person, comment),))


def _meaning_of_survey(told: _Told, said: Survey) -> tuple[type[Touchpoint], dict[str, Any]]:
    """A survey about how it was, questions of the employer's, or consent and statistics."""
    if said.survey_type == "CandidateExperience":
        return SurveyAnswered, {"survey_id": told.scoped(said.form_id)}
    if said.survey_type == "Questionnaire":
        return InformationProvided, {"what": "questionnaire"}
    return UnrecognisedTouchpoint, {"label": told.action}


_HANDLERS: dict[str, Callable[[_Told], Translation]] = {
    "applicationSubmit": _application_submitted,
    "applicationUpdate": _application_updated,
    "candidateStageChange": _stage_changed,
    "candidateHire": _hired,
    "candidateDelete": _candidate_deleted,
    "candidateMerge": _candidates_merged,
    "interviewScheduleCreate": _scheduled,
    "interviewScheduleUpdate": _scheduled,
    "offerCreate": _offer,
    "offerUpdate": _offer,
    "offerDelete": _offer_deleted,
    "signatureRequestUpdate": _signature,
    "surveySubmit": _survey_answered,
    "pushToHRIS": _pushed_to_hris,
}
"""Action about a candidate → what it says. The other documented actions are about jobs."""
