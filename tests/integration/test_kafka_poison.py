"""Records that no sender of ours makes: each is a dead letter, and what is around it is handled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.record.default_records import DefaultRecordBatchBuilder

from consumers import inbox
from consumers.connections import Connections
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.ingest import KafkaIngest, ReadingStopped
from consumers.kafka_stream.messages import delivery_record
from journey.database import Database
from journey.journey_log import JourneyLog
from journey.vault import Vault
from tests.support.fakes import FrozenClock
from tests.support.greenhouse import CONNECTION, delivery, payload
from tests.support.kafka_deliveries import (
    NoUtf8,
    all_handled,
    dead_letters,
    ends,
    on_topic,
    running,
    send,
    unhandled,
)
from tests.support.processes import PATIENCE_SECONDS, until

NULL = b"(null)"
Headers = list[tuple[str, bytes]]


@pytest.fixture(autouse=True)
def headers_without_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client makes none, though the wire knows them: what is NULL is written as one."""
    append = DefaultRecordBatchBuilder.append

    def appended(self: Any, offset: int, at: Any, key: Any, value: Any, headers: Any) -> Any:
        given = [(name, None if told is NULL else told) for name, told in headers]
        return append(self, offset, at, key, value, given)

    monkeypatch.setattr(DefaultRecordBatchBuilder, "append", appended)


@pytest.fixture
def ingest(database: Database, cluster: Cluster) -> Iterator[Callable[[], KafkaIngest]]:
    """Makes ingest processes on the test's tenant and topics."""
    clock = FrozenClock()
    logs: list[JourneyLog] = []

    def made() -> KafkaIngest:
        logs.append(JourneyLog(database, Vault(b"k" * 32), clock))
        on = replace(cluster, session_seconds=3)
        return KafkaIngest(database, logs[-1], Connections([CONNECTION]), clock, on)

    yield made
    for log in logs:
        log.close()


def put(
    producer: KafkaProducer,
    topic: str,
    headers: Headers,
    *,
    key: bytes | None = b"k",
    value: bytes | None = b"{}",
    timestamp_ms: int | None = None,
) -> None:
    """A record past the checks of the client: other clients make none of them."""
    producer.partitions_for(topic)
    future, *_ = producer._accumulator.append(
        TopicPartition(topic, 0), timestamp_ms, key, value, headers
    )
    producer._sender.wakeup()
    future.get(PATIENCE_SECONDS)


def our_headers(**change: bytes) -> Headers:
    """Headers of a delivery, some of them otherwise: `received_at=None`."""
    made = dict(delivery_record(delivery(payload("job_created"))).headers)
    return list((made | {name.replace("_", "-"): value for name, value in change.items()}).items())


POISON: dict[str, dict[str, Any]] = {
    "nothing at all": {"headers": [], "value": None},
    "a tombstone": {"headers": our_headers(), "value": None},
    "no key": {"headers": [], "key": None},
    "a header without a value": {"headers": our_headers(received_at=NULL)},
    "an id without a value": {"headers": our_headers(delivery_id=NULL)},
    "headers without a value": {"headers": our_headers(headers=NULL)},
    "an empty name, twice": {"headers": [("", b"1"), ("", NULL)]},
    "text with a character that PostgreSQL has not": {"headers": our_headers(connection=b"a\0b")},
    "a source with it": {"headers": our_headers(source=b"\0")},
    "no UTF-8": {"headers": our_headers(connection=b"\xff\xfe")},
    "before the first year": {"headers": our_headers(received_at=b"0001-01-01T00:00:00+23:59")},
    "after the last year": {"headers": our_headers(received_at=b"9999-12-31T23:59:59-23:59")},
    "no time": {"headers": our_headers(received_at=b"yesterday")},
    "without a time of its own": {"headers": [("who", b"knows")], "timestamp_ms": -1},
    "longer ago than years go": {"headers": [("who", b"knows")], "timestamp_ms": -(2**62)},
}


def test_a_poisoned_record_stops_nothing(
    database: Database, cluster: Cluster, ingest: Callable[[], KafkaIngest]
) -> None:
    """Whatever key, value, headers and time are: it is kept as dead, what follows is handled."""
    good = delivery(payload("application_received"))
    with cluster.producer() as producer:
        for poison in POISON.values():
            put(producer, cluster.topic("deliveries"), **poison)
        put(producer, cluster.topic("deliveries"), list(delivery_record(good).headers),
            value=good.body)  # fmt: skip
    with running(ingest()):
        all_handled(cluster)
        all_handled(cluster, "dead-letters")
    with database.transaction() as connection:
        counts = inbox.counts(connection)
        [recorded] = inbox.listing(connection, inbox.Filters(status="recorded"))
    assert recorded.delivery_id == good.delivery_id
    assert counts["dead"] == len(dead_letters(cluster)) == len(POISON)


def test_a_poisoned_dead_letter_stops_nothing(
    database: Database, cluster: Cluster, ingest: Callable[[], KafkaIngest]
) -> None:
    """Also on the other topic, which anyone with the right to write may write to."""
    letter: Headers = [
        ("dead-letter-reason", b"it is bad"),
        ("dead-letter-at", b"2026-03-02T09:00:00Z"),
        ("dead-letter-from", b""),
    ]
    of_a_letter = [
        {"dead-letter-reason": NULL},
        {"dead-letter-reason": b"a\0b"},
        {"dead-letter-at": NULL},
        {"dead-letter-at": b"0001-01-01T00:00:00+23:59"},
        {"dead-letter-from": NULL},
        {},
    ]
    letters = cluster.topic("dead-letters")
    with cluster.producer() as producer:
        for poison in POISON.values():
            put(producer, letters, **(poison | {"headers": [*poison["headers"], *letter]}))
            put(producer, letters, **poison)
        for change in of_a_letter:
            put(producer, letters, list((dict(letter) | change).items()))
    with running(ingest()):
        all_handled(cluster, "dead-letters")
    with database.transaction() as connection:
        counts = inbox.counts(connection)
    assert counts["dead"] > len(POISON)
    assert len(on_topic(cluster, "dead-letters")) == 2 * len(POISON) + len(of_a_letter)


def test_a_record_that_the_client_cannot_read_stops_it_loudly(
    cluster: Cluster, ingest: Callable[[], KafkaIngest]
) -> None:
    """Where it stands and what to do; what is before it is handled, the rest stays."""
    topic = cluster.topic("deliveries")
    with cluster.producer() as producer:
        for headers in (our_headers(), our_headers(), [(NoUtf8("name"), b"")], our_headers()):
            put(producer, topic, headers)
    with running(ingest(), failing=True) as ended:
        error = ends(ended)
    assert isinstance(error, ReadingStopped)
    assert f"{topic}/0/2 (CorruptRecordError)" in str(error)
    assert unhandled(cluster) == 2


def test_it_stops_as_loudly_beside_a_slow_database(
    database: Database,
    cluster: Cluster,
    ingest: Callable[[], KafkaIngest],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Paused in between, the client would forget the record, and go round in it for ever."""
    topic, said = cluster.topic("deliveries"), [""]
    with cluster.producer() as producer:
        for _ in range(3):
            producer.send(topic, b"{}", headers=our_headers(), partition=0)
        producer.send(topic, b"{}", headers=[(NoUtf8("name"), b"")], partition=1)

    def slow() -> bool:
        """Or stopped already, where the record came first: it then ends when the lock does."""
        said[0] += capsys.readouterr().out
        return "a batch takes long" in said[0] or "ingest stops" in said[0]

    with database.connect() as holding:
        # Before it starts: what it had handled already would leave nothing to be slow about.
        holding.execute("LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE")
        with running(ingest(), failing=True) as ended:
            until(slow, "the batch takes long")
            # As long as some polls while paused, in which the client would forget.
            time.sleep(1)
            holding.rollback()
            error = ends(ended)
    assert isinstance(error, ReadingStopped)
    assert f"{topic}/1/0 (CorruptRecordError)" in str(error)


def test_what_ran_out_of_the_topic_is_told(
    database: Database,
    cluster: Cluster,
    ingest: Callable[[], KafkaIngest],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The client would pass over it in silence; what is left is handled."""
    one_key = [delivery_record(delivery(payload("job_created")), b"k") for _ in range(30)]
    send(cluster, one_key[:10])
    with running(ingest()):
        all_handled(cluster)
    assert "ran out" not in capsys.readouterr().out
    send(cluster, one_key[10:])
    [partition] = {each.partition for each in on_topic(cluster, "deliveries")}
    with cluster.admin() as admin:
        admin.delete_records({TopicPartition(cluster.topic("deliveries"), partition): 17})
    with running(ingest()):
        all_handled(cluster)
    [told] = [line for line in capsys.readouterr().out.splitlines() if "ran out" in line]
    assert all(word in told for word in ("error", "first=10", "records=7"))
    with database.transaction() as connection:
        assert inbox.counts(connection)["context"] == 23


def test_a_repeat_in_another_process_takes_nothing_off(
    database: Database,
    cluster: Cluster,
    ingest: Callable[[], KafkaIngest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Handled at once where another has just written it: it still counts its touchpoints."""
    told = delivery(payload("application_received"))
    send(cluster, [told])
    with running(ingest()):
        all_handled(cluster)
        # Both looked before either had written.
        monkeypatch.setattr(inbox, "known", lambda *_: {})
        send(cluster, [told])
        all_handled(cluster)
    with database.transaction() as connection:
        [kept] = inbox.listing(connection)
    assert (kept.status, kept.touchpoints) == ("recorded", 1)
