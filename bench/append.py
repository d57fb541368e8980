"""`append_vs_save`, `append_vs_copy`: the batched append, sealing and identity included."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from uuid import UUID, uuid4

import psycopg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import ApplicationRecorder

from bench.data import START
from bench.harness import NOW, Figure, in_turn, seconds, tenant
from journey.database import Database
from journey.journey_log import JourneyLog
from journey.storage import JourneyDatastore
from journey.vault import Vault
from schemas.event import Moment
from schemas.identifiers import PersonKey
from schemas.personal import Personal
from schemas.registry import TOUCHPOINTS
from schemas.statement import Statement

BATCH = 1_000
_KINDS = ("application_submitted", "message_sent", "message_received", "interview_held")
_runs = iter(range(10**6))


class Fixed:
    """A clock that stands still: telling the time is not what is measured."""

    def now(self):
        return NOW


def statements(size: int, seed: int, run: int) -> list[Statement]:
    """`size` statements about `size / 5` people, shuffled, each with something to seal."""
    rng = random.Random(seed)
    said = []
    for number in range(size):
        kind = _KINDS[number % len(_KINDS)]
        person = f"{run}-{number % (size // 5)}"
        touchpoint = TOUCHPOINTS[kind].told(
            source="greenhouse",
            source_event_id=f"{run}/{number}",
            moment=Moment.of(START + timedelta(seconds=number)),
            application_id=f"greenhouse:{person}",
            stage="Onsite",
        )
        keys = (PersonKey("greenhouse:candidate", person),)
        said.append(Statement(touchpoint, keys, Personal(name=f"Person {number % 1000}")))
    rng.shuffle(said)
    return said


def run(url: str, size: int = 50_000, seed: int = 1) -> Iterator[Figure]:
    """Both figures, from the same rounds of ours."""
    with tenant(url) as ours, tenant(url) as theirs, tenant(url) as copied:
        log = JourneyLog(ours, Vault(bytes(32)), Fixed())
        saver = _saver(theirs)
        rows: list[tuple] = []

        def append() -> float:
            said = statements(size, seed, next(_runs))
            batches = [said[start : start + BATCH] for start in range(0, size, BATCH)]
            # What the measurement itself holds is not for the collector to walk through.
            gc.collect()
            gc.freeze()

            def work() -> None:
                for batch in batches:
                    with ours.transaction() as connection:
                        recorded = log.record(batch, connection)
                        assert len(recorded.appended) == len(batch)

            return size / seconds(work)

        def save() -> float:
            few = max(500, size // 25)
            return few / seconds(lambda: [saver.save(_Thing("x" * 240)) for _ in range(few)])

        def copy() -> float:
            rows[:] = _rows(ours, size)
            return size / seconds(lambda: _copy(copied, rows))

        best, save_rate, copy_rate = in_turn(append, save, copy)
        mean = sum(len(row[3]) for row in rows) / len(rows)
    more = {"state_bytes": round(mean), "batch": BATCH}
    yield Figure(
        "append_vs_save", round(best), "touchpoints/s", size, seed, "Application.save()",
        round(save_rate), round(best / save_rate, 2), ">= 12", more,
    )  # fmt: skip
    yield Figure(
        "append_vs_copy", round(best), "touchpoints/s", size, seed,
        "binary COPY, same rows, same indexes", round(copy_rate), round(best / copy_rate, 3),
        ">= 0.25", more,
    )  # fmt: skip


class _Thing(Aggregate):
    """The library's own aggregate, with a state of about the same size."""

    def __init__(self, text: str) -> None:
        self.text = text


def _saver(database: Database) -> Application[UUID]:
    from eventsourcing.postgres import PostgresApplicationRecorder

    class Saver(Application[UUID]):
        def construct_recorder(self) -> ApplicationRecorder:
            recorder = PostgresApplicationRecorder(
                JourneyDatastore(database), events_table_name="saver_events"
            )
            recorder.create_table()
            return recorder

    return Saver()


def _rows(database: Database, size: int) -> list[tuple]:
    with database.connect() as connection:
        stored = connection.execute(
            "SELECT originator_id, originator_version, topic, state, notification_id, "
            "touchpoint_id FROM journey_events ORDER BY notification_id DESC LIMIT %s",
            [size],
        ).fetchall()
    # Fresh keys, so that each round adds rows; the order is the one ours were written in.
    fresh: dict[UUID, UUID] = {}
    return [
        (fresh.setdefault(row[0], uuid4()), row[1], row[2], row[3], row[4], uuid4())
        for row in reversed(stored)
    ]


def _copy(database: Database, rows: list[tuple]) -> None:
    """The same columns into a table with the same indexes, 1,000 rows a transaction."""
    with database.connect(autocommit=True) as connection:
        connection.execute("ALTER TABLE journey_events DISABLE TRIGGER USER")
        each = iter(rows)
        while batch := list(islice(each, BATCH)):
            with connection.transaction():
                _copy_batch(connection, batch)


def _copy_batch(connection: psycopg.Connection, batch: list[tuple]) -> None:
    with connection.cursor().copy(
        "COPY journey_events (originator_id, originator_version, topic, state, notification_id, "
        "touchpoint_id) FROM STDIN (FORMAT BINARY)"
    ) as copy:
        copy.set_types(["uuid", "int8", "text", "bytea", "int8", "uuid"])
        for row in batch:
            copy.write_row(row)
