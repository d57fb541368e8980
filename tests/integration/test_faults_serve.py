"""`journey serve`: the same delivery many times, an end in mid-stream, a bug of our own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from bench.deliveries import deliveries, endless_deliveries
from consumers.ats_adapters.adapter import Delivery
from journey.database import Database, open_database
from tests.support.postgres import a_postgres
from tests.support.processes import COMMAND, PATIENCE_SECONDS, ROOT, Sender, processes
from tests.support.truth import (
    CONNECTION,
    a_chance,
    assert_each_once,
    assert_no_gaps,
    assert_views_are_what_a_rebuild_makes,
    caught_up,
    expected,
    in_the_log,
    one,
    rows,
)

TIMES, THREADS = 50, 8
ENDS = 3
SECONDS_TO_END = 20.0
"""Less than the thirty that a part of it which hangs is waited for."""

pytestmark = pytest.mark.fault


def test_the_same_delivery_fifty_times_from_eight_threads(database: Database) -> None:
    """Each time the success code, one touchpoint, one application that has seen one touchpoint."""
    (told,) = deliveries(1, 1)
    with processes(database) as started:
        serving = started.start("serve")
        url = f"http://127.0.0.1:{serving.says('listening')['port']}/webhooks/{told.connection}"
        with (
            ThreadPoolExecutor(THREADS) as threads,
            httpx.Client(timeout=PATIENCE_SECONDS, trust_env=False) as client,
        ):
            answers = list(threads.map(lambda _: post(client, url, told), range(TIMES)))
        caught_up(database, started)
        assert serving.end() == 0
    assert answers == [200] * TIMES
    assert in_the_log(database) == dict.fromkeys(expected([told]), 1)
    assert len(in_the_log(database)) == 1
    assert rows(database, "SELECT touchpoints FROM applications") == [(1,)]
    assert one(database, "SELECT count(*) FROM deliveries") == TIMES


def post(client: httpx.Client, url: str, told: Delivery) -> int:
    """Send it; the status of the answer."""
    return client.post(url, content=told.body, headers=dict(told.headers)).status_code


def test_told_to_end_in_mid_stream_it_ends_soon_and_loses_nothing(database: Database) -> None:
    """SIGTERM: exit code 0 within seconds, again and again, and what it accepted is there."""
    chance, seed = a_chance()
    with processes(database) as started, Sender(endless_deliveries(seed)) as sender:
        for _ in range(ENDS):
            serving = started.start("serve")
            sender.to(serving)
            sender.has_sent(chance.randrange(1, 300))
            before = time.monotonic()
            assert serving.end() == 0, serving.tail
            assert time.monotonic() - before < SECONDS_TO_END
            assert serving.count("stopped") == 1
            kept = {str(row[0]) for row in rows(database, "SELECT delivery_id FROM deliveries")}
            assert sender.delivery_ids <= kept
        serving = started.start("serve")
        sender.to(serving)
        sender.stop()
        caught_up(database, started)
        assert serving.end() == 0, serving.tail
    assert_each_once(database, sender.accepted, sender.accepted)
    assert_no_gaps(database)
    assert_views_are_what_a_rebuild_makes(database)


@pytest.mark.parametrize("arguments", [("serve",), ("run", "receiver"), ("run", "ingest")])
def test_told_to_end_while_it_starts_it_ends(
    database: Database, arguments: tuple[str, ...]
) -> None:
    """A SIGTERM right after the first line of the log is heeded, with exit code 0."""
    with processes(database) as started:
        starting = started.start(*arguments)
        starting.says("started")
        assert starting.end() == 0, starting.tail


# Process → what takes the ground from under it alone, and what makes it look.
BREAKS: dict[str, str] = {
    "ingest": "ALTER TABLE identity_keys RENAME COLUMN fingerprint TO elsewhere",
    "project": "ALTER TABLE applications RENAME COLUMN turn TO elsewhere",
    "sweep": "ALTER TABLE deadlines RENAME COLUMN due_at TO elsewhere; NOTIFY deadlines",
    "notify": "ALTER TABLE outbox RENAME COLUMN sequence TO elsewhere; NOTIFY outbox",
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_process_that_meets_a_bug_of_ours_ends_them_all(database: Database, broken: str) -> None:
    """Exit code 1, and the log says which: nothing that looks alive is left behind."""
    with processes(database) as started:
        serving = started.start("serve")
        # What breaks is met with a delivery that comes after.
        with Sender(endless_deliveries(1)) as sender:
            sender.to(serving)
            sender.has_sent(5)
            with database.connect(autocommit=True) as connection:
                connection.execute(BREAKS[broken])  # type: ignore[arg-type]
            assert serving.wait() == 1, serving.tail
        said = [line for line in serving.log if line["event"] == "a process stopped on an error"]
        assert {line["process"] for line in said} >= {broken}
        assert all(line["error"] for line in said)
        kept = {str(row[0]) for row in rows(database, "SELECT delivery_id FROM deliveries")}
        assert sender.delivery_ids <= kept


def test_a_receiver_that_cannot_store_any_more_does_not_stay() -> None:
    """Its writer dies (the log it tells of a lost database is gone): it ends, with an error."""
    with a_postgres() as postgres:
        database = open_database(Path("unused"), postgres.url, "unheard")
        with processes(database) as started:
            receiver = subprocess.Popen(
                [sys.executable, "-c", COMMAND, "run", "receiver"],
                cwd=ROOT,
                env=started.environment,
                stderr=subprocess.PIPE,
            )
            try:
                assert receiver.stderr is not None
                line = next(line for line in receiver.stderr if b"listening" in line)
                url = f"http://127.0.0.1:{json.loads(line)['port']}/webhooks/{CONNECTION.name}"
                receiver.stderr.close()
                postgres.stop("immediate")
                with httpx.Client(timeout=PATIENCE_SECONDS, trust_env=False) as client:
                    assert post(client, url, deliveries(1, 1)[0]) == 503
                assert receiver.wait(PATIENCE_SECONDS) > 0
            finally:
                receiver.kill()
                receiver.wait()
        database.close()
