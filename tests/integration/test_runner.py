"""The live runner: one fact at a time, late ones, keepers, merges."""

from __future__ import annotations

from datetime import timedelta

from journey.database import Database
from projections.runner import Runner
from schemas.identifiers import PersonKey, touchpoint_id
from tests.support.builders import T0, a_log, days, statement, the_meaning


def rows(database: Database, query: str) -> list[tuple]:
    with database.transaction() as connection:
        return connection.execute(query).fetchall()


def test_a_silence_opens_and_ends(database: Database) -> None:
    """An application opens a silence; the acknowledgement ends it and opens the next."""
    log, runner = a_log(database), Runner(database, the_meaning())
    log.put_statements([statement("application_submitted", T0)])
    runner.catch_up()
    assert rows(database, "SELECT since, until FROM silences") == [(T0, None)]
    log.put_statements([statement("application_acknowledged", days(1))])
    runner.catch_up()
    assert rows(database, "SELECT since, until FROM silences ORDER BY since") == [
        (T0, days(1)),
        (days(1), None),
    ]


def test_a_retraction_that_comes_before_its_fact(database: Database) -> None:
    """A fact that was retracted before it arrived never counts."""
    log, runner = a_log(database), Runner(database, the_meaning())
    log.put_statements([statement("application_submitted", T0)])
    taken_back = touchpoint_id("greenhouse", "mail/1", "message_sent")
    log.put_statements(
        [statement("touchpoint_retracted", days(1), application=None, retracts=taken_back)]
    )
    runner.catch_up()
    log.put_statements([statement("message_sent", days(2), event="mail/1")])
    runner.catch_up()
    assert rows(database, "SELECT since, until FROM silences") == [(T0, None)]


def test_a_late_fact_moves_the_silence(database: Database) -> None:
    """A message told late, but sent early, means the silence began with it."""
    log, runner = a_log(database), Runner(database, the_meaning())
    log.put_statements([statement("application_submitted", T0)])
    log.put_statements([statement("stage_changed", days(9), stage="Onsite")])
    runner.catch_up()
    log.put_statements([statement("message_sent", days(3))])
    runner.catch_up()
    assert rows(database, "SELECT since, until, stage FROM silences ORDER BY since") == [
        (T0, days(3), None),
        (days(3), None, "Onsite"),
    ]


def test_two_candidates_become_one_journey_and_two_again(database: Database) -> None:
    """A merge moves the absorbed candidate's rows to the survivor; unmerging gives them back."""
    log, runner = a_log(database), Runner(database, the_meaning())
    one = log.put_statements([statement("application_submitted", T0, person="1")]).candidates[0]
    two = log.put_statements(
        [statement("application_submitted", days(1), person="2", application="2")]
    ).candidates[0]
    runner.catch_up()
    other = (PersonKey("greenhouse:candidate", "2"),)
    log.put_statements([statement("message_sent", days(2), application=None, same_as=other)])
    runner.catch_up()
    assert {row[0] for row in rows(database, "SELECT candidate_id FROM applications")} == {one}
    with database.transaction() as connection:
        assert log.unmerge(two, connection, by="test")
    runner.catch_up()
    assert {row[0] for row in rows(database, "SELECT candidate_id FROM applications")} == {one, two}


def test_positions_of_runners_that_take_turns(database: Database) -> None:
    """Two runners on one log share one position; nothing is folded twice."""
    log = a_log(database)
    log.put_statements([statement("stage_changed", T0 + timedelta(hours=n)) for n in range(20)])
    first, second = (Runner(database, the_meaning(), page=3) for _ in range(2))
    while first.step().touchpoints + second.step().touchpoints:
        pass
    assert rows(database, "SELECT touchpoints FROM applications") == [(20,)]
    assert rows(database, "SELECT touchpoints FROM feeds") == [(20,)]
