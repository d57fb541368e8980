"""The inbox: raw deliveries kept before anything reads them, and what became of each.

A delivery is `pending` until it is handled: `recorded` (its touchpoints are in the log), `context`
(understood, concerns no candidate) or `dead` (with a reason; can be redriven). `probe` and
`refused` never leave the door: refused ones are capped in number and size, and never translated.

Every function works in the caller's transaction, so that what a delivery became is committed
together with its touchpoints.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, LiteralString
from uuid import UUID

import orjson

from consumers.ats_adapters.adapter import Delivery
from journey.database import Connection as DatabaseConnection
from schemas.identifiers import DeliveryId

Status = Literal["pending", "recorded", "context", "dead", "probe", "refused"]
STATUSES: tuple[Status, ...] = ("pending", "recorded", "context", "dead", "probe", "refused")

CHANNEL = "deliveries"
"""NOTIFY channel on which ingest is woken. Shared by the tenants of a database: a wake-up says
"look", not "there is something for you"."""

REFUSED_KEEP = 1000
REFUSED_BODY_BYTES = 64 * 1024
"""So much of a refused body is kept to look at."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delivery with the status it enters the inbox in."""

    delivery: Delivery
    status: Status = "pending"
    reason: str | None = None
    reference: str | None = None
    """Whom it is about, as far as its adapter can tell at once (`Adapter.reference`)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a delivery. `reason` is never personal."""

    delivery_id: DeliveryId
    status: Literal["recorded", "context", "dead"]
    reason: str | None = None
    touchpoints: int = 0


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """A kept delivery without its content."""

    delivery_id: DeliveryId
    connection: str
    source: str
    received_at: datetime
    status: Status
    reason: str | None
    attempts: int
    touchpoints: int
    handled_at: datetime | None
    body_bytes: int


@dataclass(frozen=True, slots=True)
class Filters:
    """Which deliveries; what is left out matches all. `since` is the time received, inclusive."""

    status: Status | None = None
    connection: str | None = None
    since: datetime | None = None
    ids: tuple[DeliveryId, ...] | None = None


def new_delivery_id(now: datetime) -> DeliveryId:
    """A UUID of version 7: begins with the time in ms, so that neighbours share index pages."""
    # From the system, not from a generator in memory: whoever seeds that, or forks it, would make
    # the same id twice, and keeping the same id twice is keeping once.
    raw = bytearray(int(now.timestamp() * 1000).to_bytes(6, "big") + os.urandom(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return DeliveryId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")


_KEEP: LiteralString = """
INSERT INTO deliveries
    (delivery_id, connection, source, received_at, headers, body, status, reason)
SELECT id::uuid, connection, source, received_at, headers::jsonb, body, status, nullif(reason, '')
FROM unnest(%b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::text[], %b::bytea[],
            %b::text[], %b::text[])
    AS arrived (id, connection, source, received_at, headers, body, status, reason)
ON CONFLICT (delivery_id) DO NOTHING
"""
# One statement, so that in autocommit mode keeping and waking cost one round trip.
_KEEP_AND_WAKE: LiteralString = f"WITH kept AS ({_KEEP}) SELECT pg_notify('{CHANNEL}', '')"

PRUNE_REFUSED: LiteralString = """
DELETE FROM deliveries WHERE status = 'refused' AND arrival <= (
    SELECT arrival FROM deliveries WHERE status = 'refused'
    ORDER BY arrival DESC OFFSET %s LIMIT 1)
"""


def keep(connection: DatabaseConnection, deliveries: Iterable[Delivery]) -> None:
    """Keep deliveries to be translated. Keeping one again changes nothing."""
    keep_arrivals(connection, [Arrival(delivery) for delivery in deliveries])


def keep_arrivals(
    connection: DatabaseConnection,
    arrivals: Sequence[Arrival],
    *,
    refused_keep: int = REFUSED_KEEP,
) -> None:
    """Keep arrivals of any status in one statement; ingest is woken if one is pending.

    Refused ones beyond the newest `refused_keep` are deleted.
    """
    if not arrivals:
        return
    query, values = keep_statement(arrivals)
    connection.execute(query, values, prepare=True)
    if any(arrival.status == "refused" for arrival in arrivals):
        connection.execute(PRUNE_REFUSED, [refused_keep])


def keep_statement(arrivals: Sequence[Arrival]) -> tuple[LiteralString, tuple[Any, ...]]:
    """The one statement that keeps arrivals, with its values: for sync and async connections."""
    deliveries = [arrival.delivery for arrival in arrivals]
    statuses = [arrival.status for arrival in arrivals]
    values = (
        [delivery.delivery_id for delivery in deliveries],
        [delivery.connection for delivery in deliveries],
        [delivery.source for delivery in deliveries],
        [delivery.received_at for delivery in deliveries],
        [headers_as_json(delivery.headers) for delivery in deliveries],
        [
            delivery.body if status != "refused" else delivery.body[:REFUSED_BODY_BYTES]
            for delivery, status in zip(deliveries, statuses, strict=True)
        ],
        statuses,
        [arrival.reason or "" for arrival in arrivals],
    )
    return (_KEEP_AND_WAKE if "pending" in statuses else _KEEP), values


def headers_as_json(headers: Mapping[str, str]) -> str:
    """Headers as Postgres takes them: jsonb has no character U+0000."""
    text = orjson.dumps(headers).decode()
    return text.replace("\\u0000", "\\ufffd") if "\\u0000" in text else text


_COLUMNS = "delivery_id, connection, source, received_at, headers, body"


def take(connection: DatabaseConnection, limit: int) -> list[Delivery]:
    """Up to `limit` pending deliveries in order of arrival, locked until the transaction ends.

    Those another process has taken are passed over, so any number of processes may share work.
    """
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM deliveries WHERE status = 'pending' "
        "ORDER BY arrival LIMIT %s FOR UPDATE SKIP LOCKED",
        [limit],
        binary=True,
    )
    return [_delivery(row) for row in rows]


def mark(
    connection: DatabaseConnection,
    outcomes: Sequence[Outcome],
    now: datetime,
    *,
    again: bool = False,
) -> None:
    """Write down what became of deliveries, in one statement; `again` counts another attempt."""
    if not outcomes:
        return
    connection.execute(
        "UPDATE deliveries SET status = became.status, reason = nullif(became.reason, ''), "
        "touchpoints = became.touchpoints, handled_at = %s, attempts = attempts + %s "
        "FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::int[]) "
        "AS became (delivery_id, status, reason, touchpoints) "
        "WHERE deliveries.delivery_id = became.delivery_id",
        (
            now,
            int(again),
            [outcome.delivery_id for outcome in outcomes],
            [outcome.status for outcome in outcomes],
            [outcome.reason or "" for outcome in outcomes],
            [outcome.touchpoints for outcome in outcomes],
        ),
    )


# --- deliveries that came by Kafka ------------------------------------------------------------


def known(connection: DatabaseConnection, ids: Iterable[DeliveryId]) -> dict[DeliveryId, Status]:
    """Which of these are kept already, and as what; their rows are locked until the end.

    In the order of their ids, so that two processes which meet on some wait and never deadlock.
    """
    rows = connection.execute(
        "SELECT delivery_id, status FROM deliveries WHERE delivery_id = ANY(%s::uuid[]) "
        "ORDER BY delivery_id FOR UPDATE",
        [list(ids)],
    )
    return {DeliveryId(str(row[0])): row[1] for row in rows}


def archive(
    connection: DatabaseConnection,
    handled: Iterable[tuple[Delivery, Outcome]],
    now: datetime,
) -> set[DeliveryId]:
    """Keep deliveries, each once in the list, together with what became of them.

    One that is kept already is so marked if it was pending or dead; what it was otherwise, it
    stays, since a repeat that says nothing new must not hide that the first one did. Returns those
    of which something was written.
    """
    pairs = sorted(handled, key=lambda pair: pair[0].delivery_id)
    if not pairs:
        return set()
    rows = connection.execute(
        "INSERT INTO deliveries AS kept (delivery_id, connection, source, received_at, headers, "
        "body, status, reason, touchpoints, handled_at) "
        "SELECT id::uuid, connection, source, received_at, headers::jsonb, body, status, "
        "nullif(reason, ''), touchpoints, %b::timestamptz "
        "FROM unnest(%b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::text[], "
        "%b::bytea[], %b::text[], %b::text[], %b::int[]) "
        "AS handled (id, connection, source, received_at, headers, body, status, reason, "
        "touchpoints) "
        "ON CONFLICT (delivery_id) DO UPDATE SET status = excluded.status, "
        "reason = excluded.reason, touchpoints = kept.touchpoints + excluded.touchpoints, "
        "handled_at = excluded.handled_at WHERE kept.status IN ('pending', 'dead') "
        "RETURNING delivery_id",
        (
            now,
            [delivery.delivery_id for delivery, _ in pairs],
            [delivery.connection for delivery, _ in pairs],
            [delivery.source for delivery, _ in pairs],
            [delivery.received_at for delivery, _ in pairs],
            [headers_as_json(delivery.headers) for delivery, _ in pairs],
            [delivery.body for delivery, _ in pairs],
            [outcome.status for _, outcome in pairs],
            [outcome.reason or "" for _, outcome in pairs],
            [outcome.touchpoints for _, outcome in pairs],
        ),
        prepare=True,
    )
    return {DeliveryId(str(row[0])) for row in rows}


def count_fewer(connection: DatabaseConnection, repeated: Mapping[DeliveryId, int]) -> None:
    """So many touchpoints that deliveries told were recorded before, and are not counted twice."""
    if not repeated:
        return
    connection.execute(
        "UPDATE deliveries SET touchpoints = touchpoints - repeated.number "
        "FROM unnest(%s::uuid[], %s::int[]) AS repeated (delivery_id, number) "
        "WHERE deliveries.delivery_id = repeated.delivery_id",
        (list(repeated), list(repeated.values())),
    )


def latest_fates(connection: DatabaseConnection, limit: int) -> list[bool]:
    """Of the newest deliveries that were translated, whether each is dead; the oldest first."""
    rows = connection.execute(_LATEST, [list(TRANSLATED), limit, limit]).fetchall()
    return [bool(row[0]) for row in reversed(rows)]


# By arrival, not by id: an id is what its sender says, and of a record that is no delivery it is a
# digest, which is mostly above all that begin with the time. The index has arrivals by connection,
# so each one's newest are looked up, the connections by going from one to the next.
_LATEST: LiteralString = """
WITH RECURSIVE named AS (
    (SELECT connection FROM deliveries ORDER BY connection LIMIT 1)
    UNION ALL
    SELECT next.connection FROM named, LATERAL (
        SELECT connection FROM deliveries WHERE connection > named.connection
        ORDER BY connection LIMIT 1) AS next
)
SELECT latest.dead FROM named, LATERAL (
    SELECT status = 'dead' AS dead, arrival FROM deliveries
    WHERE connection = named.connection AND status = ANY(%s) AND handled_at IS NOT NULL
    ORDER BY arrival DESC LIMIT %s) AS latest
ORDER BY latest.arrival DESC LIMIT %s
"""


_SUMMARY = (
    "delivery_id, connection, source, received_at, status, reason, attempts, touchpoints, "
    "handled_at, length(body)"
)


def get(
    connection: DatabaseConnection, delivery_id: str
) -> tuple[Delivery, DeliverySummary] | None:
    """One delivery with its content, or None when nothing has this id."""
    if not _is_uuid(delivery_id):
        return None
    row = connection.execute(
        f"SELECT {_SUMMARY}, headers, body FROM deliveries WHERE delivery_id = %s::uuid",
        [delivery_id],
    ).fetchone()
    if row is None:
        return None
    return _delivery((*row[:4], row[10], row[11])), _summary(row)


def listing(
    connection: DatabaseConnection, filters: Filters | None = None, *, limit: int = 100
) -> list[DeliverySummary]:
    """Kept deliveries, newest first."""
    where, values = _where(filters or Filters())
    rows = connection.execute(
        f"SELECT {_SUMMARY} FROM deliveries WHERE {where} ORDER BY arrival DESC LIMIT %s",
        [*values, limit],
    )
    return [_summary(row) for row in rows]


def redrive(
    connection: DatabaseConnection, filters: Filters | None = None, *, dry_run: bool = False
) -> int:
    """Make dead deliveries pending again and wake ingest; returns how many, or would be.

    Others that match (recorded, refused, …) stay as they are.
    """
    where, values = _where(filters or Filters())
    if dry_run:
        row = connection.execute(
            f"SELECT count(*) FROM deliveries WHERE status = 'dead' AND {where}", values
        ).fetchone()
        assert row is not None
        return int(row[0])
    redriven = connection.execute(
        "UPDATE deliveries SET status = 'pending', reason = NULL, handled_at = NULL, "
        f"attempts = attempts + 1 WHERE status = 'dead' AND {where}",
        values,
    ).rowcount
    if redriven:
        connection.execute("SELECT pg_notify(%s, '')", [CHANNEL])
    return redriven


TRANSLATED: tuple[Status, ...] = ("recorded", "context", "dead")
"""What ingest has made of deliveries; the others were never read, or are about to be."""


@dataclass(frozen=True, slots=True)
class Span:
    """The translated deliveries of a connection received since a moment, as they are now."""

    connection: str
    since: datetime
    count: int
    first: int
    last: int
    """Arrivals: whatever comes later is not part of it."""


def span(connection: DatabaseConnection, name: str, since: datetime) -> Span:
    """How many deliveries of this connection a redrive reads anew, and where they begin and end."""
    row = connection.execute(
        "SELECT count(*), coalesce(min(arrival), 0), coalesce(max(arrival), 0) FROM deliveries "
        "WHERE connection = %s AND received_at >= %s AND status = ANY(%s)",
        [name, since, list(TRANSLATED)],
    ).fetchone()
    assert row is not None
    return Span(name, since, *row)


def of_span(
    connection: DatabaseConnection, chosen: Span, after: int, limit: int, *, lock: bool = False
) -> list[tuple[int, Delivery]]:
    """The next deliveries of a span with their arrivals, in that order.

    `lock` keeps them from others until the transaction ends, and waits for who has them.
    """
    rows = connection.execute(
        f"SELECT {_COLUMNS}, arrival FROM deliveries WHERE connection = %s AND arrival > %s "
        "AND arrival BETWEEN %s AND %s AND received_at >= %s AND status = ANY(%s) "
        "ORDER BY arrival LIMIT %s" + (" FOR UPDATE" if lock else ""),
        [
            chosen.connection,
            after,
            chosen.first,
            chosen.last,
            chosen.since,
            list(TRANSLATED),
            limit,
        ],
        binary=True,
    )
    return [(row[-1], _delivery(row)) for row in rows]


def counts(connection: DatabaseConnection) -> dict[str, int]:
    """How many deliveries have each status; every status is there.

    Exact at every moment, and no scan of the inbox: triggers keep what each statement changed, in
    the same transaction (docs/decisions/0014-kept-counts.md).
    """
    rows = connection.execute("SELECT status, sum(change) FROM delivery_counts GROUP BY status")
    return {**dict.fromkeys(STATUSES, 0), **{str(row[0]): int(row[1]) for row in rows}}


def _where(filters: Filters) -> tuple[str, list[Any]]:
    parts: list[str] = ["true"]
    values: list[Any] = []
    for column, value in (
        ("status = %s", filters.status),
        ("connection = %s", filters.connection),
        ("received_at >= %s", filters.since),
    ):
        if value is not None:
            parts.append(column)
            values.append(value)
    if filters.ids is not None:
        parts.append("delivery_id = ANY(%s::uuid[])")
        values.append([one for one in filters.ids if _is_uuid(one)])
    return " AND ".join(parts), values


def _delivery(row: Sequence[Any]) -> Delivery:
    return Delivery(DeliveryId(str(row[0])), row[1], row[2], row[3], row[4], bytes(row[5]))


def _summary(row: Sequence[Any]) -> DeliverySummary:
    return DeliverySummary(DeliveryId(str(row[0])), *row[1:10])


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
