"""The application: record what sources say, read it back as it stood at any moment.

Recording the same statement twice is harmless. The log refuses repeats and malformed facts and
nothing else: contradictions are what it is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from eventsourcing.application import Application
from eventsourcing.persistence import ApplicationRecorder, Mapper

from journey.clock import Clock
from journey.collector import collector_paused
from journey.database import Connection, Database
from journey.errors import UnknownCandidate
from journey.identity import Forest, Identity, Resolved, merges_that_hold
from journey.storage import (
    JourneyRecorder,
    NewEvent,
    TouchpointMapper,
    append,
    stamp_of,
    stamped_state,
    touchpoint_of,
)
from journey.vault import Vault, nonces
from schemas.event import Moment, Touchpoint
from schemas.identifiers import PersonKey
from schemas.statement import Statement
from schemas.touchpoints import CandidatesMerged, CandidatesUnmerged

OWN_SOURCE = "journey"
"""The `source` of touchpoints that this engine itself concludes: merges and their undoing."""


@dataclass(slots=True)
class Recorded:
    """What a batch of statements became.

    `candidates`: whose each statement is, in order. `appended`: the touchpoints that were new, as
    told. `repeated`: how many were known already. `merged`: how many candidates were found to be
    one with another. `last_position`: of the whole log, afterwards.
    """

    candidates: list[UUID] = field(default_factory=list)
    appended: list[Touchpoint] = field(default_factory=list)
    repeated: int = 0
    merged: int = 0
    last_position: int | None = None


class JourneyLog(Application[UUID]):
    """The event log of a tenant, as an application of the eventsourcing library.

    `events` (the library's event store), `recorder` and `notification_log` read it; `record`
    writes it.
    """

    name = "journey"

    def __init__(
        self, database: Database, vault: Vault, clock: Clock, *, phone_region: str | None = None
    ) -> None:
        self.database = database
        self.vault = vault
        self.clock = clock
        self.identity = Identity(vault, phone_region)
        super().__init__()

    def construct_recorder(self) -> ApplicationRecorder:
        """The batched recorder on our tables."""
        return JourneyRecorder(self.database)

    def construct_mapper(self) -> Mapper[UUID]:
        """JSON by pydantic, with upcasting."""
        return TouchpointMapper()

    def record(self, statements: Sequence[Statement], connection: Connection) -> Recorded:
        """Resolve whose each statement is, seal, append; in the caller's transaction.

        Repeats are skipped, whatever their order or number, also from two processes at once.
        Two candidates found to be one give a `candidates_merged` touchpoint in the same append.
        """
        if not statements:
            return Recorded()
        with collector_paused():
            resolved = self.resolve(statements, connection)
            return self.record_resolved(statements, resolved, connection)

    def resolve(self, statements: Sequence[Statement], connection: Connection) -> Resolved:
        """Whose each statement is; keys that are new attach. Raises ValueError for nobody's."""
        return self.identity.resolve(
            connection, [(statement.person, statement.same_as) for statement in statements]
        )

    def record_resolved(
        self, statements: Sequence[Statement], resolved: Resolved, connection: Connection
    ) -> Recorded:
        """`record` of statements of which it is known whose they are: their keys are not read."""
        now = self.clock.now().astimezone(UTC)
        events = self._sealed(connection, statements, resolved.candidates, stamp_of(now))
        merges = [
            (survivor, absorbed, _merged(survivor, absorbed, statements[index], now))
            for survivor, absorbed, index in self.identity.merges(connection, resolved.shared)
        ]
        events += [_event(survivor, merged, now) for survivor, _, merged in merges]
        appended = append(connection, events)
        told, concluded = appended.places[: len(statements)], appended.places[len(statements) :]
        for (survivor, absorbed, _), place in zip(merges, concluded, strict=True):
            if place is not None:
                _add_edge(connection, absorbed, survivor, place[1], now)
        new = []
        for said, survivor, place in zip(statements, resolved.candidates, told, strict=True):
            if place is None:
                continue
            new.append(said.touchpoint)
            if isinstance(said.touchpoint, _MERGING):
                _take_over(connection, said.touchpoint, survivor, place[1], now)
        return Recorded(
            candidates=resolved.candidates,
            appended=new,
            repeated=len(told) - len(new),
            merged=appended.count - len(new),
            last_position=appended.last_position,
        )

    def _sealed(
        self,
        connection: Connection,
        statements: Sequence[Statement],
        candidates: Sequence[UUID],
        stamp: bytes,
    ) -> list[NewEvent]:
        paired = list(zip(statements, candidates, strict=True))
        keys = self.vault.open_keys(
            connection, (candidate for said, candidate in paired if said.personal is not None)
        )
        return [
            NewEvent(
                candidate,
                said.touchpoint.touchpoint_id,
                said.touchpoint.TOPIC,
                partial(self._state, said, candidate, keys.get(candidate.int), nonce, stamp),
            )
            for (said, candidate), nonce in zip(paired, nonces(len(paired)), strict=True)
        ]

    def _state(
        self, said: Statement, candidate: UUID, key: AESGCM | None, nonce: bytes, stamp: bytes
    ) -> bytes:
        if key is None or said.personal is None:
            return stamped_state(said.touchpoint, stamp)
        sealed = self.vault.seal(key, candidate, said.personal, nonce)
        return stamped_state(said.touchpoint, stamp, sealed)

    def unmerge(self, released: UUID, connection: Connection, *, by: str) -> bool:
        """Take a merge back: `released` is a journey of its own again. False if it was none."""
        row = connection.execute(
            "SELECT survivor, since_position FROM identity_merges "
            "WHERE absorbed = %s AND until_position IS NULL FOR UPDATE",
            [released],
        ).fetchone()
        if row is None:
            return False
        survivor, since_position = row
        now = self.clock.now().astimezone(UTC)
        touchpoint = CandidatesUnmerged.told(
            source=OWN_SOURCE,
            source_event_id=f"unmerge/{released}/{since_position}/{by}",
            moment=Moment.of(now),
            released=released,
        )
        place = append(connection, [_event(survivor, touchpoint, now)]).places[0]
        if place is not None:
            _end_edge(connection, released, place[1], now)
        return place is not None

    def history(
        self,
        candidate_id: UUID,
        *,
        as_of: datetime | int | None = None,
        at: datetime | None = None,
    ) -> list[Touchpoint]:
        """One journey, merged streams included, by (occurred_at, recorded order).

        `as_of` a recorded moment or a position: what we knew then. `at` an occurred moment: what
        had happened by then. Raises UnknownCandidate.
        """
        with self.database.transaction() as connection:
            members = self.members(connection, candidate_id, as_of)
            rows = connection.execute(
                "SELECT originator_id, originator_version, topic, state, notification_id "
                "FROM journey_events WHERE originator_id = ANY(%s) AND notification_id <= %s",
                [members, as_of if isinstance(as_of, int) else 2**62],
                binary=True,
            ).fetchall()
        if not rows:
            raise UnknownCandidate(f"nobody has the id {candidate_id}")
        with collector_paused():
            known = [(touchpoint_of(*row[:4]), row[4]) for row in rows]
        chosen = [
            (touchpoint, position)
            for touchpoint, position in known
            if (not isinstance(as_of, datetime) or _known_by(touchpoint, as_of))
            and (at is None or touchpoint.occurred_at <= at)
        ]
        chosen.sort(key=lambda pair: (pair[0].occurred_at, pair[1]))
        return [touchpoint for touchpoint, _ in chosen]

    def members(
        self, connection: Connection, candidate_id: UUID, as_of: datetime | int | None = None
    ) -> list[UUID]:
        """Every stream read as the same journey as this candidate's, as of a moment or now."""
        return self.members_of_all(connection, [candidate_id], as_of)

    def members_of_all(
        self,
        connection: Connection,
        candidates: Sequence[UUID],
        as_of: datetime | int | None = None,
    ) -> list[UUID]:
        """`members` of several candidates, all in one list."""
        holds = merges_that_hold(as_of)
        # UNION (not ALL) ends the walk even if the edges ever formed a circle; either end of an
        # edge has its index.
        rows = connection.execute(
            "WITH RECURSIVE member AS (SELECT unnest(%(ids)s::uuid[]) AS id UNION"
            " SELECT other.id FROM member m, LATERAL ("
            f"SELECT survivor AS id FROM identity_merges WHERE absorbed = m.id AND {holds}"
            " UNION ALL "
            f"SELECT absorbed FROM identity_merges WHERE survivor = m.id AND {holds}"
            ") AS other) SELECT id FROM member",
            {"ids": list(candidates), "as_of": as_of},
        )
        return [row[0] for row in rows]

    def position(self) -> int:
        """The last position of the log; 0 when it is empty."""
        with self.database.transaction() as connection:
            row = connection.execute("SELECT position FROM log_head").fetchone()
        assert row is not None
        return int(row[0])

    def find(self, reference: str) -> UUID:
        """A candidate by id, by a prefix of it that is unique, or by `namespace/value`.

        Raises UnknownCandidate, saying what was tried.
        """
        with self.database.transaction() as connection:
            if "/" in reference or "@" in reference:
                namespace, _, value = reference.rpartition("/")
                key = PersonKey(namespace or "email", value)
                found = self.identity.find(connection, key)
                if found is not None:
                    return found
                raise UnknownCandidate(
                    "no candidate is known by that key; write it as its source does, such as "
                    "greenhouse:candidate/123"
                )
            low, high = _uuid_range(reference)
            rows = connection.execute(
                "SELECT DISTINCT originator_id FROM journey_events "
                "WHERE originator_id BETWEEN %s AND %s LIMIT 2",
                [low, high],
            ).fetchall()
        if len(rows) == 1:
            return UUID(str(rows[0][0]))
        if rows:
            raise UnknownCandidate(
                f"several candidates have an id that begins with {reference!r}; give more of it"
            )
        raise UnknownCandidate(f"nobody has an id that begins with {reference!r}")

    def put_statements(self, statements: Iterable[Statement]) -> Recorded:
        """`record` in a transaction of its own."""
        with self.database.transaction() as connection:
            return self.record(list(statements), connection)


def _known_by(touchpoint: Touchpoint, moment: datetime) -> bool:
    return touchpoint.recorded_at is not None and touchpoint.recorded_at <= moment


def _merged(survivor: UUID, absorbed: UUID, shown_by: Statement, now: datetime) -> Touchpoint:
    return CandidatesMerged.told(
        source=OWN_SOURCE,
        source_event_id=f"merge/{survivor}/{absorbed}/{shown_by.touchpoint.touchpoint_id}",
        moment=Moment.of(now),
        absorbed=absorbed,
        delivery_id=shown_by.touchpoint.delivery_id,
    )


def _event(candidate_id: UUID, touchpoint: Touchpoint, now: datetime) -> NewEvent:
    state = stamped_state(touchpoint, stamp_of(now))
    return NewEvent(candidate_id, touchpoint.touchpoint_id, touchpoint.TOPIC, state)


def _add_edge(
    connection: Connection, absorbed: UUID, survivor: UUID, position: int, now: datetime
) -> None:
    connection.execute(
        "INSERT INTO identity_merges (absorbed, survivor, since_position, since_recorded_at) "
        "VALUES (%s, %s, %s, %s)",
        [absorbed, survivor, position, now],
    )


def _end_edge(connection: Connection, released: UUID, position: int, now: datetime) -> None:
    connection.execute(
        "UPDATE identity_merges SET until_position = %s, until_recorded_at = %s "
        "WHERE absorbed = %s AND until_position IS NULL",
        [position, now, released],
    )


_MERGING = (CandidatesMerged, CandidatesUnmerged)


def _take_over(
    connection: Connection, told: Touchpoint, survivor: UUID, position: int, now: datetime
) -> None:
    """Read journeys as one, or apart, as another installation concluded (an export read back)."""
    if isinstance(told, CandidatesMerged):
        edge = Forest.load(connection, {survivor, told.absorbed}).merge(survivor, told.absorbed)
        if edge is not None:
            _add_edge(connection, edge[1], edge[0], position, now)
    elif isinstance(told, CandidatesUnmerged):
        _end_edge(connection, told.released, position, now)


def _uuid_range(prefix: str) -> tuple[UUID, UUID]:
    digits = prefix.replace("-", "").lower()
    if not digits or len(digits) > 32 or any(c not in "0123456789abcdef" for c in digits):
        raise UnknownCandidate(
            f"{prefix!r} is no candidate id; use an id, its first digits, or namespace/value"
        )
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


__all__ = ["OWN_SOURCE", "JourneyLog", "Recorded"]
