"""Sleep until there is something to do: a moment that is known, or a NOTIFY that is not.

The shared loop of the sweeper and the notifier. It lives through the loss of the database: says
so once, waits, resumes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

import psycopg
import structlog
from psycopg import sql

from journey.clock import Clock
from journey.database import Connection, Database
from journey.errors import DatabaseUnavailable

log = structlog.get_logger()

LONGEST_SLEEP_SECONDS = 60.0
"""Even with nothing known to come it looks again, in case a NOTIFY was lost with its server."""

_SLICE_SECONDS = 0.25
_LEAST_SLEEP_SECONDS = 0.1
_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


def work_and_sleep(
    database: Database,
    clock: Clock,
    stop: threading.Event,
    *,
    channel: str,
    what: str,
    work: Callable[[], datetime | None],
) -> None:
    """Call `work` until `stop`; it returns when it has something to do next, or None.

    Wakes on NOTIFY `channel`. `work` may raise DatabaseUnavailable; anything else is our bug and
    ends the loop.
    """
    failures = 0
    while not stop.is_set():
        try:
            with database.connect(autocommit=True) as listener:
                # Listen before the first look, so that nothing falls between look and sleep.
                listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                while not stop.is_set():
                    following = work()
                    if failures:
                        log.info("the database is back", process=what)
                        failures = 0
                    _sleep(listener, _seconds_until(following, clock), stop)
        except (DatabaseUnavailable, psycopg.OperationalError, psycopg.InterfaceError) as error:
            if not failures:
                log.warning(
                    "the database is away; waiting for it",
                    process=what,
                    error=" ".join(str(error).split()),
                )
            stop.wait(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
            failures += 1


def _seconds_until(moment: datetime | None, clock: Clock) -> float:
    if moment is None:
        return LONGEST_SLEEP_SECONDS
    seconds = (moment - clock.now()).total_seconds()
    return min(max(seconds, _LEAST_SLEEP_SECONDS), LONGEST_SLEEP_SECONDS)


def _sleep(listener: Connection, seconds: float, stop: threading.Event) -> None:
    """In slices, so that `stop` is seen soon; ends at the first NOTIFY."""
    wake_at = time.monotonic() + seconds
    while not stop.is_set() and (left := wake_at - time.monotonic()) > 0:
        for _ in listener.notifies(timeout=min(left, _SLICE_SECONDS), stop_after=1):
            return
