"""A slow database beside a full topic: ingest holds a batch and what was fetched, and no more."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import orjson

from consumers.ats_adapters.adapter import Delivery
from consumers.kafka_stream.cluster import Cluster
from journey.database import Database
from tests.support.greenhouse import delivery
from tests.support.kafka_broker import kafka_environment
from tests.support.kafka_deliveries import all_handled, send, unhandled
from tests.support.processes import Process, processes
from tests.support.truth import CONNECTION, FULL, one

WAITING = 20_000 if FULL else 2_500
BODY_BYTES = 20_000
MOST_GROWN_MB = 60
"""A batch of such deliveries is 10 MB; the same is fetched ahead, and copied on the way."""
SLOW_SECONDS = 3


def test_a_slow_database_bounds_what_ingest_holds(database: Database, cluster: Cluster) -> None:
    """Fifty megabytes wait (400 at full size): its partitions are paused, and it grows by a few."""
    with processes(database) as started:
        started.environment |= kafka_environment(cluster)
        ingest = started.run("ingest")
        send(cluster, [large()])
        all_handled(cluster)
        before = peak_mb(ingest)
        with database.transaction() as connection:
            # Whatever ingest does now, it waits for us.
            connection.execute("LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE")
            send(cluster, [large() for _ in range(WAITING)])
            paused = ingest.says("a batch takes long; partitions are paused")
            ends_at = time.monotonic() + SLOW_SECONDS
            while time.monotonic() < ends_at:
                assert peak_mb(ingest) - before < MOST_GROWN_MB
                time.sleep(0.1)
            held = peak_mb(ingest)
            assert unhandled(cluster) == WAITING
        all_handled(cluster)
        after = peak_mb(ingest)
        print(
            f"{WAITING:,} deliveries of {BODY_BYTES / 1000:.0f} kB wait: {before:.0f} MB before, "
            f"{held:.0f} MB at most while paused ({paused['records']} in hand), "
            f"{after:.0f} MB at most when all is handled"
        )
        assert after - before < MOST_GROWN_MB
    assert one(database, "SELECT count(*) FROM deliveries") == WAITING + 1


def large() -> Delivery:
    """Understood and about no candidate: what it costs is its size."""
    body = orjson.dumps({"action": "job_created", "payload": {"text": "x" * BODY_BYTES}})
    return replace(delivery(body), connection=CONNECTION.name)


def peak_mb(process: Process) -> float:
    """The most memory that the process has had."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")
