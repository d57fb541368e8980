"""Processes killed at random moments, and several of a kind at once: nothing lost or doubled."""

from __future__ import annotations

import random
import time

import pytest

from bench.deliveries import endless_deliveries
from journey.database import Database
from tests.support.processes import Sender, processes
from tests.support.truth import (
    FULL,
    a_chance,
    assert_each_once,
    assert_no_gaps,
    assert_views_are_what_a_rebuild_makes,
    caught_up,
)

KILLS = 20 if FULL else 6
WORKED = {"ingest": "deliveries ingested", "project": "projected"}
LONGEST_SECONDS = 0.4
"""A process is let live so long at most, counted from the moment it begins to work."""

pytestmark = pytest.mark.fault


@pytest.mark.parametrize("killed", ["receiver", "ingest", "project"])
def test_killed_again_and_again_nothing_is_lost_or_doubled(database: Database, killed: str) -> None:
    """What got its success code is in the log once, and the views are what a rebuild makes."""
    chance, seed = a_chance()
    with processes(database) as started, Sender(endless_deliveries(seed), rate=80) as sender:
        running = started.run_all(("receiver", "ingest", "project"))
        sender.to(running["receiver"])
        sender.has_sent(10)
        for _ in range(KILLS):
            live_a_little(chance)
            running[killed].kill()
            running[killed] = started.run(killed)
            if killed == "receiver":
                sender.to(running["receiver"])
        sender.has_sent(50)
        sender.stop()
        caught_up(database, started)
        for process in running.values():
            assert process.end() == 0, process.tail
        print(f"{len(sender.accepted)} accepted; answers {dict(sender.answers)}")
    assert_each_once(database, sender.accepted, sender.accepted)
    assert_no_gaps(database)
    assert_views_are_what_a_rebuild_makes(database)


def live_a_little(chance: random.Random) -> None:
    """A random moment: what this is about, and not a wait for something to be ready."""
    time.sleep(chance.uniform(0, LONGEST_SECONDS))


def test_projectors_by_lanes_killed_at_random_moments(database: Database) -> None:
    """Two share four lanes, one or the other is killed again and again: none folds twice."""
    chance, seed = a_chance()
    with processes(database) as started, Sender(endless_deliveries(seed), rate=100) as sender:
        started.environment["JOURNEY_PROJECT_LANES"] = "4"
        running = started.run_all(("receiver", "ingest"))
        both = [started.run("project") for _ in range(2)]
        sender.to(running["receiver"])
        sender.has_sent(10)
        for _ in range(KILLS // 2):
            live_a_little(chance)
            killed = chance.randrange(2)
            both[killed].kill()
            both[killed] = started.run("project")
        sender.has_sent(50)
        sender.stop()
        caught_up(database, started)
        for process in (*running.values(), *both):
            assert process.end() == 0, process.tail
    assert_each_once(database, sender.accepted, sender.accepted)
    assert_no_gaps(database)
    assert_views_are_what_a_rebuild_makes(database)


def test_two_of_each_at_once_make_what_one_makes(database: Database) -> None:
    """Two ingest processes and two projectors share the work, one of each killed in the middle."""
    chance, seed = a_chance()
    with processes(database) as started, Sender(endless_deliveries(seed), rate=200) as sender:
        receiver = started.run("receiver")
        pairs = [started.run(name) for name in ("ingest", "project") for _ in range(2)]
        sender.to(receiver)
        for process in pairs:
            process.says(WORKED[process.arguments[1]])
        live_a_little(chance)
        pairs[0].kill()
        pairs[2].kill()
        sender.has_sent(200)
        sender.stop()
        caught_up(database, started)
        for process in (receiver, pairs[1], pairs[3]):
            assert process.end() == 0, process.tail
    assert_each_once(database, sender.accepted, sender.accepted)
    assert_no_gaps(database)
    assert_views_are_what_a_rebuild_makes(database)
