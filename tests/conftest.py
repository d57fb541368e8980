"""Shared fixtures: one embedded PostgreSQL for the run, a fresh tenant for each test."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from psycopg.conninfo import make_conninfo

from consumers.bootstrap import Installation
from consumers.cli import invoke
from consumers.kafka_stream import topics
from consumers.kafka_stream.cluster import Cluster
from journey.database import Database, migrate
from tests.support.builders import T0
from tests.support.fakes import FrozenClock
from tests.support.installations import Run, environment_for, settings_for
from tests.support.kafka_broker import Broker, NoBroker, broker, without
from tests.support.postgres import a_postgres, memory_folder
from tests.support.processes import PATIENCE_SECONDS

_tenants = count(1)
_GIVEN_SERVER = os.environ.get("JOURNEY_TEST_DATABASE_URL")

# An example is not wrong for being slow: other tests run beside, on a machine that is shared.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command that sets up the log in one test leaves the next one its own."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server for this run: JOURNEY_TEST_DATABASE_URL, or an embedded one per xdist worker."""
    if _GIVEN_SERVER:
        yield _GIVEN_SERVER
        return
    with a_postgres(memory_folder()) as server:
        yield server.url


@pytest.fixture
def tenant(postgres_url: str) -> Iterator[Database]:
    """A tenant of its own that nobody has opened yet; the first who does migrates it."""
    given = Database(postgres_url, f"t{os.getpid()}_{next(_tenants)}")
    yield given
    given.close()
    # The embedded server is thrown away whole.
    if _GIVEN_SERVER:
        with given.connect(autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {given.schema} CASCADE")  # type: ignore[arg-type]


@pytest.fixture
def database(tenant: Database) -> Database:
    """A tenant of its own, migrated and empty."""
    migrate(tenant)
    return tenant


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Iterator[Installation]:
    """An installation on this test's tenant, at T0, to be told something."""
    with Installation(settings_for(database, tmp_path), clock=FrozenClock(T0)) as engine:
        yield engine


@pytest.fixture
def journey(
    tenant: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Run:
    """Runs a command line in this test's tenant and folder: (exit code, stdout, stderr)."""
    for name in [name for name in os.environ if name.startswith("JOURNEY_")]:
        monkeypatch.delenv(name)
    for name, value in environment_for(tenant, tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capfdbinary.readouterr()
        code = invoke(arguments)
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return run


@pytest.fixture
def lonely(database: Database) -> Iterator[tuple[Database, Any]]:
    """A tenant in a database of its own, and a switch that takes that database away."""
    name = f"away_{database.schema}"
    with database.connect(autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        other = Database(make_conninfo(database.url, dbname=name), "journey")
        migrate(other)

        def switch(on: bool) -> None:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {str(on).lower()}")
            if not on:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    [name],
                )

        yield other, switch
        other.close()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    """A real broker for this run, started when the first test asks for it."""
    try:
        with broker() as running:
            yield running
    except NoBroker as why:
        without(str(why))


@pytest.fixture
def cluster(kafka: Broker) -> Iterator[Cluster]:
    """Topics of this test's own, three partitions each, deleted afterwards.

    For a process: `kafka_environment(cluster)` of tests.support.kafka_broker.
    """
    prefix = f"t{os.getpid()}-{next(_tenants)}"
    made = Cluster(tuple(kafka.bootstrap.split(",")), prefix=prefix, partitions=3)
    topics.init(made, patience_seconds=PATIENCE_SECONDS)
    yield made
    # A test may have left it stopped.
    kafka.start()
    with made.admin(patience_seconds=PATIENCE_SECONDS) as admin:
        admin.delete_topics([name for name in admin.list_topics() if name.startswith(f"{prefix}.")])
