"""Silence as design §9 has it, a promise a test: when it starts, what ends it, what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.effective import effective
from projections.fact import Fact
from projections.silence.fold import (
    INTERVIEW_GRACE,
    INTERVIEW_UNTOLD,
    SilenceState,
    apply,
    open_since,
)
from schemas.registry import TRAITS
from tests.support.builders import T0, days, fact

PERSON = UUID(int=1)
Span = tuple[datetime, datetime | None]


def folded(*facts: Fact) -> SilenceState:
    state = SilenceState()
    for one in effective(list(facts)):
        apply(state, one, PERSON)
    return state


def spans(*facts: Fact) -> list[Span]:
    """Every silence of application a1 as (since, until), in order."""
    state = folded(*facts)
    ended: list[Span] = [(row.since, row.until) for row in state.finished]
    return ended + [(since, None) for since in open_since(state).values()]


def test_an_application_makes_the_employer_owe() -> None:
    """(a) The turn passes to the employer when the candidate applies."""
    assert spans(fact("application_submitted", T0)) == [(T0, None)]


def test_what_the_candidate_received_starts_the_silence_anew() -> None:
    """(b) The later of turn and last word counts."""
    assert spans(fact("application_submitted", T0), fact("message_sent", days(2))) == [
        (T0, days(2)),
        (days(2), None),
    ]


@pytest.mark.parametrize(
    "kind",
    ["stage_changed", "scorecard_submitted", "unrecognised_touchpoint", "rejection_decided",
     "reference_contacted", "offer_decided", "job_closed", "survey_sent", "survey_reminded",
     "nurture_sent"],
)  # fmt: skip
def test_what_tells_the_candidate_nothing_ends_nothing(kind: str) -> None:
    """Stage moves, notes, scorecards, decisions inside and mass mail leave the silence running."""
    assert spans(fact("application_submitted", T0), fact(kind, days(3))) == [(T0, None)]


def test_a_chaser_does_not_restart_it() -> None:
    """The candidate's own chaser counts as a chase and moves nothing."""
    state = folded(
        fact("application_submitted", T0),
        fact("chaser_received", days(5)),
        fact("chaser_received", days(9)),
    )
    assert open_since(state) == {"a1": T0}
    assert state.applications["a1"].chases == 2


def test_writing_again_does_not_restart_it() -> None:
    """A second message of the candidate finds the turn where it was."""
    assert spans(fact("message_received", T0), fact("message_received", days(4))) == [(T0, None)]


def test_an_answer_takes_the_chases_with_it() -> None:
    """Chases count for the silence they were made in."""
    state = folded(
        fact("application_submitted", T0),
        fact("chaser_received", days(5)),
        fact("message_sent", days(6)),
    )
    assert [row.chases for row in state.finished] == [1]
    assert state.applications["a1"].chases == 0


def test_a_question_makes_it_the_candidates_turn() -> None:
    """While the candidate is asked something, nobody waits for the employer."""
    assert spans(
        fact("application_submitted", T0),
        fact("message_sent", days(1), asks=True),
    ) == [(T0, days(1))]


def test_a_booked_interview_is_nobodys_turn_until_its_end_and_a_grace() -> None:
    """The silence after a booking begins in the future of the booking."""
    ends = days(5)
    booked = fact("interview_scheduled", days(1), starts_at=days(4.9), ends_at=ends)
    assert spans(fact("application_submitted", T0), booked) == [
        (T0, days(1)),
        (ends + INTERVIEW_GRACE, None),
    ]


def test_a_booking_whose_time_nobody_told_is_not_waited_for_without_end() -> None:
    """Lever and many logs tell that an interview was booked, and never for when."""
    booked = fact("interview_scheduled", days(1))
    assert spans(fact("application_submitted", T0), booked) == [
        (T0, days(1)),
        (days(1) + INTERVIEW_UNTOLD, None),
    ]
    # A calendar that knows the time says more, whichever of them was first.
    known = fact("interview_scheduled", days(1), ends_at=days(9))
    for order in ((booked, known), (known, booked), (known, booked, booked)):
        assert spans(*order) == [(days(9) + INTERVIEW_GRACE, None)]
    assert spans(known, fact("interview_moved", days(2))) == [(days(2) + INTERVIEW_UNTOLD, None)]


def test_a_booking_or_a_day_at_the_end_of_time_is_taken_as_that() -> None:
    """Sources write "never" as the last day there is, and nothing is later than that."""
    end = datetime.max.replace(tzinfo=UTC)
    last_day = end.replace(hour=0, minute=0, second=0, microsecond=0)
    applied = fact("application_submitted", T0)
    assert spans(applied, fact("interview_scheduled", days(1), ends_at=last_day))[-1] == (end, None)
    answered = fact("message_received", last_day, occurred_precision="day")
    assert spans(answered) == [(end, None)]


def test_an_interview_passes_the_turn_at_its_end() -> None:
    """After the interview the employer owes an answer, from its end."""
    ends = days(5) + timedelta(hours=1)
    booked = fact("interview_scheduled", days(1), starts_at=days(5), ends_at=ends)
    held = fact("interview_held", days(5), ends_at=ends)
    assert spans(booked, held) == [(ends, None)]


def test_a_moved_interview_moves_the_turn() -> None:
    """Only the new time counts, also when it is earlier."""
    booked = fact("interview_scheduled", days(1), ends_at=days(9))
    moved = fact("interview_moved", days(2), ends_at=days(4))
    assert spans(booked, moved) == [(days(4) + INTERVIEW_GRACE, None)]


def test_of_two_bookings_the_later_end_counts() -> None:
    """A panel is one wait, not several."""
    first = fact("interview_scheduled", days(1), ends_at=days(9))
    second = fact("interview_scheduled", days(2), ends_at=days(4))
    assert spans(first, second) == [(days(9) + INTERVIEW_GRACE, None)]


def test_a_message_before_the_interview_leaves_it_nobodys_turn() -> None:
    """A confirmation on the way does not start the clock early."""
    booked = fact("interview_scheduled", days(1), ends_at=days(9))
    assert spans(booked, fact("message_sent", days(3))) == [(days(9) + INTERVIEW_GRACE, None)]


def test_a_question_before_the_interview_is_owed_an_answer() -> None:
    """The candidate writes before the interview: owed until answered, then nobody's turn again."""
    booked = fact("interview_scheduled", days(1), ends_at=days(9))
    asked, answered = fact("message_received", days(2)), fact("message_sent", days(4))
    assert spans(booked, asked) == [(days(2), None)]
    assert spans(booked, asked, answered) == [
        (days(2), days(4)),
        (days(9) + INTERVIEW_GRACE, None),
    ]


def test_a_cancelled_interview_gives_the_turn_back() -> None:
    """After a cancellation the employer owes the next step."""
    booked = fact("interview_scheduled", days(1), ends_at=days(9))
    assert spans(booked, fact("interview_cancelled", days(3))) == [(days(3), None)]


def test_an_internal_rejection_is_silence() -> None:
    """Decided and not told: the silence goes on; telling ends it and closes the application."""
    decided = (fact("application_submitted", T0), fact("rejection_decided", days(2)))
    assert spans(*decided) == [(T0, None)]
    assert spans(*decided, fact("rejection_sent", days(7))) == [(T0, days(7))]


@pytest.mark.parametrize("kind", ["rejection_sent", "withdrew", "hired"])
def test_a_closed_application_waits_for_nothing(kind: str) -> None:
    """Nothing that comes after the close opens a silence, but a reopening does."""
    closed = (fact("application_submitted", T0), fact(kind, days(1)))
    assert spans(*closed, fact("message_received", days(2))) == [(T0, days(1))]
    assert spans(*closed, fact("application_reopened", days(3)))[-1] == (days(3), None)


def test_applications_do_not_mix() -> None:
    """An answer about one job is none about another."""
    state = folded(
        fact("application_submitted", T0, application="a1"),
        fact("application_submitted", T0, application="a2"),
        fact("rejection_sent", days(1), application="a2"),
    )
    assert open_since(state) == {"a1": T0}


def test_what_names_no_application_speaks_to_every_open_one() -> None:
    """A mail that says nothing of a job is heard by a candidate with two."""
    state = folded(
        fact("application_submitted", T0, application="a1"),
        fact("application_submitted", T0, application="a2"),
        fact("message_sent", days(1), application=None),
    )
    assert open_since(state) == {"a1": days(1), "a2": days(1)}


def test_a_day_only_fact_counts_from_the_end_of_its_day() -> None:
    """Of a fact known to the day, the doubt is the employer's benefit."""
    start = T0.replace(hour=0)
    applied = fact("application_submitted", start, occurred_precision="day")
    assert spans(applied) == [(start + timedelta(days=1), None)]


def test_a_journey_may_begin_in_the_middle() -> None:
    """An interview without an application before it is owed an answer all the same."""
    assert spans(fact("interview_held", T0)) == [(T0, None)]


KINDS = sorted(kind for kind in TRAITS if not kind.startswith(("touchpoint_", "candidates_")))
histories = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 500), st.sampled_from(["a1", "a2", None])),
    max_size=25,
)


@given(histories)
def test_silences_are_spans_that_do_not_overlap(history: list[tuple[str, int, str | None]]) -> None:
    """Each ends after it begins, and of one application none overlaps the next."""
    facts = [
        fact(kind, T0 + timedelta(hours=after), application=application)
        for kind, after, application in history
    ]
    state = folded(*facts)
    for application in ("a1", "a2"):
        ended = [row for row in state.finished if row.application_id == application]
        for row in ended:
            assert row.until is not None
            assert row.since < row.until
        for before, after in pairwise(ended):
            assert before.until is not None
            assert before.until <= after.since
        assert len({row.began_by for row in ended}) == len(ended)


@given(histories, st.integers(0, 25))
def test_folding_on_from_the_store_equals_folding_at_once(
    history: list[tuple[str, int, str | None]], cut: int
) -> None:
    """A state written and read in the middle folds on to the same silences."""
    facts = effective(
        [
            fact(kind, T0 + timedelta(hours=after), application=application)
            for kind, after, application in history
        ]
    )
    state = SilenceState()
    for number, one in enumerate(facts):
        if number == cut:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=SilenceState)
        apply(state, one, PERSON)
    assert state == folded(*facts)


def test_a_silence_is_of_the_stage_in_which_it_lasted() -> None:
    """What ends it may move the application on; the next silence is of the new stage."""
    state = folded(
        fact("application_submitted", T0, stage="Screen"),
        fact("interview_held", days(1), stage="Onsite"),
        fact("stage_changed", days(2), stage="Offer"),
        fact("rejection_sent", days(3)),
    )
    assert [row.stage for row in state.finished] == ["Screen", "Offer"]
