"""Group commit: deliveries that arrive together share one transaction.

Requests hand their arrival to one writer and wait. The writer takes all that wait, keeps them in
one statement on a connection of its own, which commits them, and wakes them together. What one
commit costs (a round trip, an fsync, a dozen switches between tasks) is so paid once for many.

The writer is a task of the same event loop. A thread of its own was slower: it and the loop took
the interpreter's lock from each other at every socket and every digest (a fifth more CPU for each
delivery, measured).

Nothing is answered before its commit, and memory is bounded: when too much waits, or the
database is away, requests get Unavailable and their senders try again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
import structlog

from consumers.errors import Unavailable
from consumers.inbox import PRUNE_REFUSED, REFUSED_KEEP, Arrival, keep_statement
from consumers.logging import error_text
from journey.database import Database
from journey.errors import DatabaseUnavailable

log = structlog.get_logger()

_CONNECT_SECONDS = 10


class Keeper(Protocol):
    """Where the receiver puts arrivals before it answers."""

    @property
    def goes_by_reference(self) -> bool:
        """Whether arrivals should say whom they are about."""
        ...

    def start(self) -> None:
        """Begin, inside the running event loop."""

    async def keep(self, arrival: Arrival) -> None:
        """Return when the arrival is committed. Raises Unavailable when it is not."""

    def is_ready(self) -> bool:
        """Whether an arrival that comes now could be kept. Called in a thread; may take a while."""
        ...

    async def close(self) -> None:
        """Finish what waits, then end."""


@dataclass(slots=True, eq=False)
class _Waiting:
    arrival: Arrival
    future: asyncio.Future[None]
    size_bytes: int

    def fail(self, error: Unavailable) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def succeed(self) -> None:
        # It is done already when the sender hung up.
        if not self.future.done():
            self.future.set_result(None)


class GroupCommit:
    """Keeps arrivals of one event loop. Belongs to that loop: call it from nowhere else.

    What arrives while one batch is being written is the next one, so batches grow with the load
    and a lone delivery waits for nobody. (Letting company gather on purpose was slower: all
    senders then wait in step while loop and database take turns.) `patience_seconds` is how long
    a statement may take before the database counts as away, `pause_seconds` how long it then is
    left alone.
    """

    goes_by_reference = False

    def __init__(
        self,
        database: Database,
        *,
        refused_keep: int = REFUSED_KEEP,
        batch_deliveries: int = 256,
        most_deliveries: int = 8192,
        most_bytes: int = 64 * 1024 * 1024,
        patience_seconds: float = 15.0,
        pause_seconds: float = 0.2,
    ) -> None:
        self._database = database
        self._refused_keep = refused_keep
        self._batch_deliveries = batch_deliveries
        self._most_deliveries = most_deliveries
        self._most_bytes = most_bytes
        self._patience_seconds = patience_seconds
        self._pause_seconds = pause_seconds
        self._queue: deque[_Waiting] = deque()
        self._held_deliveries = 0
        self._held_bytes = 0
        self._closing = True
        self._broken = False
        self._away = False
        self._away_until = 0.0
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self.commits = 0

    def start(self) -> None:
        """Begin, inside the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._closing = False
        self._writer = self._loop.create_task(self._write(), name="group commit")
        self._writer.add_done_callback(self._writer_ended)

    async def keep(self, arrival: Arrival) -> None:
        """Return when the arrival is committed. Raises Unavailable when it is not."""
        size_bytes = len(arrival.delivery.body)
        if self._closing:
            raise Unavailable("the receiver is stopping")
        if (
            self._held_deliveries >= self._most_deliveries
            or self._held_bytes + size_bytes > self._most_bytes
        ):
            raise Unavailable("too many deliveries wait to be stored")
        waiting = _Waiting(arrival, self._loop.create_future(), size_bytes)
        self._held_deliveries += 1
        self._held_bytes += size_bytes
        self._queue.append(waiting)
        if len(self._queue) == 1:
            self._arrived.set()
        await waiting.future

    def is_ready(self) -> bool:
        """Whether the database answers."""
        try:
            with self._database.connect(autocommit=True) as connection:
                connection.execute("SELECT 1")
        except (DatabaseUnavailable, psycopg.Error):
            return False
        return True

    async def close(self) -> None:
        """Write what waits, then end the writer. Raises what the writer met, if it met a bug."""
        if self._closing and not self._broken:
            return
        self._closing = True
        self._arrived.set()
        # A statement that hangs is hung up on after its patience, so this ends.
        await self._writer

    async def _write(self) -> None:
        """The writer: all that wait, in batches, until closed and empty."""
        while self._queue or not self._closing:
            if not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            size = min(len(self._queue), self._batch_deliveries)
            batch = [self._queue.popleft() for _ in range(size)]
            try:
                await self._store(batch)
            finally:
                # Whatever happened: nobody is left waiting, and nothing counts as held.
                for waiting in batch:
                    self._held_deliveries -= 1
                    self._held_bytes -= waiting.size_bytes
                    waiting.fail(Unavailable("the delivery could not be stored"))
        await self._drop_connection()

    def _writer_ended(self, writer: asyncio.Task[None]) -> None:
        """A writer that met a bug of ours ends the process: nothing would be stored any more."""
        error = None if writer.cancelled() else writer.exception()
        if error is None:
            return
        self._closing = self._broken = True
        while self._queue:
            self._queue.popleft().fail(Unavailable("the receiver is stopping"))
        # What broke may be the log itself.
        with contextlib.suppress(Exception):
            log.error("the group commit stopped on an error", error=error_text(error))
        os.kill(os.getpid(), signal.SIGTERM)

    async def _store(self, batch: list[_Waiting]) -> None:
        """Keep and commit a batch, and tell everyone in it."""
        try:
            await self._keep([waiting.arrival for waiting in batch])
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            await self._note_away(error, batch)
        except Unavailable as error:
            for waiting in batch:
                waiting.fail(error)
        except Exception as error:
            if len(batch) > 1:
                # One arrival that the database will not have must not take others with it.
                for waiting in batch:
                    await self._store([waiting])
                return
            delivery = batch[0].arrival.delivery
            log.error(
                "a delivery could not be stored",
                delivery_id=delivery.delivery_id,
                connection=delivery.connection,
                error=error_text(error),
            )
            batch[0].fail(Unavailable("the delivery could not be stored"))
        else:
            for waiting in batch:
                waiting.succeed()
            if self._away:
                self._away = False
                log.info("deliveries are stored again")

    async def _keep(self, arrivals: list[Arrival]) -> None:
        if self._loop.time() < self._away_until:
            raise Unavailable("the database was away a moment ago")
        fresh = self._connection is None
        began = self._loop.time()
        try:
            await self._keep_once(arrivals)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            await self._drop_connection()
            if fresh or self._loop.time() - began > 1:
                raise
            # The server restarted since the last delivery; ids make a second try harmless.
            await self._keep_once(arrivals)

    async def _keep_once(self, arrivals: list[Arrival]) -> None:
        connection = self._connection or await self._connect()
        patience = self._loop.call_later(self._patience_seconds, _hang_up, connection)
        try:
            query, values = keep_statement(arrivals)
            await connection.execute(query, values, prepare=True)
            self.commits += 1
            if any(arrival.status == "refused" for arrival in arrivals):
                await connection.execute(PRUNE_REFUSED, [self._refused_keep])
        finally:
            patience.cancel()

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(
            self._database.conninfo, autocommit=True, connect_timeout=_CONNECT_SECONDS
        )
        # Whatever the server's default: a success code is a promise.
        await connection.execute("SET synchronous_commit = on")
        self._connection = connection
        return connection

    async def _note_away(self, error: Exception, batch: list[_Waiting]) -> None:
        await self._drop_connection()
        # Hammering a server that is starting helps nobody.
        self._away_until = self._loop.time() + self._pause_seconds
        for waiting in batch:
            waiting.fail(Unavailable("the database is away"))
        if not self._away:
            self._away = True
            log.warning(
                "deliveries cannot be stored; senders are told to try again",
                deliveries=len(batch),
                error=error_text(error),
            )

    async def _drop_connection(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                await self._connection.close()
            self._connection = None


def _hang_up(connection: psycopg.AsyncConnection[Any]) -> None:
    """End the connection under a statement that hangs: the statement then fails as if cut off.

    Cancelling it instead would wait for the very server that does not answer.
    """
    with contextlib.suppress(OSError, psycopg.Error):
        copy = socket.socket(fileno=os.dup(connection.fileno()))
        with copy:
            copy.shutdown(socket.SHUT_RDWR)
