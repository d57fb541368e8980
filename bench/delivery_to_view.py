"""`delivery_to_view`: from a delivery's success code to its row in the silence view.

Receiver, ingest and project are processes of their own, started as in production, and so is the
load: signed Greenhouse deliveries at a steady rate over keep-alive connections, whole stories that
overlap. The clock of an application starts when its success code is back and stops when
somebody who looks every 50 ms finds its silence; both clocks are the machine's. With Kafka the way
goes through its topic, without through the inbox.
"""

from __future__ import annotations

import asyncio
import base64
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import cast

import orjson

from bench.deliveries import CONNECTION_NAME, SECRET, deliveries
from bench.harness import Figure, tenant, topic_prefix
from consumers.ats_adapters.adapter import Delivery
from journey.database import Database

PER_SECOND = 500
CONNECTIONS = 32
WARM_UP_SECONDS = 3.0
_LOOK_SECONDS = 0.05
_LONGEST_SECONDS = 120.0
_COMMAND = "from consumers.cli import main; main()"
_SPAWN = multiprocessing.get_context("spawn")


def run(url: str, size: int = 10_000, seed: int = 1) -> Iterator[Figure]:
    """The p99 in seconds with Kafka, and as extra fields the median and the same without."""
    from tests.support.kafka_broker import broker

    with broker(measured=True) as running:
        with_kafka = _round(url, size, seed, {"JOURNEY_KAFKA": running.bootstrap})
    without = _round(url, size, seed, {})
    yield Figure(
        "delivery_to_view", round(_share(with_kafka, 0.99), 3), "s (p99)", size, seed,
        bar="<= 2",
        more={
            "per_second": PER_SECOND,
            "applications": len(with_kafka),
            "p50_s": round(_share(with_kafka, 0.5), 3),
            "most_s": round(max(with_kafka), 3),
            "p99_s_without_kafka": round(_share(without, 0.99), 3),
        },
    )  # fmt: skip


def _share(seconds: list[float], share: float) -> float:
    return sorted(seconds)[int(len(seconds) * share)]


def _round(url: str, size: int, seed: int, kafka: dict[str, str]) -> list[float]:
    """How long each application took; fails when one never came."""
    told = deliveries(size, seed)
    with tenant(url) as database, tempfile.TemporaryDirectory(prefix="journey-bench-") as home:
        port = _free_port()
        environment = _environment(database, Path(home), port) | kafka
        if kafka:
            subprocess.run(
                [sys.executable, "-c", _COMMAND, "kafka", "init"],
                env=environment, check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        with ExitStack() as started:
            for name in ("receiver", "ingest", "project"):
                started.enter_context(_process(name, environment, Path(home)))
            mine, theirs = _SPAWN.Pipe()
            load = _SPAWN.Process(target=_load, args=(theirs, port, told), daemon=True)
            load.start()
            taken = _watched(database, told, mine, load)
            load.join()
            return taken


def _watched(
    database: Database, told: list[Delivery], pipe: Pipe, load: multiprocessing.process.BaseProcess
) -> list[float]:
    awaited = {
        f"greenhouse:{orjson.loads(each.body)['payload']['application']['id']}": number
        for number, each in enumerate(told)
        if b'"action":"new_candidate_application"' in each.body[:60]
    }
    seen_at: dict[int, float] = {}
    deadline = time.monotonic() + len(told) / PER_SECOND + _LONGEST_SECONDS
    with database.connect(autocommit=True) as connection:
        while len(seen_at) < len(awaited):
            began = time.monotonic()
            rows = connection.execute("SELECT DISTINCT application_id FROM silences").fetchall()
            now = time.time()
            for (application_id,) in rows:
                if application_id in awaited:
                    seen_at.setdefault(awaited[application_id], now)
            if not (load.is_alive() or load.exitcode == 0):
                raise AssertionError("the load ended early; its own error stands above")
            if began > deadline:
                raise AssertionError(f"{len(awaited) - len(seen_at)} applications never came")
            time.sleep(max(0.0, _LOOK_SECONDS - (time.monotonic() - began)))
    accepted_at: list[float] = pipe.recv()
    warm = min(int(WARM_UP_SECONDS * PER_SECOND), len(told) // 3)
    return [at - accepted_at[number] for number, at in seen_at.items() if number >= warm]


def _environment(database: Database, home: Path, port: int) -> dict[str, str]:
    prefix = f"JOURNEY_CONNECTION_{CONNECTION_NAME.upper()}"
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("JOURNEY_")},
        "JOURNEY_HOME": str(home),
        "JOURNEY_DATABASE_URL": database.url,
        "JOURNEY_TENANT": database.schema,
        "JOURNEY_MASTER_KEY": base64.b64encode(b"b" * 32).decode(),
        "JOURNEY_PORT": str(port),
        "JOURNEY_LOG": "json",
        "JOURNEY_KAFKA_PREFIX": topic_prefix(),
        f"{prefix}_SOURCE": "greenhouse",
        f"{prefix}_SECRETS": SECRET,
    }


def _free_port() -> int:
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def _process(name: str, environment: dict[str, str], home: Path) -> Iterator[None]:
    """`journey run …`, at work until the context ends."""
    logged = home / f"{name}.log"
    with logged.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND, "run", name], env=environment, stdout=log, stderr=log
        )
    ready = b'"listening"' if name == "receiver" else b'"started"'
    try:
        while ready not in logged.read_bytes():
            if process.poll() is not None:
                raise AssertionError(f"{name} ended: {logged.read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


# --- load -----------------------------------------------------------------------------------


def _load(pipe: Pipe, port: int, told: list[Delivery]) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        pipe.send(runner.run(_drive(port, told)))


async def _drive(port: int, told: list[Delivery]) -> list[float]:
    """When each got its success code, by the machine's clock; sent at the rate, in order."""
    loop = asyncio.get_running_loop()
    accepted_at = [0.0] * len(told)
    free: asyncio.Queue[_Client | AssertionError] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        _, client = await loop.create_connection(lambda: _Client(free), "127.0.0.1", port)
        free.put_nowait(client)
    began = loop.time()
    for number, each in enumerate(told):
        await asyncio.sleep(max(0.0, began + number / PER_SECOND - loop.time()))
        client = await _answered(free)
        client.send(_request(each, port), number, accepted_at)
    for _ in range(CONNECTIONS):
        await _answered(free)
    late = loop.time() - began - len(told) / PER_SECOND
    if late > 1.0:
        raise AssertionError(f"the load came {late:.1f} s late; this machine cannot make the rate")
    return accepted_at


async def _answered(free: asyncio.Queue[_Client | AssertionError]) -> _Client:
    client = await free.get()
    if isinstance(client, AssertionError):
        raise client
    return client


def _request(delivery: Delivery, port: int) -> bytes:
    lines = [
        f"POST /webhooks/{delivery.connection} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Content-Length: {len(delivery.body)}",
        *(f"{name}: {value}" for name, value in delivery.headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + delivery.body


class _Client(asyncio.Protocol):
    """One keep-alive connection: send, note when the answer is there, be free again."""

    def __init__(self, free: asyncio.Queue[_Client | AssertionError]) -> None:
        self._free = free
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, number: int, accepted_at: list[float]) -> None:
        self._number, self._accepted_at = number, accepted_at
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        # Every answer is a small JSON object at the end of the response.
        if not self._received.endswith(b"}"):
            return
        if not self._received.startswith(b"HTTP/1.1 200"):
            self._free.put_nowait(AssertionError(f"not accepted: {self._received[:500]!r}"))
            return
        self._received = b""
        self._accepted_at[self._number] = time.time()
        self._free.put_nowait(self)


__all__ = ["run"]
