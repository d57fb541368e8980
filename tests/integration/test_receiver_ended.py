"""A receiver that is told to end: what it accepted is kept. Killed: test_faults_kills.py."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection as Pipe
from typing import Any

import httpx
import pytest

from consumers.connections import Connection
from consumers.webhooks.app import create_app
from consumers.webhooks.server import serve_receiver
from journey.clock import SystemClock
from journey.database import Database
from tests.support.doors import SECRET, SignedAdapter, signed
from tests.support.processes import PATIENCE_SECONDS

_SPAWN = multiprocessing.get_context("spawn")


def _serve(pipe: Pipe, url: str, tenant: str) -> None:
    connection = Connection(name="ats", source="signed", secrets=(SECRET,))
    app = create_app(
        Database(url, tenant), {"ats": connection}, {"signed": SignedAdapter()}, SystemClock()
    )
    serve_receiver(app, host="127.0.0.1", port=0, ready=pipe.send)
    pipe.send("ended in order")


def _start(database: Database) -> tuple[Any, Pipe, int]:
    mine, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_serve, args=(theirs, database.url, database.schema))
    process.start()
    assert mine.poll(PATIENCE_SECONDS)
    return process, mine, mine.recv()


async def _send_until_it_ends(port: int, accepted: set[str], enough: threading.Event) -> None:
    """Sixteen senders that stop at the first answer that does not come."""

    async def send(client: httpx.AsyncClient, sender: int) -> None:
        for number in range(100_000):
            body = b'{"sender":%d,"number":%d}' % (sender, number)
            answer = await client.post("/webhooks/ats", content=body, headers=signed(body))
            if answer.status_code == 200:
                accepted.add(answer.json()["delivery_id"])
            if len(accepted) >= 50:
                enough.set()

    async def send_safely(client: httpx.AsyncClient, sender: int) -> None:
        with contextlib.suppress(httpx.HTTPError):
            await send(client, sender)

    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS
    ) as client:
        await asyncio.gather(*(send_safely(client, sender) for sender in range(16)))


def _end_while_sending(database: Database, number: int, pause_seconds: float) -> tuple[Any, Pipe]:
    """Deliveries stream in, the process gets the signal; all accepted ones must be kept."""
    process, pipe, port = _start(database)
    accepted: set[str] = set()
    enough = threading.Event()
    senders = threading.Thread(
        target=lambda: asyncio.run(_send_until_it_ends(port, accepted, enough))
    )
    senders.start()
    try:
        assert enough.wait(PATIENCE_SECONDS)
        # At a random moment of the stream, which is what the test is about.
        time.sleep(pause_seconds)
    finally:
        os.kill(process.pid, number)
        process.join(PATIENCE_SECONDS)
        senders.join(PATIENCE_SECONDS)
    with database.connect() as connection:
        kept = {
            str(row[0])
            for row in connection.execute(
                "SELECT delivery_id FROM deliveries WHERE status = 'pending'"
            )
        }
    assert len(accepted) >= 50
    assert accepted <= kept
    return process, pipe


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_answers_what_it_has_and_writes_what_waits(
    database: Database, number: int
) -> None:
    """It ends in order, with code 0, and every accepted delivery is kept."""
    process, pipe = _end_while_sending(database, number, 0.1)
    assert pipe.poll(PATIENCE_SECONDS)
    assert pipe.recv() == "ended in order"
    assert process.exitcode == 0
