"""Stored name → class. Importing this makes every touchpoint known to the event store."""

from __future__ import annotations

from eventsourcing.utils import register_topic

from schemas.errors import UnknownKind
from schemas.event import Touchpoint, Traits
from schemas.touchpoints import ALL_TOUCHPOINTS

TOUCHPOINTS: dict[str, type[Touchpoint]] = {cls.KIND: cls for cls in ALL_TOUCHPOINTS}
"""Kind → its newest class."""

BY_TOPIC: dict[str, type[Touchpoint]] = {cls.TOPIC: cls for cls in ALL_TOUCHPOINTS}
"""Current stored name → class."""

TRAITS: dict[str, Traits] = {cls.KIND: cls.TRAITS for cls in ALL_TOUCHPOINTS}
"""Kind → traits, as the folds read them."""

for _topic, _cls in BY_TOPIC.items():
    register_topic(_topic, _cls)


def touchpoint_class(kind: str) -> type[Touchpoint]:
    """The class of a kind. Raises UnknownKind with the nearest names."""
    try:
        return TOUCHPOINTS[kind]
    except KeyError:
        from difflib import get_close_matches

        near = get_close_matches(kind, TOUCHPOINTS, n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise UnknownKind(f"no touchpoint kind is called {kind!r}{hint}") from None


def kind_of_topic(topic: str) -> str:
    """`touchpoint.interview_held.v1` → `interview_held`, for every version."""
    return topic.split(".")[1]
