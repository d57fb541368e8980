"""What must hold of a published topic after any fault: read by position, it is the log."""

from __future__ import annotations

from typing import Any

import orjson

from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.messages import position_of
from journey.database import Database
from tests.support.processes import until
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


def published(database: Database, cluster: Cluster, seconds: float = 60.0) -> None:
    """Wait until the log is published to its end."""
    until(
        lambda: one(
            database,
            "SELECT (SELECT position FROM log_head) = coalesce((SELECT position FROM published "
            "WHERE topic = %s), 0)",
            cluster.topic("touchpoints"),
        ),
        "the log is published",
        seconds,
    )


def assert_published_topic_equals_log(
    database: Database, cluster: Cluster, *, seconds: float = 60.0
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


__all__ = ["assert_published_topic_equals_log", "by_position", "everything_in", "published"]
