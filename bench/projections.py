"""`rebuild_vs_runner`, `rebuild_vs_scan`, `live_vs_runner`, and how the cost grows with the log."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from bench.data import journeys
from bench.harness import NOW, Figure, in_turn, meaning, seconds, tenant
from bench.log import fill, filled
from bench.peers import count_with_library, decode_all
from journey.database import Database
from projections.rebuild import TABLES, rebuild
from projections.runner import Runner

PEER_SECONDS = 30.0


def run_rebuild(url: str, size: int = 1_000_000, seed: int = 1) -> Iterator[Figure]:
    """A rebuild of everything in one process, beside the library's runner and a bare scan."""
    with filled(url, size, seed) as database:
        peaks: list[float] = []

        def ours() -> float:
            done = _rebuild_elsewhere(database)
            peaks.append(done["peak_mb"])
            return float(done["touchpoints"] / done["seconds"])

        best, scan, runner = in_turn(
            ours,
            lambda: size / seconds(lambda: decode_all(database)),
            lambda: count_with_library(database, PEER_SECONDS),
        )
    more = {"peak_mb": round(max(peaks)), "peak_bar_mb": 600, "jobs": 1}
    yield Figure(
        "rebuild_vs_runner", round(best), "touchpoints/s", size, seed,
        "ProjectionRunner with one counter view", round(runner), round(best / runner, 2),
        ">= 40", more,
    )  # fmt: skip
    yield Figure(
        "rebuild_vs_scan", round(best), "touchpoints/s", size, seed,
        "scan in stream order, pydantic decode", round(scan), round(best / scan, 3),
        ">= 0.30", more,
    )  # fmt: skip


def _rebuild_elsewhere(database: Database) -> dict[str, Any]:
    """A rebuild in a process of its own, so that its peak memory is its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.projections", database.url, database.schema],
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def run_live(url: str, size: int = 200_000, seed: int = 1) -> Iterator[Figure]:
    """Touchpoints arriving: every projection, live, beside the library's runner."""
    with tenant(url) as database:
        fill(database, journeys(size, size // 20, seed))

        def ours() -> float:
            _forget(database)
            runner = Runner(database, meaning())
            return size / seconds(runner.catch_up)

        best, peer = in_turn(ours, lambda: count_with_library(database, PEER_SECONDS))
    yield Figure(
        "live_vs_runner", round(best), "touchpoints/s", size, seed,
        "ProjectionRunner with one counter view", round(peer), round(best / peer, 2), ">= 8",
    )  # fmt: skip


def run_growth(url: str, size: int = 1_000_000, seed: int = 1) -> Iterator[Figure]:
    """The cost of append and live projection as the log grows; no bar."""
    more = max(1_000, size // 50)
    with tenant(url) as database:
        events = journeys(size + 3 * more, (size + 3 * more) // 20, seed)
        runner = Runner(database, meaning())
        held = 0
        for already in (size // 100, size // 10, size):
            fill(database, islice(events, already - held))
            _forget(database)
            rebuild(database, meaning(), NOW)
            appended = more / seconds(lambda: fill(database, islice(events, more), 1_000))
            live = more / seconds(runner.catch_up)
            held = already + more
            extra = {"already_in_log": already}
            yield Figure("growth_append", round(appended), "touchpoints/s", more, seed, more=extra)
            yield Figure("growth_live", round(live), "touchpoints/s", more, seed, more=extra)


def _forget(database: Database) -> None:
    with database.connect() as connection:
        connection.execute(f"TRUNCATE {', '.join(TABLES)}".encode())
        connection.execute(
            "UPDATE projection_tracking SET notification_id = 0 "
            "WHERE application_name = 'projections'"
        )
        connection.commit()


def main() -> None:
    """One rebuild, for the process that measures its memory."""
    import resource

    database = Database(sys.argv[1], sys.argv[2])
    started = time.perf_counter()
    done = rebuild(database, meaning(), NOW)
    taken = time.perf_counter() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"touchpoints": done.touchpoints, "seconds": taken, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main()
