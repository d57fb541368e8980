"""What a record looks like, and that what went into one comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.ats_adapters.adapter import Delivery
from consumers.errors import Untranslatable
from consumers.kafka_stream.messages import (
    Headers,
    Record,
    alert_record,
    dead_delivery_record,
    dead_letter_of,
    dead_letter_record,
    delivery_key,
    delivery_of,
    delivery_record,
    position_of,
    touchpoint_record,
)
from journey.storage import state_of
from schemas.event import Moment
from schemas.identifiers import DeliveryId
from schemas.touchpoints import InterviewScheduled

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ID = DeliveryId("0190c5b2-0000-7000-8000-000000000001")
CANDIDATE = UUID("c0000000-0000-4000-8000-000000000001")
ALERT = UUID("a0000000-0000-4000-8000-000000000001")


@dataclass
class Polled:
    """A record as it is read."""

    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)
    topic: str = "journey.deliveries"
    partition: int = 3
    offset: int = 17


def polled(record: Record) -> Polled:
    return Polled(*record)


def a_delivery(**fields: Any) -> Delivery:
    return Delivery(
        **{
            "delivery_id": ID,
            "connection": "greenhouse-de",
            "source": "greenhouse",
            "received_at": AT,
            "headers": {"signature": "sha256 ab"},
            "body": b'{"action": "ping"}',
        }
        | fields
    )


@given(
    headers=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text()),
    body=st.binary(),
    at=st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))]),
        min_value=datetime(2000, 1, 1),  # noqa: DTZ001
    ),
)
def test_a_delivery_comes_out_as_it_went_in(
    headers: dict[str, str], body: bytes, at: datetime
) -> None:
    """Raw headers and bytes, whatever they are, and the moment to the microsecond, in UTC."""
    delivery = a_delivery(headers=headers, body=body, received_at=at)
    read = delivery_of(polled(delivery_record(delivery)))
    assert read == delivery
    assert read.received_at.tzinfo is UTC


def test_the_headers_of_a_delivery() -> None:
    """What other programs may rely on."""
    record = delivery_record(a_delivery(), delivery_key("greenhouse", "candidate/7"))
    assert record.key == b"greenhouse:candidate/7"
    assert record.value == b'{"action": "ping"}'
    assert record.headers == [
        ("delivery-id", ID.encode()),
        ("connection", b"greenhouse-de"),
        ("source", b"greenhouse"),
        ("received-at", b"2026-03-02T09:30:00Z"),
        ("headers", b'{"signature":"sha256 ab"}'),
    ]


def test_a_delivery_of_nobody_goes_anywhere() -> None:
    """Without a reference there is no order to keep."""
    assert delivery_key("greenhouse", None) is None


@pytest.mark.parametrize("name", ["delivery-id", "connection", "source", "received-at", "headers"])
def test_a_record_without_a_header_is_untranslatable(name: str) -> None:
    """The reason names the record and the header, so that it can be looked up."""
    record = polled(delivery_record(a_delivery()))
    record.headers = [each for each in record.headers if each[0] != name]
    with pytest.raises(Untranslatable) as told:
        delivery_of(record)
    assert told.value.reason == f"the record journey.deliveries/3/17 has no header {name}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("delivery-id", b"Anna Beispiel"),
        ("delivery-id", b"\xff"),
        ("connection", b"\xff"),
        ("received-at", b"yesterday"),
        ("received-at", b"2026-03-02T09:30:00"),
        ("headers", b"Anna Beispiel"),
        ("headers", b"[]"),
        ("headers", b'{"a": 1}'),
    ],
)
def test_a_record_with_odd_headers_is_untranslatable(name: str, value: bytes) -> None:
    """And the reason repeats nothing of them."""
    record = polled(delivery_record(a_delivery()))
    record.headers = [(each, value if each == name else given) for each, given in record.headers]
    with pytest.raises(Untranslatable) as told:
        delivery_of(record)
    assert told.value.reason == (
        "the record journey.deliveries/3/17 has headers that are not those of a delivery"
    )


def test_a_record_without_a_body_is_an_empty_delivery() -> None:
    """What its adapter says of an empty body is the reason, then."""
    record = polled(delivery_record(a_delivery(body=b"")))
    record.value = None
    assert delivery_of(record).body == b""


def a_touchpoint(**fields: Any) -> bytes:
    return state_of(
        InterviewScheduled.told(
            source="greenhouse:de office",
            source_event_id="7",
            moment=Moment.of(AT),
            application_id="greenhouse:application/9",
            recorded_at=AT + timedelta(seconds=1),
            **fields,
        )
    )


def test_a_touchpoint_is_a_cloud_event() -> None:
    """Binary mode of the Kafka binding: attributes as headers, the stored JSON as value."""
    state = a_touchpoint(personal="c2VhbGVk", starts_at=AT, ends_at=AT)
    stored = orjson.loads(state)
    record = touchpoint_record(41, CANDIDATE, InterviewScheduled.TOPIC, state)
    assert record.key == str(CANDIDATE).encode()
    assert record.headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", stored["touchpoint_id"].encode()),
        ("ce_type", b"touchpoint.interview_scheduled.v2"),
        ("ce_source", b"greenhouse:de%20office"),
        ("ce_subject", str(CANDIDATE).encode()),
        ("ce_time", b"2026-03-02T09:30:00Z"),
        ("content-type", b"application/json"),
        ("position", b"41"),
    ]
    del stored["personal"]
    assert orjson.loads(record.value) == stored
    assert position_of(polled(record)) == 41


def test_nothing_sealed_is_published() -> None:
    """The token is of no use to anyone else, so nobody gets it."""
    state = a_touchpoint(personal="c2VhbGVk", starts_at=AT, ends_at=AT)
    record = touchpoint_record(1, CANDIDATE, InterviewScheduled.TOPIC, state)
    assert b"c2VhbGVk" not in record.value
    assert b"personal" not in record.value


def test_an_old_version_is_told_in_the_newest_shape() -> None:
    """Readers outside need not know how a kind looked years ago."""
    old = orjson.loads(a_touchpoint(starts_at=AT)) | {"duration_minutes": 45}
    state = orjson.dumps(old)
    record = touchpoint_record(1, CANDIDATE, "touchpoint.interview_scheduled.v1", state)
    told = orjson.loads(record.value)
    assert dict(record.headers)["ce_type"] == b"touchpoint.interview_scheduled.v2"
    assert told["ends_at"] == "2026-03-02T10:15:00Z"
    assert "duration_minutes" not in told


def test_an_alert_is_a_cloud_event() -> None:
    """Its id says which event of which alert, so that a repeat is known."""
    state = b'{"at":"2026-03-02T09:30:00Z","recorded_at":"2026-03-02T09:31:00Z","reason":"done"}'
    record = alert_record(5, CANDIDATE, ALERT, 3, "alert.resolved.v1", state)
    assert record.key == str(CANDIDATE).encode()
    assert record.value == state
    assert dict(record.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": f"{ALERT}/3".encode(),
        "ce_type": b"alert.resolved.v1",
        "ce_source": b"candidate-journey/alerts",
        "ce_subject": str(ALERT).encode(),
        "ce_time": b"2026-03-02T09:30:00Z",
        "content-type": b"application/json",
        "position": b"5",
    }


def test_a_record_without_a_position_is_none_of_ours() -> None:
    """Someone else writes to the topic."""
    with pytest.raises(ValueError, match=r"journey\.deliveries/3/17 has no header position"):
        position_of(Polled(None, b"{}"))


def test_a_dead_letter_keeps_the_record_and_says_why() -> None:
    """Key, value and headers as they were; reason, moment and place beside them."""
    was = delivery_record(a_delivery(), b"greenhouse:candidate/7")
    made = dead_letter_record(polled(was), "no such action", AT)
    assert (made.key, made.value) == (was.key, was.value)
    assert made.headers == [
        *was.headers,
        ("dead-letter-reason", b"no such action"),
        ("dead-letter-at", b"2026-03-02T09:30:00Z"),
        ("dead-letter-from", b"journey.deliveries/3/17"),
    ]
    letter = dead_letter_of(polled(made))
    assert (letter.reason, letter.at) == ("no such action", AT)
    assert letter.came_from == "journey.deliveries/3/17"
    assert letter.delivery_id == ID
    assert letter.again == was


def test_a_dead_letter_that_dies_again_has_one_reason() -> None:
    """The newest: what was wrong before has been mended."""
    first = dead_letter_record(polled(delivery_record(a_delivery())), "no such action", AT)
    second = dead_letter_of(polled(dead_letter_record(polled(first), "no candidate", AT)))
    assert second.reason == "no candidate"
    assert second.again == delivery_record(a_delivery())


def test_what_is_no_delivery_at_all_is_kept_too() -> None:
    """No key, no value, a header without a value: the client would refuse to send those as is."""
    odd = Polled(None, None, [("x", None)])  # type: ignore[list-item]
    letter = dead_letter_of(polled(dead_letter_record(odd, "no header delivery-id", AT)))
    assert letter.again == Record(None, b"", [("x", b"")])
    assert letter.delivery_id is None


def test_a_delivery_that_never_was_a_record_can_die() -> None:
    """One that is too large is kept by the door."""
    letter = dead_letter_of(polled(dead_delivery_record(a_delivery(), "too large", AT)))
    assert letter.reason == "too large"
    assert letter.came_from == ""
    assert delivery_of(polled(letter.again)) == a_delivery()


def test_a_record_that_is_no_dead_letter_is_told_so() -> None:
    """It is not redriven by mistake."""
    with pytest.raises(ValueError, match="is no dead letter"):
        dead_letter_of(polled(delivery_record(a_delivery())))


def test_a_moment_without_a_zone_is_refused() -> None:
    """It would be taken for UTC by whoever reads it."""
    with pytest.raises(ValueError, match="time zone"):
        delivery_record(a_delivery(received_at=AT.replace(tzinfo=None)))
