"""Folding rules over one journey: order, scope, discharge, what the runner gets."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
import yaml

from projections.contradictions.examples import EXAMPLE_CALENDAR, fact_of
from projections.contradictions.fold import (
    CompiledRules,
    ContradictionState,
    Finding,
    compile_rules,
    deadline_of,
    drain,
)
from projections.contradictions.rule import ExampleTouchpoint, RuleError, load_rules, parse_rule
from projections.fact import Fact

CALENDARS = {"default": EXAMPLE_CALENDAR}
PACK = compile_rules(load_rules(), CALENDARS)
CANDIDATE = UUID(int=7)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def facts(*lines: str) -> list[Fact]:
    """Facts told as in a rule's examples, in the order in which the runner folds them."""
    told = [
        fact_of(place, ExampleTouchpoint.model_validate(line))
        for place, line in enumerate(lines, 1)
    ]
    return sorted(told, key=lambda fact: fact.occurred_at)


def fold(
    *lines: str, rules: CompiledRules = PACK, silences: Mapping[str, datetime] | None = None
) -> tuple[list[Finding], ContradictionState]:
    """What there is to store of a journey, and its state."""
    state = ContradictionState()
    for fact in facts(*lines):
        rules.apply(state, fact, silences or {})
    changed, _ = drain(state)
    return changed, state


def proofs(*lines: str, rules: CompiledRules = PACK) -> list[str]:
    """The evidence of every finding, as places in the journey: `["1 2"]`."""
    changed, _ = fold(*lines, rules=rules)
    return [" ".join(one.id for one in finding.evidence) for finding in changed]


def rule(**given: Any) -> CompiledRules:
    """One rule of a test's own, compiled."""
    told = {
        "rule": "sample", "version": 1, "title": "A sample", "scope": "application",
        "severity": "low", "reason": "a test", "explain": "Found.", **given,
    }  # fmt: skip
    return compile_rules([parse_rule(yaml.safe_dump(told), "sample.yaml", examples=False)])


NO_OFFER = rule(
    template="not_succession",
    first=["rejection_decided", "rejection_sent"],
    then="offer_sent",
    unless="application_reopened",
)
TOLD = rule(
    template="response",
    first="rejection_decided",
    by="rejection_sent",
    within="3 days",
    unless="application_reopened",
)


# --- order ----------------------------------------------------------------------------------


def test_each_later_one_is_a_finding_against_the_first() -> None:
    """Every `then` after the first `first` is a finding, with the first one as its proof."""
    assert proofs(
        "2026-01-05T10:00Z rejection_decided",
        "2026-01-06T10:00Z rejection_sent",
        "2026-01-07T10:00Z offer_sent",
        "2026-01-08T10:00Z offer_sent",
        rules=NO_OFFER,
    ) == ["1 3", "1 4"]


def test_tied_instants_follow_the_order_they_were_recorded_in() -> None:
    """Two exact facts of one instant are ordered as recorded."""
    reject, offer = "2026-01-05T10:00Z rejection_sent", "2026-01-05T10:00Z offer_sent"
    assert proofs(reject, offer, rules=NO_OFFER) == ["1 2"]
    assert proofs(offer, reject, rules=NO_OFFER) == []


@pytest.mark.parametrize(
    ("first", "then", "found"),
    [
        ("2026-01-05 rejection_sent", "2026-01-05T23:59Z offer_sent", False),
        ("2026-01-05 rejection_sent", "2026-01-05 offer_sent", False),
        ("2026-01-05 rejection_sent", "2026-01-06 offer_sent", True),
        ("2026-01-05T00:00Z rejection_sent", "2026-01-05 offer_sent", True),
        ("2026-01-05T00:01Z rejection_sent", "2026-01-05 offer_sent", False),
        ("2026-01-05T23:59Z rejection_sent", "2026-01-06 offer_sent", True),
    ],
)
def test_a_day_only_fact_is_not_ordered_within_its_day(first: str, then: str, found: bool) -> None:
    """Nobody is accused of an order that may have been the other way round."""
    assert bool(proofs(first, then, rules=NO_OFFER)) is found


def test_a_timed_rejection_stands_beside_a_day_only_one() -> None:
    """The one that had certainly happened the earliest is the one that counts."""
    assert proofs(
        "2026-01-05 rejection_decided",
        "2026-01-05T09:00Z rejection_sent",
        "2026-01-05T10:00Z offer_sent",
        rules=NO_OFFER,
    ) == ["2 3"]


def test_minutes_are_not_ordered_within_the_minute() -> None:
    """A fact known to the minute does not contradict another of the same minute."""
    lines: list[Any] = [
        {"at": "2026-01-05T10:00Z", "kind": "rejection_sent", "precision": "minute"},
        "2026-01-05T10:00:30Z offer_sent",
        "2026-01-05T10:01Z offer_sent",
    ]
    assert proofs(*lines, rules=NO_OFFER) == ["1 3"]


@pytest.mark.parametrize(
    "lines",
    [
        ("05T10:00Z rejection_sent", "05 application_reopened", "07T10:00Z offer_sent"),
        ("05 rejection_sent", "05T10:00Z application_reopened", "07T10:00Z offer_sent"),
        ("05T10:00Z rejection_sent", "07 offer_sent", "07T10:00Z application_reopened"),
        ("05T10:00Z rejection_sent", "07 offer_sent", "07 application_reopened"),
        ("05T10:00Z rejection_sent", "07T10:00Z offer_sent", "07 application_reopened"),
    ],
)
def test_a_reopening_that_may_lie_between_excuses(lines: tuple[str, ...]) -> None:
    """Known to the day alone, a reopening is taken to have come where it excuses."""
    assert proofs(*(f"2026-01-{line}" for line in lines), rules=NO_OFFER) == []


@pytest.mark.parametrize(
    "lines",
    [
        ("04 application_reopened", "05T10:00Z rejection_sent", "07T10:00Z offer_sent"),
        ("05T10:00Z rejection_sent", "07 offer_sent", "08T00:00Z application_reopened"),
        ("05T09:00Z application_reopened", "05T10:00Z rejection_sent", "07T10:00Z offer_sent"),
    ],
)
def test_a_reopening_that_cannot_lie_between_does_not_excuse(lines: tuple[str, ...]) -> None:
    """A reopening before the rejection, or after the offer, changes nothing."""
    assert len(proofs(*(f"2026-01-{line}" for line in lines), rules=NO_OFFER)) == 1


# --- scope ----------------------------------------------------------------------------------


def test_applications_do_not_mix() -> None:
    """A rejection for one job says nothing about an offer for another."""
    assert proofs(
        "2026-01-05T10:00Z rejection_sent application_id=a1",
        "2026-01-06T10:00Z offer_sent application_id=a2",
        "2026-01-07T10:00Z offer_sent application_id=",
        rules=NO_OFFER,
    ) == []  # fmt: skip


def test_a_fact_without_an_application_excuses_and_does_not_accuse() -> None:
    """A reopening that names no application may be of any; an offer that names none is of none."""
    assert proofs(
        "2026-01-05T10:00Z rejection_sent",
        "2026-01-06T10:00Z application_reopened application_id=",
        "2026-01-07T10:00Z offer_sent",
        rules=NO_OFFER,
    ) == []  # fmt: skip
    assert proofs(
        "2026-01-05T10:00Z rejection_sent application_id=",
        "2026-01-07T10:00Z offer_sent application_id=",
        rules=NO_OFFER,
    ) == ["1 2"]


def test_ids_that_look_like_nothing_are_ids() -> None:
    """Applications called NA and null are two applications (design §7)."""
    assert proofs(
        "2026-01-05T10:00Z rejection_sent application_id=NA",
        "2026-01-06T10:00Z offer_sent application_id=null",
        "2026-01-07T10:00Z offer_sent application_id=NA",
        rules=NO_OFFER,
    ) == ["1 3"]


def test_candidate_scope_reads_the_whole_journey() -> None:
    """In candidate scope applications do mix, and the finding is about none of them."""
    rules = rule(
        template="not_succession", scope="candidate", first="rejection_sent", then="survey_sent"
    )
    changed, _ = fold(
        "2026-01-05T10:00Z rejection_sent application_id=a1",
        "2026-01-06T10:00Z survey_sent application_id=a2",
        rules=rules,
    )
    assert [finding.application_id for finding in changed] == [None]


# --- response -------------------------------------------------------------------------------


def test_an_obligation_is_pending_then_mendable_then_mended() -> None:
    """Before its due time pending, then mendable, satisfied from the late answer on."""
    (open_,), state = fold("2026-01-05T10:00Z rejection_decided", rules=TOLD)
    assert list(state.findings.values()) == [open_]
    assert TOLD.verdict(open_, at("2026-01-08T09:59Z")) == "pending"
    assert TOLD.verdict(open_, at("2026-01-08T10:00Z")) == "mendable"
    late = facts("2026-01-05T10:00Z rejection_decided", "2026-01-09T10:00Z rejection_sent")[1]
    TOLD.apply(state, late, {})
    (mended,), gone = drain(state)
    assert (mended.finding_key, mended.since) == (open_.finding_key, open_.since)
    assert (mended.until, gone, state.findings) == (at("2026-01-09T10:00Z"), [], {})
    assert TOLD.verdict(mended, at("2026-01-08T10:00Z")) == "mendable"
    assert TOLD.verdict(mended, at("2026-01-09T10:00Z")) == "satisfied"


def test_an_answer_in_time_takes_the_finding_away() -> None:
    """The runner is told which row to delete, and nothing is left in the state."""
    state = ContradictionState()
    first, last = facts("2026-01-05T10:00Z rejection_decided", "2026-01-08T10:00Z rejection_sent")
    TOLD.apply(state, first, {})
    ((opened,), gone) = drain(state)
    assert gone == []
    TOLD.apply(state, last, {})
    assert drain(state) == ([], [opened.finding_key])
    assert msgspec.msgpack.encode(state) == msgspec.msgpack.encode(ContradictionState())


def test_a_day_only_answer_counts_for_its_whole_day() -> None:
    """Sent on the day of the decision, at whatever hour: nothing is owed."""
    assert proofs(
        "2026-01-05T10:00Z rejection_decided", "2026-01-05 rejection_sent", rules=TOLD
    ) == []  # fmt: skip
    assert proofs(
        "2026-01-05T10:00Z rejection_decided", "2026-01-04 rejection_sent", rules=TOLD
    ) == ["1"]


def test_a_day_only_obligation_is_counted_from_the_end_of_its_day() -> None:
    """A due time never comes before the time it was promised to be."""
    (finding,), _ = fold("2026-01-05 rejection_decided", rules=TOLD)
    assert finding.since == at("2026-01-09T00:00Z")


def test_what_excuses_others_does_not_excuse_itself() -> None:
    """A day-only fact that is both `first` and `by` opens its obligation all the same."""
    rules = rule(
        template="response", first="kept_in_mind", by=["kept_in_mind", "message_sent"],
        within="180 days",
    )  # fmt: skip
    assert proofs("2026-01-05 kept_in_mind", rules=rules) == ["1"]
    assert proofs("2026-01-05 kept_in_mind", "2026-03-05 kept_in_mind", rules=rules) == ["2"]


def test_a_final_due_time_is_not_mended() -> None:
    """With `mendable: false` a late answer changes nothing."""
    rules = rule(
        template="response", first="promise_made", anchor="due_at", by="message_sent",
        within="1 hour", mendable=False,
    )  # fmt: skip
    lines = [
        "2026-01-05T10:00Z promise_made due_at=2026-01-07T10:00Z",
        "2026-01-08T10:00Z message_sent",
    ]
    (finding,), state = fold(*lines, rules=rules)
    assert (finding.until, finding.since, state.findings) == (None, at("2026-01-07T11:00Z"), {})
    assert rules.verdict(finding, at("2026-01-09T10:00Z")) == "violated"


def interviews(*lines: str) -> list[str]:
    changed, _ = fold(*(f"2026-01-{line}" for line in lines))
    return [
        " ".join(one.id for one in finding.evidence)
        for finding in changed
        if finding.rule == "interview_nobody_came"
    ]


BOOKED = "05T10:00Z interview_scheduled ends_at=2026-01-07T14:00Z interview_id="


def test_interviews_are_told_apart_by_their_id() -> None:
    """What happened to one interview says nothing about another."""
    assert interviews(f"{BOOKED}i1", f"{BOOKED}i2", "07T14:00Z interview_held interview_id=i2") == [
        "1"
    ]
    assert interviews(f"{BOOKED}i1", f"{BOOKED}i2", "07T14:00Z interview_held") == []
    assert interviews(BOOKED, BOOKED, "07T14:00Z interview_held interview_id=i2") == []
    missed = "07T14:00Z interview_missed_by_employer interview_id=i2"
    assert interviews(f"{BOOKED}i1", f"{BOOKED}i2", missed) == ["1", "2 3"]


def test_ids_of_two_systems_tell_nothing_apart() -> None:
    """The calendar knows the interview under another id than the ATS: it took place."""
    held = "07T14:00Z interview_held interview_id=event-9 source="
    assert interviews(f"{BOOKED}i1 source=ats", f"{held}calendar") == []
    assert interviews(f"{BOOKED}i1 source=ats", f"{held}ats") == ["1"]
    missed = "07T14:00Z interview_missed_by_employer interview_id=event-9 source=calendar"
    assert interviews(f"{BOOKED}i1 source=ats", missed) == ["1 2"]


def test_a_booking_told_twice_is_one_booking() -> None:
    """The same interview id booked again replaces the first telling."""
    assert interviews(f"{BOOKED}i1", f"{BOOKED}i1") == ["2"]


def test_a_booking_entered_after_its_end_promises_nothing() -> None:
    """An interview recorded once it was over is a record of it."""
    assert interviews("08T10:00Z interview_scheduled ends_at=2026-01-07T14:00Z") == []
    assert interviews("05T10:00Z interview_scheduled") == []


def test_a_scorecard_counts_before_the_end_only_for_its_own_interview() -> None:
    """A scorecard of the same id says enough; one without an id may be of an earlier interview."""
    early = "06T10:00Z scorecard_submitted interview_id="
    assert interviews(f"{BOOKED}i1", f"{early}i1") == []
    assert interviews(f"{BOOKED}i1", early) == ["1"]
    assert interviews(f"{BOOKED}i1", "08T10:00Z scorecard_submitted") == []


def test_a_no_show_that_was_overdue_keeps_the_earlier_time() -> None:
    """Told late that nobody came, the finding stays since it was due."""
    changed, _ = fold(
        f"2026-01-{BOOKED}i1", "2026-01-12T10:00Z interview_missed_by_employer interview_id=i1"
    )
    (finding,) = changed
    assert finding.since == at("2026-01-08T14:00Z")
    assert PACK.verdict(finding, at("2026-01-13T10:00Z")) == "violated"


def test_a_decision_of_an_unordered_day_may_have_come_after_the_interview() -> None:
    """A day-only decision on the day of the interview says that it took place."""
    assert interviews(f"{BOOKED}i1", "07 rejection_decided") == []
    assert interviews(f"{BOOKED}i1", "06 rejection_decided") == ["1"]


# --- conditions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "score", "found"),
    [
        (3, "3", True),
        (3, "4", False),
        ("missing", "", True),
        ("missing", "0", False),
        ("present", "0", True),
        ("present", "", False),
        ({"not_equals": 3}, "", True),
        ({"one_of": [1, 2]}, "2", True),
        ({"one_of": [1, 2]}, "", False),
        ({"none_of": [1, 2]}, "3", True),
        ({"at_most": 6}, "6", True),
        ({"at_most": 6}, "", False),
        ({"less_than": 6}, "6", False),
        ({"at_least": 2, "at_most": 6}, "7", False),
        ({"greater_than": 6}, "7", True),
    ],
)
def test_conditions_choose_among_facts_of_a_kind(test: Any, score: str, found: bool) -> None:
    """Each test of a condition takes what it says, and a missing value fails comparisons."""
    rules = rule(
        template="not_succession",
        first="survey_sent",
        then={"kinds": "survey_answered", "where": {"score": test}},
    )
    lines = ["2026-01-05T10:00Z survey_sent", f"2026-01-06T10:00Z survey_answered score={score}"]
    assert bool(proofs(*lines, rules=rules)) is found


def test_any_of_a_roles_selectors_may_take_a_fact() -> None:
    """Two selectors of one kind are alternatives, and a fact that fits both counts once."""
    rules = rule(
        template="requires",
        of=[
            {"kinds": "offer_sent", "where": {"stage": "offer"}},
            {"kinds": "offer_sent", "where": {"channel": "ats"}},
        ],
        field="offer_id",
    )
    assert proofs("2026-01-05T10:00Z offer_sent stage=offer", rules=rules) == ["1"]
    assert proofs("2026-01-05T10:00Z offer_sent stage=x channel=email", rules=rules) == []


# --- what the runner gets -------------------------------------------------------------------


def test_nothing_relevant_leaves_the_state_empty() -> None:
    """A journey no rule is about costs a byte in the store."""
    _, state = fold(
        "2026-01-05T10:00Z application_submitted",
        "2026-01-06T10:00Z stage_changed",
        "2026-01-07T10:00Z message_sent",
    )
    assert msgspec.msgpack.encode(state) == b"\x80"


def test_the_state_does_not_grow_with_the_journey() -> None:
    """A hundred interviews held, and surveys sent meanwhile, leave what one leaves."""
    state = ContradictionState()
    sizes = set()
    for year in range(1971, 2071):
        for fact in facts(
            f"{year}-01-05T10:00Z interview_scheduled interview_id=i1 ends_at={year}-01-07T14:00Z",
            f"{year}-01-06T10:00Z survey_sent",
            f"{year}-01-06 scorecard_submitted",
            f"{year}-01-07T14:00Z interview_held interview_id=i1",
            f"{year}-01-08T14:00Z rejection_sent",
            f"{year}-01-09T14:00Z offer_sent",
            f"{year}-01-10 application_reopened",
        ):
            PACK.apply(state, fact, {"a1": at("1970-12-01T10:00Z")})
        drain(state)
        sizes.add(len(msgspec.msgpack.encode(state)))
    assert len(sizes) == 1


def test_a_finding_survives_the_store_and_json() -> None:
    """The state comes back from msgpack as it went, and evidence is JSON with id, kind and at."""
    (finding, *_), state = fold("2026-01-05T10:00Z rejection_decided")
    kept = msgspec.msgpack.encode(state)
    assert msgspec.msgpack.decode(kept, type=ContradictionState) == state
    assert pickle.loads(pickle.dumps(state)) == state
    assert msgspec.json.decode(msgspec.json.encode(finding.evidence)) == [
        {"id": "1", "kind": "rejection_decided", "at": "2026-01-05T10:00:00Z"}
    ]


def test_rules_pickle_for_worker_processes() -> None:
    """A copy from another process finds the same."""
    copy: CompiledRules = pickle.loads(pickle.dumps(PACK))
    lines = ["2026-01-05T10:00Z rejection_decided", "2026-01-06T10:00Z offer_sent"]
    assert fold(*lines, rules=copy) == fold(*lines)
    assert copy.fingerprint == PACK.fingerprint


def test_the_fingerprint_follows_what_is_found() -> None:
    """Another window or another calendar asks for a rebuild; another example does not."""
    rules = load_rules()
    assert compile_rules(rules[1:], CALENDARS).fingerprint != PACK.fingerprint
    assert compile_rules(rules, dict(CALENDARS)).fingerprint == (PACK.fingerprint)
    bare = [one.model_copy(update={"examples": ()}) for one in rules]
    assert compile_rules(bare, CALENDARS).fingerprint == PACK.fingerprint


def test_a_deadline_stands_at_the_due_time() -> None:
    """A finding's deadline is when someone must see it, under the alert's key."""
    (finding,), _ = fold("2026-01-05T10:00Z rejection_decided")
    deadline = deadline_of(finding, CANDIDATE)
    assert deadline == (
        at("2026-01-12T10:00Z"), "contradiction", CANDIDATE, "a1", "rejection_not_sent", "high",
        "rule:rejection_not_sent:1", at("2026-01-12T10:00Z"), finding.evidence,
    )  # fmt: skip


def test_a_calendar_nobody_defined_is_named() -> None:
    """A rule that measures by an unknown calendar does not compile."""
    with pytest.raises(RuleError, match="calendar: there is no 'default'; known: lisbon"):
        compile_rules(load_rules(), {"lisbon": EXAMPLE_CALENDAR})


def test_a_finding_outlives_its_rule() -> None:
    """A stored finding of a rule that is gone can still be read."""
    (finding,), _ = fold("2026-01-05T10:00Z availability_requested")
    empty = compile_rules([])
    assert empty.verdict(finding, at("2026-02-01T00:00Z")) == "violated"
    assert "no longer loaded" in empty.explain(finding)


def test_a_fact_of_the_last_day_there_is_breaks_nothing() -> None:
    """Sources write "never" as 9999-12-31, also as a day."""
    changed, _ = fold("9999-12-31 rejection_decided", "9999-12-31 offer_sent")
    assert [finding.rule for finding in changed] == ["rejection_not_sent"]
