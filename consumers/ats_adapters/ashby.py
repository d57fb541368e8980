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

`creditedToUser` and the hiring team are neither the person nor the actor.
Interviews are read in ashby_interviews.py, offers and signatures in ashby_offers.py.
Facts: facts/ats.md §3. Payloads: schemas/ats/ashby.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from consumers.ats_adapters.adapter import Delivery, Probe, Translation
from consumers.ats_adapters.ashby_interviews import schedule_changed
from consumers.ats_adapters.ashby_offers import (
    OfferCase,
    offer_changed,
    offer_deleted,
    signature_changed,
)
from consumers.ats_adapters.ashby_told import AshbyTold, stamp
from consumers.ats_adapters.told import contact_keys, json_object, required
from consumers.connections import ArchiveMeaning, Connection
from consumers.errors import Untranslatable
from consumers.webhooks.signatures import ASHBY as SIGNATURE
from schemas.ats.ashby import ACTIONS, Application, Offer, Survey
from schemas.ats.lenient import Json, opaque_id, part, plain_id
from schemas.event import Moment, Touchpoint
from schemas.identifiers import PersonKey
from schemas.personal import Personal
from schemas.statement import Statement
from schemas.touchpoints import (
    ApplicationReopened,
    ApplicationSubmitted,
    Hired,
    InformationProvided,
    StageChanged,
    SurveyAnswered,
    UnrecognisedTouchpoint,
    Withdrew,
)

_A_WORD = re.compile(r"^[a-z][A-Za-z]{0,59}\Z")


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
        return handler(AshbyTold(delivery, connection, action, document.get("data"), click))


def _opened(body: bytes) -> Json:
    document = json_object(body)
    if not isinstance(document.get("action"), str):
        raise Untranslatable("action is missing")
    return document


def _not_an_action(action: str) -> str:
    if action == "ping":
        return "a ping"
    # Anything but a plain word may be personal, and reasons are not sealed.
    return f"unknown action {action}" if _A_WORD.match(action) else "unknown action"


# --- applications ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    """An application that a delivery is about: its ids, its person, its fields."""

    told: AshbyTold
    said: Application
    application_id: str

    @classmethod
    def of(cls, told: AshbyTold) -> _Case:
        said = Application.read(told.payload)
        return cls(told, said, required(said.application_id, "data.application.id"))

    def event_id(self, *fact: str) -> str:
        return "/".join(("application", self.application_id, *fact))

    def person(self) -> tuple[PersonKey, ...]:
        said = self.said
        return (
            *self.told.keys(candidate=said.candidate_id, application=self.application_id),
            *contact_keys(said.emails, said.phones),
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


def _application_submitted(told: AshbyTold) -> Translation:
    case = _Case.of(told)
    if case.said.is_lead:
        return Translation((case.kept(case.event_id("lead")),))
    created = case.said.created_at
    when = case.updated() if created is None else Moment.of(created)
    event_id = case.event_id("submitted")
    submitted = case.statement(ApplicationSubmitted, event_id, when, stage=case.said.stage)
    return Translation((submitted,))


def _application_updated(told: AshbyTold) -> Translation:
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
    if said.is_active and said.archived_at is not None:
        event_id = case.event_id("reopened", stamp(said.archived_at))
        return (case.statement(ApplicationReopened, event_id, case.updated()),)
    return ()


def _archived(case: _Case) -> Statement:
    said = case.said
    event_id = case.event_id(
        "archived", case.told.click() if said.archived_at is None else stamp(said.archived_at)
    )
    when = case.updated() if said.archived_at is None else Moment.of(said.archived_at)
    configured = case.told.connection.meaning_of_archive_reason(said.reason_id)
    meaning = _REASON_TYPES.get(said.reason_type) or configured
    if meaning == "hired":
        return case.statement(Hired, case.event_id("hired"), when)
    if meaning == "withdrew":
        return case.statement(Withdrew, event_id, when, reason=said.reason)
    if meaning == "rejected":
        return case.statement(case.told.kind_of_rejection(), event_id, when, reason=said.reason)
    return case.statement(UnrecognisedTouchpoint, event_id, when, label="archived")


_REASON_TYPES: dict[str, ArchiveMeaning] = {
    "rejectedbyorg": "rejected",
    "rejectedbycandidate": "withdrew",
}
"""Type of an archive reason → what it means. "Other" says nothing, such as a closed job."""


def _stage_changed(told: AshbyTold) -> Translation:
    case = _Case.of(told)
    said = case.said
    event_id = case.event_id("stage", said.stage_id or said.stage or "none", told.click())
    if said.is_lead:
        return Translation((case.kept(event_id),))
    settled = _settled(case)
    if said.is_hired or said.is_archived:
        return Translation(settled)
    moved = case.statement(StageChanged, event_id, case.updated(), stage=said.stage)

    def implied(kind: type[Touchpoint]) -> Statement:
        # At a time that is inferred: moved there says that it was meant, not when it was done.
        return case.statement(kind, event_id, case.updated(), stage=said.stage)

    return Translation((*settled, moved, *told.implied_by_stage(said.stage, implied)))


def _hired(told: AshbyTold) -> Translation:
    case = _Case.of(told)
    hired = case.statement(Hired, case.event_id("hired"), case.updated())
    said = Offer.read(told.payload)
    if said.offer_id is None:
        return Translation((hired,))
    # The acceptance is told by `offerUpdate` too, under the same id.
    offered = OfferCase(told, said, said.offer_id, case.application_id)
    return Translation((*(Statement(fact, case.person()) for fact in offered.answer()), hired))


def _pushed_to_hris(told: AshbyTold) -> Translation:
    case = _Case.of(told)
    return Translation((case.kept(case.event_id("pushed to HRIS", told.click())),))


# --- candidates -----------------------------------------------------------------------------


def _candidate_deleted(told: AshbyTold) -> Translation:
    found = opaque_id(part(told.payload, "candidate").get("id"))
    candidate_id = required(found, "data.candidate.id")
    touchpoint = told.unrecognised(f"candidate/{candidate_id}/deleted", told.received())
    return Translation((Statement(touchpoint, told.keys(candidate=candidate_id)),))


def _candidates_merged(told: AshbyTold) -> Translation:
    deleted, merged = part(told.payload, "deletedCandidate"), part(told.payload, "mergedCandidate")
    absorbed = required(opaque_id(deleted.get("id")), "data.deletedCandidate.id")
    survivor = required(opaque_id(merged.get("id")), "data.mergedCandidate.id")
    touchpoint = told.unrecognised(f"candidate/{absorbed}/merged/{survivor}", told.received())
    same_as = () if absorbed == survivor else told.keys(candidate=absorbed)
    return Translation((Statement(touchpoint, told.keys(candidate=survivor), same_as=same_as),))


# --- surveys --------------------------------------------------------------------------------


def _survey_answered(told: AshbyTold) -> Translation:
    said = Survey.read(told.payload)
    submission = required(said.submission_id, "data.surveySubmission.id")
    candidate_id = required(said.candidate_id, "data.surveySubmission.candidateId")
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


def _meaning_of_survey(told: AshbyTold, said: Survey) -> tuple[type[Touchpoint], dict[str, Any]]:
    """A survey about how it was, questions of the employer's, or consent and statistics."""
    if said.survey_type == "CandidateExperience":
        return SurveyAnswered, {"survey_id": told.scoped(said.form_id)}
    if said.survey_type == "Questionnaire":
        return InformationProvided, {"what": "questionnaire"}
    return UnrecognisedTouchpoint, {"label": told.action}


_HANDLERS: dict[str, Callable[[AshbyTold], Translation]] = {
    "applicationSubmit": _application_submitted,
    "applicationUpdate": _application_updated,
    "candidateStageChange": _stage_changed,
    "candidateHire": _hired,
    "candidateDelete": _candidate_deleted,
    "candidateMerge": _candidates_merged,
    "interviewScheduleCreate": schedule_changed,
    "interviewScheduleUpdate": schedule_changed,
    "offerCreate": offer_changed,
    "offerUpdate": offer_changed,
    "offerDelete": offer_deleted,
    "signatureRequestUpdate": signature_changed,
    "surveySubmit": _survey_answered,
    "pushToHRIS": _pushed_to_hris,
}
"""Action about a candidate → what it says. The other documented actions are about jobs."""
