"""The receiver on Kafka: success after acks=all, the inbox or 503 while Kafka is away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from consumers import inbox
from consumers.connections import Connection
from consumers.errors import Unavailable
from consumers.inbox import Arrival, new_delivery_id
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.keeper import KafkaKeeper
from consumers.kafka_stream.messages import delivery_of
from consumers.webhooks.app import create_app
from consumers.webhooks.group_commit import GroupCommit, Keeper
from journey.database import Database
from tests.support.doors import ListKeeper, SignedAdapter, signed
from tests.support.fakes import FrozenClock
from tests.support.greenhouse import delivery
from tests.support.kafka_broker import Broker
from tests.support.kafka_deliveries import dead_letters, on_topic
from tests.support.processes import PATIENCE_SECONDS, until

CONNECTIONS = {
    "ats": Connection(name="ats", source="signed", secrets=("a-live-secret",), source_name="two")
}
LIMIT = 2048
EVENT = b'{"action":"moved","candidate":"c-7"}'


class Door:
    """The receiver in this process, keeping in Kafka."""

    def __init__(self, client: TestClient, keeper: KafkaKeeper) -> None:
        self.client = client
        self.keeper = keeper

    def post(self, body: bytes = EVENT, headers: dict[str, str] | None = None) -> Any:
        return self.client.post("/webhooks/ats", content=body, headers=headers or signed(body))


@contextmanager
def a_door(
    database: Database, cluster: Cluster, instead: Keeper | None, **options: Any
) -> Iterator[Door]:
    """A receiver with a small limit and little patience."""
    clock = FrozenClock()
    given = {"patience_seconds": 1.0, "pause_seconds": 0.1, **options}
    keeper = KafkaKeeper(cluster, CONNECTIONS, clock, instead=instead, **given)
    adapters = {"signed": SignedAdapter()}
    app = create_app(database, CONNECTIONS, adapters, clock, max_body_bytes=LIMIT, keeper=keeper)
    with TestClient(app) as client:
        yield Door(client, keeper)


def kept(database: Database) -> list[inbox.DeliverySummary]:
    with database.transaction() as connection:
        return inbox.listing(connection, limit=10_000)


def test_a_success_is_in_kafka(database: Database, cluster: Cluster) -> None:
    """Raw bytes, headers, connection and arrival time, under the candidate's key."""
    with a_door(
        database, cluster, GroupCommit(database), patience_seconds=PATIENCE_SECONDS
    ) as door:
        answer = door.post(EVENT, signed(EVENT, greenhouse_event_id="evt-1"))
        assert answer.status_code == 200
        [record] = on_topic(cluster, "deliveries")
        assert record.key == b"two:c-7"
        found = delivery_of(record)
        assert found.delivery_id == answer.json()["delivery_id"]
        assert (found.connection, found.source, found.body) == ("ats", "signed", EVENT)
        assert found.headers["greenhouse-event-id"] == "evt-1"
        assert found.received_at == FrozenClock().now()
        assert door.client.get("/-/health").status_code == 200
    assert kept(database) == []


def test_one_candidate_one_partition(database: Database, cluster: Cluster) -> None:
    """In the order of arrival; others may go anywhere."""
    with a_door(database, cluster, None, patience_seconds=PATIENCE_SECONDS) as door:
        bodies = [b'{"candidate":"c-7","n":%d}' % n for n in range(20)]
        assert {door.post(body).status_code for body in bodies} == {200}
        assert door.post(b'{"n":1}').status_code == 200
    records = on_topic(cluster, "deliveries")
    own = [each for each in records if each.key is not None]
    assert len({each.partition for each in own}) == 1
    assert [each.value for each in sorted(own, key=lambda each: each.offset)] == bodies
    assert len(records) == 21


def test_dead_at_the_door_is_a_dead_letter(database: Database, cluster: Cluster) -> None:
    """Authentic, but no JSON, of another type or too large: refused and kept, with the reason."""
    with a_door(
        database, cluster, GroupCommit(database), patience_seconds=PATIENCE_SECONDS
    ) as door:
        large = b'"' + b"x" * LIMIT + b'"'
        assert door.post(b"<xml/>").status_code == 400
        assert door.post(EVENT, signed(EVENT, content_type="text/csv")).status_code == 415
        assert door.post(large).status_code == 413
    letters = {each.reason: each.again.value for each in dead_letters(cluster)}
    assert letters == {
        "the body is not JSON": b"<xml/>",
        "the content type is not one the adapter reads": EVENT,
        f"the body has {len(large)} bytes": large,
    }
    assert on_topic(cluster, "deliveries") == []


def test_refused_ones_and_probes_stay_in_the_inbox(database: Database, cluster: Cluster) -> None:
    """Whoever is not authentic puts nothing on Kafka; a ping is answered and noted."""
    with a_door(
        database, cluster, GroupCommit(database), patience_seconds=PATIENCE_SECONDS
    ) as door:
        assert door.post(EVENT, signed(EVENT, secret="guessed")).status_code == 401
        assert door.post(b'{"action":"ping"}').status_code == 200
    assert sorted(each.status for each in kept(database)) == ["probe", "refused"]
    assert on_topic(cluster, "deliveries") + on_topic(cluster, "dead-letters") == []


def test_without_an_inbox_they_are_only_logged(
    database: Database, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """And answered all the same."""
    with a_door(database, cluster, None, patience_seconds=PATIENCE_SECONDS) as door:
        assert door.post(EVENT, signed(EVENT, secret="guessed")).status_code == 401
        assert door.post(b'{"action":"ping"}').status_code == 200
    assert capsys.readouterr().out.count("not kept; it is never translated") == 2


def test_no_broker_the_inbox(database: Database, kafka: Broker) -> None:
    """A receiver that never found Kafka keeps what comes in the database."""
    nowhere = Cluster(("127.0.0.1:1",), prefix="nowhere")
    with a_door(database, nowhere, GroupCommit(database)) as door:
        answer = door.post()
        assert answer.status_code == 200
        assert door.post(b"<xml/>").status_code == 400
        assert door.client.get("/-/health").status_code == 200
    assert sorted(each.status for each in kept(database)) == ["dead", "pending"]
    assert answer.json()["delivery_id"] in {each.delivery_id for each in kept(database)}


def test_no_broker_and_no_inbox_is_503(database: Database, kafka: Broker) -> None:
    """With Retry-After; never a success that is not durable."""
    nowhere = Cluster(("127.0.0.1:1",), prefix="nowhere")
    with a_door(database, nowhere, None) as door:
        for _ in range(3):
            answer = door.post()
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "10"
        assert door.client.get("/-/health").status_code == 503


def test_no_topic_is_no_success(database: Database, cluster: Cluster) -> None:
    """Nobody ran `journey kafka init`: said in the log, and kept in the inbox."""
    without = replace(cluster, prefix=f"{cluster.prefix}-none")
    with a_door(database, without, GroupCommit(database), patience_seconds=4.0) as door:
        assert door.post().status_code == 200
    assert [each.status for each in kept(database)] == ["pending"]


@pytest.mark.fault
def test_a_broker_that_hangs(database: Database, cluster: Cluster, kafka: Broker) -> None:
    """Beyond their patience deliveries go to the inbox; when it is back, to Kafka again."""
    with a_door(database, cluster, GroupCommit(database)) as door:

        def in_kafka() -> bool:
            here = len(kept(database))
            assert door.post().status_code == 200
            return len(kept(database)) == here

        # Until the broker was found, the first ones went to the inbox.
        until(in_kafka, "ready")
        early, before = len(kept(database)), len(on_topic(cluster, "deliveries"))
        threads = network_threads()
        kafka.pause()
        began = time.monotonic()
        try:
            assert door.post().status_code == 200
            # Its patience is one second, that of the library's own requests thirty.
            assert time.monotonic() - began < 25
            assert [each.status for each in kept(database)] == ["pending"] * (early + 1)
            assert {door.post().status_code for _ in range(20)} == {200}
            assert len(kept(database)) == early + 21
        finally:
            kafka.resume()

        until(in_kafka, "it is kept in Kafka again")
        assert len(on_topic(cluster, "deliveries")) > before
        until(lambda: network_threads() <= threads, "the producer that hung has ended")


def network_threads() -> int:
    """Threads of producers."""
    return sum("network-thread" in thread.name for thread in threading.enumerate())


@pytest.mark.fault
def test_a_broker_killed_without_an_inbox(
    database: Database, cluster: Cluster, kafka: Broker
) -> None:
    """Every success is in Kafka, every other answer was 503 with Retry-After."""
    accepted: set[str] = set()
    with a_door(database, cluster, None) as door:

        def post() -> int:
            answer = door.post()
            if answer.status_code == 200:
                accepted.add(answer.json()["delivery_id"])
            else:
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
            return int(answer.status_code)

        def health() -> int:
            return int(door.client.get("/-/health").status_code)

        # An answer of a busy broker may take longer than a second's patience.
        until(lambda: post() == 200 and len(accepted) >= 30, "ready")
        kafka.kill()
        assert {post() for _ in range(2)} == {503}
        # Two were tried in vain, so that another producer looks for the broker.
        until(lambda: health() == 503, "it is not ready")
        kafka.start()
        # Nobody sends anything to a receiver that is not ready.
        until(lambda: health() == 200, "it is ready")
        until(lambda: post() == 200, "it is back")
    found = {delivery_of(each).delivery_id for each in on_topic(cluster, "deliveries")}
    assert accepted <= found


def test_memory_is_bounded_while_kafka_hangs(cluster: Cluster, kafka: Broker) -> None:
    """What the producer holds is counted until it lets it go; beyond the most, others keep it."""

    async def flood() -> tuple[KafkaKeeper, ListKeeper]:
        instead = ListKeeper()
        keeper = KafkaKeeper(
            cluster, CONNECTIONS, FrozenClock(), instead=instead,
            most_deliveries=50, patience_seconds=PATIENCE_SECONDS,
        )  # fmt: skip
        keeper.start()
        await keeper.keep(arrival())
        kafka.pause()
        try:
            waiting = [asyncio.create_task(keeper.keep(arrival())) for _ in range(200)]
            await asyncio.sleep(0.1)
            assert len(instead.arrivals) == 150
            assert sum(not task.done() for task in waiting) == 50
        finally:
            kafka.resume()
        await asyncio.gather(*waiting)
        await keeper.close()
        return keeper, instead

    keeper, instead = asyncio.run(flood())
    assert (keeper._held, keeper._held_bytes) == (set(), 0)
    assert len(instead.arrivals) == 150
    assert len(on_topic(cluster, "deliveries")) == 51


def test_closing_answers_what_waits(cluster: Cluster) -> None:
    """What was sent is acknowledged before the receiver ends; what comes later is refused."""

    async def close_at_once() -> int:
        keeper = KafkaKeeper(cluster, CONNECTIONS, FrozenClock(), patience_seconds=PATIENCE_SECONDS)
        keeper.start()
        waiting = [asyncio.create_task(keeper.keep(arrival())) for _ in range(100)]
        await asyncio.sleep(0)
        await keeper.close()
        answered = await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(Unavailable):
            await keeper.keep(arrival())
        return sum(each is None for each in answered)

    assert asyncio.run(close_at_once()) == len(on_topic(cluster, "deliveries")) == 100


def arrival() -> Arrival:
    made = delivery(EVENT)
    return Arrival(replace(made, delivery_id=new_delivery_id(made.received_at), connection="ats"))
