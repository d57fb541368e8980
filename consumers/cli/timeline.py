"""A journey as lines on one line of time; used by `show` and by the demo."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import UUID

from rich.text import Text

from consumers.cli.output import STYLES, words
from projections.timeline import Entry
from schemas.personal import Personal
from schemas.registry import TRAITS

_MARKS: dict[str, tuple[str, str]] = {
    "silence_began": ("┌", "dim"),
    "silence_ended": ("└", "dim"),
    "still_silent": ("┊", "bold red"),
    "contradiction": ("✗", "red"),
    "mended": ("✓", "green"),
    "alert_raised": ("!", "bold red"),
    "alert_escalated": ("!", "bold red"),
    "alert_reopened": ("!", "bold red"),
    "alert_acknowledged": ("·", "yellow"),
    "alert_resolved": ("·", "green"),
}
_FROM_CANDIDATE = "→"
_TO_CANDIDATE = "←"
_BOTH = "↔"
_UNSEEN = "·"
LEGEND = (
    "→ from the candidate  ← received by the candidate  ↔ both  · the candidate saw nothing of it  "
    "┌ └ ┊ silence  ✗ contradiction  ! alert"
)

_INDENT = 21


def lines(
    entries: Iterable[Entry],
    width: int,
    *,
    personal: Mapping[UUID, Personal | None] | None = None,
    several: bool = False,
) -> Iterator[Text]:
    """One or more lines an entry, each at most `width` columns.

    `several`: name the application of each, since there are several. `personal`: what was unsealed.
    """
    before = ""
    for entry in entries:
        at = f"{entry.at:%Y-%m-%d}" if entry.precision == "day" else words(entry.at)
        shown, before = ("" if at == before else at), at
        mark, style = _mark(entry)
        told = _told(entry)
        if several and entry.application_id:
            told += f" [{words(entry.application_id)}]"
        for index, part in enumerate(_wrapped(told, width - _INDENT)):
            text = Text(f"{shown if index == 0 else '':<16}  {mark if index == 0 else ' '}  ")
            text.append(part, style=_style(entry, style) if index == 0 else _later(entry))
            yield text
        if personal and entry.what == "touchpoint":
            yield from _unsealed(personal, entry.touchpoint_ids, width)


def _wrapped(told: str, width: int) -> Sequence[str]:
    return textwrap.wrap(told, max(width, 30), subsequent_indent="  ") or [""]


def _mark(entry: Entry) -> tuple[str, str]:
    if entry.what != "touchpoint":
        return _MARKS[entry.what]
    traits = TRAITS.get(entry.name)
    if traits is None or not traits.candidate_sees:
        return _UNSEEN, "dim"
    if traits.direction == "from_candidate":
        return _FROM_CANDIDATE, ""
    return (_BOTH if traits.direction == "both" else _TO_CANDIDATE), ""


def _told(entry: Entry) -> str:
    name = words(entry.name).replace("_", " ")
    match entry.what:
        case "touchpoint":
            told = f"{name} ({entry.source})"
            return f"{told}: {entry.text}" if entry.text else told
        case "silence_began" | "silence_ended" | "still_silent":
            return f"silence: {entry.text}" if entry.what != "still_silent" else entry.text
        case "contradiction" | "mended":
            return f"{name} [{entry.level}]: {entry.text}"
        case "alert_raised":
            return f"alert [{entry.level}] {name}: {entry.text}"
        case "alert_escalated":
            return f"alert now [{entry.level}] {name}: {entry.text}"
        case "alert_reopened":
            return f"alert again [{entry.level}] {name}: {entry.text}"
        case "alert_acknowledged":
            return f"alert {name}: {entry.text}"
    return f"alert {name} resolved: {entry.text}"


def _style(entry: Entry, style: str) -> str:
    if entry.what in ("alert_raised", "alert_escalated", "alert_reopened"):
        return STYLES.get(entry.level or "", style)
    return style


def _later(entry: Entry) -> str:
    return "" if entry.what == "touchpoint" else "dim"


def _unsealed(
    personal: Mapping[UUID, Personal | None], touchpoint_ids: Sequence[str], width: int
) -> Iterator[Text]:
    for touchpoint_id in touchpoint_ids:
        key = UUID(touchpoint_id)
        if key not in personal:
            continue
        for line in _personal_lines(personal[key]):
            for part in _wrapped(line, width - _INDENT):
                yield Text(" " * _INDENT).append(part, style="italic")


def _personal_lines(personal: Personal | None) -> list[str]:
    if personal is None:
        return ["(the key was destroyed; what was sealed stays sealed)"]
    told = [("name", personal.name or "")]
    for name in ("emails", "phones", "addresses", "links"):
        told.append((name, ", ".join(getattr(personal, name))))
    told += sorted(personal.text.items())
    return [f"{words(name)}: {words(' '.join(value.split()))}" for name, value in told if value]
