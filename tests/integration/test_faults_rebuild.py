"""A rebuild killed, beside running processes, and what it must never do: send."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.data import journeys
from bench.deliveries import deliveries, endless_deliveries
from journey.database import Database
from journey.storage import append
from projections.runner import Runner
from tests.support.builders import the_meaning
from tests.support.processes import PATIENCE_SECONDS, Processes, Sender, processes, until
from tests.support.truth import (
    FULL,
    a_chance,
    alerted,
    assert_every_deadline_was_told,
    assert_views_are_what_a_rebuild_makes,
    caught_up,
    one,
    views,
)

KILLS = 20 if FULL else 5
TOUCHPOINTS = 40_000
SENT = ("alerts", "alert_events", "outbox")

pytestmark = pytest.mark.fault


def filled(database: Database, seed: int, touchpoints: int = TOUCHPOINTS) -> dict[str, list[str]]:
    """A log that takes a rebuild a second or so, projected; returns every row of every view."""
    events = list(journeys(touchpoints, touchpoints // 20, seed))
    for start in range(0, len(events), 10_000):
        with database.transaction() as connection:
            append(connection, events[start : start + 10_000])
    Runner(database, the_meaning()).catch_up()
    return views(database)


def rebuilt(started: Processes, *more: str) -> dict:
    """Rebuild in a process of its own; what it says."""
    process = started.start("rebuild", "--json", *more)
    # Longer than elsewhere: beside running processes it has their work to catch up with.
    assert process.wait(5 * PATIENCE_SECONDS) == 0, process.tail
    return json.loads(process.said)


def is_rebuilding(database: Database) -> bool:
    """Whether tables stand beside the live ones."""
    return one(
        database,
        "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)",
        f"{database.schema}_rebuild",
    )


def test_killed_in_the_middle_the_live_tables_are_untouched(database: Database) -> None:
    """At random moments of folding, by one process or two; the next rebuild works."""
    chance, seed = a_chance()
    live = filled(database, seed)
    met = 0
    with processes(database) as started:
        for number in range(KILLS):
            rebuilding = started.start("rebuild", "--jobs", str(1 + number % 2))
            until(lambda r=rebuilding: r.ended or is_rebuilding(database), "the rebuild begins")
            time.sleep(chance.uniform(0, 1.2))
            met += rebuilding.end(9) == -9
            assert views(database) == live
        print(f"{met} of {KILLS} kills met a running rebuild")
        assert met > 0
        again = rebuilt(started, "--jobs", "2")
    assert again["touchpoints"] == one(database, "SELECT position FROM log_head")
    assert set(again["differences"].values()) == {0}
    assert not is_rebuilding(database)
    assert views(database) == live


def test_killed_with_its_workers_it_leaves_no_process_behind(database: Database) -> None:
    """Workers of a rebuild whose parent was killed end by themselves."""
    import psutil

    _, seed = a_chance()
    filled(database, seed)
    with processes(database) as started:
        rebuilding = started.start("rebuild", "--jobs", "2")
        parent = psutil.Process(rebuilding.pid)
        workers = until(lambda: _spawned(parent), "two workers fold")
        rebuilding.end(9)
        until(lambda: not any(_lives(worker) for worker in workers), "the workers end")


def _spawned(parent) -> list | None:
    import psutil

    try:
        children = [each for each in parent.children() if "spawn_main" in " ".join(each.cmdline())]
    except psutil.NoSuchProcess:
        # One of them ended while we looked.
        return None
    return children if len(children) >= 2 else None


def _lives(process) -> bool:
    import psutil

    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_killed_while_it_swaps_nothing_was_swapped(database: Database) -> None:
    """Killed while it waits for the last reader, the live tables and their position stay."""
    _, seed = a_chance()
    live = filled(database, seed)
    with processes(database) as started, database.connect() as reader:
        reader.execute("SELECT count(*) FROM silences")
        rebuilding = started.start("rebuild")
        until(lambda: _wants_the_tables(database), "the rebuild wants to swap")
        rebuilding.end(9)
        reader.rollback()
        assert views(database) == live
        again = rebuilt(started)
        assert set(again["differences"].values()) == {0}
    assert views(database) == live


def _wants_the_tables(database: Database) -> bool:
    """Whether somebody holds or waits for a live table alone."""
    return one(
        database,
        "SELECT EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' "
        "AND relation = 'applications'::regclass)",
    )


@contextmanager
def a_reader(database: Database) -> Iterator[list[int]]:
    """Counts applications again and again on a connection of its own; the counts so far."""
    counts: list[int] = []
    stop = threading.Event()
    failed: list[BaseException] = []

    def read() -> None:
        try:
            with database.connect(autocommit=True) as connection:
                while not stop.is_set():
                    row = connection.execute(
                        "SELECT count(*), (SELECT count(*) FROM silences), "
                        "(SELECT count(*) FROM feeds) FROM applications"
                    ).fetchone()
                    assert row is not None
                    assert all(row)
                    counts.append(row[0])
                    stop.wait(0.002)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield counts
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)
    assert not failed, failed


def test_beside_running_processes_readers_never_see_a_gap(database: Database) -> None:
    """Deliveries stream in, the views live on, and what is counted only grows."""
    _, seed = a_chance()
    filled(database, seed, TOUCHPOINTS // 2)
    told = endless_deliveries(seed)
    with processes(database) as started, Sender(told, rate=50) as sender:
        running = started.run_all(("receiver", "ingest", "project"))
        sender.to(running["receiver"])
        sender.has_sent(20)
        before = one(database, "SELECT count(*) FROM applications")
        with a_reader(database) as counts:
            found = [rebuilt(started, "--jobs", str(jobs)) for jobs in (1, 2)]
            until(lambda: counts[-1] > max(before, counts[0]), "applications are added")
        sender.stop()
        caught_up(database, started)
        for process in running.values():
            assert process.end() == 0, process.tail
    assert len(counts) > 100
    assert counts == sorted(counts)
    assert before <= counts[0] < counts[-1]
    assert [set(each["differences"].values()) for each in found] == [{0}] * 2
    assert_views_are_what_a_rebuild_makes(database)


def test_a_rebuild_sends_nothing(database: Database) -> None:
    """Alerts, their log and the outbox are the same rows before and after, beside a sweeper."""
    _, seed = a_chance()
    with processes(database) as started:
        serving = started.start("serve")
        with Sender(deliveries(120, seed)) as sender:
            sender.to(serving)
            until(sender.done, "all is accepted")
        caught_up(database, started)
        alerted(database, started)
        before = views(database, SENT)
        assert all(before.values())
        said = serving.said
        assert rebuilt(started)["touchpoints"] > 0
        alerted(database, started)
        assert views(database, SENT) == before
        assert serving.end() == 0, serving.tail
        assert serving.said == said
        # Nor does a sweeper that starts later find anything new.
        later = started.run("sweep")
        rebuilt(started)
        alerted(database, started)
        assert later.end() == 0, later.tail
    assert views(database, SENT) == before
    assert_every_deadline_was_told(database)
