"""What holds for any history: folding on equals folding anew, and templates mean their words."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.contradictions.examples import EXAMPLE_CALENDAR
from projections.contradictions.fold import (
    ContradictionState,
    Finding,
    compile_rules,
    drain,
)
from projections.contradictions.rule import Response, load_rules, parse_rule
from projections.fact import Fact
from schemas.registry import TOUCHPOINTS
from tests.support.truth import FULL

PACK = compile_rules(load_rules(), {"default": EXAMPLE_CALENDAR})
START = datetime(2026, 1, 5, tzinfo=UTC)
STEP = timedelta(hours=6)

KINDS = sorted(PACK.kinds | {"stage_changed", "application_submitted"})
APPLICATIONS = st.sampled_from(["a1", "a1", "a2", None])
INTERVIEWS = st.sampled_from(["i1", "i2", None])


@st.composite
def told(draw: st.DrawFn, kinds: Sequence[str], span: int) -> Fact:
    """A touchpoint on a coarse grid of time, so that ties and shared days are common."""
    kind = draw(st.sampled_from(kinds))
    fields = TOUCHPOINTS[kind].model_fields
    precision = draw(st.sampled_from(["instant", "instant", "minute", "day"]))
    moment = START + draw(st.integers(0, span)) * STEP
    if precision == "day":
        moment = moment.replace(hour=0)
    fact = Fact(
        touchpoint_id="",
        occurred_at=moment,
        occurred_precision=precision,
        source="test",
        kind=kind,
        application_id=draw(APPLICATIONS),
    )
    if "interview_id" in fields:
        fact.interview_id = draw(INTERVIEWS)
    if "ends_at" in fields:
        fact.ends_at = draw(
            st.none() | st.integers(0, span + 10).map(lambda steps: START + steps * STEP)
        )
    return fact


@st.composite
def journeys(
    draw: st.DrawFn, kinds: Sequence[str] = KINDS, size: int = 25, span: int = 60
) -> list[Fact]:
    """A journey in the order of the fold: by time, ties as recorded."""
    recorded = draw(st.lists(told(kinds, span), max_size=size))
    for number, fact in enumerate(recorded):
        fact.touchpoint_id = str(number)
    return sorted(recorded, key=lambda fact: fact.occurred_at)


Silence = dict[str, datetime]
SILENCES = st.dictionaries(
    st.sampled_from(["a1", "a2"]), st.integers(-40, 60).map(lambda steps: START + steps * STEP)
)


def store(rows: dict[str, Finding], state: ContradictionState) -> None:
    """What the runner does: upsert what changed, delete what is gone."""
    changed, gone = drain(state)
    rows.update({finding.finding_key: finding for finding in changed})
    for key in gone:
        rows.pop(key, None)


def kept(state: ContradictionState, by_pickle: bool) -> ContradictionState:
    """The state after a stay in the store, or a journey to another process."""
    if by_pickle:
        copy: ContradictionState = pickle.loads(pickle.dumps(state))
        return copy
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=ContradictionState)


@settings(max_examples=100, deadline=None)
@given(journeys(), st.lists(SILENCES, min_size=25, max_size=25), st.data())
def test_folding_on_from_the_store_equals_folding_at_once(
    journey: list[Fact], silences: list[Silence], data: st.DataObject
) -> None:
    """Wherever a journey was put down and taken up again, the same rows are stored."""
    at_once, once_rows = ContradictionState(), dict[str, Finding]()
    for fact, silence in zip(journey, silences, strict=False):
        PACK.apply(at_once, fact, silence)
    store(once_rows, at_once)

    taken_up, rows = ContradictionState(), dict[str, Finding]()
    for fact, silence in zip(journey, silences, strict=False):
        PACK.apply(taken_up, fact, silence)
        if data.draw(st.booleans()):
            if data.draw(st.booleans()):
                store(rows, taken_up)
            taken_up = kept(taken_up, data.draw(st.booleans()))
    store(rows, taken_up)

    assert rows == once_rows
    assert taken_up == at_once


@settings(max_examples=100, deadline=None)
@given(journeys(), SILENCES)
def test_the_state_holds_exactly_what_may_still_change(
    journey: list[Fact], silences: Silence
) -> None:
    """Open findings are those stored obligations that nothing has settled; the rest is final."""
    state, rows = ContradictionState(), dict[str, Finding]()
    for fact in journey:
        PACK.apply(state, fact, silences)
        store(rows, state)
    for key, finding in rows.items():
        rule = PACK.rules[finding.rule]
        assert key == finding.finding_key
        assert PACK.explain(finding)
        if key in state.findings:
            assert state.findings[key] == finding
            assert isinstance(rule, Response)
            assert finding.until is None
            due = finding.since
            assert PACK.verdict(finding, due - timedelta(seconds=1)) == "pending"
            assert PACK.verdict(finding, due) == "mendable"
        elif finding.until is None:
            assert PACK.verdict(finding, finding.since) == "violated"
        else:
            assert finding.since < finding.until
    assert state.findings.keys() <= rows.keys()
    owed = [one.finding_key for owing in state.owed.values() for one in owing]
    assert sorted(owed) == sorted(state.findings)


# --- the meaning, told a second time and without memory ---------------------------------------

OFFERS = next(one for one in load_rules() if one.rule.startswith("offer_after"))
OFFER_PACK = compile_rules([OFFERS], {"default": EXAMPLE_CALENDAR})
OFFER_KINDS = ["rejection_sent", "offer_sent", "offer_sent", "application_reopened"]


def offers_found(journey: list[Fact]) -> set[str]:
    """Offers that certainly follow some rejection with nothing that may have reopened between."""
    numbered = list(enumerate(journey))
    found = set()
    for last, offer in numbered:
        for first, rejection in numbered[:last]:
            if (
                (offer.kind, rejection.kind) == ("offer_sent", "rejection_sent")
                and offer.application_id == rejection.application_id
                and rejection.certainly_by <= offer.occurred_at
                and not any(
                    may_lie_between(place, reopening, first, rejection, last, offer)
                    for place, reopening in numbered
                )
            ):
                found.add(offer.touchpoint_id)
    return found


def may_lie_between(
    place: int, reopening: Fact, first: int, rejection: Fact, last: int, offer: Fact
) -> bool:
    if reopening.kind != "application_reopened":
        return False
    application = reopening.application_id
    if None not in (application, offer.application_id) and application != offer.application_id:
        return False
    after_first = place > first or reopening.certainly_by > rejection.occurred_at
    before_last = place < last or reopening.occurred_at < offer.certainly_by
    return after_first and before_last


@settings(max_examples=400 if FULL else 200, deadline=None)
@given(journeys(OFFER_KINDS, size=10, span=10))
def test_an_offer_after_a_rejection_is_one_by_its_plain_definition(journey: list[Fact]) -> None:
    """The monitor finds what looking at every pair and everything between them finds."""
    state, rows = ContradictionState(), dict[str, Finding]()
    for fact in journey:
        OFFER_PACK.apply(state, fact, {})
    store(rows, state)
    assert {finding.evidence[-1].id for finding in rows.values()} == offers_found(journey)


TOLD = compile_rules(
    [
        parse_rule(
            yaml.safe_dump(
                {
                    "rule": "told", "version": 1, "title": "Told", "template": "response",
                    "scope": "application", "severity": "low", "reason": "a test",
                    "first": "interview_scheduled", "by": "interview_held", "within": "2 days",
                    "unless": "withdrew", "match": "interview_id", "anchor": "ends_at",
                    "explain": "Found.",
                }
            ),
            "told.yaml",
            examples=False,
        )
    ],
    {"default": EXAMPLE_CALENDAR},
)  # fmt: skip


@settings(max_examples=250 if FULL else 150, deadline=None)
@given(journeys(["interview_scheduled", "interview_held", "withdrew"], size=10, span=16))
def test_a_response_is_one_by_its_plain_definition(journey: list[Fact]) -> None:
    """What is owed, mended and never was is what the first possible answer of each makes it."""
    state, rows = ContradictionState(), dict[str, Finding]()
    for fact in journey:
        TOLD.apply(state, fact, {})
    store(rows, state)
    expected = {}
    for place, booking in enumerate(journey):
        if booking.kind != "interview_scheduled" or booking.ends_at is None:
            continue
        if booking.ends_at <= booking.occurred_at:
            continue
        due, until = booking.ends_at + timedelta(days=2), None
        answer = first_answer(journey, place)
        if answer is not None and answer.occurred_at <= due:
            continue
        if answer is not None:
            until = answer.occurred_at
        expected[f"told:{booking.touchpoint_id}"] = (due, until)
    assert {key: (one.since, one.until) for key, one in rows.items()} == expected


def first_answer(journey: list[Fact], place: int) -> Fact | None:
    """The first fact that may have come after a booking and discharges it."""
    booking = journey[place]
    for number, fact in enumerate(journey):
        if number == place or not (number > place or fact.certainly_by > booking.occurred_at):
            continue
        ids = (fact.interview_id, booking.interview_id)
        applications = (fact.application_id, booking.application_id)
        if None not in applications and applications[0] != applications[1]:
            continue
        if fact.kind == "interview_scheduled":
            told_again = number > place and None not in ids and ids[0] == ids[1]
            opens = fact.ends_at is not None and fact.ends_at > fact.occurred_at
            if told_again and opens and applications[0] == applications[1]:
                return fact
            continue
        if None in ids or ids[0] == ids[1]:
            return fact
    return None
