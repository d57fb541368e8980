"""Build every projection anew beside the live one, catch up, compare, swap in one transaction.

The log is read in stream order, each journey contiguous, folded in memory and written once with
COPY, in parallel by ranges of candidate id. Readers never see a gap; a rebuild killed at any
moment leaves the live tables as they were. It sends nothing: deadlines that had passed and were
not waiting in the live table stay silent.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from multiprocessing import Queue, get_context, parent_process
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg import sql

from journey.collector import collector_paused
from journey.database import Connection, Database
from journey.errors import JourneyError
from projections.all_views import ALL_VIEWS
from projections.fact import Fact
from projections.feeds import fold as feeds
from projections.feeds.view import add_feeds
from projections.merging import Members, members_up_to
from projections.positions import Positions, ViewTracking
from projections.projection import (
    DEADLINE_COLUMNS,
    DEADLINE_TYPES,
    Journey,
    JourneyFold,
    Meaning,
    Row,
    encode_journey,
)
from projections.reading import read_streams, stream_range
from projections.runner import Runner, fold_whole, note_meaning
from projections.writing import copy_rows, copy_statement, use_fast_json

log = structlog.get_logger()

TABLES = (
    "journeys", "journey_members", "deadlines", "feeds",
    *(view.table for view in ALL_VIEWS),
)  # fmt: skip
"""What a rebuild makes anew. Positions are moved, not swapped: live runners wait on their rows."""

_ALL_ONES = (1 << 128) - 1
_REBUILD_LOCK = 0x7265627569
# A table; all of them together stay below the second after which the server looks for deadlocks.
_LOCK_PATIENCE = "SET LOCAL lock_timeout = '100ms'"
_LOCK_PAUSE_SECONDS = 0.1
Progress = Callable[[int, int], None]
"""Called with (touchpoints done, touchpoints in all)."""


class RebuildRunning(JourneyError):
    """Another rebuild of this tenant is running; wait for it or stop it."""


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild did. `differences`: table → rows that the live table had otherwise."""

    touchpoints: int
    journeys: int
    seconds: float
    position: int
    differences: dict[str, int]


def rebuild(
    database: Database,
    meaning: Meaning,
    now: datetime,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
    dry_run: bool = False,
) -> Rebuilt:
    """Rebuild every projection with `jobs` processes and swap it in, unless `dry_run`.

    `now` decides which deadlines have passed. Raises RebuildRunning, DatabaseUnavailable.
    """
    started = time.perf_counter()
    beside = database.beside(f"{database.schema}_rebuild")
    with _only_one(database), contextlib.closing(beside):
        position, total = _make_tables(database, beside)
        report = progress or _no_progress
        report(0, total)
        parts = _fold_all(beside, meaning, position, total, jobs, report)
        _make_indexes(database, beside)
        _sum_up(beside, position, [sums for _, sums in parts])
        runner = Runner(beside, meaning, knows_meaning=True)
        _catch_up_with_live(database, runner)
        _analyze(beside)
        differences, position = _swap(database, beside, runner, now, dry_run)
    journeys = sum(count for count, _ in parts)
    return Rebuilt(total, journeys, time.perf_counter() - started, position, differences)


def _no_progress(done: int, total: int) -> None:
    pass


@contextlib.contextmanager
def _only_one(database: Database) -> Iterator[None]:
    with database.connect(autocommit=True) as connection:
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))", [_REBUILD_LOCK % 2**31]
        ).fetchone()
        if row is None or not row[0]:
            raise RebuildRunning("another rebuild is running; wait for it to end or stop it")
        try:
            yield
        finally:
            # Not left to the end of the connection: the server notices that a little later.
            if not connection.closed:
                connection.execute("SELECT pg_advisory_unlock_all()")


def _make_tables(database: Database, beside: Database) -> tuple[int, int]:
    """Fresh tables in a schema of their own; returns the log's position and its length.

    Indexes come when the rows are in: to sort them once costs a third of finding each its place.
    """
    with database.connect() as connection:
        schema = sql.Identifier(beside.schema)
        # Left over from a rebuild that was killed.
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        for table in (*TABLES, "projection_tracking"):
            connection.execute(
                sql.SQL("CREATE TABLE {}.{} (LIKE {} INCLUDING ALL EXCLUDING INDEXES)").format(
                    schema, sql.Identifier(table), sql.Identifier(table)
                )
            )
        row = connection.execute("SELECT position FROM log_head").fetchone()
        assert row is not None
        return row[0], row[0]


_INDEXES = """
SELECT coalesce(
    (SELECT format('ALTER TABLE %%I ADD CONSTRAINT %%I %%s', relname, conname,
                   pg_get_constraintdef(c.oid))
     FROM pg_constraint c WHERE conindid = indexrelid AND contype IN ('p', 'u')),
    pg_get_indexdef(indexrelid, 0, true))
FROM pg_index JOIN pg_class t ON t.oid = indrelid
WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(%s)
ORDER BY indexrelid
"""
"""What makes the indexes of some tables anew; a table that is found by its name goes by it."""


def _make_indexes(database: Database, beside: Database) -> None:
    """Keys and indexes of the live tables, by the same names, for the fresh ones."""
    with database.connect() as connection:
        wanted = connection.execute(_INDEXES, [[*TABLES, "projection_tracking"]]).fetchall()
    with beside.connect() as connection:
        for (statement,) in wanted:
            connection.execute(statement.encode())


def _sum_up(beside: Database, position: int, parts: list[feeds.FeedState]) -> None:
    """What is not written journey by journey: feeds, who is one journey, how far it was read."""
    sums: feeds.FeedState = {}
    for part in parts:
        feeds.merge(sums, part)
    with beside.transaction() as connection:
        if sums:
            add_feeds(connection, sums)
        members = members_up_to(connection, position)
        pairs = [(c, root) for root, group in members.groups().items() for c in group]
        copy_rows(connection, "journey_members", *_MEMBERS, pairs)
        connection.execute("INSERT INTO projection_tracking VALUES ('__migration__', 1)")
        ViewTracking(beside).lay_out(connection, 1, position, position)


_MEMBERS = (("candidate_id", "journey_id"), ("uuid", "uuid"))


def _catch_up_with_live(database: Database, runner: Runner) -> None:
    """Fold what arrived meanwhile, as far as the live tables are; little is left for the swap."""
    with database.transaction() as connection:
        live = ViewTracking(database).positions(connection)
    while runner.step(live.least).touchpoints:
        pass


def _analyze(beside: Database) -> None:
    """Give the planner a first idea of the fresh tables; autovacuum refines it later."""
    with beside.connect() as connection:
        connection.execute("SET default_statistics_target = 10")
        for table in TABLES:
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))


# --- folding everything ---------------------------------------------------------------------


def _fold_all(
    beside: Database, meaning: Meaning, position: int, total: int, jobs: int, report: Progress
) -> list[tuple[int, feeds.FeedState]]:
    """Fold every journey; of each part, how many journeys and the feeds' sums."""
    if jobs <= 1:
        done = 0

        def count(more: int) -> None:
            nonlocal done
            done += more
            report(done, total)

        return [fold_range(beside, meaning, position, 0, 1, count)]
    return _fold_in_processes(beside, meaning, position, total, jobs, report)


def _fold_in_processes(
    beside: Database, meaning: Meaning, position: int, total: int, jobs: int, report: Progress
) -> list[tuple[int, feeds.FeedState]]:
    context = get_context("spawn")
    steps: Queue[int] = context.Queue()
    done = 0
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_begin_worker, initargs=(steps,)
    ) as pool:
        futures = [
            pool.submit(_fold_range_elsewhere, beside, meaning, position, index, jobs)
            for index in range(jobs)
        ]
        while not all(future.done() for future in futures):
            with contextlib.suppress(queue.Empty):
                done += steps.get(timeout=0.2)
                report(done, total)
        parts = [future.result() for future in futures]
        report(total, total)
        return parts


_steps: Any = None


def _begin_worker(steps: Any) -> None:
    """Remember where to count to, and end with the parent, which may be killed at any moment.

    A worker that lived on would hold its open COPYs, and the next rebuild would wait for it.
    """
    global _steps
    _steps = steps
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _fold_range_elsewhere(
    beside: Database, meaning: Meaning, position: int, index: int, of: int
) -> tuple[int, feeds.FeedState]:
    return fold_range(beside, meaning, position, index, of, _steps.put)


def fold_range(
    beside: Database,
    meaning: Meaning,
    position: int,
    index: int,
    of: int,
    count: Callable[[int], None],
) -> tuple[int, feeds.FeedState]:
    """Fold part `index` of `of` equal ranges of candidate ids into the fresh tables.

    Returns journeys folded and the feeds' sums. Merged journeys are folded by the part that their
    root falls into. `count` is told how many touchpoints were folded since it was last told.
    """
    low, high = _range(index, of)
    fold = JourneyFold(meaning)
    with collector_paused():
        return _fold_streams(beside, fold, meaning, position, low, high, count)


def _fold_streams(
    beside: Database,
    fold: JourneyFold,
    meaning: Meaning,
    position: int,
    low: UUID,
    high: UUID,
    count: Callable[[int], None],
) -> tuple[int, feeds.FeedState]:
    sums: feeds.FeedState = {}
    journeys = waiting = 0
    with beside.connect() as reader, _Writers(beside) as writers:
        members = members_up_to(reader, position)
        merged = {c for group in members.groups().values() for c in group}
        for candidate_id, facts in stream_range(reader, low, high, position):
            feeds.apply(sums, facts)
            waiting += len(facts)
            if candidate_id in merged:
                continue
            journeys += 1
            writers.write(candidate_id, fold_whole(fold, facts, candidate_id), meaning)
            if waiting >= 5_000:
                count(waiting)
                waiting = 0
        for journey_id, facts in _merged_journeys(reader, members, low, high, position):
            journeys += 1
            writers.write(journey_id, fold_whole(fold, facts, journey_id), meaning)
    count(waiting)
    return journeys, sums


def _range(index: int, of: int) -> tuple[UUID, UUID]:
    step = (_ALL_ONES + 1) // of
    low = index * step
    high = _ALL_ONES if index == of - 1 else low + step - 1
    return UUID(int=low), UUID(int=high)


def _merged_journeys(
    connection: Connection, members: Members, low: UUID, high: UUID, position: int
) -> Iterator[tuple[UUID, list[Fact]]]:
    groups = [(root, group) for root, group in members.groups().items() if low <= root <= high]
    for start in range(0, len(groups), 500):
        batch = groups[start : start + 500]
        streams = read_streams(connection, [c for _, group in batch for c in group], position)
        for root, group in batch:
            yield root, [fact for candidate in group for fact in streams.get(candidate, [])]


class _Writers:
    """One connection and one open COPY a table, so that rows stream out as journeys are folded."""

    def __init__(self, beside: Database) -> None:
        self._beside = beside
        self._stack = contextlib.ExitStack()
        self._put: dict[str, Callable[[Row], None]] = {}

    def __enter__(self) -> _Writers:
        self._open("journeys", ("candidate_id", "state"), ("uuid", "bytea"))
        self._open("deadlines", DEADLINE_COLUMNS, DEADLINE_TYPES)
        for view in ALL_VIEWS:
            self._open(view.table, view.columns, view.types)
        return self

    def _open(self, table: str, columns: Sequence[str], types: Sequence[str]) -> None:
        connection = self._stack.enter_context(self._beside.connect())
        use_fast_json(connection)
        copy = self._stack.enter_context(connection.cursor().copy(copy_statement(table, columns)))
        copy.set_types(types)
        self._put[table] = copy.write_row

    def write(self, journey_id: UUID, journey: Journey, meaning: Meaning) -> None:
        """Every row of one journey."""
        put_deadline = self._put["deadlines"]
        for view in ALL_VIEWS:
            put = self._put[view.table]
            changes = view.changes(journey_id, [], journey, meaning)
            for row in changes.rows:
                put(row)
            for row in changes.deadlines:
                put_deadline(row)
        self._put["journeys"]((journey_id, encode_journey(journey)))

    def __exit__(self, *exception: Any) -> None:
        self._stack.__exit__(*exception)


# --- compare and swap -----------------------------------------------------------------------


def _swap(
    database: Database, beside: Database, runner: Runner, now: datetime, dry_run: bool
) -> tuple[dict[str, int], int]:
    """Take the live runner's place for a moment: catch up, compare, put the new tables in."""
    new, live = sql.Identifier(beside.schema), sql.Identifier(database.schema)
    with beside.connect() as connection:
        # Live runners wait here, so nothing moves between the comparison and the swap.
        tracking = ViewTracking(database)
        at = tracking.alone(connection)
        # Like is compared with like: the log may be further on than the live tables are.
        _step_to(connection, runner, at)
        differences = {
            view.table: _differences(connection, new, live, view.table, view.columns)
            for view in ALL_VIEWS
        }
        while (stepped := runner.step_in(connection)).moved:
            pass
        if not dry_run:
            _lock_alone(connection, live)
            connection.execute(
                sql.SQL(
                    "DELETE FROM {new}.deadlines n WHERE due_at <= %s AND NOT EXISTS ("
                    "SELECT FROM {live}.deadlines l WHERE l.candidate_id = n.candidate_id "
                    "AND l.alert_key = n.alert_key AND l.level = n.level)"
                ).format(new=new, live=live),
                [now],
            )
            connection.execute(
                sql.SQL(
                    "INSERT INTO {live}.alert_checks SELECT DISTINCT candidate_id "
                    "FROM {live}.alerts WHERE state <> 'resolved' ON CONFLICT DO NOTHING"
                ).format(live=live)
            )
            for table in TABLES:
                name = sql.Identifier(table)
                connection.execute(sql.SQL("DROP TABLE {}.{}").format(live, name))
                connection.execute(
                    sql.SQL("ALTER TABLE {}.{} SET SCHEMA {}").format(new, name, live)
                )
            # The fresh schema has no such table, so this is the live one.
            note_meaning(connection, runner.meaning)
            tracking.lay_out(connection, max(1, len(at.lanes)), stepped.position, stepped.position)
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(new))
        connection.execute("NOTIFY deadlines")
        connection.commit()
    return differences, stepped.position


def _step_to(connection: Connection, runner: Runner, at: Positions) -> None:
    """Fold up to where the live lanes are, each in its own place."""
    while runner.step_in(connection, at.least).moved:
        pass
    if len(at.lanes) <= 1:
        return
    runner.lanes = len(at.lanes)
    runner.settle_in(connection)
    runner.make_way_in(connection, at.members)
    for lane, position in enumerate(at.lanes):
        only = partial(_only, lane)
        while runner.step_in(connection, position, only).moved:
            pass


def _only(lane: int, of: int) -> list[int]:
    return [lane]


def _lock_alone(connection: Connection, live: sql.Identifier) -> None:
    """Have every live table alone until the end of the transaction.

    Readers take several tables, each query in its own order, so waiting for one table while
    holding another would be a deadlock with some of them, and the server might end theirs. So it
    is we who give way, well before the server would look for deadlocks, and try again.
    """
    lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(
        sql.SQL(", ").join(sql.SQL("{}.{}").format(live, sql.Identifier(t)) for t in TABLES)
    )
    said = False
    while True:
        try:
            with connection.transaction():
                connection.execute(_LOCK_PATIENCE)
                connection.execute(lock)
                connection.execute("SET LOCAL lock_timeout TO DEFAULT")
                return
        except psycopg.errors.LockNotAvailable:
            if not said:
                log.info("the rebuild waits for readers to finish")
            said = True
            time.sleep(_LOCK_PAUSE_SECONDS)


def _differences(
    connection: Connection,
    new: sql.Identifier,
    live: sql.Identifier,
    table: str,
    columns: Sequence[str],
) -> int:
    """Rows that stand in one of the two tables and not in the other, changed ones once."""
    names: dict[str, sql.Composable] = {
        "c": sql.SQL(", ").join(map(sql.Identifier, columns)),
        "new": new,
        "live": live,
        "t": sql.Identifier(table),
    }
    # One pass over each is enough to see that nothing differs, which is what one expects.
    digest = "SELECT count(*), sum(hash_record_extended(ROW({c}), 0)::numeric) FROM {%s}.{t}"
    sums = [
        connection.execute(sql.SQL(digest % side).format(**names)).fetchone()
        for side in ("new", "live")
    ]
    if sums[0] == sums[1]:
        return 0
    row = connection.execute(
        sql.SQL(
            "SELECT greatest((SELECT count(*) FROM (SELECT {c} FROM {new}.{t} EXCEPT ALL "
            "SELECT {c} FROM {live}.{t}) a), (SELECT count(*) FROM (SELECT {c} FROM {live}.{t} "
            "EXCEPT ALL SELECT {c} FROM {new}.{t}) b))"
        ).format(**names)
    ).fetchone()
    return int(row[0]) if row else 0
