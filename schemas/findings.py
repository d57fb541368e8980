"""What the engine concludes and someone must see: the events of an alert.

An alert is a stream of these in a log of its own (table `alert_events`), apart from the journeys:
a rebuild makes findings again, and must neither repeat nor lose what was said about them.
What people do with an alert stands in `analyst_actions.py`. Nothing here is personal: opaque ids,
kinds, times, and codes.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from schemas.event import UtcDatetime


class AlertEvent(BaseModel):
    """One thing that happened to an alert.

    `alert_id` and `version` are the stream and the place in it, stored as its key. `at` is when
    it happened in the story (a deadline's own time, however late the sweep), `recorded_at` when
    we wrote it down.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    TOPIC: ClassVar[str]

    alert_id: UUID = Field(exclude=True)
    version: int = Field(exclude=True, ge=1)
    at: UtcDatetime
    recorded_at: UtcDatetime

    @property
    def originator_id(self) -> UUID:
        """The stream, in the words of the eventsourcing library."""
        return self.alert_id

    @property
    def originator_version(self) -> int:
        """The place in the stream, from 1, in the words of the eventsourcing library."""
        return self.version


class AlertRaised(AlertEvent):
    """A deadline passed and what it stands for was still so. `at` is the deadline."""

    TOPIC = "alert.raised.v1"
    alert_key: str
    subject: str
    name: str
    level: str
    candidate_id: UUID
    application_id: str | None = None
    since: UtcDatetime
    evidence: tuple[dict[str, Any], ...]
    explanation: str


class AlertEscalated(AlertEvent):
    """The same silence reached a graver level of the same policy. `at` is that deadline."""

    TOPIC = "alert.escalated.v1"
    level: str
    since: UtcDatetime
    evidence: tuple[dict[str, Any], ...]
    explanation: str


class AlertResolved(AlertEvent):
    """It needs nobody any more. `reason` is a code of `lifecycle.py`, never free text.

    `until` is when the silence or finding ended, where it did; `by` is who resolved it, and empty
    when the engine saw for itself that the reason is gone.
    """

    TOPIC = "alert.resolved.v1"
    reason: str
    until: UtcDatetime | None = None
    by: str | None = None


class AlertReopened(AlertEvent):
    """What the engine had taken for over or disproved is so after all (a fact was retracted)."""

    TOPIC = "alert.reopened.v1"
    level: str
    since: UtcDatetime
    evidence: tuple[dict[str, Any], ...]
    explanation: str
