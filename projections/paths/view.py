"""Table `paths`: the full parts of long paths. The last part stands with its application."""

from __future__ import annotations

from uuid import UUID

from projections.projection import Changes, Journey, Meaning, Row


class PathView:
    """Full parts as they are stored: written once, and never changed."""

    name = "paths"
    table = "paths"
    columns = ("candidate_id", "application_id", "part", "kinds", "times")
    types = ("uuid", "text", "text", "bytea", "bytea")
    key = ("application_id", "part")

    def snapshot(self, journey_id: UUID, journey: Journey) -> list[Row]:
        """Nothing: what is full is not compared."""
        return []

    def changes(
        self, journey_id: UUID, before: list[Row], journey: Journey, meaning: Meaning
    ) -> Changes:
        """The parts that filled up since the state was last drained."""
        filled = journey.paths.filled
        if not filled:
            return _NOTHING
        journey.paths.filled = []
        rows: list[Row] = [
            (journey_id, application_id, part_name(path.part), path.kinds, path.times)
            for application_id, path in filled
        ]
        return Changes(rows, [], [])


_NOTHING = Changes([], [], [])


def part_name(part: int) -> str:
    """A part as text whose order is that of the parts."""
    return f"{part:06}"
