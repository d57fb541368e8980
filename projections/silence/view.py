"""Table `silences`: final once ended; open ones have deadlines by policy."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import msgspec

from projections.projection import Journey, Meaning, Row
from projections.silence.deadlines import deadlines
from projections.silence.fold import row_of


class SilenceView:
    """Silences as they are stored, and when each becomes somebody's business."""

    name = "silence"
    table = "silences"
    columns = (
        "candidate_id", "application_id", "began_by", "began_kind", "since", "until", "ended_by",
        "ended_kind", "job_id", "stage", "source", "last_interview_at", "interviews", "chases",
    )  # fmt: skip
    types = (
        "uuid", "text", "uuid", "text", "timestamptz", "timestamptz", "uuid", "text", "text",
        "text", "text", "timestamptz", "int4", "int4",
    )  # fmt: skip
    open_condition = "until IS NULL"
    subject = "silence"

    def open_rows(self, journey_id: UUID, journey: Journey) -> list[Row]:
        """The silence each application is in now, if any."""
        return [
            msgspec.structs.astuple(row_of(journey_id, application_id, waiting))
            for application_id, waiting in journey.silence.applications.items()
            if waiting.since is not None
        ]

    def drain(self, journey_id: UUID, journey: Journey) -> list[Row]:
        """Silences that ended."""
        finished = journey.silence.finished
        if not finished:
            return []
        journey.silence.finished = []
        return [msgspec.structs.astuple(row) for row in finished]

    def deadlines(self, journey_id: UUID, journey: Journey, meaning: Meaning) -> Iterable[Row]:
        """When each open silence reaches each level of each policy it falls under."""
        for application_id, waiting in journey.silence.applications.items():
            if waiting.since is not None:
                row = row_of(journey_id, application_id, waiting)
                for deadline in deadlines(row, meaning.policies):
                    yield msgspec.structs.astuple(deadline)
