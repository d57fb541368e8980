"""How an installation does, in numbers: what `/-/status`, `/-/metrics` and the overview tell.

Read in one transaction that sees one moment and changes nothing. The master key is not needed for
it, so who only looks need not be given it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from consumers import inbox
from consumers.bootstrap import Installation
from consumers.pollers import standing
from consumers.pollers.standing import Standing
from journey.database import Connection, Database
from projections.feeds.view import feeds_of
from projections.positions import positions_of

if TYPE_CHECKING:
    from consumers.kafka_stream.lag import FeedLag


_NEXT = 1000
"""The oldest pending delivery is looked for among so many that ingest takes next: they come nearly
in the order in which they were received, and a backlog may be long."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the database says at a moment. A `…_since` is None where nothing waits."""

    inbox: Mapping[str, int]
    """Deliveries by status; every status is there."""
    pending_since: datetime | None
    position: int
    """Of the log."""
    lanes: tuple[int, ...]
    """Up to where each lane of the projections has read; none before they first ran."""
    deadlines_due: int
    due_since: datetime | None
    alerts: Mapping[str, int]
    """Open and acknowledged ones."""
    messages_waiting: int
    waiting_since: datetime | None
    messages_given_up: int

    @property
    def projected(self) -> int:
        """Up to here the whole log is projected."""
        return min(self.lanes, default=0)

    @property
    def lag_touchpoints(self) -> int:
        """What the views have not read yet."""
        return self.position - self.projected

    @property
    def lag_by_lane(self) -> list[int]:
        """The same by lane."""
        return [self.position - lane for lane in self.lanes]


def figures(connection: Connection, now: datetime) -> Figures:
    """The figures as this transaction sees them."""
    row = connection.execute(
        "SELECT (SELECT min(received_at) FROM (SELECT received_at FROM deliveries "
        "WHERE status = 'pending' ORDER BY arrival LIMIT %(next)s) AS next), "
        "(SELECT position FROM log_head), "
        "(SELECT count(*) FROM deadlines WHERE due_at <= %(now)s), "
        "(SELECT min(due_at) FROM deadlines WHERE due_at <= %(now)s), "
        "(SELECT count(*) FROM alerts WHERE state = 'open'), "
        "(SELECT count(*) FROM alerts WHERE state = 'acknowledged'), "
        "(SELECT count(*) FROM outbox WHERE sent_at IS NULL AND given_up_at IS NULL), "
        "(SELECT min(created_at) FROM outbox WHERE sent_at IS NULL AND given_up_at IS NULL), "
        "(SELECT count(*) FROM outbox WHERE given_up_at IS NOT NULL)",
        {"now": now, "next": _NEXT},
    ).fetchone()
    assert row is not None
    pending_since, head, due, due_since, is_open, acknowledged, waiting, since, given_up = row
    return Figures(
        inbox=inbox.counts(connection),
        pending_since=pending_since,
        position=head or 0,
        lanes=positions_of(connection).lanes,
        deadlines_due=due,
        due_since=due_since,
        alerts={"open": is_open, "acknowledged": acknowledged},
        messages_waiting=waiting,
        waiting_since=since,
        messages_given_up=given_up,
    )


def polls(installation: Installation, connection: Connection, now: datetime) -> dict[str, Standing]:
    """How far each connection is that is polled, by name."""
    return {
        name: standing.standing(connection, name, now)
        for name, each in sorted(installation.connections.items())
        if each.poll_key is not None
    }


def inbox_and_log(database: Database) -> dict[str, Any]:
    """What `/-/status` tells first. Raises DatabaseUnavailable."""
    with database.reading() as connection:
        row = connection.execute("SELECT position FROM log_head").fetchone()
        return {"inbox": inbox.counts(connection), "log": {"position": row[0] if row else 0}}


def status(installation: Installation) -> dict[str, Any]:
    """What `/-/status` tells beside the inbox and the log. Raises DatabaseUnavailable."""
    now = installation.clock.now()
    with installation.database.reading() as connection:
        found = figures(connection, now)
        told = {
            "projections": _projections(found),
            "feeds": {
                feed.source: feed.last_recorded_at.isoformat() for feed in feeds_of(connection)
            },
            "polls": {
                name: each.as_json() for name, each in polls(installation, connection, now).items()
            },
        }
        lags = published(installation, connection)
    if installation.settings.kafka:
        # Asked when the transaction is over: a broker that is away takes its time.
        told["kafka"] = installation.lag_watch.now().as_json()
        told["published"] = {each.topic: each.as_json() for each in lags}
    return told


def published(installation: Installation, connection: Connection) -> list[FeedLag]:
    """How far each of our logs is published; nothing where there is no Kafka."""
    if not installation.settings.kafka:
        return []
    # Imported here: most installations work without Kafka, and its client takes a while to load.
    from consumers.kafka_stream.lag import feed_lags

    return feed_lags(installation.cluster, connection)


def _projections(found: Figures) -> dict[str, Any]:
    """How far the views are behind the log, in all and, where there are several, by lane."""
    told: dict[str, Any] = {"position": found.projected, "lag_touchpoints": found.lag_touchpoints}
    if len(found.lanes) > 1:
        told["lag_by_lane"] = found.lag_by_lane
    return told


__all__ = ["Figures", "figures", "inbox_and_log", "polls", "published", "status"]
