"""Deliveries on Kafka for tests: sent, handled by an ingest process in a thread, looked at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka import TopicPartition

from consumers.ats_adapters.adapter import Delivery
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.ingest import KafkaIngest
from consumers.kafka_stream.messages import DeadLetter, Record, dead_letter_of, delivery_record
from tests.support.processes import PATIENCE_SECONDS, until


class NoUtf8(str):
    """The name of a header as only a client in C can write it; ours cannot read it."""

    def encode(self, *_: str) -> bytes:  # type: ignore[override]
        return b"\xff\xfe"


def send(cluster: Cluster, deliveries: Iterable[Delivery | Record], *, keyed: bool = True) -> None:
    """Put deliveries, or records of any kind, on `journey.deliveries`, each under its own key."""
    with cluster.producer(patience_seconds=PATIENCE_SECONDS) as producer:
        sent = [
            producer.send(cluster.topic("deliveries"), **_record(one, keyed)._asdict())
            for one in deliveries
        ]
        for each in sent:
            each.get(PATIENCE_SECONDS)


def _record(one: Delivery | Record, keyed: bool) -> Record:
    if isinstance(one, Record):
        return one
    return delivery_record(one, one.delivery_id[-4:].encode() if keyed else None)


@contextmanager
def running(
    *ingests: KafkaIngest, failing: bool = False
) -> Iterator[Callable[[], list[BaseException]]]:
    """These run in threads, and are stopped afterwards; gives a look at what they ended with.

    Fails when one ended by itself, unless that is what the test is about (`failing`).
    """
    stop = threading.Event()
    ended: list[BaseException] = []

    def run(ingest: KafkaIngest) -> None:
        try:
            ingest.run(stop)
        except BaseException as error:
            ended.append(error)

    threads = [threading.Thread(target=run, args=(ingest,)) for ingest in ingests]
    for thread in threads:
        thread.start()
    try:
        yield lambda: ended
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert not any(thread.is_alive() for thread in threads)
    if ended and not failing:
        raise ended[0]


def ends(
    ended: Callable[[], list[BaseException]], seconds: float = PATIENCE_SECONDS
) -> BaseException:
    """Wait until one ended by itself, and return what with."""
    until(ended, "it stops by itself", seconds)
    return ended()[0]


def on_topic(cluster: Cluster, name: str) -> list[Any]:
    """Every record of a topic."""
    with cluster.consumer(None) as consumer:
        topic = cluster.topic(name)
        partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
        ends_at = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        found: list[Any] = []
        while len(found) < sum(ends_at.values()):
            for records in consumer.poll(1_000).values():
                found += records
        return found


def dead_letters(cluster: Cluster) -> list[DeadLetter]:
    """Every dead letter on Kafka."""
    return [dead_letter_of(record) for record in on_topic(cluster, "dead-letters")]


def unhandled(cluster: Cluster, topic: str = "deliveries") -> int:
    """Records of the topic beyond the offsets that ingest has committed."""
    with _looking(cluster, topic) as look:
        return look()


def all_handled(
    cluster: Cluster, topic: str = "deliveries", seconds: float = PATIENCE_SECONDS
) -> None:
    """Wait until the offsets of every record are committed."""
    with _looking(cluster, topic) as look:
        deadline = time.monotonic() + seconds
        while left := look():
            assert time.monotonic() < deadline, f"{left} records are not handled"
            time.sleep(0.2)


@contextmanager
def _looking(cluster: Cluster, topic: str) -> Iterator[Callable[[], int]]:
    group = "ingest" if topic == "deliveries" else "ingest-dead-letters"
    with cluster.consumer(group) as consumer:
        name = cluster.topic(topic)
        partitions = [TopicPartition(name, n) for n in consumer.partitions_for_topic(name)]

        def look() -> int:
            ends_at = consumer.end_offsets(partitions)
            return sum(ends_at[each] - (consumer.committed(each) or 0) for each in partitions)

        yield look


__all__ = [
    "NoUtf8",
    "all_handled",
    "dead_letters",
    "ends",
    "on_topic",
    "running",
    "send",
    "unhandled",
]
