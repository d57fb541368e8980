"""Greenhouse Recruiting: 29 actions, a full object each, no event id and no event time.

One touchpoint per fact. The header `Greenhouse-Event-ID` names a delivery, so ids of touchpoints
are made from the fact itself (greenhouse_facts.py). A retry, an echo of the same fact in another
action, and what a poll finds (greenhouse_harvest.py) therefore give the same touchpoint.

Nothing is concluded from `current_stage.interviews[]`: these are definitions of the job, shared by
its candidates, without a time and without the id under which an interview is later cancelled.

`credited_to`, `recruiter` and `coordinator` are neither the person nor the actor.
Facts: facts/ats.md §1. Payloads: schemas/ats/greenhouse.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from consumers.ats_adapters import greenhouse_harvest
from consumers.ats_adapters.adapter import POLLED, Delivery, Probe, Translation
from consumers.ats_adapters.greenhouse_facts import (
    Case,
    OfferCase,
    application_submitted,
    facts_of_offer,
    offer_decided,
    prospect,
    rejected,
    sealed_profile,
    time_stamp,
)
from consumers.ats_adapters.told import Told, contact_keys, digest_of, json_object, required
from consumers.connections import Connection
from consumers.errors import Untranslatable
from consumers.webhooks.signatures import GREENHOUSE as SIGNATURE
from schemas.ats.greenhouse import ACTIONS, Offer, moment
from schemas.ats.lenient import opaque_id, part, plain_id, values
from schemas.event import Touchpoint
from schemas.statement import Statement
from schemas.touchpoints import (
    ApplicationReopened,
    Hired,
    InterviewCancelled,
    OfferRescinded,
    StageChanged,
    UnrecognisedTouchpoint,
)

_A_WORD = re.compile(r"^[a-z_]{1,60}\Z")


class Greenhouse:
    """The adapter of Greenhouse Recruiting: its webhooks, and what a poll of Harvest found."""

    name = "greenhouse"
    # "non HTTP 200" counts as failure, so 202 would be sent again six times.
    success_code = 200
    refusal_code = 401
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

    def reference(
        self, headers: Mapping[str, str], body: Any | None, connection: Connection
    ) -> str | None:
        """The candidate's id, or the application's, wherever the action has it."""
        payload = part(body, "payload")
        application = part(payload, "application")
        candidate = part(application, "candidate") or part(payload, "candidate")
        named = (
            candidate.get("id"),
            part(payload, "person").get("id"),
            payload.get("candidate_id"),
            application.get("id"),
            payload.get("application_id"),
        )
        return next((found for found in map(plain_id, named) if found), None)

    def translate(self, delivery: Delivery, connection: Connection) -> Translation:
        """What the delivery says. Raises Untranslatable."""
        if POLLED in delivery.headers:
            return greenhouse_harvest.translate(delivery, connection)
        action, payload = _opened(delivery.body)
        concern = ACTIONS.get(action)
        if concern is None:
            return Translation(context=_not_an_action(action))
        handler = _HANDLERS.get(action)
        if handler is None:
            return Translation(context=f"about a {concern}, not a candidate")
        return handler(Told(delivery, connection, action, payload))


def _opened(body: bytes) -> tuple[str, Any]:
    document = json_object(body)
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


# --- applications ---------------------------------------------------------------------------


def _prospect_added(told: Told) -> Translation:
    case = Case.of(told)
    # The action says so, whatever the field says.
    return prospect(replace(case, said=replace(case.said, is_prospect=True)))


def _application_updated(told: Told) -> Translation:
    case = Case.of(told)
    return case.kept(case.event_id("updated", told.digest()), case.last_activity())


def _application_deleted(told: Told) -> Translation:
    """It closes nothing: whoever applied has not been told, and a silence is not tidied away.

    Of a double of another application, which the action does not say, the alert is resolved by
    hand.
    """
    case = Case.of(told)
    # Its times tell when it was made and rejected, not when it was deleted.
    return case.kept(case.event_id("deleted"), told.received())


def _stage_changed(told: Told) -> Translation:
    case = Case.of(told)
    stage = case.said.stage_id or case.said.stage or "none"
    event_id = case.event_id("stage", stage, case.stamp())
    when = case.last_activity()
    if case.said.is_prospect:
        return case.kept(event_id, when)
    moved = case.statement(case.touchpoint(StageChanged, event_id, when))

    def implied(kind: type[Touchpoint]) -> Statement:
        # At a time that is inferred: moved there says that it was meant, not when it was done.
        return case.statement(case.touchpoint(kind, event_id, when), personal=False)

    return Translation((moved, *told.implied_by_stage(case.said.stage, implied)))


def _reopened(told: Told) -> Translation:
    """`unreject_candidate` and `unhire_candidate`: two facts that mean the same."""
    case = Case.of(told)
    event_id = case.event_id(told.action.removesuffix("_candidate"), case.stamp())
    if case.said.is_prospect:
        return case.kept(event_id, case.last_activity())
    touchpoint = case.touchpoint(ApplicationReopened, event_id, case.last_activity())
    return Translation((case.statement(touchpoint),))


def _hired(told: Told) -> Translation:
    case = Case.of(told)
    offer = Offer.read(case.said.offer)
    resolved = moment(offer.resolved_at)
    fact = [one for one in (offer.offer_id, offer.version, time_stamp(offer.resolved_at)) if one]
    hired = case.touchpoint(
        Hired, case.event_id("hired", *(fact or [case.stamp()])), resolved or case.last_activity()
    )
    offered = OfferCase(told, offer, case.application_id, case.said.job_id)
    # Hiring is the acceptance of an offer; its echo in `offer_updated` gets the same ids.
    facts = facts_of_offer(offered, "accepted") if case.said.offer else []
    statements = [Statement(touchpoint, case.person) for touchpoint in facts]
    return Translation((*statements, case.statement(hired)))


# --- offers ---------------------------------------------------------------------------------


def _offer(told: Told) -> Translation:
    """`offer_created`, `offer_approved`, `offer_updated`: all that one version says.

    Each action brings the whole offer, and an organisation may have switched on only some of
    them, so every fact in it is told each time, under an id that makes a repeat harmless.
    """
    case = OfferCase.of(told, Offer.read(told.payload), "payload")
    if case.said.status == "deprecated":
        return Translation(
            context="a superseded version of an offer; its successor tells what is new"
        )
    facts = facts_of_offer(case, case.said.status)
    if told.action != "offer_updated" or not facts:
        facts.insert(0, offer_decided(case))
    return case.translation(facts)


def _offer_deleted(told: Told) -> Translation:
    """An offer that was out and unanswered is taken back by deleting it; else it is tidying up."""
    case = OfferCase.of(told, Offer.read(part(told.payload, "offer")), "payload.offer")
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


def _candidate_updated(told: Told) -> Translation:
    candidate = part(told.payload, "candidate")
    candidate_id = required(opaque_id(candidate.get("id")), "payload.candidate.id")
    touchpoint = told.unrecognised(
        f"candidate/{candidate_id}/updated/{told.digest()}", told.received()
    )
    emails = values(candidate.get("email_addresses"))
    phones = values(candidate.get("phone_numbers"))
    person = (told.key("candidate", candidate_id), *contact_keys(emails, phones))
    return Translation((Statement(touchpoint, person, sealed_profile(candidate, emails, phones)),))


def _candidate_deleted(told: Told) -> Translation:
    person = part(told.payload, "person")
    candidate_id = required(opaque_id(person.get("id")), "payload.person.id")
    touchpoint = told.unrecognised(f"candidate/{candidate_id}/deleted", told.received())
    key = told.key("candidate", candidate_id)
    return Translation((Statement(touchpoint, (key,), sealed_profile(person)),))


def _candidates_merged(told: Told) -> Translation:
    person = part(told.payload, "person")
    absorbed = required(opaque_id(person.get("id")), "payload.person.id")
    survivor = required(
        opaque_id(person.get("new_candidate_id")), "payload.person.new_candidate_id"
    )
    touchpoint = told.unrecognised(f"candidate/{absorbed}/merged/{survivor}", told.received())
    return Translation(
        (
            Statement(
                touchpoint,
                (told.key("candidate", survivor),),
                sealed_profile(person),
                same_as=() if absorbed == survivor else (told.key("candidate", absorbed),),
            ),
        )
    )


def _candidate_anonymized(told: Told) -> Translation:
    """Kept as a notice: what Greenhouse forgot says nothing about what had happened."""
    said = told.payload if isinstance(told.payload, dict) else {}
    candidate_id = required(opaque_id(said.get("candidate_id")), "payload.candidate_id")
    fields = said.get("anonymized_fields")
    entries = fields if isinstance(fields, list) else []
    names = sorted({entry for entry in entries if isinstance(entry, str)})
    digest = digest_of("\n".join(names).encode())
    touchpoint = told.unrecognised(f"candidate/{candidate_id}/anonymized/{digest}", told.received())
    return Translation((Statement(touchpoint, (told.key("candidate", candidate_id),)),))


def _interview_cancelled(told: Told) -> Translation:
    """The person is known only as whose interview it is, until a poll says who that was."""
    said = part(told.payload, "interview")
    interview_id = required(opaque_id(said.get("id")), "payload.interview.id")
    touchpoint = told.touchpoint(
        InterviewCancelled,
        f"interview/{interview_id}/deleted",
        told.received(),
        interview_id=told.scoped(interview_id),
    )
    key = told.key("scheduled_interview", interview_id)
    return Translation((Statement(touchpoint, (key,)),))


def _scorecard_deleted(told: Told) -> Translation:
    said = part(told.payload, "scorecard")
    candidate_id = required(opaque_id(said.get("candidate_id")), "payload.scorecard.candidate_id")
    scorecard = opaque_id(said.get("id")) or told.digest()
    touchpoint = told.unrecognised(f"scorecard/{scorecard}/deleted", told.received())
    return Translation((Statement(touchpoint, (told.key("candidate", candidate_id),)),))


_HANDLERS: dict[str, Callable[[Told], Translation]] = {
    "new_candidate_application": application_submitted,
    "new_prospect_application": _prospect_added,
    "application_updated": _application_updated,
    "delete_application": _application_deleted,
    "candidate_stage_change": _stage_changed,
    "reject_candidate": rejected,
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
