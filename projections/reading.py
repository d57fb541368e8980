"""Pages and streams of the log, decoded straight into facts.

`msgspec` decodes a stored state in C. A state stored under an old topic takes the slow road
through the same upcasters as the pydantic classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
import orjson

from journey.database import Connection
from projections.fact import Fact
from projections.positions import LANE
from schemas.registry import BY_TOPIC, kind_of_topic
from schemas.upcasting import UPCASTERS, upcast

_decode_fact = msgspec.json.Decoder(Fact).decode
_decode_facts = msgspec.json.Decoder(list[Fact]).decode
_KINDS = {topic: kind_of_topic(topic) for topic in BY_TOPIC}
_OLD_TOPICS = list(UPCASTERS)


def fact_of(topic: str, state: bytes, position: int) -> Fact:
    """One stored touchpoint as a fact. Raises UnknownTopic."""
    kind = _KINDS.get(topic)
    if kind is None:
        return _fact_of_old(topic, state, position)
    fact = _decode_fact(state)
    fact.kind = kind
    fact.position = position
    return fact


def _fact_of_old(topic: str, state: bytes, position: int) -> Fact:
    topic, fields = upcast(topic, orjson.loads(state))
    return msgspec.convert(
        {**fields, "kind": kind_of_topic(topic), "position": position}, Fact, strict=False
    )


@dataclass(frozen=True, slots=True)
class Page:
    """A run of the log: (candidate, fact) in order of position, and the last position read."""

    facts: list[tuple[UUID, Fact]]
    last_position: int


def read_page(connection: Connection, after: int, limit: int) -> Page:
    """The next page of the log after a position; empty at the end."""
    rows = connection.execute(
        "SELECT originator_id, topic, state, notification_id FROM journey_events "
        "WHERE notification_id > %s ORDER BY notification_id LIMIT %s",
        [after, limit],
        binary=True,
    ).fetchall()
    facts = [(row[0], fact_of(row[1], row[2], row[3])) for row in rows]
    return Page(facts, rows[-1][3] if rows else after)


def read_lanes(
    connection: Connection, after: Mapping[int, int], of: int, up_to: int, limit: int
) -> Page:
    """The next page of some lanes, each after its own position, all up to the same one.

    Facts stand under the journey that their candidate is part of by now, which is what makes them
    the lane's. The last position is `up_to` unless the page is full before.
    """
    # A lane that is not ours is read after the end of any log.
    begins = [after.get(lane, _BEYOND) for lane in range(of)]
    rows = connection.execute(
        _LANES.format(lane=LANE.format(journey="coalesce(journey_id, originator_id)", lanes=of)),
        [min(begins), up_to, begins, limit],
        binary=True,
    ).fetchall()
    facts = [(row[0], fact_of(row[1], row[2], row[3])) for row in rows]
    return Page(facts, rows[-1][3] if len(rows) == limit else up_to)


_BEYOND = 2**62
_LANES = """
SELECT coalesce(journey_id, originator_id), topic, state, notification_id
FROM journey_events LEFT JOIN journey_members ON candidate_id = originator_id
WHERE notification_id > %s AND notification_id <= %s
AND notification_id > (%s::bigint[])[1 + {lane}]
ORDER BY notification_id LIMIT %s
"""


def read_streams(
    connection: Connection, candidates: Sequence[UUID], up_to: int
) -> dict[UUID, list[Fact]]:
    """Every fact of these streams up to a position."""
    rows = connection.execute(
        "SELECT originator_id, topic, state, notification_id FROM journey_events "
        "WHERE originator_id = ANY(%s) AND notification_id <= %s",
        [list(candidates), up_to],
        binary=True,
    )
    streams: dict[UUID, list[Fact]] = {}
    for candidate_id, topic, state, position in rows:
        streams.setdefault(candidate_id, []).append(fact_of(topic, state, position))
    return streams


def stream_range(
    connection: Connection, low: UUID, high: UUID, up_to: int
) -> Iterator[tuple[UUID, list[Fact]]]:
    """Every stream with `low` ≤ id ≤ `high`, each whole, in order of id.

    The server joins the states of a stream into one JSON array, so that a journey costs one row
    and one decode here, whatever its length.
    """
    with connection.cursor().copy(_STREAMS, [_OLD_TOPICS, _OLD_TOPICS, low, high, up_to]) as copy:
        copy.set_types(["uuid", "bytea", "bool"])
        for candidate_id, states, has_old in copy.rows():
            yield candidate_id, facts_of(states, has_old)


_STREAMS = """
COPY (
    SELECT originator_id,
           '['::bytea || string_agg(
               convert_to(
                   '{"kind":"' || split_part(topic, '.', 2) || '","position":' || notification_id
                   || CASE WHEN topic = ANY(%s) THEN ',"topic":"' || topic || '",' ELSE ',' END,
                   'UTF8')
               || substr(state, 2),
               ','::bytea ORDER BY originator_version) || ']'::bytea,
           bool_or(topic = ANY(%s))
    FROM journey_events
    WHERE originator_id BETWEEN %s AND %s AND notification_id <= %s
    GROUP BY originator_id
) TO STDOUT (FORMAT BINARY)
"""


def facts_of(states: bytes, has_old: bool) -> list[Fact]:
    """A JSON array of states as facts. If `has_old`, at least the old ones carry their topic."""
    if not has_old:
        return _decode_facts(states)
    facts = []
    for fields in orjson.loads(states):
        if topic := fields.pop("topic", None):
            _, fields = upcast(topic, fields)
        facts.append(msgspec.convert(fields, Fact, strict=False))
    return facts
