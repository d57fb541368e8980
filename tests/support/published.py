"""What must hold of published topics after any fault: read by position, each is its log."""

from __future__ import annotations

from typing import Any

import orjson

from consumers.kafka_stream.alerts import ALERTS_FEED
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.messages import position_of
from consumers.kafka_stream.publish import TOUCHPOINTS_FEED, Feed
from journey.database import Database
from tests.support.processes import PATIENCE_SECONDS, until
from tests.support.truth import one, rows

_POLL_MS = 200


def everything_in(cluster: Cluster, topic: str) -> list[Any]:
    """Every record of a topic (`touchpoints`), partition by partition, in the order it is read."""
    from kafka import TopicPartition

    name = cluster.topic(topic)
    with cluster.consumer(None) as consumer:
        partitions = [TopicPartition(name, n) for n in consumer.partitions_for_topic(name)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        read: list[Any] = []
        while any(consumer.position(each) < ends[each] for each in partitions):
            for records in consumer.poll(_POLL_MS).values():
                read += records
    return sorted(read, key=lambda record: (record.partition, record.offset))


def by_position(records: list[Any]) -> dict[int, Any]:
    """What a reader has that passes over positions not above the highest of the partition.

    That is the reader who keeps least: one number a partition. Checks that what it passes over is
    a repeat of what it has.
    """
    highest: dict[int, int] = {}
    read: dict[int, Any] = {}
    for record in records:
        position = position_of(record)
        if position > highest.get(record.partition, 0):
            highest[record.partition] = position
            read[position] = record
        else:
            assert position in read, f"position {position} came after a later one"
            first = read[position]
            assert (record.key, record.value, record.headers) == (
                first.key,
                first.value,
                first.headers,
            )
    return read


def published(
    database: Database,
    cluster: Cluster,
    seconds: float = PATIENCE_SECONDS,
    feed: Feed = TOUCHPOINTS_FEED,
) -> None:
    """Wait until a log is published to its end."""
    until(
        lambda: one(
            database,
            f"SELECT ({feed.head}) = coalesce((SELECT position FROM published "
            "WHERE topic = %s), 0)",
            cluster.topic(feed.topic.name),
        ),
        f"the log of {feed.topic.name} is published",
        seconds,
    )


def assert_published_topic_equals_log(
    database: Database, cluster: Cluster, *, seconds: float = PATIENCE_SECONDS
) -> int:
    """Wait until all is published, then read it: every touchpoint, in order, nothing personal.

    Returns how many records were repeats.
    """
    published(database, cluster, seconds)
    records = everything_in(cluster, "touchpoints")
    read = by_position(records)
    log = rows(database, "SELECT notification_id, originator_id, topic, state FROM journey_events")
    assert read.keys() == {row[0] for row in log}
    partition_of: dict[bytes, int] = {}
    for position, candidate_id, topic, state in log:
        record = read[position]
        told = {key: value for key, value in orjson.loads(state).items() if key != "personal"}
        headers = dict(record.headers)
        assert record.key == str(candidate_id).encode()
        assert orjson.loads(record.value) == told
        assert headers["ce_id"] == told["touchpoint_id"].encode()
        assert headers["ce_type"] == topic.encode()
        assert partition_of.setdefault(record.key, record.partition) == record.partition
    return len(records) - len(read)


def assert_published_alerts_equal_log(
    database: Database, cluster: Cluster, *, seconds: float = PATIENCE_SECONDS
) -> int:
    """The same of `journey.alerts`: all that happened to each alert, keyed by its candidate."""
    published(database, cluster, seconds, ALERTS_FEED)
    records = everything_in(cluster, "alerts")
    read = by_position(records)
    log = rows(
        database,
        "SELECT e.notification_id, topic, originator_id, originator_version, candidate_id, e.state "
        "FROM alert_events e JOIN alerts ON alert_id = originator_id",
    )
    assert read.keys() == {row[0] for row in log}
    for position, topic, alert_id, version, candidate_id, state in log:
        headers = dict(read[position].headers)
        assert headers["ce_type"].decode() == topic
        assert headers["ce_id"].decode() == f"{alert_id}/{version}"
        assert read[position].key.decode() == str(candidate_id)
        assert orjson.loads(read[position].value) == orjson.loads(state)
    return len(records) - len(read)


__all__ = [
    "assert_published_alerts_equal_log",
    "assert_published_topic_equals_log",
    "by_position",
    "everything_in",
    "published",
]
