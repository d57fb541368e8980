"""One line of time for a journey: touchpoints, silences, findings and alerts. Pure.

Things of the same moment stand in a settled order: what happened, what silence it ended, what
silence it began, what that contradicts, whom it alarmed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from projections.fact import Fact
from projections.silence.rows import SilenceRow
from projections.standing import Contradiction, days_between
from schemas.analyst_actions import AlertAcknowledged
from schemas.findings import (
    AlertEscalated,
    AlertEvent,
    AlertRaised,
    AlertReopened,
    AlertResolved,
)

What = Literal[
    "touchpoint", "silence_ended", "silence_began", "contradiction", "mended", "alert_raised",
    "alert_escalated", "alert_reopened", "alert_acknowledged", "alert_resolved", "still_silent",
]  # fmt: skip
_RANK: dict[str, int] = {
    what: rank
    for rank, what in enumerate(
        ("touchpoint", "silence_ended", "silence_began", "contradiction", "mended",
         "alert_raised", "alert_escalated", "alert_reopened", "alert_acknowledged",
         "alert_resolved", "still_silent")
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: when, what it is, its name (kind, policy or rule), and a sentence.

    `level` is a level of silence or a severity. `precision` is `day` for what is known only to
    have happened on that day.
    """

    at: datetime
    what: What
    name: str
    application_id: str | None
    level: str | None
    text: str
    touchpoint_ids: tuple[str, ...]
    source: str | None = None
    precision: str = "instant"


def timeline(
    facts: Iterable[Fact],
    silences: Iterable[SilenceRow],
    contradictions: Iterable[Contradiction],
    alerts: Iterable[tuple[AlertRaised, AlertEvent]],
    now: datetime,
) -> list[Entry]:
    """Everything of a journey, in order; what is concluded, only up to `now`.

    `alerts`: how each was raised, and one event of it.
    """
    entries: list[tuple[Entry, object]] = []
    entries += [(_of_fact(fact), fact.position) for fact in facts]
    for row in silences:
        entries += [(each, row.began_by) for each in _of_silence(row, now)]
    for found in contradictions:
        entries += [(each, found.finding_key) for each in _of_finding(found)]
    for raised, event in alerts:
        entries.append((_of_alert(raised, event), f"{raised.alert_key}/{event.version:06}"))
    # A touchpoint that somebody dated into the future is known all the same.
    entries = [pair for pair in entries if pair[0].at <= now or pair[0].what == "touchpoint"]
    # Positions compare as numbers and keys as text; the rank keeps the two apart.
    entries.sort(key=lambda pair: (pair[0].at, _RANK[pair[0].what], _sortable(pair[1])))
    return [entry for entry, _ in entries]


def _sortable(key: object) -> tuple[int, str]:
    return (key, "") if isinstance(key, int) else (0, str(key))


def _of_fact(fact: Fact) -> Entry:
    return Entry(
        fact.occurred_at,
        "touchpoint",
        fact.kind,
        fact.application_id,
        None,
        "; ".join(_details(fact)),
        (fact.touchpoint_id,),
        fact.source,
        fact.occurred_precision,
    )


def _details(fact: Fact) -> list[str]:
    """What a touchpoint carries beyond its kind; all of it opaque or of the source's own terms."""
    told = []
    if fact.late:
        told.append("found late")
    if fact.starts_at is not None:
        told.append(f"for {fact.starts_at:%Y-%m-%d %H:%M} UTC")
    if fact.due_at is not None:
        told.append(f"due {fact.due_at:%Y-%m-%d %H:%M} UTC")
    if fact.asks:
        told.append("asks for an answer")
    if fact.score is not None:
        told.append(f"score {fact.score} of 10")
    if fact.kind == "stage_changed" and fact.stage is not None:
        told.append(f"to {_one_line(fact.stage)}")
    if fact.kind == "unrecognised_touchpoint" and fact.label is not None:
        told.append(_one_line(fact.label))
    if fact.reason is not None:
        told.append(f"reason: {_one_line(fact.reason)}")
    if fact.absorbed is not None:
        told.append(f"{str(fact.absorbed)[:8]} is the same person")
    if fact.released is not None:
        told.append(f"{str(fact.released)[:8]} is another person")
    if fact.occurred_quality != "exact":
        told.append(f"time {fact.occurred_quality}")
    return told


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _of_silence(row: SilenceRow, now: datetime) -> list[Entry]:
    began = f"the employer owes an answer after {_words(row.began_kind)}"
    entries = [
        Entry(
            row.since,
            "silence_began",
            "silence",
            row.application_id,
            None,
            began,
            (row.began_by,),
        )
    ]
    chased = f", chased {row.chases} time{'' if row.chases == 1 else 's'}" if row.chases else ""
    if row.until is not None and row.until <= now:
        length = days_between(row.since, row.until)
        entries.append(
            Entry(
                row.until,
                "silence_ended",
                "silence",
                row.application_id,
                None,
                f"ends after {length}{chased}, by {_words(row.ended_kind or 'nothing')}",
                (row.ended_by,) if row.ended_by else (),
            )
        )
    elif row.since <= now:
        entries.append(
            Entry(
                now,
                "still_silent",
                "silence",
                row.application_id,
                None,
                f"still silent after {days_between(row.since, now)}{chased}",
                (row.began_by,),
            )
        )
    return entries


def _of_finding(found: Contradiction) -> list[Entry]:
    entries = [
        Entry(
            found.since,
            "contradiction",
            found.rule,
            found.application_id,
            found.severity,
            found.explanation,
            found.touchpoint_ids,
        )
    ]
    if found.until is not None:
        entries.append(
            Entry(
                found.until,
                "mended",
                found.rule,
                found.application_id,
                found.severity,
                f"mended after {days_between(found.since, found.until)}",
                found.touchpoint_ids[-1:],
            )
        )
    return entries


def _of_alert(raised: AlertRaised, event: AlertEvent) -> Entry:
    what: What
    level: str | None = None
    if isinstance(event, AlertRaised | AlertEscalated | AlertReopened):
        what = _WHAT[type(event)]
        level, text = event.level, event.explanation
    elif isinstance(event, AlertAcknowledged):
        what, text = "alert_acknowledged", f"{event.by} takes care of it"
    else:
        assert isinstance(event, AlertResolved)
        what = "alert_resolved"
        text = event.reason + (f", by {event.by}" if event.by else "")
    return Entry(
        event.at,
        what,
        raised.name,
        raised.application_id,
        level,
        text,
        tuple(str(each["id"]) for each in raised.evidence),
    )


_WHAT: dict[type[AlertEvent], What] = {
    AlertRaised: "alert_raised",
    AlertEscalated: "alert_escalated",
    AlertReopened: "alert_reopened",
}


def _words(kind: str) -> str:
    return kind.replace("_", " ")
