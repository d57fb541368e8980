"""Table `applications`: a row an application, replaced when it changes."""

from __future__ import annotations

from uuid import UUID

from projections.paths.fold import Path
from projections.projection import Changes, Journey, Meaning, Row

# Of an application whose state an older release wrote, until a rebuild.
_NO_PATH = Path()


class JourneyMapView:
    """The journey map as it is stored."""

    name = "journey_map"
    table = "applications"
    standing = (
        "candidate_id", "application_id", "job_id", "source", "stage", "status", "turn",
        "first_at", "last_at", "last_heard_at", "closed_at", "touchpoints", "interviews",
        "chases", "stages",
    )  # fmt: skip
    """The columns that say how an application stands; the others are packed."""
    columns = (*standing, "kinds", "times")
    types = (
        "uuid", "text", "text", "text", "text", "text", "text", "timestamptz", "timestamptz",
        "timestamptz", "timestamptz", "int4", "int4", "int4", "jsonb", "bytea", "bytea",
    )  # fmt: skip
    key = ("application_id",)

    def snapshot(self, journey_id: UUID, journey: Journey) -> list[Row]:
        """A row an application; any of them may change with the next touchpoint."""
        paths = journey.paths.applications
        return [
            (
                journey_id, application_id, m.job_id, m.source, m.stage, m.status, m.turn,
                m.first_at, m.last_at, m.last_heard_at, m.closed_at, m.touchpoints, m.interviews,
                m.chases, tuple(m.stages),
                (path := paths.get(application_id, _NO_PATH)).kinds, path.times,
            )
            for application_id, m in journey.map.items()
        ]  # fmt: skip

    def changes(
        self, journey_id: UUID, before: list[Row], journey: Journey, meaning: Meaning
    ) -> Changes:
        """The applications that differ."""
        rows = self.snapshot(journey_id, journey)
        if not before:
            return Changes(rows, [], [])
        known = {row[1]: row for row in before}
        changed = [row for row in rows if known.get(row[1]) != row]
        return Changes(changed, [(row[1],) for row in changed if row[1] in known], [])
