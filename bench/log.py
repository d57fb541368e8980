"""A log of a million touchpoints, made once a run and shared by the figures that read it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from uuid import UUID

from msgspec.structs import replace

from bench.data import journeys
from bench.harness import tenant
from journey.database import Database
from journey.storage import NewEvent, append

CANDIDATES_PER_EVENT = 1 / 20
LONG_JOURNEYS = 20
LONG_LENGTH = 200


@contextmanager
def filled(url: str, size: int, seed: int) -> Iterator[Database]:
    """A tenant whose log holds `size` touchpoints of `size / 20` people, a few journeys long."""
    with tenant(url) as database:
        fill(database, with_long_journeys(size, seed))
        with database.connect(autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE journey_events")
        yield database


def with_long_journeys(size: int, seed: int) -> Iterator[NewEvent]:
    """Seeded journeys; every so many touchpoints one goes to one of the long journeys instead."""
    every = max(1, size // (LONG_JOURNEYS * LONG_LENGTH))
    for place, event in enumerate(journeys(size, max(1, round(size * CANDIDATES_PER_EVENT)), seed)):
        turn, rest = divmod(place, every)
        if rest == 0 and turn < LONG_JOURNEYS * LONG_LENGTH:
            yield replace(event, candidate_id=long_journey(turn % LONG_JOURNEYS))
        else:
            yield event


def long_journey(number: int) -> UUID:
    """The id of a long journey."""
    return UUID(int=(number << 120) | 0xA0F, version=5)


def fill(database: Database, events: Iterator[NewEvent], batch: int = 5_000) -> int:
    """Append events through the product's own append; returns how many."""
    count = 0
    while some := list(islice(events, batch)):
        with database.transaction() as connection:
            append(connection, some)
        count += len(some)
    return count


__all__ = ["fill", "filled", "long_journey"]
