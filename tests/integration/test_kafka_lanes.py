"""The project group: lanes are shared by partition, and each is folded by one process at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.lanes import KafkaProject
from journey.database import Database
from tests.support.builders import a_log
from tests.support.kafka_broker import Broker
from tests.support.lanes import InHand, a_runner, assert_as_rebuilt, head, positions, running, tell
from tests.support.processes import PATIENCE_SECONDS, until
from tests.support.truth import a_chance

LANES = 6

pytestmark = pytest.mark.fault


@contextmanager
def member(
    database: Database, cluster: Cluster, in_hand: InHand, name: str
) -> Iterator[KafkaProject]:
    """A member of the group, at work."""
    quick = replace(cluster, session_seconds=6)
    with a_runner(database, page=50, lanes=LANES) as runner:
        project = KafkaProject(in_hand.watch(runner, name), quick)
        with running(project):
            yield project


def share(*members: KafkaProject) -> None:
    """Wait until these have every lane between them, each some, none twice."""

    def shared() -> bool:
        mine = [list(each.mine(LANES)) for each in members]
        return all(mine) and sorted(lane for some in mine for lane in some) == [*range(LANES)]

    until(shared, f"{len(members)} share the lanes")


@contextmanager
def talking(database: Database) -> Iterator[None]:
    """Touchpoints flow until the end."""
    rng, _ = a_chance()
    log, stop = a_log(database), threading.Event()

    def talk() -> None:
        while not stop.wait(0.02):
            tell(log, rng, 10)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)


def test_members_join_and_leave_while_touchpoints_flow(
    database: Database, cluster: Cluster
) -> None:
    """Each lane goes to one of them, none is folded by two at once, and none is left behind."""
    in_hand = InHand()
    with talking(database), ExitStack() as first, ExitStack() as second, ExitStack() as third:
        one = first.enter_context(member(database, cluster, in_hand, "one"))
        share(one)
        two = second.enter_context(member(database, cluster, in_hand, "two"))
        share(one, two)
        three = third.enter_context(member(database, cluster, in_hand, "three"))
        share(one, two, three)
        first.close()
        share(two, three)
        second.close()
        share(three)
        again = second.enter_context(member(database, cluster, in_hand, "four"))
        share(three, again)
        until(lambda: max(len(names) for names in in_hand.folded.values()) > 1, "a lane moved")
    assert in_hand.doubled == set()
    with a_runner(database, lanes=LANES) as runner:
        runner.catch_up()
    assert_as_rebuilt(database)


def test_without_a_broker_projecting_goes_on(
    database: Database, cluster: Cluster, kafka: Broker
) -> None:
    """With the lanes it had; and who starts meanwhile takes them all."""
    in_hand = InHand()
    rng, _ = a_chance()
    log = a_log(database)
    with member(database, cluster, in_hand, "one") as one:
        share(one)
        kafka.stop()
        try:
            tell(log, rng, 100)
            until(lambda: positions(database).least == head(database), "all is projected")
        finally:
            kafka.start()
    kafka.stop()
    try:
        with member(database, cluster, in_hand, "two"):
            tell(log, rng, 100)
            until(lambda: positions(database).least == head(database), "all is projected")
    finally:
        kafka.start()
    assert in_hand.doubled == set()
    assert_as_rebuilt(database)
