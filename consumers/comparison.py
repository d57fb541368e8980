"""What was recorded of a fact, what its delivery says of it today, and what to append. Pure.

A fact is one thing a source says, under one touchpoint id. It may have *copies*: when it turns
out to be another person's it is retracted in the one stream and said again in the other, and a
stream holds at most one copy of it, whatever comes and goes. Nothing in the log is changed: a
copy is corrected, retracted, and restored by retracting the retraction.

What a repair appends has an id made of what it is about, what it says and what was said about
that before, so two that find the same say the same, and the log keeps it once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
import orjson

from journey.journey_log import OWN_SOURCE
from schemas.event import Moment, Touchpoint
from schemas.identifiers import touchpoint_id
from schemas.personal import Personal
from schemas.statement import Statement
from schemas.touchpoints import TouchpointCorrected, TouchpointRetracted

Verb = Literal["added", "corrected", "restored", "retracted", "unchanged", "elsewhere", "by_hand"]
VERBS: tuple[Verb, ...] = (
    "added", "corrected", "restored", "retracted", "unchanged", "elsewhere", "by_hand",
)  # fmt: skip
"""The first four append something. `elsewhere`: recorded from a delivery that is not redriven, or
said by one; `by_hand`: corrected or retracted by somebody, whose word stands."""

PREFIX = "repair/"
"""How the `source_event_id` of everything that a repair appends begins."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a delivery says today of a fact, and whose stream it goes into."""

    statement: Statement
    candidate_id: UUID


@dataclass(frozen=True, slots=True)
class Correction:
    """What stands as right of a copy. `personal` None: as first told, unless it is cleared."""

    corrected: dict[str, Any]
    personal: Personal | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """A fact as one stream holds it, with everything said about it since.

    `touchpoint` as first recorded, with its candidate; `personal` unsealed. `is_readable` is
    False when the person's key was destroyed: then nothing personal is compared or said again.
    `retractions` and `correction` are those that stand, `last` the newest word about it that was
    ever said. `by_hand`: one that stands is not a repair's.
    """

    touchpoint: Touchpoint
    position: int
    personal: Personal | None = None
    is_readable: bool = True
    retractions: tuple[UUID, ...] = ()
    correction: Correction | None = None
    last: UUID | None = None
    by_hand: bool = False

    @property
    def candidate_id(self) -> UUID:
        """Whose stream it stands in."""
        return self.touchpoint.originator_id

    def content(self) -> dict[str, Any]:
        """What it says as it is read today."""
        said = self.touchpoint.content()
        return said if self.correction is None else said | _unsealed(self.correction.corrected)

    def personal_now(self) -> Personal | None:
        """What is personal about it as it is read today."""
        if self.correction is not None:
            if self.correction.personal is not None:
                return self.correction.personal
            if "personal" in self.correction.corrected:
                return None
        return self.personal


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a repair finds, and the statement to append for it.

    `about` is the touchpoint that is added, corrected, …; `fields` are those that were wrong.
    """

    verb: Verb
    about: Touchpoint
    candidate_id: UUID
    statement: Statement | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares facts, as of a moment.

    `journey_of`: candidate → the journey it is read as part of. `digest`: bytes → text that tells
    nothing about them without our key, since ids may stand in the open.
    """

    now: datetime
    journey_of: Callable[[UUID], UUID]
    digest: Callable[[bytes], str]

    def steps(self, told: Told | None, copies: Sequence[Copy]) -> Iterator[Step]:
        """What to do about a fact; `told` None when no delivery says it any more."""
        by_hand = next((copy for copy in copies if copy.by_hand), None)
        if by_hand is not None:
            yield Step("by_hand", by_hand.touchpoint, by_hand.candidate_id)
            return
        here = None if told is None else self._here(told, copies)
        delivery_id = None if told is None else told.statement.touchpoint.delivery_id
        for copy in copies:
            if copy is not here and not copy.retractions:
                yield self._retracted(copy, delivery_id or copy.touchpoint.delivery_id)
        if told is None:
            return
        if here is None:
            yield _added(told, copies)
        else:
            yield from self._told_again(told, here)

    def _here(self, told: Told, copies: Sequence[Copy]) -> Copy | None:
        """The copy in the journey that the fact belongs to: of two, the one that is read."""
        journey_id = self.journey_of(told.candidate_id)
        there = [
            copy
            for copy in copies
            if self.journey_of(copy.candidate_id) == journey_id
            # Some facts have one id whatever kind they are told as: booked, or moved.
            and copy.touchpoint.KIND == told.statement.touchpoint.KIND
        ]
        return min(there, key=lambda copy: (bool(copy.retractions), copy.position), default=None)

    def _told_again(self, told: Told, copy: Copy) -> Iterator[Step]:
        last = copy.last
        for retraction in copy.retractions:
            restored = self._retraction(
                retraction, last, copy.candidate_id, told.statement.touchpoint.delivery_id
            )
            last = restored.touchpoint.touchpoint_id
            yield Step("restored", copy.touchpoint, copy.candidate_id, restored)
        wrong = _differences(told, copy)
        if wrong:
            corrected = self._correction(told, copy, last)
            yield Step("corrected", copy.touchpoint, copy.candidate_id, corrected, wrong)
        elif not copy.retractions:
            yield Step("unchanged", copy.touchpoint, copy.candidate_id)

    def _correction(self, told: Told, copy: Copy, last: UUID | None) -> Statement:
        """All that differs from what was first told, since the last correction stands alone."""
        said, first = told.statement.touchpoint.content(), copy.touchpoint.content()
        corrected = {name: value for name, value in said.items() if first[name] != value}
        personal = _worth_sealing(told.statement.personal) if copy.is_readable else None
        if personal == copy.personal:
            personal = None
        elif personal is None and copy.is_readable:
            corrected["personal"] = None
        digest = self.digest(
            orjson.dumps(
                [corrected, personal and personal.model_dump(mode="json")],
                option=orjson.OPT_SORT_KEYS,
            )
        )
        made = TouchpointCorrected.told(
            source=OWN_SOURCE,
            source_event_id=f"{PREFIX}{copy.touchpoint.touchpoint_id}/corrected/{digest}/{last}",
            moment=Moment.of(self.now),
            delivery_id=told.statement.touchpoint.delivery_id,
            corrects=copy.touchpoint.touchpoint_id,
            corrected=corrected,
        )
        return Statement(made, (), personal)

    def _retracted(self, copy: Copy, delivery_id: str | None) -> Step:
        said = self._retraction(
            copy.touchpoint.touchpoint_id, copy.last, copy.candidate_id, delivery_id
        )
        return Step("retracted", copy.touchpoint, copy.candidate_id, said)

    def _retraction(
        self, retracts: UUID, last: UUID | None, candidate_id: UUID, delivery_id: str | None
    ) -> Statement:
        made = TouchpointRetracted.told(
            source=OWN_SOURCE,
            source_event_id=f"{PREFIX}{retracts}/retracted/{last}",
            moment=Moment.of(self.now),
            delivery_id=delivery_id,
            retracts=retracts,
        )
        return Statement(made, ())


def copy_event_id(fact: UUID, candidate_id: UUID) -> str:
    """The `source_event_id` of a fact that is said again in another stream."""
    return f"{PREFIX}{fact}/{candidate_id}"


def _added(told: Told, copies: Sequence[Copy]) -> Step:
    statement, candidate_id = told.statement, told.candidate_id
    if copies:
        # Its id is taken, by the copy in the stream of somebody else.
        said = statement.touchpoint
        event_id = copy_event_id(said.touchpoint_id, candidate_id)
        again = said.model_copy(
            update={
                "touchpoint_id": touchpoint_id(said.source, event_id, said.KIND),
                "source_event_id": event_id,
            }
        )
        statement = msgspec.structs.replace(statement, touchpoint=again)
    return Step("added", statement.touchpoint, candidate_id, statement)


def _differences(told: Told, copy: Copy) -> tuple[str, ...]:
    said, read = told.statement.touchpoint.content(), copy.content()
    wrong = [name for name, value in said.items() if read[name] != value]
    if copy.is_readable and _worth_sealing(told.statement.personal) != copy.personal_now():
        wrong.append("personal")
    return tuple(wrong)


def _worth_sealing(personal: Personal | None) -> Personal | None:
    return None if personal is None or personal.is_empty() else personal


def _unsealed(corrected: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in corrected.items() if name != "personal"}


__all__ = ["VERBS", "Comparison", "Copy", "Correction", "Step", "Told", "Verb", "copy_event_id"]
