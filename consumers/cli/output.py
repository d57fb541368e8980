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

_READABLE_WIDTH = 24
"""Columns below which a sentence is no fun to read."""

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
    made = Console(width=width, highlight=False, soft_wrap=False, emoji=False, markup=False)
    # Rich would end us with 1; who reads only the beginning, as `head` does, found nothing wrong.
    made.on_broken_pipe = _say_broken_pipe  # type: ignore[method-assign]
    return made


def _say_broken_pipe() -> None:
    raise BrokenPipeError


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str, wide: int = -1
) -> None:
    """A table; `empty` is said when there are no rows. Column `wide` takes the room left.

    Where a terminal is so narrow that words would be torn apart, the columns stand closer; where
    even that does not help, each row becomes lines of its own.
    """
    from rich import box
    from rich.table import Table

    told = [[cell(value) for value in row] for row in rows]
    out = console()
    if not told:
        out.print(empty)
        return
    wide %= len(columns)
    widths = None
    if out.width < PLAIN_WIDTH:
        widths = _fitting([columns, *told], out.width - len(columns) + 1, wide)
        if widths is None:
            _print_records(out, columns, told)
            return
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        padding=(0, 1 if widths is None else 0),
    )
    for index, column in enumerate(columns):
        table.add_column(
            column,
            overflow="fold",
            ratio=1 if widths is None and index == wide else None,
            width=widths[index] if widths is not None else None,
        )
    for row in told:
        table.add_row(*row)
    out.print(table)


def _fitting(lines: Sequence[Sequence[object]], room: int, wide: int) -> list[int] | None:
    """Widths that fit into the room and tear no word apart; None where there are none."""
    from rich.cells import cell_len

    columns = [[str(text) for text in column] for column in zip(*lines, strict=True)]
    most = [max(map(cell_len, column)) for column in columns]
    widths = [max(cell_len(word) for text in column for word in text.split()) for column in columns]
    if most[wide] > _READABLE_WIDTH:
        widths[wide] = max(widths[wide], _READABLE_WIDTH)
    spare = room - sum(widths)
    if spare < 0:
        return None
    # Who needs little gets it first; what is left is for the wide one.
    for index in sorted(range(len(widths)), key=lambda n: (n == wide, most[n] - widths[n])):
        more = min(spare, most[index] - widths[index])
        widths[index] += more
        spare -= more
    return widths


def _print_records(out: Console, columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    """A line a value, and a blank one between rows."""
    from rich.table import Table

    for number, row in enumerate(rows):
        if number:
            out.print()
        record = Table.grid(padding=(0, 2))
        record.add_column(style="dim", no_wrap=True, min_width=max(map(len, columns)))
        record.add_column(overflow="fold")
        for column, value in zip(columns, row, strict=True):
            record.add_row(column, value)
        out.print(record)


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
