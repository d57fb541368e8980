"""Facts of Greenhouse, however they came: pushed by webhook or found by a poll of Harvest.

Both ways tell of the same applications and offers. What both tell counts once because the id of a
touchpoint is made here, from the fact itself: application, what happened, and when Greenhouse
says it did.

- an application is *submitted* once, *rejected* once a time (`rejected_at`);
- an offer is *decided* once an application, whatever versions follow;
- it is *sent* once a date (`sent_on` by webhook, `sent_at` by Harvest and when hiring);
- it is *accepted* or *declined* once a date (`resolved_at`; hiring tells it too).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from consumers.ats_adapters.adapter import Translation
from consumers.ats_adapters.told import Told, contact_keys, required
from schemas.ats.greenhouse import Application, Offer, instant, moment
from schemas.ats.lenient import Json, text, values
from schemas.event import Actor, Moment, Touchpoint
from schemas.identifiers import PersonKey
from schemas.personal import Personal
from schemas.statement import Statement
from schemas.touchpoints import (
    ApplicationSubmitted,
    OfferAccepted,
    OfferDecided,
    OfferDeclined,
    OfferSent,
    UnrecognisedTouchpoint,
    Withdrew,
)

WITHDRAWN = "they rejected us"
"""Name of the rejection reason type of a withdrawal. Its id differs between organisations."""


@dataclass(frozen=True, slots=True)
class Case:
    """An application that a delivery is about: its ids, its person, its fields."""

    told: Told
    said: Application
    application_id: str
    person: tuple[PersonKey, ...]

    @classmethod
    def of(cls, told: Told) -> Case:
        said = Application.read(told.payload)
        application_id = required(said.application_id, "payload.application.id")
        keys = told.keys(candidate=said.candidate_id, application=application_id)
        return cls(told, said, application_id, (*keys, *contact_keys(said.emails, said.phones)))

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
        return sealed_profile(said.candidate, said.emails, said.phones, said.rejection_details)

    def kept(self, event_id: str, when: Moment) -> Translation:
        """Nothing here is a fact of an application, and yet it concerns the person."""
        touchpoint = self.touchpoint(UnrecognisedTouchpoint, event_id, when, label=self.told.action)
        return Translation((self.statement(touchpoint),))

    def last_activity(self) -> Moment:
        """The best time there is for most actions, and an approximate one (facts §1.4)."""
        return moment(self.said.last_activity_at, "inferred") or self.told.received()

    def stamp(self) -> str:
        """Tells two events of one action apart, and not an event from its retry."""
        return time_stamp(self.said.last_activity_at) or self.told.digest()


def application_submitted(told: Told) -> Translation:
    """Somebody applied, or was added as a prospect, which is no application."""
    case = Case.of(told)
    if case.said.is_prospect:
        return prospect(case)
    when = moment(case.said.applied_at) or case.last_activity()
    touchpoint = case.touchpoint(ApplicationSubmitted, case.event_id("submitted"), when)
    return Translation((case.statement(touchpoint),))


def prospect(case: Case) -> Translation:
    """Somebody was added who has not applied."""
    when = moment(case.said.applied_at) or case.last_activity()
    touchpoint = case.touchpoint(
        UnrecognisedTouchpoint, case.event_id("prospect"), when, label="new_prospect_application"
    )
    return Translation((case.statement(touchpoint),))


def rejected(told: Told) -> Translation:
    """The employer decided against somebody, or they withdrew; the type of the reason tells."""
    case = Case.of(told)
    stamp = time_stamp(case.said.rejected_at) or case.stamp()
    event_id = case.event_id("rejected", stamp)
    when = moment(case.said.rejected_at) or case.last_activity()
    if case.said.is_prospect:
        return case.kept(event_id, when)
    touchpoint = case.touchpoint(
        _kind_of_rejection(case), event_id, when, reason=case.said.rejection_reason
    )
    return Translation((case.statement(touchpoint),))


def _kind_of_rejection(case: Case) -> type[Touchpoint]:
    if (case.said.rejection_type or "").casefold() == WITHDRAWN:
        return Withdrew
    return case.told.kind_of_rejection()


@dataclass(frozen=True, slots=True)
class OfferCase:
    """One version of an offer that a delivery is about. Only Harvest names its candidate, too."""

    told: Told
    said: Offer
    application_id: str
    job_id: str | None

    @classmethod
    def of(cls, told: Told, said: Offer, path: str) -> OfferCase:
        application_id = required(said.application_id, f"{path}.application_id")
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
        return self.told.user(self.said.owner_id)

    def translation(self, touchpoints: list[Touchpoint]) -> Translation:
        person = self.told.keys(candidate=self.said.candidate_id, application=self.application_id)
        notes = Personal(text={"notes": self.said.notes}) if self.said.notes else None
        return Translation(
            tuple(
                Statement(touchpoint, person, notes if index == 0 else None)
                for index, touchpoint in enumerate(touchpoints)
            )
        )


def offer_decided(case: OfferCase) -> Touchpoint:
    """An offer was made inside, whichever version of it this is."""
    said = case.said
    # Only Harvest says when, and a later version of its own; at the latest the offer was made
    # when it went out.
    known = (
        moment(said.created_at, "exact" if said.version == "1" else "inferred")
        or moment(said.sent_on, "inferred")
        or moment(said.resolved_at, "inferred")
    )
    return case.touchpoint(
        OfferDecided,
        "decided",
        known or case.told.received(),
        offer_id=case.offer_id(),
        actor=case.owner(),
    )


def facts_of_offer(case: OfferCase, status: str) -> list[Touchpoint]:
    """Sending and answer, as far as this version tells them."""
    said = case.said
    facts = []
    if sent := day_stamp(said.sent_on):
        when = moment(said.sent_on) or case.told.received()
        facts.append(
            case.touchpoint(
                OfferSent, f"sent/{sent}", when, offer_id=case.offer_id(), actor=case.owner()
            )
        )
    if kind := _ANSWERS.get(status):
        day = day_stamp(said.resolved_at) or case.version
        when = moment(said.resolved_at) or case.told.received()
        fact = f"{_ANSWER_WORDS[kind]}/{day}"
        facts.append(case.touchpoint(kind, fact, when, offer_id=case.offer_id()))
    return facts


_ANSWERS: dict[str, type[Touchpoint]] = {"accepted": OfferAccepted, "rejected": OfferDeclined}
_ANSWER_WORDS: dict[type[Touchpoint], str] = {OfferAccepted: "accepted", OfferDeclined: "declined"}


def sealed_profile(
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


def time_stamp(value: Any) -> str | None:
    """A time as part of an id: to the second in UTC, because the same time is also sent with ms."""
    found = instant(value)
    return None if found is None else found[0].astimezone(UTC).isoformat(timespec="seconds")


def day_stamp(value: Any) -> str | None:
    """A date as part of an id: offers are dated by day in one action and by time in another."""
    found = instant(value)
    if found is not None:
        return found[0].astimezone(UTC).date().isoformat()
    unreadable = text(value)
    return None if unreadable is None else hashlib.sha256(unreadable.encode()).hexdigest()[:16]
