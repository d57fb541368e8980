"""pydantic to stored event and back, and the batched append, on the eventsourcing library.

The library's recorder, mapper and notification log are used as they are for reading. Writing is
replaced where it is slow: one statement an aggregate becomes one COPY for many candidates, with
repeats skipped, versions and positions without gaps, all under one row lock.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import msgspec
import orjson
import psycopg
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import (
    IntegrityError,
    JSONTranscoder,
    Mapper,
    OperationalError,
    StoredEvent,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.rows import DictRow, dict_row, tuple_row
from psycopg_pool import PoolTimeout

from journey.arrays import UuidArray, use_arrays
from journey.database import Connection, Database
from schemas.event import Touchpoint
from schemas.registry import BY_TOPIC
from schemas.upcasting import upcast

EVENTS_TABLE = "journey_events"

_COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
_COPY_TRAILER = struct.pack(">h", -1)
# Six columns: uuid, int8, text's length | text | bytea's length | bytea | int8, uuid.
_ROW_HEAD = struct.Struct(">hi16siqi").pack
_PIECE = 5 * 64
"""Parts of rows to send at once: 64 rows of five parts each."""
_MADE_AHEAD = 4
"""The part of a batch whose states are made before it is known what of it is new: a quarter."""

_COPY_IN = (
    "COPY journey_events (originator_id, originator_version, topic, state, notification_id, "
    "touchpoint_id) FROM STDIN (FORMAT BINARY)"
)
_LENGTH = struct.Struct(">i").pack
_ROW_TAIL = struct.Struct(">iqi16s").pack


class _IdOnly(msgspec.Struct):
    touchpoint_id: UUID


class TouchpointMapper(Mapper[UUID]):
    """Touchpoint ↔ stored event: JSON by pydantic, old versions upcast on the way in."""

    def __init__(self) -> None:
        super().__init__(JSONTranscoder())

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        """The stored form of a touchpoint that has its candidate and version."""
        touchpoint = cast(Touchpoint, domain_event)
        return StoredEvent(
            originator_id=touchpoint.originator_id,
            originator_version=touchpoint.originator_version,
            topic=touchpoint.TOPIC,
            state=state_of(touchpoint),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        """The touchpoint. Raises UnknownTopic and pydantic.ValidationError."""
        return cast(
            DomainEventProtocol[UUID],
            touchpoint_of(
                cast(UUID, stored_event.originator_id),
                stored_event.originator_version,
                stored_event.topic,
                stored_event.state,
            ),
        )


def state_of(touchpoint: Touchpoint) -> bytes:
    """What is stored of a touchpoint: JSON without the stream's key and without default values.

    A default is part of a stored version: changing one means a new version, and the schema test
    says so. U+0000 is written as U+FFFD: no text of PostgreSQL can hold it, so no view could.
    """
    state: bytes = touchpoint.__pydantic_serializer__.to_json(touchpoint, exclude_defaults=True)
    return without_nul(state)


# One by one, so that a backslash followed by "u0000" is told from the escape of U+0000.
_ESCAPES = re.compile(rb"\\(?:u0000|.)")


def without_nul(document: bytes) -> bytes:
    """JSON with U+FFFD for each U+0000 of its texts."""
    if b"\\u0000" not in document:
        return document
    return _ESCAPES.sub(lambda m: b"\\ufffd" if m[0] == b"\\u0000" else m[0], document)


def stamped_state(touchpoint: Touchpoint, stamp: bytes, sealed: bytes | None = None) -> bytes:
    """`state_of` with `recorded_at` and the sealed field filled in, without a copy of the model.

    `stamp` is what `stamp_of` makes of the moment, once for a whole batch; `sealed` is base64,
    which JSON needs no escaping for.
    """
    state = state_of(touchpoint)[:-1]
    if sealed is None:
        return b"".join((state, stamp, b"}"))
    return b"".join((state, stamp, b',"personal":"', sealed, b'"}'))


def stamp_of(recorded_at: datetime) -> bytes:
    """The part of a state that says when it was recorded (UTC)."""
    return b',"recorded_at":"%bZ"' % recorded_at.replace(tzinfo=None).isoformat().encode()


def touchpoint_of(candidate_id: UUID, version: int, topic: str, state: bytes) -> Touchpoint:
    """A stored touchpoint in its newest shape. Raises UnknownTopic, pydantic.ValidationError."""
    cls = BY_TOPIC.get(topic)
    fields: dict[str, Any] = orjson.loads(state)
    if cls is None:
        topic, fields = upcast(topic, fields)
        cls = BY_TOPIC[topic]
    fields["candidate_id"] = candidate_id
    fields["version"] = version
    return cls.model_validate(fields)


class NewEvent(msgspec.Struct, gc=False):
    """A touchpoint ready to be appended: whose it is, its stored name, its state.

    `state` may be a function that makes it, which `append` calls while the server is at work.
    """

    candidate_id: UUID
    touchpoint_id: UUID
    topic: str
    state: bytes | Callable[[], bytes]

    def made(self) -> bytes:
        """The state, which is made once."""
        if not isinstance(self.state, bytes):
            self.state = self.state()
        return self.state


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did: for each event given its (version, position), or None for a repeat."""

    places: list[tuple[int, int] | None]
    last_position: int

    @property
    def count(self) -> int:
        """How many were new."""
        return len(self.places) - self.places.count(None)


class JourneyDatastore(PostgresDatastore):
    """The library's datastore over our pool: one pool a process, and any libpq option holds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        super().__init__("", "", "", "", "", schema=database.schema)

    @contextmanager
    def get_connection(self) -> Iterator[psycopg.Connection[DictRow]]:
        """A pooled connection that yields rows as the library expects them, by name."""
        try:
            with self._database.pool.connection() as pooled:
                connection = cast("psycopg.Connection[DictRow]", pooled)
                connection.row_factory = dict_row
                try:
                    yield connection
                finally:
                    pooled.row_factory = tuple_row
        except psycopg.IntegrityError as error:
            raise IntegrityError(str(error)) from error
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise OperationalError(str(error)) from error


class JourneyRecorder(PostgresApplicationRecorder):
    """The library's application recorder with a batched, idempotent, gapless append."""

    def __init__(self, database: Database) -> None:
        super().__init__(JourneyDatastore(database), events_table_name=EVENTS_TABLE)
        self.database = database

    def create_table(self) -> None:
        """Nothing: the numbered migrations make the table."""

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """The library's own way in, by the same append. Raises IntegrityError on a conflict."""
        events = [
            NewEvent(
                cast(UUID, event.originator_id),
                msgspec.json.decode(event.state, type=_IdOnly).touchpoint_id,
                event.topic,
                event.state,
            )
            for event in stored_events
        ]
        with self.database.transaction() as connection:
            appended = append(connection, events)
            for event, place in zip(stored_events, appended.places, strict=True):
                if place is None or place[0] != event.originator_version:
                    raise IntegrityError(
                        f"version {event.originator_version} of {event.originator_id} is taken"
                    )
        return [place[1] for place in appended.places if place is not None]


def append(connection: Connection, events: Sequence[NewEvent]) -> Appended:
    """Append events of many candidates in the caller's transaction.

    A touchpoint id that is recorded already, or stands earlier in this batch, is skipped. Writers
    take turns on one row from here to the end of the transaction, so that versions have no gaps,
    positions have no gaps, and no reader sees a position before the ones below it.
    Five statements and one COPY for any number of events.
    """
    if not events:
        return Appended([], 0)
    use_arrays(connection)
    # Ids as bytes from here on: they are compared, hashed and written several times each. Without
    # `UUID.bytes`, which makes the same of the same number, only in Python.
    ids = [event.touchpoint_id.int.to_bytes(16) for event in events]
    streams = [event.candidate_id.int.to_bytes(16) for event in events]
    with connection.pipeline():
        head = connection.execute("SELECT position FROM log_head FOR UPDATE", binary=True)
        repeats = connection.execute(
            "SELECT uuid_send(touchpoint_id) FROM journey_events WHERE touchpoint_id = ANY(%b)",
            [UuidArray.of(ids)],
            binary=True,
        )
        versions = connection.execute(
            "SELECT uuid_send(stream), last.originator_version FROM unnest(%b) AS stream, "
            "LATERAL (SELECT originator_version FROM journey_events WHERE originator_id = stream "
            "ORDER BY originator_version DESC LIMIT 1) AS last",
            [UuidArray.of(set(streams))],
            binary=True,
        )
        # As many states as can be made while the server looks; the rest, while it stores these.
        for event in events[: len(events) // _MADE_AHEAD]:
            event.made()
    (position,) = cast(tuple[int], head.fetchone())
    seen: set[bytes] = {row[0] for row in repeats.fetchall()}
    version = dict.fromkeys(streams, 0) | dict(versions.fetchall())
    places = _places(streams, ids, version, seen, position)
    count = len(places) - places.count(None)
    if count:
        with connection.cursor().copy(_COPY_IN) as copy:
            for rows in _rows(events, streams, ids, places):
                copy.write(rows)
        with connection.pipeline():
            connection.execute("UPDATE log_head SET position = %s", [position + count])
            connection.execute("NOTIFY journey_events")
    return Appended(places, position + count)


def _places(
    streams: list[bytes],
    ids: list[bytes],
    version: dict[bytes, int],
    seen: set[bytes],
    position: int,
) -> list[tuple[int, int] | None]:
    """(version, position) of each event, or None for one that was seen before."""
    places: list[tuple[int, int] | None] = []
    for stream, touchpoint_id in zip(streams, ids, strict=True):
        if touchpoint_id in seen:
            places.append(None)
            continue
        seen.add(touchpoint_id)
        position += 1
        version[stream] = next_version = version[stream] + 1
        places.append((next_version, position))
    return places


def _rows(
    events: Sequence[NewEvent],
    streams: list[bytes],
    ids: list[bytes],
    places: list[tuple[int, int] | None],
) -> Iterator[bytes]:
    """The new events as binary COPY reads them, in pieces, so that the server works alongside."""
    topics = {event.topic: event.topic.encode() for event in events}
    rows: list[bytes] = [_COPY_HEADER]
    for event, stream, touchpoint_id, place in zip(events, streams, ids, places, strict=True):
        if place is None:
            continue
        topic, state = topics[event.topic], event.made()
        rows += (
            _ROW_HEAD(6, 16, stream, 8, place[0], len(topic)),
            topic,
            _LENGTH(len(state)),
            state,
            _ROW_TAIL(8, place[1], 16, touchpoint_id),
        )
        if len(rows) > _PIECE:
            yield b"".join(rows)
            rows = []
    rows.append(_COPY_TRAILER)
    yield b"".join(rows)


__all__ = ["Appended", "JourneyRecorder", "NewEvent", "TouchpointMapper", "append", "without_nul"]
