"""Running a rule's own examples: what `journey rules test` and the contract test call.

An example's journey is folded by the same code as a real one, in `occurred_at` order, with the
open silences it gives. Its touchpoints get their place in the example (from 1) as their id.
Whatever calendar the rule names, its examples are measured by a plain one (Monday to Friday, 9 to
17 UTC, no holidays), so an installation that sets its own calendar does not break them.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from projections.contradictions.fold import (
    ContradictionState,
    Finding,
    compile_rules,
    drain,
    explain,
    verdict,
)
from projections.contradictions.rule import Example, ExampleTouchpoint, Rule, Verdict
from projections.fact import Fact
from projections.working_time import Calendar

EXAMPLE_APPLICATION = "a1"
"""The application of an example's touchpoint that names none."""

EXAMPLE_CALENDAR = Calendar("example")
"""Stands in for every calendar: 9 to 17 UTC from Monday to Friday, no holidays."""

_WORST_FIRST: tuple[Verdict, ...] = ("violated", "mendable", "pending", "satisfied")


class Outcome(NamedTuple):
    """What a rule said of an example; `findings` are worst first, `faults` is empty if all fits."""

    example: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    explanations: tuple[str, ...]
    faults: tuple[str, ...]


def run_examples(rule: Rule) -> list[Outcome]:
    """Every example of a rule, run."""
    return [run_example(rule, example) for example in rule.examples]


def run_example(rule: Rule, example: Example) -> Outcome:
    """One example: fold its journey, compare with what it expects."""
    compiled = compile_rules([rule], {rule.calendar: EXAMPLE_CALENDAR})
    facts = [fact_of(place, told) for place, told in enumerate(example.journey, start=1)]
    now = example.now or max(fact.certainly_by for fact in facts)
    state = ContradictionState()
    for fact in sorted(facts, key=lambda fact: fact.occurred_at):
        compiled.apply(state, fact, example.silences)
    changed, _ = drain(state)
    findings = sorted(
        changed, key=lambda one: (_WORST_FIRST.index(verdict(rule, one, now)), one.since)
    )
    said: Verdict = verdict(rule, findings[0], now) if findings else "satisfied"
    return Outcome(
        example.name,
        said,
        tuple(findings),
        tuple(explain(rule, finding) for finding in findings),
        tuple(_faults(example, said, findings)),
    )


def fact_of(place: int, told: ExampleTouchpoint) -> Fact:
    """A line of an example as the folds read it; `place` becomes its id."""
    fields = {"application_id": EXAMPLE_APPLICATION, "source": "example"} | told.fields
    return Fact(
        touchpoint_id=str(place),
        occurred_at=told.at,
        occurred_precision=told.precision,
        kind=told.kind,
        **fields,
    )


def _faults(example: Example, said: Verdict, findings: list[Finding]) -> list[str]:
    """What is not as the example expects, a sentence each."""
    faults = []
    if said != example.expect:
        faults.append(f"expected {example.expect}, found {said}")
    if example.findings is not None and len(findings) != example.findings:
        faults.append(f"expected {example.findings} findings, found {len(findings)}")
    worst = findings[0] if findings else None
    evidence = tuple(int(one.id) for one in worst.evidence) if worst else ()
    if example.evidence is not None and evidence != example.evidence:
        faults.append(f"expected evidence {list(example.evidence)}, found {list(evidence)}")
    times: list[tuple[str, datetime | None, datetime | None]] = [
        ("since", example.since, worst.since if worst else None),
        ("until", example.until, worst.until if worst else None),
        ("due", example.due, worst.since if worst else None),
    ]
    for name, expected, found in times:
        if expected is not None and found != expected:
            told = found.isoformat() if found else "none"
            faults.append(f"expected {name} {expected.isoformat()}, found {told}")
    return faults
