"""The publish process: the log out to `journey.touchpoints`, for other teams.

A page of the log is sent, all of it is acknowledged, then the position moves: so a restart skips
nothing. It may send some again, with the positions they had: a reader that passes over positions
it has seen, or, within a partition, those that are not above the highest it has seen, reads the log
exactly. The second way of reading holds because a publisher sends each partition's records in the
order of the log and never goes on past one that was not written.

One process publishes a log at a time, by an advisory lock; others stand by. Database and broker
may go away and come back: it waits, says so once, and resumes.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, LiteralString

import orjson
import psycopg
import structlog
from psycopg import sql

from consumers.errors import KafkaUnavailable
from consumers.kafka_stream.cluster import Cluster, abandon, send_no_more
from consumers.kafka_stream.messages import Record, touchpoint_record
from consumers.kafka_stream.topics import TOUCHPOINTS, Topic, topic_id
from journey.database import Connection, Database
from journey.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from kafka import KafkaProducer

log = structlog.get_logger()

PAGE = 5_000
"""Records sent before their acknowledgements are waited for: what is in memory, and what a
restart may send again."""

LOCK = 0x70756200
"""The advisory lock of whoever publishes; the topic makes the second half of its key."""

_STOP_CHECK_SECONDS = 0.25
_STAND_BY_SECONDS = 1.0
_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_PATIENT_SECONDS = 3.0
"""Acknowledgements that take longer are told of."""

_REMEMBERED_KEYS = 20_000
_FOR_EVER_MS = 2**31 - 1


class PublishStopped(Exception):
    """A record that no retry will get into the topic; nothing after it is published."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One of our logs and the topic in which it is told.

    `page` is a query for the rows after a position, as many as a limit, in order of position; the
    first column is the position, the last one the stored state. `record` makes a record of a row.
    Positions must be committed in their order: one that appeared below a published one would be
    passed over.
    """

    name: str
    topic: Topic
    wakes: LiteralString
    head: LiteralString
    page: LiteralString
    record: Callable[[Sequence[Any]], Record]

    @staticmethod
    def recorded_at(row: Sequence[Any]) -> datetime:
        """When what a row of `page` tells was written down; its last column is the state."""
        return datetime.fromisoformat(orjson.loads(row[-1])["recorded_at"])


TOUCHPOINTS_FEED = Feed(
    name="publish",
    topic=TOUCHPOINTS,
    wakes="journey_events",
    head="SELECT position FROM log_head",
    page=(
        "SELECT notification_id, originator_id, topic, state FROM journey_events "
        "WHERE notification_id > %s ORDER BY notification_id LIMIT %s"
    ),
    record=lambda row: touchpoint_record(*row),
)


class _Lost(Exception):
    """What was sent may not have been written; the text says why."""


class Publisher:
    """Sends one log to its topic, page by page."""

    def __init__(self, database: Database, cluster: Cluster, feed: Feed, *, page: int = PAGE):
        self._database = database
        self._cluster = cluster
        self._feed = feed
        self._page = page
        self._topic = cluster.topic(feed.topic.name)
        self._producer: KafkaProducer | None = None
        self._partition_of: Callable[[bytes | None], int] = _partitioner(1)
        self._told: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Publish what there is, then what comes, until `stop`.

        Raises ConfigurationError where the broker does not let us in, and PublishStopped.
        """
        failures = 0
        try:
            while not stop.is_set():
                try:
                    with self._database.connect(autocommit=True) as session:
                        if self._is_first(session, stop):
                            position = self._begin(session)
                            failures = 0
                            self._publish(session, position, stop)
                except (
                    DatabaseUnavailable,
                    psycopg.OperationalError,
                    psycopg.InterfaceError,
                ) as error:
                    self._wait("the database is away; publishing waits", _one_line(error))
                except (KafkaUnavailable, _Lost) as error:
                    self._let_go()
                    self._wait("Kafka is away; publishing waits", str(error))
                else:
                    continue
                stop.wait(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
                failures += 1
        finally:
            self._let_go()

    # --- one at a time ----------------------------------------------------------------------

    def _is_first(self, session: Connection, stop: threading.Event) -> bool:
        """Hold the lock of this topic for as long as the session lasts; False on `stop`."""
        standing_by = False
        while not stop.is_set():
            row = session.execute(
                "SELECT pg_try_advisory_lock(%s, hashtext(current_schema() || ' ' || %s))",
                [LOCK, self._topic],
            ).fetchone()
            if row is not None and row[0]:
                return True
            if not standing_by:
                log.info("another process publishes; standing by", process=self._feed.name)
                standing_by = True
            stop.wait(_STAND_BY_SECONDS)
        return False

    def _begin(self, session: Connection) -> int:
        """The position up to which the topic holds the log."""
        session.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._feed.wakes)))
        # Waits for the broker here, where nothing has been read yet.
        current = topic_id(self._cluster, self._feed.topic)
        row = session.execute(
            "INSERT INTO published AS p (topic, topic_id, position) VALUES (%s, %s, 0) "
            "ON CONFLICT (topic) DO UPDATE SET topic_id = coalesce(excluded.topic_id, p.topic_id), "
            "position = CASE WHEN excluded.topic_id <> p.topic_id THEN 0 ELSE p.position END "
            "RETURNING position",
            [self._topic, current],
        ).fetchone()
        assert row is not None
        log.info("publishing", process=self._feed.name, topic=self._topic, position=row[0])
        return int(row[0])

    # --- pages ------------------------------------------------------------------------------

    def _publish(self, session: Connection, position: int, stop: threading.Event) -> None:
        while not stop.is_set():
            rows = session.execute(
                self._feed.page, [position, self._page], binary=True, prepare=True
            ).fetchall()
            if not rows:
                self._resumed()
                for _ in session.notifies(timeout=_STOP_CHECK_SECONDS, stop_after=1):
                    pass
                continue
            if not self._send(rows, stop):
                return
            position = rows[-1][0]
            # In the session that holds the lock: once it is lost, another may be further.
            session.execute(
                "UPDATE published SET position = %s WHERE topic = %s AND position < %s",
                [position, self._topic, position],
                prepare=True,
            )
            self._resumed()
            log.info("published", process=self._feed.name, records=len(rows), position=position)

    def _send(self, rows: Sequence[Sequence[Any]], stop: threading.Event) -> bool:
        """Send a page and wait until all of it is acknowledged; False when stopped before."""
        from kafka.errors import KafkaError

        producer = self._connected()
        record, topic = self._feed.record, self._topic
        refused: list[tuple[int, Exception]] = []

        def refuse(position: int, error: Exception) -> None:
            # Called where the acknowledgement would have been, before what waits behind it in its
            # partition can leave.
            if not refused:
                refused.append((position, error))
                send_no_more(producer)

        try:
            for row in rows:
                key, value, headers = record(row)
                place = self._partition_of(key)
                producer.send(topic, value, key, headers, place).add_errback(refuse, row[0])
            acknowledged = self._acknowledged(producer, stop)
        except KafkaError as error:
            refused.append((row[0], error))
        if refused:
            raise self._problem(*refused[0])
        return acknowledged

    def _problem(self, position: int, error: Exception) -> Exception:
        from kafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

        if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
            return PublishStopped(
                f"the record of position {position} is too large for {self._topic} "
                f"({type(error).__name__}); raise max.message.bytes of the topic and start again"
            )
        return _Lost(f"{type(error).__name__}: {_one_line(error)}")

    def _acknowledged(self, producer: KafkaProducer, stop: threading.Event) -> bool:
        """Wait for everything that was sent; False on `stop`."""
        from kafka.errors import KafkaTimeoutError

        began = time.monotonic()
        while True:
            try:
                producer.flush(_STOP_CHECK_SECONDS)
            except KafkaTimeoutError:
                if stop.is_set():
                    return False
                if time.monotonic() - began > _PATIENT_SECONDS:
                    self._wait("Kafka is away; publishing waits", "it acknowledges nothing")
            else:
                return True

    # --- the broker -------------------------------------------------------------------------

    def _connected(self) -> KafkaProducer:
        if self._producer is None:
            # It never gives a record up: the one behind it would be written before it.
            self._producer = self._cluster.producer(delivery_timeout_ms=_FOR_EVER_MS)
            self._partition_of = _partitioner(len(self._producer.partitions_for(self._topic)))
        return self._producer

    def _let_go(self) -> None:
        if self._producer is not None:
            abandon(self._producer)
            self._producer = None

    def _wait(self, what: str, why: str) -> None:
        """Say what is waited for, once."""
        if self._told != what:
            log.warning(what, process=self._feed.name, error=why)
            self._told = what

    def _resumed(self) -> None:
        if self._told is not None:
            log.info("publishing resumes", process=self._feed.name)
            self._told = None


def _partitioner(partitions: int) -> Callable[[bytes | None], int]:
    """Key → partition, as every client of Kafka has it, remembered: it is a slow sum in Python."""
    from kafka.partitioner.default import murmur2

    @functools.lru_cache(_REMEMBERED_KEYS)
    def partition_of(key: bytes | None) -> int:
        return int((murmur2(key) & 0x7FFFFFFF) % partitions)

    return partition_of


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


__all__ = ["LOCK", "PAGE", "TOUCHPOINTS_FEED", "Feed", "PublishStopped", "Publisher"]
