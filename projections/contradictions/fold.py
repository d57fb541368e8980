"""The contradictions fold: one journey's facts in, findings out.

The contract with the runner:

1. Fold a journey's *effective* facts (corrections, retractions and merges already applied) in
   `occurred_at` order, ties in recorded order: `rules.apply(state, fact, silences)`, where
   `silences` is application → `since` of its open silence as it stood just *before* this fact.
   The fold reads it at once and keeps no hold of it.
2. `state.findings` holds every finding whose verdict may still change: obligations that are
   pending or overdue and not mended. A finding violated for good is not kept in the state.
3. `changed, gone = drain(state)` gives what is new since the last drain: rows to upsert by
   `(candidate_id, finding_key)` (opened, violated, mended) and finding keys to delete (discharged
   in time, or never so after all). Drain before the state is stored; what is not drained is
   stored with it and not lost.
4. Live: upsert `changed`, delete `gone`. A deadline goes with each changed finding that has no
   `until` (`deadline_of`); a mended or gone one takes its deadline away.
   A re-fold (a late fact, a merge): delete the journey's findings, fold a fresh state from the
   first fact, insert `changed`; `gone` needs nothing. Keys are the same after every re-fold.

No clock anywhere: a pending obligation is a finding whose `since` lies in the future. Whether it
does is for those who ask: `verdict(finding, now)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from projections.contradictions.rule import (
    NotSuccession,
    Requires,
    Response,
    Rule,
    RuleError,
    Verdict,
    kinds_of,
)
from projections.contradictions.templates import (
    ContradictionState,
    Finding,
    Silences,
    Step,
    steps_of,
)
from projections.deadline import Deadline, Evidence
from projections.fact import Fact
from projections.working_time import Calendar

__all__ = [
    "CompiledRules",
    "ContradictionState",
    "Deadline",
    "Evidence",
    "Finding",
    "compile_rules",
    "deadline_of",
    "drain",
    "explain",
    "verdict",
]

DEFAULT_CALENDARS: dict[str, Calendar] = {"default": Calendar("default")}
"""What rules measure by unless settings name calendars: Monday to Friday, 9 to 17, UTC."""


class CompiledRules:
    """Rules ready to fold with. Pickles as its rules and calendars, for worker processes."""

    __slots__ = ("_steps", "calendars", "rules")

    def __init__(self, rules: Iterable[Rule], calendars: Mapping[str, Calendar]) -> None:
        self.rules: dict[str, Rule] = {rule.rule: rule for rule in rules}
        self.calendars = dict(calendars)
        steps: dict[str, list[Step]] = {}
        for rule in self.rules.values():
            calendar = self.calendars.get(rule.calendar)
            if calendar is None:
                known = ", ".join(sorted(self.calendars)) or "none"
                raise RuleError(
                    f"rule {rule.rule}: calendar: there is no {rule.calendar!r}; known: {known}"
                )
            for kind, own in steps_of(rule, calendar).items():
                steps.setdefault(kind, []).extend(own)
        self._steps = {kind: tuple(own) for kind, own in steps.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return compile_rules, (tuple(self.rules.values()), self.calendars)

    def apply(self, state: ContradictionState, fact: Fact, silences: Silences) -> None:
        """Fold one fact into the state, in place; see the contract above."""
        steps = self._steps.get(fact.kind)
        if steps is not None:
            for step in steps:
                step(state, fact, silences)

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that some rule names; facts of other kinds need not be applied."""
        return frozenset(self._steps)

    @property
    def fingerprint(self) -> str:
        """Changes when a rule or calendar changes what is found: then a rebuild is due."""
        digest = sha256()
        for name in sorted(self.rules):
            digest.update(self.rules[name].model_dump_json(exclude={"examples"}).encode())
        for name in sorted(self.calendars):
            digest.update(f"{name}={self.calendars[name]!r}".encode())
        return digest.hexdigest()

    def explain(self, finding: Finding) -> str:
        """The finding as a sentence; one of a rule that is no longer loaded says so."""
        rule = self.rules.get(finding.rule)
        if rule is None:
            return f"The rule {finding.rule}, which is no longer loaded, found this."
        return explain(rule, finding)

    def verdict(self, finding: Finding, now: datetime) -> Verdict:
        """What the finding's rule says at `now`; without its rule, `violated` from `since` on."""
        rule = self.rules.get(finding.rule)
        if rule is None:
            return "violated" if finding.until is None and finding.since <= now else "satisfied"
        return verdict(rule, finding, now)


def compile_rules(
    rules: Iterable[Rule], calendars: Mapping[str, Calendar] | None = None
) -> CompiledRules:
    """Index the rules by the kinds they name. Raises RuleError for a calendar nobody defined."""
    return CompiledRules(rules, DEFAULT_CALENDARS if calendars is None else calendars)


def drain(state: ContradictionState) -> tuple[list[Finding], list[str]]:
    """What changed since the last drain: findings to upsert, keys of findings to delete."""
    changed = state.changed
    if not changed:
        return [], []
    state.changed = {}
    return (
        [finding for finding in changed.values() if finding is not None],
        [key for key, finding in changed.items() if finding is None],
    )


def deadline_of(finding: Finding, candidate_id: UUID) -> Deadline:
    """When someone must see it: at `since`, which for a pending one is its due time."""
    return Deadline(
        due_at=finding.since,
        subject="contradiction",
        candidate_id=candidate_id,
        application_id=finding.application_id,
        name=finding.rule,
        level=finding.severity,
        alert_key=f"rule:{finding.finding_key}",
        since=finding.since,
        evidence=finding.evidence,
    )


def verdict(rule: Rule, finding: Finding, now: datetime) -> Verdict:
    """One of the four values, as the finding stands at `now`.

    satisfied (mended by now, or not yet a violation), pending (an obligation before its due
    time), mendable (overdue, and a late answer would mend it), violated (for good).
    """
    if finding.until is not None and finding.until <= now:
        return "satisfied"
    if not isinstance(rule, Response):
        return "violated" if finding.since <= now else "satisfied"
    if now < finding.since:
        return "pending"
    if not rule.mendable or _broken_at_once(rule, finding):
        return "violated"
    return "mendable"


def explain(rule: Rule, finding: Finding) -> str:
    """The rule's sentence about this finding: kinds in words, times in UTC."""
    sentence = rule.explain
    if isinstance(rule, Response) and _broken_at_once(rule, finding):
        sentence = rule.explain_violated_by or rule.explain
    # Safe: the rule was read only with plain names from a closed list in its braces.
    told = sentence.format_map(_words_of(rule, finding))
    return told[:1].upper() + told[1:]


def _broken_at_once(rule: Response, finding: Finding) -> bool:
    return finding.until is None and finding.evidence[-1].kind in kinds_of(rule.violated_by)


def _words_of(rule: Rule, finding: Finding) -> dict[str, str]:
    evidence = finding.evidence
    words = {"application_id": finding.application_id or "no application"}
    then: Evidence | None = evidence[-1]
    if isinstance(rule, NotSuccession):
        says = evidence[-1].says or {}
        since = says.get("silent_since") or evidence[0].at
        words["silent_since"] = _moment(since)
        words["gap"] = _span(evidence[-1].at - since)
    elif isinstance(rule, Requires):
        words["field"] = rule.field.replace("_", " ")
    else:
        if len(evidence) == 1 and not _broken_at_once(rule, finding):
            then = None
        says = evidence[0].says or {}
        anchor = next(iter(says.values()), evidence[0].at)
        words["anchor_at"] = _moment(anchor)
        words["due_at"] = _moment(finding.since)
        words["within"] = str(rule.within)
        words["until"] = _moment(finding.until) if finding.until else "now"
    words["first_kind"], words["first_at"] = _kind(evidence[0]), _at(evidence[0])
    words["then_kind"] = _kind(then) if then else "nothing"
    words["then_at"] = _at(then) if then else "no time"
    return words


def _kind(evidence: Evidence) -> str:
    return evidence.kind.replace("_", " ")


def _at(evidence: Evidence) -> str:
    return f"{evidence.at:%Y-%m-%d}" if evidence.precision == "day" else _moment(evidence.at)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _span(span: timedelta) -> str:
    """A length of time in its two largest units: `1 day 3 hours`, `20 minutes`."""
    minutes = max(0, int(span.total_seconds() // 60))
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(days, "day"), (hours, "hour"), (minutes, "minute")]
    told = [f"{count} {unit}{'s' if count != 1 else ''}" for count, unit in parts if count][:2]
    return " ".join(told) or "less than a minute"
