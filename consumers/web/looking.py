"""Looking at something that may hang, without keeping anyone waiting for long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from journey.errors import DatabaseUnavailable

PATIENCE_SECONDS = 10.0
"""The longest that somebody who asks is kept waiting."""

T = TypeVar("T")


class TakesLong(DatabaseUnavailable):
    """The database is busy, or hangs; who asked was not kept waiting for it."""


class Looking(Generic[T]):
    """One look at a time, shared by all who ask while it is under way.

    So a page that many people reload is no load, and a database that hangs takes one thread and
    one connection, however often it is asked.
    """

    def __init__(
        self, look: Callable[[], T], *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._look = look
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._under_way: Future[T] | None = None

    def __call__(self) -> T:
        """What is seen. Raises what the look raises, and TakesLong."""
        with self._lock:
            if self._under_way is None or self._under_way.done():
                self._under_way = Future()
                # A daemon, so that one that hangs keeps no process from ending.
                threading.Thread(target=self._run, args=(self._under_way,), daemon=True).start()
            under_way = self._under_way
        try:
            return under_way.result(self._patience_seconds)
        except TimeoutError:
            raise TakesLong("the database does not answer in time") from None

    def _run(self, found: Future[T]) -> None:
        try:
            found.set_result(self._look())
        except BaseException as error:
            found.set_exception(error)


__all__ = ["PATIENCE_SECONDS", "Looking", "TakesLong"]
