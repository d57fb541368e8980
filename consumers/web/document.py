"""HTML that needs nothing else: no script, no font, no picture, one small style sheet inside.

Made of elements, not of text, so it is well formed and what comes from outside stays text.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import lxml.html  # type: ignore[import-untyped]
from lxml.builder import E  # type: ignore[import-untyped]

from consumers.drawing.picture import printable
from projections.standing import days_between

Node = Any
"""An element of lxml, or text."""

Cell = int | str | datetime | None

STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --quiet: #52606d; --paper: #ffffff;
  --rim: #bcccdc; --link: #0b5fa5; --wrong: #a61b1b; --note: #8d5500; --ok: #1b6b3a; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --quiet: #9fb3c8; --paper: #14191f; --rim: #3e4c59; --link: #7cc4fa;
    --wrong: #ff9b9b; --note: #f7c948; --ok: #8eedc7; } }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
a { color: var(--link); }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.2rem; margin: 2rem 0 0; border-top: 1px solid var(--rim); padding-top: 1rem; }
p { margin: 0.5rem 0; max-width: 45rem; }
.status { font-weight: bold; border: 2px solid; border-radius: 0.3rem; padding: 0 0.4rem;
  font-size: 0.9rem; white-space: nowrap; }
.wrong { color: var(--wrong); } .note { color: var(--note); } .ok { color: var(--ok); }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 0.5rem 1.2rem; }
.complaints { list-style: none; padding: 0; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums;
  min-width: min(100%, 28rem); }
caption, summary { text-align: left; color: var(--quiet); padding: 0.2rem 0; }
th, td { text-align: left; vertical-align: top; padding: 0.2rem 1.2rem 0.2rem 0;
  border-bottom: 1px solid var(--rim); }
thead th { color: var(--quiet); font-weight: normal; }
tbody th { font-weight: normal; max-width: 14rem; }
td.number, th.number { text-align: right; }
time span { white-space: nowrap; }
code { font-family: ui-monospace, monospace; font-size: 0.9em; overflow-wrap: anywhere;
  display: inline-block; max-width: 100%; }
footer { margin-top: 2rem; border-top: 1px solid var(--rim); color: var(--quiet); }
@media (max-width: 40rem) { table { font-size: 0.9rem; } th, td { padding-right: 0.6rem; } }
@media print {
  body { max-width: none; padding: 0; }
  h2, caption, summary { break-after: avoid; } tr { break-inside: avoid; }
  details::details-content { content-visibility: visible; } }
"""

STYLE_SOURCE = f"'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'"
"""For a Content-Security-Policy that allows this style and no other."""

_LONG_TABLE = 12
"""More rows than this are folded away until somebody opens them."""


def document(title: str, *parts: Node) -> str:
    """A whole page."""
    page = E.html(
        {"lang": "en"},
        E.head(
            E.meta({"charset": "utf-8"}),
            E.meta({"name": "viewport", "content": "width=device-width, initial-scale=1"}),
            E.title(printable(title)),
            E.style(STYLE),
        ),
        E.body(*parts),
    )
    made: str = lxml.html.tostring(page, doctype="<!doctype html>", encoding="unicode")
    return f"{made}\n"


def sentence(title: str, message: str) -> str:
    """A page that says one sentence, in place of another."""
    return document(title, E.main(E.h1(title), paragraph(message)))


def status_word(status: str) -> Node:
    """How something stands, as a word; the colour only repeats it."""
    return E.span({"class": f"status {status}"}, status)


def paragraph(text: str, *before: Node) -> Node:
    """A paragraph; what stands in backquotes is to be typed."""
    pieces = printable(text).split("`")
    parts = [E.code(piece) if n % 2 else piece for n, piece in enumerate(pieces)]
    return E.p(*before, *parts)


def moment(at: datetime) -> Node:
    """A moment in UTC, to read and for programs; where it is narrow, the time stands below."""
    parts = E.span(f"{at:%Y-%m-%d}"), " ", E.span(f"{at:%H:%M:%S} UTC")
    return E.time({"datetime": at.isoformat()}, *parts)


def table(title: str, rows: Iterable[Mapping[str, Cell]], now: datetime) -> Node:
    """A table with its title, a column for each key; the first names the row.

    Numbers stand right; a key that ends in `_seconds` is a length of time, told in words. Every
    number and moment is told to programs, too, in `data` and `time`. A long one is folded.
    """
    found = list(rows)
    if not found:
        return paragraph(f"{title}: none.")
    keys = list(found[0])
    numbers = {key for key in keys if any(isinstance(row[key], int) for row in found)}
    body = [
        E.tr(
            *(
                (E.th if key == keys[0] else E.td)(
                    _attributes(key, keys, numbers, "row"), _cell(key, row[key], now)
                )
                for key in keys
            )
        )
        for row in found
    ]
    folded = len(found) > _LONG_TABLE
    made = E.table(
        *([] if folded else [E.caption(printable(title))]),
        E.thead(
            E.tr(*(E.th(_attributes(key, [key], numbers, "col"), _label(key)) for key in keys))
        ),
        E.tbody(*body),
    )
    if not folded:
        return E.div({"class": "wide"}, made)
    summary = E.summary(printable(f"{title} ({len(found)} rows)"))
    return E.details(summary, E.div({"class": "wide"}, made))


def _attributes(key: str, heads: list[str], numbers: set[str], scope: str) -> dict[str, str]:
    """`heads`: the first of them heads a row or column."""
    made = {"scope": scope} if key == heads[0] else {}
    return {**made, "class": "number"} if key in numbers else made


def _label(key: str) -> str:
    return key.removesuffix("_seconds").removesuffix("_at").replace("_", " ")


def _cell(key: str, value: Cell, now: datetime) -> Node:
    match value:
        case None:
            return "none"
        case datetime():
            return moment(value)
        case int() if key.endswith("_seconds"):
            told = days_between(now - timedelta(seconds=value), now)
            return E.data({"value": str(value)}, told)
        case int():
            return E.data({"value": str(value)}, f"{value:,}")
    return printable(value)


__all__ = [
    "STYLE",
    "STYLE_SOURCE",
    "Cell",
    "E",
    "Node",
    "document",
    "moment",
    "paragraph",
    "sentence",
    "status_word",
    "table",
]
