"""The processes by name, run alone or together, ended cleanly or loudly.

SIGTERM and SIGINT end all of them: what was accepted is written, what was begun is committed or
rolled back. A process that meets a bug of ours takes the others with it, since a receiver that
goes on while ingest is dead would look healthy and be wrong.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from consumers.bootstrap import Installation
from consumers.logging import error_text

if TYPE_CHECKING:
    from consumers.server import Server

log = structlog.get_logger()

PROCESSES = (
    "receiver", "poll", "ingest", "project", "sweep", "notify", "publish", "alerts", "web",
)  # fmt: skip
"""Every process, in the order in which data goes through them; web looks on."""

KAFKA_PROCESSES = ("publish", "alerts")
"""Those that have nothing to do without Kafka."""

SERVERS = ("receiver", "web")
"""Those that listen, each on its own address. They need the main thread, so one runs at a time."""

_JOIN_SECONDS = 30.0


def served(*, with_kafka: bool) -> list[str]:
    """What `journey serve` runs: all that does some work, on one port.

    Not web, which would open a second one; the receiver shows the pages about the inside.
    """
    idle = ("web",) if with_kafka else ("web", *KAFKA_PROCESSES)
    return [name for name in PROCESSES if name not in idle]


def run_processes(installation: Installation, names: Sequence[str]) -> bool:
    """Run these processes until SIGTERM or SIGINT; False if one of them ended by itself.

    Call it from the main thread. Raises ConfigurationError, DatabaseUnavailable at the start.
    """
    stop = threading.Event()
    failed: list[str] = []
    # Opened here, so that what is wrong with the set-up is told once and at once.
    jobs = {name: _job(installation, name) for name in names if name not in SERVERS}
    listens = next((name for name in names if name in SERVERS), "")
    server = _server(installation, listens) if listens else None

    def end() -> None:
        stop.set()
        if server is not None:
            server.stop()

    def run(name: str, job: Callable[[threading.Event], None]) -> None:
        try:
            job(stop)
            if stop.is_set():
                return
            log.error("a process ended by itself", process=name)
        except BaseException as error:
            log.error("a process stopped on an error", process=name, error=error_text(error))
        failed.append(name)
        end()

    threads = [
        threading.Thread(target=run, args=(name, job), name=name) for name, job in jobs.items()
    ]
    # Before anything runs: a signal that comes between two steps must not be lost, nor end us
    # by halves.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end())
    for thread in threads:
        thread.start()
    log.info("started", processes=list(names))
    try:
        if server is None:
            while not stop.wait(0.5):
                pass
        else:
            server.run(ready=lambda port: _tell_listening(installation, listens, port))
    finally:
        stop.set()
        for thread in threads:
            thread.join(_JOIN_SECONDS)
    log.info("stopped", processes=list(names))
    return not failed


def _server(installation: Installation, name: str) -> Server:
    settings = installation.settings
    if name == "receiver":
        from consumers.webhooks.server import ReceiverServer

        return ReceiverServer(installation.receiver, host=settings.host, port=settings.port)
    from consumers.web.server import WebServer

    # Opened now, as for any process: what is wrong with the set-up is told once and at once.
    _ = installation.database, installation.connections
    return WebServer(installation.web, host=settings.web_host, port=settings.web_port)


def _tell_listening(installation: Installation, name: str, port: int) -> None:
    settings = installation.settings
    if name == "web":
        log.info("listening", host=settings.web_host, port=port)
    else:
        connections = sorted(installation.connections)
        log.info("listening", host=settings.host, port=port, connections=connections)


def _job(installation: Installation, name: str) -> Callable[[threading.Event], None]:
    match name:
        case "poll":
            return installation.polls.run
        case "ingest":
            return installation.ingest_process.run
        case "project":
            return installation.project_process.run
        case "sweep":
            return installation.sweeper.run
        case "notify":
            return installation.notifier.run
        case "publish":
            return installation.publisher.run
        case "alerts":
            return installation.alerts_publisher.run
    raise ValueError(f"{name!r} is no process")
