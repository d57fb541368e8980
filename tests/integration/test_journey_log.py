"""The log: once each, no gaps, append-only, readable as it stood, with nothing personal in it."""

from __future__ import annotations

import contextlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from journey.database import Database, migrate, open_database
from journey.errors import ConfigurationError, KeyDestroyed, UnknownCandidate, WrongMasterKey
from journey.journey_log import JourneyLog
from journey.vault import Vault, master_key
from schemas.personal import Personal
from tests.support.builders import T0, a_log, days, statement
from tests.support.fakes import FrozenClock

MASTER = bytes(range(32))


def positions(database: Database) -> list[tuple]:
    with database.connect() as connection:
        return connection.execute(
            "SELECT notification_id, originator_id, originator_version FROM journey_events "
            "ORDER BY notification_id"
        ).fetchall()


def assert_gapless(database: Database) -> None:
    rows = positions(database)
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    versions: dict = {}
    for _, stream, version in rows:
        assert version == versions.get(stream, 0) + 1
        versions[stream] = version


def test_a_repeat_changes_nothing(database: Database) -> None:
    """The same statement twice, in one batch or two, is one touchpoint."""
    log = a_log(database)
    said = [statement("application_submitted", event="a/1"), statement("interview_held")]
    first = log.put_statements([*said, said[0]])
    again = log.put_statements(list(reversed(said)))
    assert (len(first.appended), first.repeated) == (2, 1)
    assert (len(again.appended), again.repeated) == (0, 2)
    assert_gapless(database)


def test_fifty_repeats_from_eight_threads(database: Database) -> None:
    """However many tell the same thing at once, the log holds it once."""
    said = statement("application_submitted", event="a/1", personal=Personal(name="Ada Ndiaye"))
    barrier = threading.Barrier(8)
    failures: list[BaseException] = []

    def tell() -> None:
        log = JourneyLog(database, Vault(MASTER), FrozenClock())
        barrier.wait()
        try:
            for _ in range(7):
                log.put_statements([said])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(positions(database)) == 1


def record_and_roll_back(log: JourneyLog, batch: list) -> None:
    with contextlib.suppress(ZeroDivisionError), log.database.transaction() as connection:
        log.record(batch, connection)
        raise ZeroDivisionError


def test_writers_at_once_leave_no_gap(database: Database) -> None:
    """Shuffled, overlapping batches from several writers give gapless versions and positions."""
    seed = 11
    said = [
        statement("stage_changed", T0 + timedelta(minutes=n), person=str(n % 9), event=f"e/{n}")
        for n in range(300)
    ]
    failures: list[BaseException] = []

    def tell(number: int) -> None:
        rng = random.Random(seed + number)
        mine = rng.sample(said, 200)
        log = JourneyLog(database, Vault(MASTER), FrozenClock())
        try:
            while mine:
                batch = [mine.pop() for _ in range(min(len(mine), rng.randrange(1, 40)))]
                if rng.random() < 0.2:
                    record_and_roll_back(log, batch)
                log.put_statements(batch)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, f"seed {seed}"
    assert_gapless(database)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE journey_events SET topic = 'x'",
        "DELETE FROM journey_events",
        "TRUNCATE journey_events",
    ],
)
def test_the_log_refuses_change(database: Database, change: str) -> None:
    """UPDATE, DELETE and TRUNCATE are refused by the database itself."""
    a_log(database).put_statements([statement("application_submitted")])
    with (
        database.connect() as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
    ):
        connection.execute(change.encode())
    assert len(positions(database)) == 1


def test_as_of_and_at_are_different_questions(database: Database) -> None:
    """`as_of` is what we knew by then, `at` is what had happened by then."""
    clock = FrozenClock(days(1))
    log = a_log(database, clock)
    early = log.put_statements([statement("application_submitted", T0)])
    candidate = early.candidates[0]
    clock.at = days(9)
    log.put_statements([statement("message_sent", days(2))])
    kinds = lambda touchpoints: [touchpoint.KIND for touchpoint in touchpoints]  # noqa: E731
    assert kinds(log.history(candidate)) == ["application_submitted", "message_sent"]
    assert kinds(log.history(candidate, as_of=days(5))) == ["application_submitted"]
    assert kinds(log.history(candidate, as_of=early.last_position)) == ["application_submitted"]
    assert kinds(log.history(candidate, at=days(1))) == ["application_submitted"]
    assert kinds(log.history(candidate, at=days(5))) == ["application_submitted", "message_sent"]


def test_the_library_reads_what_was_appended(database: Database) -> None:
    """The eventsourcing library's event store and notification log see the same touchpoints."""
    log = a_log(database)
    candidate = log.put_statements([statement("application_submitted")]).candidates[0]
    assert [type(event).__name__ for event in log.events.get(candidate)] == ["ApplicationSubmitted"]
    assert [note.id for note in log.notification_log.select(1, 10)] == [1]


def test_the_library_can_append_too(database: Database) -> None:
    """The library's own `put` goes through the same append, with its optimistic check."""
    from eventsourcing.persistence import IntegrityError

    log = a_log(database)
    candidate = log.put_statements([statement("application_submitted")]).candidates[0]
    told = statement("message_sent").touchpoint
    log.events.put([told.model_copy(update={"candidate_id": candidate, "version": 2})])
    assert_gapless(database)
    other = statement("message_sent").touchpoint
    with pytest.raises(IntegrityError):
        log.events.put([other.model_copy(update={"candidate_id": candidate, "version": 2})])
    assert len(positions(database)) == 2


def test_nothing_personal_in_the_log(database: Database) -> None:
    """No name, address or phone that went in is anywhere in the tables but the vault's reach."""
    secrets = ["Ada Ndiaye", "ada@ndiaye.example", "+49 170 5550123", "Rue de la Paix 9"]
    personal = Personal(
        name=secrets[0], emails=(secrets[1],), phones=(secrets[2],), addresses=(secrets[3],)
    )
    log = a_log(database, master=MASTER)
    told = statement("application_submitted", personal=personal)
    recorded = log.put_statements([told])
    dump = ""
    with database.connect() as connection:
        for table in ("journey_events", "identity_keys", "identity_merges", "person_keys"):
            for row in connection.execute(f"SELECT * FROM {table}".encode()):
                dump += " ".join(
                    value.decode("latin-1") if isinstance(value, bytes) else str(value)
                    for value in row
                )
    for secret in secrets:
        assert secret not in dump
        assert secret.encode().hex() not in dump
    (touchpoint,) = log.history(recorded.candidates[0])
    assert log.vault.unseal(database, touchpoint.originator_id, touchpoint.personal) == personal


def test_what_is_sealed_stays_sealed_without_the_key(database: Database) -> None:
    """Another master key opens nothing; a destroyed person's key opens nothing ever."""
    log = a_log(database, master=MASTER)
    recorded = log.put_statements([statement("message_sent", personal=Personal(name="Ada"))])
    (touchpoint,) = log.history(recorded.candidates[0])
    token = touchpoint.personal
    with pytest.raises(WrongMasterKey):
        Vault(bytes(32)).unseal(database, touchpoint.originator_id, token)
    with database.connect() as connection:
        connection.execute("DELETE FROM person_keys")
        connection.commit()
    with pytest.raises(KeyDestroyed):
        Vault(MASTER).unseal(database, touchpoint.originator_id, token)


def test_find_by_id_prefix_or_key(database: Database) -> None:
    """A candidate is found by id, its first digits, or a source's own key."""
    log = a_log(database)
    candidate = log.put_statements([statement("application_submitted", person="77")]).candidates[0]
    assert log.find(str(candidate)) == candidate
    assert log.find(str(candidate)[:6]) == candidate
    assert log.find("greenhouse:candidate/77") == candidate
    for nobody in ("0123456789", "greenhouse:candidate/78", "not an id"):
        with pytest.raises(UnknownCandidate):
            log.find(nobody)


def test_a_pool_is_opened_once_whoever_comes_first(database: Database) -> None:
    """Of two, one would be forgotten with its connections open."""
    barrier = threading.Barrier(8)

    def pool(_: int) -> object:
        barrier.wait()
        return database.pool

    for _ in range(3):
        with ThreadPoolExecutor(8) as threads:
            assert len(set(threads.map(pool, range(8)))) == 1
        database.close()


def test_migrations_are_safe_when_two_start_at_once(postgres_url: str) -> None:
    """Several processes that open a new tenant at once make it once."""
    opened: list[Database] = []
    failures: list[BaseException] = []

    def start() -> None:
        try:
            opened.append(open_database(Path("unused"), postgres_url, "rush"))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert migrate(opened[0]) == []
    with opened[0].connect(autocommit=True) as connection:
        connection.execute("DROP SCHEMA rush CASCADE")


def test_the_master_key_is_made_once_and_private(tmp_path: Path) -> None:
    """Embedded mode makes a key file with mode 0600 and keeps to it; otherwise it is required."""
    made = master_key(None, tmp_path, embedded=True)
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600
    assert master_key(None, tmp_path, embedded=True) == made
    with pytest.raises(ConfigurationError, match="JOURNEY_MASTER_KEY"):
        master_key(None, tmp_path, embedded=False)
    with pytest.raises(ConfigurationError, match="32 bytes"):
        master_key("c2hvcnQ=", tmp_path, embedded=False)


def test_what_was_rolled_back_is_not_remembered(database: Database) -> None:
    """Keys made in a transaction that came to nothing are made again, and open what they seal."""
    log = a_log(database, master=MASTER)
    said = [
        statement("message_sent", days(n), person="9", personal=Personal(name="Ada"))
        for n in range(3)
    ]
    with contextlib.suppress(ZeroDivisionError), database.transaction() as connection:
        log.record(said[:1], connection)
        log.record(said[1:2], connection)
        raise ZeroDivisionError
    candidate = log.put_statements(said[2:]).candidates[0]
    assert log.find("greenhouse:candidate/9") == candidate
    (touchpoint,) = log.history(candidate)
    fresh = Vault(MASTER)
    assert fresh.unseal(database, candidate, touchpoint.personal or "") == Personal(name="Ada")
