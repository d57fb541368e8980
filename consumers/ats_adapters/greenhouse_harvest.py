"""What a poll of Greenhouse Harvest found, as touchpoints.

Each object is a delivery of its own, as it was listed. Three kinds of facts come only this way,
since no webhook tells them: times of interviews, e-mails, notes. Applications, rejections and
offers are told by both; their ids are made in greenhouse_facts.py, so they count once. Whatever is
found is marked late and keeps the time at which Greenhouse says that it happened.

An interview stands in the list as it is *now*. Only the poller knows how it stood before, and
says so in a header; that is how a moved interview is told from a new one, and from a second look:

- *scheduled* once an interview, at its first sight;
- *moved* when its times are others than at the last look, unless both lie in the past: whoever
  corrects a calendar afterwards tells the candidate nothing;
- *held* from its end, when Greenhouse waits for feedback or has it. It says so when the time is
  over and knows no more than that, so this is inferred.

Of a feed of activities, stage changes and rejections are left out: the webhook tells the first,
the application itself the second, and the text of an activity is not to be relied on (its dates
contradict its time). Which way an e-mail went is read from the candidate's own addresses; one
that neither came from them nor went to them (a team's talk) is kept as unrecognised.

Facts: facts/ats.md §1.4 to 1.6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from email.utils import getaddresses
from typing import Any

import orjson

from consumers.ats_adapters.adapter import BEFORE, POLLED, Delivery, Translation
from consumers.ats_adapters.greenhouse_facts import (
    OfferCase,
    application_submitted,
    facts_of_offer,
    offer_decided,
    rejected,
    time_stamp,
)
from consumers.ats_adapters.told import Told, digest_of, json_object, required
from consumers.connections import Connection
from consumers.errors import Untranslatable
from journey.identity import normal_email
from schemas.ats.greenhouse import Offer, ScheduledInterview, moment
from schemas.ats.lenient import Json, objects, opaque_id, part, text, values
from schemas.event import Actor, Moment, Touchpoint
from schemas.personal import Personal
from schemas.statement import Statement
from schemas.touchpoints import (
    InterviewHeld,
    InterviewMoved,
    InterviewScheduled,
    MessageReceived,
    MessageSent,
    ScorecardSubmitted,
    UnrecognisedTouchpoint,
)

HELD = frozenset({"awaiting_feedback", "complete"})
"""States of an interview whose time is over."""

_TOLD_ELSEWHERE = frozenset({"candidate stage change", "candidate rejected"})


def translate(delivery: Delivery, connection: Connection) -> Translation:
    """What a polled object says. Raises Untranslatable."""
    endpoint = delivery.headers[POLLED]
    handler = _HANDLERS.get(endpoint)
    if handler is None:
        raise Untranslatable("it was polled from a list that is not read here")
    return handler(Told(delivery, connection, endpoint, json_object(delivery.body)))


# --- candidates -----------------------------------------------------------------------------


def _candidate(told: Told) -> Translation:
    """Its applications: that they were made, and rejections. Both name the person by every key."""
    candidate = told.payload
    candidate_id = required(opaque_id(candidate.get("id")), "id")
    said: list[Statement] = []
    for application in objects(candidate.get("applications")):
        # The stage is the one of now; it was another when the application was sent.
        sent = _as_pushed(told, candidate, application, current_stage=None)
        said += application_submitted(sent).statements
        if text(application.get("rejected_at")) is not None:
            details = part(part(application, "rejection_details"), "keyed_custom_fields")
            no = _as_pushed(
                told, candidate, application, rejection_details={"custom_fields": details}
            )
            said += rejected(no).statements
    if said:
        return Translation(tuple(said))
    return Translation(context=f"candidate {candidate_id} has no application")


def _as_pushed(told: Told, candidate: Json, application: Json, **changes: Any) -> Told:
    """An application as a webhook would have told it, so that both are read in one place."""
    pushed = {**application, "candidate": candidate, **changes}
    return replace(told, payload={"application": pushed})


# --- offers ---------------------------------------------------------------------------------


def _offer(told: Told) -> Translation:
    case = OfferCase.of(told, Offer.read(told.payload), "the offer")
    if case.said.status == "deprecated":
        return Translation(
            context="a superseded version of an offer; its successor tells what is new"
        )
    return case.translation([offer_decided(case), *facts_of_offer(case, case.said.status)])


# --- interviews -----------------------------------------------------------------------------


def before(body: bytes) -> bytes:
    """What of an interview's version matters to the next one, for the header BEFORE."""
    said = ScheduledInterview.read(_loaded(body))
    return orjson.dumps(
        {"starts_at": said.starts_at, "ends_at": said.ends_at, "held": said.status in HELD}
    )


def _interview(told: Told) -> Translation:
    said = ScheduledInterview.read(told.payload)
    interview_id = required(said.interview_id, "id")
    application_id = required(said.application_id, "application_id")
    # By the second key a cancelled interview is known, whose webhook names nobody.
    person = (
        told.key("application", application_id),
        told.key("scheduled_interview", interview_id),
    )
    touchpoints = [
        told.touchpoint(
            kind,
            fact,
            when,
            application_id=told.scoped(application_id),
            interview_id=told.scoped(interview_id),
            **fields,
        )
        for kind, fact, when, fields in _facts_of_interview(told, said)
    ]
    if not touchpoints:
        return Translation(context="an interview that says nothing new")
    return Translation(tuple(Statement(touchpoint, person) for touchpoint in touchpoints))


_Fact = tuple[type[Touchpoint], str, Moment, dict[str, Any]]


def _facts_of_interview(told: Told, said: ScheduledInterview) -> Iterator[_Fact]:
    name = f"interview/{said.interview_id}"
    earlier = _loaded(told.delivery.headers[BEFORE]) if BEFORE in told.delivery.headers else None
    times = {"starts_at": said.starts_at, "ends_at": said.ends_at}
    is_held = said.status in HELD
    is_corrected = False
    if earlier is None:
        when = _before_it_began(said, moment(said.created_at) or _latest(told, said))
        organizer = told.user(said.organizer_id)
        yield InterviewScheduled, f"{name}/scheduled", when, {**times, "actor": organizer}
    elif _json_times(said) != (earlier.get("starts_at"), earlier.get("ends_at")):
        is_corrected = is_held and earlier.get("held") is True
        if not is_corrected:
            to = f"{_stamp(said.starts_at)}/{_stamp(said.ends_at)}"
            stamp = time_stamp(said.updated_at) or told.digest()
            when = _before_it_began(said, _latest(told, said))
            yield InterviewMoved, f"{name}/moved/{to}/{stamp}", when, times
    if is_held and not is_corrected:
        held = f"{name}/held/{_stamp(said.starts_at)}"
        yield InterviewHeld, held, _held_at(told, said), {"ends_at": said.ends_at}
    for scorecard, interviewer in said.scorecards:
        actor = told.user(interviewer)
        submitted = f"scorecard/{scorecard}/submitted"
        yield ScorecardSubmitted, submitted, _latest(told, said), {"actor": actor}


def _latest(told: Told, said: ScheduledInterview) -> Moment:
    """At the latest when the object was changed last; nothing tells better."""
    return moment(said.updated_at, "inferred") or told.received()


def _before_it_began(said: ScheduledInterview, when: Moment) -> Moment:
    """Arranged before it begins: who enters it later tells the candidate nothing."""
    if said.starts_at is not None and said.starts_at < when.at:
        return Moment.of(said.starts_at, quality="inferred")
    return when


def _held_at(told: Told, said: ScheduledInterview) -> Moment:
    if said.all_day is not None:
        return Moment.of(said.all_day, quality="inferred", precision="day")
    over = said.ends_at or said.starts_at
    return _latest(told, said) if over is None else Moment.of(over, quality="inferred")


def _json_times(said: ScheduledInterview) -> tuple[Any, Any]:
    """As they stand in the header."""
    times = orjson.loads(orjson.dumps([said.starts_at, said.ends_at]))
    return times[0], times[1]


def _stamp(at: datetime | None) -> str:
    return "" if at is None else time_stamp(at.isoformat()) or ""


# --- activity feeds -------------------------------------------------------------------------


def _feed(told: Told) -> Translation:
    """What is new in the feed of one candidate, whose ids and addresses the poller put beside."""
    candidate = part(told.payload, "candidate")
    candidate_id = required(opaque_id(candidate.get("id")), "candidate.id")
    person = (told.key("candidate", candidate_id),)
    said: list[Statement] = []
    left_out = 0
    for email in objects(told.payload.get("emails")):
        said.append(Statement(_email(told, candidate, email), person, _sealed_email(email)))
    for note in objects(told.payload.get("notes")):
        said.append(Statement(_other(told, "note", note), person, _sealed(note)))
    for activity in objects(told.payload.get("activities")):
        if (text(activity.get("subject")) or "").casefold() in _TOLD_ELSEWHERE:
            left_out += 1
        else:
            said.append(Statement(_other(told, "activity", activity), person, _sealed(activity)))
    if said:
        return Translation(tuple(said))
    return Translation(
        context="stage changes and rejections, which are told otherwise"
        if left_out
        else "a feed without activities"
    )


def _email(told: Told, candidate: Json, email: Json) -> Touchpoint:
    own = {normal_email(value) for value in values(candidate.get("email_addresses"))}
    when = _created(told, email)
    event_id = f"email/{_item_id(email)}"
    about = {"application_id": told.scoped(_only_application(candidate)), "channel": "email"}
    if own & _addresses(email.get("from")):
        actor = Actor(type="candidate", id=told.scoped(opaque_id(candidate.get("id"))))
        return told.touchpoint(MessageReceived, event_id, when, actor=actor, **about)
    user = told.user(opaque_id(part(email, "user").get("id")))
    if own & (_addresses(email.get("to")) | _addresses(email.get("cc"))):
        return told.touchpoint(MessageSent, event_id, when, actor=user, **about)
    return told.touchpoint(
        UnrecognisedTouchpoint, event_id, when, label="email", actor=user, channel="email"
    )


def _other(told: Told, label: str, item: Json) -> Touchpoint:
    return told.unrecognised(
        f"{label}/{_item_id(item)}",
        _created(told, item),
        label,
        actor=told.user(opaque_id(part(item, "user").get("id"))),
    )


def _created(told: Told, item: Json) -> Moment:
    return moment(item.get("created_at")) or told.received()


def _item_id(item: Json) -> str:
    """Its id; what has none is known by what it says."""
    found = opaque_id(item.get("id"))
    return found or digest_of(orjson.dumps(item, option=orjson.OPT_SORT_KEYS))


def _only_application(candidate: Json) -> str | None:
    """The application an e-mail is about, if there is but one. A prospect has none."""
    applications = objects(candidate.get("applications"))
    if len(applications) != 1 or applications[0].get("prospect") is True:
        return None
    return opaque_id(applications[0].get("id"))


def _addresses(told: Any) -> set[str | None]:
    """Addresses of a header field in normal form: text, with or without names, or a list of it."""
    fields = told if isinstance(told, list) else [told]
    found = [_parsed(each) for each in fields if isinstance(each, str)]
    return {normal_email(address) for pairs in found for _, address in pairs} - {None}


def _parsed(field: str) -> list[tuple[str, str]]:
    """(name, address) pairs. Anybody can write to a candidate, so anything may stand in it."""
    try:
        return getaddresses([field])
    except RecursionError:
        # Comments may be nested in comments, and the parser follows each of them.
        return []


def _sealed_email(email: Json) -> Personal | None:
    return _sealed(email, ("subject", "body", "from", "to", "cc"))


def _sealed(item: Json, fields: tuple[str, ...] = ("subject", "body")) -> Personal | None:
    words = {}
    for field in fields:
        value = item.get(field)
        if isinstance(value, list):
            value = ", ".join(each for each in value if isinstance(each, str))
        if (found := text(value)) is not None:
            words[field] = found
    return Personal(text=words) if words else None


# --- shared ---------------------------------------------------------------------------------


def _loaded(document: bytes | str) -> Json:
    try:
        found = orjson.loads(document)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


_HANDLERS: dict[str, Callable[[Told], Translation]] = {
    "candidates": _candidate,
    "offers": _offer,
    "scheduled_interviews": _interview,
    "activity_feed": _feed,
}
"""List of Harvest → what an object of it says."""
