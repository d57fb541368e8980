"""Table `silences`: final once ended; open ones have deadlines by policy."""

from __future__ import annotations

from uuid import UUID

import msgspec

from projections.projection import Changes, Journey, Meaning, Row
from projections.silence.deadlines import deadlines as deadlines_of
from projections.silence.fold import row_of
from projections.silence.rows import SilenceRow


class SilenceView:
    """Silences as they are stored, and when each becomes somebody's business."""

    name = "silence"
    table = "silences"
    columns = (
        "candidate_id", "application_id", "began_by", "began_kind", "since", "until", "ended_by",
        "ended_kind", "job_id", "stage", "source", "last_interview_at", "interviews", "chases",
    )  # fmt: skip
    types = (
        "uuid", "text", "text", "text", "timestamptz", "timestamptz", "text", "text", "text",
        "text", "text", "timestamptz", "int4", "int4",
    )  # fmt: skip
    key = ("application_id", "began_by")

    def snapshot(self, journey_id: UUID, journey: Journey) -> list[Row]:
        """The silence each application is in now, if any."""
        return [
            msgspec.structs.astuple(row_of(journey_id, application_id, waiting))
            for application_id, waiting in journey.silence.applications.items()
            if waiting.since is not None
        ]

    def changes(
        self, journey_id: UUID, before: list[Row], journey: Journey, meaning: Meaning
    ) -> Changes:
        """Silences that ended, and open ones that are new or differ."""
        rows = self.snapshot(journey_id, journey)
        if before:
            rows, stale = _difference(before, rows)
        else:
            stale = []
        deadlines = [
            (*deadline, row_key(row))
            for row in rows
            for deadline in deadlines_of(_silence(row), meaning.policies)
        ]
        finished = journey.silence.finished
        if finished:
            rows = rows + [msgspec.structs.astuple(row) for row in finished]
            journey.silence.finished = []
        return Changes(rows, stale, deadlines)


def row_key(row: Row) -> str:
    """What a silence is called within its journey."""
    return f"{row[1]}/{row[2]}"


def _silence(row: Row) -> SilenceRow:
    return SilenceRow(**dict(zip(SilenceView.columns, row, strict=True)))


def _difference(before: list[Row], after: list[Row]) -> tuple[list[Row], list[tuple[str, ...]]]:
    known = {(row[1], row[2]): row for row in before}
    changed = [row for row in after if known.get((row[1], row[2])) != row]
    standing = {(row[1], row[2]) for row in after} - {(row[1], row[2]) for row in changed}
    return changed, [key for key in known if key not in standing]
