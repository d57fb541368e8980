"""What a record on each topic looks like: pure functions, to records and back.

delivery     headers delivery-id, connection, source, received-at (ISO 8601, UTC), headers (JSON);
             value: the bytes as they arrived
touchpoint   a CloudEvent in the binary mode of the Kafka binding: ce_… headers, content-type;
             besides, position: its place in the log; value: JSON
alert        likewise, position being its place in the log of alerts
dead letter  the record it was, key, value and headers, and headers dead-letter-reason, -at, -from

Deliveries and dead letters carry what arrived, personal or not, and so belong to topics that
nobody else may read. Touchpoints and alerts hold opaque ids, kinds, times and codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Protocol
from urllib.parse import quote
from uuid import UUID

import orjson

from consumers.ats_adapters.adapter import Delivery
from consumers.errors import Untranslatable
from schemas.identifiers import DeliveryId
from schemas.upcasting import UPCASTERS, upcast

Headers = list[tuple[str, bytes]]

DELIVERY_ID = "delivery-id"
CONNECTION = "connection"
SOURCE = "source"
RECEIVED_AT = "received-at"
HEADERS = "headers"
POSITION = "position"
CONTENT_TYPE = "content-type"
DEAD_LETTER_REASON = "dead-letter-reason"
DEAD_LETTER_AT = "dead-letter-at"
DEAD_LETTER_FROM = "dead-letter-from"
"""Topic, partition and offset of the record it was, with slashes between."""
_DEAD_LETTER = "dead-letter-"

_LATEST_MS = 253_402_300_799_000
"""The end of the last year that a date can have."""

ALERTS_SOURCE = "candidate-journey/alerts"
"""`ce_source` of an alert; that of a touchpoint is the system that told it."""

_JSON = (CONTENT_TYPE, b"application/json")
_SPEC_VERSION = ("ce_specversion", b"1.0")


class Record(NamedTuple):
    """A record to be sent: `producer.send(topic, **record._asdict())`.

    Without a key it goes to any partition. `headers` is a list, as the client wants it.
    """

    key: bytes | None
    value: bytes
    headers: Headers


class Received(Protocol):
    """What is read of a record that was polled; kafka-python's ConsumerRecord has it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


def place(record: Received) -> str:
    """Where a record stands: `journey.deliveries/3/1041`."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def written_at(record: Received) -> datetime:
    """When a record was written, as its sender has it: any number at all."""
    return datetime.fromtimestamp(min(max(record.timestamp, 0), _LATEST_MS) / 1000, UTC)


def _text(headers: Mapping[str, bytes | None], name: str) -> str:
    """A header as text. Raises KeyError without it, ValueError for what no database keeps."""
    told = headers[name]
    # A header may have no value: no client of ours sends one, others may.
    if told is None or b"\0" in told:
        raise ValueError(name)
    return told.decode()


# --- deliveries -----------------------------------------------------------------------------


def delivery_key(source_name: str, reference: str | None) -> bytes | None:
    """The key that keeps one candidate's deliveries in order; None where the order is nobody's.

    `reference` is an opaque id of the source, never an address or a number: keys are shown by
    every tool. `source_name` is the connection's, so that two systems of one kind keep apart.
    """
    return None if reference is None else f"{source_name}:{reference}".encode()


def delivery_record(delivery: Delivery, key: bytes | None = None) -> Record:
    """A delivery as it goes to `journey.deliveries`."""
    return Record(
        key,
        delivery.body,
        [
            (DELIVERY_ID, delivery.delivery_id.encode()),
            (CONNECTION, delivery.connection.encode()),
            (SOURCE, delivery.source.encode()),
            (RECEIVED_AT, moment_text(delivery.received_at).encode()),
            (HEADERS, orjson.dumps(delivery.headers)),
        ],
    )


def delivery_of(record: Received) -> Delivery:
    """The delivery in a record. Raises Untranslatable, naming the place and what is wrong."""
    headers = dict(record.headers)
    try:
        delivery_id = str(UUID(_text(headers, DELIVERY_ID)))
        received_at = datetime.fromisoformat(_text(headers, RECEIVED_AT))
        if received_at.tzinfo is None:
            raise ValueError(RECEIVED_AT)
        own = orjson.loads(headers[HEADERS])
        if not (isinstance(own, dict) and all(isinstance(text, str) for text in own.values())):
            raise ValueError(HEADERS)
        return Delivery(
            DeliveryId(delivery_id),
            _text(headers, CONNECTION),
            _text(headers, SOURCE),
            received_at.astimezone(UTC),
            own,
            record.value or b"",
        )
    except KeyError as error:
        raise Untranslatable(f"the record {place(record)} has no header {error.args[0]}") from None
    except (ValueError, OverflowError):
        raise Untranslatable(
            f"the record {place(record)} has headers that are not those of a delivery"
        ) from None


# --- touchpoints and alerts -----------------------------------------------------------------


def touchpoint_record(position: int, candidate_id: UUID, topic: str, state: bytes) -> Record:
    """A recorded touchpoint as it goes to `journey.touchpoints`.

    `topic` is its stored name, `state` its stored JSON (defaults left out, as stored). The sealed
    field is taken out: without our keys it is of no use to anyone. An old version is told in the
    shape of the newest, so that readers need to know one shape of a kind. Raises UnknownTopic.
    """
    told = orjson.loads(state)
    if topic in UPCASTERS:
        topic, told = upcast(topic, told)
    told.pop("personal", None)
    candidate = str(candidate_id)
    return Record(
        candidate.encode(),
        orjson.dumps(told),
        _cloud_event(
            told["touchpoint_id"],
            topic,
            # A reference to a URI, so what has a meaning in one is written with %.
            quote(told["source"], safe="/:") or "/",
            candidate,
            told["occurred_at"],
            position,
        ),
    )


def alert_record(
    position: int, candidate_id: UUID, alert_id: UUID, version: int, topic: str, state: bytes
) -> Record:
    """An event of an alert as it goes to `journey.alerts`, keyed by candidate as touchpoints are.

    `position` and `version` are its places in the log of alerts and in the alert's own stream.
    """
    alert = str(alert_id)
    at = orjson.loads(state)["at"]
    return Record(
        str(candidate_id).encode(),
        state,
        _cloud_event(f"{alert}/{version}", topic, ALERTS_SOURCE, alert, at, position),
    )


def position_of(record: Received) -> int:
    """The position of a published touchpoint or alert. Raises ValueError when it has none."""
    for name, value in record.headers:
        if name == POSITION:
            return int(value)
    raise ValueError(f"the record {place(record)} has no header {POSITION}")


def _cloud_event(
    event_id: str, kind: str, source: str, subject: str, time: str, position: int
) -> Headers:
    return [
        _SPEC_VERSION,
        ("ce_id", event_id.encode()),
        ("ce_type", kind.encode()),
        ("ce_source", source.encode()),
        ("ce_subject", subject.encode()),
        ("ce_time", time.encode()),
        _JSON,
        (POSITION, b"%d" % position),
    ]


# --- dead letters ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record nobody could read: why, since when, and the record as it was (`again` sends it)."""

    reason: str
    at: datetime
    came_from: str
    again: Record

    @property
    def delivery_id(self) -> DeliveryId | None:
        """The delivery it was; None when not even that can be read."""
        return _told_id(self.again.headers)


def dead_letter_record(record: Received, reason: str, at: datetime) -> Record:
    """A record as it goes to `journey.dead-letters`; `reason` is never personal."""
    return _dead_letter(record.key, record.value, record.headers, reason, at, place(record))


def dead_delivery_record(
    delivery: Delivery, reason: str, at: datetime, key: bytes | None = None
) -> Record:
    """The same for a delivery that never was a record, such as one too large to be translated."""
    made = delivery_record(delivery, key)
    return _dead_letter(made.key, made.value, made.headers, reason, at, "")


def dead_letter_of(record: Received) -> DeadLetter:
    """The dead letter in a record. Raises ValueError when it is none."""
    headers = dict(record.headers)
    try:
        reason = _text(headers, DEAD_LETTER_REASON)
        at = datetime.fromisoformat(_text(headers, DEAD_LETTER_AT)).astimezone(UTC)
        came_from = _text(headers, DEAD_LETTER_FROM)
    except (KeyError, ValueError, OverflowError):
        raise ValueError(f"the record {place(record)} is no dead letter") from None
    return DeadLetter(reason, at, came_from, _as_it_was(record.key, record.value, record.headers))


def _dead_letter(
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    reason: str,
    at: datetime,
    came_from: str,
) -> Record:
    was = _as_it_was(key, value, headers)
    return was._replace(
        headers=[
            *was.headers,
            (DEAD_LETTER_REASON, reason.encode()),
            (DEAD_LETTER_AT, moment_text(at).encode()),
            (DEAD_LETTER_FROM, came_from.encode()),
        ]
    )


def _as_it_was(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
) -> Record:
    # A header without a value is allowed on the wire, and refused by the client.
    own = [(name, given or b"") for name, given in headers if not name.startswith(_DEAD_LETTER)]
    return Record(key, value or b"", own)


def _told_id(headers: Sequence[tuple[str, bytes]]) -> DeliveryId | None:
    try:
        return DeliveryId(str(UUID(_text(dict(headers), DELIVERY_ID))))
    except (KeyError, ValueError):
        return None


def moment_text(moment: datetime) -> str:
    """ISO 8601 in UTC, ending in `Z`. Raises ValueError for a moment without a zone."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


__all__ = [
    "DeadLetter",
    "Headers",
    "Received",
    "Record",
    "alert_record",
    "dead_delivery_record",
    "dead_letter_of",
    "dead_letter_record",
    "delivery_key",
    "delivery_of",
    "delivery_record",
    "place",
    "position_of",
    "touchpoint_record",
    "written_at",
]
