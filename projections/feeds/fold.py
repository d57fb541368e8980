"""What each source has told us. Not folded by journey but summed over the whole log.

The sum is commutative, so pages in any order and ranges in parallel give the same row.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from projections.fact import Fact


class Feed(msgspec.Struct, gc=False):
    """One source: how many touchpoints, and the edges of what it told us."""

    source: str
    touchpoints: int
    first_occurred_at: datetime
    last_occurred_at: datetime
    last_recorded_at: datetime


FeedState = dict[str, Feed]


def apply(state: FeedState, facts: Iterable[Fact]) -> None:
    """Take facts, in any order, into the sums (changed in place)."""
    for fact in facts:
        at, recorded_at = fact.occurred_at, fact.recorded_at or fact.occurred_at
        feed = state.get(fact.source)
        if feed is None:
            state[fact.source] = Feed(fact.source, 1, at, at, recorded_at)
            continue
        feed.touchpoints += 1
        if at > feed.last_occurred_at:
            feed.last_occurred_at = at
        elif at < feed.first_occurred_at:
            feed.first_occurred_at = at
        if recorded_at > feed.last_recorded_at:
            feed.last_recorded_at = recorded_at


def merge(state: FeedState, other: FeedState) -> None:
    """Add the sums of another part of the log (changed in place)."""
    for source, feed in other.items():
        mine = state.get(source)
        if mine is None:
            state[source] = feed
            continue
        mine.touchpoints += feed.touchpoints
        mine.first_occurred_at = min(mine.first_occurred_at, feed.first_occurred_at)
        mine.last_occurred_at = max(mine.last_occurred_at, feed.last_occurred_at)
        mine.last_recorded_at = max(mine.last_recorded_at, feed.last_recorded_at)
