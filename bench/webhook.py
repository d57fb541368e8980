"""`webhook_vs_insert`: the receiver against the same app with one INSERT and COMMIT a request.

Server and load generator are processes of their own on the same cores; 64 keep-alive connections
send signed Greenhouse deliveries one after another. Both variants are the product's app with the
same verification, header filter and answers; only the keeper differs. A delivery counts when its
success code is back, that is, when it is committed with fsync on.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from bench.harness import Figure, rounds
from consumers.ats_adapters import ALL_ADAPTERS
from consumers.connections import Connection
from consumers.inbox import Arrival, headers_as_json
from consumers.webhooks.app import create_app
from consumers.webhooks.group_commit import Keeper
from consumers.webhooks.server import ReceiverServer
from consumers.webhooks.signatures import GREENHOUSE
from journey.clock import SystemClock
from journey.database import Database, open_database

SECRET = "bench-secret"
CONNECTIONS = 64
_SPAWN = multiprocessing.get_context("spawn")


class OneInsert:
    """The peer: every request inserts and commits its own delivery, on a pool of connections."""

    goes_by_reference = False

    def __init__(self, database: Database, pool_size: int = 8) -> None:
        self._conninfo = database.conninfo
        self._pool_size = pool_size

    def start(self) -> None:
        """Begin, inside the running event loop."""
        from psycopg_pool import AsyncConnectionPool

        self._pool = AsyncConnectionPool(
            self._conninfo,
            min_size=self._pool_size,
            max_size=self._pool_size,
            kwargs={"autocommit": True},
            open=False,
        )
        self._opening = asyncio.ensure_future(self._pool.open(wait=True))

    async def keep(self, arrival: Arrival) -> None:
        """Insert and commit one delivery."""
        delivery = arrival.delivery
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO deliveries (delivery_id, connection, source, received_at, headers, "
                "body, status, reason) VALUES (%s, %s, %s, %s, %s, %b, %s, %s)",
                (
                    delivery.delivery_id,
                    delivery.connection,
                    delivery.source,
                    delivery.received_at,
                    headers_as_json(delivery.headers),
                    delivery.body,
                    arrival.status,
                    arrival.reason,
                ),
                prepare=True,
            )

    def is_ready(self) -> bool:
        """Whether the database answers."""
        return True

    async def close(self) -> None:
        """Give the connections back."""
        await self._pool.close()


def run(url: str, size: int = 20_000, seed: int = 1) -> Iterator[Figure]:
    """Deliveries a second with their p99, `size` a round, best of three rounds each, in turn."""
    best: dict[str, dict[str, float]] = {}
    for _ in rounds():
        for variant in ("group_commit", "one_insert"):
            round_ = _round(variant, url, size, seed)
            if variant not in best or round_["per_second"] > best[variant]["per_second"]:
                best[variant] = round_
    ours, peer = best["group_commit"], best["one_insert"]
    yield Figure(
        "webhook_vs_insert", round(ours["per_second"]), "deliveries/s", size, seed,
        "same app, one INSERT and COMMIT a request", round(peer["per_second"]),
        round(ours["per_second"] / peer["per_second"], 2), ">= 2",
        {"p99_ms": round(ours["p99_ms"], 1), "p99_bar_ms": 100,
         "peer_p99_ms": round(peer["p99_ms"], 1)},
    )  # fmt: skip


def _round(variant: str, url: str, size: int, seed: int) -> dict[str, float]:
    """One round of this variant, which keeps what it accepts in the inbox."""

    def kept(database: Database) -> int:
        with database.connect(autocommit=True) as connection:
            row = connection.execute("SELECT count(*) FROM deliveries").fetchone()
        return 0 if row is None else int(row[0])

    return measured(url, size, seed, _serve, (variant,), kept)


def measured(
    url: str,
    size: int,
    seed: int,
    serve: Callable[..., None],
    arguments: tuple[Any, ...],
    kept: Callable[[Database], int],
) -> dict[str, float]:
    """One round in a tenant of its own: throughput and latency; checks that all were kept.

    `serve(pipe, url, tenant, *arguments)` runs the server in a process and sends its port.
    """
    tenant = f"bench_{uuid4().hex[:12]}"
    database = open_database(Path("unused"), url, tenant)
    mine, theirs = _SPAWN.Pipe()
    server = _SPAWN.Process(
        target=serve, args=(theirs, url, tenant, *arguments), daemon=True, name="server"
    )
    server.start()
    try:
        port = _from(mine, server)
        load = _SPAWN.Process(
            target=_load, args=(theirs, port, size, seed), daemon=True, name="load"
        )
        load.start()
        seconds, latencies = _from(mine, load)
        load.join()
    finally:
        server.terminate()
        server.join(30)
    found = kept(database)
    with database.connect(autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {tenant} CASCADE")
    if found < size:
        raise AssertionError(f"{size} deliveries were accepted and {found} kept")
    latencies.sort()
    return {
        "per_second": size / seconds,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
        "p50_ms": latencies[len(latencies) // 2] * 1000,
    }


def _from(pipe: Pipe, process: SpawnProcess) -> Any:
    """What the process says; an error at once when it ended without saying anything."""
    wait([pipe, process.sentinel], timeout=300)
    if not pipe.poll():
        raise AssertionError(f"the {process.name} ended or hangs; see its message above")
    return pipe.recv()


def _serve(pipe: Pipe, url: str, tenant: str, variant: str) -> None:
    database = Database(url, tenant)
    keeper: Keeper | None = OneInsert(database) if variant == "one_insert" else None
    connection = Connection(name="greenhouse", source="greenhouse", secrets=(SECRET,))
    app = create_app(
        database, {"greenhouse": connection}, ALL_ADAPTERS, SystemClock(), keeper=keeper
    )
    ReceiverServer(app, port=0).run(ready=pipe.send)


def requests(size: int, seed: int, port: int) -> list[bytes]:
    """Whole HTTP requests: signed stage changes of about 2.5 kB, each of another candidate."""
    chance = random.Random(seed)
    made = []
    for _ in range(min(size, 2000)):
        body = json.dumps(_stage_change(chance), separators=(",", ":")).encode()
        signature = GREENHOUSE.sign(body, SECRET)["signature"]
        head = (
            "POST /webhooks/greenhouse HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{port}\r\n"
            "Content-Type: application/json\r\n"
            "User-Agent: Greenhouse Hooks\r\n"
            f"Greenhouse-Event-ID: {chance.getrandbits(64)}\r\n"
            f"Signature: {signature}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


def _stage_change(chance: random.Random) -> dict[str, Any]:
    """A payload of the documented shape and size; every word in it is made up."""
    number = chance.randrange(10**8)
    custom = {
        f"field_{n}": {"name": f"Field {n}", "type": "short_text", "value": f"{number + n}"}
        for n in range(8)
    }
    return {
        "action": "candidate_stage_change",
        "payload": {
            "application": {
                "id": number,
                "rejected_at": None,
                "prospect": False,
                "status": "active",
                "applied_at": "2026-01-12T09:30:00Z",
                "last_activity_at": "2026-02-03T15:04:05Z",
                "url": f"https://app.greenhouse.example/people/{number}",
                "source": {"id": 27, "public_name": "Careers page"},
                "credited_to": {"id": 158104, "name": "A. Recruiter", "employee_id": None},
                "candidate": {
                    "id": number + 1,
                    "first_name": "Casey",
                    "last_name": f"Example{number}",
                    "title": "Engineer",
                    "created_at": "2026-01-12T09:30:00Z",
                    "phone_numbers": [{"value": f"+1555{number:08d}", "type": "mobile"}],
                    "email_addresses": [{"value": f"c{number}@example.org", "type": "personal"}],
                    "addresses": [{"value": "1 Example Street, Springfield", "type": "home"}],
                    "tags": ["python", "remote"],
                    "custom_fields": custom,
                },
                "jobs": [{"id": 3485, "name": "Engineer", "requisition_id": None}],
                "current_stage": {
                    "id": 678,
                    "name": "Phone screen",
                    "interviews": [
                        {"id": n, "name": f"Interview {n}", "status": "to_be_scheduled"}
                        for n in range(4)
                    ],
                },
                "custom_fields": custom,
            }
        },
    }


class _Client(asyncio.Protocol):
    """One keep-alive connection: send, wait for the answer, send the next."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        # Every answer is a small JSON object at the end of the response.
        if not self._received.endswith(b"}"):
            return
        if not self._received.startswith(b"HTTP/1.1 200"):
            self._load.fail(self._received)
            return
        self._received = b""
        self._load.latencies.append(time.perf_counter() - self._sent_at)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.fail(b"the connection was closed")

    def _send(self) -> None:
        request = self._load.next_request()
        if request is not None:
            self._sent_at = time.perf_counter()
            self._transport.write(request)


class _Load:
    """`size` requests over all connections together."""

    def __init__(self, made: list[bytes], size: int) -> None:
        self._made = made
        self._size = size
        self._begun = 0
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def next_request(self) -> bytes | None:
        if len(self.latencies) == self._size and not self.done.done():
            self.done.set_result(None)
        if self._begun == self._size:
            return None
        self._begun += 1
        return self._made[self._begun % len(self._made)]

    def fail(self, answer: bytes) -> None:
        if not self.done.done():
            self.done.set_exception(AssertionError(answer[:500]))


def _load(pipe: Pipe, port: int, size: int, seed: int) -> None:
    import uvloop

    made = requests(size, seed, port)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        # The first thousand warm caches, prepared statements and the connection pool.
        runner.run(_drive(port, made, min(1000, size)))
        pipe.send(runner.run(_drive(port, made, size)))


async def _drive(port: int, made: list[bytes], size: int) -> tuple[float, list[float]]:
    load = _Load(made, size)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    transports = [
        (await loop.create_connection(lambda: _Client(load), "127.0.0.1", port))[0]
        for _ in range(CONNECTIONS)
    ]
    await load.done
    seconds = time.perf_counter() - began
    for transport in transports:
        transport.close()
    return seconds, load.latencies


if __name__ == "__main__":
    print(json.dumps(run()))
