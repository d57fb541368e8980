"""`journey replay`: walk through a journey, step by step."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consumers.cli.options import AsJson, AsOf, Candidate, Moment, as_of, moment

if TYPE_CHECKING:
    from rich.console import Console

    from projections.replay import Step

KEYS = "n next  p previous  g go to a step  f first  l last  q quit"
_NEXT = frozenset({"n", " ", "\r", "\n", "j", "\x1b[C", "\x1b[B"})
_PREVIOUS = frozenset({"p", "k", "b", "\x7f", "\x1b[D", "\x1b[A"})
_QUIT = frozenset({"q", "\x03", "\x04", "\x1b"})


def replay(
    candidate: Candidate,
    as_of_text: AsOf = None,
    at: Moment = None,
    no_input: Annotated[
        bool, typer.Option("--no-input", help="Print every step and end; so does a pipe.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Walk through a journey: what was known, owed and alarming at each moment.

    Steps are touchpoints and the deadlines that passed between them. Keys: n next, p previous,
    g and a number, f first, l last, q quit.

    Example: journey replay 3f2a91c0

    JSON: a list of {number, at, because: touchpoint | deadline | now, touchpoint, applications,
    silences, begins, ends, alerts}.
    """
    from consumers.bootstrap import installation
    from consumers.cli.output import console, print_json

    with installation() as engine:
        steps = engine.queries.replay(
            engine.log.find(candidate),
            engine.clock.now(),
            as_of=as_of(as_of_text),
            at=moment(at),
        )
    if as_json:
        print_json([_fields(step) for step in steps])
        return
    out = console()
    if no_input or not (sys.stdin.isatty() and sys.stdout.isatty()):
        for step in steps:
            _print(out, step, len(steps))
        return
    _walk(out, steps)


def _walk(out: Console, steps: Sequence[Step]) -> None:
    """Show a step, wait for a key, and so on."""
    index = 0
    while steps:
        out.clear()
        _print(out, steps[index], len(steps))
        out.print(KEYS, style="dim")
        key = typer.getchar()
        if key in _QUIT:
            return
        if key == "g":
            index = _asked_for(index, len(steps))
        index = moved(index, key, len(steps))


def moved(index: int, key: str, count: int) -> int:
    """Where a key leads from a step; a key without a meaning leads nowhere."""
    if key in _NEXT:
        return min(index + 1, count - 1)
    if key in _PREVIOUS:
        return max(index - 1, 0)
    return {"f": 0, "l": count - 1}.get(key, index)


def _asked_for(index: int, count: int) -> int:
    answer = typer.prompt(f"step 1 to {count}", default=index + 1, type=int)
    return min(max(int(answer), 1), count) - 1


def _print(out: Console, step: Step, count: int) -> None:
    from consumers.cli.output import STYLES, words
    from projections.standing import days_between

    out.print(f"── {step.number} of {count} ── {words(step.at)} UTC ", style="bold")
    if step.fact is not None:
        out.print(f"  {step.fact.kind.replace('_', ' ')} ({words(step.fact.source)})")
    elif step.because == "deadline":
        out.print("  nobody said a word, and a deadline passed")
    else:
        out.print("  now")
    for each in step.applications:
        stage = f", stage {words(each.stage)}" if each.stage else ""
        out.print(
            f"  application {words(each.application_id)}: {each.status}, turn of {each.turn}{stage}"
        )
    for told in step.silences:
        level = told.level or "in time"
        out.print(
            f"  silent for {days_between(told.since, step.at)}, since {words(told.since)} UTC: "
            f"{level}" + (f" by {told.policy}" if told.policy else ""),
            style=STYLES.get(level, ""),
        )
    for found in step.begins:
        out.print(f"  ✗ {found.rule}: {found.explanation}", style="red")
    for found in step.ends:
        out.print(f"  ✓ {found.rule} is mended", style="green")
    for alert in step.alerts:
        out.print(f"  ! open alert [{alert.level}] {alert.name}: {alert.explanation}")
    out.print()


def _fields(step: Step) -> dict[str, Any]:
    fact = step.fact
    return {
        "number": step.number,
        "at": step.at,
        "because": step.because,
        "touchpoint": None
        if fact is None
        else {
            "touchpoint_id": fact.touchpoint_id,
            "kind": fact.kind,
            "occurred_at": fact.occurred_at,
            "recorded_at": fact.recorded_at,
            "application_id": fact.application_id,
            "source": fact.source,
            "position": fact.position,
        },
        "applications": step.applications,
        "silences": step.silences,
        "begins": step.begins,
        "ends": step.ends,
        "alerts": step.alerts,
    }
