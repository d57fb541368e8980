"""Table `paths`: a row a part of an application's path; full parts are final."""

from __future__ import annotations

from uuid import UUID

from projections.projection import Changes, Journey, Meaning, Row


class PathView:
    """Paths as they are stored."""

    name = "paths"
    table = "paths"
    columns = ("candidate_id", "application_id", "part", "kinds", "times")
    types = ("uuid", "text", "text", "bytea", "bytea")
    key = ("application_id", "part")

    def snapshot(self, journey_id: UUID, journey: Journey) -> list[Row]:
        """The part of each application that still grows."""
        return [
            (journey_id, application_id, part_name(path.part), path.kinds, path.times)
            for application_id, path in journey.paths.applications.items()
            if path.kinds
        ]

    def changes(
        self, journey_id: UUID, before: list[Row], journey: Journey, meaning: Meaning
    ) -> Changes:
        """The parts that grew, or filled up since the state was last drained."""
        rows = self.snapshot(journey_id, journey)
        if filled := journey.paths.filled:
            rows += [
                (journey_id, application_id, part_name(path.part), path.kinds, path.times)
                for application_id, path in filled
            ]
            journey.paths.filled = []
        if not before:
            return Changes(rows, [], [])
        known = {row[1:3]: row for row in before}
        changed = [row for row in rows if known.get(row[1:3]) != row]
        return Changes(changed, [row[1:3] for row in changed if row[1:3] in known], [])


def part_name(part: int) -> str:
    """A part as text whose order is that of the parts."""
    return f"{part:06}"
