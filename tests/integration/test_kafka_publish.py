"""Touchpoints and alerts published to a real broker: in order, none skipped, whatever goes away."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count, islice
from pathlib import Path

import pytest

from bench.data import SEALED, journeys
from bench.log import fill
from consumers.kafka_stream import publish, topics
from consumers.kafka_stream.alerts import ALERTS_FEED
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.messages import position_of
from consumers.kafka_stream.publish import (
    LOCK,
    TOUCHPOINTS_FEED,
    Feed,
    Publisher,
    PublishStopped,
)
from journey.database import Database, open_database
from journey.errors import DatabaseUnavailable
from journey.storage import NewEvent
from projections.alerts.alert_log import AlertLog
from schemas.identifiers import PersonKey
from schemas.personal import Personal
from tests.support.alerts import a_sweeper, put_silence
from tests.support.builders import a_log, days, statement
from tests.support.fakes import FrozenClock
from tests.support.kafka_broker import Broker, kafka_environment
from tests.support.postgres import Postgres, a_postgres
from tests.support.processes import PATIENCE_SECONDS, Processes, processes, until
from tests.support.published import (
    assert_published_alerts_equal_log,
    assert_published_topic_equals_log,
    by_position,
    everything_in,
    published,
)
from tests.support.truth import FULL, a_chance, one, rows

PER_SECOND = 400
KILLS = 30 if FULL else 5
AWAY_SECONDS = 20.0 if FULL else 2.0
AWAY, BACK = "publishing waits", "publishing resumes"


@contextmanager
def publishing(
    database: Database, cluster: Cluster, feed: Feed = TOUCHPOINTS_FEED, page: int = 100
) -> Iterator[list[BaseException]]:
    """A publisher in a thread, with small pages; what ends it stands in the list."""
    stop = threading.Event()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            Publisher(database, cluster, feed, page=page).run(stop)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "a publisher does not stop"


@contextmanager
def appending(database: Database, seed: int, batch: int = 10) -> Iterator[None]:
    """Touchpoints appended in the background, until the end of the context."""
    events = chain.from_iterable(journeys(10_000, 500, seed + number) for number in count())
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(batch / PER_SECOND) and (some := list(islice(events, batch))):
            while not appended(database, some):
                stop.wait(0.05)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)


def appended(database: Database, events: list[NewEvent]) -> bool:
    """False where the server is away: the same again then, which is recorded once."""
    try:
        fill(database, iter(events))
    except DatabaseUnavailable:
        return False
    return True


@contextmanager
def processes_with(database: Database, cluster: Cluster) -> Iterator[Processes]:
    with processes(database) as started:
        started.environment |= kafka_environment(cluster)
        yield started


def test_merges_are_published_and_what_is_sealed_is_not(
    database: Database, cluster: Cluster
) -> None:
    """A merge is a touchpoint like any other; names are nobody's business."""
    log = a_log(database)
    mail = PersonKey("email", "casey@example.org")
    said = [
        statement(
            "application_submitted",
            keys=(PersonKey("greenhouse:candidate", "1"),),
            personal=Personal(name="Casey Example"),
        ),
        statement("survey_sent", days(1), source="survey", keys=(mail,)),
        statement("message_sent", days(2), keys=(PersonKey("greenhouse:candidate", "1"), mail)),
    ]
    for each in said:
        with database.transaction() as connection:
            log.record([each], connection)
    with publishing(database, cluster):
        assert assert_published_topic_equals_log(database, cluster) == 0
    records = everything_in(cluster, "touchpoints")
    assert "touchpoint.candidates_merged.v1" in {
        dict(record.headers)["ce_type"].decode() for record in records
    }
    assert not any(b"personal" in record.value for record in records)


def test_what_is_appended_is_published_at_once(
    database: Database, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The publisher is woken; it does not look every few seconds."""
    # It then asks so seldom, too, whether it has to stop.
    monkeypatch.setattr(publish, "_STOP_CHECK_SECONDS", 2 * PATIENCE_SECONDS)
    with publishing(database, cluster):
        until(lambda: rows(database, "SELECT FROM published"), "it has begun")
        fill(database, journeys(100, 5, 1))
        published(database, cluster)
        monkeypatch.undo()
        with database.connect(autocommit=True) as connection:
            connection.execute(f"NOTIFY {TOUCHPOINTS_FEED.wakes}")
    assert any(
        SEALED.encode() in row[0] for row in rows(database, "SELECT state FROM journey_events")
    )
    assert not any(SEALED.encode() in each.value for each in everything_in(cluster, "touchpoints"))


def test_a_topic_made_anew_is_filled_from_the_beginning(
    database: Database, cluster: Cluster
) -> None:
    """Its readers would otherwise miss all that was published into the old one."""
    fill(database, journeys(300, 15, 1))
    with publishing(database, cluster):
        published(database, cluster)
    name = cluster.topic("touchpoints")
    with cluster.admin() as admin:
        admin.delete_topics([name])
        until(lambda: name not in admin.list_topics(), "the topic is gone")
    topics.init(cluster)
    with publishing(database, cluster):
        whole = one(database, "SELECT position FROM log_head")
        until(lambda: len(everything_in(cluster, "touchpoints")) == whole, "all is there again")
        assert assert_published_topic_equals_log(database, cluster) == 0


def test_a_missing_topic_is_waited_for(
    database: Database, kafka: Broker, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what makes it, and resumes when it is there."""
    fill(database, journeys(100, 5, 1))
    other = Cluster(cluster.bootstrap, prefix=f"{cluster.prefix}-none", partitions=1)
    with publishing(database, other):
        told = []
        until(
            lambda: told.append(capsys.readouterr().out) or "journey kafka init" in "".join(told),
            "it says what to do",
        )
        topics.init(other)
        assert assert_published_topic_equals_log(database, other) == 0


def test_a_record_that_is_refused_stops_it_before_what_comes_after(
    database: Database, cluster: Cluster
) -> None:
    """What no retry gets in must not be passed over, also not in its partition."""
    name = cluster.topic("touchpoints")
    log = a_log(database)
    for number in range(150):
        long = "x" * 4_000 if number == 90 else ""
        said = statement("stage_changed", days(number), person="7", event=f"{number}{long}")
        with database.transaction() as connection:
            log.record([said], connection)
    configure(cluster, name, "2000")
    with publishing(database, cluster, page=1_000) as ended:
        until(lambda: ended, "it stops")
    assert isinstance(ended[0], PublishStopped)
    assert "position 91 is too large" in str(ended[0])
    assert one(database, "SELECT position FROM published") == 0
    assert set(by_position(everything_in(cluster, "touchpoints"))) <= set(range(1, 91))
    configure(cluster, name, "100000")
    with publishing(database, cluster):
        assert_published_topic_equals_log(database, cluster)


def configure(cluster: Cluster, topic: str, most_bytes: str) -> None:
    """The largest record batch that the topic takes."""
    from kafka.admin import ConfigResource, ConfigResourceType

    with cluster.admin() as admin:
        changed = ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": most_bytes})
        admin.alter_configs([changed])


# --- alerts ---------------------------------------------------------------------------------


def test_alerts_are_published_in_order_keyed_by_candidate(
    database: Database, cluster: Cluster
) -> None:
    """Raised, escalated, acknowledged, resolved; a number that was never used is no gap."""
    clock = FrozenClock(days(6))
    candidates = {put_silence(database) for _ in range(10)}
    sweeper = a_sweeper(database, clock)
    sweeper.sweep()
    with database.transaction() as connection:
        connection.execute("SELECT nextval('alert_events_notification_id_seq')")
    clock.at = days(11)
    sweeper.sweep()
    alerts = AlertLog(database, ["console"])
    for alert in alerts.list():
        alerts.resolve(alert.alert_id, "recruiter/7", "handled", clock.now())
    with publishing(database, cluster, ALERTS_FEED, page=7):
        assert assert_published_alerts_equal_log(database, cluster) == 0
    read = by_position(everything_in(cluster, "alerts"))
    assert len(read) == 30
    assert {record.key.decode() for record in read.values()} == {str(each) for each in candidates}


def test_an_alert_that_commits_late_is_not_passed_over(
    database: Database, cluster: Cluster
) -> None:
    """Whoever appends later waits, so that no position appears below a published one."""
    clock = FrozenClock(days(6))
    put_silence(database)
    put_silence(database)
    sweeper = a_sweeper(database, clock)
    sweeper.sweep()
    first, second = AlertLog(database).list()
    waiting = threading.Thread(
        target=lambda: AlertLog(database).acknowledge(second.alert_id, "b", clock.now())
    )
    with publishing(database, cluster, ALERTS_FEED):
        until(lambda: one(database, "SELECT coalesce(max(position), 0) FROM published") == 2, "two")
        with database.connect() as slow:
            slow.execute("LOCK TABLE alert_events IN EXCLUSIVE MODE")
            slow.execute(
                "INSERT INTO alert_events (originator_id, originator_version, topic, state) "
                "SELECT originator_id, 2, 'alert.acknowledged.v1', state FROM alert_events "
                "WHERE originator_id = %s",
                [first.alert_id],
            )
            waiting.start()
            until(
                lambda: one(database, "SELECT count(*) FROM pg_locks WHERE NOT granted") > 0,
                "the second waits",
            )
            slow.commit()
        waiting.join()
        until(
            lambda: one(database, "SELECT coalesce(max(position), 0) FROM published") == 4, "four"
        )
    assert [
        position_of(each) for each in sorted(everything_in(cluster, "alerts"), key=position_of)
    ] == [1, 2, 3, 4]


# --- faults ---------------------------------------------------------------------------------


@pytest.mark.fault
def test_killed_at_random_moments_the_topic_is_the_log(
    database: Database, cluster: Cluster
) -> None:
    """Nothing is skipped, and what is sent again has the position it had."""
    chance, seed = a_chance()
    with processes_with(database, cluster) as started:
        with appending(database, seed):
            for _ in range(KILLS):
                process = started.run("publish")
                process.says("published")
                time.sleep(chance.uniform(0, 0.3))
                process.kill()
        process = started.run("publish")
        repeated = assert_published_topic_equals_log(database, cluster)
        assert process.end() == 0, process.tail
    print(f"{one(database, 'SELECT position FROM log_head')} published, {repeated} repeated")


@pytest.mark.fault
def test_of_two_publishers_one_stands_by_and_takes_over(
    database: Database, cluster: Cluster
) -> None:
    """Two would publish everything twice."""
    _, seed = a_chance()
    with processes_with(database, cluster) as started:
        with appending(database, seed):
            first = started.run("publish")
            first.says("published")
            second = started.run("publish")
            second.says("another process publishes; standing by")
            assert second.count("published") == 0
            first.kill()
            second.says("published")
        assert_published_topic_equals_log(database, cluster)
        assert second.end() == 0, second.tail


@pytest.mark.fault
def test_a_publisher_taken_for_dead_comes_back_and_does_no_harm(
    database: Database, cluster: Cluster
) -> None:
    """What it had in hand it sends beside the one that took over: the positions tell."""
    _, seed = a_chance()
    with processes_with(database, cluster) as started:
        with appending(database, seed):
            first = started.run("publish")
            first.says("published")
            second = started.run("publish")
            second.says("another process publishes; standing by")
            os.kill(first.pid, signal.SIGSTOP)
            ended = rows(
                database,
                "SELECT pg_terminate_backend(pid) FROM pg_locks "
                "WHERE locktype = 'advisory' AND classid = %s AND granted",
                LOCK,
            )
            assert ended == [(True,)]
            second.says("published")
            os.kill(first.pid, signal.SIGCONT)
            first.says("the database is away; publishing waits")
            first.says("another process publishes; standing by")
        assert_published_topic_equals_log(database, cluster)
        assert (first.end(), second.end()) == (0, 0)


@pytest.mark.fault
@pytest.mark.parametrize("how", ["stop", "pause", *(["kill"] if FULL else [])])
def test_a_broker_that_goes_and_comes_back(
    database: Database, cluster: Cluster, kafka: Broker, how: str
) -> None:
    """It waits, says so once, and resumes in order; meanwhile it can be ended."""
    _, seed = a_chance()
    with processes_with(database, cluster) as started:
        with appending(database, seed):
            process, other = started.run("publish"), started.start("run", "alerts")
            process.says("published")
            getattr(kafka, how)()
            try:
                process.says("Kafka is away; publishing waits")
                time.sleep(AWAY_SECONDS)
                # Before that, no signal is heeded yet.
                other.says("started")
                assert other.end() == 0, other.tail
            finally:
                kafka.resume() if how == "pause" else kafka.start()
            process.says("publishing resumes")
        repeated = assert_published_topic_equals_log(database, cluster)
        assert process.end() == 0, process.tail
        waited = ["Kafka is away; publishing waits", BACK]
        told = [
            line["event"] for line in process.log if AWAY in line["event"] or BACK in line["event"]
        ]
        # A busy broker may be slow to acknowledge once more; of each time it is said once.
        assert told in (waited, waited * 2)
    print(f"{repeated} repeated")


@pytest.mark.fault
def test_a_database_that_goes_and_comes_back(cluster: Cluster) -> None:
    """The lock is lost with the session, and taken anew."""
    _, seed = a_chance()
    with a_postgres() as postgres:
        database = open_database(Path("unused"), postgres.url, "published")
        with processes_with(database, cluster) as started:
            with appending(database, seed):
                process = started.run("publish")
                process.says("published")
                for stop in (1, 2):
                    stop_and_start(
                        postgres,
                        lambda stop=stop: process.says(
                            "the database is away; publishing waits", stop
                        ),
                    )
                    process.says(BACK, stop)
            assert_published_topic_equals_log(database, cluster)
            assert process.end() == 0, process.tail
        database.close()


def stop_and_start(postgres: Postgres, meanwhile) -> None:
    postgres.stop("immediate")
    meanwhile()
    time.sleep(AWAY_SECONDS / 2)
    postgres.start()
