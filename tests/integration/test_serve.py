"""`journey serve` and `journey run` as processes: a webhook to an alert line, and a clean end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import orjson
import pytest

from consumers.processes import SERVERS
from consumers.webhooks.signatures import GREENHOUSE
from journey.database import Database
from tests.support.greenhouse import PAYLOADS
from tests.support.installations import environment_for
from tests.support.processes import PATIENCE_SECONDS

SECONDS = PATIENCE_SECONDS
PROGRAM = "from consumers.cli import main; main()"


@contextmanager
def started(
    database: Database, home: Path, *arguments: str
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """A journey process in this tenant and its log; killed if the test leaves it running."""
    (home / "connections.yaml").write_text(
        "connections:\n  greenhouse: {source: greenhouse, secrets: [s3cret]}\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JOURNEY_")}
    environment |= environment_for(database, home) | {"JOURNEY_PORT": "0", "JOURNEY_WEB_PORT": "0"}
    with (home / "log").open("w+b") as log, (home / "out").open("w+b") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments], env=environment, stdout=out, stderr=log
        )
        try:
            yield process, log
        finally:
            process.kill()
            process.wait()


def lines(log: IO[bytes]) -> list[dict[str, object]]:
    """The log so far, one JSON document a line."""
    log.seek(0)
    return [orjson.loads(line) for line in log.read().splitlines() if line.endswith(b"}")]


def wait_for(condition: Callable[[], object], what: str) -> object:
    """What the condition returns once it is true."""
    give_up_at = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < give_up_at, f"waited {SECONDS} s for {what}"
        time.sleep(0.05)
    return found


def event(log: IO[bytes], name: str) -> Callable[[], object]:
    return lambda: next((line for line in lines(log) if line["event"] == name), None)


def end(process: subprocess.Popen[bytes], by: signal.Signals) -> int:
    process.send_signal(by)
    return process.wait(SECONDS)


def test_serve_takes_a_webhook_to_an_alert_line(database: Database, tmp_path: Path) -> None:
    """An application of long ago that nobody answered: delivered, recorded, alerted, told."""
    with started(database, tmp_path, "serve") as (process, log):
        listening = wait_for(event(log, "listening"), "the receiver")
        assert isinstance(listening, dict)
        body = (PAYLOADS / "application_received.json").read_bytes()
        answer = httpx.post(
            f"http://127.0.0.1:{listening['port']}/webhooks/greenhouse",
            content=body,
            headers={"content-type": "application/json", **GREENHOUSE.sign(body, "s3cret")},
            timeout=SECONDS,
        )
        assert answer.status_code == 200
        out = tmp_path / "out"
        wait_for(lambda: b"ALERT [" in out.read_bytes(), "an alert on standard output")
        status = httpx.get(
            f"http://127.0.0.1:{listening['port']}/-/status.json", timeout=SECONDS
        ).json()
        assert status["projections"] == {"position": 1, "lag_touchpoints": 0}
        assert end(process, signal.SIGTERM) == 0
        assert lines(log)[-1]["event"] == "stopped"
        assert b"Vermeer" not in (tmp_path / "log").read_bytes()


@pytest.mark.parametrize(
    "name", ["receiver", "poll", "ingest", "project", "sweep", "notify", "web"]
)
def test_each_process_ends_when_asked(database: Database, tmp_path: Path, name: str) -> None:
    """By SIGINT as by SIGTERM: with exit code 0, having said so."""
    with started(database, tmp_path, "run", name) as (process, log):
        wait_for(event(log, "listening" if name in SERVERS else "started"), name)
        by = signal.SIGINT if name in ("receiver", "sweep") else signal.SIGTERM
        assert end(process, by) == 0
        assert lines(log)[-1]["event"] == "stopped"


def test_a_process_that_breaks_takes_the_others_with_it(database: Database, tmp_path: Path) -> None:
    """A receiver that goes on while ingest is dead would look healthy and be wrong."""
    with started(database, tmp_path, "serve") as (process, log):
        wait_for(event(log, "listening"), "the receiver")
        with database.transaction() as connection:
            connection.execute("ALTER TABLE journeys RENAME TO gone")
        body = (PAYLOADS / "application_received.json").read_bytes()
        listening = event(log, "listening")()
        assert isinstance(listening, dict)
        httpx.post(
            f"http://127.0.0.1:{listening['port']}/webhooks/greenhouse",
            content=body,
            headers={"content-type": "application/json", **GREENHOUSE.sign(body, "s3cret")},
            timeout=SECONDS,
        )
        assert process.wait(SECONDS) == 1
        stopped = event(log, "a process stopped on an error")()
        assert isinstance(stopped, dict)
        assert stopped["process"] == "project"
