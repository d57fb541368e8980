"""How far behind: each consumer group by partition, and what is published.

What a group has not handled is what its topics hold beyond its committed offsets; since when the
longest of it waits is the time of the record at such an offset. The publishers keep their
positions in the database instead, so those are known without a broker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog

from consumers.errors import KafkaUnavailable
from consumers.kafka_stream.alerts import ALERTS_FEED
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.messages import written_at
from consumers.kafka_stream.publish import TOUCHPOINTS_FEED, Feed
from consumers.kafka_stream.topics import DEAD_LETTERS, DELIVERIES
from journey.database import Connection
from journey.errors import ConfigurationError

if TYPE_CHECKING:
    from kafka import KafkaAdminClient, TopicPartition

log = structlog.get_logger()

LOOK_SECONDS = 2.5
"""The longest that somebody who asks is kept waiting."""
_PATIENCE_SECONDS = 2.0
_FRESH_SECONDS = 2.0
"""Who asks again sooner gets the same answer: a page that is reloaded is no load for a broker."""

GROUPS = {"ingest": (DELIVERIES,), "ingest-dead-letters": (DEAD_LETTERS,)}
"""Groups of ours that are behind even before their first commit, and the topics they read."""

FEEDS = (TOUCHPOINTS_FEED, ALERTS_FEED)


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition as a group has it; `committed` is None before the first commit.

    `ran_out_records` are those that the topic no longer has, and that were not handled before.
    """

    topic: str
    partition: int
    committed: int | None
    end: int
    lag_records: int
    ran_out_records: int = 0

    @property
    def name(self) -> str:
        """`journey.deliveries/3`."""
        return f"{self.topic}/{self.partition}"


@dataclass(frozen=True, slots=True)
class GroupLag:
    """A consumer group: `oldest_at` is when the longest waiting of its records was written.

    None where nothing waits, and where Kafka did not tell in time (`is_oldest_known`).
    """

    group: str
    partitions: tuple[PartitionLag, ...]
    oldest_at: datetime | None

    @property
    def lag_records(self) -> int:
        """Over all partitions."""
        return sum(each.lag_records for each in self.partitions)

    @property
    def ran_out_records(self) -> int:
        """Over all partitions."""
        return sum(each.ran_out_records for each in self.partitions)

    @property
    def is_oldest_known(self) -> bool:
        """Whether `oldest_at` says what it means."""
        return self.oldest_at is not None or not self.lag_records

    def as_json(self) -> dict[str, Any]:
        """As `/-/status.json` shows it."""
        return {
            "lag_records": self.lag_records,
            "ran_out_records": self.ran_out_records,
            "oldest_unhandled_at": None if self.oldest_at is None else self.oldest_at.isoformat(),
            "partitions": {
                each.name: {
                    "committed": each.committed,
                    "end": each.end,
                    "lag_records": each.lag_records,
                }
                for each in self.partitions
            },
        }


@dataclass(frozen=True, slots=True)
class KafkaLag:
    """Every group of ours, or why none could be asked for: one sentence, no secret in it."""

    groups: tuple[GroupLag, ...] = ()
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As `/-/status.json` shows it."""
        return {
            "reachable": self.problem is None,
            "problem": self.problem,
            "groups": {each.group: each.as_json() for each in self.groups},
        }


@dataclass(frozen=True, slots=True)
class FeedLag:
    """A log as it is published: `since` is when what comes next was recorded, if anything does."""

    feed: str
    topic: str
    position: int
    head: int
    since: datetime | None

    @property
    def lag_positions(self) -> int:
        """How many positions are not in the topic yet."""
        return max(0, self.head - self.position)

    def as_json(self) -> dict[str, Any]:
        """As `/-/status.json` shows it."""
        return {"position": self.position, "lag_positions": self.lag_positions}


class LagWatch:
    """Asks the broker how far our groups are, and never keeps anyone waiting for it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._found = KafkaLag()
        self._found_at = float("-inf")
        self._looking: threading.Thread | None = None

    def now(self) -> KafkaLag:
        """How far they are, at most some seconds ago; told within `LOOK_SECONDS`."""
        with self._lock:
            if time.monotonic() - self._found_at < _FRESH_SECONDS:
                return self._found
            if self._looking is None or not self._looking.is_alive():
                self._looking = threading.Thread(target=self._look, daemon=True, name="kafka-lag")
                self._looking.start()
            looking = self._looking
        # In a thread of its own: a broker that hangs holds each request for as long as the client
        # allows, and several are made.
        looking.join(LOOK_SECONDS)
        with self._lock:
            if time.monotonic() - self._found_at < LOOK_SECONDS + _FRESH_SECONDS:
                return self._found
        return KafkaLag(problem=str(self._cluster.unavailable("it does not answer in time")))

    def _look(self) -> None:
        try:
            found = KafkaLag(look(self._cluster, patience_seconds=_PATIENCE_SECONDS))
        except (KafkaUnavailable, ConfigurationError) as error:
            found = KafkaLag(problem=str(error))
        except Exception as error:
            # A page that tells how one is must not fail; who looks after it is told all the same.
            log.exception("how far consumer groups are could not be found out")
            found = KafkaLag(
                problem=f"looking at Kafka failed ({type(error).__name__}); see the log"
            )
        with self._lock:
            self._found, self._found_at = found, time.monotonic()


def look(cluster: Cluster, *, patience_seconds: float) -> tuple[GroupLag, ...]:
    """Our groups by name. Raises KafkaUnavailable, and ConfigurationError if we are not let in.

    A group that only shares out work (`project`) commits nothing and is left out.
    """
    from kafka.errors import KafkaError

    try:
        with cluster.admin(patience_seconds=patience_seconds) as admin:
            committed = {
                group: offsets for group, offsets in _committed(cluster, admin).items() if offsets
            }
            ends, begins = _bounds(admin, {each for group in committed.values() for each in group})
        lags = {
            group: [
                _partition_lag(each, offset, begins[each], ends[each])
                for each, offset in sorted(offsets.items())
            ]
            for group, offsets in committed.items()
        }
        written = _written_at(
            cluster, {_oldest(each) for of in lags.values() for each in of if each.lag_records},
            patience_seconds,
        )  # fmt: skip
    except KafkaError as error:
        raise cluster.unavailable(type(error).__name__) from None
    return tuple(
        GroupLag(
            group,
            tuple(lags[group]),
            min((written[at] for at in map(_oldest, lags[group]) if at in written), default=None),
        )
        for group in sorted(lags)
    )


def _partition_lag(
    partition: TopicPartition, committed: int | None, begin: int, end: int
) -> PartitionLag:
    """What ran out of a topic is nobody's work any more, so it counts from where that begins."""
    start = begin if committed is None else max(begin, committed)
    ran_out = 0 if committed is None else max(0, begin - committed)
    return PartitionLag(
        partition.topic, partition.partition, committed, end, max(0, end - start), ran_out
    )


def _oldest(lag: PartitionLag) -> tuple[TopicPartition, int]:
    """Where the first record stands that was not handled."""
    from kafka import TopicPartition

    return TopicPartition(lag.topic, lag.partition), lag.end - lag.lag_records


def _committed(
    cluster: Cluster, admin: KafkaAdminClient
) -> dict[str, dict[TopicPartition, int | None]]:
    """Group → partition that is there → the offset it begins at next."""
    from kafka import TopicPartition

    there = {
        TopicPartition(topic["name"], partition["partition_index"])
        for topic in admin.describe_topics()
        for partition in topic["partitions"]
    }
    own = cluster.group("")
    listed = {each["group_id"] for each in admin.list_groups()}
    known = sorted(each for each in listed if each.startswith(own))
    offsets: Mapping[str, Mapping[TopicPartition, Any]] = (
        admin.list_group_offsets(known) if known else {}
    )
    found: dict[str, dict[TopicPartition, int | None]] = {
        group: {
            each: told.offset for each, told in of.items() if told.offset >= 0 and each in there
        }
        for group, of in offsets.items()
    }
    for name, topics in GROUPS.items():
        mine = found.setdefault(cluster.group(name), {})
        whole = {cluster.topic(topic.name) for topic in topics}
        for each in there:
            if each.topic in whole:
                mine.setdefault(each, None)
    return found


def _bounds(
    admin: KafkaAdminClient, partitions: Iterable[TopicPartition]
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Where each partition ends and begins."""
    from kafka.admin import OffsetSpec

    found = []
    for spec in (OffsetSpec.LATEST, OffsetSpec.EARLIEST):
        told = admin.list_partition_offsets(dict.fromkeys(partitions, spec))
        found.append({each: int(at.offset) for each, at in told.items()})
    return found[0], found[1]


def _written_at(
    cluster: Cluster, wanted: set[tuple[TopicPartition, int]], patience_seconds: float
) -> dict[tuple[TopicPartition, int], datetime]:
    """When the records at these offsets were written; some may be missing when time runs out."""
    from kafka.errors import CorruptRecordError, UnsupportedCodecError

    found: dict[tuple[TopicPartition, int], datetime] = {}
    deadline = time.monotonic() + patience_seconds
    # By offset, since two groups may read one partition at different places.
    with cluster.consumer(
        # The first batch of records is told whatever its size, and nothing behind it is wanted.
        None, patience_seconds=patience_seconds, max_partition_fetch_bytes=1,
    ) as consumer:  # fmt: skip
        left = set(wanted)
        while left and time.monotonic() < deadline:
            # Two groups may be at different places of one partition: those take turns.
            places = dict(left)
            left -= set(places.items())
            consumer.assign(list(places))
            for each, offset in places.items():
                consumer.seek(each, offset)
            # Asked again and again without seeking anew, which would forget what is on its way.
            while places and time.monotonic() < deadline:
                try:
                    polled = consumer.poll(200, max_records=1)
                except (CorruptRecordError, UnsupportedCodecError):
                    # Who handles it says so; of what is left the time is not known.
                    return found
                for each, records in polled.items():
                    found[each, places.pop(each)] = written_at(records[0])
                    consumer.pause(each)
    return found


def feed_lags(cluster: Cluster, connection: Connection) -> list[FeedLag]:
    """How far each of our logs is published."""
    return [_feed_lag(cluster, connection, feed) for feed in FEEDS]


def _feed_lag(cluster: Cluster, connection: Connection, feed: Feed) -> FeedLag:
    topic = cluster.topic(feed.topic.name)
    row = connection.execute(
        f"SELECT ({feed.head}), coalesce((SELECT position FROM published WHERE topic = %s), 0)",
        [topic],
    ).fetchone()
    assert row is not None
    head, position = row
    since = None
    if position < head:
        following = connection.execute(feed.page, [position, 1]).fetchone()
        since = feed.recorded_at(following) if following is not None else None
    return FeedLag(feed.name, topic, position, head, since)


__all__ = [
    "FEEDS",
    "GROUPS",
    "FeedLag",
    "GroupLag",
    "KafkaLag",
    "LagWatch",
    "PartitionLag",
    "feed_lags",
    "look",
]
