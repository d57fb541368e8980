"""Boring defaults, so that a test shows only what matters."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from journey.clock import Clock
from journey.database import Database
from journey.journey_log import JourneyLog
from journey.vault import Vault
from projections.contradictions.fold import compile_rules
from projections.contradictions.rule import load_rules
from projections.fact import Fact
from projections.projection import Meaning
from projections.silence.policy import load_policies
from schemas.event import Moment, Precision
from schemas.identifiers import PersonKey
from schemas.personal import Personal
from schemas.registry import touchpoint_class
from schemas.statement import Statement
from tests.support.fakes import FrozenClock

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""A Monday morning."""

_numbers = count(1)


def hours(number: float) -> datetime:
    """So many hours after T0."""
    return T0 + timedelta(hours=number)


def days(number: float) -> datetime:
    """So many days after T0."""
    return T0 + timedelta(days=number)


def statement(
    kind: str,
    at: datetime = T0,
    *,
    person: str = "1",
    application: str | None = "1",
    event: str | None = None,
    precision: Precision = "instant",
    source: str = "greenhouse",
    keys: tuple[PersonKey, ...] = (),
    same_as: tuple[PersonKey, ...] = (),
    personal: Personal | None = None,
    **fields: Any,
) -> Statement:
    """What a source says: `statement("interview_held", days(3), person="7")`."""
    touchpoint = touchpoint_class(kind).told(
        source=source,
        source_event_id=event or f"event/{next(_numbers)}",
        moment=Moment.of(at, precision=precision),
        application_id=None if application is None else f"{source}:{application}",
        **fields,
    )
    named = keys or (PersonKey(f"{source}:candidate", person),)
    return Statement(touchpoint, named, personal, same_as)


def fact(kind: str, at: datetime = T0, *, application: str | None = "a1", **fields: Any) -> Fact:
    """A fact as folds read it; positions grow with each call."""
    number = next(_numbers)
    return Fact(
        kind=kind,
        touchpoint_id=fields.pop("touchpoint_id", f"t{number}"),
        occurred_at=at,
        source=fields.pop("source", "greenhouse"),
        position=fields.pop("position", number),
        application_id=application,
        **fields,
    )


def a_log(
    database: Database, clock: Clock | None = None, master: bytes | None = None
) -> JourneyLog:
    """A journey log on a fresh tenant, with a master key of its own."""
    return JourneyLog(database, Vault(master or os.urandom(32)), clock or FrozenClock(T0))


def the_meaning() -> Meaning:
    """The policies and rules that come with the program."""
    policies = load_policies()
    return Meaning(policies, compile_rules(load_rules(), policies.calendars))
