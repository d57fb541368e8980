"""What may happen to an alert, and why: pure, no clock, no database.

open → acknowledged → resolved, each move with a named reason, and each move that is *not* made
with one too, so that "why was nobody told?" has an answer.

Three decisions stand here:

- The engine may take back its own word, never a person's. An alert that the engine resolved
  comes back (`AlertReopened`) when one of its deadlines has passed and what it is about is so
  after all, for example because the answer that ended a silence was retracted. One that a person
  resolved stays resolved, also across rebuilds and graver levels; a new silence is a new alert.
- The time of a move is the deadline's, not the sweep's, so a late sweep tells the same story.
- An acknowledged alert that escalates stays acknowledged: somebody has it already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid5

from journey.errors import JourneyError
from projections.contradictions.templates import Finding
from projections.silence.rows import SilenceRow
from schemas.analyst_actions import AlertAcknowledged
from schemas.findings import (
    AlertEscalated,
    AlertEvent,
    AlertRaised,
    AlertReopened,
    AlertResolved,
)
from schemas.registry import TRAITS

State = Literal["open", "acknowledged", "resolved"]
STATES: tuple[State, ...] = ("open", "acknowledged", "resolved")

Over = Literal["answered", "closed", "mended"]
Why = Literal[
    "new", "graver", "came_back",  # a move was made
    "known", "milder", "settled_by_person", "never_was", "over",  # none was
]  # fmt: skip

PEOPLE_REASONS = ("handled", "manual", "not_owed", "false_alarm", "duplicate")
"""Why a person may resolve an alert: codes, since free text is where names slip in."""

_NAMESPACE = UUID("3d0b9be8-4c4f-5a3e-8d0c-6f1f0c1a2b77")
_GRAVITY = {"nudge": 1, "breach": 2, "ghosted": 3}


class AlertError(JourneyError):
    """Something cannot be done to an alert; the text says why."""


class UnknownAlert(AlertError):
    """No alert has this id."""


class AlreadyResolved(AlertError):
    """The alert is resolved, so there is nothing to acknowledge or resolve."""


class UnknownReason(AlertError):
    """The reason is none of the codes a person may give."""


@dataclass(frozen=True, slots=True)
class DueDeadline:
    """A row of table `deadlines`; `evidence` as stored: [{"id":…, "kind":…, "at":…}, …]."""

    due_at: datetime
    subject: str
    candidate_id: UUID
    application_id: str | None
    name: str
    level: str
    alert_key: str
    since: datetime
    evidence: Sequence[Mapping[str, Any]]

    @property
    def alert_id(self) -> UUID:
        """The alert that this deadline raises."""
        return alert_id(self.candidate_id, self.alert_key)


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it stands: a row of table `alerts`, and what its events fold into.

    `due_at` is the deadline of the level it has reached. `until` is when what it is about ended.
    """

    alert_id: UUID
    version: int
    alert_key: str
    subject: str
    name: str
    level: str
    candidate_id: UUID
    application_id: str | None
    since: datetime
    due_at: datetime
    raised_at: datetime
    state: State
    reason: str | None
    until: datetime | None
    acknowledged_by: str | None
    resolved_by: str | None
    resolved_at: datetime | None
    evidence: tuple[Mapping[str, Any], ...]
    explanation: str

    @property
    def touchpoint_ids(self) -> list[str]:
        """The touchpoints that prove it."""
        return [str(each["id"]) for each in self.evidence]


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether what an alert is about is so: `stands`, or it is over, or it never was."""

    verdict: Literal["stands", "over", "never_was"]
    reason: Over | Literal["disproved"] | None = None
    until: datetime | None = None


STANDS = Standing("stands")
NEVER_WAS = Standing("never_was", "disproved")


@dataclass(frozen=True, slots=True)
class Move:
    """What is to be recorded (perhaps nothing) and why."""

    events: tuple[AlertEvent, ...]
    why: Why


def alert_id(candidate_id: UUID, alert_key: str) -> UUID:
    """The same for the same candidate and alert key, whoever asks and however often."""
    return uuid5(_NAMESPACE, f"{candidate_id}:{alert_key}")


def graver(level: str, than: str) -> bool:
    """Whether a level of silence is graver than another. Severities of rules never rise."""
    return _GRAVITY.get(level, 0) > _GRAVITY.get(than, 0)


# --- what is so -----------------------------------------------------------------------------


def silence_standing(silence: SilenceRow | None, due_at: datetime) -> Standing:
    """Whether a silence lasted beyond `due_at`, and still does."""
    if silence is None:
        return NEVER_WAS
    if silence.until is None:
        return STANDS
    if silence.until <= due_at:
        return NEVER_WAS
    return Standing("over", _ending(silence.ended_kind), silence.until)


def finding_standing(finding: Finding | None) -> Standing:
    """Whether a finding is (still) there; one mended before it was violated never was."""
    if finding is None:
        return NEVER_WAS
    if finding.until is None:
        return STANDS
    if finding.until <= finding.since:
        return NEVER_WAS
    return Standing("over", "mended", finding.until)


def _ending(kind: str | None) -> Over:
    """`answered` when the candidate received what ended it; whatever else ended it closed it."""
    traits = TRAITS.get(kind or "")
    if traits is None:
        return "closed"
    received = traits.answers or (
        traits.candidate_sees and traits.direction in ("to_candidate", "both")
    )
    return "answered" if received else "closed"


# --- moves ----------------------------------------------------------------------------------


def on_deadline(
    alert: Alert | None,
    deadline: DueDeadline,
    standing: Standing,
    explain: Callable[[], str],
    now: datetime,
) -> Move:
    """What a passed deadline does to its alert, if there is one yet.

    `explain` is asked for the sentence only when something is to be told. What was over before
    anyone was told raises nothing: there is nothing left to do for the candidate.
    """
    if alert is not None and alert.state == "resolved" and alert.resolved_by is not None:
        return Move((), "settled_by_person")
    if standing.verdict != "stands":
        return Move((), standing.verdict)
    if alert is not None and alert.state != "resolved" and not graver(deadline.level, alert.level):
        return Move((), "known" if deadline.level == alert.level else "milder")
    told = _Told(
        alert_id=deadline.alert_id,
        version=1 if alert is None else alert.version + 1,
        at=deadline.due_at,
        recorded_at=now,
        level=deadline.level,
        since=deadline.since,
        evidence=tuple(dict(each) for each in deadline.evidence),
        explanation=explain(),
    )
    if alert is None:
        return Move((_raised(deadline, told),), "new")
    if alert.state == "resolved":
        return Move((AlertReopened(**told.fields()),), "came_back")
    return Move((AlertEscalated(**told.fields()),), "graver")


def on_check(alert: Alert, standing: Standing, now: datetime) -> AlertResolved | None:
    """What a second look does to an unresolved alert: nothing, while its reason stands."""
    if alert.state == "resolved" or standing.verdict == "stands" or standing.reason is None:
        return None
    return AlertResolved(
        alert_id=alert.alert_id,
        version=alert.version + 1,
        at=standing.until or now,
        recorded_at=now,
        reason=standing.reason,
        until=standing.until,
    )


def acknowledge(alert: Alert, by: str, now: datetime) -> AlertAcknowledged | None:
    """Somebody takes it; None if the same person already has it. Raises AlreadyResolved."""
    _refuse_resolved(alert)
    if alert.acknowledged_by == by:
        return None
    return AlertAcknowledged(
        alert_id=alert.alert_id, version=alert.version + 1, at=now, recorded_at=now, by=by
    )


def resolve(alert: Alert, by: str, reason: str, now: datetime) -> AlertResolved:
    """A person's word that it is settled. Raises AlreadyResolved, UnknownReason."""
    _refuse_resolved(alert)
    if reason not in PEOPLE_REASONS:
        raise UnknownReason(
            f"a reason to resolve is a code, one of {', '.join(PEOPLE_REASONS)}; "
            "put what happened into the system it happened in"
        )
    return AlertResolved(
        alert_id=alert.alert_id,
        version=alert.version + 1,
        at=now,
        recorded_at=now,
        reason=reason,
        by=by,
    )


def _refuse_resolved(alert: Alert) -> None:
    if alert.state == "resolved":
        raise AlreadyResolved(f"alert {alert.alert_id} is already resolved ({alert.reason})")


@dataclass(frozen=True, slots=True)
class _Told:
    alert_id: UUID
    version: int
    at: datetime
    recorded_at: datetime
    level: str
    since: datetime
    evidence: tuple[dict[str, Any], ...]
    explanation: str

    def fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def _raised(deadline: DueDeadline, told: _Told) -> AlertRaised:
    return AlertRaised(
        alert_key=deadline.alert_key,
        subject=deadline.subject,
        name=deadline.name,
        candidate_id=deadline.candidate_id,
        application_id=deadline.application_id,
        **told.fields(),
    )


# --- events to state ------------------------------------------------------------------------


def apply(alert: Alert | None, event: AlertEvent) -> Alert:
    """The alert after one more event."""
    if isinstance(event, AlertRaised):
        return _begin(event)
    if alert is None:
        raise AlertError(f"the stream of alert {event.alert_id} does not begin with its raising")
    alert = replace(alert, version=event.version)
    match event:
        case AlertEscalated():
            return _at_level(alert, event)
        case AlertReopened():
            return replace(
                _at_level(alert, event),
                state="open",
                reason=None,
                until=None,
                acknowledged_by=None,
                resolved_at=None,
            )
        case AlertAcknowledged():
            return replace(alert, state="acknowledged", acknowledged_by=event.by)
        case AlertResolved():
            return replace(
                alert,
                state="resolved",
                reason=event.reason,
                until=event.until,
                resolved_by=event.by,
                resolved_at=event.recorded_at,
            )
    raise AlertError(f"no alert knows what {event.TOPIC} does to it")


def fold(alert: Alert | None, events: Iterable[Any]) -> Alert | None:
    """The alert after several events; None for none."""
    for event in events:
        alert = apply(alert, event)
    return alert


def _begin(event: AlertRaised) -> Alert:
    return Alert(
        alert_id=event.alert_id,
        version=event.version,
        alert_key=event.alert_key,
        subject=event.subject,
        name=event.name,
        level=event.level,
        candidate_id=event.candidate_id,
        application_id=event.application_id,
        since=event.since,
        due_at=event.at,
        raised_at=event.recorded_at,
        state="open",
        reason=None,
        until=None,
        acknowledged_by=None,
        resolved_by=None,
        resolved_at=None,
        evidence=event.evidence,
        explanation=event.explanation,
    )


def _at_level(alert: Alert, event: AlertEscalated | AlertReopened) -> Alert:
    return replace(
        alert,
        level=event.level,
        since=event.since,
        due_at=event.at,
        evidence=event.evidence,
        explanation=event.explanation,
    )
