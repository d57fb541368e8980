"""The ingest process killed at random moments: every delivery is in the log exactly once."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from bench.deliveries import CONNECTION_NAME, SECRET, deliveries
from consumers import inbox
from consumers.ats_adapters.adapter import Delivery
from consumers.ats_adapters.greenhouse import Greenhouse
from consumers.connections import Connection
from consumers.ingest import Ingest
from journey.database import Database
from journey.journey_log import JourneyLog
from journey.vault import Vault
from tests.support.fakes import FrozenClock

ROOT = Path(__file__).parents[2]
CONNECTION = Connection(name=CONNECTION_NAME, source="greenhouse", secrets=(SECRET,))
KILLS = 20
PROCESS = """
import sys, threading
from consumers.connections import Connection
from consumers.ingest import Ingest
from journey.clock import SystemClock
from journey.database import Database
from journey.journey_log import JourneyLog
from journey.vault import Vault

database = Database(sys.argv[1], sys.argv[2])
log = JourneyLog(database, Vault(b"k" * 32), SystemClock())
connection = Connection(name=sys.argv[3], source="greenhouse", secrets=("s",))
print("ready", flush=True)
Ingest(database, log, {connection.name: connection}, SystemClock()).run(threading.Event())
"""


def started(database: Database) -> subprocess.Popen[bytes]:
    """An ingest process of its own, past its imports."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, database.url, database.schema, CONNECTION_NAME],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.fault
def test_killed_twenty_times_it_loses_and_doubles_nothing(database: Database) -> None:
    """SIGKILL at random moments while deliveries stream in, some of them twice."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    told = deliveries(4_000, seed)
    done = threading.Event()

    def stream() -> None:
        for start in range(0, len(told), 40):
            with database.transaction() as connection:
                inbox.keep(connection, told[start : start + 40])
            # Streams as long as there are kills, then hurries.
            done.wait(0.25)

    streaming = threading.Thread(target=stream)
    streaming.start()
    for _ in range(KILLS):
        process = started(database)
        time.sleep(chance.uniform(0, 0.4))
        process.kill()
        process.wait()
    done.set()
    streaming.join()
    log = JourneyLog(database, Vault(b"k" * 32), FrozenClock())
    Ingest(database, log, {CONNECTION_NAME: CONNECTION}, FrozenClock()).drain()
    assert in_the_log(database) == Counter(dict.fromkeys(expected(told), 1))
    with database.transaction() as connection:
        counts = {status: n for status, n in inbox.counts(connection).items() if n}
        gaps = connection.execute(
            "SELECT count(*) - max(notification_id), "
            "(SELECT count(*) FROM (SELECT count(*) - max(originator_version) AS gap "
            " FROM journey_events GROUP BY originator_id) s WHERE gap <> 0) FROM journey_events"
        ).fetchone()
    assert counts.keys() <= {"recorded", "context"}
    assert gaps == (0, 0)


def expected(told: list[Delivery]) -> set[str]:
    """The ids of all touchpoints that these deliveries tell."""
    adapter = Greenhouse()
    return {
        str(statement.touchpoint.touchpoint_id)
        for one in told
        for statement in adapter.translate(one, CONNECTION).statements
    }


def in_the_log(database: Database) -> Counter[str]:
    """How often each touchpoint id is recorded."""
    with database.transaction() as connection:
        rows = connection.execute("SELECT touchpoint_id FROM journey_events")
        return Counter(str(row[0]) for row in rows)
