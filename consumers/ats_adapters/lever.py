"""Lever: ten events, ids alone, a signature inside the body that does not cover what it says.

**What is proven.** `signature` covers `token` and `triggeredAt`. A delivery that passes shows that
a holder of a signature token triggered something at that moment, and no more: `event` and `data`
are not signed, so whoever once saw a delivery can send another story under its token. What a
delivery says is therefore as sure as the way it came (HTTPS, an address nobody else knows). There
is no replay window: people may press "Rerun" on any delivery of the last two weeks, and retries
come late. A replay changes nothing, since it tells the same touchpoints again.

One touchpoint per fact, so ids are made from the fact: the opportunity, what happened, and the
time Lever gives it where the same may happen twice. `token` and `id` name a delivery and are not
used. An opportunity is created, hired and deleted once; archived once a time (`archivedAt`).

- A hire may be told twice, by `candidateHired` and as an archiving with a reason of the type
  "hired": both give the same touchpoint. Hired, unarchived and hired again counts as one hire.
- An archive reason is an id. The connection's `archive_reasons` says what it means; without it
  nothing is concluded, because it may be a rejection, a withdrawal or a hire: the archiving is
  kept as an `unrecognised_touchpoint` until the reason is configured and the delivery redriven.
- `interviewCreated` has no time, and `interviewUpdated` does not say what was updated, so it is no
  move. A calendar, or a poll of Lever, has to tell when an interview is.

Facts: facts/ats.md §2. Payloads: schemas/ats/lever.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from consumers.ats_adapters.adapter import Delivery, Probe, Translation
from consumers.ats_adapters.told import Told, json_object
from consumers.connections import Connection
from consumers.errors import Untranslatable
from consumers.webhooks.signatures import verify_lever
from schemas.ats.lenient import part, plain_id
from schemas.ats.lever import EVENTS, Archived, Event, instant, moment
from schemas.event import Moment, Touchpoint
from schemas.identifiers import PersonKey
from schemas.statement import Statement
from schemas.touchpoints import (
    ApplicationReopened,
    ApplicationSubmitted,
    Hired,
    InterviewCancelled,
    InterviewScheduled,
    StageChanged,
    UnrecognisedTouchpoint,
    Withdrew,
)

_A_WORD = re.compile(r"^[a-z][A-Za-z]{0,59}\Z")


class Lever:
    """The adapter of Lever webhooks."""

    name = "lever"
    success_code = 200
    refusal_code = 401
    content_types = frozenset({"application/json"})

    def verify(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
    ) -> None:
        """The signature inside the body. Each event type has a signature token of its own; they
        are all secrets of the connection, and any of them will do. Raises NotAuthentic."""
        verify_lever(body, secrets)

    def is_probe(self, headers: Mapping[str, str], body: Any | None, method: str) -> Probe | None:
        """The test that "Verify" sends: a `candidateHired` about nobody."""
        if isinstance(body, dict) and isinstance(body.get("event"), str) and body.get("data") == {}:
            return Probe("webhook test")
        return None

    def reference(
        self, headers: Mapping[str, str], body: Any | None, connection: Connection
    ) -> str | None:
        """The contact, who is the person; else the opportunity."""
        data = part(body, "data")
        return plain_id(data.get("contactId")) or plain_id(data.get("opportunityId"))

    def translate(self, delivery: Delivery, connection: Connection) -> Translation:
        """What the delivery says. Raises Untranslatable."""
        # Not even the example in Lever's documentation is JSON: it lacks a comma, and has one
        # too many.
        document = json_object(delivery.body)
        said = Event.read(document)
        if said.event is None:
            raise Untranslatable("event is missing")
        if said.event not in EVENTS:
            # Anything but a plain word may be personal, and reasons are not sealed.
            word = f" {said.event}" if _A_WORD.match(said.event) else ""
            return Translation(context=f"unknown event{word}")
        if said.is_test:
            return Translation(context="a test of the webhook")
        return _HANDLERS[said.event](LeverTold(delivery, connection, said.event, document, said))


@dataclass(frozen=True, slots=True)
class LeverTold(Told):
    """A delivery of Lever's, and what of it is there."""

    said: Event

    def person(self) -> tuple[PersonKey, ...]:
        """Every key there is: the contact is the person, the others lead to it."""
        said = self.said
        return self.keys(
            contact=said.contact_id, opportunity=said.opportunity_id, interview=said.interview_id
        )

    def triggered(self) -> Moment:
        """When Lever says it happened; a time that cannot be read is unknown."""
        return moment(self.said.triggered_at) or self.received()

    def stamp(self) -> str:
        """Tells two events of one kind apart, and not an event from its retry or rerun."""
        return _required(_time(self.said.triggered_at), "triggeredAt")

    def opportunity(self) -> str:
        return "opportunity/" + _required(self.said.opportunity_id, "data.opportunityId")

    def translation(
        self, kind: type[Touchpoint], event_id: str, when: Moment | None = None, **fields: Any
    ) -> Translation:
        return Translation((self.statement(kind, event_id, when or self.triggered(), **fields),))

    def statement(
        self, kind: type[Touchpoint], event_id: str, when: Moment, **fields: Any
    ) -> Statement:
        application_id = self.scoped(self.said.opportunity_id)
        touchpoint = self.touchpoint(kind, event_id, when, application_id=application_id, **fields)
        return Statement(touchpoint, self.person())


def _required(found: str | None, path: str) -> str:
    if found is None:
        raise Untranslatable(f"{path} is missing or unreadable")
    return found


def _time(milliseconds: Any) -> str | None:
    """A time as part of an id: the number as it came, if it is one."""
    return None if instant(milliseconds) is None else str(milliseconds)


# --- opportunities --------------------------------------------------------------------------


def _application_created(told: LeverTold) -> Translation:
    # An opportunity has at most one application.
    return told.translation(ApplicationSubmitted, f"{told.opportunity()}/submitted")


def _stage_changed(told: LeverTold) -> Translation:
    opportunity, stage = told.opportunity(), _required(told.said.to_stage, "data.toStageId")
    event_id = f"{opportunity}/stage/{stage}/{told.stamp()}"
    when = told.triggered()
    moved = told.statement(StageChanged, event_id, when, stage=stage)

    def implied(kind: type[Touchpoint]) -> Statement:
        # Moved there says that it was meant, and not when it was done.
        meant = when.model_copy(update={"quality": "inferred"})
        return told.statement(kind, event_id, meant, stage=stage)

    return Translation((moved, *told.implied_by_stage(stage, implied)))


def _archive_changed(told: LeverTold) -> Translation:
    now, before = told.said.to_archived, told.said.from_archived
    if isinstance(now, Archived):
        return _archived(told, now)
    if now == "not archived":
        ended = _time(before.archived_at) if isinstance(before, Archived) else None
        event_id = f"{told.opportunity()}/unarchived/{ended or told.stamp()}"
        return told.translation(ApplicationReopened, event_id)
    # Neither archived nor unarchived, as far as we can read it: kept, and nothing concluded.
    return _kept(told, f"{told.opportunity()}/archive/{told.stamp()}")


def _archived(told: LeverTold, now: Archived) -> Translation:
    opportunity = told.opportunity()
    event_id = f"{opportunity}/archived/{_time(now.archived_at) or told.stamp()}"
    when = moment(now.archived_at) or told.triggered()
    meaning = told.connection.meaning_of_archive_reason(now.reason_id)
    if meaning == "hired":
        return told.translation(Hired, f"{opportunity}/hired", when)
    if meaning == "withdrew":
        return told.translation(Withdrew, event_id, when, reason=now.reason_id)
    if meaning == "rejected":
        return told.translation(told.kind_of_rejection(), event_id, when, reason=now.reason_id)
    return _kept(told, event_id, when)


def _hired(told: LeverTold) -> Translation:
    return told.translation(Hired, f"{told.opportunity()}/hired")


def _deleted(told: LeverTold) -> Translation:
    return _kept(told, f"{told.opportunity()}/deleted")


def _kept(told: LeverTold, event_id: str, when: Moment | None = None) -> Translation:
    """It concerns a person, and nothing that has a kind can be said of it."""
    return told.translation(UnrecognisedTouchpoint, event_id, when, label=told.action)


# --- interviews, contacts -------------------------------------------------------------------


def _interview_created(told: LeverTold) -> Translation:
    interview = _required(told.said.interview_id, "data.interviewId")
    return told.translation(
        InterviewScheduled, f"interview/{interview}/created", interview_id=told.scoped(interview)
    )


def _interview_updated(told: LeverTold) -> Translation:
    """A new time, another interviewer or a note: only a move would be news to the candidate."""
    interview = _required(told.said.interview_id, "data.interviewId")
    return _kept(told, f"interview/{interview}/updated/{told.stamp()}")


def _interview_deleted(told: LeverTold) -> Translation:
    interview = _required(told.said.interview_id, "data.interviewId")
    return told.translation(
        InterviewCancelled, f"interview/{interview}/deleted", interview_id=told.scoped(interview)
    )


def _contact_created(told: LeverTold) -> Translation:
    return _kept(told, f"contact/{_required(told.said.contact_id, 'data.contactId')}/created")


def _contact_updated(told: LeverTold) -> Translation:
    contact = _required(told.said.contact_id, "data.contactId")
    return _kept(told, f"contact/{contact}/updated/{told.stamp()}")


_HANDLERS: dict[str, Callable[[LeverTold], Translation]] = {
    "applicationCreated": _application_created,
    "candidateStageChange": _stage_changed,
    "candidateArchiveChange": _archive_changed,
    "candidateHired": _hired,
    "candidateDeleted": _deleted,
    "interviewCreated": _interview_created,
    "interviewUpdated": _interview_updated,
    "interviewDeleted": _interview_deleted,
    "contactCreated": _contact_created,
    "contactUpdated": _contact_updated,
}
"""Event → what it says; every documented one is about a person."""
