"""One batch of Kafka's records: translated, recorded and kept, in one database transaction.

What is no delivery, and what cannot be translated, is on `journey.dead-letters` before that
transaction commits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from consumers import inbox
from consumers.ats_adapters.adapter import Adapter, Delivery, Translation
from consumers.connections import Connection
from consumers.errors import Untranslatable
from consumers.inbox import Outcome
from consumers.ingest import (
    Reading,
    Stepped,
    outcome_of,
    read_delivery,
    record_readings,
    tell_dead_letters,
)
from consumers.kafka_stream.dead_letters import (
    DeadLetterLimit,
    DeadLetterLimitPassed,
    DeadLetters,
)
from consumers.kafka_stream.messages import (
    Received,
    dead_letter_of,
    dead_letter_record,
    delivery_of,
    place,
    written_at,
)
from journey.clock import Clock
from journey.database import Connection as DatabaseConnection
from journey.database import Database
from journey.journey_log import JourneyLog
from schemas.identifiers import DeliveryId

if TYPE_CHECKING:
    from kafka import TopicPartition


class Dropped(Exception):
    """The partitions of the batch in hand belong to another process now."""


@dataclass(slots=True)
class Batch:
    """Records in hand, in the order in which they are handled."""

    records: list[Any]
    parked: set[str] = field(default_factory=set)
    """Places of those whose dead letters are written: another try writes none again."""

    @property
    def partitions(self) -> set[TopicPartition]:
        from kafka import TopicPartition

        return {TopicPartition(each.topic, each.partition) for each in self.records}

    def first_offsets(self) -> dict[TopicPartition, int]:
        """Where each partition of it begins."""
        from kafka import TopicPartition

        found: dict[TopicPartition, int] = {}
        for each in self.records:
            found.setdefault(TopicPartition(each.topic, each.partition), each.offset)
        return found


@dataclass(frozen=True, slots=True)
class Opened:
    """A record and the delivery in it; `dead` says why it is none that can be handled."""

    record: Any
    delivery: Delivery
    dead: str | None = None
    is_letter: bool = False
    """Whether it came as a dead letter: it is put into the inbox and not translated."""


@dataclass(frozen=True, slots=True)
class Handled:
    """What a batch became: how many of its records were handled, and what was found."""

    records: int
    fates: tuple[bool, ...] = ()
    stepped: Stepped = field(default_factory=Stepped)
    passed: DeadLetterLimitPassed | None = None
    """The limit, if what follows would pass it: it is unhandled."""


class BatchHandler:
    """Makes of records what the log and the inbox keep of them."""

    def __init__(
        self,
        database: Database,
        journey_log: JourneyLog,
        connections: Mapping[str, Connection],
        adapters: Mapping[str, Adapter],
        clock: Clock,
        *,
        dead_letters: DeadLetters,
        letters_topic: str,
        limit: DeadLetterLimit,
    ) -> None:
        """Records of `letters_topic` are dead letters, all others deliveries."""
        self._database = database
        self._log = journey_log
        self._connections = connections
        self._adapters = adapters
        self._clock = clock
        self._dead_letters = dead_letters
        self._letters_topic = letters_topic
        self._limit = limit
        self._limit_begun = False

    def handle(self, batch: Batch, ours: Callable[[], set[TopicPartition]]) -> Handled:
        """Translate, record and keep a batch, and commit.

        `ours` tells which partitions are ours before the commit. Raises Dropped,
        DeadLetterNotWritten, and whatever a bug or a database that is away raises; then nothing
        is committed.
        """
        opened = [self.opened(record) for record in batch.records]
        with self._database.transaction() as connection:
            self._begin_limit(connection)
            known = inbox.known(connection, [each.delivery.delivery_id for each in opened])
            read, letters = self._read(opened, known)
            reasons = [_why_dead(reading) for _, reading in read]
            fates = [reason is not None for reason in reasons]
            allowed = self._limit.allowed(fates)
            count, passed = len(opened), None
            if allowed < len(read):
                first = read[allowed][0]
                count = next(n for n, each in enumerate(opened) if each is first)
                why = reasons[allowed] or ""
                passed = DeadLetterLimitPassed(self._limit, first.delivery.delivery_id, why)
                read, reasons, fates = read[:allowed], reasons[:allowed], fates[:allowed]
                before = set(map(id, opened[:count]))
                letters = [each for each in letters if id(each) in before]
            self._park(
                batch,
                [(each.record, why) for (each, _), why in zip(read, reasons, strict=True) if why],
            )
            stepped = self._keep(connection, read, letters)
            if not batch.partitions <= ours():
                raise Dropped
        return Handled(count, tuple(fates), stepped, passed)

    def _read(
        self, opened: Sequence[Opened], known: Mapping[DeliveryId, inbox.Status]
    ) -> tuple[list[tuple[Opened, Reading]], list[Opened]]:
        """What is new of these, translated, each once; and the dead letters that are new."""
        read: list[tuple[Opened, Reading]] = []
        letters: list[Opened] = []
        seen: set[DeliveryId] = set()
        for each in opened:
            delivery_id = each.delivery.delivery_id
            status = known.get(delivery_id)
            if delivery_id in seen or status in ("recorded", "context"):
                continue
            if each.is_letter:
                if status is None:
                    letters.append(each)
                    seen.add(delivery_id)
                continue
            seen.add(delivery_id)
            if each.dead is not None:
                reading = Reading(each.delivery, Translation(), each.dead)
            else:
                reading = read_delivery(each.delivery, self._connections, self._adapters)
            if status != "dead" or _why_dead(reading) is None:
                read.append((each, reading))
        return read, letters

    def _park(self, batch: Batch, dead: Sequence[tuple[Any, str]]) -> None:
        """Write the dead letters that are not written yet. Raises DeadLetterNotWritten."""
        new = [(record, why) for record, why in dead if place(record) not in batch.parked]
        now = self._clock.now()
        self._dead_letters.write([dead_letter_record(record, why, now) for record, why in new])
        batch.parked.update(place(record) for record, _ in new)

    def _keep(
        self,
        connection: DatabaseConnection,
        read: Sequence[tuple[Opened, Reading]],
        letters: Sequence[Opened],
    ) -> Stepped:
        readings = [reading for _, reading in read]
        # Into the inbox first: from the append to the commit no other process can append, so
        # nothing that can be done before is done then. Only how much is new is known afterwards.
        told = [outcome_of(each, len(each.translation.statements)) for each in readings]
        found_dead = [
            Outcome(each.delivery.delivery_id, "dead", each.dead or "unknown") for each in letters
        ]
        deliveries = [each.delivery for each, _ in read] + [each.delivery for each in letters]
        written = inbox.archive(
            connection,
            zip(deliveries, [*told, *found_dead], strict=True),
            self._clock.now(),
        )
        outcomes, stepped = record_readings(self._log, connection, readings)
        inbox.count_fewer(
            connection,
            {
                new.delivery_id: all_of_it.touchpoints - new.touchpoints
                for all_of_it, new in zip(told, outcomes, strict=True)
                if new.touchpoints != all_of_it.touchpoints and new.delivery_id in written
            },
        )
        tell_dead_letters([*outcomes, *found_dead])
        return stepped

    def _begin_limit(self, connection: DatabaseConnection) -> None:
        if not self._limit_begun:
            self._limit.begin_with(inbox.latest_fates(connection, self._limit.window))
            self._limit_begun = True

    def opened(self, record: Any) -> Opened:
        """A record with the delivery in it."""
        if record.topic == self._letters_topic:
            return _opened_letter(record)
        try:
            return Opened(record, delivery_of(record))
        except Untranslatable as error:
            return Opened(record, _unreadable(record, place(record)), error.reason)


def _why_dead(reading: Reading) -> str | None:
    outcome = outcome_of(reading, 0)
    return outcome.reason or "unknown" if outcome.status == "dead" else None


def _opened_letter(record: Any) -> Opened:
    """A dead letter as it stands in the inbox."""
    try:
        letter = dead_letter_of(record)
    except ValueError as error:
        return Opened(record, _unreadable(record, place(record)), str(error), is_letter=True)
    was = _Was(record, letter.again.headers)
    try:
        return Opened(record, delivery_of(was), letter.reason, is_letter=True)
    except Untranslatable:
        delivery = _unreadable(record, letter.came_from or place(record))
        return Opened(record, delivery, letter.reason, is_letter=True)


class _Was:
    """A dead letter as the record that it was."""

    def __init__(self, record: Received, headers: Sequence[tuple[str, bytes]]) -> None:
        self.topic, self.partition, self.offset = record.topic, record.partition, record.offset
        self.timestamp, self.key, self.value = record.timestamp, record.key, record.value
        self.headers = headers


def _unreadable(record: Any, came_from: str) -> Delivery:
    """What stands in a record whose headers are not ours, under an id made of its place."""
    return Delivery(
        DeliveryId(str(uuid5(NAMESPACE_URL, f"kafka:{came_from}"))),
        "unknown",
        "unknown",
        written_at(record),
        {},
        record.value or b"",
    )


__all__ = ["Batch", "BatchHandler", "Dropped", "Handled", "Opened"]
