"""Table `findings`: what rules conclude, with its evidence, and when somebody must see it."""

from __future__ import annotations

from uuid import UUID

from projections.contradictions.fold import deadline_of, drain
from projections.projection import Changes, Journey, Meaning, Row


class ContradictionView:
    """Findings as they are stored. The fold itself says what changed."""

    name = "contradictions"
    table = "findings"
    columns = (
        "candidate_id", "application_id", "rule", "finding_key", "severity", "since", "until",
        "evidence",
    )  # fmt: skip
    types = ("uuid", "text", "text", "text", "text", "timestamptz", "timestamptz", "jsonb")
    key = ("finding_key",)

    def snapshot(self, journey_id: UUID, journey: Journey) -> list[Row]:
        """Nothing: `drain` needs no comparison."""
        return []

    def changes(
        self, journey_id: UUID, before: list[Row], journey: Journey, meaning: Meaning
    ) -> Changes:
        """Findings opened, violated, mended or gone since the state was last drained."""
        changed, gone = drain(journey.contradictions)
        if not changed and not gone:
            return _NOTHING
        return Changes(
            [
                (
                    journey_id, f.application_id, f.rule, f.finding_key, f.severity, f.since,
                    f.until, f.evidence,
                )
                for f in changed
            ],
            [(f.finding_key,) for f in changed] + [(key,) for key in gone],
            [
                (*deadline_of(f, journey_id), f.finding_key)
                for f in changed
                if f.until is None
            ],
        )  # fmt: skip


_NOTHING = Changes([], [], [])
