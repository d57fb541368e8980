"""What the demo prints: one journey, the open alerts, the contradictions, and where to look."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from rich.console import Console
from rich.text import Text

from consumers.cli.output import STYLES, words
from consumers.cli.timeline import LEGEND, lines
from consumers.demo.story import AMARA, CAST, HUGO, NOW, Character
from projections.standing import Contradiction, days_between

if TYPE_CHECKING:
    from consumers.demo.runner import Run
    from projections.alerts.lifecycle import Alert

WIDTH = 100


def print_report(run: Run, kept_in: Path | None) -> None:
    """Everything, on standard output. Nothing in it depends on the day, machine, port or folder."""
    out = Console(
        width=WIDTH, highlight=False, emoji=False, markup=False, file=sys.stdout, soft_wrap=True
    )
    people = {_id(run, who): who for who in CAST}
    _heading(out, run)
    _cast(out, people)
    _one_journey(out, run, AMARA)
    _one_person(out, run, HUGO)
    _alerts(out, run, people)
    _contradictions(out, run, people)
    _further(out, run, people, kept_in)


def _id(run: Run, who: Character) -> UUID:
    found = run.engine.log.find(f"greenhouse:candidate/{who.candidate}")
    return run.engine.queries.journey(found, NOW).candidate_id


def _heading(out: Console, run: Run) -> None:
    out.print(_line("A story of nine candidates, told by six systems"))
    _say(
        out,
        f"{run.deliveries} deliveries came over HTTP, out of order: {run.repeats} were repeats, "
        f"{run.late} came days late, and {run.refused} was forged and refused. They became "
        f"{run.touchpoints} touchpoints of {len(CAST)} candidates, each fact once. "
        f"{run.messages} messages about alerts went out as time passed. "
        f"It is now {NOW:%A %Y-%m-%d %H:%M} UTC.",
    )


def _cast(out: Console, people: dict[UUID, Character]) -> None:
    out.print()
    _say(out, "Who is who (the engine knows only the ids; names stay sealed):")
    for candidate_id, who in people.items():
        out.print(f"  {words(candidate_id)}  {who.name.split()[0]:<6} {who.lesson}")


def _one_journey(out: Console, run: Run, who: Character) -> None:
    journey = run.engine.queries.journey(_id(run, who), NOW)
    _title(out, f"One journey: {words(journey.candidate_id)}, {who.lesson}")
    for line in lines(journey.timeline, WIDTH):
        out.print(line)
    out.print()
    for part in textwrap.wrap(LEGEND, WIDTH):
        out.print(part, style="dim")


def _one_person(out: Console, run: Run, who: Character) -> None:
    journey = run.engine.queries.journey(_id(run, who), NOW)
    others = " and ".join(words(each) for each in journey.candidates[1:])
    _title(out, f"Three names, one person: {words(journey.candidate_id)} ({who.name.split()[0]})")
    _say(
        out,
        f"Chat knew a phone number, mail an address, the ATS its own number and both of these. "
        f"Until it told, {others} looked like somebody else; it is read as part of "
        f"{words(journey.candidate_id)} since, and that can be taken back.",
    )


def _alerts(out: Console, run: Run, people: dict[UUID, Character]) -> None:
    alerts = run.engine.alerts.list(("open", "acknowledged"))
    resolved = run.engine.alerts.list(("resolved",))
    waiting = [alert for alert in alerts if alert.subject == "silence"]
    _title(
        out, f"Open alerts: {len(waiting)} silences, {len(alerts) - len(waiting)} contradictions"
    )
    for alert in sorted(waiting, key=lambda each: (-_gravity(each), each.since, each.name)):
        waited = f"waiting for {days_between(alert.since, NOW)}"
        _headline(out, alert.level, alert.candidate_id, people, alert.name, waited)
        _say(out, alert.explanation, 4)
    counts = _counts(alert.name for alert in alerts if alert.subject != "silence")
    _say(out, f"And one for each contradiction below: {counts}.")
    if resolved:
        reasons = _counts(alert.reason or "" for alert in resolved)
        _say(out, f"Already resolved by what came later: {reasons}.")
    for alert in resolved:
        if alert.reason == "disproved":
            _disproved(out, alert, people)


def _disproved(out: Console, alert: Alert, people: dict[UUID, Character]) -> None:
    who = people[alert.candidate_id].name.split()[0]
    _say(
        out,
        f"Disproved means: {who}'s {alert.name.replace('_', ' ')} alert was raised in good faith, "
        "and then a late delivery told that an answer had come in time. Both stay on record.",
        4,
    )


def _contradictions(out: Console, run: Run, people: dict[UUID, Character]) -> None:
    found = run.engine.queries.contradictions(NOW)
    _title(out, f"Contradictions: {len(found)}, with their evidence")
    for rule, same in _grouped(found):
        first = same[0]
        _headline(out, first.severity, first.candidate_id, people, rule)
        for each in same:
            verdict = "" if each.verdict == "violated" else f" ({each.verdict})"
            _say(out, f"{each.explanation}{verdict}", 4)
            for evidence in each.evidence:
                kind = str(evidence["kind"]).replace("_", " ")
                touchpoint = str(evidence["id"])[:8]
                out.print(
                    f"      {words(evidence['at'])}  {kind}  touchpoint {touchpoint}", style="dim"
                )


def _grouped(found: Sequence[Contradiction]) -> list[tuple[str, list[Contradiction]]]:
    """By rule and candidate, in the order in which each was first found."""
    groups: dict[tuple[str, UUID], list[Contradiction]] = {}
    for each in found:
        groups.setdefault((each.rule, each.candidate_id), []).append(each)
    return [(rule, same) for (rule, _), same in groups.items()]


def _further(out: Console, run: Run, people: dict[UUID, Character], kept_in: Path | None) -> None:
    ids = {who: words(candidate_id) for candidate_id, who in people.items()}
    amara, now = ids[AMARA], f"{NOW:%Y-%m-%dT%H:%MZ}"
    _title(out, "Look further")
    if kept_in is None:
        _say(out, "journey demo --keep leaves the data folder and says where; with it:")
    else:
        _say(out, f"The data is kept. First: export JOURNEY_HOME={kept_in}")
    for command, why in (
        (f"journey show {amara} --at 2026-03-01", "the journey as it stood on a day"),
        (f"journey show {ids[HUGO]} --at {now} --unseal", "names and texts, too"),
        (f"journey replay {amara} --at {now}", "step by step"),
        (f"journey silences --at {now}", "who waits, by every policy"),
        (f"journey contradictions --at {now} --json", "for programs"),
        ("journey deliveries list", "what arrived, raw"),
        ("journey rebuild --dry-run", "made again from the log, compared"),
    ):
        out.print(f"  {command:<57}{why}")
    _say(out, "Then journey serve, and point a webhook of your own at it: journey --help.")


# --- small things ---------------------------------------------------------------------------


def _title(out: Console, text: str) -> None:
    out.print()
    out.print(_line(text))


def _line(text: str) -> Text:
    return Text(f"── {text} ".ljust(WIDTH, "─"), style="bold")


def _say(out: Console, text: str, indent: int = 0) -> None:
    pad = " " * indent
    for part in textwrap.wrap(text, WIDTH, initial_indent=pad, subsequent_indent=pad):
        out.print(part)


def _headline(
    out: Console,
    level: str,
    candidate_id: UUID,
    people: dict[UUID, Character],
    name: str,
    more: str = "",
) -> None:
    who = people[candidate_id].name.split()[0]
    line = Text(f"  {level:<8} ", style=STYLES.get(level, ""))
    line.append(f"{words(candidate_id)} ({who})  ", style="bold")
    line.append(name.replace("_", " ") + (f", {more}" if more else ""))
    out.print(line)


def _gravity(alert: Alert) -> int:
    return {"nudge": 1, "breach": 2, "ghosted": 3}.get(alert.level, 0)


def _counts(names: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(
        f"{count} × {name.replace('_', ' ')}" for name, count in sorted(counts.items())
    )
