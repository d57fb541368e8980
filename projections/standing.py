"""How things stand at a moment: rows and policies or rules in, verdicts with their sentences out.

Pure. `now` is always an argument, so the same functions answer for today, for a past day and for
each step of a replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from projections.alerts.lifecycle import alert_id
from projections.contradictions.fold import CompiledRules
from projections.contradictions.rule import Verdict
from projections.contradictions.templates import Finding
from projections.journey_map.view import JourneyMapView
from projections.projection import Meaning, Row
from projections.silence.deadlines import due_times, explain, standing
from projections.silence.policy import LEVELS, Level, Policy, PolicySet
from projections.silence.rows import SilenceRow


@dataclass(frozen=True, slots=True)
class Application:
    """One candidate considered for one job, as it stands; a row of table `applications`."""

    candidate_id: UUID
    application_id: str
    job_id: str | None
    source: str
    stage: str | None
    status: str
    turn: str
    first_at: datetime
    last_at: datetime
    last_heard_at: datetime | None
    closed_at: datetime | None
    touchpoints: int
    interviews: int
    chases: int
    stages: Sequence[Sequence[Any]]


assert Application.__slots__ == JourneyMapView.standing


def application_of(row: Row) -> Application:
    """A row of table `applications`, in the order of its view's columns."""
    return Application(*row[: len(JourneyMapView.standing)])


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence and what one policy says about it at a moment.

    `level` is the gravest one reached, None before the first; `policy` is None where no policy
    holds. `until` is None while it lasts. `touchpoint_ids`: what began it, and what ended it.
    """

    candidate_id: UUID
    application_id: str
    policy: str | None
    level: Level | None
    since: datetime
    until: datetime | None
    touchpoint_ids: tuple[str, ...]
    explanation: str
    began_kind: str
    ended_kind: str | None
    stage: str | None
    job_id: str | None
    source: str
    chases: int
    next_level: Level | None
    next_due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A finding of a rule and its verdict at a moment.

    A pending one has its due time in `since`. `until` is when it was mended.
    """

    candidate_id: UUID
    application_id: str | None
    rule: str
    verdict: Verdict
    severity: str
    since: datetime
    until: datetime | None
    touchpoint_ids: tuple[str, ...]
    explanation: str
    evidence: tuple[dict[str, Any], ...]
    finding_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ExpectedAlert:
    """An alert that is open at a moment if nobody resolved it: what the folds alone say."""

    alert_id: UUID
    subject: str
    application_id: str | None
    name: str
    level: str
    since: datetime
    due_at: datetime
    explanation: str


def silences_at(row: SilenceRow, policies: PolicySet, now: datetime) -> list[Silence]:
    """What each policy that holds says about a silence at `now`; one entry if none does.

    Nothing for a silence that has not begun by then. One that ended later is still open then.
    """
    if row.since > now:
        return []
    if row.until is not None and row.until > now:
        row = msgspec.structs.replace(row, until=None, ended_by=None, ended_kind=None)
    matching = policies.matching(row.began_kind, row.stage, row.job_id, row.source)
    told = [_silence(row, policy, now) for policy in matching if due_times(policy, row)]
    return told or [_silence(row, None, now)]


def _silence(row: SilenceRow, policy: Policy | None, now: datetime) -> Silence:
    level = standing(policy, row, now) if policy is not None else None
    coming: tuple[Level | None, datetime | None] = (None, None)
    if policy is not None and row.until is None:
        coming = next(((lvl, due) for lvl, due in due_times(policy, row) if due > now), coming)
    return Silence(
        candidate_id=row.candidate_id,
        application_id=row.application_id,
        policy=policy.name if policy is not None else None,
        level=level,
        since=row.since,
        until=row.until,
        touchpoint_ids=tuple(each for each in (row.began_by, row.ended_by) if each),
        explanation=_sentence(row, policy, level, coming, now),
        began_kind=row.began_kind,
        ended_kind=row.ended_kind,
        stage=row.stage,
        job_id=row.job_id,
        source=row.source,
        chases=row.chases,
        next_level=coming[0],
        next_due_at=coming[1],
    )


def _sentence(
    row: SilenceRow,
    policy: Policy | None,
    level: Level | None,
    coming: tuple[Level | None, datetime | None],
    now: datetime,
) -> str:
    if policy is not None and level is not None:
        return explain(policy, row, level, now)
    waited = days_between(row.since, row.until or now)
    told = f"Nothing received for {waited} after {row.began_kind.replace('_', ' ')}"
    if policy is None:
        return f"{told}; no policy holds for this silence."
    if coming[1] is None:
        return f"{told}; in time by {policy.name}."
    return f"{told}; in time by {policy.name} until {coming[1]:%Y-%m-%d %H:%M} UTC."


def days_between(since: datetime, until: datetime) -> str:
    """A length of time as people say it: `12 days`, `1 day`, `5 hours`, `20 minutes`."""
    minutes = max(0, int((until - since).total_seconds() // 60))
    for size, unit in ((24 * 60, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            count = minutes // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"


def gravity(level: Level | None) -> int:
    """From 0 (no level reached) to 3 (ghosted)."""
    return 0 if level is None else LEVELS.index(level) + 1


def contradiction_at(
    finding: Finding, candidate_id: UUID, rules: CompiledRules, now: datetime
) -> Contradiction:
    """A finding and its verdict at `now`."""
    return Contradiction(
        candidate_id=candidate_id,
        application_id=finding.application_id,
        rule=finding.rule,
        verdict=rules.verdict(finding, now),
        severity=finding.severity,
        since=finding.since,
        until=finding.until,
        touchpoint_ids=tuple(each.id for each in finding.evidence),
        explanation=rules.explain(finding),
        evidence=tuple(
            {"id": each.id, "kind": each.kind, "at": each.at} for each in finding.evidence
        ),
        finding_key=finding.finding_key,
    )


def is_found(finding: Finding, now: datetime) -> bool:
    """Whether it is (or was) a violation by `now`, and not merely an obligation that is open."""
    return finding.since <= now and (finding.until is None or finding.until > finding.since)


def is_pending(finding: Finding, now: datetime) -> bool:
    """Whether it is an obligation whose time has not run out by `now`."""
    return finding.since > now and finding.until is None


def alerts_at(
    candidate_id: UUID,
    silences: Iterable[SilenceRow],
    findings: Iterable[Finding],
    meaning: Meaning,
    now: datetime,
) -> list[ExpectedAlert]:
    """The alerts that these silences and findings keep open at `now`, earliest first.

    What the sweeper raises from the same deadlines, less what people have settled.
    """
    alerts = [
        ExpectedAlert(
            alert_id(candidate_id, f"silence:{told.policy}:{row.application_id}:{row.began_by}"),
            "silence",
            row.application_id,
            told.policy,
            told.level,
            row.since,
            max(due for _, due in due_times(policy, row) if due <= now),
            told.explanation,
        )
        for row in silences
        if row.until is None or row.until > now
        for told in silences_at(row, meaning.policies, now)
        if told.level is not None
        and told.policy is not None
        and (policy := meaning.policies.named(told.policy)) is not None
    ]
    alerts += [
        ExpectedAlert(
            alert_id(candidate_id, f"rule:{finding.finding_key}"),
            "contradiction",
            finding.application_id,
            finding.rule,
            finding.severity,
            finding.since,
            finding.since,
            meaning.rules.explain(finding),
        )
        for finding in findings
        if finding.since <= now and (finding.until is None or finding.until > now)
    ]
    return sorted(alerts, key=lambda each: (each.due_at, each.name, str(each.alert_id)))
