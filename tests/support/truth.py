"""What must hold after any fault: each touchpoint once, no gaps, views as a rebuild makes them."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from bench.deliveries import CONNECTION_NAME, SECRET
from consumers import inbox
from consumers.ats_adapters.adapter import Delivery
from consumers.ats_adapters.greenhouse import Greenhouse
from consumers.connections import Connection
from journey.clock import SystemClock
from journey.database import Database
from projections.rebuild import TABLES, rebuild
from tests.support.builders import the_meaning
from tests.support.processes import PATIENCE_SECONDS, Processes, until

CONNECTION = Connection(name=CONNECTION_NAME, source="greenhouse", secrets=(SECRET,))
LONG_AGO = datetime(1990, 1, 1, tzinfo=UTC)
FULL = os.environ.get("JOURNEY_FULL") == "1"


def a_chance() -> tuple[random.Random, int]:
    """A random generator and its seed, which is printed; JOURNEY_TEST_SEED repeats a run.

    Under CI=true each test has a seed of its own, as hypothesis has there: what is checked is a
    change, not luck. Every other run looks further.
    """
    seed = int(os.environ.get("JOURNEY_TEST_SEED", "0")) or _seed()
    print(f"seed {seed}: JOURNEY_TEST_SEED={seed} repeats it")
    return random.Random(seed), seed


def _seed() -> int:
    if os.environ.get("CI") == "true":
        return 1 + crc32(os.environ["PYTEST_CURRENT_TEST"].encode())
    return random.randrange(1, 1 << 31)


def expected(told: Iterable[Delivery]) -> set[str]:
    """The ids of all touchpoints that these deliveries tell."""
    adapter = Greenhouse()
    return {
        str(statement.touchpoint.touchpoint_id)
        for one in told
        for statement in adapter.translate(one, CONNECTION).statements
    }


def in_the_log(database: Database) -> Counter[str]:
    """How often each touchpoint id is recorded."""
    return Counter(
        str(row[0]) for row in rows(database, "SELECT touchpoint_id FROM journey_events")
    )


def rows(database: Database, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of a query, on a connection of its own: the server may have been away."""
    with database.connect(autocommit=True) as connection:
        return connection.execute(query, parameters).fetchall()  # type: ignore[arg-type]


def one(database: Database, query: str, *parameters: Any) -> Any:
    """The only value of a query."""
    return rows(database, query, *parameters)[0][0]


def caught_up(database: Database, by: Processes, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until nothing is pending and the views have read the whole log."""
    until(
        lambda: (
            by.live()
            and one(
                database,
                "SELECT NOT EXISTS (SELECT FROM deliveries WHERE status = 'pending') AND "
                "(SELECT position FROM log_head) = coalesce((SELECT min(notification_id) FROM "
                "projection_tracking WHERE application_name LIKE 'projections%%'), 0)",
            )
        ),
        "everything is ingested and projected",
        seconds,
    )


def assert_each_once(
    database: Database, accepted: Iterable[Delivery], sent: Iterable[Delivery]
) -> None:
    """What was accepted is in the log exactly once, and nothing that was never sent.

    A delivery may have been stored without its sender hearing so: of what was sent and not
    accepted, any part may be there, once.
    """
    logged = in_the_log(database)
    assert [i for i, times in logged.items() if times > 1] == []
    assert expected(accepted) - logged.keys() == set()
    assert logged.keys() - expected(sent) - _concluded(database) == set()
    counts = {status for status, n in _counts(database).items() if n}
    assert counts <= {"recorded", "context"}


def _concluded(database: Database) -> set[str]:
    """Touchpoints that nobody told: two candidates found to be one, when their facts overtook."""
    topic = "touchpoint.candidates_merged.%"
    found = rows(database, "SELECT touchpoint_id FROM journey_events WHERE topic LIKE %s", topic)
    return {str(row[0]) for row in found}


def assert_no_gaps(database: Database) -> None:
    """Positions of the log and versions of each stream run from 1 without a gap."""
    gaps = rows(
        database,
        "SELECT count(*) - coalesce(max(notification_id), 0), "
        "coalesce(max(notification_id), 0) - (SELECT position FROM log_head), "
        "(SELECT count(*) FROM (SELECT count(*) - max(originator_version) AS gap "
        " FROM journey_events GROUP BY originator_id) s WHERE gap <> 0) FROM journey_events",
    )
    assert gaps == [(0, 0, 0)]


def assert_views_are_what_a_rebuild_makes(database: Database) -> None:
    """Every row of every projection table, deadlines, states and feeds included."""
    live = views(database)
    rebuilt = rebuild(database, the_meaning(), SystemClock().now())
    assert rebuilt.differences == dict.fromkeys(rebuilt.differences, 0)
    assert views(database) == live
    assert live["applications"]


def alerted(database: Database, by: Processes, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until the sweeper has nothing due, nothing to check, and every message is sent."""
    until(
        lambda: (
            by.live()
            and one(
                database,
                "SELECT NOT EXISTS (SELECT FROM deadlines WHERE due_at <= now()) "
                "AND NOT EXISTS (SELECT FROM alert_checks) "
                "AND NOT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)",
            )
        ),
        "every alert is raised and sent",
        seconds,
    )


def assert_every_deadline_was_told(database: Database) -> None:
    """What was due is an alert, and each alert was told once. Its deadlines are made anew."""
    rebuild(database, the_meaning(), LONG_AGO)
    assert one(database, "SELECT count(*) FROM deadlines WHERE due_at <= now()") > 0
    assert (
        rows(
            database,
            "SELECT alert_key FROM deadlines d WHERE due_at <= now() - interval '1 hour' AND NOT "
            "EXISTS (SELECT FROM alerts a WHERE (a.candidate_id, a.alert_key) = "
            "(d.candidate_id, d.alert_key))",
        )
        == []
    )
    assert (
        rows(
            database,
            "SELECT alert_id FROM alerts LEFT JOIN outbox o USING (alert_id) "
            "GROUP BY alert_id HAVING count(*) FILTER (WHERE o.transition = 'raised') <> 1",
        )
        == []
    )


def views(database: Database, tables: Iterable[str] = TABLES) -> dict[str, list[str]]:
    """Every row of these tables, in a settled order."""
    return {
        table: sorted(row[0] for row in rows(database, f"SELECT t::text FROM {table} t"))
        for table in tables
    }


def _counts(database: Database) -> dict[str, int]:
    with database.connect(autocommit=True) as connection:
        return inbox.counts(connection)
