"""A whole installation on a test's tenant, told stories through its real receiver."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from consumers.alert_channels.console import ConsoleChannel
from consumers.bootstrap import Installation
from consumers.demo.runner import StoryClock, arrive, let_time_pass, server, write_connections
from consumers.demo.story import Teller, Told
from consumers.settings import Settings
from journey.database import Database

Run = Callable[..., tuple[int, str, str]]
"""Takes the words of a `journey` command; exit code, what it printed and what it complained of."""

MASTER_KEY = base64.b64encode(bytes(range(32))).decode()


@dataclass
class World:
    """An installation, its clock, a client of its receiver, and what it said to people."""

    engine: Installation
    clock: StoryClock
    client: httpx.Client
    said: io.StringIO

    def hears(self, told: Teller, *, until: datetime, backwards: bool = False) -> None:
        """What is told arrives in order of arrival (or the other way round), then time passes."""
        deliveries = sorted(told.told, key=lambda each: (each.arrives_at, each.event_id))
        if backwards:
            arrivals = [each.arrives_at for each in deliveries]
            deliveries = [
                replace(each, arrives_at=at)
                for each, at in zip(reversed(deliveries), arrivals, strict=True)
            ]
        for each in deliveries:
            self.receives(each)
        let_time_pass(self.engine, self.clock, until)

    def receives(self, told: Told) -> None:
        """One delivery arrives, and every process does its work."""
        arrive(self.engine, self.clock, self.client, told)

    @property
    def messages(self) -> list[str]:
        """What was sent to people so far, a line each."""
        return self.said.getvalue().splitlines()


@contextlib.contextmanager
def a_world(database: Database, home: Path, begins_at: datetime) -> Iterator[World]:
    """An installation on this tenant with the demo's connections, and its server running."""
    write_connections(home)
    said = io.StringIO()
    clock = StoryClock(begins_at - timedelta(days=1))
    engine = Installation(
        settings_for(database, home),
        clock=clock,
        environment={},
        channels=[ConsoleChannel(said)],
    )
    try:
        with server(engine) as client:
            yield World(engine, clock, client, said)
    finally:
        engine.close()


def settings_for(database: Database, home: Path) -> Settings:
    """Settings of an installation on a test's tenant."""
    return Settings(
        home=home,
        database_url=database.url,
        tenant=database.schema,
        master_key=MASTER_KEY,
        connections=home / "connections.yaml",
        port=0,
    )


def environment_for(database: Database, home: Path) -> dict[str, str]:
    """The same as environment variables, for the command line."""
    return {
        "JOURNEY_HOME": str(home),
        "JOURNEY_DATABASE_URL": database.url,
        "JOURNEY_TENANT": database.schema,
        "JOURNEY_MASTER_KEY": MASTER_KEY,
    }
