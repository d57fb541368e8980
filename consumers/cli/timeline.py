"""A journey as lines on one line of time; used by `show` and by the demo.

A bar runs beside everything that happens while the employer owes the candidate an answer.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from rich.text import Text

from consumers.cli.output import STYLES, words
from projections.standing import days_between
from projections.timeline import Entry
from schemas.personal import Personal
from schemas.registry import TRAITS

_MARKS: dict[str, tuple[str, str]] = {
    "silence_began": (" ", ""),
    "silence_ended": (" ", ""),
    "still_silent": (" ", "bold red"),
    "contradiction": ("✗", "red"),
    "mended": ("✓", "green"),
    "alert_raised": ("!", "bold red"),
    "alert_escalated": ("!", "bold red"),
    "alert_reopened": ("!", "bold red"),
    "alert_acknowledged": ("!", "yellow"),
    "alert_resolved": ("!", "green"),
}
_RAISED = ("alert_raised", "alert_escalated", "alert_reopened")

LEGEND = (
    "→ from the candidate   ← received by the candidate   ↔ both   · the candidate saw nothing of "
    "it   ┃ an answer is owed   ✗ contradiction   ! alert"
)

_INDENT = 23
_BRIEF = timedelta(days=1)


def lines(
    entries: Iterable[Entry],
    width: int,
    *,
    personal: Mapping[UUID, Personal | None] | None = None,
    several: bool = False,
) -> Iterator[Text]:
    """One or more lines an entry, each at most `width` columns (at least 53).

    `several`: name the application of each, since there are several. `personal`: what was unsealed.
    """
    yield from _Drawing(width, personal or {}, several).lines(entries)


class _Drawing:
    """What is remembered from line to line: which silences are open, and what was just said."""

    def __init__(self, width: int, personal: Mapping[UUID, Personal | None], several: bool) -> None:
        self._width = width
        self._personal = personal
        self._several = several
        self._open: dict[str, datetime] = {}
        self._said = ""

    def lines(self, entries: Iterable[Entry]) -> Iterator[Text]:
        for _, same in groupby(entries, key=lambda entry: entry.at):
            yield from self._moment(list(same))

    def _moment(self, entries: list[Entry]) -> Iterator[Text]:
        """Everything of one moment; silences go into the margin of what ended or began them."""
        ended = [entry for entry in entries if entry.what == "silence_ended"]
        began = [entry for entry in entries if entry.what == "silence_began"]
        rest = [entry for entry in entries if entry not in ended and entry not in began]
        after = ""
        for entry in ended:
            since = self._open.pop(entry.application_id or "", entry.at)
            if entry.at - since >= _BRIEF:
                after = f", after {days_between(since, entry.at)} of silence"
        was_open = bool(self._open or ended)
        for entry in began:
            self._open[entry.application_id or ""] = entry.at
        if not rest:
            # A booked interview has ended and nobody has said so: the clock began it.
            rest = began[:1]
        for index, entry in enumerate(rest):
            shown = index == 0
            bar = "┃" if self._open else " "
            if shown and (ended or began):
                bar = _bar(was_open, bool(self._open))
            extra = after if shown and entry.what == "touchpoint" else ""
            yield from self._entry(entry, bar, shown, extra)

    def _entry(self, entry: Entry, bar: str, shown: bool, extra: str) -> Iterator[Text]:
        at = f"{entry.at:%Y-%m-%d}" if entry.precision == "day" else words(entry.at)
        mark, style = _mark(entry)
        told = self._told(entry) + extra
        if self._several and entry.application_id:
            told += f" [{words(entry.application_id)}]"
        running = "┃" if self._open else " "
        for index, part in enumerate(_wrapped(told, self._width - _INDENT)):
            first = index == 0
            line = Text(f"{at if first and shown else '':<16}  ")
            line.append(bar if first else running, style="red")
            line.append(f" {mark if first else ' '}  ", style=style)
            line.append(part, style=_style(entry, style) if first else _later(entry))
            yield line
        if entry.what == "touchpoint":
            yield from self._unsealed(entry.touchpoint_ids, running)

    def _told(self, entry: Entry) -> str:
        name = words(entry.name).replace("_", " ")
        # An alert about a contradiction says the same as the line above it.
        said, self._said = self._said, entry.text
        text = "" if entry.what in _RAISED and entry.text == said else f": {entry.text}"
        match entry.what:
            case "touchpoint":
                return f"{name} ({entry.source})" + (text if entry.text else "")
            case "still_silent":
                return entry.text
            case "silence_began" | "silence_ended":
                return f"silence{text}"
            case "contradiction" | "mended":
                return f"{name} [{entry.level}]{text}"
            case "alert_raised":
                return f"alert [{entry.level}] {name}{text}"
            case "alert_escalated":
                return f"alert, graver now [{entry.level}] {name}{text}"
            case "alert_reopened":
                return f"alert again [{entry.level}] {name}{text}"
            case "alert_acknowledged":
                return f"alert {name}{text}"
        return f"alert {name} resolved{text}"

    def _unsealed(self, touchpoint_ids: Sequence[str], running: str) -> Iterator[Text]:
        for key in map(UUID, touchpoint_ids):
            if key not in self._personal:
                continue
            for told in _personal_lines(self._personal[key]):
                for part in _wrapped(told, self._width - _INDENT):
                    line = Text(" " * 18)
                    line.append(running, style="red")
                    yield line.append(f"    {part}", style="italic")


def _bar(was_open: bool, is_open: bool) -> str:
    if is_open:
        return "┣" if was_open else "┏"
    return "┗" if was_open else " "


def _wrapped(told: str, width: int) -> Sequence[str]:
    return textwrap.wrap(told, max(width, 30), subsequent_indent="  ") or [""]


def _mark(entry: Entry) -> tuple[str, str]:
    if entry.what != "touchpoint":
        return _MARKS[entry.what]
    traits = TRAITS.get(entry.name)
    if traits is None or not traits.candidate_sees:
        return "·", "dim"
    if traits.direction == "from_candidate":
        return "→", ""
    return ("↔" if traits.direction == "both" else "←"), ""


def _style(entry: Entry, style: str) -> str:
    return STYLES.get(entry.level or "", style) if entry.what in _RAISED else style


def _later(entry: Entry) -> str:
    return "" if entry.what == "touchpoint" else "dim"


def _personal_lines(personal: Personal | None) -> list[str]:
    if personal is None:
        return ["(the key was destroyed; what was sealed stays sealed)"]
    told = [("name", personal.name or "")]
    for name in ("emails", "phones", "addresses", "links"):
        told.append((name, ", ".join(getattr(personal, name))))
    told += sorted(personal.text.items())
    return [f"{words(name)}: {words(' '.join(value.split()))}" for name, value in told if value]
