"""How commands print: tables for people, one JSON document for programs."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

PLAIN_WIDTH = 120
"""Columns when nobody's terminal says how many there are."""

STYLES = {
    "nudge": "yellow",
    "breach": "red",
    "ghosted": "bold red",
    "low": "yellow",
    "medium": "dark_orange",
    "high": "red",
    "violated": "red",
    "mendable": "dark_orange",
    "pending": "cyan",
    "satisfied": "green",
    "open": "red",
    "acknowledged": "yellow",
    "resolved": "green",
    "dead": "red",
    "ok": "green",
    "note": "yellow",
    "wrong": "bold red",
}


def print_json(document: Any) -> None:
    """Dataclasses, structs, ids and times as indented JSON; times in ISO 8601 with `Z`."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(document), indent=2)
    sys.stdout.write(text.decode().rstrip() + "\n")


def let_go_of_stdout() -> None:
    """Whoever read our output has seen enough; Python must not complain when it flushes."""
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console(width: int | None = None) -> Console:
    """Where people read. Without a terminal: no colour, and a settled width."""
    from rich.console import Console

    if width is None and not sys.stdout.isatty():
        width = PLAIN_WIDTH
    return Console(width=width, highlight=False, soft_wrap=False, emoji=False, markup=False)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str, wide: int = -1
) -> None:
    """A table; `empty` is said when there are no rows. Column `wide` takes the room left."""
    from rich import box
    from rich.table import Table

    told = list(rows)
    if not told:
        console().print(empty)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    wide %= len(columns)
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", ratio=1 if index == wide else None)
    for row in told:
        table.add_row(*(cell(value) for value in row))
    console().print(table)


def cell(value: object) -> Text:
    """One value as a person reads it."""
    from rich.text import Text

    text = words(value)
    return Text(text, style=STYLES.get(text, ""))


def words(value: object) -> str:
    """One value as text on one line; nothing from outside may steer a terminal."""
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, UUID):
        return str(value)[:8]
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "".join(c if c.isprintable() else " " for c in str(value))
