"""Table `feeds`: sums of what each source told us, added to and never recomputed by row."""

from __future__ import annotations

import msgspec

from journey.database import Connection
from projections.feeds.fold import Feed, FeedState

COLUMNS = (
    "source", "touchpoints", "first_occurred_at", "last_occurred_at", "last_recorded_at",
)  # fmt: skip
TYPES = ("text", "int8", "timestamptz", "timestamptz", "timestamptz")


def add_feeds(connection: Connection, sums: FeedState) -> None:
    """Add the sums of a part of the log, in one statement of the caller's transaction."""
    rows = sorted(msgspec.structs.astuple(feed) for feed in sums.values())
    connection.execute(
        "INSERT INTO feeds AS f SELECT * FROM unnest(%s::text[], %s::bigint[], "
        "%s::timestamptz[], %s::timestamptz[], %s::timestamptz[]) "
        "ON CONFLICT (source) DO UPDATE SET "
        "touchpoints = f.touchpoints + excluded.touchpoints, "
        "first_occurred_at = least(f.first_occurred_at, excluded.first_occurred_at), "
        "last_occurred_at = greatest(f.last_occurred_at, excluded.last_occurred_at), "
        "last_recorded_at = greatest(f.last_recorded_at, excluded.last_recorded_at)",
        [list(column) for column in zip(*rows, strict=True)],
    )


def feeds_of(connection: Connection) -> list[Feed]:
    """What each source has told us, and up to when, by name."""
    rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM feeds ORDER BY source")
    return [Feed(*row) for row in rows]
