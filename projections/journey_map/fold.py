"""One journey's applications: stage, status, turn, counts. Pure; no clock."""

from __future__ import annotations

from collections.abc import Sequence
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


def apply(state: MapState, application_id: str, steps: Sequence[Fact]) -> None:
    """Take more facts of an application, in `occurred_at` order, into the state (in place)."""
    mapped = state.get(application_id)
    if mapped is None:
        first = steps[0]
        mapped = ApplicationMap(first.occurred_at, first.occurred_at, first.source)
        state[application_id] = mapped
    mapped.last_at = steps[-1].occurred_at
    mapped.touchpoints += len(steps)
    job_id, stage, effects = mapped.job_id, mapped.stage, _EFFECTS
    for fact in steps:
        if fact.job_id is not None:
            job_id = fact.job_id
        if fact.stage is not None and fact.stage != stage:
            stage = fact.stage
            mapped.stages.append((stage, fact.occurred_at))
        effect = effects.get(fact.kind)
        if effect is None:
            continue
        heard, turn, status, closes = effect
        if heard:
            mapped.last_heard_at = fact.occurred_at
        if turn != "unchanged":
            mapped.turn = turn
        elif fact.asks:
            mapped.turn = "candidate"
        if status is not None:
            mapped.status = status
            mapped.closed_at = fact.occurred_at if closes else None
        elif fact.kind == "interview_held":
            mapped.interviews += 1
        elif fact.kind == "chaser_received":
            mapped.chases += 1
    mapped.job_id, mapped.stage = job_id, stage
