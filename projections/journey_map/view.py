"""Table `applications`: a row an application, replaced when it changes."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from projections.projection import Journey, Meaning, Row


class JourneyMapView:
    """The journey map as it is stored."""

    name = "journey_map"
    table = "applications"
    columns = (
        "candidate_id", "application_id", "job_id", "source", "stage", "status", "turn",
        "first_at", "last_at", "last_heard_at", "closed_at", "touchpoints", "interviews",
        "chases", "stages",
    )  # fmt: skip
    types = (
        "uuid", "text", "text", "text", "text", "text", "text", "timestamptz", "timestamptz",
        "timestamptz", "timestamptz", "int4", "int4", "int4", "jsonb",
    )  # fmt: skip
    open_condition = "true"
    subject = None

    def open_rows(self, journey_id: UUID, journey: Journey) -> list[Row]:
        """A row an application; any of them may change with the next touchpoint."""
        return [
            (
                journey_id, application_id, m.job_id, m.source, m.stage, m.status, m.turn,
                m.first_at, m.last_at, m.last_heard_at, m.closed_at, m.touchpoints, m.interviews,
                m.chases, tuple(m.stages),
            )
            for application_id, m in journey.map.items()
        ]  # fmt: skip

    def drain(self, journey_id: UUID, journey: Journey) -> list[Row]:
        """None: an application can always be reopened."""
        return []

    def deadlines(self, journey_id: UUID, journey: Journey, meaning: Meaning) -> Iterable[Row]:
        """None: a map judges nothing."""
        return ()
