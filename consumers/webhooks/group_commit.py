"""Group commit: deliveries that arrive together share one transaction.

Requests hand their arrival to one writer thread and wait. The writer takes all that wait, keeps
them in one statement on a connection of its own, commits, and wakes them together. What one
commit costs (a round trip, an fsync, two switches of thread) is so paid once for many.

Nothing is answered before its commit, and memory is bounded: when too much waits, or the
database is away, requests get Unavailable at once and their senders try again.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import psycopg
import structlog

from consumers.errors import Unavailable
from consumers.inbox import REFUSED_KEEP, Arrival, keep_arrivals
from consumers.logging import error_text
from journey.database import Connection, Database
from journey.errors import DatabaseUnavailable

log = structlog.get_logger()


class Keeper(Protocol):
    """Where the receiver puts arrivals before it answers."""

    def start(self) -> None:
        """Begin, inside the running event loop."""

    async def keep(self, arrival: Arrival) -> None:
        """Return when the arrival is committed. Raises Unavailable when it is not."""

    async def close(self) -> None:
        """Finish what waits, then end."""


@dataclass(slots=True, eq=False)
class _Waiting:
    arrival: Arrival
    future: asyncio.Future[None]
    size_bytes: int


class GroupCommit:
    """Keeps arrivals of one event loop through one writer thread.

    `linger_seconds` is how long the writer lets company gather after the first arrival, once
    there was company before; a lone delivery never waits for others.
    """

    def __init__(
        self,
        database: Database,
        *,
        refused_keep: int = REFUSED_KEEP,
        batch_deliveries: int = 512,
        most_deliveries: int = 8192,
        most_bytes: int = 64 * 1024 * 1024,
        linger_seconds: float = 0.002,
        patience_seconds: float = 15.0,
        pause_seconds: float = 0.2,
    ) -> None:
        self._database = database
        self._refused_keep = refused_keep
        self._batch_deliveries = batch_deliveries
        self._most_deliveries = most_deliveries
        self._most_bytes = most_bytes
        self._linger_seconds = linger_seconds
        self._patience_seconds = patience_seconds
        self._pause_seconds = pause_seconds
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        # These belong to the event loop's thread; the writer never touches them.
        self._waiting_deliveries = 0
        self._waiting_bytes = 0
        self._impatient: deque[tuple[float, _Waiting]] = deque()
        self._closed = True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tick: asyncio.TimerHandle | None = None
        # These belong to the writer.
        self._connection: Connection | None = None
        self._away_until = 0.0
        self._away = False
        self.commits = 0

    def start(self) -> None:
        """Begin, inside the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._thread = threading.Thread(target=self._write, name="group-commit", daemon=True)
        self._thread.start()
        self._tick = self._loop.call_later(1.0, self._lose_patience)

    async def keep(self, arrival: Arrival) -> None:
        """Return when the arrival is committed. Raises Unavailable when it is not."""
        size_bytes = len(arrival.delivery.body)
        if self._closed or self._loop is None:
            raise Unavailable("the receiver is stopping")
        if (
            self._waiting_deliveries >= self._most_deliveries
            or self._waiting_bytes + size_bytes > self._most_bytes
        ):
            raise Unavailable("too many deliveries wait to be stored")
        waiting = _Waiting(arrival, self._loop.create_future(), size_bytes)
        self._waiting_deliveries += 1
        self._waiting_bytes += size_bytes
        self._impatient.append((self._loop.time(), waiting))
        self._queue.put(waiting)
        await waiting.future

    async def close(self) -> None:
        """Write what waits, then end the writer."""
        if self._closed:
            return
        self._closed = True
        if self._tick is not None:
            self._tick.cancel()
        self._queue.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, self._patience_seconds)
        # A writer that hangs in a dead connection must not keep requests, or the process.
        while self._impatient:
            _fail(self._impatient.popleft()[1].future, Unavailable("the receiver is stopping"))

    def _lose_patience(self) -> None:
        """Let those go that waited too long: a frozen database neither answers nor fails."""
        assert self._loop is not None
        now = self._loop.time()
        while self._impatient:
            since, waiting = self._impatient[0]
            if not waiting.future.done():
                if now - since < self._patience_seconds:
                    break
                _fail(waiting.future, Unavailable("the database does not answer"))
            self._impatient.popleft()
        self._tick = self._loop.call_later(1.0, self._lose_patience)

    def _resolve(self, batch: list[_Waiting], failures: dict[int, Unavailable]) -> None:
        """In the event loop's thread: wake everyone of a batch."""
        for index, waiting in enumerate(batch):
            self._waiting_deliveries -= 1
            self._waiting_bytes -= waiting.size_bytes
            if failure := failures.get(index):
                _fail(waiting.future, failure)
            elif not waiting.future.done():
                waiting.future.set_result(None)

    # --- in the writer's thread ---------------------------------------------------------------

    def _write(self) -> None:
        company = False
        going = True
        while going:
            batch, going = self._gather(company)
            if not batch:
                break
            company = len(batch) > 1
            failures = self._store(batch)
            assert self._loop is not None
            # The loop is gone when the process was told to end at once.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._resolve, batch, failures)
        self._drop_connection()

    def _gather(self, linger: bool) -> tuple[list[_Waiting], bool]:
        """All that wait, at most a batch; False with it when nothing more will come."""
        first = self._queue.get()
        if first is None:
            return [], False
        if linger and self._linger_seconds:
            time.sleep(self._linger_seconds)
        batch = [first]
        while len(batch) < self._batch_deliveries:
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
            if waiting is None:
                return batch, False
            batch.append(waiting)
        return batch, True

    def _store(self, batch: list[_Waiting]) -> dict[int, Unavailable]:
        """Keep and commit a batch; returns what failed, by place in the batch."""
        arrivals = [waiting.arrival for waiting in batch]
        try:
            self._keep(arrivals)
        except (psycopg.OperationalError, psycopg.InterfaceError, DatabaseUnavailable) as error:
            self._note_away(error, len(batch))
            failure = Unavailable("the database is away")
            return dict.fromkeys(range(len(batch)), failure)
        except Exception:
            # One arrival that the database will not have must not take the others with it.
            return self._store_one_by_one(arrivals)
        if self._away:
            self._away = False
            log.info("deliveries are stored again")
        return {}

    def _keep(self, arrivals: list[Arrival]) -> None:
        if time.monotonic() < self._away_until:
            raise DatabaseUnavailable("the database was away a moment ago")
        fresh = self._connection is None
        try:
            self._keep_once(arrivals)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            self._drop_connection()
            if fresh:
                raise
            # The server restarted since; the arrivals' ids make a second try harmless.
            self._keep_once(arrivals)

    def _keep_once(self, arrivals: list[Arrival]) -> None:
        if self._connection is None:
            self._connection = self._database.connect(autocommit=True)
            # Whatever the server's default: a success code is a promise.
            self._connection.execute("SET synchronous_commit = on")
        keep_arrivals(self._connection, arrivals, refused_keep=self._refused_keep)
        self.commits += 1

    def _store_one_by_one(self, arrivals: list[Arrival]) -> dict[int, Unavailable]:
        failures: dict[int, Unavailable] = {}
        for index, arrival in enumerate(arrivals):
            try:
                self._keep([arrival])
            except Exception as error:
                log.error(
                    "a delivery could not be stored",
                    delivery_id=arrival.delivery.delivery_id,
                    connection=arrival.delivery.connection,
                    error=error_text(error),
                )
                failures[index] = Unavailable("the delivery could not be stored")
        return failures

    def _note_away(self, error: Exception, deliveries: int) -> None:
        self._drop_connection()
        if not isinstance(error, DatabaseUnavailable) or time.monotonic() >= self._away_until:
            # Hammering a server that is starting helps nobody.
            self._away_until = time.monotonic() + self._pause_seconds
        if not self._away:
            self._away = True
            log.warning(
                "deliveries cannot be stored; senders are told to try again",
                deliveries=deliveries,
                error=error_text(error),
            )

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None


def _fail(future: asyncio.Future[None], error: Unavailable) -> None:
    if not future.done():
        future.set_exception(error)


KeeperFactory = Callable[[], Keeper]
