"""Appending what a comparison found: for a repair of deliveries, and for a log imported again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from uuid import UUID

import msgspec

from consumers.comparison import Comparison, Step
from journey.database import Connection
from journey.identity import Resolved
from journey.journey_log import JourneyLog
from schemas.statement import Statement


def comparison_of(log: JourneyLog, journey_of: Callable[[UUID], UUID]) -> Comparison:
    """What compares with this log, as of now. `journey_of`: candidate → the journey it is in."""

    def digest(content: bytes) -> str:
        return log.vault.fingerprint("repair", content.hex()).hex()

    return Comparison(log.clock.now().astimezone(UTC), journey_of, digest)


def append_steps(
    connection: Connection,
    log: JourneyLog,
    steps: Iterable[Step],
    statements: Sequence[Statement],
    resolved: Resolved,
) -> tuple[list[Step], int]:
    """Append what the steps say: (the steps that count, how many candidates were found to be one).

    `statements` are all that were compared and `resolved` whose they are; those of its `shared`
    are merged. A step counts unless somebody else appended the same meanwhile.
    """
    steps = list(steps)
    saying = [step for step in steps if step.statement is not None]
    said = [step.statement for step in saying if step.statement is not None]
    whose = Resolved([step.candidate_id for step in saying])
    for index, group in resolved.shared:
        # What shows that they are one; said already, so it is not appended again.
        whose.shared.append((len(said), group))
        said.append(msgspec.structs.replace(statements[index], personal=None))
        whose.candidates.append(resolved.candidates[index])
    recorded = log.record_resolved(said, whose, connection)
    new = {touchpoint.touchpoint_id for touchpoint in recorded.appended}
    counting = [
        step
        for step in steps
        if step.statement is None or step.statement.touchpoint.touchpoint_id in new
    ]
    return counting, recorded.merged


__all__ = ["append_steps", "comparison_of"]
