"""`journey kafka` and the doctor, against a real broker."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import MessageSizeTooLargeError

from consumers.ats_adapters.adapter import Delivery
from consumers.bootstrap import Installation
from consumers.cli import invoke
from consumers.errors import KafkaUnavailable
from consumers.health.check import Check
from consumers.health.examine import examine
from consumers.kafka_stream import topics
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.messages import (
    Record,
    dead_letter_of,
    dead_letter_record,
    delivery_of,
    delivery_record,
)
from consumers.settings import Settings
from journey.database import Database
from schemas.identifiers import DeliveryId
from tests.support.installations import environment_for
from tests.support.kafka_broker import Broker, kafka_environment
from tests.support.processes import PATIENCE_SECONDS

CHECKS = ("kafka", "kafka broker", "kafka topics")
NAMES = ["deliveries", "touchpoints", "alerts", "dead-letters"]


@pytest.fixture(autouse=True)
def patient_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for what a busy broker says."""
    monkeypatch.setattr("consumers.kafka_stream.cluster.LOOK_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def missing(cluster: Cluster) -> Cluster:
    """A cluster like the test's own whose topics are not there yet."""
    return replace(cluster, prefix=f"{cluster.prefix}.new")


def told(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> tuple[int, Any]:
    """Exit code and JSON of `journey kafka …`."""
    for name, value in kafka_environment(cluster).items():
        monkeypatch.setenv(name, value)
    code = invoke(["kafka", what, "--json"])
    return code, json.loads(capsys.readouterr().out)


def configuration(cluster: Cluster, topic: str) -> dict[str, str]:
    with cluster.admin() as admin:
        asked = ConfigResource(ConfigResourceType.TOPIC, cluster.topic(topic))
        (answer,) = admin.describe_configs([asked])["topic"].values()
    return {name: each["value"] for name, each in answer.items()}


def test_init_makes_what_is_missing_and_may_be_repeated(
    missing: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The four topics with partitions and copies as set, then nothing more."""
    code, made = told(missing, monkeypatch, capsys, "init")
    assert code == 0
    assert made == [
        {
            "topic": missing.topic(name),
            "fate": "created",
            "partitions": 3,
            "replication": 1,
            "differs": [],
        }
        for name in NAMES
    ]
    code, again = told(missing, monkeypatch, capsys, "init")
    assert code == 0
    assert again == [{**each, "fate": "exists"} for each in made]


def test_topics_are_made_as_the_table_says(cluster: Cluster) -> None:
    """The broker itself tells how long it keeps them and what it lets in."""
    for topic in topics.TOPICS:
        found = configuration(cluster, topic.name)
        asked = topic.configuration(cluster)
        assert {name: found[name] for name in asked} == asked


def test_init_never_adds_partitions(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says how a topic differs, and ends with 1: a key would move to another partition."""
    code, made = told(replace(cluster, partitions=6), monkeypatch, capsys, "init")
    assert code == 1
    assert {each["fate"] for each in made} == {"differs"}
    assert made[0]["differs"] == ["it has 3 partitions, JOURNEY_KAFKA_PARTITIONS says 6"]
    assert [each.partitions for each in topics.standings(cluster)] == [3, 3, 3, 3]


def test_a_topic_that_somebody_else_made_is_told(
    missing: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that keeps the newest delivery of each candidate only would lose the others."""
    name = missing.topic("deliveries")
    with missing.admin() as admin:
        asked = {"num_partitions": 3, "replication_factor": 1}
        admin.create_topics({name: {**asked, "configs": {"cleanup.policy": "compact"}}})
        admin.wait_for_topics([name])
    code, made = told(missing, monkeypatch, capsys, "init")
    assert code == 1
    assert [each["fate"] for each in made] == ["differs", "created", "created", "created"]
    cleanup, largest = made[0]["differs"]
    assert cleanup == "its cleanup.policy is compact and has to be delete"
    assert largest.startswith("its max.message.bytes is 1048588 and has to be ")


def test_two_that_make_topics_at_once_both_succeed(missing: Cluster) -> None:
    """Every process may begin with `init`; each topic is made by one of them."""
    fates: list[list[topics.Made]] = []
    both = [threading.Thread(target=lambda: fates.append(topics.init(missing))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(fates) == 2
    for one, other in zip(*fates, strict=True):
        assert sorted([one.fate, other.fate]) in (["created", "exists"], ["exists", "exists"])
    assert [each.partitions for each in topics.standings(missing)] == [3, 3, 3, 3]


def test_more_copies_than_brokers_are_refused_in_a_sentence(
    kafka: Broker,
    missing: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the broker says, and which settings to mend; no topic is made."""
    asked = replace(missing, replication=9)
    for name, value in kafka_environment(asked).items():
        monkeypatch.setenv(name, value)
    assert invoke(["kafka", "init"]) == 5
    said = capsys.readouterr().err
    assert "InvalidReplicationFactorError" in said
    assert "mend JOURNEY_KAFKA_REPLICATION" in said
    assert [each.partitions for each in topics.standings(missing)] == [None] * 4


def test_topics_are_listed_with_what_they_carry(
    cluster: Cluster,
    missing: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """There or missing."""
    code, found = told(cluster, monkeypatch, capsys, "topics")
    assert code == 0
    assert [each["topic"] for each in found] == [cluster.topic(name) for name in NAMES]
    assert {each["partitions"] for each in found} == {3}
    assert [each["personal"] for each in found] == [True, False, False, True]
    code, found = told(missing, monkeypatch, capsys, "topics")
    assert {each["partitions"] for each in found} == {None}


# --- the doctor -----------------------------------------------------------------------------


def checks(database: Database, home: Path, more: dict[str, str]) -> dict[str, Check]:
    """What the doctor says about client, broker and topics."""
    settings = Settings.from_environment(environment_for(database, home) | more)
    with Installation(settings, environment={}) as engine:
        found = {each.check: each for each in examine(engine)}
    return {name: found[name] for name in CHECKS if name in found}


def test_the_doctor_looks_at_broker_and_topics(
    database: Database, cluster: Cluster, tmp_path: Path
) -> None:
    """Both well, with where the broker is."""
    found = checks(database, tmp_path, kafka_environment(cluster))
    assert {name: each.status for name, each in found.items()} == {
        "kafka": "ok",
        "kafka broker": "ok",
        "kafka topics": "ok",
    }
    assert found["kafka broker"].found == f"answers at {cluster.address} (PLAINTEXT)"
    assert found["kafka topics"].found == "4 with 3 partitions each"


def test_the_doctor_misses_topics(database: Database, missing: Cluster, tmp_path: Path) -> None:
    """And says which command makes them."""
    check = checks(database, tmp_path, kafka_environment(missing))["kafka topics"]
    assert check.status == "wrong"
    assert missing.topic("dead-letters") in check.found
    assert check.advice == "run `journey kafka init`"


def test_the_doctor_finds_partitions_that_differ(
    database: Database, cluster: Cluster, tmp_path: Path
) -> None:
    """A process would hope for work that another one has."""
    environment = kafka_environment(replace(cluster, partitions=6))
    check = checks(database, tmp_path, environment)["kafka topics"]
    assert check.status == "wrong"
    assert "it has 3 partitions, JOURNEY_KAFKA_PARTITIONS says 6" in check.found


def test_without_kafka_the_doctor_asks_none(database: Database, tmp_path: Path) -> None:
    """A small installation is well without."""
    assert set(checks(database, tmp_path, {})) == {"kafka"}


# --- records through a real broker ------------------------------------------------------------


def a_delivery(body: bytes) -> Delivery:
    return Delivery(
        DeliveryId("0190c5b2-0000-7000-8000-000000000001"),
        "greenhouse-de",
        "greenhouse",
        datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
        {"signature": "sha256 ab"},
        body,
    )


def sent(cluster: Cluster, topic: topics.Topic, record: Record) -> None:
    producer = cluster.producer()
    try:
        producer.send(cluster.topic(topic.name), **record._asdict()).get(PATIENCE_SECONDS)
    finally:
        producer.close()


def records(cluster: Cluster, topic: topics.Topic, count: int) -> Iterator[Any]:
    """So many records of a topic, read by nobody in particular."""
    consumer = cluster.consumer(None)
    consumer.subscribe([cluster.topic(topic.name)])
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while count:
            assert time.monotonic() < deadline, f"{count} records are missing"
            for batch in consumer.poll(timeout_ms=500).values():
                for record in batch:
                    yield record
                    count -= 1
    finally:
        consumer.close()


def test_the_largest_delivery_fits_and_so_does_its_dead_letter(cluster: Cluster) -> None:
    """What the door takes is never stuck because it is large."""
    delivery = a_delivery(bytes(cluster.largest_body_bytes))
    sent(cluster, topics.DELIVERIES, delivery_record(delivery, b"greenhouse:candidate/7"))
    (record,) = records(cluster, topics.DELIVERIES, 1)
    assert delivery_of(record) == delivery
    assert record.key == b"greenhouse:candidate/7"

    at = datetime(2026, 3, 2, 9, 31, tzinfo=UTC)
    sent(cluster, topics.DEAD_LETTERS, dead_letter_record(record, "x" * 10_000, at))
    (dead,) = records(cluster, topics.DEAD_LETTERS, 1)
    letter = dead_letter_of(dead)
    assert letter.at == at
    assert letter.came_from == f"{record.topic}/{record.partition}/{record.offset}"
    assert letter.again == delivery_record(delivery, record.key)


def test_what_is_too_large_is_refused_before_it_is_sent(cluster: Cluster) -> None:
    """The producer knows what the topics let in."""
    record = Record(None, bytes(cluster.largest_record_bytes * 2), [])
    with pytest.raises(MessageSizeTooLargeError):
        sent(cluster, topics.DELIVERIES, record)


def test_partitions_move_one_by_one(cluster: Cluster) -> None:
    """A consumer that joins takes some; the other keeps the rest through the rebalance."""
    name = cluster.topic("deliveries")
    revoked: list[int] = []
    first = cluster.consumer("ingest")
    first.subscribe([name], listener=_Listening(revoked))
    shared([first], 3)
    assert revoked == []
    second = cluster.consumer("ingest")
    second.subscribe([name])
    shared([first, second], 3)
    assert len(revoked) == len(second.assignment()) >= 1
    assert {each.partition for each in second.assignment()} == set(revoked)
    with cluster.admin() as admin:
        group = cluster.group("ingest")
        assert admin.describe_groups([group])[group]["protocol_data"] == "cooperative-sticky"
    for consumer in (first, second):
        consumer.close()


class _Listening(ConsumerRebalanceListener):
    """Writes down what is taken away."""

    def __init__(self, revoked: list[int]) -> None:
        self._revoked = revoked

    def on_partitions_revoked(self, revoked: Any) -> None:
        self._revoked += [each.partition for each in revoked]

    def on_partitions_assigned(self, assigned: Any) -> None:
        """Nothing to do."""

    def on_partitions_lost(self, lost: Any) -> None:
        raise AssertionError(f"lost {lost}")


def shared(consumers: list[KafkaConsumer], partitions: int) -> None:
    """Wait until these consumers have all partitions between them, and each has one."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        for consumer in consumers:
            consumer.poll(timeout_ms=100)
        held = [len(consumer.assignment()) for consumer in consumers]
        if sum(held) == partitions and all(held):
            return
        assert time.monotonic() < deadline, held


# --- the broker of the tests ------------------------------------------------------------------


@pytest.mark.fault
def test_a_broker_comes_back_where_it_was(kafka: Broker, cluster: Cluster) -> None:
    """Stopped, killed or hanging: the same address and data, which fault tests rest on."""
    sent(cluster, topics.DELIVERIES, delivery_record(a_delivery(b"1")))
    kafka.stop()
    with pytest.raises(KafkaUnavailable, match=r"cannot be reached \(111 ECONNREFUSED\)"):
        topics.standings(cluster, patience_seconds=5)
    kafka.start()
    sent(cluster, topics.DELIVERIES, delivery_record(a_delivery(b"2")))
    kafka.kill()
    kafka.start()
    kafka.pause()
    with pytest.raises(KafkaUnavailable):
        topics.standings(cluster, patience_seconds=1)
    kafka.resume()
    assert {each.value for each in records(cluster, topics.DELIVERIES, 2)} == {b"1", b"2"}
