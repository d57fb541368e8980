"""Which candidates are read as one journey, from the merge touchpoints alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from journey.database import Connection
from projections.fact import Fact
from projections.positions import IS_MERGE
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
    members = Members()
    for survivor, fact in merges_between(connection, 0, position):
        members.take(survivor, fact)
    return members


Regrouped = dict[UUID, tuple[UUID, UUID]]
"""Candidate → the journey it was part of, and the one it is part of now, which may be the same."""


def regroup(connection: Connection, merges: list[tuple[UUID, Fact]], up_to: int) -> Regrouped:
    """Take the next merge touchpoints, which end at a position, into `journey_members`.

    Returns every candidate that is concerned. Merges alone cost by their number; where somebody
    was told apart, whom that leaves together is found out from all merges there were.
    """
    if any(fact.released is not None for _, fact in merges):
        rows = connection.execute("SELECT candidate_id, journey_id FROM journey_members")
        old: dict[UUID, UUID] = dict(rows.fetchall())
        members = members_up_to(connection, up_to)
        connection.execute("DELETE FROM journey_members")
    else:
        named = {c for survivor, fact in merges for c in (survivor, fact.absorbed)}
        rows = connection.execute(
            "SELECT candidate_id, journey_id FROM journey_members WHERE journey_id IN "
            "(SELECT journey_id FROM journey_members WHERE candidate_id = ANY(%s))",
            [list(named)],
        )
        old = dict(rows.fetchall())
        members = Members({c: root for c, root in old.items() if c != root})
        for survivor, fact in merges:
            members.take(survivor, fact)
    new = {c: root for root, group in members.groups().items() for c in group}
    connection.execute(
        "INSERT INTO journey_members SELECT * FROM unnest(%s::uuid[], %s::uuid[]) "
        "ON CONFLICT (candidate_id) DO UPDATE SET journey_id = excluded.journey_id",
        [list(new), list(new.values())],
    )
    concerned: Regrouped = {}
    for candidate_id in old.keys() | new.keys():
        was, now = old.get(candidate_id, candidate_id), new.get(candidate_id, candidate_id)
        if was != now or (candidate_id in old) != (candidate_id in new):
            concerned[candidate_id] = (was, now)
    return concerned


def merges_between(connection: Connection, after: int, up_to: int) -> list[tuple[UUID, Fact]]:
    """The merge touchpoints of a run of the log, in order: (the survivor, the fact)."""
    rows = connection.execute(
        "SELECT originator_id, topic, state, notification_id FROM journey_events "
        f"WHERE {IS_MERGE} AND notification_id > %s AND notification_id <= %s "
        "ORDER BY notification_id",
        [after, up_to],
        binary=True,
    )
    return [(survivor, fact_of(topic, state, at)) for survivor, topic, state, at in rows]


def merges_in(facts: Iterable[tuple[UUID, Fact]]) -> list[tuple[UUID, Fact]]:
    """The merge touchpoints of a page."""
    return [pair for pair in facts if pair[1].kind in MERGE_KINDS]
