"""An adapter whose deliveries list what they say, so that a test can spoil and mend it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from consumers import inbox
from consumers.ats_adapters.adapter import Delivery, Probe, Translation
from consumers.connections import Connection
from consumers.errors import Untranslatable
from journey.database import Database
from schemas.event import Moment
from schemas.identifiers import PersonKey
from schemas.personal import Personal
from schemas.registry import touchpoint_class
from schemas.statement import Statement
from tests.support.builders import T0

TELLER = Connection(name="tells", source="teller", secrets=("s",))

Said = dict[str, Any]
Reading = Callable[[Said], list[Said]]
"""What an adapter makes of one thing that a delivery lists: the same, another, none, more."""


def as_listed(said: Said) -> list[Said]:
    """The mended adapter: what is listed is what is said."""
    return [said]


class Teller:
    """Reads a list of things said, each through `reading`, which is where bugs are."""

    name = "teller"
    success_code = 200
    content_types: frozenset[str] = frozenset()

    def __init__(self, reading: Reading = as_listed) -> None:
        self.reading = reading

    def verify(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
    ) -> None: ...

    def is_probe(self, headers: Mapping[str, str], body: Any | None, method: str) -> Probe | None:
        return None

    def translate(self, delivery: Delivery, connection: Connection) -> Translation:
        told = [one for said in orjson.loads(delivery.body) for one in self.reading(said)]
        statements = tuple(_statement(one, delivery) for one in told if "problem" not in one)
        problems = tuple(one["problem"] for one in told if "problem" in one)
        return Translation(statements, None if told else "about nobody", problems)


def _statement(said: Said, delivery: Delivery) -> Statement:
    if said.get("unreadable"):
        raise Untranslatable("it cannot be read")
    keys = [PersonKey("teller:candidate", said["person"])] if said["person"] else []
    keys += [PersonKey("email", each) for each in said.get("emails", ())]
    application = said.get("application")
    touchpoint = touchpoint_class(said["kind"]).told(
        source="teller",
        source_event_id=said["event"],
        moment=Moment.of(
            T0 + timedelta(hours=said["hours"]), precision=said.get("precision", "instant")
        ),
        delivery_id=delivery.delivery_id,
        application_id=None if application is None else f"teller:{application}",
        **said.get("fields", {}),
    )
    name = said.get("name")
    return Statement(touchpoint, tuple(keys), Personal(name=name) if name else None)


def says(event: str, kind: str, hours: float = 0, **more: Any) -> Said:
    """One thing said: by default of person and application 1."""
    return {"event": event, "kind": kind, "hours": hours, "person": "1", "application": "1"} | more


def arrives(database: Database, *said: Said, at: datetime = T0) -> str:
    """One delivery that lists these things, kept and pending; returns its id."""
    delivery = Delivery(
        inbox.new_delivery_id(at), TELLER.name, "teller", at, {}, orjson.dumps(said)
    )
    with database.transaction() as connection:
        inbox.keep(connection, [delivery])
    return delivery.delivery_id
