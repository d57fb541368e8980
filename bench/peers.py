"""What ours is measured against: the library's own way, and the least a reader must do."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL

from bench.harness import NOW
from journey.database import Database
from journey.journey_log import JourneyLog
from journey.vault import Vault
from schemas.registry import BY_TOPIC


class _Fixed:
    def now(self) -> Any:
        return NOW


class _Counter(PostgresTrackingRecorder):
    """One counter, written with its position in one transaction, as the library shows it."""

    def __init__(self, datastore: Any, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        self.sql_create_statements.append(
            SQL("CREATE TABLE IF NOT EXISTS bench_counter (name text PRIMARY KEY, n bigint)")
        )

    def count(self, name: str, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO bench_counter VALUES (%s, 1) "
                "ON CONFLICT (name) DO UPDATE SET n = bench_counter.n + 1",
                [name],
                prepare=True,
            )


class _Counting(Projection[_Counter]):
    name = "bench"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.count("touchpoints", tracking)


def count_with_library(database: Database, for_seconds: float) -> float:
    """Touchpoints a second that `ProjectionRunner` feeds into one counter view."""
    with database.connect(autocommit=True) as connection:
        for table in ("bench_counter", "journeylog_bench_tracking", "bench_tracking"):
            connection.execute(f"DROP TABLE IF EXISTS public.{table}".encode())
            connection.execute(f"DROP TABLE IF EXISTS {table}".encode())

    class Reading(JourneyLog):
        def __init__(self, env: Any = None) -> None:
            super().__init__(database, Vault(bytes(32)), _Fixed())

    told = conninfo_to_dict(database.url)
    environment = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(told.get("dbname", "postgres")),
        "POSTGRES_HOST": str(told.get("host", "")),
        "POSTGRES_PORT": str(told.get("port", "5432")),
        "POSTGRES_USER": str(told.get("user", "postgres")),
        "POSTGRES_PASSWORD": str(told.get("password", "unused")),
    }
    started = time.perf_counter()
    with ProjectionRunner(
        application_class=Reading,
        projection_class=_Counting,
        view_class=_Counter,
        env=environment,
    ) as runner:
        name = runner.app.name
        head = runner.app.position()
        position = 0
        while position < head and time.perf_counter() - started < for_seconds:
            time.sleep(0.05)
            position = runner.view.max_tracking_id(name) or 0
        taken = time.perf_counter() - started
        position = runner.view.max_tracking_id(name) or 0
    return position / taken


def decode_all(database: Database) -> int:
    """Read the log in stream order and validate each touchpoint with pydantic."""
    count = 0
    with database.connect() as connection, connection.cursor("scan", binary=True) as cursor:
        cursor.itersize = 5_000
        cursor.execute(
            "SELECT originator_id, originator_version, topic, state FROM journey_events "
            "ORDER BY originator_id, originator_version"
        )
        stream: UUID
        for stream, version, topic, state in cursor:  # noqa: B007
            BY_TOPIC[topic].model_validate_json(state)
            count += 1
    return count
