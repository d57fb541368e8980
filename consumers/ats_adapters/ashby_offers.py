"""Offers of Ashby, and what is signed: a signature says of an offer what its statuses say, too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from consumers.ats_adapters.adapter import Translation
from consumers.ats_adapters.ashby_told import AshbyTold
from consumers.ats_adapters.told import required
from schemas.ats.ashby import Offer
from schemas.ats.lenient import opaque_id
from schemas.event import Actor, Moment, Touchpoint
from schemas.statement import Statement
from schemas.touchpoints import (
    InformationProvided,
    InformationRequested,
    OfferAccepted,
    OfferDecided,
    OfferDeclined,
    OfferRescinded,
    OfferSent,
    UnrecognisedTouchpoint,
)


@dataclass(frozen=True, slots=True)
class OfferCase:
    """An offer that a delivery is about. It names an application, no person."""

    told: AshbyTold
    said: Offer
    offer_id: str
    application_id: str | None

    @classmethod
    def of(cls, told: AshbyTold) -> OfferCase:
        said = Offer.read(told.payload)
        return cls(
            told,
            said,
            required(said.offer_id, "data.offer.id"),
            required(said.application_id, "data.offer.applicationId"),
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
        return self.told.user(self.said.author_id)

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


def offer_changed(told: AshbyTold) -> Translation:
    """`offerCreate` and `offerUpdate`: all that the state of an offer shows."""
    case = OfferCase.of(told)
    facts = [case.decided(), *case.answer()]
    if case.status() == "sent":
        facts.append(case.sent())
    elif case.status() == "cancelled":
        facts.append(case.cancelled())
    return case.translation(facts)


def offer_deleted(told: AshbyTold) -> Translation:
    """Whether it was out is not said, so nothing is taken back by it."""
    case = OfferCase.of(told)
    deleted = case.touchpoint(UnrecognisedTouchpoint, "deleted", told.received(), label=told.action)
    return case.translation([deleted])


def signature_changed(told: AshbyTold) -> Translation:
    """An e-signature of an offer, or of something else about an application."""
    said = told.payload if isinstance(told.payload, dict) else {}
    event = said.get("eventType")
    step = event if event in ("sent", "completed", "cancelled", "deleted") else "of unknown status"
    if said.get("relatedEntityType") == "offer":
        return _offer_signature(told, said, step)
    application_id = required(opaque_id(said.get("applicationId")), "data.applicationId")
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


def _offer_signature(told: AshbyTold, said: dict[str, Any], step: str) -> Translation:
    """Sent for signing is sent, and signed is accepted: the same facts as the offer's statuses."""
    offer_id = required(opaque_id(said.get("offerId")), "data.offerId")
    offer = Offer.read({"offer": {"latestVersion": {"id": said.get("offerVersionId")}}})
    case = OfferCase(told, offer, offer_id, None)
    if step == "sent":
        return case.translation([case.sent()])
    if step == "completed":
        return case.translation([case.offer(OfferAccepted, "accepted", told.received())])
    kind, fields = _kept_signature(step)
    return case.translation(
        [case.touchpoint(kind, f"signature/{told.click()}", told.received(), **fields)]
    )
