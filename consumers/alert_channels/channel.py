"""What an alert channel is: a name, how many messages it takes at once, and `send`.

A channel sends one message and says what became of it. It keeps nothing and retries nothing:
what is sent when, and again when, is the notifier's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Message:
    """One transition of one alert for one channel.

    `message_id` is the same on every attempt. `payload` is `{type, timestamp, data}` with opaque
    ids only. `attempted_at` is the time of this attempt.
    """

    message_id: UUID
    alert_id: UUID
    payload: Mapping[str, Any]
    attempt: int
    attempted_at: datetime


@dataclass(frozen=True, slots=True)
class Sent:
    """It arrived."""


@dataclass(frozen=True, slots=True)
class Retry:
    """It may arrive later. `after_seconds` is how long the other side asked us to wait, if so.

    `reason` is stored and logged: never a URL, never something the other side wrote.
    """

    reason: str
    after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It will never arrive; nobody should try again. `reason` as with Retry."""

    reason: str


Outcome = Sent | Retry | GiveUp


class Channel(Protocol):
    """Somewhere alerts are told."""

    @property
    def name(self) -> str:
        """What it is called in the outbox; stable, since messages wait under this name."""
        ...

    @property
    def at_once(self) -> int:
        """How many messages it may be sent at the same time; 1 keeps them in order."""
        ...

    @property
    def timeout_seconds(self) -> float:
        """How long one `send` may take."""
        ...

    def send(self, message: Message) -> Outcome:
        """Send it once. Failures of the other side are outcomes, not exceptions."""
        ...
