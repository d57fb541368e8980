"""Kafka, PostgreSQL and ingest fail in the middle of it: each delivery is in the log exactly once.

Small sizes by default; JOURNEY_FULL=1 takes 20,000 deliveries, thirty kills and 20 s of absence.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bench.deliveries import deliveries
from consumers.ats_adapters.adapter import Delivery
from consumers.ats_adapters.greenhouse import Greenhouse
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.messages import Record, delivery_key, delivery_of, delivery_record
from journey.database import Database, open_database
from tests.support.kafka_broker import Broker, kafka_environment
from tests.support.kafka_deliveries import all_handled, dead_letters, on_topic
from tests.support.postgres import a_postgres
from tests.support.processes import Processes, Sender, processes, until
from tests.support.truth import (
    CONNECTION,
    FULL,
    a_chance,
    assert_each_once,
    assert_no_gaps,
    assert_views_are_what_a_rebuild_makes,
    caught_up,
    one,
    rows,
)

DELIVERIES = 20_000 if FULL else 3_000
KILLS = 30 if FULL else 8
AWAY_SECONDS = 20.0 if FULL else 5.0
JOINS = 12 if FULL else 4
SECONDS = 900.0 if FULL else 180.0
WORKED = "deliveries ingested"

pytestmark = pytest.mark.fault


def a_record(delivery: Delivery) -> Record:
    """As the receiver sends it, under the candidate's key."""
    import orjson

    body = orjson.loads(delivery.body)
    reference = Greenhouse().reference(delivery.headers, body, CONNECTION)
    return delivery_record(delivery, delivery_key(CONNECTION.source_name, reference))


@contextmanager
def flowing(cluster: Cluster, told: Sequence[Delivery | Record], rate: float) -> Iterator[None]:
    """These are sent in the background, so many a second; all are acknowledged afterwards."""
    failed: list[BaseException] = []

    def send() -> None:
        try:
            with cluster.producer(delivery_timeout_ms=120_000, max_block_ms=60_000) as producer:
                sent = []
                began = time.monotonic()
                for number, each in enumerate(told):
                    record = each if isinstance(each, Record) else a_record(each)
                    sent.append(producer.send(cluster.topic("deliveries"), **record._asdict()))
                    ahead = number / rate - (time.monotonic() - began)
                    if ahead > 0:
                        time.sleep(ahead)
                for future in sent:
                    future.get(120)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert failed == []


@contextmanager
def ingesting(database: Database, cluster: Cluster) -> Iterator[Processes]:
    """Processes on the test's tenant and topics; a killed one is given up within 2 s."""
    with processes(database) as started:
        started.environment |= kafka_environment(cluster)
        started.environment["JOURNEY_KAFKA_SESSION_SECONDS"] = "2"
        yield started


def assert_all_is_well(
    database: Database, cluster: Cluster, started: Processes, told: Sequence[Delivery]
) -> None:
    """What must hold after any fault."""
    all_handled(cluster, seconds=SECONDS)
    projecting = started.run("project")
    caught_up(database, started, SECONDS)
    assert projecting.end() == 0, projecting.tail
    assert_each_once(database, told, told)
    assert_no_gaps(database)
    assert_views_are_what_a_rebuild_makes(database)
    assert all(letter.reason for letter in dead_letters(cluster))


def test_killed_again_and_again(database: Database, cluster: Cluster) -> None:
    """SIGKILL at random moments while deliveries flow, two processes sharing the work."""
    chance, seed = a_chance()
    told = deliveries(DELIVERIES, seed)
    with ingesting(database, cluster) as started:
        pair = [started.run("ingest") for _ in range(2)]
        with flowing(cluster, told, rate=150):
            for number in range(KILLS):
                a_moment_of_work(database, chance)
                pair[number % 2].kill()
                pair[number % 2] = started.run("ingest")
        assert_all_is_well(database, cluster, started, told)
        for each in pair:
            assert each.end() == 0, each.tail


def test_one_joins_and_leaves(database: Database, cluster: Cluster) -> None:
    """Partitions move every few seconds; one of them is asked to leave, one is not."""
    chance, seed = a_chance()
    told = deliveries(DELIVERIES, seed)
    with ingesting(database, cluster) as started:
        staying = started.run("ingest")
        with flowing(cluster, told, rate=200):
            for number in range(JOINS):
                joining = started.run("ingest")
                a_moment_of_work(database, chance, longest=2.0)
                if number % 2:
                    joining.kill()
                else:
                    assert joining.end() == 0, joining.tail
        assert_all_is_well(database, cluster, started, told)
        assert staying.end() == 0, staying.tail


def test_the_broker_is_away(database: Database, cluster: Cluster, kafka: Broker) -> None:
    """Stopped and started: ingest waits and resumes by itself, the door keeps in the inbox."""
    chance, seed = a_chance()
    told = deliveries(DELIVERIES, seed)
    with ingesting(database, cluster) as started, Sender(told, rate=150) as sender:
        ingest, receiver = started.run("ingest"), started.run("receiver")
        sender.to(receiver)
        sender.has_sent(100)
        kafka.stop() if chance.random() < 0.5 else kafka.kill()
        time.sleep(AWAY_SECONDS)
        assert sender.answers.keys() == {200}
        kept = one(database, "SELECT count(*) FROM deliveries")
        kafka.start()
        receiver.says("Kafka is back; deliveries are kept there again", seconds=90)
        sender.has_sent(100)
        sender.stop()
        assert kept > 0
        in_kafka = {delivery_of(each).delivery_id for each in on_topic(cluster, "deliveries")}
        in_inbox = {str(row[0]) for row in rows(database, "SELECT delivery_id FROM deliveries")}
        assert sender.delivery_ids <= in_kafka | in_inbox
        assert_all_is_well(database, cluster, started, sender.accepted)
        for each in (ingest, receiver):
            assert each.end() == 0, each.tail


def test_postgres_is_away(cluster: Cluster) -> None:
    """Deliveries are accepted all the while, and handled when it is back."""
    _, seed = a_chance()
    told = deliveries(DELIVERIES // 3, seed)
    with a_postgres() as server:
        database = open_database(Path("unused"), server.url, "away")
        with ingesting(database, cluster) as started, Sender(told, rate=100) as sender:
            ingest, receiver = started.run("ingest"), started.run("receiver")
            sender.to(receiver)
            ingest.says(WORKED)
            server.stop("immediate")
            ingest.says("ingest waits")
            before = len(sender.accepted)
            time.sleep(AWAY_SECONDS)
            assert len(sender.accepted) > before
            assert sender.answers.keys() == {200}
            server.start()
            worked = ingest.count(WORKED)
            sender.has_sent(20)
            until(lambda: ingest.count(WORKED) > worked, "ingest works again", 60)
            sender.stop()
            assert_all_is_well(database, cluster, started, sender.accepted)
            for each in (ingest, receiver):
                assert each.end() == 0, each.tail
        database.close()


def test_poison_and_duplicates(database: Database, cluster: Cluster) -> None:
    """Every hundredth cannot be read, a tenth comes twice and shuffled over all partitions."""
    chance, seed = a_chance()
    told = deliveries(DELIVERIES, seed)
    poisoned = [
        replace(
            each, delivery_id=each.delivery_id.replace("-7000-", "-7fff-"), body=b'{"action":1}'
        )
        for each in told[::100]
    ]
    twice = [delivery_record(each) for each in chance.sample(told, len(told) // 10)]
    sent: list[Delivery | Record] = [*told, *poisoned, *twice]
    chance.shuffle(sent)
    with ingesting(database, cluster) as started:
        pair = [started.run("ingest") for _ in range(2)]
        with flowing(cluster, sent, rate=400):
            a_moment_of_work(database, chance)
            pair[0].kill()
            pair[0] = started.run("ingest")
        all_handled(cluster, seconds=SECONDS)
        all_handled(cluster, "dead-letters", seconds=SECONDS)
        letters = dead_letters(cluster)
        # Killed between the letter and the commit, one may be written again; it is the same.
        assert {each.delivery_id for each in letters} == {each.delivery_id for each in poisoned}
        assert {each.reason for each in letters} == {"action is missing"}
        dead = rows(database, "SELECT delivery_id, reason FROM deliveries WHERE status = 'dead'")
        assert {str(row[0]) for row in dead} == {each.delivery_id for each in poisoned}
        assert all(row[1] for row in dead)
        # Read by the shared helper, which wants nothing dead, without them.
        with database.connect(autocommit=True) as connection:
            connection.execute("DELETE FROM deliveries WHERE status = 'dead'")
        assert_all_is_well(database, cluster, started, told)
        for each in pair:
            assert each.end() == 0, each.tail


def a_moment_of_work(database: Database, chance: random.Random, longest: float = 0.6) -> None:
    """Until something more was ingested, and then a random moment: what this is about."""
    count: Callable[[], int] = lambda: one(database, "SELECT count(*) FROM deliveries")  # noqa: E731
    before = count()
    until(lambda: count() > before, "deliveries are ingested", 120)
    time.sleep(chance.uniform(0, longest))
