"""`journey run poll` as a process: killed between pages, ended when asked, idle without a key."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from bench.deliveries import CONNECTION_NAME
from journey.database import Database
from tests.support.harvest_server import (
    KEY,
    Asked,
    Harvest,
    a_harvest_server,
    anneke,
    interview,
    payload,
)
from tests.support.processes import Processes, processes, until
from tests.support.truth import a_chance, one, rows

PREFIX = f"JOURNEY_CONNECTION_{CONNECTION_NAME.upper()}"
KILLS = 5


@pytest.fixture
def harvest() -> Iterator[Harvest]:
    with a_harvest_server() as server:
        yield server


@pytest.fixture
def started(database: Database, harvest: Harvest) -> Iterator[Processes]:
    """Processes whose connection is polled."""
    with processes(database) as found:
        found.environment |= {
            f"{PREFIX}_POLL_KEY": KEY,
            f"{PREFIX}_POLL_URL": harvest.url,
            f"{PREFIX}_POLL_SECONDS": "10",
        }
        yield found


def finished(database: Database) -> bool:
    """Whether a whole round is behind us, and nobody is left to be asked about."""
    return bool(
        one(
            database,
            "SELECT EXISTS (SELECT FROM polls WHERE finished_at IS NOT NULL) "
            "AND NOT EXISTS (SELECT FROM poll_objects WHERE look_at <= now())",
        )
    )


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_poll_fills_the_inbox_and_ends_when_asked(
    database: Database, harvest: Harvest, started: Processes, by: signal.Signals
) -> None:
    """Beside ingest it brings what was found to the log; the key and all names stay out of it."""
    anneke(harvest)
    ingest, poll = started.start("run", "ingest"), started.run("poll")
    until(lambda: started.live() and finished(database), "a whole round")
    until(
        lambda: one(database, "SELECT count(*) FROM journey_events") == 9, "everything is recorded"
    )
    shown = started.start("show", "greenhouse:candidate/70110001")
    assert shown.wait() == 0
    assert "message received (greenhouse): found late" in shown.said
    assert poll.end(by) == 0
    assert poll.log[-1]["event"] == "stopped"
    assert ingest.end() == 0
    for secret in (KEY, "ermeer", "70110001"):
        assert secret not in repr(poll.log)


def test_poll_ends_while_it_waits(harvest: Harvest, started: Processes) -> None:
    """A 429 of ten minutes is no reason to stay."""
    harvest.answers = [(429, {"Retry-After": "600"})]
    poll = started.run("poll")
    poll.says("poll waits")
    assert poll.end() == 0


def test_poll_without_a_key_waits_for_its_end(started: Processes) -> None:
    """It stands in the compose file for whoever needs it, and does no harm to others."""
    for name in ("KEY", "URL", "SECONDS"):
        del started.environment[f"{PREFIX}_POLL_{name}"]
    poll = started.run("poll")
    assert poll.says("polling")["connections"] == []
    assert poll.end() == 0


def test_the_connections_say_that_they_are_polled(started: Processes) -> None:
    """How often, and never with which key."""
    said = started.start("connections", "--json")
    assert said.wait() == 0
    (found,) = orjson.loads(said.said)
    assert found["poll_seconds"] == 10
    assert KEY not in said.said


@pytest.mark.fault
def test_killed_at_any_moment_page_and_cursor_agree(
    database: Database, harvest: Harvest, started: Processes
) -> None:
    """Each object is kept once, and in the end the cursors are where they should be."""
    chance, _ = a_chance()
    harvest.page_most = 2
    started.environment[f"{PREFIX}_POLL_SECONDS"] = "300"
    harvest.put("scheduled_interviews", *(interview(number, number) for number in range(1, 24)))
    for number in range(1, 12):
        harvest.put("candidates", {**payload("candidate_in_process"), "id": number})
        harvest.feeds[str(number)] = payload("feed_as_answered")
    for _ in range(KILLS):
        if finished(database):
            break
        begun = len(harvest.asked)
        enough, now = begun + chance.randrange(1, 14), threading.Event()

        def count(asked: Asked, enough: int = enough, now: threading.Event = now) -> None:
            if len(harvest.asked) >= enough:
                now.set()

        harvest.before = count
        process = started.start("run", "poll")
        until(lambda now=now: now.is_set() or finished(database), "requests enough")
        threading.Event().wait(chance.random() * 0.03)
        process.kill()
        process.awaited = True
        assert_kept_once(database)
    harvest.before = None
    last = started.run("poll")
    until(lambda: started.live() and finished(database), "a whole round")
    assert last.end() == 0
    assert assert_kept_once(database) == {
        "scheduled_interviews": 23, "candidates": 11, "activity_feed": 11,
    }  # fmt: skip
    cursors = dict(rows(database, "SELECT endpoint, cursor_at FROM poll_cursors"))
    assert cursors["scheduled_interviews"] == datetime(2026, 2, 2, 10, tzinfo=UTC) + timedelta(
        minutes=23
    )
    assert rows(database, "SELECT 1 FROM poll_cursors WHERE next_url IS NOT NULL") == []


def assert_kept_once(database: Database) -> Counter[str]:
    """No object is in two deliveries; what is remembered as kept is there. Counts by list."""
    kept = rows(database, "SELECT headers->>'journey-poll', body FROM deliveries")
    bodies: Counter[Any] = Counter((row[0], bytes(row[1])) for row in kept)
    assert [body for body, times in bodies.items() if times > 1] == []
    missing = (
        "SELECT object_id FROM poll_objects LEFT JOIN deliveries USING (delivery_id) "
        "WHERE body IS NULL"
    )
    assert rows(database, missing) == []
    unknown = (
        "SELECT delivery_id FROM deliveries LEFT JOIN poll_objects USING (delivery_id) "
        "WHERE object_id IS NULL"
    )
    assert rows(database, unknown) == []
    return Counter(row[0] for row in kept)
