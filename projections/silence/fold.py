"""Silences of one journey (design §9, first paragraph). Pure; facts, no verdicts, no clock.

Silence of an open application starts when the employer comes to owe the candidate something: the
later of (a) the moment the turn passed to the employer and (b) the last thing the employer did
that the candidate received. A booked interview passes the turn at its end plus a grace, so its
silence may begin in the future of the last fact, and vanishes if something comes before.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from projections.fact import Fact, later
from projections.silence.rows import SilenceRow
from schemas.registry import TRAITS

INTERVIEW_GRACE = timedelta(hours=24)
"""How long after a booked interview's end it stays nobody's turn."""
INTERVIEW_UNTOLD = timedelta(days=14)
"""The same, from the booking on, for an interview of which nobody told when it is to be."""

Effect = tuple[bool, str, str]
# What a kind does to a silence, worked out once: (ends it, turn, lifecycle). Some do nothing.
_EFFECTS: dict[str, Effect] = {
    kind: (traits.answers, traits.turn, traits.lifecycle)
    for kind, traits in TRAITS.items()
    if traits.answers or traits.turn != "unchanged" or traits.lifecycle != "none"
}
_BOOKINGS = frozenset({"interview_scheduled", "interview_moved"})
_BOOKING_OVER = frozenset({"interview_held", "interview_cancelled", "interview_missed_by_employer"})


class Waiting(msgspec.Struct, omit_defaults=True, gc=False):
    """One application: is it open, whose turn, what was heard last, and the silence that makes.

    `since` None means the employer owes nothing. `began_by` is the touchpoint of the later of
    (a) and (b).
    """

    source: str
    is_open: bool = True
    since: datetime | None = None
    began_by: str = ""
    began_kind: str = ""
    booked_until: datetime | None = None
    booked_untold: bool = False
    booked_by: str = ""
    booked_kind: str = ""
    heard_at: datetime | None = None
    heard_by: str = ""
    heard_kind: str = ""
    job_id: str | None = None
    stage: str | None = None
    last_interview_at: datetime | None = None
    interviews: int = 0
    chases: int = 0


class SilenceState(msgspec.Struct, omit_defaults=True, gc=False):
    """Every application of a journey, and the silences that ended since they were last taken."""

    applications: dict[str, Waiting] = msgspec.field(default_factory=dict)
    finished: list[SilenceRow] = msgspec.field(default_factory=list)


def apply(state: SilenceState, fact: Fact, candidate_id: UUID) -> None:
    """Take one more fact, in `occurred_at` order, into the state (changed in place)."""
    application_id = fact.application_id
    effect = _EFFECTS.get(fact.kind)
    if application_id is not None:
        waiting = state.applications.get(application_id)
        if waiting is None:
            waiting = state.applications[application_id] = Waiting(fact.source)
        if fact.job_id is not None:
            waiting.job_id = fact.job_id
        if effect is not None:
            _step(state, candidate_id, application_id, waiting, fact, effect)
        elif waiting.since is not None and fact.kind == "chaser_received":
            waiting.chases += 1
        if fact.stage is not None:
            # Last, since a silence that it ended was one of the stage before.
            waiting.stage = fact.stage
    elif effect is not None or fact.kind == "chaser_received":
        # It names no application, so it speaks to every one that is open.
        for each, waiting in state.applications.items():
            if not waiting.is_open:
                continue
            if effect is None:
                waiting.chases += waiting.since is not None
            else:
                _step(state, candidate_id, each, waiting, fact, effect)


def _step(
    state: SilenceState,
    candidate_id: UUID,
    application_id: str,
    waiting: Waiting,
    fact: Fact,
    effect: Effect,
) -> None:
    answers, turn, lifecycle = effect
    if lifecycle != "none":
        waiting.is_open = lifecycle != "closes"
        if lifecycle == "closes":
            _end(state, candidate_id, application_id, waiting, fact)
            return
    elif not waiting.is_open:
        return
    at = fact.occurred_at if fact.occurred_precision == "instant" else fact.certainly_by
    if fact.kind == "interview_held" and fact.ends_at is not None and fact.ends_at > at:
        at = fact.ends_at
    if answers:
        waiting.heard_at, waiting.heard_by, waiting.heard_kind = at, fact.touchpoint_id, fact.kind
    if fact.asks:
        turn = "candidate"
    if fact.kind == "interview_missed_by_candidate":
        waiting.booked_until = None
    if turn == "unchanged":
        if answers and waiting.since is not None:
            _heard(state, candidate_id, application_id, waiting, fact, at)
    elif turn == "employer":
        _owe(state, candidate_id, application_id, waiting, fact, at, answers)
    elif fact.kind in _BOOKINGS:
        _book(state, candidate_id, application_id, waiting, fact, at)
    else:
        _end(state, candidate_id, application_id, waiting, fact)
    if fact.kind == "interview_held":
        # Last, since the silence that it ended was one before this interview.
        waiting.interviews += 1
        waiting.last_interview_at = at


def _owe(
    state: SilenceState,
    candidate_id: UUID,
    application_id: str,
    waiting: Waiting,
    fact: Fact,
    at: datetime,
    answers: bool,
) -> None:
    """The turn is the employer's from `at`; unless it was already, and nothing was heard."""
    if waiting.since is not None:
        if not answers and waiting.since <= fact.occurred_at:
            return
        _end(state, candidate_id, application_id, waiting, fact)
    if fact.kind in _BOOKING_OVER:
        waiting.booked_until = None
    _begin(waiting, at, fact.touchpoint_id, fact.kind)


def _book(
    state: SilenceState,
    candidate_id: UUID,
    application_id: str,
    waiting: Waiting,
    fact: Fact,
    at: datetime,
) -> None:
    """Nobody's turn until it is over; of two bookings the later end counts, unless it moved.

    A wait without end would hide every silence that follows, so one whose time nobody told is
    waited for `INTERVIEW_UNTOLD`, unless its time is told elsewhere.
    """
    ends_at = fact.ends_at or fact.starts_at
    untold = ends_at is None
    owed_from = later(at, INTERVIEW_UNTOLD) if ends_at is None else later(ends_at, INTERVIEW_GRACE)
    booked = waiting.booked_until
    stands = booked is not None and booked > fact.occurred_at and fact.kind != "interview_moved"
    counts_more = untold < waiting.booked_untold or (
        untold == waiting.booked_untold and booked is not None and booked < owed_from
    )
    if not stands or counts_more:
        waiting.booked_until, waiting.booked_untold = owed_from, untold
        waiting.booked_by = fact.touchpoint_id
        waiting.booked_kind = fact.kind
    _end(state, candidate_id, application_id, waiting, fact)
    _begin_at_booking(waiting)


def _heard(
    state: SilenceState,
    candidate_id: UUID,
    application_id: str,
    waiting: Waiting,
    fact: Fact,
    at: datetime,
) -> None:
    """The candidate received something while the turn stayed the employer's: a new span."""
    _end(state, candidate_id, application_id, waiting, fact)
    if waiting.booked_until is not None and waiting.booked_until > at:
        _begin_at_booking(waiting)
    else:
        _begin(waiting, at, fact.touchpoint_id, fact.kind)


def _begin(waiting: Waiting, at: datetime, by: str, kind: str) -> None:
    if waiting.heard_at is not None and waiting.heard_at > at:
        at, by, kind = waiting.heard_at, waiting.heard_by, waiting.heard_kind
    waiting.since, waiting.began_by, waiting.began_kind = at, by, kind


def _begin_at_booking(waiting: Waiting) -> None:
    assert waiting.booked_until is not None
    _begin(waiting, waiting.booked_until, waiting.booked_by, waiting.booked_kind)


def _end(
    state: SilenceState, candidate_id: UUID, application_id: str, waiting: Waiting, fact: Fact
) -> None:
    """The silence is over at the fact; one that had not begun by then never was."""
    if waiting.since is not None and waiting.since < fact.occurred_at:
        row = row_of(candidate_id, application_id, waiting)
        row.until, row.ended_by, row.ended_kind = fact.occurred_at, fact.touchpoint_id, fact.kind
        state.finished.append(row)
    waiting.since = None
    waiting.chases = 0


def row_of(candidate_id: UUID, application_id: str, waiting: Waiting) -> SilenceRow:
    """The open silence of an application, as it is stored."""
    assert waiting.since is not None
    return SilenceRow(
        candidate_id=candidate_id,
        application_id=application_id,
        began_by=waiting.began_by,
        began_kind=waiting.began_kind,
        since=waiting.since,
        job_id=waiting.job_id,
        stage=waiting.stage,
        source=waiting.source,
        last_interview_at=waiting.last_interview_at,
        interviews=waiting.interviews,
        chases=waiting.chases,
    )


def open_since(state: SilenceState) -> dict[str, datetime]:
    """Application id → since when the employer owes (it may lie in the future)."""
    return {
        application_id: waiting.since
        for application_id, waiting in state.applications.items()
        if waiting.since is not None
    }
