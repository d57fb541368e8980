"""One journey's applications: stage, status, turn, counts. Pure; no clock."""

from __future__ import annotations

from datetime import datetime

import msgspec

from projections.fact import Fact
from schemas.registry import TRAITS

_STATUS_AFTER = {
    "application_submitted": "open",
    "application_reopened": "open",
    "rejection_decided": "rejected, not told",
    "rejection_sent": "rejected",
    "withdrew": "withdrawn",
    "hired": "hired",
}
_COUNTED = {"interview_held", "chaser_received"}

# What a kind changes, worked out once: (heard, turn, status, closes). Most kinds change nothing.
_EFFECTS: dict[str, tuple[bool, str, str | None, bool]] = {
    kind: (traits.answers, traits.turn, _STATUS_AFTER.get(kind), traits.lifecycle == "closes")
    for kind, traits in TRAITS.items()
    if traits.answers or traits.turn != "unchanged" or kind in _STATUS_AFTER or kind in _COUNTED
}


class ApplicationMap(msgspec.Struct, omit_defaults=True, gc=False):
    """One application as it stands after the facts folded so far."""

    first_at: datetime
    last_at: datetime
    source: str
    status: str = "open"
    turn: str = "nobody"
    job_id: str | None = None
    stage: str | None = None
    last_heard_at: datetime | None = None
    closed_at: datetime | None = None
    touchpoints: int = 0
    interviews: int = 0
    chases: int = 0
    stages: list[tuple[str, datetime]] = msgspec.field(default_factory=list)


MapState = dict[str, ApplicationMap]
"""Application id → its map. Touchpoints that name no application belong to none."""


def apply(state: MapState, fact: Fact) -> None:
    """Take one more fact, in `occurred_at` order, into the state (changed in place)."""
    application_id = fact.application_id
    if application_id is None:
        return
    at = fact.occurred_at
    mapped = state.get(application_id)
    if mapped is None:
        mapped = state[application_id] = ApplicationMap(at, at, fact.source)
    mapped.last_at = at
    mapped.touchpoints += 1
    if fact.job_id is not None:
        mapped.job_id = fact.job_id
    stage = fact.stage
    if stage is not None and stage != mapped.stage:
        mapped.stage = stage
        mapped.stages.append((stage, at))
    effect = _EFFECTS.get(fact.kind)
    if effect is None:
        return
    heard, turn, status, closes = effect
    if heard:
        mapped.last_heard_at = at
    if turn != "unchanged":
        mapped.turn = turn
    elif fact.asks:
        mapped.turn = "candidate"
    if status is not None:
        mapped.status = status
        mapped.closed_at = at if closes else None
    elif fact.kind == "interview_held":
        mapped.interviews += 1
    elif fact.kind == "chaser_received":
        mapped.chases += 1
