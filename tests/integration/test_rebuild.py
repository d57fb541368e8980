"""A rebuild: beside the live tables, one at a time, and without a word to anybody."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from journey.database import Database
from projections.contradictions.fold import compile_rules
from projections.projection import Meaning
from projections.rebuild import RebuildRunning, _only_one, rebuild
from projections.runner import Runner, built_with
from tests.support.builders import T0, a_log, days, statement, the_meaning

MEANING = the_meaning()


def deadlines(database: Database) -> set[tuple[str, datetime]]:
    with database.connect() as connection:
        return set(connection.execute("SELECT level, due_at FROM deadlines").fetchall())


def waiting(database: Database) -> None:
    """Two people who applied and heard nothing, projected."""
    log = a_log(database)
    log.put_statements(
        [
            statement("application_submitted", T0),
            statement("application_submitted", days(30), person="2", application="2"),
        ]
    )
    Runner(database, MEANING).catch_up()


def test_what_was_swept_stays_swept(database: Database) -> None:
    """Deadlines that passed and were taken by the sweeper do not come back with a rebuild."""
    waiting(database)
    before = deadlines(database)
    now = days(25)
    with database.connect() as connection:
        connection.execute("DELETE FROM deadlines WHERE due_at <= %s", [now])
        connection.commit()
    rebuild(database, MEANING, now)
    assert deadlines(database) == {(level, due) for level, due in before if due > now}


def test_what_was_not_swept_yet_is_not_lost(database: Database) -> None:
    """Deadlines that passed while no sweeper ran are still there after a rebuild."""
    waiting(database)
    before = deadlines(database)
    rebuild(database, MEANING, days(25))
    assert deadlines(database) == before


def test_keys_and_indexes_are_the_same_afterwards(database: Database) -> None:
    """Each by its name, on the same columns, under the same condition."""
    waiting(database)

    def indexes() -> set[tuple[str, str, str]]:
        with database.connect() as connection:
            named = connection.execute(
                "SELECT tablename, indexname, indexdef FROM pg_indexes "
                "WHERE schemaname = current_schema()"
            )
            return set(named.fetchall())

    before = indexes()
    rebuild(database, MEANING, T0)
    assert indexes() == before


def test_one_at_a_time(database: Database) -> None:
    """A second rebuild says in a sentence that one is running."""
    with _only_one(database), pytest.raises(RebuildRunning, match="another rebuild is running"):
        rebuild(database, MEANING, T0)


def test_a_dry_run_changes_nothing(database: Database) -> None:
    """It says what would differ and leaves the live tables as they are."""
    waiting(database)
    with database.connect() as connection:
        connection.execute("UPDATE applications SET stage = 'nonsense' WHERE job_id IS NULL")
        connection.commit()
    assert rebuild(database, MEANING, T0, dry_run=True).differences["applications"] == 2
    with database.connect() as connection:
        stages = connection.execute("SELECT DISTINCT stage FROM applications").fetchall()
    assert stages == [("nonsense",)]
    assert rebuild(database, MEANING, T0).differences["applications"] == 2
    assert rebuild(database, MEANING, T0).differences["applications"] == 0


def test_it_starts_over_what_a_killed_one_left(database: Database) -> None:
    """Tables left behind by a rebuild that was killed are in nobody's way."""
    waiting(database)
    with database.connect(autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {database.schema}_rebuild".encode())
        connection.execute(f"CREATE TABLE {database.schema}_rebuild.silences ()".encode())
    assert rebuild(database, MEANING, T0).journeys == 2


def test_progress_ends_at_the_whole(database: Database) -> None:
    """Progress counts touchpoints up to all of them, in one process and in two."""
    log = a_log(database)
    log.put_statements(
        [statement("stage_changed", T0 + timedelta(hours=n), person=str(n)) for n in range(50)]
    )
    for jobs in (1, 2):
        told: list[tuple[int, int]] = []
        rebuild(database, MEANING, T0, jobs=jobs, progress=lambda *step: told.append(step))  # noqa: B023
        assert told[-1] == (50, 50)
        assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_changed_rules_ask_for_a_rebuild(database: Database) -> None:
    """Tables built under other rules are known as such, until a rebuild judges the past anew."""
    waiting(database)
    fewer = Meaning(MEANING.policies, compile_rules((), MEANING.policies.calendars))
    with database.connect() as connection:
        assert built_with(connection) == MEANING.fingerprint != fewer.fingerprint
    rebuild(database, fewer, T0, dry_run=True)
    with database.connect() as connection:
        assert built_with(connection) == MEANING.fingerprint
    rebuild(database, fewer, T0)
    with database.connect() as connection:
        assert built_with(connection) == fewer.fingerprint
