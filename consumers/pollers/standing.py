"""How a polled connection stands, for those who look after it: `journey doctor`, `/-/status`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from consumers.pollers import cursors
from consumers.pollers.cursors import Cursor, Poll
from journey.database import Connection as DatabaseConnection


@dataclass(frozen=True, slots=True)
class Standing:
    """A connection's poll and lists as they stand; `poll` is None before the first look.

    `waiting`: objects that changed and are still to be asked about.
    """

    poll: Poll | None
    lists: tuple[Cursor, ...]
    waiting: int

    @property
    def problem(self) -> str | None:
        """What stands in the way: of all of it, or of the first list that is left unread."""
        if self.poll is not None and self.poll.problem is not None:
            return self.poll.problem
        unread = next((each for each in self.lists if each.problem is not None), None)
        return None if unread is None else f"{unread.endpoint}: {unread.problem}"

    def told(self) -> str:
        """One line: the last whole round, how far each list is, and what stands in the way."""
        finished_at = self.poll.finished_at if self.poll is not None else None
        parts = [
            "never read to the end" if finished_at is None else f"read {_minute(finished_at)} UTC"
        ]
        parts += [
            f"{each.endpoint} up to {_minute(each.cursor_at)}"
            for each in self.lists
            if each.cursor_at is not None
        ]
        if self.waiting:
            parts.append(f"{self.waiting:,} to be asked about")
        return ", ".join([*parts, *([self.problem] if self.problem else [])])

    def advice(self, now: datetime, patience: timedelta) -> str | None:
        """What to do, or None when all is well. `patience`: since the moment a look was due."""
        if self.poll is None:
            return "start `journey run poll` (or `serve`) and read its log"
        if self.poll.refused:
            return "make a new key in the system, set poll_key, and start `journey run poll` again"
        if now - self.poll.next_at > patience:
            return "start `journey run poll` (or `serve`) and read its log"
        if self.poll.failures >= 3:
            return "see whether the system answers; it is asked again, less and less often"
        if self.problem is not None and self.poll.problem is None:
            return "let the key read this list, in the system's settings of keys"
        return None

    def as_json(self) -> dict[str, Any]:
        """Moments as ISO 8601; what is not known is null."""
        poll = self.poll
        return {
            "finished_at": _iso(poll.finished_at if poll else None),
            "next_at": _iso(poll.next_at if poll else None),
            "problem": self.problem,
            "waiting": self.waiting,
            "cursors": {each.endpoint: _iso(each.cursor_at) for each in self.lists},
        }


def standing(connection: DatabaseConnection, name: str, now: datetime) -> Standing:
    """How this connection stands."""
    return Standing(
        cursors.load_poll(connection, name),
        tuple(cursors.load_cursors(connection, name)),
        cursors.waiting(connection, name, now),
    )


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
