"""Real processes of the product, started, watched through their log, and ended by their pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from bench.deliveries import CONNECTION_NAME, SECRET
from consumers.ats_adapters.adapter import Delivery
from journey.database import Database
from tests.support.installations import environment_for

ROOT = Path(__file__).parents[2]
COMMAND = "from consumers.cli import main; main()"
PATIENCE_SECONDS = 120.0
"""How long a test waits for what has to happen. No promise: a machine that is shared may be many
times slower than ours, or stand still for a while."""
_LOOK_SECONDS = 0.02
_RETRY_SECONDS = 0.1


def until(holds: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait for something true and return it; fails, saying `what`, when it takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(_LOOK_SECONDS)
    return found


class Process:
    """One running `journey …`. Its log is read from a file, so that it never waits for a reader."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], folder: Path):
        self.arguments = arguments
        self.awaited = False
        self._said = folder / "stdout"
        self._logged = folder / "stderr"
        with self._said.open("wb") as said, self._logged.open("wb") as logged:
            self._process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, *arguments],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=logged,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def said(self) -> str:
        """Its standard output so far."""
        return self._said.read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of its log so far; one that is not JSON stands as {"event": line}."""
        return [_parsed(line) for line in self._logged.read_text().splitlines() if line]

    def count(self, event: str) -> int:
        """How often it said this."""
        return sum(line["event"] == event for line in self.log)

    def says(self, event: str, times: int = 1, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Wait until it has said this so many times; returns the line."""

        def heard() -> dict[str, Any] | None:
            lines = [line for line in self.log if line["event"] == event]
            if len(lines) >= times:
                return lines[times - 1]
            assert not self.ended, f"{self} ended with {self._process.returncode}: {self.tail}"
            return None

        line: dict[str, Any] = until(heard, f"{self} says {event!r} {times} times", seconds)
        return line

    def end(self, number: int = signal.SIGTERM, seconds: float = PATIENCE_SECONDS) -> int:
        """Send a signal and wait; returns the exit code."""
        if not self.ended:
            self._process.send_signal(number)
        return self.wait(seconds)

    def kill(self) -> None:
        """SIGKILL: no handler, no clean-up."""
        assert self.end(signal.SIGKILL) == -signal.SIGKILL, f"{self} ended by itself: {self.tail}"

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait until it ends by itself; returns the exit code."""
        self.awaited = True
        return self._process.wait(seconds)

    @property
    def tail(self) -> str:
        """The end of its log, for messages of failed tests."""
        return self._logged.read_text()[-2000:]

    def __str__(self) -> str:
        return f"journey {' '.join(self.arguments)} (pid {self.pid})"


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {"event": line}
    return found if isinstance(found, dict) and "event" in found else {"event": line}


class Processes:
    """The processes of one tenant. Leaving the context ends every one that still runs."""

    def __init__(self, database: Database, home: Path) -> None:
        self._home = home
        self._numbers = count(1)
        self._started: list[Process] = []
        prefix = f"JOURNEY_CONNECTION_{CONNECTION_NAME.upper()}"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("JOURNEY_")},
            **environment_for(database, home),
            f"{prefix}_SOURCE": "greenhouse",
            f"{prefix}_SECRETS": SECRET,
            "JOURNEY_PORT": "0",
            "JOURNEY_LOG": "json",
        }

    def start(self, *arguments: str) -> Process:
        """Start `journey …` without waiting for anything."""
        named = "-".join(Path(argument).name for argument in arguments[:2])
        folder = self._home / f"{next(self._numbers)}-{named}"
        folder.mkdir()
        process = Process(arguments, self.environment, folder)
        self._started.append(process)
        return process

    def run(self, name: str) -> Process:
        """Start `journey run …` and wait until it says that it does."""
        process = self.start("run", name)
        process.says("started")
        return process

    def run_all(self, names: Iterable[str]) -> dict[str, Process]:
        """`run` for each of these, side by side."""
        started = {name: self.start("run", name) for name in names}
        for process in started.values():
            process.says("started")
        return started

    def live(self) -> bool:
        """True, or fails with the log of one that ended without being asked to."""
        for process in self._started:
            assert process.awaited or not process.ended, f"{process} ended: {process.tail}"
        return True

    def end_all(self) -> None:
        """SIGKILL to whatever still runs."""
        for process in self._started:
            if not process.ended:
                process.end(signal.SIGKILL)


@contextmanager
def processes(database: Database) -> Iterator[Processes]:
    """Processes on a test's tenant, none left behind."""
    with tempfile.TemporaryDirectory(prefix="journey-processes-") as home:
        started = Processes(database, Path(home))
        try:
            yield started
        finally:
            started.end_all()


class Sender:
    """Sends deliveries as an ATS does: each again and again until it gets its success code.

    `address` may change (a receiver that starts again has another port). Sends from several
    threads, so that deliveries overtake each other, at most `rate` a second in all.
    """

    def __init__(self, deliveries: Iterable[Delivery], *, threads: int = 4, rate: float = 150.0):
        self.accepted: list[Delivery] = []
        self.delivery_ids: set[str] = set()
        self.answers: Counter[int | str] = Counter()
        self.refusals: list[httpx.Headers] = []
        self._pause_seconds = threads / rate
        self._deliveries = iter(deliveries)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._given_up = False
        self._port = 0
        self._told_where = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(threads)]

    def __enter__(self) -> Sender:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        # A sender gives up when the test is over or has failed, never before.
        self._given_up = True
        self._told_where.set()
        self.stop(10)

    def stop(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Begin no more; returns when those begun have their success code."""
        self._stop.set()
        for thread in self._threads:
            thread.join(seconds)
        assert self._given_up or self.done(), "a delivery was never accepted"

    def to(self, process: Process) -> None:
        """From now on the deliveries go to this receiver."""
        self._port = process.says("listening")["port"]
        self._told_where.set()

    def done(self) -> bool:
        """Whether every delivery there was got its success code."""
        return not any(thread.is_alive() for thread in self._threads)

    def has_sent(self, more: int, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until so many more were accepted."""
        enough = len(self.accepted) + more
        until(lambda: len(self.accepted) >= enough or self.done(), f"{more} more accepted", seconds)

    def _send(self) -> None:
        self._told_where.wait()
        with httpx.Client(timeout=60, trust_env=False) as client:
            while not self._stop.is_set():
                with self._lock:
                    delivery = next(self._deliveries, None)
                if delivery is None:
                    return
                while not self._sent(client, delivery):
                    if self._given_up:
                        return
                    time.sleep(_RETRY_SECONDS)
                self._stop.wait(self._pause_seconds)

    def _sent(self, client: httpx.Client, delivery: Delivery) -> bool:
        try:
            answer = client.post(
                f"http://127.0.0.1:{self._port}/webhooks/{delivery.connection}",
                content=delivery.body,
                headers=dict(delivery.headers),
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            with self._lock:
                self.answers[type(error).__name__] += 1
            return False
        with self._lock:
            self.answers[answer.status_code] += 1
            if answer.status_code == 200:
                self.accepted.append(delivery)
                self.delivery_ids.add(answer.json()["delivery_id"])
            else:
                self.refusals.append(answer.headers)
        return answer.status_code == 200


__all__ = ["PATIENCE_SECONDS", "Process", "Processes", "Sender", "processes", "until"]
