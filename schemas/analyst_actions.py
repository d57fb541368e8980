"""What people decide about alerts; logged like any fact, and never undone by a rebuild.

Snoozing will be an event of its own here.
"""

from __future__ import annotations

from schemas.findings import AlertEscalated, AlertEvent, AlertRaised, AlertReopened, AlertResolved


class AlertAcknowledged(AlertEvent):
    """Somebody has seen it and takes care of it. `by` is an opaque id of theirs."""

    TOPIC = "alert.acknowledged.v1"
    by: str


ALL_ALERT_EVENTS: tuple[type[AlertEvent], ...] = (
    AlertRaised,
    AlertEscalated,
    AlertAcknowledged,
    AlertResolved,
    AlertReopened,
)
"""Every event an alert's stream may hold."""
