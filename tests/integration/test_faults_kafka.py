"""Kafka, PostgreSQL and consumers fail in the middle of it: what `assert_all_is_well` says, holds.

Small sizes by default; JOURNEY_FULL=1 takes 20,000 deliveries, thirty kills and 20 s of absence.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bench.deliveries import deliveries, endless_deliveries
from consumers.ats_adapters.adapter import Delivery
from consumers.ats_adapters.greenhouse import Greenhouse
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.messages import Record, delivery_key, delivery_of, delivery_record
from journey.database import Database, open_database
from tests.support.kafka_broker import Broker, kafka_environment
from tests.support.kafka_deliveries import all_handled, dead_letters, on_topic
from tests.support.postgres import a_postgres
from tests.support.processes import Process, Processes, Sender, processes, until
from tests.support.published import (
    assert_published_alerts_equal_log,
    assert_published_topic_equals_log,
)
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

DELIVERIES = 20_000 if FULL else 1_000
KILLS = 30 if FULL else 6
AWAY_SECONDS = 20.0 if FULL else 5.0
MORE = 100
"""So many are accepted after an absence at least."""
SECONDS = 900.0 if FULL else 180.0
WORKED = {
    "ingest": "deliveries ingested",
    "project": "projected",
    "publish": "published",
    "alerts": "published",
}

pytestmark = pytest.mark.fault


def a_record(delivery: Delivery) -> Record:
    """As the receiver sends it, under the candidate's key."""
    import orjson

    body = orjson.loads(delivery.body)
    reference = Greenhouse().reference(delivery.headers, body, CONNECTION)
    return delivery_record(delivery, delivery_key(CONNECTION.source_name, reference))


class Flow:
    """How far a flow of deliveries is."""

    def __init__(self) -> None:
        self.sent = 0
        self.ended = False

    def has_sent(self, count: int) -> None:
        """Wait until so many were sent."""
        until(lambda: self.sent >= count or self.ended, f"{count} are sent", SECONDS)


@contextmanager
def flowing(cluster: Cluster, told: Sequence[Delivery | Record], rate: float) -> Iterator[Flow]:
    """These are sent in the background, so many a second; all are acknowledged afterwards."""
    failed: list[BaseException] = []
    flow = Flow()

    def send() -> None:
        try:
            with cluster.producer(
                patience_seconds=SECONDS, delivery_timeout_ms=120_000, max_block_ms=60_000
            ) as producer:
                sent = []
                began = time.monotonic()
                for number, each in enumerate(told):
                    record = each if isinstance(each, Record) else a_record(each)
                    sent.append(producer.send(cluster.topic("deliveries"), **record._asdict()))
                    flow.sent = len(sent)
                    ahead = number / rate - (time.monotonic() - began)
                    if ahead > 0:
                        time.sleep(ahead)
                for future in sent:
                    future.get(SECONDS)
        except BaseException as error:
            failed.append(error)
        finally:
            flow.ended = True

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield flow
    finally:
        thread.join()
    assert failed == []


@contextmanager
def working(database: Database, cluster: Cluster) -> Iterator[Processes]:
    """Processes on the test's tenant and topics; a killed one is given up within 2 s."""
    with processes(database) as started:
        started.environment |= kafka_environment(cluster)
        started.environment["JOURNEY_KAFKA_SESSION_SECONDS"] = "2"
        started.environment["JOURNEY_PROJECT_LANES"] = "4"
        yield started


def assert_all_is_well(
    database: Database,
    cluster: Cluster,
    started: Processes,
    told: Sequence[Delivery],
    also: Sequence[str] = ("project", "publish"),
) -> None:
    """What must hold after any fault: each delivery once in the log, and the rest is the log's.

    `also` names what does not run yet and is needed to find out. What runs gets there by itself:
    another of its kind would take over what it is stuck with.
    """
    all_handled(cluster, seconds=SECONDS)
    more = [started.run(name) for name in also]
    caught_up(database, started, SECONDS)
    repeated = assert_published_topic_equals_log(database, cluster, seconds=SECONDS)
    for each in more:
        assert each.end() == 0, each.tail
    assert_each_once(database, told, told)
    assert_no_gaps(database)
    assert_views_are_what_a_rebuild_makes(database)
    assert all(letter.reason for letter in dead_letters(cluster))
    logged = one(database, "SELECT position FROM log_head")
    print(f"{len(told)} deliveries, {logged} touchpoints, {repeated} of them published again")


def test_killed_again_and_again(database: Database, cluster: Cluster) -> None:
    """SIGKILL at random moments while deliveries flow, two processes sharing the work."""
    chance, seed = a_chance()
    told = deliveries(DELIVERIES, seed)
    with working(database, cluster) as started:
        pair = [started.run("ingest") for _ in range(2)]
        with flowing(cluster, told, rate=150) as flow:
            for number, moment in enumerate(moments(chance, KILLS)):
                flow.has_sent(moment)
                a_moment_of_work(database, flow, chance)
                pair[number % 2].kill()
                pair[number % 2] = started.run("ingest")
        assert_all_is_well(database, cluster, started, told)
        for each in pair:
            assert each.end() == 0, each.tail


def test_any_of_them_is_killed_again_and_again(database: Database, cluster: Cluster) -> None:
    """All consumers at once, two where there may be; one or the other gets a SIGKILL.

    Each comes to work again while deliveries flow, and at the end those that then run are enough.
    """
    chance, seed = a_chance()
    told = deliveries(DELIVERIES, seed)
    killed: Counter[str] = Counter()
    late = 0
    with working(database, cluster) as started:
        names = ("ingest", "ingest", "project", "project", "publish", "alerts")
        consumers = [started.run(name) for name in names]
        sweep = started.run("sweep")
        with flowing(cluster, told, rate=80 if FULL else 60) as flow:
            turns = [number % len(names) for number in range(KILLS)]
            chance.shuffle(turns)
            for number, moment in zip(turns, moments(chance, KILLS), strict=True):
                flow.has_sent(moment)
                has_worked(consumers[number], names[number], flow)
                time.sleep(chance.uniform(0, 0.6))
                killed[names[number]] += 1
                late += flow.ended
                consumers[number].kill()
                consumers[number] = started.run(names[number])
            print(f"killed {dict(killed)}, {late} of them after the last delivery was sent")
        assert_all_is_well(database, cluster, started, told, also=())
        until(
            lambda: (
                started.live()
                and one(
                    database,
                    "SELECT NOT EXISTS (SELECT FROM deadlines WHERE due_at <= now()) "
                    "AND NOT EXISTS (SELECT FROM alert_checks)",
                )
            ),
            "every alert is raised",
            SECONDS,
        )
        assert sweep.end() == 0, sweep.tail
        again = assert_published_alerts_equal_log(database, cluster, seconds=SECONDS)
        raised = one(database, "SELECT count(*) FROM alert_events")
        assert raised > 0
        print(f"{raised} changes of alerts, {again} of them published again")
        for each in consumers:
            assert each.end() == 0, each.tail


def test_one_joins_and_leaves(database: Database, cluster: Cluster) -> None:
    """Partitions and lanes move every few seconds; some are asked to leave, some are not."""
    chance, seed = a_chance()
    told = deliveries(DELIVERIES, seed)
    joined: Counter[str] = Counter()
    with working(database, cluster) as started:
        staying = [started.run(name) for name in ("ingest", "project")]
        with flowing(cluster, told, rate=200) as flow:
            while not flow.ended:
                name = chance.choice(("ingest", "project"))
                joining = started.run(name)
                joined[name] += 1
                a_moment_of_work(database, flow, chance, longest=2.0)
                if chance.random() < 0.5:
                    joining.kill()
                else:
                    assert joining.end() == 0, joining.tail
        print(f"joined and left {dict(joined)}")
        assert_all_is_well(database, cluster, started, told, also=("publish",))
        for each in staying:
            assert each.end() == 0, each.tail


def test_the_broker_is_away(database: Database, cluster: Cluster, kafka: Broker) -> None:
    """Stopped and started: ingest waits and resumes by itself, the door keeps in the inbox."""
    chance, seed = a_chance()
    # However long the broker takes to start: the receiver learns from a delivery that it is back.
    told = endless_deliveries(seed)
    with working(database, cluster) as started, Sender(told, rate=150) as sender:
        consumers = started.run_all(("receiver", "ingest", "project", "publish"))
        receiver = consumers["receiver"]
        sender.to(receiver)
        sender.has_sent(100)
        consumers["publish"].says("published")
        kafka.stop() if chance.random() < 0.5 else kafka.kill()
        time.sleep(AWAY_SECONDS)
        assert sender.answers.keys() == {200}
        kept = one(database, "SELECT count(*) FROM deliveries")
        kafka.start()
        receiver.says("Kafka is back; deliveries are kept there again", seconds=SECONDS)
        sender.has_sent(max(MORE, DELIVERIES - len(sender.accepted)), SECONDS)
        sender.stop()
        assert kept > 0
        in_kafka = {delivery_of(each).delivery_id for each in on_topic(cluster, "deliveries")}
        in_inbox = {str(row[0]) for row in rows(database, "SELECT delivery_id FROM deliveries")}
        assert sender.delivery_ids <= in_kafka | in_inbox
        assert_all_is_well(database, cluster, started, sender.accepted, also=())
        for each in consumers.values():
            assert each.end() == 0, each.tail


def test_postgres_is_away(cluster: Cluster) -> None:
    """Deliveries are accepted all the while, and handled when it is back."""
    _, seed = a_chance()
    told = endless_deliveries(seed)
    with a_postgres() as server:
        database = open_database(Path("unused"), server.url, "away")
        with working(database, cluster) as started, Sender(told, rate=150) as sender:
            consumers = started.run_all(("receiver", "ingest", "project", "publish"))
            ingest = consumers["ingest"]
            sender.to(consumers["receiver"])
            for name in ("ingest", "project", "publish"):
                consumers[name].says(WORKED[name])
            server.stop("immediate")
            ingest.says("ingest waits")
            before = len(sender.accepted)
            time.sleep(AWAY_SECONDS)
            until(lambda: len(sender.accepted) > before, "deliveries are accepted all the while")
            assert sender.answers.keys() == {200}
            server.start()
            worked = ingest.count(WORKED["ingest"])
            until(lambda: ingest.count(WORKED["ingest"]) > worked, "ingest works again")
            sender.has_sent(max(MORE, DELIVERIES - len(sender.accepted)), SECONDS)
            sender.stop()
            assert_all_is_well(database, cluster, started, sender.accepted, also=())
            for each in consumers.values():
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
    with working(database, cluster) as started:
        pair = [started.run("ingest") for _ in range(2)]
        with flowing(cluster, sent, rate=400) as flow:
            a_moment_of_work(database, flow, chance)
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


def moments(chance: random.Random, count: int) -> list[int]:
    """So many random moments of the flow, told by how many deliveries were sent."""
    return sorted(chance.sample(range(DELIVERIES), count))


def a_moment_of_work(
    database: Database, flow: Flow, chance: random.Random, longest: float = 0.6
) -> None:
    """Until something more was ingested, and then a random moment: what this is about."""

    def count() -> int:
        return int(one(database, "SELECT count(*) FROM deliveries"))

    before = count()
    # Where all is sent, all may have been ingested before.
    until(lambda: flow.ended or count() > before, "deliveries are ingested")
    time.sleep(chance.uniform(0, longest))


def has_worked(process: Process, name: str, flow: Flow) -> None:
    """Until a process that was just started has its share of the work, while there is some."""
    until(lambda: flow.ended or process.count(WORKED[name]) > 0, f"{process} works")
