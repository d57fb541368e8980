"""One thing that was looked at, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Status = Literal["ok", "note", "wrong"]

PATIENCE = timedelta(minutes=5)
"""What waits longer than this has nobody who works on it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: `ok`, worth a `note`, or `wrong`; `advice` says what to do."""

    check: str
    status: Status
    found: str
    advice: str = ""


def failed(name: str, error: object) -> Check:
    """What an error says: our sentences end with what to do."""
    found, _, advice = str(error).partition("; ")
    return Check(name, "wrong", found, advice or "mend what it names")


def number(count: int, one: str, several: str) -> str:
    """So many of something, in the words for one or several."""
    return f"{count:,} {one if count == 1 else several}"


__all__ = ["PATIENCE", "Check", "Status", "failed", "number"]
