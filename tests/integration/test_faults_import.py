"""`journey import` killed at random moments and started again: the log of one clean run."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from consumers.imports.registry import IMPORT_LOCK
from journey.database import Database, open_database
from tests.integration.test_import_again import told_by
from tests.support.imports import FIELDS
from tests.support.processes import Process, processes, until
from tests.support.truth import (
    FULL,
    a_chance,
    assert_no_gaps,
    assert_views_are_what_a_rebuild_makes,
    rows,
)

KILLS = 20 if FULL else 6
ROWS = 200_000 if FULL else 40_000
LONGEST_SECONDS = 2.0 if FULL else 0.4
"""A run is let live so long at most, counted from the moment it begins."""

pytestmark = pytest.mark.fault


def a_log_of(chance: random.Random, path: Path, size: int = ROWS) -> Path:
    """Rows in the order of time: cases mixed, some rows equal, every five hundredth broken."""
    activities = list(FIELDS["activities"])
    with path.open("w", encoding="utf-8") as file:
        file.write("case,activity,time\n")
        for number in range(size):
            day, second = divmod(number * 40, 86_400)
            when = f"2026-{day // 28 + 1:02}-{day % 28 + 1:02}"
            clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"
            told = "never" if number % 500 == 499 else f"{when}T{clock}"
            case = f"c{chance.randrange(size // 12)}"
            line = f"{case},{chance.choice(activities)},{told}\n"
            file.write(line * (2 if number % 90 == 0 else 1))
    return path


def in_order(database: Database) -> list[tuple[object, ...]]:
    """The whole log, with positions, versions and whose it is, but not when it was recorded."""
    return rows(
        database,
        "SELECT notification_id, originator_id, originator_version, topic, "
        "convert_from(state, 'UTF8')::jsonb - 'recorded_at' FROM journey_events "
        "ORDER BY notification_id",
    )


def test_killed_again_and_again_it_makes_the_log_of_one_clean_run(
    database: Database, tmp_path: Path
) -> None:
    """The same touchpoints at the same positions, the same rows kept aside, nothing doubled."""
    chance, _ = a_chance()
    path = a_log_of(chance, tmp_path / "log.csv")
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(FIELDS))
    arguments = ("import", str(path), "--map", str(tmp_path / "map.yaml"), "--json")
    kills = 0
    with processes(database) as started:
        for _ in range(KILLS):
            process = started.start(*arguments)
            begins(database, process)
            # A random moment of its work: what this is about, and not a wait for anything.
            time.sleep(chance.uniform(0, LONGEST_SECONDS))
            kills += process.end(signal.SIGKILL) == -signal.SIGKILL
        final = started.start(*arguments)
        assert final.wait() == 1, final.tail  # 1: some rows are broken
        kept = path.with_name("log.csv.broken.csv").read_text()
    print(f"{kills} of {KILLS} kills met a running import")
    assert kills > KILLS // 2
    with clean(database) as other, processes(other) as started:
        path.with_name("log.csv.broken.csv").unlink()
        once = started.start(*arguments)
        assert once.wait() == 1, once.tail
        assert in_order(database) == in_order(other)
        assert kept == path.with_name("log.csv.broken.csv").read_text()
    assert len(kept.splitlines()) == 1 + ROWS // 500
    assert_no_gaps(database)
    assert_views_are_what_a_rebuild_makes(database)


def test_killed_while_it_corrects_what_an_earlier_map_told(
    database: Database, tmp_path: Path
) -> None:
    """The log tells what it would tell had it never seen that map."""
    chance, _ = a_chance()
    path = a_log_of(chance, tmp_path / "log.csv", ROWS // 4)
    earlier, mended = tmp_path / "earlier.yaml", tmp_path / "mended.yaml"
    earlier.write_text(yaml.safe_dump(FIELDS))
    activities = FIELDS["activities"] | {"interview": "call_made", "offer": "ignore"}
    mended.write_text(yaml.safe_dump(FIELDS | {"activities": activities, "channel": "email"}))
    again = ("import", str(path), "--map", str(mended), "--correct", "--json")
    kills = 0
    with processes(database) as started:
        first = started.start("import", str(path), "--map", str(earlier), "--json")
        assert first.wait() == 1, first.tail
        for _ in range(KILLS // 2):
            process = started.start(*again)
            begins(database, process)
            # A random moment of its work, longer since it reads the file three times.
            time.sleep(chance.uniform(0, 3 * LONGEST_SECONDS))
            kills += process.end(signal.SIGKILL) == -signal.SIGKILL
        final = started.start(*again)
        assert final.wait() == 1, final.tail
    print(f"{kills} of {KILLS // 2} kills met a running import")
    assert kills > KILLS // 4
    with clean(database) as other, processes(other) as started:
        once = started.start(*again)
        assert once.wait() == 1, once.tail
        assert told_by(database) == told_by(other)
    assert_no_gaps(database)
    assert_views_are_what_a_rebuild_makes(database)


def begins(database: Database, process: Process) -> None:
    """Wait until it holds the lock of its file, or has ended: the moments before are not its."""
    until(
        lambda: (
            process.ended
            or rows(database, "SELECT 1 FROM pg_locks WHERE classid = %s", IMPORT_LOCK)
        ),
        "the import begins",
    )


@contextmanager
def clean(database: Database) -> Iterator[Database]:
    """Another tenant of the same server."""
    other = open_database(Path("unused"), database.url, f"{database.schema}_clean")
    try:
        yield other
    finally:
        other.close()
        with other.connect(autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA {other.schema} CASCADE".encode())
