"""The fold of paths: packed steps, whatever the pages they arrive in."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from projections.fact import Fact
from projections.journey_map.view import JourneyMapView
from projections.paths.fold import STEPS, apply
from projections.paths.kinds import KINDS, NUMBER
from projections.paths.view import PathView, part_name
from projections.projection import Journey, JourneyFold, decode_journey, encode_journey
from schemas.registry import TOUCHPOINTS
from tests.support.builders import T0, fact, the_meaning

JOURNEY = uuid4()
MEANING = the_meaning()
FOLD = JourneyFold(MEANING)


def rows_of(facts: list[Fact], page: int) -> dict[tuple[str, str], tuple[bytes, bytes]]:
    """What is stored after facts were folded so many at a time, the state stored in between."""
    applications, full, journey, table = JourneyMapView(), PathView(), Journey(), {}
    for start in range(0, len(facts), page):
        journey = decode_journey(encode_journey(journey))
        some = facts[start : start + page]
        FOLD.apply(journey, some, JOURNEY)
        changed = full.changes(JOURNEY, full.snapshot(JOURNEY, journey), journey, MEANING)
        assert not changed.stale
        for row in changed.rows:
            assert row[1:3] not in table, "a full part is written once"
            table[row[1:3]] = row[3:]
    for row in applications.snapshot(JOURNEY, journey):
        *_, kinds, times = row
        if kinds:
            part = sum(key[0] == row[1] for key in table)
            table[row[1], part_name(part)] = (kinds, times)
    return table


def steps_of(kinds: bytes, times: bytes) -> list[tuple[str, datetime]]:
    """What a row says, read the slow way."""
    head = b"\xdc" + len(kinds).to_bytes(2, "big")
    moments = msgspec.msgpack.decode(head + times, type=list[datetime])
    return [(KINDS[kind], at) for kind, at in zip(kinds, moments, strict=True)]


def test_every_kind_has_a_number_that_never_changes() -> None:
    """Stored paths say numbers: a new kind goes to the end of the list, none is moved."""
    assert set(KINDS) == set(TOUCHPOINTS), "add the new kind at the end of projections/paths/kinds"
    assert len(NUMBER) == len(KINDS) <= 256
    first = hashlib.sha256("\n".join(KINDS[:59]).encode()).hexdigest()
    assert first == "30ecddf79640c020272d8a01fd12ebd56d0c19c206156396fa61dfb20305c354"


def test_a_path_is_kind_and_moment_of_every_step() -> None:
    """In the order given, exact to the microsecond, in any century."""
    moments = [
        datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        T0,
        T0 + timedelta(microseconds=1),
        datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC),
        datetime(2600, 1, 1, 0, 0, 0, 5, UTC),
    ]
    facts = [fact(KINDS[n], at) for n, at in enumerate(moments)]
    ((kinds, times),) = rows_of(facts, 10).values()
    assert steps_of(kinds, times) == [(each.kind, each.occurred_at) for each in facts]


def test_touchpoints_of_no_application_are_steps_of_none() -> None:
    """They belong to a journey and to no path."""
    assert rows_of([fact("message_sent", application=None)], 1) == {}


@pytest.mark.parametrize("length", [STEPS - 1, STEPS, STEPS + 1, 3 * STEPS, 1000])
@pytest.mark.parametrize("page", [1, 7, STEPS, 10_000])
def test_pages_make_no_difference(length: int, page: int) -> None:
    """One by one or all at once, over several applications: the same rows, none over-full."""
    rng = random.Random(length * page)
    facts = [
        fact(
            rng.choice(KINDS[:40]),
            T0 + timedelta(seconds=number, microseconds=rng.choice((0, 0, 7))),
            application=rng.choice(("a", "a", "a", "b", None)),
        )
        for number in range(length)
    ]
    table = rows_of(facts, page)
    assert table == rows_of(facts, length)
    for application in ("a", "b"):
        parts = [
            table[application, part_name(part)]
            for part in range(sum(key[0] == application for key in table))
        ]
        assert all(len(kinds) == STEPS for kinds, _ in parts[:-1])
        told = [step for kinds, times in parts for step in steps_of(kinds, times)]
        assert told == [(f.kind, f.occurred_at) for f in facts if f.application_id == application]


def test_the_state_of_a_long_journey_stays_small() -> None:
    """Ten thousand touchpoints leave one unfinished part behind, once the rest is written."""
    journey = Journey()
    steps = [fact("message_sent", T0 + timedelta(hours=n)) for n in range(10_000)]
    apply(journey.paths, "a1", steps)
    PathView().changes(JOURNEY, [], journey, MEANING)
    assert len(encode_journey(journey)) < 2_000
