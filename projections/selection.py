"""Which touchpoints are asked for, and reading them in constant memory, as flat rows.

The log only grows and its positions have no gaps, so what is read up to the position at which a
reading began is one consistent snapshot, however long it takes, without a transaction held open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from operator import attrgetter
from typing import Any, LiteralString
from uuid import UUID

import msgspec
import orjson
from psycopg import sql

from journey.database import Connection, Database
from journey.identity import merges_that_hold
from projections.columns import Actor, FlatTouchpoint, complete
from projections.effective import KEEPERS, standing
from projections.fact import Fact
from projections.reading import fact_of, facts_of
from schemas.registry import BY_TOPIC
from schemas.upcasting import topics_of, upcast

PAGE = 2_000
"""Touchpoints read at a time."""

_decode = msgspec.json.Decoder(list[FlatTouchpoint]).decode
_CURRENT_TOPICS = list(BY_TOPIC)
_ALL_IDS = 1 << 128

Told = Callable[[int], None]
"""Called with the position of the log up to which has been read."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which touchpoints; what is left empty leaves nothing out.

    `candidates` are read with all that are merged with them. `since` and `until` are moments at
    which it occurred, both inclusive. `as_of`: what was known at a recorded moment or position.
    `effective`: what holds after corrections and retractions, instead of all that was recorded.
    """

    candidates: tuple[UUID, ...] = ()
    applications: frozenset[str] = frozenset()
    jobs: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    as_of: datetime | int | None = None
    effective: bool = False


class Reading:
    """One reading of the log: everything selected, as it stood when the reading began.

    `position` is the last one that is looked at. Every method may raise DatabaseUnavailable, and
    UnknownTopic for a log that a newer program wrote.
    """

    def __init__(self, database: Database, selection: Selection) -> None:
        self._database = database
        self._selection = selection
        with database.transaction() as connection:
            row = connection.execute("SELECT position FROM log_head").fetchone()
            assert row is not None
            as_of = selection.as_of
            self.position: int = min(row[0], as_of) if isinstance(as_of, int) else row[0]
            self._roots = _roots(connection, as_of)
            self._streams = self._wanted_streams()
            self._standing = self._what_holds(connection) if selection.effective else None
        self._chosen = _predicate(selection)

    # --- in order of position ---------------------------------------------------------------

    def pages(self, told: Told | None = None) -> Iterator[list[FlatTouchpoint]]:
        """Everything in the order in which it was recorded, at most some thousands at a time.

        Never nothing: a page in which nothing is selected is passed over.
        """
        # The server puts the next page together while this one is decoded and written.
        with ThreadPoolExecutor(1, "journey-reading") as ahead:
            coming = ahead.submit(self._page, 0)
            after = 0
            while after < self.position:
                states, count, last, has_old = coming.result()
                after = last if count == PAGE else self.position
                if after < self.position:
                    coming = ahead.submit(self._page, after)
                if count and (touchpoints := self._taken(states, has_old)):
                    yield touchpoints
                if told is not None:
                    told(after)

    def _page(self, after: int) -> tuple[bytes, int, int, bool]:
        """(states as a JSON array, how many, the last position, whether old ones are there)."""
        with self._database.transaction() as connection:
            row = connection.execute(
                self._query(_PAGE),
                {**self._parameters, "after": after, "limit": PAGE},
                binary=True,
                prepare=False,
            ).fetchone()
        assert row is not None
        return row[0], row[1], row[2], row[3]

    # --- by journey -------------------------------------------------------------------------

    def journeys(self, told: Told | None = None) -> Iterator[list[FlatTouchpoint]]:
        """Everything by journey, each whole and in the order in which it occurred.

        One journey is held in memory at a time. Journeys come in the order of their ids.
        """
        for journey_id, states, has_old in self._states():
            touchpoints = self._taken(states, has_old)
            touchpoints.sort(key=_order)
            if touchpoints:
                yield touchpoints
            if told is not None:
                # Ids are spread evenly, so the id says how much of the log lies behind.
                told(self.position * journey_id.int // _ALL_IDS)
        if told is not None:
            told(self.position)

    def facts(self) -> Iterator[tuple[UUID, list[Fact]]]:
        """Every journey as folds read it: (its id, all its facts as of the moment, unordered).

        Of the selection only `candidates` and `as_of` count: a fold needs whole journeys.
        """
        as_of = self._selection.as_of
        for journey_id, states, has_old in self._states():
            facts = facts_of(states, has_old)
            if isinstance(as_of, datetime):
                facts = [fact for fact in facts if (fact.recorded_at or as_of) <= as_of]
            if facts:
                yield journey_id, facts

    def _states(self) -> Iterator[tuple[UUID, bytes, bool]]:
        """(journey, its states as a JSON array, whether old versions are among them)."""
        with (
            self._database.transaction() as connection,
            connection.cursor().copy(self._query(_JOURNEYS), self._parameters) as copy,
        ):
            copy.set_types(["uuid", "bytea", "bool"])
            yield from copy.rows()

    # --- how --------------------------------------------------------------------------------

    def _query(self, query: LiteralString) -> sql.Composed:
        conditions = [sql.SQL("notification_id <= %(position)s")]
        if self._streams is not None:
            conditions.append(sql.SQL("originator_id = ANY(%(streams)s)"))
        if self._selection.kinds:
            conditions.append(sql.SQL("topic = ANY(%(topics)s)"))
        return sql.SQL(query).format(row=_ROW, conditions=sql.SQL(" AND ").join(conditions))

    @cached_property
    def _parameters(self) -> dict[str, Any]:
        return {
            "position": self.position,
            "streams": self._streams,
            "topics": topics_of(self._selection.kinds),
            "merged": list(self._roots),
            "roots": list(self._roots.values()),
            "current": _CURRENT_TOPICS,
        }

    def _journey_of(self, stream: UUID) -> UUID:
        return self._roots.get(stream, stream)

    def _wanted_streams(self) -> list[UUID] | None:
        if not self._selection.candidates:
            return None
        roots = set(map(self._journey_of, self._selection.candidates))
        absorbed = (stream for stream, root in self._roots.items() if root in roots)
        return list({*roots, *absorbed})

    def _taken(self, states: bytes, has_old: bool) -> list[FlatTouchpoint]:
        """A JSON array of states as rows, those that are selected."""
        touchpoints = _upcast(states) if has_old else _decode(states)
        if self._standing is not None:
            touchpoints = [flat for flat in touchpoints if self._holds(flat)]
        if self._chosen is not None:
            touchpoints = list(filter(self._chosen, touchpoints))
        return complete(touchpoints)

    # --- corrections and retractions --------------------------------------------------------

    def _what_holds(self, connection: Connection) -> dict[tuple[str, str], Fact | None]:
        """(journey, touchpoint) → its correction, or None for one that was retracted."""
        rows = connection.execute(
            "SELECT originator_id, topic, state, notification_id FROM journey_events "
            "WHERE topic = ANY(%s) AND notification_id <= %s",
            [topics_of(KEEPERS), self.position],
            binary=True,
        )
        as_of = self._selection.as_of
        journeys: dict[UUID, list[Fact]] = {}
        for stream, topic, state, position in rows:
            fact = fact_of(topic, state, position)
            if not isinstance(as_of, datetime) or (fact.recorded_at or as_of) <= as_of:
                journeys.setdefault(self._journey_of(stream), []).append(fact)
        found: dict[tuple[str, str], Fact | None] = {}
        for journey_id, facts in journeys.items():
            retractions, corrections = standing(facts)
            found |= {(str(journey_id), each): fact for each, fact in corrections.items()}
            found |= {(str(journey_id), each): None for each in retractions}
        return found

    def _holds(self, flat: FlatTouchpoint) -> bool:
        """Whether it holds; what was corrected is made right."""
        assert self._standing is not None
        if flat.kind in KEEPERS:
            return False
        found = self._standing.get((flat.journey_id, flat.touchpoint_id), flat)
        if found is None:
            return False
        if isinstance(found, Fact):
            for name, value in (found.corrected or {}).items():
                right = msgspec.convert(value, Actor | None) if name == "actor" else value
                setattr(flat, name, right)
        return True


# A state with what stands in columns of the log put in front of it.
_ROW = sql.SQL("""convert_to(
        '{"kind":"' || split_part(topic, '.', 2) || '","topic":"' || topic
        || '","position":' || notification_id || ',"candidate_id":"' || originator_id
        || '","journey_id":"' || coalesce(journey, originator_id) || '",', 'UTF8')
    || substr(state, 2)""")

_PAGE = """
SELECT '['::bytea || string_agg({row}, ','::bytea ORDER BY notification_id) || ']'::bytea,
       count(*), max(notification_id), bool_or(topic <> ALL(%(current)s))
FROM (
    SELECT originator_id, topic, state, notification_id FROM journey_events
    WHERE notification_id > %(after)s AND {conditions}
    ORDER BY notification_id LIMIT %(limit)s
) page
LEFT JOIN unnest(%(merged)s::uuid[], %(roots)s::uuid[]) AS merged (stream, journey)
    ON stream = originator_id
"""

_JOURNEYS = """
COPY (
    SELECT coalesce(journey, originator_id),
           '['::bytea || string_agg({row}, ','::bytea ORDER BY notification_id) || ']'::bytea,
           bool_or(topic <> ALL(%(current)s))
    FROM journey_events
    LEFT JOIN unnest(%(merged)s::uuid[], %(roots)s::uuid[]) AS merged (stream, journey)
        ON stream = originator_id
    WHERE {conditions}
    GROUP BY 1 ORDER BY 1
) TO STDOUT (FORMAT BINARY)
"""


def _order(flat: FlatTouchpoint) -> tuple[str, int]:
    # Without the Z: it would come after the dot of a fraction.
    return flat.occurred_at[:-1], flat.position


def _upcast(states: bytes) -> list[FlatTouchpoint]:
    """States among which are old versions, in their newest shape."""
    touchpoints = []
    for fields in orjson.loads(states):
        topic, newest = upcast(fields.pop("topic"), fields)
        touchpoints.append(msgspec.convert({**newest, "topic": topic}, FlatTouchpoint))
    return touchpoints


def _roots(connection: Connection, as_of: datetime | int | None) -> dict[UUID, UUID]:
    """Merged candidate → the journey it is read as part of, as of a moment or now."""
    parents: dict[UUID, UUID] = dict(
        connection.execute(
            f"SELECT absorbed, survivor FROM identity_merges WHERE {merges_that_hold(as_of)}",
            {"as_of": as_of},
        ).fetchall()
    )
    return {each: _root(each, parents) for each in parents}


def _root(candidate_id: UUID, parents: dict[UUID, UUID]) -> UUID:
    while candidate_id in parents:
        candidate_id = parents[candidate_id]
    return candidate_id


def _predicate(selection: Selection) -> Callable[[FlatTouchpoint], bool] | None:
    """What is left to ask of a row that the server has sent; None when that is nothing.

    Asked here and not there, since a correction may have changed the answer.
    """
    tests: list[Callable[[FlatTouchpoint], bool]] = []
    for field, wanted in (
        ("application_id", selection.applications),
        ("job_id", selection.jobs),
        ("source", selection.sources),
    ):
        if wanted:
            tests.append(_is_among(field, wanted))
    if selection.since is not None:
        earliest = _text(selection.since)
        tests.append(lambda flat: flat.occurred_at[:-1] >= earliest)
    if selection.until is not None:
        latest = _text(selection.until)
        tests.append(lambda flat: flat.occurred_at[:-1] <= latest)
    if isinstance(selection.as_of, datetime):
        known = _text(selection.as_of)
        tests.append(lambda flat: flat.recorded_at is None or flat.recorded_at[:-1] <= known)
    if not tests:
        return None
    return lambda flat: all(test(flat) for test in tests)


def _is_among(field: str, wanted: frozenset[str]) -> Callable[[FlatTouchpoint], bool]:
    value_of = attrgetter(field)
    return lambda flat: value_of(flat) in wanted


def _text(moment: datetime) -> str:
    """As it is stored (in UTC), without the Z."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat()


__all__ = ["PAGE", "Reading", "Selection", "Told"]
