"""Which candidates are read as one journey, from the merge touchpoints alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from journey.database import Connection
from projections.fact import Fact
from projections.reading import fact_of

MERGE_KINDS = frozenset({"candidates_merged", "candidates_unmerged"})


@dataclass(slots=True)
class Members:
    """A forest: each absorbed candidate has one survivor; a root is a journey."""

    parents: dict[UUID, UUID] = field(default_factory=dict)

    def take(self, survivor: UUID, fact: Fact) -> None:
        """Take one merge or its undoing, in order of position."""
        if fact.absorbed is not None and self.root(survivor) != self.root(fact.absorbed):
            self.parents[self.root(fact.absorbed)] = self.root(survivor)
        elif fact.released is not None:
            self.parents.pop(fact.released, None)

    def root(self, candidate_id: UUID) -> UUID:
        """The journey a candidate is read as part of: its own, unless it was absorbed."""
        while (parent := self.parents.get(candidate_id)) is not None:
            candidate_id = parent
        return candidate_id

    def groups(self) -> dict[UUID, list[UUID]]:
        """Journey → all its candidates, for journeys of more than one."""
        groups: dict[UUID, list[UUID]] = {}
        for candidate_id in self.parents:
            root = self.root(candidate_id)
            groups.setdefault(root, [root]).append(candidate_id)
        return groups


def members_up_to(connection: Connection, position: int) -> Members:
    """The forest as of a position, by the index over merge touchpoints."""
    rows = connection.execute(
        "SELECT originator_id, topic, state, notification_id FROM journey_events "
        "WHERE topic IN ('touchpoint.candidates_merged.v1', 'touchpoint.candidates_unmerged.v1') "
        "AND notification_id <= %s ORDER BY notification_id",
        [position],
        binary=True,
    )
    members = Members()
    for survivor, topic, state, at in rows:
        members.take(survivor, fact_of(topic, state, at))
    return members


def merges_in(facts: Iterable[tuple[UUID, Fact]]) -> list[tuple[UUID, Fact]]:
    """The merge touchpoints of a page."""
    return [pair for pair in facts if pair[1].kind in MERGE_KINDS]
