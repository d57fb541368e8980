"""What every adapter's touchpoints have in common: times that can be, texts that can be stored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
import pytest

from consumers.ats_adapters.told import json_body
from tests.support.payloads import RECEIVED_AT, Payloads

ASHBY, GREENHOUSE, LEVER = (Payloads(name) for name in ("ashby", "greenhouse", "lever"))

MILLISECONDS = 1_000
DAY = 86_400
NEVER = [
    "0001-01-01T00:00:00Z", "0001-01-01T14:00:00+14:00", "1899-12-30", "1900-01-01T00:00:00Z",
    "1970-01-01T00:00:00Z", "2026-03-03T09:00:01Z", "2062-03-02T09:00:00Z",
    "9999-12-31T23:59:59Z", "12/31/9999",
]  # fmt: skip


@pytest.mark.parametrize("written", NEVER)
def test_a_time_that_cannot_be_is_unknown(written: str) -> None:
    """Nothing happened before there were such systems, or after it was told."""
    body = GREENHOUSE.changed("application_received", "payload", "application", applied_at=written)
    told = GREENHOUSE.only(body)
    assert (told.occurred_at, told.occurred_quality) == (RECEIVED_AT, "unknown")
    assert told.touchpoint_id == GREENHOUSE.only("application_received").touchpoint_id


@pytest.mark.parametrize("written", ["2026-03-03T08:59:59Z", "2026-03-02T23:00:00+14:00"])
def test_a_clock_that_is_ahead_a_little_is_believed(written: str) -> None:
    """Clocks differ, and what one of them says keeps the order of what it tells."""
    body = ASHBY.changed("application_submitted", "data", "application", createdAt=written)
    told = ASHBY.only(body)
    assert told.occurred_at == datetime.fromisoformat(written)
    assert told.occurred_quality == "exact"


@pytest.mark.parametrize(
    "number",
    [
        int(RECEIVED_AT.timestamp()),
        int(RECEIVED_AT.timestamp()) * MILLISECONDS * MILLISECONDS,
        (int(RECEIVED_AT.timestamp()) + 2 * DAY) * MILLISECONDS,
        0,
        -1,
        253_402_300_799_999,
    ],
    ids=["seconds", "microseconds", "in two days", "1970", "before 1970", "9999"],
)
def test_seconds_taken_for_milliseconds_are_no_time(number: int) -> None:
    """Lever counts milliseconds; whatever else stands there says nothing of when it was."""
    told = LEVER.only(LEVER.changed("application_created", triggeredAt=number))
    assert (told.occurred_at, told.occurred_quality) == (RECEIVED_AT, "unknown")


def test_an_appointment_at_the_end_of_time_has_no_time() -> None:
    """A booking of the year 9999 would be waited for as long."""
    event = {"id": "e", "startTime": "9999-12-30T10:00:00Z", "endTime": "9999-12-30T11:00:00Z"}
    body = ASHBY.changed(
        "interview_scheduled", "data", "interviewSchedule", interviewEvents=[event]
    )
    told = ASHBY.only(body)
    assert told.KIND == "interview_scheduled"
    assert (told.starts_at, told.ends_at) == (None, None)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b'"a\\u0000b"', "a\ufffdb"),
        (b'"\\u0000\\u0000"', "\ufffd\ufffd"),
        (b'"\\\\u0000"', "\\u0000"),
        (b'"\\\\\\u0000"', "\\\ufffd"),
        (b'{"\\u0000": "\\n\\u0000"}', {"\ufffd": "\n\ufffd"}),
    ],
)
def test_what_no_database_can_hold_is_replaced(written: bytes, read: Any) -> None:
    """PostgreSQL has no character U+0000; a backslash before other words stays one."""
    assert json_body(written) == read


@pytest.mark.parametrize("ids", [(7, "7"), (0, "0"), (2**63 - 1, str(2**63 - 1))])
def test_a_number_and_its_text_are_one_id(ids: tuple[int, str]) -> None:
    """Systems write ids as either, also the same system in two of its messages."""
    body = GREENHOUSE.payload("application_received")
    told = []
    for one in ids:
        body["payload"]["application"]["id"] = one
        body["payload"]["application"]["candidate"]["id"] = one
        (statement,) = GREENHOUSE.translate(orjson.dumps(body)).statements
        told.append((statement.touchpoint.touchpoint_id, statement.person))
    assert told[0] == told[1]
