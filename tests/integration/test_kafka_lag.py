"""How far behind: in the doctor, `/-/status` and `/-/metrics`, also with the broker away."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from kafka import TopicPartition
from kafka.errors import CoordinatorNotAvailableError
from kafka.structs import OffsetAndMetadata

from bench.data import journeys
from bench.log import fill
from consumers import inbox
from consumers.ats_adapters.adapter import Delivery
from consumers.bootstrap import Installation
from consumers.connections import Connections
from consumers.errors import KafkaUnavailable
from consumers.health.check import Check
from consumers.health.examine import examine
from consumers.kafka_stream import lag
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.lag import LOOK_SECONDS, LagWatch, look
from consumers.metrics import Gauge, exposition
from consumers.settings import Settings
from consumers.webhooks.app import create_app
from journey.database import Database
from tests.support.fakes import FrozenClock
from tests.support.installations import environment_for
from tests.support.kafka_broker import Broker, kafka_environment
from tests.support.kafka_deliveries import NoUtf8
from tests.support.processes import PATIENCE_SECONDS, until

BUSY_SECONDS = 10.0
"""So long a busy machine may take for what is done in no time."""
HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def engine(
    database: Database, tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """An installation that works on the test's topics, and waits for what a busy broker says."""
    monkeypatch.setattr(lag, "LOOK_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(lag, "_PATIENCE_SECONDS", PATIENCE_SECONDS)
    environment = environment_for(database, tmp_path) | kafka_environment(cluster)
    with Installation(
        Settings.from_environment(environment), environment={}, connections=Connections()
    ) as made:
        yield made


def send(cluster: Cluster, partition: int, records: int, at: datetime = HOUR_AGO) -> None:
    """Records in a partition of the deliveries, written at a time."""
    producer = cluster.producer()
    for _ in range(records):
        producer.send(
            cluster.topic("deliveries"),
            b"{}",
            partition=partition,
            timestamp_ms=int(at.timestamp() * 1000),
        )
    producer.flush()
    producer.close()


def handle(cluster: Cluster, partition: int, up_to: int) -> None:
    """The ingest group commits an offset."""
    place = TopicPartition(cluster.topic("deliveries"), partition)

    def committed() -> bool:
        try:
            with cluster.admin() as admin:
                offset = OffsetAndMetadata(up_to, "", -1)
                found = admin.alter_group_offsets(cluster.group("ingest"), {place: offset})
        except CoordinatorNotAvailableError:
            # The first group of a broker makes it create its topic of offsets.
            return False
        return found[place].errno == 0

    until(committed, "the offset is committed")


def checks(engine: Installation) -> dict[str, Check]:
    return {each.check: each for each in examine(engine)}


def test_lag_by_group_and_partition_and_since_when(cluster: Cluster) -> None:
    """A partition nobody has committed counts from its beginning; the oldest record has a time."""
    send(cluster, 0, 5)
    send(cluster, 1, 3, datetime.now(UTC))
    ingest, _ = look(cluster, patience_seconds=PATIENCE_SECONDS)
    assert ingest.group == cluster.group("ingest")
    assert ingest.lag_records == 8
    assert ingest.oldest_at is not None
    assert abs(ingest.oldest_at - HOUR_AGO) < timedelta(seconds=1)
    handle(cluster, 0, 4)
    handle(cluster, 1, 3)
    ingest, _ = look(cluster, patience_seconds=PATIENCE_SECONDS)
    told = {each.partition: each for each in ingest.partitions if "deliveries" in each.topic}
    assert (told[0].committed, told[0].end, told[0].lag_records) == (4, 5, 1)
    assert told[1].lag_records == told[2].lag_records == 0
    handle(cluster, 0, 5)
    ingest, _ = look(cluster, patience_seconds=PATIENCE_SECONDS)
    assert (ingest.lag_records, ingest.oldest_at) == (0, None)


def test_a_topic_that_is_gone_hides_nothing_else(cluster: Cluster) -> None:
    """A group remembers offsets of topics that were deleted."""
    send(cluster, 0, 5)
    handle(cluster, 0, 2)
    gone = f"{cluster.prefix}.gone"
    with cluster.admin() as admin:
        admin.create_topics({gone: {"num_partitions": 1, "replication_factor": 1}})
        admin.wait_for_topics([gone])
        offset = OffsetAndMetadata(0, "", -1)
        admin.alter_group_offsets(cluster.group("ingest"), {TopicPartition(gone, 0): offset})
        admin.delete_topics([gone])
    ingest, _ = look(cluster, patience_seconds=PATIENCE_SECONDS)
    assert ingest.lag_records == 3


def test_what_ran_out_before_it_was_handled_is_no_success(
    engine: Installation, cluster: Cluster
) -> None:
    """An empty topic is not a handled one."""
    send(cluster, 0, 5)
    handle(cluster, 0, 2)
    with cluster.admin() as admin:
        admin.delete_records({TopicPartition(cluster.topic("deliveries"), 0): 5})
    ingest, _ = look(cluster, patience_seconds=PATIENCE_SECONDS)
    assert (ingest.lag_records, ingest.ran_out_records, ingest.oldest_at) == (0, 3, None)
    found = checks(engine)["kafka-lag ingest"]
    assert found.status == "wrong"
    assert found.found.startswith("3 records ran out of the topic")
    with TestClient(engine.receiver) as client:
        told = samples(client.get("/-/metrics").text)
    assert told[f'journey_kafka_ran_out_records{{group="{cluster.group("ingest")}"}}'] == 3


def test_what_nobody_can_read_hides_no_lag(cluster: Cluster, engine: Installation) -> None:
    """How much waits is told, and that nobody knows since when."""
    with cluster.producer() as producer:
        broken = NoUtf8("name")
        producer.send(cluster.topic("deliveries"), b"{}", headers=[(broken, b"")], partition=0)
    ingest, _ = look(cluster, patience_seconds=PATIENCE_SECONDS)
    assert (ingest.lag_records, ingest.oldest_at) == (1, None)
    assert checks(engine)["kafka-lag ingest"].status == "note"
    with TestClient(engine.receiver) as client:
        told = samples(client.get("/-/metrics").text)
    assert f'journey_kafka_oldest_unhandled_seconds{{group="{ingest.group}"}}' not in told


def test_many_partitions_are_asked_in_time(cluster: Cluster) -> None:
    """Since when is known of each, large records included, unless the broker is busy just then."""
    with cluster.producer(batch_size=1) as producer:
        for _ in range(4):
            for partition in range(3):
                producer.send(cluster.topic("deliveries"), b"x" * 1_000_000, partition=partition)

    def in_time() -> bool:
        try:
            ingest, _ = look(cluster, patience_seconds=2)
        except KafkaUnavailable:
            return False
        assert ingest.lag_records == 12
        return ingest.is_oldest_known

    until(in_time, "all is told in time")


def test_the_doctor_says_what_waits_too_long(engine: Installation, cluster: Cluster) -> None:
    """New and empty all is well; then it names group, partition, since when, and what to do."""
    new = checks(engine)
    for name in ("ingest", "publish", "alerts"):
        assert new[f"kafka-lag {name}"].status == "ok"
    send(cluster, 2, 4)
    fill(engine.database, journeys(100, 5, 1))
    time.sleep(2.1)
    found = checks(engine)
    ingest = found["kafka-lag ingest"]
    assert ingest.status == "wrong"
    assert "4 records unhandled in 1 partition" in ingest.found
    assert f"{cluster.topic('deliveries')}/2" in ingest.found
    assert "journey run ingest" in ingest.advice
    publish = found["kafka-lag publish"]
    assert publish.status == "wrong"
    assert "up to position 0 of " in publish.found
    assert "journey run publish" in publish.advice
    assert found["kafka-lag alerts"].status == "ok"


def test_the_shape_of_the_status(engine: Installation, cluster: Cluster) -> None:
    """Others' dashboards read it."""
    send(cluster, 0, 2)
    with TestClient(engine.receiver) as client:
        found = client.get("/-/status.json").json()
        assert client.get("/-/status").status_code == 200
    kafka = found["kafka"]
    assert (kafka["reachable"], kafka["problem"]) == (True, None)
    group = kafka["groups"][cluster.group("ingest")]
    assert (group["lag_records"], group["ran_out_records"]) == (2, 0)
    assert datetime.fromisoformat(group["oldest_unhandled_at"]).tzinfo is not None
    assert group["partitions"][f"{cluster.topic('deliveries')}/0"] == {
        "committed": None,
        "end": 2,
        "lag_records": 2,
    }
    assert found["published"] == {
        cluster.topic(name): {"position": 0, "lag_positions": 0}
        for name in ("touchpoints", "alerts")
    }


def test_the_shape_of_the_metrics(engine: Installation, cluster: Cluster) -> None:
    """Names, labels and help are what alerts elsewhere are written on."""
    send(cluster, 0, 2)
    fill(engine.database, journeys(100, 5, 1))
    kept = Delivery(inbox.new_delivery_id(HOUR_AGO), "c", "greenhouse", HOUR_AGO, {}, b"{}")
    with engine.database.transaction() as connection:
        inbox.keep(connection, [kept])
    with TestClient(engine.receiver) as client:
        answer = client.get("/-/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    told = samples(answer.text)
    deliveries, touchpoints = cluster.topic("deliveries"), cluster.topic("touchpoints")
    group = cluster.group("ingest")
    assert told["journey_database_up"] == told["journey_kafka_up"] == 1
    assert told['journey_deliveries{status="pending"}'] == 1
    assert told["journey_inbox_oldest_pending_seconds"] >= 3600
    assert told["journey_log_position"] == told["journey_projections_lag_touchpoints"] > 0
    assert told["journey_projections_position"] == told["journey_deadlines_due"] == 0
    assert told["journey_deadlines_overdue_seconds"] == told["journey_alerts_unresolved"] == 0
    assert told['journey_messages{state="waiting"}'] == 0
    assert told[f'journey_published_position{{topic="{touchpoints}"}}'] == 0
    assert (
        told[f'journey_publish_lag_positions{{topic="{touchpoints}"}}']
        == told["journey_log_position"]
    )
    assert told[f'journey_publish_lag_seconds{{topic="{touchpoints}"}}'] > 0
    lag = f'journey_kafka_lag_records{{group="{group}",topic="{deliveries}",partition="0"}}'
    assert told[lag] == 2
    assert told[f'journey_kafka_oldest_unhandled_seconds{{group="{group}"}}'] >= 3600


def test_without_kafka_the_metrics_tell_the_rest(database: Database, tmp_path: Path) -> None:
    """Counts, positions and deadlines are told; nothing about a broker is."""
    settings = Settings.from_environment(environment_for(database, tmp_path))
    with (
        Installation(
            settings, clock=FrozenClock(), environment={}, connections=Connections()
        ) as engine,
        TestClient(engine.receiver) as client,
    ):
        told = samples(client.get("/-/metrics").text)
        assert "kafka" not in client.get("/-/status.json").json()
    assert told["journey_database_up"] == 1
    assert not [name for name in told if "kafka" in name or "publish" in name]


def test_labels_are_escaped() -> None:
    """A quote in a name must not end it."""
    gauge = Gauge("journey_x", "One\nline.", [({"name": 'a"b\\c\nd'}, 1.5)])
    assert exposition([gauge, Gauge("journey_none", "Nothing.", [])]) == (
        "# HELP journey_x One\\nline.\n# TYPE journey_x gauge\n"
        'journey_x{name="a\\"b\\\\c\\nd"} 1.500\n'
    )


def test_nobody_who_asks_is_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the client is waiting for; the next one shares its look."""
    let_go, looks = threading.Event(), list[int]()

    def hangs(*_: object, **__: object) -> None:
        looks.append(1)
        let_go.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(lag, "look", hangs)
    monkeypatch.setattr(lag, "LOOK_SECONDS", 0.2)
    watch, began = LagWatch(Cluster(("127.0.0.1:9",))), time.monotonic()
    told = [watch.now() for _ in range(2)]
    assert time.monotonic() - began < BUSY_SECONDS
    until(lambda: looks, "the look has begun")
    let_go.set()
    assert ["in time" in (each.problem or "") for each in told] == [True] * 2
    assert looks == [1]


def test_a_broker_that_nobody_runs_is_told_soon(
    engine: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says so and shows the rest."""
    monkeypatch.undo()
    engine.settings = replace(engine.settings, kafka=("127.0.0.1:9",))
    assert_told_soon(engine)


@pytest.mark.fault
def test_a_broker_that_hangs_keeps_no_page_waiting(
    engine: Installation, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts connections and says nothing; whoever asks is answered all the same."""
    monkeypatch.undo()
    engine.lag_watch.now()
    kafka.pause()
    try:
        time.sleep(2.1)
        assert_told_soon(engine)
    finally:
        kafka.resume()


def assert_told_soon(engine: Installation) -> None:
    # Without the keeper, which would look for the broker in its own time.
    app = create_app(
        engine.database, {}, {}, engine.clock, status=engine._status, metrics=engine._metrics
    )
    with TestClient(app) as client:
        for address in ("/-/status.json", "/-/metrics"):
            began = time.monotonic()
            answer = client.get(address)
            assert time.monotonic() - began < LOOK_SECONDS + BUSY_SECONDS
            assert answer.status_code == 200
    assert samples(answer.text)["journey_kafka_up"] == 0
    assert samples(answer.text)["journey_database_up"] == 1
    status = engine._status()["kafka"]
    assert status["reachable"] is False
    assert "cannot be reached" in status["problem"]


def samples(text: str) -> dict[str, float]:
    """Name with labels → value; checks that each line is of the format."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# (HELP \w+ .+|TYPE \w+ gauge)", line), line
            continue
        name, _, value = line.rpartition(" ")
        assert re.fullmatch(r'\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})?', name), line
        found[name] = float(value)
    return found
