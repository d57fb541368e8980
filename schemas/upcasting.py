"""One small pure function for each step from an old stored version to the next.

A step takes and returns the state as a dictionary. `upcast` walks the steps until the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

from schemas.errors import UnknownTopic
from schemas.registry import BY_TOPIC, kind_of_topic

State = dict[str, Any]


def _interview_scheduled_v1(state: State) -> State:
    """`duration_minutes` became `ends_at`: an end can be compared, a length cannot."""
    minutes = state.pop("duration_minutes", None)
    starts_at = state.get("starts_at")
    if minutes is not None and starts_at is not None:
        ends_at = datetime.fromisoformat(starts_at) + timedelta(minutes=minutes)
        state["ends_at"] = ends_at.replace(tzinfo=None).isoformat() + "Z"
    return state


def _touchpoint_corrected_v1(state: State) -> State:
    """`corrected_occurred_at`, `corrected_stage` and `corrected_application_id` became one map."""
    corrected = {}
    for name in ("occurred_at", "stage", "application_id"):
        value = state.pop(f"corrected_{name}", None)
        if value is not None:
            corrected[name] = value
    return {**state, "corrected": corrected}


UPCASTERS: dict[str, tuple[str, Callable[[State], State]]] = {
    "touchpoint.interview_scheduled.v1": (
        "touchpoint.interview_scheduled.v2",
        _interview_scheduled_v1,
    ),
    "touchpoint.touchpoint_corrected.v1": (
        "touchpoint.touchpoint_corrected.v2",
        _touchpoint_corrected_v1,
    ),
}
"""Old stored name → (next stored name, step)."""


def topics_of(kinds: Collection[str]) -> list[str]:
    """Every stored name of these kinds, old ones too."""
    return [topic for topic in (*BY_TOPIC, *UPCASTERS) if kind_of_topic(topic) in kinds]


def upcast(topic: str, state: State) -> tuple[str, State]:
    """The newest stored name and the state in its shape. Raises UnknownTopic."""
    while topic not in BY_TOPIC:
        try:
            topic, step = UPCASTERS[topic]
        except KeyError:
            raise UnknownTopic(
                f"the log holds {topic!r}, which this version of the program does not know; "
                "upgrade the program or restore the class"
            ) from None
        state = step(state)
    return topic, state
