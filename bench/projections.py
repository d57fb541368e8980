"""`rebuild_vs_runner`, `rebuild_vs_scan`, `live_vs_runner`, `project_two`, growth with the log."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from typing import Any

import psutil

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


def run_two(url: str, size: int = 200_000, seed: int = 1) -> Iterator[Figure]:
    """Two processes with four lanes beside one with one lane, and how many cores each part had."""
    cores: dict[str, float] = {}

    def rate(processes: int, lanes: int) -> float:
        _forget(database)
        Runner(database, meaning(), lanes=lanes).settle()
        with ExitStack() as started:
            running = [started.enter_context(_projector(database)) for _ in range(processes)]
            for each in running:
                _said(each)
            server_before, begun = _server_seconds(database), time.perf_counter()
            for each in running:
                assert each.stdin is not None
                each.stdin.write("go\n")
                each.stdin.flush()
            own = [float(_said(each)) for each in running]
            taken = time.perf_counter() - begun
            server = _server_seconds(database) - server_before
        name = f"cores_{processes}_processes_{lanes}_lanes"
        cores[f"{name}_ours"], cores[f"{name}_server"] = (
            round(sum(own) / taken, 2),
            round(server / taken, 2),
        )
        return size / taken

    with tenant(url) as database:
        fill(database, journeys(size, size // 20, seed))
        two, one, lanes = in_turn(lambda: rate(2, 4), lambda: rate(1, 1), lambda: rate(1, 4))
    yield Figure(
        "project_two", round(two), "touchpoints/s", size, seed,
        "one process, one lane", round(one), round(two / one, 2),
        more={
            "one_process_four_lanes": round(lanes), "cores": psutil.cpu_count(), **cores,
        },
    )  # fmt: skip


def _server_seconds(database: Database) -> float:
    """The seconds of CPU that the database server has used, whoever it was for."""
    with database.connect() as connection:
        main = psutil.Process(connection.info.backend_pid).parent()
        assert main is not None
        spent = float(sum(main.cpu_times()[:4]))
        for each in main.children():
            with suppress(psutil.NoSuchProcess):
                spent += sum(each.cpu_times()[:2])
    return spent


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _projector(database: Database) -> subprocess.Popen[str]:
    """A process that catches up when it is told to, and says the seconds of CPU that took."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench.projections", database.url, database.schema, "project"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run_growth(url: str, size: int = 1_000_000, seed: int = 1) -> Iterator[Figure]:
    """The cost of append and live projection as the log grows; no bar."""
    more = size // 50
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
            "DELETE FROM projection_tracking WHERE application_name <> '__migration__'"
        )
        connection.commit()


def main() -> None:
    """One rebuild, for the process that measures its memory; or one catching up, of `project`."""
    import resource

    database = Database(sys.argv[1], sys.argv[2])
    if "project" in sys.argv[3:]:
        _project(database)
        return
    started = time.perf_counter()
    done = rebuild(database, meaning(), NOW)
    taken = time.perf_counter() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"touchpoints": done.touchpoints, "seconds": taken, "peak_mb": peak_mb}))


def _project(database: Database) -> None:
    runner = Runner(database, meaning())
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.process_time()
    runner.catch_up()
    print(time.process_time() - begun, flush=True)
    database.close()


if __name__ == "__main__":
    main()
