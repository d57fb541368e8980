"""The journey as it is to be read: corrections applied, retractions left out, in order.

The log keeps everything; folds see what holds. A correction or retraction may itself be taken
back, and may arrive before the touchpoint it is about.
"""

from __future__ import annotations

from operator import attrgetter

import msgspec

from projections.fact import Fact

KEEPERS = frozenset({"touchpoint_corrected", "touchpoint_retracted"})
"""Kinds that change how other touchpoints of the journey are read."""


order = attrgetter("occurred_at", "position")
"""The order of a journey: when it occurred, then when it was recorded."""


def is_amended(facts: list[Fact]) -> bool:
    """Whether a correction or retraction is among them."""
    return not KEEPERS.isdisjoint([fact.kind for fact in facts])


def effective(facts: list[Fact]) -> list[Fact]:
    """The facts of one journey, in order, with corrections and retractions taken in."""
    if is_amended(facts):
        facts = _amended(facts)
    facts.sort(key=order)
    return facts


def _amended(facts: list[Fact]) -> list[Fact]:
    retracted: set[str] = set()
    corrections: dict[str, Fact] = {}
    # Newest first: a retraction that was itself retracted has no effect, and the last of
    # several corrections stands.
    for fact in sorted(facts, key=lambda fact: fact.position, reverse=True):
        if fact.touchpoint_id in retracted:
            continue
        if fact.retracts is not None:
            retracted.add(fact.retracts)
        elif fact.corrects is not None:
            corrections.setdefault(fact.corrects, fact)
    return [
        _corrected(fact, corrections.get(fact.touchpoint_id))
        for fact in facts
        if fact.touchpoint_id not in retracted
    ]


def _corrected(fact: Fact, by: Fact | None) -> Fact:
    if by is None:
        return fact
    return msgspec.structs.replace(
        fact,
        occurred_at=by.corrected_occurred_at or fact.occurred_at,
        stage=by.corrected_stage or fact.stage,
        application_id=by.corrected_application_id or fact.application_id,
    )
