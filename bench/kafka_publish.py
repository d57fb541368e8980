"""`kafka_publish`: the log out to its topic, beside kafka-python's own producer.

Ours is the product's publisher: pages of the log read, each touchpoint made a CloudEvent, sent,
acknowledged by all replicas, the position moved and committed. The peer sends records that were
made before and lie in memory: no database, no position. Both with acks=all, idempotent, to three
partitions of one broker. Of the peer there are two: with the very same records, and with as many
bytes in key and value alone, since the library makes a third of a record's cost of its headers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from bench.data import journeys
from bench.harness import Figure, in_turn, tenant, topic_prefix
from bench.log import fill
from consumers.kafka_stream import topics
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.messages import Record, touchpoint_record
from consumers.kafka_stream.publish import TOUCHPOINTS_FEED, Publisher
from journey.database import Database

PARTITIONS = 3


def run(url: str, size: int = 50_000, seed: int = 1) -> Iterator[Figure]:
    """Touchpoints a second from the log to acknowledged records."""
    # The tests' broker: the same version, started the same way.
    from tests.support.kafka_broker import broker

    with broker(measured=True) as running, tenant(url) as database:
        servers = tuple(running.bootstrap.split(","))
        size = fill(database, journeys(size, size // 20, seed))
        records = _records(database)
        bare = [_without_headers(record) for record in records]
        best, same, plain = in_turn(
            lambda: _publish(database, _cluster(servers), size),
            lambda: _produce(_cluster(servers), records),
            lambda: _produce(_cluster(servers), bare),
        )
    more = {
        "record_bytes": sum(map(_size, records)) // size,
        "peer_without_headers": round(plain),
        "ratio_without_headers": round(best / plain, 2),
    }
    yield Figure(
        "kafka_publish", round(best), "touchpoints/s", size, seed,
        "kafka-python's producer, the same records from memory", round(same),
        round(best / same, 2), ">= 0.5", more,
    )  # fmt: skip


def _cluster(servers: tuple[str, ...]) -> Cluster:
    """Topics that hold nothing yet."""
    made = Cluster(servers, prefix=topic_prefix(), partitions=PARTITIONS)
    topics.init(made)
    return made


def _publish(database: Database, cluster: Cluster, size: int) -> float:
    stop = threading.Event()
    publisher = threading.Thread(
        target=Publisher(database, cluster, TOUCHPOINTS_FEED).run, args=[stop]
    )
    topic = cluster.topic(TOUCHPOINTS_FEED.topic.name)
    began = time.perf_counter()
    publisher.start()
    try:
        with database.connect(autocommit=True) as connection:
            while _position(connection, topic) < size:
                if not publisher.is_alive():
                    raise AssertionError("the publisher ended; see its message above")
                time.sleep(0.02)
        return size / (time.perf_counter() - began)
    finally:
        stop.set()
        publisher.join()


def _position(connection, topic: str) -> int:  # type: ignore[no-untyped-def]
    row = connection.execute("SELECT position FROM published WHERE topic = %s", [topic]).fetchone()
    return int(row[0]) if row else 0


def _produce(cluster: Cluster, records: list[Record]) -> float:
    topic = cluster.topic(TOUCHPOINTS_FEED.topic.name)
    began = time.perf_counter()
    producer = cluster.producer()
    for key, value, headers in records:
        producer.send(topic, value, key, headers)
    producer.flush()
    rate = len(records) / (time.perf_counter() - began)
    producer.close()
    return rate


def _records(database: Database) -> list[Record]:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT notification_id, originator_id, topic, state FROM journey_events "
            "ORDER BY notification_id"
        )
        return [touchpoint_record(*row) for row in rows]


def _without_headers(record: Record) -> Record:
    padding = b" " * sum(len(name) + len(value) for name, value in record.headers)
    return Record(record.key, record.value + padding, [])


def _size(record: Record) -> int:
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return len(record.key or b"") + len(record.value) + headers


__all__ = ["run"]
