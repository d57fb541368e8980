"""Ingest from Kafka: each delivery once, dead letters parked, nothing committed too early."""

from __future__ import annotations

import resource
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from kafka import TopicPartition

from bench.deliveries import deliveries
from bench.harness import peak_mb
from consumers import inbox
from consumers.ats_adapters.adapter import Delivery, Translation
from consumers.ats_adapters.greenhouse import Greenhouse
from consumers.connections import Connection, Connections
from consumers.inbox import Filters
from consumers.ingest import IngestStopped
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.dead_letters import DeadLetterNotWritten
from consumers.kafka_stream.ingest import KafkaIngest
from consumers.kafka_stream.messages import Record, dead_delivery_record, delivery_record
from journey.database import Database
from journey.errors import ConfigurationError
from journey.journey_log import JourneyLog
from journey.vault import Vault
from tests.support.fakes import FrozenClock
from tests.support.greenhouse import CONNECTION, delivery, payload
from tests.support.kafka_broker import Broker
from tests.support.kafka_deliveries import (
    all_handled,
    dead_letters,
    ends,
    on_topic,
    running,
    send,
    unhandled,
)
from tests.support.processes import PATIENCE_SECONDS, until
from tests.support.truth import CONNECTION as BENCH
from tests.support.truth import FULL, assert_each_once, assert_no_gaps, one

Make = Callable[..., KafkaIngest]

NO_ACTION = {"payload": {}}
PERSONAL = "casey@example.org"


@pytest.fixture
def make(database: Database, cluster: Cluster) -> Iterator[Make]:
    """Makes ingest processes on the test's tenant and topics."""
    clock = FrozenClock()
    logs: list[JourneyLog] = []

    def made(**options: Any) -> KafkaIngest:
        logs.append(JourneyLog(database, Vault(b"k" * 32), clock))
        given = {"cluster": replace(cluster, session_seconds=3), **options}
        on = given.pop("cluster")
        return KafkaIngest(
            given.pop("database", database),
            logs[-1],
            Connections([CONNECTION, BENCH]),
            clock,
            on,
            **given,
        )

    yield made
    for log in logs:
        log.close()


def statuses(database: Database) -> dict[str, int]:
    """How many deliveries have each status, without the zeros."""
    with database.transaction() as connection:
        return {status: n for status, n in inbox.counts(connection).items() if n}


def a_delivery(name: str) -> Delivery:
    return delivery(payload(name))


class Buggy(Greenhouse):
    """Breaks on one action."""

    def translate(self, delivery: Delivery, connection: Connection) -> Translation:
        if orjson.loads(delivery.body).get("action") == "break":
            raise KeyError(PERSONAL)
        return super().translate(delivery, connection)


def test_deliveries_become_touchpoints(database: Database, cluster: Cluster, make: Make) -> None:
    """Recorded, context or dead, each is kept raw in the inbox with what it became."""
    sent = [a_delivery("application_received"), a_delivery("job_created"), delivery(NO_ACTION)]
    send(cluster, sent)
    with running(make()):
        all_handled(cluster)
    assert statuses(database) == {"recorded": 1, "context": 1, "dead": 1}
    with database.transaction() as connection:
        found = inbox.get(connection, sent[0].delivery_id)
    assert found is not None
    content, summary = found
    assert (content.body, dict(content.headers)) == (sent[0].body, dict(sent[0].headers))
    assert content.received_at == sent[0].received_at
    assert summary.touchpoints == 1
    [letter] = dead_letters(cluster)
    assert letter.delivery_id == sent[2].delivery_id
    assert letter.reason == "action is missing"
    assert letter.again == delivery_record(sent[2], sent[2].delivery_id[-4:].encode())


def test_duplicates_change_nothing(database: Database, cluster: Cluster, make: Make) -> None:
    """The same deliveries three times over all partitions are in the log once."""
    told = deliveries(300, 7)
    send(cluster, told)
    send(cluster, reversed(told), keyed=False)
    with running(make(batch=50)):
        send(cluster, told, keyed=False)
        all_handled(cluster)
    assert_each_once(database, told, told)
    assert_no_gaps(database)


def test_a_dead_letter_is_redriven_after_the_fix(
    database: Database, cluster: Cluster, make: Make
) -> None:
    """It is in the inbox as dead, pending again when redriven, and recorded by a fixed adapter."""
    sent = a_delivery("application_received")
    send(cluster, [replace(sent, connection="not-there-yet")])
    with running(make()):
        all_handled(cluster)
    assert statuses(database) == {"dead": 1}
    with database.transaction() as connection:
        connection.execute("UPDATE deliveries SET connection = %s", [CONNECTION.name])
        assert inbox.redrive(connection, Filters(status="dead")) == 1
    with running(make()):
        until(lambda: statuses(database) == {"recorded": 1}, "it is recorded")
        all_handled(cluster, "dead-letters")
    assert statuses(database) == {"recorded": 1}
    assert len(dead_letters(cluster)) == 1


def test_dead_at_the_door_is_found_in_the_inbox(
    database: Database, cluster: Cluster, make: Make
) -> None:
    """What a receiver wrote as a dead letter is listed and can be redriven."""
    sent = delivery(b"<xml/>")
    with cluster.producer() as producer:
        record = dead_delivery_record(sent, "the body is not JSON", sent.received_at)
        producer.send(cluster.topic("dead-letters"), **record._asdict()).get(PATIENCE_SECONDS)
    with running(make()):
        until(lambda: statuses(database) == {"dead": 1}, "it is there")
    with database.transaction() as connection:
        found = inbox.get(connection, sent.delivery_id)
    assert found is not None
    assert (found[0].body, found[1].reason) == (sent.body, "the body is not JSON")
    assert len(on_topic(cluster, "dead-letters")) == 1


def test_a_record_that_is_no_delivery_is_a_dead_letter(
    database: Database, cluster: Cluster, make: Make
) -> None:
    """Somebody else's record on our topic stops nothing, and is kept once, however often read."""
    send(cluster, [Record(b"k", b"hello", [("who", b"knows")]), a_delivery("job_created")])
    with running(make()):
        all_handled(cluster)
        all_handled(cluster, "dead-letters")
    assert statuses(database) == {"context": 1, "dead": 1}
    [letter] = dead_letters(cluster)
    assert letter.reason.endswith("has no header delivery-id")
    assert letter.again == Record(b"k", b"hello", [("who", b"knows")])


def test_the_inbox_is_worked_off_beside(database: Database, cluster: Cluster, make: Make) -> None:
    """What came by fallback, poll or file is handled by the same process."""
    with running(make()):
        with database.transaction() as connection:
            inbox.keep(connection, [a_delivery("application_received")])
        until(lambda: statuses(database) == {"recorded": 1}, "it is recorded")


def test_in_both_places_it_counts_once(database: Database, cluster: Cluster, make: Make) -> None:
    """Kept in the inbox because Kafka was slow, and then in Kafka after all."""
    told = deliveries(200, 3)
    with database.transaction() as connection:
        inbox.keep(connection, told)
    send(cluster, told)
    with running(make(batch=20)):
        all_handled(cluster)
        until(lambda: "pending" not in statuses(database), "nothing is pending")
    assert_each_once(database, told, told)


def test_two_that_meet_on_one_candidate_both_succeed(
    database: Database, cluster: Cluster, make: Make
) -> None:
    """One candidate's deliveries on every partition, two processes: each touchpoint once."""
    told = deliveries(60, 5) * 4
    send(cluster, told, keyed=False)
    with running(make(batch=10), make(batch=10)):
        all_handled(cluster)
    assert_each_once(database, told, told)
    assert_no_gaps(database)


# --- the four fates ---------------------------------------------------------------------------


def test_a_bug_stops_it_with_the_deliverys_id(
    database: Database, cluster: Cluster, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of the batch is committed, nothing is lost, and the log holds nothing personal."""
    broken = delivery({"action": "break"})
    send(cluster, [a_delivery("application_received"), broken], keyed=False)
    with running(make(adapters={"greenhouse": Buggy()}), failing=True) as ended:
        error = ends(ended)
    assert isinstance(error, IngestStopped)
    assert error.delivery_id == broken.delivery_id
    assert PERSONAL not in str(error) + capsys.readouterr().out
    assert unhandled(cluster) >= 1
    assert "dead" not in statuses(database)
    with running(make()):
        all_handled(cluster)
    assert statuses(database) == {"recorded": 1, "context": 1}


def test_a_bug_in_recording_names_its_delivery(
    database: Database, cluster: Cluster, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those before it are handled; it and those behind it stay in the topic."""
    told = deliveries(40, 9)
    broken = told[25].delivery_id
    record = JourneyLog.record

    def breaks(self: JourneyLog, statements: Any, connection: Any) -> Any:
        if any(each.touchpoint.delivery_id == broken for each in statements):
            raise RuntimeError("a bug")
        return record(self, statements, connection)

    monkeypatch.setattr(JourneyLog, "record", breaks)
    send(cluster, [delivery_record(each, b"one key") for each in told])
    with running(make(), failing=True) as ended:
        error = ends(ended)
    assert isinstance(error, IngestStopped)
    assert error.delivery_id == broken
    assert unhandled(cluster) == 15
    monkeypatch.undo()
    with running(make()):
        all_handled(cluster)
    assert_each_once(database, told, told)


def test_a_dead_letter_that_cannot_be_written_stops_it(
    database: Database, cluster: Cluster, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is committed: neither the dead one nor the good one in the same batch."""
    told = [delivery_record(each, b"k") for each in (a_delivery("hired"), delivery(NO_ACTION))]
    send(cluster, told)
    ingest = make()

    def refuses(records: list[Record]) -> None:
        if records:
            raise DeadLetterNotWritten("as a test has it")

    monkeypatch.setattr(ingest._dead_letters, "write", refuses)
    with running(ingest, failing=True) as ended:
        error = ends(ended)
    assert isinstance(error, DeadLetterNotWritten)
    assert unhandled(cluster) == 2
    assert statuses(database) == {}
    with running(make()):
        all_handled(cluster)
    assert statuses(database) == {"recorded": 1, "dead": 1}


def test_the_dead_letter_is_there_before_the_commit(
    database: Database, cluster: Cluster, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the inbox is written, Kafka has acknowledged it; another try writes no second one."""
    send(cluster, [delivery(NO_ACTION)])
    seen: list[int] = []
    archive = inbox.archive

    def looks(connection: Any, handled: Any, now: Any) -> Any:
        seen.append(len(dead_letters(cluster)))
        if len(seen) == 1:
            raise inbox_away()
        return archive(connection, handled, now)

    monkeypatch.setattr("consumers.inbox.archive", looks)
    with running(make()):
        all_handled(cluster)
    assert seen[:2] == [1, 1]
    assert len(dead_letters(cluster)) == 1


def inbox_away() -> Exception:
    import psycopg

    return psycopg.OperationalError("as a test has it")


def test_a_restart_counts_what_came_last(database: Database) -> None:
    """Not those whose ids sort last, as the ids of records do that are no deliveries."""
    ids = [f"ffffffff-0000-5000-8000-{number:012}" for number in range(6)]
    dead = [replace(delivery(NO_ACTION), delivery_id=each) for each in ids]
    good = [replace(delivery(NO_ACTION), connection=f"c{n % 3}") for n in range(9)]
    with database.transaction() as connection:
        for each in (*dead, *good[:5], delivery(NO_ACTION), *good[5:]):
            status = "recorded" if each in good else "dead"
            outcome = inbox.Outcome(each.delivery_id, status)
            inbox.archive(connection, [(each, outcome)], each.received_at)
        inbox.keep(connection, [delivery(NO_ACTION)])
        latest = inbox.latest_fates(connection, 11)
    assert latest == [True, *[False] * 5, True, *[False] * 4]


def test_a_topic_that_is_not_there_is_said_at_once(cluster: Cluster, make: Make) -> None:
    """With the command that makes it."""
    ingest = make(cluster=replace(cluster, prefix=f"{cluster.prefix}-none"))
    with pytest.raises(ConfigurationError, match="journey kafka init"):
        ingest.run(threading.Event())


# --- back-pressure ------------------------------------------------------------------------------


class SlowDatabase(Database):
    """Takes its time for every transaction until `fast` is set."""

    fast: threading.Event

    def transaction(self) -> Any:
        self.fast.wait(PATIENCE_SECONDS)
        return super().transaction()


def test_a_slow_database_pauses_the_partitions(
    database: Database, cluster: Cluster, make: Make
) -> None:
    """Longer than the poll interval, it stays in its group, and holds no more than a batch."""
    told = deliveries(2_000, 11)
    send(cluster, told)
    slow = SlowDatabase(database.url, database.schema)
    slow.fast = threading.Event()
    # Its heart may miss a few beats on a busy machine; that is not what this is about.
    patient = replace(cluster, session_seconds=30)
    options = {"max_poll_interval_ms": 4_000}
    ingest = make(database=slow, cluster=patient, batch=100, consumer_options=options)
    with running(ingest):
        until(lambda: hasattr(ingest, "_consumer") and ingest._consumer.assignment(), "it joined")
        member = ingest._consumer.group_metadata().member_id
        until(lambda: len(ingest._consumer.paused()) == 3, "every partition is paused")
        began = peak_mb()
        ends_at = time.monotonic() + 6
        while time.monotonic() < ends_at:
            assert ingest._consumer.group_metadata().member_id == member
            time.sleep(0.2)
        assert peak_mb() - began < 20
        slow.fast.set()
        all_handled(cluster)
        assert ingest._consumer.group_metadata().member_id == member
    slow.close()
    assert_each_once(database, told, told)


@pytest.mark.fault
@pytest.mark.parametrize("how", ["pause", *(["stop"] if FULL else [])])
def test_database_and_broker_away_at_once(
    database: Database, cluster: Cluster, kafka: Broker, make: Make, how: str
) -> None:
    """A batch in hand waits for the one while the other goes and comes: nothing ends by itself."""
    told = deliveries(600, 19)
    send(cluster, told)
    slow = SlowDatabase(database.url, database.schema)
    slow.fast = threading.Event()
    ingest = make(database=slow, batch=100)
    with running(ingest) as ended:
        until(lambda: hasattr(ingest, "_consumer") and ingest._consumer.paused(), "it hangs")
        getattr(kafka, how)()
        try:
            # Longer than the group waits for it.
            ends_at = time.monotonic() + 5
            while time.monotonic() < ends_at:
                assert not ended()
                time.sleep(0.2)
        finally:
            kafka.resume() if how == "pause" else kafka.start()
        slow.fast.set()
        all_handled(cluster)
    slow.close()
    assert_each_once(database, told, told)
    assert_no_gaps(database)


def test_a_batch_whose_partitions_moved_is_dropped(
    database: Database, cluster: Cluster, make: Make
) -> None:
    """While one process hangs in the database, another takes over; nothing is done by halves."""
    told = deliveries(600, 13)
    send(cluster, told)
    slow = SlowDatabase(database.url, database.schema)
    slow.fast = threading.Event()
    hanging = make(database=slow, batch=100)
    with running(hanging):
        until(lambda: hasattr(hanging, "_consumer") and hanging._consumer.paused(), "it hangs")
        with running(make(batch=100)):
            until(lambda: one(database, "SELECT count(*) FROM deliveries") > 0, "the other works")
            slow.fast.set()
            all_handled(cluster)
    slow.close()
    assert_each_once(database, told, told)
    assert_no_gaps(database)


def test_every_partition_is_read_on_after_a_pause(cluster: Cluster, make: Make) -> None:
    """Also where the client put records of several aside, as when partitions come in a pause."""
    told = deliveries(600, 19)
    send(cluster, told)
    ingest = make(cluster=replace(cluster, session_seconds=30))
    ingest._consumer = consumer = ingest._made()
    read_up_to: Counter[TopicPartition] = Counter()

    def poll(most: int) -> None:
        for partition, records in ingest._poll(most).items():
            for each in records:
                assert each.offset == read_up_to[partition]
                read_up_to[partition] += 1

    def polled_until(holds: Callable[[], Any], what: str, most: int) -> None:
        until(lambda: holds() or poll(most), what)

    try:
        polled_until(lambda: len(consumer.assignment()) == 3, "it joined", 1)
        for partition in consumer.assignment():
            consumer.pause(*consumer.assignment())
            consumer.resume(partition)
            before = read_up_to[partition]
            polled_until(lambda p=partition, b=before: read_up_to[p] > b, "one more is read", 1)
        consumer.pause(*consumer.assignment())
        poll(1)
        assert len(consumer._fetcher._paused_partition_records) > 1
        ingest._read_on()
        polled_until(lambda: read_up_to.total() == len(told), "all are read", 1_000)
    finally:
        consumer.close()


def test_memory_is_bounded(database: Database, cluster: Cluster, make: Make) -> None:
    """Thirty megabytes wait; a small part of them is ever held."""
    body = orjson.dumps({"action": "job_created", "payload": {"text": "x" * 200_000}})
    send(cluster, [delivery(body) for _ in range(150)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with running(make(consumer_options=SMALL)):
        all_handled(cluster)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"grown by {grown:.0f} MB")
    assert grown < 60
    assert statuses(database) == {"context": 150}


SMALL: Mapping[str, int] = {"fetch_max_bytes": 2_000_000, "max_partition_fetch_bytes": 500_000}


def test_offsets_are_committed_after_the_database(
    database: Database, cluster: Cluster, make: Make
) -> None:
    """Whatever offset is committed, what stands before it is in the inbox."""
    told = deliveries(500, 17)
    send(cluster, told)
    topic = cluster.topic("deliveries")
    with running(make(batch=25)), cluster.consumer("ingest") as looking:
        partitions = [TopicPartition(topic, n) for n in range(3)]
        committed = 0
        while committed < len(told):
            committed = sum(looking.committed(each) or 0 for each in partitions)
            assert one(database, "SELECT count(*) FROM deliveries") >= committed
