"""Projecting by lanes: several processes at once make what one makes, and none folds twice."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import UUID

import pytest

from consumers.bootstrap import Installation
from consumers.health.examine import examine
from journey.database import Database
from journey.errors import DatabaseUnavailable
from journey.journey_log import JourneyLog
from projections.positions import LANE, Positions, lane_of
from projections.rebuild import rebuild
from projections.runner import Runner
from schemas.identifiers import PersonKey
from tests.support.builders import T0, a_log, days, hours, statement
from tests.support.installations import settings_for
from tests.support.lanes import (
    MEANING,
    InHand,
    a_runner,
    assert_as_rebuilt,
    head,
    positions,
    running,
    tell,
)
from tests.support.processes import PATIENCE_SECONDS, until
from tests.support.truth import LONG_AGO, a_chance, one, rows, views


def begun(log: JourneyLog, lanes: int) -> Runner:
    """A runner that has projected something: what is done once in the life of a tenant is done."""
    runner = Runner(log.database, MEANING, lanes=lanes)
    runner.settle()
    log.put_statements([statement("application_submitted", T0, person="0")])
    runner.catch_up()
    return runner


def in_lane(log: JourneyLog, lane: int, of: int) -> Iterator[tuple[str, UUID]]:
    """People of one lane, each having applied: (person, candidate)."""
    for number in range(1000):
        said = [
            statement("application_submitted", T0, person=f"p{number}", application=f"{number}")
        ]
        candidate_id = log.put_statements(said).candidates[0]
        if lane_of(candidate_id, of) == lane:
            yield f"p{number}", candidate_id


def only(*lanes: int):
    """These lanes, however many there are."""
    return lambda of: [lane for lane in lanes if lane < of]


def touchpoints(database: Database, journey_id: UUID) -> int:
    """How many touchpoints the views show of a journey."""
    query = "SELECT coalesce(sum(touchpoints), 0) FROM applications WHERE candidate_id = %s"
    return int(one(database, query, journey_id))


@contextmanager
def projecting(database: Database, count: int, lanes: int) -> Iterator[InHand]:
    """So many runners at work, each on connections of its own; no lane is folded by two at once."""
    in_hand = InHand()
    with ExitStack() as started:
        for number in range(count):
            runner = started.enter_context(a_runner(database, page=50, lanes=lanes))
            started.enter_context(running(in_hand.watch(runner, str(number))))
        yield in_hand
    assert in_hand.doubled == set()


class Stalling(Runner):
    """A runner that stops in the middle of a step until it is let go on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.is_in_step, self.may_go_on = threading.Event(), threading.Event()

    def _write(self, connection, changes) -> None:
        self.is_in_step.set()
        assert self.may_go_on.wait(PATIENCE_SECONDS)
        super()._write(connection, changes)


@contextmanager
def stalled(runner: Stalling) -> Iterator[threading.Thread]:
    """The runner in the middle of a step."""

    def step() -> None:
        # Its connection may have been cut meanwhile.
        with suppress(DatabaseUnavailable):
            runner.step()

    thread = threading.Thread(target=step)
    thread.start()
    try:
        assert runner.is_in_step.wait(PATIENCE_SECONDS)
        yield thread
    finally:
        runner.may_go_on.set()
        thread.join(PATIENCE_SECONDS)


def test_the_server_tells_lanes_as_we_do(database: Database) -> None:
    """By the last byte of a journey's id, for any number of lanes."""
    ids = [UUID(int=random.Random(n).getrandbits(128)) for n in range(50)]
    for of in (2, 12, 256):
        query = f"SELECT id, {LANE.format(journey='id', lanes=of)} FROM unnest(%s::uuid[]) AS id"
        assert rows(database, query, ids) == [(each, lane_of(each, of)) for each in ids]


def test_how_far_behind_each_lane_is_told(database: Database, tmp_path: Path) -> None:
    """The doctor says in how many lanes something waits, the status page how much in each."""
    log = a_log(database)
    begun(log, lanes=3).step()
    tell(log, random.Random(10), 50)
    Runner(database, MEANING).step(lanes=only(1))
    with Installation(settings_for(database, tmp_path)) as engine:
        assert engine.queries.position() == 1
        waiting = head(database) - 1
        status = engine._status()["projections"]
        assert status["lag_by_lane"] == [waiting, 0, waiting]
        assert status["lag_touchpoints"] == waiting
        told = next(each for each in examine(engine) if each.check == "projections")
    assert f"{waiting} touchpoints behind in 2 of 3 lanes" in told.found


# --- side by side ---------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "lanes"), [(2, 3), (4, 12)])
def test_several_at_once_make_what_a_rebuild_makes(
    database: Database, count: int, lanes: int
) -> None:
    """While people are told of late, merged and told apart again, across lanes."""
    rng, _ = a_chance()
    log = a_log(database)
    with projecting(database, count, lanes):
        tell(log, rng, 600)
        until(lambda: positions(database).least == head(database), "all is projected")
    assert len(positions(database).lanes) == lanes
    assert_as_rebuilt(database)


def test_a_backlog_is_shared(database: Database) -> None:
    """What waits is folded by several at once, each with lanes of its own."""
    log, rng = a_log(database), random.Random(5)
    runner = begun(log, lanes=4)
    tell(log, rng, 1_500, people=300)
    runner.step(lanes=only())  # who was merged is taken in before anything is held
    first, second = (Stalling(database, MEANING) for _ in range(2))
    with stalled(first), stalled(second):
        # Both are in the middle of a step now, and a third finds more to do.
        assert runner.step().moved
    runner.catch_up()
    assert_as_rebuilt(database)


def test_a_lane_in_hand_holds_up_no_other(database: Database) -> None:
    """While one process is stuck in a lane, the others are projected to the end."""
    log, rng = a_log(database), random.Random(6)
    runner = begun(log, lanes=3)
    tell(log, rng, 200)
    runner.step(lanes=only())
    with stalled(Stalling(database, MEANING, lanes_of_mine=only(1))):
        while runner.step().moved:
            pass
        assert positions(database).lanes == (head(database), 1, head(database))
        assert runner.step().others
    runner.catch_up()
    assert_as_rebuilt(database)


@pytest.mark.parametrize("lanes", [1, 2])
def test_what_is_late_folds_a_journey_no_further_than_its_lane(
    database: Database, lanes: int
) -> None:
    """Anew from the log, but not from what the lane has still to read, wherever others are."""
    log = a_log(database)
    runner = Runner(database, MEANING, lanes=lanes)
    runner.settle()
    person, candidate_id = next(in_lane(log, 0, lanes))
    changed = [statement("stage_changed", days(day), person=person) for day in (5, 3, 10)]
    log.put_statements(changed[:1])
    runner.catch_up()
    read = touchpoints(database, candidate_id)
    log.put_statements(changed[1:2])
    late = head(database)
    log.put_statements(changed[2:])
    if lanes > 1:
        runner.step(lanes=only(1))
    stepped = runner.step(up_to=late, lanes=only(0))
    assert (stepped.position, stepped.refolded) == (late, 1)
    assert touchpoints(database, candidate_id) == read + 1
    runner.catch_up()
    assert touchpoints(database, candidate_id) == read + 2
    assert_as_rebuilt(database)


# --- the fence ------------------------------------------------------------------------------


def test_two_that_believe_a_lane_is_theirs_take_turns(database: Database) -> None:
    """As in a rebalance: the second finds the lane moved and repeats nothing."""
    log = a_log(database)
    log.put_statements([statement("stage_changed", hours(n)) for n in range(20)])
    first, second = (Runner(database, MEANING, page=3, lanes=4) for _ in range(2))
    first.settle()
    while first.step().moved or second.step().moved:
        pass
    assert rows(database, "SELECT touchpoints FROM applications") == [(20,)]
    assert rows(database, "SELECT touchpoints FROM feeds") == [(20,)]


def test_who_was_given_up_for_dead_writes_nothing_more(database: Database) -> None:
    """Its connection ended in the middle of a step, another took its lanes; then it goes on."""
    log, rng = a_log(database), random.Random(7)
    other = begun(log, lanes=3)
    tell(log, rng, 120)
    other.step(lanes=only())
    zombie = Stalling(Database(database.url, database.schema), MEANING)
    with stalled(zombie) as thread:
        assert other.step().others
        ended = rows(
            database,
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
            "AND granted AND objid = hashtext(%s)::bigint & 4294967295",
            database.schema,
        )
        assert ended == [(True,)]
        other.catch_up()
        done = views(database)
        zombie.may_go_on.set()
        thread.join(PATIENCE_SECONDS)
        assert views(database) == done
    zombie.database.close()
    assert_as_rebuilt(database)


# --- all lanes at once ----------------------------------------------------------------------


@pytest.mark.parametrize("ahead", ["survivor", "absorbed", "absorbed, with nothing to say"])
def test_two_become_one_whose_lanes_are_apart(database: Database, ahead: str) -> None:
    """Nothing is counted twice or left out, whichever of the two lanes is further on."""
    log = a_log(database)
    runner = Runner(database, MEANING, lanes=2)
    runner.settle()
    survivor, _ = next(in_lane(log, 0, 2))
    absorbed, _ = next(in_lane(log, 1, 2))
    runner.catch_up()
    for person in (survivor,) if "nothing" in ahead else (survivor, absorbed):
        log.put_statements([statement("stage_changed", days(1), person=person, application=person)])
    runner.step(lanes=only(0 if ahead == "survivor" else 1))
    apart = positions(database).lanes
    same = (PersonKey("greenhouse:candidate", absorbed),)
    log.put_statements(
        [statement("message_sent", days(3), person=survivor, application=None, same_as=same)]
    )
    # Who belongs together is taken in, and nobody moves.
    runner.step(lanes=only())
    assert positions(database).lanes == apart
    assert positions(database).members == head(database)
    runner.catch_up()
    assert rows(database, "SELECT touchpoints FROM feeds WHERE source = 'greenhouse'") == rows(
        database,
        "SELECT count(*) FROM journey_events WHERE convert_from(state, 'UTF8')::jsonb->>'source' "
        "= 'greenhouse'",
    )
    assert_as_rebuilt(database)


def test_who_became_one_is_folded_no_further_than_the_lane(database: Database) -> None:
    """What their lane has not read yet is not shown before, and not counted again when it is."""
    log = a_log(database)
    runner = Runner(database, MEANING, lanes=2)
    runner.settle()
    survivor, survives = next(in_lane(log, 0, 2))
    absorbed, is_absorbed = next(in_lane(log, 1, 2))
    runner.catch_up()
    read = touchpoints(database, survives) + touchpoints(database, is_absorbed)
    said = statement("stage_changed", days(1), person=survivor, application=survivor)
    log.put_statements([said])
    beyond = head(database)
    runner.step(lanes=only(1))
    same = (PersonKey("greenhouse:candidate", absorbed),)
    log.put_statements(
        [statement("message_sent", days(3), person=survivor, application=None, same_as=same)]
    )
    runner.step(lanes=only())
    assert positions(database).lanes == (beyond - 1, beyond)
    assert touchpoints(database, survives) == read
    # Up to just before the merge: its own page folds anew whatever was wrong.
    runner.step(up_to=beyond, lanes=only(0))
    assert touchpoints(database, survives) == read + 1
    runner.catch_up()
    assert_as_rebuilt(database)


@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1), (3, 5)])
def test_the_number_of_lanes_may_change(database: Database, before: int, after: int) -> None:
    """Between two starts, with lanes left where they happened to be."""
    log, rng = a_log(database), random.Random(8)
    runner = Runner(database, MEANING, page=20, lanes=before)
    runner.settle()
    tell(log, rng, 150)
    for lane in (0, 0, 2, 1):
        runner.step(lanes=only(lane))
    Runner(database, MEANING, lanes=after).settle()
    assert len(positions(database).lanes) == after
    tell(log, rng, 150)
    runner.catch_up()  # it takes the lanes as they are
    assert len(positions(database).lanes) == after
    assert_as_rebuilt(database)


def test_the_number_of_lanes_changes_under_running_processes(database: Database) -> None:
    """The last one to start decides, and those that run go on with its lanes."""
    rng, _ = a_chance()
    log = a_log(database)
    with projecting(database, 2, 2):
        tell(log, rng, 150)
        with projecting(database, 1, 5):
            until(lambda: len(positions(database).lanes) == 5, "there are five lanes")
            tell(log, rng, 150)
        tell(log, rng, 50)
        until(lambda: positions(database).least == head(database), "all is projected")
    assert len(positions(database).lanes) == 5
    assert_as_rebuilt(database)


# --- a rebuild ------------------------------------------------------------------------------


def test_a_rebuild_compares_each_lane_where_it_is(database: Database) -> None:
    """Lanes that moved on during it, unevenly and past a merge, differ in nothing."""
    log, rng = a_log(database), random.Random(9)
    runner = Runner(database, MEANING, page=40, lanes=3)
    runner.settle()
    tell(log, rng, 200)
    runner.catch_up()

    def meanwhile(done: int, total: int) -> None:
        if done == 0:
            tell(log, rng, 100)
            for lane in (0, 2, 2, 2, 2):
                runner.step(lanes=only(lane))

    rebuilt = rebuild(database, MEANING, LONG_AGO, progress=meanwhile)
    assert rebuilt.differences == dict.fromkeys(rebuilt.differences, 0)
    assert positions(database) == Positions((head(database),) * 3, head(database))
    tell(log, rng, 50)
    runner.catch_up()
    assert_as_rebuilt(database)


def test_rebuilds_beside_running_lanes(database: Database) -> None:
    """Live processes wait for the swap and go on where it left them."""
    rng, _ = a_chance()
    log = a_log(database)
    with projecting(database, 2, 4):
        for _ in range(3):
            tell(log, rng, 100)
            rebuild(database, MEANING, LONG_AGO)
        tell(log, rng, 50)
        until(lambda: positions(database).least == head(database), "all is projected")
    assert_as_rebuilt(database)
