"""The templates as incremental monitors: what each remembers of a journey, and what it concludes.

A monitor serves one rule. For each kind the rule names it gives a *step*, a callable that takes
the state, the fact and the open silences, and changes the state. A step costs the same however
long the journey is, and remembers nothing until something its rule cares about has happened.

Facts come in `occurred_at` order. A fact that is only known to the day (or minute) neither
precedes nor contradicts one of the same day, so nobody is accused on an order that may have been
the other way round (design §7):

- `first` precedes `then` only if it had certainly happened by the time of `then`;
- whatever excuses (`unless`, `by`) counts as soon as it *may* have come between (and, with
  `match`, unless both are of one source that gives them different ids). An imprecise
  excuse is folded at the start of its day, before facts it may have followed, so it is kept in
  `state.loose` until its day is over; so is a finding an excuse of the same day may yet undo.

A fact that names no application belongs to a bucket of its own where it accuses, and to every
application where it excuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from projections.contradictions.rule import (
    Condition,
    NotSuccession,
    Requires,
    Response,
    Rule,
    Selector,
    SilenceFirst,
)
from projections.deadline import Evidence
from projections.fact import Fact
from projections.working_time import Calendar


class Finding(msgspec.Struct, frozen=True, gc=False):
    """What a rule concludes: a row of table `findings`, without the candidate.

    `since`: from when it is violated; in the future of those who ask, it is pending and this is
    its due time. `until`: when it was mended. `application_id` is None for a finding about the
    whole journey. `finding_key` is the same after every refold of the same facts.
    """

    rule: str
    application_id: str | None
    finding_key: str
    severity: str
    since: datetime
    until: datetime | None
    evidence: tuple[Evidence, ...]


class First(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The `first` that stands: the one that had certainly happened the earliest."""

    certainly_by: datetime
    evidence: Evidence


class Owed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An obligation not yet discharged; its finding stands in `state.findings`."""

    finding_key: str
    application: str
    source: str
    match: str | None
    anchor: datetime


class Loose(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An imprecise fact that may still turn out to have come later than it was folded.

    With `finding_key` a finding whose `then` is imprecise; without one an excuse.
    """

    touchpoint_id: str
    certainly_by: datetime
    application: str
    source: str
    match: str | None = None
    after_anchor: bool = False
    finding_key: str | None = None


class ContradictionState(msgspec.Struct, omit_defaults=True, gc=False):
    """What the fold remembers of one journey; all empty until something relevant happens.

    `findings` and `changed` are for the runner (the contract is in `fold.py`), the rest is the
    monitors' memory: rule → application ("" for none, and for candidate scope) → what.
    """

    findings: dict[str, Finding] = {}
    changed: dict[str, Finding | None] = {}
    firsts: dict[str, dict[str, First]] = {}
    owed: dict[str, list[Owed]] = {}
    settled: dict[str, list[str]] = {}
    loose: dict[str, list[Loose]] = {}


Silences = Mapping[str, datetime]
"""Application → since of its open silence, as it stood just before the fact."""

Step = Callable[[ContradictionState, Fact, Silences], None]
Fits = Callable[[Fact], bool]


def steps_of(rule: Rule, calendar: Calendar) -> dict[str, list[Step]]:
    """The steps of a rule by kind, in the order in which its roles read one fact."""
    if isinstance(rule, Requires):
        return _Requires(rule).steps()
    if isinstance(rule, Response):
        return _Response(rule, calendar).steps()
    if isinstance(rule.first, SilenceFirst):
        return _AfterSilence(rule, rule.first, calendar).steps()
    return _NotSuccession(rule).steps()


# --- reading a fact -------------------------------------------------------------------------


def _evidence(fact: Fact, says: dict[str, datetime] | None = None) -> Evidence:
    return Evidence(fact.touchpoint_id, fact.kind, fact.occurred_at, fact.occurred_precision, says)


def _is_missing(value: object) -> bool:
    return value is None or value == ""


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "present": lambda value, wanted: _is_missing(value) is not wanted,
    "equals": lambda value, wanted: bool(value == wanted),
    "not_equals": lambda value, wanted: bool(value != wanted),
    "one_of": lambda value, wanted: value in wanted,
    "none_of": lambda value, wanted: value not in wanted,
    "greater_than": lambda value, wanted: value is not None and value > wanted,
    "at_least": lambda value, wanted: value is not None and value >= wanted,
    "less_than": lambda value, wanted: value is not None and value < wanted,
    "at_most": lambda value, wanted: value is not None and value <= wanted,
}


def _fits(where: Mapping[str, Condition]) -> Fits | None:
    """Whether a fact meets all conditions; None where there are none to meet."""
    tests = [
        (field, _TESTS[test], wanted)
        for field, condition in where.items()
        for test, wanted in condition.tests().items()
    ]
    if not tests:
        return None

    def fits(fact: Fact) -> bool:
        return all(test(getattr(fact, field), wanted) for field, test, wanted in tests)

    return fits


def _guarded(step: Step, selectors: list[Selector]) -> Step:
    """The step for facts that one of the selectors takes; unguarded where one takes them all."""
    guards = [_fits(selector.where) for selector in selectors]
    if None in guards:
        return step
    checks = [guard for guard in guards if guard is not None]

    def guarded(state: ContradictionState, fact: Fact, silences: Silences) -> None:
        for check in checks:
            if check(fact):
                step(state, fact, silences)
                return

    return guarded


def _add_role(steps: dict[str, list[Step]], role: tuple[Selector, ...] | None, step: Step) -> None:
    """Give each kind of a role its step, once, with the conditions of its selectors."""
    by_kind: dict[str, list[Selector]] = {}
    for selector in role or ():
        for kind in selector.chosen():
            by_kind.setdefault(kind, []).append(selector)
    for kind, selectors in by_kind.items():
        steps.setdefault(kind, []).append(_guarded(step, selectors))


def _may_be_same(one: str, other: str) -> bool:
    """Whether two applications may be one: equal, or one side names none."""
    return one == other or not one or not other


def _tells_apart(one: Owed | Loose, fact: Fact, match: str | None) -> bool:
    """Whether the ids say that two facts are not about the same thing.

    Only ids of one source do: an ATS and a calendar number the same interview each in its way.
    """
    return (
        one.match is not None
        and match is not None
        and one.match != match
        and one.source == fact.source
    )


def _still_loose(state: ContradictionState, rule: str, now: datetime) -> list[Loose]:
    """The loose facts of a rule whose day is not over at `now`; forgets the others."""
    loose = state.loose.get(rule)
    if loose is None:
        return []
    kept = [one for one in loose if one.certainly_by > now]
    if kept:
        state.loose[rule] = kept
    else:
        del state.loose[rule]
    return kept


def _loose(
    fact: Fact,
    bucket: str,
    *,
    match: str | None = None,
    after_anchor: bool = False,
    finding_key: str | None = None,
) -> Loose:
    by = fact.certainly_by
    return Loose(fact.touchpoint_id, by, bucket, fact.source, match, after_anchor, finding_key)


class _Monitor:
    """What all monitors have: the rule's name, its severity, and whose facts it keeps apart."""

    __slots__ = ("by_application", "rule", "severity")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule.rule
        self.severity = rule.severity
        self.by_application = rule.scope == "application"

    def bucket(self, fact: Fact) -> str:
        """The application the memory is kept for; "" for none and for the whole journey."""
        return (fact.application_id or "") if self.by_application else ""

    def violated(
        self, state: ContradictionState, key: str, fact: Fact, *evidence: Evidence
    ) -> None:
        """Conclude for good: violated by this fact, and nothing later mends it."""
        application_id = fact.application_id if self.by_application else None
        state.changed[key] = Finding(
            self.rule, application_id, key, self.severity, fact.occurred_at, None, evidence
        )


# --- not_succession -------------------------------------------------------------------------


class _NotSuccession(_Monitor):
    __slots__ = ("source",)

    def __init__(self, rule: NotSuccession) -> None:
        super().__init__(rule)
        self.source = rule

    def steps(self) -> dict[str, list[Step]]:
        rule = self.source
        assert not isinstance(rule.first, SilenceFirst)
        steps: dict[str, list[Step]] = {}
        # A kind that is both `then` and `first` answers to an earlier one before it stands itself.
        _add_role(steps, rule.then, self.on_then)
        _add_role(steps, rule.unless, self.on_unless)
        _add_role(steps, rule.first, self.on_first)
        return steps

    def on_first(self, state: ContradictionState, fact: Fact, _: Silences) -> None:
        """Remember it, unless one before it stands or an excuse may have come after it."""
        bucket = (fact.application_id or "") if self.by_application else ""
        certainly_by = fact.occurred_at
        if fact.occurred_precision != "instant":
            certainly_by = fact.certainly_by
        if state.loose:
            for one in _still_loose(state, self.rule, fact.occurred_at):
                if (
                    one.finding_key is None
                    and one.touchpoint_id != fact.touchpoint_id
                    and _may_be_same(one.application, bucket)
                ):
                    return
        firsts = state.firsts.get(self.rule)
        if firsts is None:
            state.firsts[self.rule] = {bucket: First(certainly_by, _evidence(fact))}
            return
        standing = firsts.get(bucket)
        if standing is None or certainly_by < standing.certainly_by:
            firsts[bucket] = First(certainly_by, _evidence(fact))

    def on_then(self, state: ContradictionState, fact: Fact, _: Silences) -> None:
        """A finding, if a `first` had certainly happened by now."""
        firsts = state.firsts.get(self.rule)
        if firsts is None:
            return
        bucket = (fact.application_id or "") if self.by_application else ""
        first = firsts.get(bucket)
        if first is None or first.certainly_by > fact.occurred_at:
            return
        key = f"{self.rule}:{first.evidence.id}:{fact.touchpoint_id}"
        self.violated(state, key, fact, first.evidence, _evidence(fact))
        if fact.occurred_precision != "instant" and self.source.unless is not None:
            loose = _still_loose(state, self.rule, fact.occurred_at)
            state.loose[self.rule] = [*loose, _loose(fact, bucket, finding_key=key)]

    def on_unless(self, state: ContradictionState, fact: Fact, _: Silences) -> None:
        """Forget what came before, take back what it may have come before, excuse its own day."""
        bucket = self.bucket(fact)
        if (firsts := state.firsts.get(self.rule)) is not None:
            for application in [one for one in firsts if _may_be_same(one, bucket)]:
                del firsts[application]
            if not firsts:
                del state.firsts[self.rule]
        if not state.loose and fact.occurred_precision == "instant":
            return
        kept = []
        for one in _still_loose(state, self.rule, fact.occurred_at):
            if one.finding_key is not None and _may_be_same(one.application, bucket):
                state.changed[one.finding_key] = None
            else:
                kept.append(one)
        if fact.occurred_precision != "instant":
            kept.append(_loose(fact, bucket))
        if kept:
            state.loose[self.rule] = kept
        else:
            state.loose.pop(self.rule, None)


class _AfterSilence(_Monitor):
    __slots__ = ("calendar", "silence", "source")

    def __init__(self, rule: NotSuccession, first: SilenceFirst, calendar: Calendar) -> None:
        super().__init__(rule)
        self.source = rule
        self.silence = first.silence
        self.calendar = calendar

    def steps(self) -> dict[str, list[Step]]:
        steps: dict[str, list[Step]] = {}
        _add_role(steps, self.source.then, self.on_then)
        return steps

    def on_then(self, state: ContradictionState, fact: Fact, silences: Silences) -> None:
        """A finding, if the employer's silence had lasted too long by now.

        A fact that names no application meets the longest silence of the journey.
        """
        if not silences:
            return
        application_id = fact.application_id
        if application_id is None or not self.by_application:
            application_id = min(silences, key=silences.__getitem__)
        since = silences.get(application_id)
        now = fact.occurred_at
        if since is None or since >= now or self.calendar.add(since, self.silence) > now:
            return
        key = f"{self.rule}:{fact.touchpoint_id}"
        state.changed[key] = Finding(
            self.rule,
            (application_id or None) if self.by_application else None,
            key,
            self.severity,
            now,
            None,
            (_evidence(fact, {"silent_since": since}),),
        )


# --- response -------------------------------------------------------------------------------


class _Response(_Monitor):
    __slots__ = ("anchors", "calendar", "match", "mendable", "once", "settles", "source", "within")

    def __init__(self, rule: Response, calendar: Calendar) -> None:
        super().__init__(rule)
        self.source = rule
        self.calendar = calendar
        self.within = rule.within
        self.anchors = rule.anchor
        self.match = rule.match
        self.once = rule.opens == "once"
        self.mendable = rule.mendable
        self.settles = rule.beforehand is not None

    def steps(self) -> dict[str, list[Step]]:
        rule = self.source
        steps: dict[str, list[Step]] = {}
        # What a fact ends comes before what it begins: a moved interview does both.
        _add_role(steps, rule.violated_by, self.on_violated_by)
        excuses = (*rule.by, *(rule.unless or ()))
        _add_role(steps, tuple(x for x in excuses if x.after == "first"), self.on_by)
        _add_role(steps, tuple(x for x in excuses if x.after == "anchor"), self.on_by_after_anchor)
        _add_role(steps, rule.replaced_by, self.on_replaced_by)
        if rule.beforehand is not None:
            _add_role(steps, rule.beforehand.until, self.on_unsettled)
            _add_role(steps, rule.beforehand.by, self.on_settled)
        _add_role(steps, rule.first, self.on_first)
        return steps

    def on_first(self, state: ContradictionState, fact: Fact, _: Silences) -> None:
        """Open an obligation: a finding that is pending until its due time."""
        anchor, says = self.anchor_of(fact)
        if anchor is None:
            return
        bucket = self.bucket(fact)
        if self.settles and bucket in state.settled.get(self.rule, ()):
            return
        match = getattr(fact, self.match) if self.match is not None else None
        if state.loose and self.is_excused(state, fact, bucket, match, anchor):
            return
        owed = state.owed.get(self.rule)
        if owed is None:
            owed = state.owed[self.rule] = []
        elif self.once:
            if any(one.application == bucket for one in owed):
                return
        elif match is not None:
            # Told again under the same id: the newer telling stands.
            for one in [x for x in owed if x.match == match and x.application == bucket]:
                owed.remove(one)
                self.discharge(state, one, fact)
        key = f"{self.rule}:{fact.touchpoint_id}"
        finding = Finding(
            self.rule,
            fact.application_id if self.by_application else None,
            key,
            self.severity,
            self.calendar.add(anchor, self.within),
            None,
            (_evidence(fact, says),),
        )
        owed.append(Owed(key, bucket, fact.source, match, anchor))
        state.findings[key] = state.changed[key] = finding

    def anchor_of(self, fact: Fact) -> tuple[datetime | None, dict[str, datetime] | None]:
        """From when the window counts, and what to keep of it for the explanation.

        None where the fact has no anchor, or one that was over when it happened: an interview
        entered after its end is a record of it and promises nothing.
        """
        if not self.anchors:
            return fact.certainly_by, None
        for name in self.anchors:
            anchor: datetime | None = getattr(fact, name)
            if anchor is not None:
                return (anchor, {name: anchor}) if anchor > fact.occurred_at else (None, None)
        return None, None

    def is_excused(
        self,
        state: ContradictionState,
        fact: Fact,
        bucket: str,
        match: str | None,
        anchor: datetime,
    ) -> bool:
        """Whether an imprecise `by` or `unless` of before may have come after this fact."""
        for one in _still_loose(state, self.rule, fact.occurred_at):
            if one.touchpoint_id == fact.touchpoint_id:
                continue  # a kind may be both: what excuses others does not excuse itself
            if _tells_apart(one, fact, match):
                continue
            if one.after_anchor and one.certainly_by < anchor and one.match != match:
                continue
            if _may_be_same(one.application, bucket):
                return True
        return False

    def on_by(self, state: ContradictionState, fact: Fact, _: Silences) -> None:
        """Discharge what this fact answers."""
        if self.rule in state.owed:
            self.discharge_all(state, fact, None)
        if fact.occurred_precision != "instant":
            self.loosen(state, fact, after_anchor=False)

    def on_by_after_anchor(self, state: ContradictionState, fact: Fact, _: Silences) -> None:
        """Discharge what this fact answers, as far as its anchor may have passed."""
        if self.rule in state.owed:
            self.discharge_all(state, fact, fact.certainly_by)
        if fact.occurred_precision != "instant":
            self.loosen(state, fact, after_anchor=True)

    def on_replaced_by(self, state: ContradictionState, fact: Fact, _: Silences) -> None:
        """End what a newer `first` stands for. It excuses nothing else: it may be a `first`."""
        if self.rule in state.owed:
            self.discharge_all(state, fact, None)

    def loosen(self, state: ContradictionState, fact: Fact, *, after_anchor: bool) -> None:
        match = getattr(fact, self.match) if self.match is not None else None
        loose = _still_loose(state, self.rule, fact.occurred_at)
        one = _loose(fact, self.bucket(fact), match=match, after_anchor=after_anchor)
        state.loose[self.rule] = [*loose, one]

    def discharge_all(self, state: ContradictionState, fact: Fact, passed: datetime | None) -> None:
        """Discharge each obligation the fact belongs to.

        With `passed` the anchor must be over by then, unless both name the same `match`: a
        scorecard of this very interview says enough, however early it came.
        """
        bucket = self.bucket(fact)
        match = getattr(fact, self.match) if self.match is not None else None
        kept = []
        for one in state.owed[self.rule]:
            if (
                (passed is None or one.anchor <= passed or (match and match == one.match))
                and not _tells_apart(one, fact, match)
                and _may_be_same(one.application, bucket)
            ):
                self.discharge(state, one, fact)
            else:
                kept.append(one)
        if kept:
            state.owed[self.rule] = kept
        else:
            del state.owed[self.rule]

    def discharge(self, state: ContradictionState, owed: Owed, fact: Fact) -> None:
        """In time: the finding never was. Late: mended, unless the rule says it is too late."""
        finding = state.findings.pop(owed.finding_key)
        if fact.occurred_at <= finding.since:
            state.changed[owed.finding_key] = None
        elif not self.mendable:
            state.changed[owed.finding_key] = finding
        else:
            state.changed[owed.finding_key] = msgspec.structs.replace(
                finding, until=fact.occurred_at, evidence=(*finding.evidence, _evidence(fact))
            )

    def on_violated_by(self, state: ContradictionState, fact: Fact, _: Silences) -> None:
        """Break the obligation it belongs to at once; on its own it is a finding as well."""
        owed = self.closest(state, fact)
        if owed is None:
            key = f"{self.rule}:{fact.touchpoint_id}"
            self.violated(state, key, fact, _evidence(fact))
            return
        state.owed[self.rule].remove(owed)
        if not state.owed[self.rule]:
            del state.owed[self.rule]
        finding = state.findings.pop(owed.finding_key)
        state.changed[owed.finding_key] = msgspec.structs.replace(
            finding,
            since=min(finding.since, fact.occurred_at),
            evidence=(*finding.evidence, _evidence(fact)),
        )

    def closest(self, state: ContradictionState, fact: Fact) -> Owed | None:
        """The obligation a breach belongs to: the one of its id, else the one due the soonest."""
        bucket = self.bucket(fact)
        match = getattr(fact, self.match) if self.match is not None else None
        best: Owed | None = None
        for one in state.owed.get(self.rule, ()):
            if not _may_be_same(one.application, bucket):
                continue
            if match is not None and one.match == match:
                return one
            if _tells_apart(one, fact, match):
                continue
            if best is None or one.anchor < best.anchor:
                best = one
        return best

    def on_settled(self, state: ContradictionState, fact: Fact, _: Silences) -> None:
        """From now on nothing is owed in this application."""
        bucket = self.bucket(fact)
        settled = state.settled.setdefault(self.rule, [])
        if bucket not in settled:
            settled.append(bucket)

    def on_unsettled(self, state: ContradictionState, fact: Fact, _: Silences) -> None:
        """What was settled in advance is open again."""
        bucket = self.bucket(fact)
        settled = state.settled.get(self.rule)
        if settled is not None and bucket in settled:
            settled.remove(bucket)
            if not settled:
                del state.settled[self.rule]


# --- requires -------------------------------------------------------------------------------


class _Requires(_Monitor):
    __slots__ = ("field", "source")

    def __init__(self, rule: Requires) -> None:
        super().__init__(rule)
        self.source = rule
        self.field = rule.field

    def steps(self) -> dict[str, list[Step]]:
        steps: dict[str, list[Step]] = {}
        _add_role(steps, self.source.of, self.on_of)
        return steps

    def on_of(self, state: ContradictionState, fact: Fact, _: Silences) -> None:
        """A finding, if the field is not there."""
        value = getattr(fact, self.field)
        if value is None or value == "":
            self.violated(state, f"{self.rule}:{fact.touchpoint_id}", fact, _evidence(fact))
