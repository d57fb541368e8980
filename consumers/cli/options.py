"""Arguments and options that several commands share, and how moments are read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from typing import Annotated

import typer

from consumers.cli.errors import NotFound

Candidate = Annotated[
    str,
    typer.Argument(
        help="A candidate's id, its first digits, or how a source names them: "
        "greenhouse:candidate/123, or an e-mail address.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document for programs.")]
Moment = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="T",
        help="What had happened by this moment: 2026-03-02T09:00Z, or a day (to its end, UTC).",
        show_default=False,
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="T|POSITION",
        help="What we knew at this moment, or up to this position of the log.",
        show_default=False,
    ),
]


def moment(text: str | None, option: str = "--at", *, day_begins: bool = False) -> datetime | None:
    """A moment from ISO 8601; a date alone is the end of that day in UTC, or its beginning.

    Raises BadParameter.
    """
    if text is None:
        return None
    try:
        if len(text) == 10:
            day = datetime.combine(datetime.fromisoformat(text).date(), time(), UTC)
            return day if day_begins else day + timedelta(days=1) - timedelta(microseconds=1)
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{option}: {text!r} is no moment; write 2026-03-02T09:00Z or 2026-03-02"
        ) from None
    if found.tzinfo is None:
        raise typer.BadParameter(
            f"{option}: {text!r} says no time zone; end it with Z or an offset like +01:00"
        )
    return found.astimezone(UTC)


def span(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """What `--from` and `--to` say, each day whole. Raises BadParameter."""
    first, last = moment(since, "--from", day_begins=True), moment(until, "--to")
    if first is not None and last is not None and first > last:
        raise typer.BadParameter(f"--from {since} is after --to {until}; change one of them")
    return first, last


def check_known(name: str | None, known: Iterable[str], what: str) -> None:
    """Nothing found by a name nobody has would pass for good news. Raises NotFound."""
    names = sorted(known)
    if name is not None and name not in names:
        raise NotFound(f"no {what} is called {name!r}; there are {', '.join(names)}")


def as_of(text: str | None) -> datetime | int | None:
    """A moment, or a position when it is a plain number. Raises BadParameter."""
    if text is not None and text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    return moment(text, "--as-of")
