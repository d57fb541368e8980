"""The journey as it is to be read: corrections applied, retractions left out, in order.

The log keeps everything; folds see what holds. A correction or retraction may itself be taken
back, and may arrive before the touchpoint it is about.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

import msgspec

from projections.fact import Fact

KEEPERS = frozenset({"touchpoint_corrected", "touchpoint_retracted"})
"""Kinds that change how other touchpoints of the journey are read."""

_FIELDS = frozenset(Fact.__struct_fields__)

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
    retractions, corrections = standing(facts)
    return [
        _corrected(fact, corrections.get(fact.touchpoint_id))
        for fact in facts
        if fact.touchpoint_id not in retractions
    ]


def standing(facts: Iterable[Fact]) -> tuple[dict[str, list[Fact]], dict[str, Fact]]:
    """What holds of retractions and corrections: touchpoint → its retractions, its correction.

    Newest first: a retraction that was itself retracted has no effect, and the last of several
    corrections stands.
    """
    retractions: dict[str, list[Fact]] = {}
    corrections: dict[str, Fact] = {}
    for fact in sorted(facts, key=attrgetter("position"), reverse=True):
        if fact.touchpoint_id in retractions:
            continue
        if fact.retracts is not None:
            retractions.setdefault(fact.retracts, []).append(fact)
        elif fact.corrects is not None:
            corrections.setdefault(fact.corrects, fact)
    return retractions, corrections


def _corrected(fact: Fact, by: Fact | None) -> Fact:
    if by is None or not by.corrected:
        return fact
    told = {"touchpoint_id": "", "occurred_at": fact.occurred_at, "source": "", **by.corrected}
    right = msgspec.convert(told, Fact)
    # What only the stored touchpoint has (its actor, its offset) no fold reads.
    known = by.corrected.keys() & _FIELDS
    return msgspec.structs.replace(fact, **{name: getattr(right, name) for name in known})
