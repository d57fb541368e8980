"""Intake by Kafka: a delivery is accepted once every replica in sync has it (acks=all).

What arrives in one turn of the event loop is handed to the producer together; the producer's own
thread sends it in batches, and tells the loop of all acknowledgements of a batch at once. Nothing
is answered before its own.

Where Kafka does not answer in time, the delivery is kept by `instead` (the inbox in PostgreSQL),
or refused with Unavailable, so that its sender tries again. While Kafka is away one delivery at a
time is still sent there, by a new producer, to see whether it is back; the others wait for
nothing. A delivery may so be in both places; it has the same id and tells the same touchpoints, so
that is harmless.

Memory is bounded: what the producer holds counts until it is sent or given up, however it was
answered.

Where arrivals go:

pending            `journey.deliveries`
dead at the door   `journey.dead-letters`, with the reason; ingest puts it into the inbox as dead
refused, probes    the inbox, as without Kafka, if there is one; they are never translated, and
                   what is answered to them promises nothing, so otherwise they are only logged
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from consumers.connections import Connection
from consumers.errors import KafkaUnavailable, Unavailable
from consumers.inbox import Arrival
from consumers.kafka_stream.cluster import Cluster, abandon
from consumers.kafka_stream.messages import (
    Record,
    dead_delivery_record,
    delivery_key,
    delivery_record,
)
from consumers.kafka_stream.topics import DEAD_LETTERS, DELIVERIES
from consumers.logging import error_text
from consumers.webhooks.group_commit import Keeper
from journey.clock import Clock
from journey.errors import ConfigurationError

if TYPE_CHECKING:
    from kafka import KafkaProducer

log = structlog.get_logger()

_LOOK_SECONDS = 0.25
"""How often it is looked whether somebody has waited long enough."""


@dataclass(slots=True, eq=False)
class _Sent:
    """A delivery in the producer's hands; `answer` is done when its sender need not wait."""

    arrival: Arrival
    answer: asyncio.Future[bool]
    size_bytes: int
    give_up_at: float

    def settle(self, kept: bool) -> None:
        if not self.answer.done():
            self.answer.set_result(kept)


class KafkaKeeper:
    """Keeps arrivals of one event loop in Kafka. Belongs to that loop: call it from nowhere else.

    `patience_seconds` is how long an acknowledgement may take before `instead` is asked,
    `pause_seconds` how long Kafka is left alone between two attempts to connect.
    """

    goes_by_reference = True

    def __init__(
        self,
        cluster: Cluster,
        connections: Mapping[str, Connection],
        clock: Clock,
        *,
        instead: Keeper | None = None,
        most_deliveries: int = 8192,
        most_bytes: int = 64 * 1024 * 1024,
        patience_seconds: float = 5.0,
        pause_seconds: float = 1.0,
    ) -> None:
        self._cluster = cluster
        self._sources = {name: each.source_name for name, each in connections.items()}
        self._clock = clock
        self._instead = instead
        self._deliveries = cluster.topic(DELIVERIES.name)
        self._dead_letters = cluster.topic(DEAD_LETTERS.name)
        self._most_deliveries = most_deliveries
        self._most_bytes = most_bytes
        self._patience_seconds = patience_seconds
        self._pause_seconds = pause_seconds
        self._producer: KafkaProducer | None = None
        self._queue: list[_Sent] = []
        # Those who wait for an answer, the longest first.
        self._waiting: dict[_Sent, None] = {}
        # Filled by the producer's thread, emptied by the loop.
        self._results: deque[tuple[_Sent, BaseException | None]] = deque()
        self._woken = False
        # Those in the queue or in the producer's hands.
        self._held: set[_Sent] = set()
        self._held_bytes = 0
        self._away = False
        self._trying: _Sent | None = None
        self._closing = True

    def start(self) -> None:
        """Begin, inside the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._closing = False
        if self._instead is not None:
            self._instead.start()
        self._connecting = self._loop.create_task(self._connect(), name="kafka: connect")
        self._watching = self._loop.create_task(self._watch(), name="kafka: watch")

    async def keep(self, arrival: Arrival) -> None:
        """Return when the arrival is durable. Raises Unavailable when it is not."""
        if arrival.status in ("refused", "probe"):
            await self._keep_aside(arrival)
        elif self._closing:
            raise Unavailable("the receiver is stopping")
        elif not await self._keep_in_kafka(arrival):
            await self._keep_instead(arrival)

    def is_ready(self) -> bool:
        """Whether deliveries can be kept: by `instead` while Kafka is away.

        With nothing instead, a producer that found its topics is enough, also before a delivery
        showed that Kafka is back: nobody sends one to a receiver that says it is not ready.
        """
        if self._producer is not None and (not self._away or self._instead is None):
            return not self._closing
        return self._instead is not None and self._instead.is_ready()

    async def close(self) -> None:
        """Wait for what is sent, as long as its patience lasts, then end."""
        if self._closing:
            return
        self._closing = True
        while self._waiting:
            await asyncio.sleep(0.01)
        for task in (self._connecting, self._watching):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        producer, self._producer = self._producer, None
        if producer is not None:
            await self._loop.run_in_executor(None, _let_go, producer)
        if self._instead is not None:
            await self._instead.close()

    # --- the three ways ----------------------------------------------------------------------

    async def _keep_in_kafka(self, arrival: Arrival) -> bool:
        """Whether every replica in sync has it."""
        size_bytes = len(arrival.delivery.body)
        if (
            len(self._held) >= self._most_deliveries
            or self._held_bytes + size_bytes > self._most_bytes
            or (self._away and (self._producer is None or self._trying is not None))
        ):
            return False
        sent = _Sent(
            arrival,
            self._loop.create_future(),
            size_bytes,
            self._loop.time() + self._patience_seconds,
        )
        self._held.add(sent)
        self._held_bytes += size_bytes
        self._queue.append(sent)
        if len(self._queue) == 1:
            # Once all that has been read from the sockets in this turn is here, too.
            self._loop.call_soon(self._send)
        if self._away:
            self._trying = sent
            if self._instead is not None:
                # It shows whether Kafka is back; its sender need not wait for that.
                sent.settle(False)
                return False
        self._waiting[sent] = None
        try:
            return await sent.answer
        finally:
            self._waiting.pop(sent, None)

    async def _keep_instead(self, arrival: Arrival) -> None:
        if self._instead is None:
            raise Unavailable("Kafka does not answer, and there is no fallback")
        await self._instead.keep(arrival)

    async def _keep_aside(self, arrival: Arrival) -> None:
        if self._instead is not None:
            with contextlib.suppress(Unavailable):
                await self._instead.keep(arrival)
                return
        delivery = arrival.delivery
        log.info(
            "not kept; it is never translated",
            status=arrival.status,
            delivery_id=delivery.delivery_id,
            connection=delivery.connection,
            reason=arrival.reason,
        )

    # --- to the producer and back ------------------------------------------------------------

    def _send(self) -> None:
        """Hand all that waits to the producer, which only puts it into its batches."""
        if self._producer is None:
            # The first moments of a process: the broker is about to be found, or not.
            return
        queue, self._queue = self._queue, []
        for number, sent in enumerate(queue):
            try:
                topic, record = self._record(sent.arrival)
                future = self._producer.send(topic, **record._asdict())
            except Exception as error:
                self._note_failed(sent, error)
                if self._away:
                    # Each further one would wait as long for nothing, and the loop with it.
                    self._give_up(queue[number + 1 :])
                    return
            else:
                future.add_callback(self._told, sent, None)
                future.add_errback(self._told, sent)

    def _record(self, arrival: Arrival) -> tuple[str, Record]:
        delivery = arrival.delivery
        key = delivery_key(self._sources.get(delivery.connection, ""), arrival.reference)
        if arrival.status == "dead":
            reason = arrival.reason or "refused at the door"
            now = self._clock.now()
            return self._dead_letters, dead_delivery_record(delivery, reason, now, key)
        return self._deliveries, delivery_record(delivery, key)

    def _told(self, sent: _Sent, error: BaseException | None, _metadata: Any = None) -> None:
        """An outcome, in the producer's thread: the loop is woken once for all of a batch."""
        self._results.append((sent, error))
        if not self._woken:
            self._woken = True
            # The loop may have ended: then nobody waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._take_results)

    def _take_results(self) -> None:
        # Before the first look: what comes later wakes us again.
        self._woken = False
        while self._results:
            sent, error = self._results.popleft()
            if sent not in self._held:
                # Of a producer that was given up.
                continue
            if error is None:
                self._release(sent)
                sent.settle(True)
                self._note_back()
            else:
                self._note_failed(sent, error)

    def _release(self, sent: _Sent) -> None:
        self._held.discard(sent)
        self._held_bytes -= sent.size_bytes
        if self._trying is sent:
            self._trying = None

    def _give_up(self, given: Iterable[_Sent]) -> None:
        """Of these nothing more is expected."""
        for sent in given:
            self._release(sent)
            sent.settle(False)

    # --- away and back -----------------------------------------------------------------------

    def _note_failed(self, sent: _Sent, error: BaseException) -> None:
        tried = self._trying is sent
        self._release(sent)
        sent.settle(False)
        if _is_about_this_one(error):
            delivery = sent.arrival.delivery
            log.error(
                "Kafka does not take a delivery",
                delivery_id=delivery.delivery_id,
                connection=delivery.connection,
                error=type(error).__name__,
            )
            return
        self._note_away(type(error).__name__)
        if tried:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Another producer: one that was cut off in the middle may never say another word."""
        if self._producer is None or self._closing:
            return
        self._loop.run_in_executor(None, _let_go, self._producer)
        self._producer = None
        self._queue = []
        self._give_up(list(self._held))
        self._connecting = self._loop.create_task(
            self._connect(self._pause_seconds), name="kafka: connect"
        )

    def _note_away(self, why: str) -> None:
        if not self._away:
            self._away = True
            what = "senders are told to try again"
            if self._instead is not None:
                what = "deliveries are kept in the database instead"
            log.warning(f"Kafka is away; {what}", error=why)

    def _note_back(self) -> None:
        if self._away:
            self._away = False
            log.info("Kafka is back; deliveries are kept there again")

    async def _watch(self) -> None:
        """Let nobody wait longer than their patience."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = self._loop.time()
            for sent in list(self._waiting):
                if sent.give_up_at > now:
                    break
                if not sent.answer.done():
                    # It stays in the producer's hands, and counts as held until it is let go.
                    sent.settle(False)
                    self._note_away("no answer in time")
            if self._trying is not None and self._trying.give_up_at <= now:
                self._begin_anew()

    async def _connect(self, wait_seconds: float = 0.0) -> None:
        """Make the producer, however long the broker takes."""
        await asyncio.sleep(wait_seconds)
        while True:
            try:
                self._producer = await self._loop.run_in_executor(None, self._made)
            except Exception as error:
                told = isinstance(error, KafkaUnavailable | ConfigurationError)
                self._note_away(str(error) if told else error_text(error))
                self._queue = []
                self._give_up(list(self._held))
                await asyncio.sleep(self._pause_seconds)
            else:
                # If it was away, the next delivery shows whether it also takes what it is sent.
                self._send()
                return

    def _made(self) -> KafkaProducer:
        """A producer that knows both topics, so that `send` need not wait for them."""
        from kafka.errors import KafkaError

        patience_ms = int(self._patience_seconds * 1000)
        producer = self._cluster.producer(
            patience_seconds=self._patience_seconds,
            # In the loop nothing may wait; it would, were a topic deleted under us.
            max_block_ms=1_000,
            linger_ms=2,
            request_timeout_ms=patience_ms,
            delivery_timeout_ms=2 * patience_ms,
        )
        try:
            for topic in (self._deliveries, self._dead_letters):
                producer.partitions_for(topic)
        except KafkaError:
            producer.close(timeout=0)
            raise ConfigurationError(
                f"Kafka at {self._cluster.address} has no topic {topic}; "
                "`journey kafka init` makes it"
            ) from None
        return producer


def _let_go(producer: KafkaProducer) -> None:
    """End a producer, whatever it still holds: it was answered for otherwise."""
    with contextlib.suppress(Exception):
        abandon(producer)


def _is_about_this_one(error: BaseException) -> bool:
    """Whether another delivery might pass where this one did not."""
    from kafka.errors import (
        InvalidRecordError,
        MessageSizeTooLargeError,
        RecordListTooLargeError,
    )

    return isinstance(
        error,
        InvalidRecordError
        | MessageSizeTooLargeError
        | RecordListTooLargeError
        | TypeError
        | ValueError,
    )


__all__ = ["KafkaKeeper"]
