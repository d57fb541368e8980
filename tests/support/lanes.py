"""What tests of lanes share: who is told what, where lanes are, and what must hold at the end."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from uuid import UUID

from journey.database import Connection, Database
from journey.journey_log import JourneyLog
from projections.positions import Positions, ViewTracking, positions_of
from projections.rebuild import rebuild
from projections.runner import Runner
from schemas.identifiers import PersonKey
from schemas.statement import Statement
from tests.support.builders import hours, statement, the_meaning
from tests.support.processes import PATIENCE_SECONDS
from tests.support.truth import LONG_AGO, one, views

MEANING = the_meaning()
KINDS = ("stage_changed", "message_sent", "message_received", "interview_held", "rejection_sent")


def positions(database: Database) -> Positions:
    """Where every lane is."""
    with database.connect(autocommit=True) as connection:
        return positions_of(connection)


def head(database: Database) -> int:
    """The last position of the log."""
    return one(database, "SELECT position FROM log_head")


def assert_as_rebuilt(database: Database) -> None:
    """Every lane is at the end, and every row of every view is what a rebuild makes."""
    assert set(positions(database).lanes) == {head(database)}
    live = views(database)
    rebuilt = rebuild(database, MEANING, LONG_AGO)
    assert rebuilt.differences == dict.fromkeys(rebuilt.differences, 0)
    assert views(database) == live


def tell(log: JourneyLog, rng: random.Random, count: int, people: int = 60) -> None:
    """So many statements, in batches of a few, with people told apart again between."""
    told: list[UUID] = []
    while count > 0:
        size = rng.randrange(1, 8)
        count -= size
        said = [_about(rng, people) for _ in range(size)]
        told += log.put_statements(said).candidates
        if rng.random() < 0.05:
            with log.database.transaction() as connection:
                log.unmerge(rng.choice(told), connection, by=str(count))


def _about(rng: random.Random, people: int) -> Statement:
    """Something about one of them: late or not, and now and then that two are one."""
    person = rng.randrange(people)
    if rng.random() < 0.04:
        other = (PersonKey("greenhouse:candidate", str(rng.randrange(people))),)
        return statement("message_sent", person=str(person), application=None, same_as=other)
    at = hours(rng.randrange(2000))
    return statement(rng.choice(KINDS), at, person=str(person), application=f"{person}a")


class InHand:
    """Which lanes are being folded just now, and those that two ever had at once."""

    def __init__(self) -> None:
        self.lanes: set[int] = set()
        self.doubled: set[int] = set()
        self.folded: dict[int, set[str]] = {}
        """Lane → who has folded it."""
        self._lock = threading.Lock()

    def watch(self, runner: Runner, name: str) -> Runner:
        """The same runner, watched."""
        runner._tracking = _Watched(runner.database, self, name)
        return runner

    def take(self, lanes: Collection[int], name: str) -> None:
        with self._lock:
            self.doubled |= self.lanes & set(lanes)
            self.lanes |= set(lanes)
            for lane in lanes:
                self.folded.setdefault(lane, set()).add(name)

    def give_back(self, lanes: Collection[int]) -> None:
        with self._lock:
            self.lanes -= set(lanes)


class _Watched(ViewTracking):
    """Says what is in hand from just after it is locked until just before it is committed."""

    def __init__(self, database: Database, in_hand: InHand, name: str) -> None:
        super().__init__(database)
        self._in_hand, self._name = in_hand, name

    def take(self, *arguments, **given) -> dict[int, int]:
        taken = super().take(*arguments, **given)
        self._in_hand.take(taken, self._name)
        return taken

    def move_lanes(self, connection: Connection, lanes, of: int, position: int) -> None:
        super().move_lanes(connection, lanes, of, position)
        self._in_hand.give_back(lanes)


@contextmanager
def running(process) -> Iterator[None]:
    """A runner, or what runs one, in a thread; stopped afterwards."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            process.run(stop)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "it does not stop"
    assert not failed, failed


@contextmanager
def a_runner(database: Database, **options) -> Iterator[Runner]:
    """A runner with connections of its own, as in a process of its own."""
    own = Database(database.url, database.schema, pool_size=2)
    try:
        yield Runner(own, MEANING, **options)
    finally:
        own.close()


__all__ = [
    "MEANING",
    "InHand",
    "a_runner",
    "assert_as_rebuilt",
    "head",
    "positions",
    "running",
    "tell",
]
