"""How many deliveries have each status: kept exactly, whoever writes and dies, and cheaply."""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient

import journey.database
from consumers import inbox
from consumers.ats_adapters.adapter import Delivery
from consumers.figures import figures
from consumers.inbox import STATUSES, Arrival, Filters, Outcome, Status, new_delivery_id
from consumers.webhooks.app import create_app
from journey.database import Connection, Database, migrate
from schemas.identifiers import DeliveryId
from tests.support.builders import T0
from tests.support.fakes import FrozenClock
from tests.support.processes import PATIENCE_SECONDS
from tests.support.truth import a_chance, one, rows

_SPAWN = multiprocessing.get_context("spawn")


def arrivals(connection: str, count: int, status: Status = "pending") -> list[Arrival]:
    """New deliveries of this connection."""
    return [
        Arrival(Delivery(new_delivery_id(T0), connection, "greenhouse", T0, {}, b"{}"), status)
        for _ in range(count)
    ]


def scanned(connection: Connection) -> dict[str, int]:
    """What counting them one by one says."""
    found = connection.execute("SELECT status, count(*) FROM deliveries GROUP BY status")
    return {**dict.fromkeys(STATUSES, 0), **{str(row[0]): int(row[1]) for row in found}}


def assert_counted(database: Database) -> dict[str, int]:
    """Kept and scanned counts are the same at one moment; returns them."""
    with database.reading() as connection:
        kept = inbox.counts(connection)
        assert kept == scanned(connection)
    return kept


def sum_up_more_often(database: Database, share: float) -> None:
    """The counting as the migration makes it, but sums put in place of so many of the changes."""
    made = one(database, "SELECT pg_get_functiondef('count_deliveries'::regproc)")
    assert "random() < 0.005" in made
    with database.transaction() as connection:
        connection.execute(made.replace("random() < 0.005", f"random() < {share}"))


class Writer:
    """Everything that the product does to deliveries, in a random order, some of it taken back.

    `shared` are ids that several of them archive, as consumers of Kafka do that meet on a delivery.
    """

    def __init__(self, name: str, seed: int, shared: list[DeliveryId]) -> None:
        self._name = name
        self._chance = random.Random(seed)
        self._shared = shared
        self._does: list[Callable[[Connection], Any]] = [
            self._keep, self._keep, self._refuse, self._handle, self._handle, self._archive,
            self._meet, self._count_fewer, self._redrive, self._delete,
        ]  # fmt: skip

    def write(self, connection: Connection) -> None:
        """One transaction of one to three things; one in four is rolled back, whole or in part."""
        with connection.transaction(force_rollback=self._chance.random() < 0.15):
            for do in self._chance.sample(self._does, k=self._chance.randint(1, 3)):
                with connection.transaction(force_rollback=self._chance.random() < 0.1):
                    do(connection)

    def _keep(self, connection: Connection) -> None:
        new = arrivals(self._name, self._chance.randint(1, 8))
        inbox.keep_arrivals(connection, new)
        inbox.keep_arrivals(connection, new[:2])

    def _refuse(self, connection: Connection) -> None:
        # Whatever is refused beyond the newest goes; from the others that are at it, too.
        if connection.execute("SELECT pg_try_advisory_xact_lock(1)").fetchone() == (True,):
            new = [*arrivals(self._name, 3, "refused"), *arrivals(self._name, 1, "probe")]
            inbox.keep_arrivals(connection, new, refused_keep=5)

    def _handle(self, connection: Connection) -> None:
        taken = inbox.take(connection, 10)
        inbox.mark(connection, [self._outcome(each) for each in taken], T0)

    def _archive(self, connection: Connection) -> None:
        new = [each.delivery for each in arrivals(self._name, 5)]
        inbox.archive(connection, [(each, self._outcome(each)) for each in new], T0)

    def _meet(self, connection: Connection) -> None:
        met = [
            Delivery(each, "shared", "greenhouse", T0, {}, b"{}")
            for each in self._chance.sample(self._shared, 4)
        ]
        inbox.archive(connection, [(each, self._outcome(each)) for each in met], T0)

    def _count_fewer(self, connection: Connection) -> None:
        taken = inbox.take(connection, 2)
        inbox.count_fewer(connection, {each.delivery_id: 0 for each in taken})

    def _redrive(self, connection: Connection) -> None:
        inbox.redrive(connection, Filters(connection=self._name))

    def _delete(self, connection: Connection) -> None:
        connection.execute(
            "DELETE FROM deliveries WHERE connection = %s AND status = 'context'", [self._name]
        )

    def _outcome(self, delivery: Delivery) -> Outcome:
        # What several archive is never dead, so that no redrive meets an archive on one delivery.
        fates = ("recorded", "context", "dead") if delivery.connection != "shared" else ("context",)
        return Outcome(delivery.delivery_id, self._chance.choice(fates), None, 1)  # type: ignore[arg-type]


def test_counts_equal_a_scan_at_every_moment(database: Database) -> None:
    """Four write, take back and sum up at once: whenever one looks, both counts are the same.

    None waits for the counts of another: a deadlock, or a lock waited for in vain, would be raised.
    """
    _, seed = a_chance()
    sum_up_more_often(database, 0.2)
    shared = [each.delivery.delivery_id for each in arrivals("shared", 20)]
    failures: list[BaseException] = []
    stop = threading.Event()

    def write(number: int) -> None:
        writer = Writer(f"c{number}", seed + number, shared)
        try:
            with database.connect(autocommit=True) as connection:
                for _ in range(150):
                    writer.write(connection)
        except BaseException as error:
            failures.append(error)

    def look() -> None:
        try:
            while not stop.is_set():
                assert_counted(database)
        except BaseException as error:
            failures.append(error)

    looking = threading.Thread(target=look)
    writing = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in (looking, *writing):
        thread.start()
    for thread in writing:
        thread.join()
    stop.set()
    looking.join()
    assert failures == [], f"seed {seed}"
    counted = assert_counted(database)
    assert sum(counted.values()) > 100
    assert all(counted[status] for status in ("recorded", "probe", "refused")), counted


def test_no_writer_waits_for_the_counts_of_another(database: Database) -> None:
    """While one has counted and summed up and not committed, others count, sum up and commit."""
    sum_up_more_often(database, 1)
    with database.transaction() as connection:
        inbox.keep_arrivals(connection, arrivals("first", 5))
    with database.connect() as one_writer, database.connect() as another:
        for writer in (one_writer, another):
            writer.execute("SET lock_timeout = '1s'")
            inbox.keep_arrivals(writer, arrivals("more", 3))
            inbox.mark(writer, [_recorded(each) for each in inbox.take(writer, 2)], T0)
        another.commit()
        assert assert_counted(database)["recorded"] == 2
        one_writer.rollback()
    assert assert_counted(database) == {**dict.fromkeys(STATUSES, 0), "pending": 6, "recorded": 2}


def _recorded(delivery: Delivery) -> Outcome:
    return Outcome(delivery.delivery_id, "recorded", None, 1)


def test_what_a_hand_does_is_counted(database: Database) -> None:
    """Rows changed, deleted or all thrown away past the program; and COPY, as a restore does."""
    with database.transaction() as connection:
        inbox.keep_arrivals(connection, arrivals("gh", 9))
        connection.execute("UPDATE deliveries SET status = 'dead' WHERE arrival % 2 = 0")
        connection.execute("DELETE FROM deliveries WHERE arrival = 1")
    assert assert_counted(database) == {**dict.fromkeys(STATUSES, 0), "pending": 4, "dead": 4}
    with database.transaction() as connection:
        connection.execute("TRUNCATE deliveries")
        with connection.cursor().copy(
            "COPY deliveries (delivery_id, connection, source, received_at, headers, body, status) "
            "FROM STDIN"
        ) as copy:
            copy.write_row((str(new_delivery_id(T0)), "gh", "greenhouse", T0, "{}", b"", "context"))
    assert assert_counted(database) == {**dict.fromkeys(STATUSES, 0), "context": 1}


# --- cost ---------------------------------------------------------------------------------------


def test_counting_reads_no_delivery(database: Database) -> None:
    """However many there are, the figures read none but those that wait, and of them the next."""
    with database.transaction() as connection:
        inbox.keep_arrivals(connection, arrivals("gh", 3000, "probe"))
        inbox.keep_arrivals(connection, arrivals("gh", 3000))
    with database.connect(autocommit=True) as connection:
        connection.execute("ANALYZE deliveries")
    with database.reading() as connection:
        assert inbox.counts(connection)["probe"] == 3000
        assert _read(connection) == 0
        assert figures(connection, T0).pending_since == T0
        assert _read(connection) <= 1000


def _read(connection: Connection) -> int:
    """Rows of deliveries that this transaction has read, by scan or by index."""
    row = connection.execute(
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables "
        "WHERE relid = 'deliveries'::regclass"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_the_counts_stay_small(database: Database) -> None:
    """Of the twenty thousand rows that ten thousand statements add, few are ever there at once."""
    most = 0
    with database.connect(autocommit=True) as connection:
        # The same chances every time.
        connection.execute("SELECT setseed(0.5)")
        inbox.keep_arrivals(connection, arrivals("gh", 1))
        for _ in range(10):
            connection.execute(
                "DO $$ BEGIN FOR i IN 1..500 LOOP "
                "UPDATE deliveries SET status = 'dead'; UPDATE deliveries SET status = 'pending'; "
                "END LOOP; END $$"
            )
            most = max(most, _rows(connection))
    print("at most", most, "rows")
    assert most < 5_000
    assert assert_counted(database)["pending"] == 1


def _rows(connection: Connection) -> int:
    row = connection.execute("SELECT count(*) FROM delivery_counts").fetchone()
    assert row is not None
    return int(row[0])


# --- faults -------------------------------------------------------------------------------------


def _write_until_killed(pipe: Any, url: str, tenant: str, seed: int) -> None:
    writer = Writer("killed", seed, [each.delivery.delivery_id for each in arrivals("shared", 20)])
    with Database(url, tenant).connect(autocommit=True) as connection:
        for number in range(100_000):
            writer.write(connection)
            if number == 3:
                pipe.send("writing")


@pytest.mark.fault
def test_a_killed_writer_leaves_the_counts_right(database: Database) -> None:
    """Killed at a random moment, and its server process ended in the middle of a transaction."""
    chance, seed = a_chance()
    sum_up_more_often(database, 0.2)
    for life in range(3):
        mine, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(
            target=_write_until_killed,
            args=(theirs, database.url, database.schema, seed + life),
            daemon=True,
        )
        process.start()
        assert mine.poll(PATIENCE_SECONDS)
        # How long it goes on writing is the point, not something that is waited for.
        process.join(chance.uniform(0, 0.2))
        process.kill()
        process.join()
        assert_counted(database)
    with database.connect() as connection:
        inbox.keep_arrivals(connection, arrivals("ended", 4))
        one(database, "SELECT pg_terminate_backend(%s)", connection.info.backend_pid)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("COMMIT")
    assert sum(assert_counted(database).values()) > 0
    assert one(database, "SELECT count(*) FROM deliveries WHERE connection = 'ended'") == 0


# --- coming from an older release ---------------------------------------------------------------


@pytest.fixture
def up_to(
    postgres_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], Database]:
    """Makes this test's tenant anew, or brings it on, up to a migration."""
    known = journey.database.migrations()
    with database.transaction() as connection:
        connection.execute(f"DROP SCHEMA {database.schema} CASCADE")  # type: ignore[arg-type]

    def bring(number: int) -> Database:
        monkeypatch.setattr(
            journey.database,
            "migrations",
            lambda: {each: known[each] for each in known if each <= number},
        )
        migrate(database)
        monkeypatch.undo()
        return database

    return bring


def test_deliveries_of_an_older_release_are_counted(up_to: Callable[[int], Database]) -> None:
    """What is there before is counted, and what an older process goes on writing meanwhile."""
    _, seed = a_chance()
    database = up_to(10)
    failures: list[BaseException] = []
    wrote = threading.Semaphore(0)
    stop = threading.Event()

    def write(number: int) -> None:
        try:
            writer = Writer(f"c{number}", seed + number, [])
            writer._does.remove(writer._meet)
            with database.connect(autocommit=True) as connection:
                while not stop.is_set():
                    writer.write(connection)
                    wrote.release()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        wrote.acquire()
    applied = migrate(database)
    for _ in range(20):
        wrote.acquire()
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == [], f"seed {seed}"
    assert "0012_deliveries_counted.sql" in applied
    assert sum(assert_counted(database).values()) > 0


def test_counting_what_is_there_keeps_nobody_waiting(up_to: Callable[[int], Database]) -> None:
    """The scan of the migration goes on beside a writer that has not committed, and is exact."""
    database = up_to(10)
    with database.transaction() as connection:
        inbox.keep_arrivals(connection, arrivals("before", 7))
    up_to(11)
    with database.transaction() as connection:
        inbox.keep_arrivals(connection, arrivals("between", 4))
    with database.connect() as writing:
        inbox.keep_arrivals(writing, arrivals("beside", 3))
        inbox.mark(writing, [_recorded(each) for each in inbox.take(writing, 2)], T0)
        migrating = threading.Thread(target=migrate, args=(database,))
        migrating.start()
        migrating.join(PATIENCE_SECONDS)
        assert not migrating.is_alive()
        assert assert_counted(database)["pending"] == 11
        writing.commit()
    assert assert_counted(database) == {**dict.fromkeys(STATUSES, 0), "pending": 12, "recorded": 2}
    assert len(rows(database, "SELECT FROM delivery_counts")) < 10


def test_a_receiver_of_the_new_release_tells_its_status_first(
    up_to: Callable[[int], Database],
) -> None:
    """One that leaves it to others to migrate can be asked before any of them is there."""
    database = up_to(10)
    app = create_app(
        database, {}, {}, FrozenClock(), status=lambda: {"migrated": len(migrate(database))}
    )
    with TestClient(app) as client:
        assert client.get("/-/status.json").json()["inbox"]["pending"] == 0
