"""What may happen to an alert, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from projections.alerts import lifecycle
from projections.alerts.lifecycle import (
    NEVER_WAS,
    STANDS,
    Alert,
    AlreadyResolved,
    DueDeadline,
    Move,
    Standing,
    UnknownReason,
)
from projections.contradictions.templates import Finding
from projections.silence.rows import SilenceRow
from schemas.findings import AlertEscalated, AlertRaised, AlertReopened
from tests.support.builders import T0, days

CANDIDATE = UUID(int=1)
NOW = days(30)


def deadline(level: str = "nudge", due_at: datetime | None = None) -> DueDeadline:
    return DueDeadline(
        due_at=due_at or days({"nudge": 5, "breach": 10, "ghosted": 20}[level]),
        subject="silence",
        candidate_id=CANDIDATE,
        application_id="greenhouse:1",
        name="after_application",
        level=level,
        alert_key="silence:after_application:greenhouse:1:t1",
        since=T0,
        evidence=[{"id": "t1", "kind": "application_submitted", "at": "2026-03-02T09:00:00Z"}],
    )


def meet(alert: Alert | None, level: str, standing: Standing = STANDS) -> Move:
    return lifecycle.on_deadline(alert, deadline(level), standing, lambda: "because", NOW)


def after(alert: Alert | None, move: Move) -> Alert:
    found = lifecycle.fold(alert, move.events)
    assert found is not None
    return found


def raised(level: str = "nudge") -> Alert:
    return after(None, meet(None, level))


def silence(**fields: Any) -> SilenceRow:
    return SilenceRow(
        candidate_id=CANDIDATE,
        application_id="greenhouse:1",
        began_by="t1",
        began_kind="application_submitted",
        since=T0,
        source="greenhouse",
        **fields,
    )


def test_a_passed_deadline_raises_an_alert_at_the_deadlines_own_time() -> None:
    """However late the sweep, the story says when it was due; the record says when we saw it."""
    (event,) = meet(None, "nudge").events
    assert isinstance(event, AlertRaised)
    assert (event.at, event.recorded_at) == (days(5), NOW)


def test_the_same_deadline_again_does_nothing() -> None:
    """A deadline that comes again, after a rebuild say, is known."""
    assert meet(raised("nudge"), "nudge") == Move((), "known")


def test_a_graver_level_escalates() -> None:
    """nudge < breach < ghosted."""
    move = meet(raised("nudge"), "breach")
    assert move.why == "graver"
    assert isinstance(move.events[0], AlertEscalated)
    assert after(raised("nudge"), move).level == "breach"


def test_a_milder_level_does_nothing() -> None:
    """An alert never becomes milder by a deadline that comes late."""
    assert meet(raised("ghosted"), "breach") == Move((), "milder")


def test_what_was_over_before_anyone_was_told_raises_nothing() -> None:
    """Nor does what never was."""
    assert meet(None, "nudge", NEVER_WAS) == Move((), "never_was")
    assert meet(None, "nudge", Standing("over", "answered", days(7))) == Move((), "over")


def test_no_sentence_is_made_for_what_is_not_told() -> None:
    """The explanation may need rows that are gone."""

    def fails() -> str:
        raise AssertionError

    assert lifecycle.on_deadline(None, deadline(), NEVER_WAS, fails, NOW).why == "never_was"
    assert lifecycle.on_deadline(raised(), deadline(), STANDS, fails, NOW).why == "known"


def test_an_alert_that_the_engine_resolved_comes_back_when_it_is_so_after_all() -> None:
    """A true alert is never lost to a fact that was taken back."""
    alert = raised()
    event = lifecycle.on_check(alert, NEVER_WAS, NOW)
    assert event is not None
    resolved = lifecycle.apply(alert, event)
    move = meet(resolved, "nudge")
    assert isinstance(move.events[0], AlertReopened)
    again = after(resolved, move)
    assert (again.state, again.reason, again.resolved_at) == ("open", None, None)


@pytest.mark.parametrize("level", ["nudge", "ghosted"])
def test_an_alert_that_a_person_resolved_stays_resolved(level: str) -> None:
    """A person's word is not taken back by the engine, at any level."""
    alert = raised()
    resolved = lifecycle.apply(alert, lifecycle.resolve(alert, "p1", "handled", NOW))
    assert meet(resolved, level) == Move((), "settled_by_person")


def test_an_acknowledged_alert_that_escalates_stays_acknowledged() -> None:
    """Somebody has it already; they are told that it got worse."""
    alert = raised()
    event = lifecycle.acknowledge(alert, "p1", NOW)
    assert event is not None
    acknowledged = lifecycle.apply(alert, event)
    assert after(acknowledged, meet(acknowledged, "breach")).state == "acknowledged"


def test_a_silence_that_is_not_there_never_was() -> None:
    """A refold found no such silence."""
    assert lifecycle.silence_standing(None, days(5)) == NEVER_WAS


def test_a_silence_that_ended_by_the_deadline_never_reached_it() -> None:
    """An answer at the very deadline came in time."""
    assert lifecycle.silence_standing(silence(until=days(5)), days(5)) == NEVER_WAS


def test_a_silence_that_ended_later_was_answered_or_closed() -> None:
    """Answered by what the candidate received, closed by whatever else."""

    def reason(kind: str) -> str | None:
        row = silence(until=days(6), ended_kind=kind)
        return lifecycle.silence_standing(row, days(5)).reason

    assert [reason(kind) for kind in ("message_sent", "rejection_sent", "withdrew", "??")] == [
        "answered",
        "answered",
        "closed",
        "closed",
    ]


def test_a_finding_is_mended_disproved_or_stands() -> None:
    """An obligation met before it was overdue was never violated."""
    row = Finding("rule", "a", "rule:t1", "high", days(5), None, ())

    def standing(until: datetime | None) -> Standing:
        return lifecycle.finding_standing(
            Finding("rule", "a", "rule:t1", "high", days(5), until, ())
        )

    assert lifecycle.finding_standing(row) == STANDS
    assert lifecycle.finding_standing(None) == NEVER_WAS
    assert standing(days(5)) == NEVER_WAS
    assert standing(days(6)) == Standing("over", "mended", days(6))


def test_a_resolved_alert_cannot_be_acknowledged_or_resolved_again() -> None:
    """The error names the alert and why it is resolved."""
    alert = raised()
    resolved = lifecycle.apply(alert, lifecycle.resolve(alert, "p1", "handled", NOW))
    with pytest.raises(AlreadyResolved, match="handled"):
        lifecycle.acknowledge(resolved, "p1", NOW)
    with pytest.raises(AlreadyResolved):
        lifecycle.resolve(resolved, "p1", "handled", NOW)


def test_a_reason_in_free_text_is_refused() -> None:
    """Free text is where names slip in."""
    with pytest.raises(UnknownReason, match="one of handled"):
        lifecycle.resolve(raised(), "p1", "spoke with her", NOW)


def test_the_id_of_an_alert_follows_from_candidate_and_key() -> None:
    """So that nobody can raise it twice, and it survives every restart."""
    assert deadline("nudge").alert_id == deadline("ghosted").alert_id
    assert deadline().alert_id == UUID("a6d176a9-064f-52cc-9c32-21bf658beb1a")
    assert deadline().alert_id != replace(deadline(), candidate_id=UUID(int=2)).alert_id
