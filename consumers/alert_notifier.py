"""Takes unsent messages from the outbox, sends them, writes down the outcome.

The only thing that ever sends. A message is leased (its next attempt is put off) and the lease
committed before anything is sent, so that no transaction waits for somebody's server; a crash
between sending and writing that down means the same message again, with the same `webhook-id`.
Messages about one alert leave in their order; a dead channel holds up no other.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from consumers.alert_channels.channel import Channel, GiveUp, Message, Outcome, Retry, Sent
from consumers.waking import work_and_sleep
from journey.clock import Clock
from journey.database import Connection, Database

log = structlog.get_logger()

RETRY_SECONDS: tuple[float, ...] = (
    5,
    5 * 60,
    30 * 60,
    2 * 3600,
    5 * 3600,
    10 * 3600,
    14 * 3600,
    20 * 3600,
    24 * 3600,
)
"""Waits after the first, second, … attempt: the schedule that Standard Webhooks recommends."""

_JITTER = 0.1
_LEASE_MARGIN_SECONDS = 30.0
_MOST_REASON = 200

# ARRAY(…) is worked out once; as a plain IN the planner may run it, and its LIMIT, many times.
# The lease: whoever moves `next_attempt_at` has the message until then. A message waits while an
# earlier one about the same alert is still to be sent; OFFSET 0 keeps that a look by index for each
# message, since as a join, with statistics from an empty table, it grew with the square.
TAKE = """
UPDATE outbox SET attempts = attempts + 1, next_attempt_at = %(leased_until)s
WHERE message_id = ANY(ARRAY(
    SELECT o.message_id FROM outbox o
    WHERE o.channel = %(channel)s AND o.sent_at IS NULL AND o.given_up_at IS NULL
      AND o.next_attempt_at <= %(now)s
      AND NOT EXISTS (
          SELECT FROM outbox e WHERE e.alert_id = o.alert_id AND e.channel = o.channel
            AND e.version < o.version AND e.sent_at IS NULL AND e.given_up_at IS NULL
          OFFSET 0)
    ORDER BY o.next_attempt_at, o.sequence LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED))
RETURNING message_id, alert_id, payload, attempts, sequence
"""


@dataclass(slots=True)
class Notified:
    """What a round of sending did."""

    sent: int = 0
    put_off: int = 0
    given_up: int = 0

    def __add__(self, other: Notified) -> Notified:
        return Notified(
            self.sent + other.sent,
            self.put_off + other.put_off,
            self.given_up + other.given_up,
        )


class Notifier:
    """Sends what the outbox holds for these channels."""

    def __init__(self, database: Database, clock: Clock, channels: Sequence[Channel]) -> None:
        self.database = database
        self.clock = clock
        self.channels = tuple(channels)

    def send_due(self) -> Notified:
        """Send everything that is due now, channel by channel. Raises DatabaseUnavailable."""
        total = Notified()
        for channel in self.channels:
            total += self._send_due_of(channel)
        return total

    def next_attempt_at(self, channel: Channel) -> datetime | None:
        """When the next message of a channel is due, if one waits."""
        with self.database.transaction() as connection:
            row = connection.execute(
                "SELECT min(next_attempt_at) FROM outbox "
                "WHERE channel = %s AND sent_at IS NULL AND given_up_at IS NULL",
                [channel.name],
            ).fetchone()
        return None if row is None else row[0]

    def run(self, stop: threading.Event) -> None:
        """Send, and sleep until the next attempt or NOTIFY `outbox`, until `stop`.

        Each channel has its own thread. What is none of the expected failures is our bug: it
        stops all of them, and is raised here.
        """
        bugs: list[BaseException] = []
        halt = threading.Event()

        def run_channel(channel: Channel) -> None:
            try:
                work_and_sleep(
                    self.database,
                    self.clock,
                    halt,
                    channel="outbox",
                    what=f"notifier of {channel.name}",
                    work=lambda: self._round(channel),
                )
            except BaseException as error:
                bugs.append(error)
                halt.set()

        threads = [
            threading.Thread(target=run_channel, args=[channel], name=f"notify-{channel.name}")
            for channel in self.channels
        ]
        for thread in threads:
            thread.start()
        while not (stop.wait(0.2) or halt.is_set()):
            pass
        halt.set()
        for thread in threads:
            thread.join()
        if bugs:
            raise bugs[0]

    def _round(self, channel: Channel) -> datetime | None:
        self._send_due_of(channel)
        return self.next_attempt_at(channel)

    def _send_due_of(self, channel: Channel) -> Notified:
        total = Notified()
        with ThreadPoolExecutor(channel.at_once, f"send-{channel.name}") as senders:
            while messages := self._take(channel):
                outcomes = list(senders.map(lambda each: _send(channel, each), messages))
                total += self._write_down(channel, messages, outcomes)
        return total

    def _take(self, channel: Channel) -> list[Message]:
        """Lease up to as many due messages as the channel takes at once."""
        now = self.clock.now()
        lease = timedelta(seconds=2 * channel.timeout_seconds + _LEASE_MARGIN_SECONDS)
        with self.database.transaction() as connection:
            rows = connection.execute(
                TAKE,
                {
                    "channel": channel.name,
                    "now": now,
                    "leased_until": now + lease,
                    "limit": channel.at_once,
                },
            ).fetchall()
        rows.sort(key=lambda row: row[4])
        return [
            Message(message_id, alert_id, payload, attempts, now)
            for message_id, alert_id, payload, attempts, _ in rows
        ]

    def _write_down(
        self, channel: Channel, messages: Sequence[Message], outcomes: Sequence[Outcome]
    ) -> Notified:
        """The outcomes of a round, in one transaction."""
        now = self.clock.now()
        counts: Counter[type[Outcome]] = Counter()
        with self.database.transaction() as connection:
            for message, outcome in zip(messages, outcomes, strict=True):
                settled = _settled(message, outcome)
                counts[type(settled)] += 1
                _mark(connection, message, settled, now)
        for message, outcome in zip(messages, outcomes, strict=True):
            _tell(channel, message, _settled(message, outcome))
        return Notified(counts[Sent], counts[Retry], counts[GiveUp])


def unsent(database: Database) -> dict[str, tuple[int, int]]:
    """Channel → (messages that wait, messages given up), for those who look after it.

    A channel that is no longer configured keeps its messages waiting and shows here.
    """
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT channel, count(*) FILTER (WHERE given_up_at IS NULL), "
            "count(*) FILTER (WHERE given_up_at IS NOT NULL) FROM outbox "
            "WHERE sent_at IS NULL GROUP BY channel ORDER BY channel"
        ).fetchall()
    return {channel: (waiting, given_up) for channel, waiting, given_up in rows}


def retry_at(message_id: UUID, attempt: int, now: datetime, asked: float | None) -> datetime:
    """When to try again after attempt number `attempt`: by the schedule, or later if asked to.

    Up to a tenth is added, by the id, so that a thousand messages do not come back as one.
    """
    wait = RETRY_SECONDS[min(attempt, len(RETRY_SECONDS)) - 1]
    spread = message_id.int % 1000 / 1000
    return now + timedelta(seconds=max(wait, asked or 0.0) * (1 + _JITTER * spread))


def _send(channel: Channel, message: Message) -> Outcome:
    try:
        return channel.send(message)
    except Exception as error:
        # A channel with a bug must not take the others, or other messages, down with it. It is
        # loud, and the message keeps its place in the schedule until the bug is mended.
        log.exception(
            "a channel failed in a way it should not",
            channel=channel.name,
            message_id=str(message.message_id),
        )
        return Retry(f"the channel failed ({type(error).__name__})")


def _settled(message: Message, outcome: Outcome) -> Outcome:
    """A retry after the last attempt is giving up."""
    if isinstance(outcome, Retry) and message.attempt > len(RETRY_SECONDS):
        return GiveUp(f"{outcome.reason}; attempt {message.attempt} was the last")
    return outcome


def _mark(connection: Connection, message: Message, outcome: Outcome, now: datetime) -> None:
    match outcome:
        case Sent():
            connection.execute(
                "UPDATE outbox SET sent_at = %s, last_error = NULL "
                "WHERE message_id = %s AND sent_at IS NULL",
                [now, message.message_id],
            )
        case Retry(reason, after_seconds):
            # Only while the lease is ours: somebody slower than the lease may say nothing.
            connection.execute(
                "UPDATE outbox SET next_attempt_at = %s, last_error = %s "
                "WHERE message_id = %s AND attempts = %s AND sent_at IS NULL",
                [
                    retry_at(message.message_id, message.attempt, now, after_seconds),
                    reason[:_MOST_REASON],
                    message.message_id,
                    message.attempt,
                ],
            )
        case GiveUp(reason):
            connection.execute(
                "UPDATE outbox SET given_up_at = %s, last_error = %s "
                "WHERE message_id = %s AND sent_at IS NULL",
                [now, reason[:_MOST_REASON], message.message_id],
            )


def _tell(channel: Channel, message: Message, outcome: Outcome) -> None:
    known = {
        "channel": channel.name,
        "message_id": str(message.message_id),
        "alert_id": str(message.alert_id),
        "attempt": message.attempt,
    }
    match outcome:
        case Sent():
            log.info("alert sent", **known)
        case Retry(reason):
            log.warning("alert not sent, will be tried again", reason=reason, **known)
        case GiveUp(reason):
            log.error("alert not sent and given up; nobody was told", reason=reason, **known)
