"""The ingest process on Kafka: records of `journey.deliveries` in, touchpoints in the log.

A batch is polled, translated, recorded and kept in the inbox with what became of it, in one
database transaction; then its offsets are committed. A kill between the two repeats the batch,
which changes nothing: the inbox knows the deliveries, the log the touchpoints. So processes share
the partitions and need no other agreement, and two that meet on one candidate both succeed.

The consumer is asked for nothing while a batch is in hand. Where that takes long (a database that
is slow or away), the partitions are paused and it is asked all the same, so that it stays in its
group and nothing is fetched. A batch whose partitions went to another process meanwhile is dropped
before its commit; the other one handles it.

The four fates (design §13). What cannot be translated is on `journey.dead-letters`, acknowledged,
before the transaction commits; too many of them (`DeadLetterLimit`) stop the process, the rest
unhandled in the topic. A database or broker that does not answer is waited for, with nothing
committed. Anything else is our bug: the process stops with the delivery's id.

`journey.dead-letters` is read, too: what was dead at the door is so found in the inbox, where
`journey deliveries redrive` takes it from. It has a group of its own, since a group that reads two
topics may give one process all of one and another all of the other. And the inbox is worked off as
without Kafka: it holds what is redriven, what a receiver kept while Kafka was away, and what polls
and files brought.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from typing import TYPE_CHECKING, Any

import psycopg
import structlog

from consumers.ats_adapters import ALL_ADAPTERS
from consumers.ats_adapters.adapter import Adapter
from consumers.connections import Connection
from consumers.errors import Unavailable
from consumers.ingest import BATCH, Ingest, IngestStopped, tell_stepped
from consumers.kafka_stream.batches import Batch, BatchHandler, Dropped, Handled
from consumers.kafka_stream.cluster import Cluster, is_settled
from consumers.kafka_stream.dead_letters import (
    DeadLetterLimit,
    DeadLetterLimitPassed,
    DeadLetterNotWritten,
    DeadLetters,
)
from consumers.kafka_stream.messages import Received
from consumers.kafka_stream.topics import DEAD_LETTERS, DELIVERIES
from journey.clock import Clock
from journey.database import Database
from journey.errors import ConfigurationError, DatabaseUnavailable
from journey.journey_log import JourneyLog
from schemas.identifiers import DeliveryId

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

log = structlog.get_logger()

GROUP = "ingest"
LETTERS_GROUP = "ingest-dead-letters"
LIMIT = (20, 200)
"""At most so many dead letters among so many deliveries."""

_POLL_SECONDS = 0.5
_JOIN_SECONDS = 3.0
# So long a batch may take before the others of the group are kept waiting no longer.
_PATIENCE_SECONDS = 2.0
_COMMIT_SECONDS = 5.0
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0
_MOST_BYTES = 8 * 1024**2
"""What is fetched ahead of being polled; the same again may be in hand."""

_AWAY = (DatabaseUnavailable, Unavailable, psycopg.OperationalError)


class ReadingStopped(Exception):
    """The client cannot read on; what it did not read stays in the topic, unhandled."""

    def __init__(self, where: str, error: BaseException) -> None:
        advice = _ADVICE.get(type(error).__name__, _OTHER_ADVICE)
        super().__init__(
            f"the client cannot read on at {where} ({type(error).__name__}); what stands there and "
            f"behind it is unhandled in its topic: {advice}, and start again"
        )


_ADVICE = {
    "UnsupportedCodecError": "install the Python package of the compression that its sender uses",
    "TopicAuthorizationFailedError": "let the user read the topic",
    "GroupAuthorizationFailedError": "let the user be in the consumer group",
}
_OTHER_ADVICE = "look at it with another client, move the group past it"


class KafkaIngest:
    """Handles the deliveries of Kafka, and those of the inbox beside it.

    `consumer_options` are options of kafka-python.
    """

    def __init__(
        self,
        database: Database,
        journey_log: JourneyLog,
        connections: Mapping[str, Connection],
        clock: Clock,
        cluster: Cluster,
        *,
        adapters: Mapping[str, Adapter] = ALL_ADAPTERS,
        limit: tuple[int, int] = LIMIT,
        batch: int = BATCH,
        consumer_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._database = database
        self._log = journey_log
        self._connections = connections
        self._clock = clock
        self._cluster = cluster
        self._adapters = adapters
        self._limit = DeadLetterLimit(*limit)
        self._size = batch
        self._consumer_options = dict(consumer_options or {})
        self._dead_letters = DeadLetters(cluster)
        self._letters_topic = cluster.topic(DEAD_LETTERS.name)
        self._handler = BatchHandler(
            database,
            journey_log,
            connections,
            adapters,
            clock,
            dead_letters=self._dead_letters,
            letters_topic=self._letters_topic,
            limit=self._limit,
        )
        self._topic, self._group = cluster.topic(DELIVERIES.name), GROUP
        self._consumer: KafkaConsumer
        self._uncommitted: dict[TopicPartition, int] = {}
        self._looked_at: set[TopicPartition] = set()
        self._waiting = False

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, on Kafka and on the inbox.

        Raises IngestStopped, DeadLetterLimitPassed, DeadLetterNotWritten, ReadingStopped, and
        ConfigurationError for a topic that is not there.
        """
        ended = threading.Event()
        failed: list[BaseException] = []

        def work(run: Callable[[threading.Event], None]) -> None:
            try:
                run(_Either(stop, ended))
            except BaseException as error:
                failed.append(error)
                ended.set()

        beside = [
            threading.Thread(target=work, args=(run,), name=name)
            for name, run in (
                ("ingest: inbox", self._of_the_inbox().run),
                ("ingest: dead letters", self._of_dead_letters()._run),
            )
        ]
        for thread in beside:
            thread.start()
        try:
            self._run(_Either(stop, ended))
        except (
            IngestStopped, DeadLetterLimitPassed, DeadLetterNotWritten, ReadingStopped,
        ) as error:  # fmt: skip
            told = {"delivery_id": error.delivery_id} if isinstance(error, IngestStopped) else {}
            log.error("ingest stops", problem=str(error), **told)
            raise
        finally:
            ended.set()
            for thread in beside:
                thread.join()
            self._dead_letters.close()
        if failed:
            raise failed[0]

    def _of_the_inbox(self) -> Ingest:
        return Ingest(
            self._database, self._log, self._connections, self._clock, adapters=self._adapters
        )

    def _of_dead_letters(self) -> KafkaIngest:
        """The same for the other topic."""
        other = KafkaIngest(
            self._database,
            self._log,
            self._connections,
            self._clock,
            self._cluster,
            adapters=self._adapters,
            batch=self._size,
            consumer_options=self._consumer_options,
        )
        other._topic, other._group = self._letters_topic, LETTERS_GROUP
        return other

    # --- the loop ----------------------------------------------------------------------------

    def _run(self, stop: threading.Event) -> None:
        wait = _FIRST_WAIT_SECONDS
        while not stop.is_set():
            try:
                self._consumer = self._made()
            except Unavailable as error:
                self._note_waiting(error)
                stop.wait(wait)
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
                continue
            self._note_working()
            try:
                with ThreadPoolExecutor(1, thread_name_prefix="ingest: batch") as worker:
                    self._work(worker, stop)
            finally:
                self._commit()
                # Leaves the group, so that others need not wait to find out.
                self._consumer.close(timeout_ms=int(_COMMIT_SECONDS * 1000))

    def _made(self) -> KafkaConsumer:
        options = {
            "fetch_max_bytes": _MOST_BYTES,
            "max_partition_fetch_bytes": _MOST_BYTES // 8,
            "fetch_max_wait_ms": 100,
        }
        consumer = self._cluster.consumer(self._group, **(options | self._consumer_options))
        if not consumer.partitions_for_topic(self._topic):
            consumer.close()
            raise ConfigurationError(
                f"Kafka at {self._cluster.address} has no topic {self._topic}; "
                "make it with `journey kafka init`"
            )
        consumer.subscribe([self._topic])
        return consumer

    def _work(self, worker: ThreadPoolExecutor, stop: threading.Event) -> None:
        while not stop.is_set():
            if records := self._polled():
                self._see_through(Batch(records), worker, stop)
            self._commit()

    def _polled(self) -> list[Any]:
        """The next records, at most a batch; none while no broker answers."""
        polled = self._poll(self._size)
        self._tell_what_ran_out()
        return [each for partition in polled.values() for each in partition]

    def _poll(self, most: int) -> dict[TopicPartition, list[Any]]:
        """What the client has fetched, by partition. Raises ReadingStopped."""
        from kafka.errors import RetriableError

        try:
            found: dict[TopicPartition, list[Any]] = self._consumer.poll(
                self._poll_ms(), max_records=most
            )
        except RetriableError as error:
            self._note_waiting(error)
            time.sleep(_POLL_SECONDS)
            return {}
        except Exception as error:
            raise ReadingStopped(self._read_up_to(), error) from None
        return found

    def _read_up_to(self) -> str:
        """Where the client was reading, as far as it tells."""
        reading = self._consumer._fetcher._next_partition_records
        if reading is None:
            return self._topic
        partition = reading.topic_partition
        return f"{partition.topic}/{partition.partition}/{reading.next_fetch_offset}"

    def _tell_what_ran_out(self) -> None:
        """Say which records their topic no longer had when a partition came to us.

        The client begins at what is left of them, and says nothing.
        """
        from kafka.errors import KafkaError

        ours = self._consumer.assignment()
        new = ours - self._looked_at
        self._looked_at &= ours
        if not new:
            return
        patience = int(_COMMIT_SECONDS * 1000)
        try:
            begins = self._consumer.beginning_offsets(list(new), timeout_ms=patience)
            committed = {each: self._consumer.committed(each, timeout_ms=patience) for each in new}
        except KafkaError:
            # Looked at again with the next poll.
            return
        self._looked_at = ours
        for partition, offset in committed.items():
            if offset is not None and offset < begins[partition]:
                log.error(
                    "records ran out of their topic before they were handled; they are lost unless "
                    "their senders, or a copy of the topic, have them",
                    topic=partition.topic,
                    partition=partition.partition,
                    first=offset,
                    records=begins[partition] - offset,
                )

    def _poll_ms(self) -> int:
        """How long a poll may take; longer where it has to see through how partitions move.

        The client begins to join its group anew with each poll that ends in the middle of it, and
        sends no heartbeats meanwhile: with short ones it never would be done.
        """
        return int(1000 * (_POLL_SECONDS if is_settled(self._consumer) else _JOIN_SECONDS))

    def _see_through(self, batch: Batch, worker: ThreadPoolExecutor, stop: threading.Event) -> None:
        """Handle a batch however long that takes. Raises what stops us."""
        wait = _FIRST_WAIT_SECONDS
        while not stop.is_set():
            work = worker.submit(self._handler.handle, batch, self._consumer.assignment)
            self._attend(work, len(batch.records))
            try:
                handled = work.result()
            except Dropped:
                self._put_back(batch)
                break
            except _AWAY as error:
                self._note_waiting(error)
                self._stay_in_group(wait, stop)
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
            except (IngestStopped, DeadLetterNotWritten):
                raise
            except Exception as error:
                self._find_the_culprit(batch, error)
                break
            else:
                self._note_working()
                self._finish(batch, handled)
                break
        self._read_on()

    def _finish(self, batch: Batch, handled: Handled) -> None:
        self._limit.handled(handled.fates)
        if handled.stepped.count:
            tell_stepped(handled.stepped)
        for record in batch.records[: handled.records]:
            self._note_handled(record)
        if handled.passed is not None:
            self._commit()
            raise handled.passed

    def _find_the_culprit(self, batch: Batch, error: Exception) -> None:
        """A bug met a batch: handle one by one, up to the one that it meets, and say which.

        Returns where the database went away meanwhile, or the partitions; what is left is polled
        again. Raises IngestStopped.
        """
        for record in batch.records:
            alone = Batch([record], batch.parked)
            try:
                handled = self._handler.handle(alone, self._consumer.assignment)
            except (*_AWAY, Dropped):
                return self._put_back(batch)
            except (IngestStopped, DeadLetterNotWritten):
                raise
            except Exception as found:
                raise IngestStopped(
                    self._handler.opened(record).delivery.delivery_id, found
                ) from None
            self._finish(alone, handled)
        # Together they meet it and each alone does not: the first stands for all.
        raise IngestStopped(self._delivery_id(batch.records[0]), error)

    def _delivery_id(self, record: Any) -> DeliveryId:
        return self._handler.opened(record).delivery.delivery_id

    def _attend(self, work: Future[Handled], records: int) -> None:
        """Wait for the batch in hand; beyond our patience, keep up with the group meanwhile."""
        with contextlib.suppress(StillRunning):
            work.exception(_PATIENCE_SECONDS)
            return
        log.warning("a batch takes long; partitions are paused", topic=self._topic, records=records)
        while not work.done():
            self._poll_for_nothing()

    def _stay_in_group(self, seconds: float, stop: threading.Event) -> None:
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0 and not stop.is_set():
            if left < _POLL_SECONDS:
                stop.wait(left)
            else:
                self._poll_for_nothing()

    def _poll_for_nothing(self) -> None:
        """Keep our place in the group. Partitions that come to us meanwhile are paused, too."""
        found = self._consumer._fetcher._next_in_line_exception_metadata
        if found is not None:
            # The client forgets what it was about to raise of a partition that is paused, and is
            # lost in the rest of its batch when that is resumed.
            where = f"{found.partition.topic}/{found.partition.partition}/{found.fetched_offset}"
            raise ReadingStopped(where, found.exception)
        self._consumer.pause(*self._consumer.assignment())
        for partition, records in self._poll(1).items():
            self._consumer.seek(partition, records[0].offset)
            self._consumer.pause(partition)

    def _read_on(self) -> None:
        """End the pause of every partition that is paused."""
        self._consumer.resume(*self._consumer.paused())
        # What the client had fetched of them it has put aside, and it takes up one partition at
        # most again: the others it would never read on, nor fetch (kafka-python 3.0.12). Without
        # what is aside, all are fetched from where they were read up to.
        fetcher = self._consumer._fetcher
        fetcher._paused_completed_fetches.clear()
        fetcher._paused_partition_records.clear()

    def _put_back(self, batch: Batch) -> None:
        """What is still ours of a dropped batch is polled again."""
        still_ours = self._consumer.assignment()
        for partition, offset in batch.first_offsets().items():
            if partition in still_ours:
                self._consumer.seek(partition, offset)
        log.info("a batch was dropped: its partitions moved", records=len(batch.records))

    # --- offsets -----------------------------------------------------------------------------

    def _note_handled(self, record: Received) -> None:
        from kafka import TopicPartition

        self._uncommitted[TopicPartition(record.topic, record.partition)] = record.offset + 1

    def _commit(self) -> None:
        """Commit what is handled. What cannot be now is tried again, as long as it is ours."""
        from kafka import OffsetAndMetadata
        from kafka.errors import CommitFailedError, KafkaError, RebalanceInProgressError

        ours = self._consumer.assignment()
        offsets = {
            partition: OffsetAndMetadata(offset, "", -1)
            for partition, offset in self._uncommitted.items()
            if partition in ours
        }
        self._uncommitted = {each: offset.offset for each, offset in offsets.items()}
        if not offsets or not is_settled(self._consumer):
            return
        try:
            self._consumer.commit(offsets, timeout_ms=int(_COMMIT_SECONDS * 1000))
        except (RebalanceInProgressError, CommitFailedError):
            # Partitions move. What another process handles again changes nothing.
            pass
        except KafkaError as error:
            self._note_waiting(error)
        else:
            self._uncommitted = {}
            self._note_working()

    # --- waiting -----------------------------------------------------------------------------

    def _note_waiting(self, error: BaseException) -> None:
        if not self._waiting:
            self._waiting = True
            log.warning("ingest waits", topic=self._topic, error=type(error).__name__)

    def _note_working(self) -> None:
        if self._waiting:
            self._waiting = False
            log.info("ingest resumes", topic=self._topic)


class _Either(threading.Event):
    """Set as soon as one of two is."""

    def __init__(self, *events: threading.Event) -> None:
        super().__init__()
        self._events = events

    def is_set(self) -> bool:
        return any(event.is_set() for event in self._events)

    def wait(self, timeout: float | None = None) -> bool:
        ends_at = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = _POLL_SECONDS if ends_at is None else ends_at - time.monotonic()
            if left <= 0:
                break
            self._events[0].wait(min(left, _POLL_SECONDS))
        return self.is_set()


__all__ = ["GROUP", "LETTERS_GROUP", "LIMIT", "KafkaIngest", "ReadingStopped"]
