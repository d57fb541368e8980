"""Where alerts are kept: their events, their current state, and what is to be sent about them.

The events are the eventsourcing library's, in its table shape, read through its repository and
notification log. An append writes events, current rows and outbox in one transaction, for any
number of alerts in a handful of statements. Two writers that meet on one alert are told apart by
the library's own rule: (originator_id, originator_version) is there once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid5

import orjson
import psycopg
from eventsourcing.application import Application, ProjectorFunction, Repository
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    JSONTranscoder,
    Mapper,
    StoredEvent,
)
from eventsourcing.postgres import PostgresApplicationRecorder
from eventsourcing.utils import register_topic
from psycopg.types.json import Json

from journey.database import Connection, Database
from journey.storage import JourneyDatastore
from projections.alerts import lifecycle
from projections.alerts.lifecycle import STATES, Alert, State, UnknownAlert
from schemas.analyst_actions import ALL_ALERT_EVENTS
from schemas.errors import UnknownTopic
from schemas.findings import (
    AlertEscalated,
    AlertEvent,
    AlertRaised,
    AlertReopened,
    AlertResolved,
)

BY_TOPIC: dict[str, type[AlertEvent]] = {cls.TOPIC: cls for cls in ALL_ALERT_EVENTS}
"""Stored name → class."""

for _topic, _cls in BY_TOPIC.items():
    register_topic(_topic, _cls)

_COLUMNS = tuple(each.name for each in fields(Alert))
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM alerts"
_MESSAGE_NAMESPACE = UUID("5b2f7c52-0c0e-5f64-9a0b-54a3d2c9e0aa")
_TRANSITIONS: dict[type[AlertEvent], str] = {
    AlertRaised: "raised",
    AlertReopened: "raised",  # to whoever is told, it is there (again)
    AlertEscalated: "escalated",
    AlertResolved: "resolved",
}


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one alert: new events, in order, and the alert after them."""

    alert: Alert
    events: tuple[AlertEvent, ...]


def change(alert: Alert | None, events: Sequence[AlertEvent]) -> Change:
    """The change that these events make; at least one."""
    after = lifecycle.fold(alert, events)
    assert after is not None
    return Change(after, tuple(events))


class AlertMapper(Mapper[UUID]):
    """Alert event ↔ stored event: JSON by pydantic."""

    def __init__(self) -> None:
        super().__init__(JSONTranscoder())

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        """The stored form."""
        event = cast(AlertEvent, domain_event)
        return StoredEvent(event.alert_id, event.version, event.TOPIC, _state_of(event))

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        """The event. Raises UnknownTopic and pydantic.ValidationError."""
        return cast(DomainEventProtocol[UUID], _event_of(stored_event))


class AlertRecorder(PostgresApplicationRecorder):
    """The library's application recorder; events never get in without rows and messages."""

    def __init__(self, database: Database, channels: Sequence[str]) -> None:
        super().__init__(JourneyDatastore(database), events_table_name="alert_events")
        self.database = database
        self.channels = tuple(channels)

    def create_table(self) -> None:
        """Nothing: the numbered migrations make the table."""

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """The library's own way in. Raises IntegrityError where a version is taken."""
        streams: dict[UUID, list[AlertEvent]] = {}
        for stored in stored_events:
            streams.setdefault(cast(UUID, stored.originator_id), []).append(_event_of(stored))
        with self.database.transaction() as connection:
            known = alerts_by_id(connection, streams)
            changes = [change(known.get(stream), events) for stream, events in streams.items()]
            return self.append(connection, changes)

    def append(self, connection: Connection, changes: Sequence[Change]) -> list[int]:
        """Events, current rows and outbox of many alerts, in the caller's transaction.

        Returns the positions in the alert log. Raises IntegrityError when another writer was
        first on one of the alerts; the transaction is then to be rolled back and tried anew.
        """
        if not changes:
            return []
        # As the library does: writers take turns, so that positions commit in their order.
        connection.execute("LOCK TABLE alert_events IN EXCLUSIVE MODE")
        positions = _insert_events(connection, [e for each in changes for e in each.events])
        _upsert_alerts(connection, [each.alert for each in changes])
        _insert_messages(connection, changes, self.channels)
        connection.execute("NOTIFY alert_events")
        return positions


class AlertRepository(Repository[UUID]):
    """The library's repository, folding with our pure lifecycle."""

    def get(  # type: ignore[override]
        self,
        aggregate_id: UUID,
        *,
        version: int | None = None,
        projector_func: ProjectorFunction[Any, Any] = lifecycle.fold,
        fastforward_skipping: bool = False,
        deepcopy_from_cache: bool = True,
    ) -> Alert:
        """The alert, at a version or now. Raises the library's AggregateNotFoundError."""
        return cast(
            Alert,
            super().get(
                aggregate_id,
                version=version,
                projector_func=projector_func,
                fastforward_skipping=fastforward_skipping,
                deepcopy_from_cache=deepcopy_from_cache,
            ),
        )


class AlertLog(Application[UUID]):
    """The alerts of a tenant, as an application of the eventsourcing library.

    `channels` are the names of those that are told: one outbox row a transition and channel. A
    process that only reads and acknowledges must still name them, since resolving tells too.
    """

    name = "alerts"

    def __init__(self, database: Database, channels: Sequence[str] = ()) -> None:
        self.database = database
        self.channels = tuple(channels)
        super().__init__()

    def construct_recorder(self) -> ApplicationRecorder:
        """Our recorder on our tables."""
        return AlertRecorder(self.database, self.channels)

    def construct_mapper(self) -> Mapper[UUID]:
        """JSON by pydantic."""
        return AlertMapper()

    def construct_repository(self) -> Repository[UUID]:
        """Alerts from their events."""
        return AlertRepository(self.events)

    def append(self, connection: Connection, changes: Sequence[Change]) -> list[int]:
        """See `AlertRecorder.append`."""
        return cast(AlertRecorder, self.recorder).append(connection, changes)

    def acknowledge(self, alert_id: UUID, by: str, now: datetime) -> Alert:
        """Somebody takes care of it. Harmless when they already do.

        `by` is an opaque id. Raises UnknownAlert, AlreadyResolved, DatabaseUnavailable.
        """
        with self.database.transaction() as connection:
            alert = self._locked(connection, alert_id)
            event = lifecycle.acknowledge(alert, by, now)
            return alert if event is None else self._append_one(connection, alert, event)

    def resolve(self, alert_id: UUID, by: str, reason: str, now: datetime) -> Alert:
        """A person's word that it is settled: final, also across a rebuild.

        `reason` is one of `lifecycle.PEOPLE_REASONS`. Raises UnknownAlert, AlreadyResolved,
        UnknownReason, DatabaseUnavailable.
        """
        with self.database.transaction() as connection:
            alert = self._locked(connection, alert_id)
            event = lifecycle.resolve(alert, by, reason, now)
            return self._append_one(connection, alert, event)

    def get(self, alert_id: UUID) -> Alert:
        """The alert as it stands. Raises UnknownAlert, DatabaseUnavailable."""
        with self.database.transaction() as connection:
            found = alerts_by_id(connection, [alert_id], lock=False).get(alert_id)
        if found is None:
            raise UnknownAlert(f"no alert has the id {alert_id}")
        return found

    def find(self, reference: str) -> Alert:
        """An alert by id or by a prefix of it that is unique. Raises UnknownAlert."""
        digits = reference.replace("-", "").lower()
        if not digits or len(digits) > 32 or set(digits) - set("0123456789abcdef"):
            raise UnknownAlert(f"{reference!r} is no alert id; `journey alerts` lists them")
        bounds = [UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))]
        with self.database.transaction() as connection:
            rows = connection.execute(
                f"{_SELECT} WHERE alert_id BETWEEN %s AND %s LIMIT 2", bounds
            ).fetchall()
        if len(rows) != 1:
            problem = "several alerts have" if rows else "no alert has"
            raise UnknownAlert(f"{problem} an id that begins with {reference!r}")
        return _alert_of(rows[0])

    def list(
        self,
        states: Iterable[State] = ("open", "acknowledged"),
        *,
        candidate_id: UUID | None = None,
        limit: int = 1_000,
    ) -> list[Alert]:
        """Alerts in these states, the longest overdue first; of one candidate if named."""
        wanted = [state for state in STATES if state in set(states)]
        with self.database.transaction() as connection:
            rows = connection.execute(
                f"{_SELECT} WHERE state = ANY(%(states)s) "
                "AND (%(candidate)s::uuid IS NULL OR candidate_id = %(candidate)s) "
                "ORDER BY due_at, alert_id LIMIT %(limit)s",
                {"states": wanted, "candidate": candidate_id, "limit": limit},
            ).fetchall()
        return [_alert_of(row) for row in rows]

    def _locked(self, connection: Connection, alert_id: UUID) -> Alert:
        found = alerts_by_id(connection, [alert_id]).get(alert_id)
        if found is None:
            raise UnknownAlert(f"no alert has the id {alert_id}")
        return found

    def _append_one(self, connection: Connection, alert: Alert, event: AlertEvent) -> Alert:
        changed = change(alert, [event])
        self.append(connection, [changed])
        return changed.alert


def alerts_by_id(
    connection: Connection, alert_ids: Iterable[UUID], *, lock: bool = True
) -> dict[UUID, Alert]:
    """The alerts there are among these; locked (in the order of ids) until the transaction ends."""
    rows = connection.execute(
        f"{_SELECT} WHERE alert_id = ANY(%s) ORDER BY alert_id{' FOR UPDATE' if lock else ''}",
        [list(alert_ids)],
    )
    return {alert.alert_id: alert for alert in map(_alert_of, rows)}


def unresolved_of(connection: Connection, candidates: Sequence[UUID]) -> list[Alert]:
    """Every alert of these candidates that is not resolved, locked in the order of ids."""
    rows = connection.execute(
        f"{_SELECT} WHERE candidate_id = ANY(%s) AND state <> 'resolved' "
        "ORDER BY alert_id FOR UPDATE",
        [list(candidates)],
    )
    return [_alert_of(row) for row in rows]


# --- rows -----------------------------------------------------------------------------------


def _alert_of(row: Sequence[Any]) -> Alert:
    named = dict(zip(_COLUMNS, row, strict=True))
    named["evidence"] = tuple(named["evidence"])
    return Alert(**named)


def _state_of(event: AlertEvent) -> bytes:
    return event.__pydantic_serializer__.to_json(event, exclude_none=True)


def _event_of(stored: StoredEvent) -> AlertEvent:
    cls = BY_TOPIC.get(stored.topic)
    if cls is None:
        raise UnknownTopic(
            f"the alert log holds {stored.topic!r}, which this version of the program does not "
            "know; upgrade the program"
        )
    state = orjson.loads(stored.state)
    return cls.model_validate(
        {**state, "alert_id": stored.originator_id, "version": stored.originator_version}
    )


def _insert_events(connection: Connection, events: Sequence[AlertEvent]) -> list[int]:
    try:
        rows = connection.execute(
            "INSERT INTO alert_events (originator_id, originator_version, topic, state) "
            "SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::bytea[]) "
            "RETURNING notification_id",
            [
                [event.alert_id for event in events],
                [event.version for event in events],
                [event.TOPIC for event in events],
                [_state_of(event) for event in events],
            ],
        )
    except psycopg.errors.UniqueViolation as error:
        raise IntegrityError("another writer was first on one of these alerts") from error
    return [row[0] for row in rows]


def _upsert_alerts(connection: Connection, alerts: Sequence[Alert]) -> None:
    names = ", ".join(_COLUMNS)
    fresh = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "alert_id")
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO alerts ({names}) VALUES ({', '.join(['%s'] * len(_COLUMNS))}) "
            f"ON CONFLICT (alert_id) DO UPDATE SET {fresh}",
            [_row_of(alert) for alert in alerts],
        )


def _row_of(alert: Alert) -> list[Any]:
    row = [getattr(alert, name) for name in _COLUMNS]
    row[_COLUMNS.index("evidence")] = Json(list(alert.evidence), dumps=orjson.dumps)
    return row


# --- what is to be sent -----------------------------------------------------------------------


def message_id(alert_id: UUID, version: int, transition: str, level: str, channel: str) -> UUID:
    """The `webhook-id` of a message: the same on every attempt, and after any crash.

    `version` tells a first raising from one after a reopening.
    """
    return uuid5(_MESSAGE_NAMESPACE, f"{alert_id}:{version}:{transition}:{level}:{channel}")


def payload_of(alert: Alert, event: AlertEvent, transition: str) -> dict[str, Any]:
    """What is told about a transition: `{type, timestamp, data}`, opaque ids only."""
    return {
        "type": f"alert.{transition}",
        "timestamp": _text(event.at),
        "data": {
            "alert_id": str(alert.alert_id),
            "candidate_id": str(alert.candidate_id),
            "application_id": alert.application_id,
            "subject": alert.subject,
            "policy" if alert.subject == "silence" else "rule": alert.name,
            "level": alert.level,
            "since": _text(alert.since),
            "due_at": _text(alert.due_at),
            "until": _text(alert.until),
            "state": alert.state,
            "reason": alert.reason,
            "touchpoint_ids": alert.touchpoint_ids,
            "explanation": alert.explanation,
        },
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _told(changed: Change) -> tuple[AlertEvent, str] | None:
    """The event to tell of, and as what; None if there is nothing to tell.

    A sweep that comes late takes an alert through several levels at once. The log keeps each
    step; people get one message, with the level it has reached.
    """
    steps = [(event, _TRANSITIONS[type(event)]) for event in changed.events
             if type(event) in _TRANSITIONS]  # fmt: skip
    if not steps:
        return None
    event, transition = steps[-1]
    if transition == "escalated" and any(name == "raised" for _, name in steps):
        transition = "raised"
    return event, transition


def _insert_messages(
    connection: Connection, changes: Sequence[Change], channels: Sequence[str]
) -> None:
    rows: list[Mapping[str, Any]] = []
    for changed in changes:
        told = _told(changed)
        if told is None:
            continue
        event, transition = told
        alert = changed.alert
        payload = Json(payload_of(alert, event, transition), dumps=orjson.dumps)
        rows += [
            {
                "message_id": message_id(
                    alert.alert_id, event.version, transition, alert.level, channel
                ),
                "alert_id": alert.alert_id,
                "version": event.version,
                "transition": transition,
                "channel": channel,
                "payload": payload,
                "now": event.recorded_at,
            }
            for channel in channels
        ]
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO outbox (message_id, alert_id, version, transition, channel, payload, "
            "created_at, next_attempt_at) VALUES (%(message_id)s, %(alert_id)s, %(version)s, "
            "%(transition)s, %(channel)s, %(payload)s, %(now)s, %(now)s) ON CONFLICT DO NOTHING",
            rows,
        )
    connection.execute("NOTIFY outbox")


__all__ = [
    "Alert",
    "AlertLog",
    "AlertRecorder",
    "Change",
    "alerts_by_id",
    "change",
    "message_id",
    "payload_of",
    "unresolved_of",
]
