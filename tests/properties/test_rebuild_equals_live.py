"""For any history: what a rebuild writes is what the live runner wrote, row for row."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from journey.database import Database
from journey.journey_log import JourneyLog
from projections.rebuild import TABLES, rebuild
from projections.runner import Runner
from schemas.identifiers import PersonKey
from schemas.statement import Statement
from tests.support.builders import T0, a_log, statement, the_meaning

MEANING = the_meaning()
LONG_AGO = datetime(1990, 1, 1, tzinfo=UTC)
KINDS = (
    "application_submitted", "application_acknowledged", "stage_changed", "message_sent",
    "message_received", "chaser_received", "availability_requested", "availability_provided",
    "interview_scheduled", "interview_moved", "interview_cancelled", "interview_held",
    "interview_missed_by_employer", "rejection_decided", "rejection_sent", "reference_contacted",
    "survey_sent", "survey_reminded", "offer_sent", "withdrew", "application_reopened", "hired",
    "unrecognised_touchpoint",
)  # fmt: skip

told = st.tuples(
    st.sampled_from(KINDS),
    st.integers(0, 3),  # person
    st.sampled_from(["a", "b", None]),  # application
    st.integers(0, 24 * 60),  # hours after T0
    st.sampled_from(["instant", "instant", "day", "minute"]),
)
kept = st.tuples(
    st.sampled_from(["retract", "correct", "repeat", "merge", "unmerge"]),
    st.integers(0, 3),
    st.integers(0, 40),
    st.integers(0, 24 * 60),
)
histories = st.lists(st.one_of(told, told, told, kept), min_size=1, max_size=30)


def say(step: tuple, said: list[Statement]) -> Statement | None:
    """The statement of one random step, or None where it has nothing to be about."""
    if step[0] in KINDS:
        kind, person, application, after, precision = step
        at = T0 + timedelta(hours=after)
        if precision == "day":
            at = at.replace(hour=0)
        fields = {}
        if kind in ("interview_scheduled", "interview_moved"):
            fields = {
                "starts_at": at + timedelta(days=2),
                "ends_at": at + timedelta(days=2, hours=1),
            }
        elif kind == "unrecognised_touchpoint":
            fields = {"label": "x"}
        name = None if application is None else f"{person}{application}"
        return statement(
            kind, at, person=str(person), application=name, precision=precision, **fields
        )
    what, person, index, after = step
    about = said[index % len(said)] if said else None
    if what == "repeat" or about is None:
        return about
    if what == "merge":
        other = (PersonKey("greenhouse:candidate", str((person + 1) % 4)),)
        return statement("message_sent", person=str(person), application=None, same_as=other)
    key = about.person
    at = T0 + timedelta(hours=after)
    if what == "retract":
        return statement(
            "touchpoint_retracted", at, keys=key, application=None,
            retracts=about.touchpoint.touchpoint_id,
        )  # fmt: skip
    return statement(
        "touchpoint_corrected", at, keys=key, application=None,
        corrects=about.touchpoint.touchpoint_id, corrected={"occurred_at": at.isoformat()},
    )  # fmt: skip


def everything(database: Database) -> dict[str, list]:
    """Every row of every projection table, in a settled order."""
    with database.connect() as connection:
        return {
            table: sorted(map(repr, connection.execute(f"SELECT * FROM {table}")))
            for table in TABLES
        }


def play(log: JourneyLog, runner: Runner, history: list, cut: random.Random) -> None:
    """Record a history, partly out of order, projecting now and then."""
    said: list[Statement] = []
    for step in history:
        if step[0] != "unmerge" and (one := say(step, said)) is not None:
            said.append(one)
    # What is said late may be about something said later still: a retraction before its fact.
    arriving = sorted(enumerate(said), key=lambda pair: pair[0] + cut.choice((0, 0, 0, 6)))
    unmerges = sum(step[0] == "unmerge" for step in history)
    people: list[UUID] = []
    for _, one in arriving:
        people += log.put_statements([one]).candidates
        if unmerges and cut.random() < 0.2:
            with log.database.transaction() as connection:
                log.unmerge(cut.choice(people), connection, by=str(unmerges))
        if cut.random() < 0.05:
            # As if the processes were started again with another number of lanes.
            runner.lanes = cut.choice((1, 3, 12)) if runner.lanes > 1 else 1
            runner.settle()
        if cut.random() < 0.3:
            runner.step(lanes=lambda of: [lane for lane in range(of) if cut.random() < 0.5])


def empty(database: Database) -> None:
    """A tenant as it was before anything happened."""
    with database.connect() as connection:
        connection.execute("ALTER TABLE journey_events DISABLE TRIGGER USER")
        connection.execute(
            "TRUNCATE journey_events, identity_keys, identity_merges, person_keys, "
            + ", ".join(TABLES)
        )
        connection.execute("ALTER TABLE journey_events ENABLE TRIGGER USER")
        connection.execute("UPDATE log_head SET position = 0")
        connection.execute(
            "DELETE FROM projection_tracking WHERE application_name <> '__migration__'"
        )
        connection.commit()


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
@given(
    history=histories,
    seed=st.integers(0, 2**16),
    page=st.integers(1, 7),
    lanes=st.sampled_from((1, 3, 12)),
)
def test_rebuilt_rows_equal_live_rows(
    database: Database, history: list, seed: int, page: int, lanes: int
) -> None:
    """Late, repeated, merged, unmerged, corrected, retracted: no history tells them apart.

    Nor does by how many lanes it was projected, each as far behind the others as it happens.
    """
    note(f"seed {seed}")
    empty(database)
    log = a_log(database)
    runner = Runner(database, MEANING, page=page, lanes=lanes)
    runner.settle()
    play(log, runner, history, random.Random(seed))
    runner.catch_up()
    live = everything(database)
    rebuilt = rebuild(database, MEANING, LONG_AGO)
    assert rebuilt.differences == dict.fromkeys(rebuilt.differences, 0)
    assert everything(database) == live


def test_parallel_rebuild_equals_live(database: Database) -> None:
    """Two processes, each with half of the candidates, write what one would."""
    rng = random.Random(7)
    log = a_log(database)
    said: list[Statement] = []
    for _ in range(400):
        person = rng.randrange(60)
        said.append(
            statement(
                rng.choice(KINDS[:-1]),
                T0 + timedelta(hours=rng.randrange(2000)),
                person=str(person),
                application=f"{person}a",
            )
        )
    merged = [
        statement(
            "message_sent",
            person=str(n),
            application=None,
            same_as=(PersonKey("greenhouse:candidate", str(n + 30)),),
        )
        for n in range(5)
    ]
    log.put_statements(said + merged)
    runner = Runner(database, MEANING)
    runner.catch_up()
    live = everything(database)
    rebuild(database, MEANING, LONG_AGO, jobs=2)
    assert everything(database) == live
