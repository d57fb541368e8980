"""Greenhouse Recruiting: 29 actions, a full object each, no event id and no event time.

One touchpoint per fact. The header `Greenhouse-Event-ID` names a delivery, so ids of touchpoints
are made from the fact itself: application, what happened, and when Greenhouse says it did. A retry
and an echo of the same fact in another action therefore give the same touchpoint:

- an offer is *decided* once an application, whatever versions follow;
- it is *sent* once a date (`sent_on`, or `sent_at` when hiring);
- it is *accepted* or *declined* once a date (`resolved_at`; hiring tells it too);
- a version that is Deprecated tells nothing that its successor does not tell.

Nothing is concluded from `current_stage.interviews[]`: these are definitions of the job, shared by
its candidates, without a time and without the id under which an interview is later cancelled.

`credited_to`, `recruiter` and `coordinator` are neither the person nor the actor.
Facts: facts/ats.md §1. Payloads: schemas/ats/greenhouse.py.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import ValidationError

from consumers.ats_adapters.adapter import Delivery, Probe, Translation
from consumers.connections import Connection
from consumers.errors import Untranslatable
from consumers.webhooks.signatures import GREENHOUSE as SIGNATURE
from schemas.ats.greenhouse import ACTIONS, Application, Offer, instant, moment
from schemas.ats.lenient import Json, opaque_id, part, text, values
from schemas.event import Actor, Moment, Touchpoint
from schemas.identifiers import PersonKey
from schemas.personal import Personal
from schemas.registry import touchpoint_class
from schemas.statement import Statement
from schemas.touchpoints import (
    ApplicationReopened,
    ApplicationSubmitted,
    Hired,
    InterviewCancelled,
    OfferAccepted,
    OfferDecided,
    OfferDeclined,
    OfferRescinded,
    OfferSent,
    RejectionDecided,
    RejectionSent,
    StageChanged,
    UnrecognisedTouchpoint,
    Withdrew,
)

WITHDRAWN = "they rejected us"
"""Name of the rejection reason type of a withdrawal. Its id differs between organisations."""

_A_WORD = re.compile(r"^[a-z_]{1,60}$")


class Greenhouse:
    """The adapter of Greenhouse Recruiting webhooks."""

    name = "greenhouse"
    # "non HTTP 200" counts as failure, so 202 would be sent again six times.
    success_code = 200
    content_types = frozenset({"application/json"})

    def verify(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
    ) -> None:
        """HMAC of the raw body in the `Signature` header. Raises NotAuthentic."""
        SIGNATURE.verify(headers, body, secrets)

    def is_probe(self, headers: Mapping[str, str], body: Any | None, method: str) -> Probe | None:
        """The ping that is sent when a webhook is saved."""
        if isinstance(body, dict) and body.get("action") == "ping":
            return Probe("ping")
        return None

    def translate(self, delivery: Delivery, connection: Connection) -> Translation:
        """What the delivery says. Raises Untranslatable."""
        action, payload = _opened(delivery.body)
        concern = ACTIONS.get(action)
        if concern is None:
            return Translation(context=_not_an_action(action))
        handler = _HANDLERS.get(action)
        if handler is None:
            return Translation(context=f"about a {concern}, not a candidate")
        return handler(_Told(delivery, connection, connection.source_name, action, payload))


def _opened(body: bytes) -> tuple[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Untranslatable("the body is not JSON") from None
    if not isinstance(document, dict):
        raise Untranslatable("the body is not a JSON object")
    action = document.get("action")
    if not isinstance(action, str):
        hint = "; Greenhouse Onboarding is not read here" if "event_type" in document else ""
        raise Untranslatable(f"action is missing{hint}")
    return action, document.get("payload")


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
    source: str
    action: str
    payload: Any

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

    def scoped(self, some_id: str | None) -> str | None:
        """An id of this source, told apart from equal ones of other sources."""
        return None if some_id is None else f"{self.source}:{some_id}"

    def key(self, namespace: str, value: str) -> PersonKey:
        return PersonKey(f"{self.source}:{namespace}", value)

    def received(self) -> Moment:
        """When it arrived: nothing says when it happened, and a retry may be 15 hours late."""
        return Moment.of(self.delivery.received_at, quality="unknown")

    def digest(self) -> str:
        """Stands for a fact that has no time of its own: a retry has the same body."""
        return hashlib.sha256(self.delivery.body).hexdigest()[:32]

    def unrecognised(
        self, event_id: str, when: Moment, label: str | None = None, **fields: Any
    ) -> Touchpoint:
        return self.touchpoint(
            UnrecognisedTouchpoint, event_id, when, label=label or self.action, **fields
        )


def _required(found: str | None, path: str) -> str:
    if found is None:
        raise Untranslatable(f"{path} is missing or no id")
    return found


# --- applications ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    """An application that a delivery is about: its ids, its person, its fields."""

    told: _Told
    said: Application
    application_id: str
    person: tuple[PersonKey, ...]

    @classmethod
    def of(cls, told: _Told) -> _Case:
        said = Application.read(told.payload)
        application_id = _required(said.application_id, "payload.application.id")
        keys = [told.key("application", application_id)]
        if said.candidate_id is not None:
            keys.insert(0, told.key("candidate", said.candidate_id))
        return cls(told, said, application_id, (*keys, *_contact_keys(said.emails, said.phones)))

    def event_id(self, *fact: str) -> str:
        return "/".join(("application", self.application_id, *fact))

    def touchpoint(
        self, kind: type[Touchpoint], event_id: str, when: Moment, **fields: Any
    ) -> Touchpoint:
        return self.told.touchpoint(
            kind,
            event_id,
            when,
            # A prospect has not applied, so nothing may open an application for it.
            application_id=None if self.said.is_prospect else self.told.scoped(self.application_id),
            job_id=self.told.scoped(self.said.job_id),
            stage=self.said.stage,
            **fields,
        )

    def statement(self, touchpoint: Touchpoint, *, personal: bool = True) -> Statement:
        return Statement(
            touchpoint,
            self.person,
            self.profile() if personal else None,
        )

    def profile(self) -> Personal | None:
        """What the delivery says about the person, to be sealed."""
        said = self.said
        return _profile(said.candidate, said.emails, said.phones, said.rejection_details)

    def kept(self, event_id: str, when: Moment) -> Translation:
        """Nothing here is a fact of an application, and yet it concerns the person."""
        touchpoint = self.touchpoint(UnrecognisedTouchpoint, event_id, when, label=self.told.action)
        return Translation((self.statement(touchpoint),))

    def last_activity(self) -> Moment:
        """The best time there is for most actions, and an approximate one (facts §1.4)."""
        return moment(self.said.last_activity_at, "inferred") or self.told.received()

    def stamp(self) -> str:
        """Tells two events of one action apart, and not an event from its retry."""
        return _stamp(self.said.last_activity_at) or self.told.digest()


def _application_submitted(told: _Told) -> Translation:
    case = _Case.of(told)
    if case.said.is_prospect:
        return _prospect(case)
    when = moment(case.said.applied_at) or case.last_activity()
    touchpoint = case.touchpoint(ApplicationSubmitted, case.event_id("submitted"), when)
    return Translation((case.statement(touchpoint),))


def _prospect_added(told: _Told) -> Translation:
    case = _Case.of(told)
    # The action says so, whatever the field says.
    return _prospect(replace(case, said=replace(case.said, is_prospect=True)))


def _prospect(case: _Case) -> Translation:
    when = moment(case.said.applied_at) or case.last_activity()
    touchpoint = case.touchpoint(
        UnrecognisedTouchpoint, case.event_id("prospect"), when, label="new_prospect_application"
    )
    return Translation((case.statement(touchpoint),))


def _application_updated(told: _Told) -> Translation:
    case = _Case.of(told)
    return case.kept(case.event_id("updated", told.digest()), case.last_activity())


def _application_deleted(told: _Told) -> Translation:
    case = _Case.of(told)
    # Its times tell when it was made and rejected, not when it was deleted.
    return case.kept(case.event_id("deleted"), told.received())


def _stage_changed(told: _Told) -> Translation:
    case = _Case.of(told)
    stage = case.said.stage_id or case.said.stage or "none"
    event_id = case.event_id("stage", stage, case.stamp())
    when = case.last_activity()
    if case.said.is_prospect:
        return case.kept(event_id, when)
    statements = [case.statement(case.touchpoint(StageChanged, event_id, when))]
    if kind := _kind_of_stage(told.connection, case.said.stage):
        statements.append(_implied_by_stage(case, kind, event_id))
    return Translation(tuple(statements))


def _kind_of_stage(connection: Connection, stage: str | None) -> type[Touchpoint] | None:
    """What entering this stage means in this organisation, if its connection says so."""
    if stage is None or not connection.stages:
        return None
    wanted = stage.casefold()
    for name, kind in connection.stages.items():
        if name.strip().casefold() == wanted:
            found = touchpoint_class(kind)
            return None if found is StageChanged else found
    return None


def _implied_by_stage(case: _Case, kind: type[Touchpoint], event_id: str) -> Statement:
    try:
        # Moved there says that it was meant, and not when it was done.
        touchpoint = case.touchpoint(kind, event_id, case.last_activity())
    except ValidationError:
        raise Untranslatable(
            f"the connection's stages map a stage to {kind.KIND}, which needs more than a stage"
        ) from None
    return case.statement(touchpoint, personal=False)


def _rejected(told: _Told) -> Translation:
    case = _Case.of(told)
    stamp = _stamp(case.said.rejected_at) or case.stamp()
    event_id = case.event_id("rejected", stamp)
    when = moment(case.said.rejected_at) or case.last_activity()
    if case.said.is_prospect:
        return case.kept(event_id, when)
    touchpoint = case.touchpoint(
        _kind_of_rejection(case), event_id, when, reason=case.said.rejection_reason
    )
    return Translation((case.statement(touchpoint),))


def _kind_of_rejection(case: _Case) -> type[Touchpoint]:
    if (case.said.rejection_type or "").casefold() == WITHDRAWN:
        return Withdrew
    return RejectionSent if case.told.connection.rejection_is_sent else RejectionDecided


def _reopened(told: _Told) -> Translation:
    """`unreject_candidate` and `unhire_candidate`: two facts that mean the same."""
    case = _Case.of(told)
    event_id = case.event_id(told.action.removesuffix("_candidate"), case.stamp())
    if case.said.is_prospect:
        return case.kept(event_id, case.last_activity())
    touchpoint = case.touchpoint(ApplicationReopened, event_id, case.last_activity())
    return Translation((case.statement(touchpoint),))


def _hired(told: _Told) -> Translation:
    case = _Case.of(told)
    offer = Offer.read(case.said.offer)
    resolved = moment(offer.resolved_at)
    fact = [one for one in (offer.offer_id, offer.version, _stamp(offer.resolved_at)) if one]
    hired = case.touchpoint(
        Hired, case.event_id("hired", *(fact or [case.stamp()])), resolved or case.last_activity()
    )
    offered = _OfferCase(told, offer, case.application_id, case.said.job_id)
    # Hiring is the acceptance of an offer; its echo in `offer_updated` gets the same ids.
    facts = _facts_of(offered, "accepted") if case.said.offer else []
    statements = [Statement(touchpoint, case.person) for touchpoint in facts]
    return Translation((*statements, case.statement(hired)))


# --- offers ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _OfferCase:
    """One version of an offer that a delivery is about. It names an application, no person."""

    told: _Told
    said: Offer
    application_id: str
    job_id: str | None

    @classmethod
    def of(cls, told: _Told, said: Offer, path: str) -> _OfferCase:
        application_id = _required(said.application_id, f"{path}.application_id")
        return cls(told, said, application_id, said.job_id)

    def touchpoint(
        self, kind: type[Touchpoint], fact: str, when: Moment, **fields: Any
    ) -> Touchpoint:
        return self.told.touchpoint(
            kind,
            f"application/{self.application_id}/offer/{fact}",
            when,
            application_id=self.told.scoped(self.application_id),
            job_id=self.told.scoped(self.job_id),
            **fields,
        )

    @property
    def version(self) -> str:
        """Which version this is, for facts that have no time of their own."""
        return f"{self.said.offer_id or ''}.{self.said.version or ''}"

    def offer_id(self) -> str | None:
        return self.told.scoped(self.said.offer_id)

    def owner(self) -> Actor | None:
        """The user whose offer it is."""
        owner = self.said.owner_id
        return None if owner is None else Actor(type="person", id=self.told.scoped(owner))

    def translation(self, touchpoints: list[Touchpoint]) -> Translation:
        person = (self.told.key("application", self.application_id),)
        notes = Personal(text={"notes": self.said.notes}) if self.said.notes else None
        return Translation(
            tuple(
                Statement(touchpoint, person, notes if index == 0 else None)
                for index, touchpoint in enumerate(touchpoints)
            )
        )


def _offer(told: _Told) -> Translation:
    """`offer_created`, `offer_approved`, `offer_updated`: all that one version says.

    Each action brings the whole offer, and an organisation may have switched on only some of
    them, so every fact in it is told each time, under an id that makes a repeat harmless.
    """
    case = _OfferCase.of(told, Offer.read(told.payload), "payload")
    if case.said.status == "deprecated":
        return Translation(
            context="a superseded version of an offer; its successor tells what is new"
        )
    facts = _facts_of(case, case.said.status)
    if told.action != "offer_updated" or not facts:
        facts.insert(0, _offer_decided(case, told))
    return case.translation(facts)


def _offer_decided(case: _OfferCase, told: _Told) -> Touchpoint:
    # No payload says when; at the latest it was when the offer went out.
    known = moment(case.said.sent_on, "inferred") or moment(case.said.resolved_at, "inferred")
    return case.touchpoint(
        OfferDecided,
        "decided",
        known or told.received(),
        offer_id=case.offer_id(),
        actor=case.owner(),
    )


def _facts_of(case: _OfferCase, status: str) -> list[Touchpoint]:
    """Sending and answer, as far as this version tells them."""
    said = case.said
    facts = []
    if sent := _day(said.sent_on):
        when = moment(said.sent_on) or case.told.received()
        facts.append(
            case.touchpoint(
                OfferSent, f"sent/{sent}", when, offer_id=case.offer_id(), actor=case.owner()
            )
        )
    if kind := _ANSWERS.get(status):
        day = _day(said.resolved_at) or case.version
        when = moment(said.resolved_at) or case.told.received()
        fact = f"{_ANSWER_WORDS[kind]}/{day}"
        facts.append(case.touchpoint(kind, fact, when, offer_id=case.offer_id()))
    return facts


_ANSWERS: dict[str, type[Touchpoint]] = {"accepted": OfferAccepted, "rejected": OfferDeclined}
_ANSWER_WORDS: dict[type[Touchpoint], str] = {OfferAccepted: "accepted", OfferDeclined: "declined"}


def _offer_deleted(told: _Told) -> Translation:
    """An offer that was out and unanswered is taken back by deleting it; else it is tidying up."""
    case = _OfferCase.of(told, Offer.read(part(told.payload, "offer")), "payload.offer")
    fact = f"deleted/{case.version}"
    was_open = case.said.status in ("created", "unresolved")
    if was_open and case.said.sent_on:
        touchpoint = case.touchpoint(
            OfferRescinded, fact, told.received(), offer_id=case.offer_id()
        )
    else:
        touchpoint = case.touchpoint(
            UnrecognisedTouchpoint, fact, told.received(), label=told.action
        )
    return case.translation([touchpoint])


# --- people, interviews, scorecards ---------------------------------------------------------


def _candidate_updated(told: _Told) -> Translation:
    candidate = part(told.payload, "candidate")
    candidate_id = _required(opaque_id(candidate.get("id")), "payload.candidate.id")
    touchpoint = told.unrecognised(
        f"candidate/{candidate_id}/updated/{told.digest()}", told.received()
    )
    emails = values(candidate.get("email_addresses"))
    phones = values(candidate.get("phone_numbers"))
    person = (told.key("candidate", candidate_id), *_contact_keys(emails, phones))
    return Translation((Statement(touchpoint, person, _profile(candidate, emails, phones)),))


def _candidate_deleted(told: _Told) -> Translation:
    person = part(told.payload, "person")
    candidate_id = _required(opaque_id(person.get("id")), "payload.person.id")
    touchpoint = told.unrecognised(f"candidate/{candidate_id}/deleted", told.received())
    key = told.key("candidate", candidate_id)
    return Translation((Statement(touchpoint, (key,), _profile(person)),))


def _candidates_merged(told: _Told) -> Translation:
    person = part(told.payload, "person")
    absorbed = _required(opaque_id(person.get("id")), "payload.person.id")
    survivor = _required(
        opaque_id(person.get("new_candidate_id")), "payload.person.new_candidate_id"
    )
    touchpoint = told.unrecognised(f"candidate/{absorbed}/merged/{survivor}", told.received())
    return Translation(
        (
            Statement(
                touchpoint,
                (told.key("candidate", survivor),),
                _profile(person),
                same_as=() if absorbed == survivor else (told.key("candidate", absorbed),),
            ),
        )
    )


def _candidate_anonymized(told: _Told) -> Translation:
    """Kept as a notice: what Greenhouse forgot says nothing about what had happened."""
    said = told.payload if isinstance(told.payload, dict) else {}
    candidate_id = _required(opaque_id(said.get("candidate_id")), "payload.candidate_id")
    fields = said.get("anonymized_fields")
    entries = fields if isinstance(fields, list) else []
    names = sorted(entry for entry in entries if isinstance(entry, str))
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]
    touchpoint = told.unrecognised(f"candidate/{candidate_id}/anonymized/{digest}", told.received())
    return Translation((Statement(touchpoint, (told.key("candidate", candidate_id),)),))


def _interview_cancelled(told: _Told) -> Translation:
    """The person is known only as whose interview it is, until a poll says who that was."""
    said = part(told.payload, "interview")
    interview_id = _required(opaque_id(said.get("id")), "payload.interview.id")
    touchpoint = told.touchpoint(
        InterviewCancelled,
        f"interview/{interview_id}/deleted",
        told.received(),
        interview_id=told.scoped(interview_id),
    )
    key = told.key("scheduled_interview", interview_id)
    return Translation((Statement(touchpoint, (key,)),))


def _scorecard_deleted(told: _Told) -> Translation:
    said = part(told.payload, "scorecard")
    candidate_id = _required(opaque_id(said.get("candidate_id")), "payload.scorecard.candidate_id")
    scorecard = opaque_id(said.get("id")) or told.digest()
    touchpoint = told.unrecognised(f"scorecard/{scorecard}/deleted", told.received())
    return Translation((Statement(touchpoint, (told.key("candidate", candidate_id),)),))


# --- shared ---------------------------------------------------------------------------------


def _contact_keys(emails: tuple[str, ...], phones: tuple[str, ...]) -> list[PersonKey]:
    """The candidate's own addresses and numbers; never those of recruiters or referrers."""
    keys = [PersonKey("email", value) for value in emails]
    keys += [PersonKey("phone", value) for value in phones]
    return keys


def _profile(
    candidate: Json,
    emails: tuple[str, ...] = (),
    phones: tuple[str, ...] = (),
    rejection_details: tuple[str, ...] = (),
) -> Personal | None:
    """What is personal in a candidate or person object, to be sealed."""
    if not candidate and not rejection_details:
        return None
    first, last = text(candidate.get("first_name")), text(candidate.get("last_name"))
    words = {}
    for key in ("title", "company", "headline"):
        if (found := text(candidate.get(key))) is not None:
            words[key] = found
    if rejection_details:
        words["rejection_details"] = "\n".join(rejection_details)
    personal = Personal(
        name=f"{first} {last}" if first and last else first or last,
        emails=emails,
        phones=phones,
        addresses=values(candidate.get("addresses")),
        links=values(candidate.get("website_addresses"))
        + values(candidate.get("social_media_addresses")),
        text=words,
    )
    return None if personal.is_empty() else personal


def _stamp(value: Any) -> str | None:
    """A time as part of an id: to the second in UTC, because the same time is also sent with ms."""
    found = instant(value)
    return None if found is None else found[0].astimezone(UTC).isoformat(timespec="seconds")


def _day(value: Any) -> str | None:
    """A date as part of an id: offers are dated by day in one action and by time in another."""
    found = instant(value)
    if found is not None:
        return found[0].astimezone(UTC).date().isoformat()
    unreadable = text(value)
    return None if unreadable is None else hashlib.sha256(unreadable.encode()).hexdigest()[:16]


_HANDLERS: dict[str, Callable[[_Told], Translation]] = {
    "new_candidate_application": _application_submitted,
    "new_prospect_application": _prospect_added,
    "application_updated": _application_updated,
    "delete_application": _application_deleted,
    "candidate_stage_change": _stage_changed,
    "reject_candidate": _rejected,
    "unreject_candidate": _reopened,
    "unhire_candidate": _reopened,
    "hire_candidate": _hired,
    "offer_created": _offer,
    "offer_approved": _offer,
    "offer_updated": _offer,
    "offer_deleted": _offer_deleted,
    "update_candidate": _candidate_updated,
    "delete_candidate": _candidate_deleted,
    "merge_candidate": _candidates_merged,
    "candidate_anonymized": _candidate_anonymized,
    "interview_deleted": _interview_cancelled,
    "scorecard_deleted": _scorecard_deleted,
}
"""Action about a candidate → what it says. The other documented actions are about jobs."""
