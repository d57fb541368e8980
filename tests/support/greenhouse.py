"""Greenhouse deliveries for tests: a payload of ours, changed where a test needs it."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from consumers.ats_adapters.adapter import Delivery, Translation
from consumers.ats_adapters.greenhouse import Greenhouse
from consumers.connections import Connection
from consumers.inbox import new_delivery_id

PAYLOADS = Path(__file__).parents[1] / "payloads" / "greenhouse"
RECEIVED_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CONNECTION = Connection(name="gh", source="greenhouse", secrets=("s3cret",))
ADAPTER = Greenhouse()


def payload(name: str) -> dict[str, Any]:
    """One of `tests/payloads/greenhouse`, free to be changed."""
    found: dict[str, Any] = orjson.loads((PAYLOADS / f"{name}.json").read_bytes())
    return found


def changed(name: str, **changes: Any) -> dict[str, Any]:
    """A payload with fields of its application (or of the flat offer) replaced."""
    body = copy.deepcopy(payload(name))
    inner = body["payload"].get("application", body["payload"])
    inner.update(changes)
    return body


def delivery(body: Any, received_at: datetime = RECEIVED_AT) -> Delivery:
    """A delivery of this body, JSON or bytes, under an id of its own."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Delivery(
        new_delivery_id(received_at),
        CONNECTION.name,
        "greenhouse",
        received_at,
        {"content-type": "application/json"},
        raw,
    )


def translate(body: Any, **options: Any) -> Translation:
    """What the adapter says of a body, or of the payload of that name, with these options."""
    connection = CONNECTION.model_copy(update=options)
    return ADAPTER.translate(delivery(payload(body) if isinstance(body, str) else body), connection)


def kinds(translation: Translation) -> list[str]:
    """The kinds of its touchpoints, in order."""
    return [statement.touchpoint.KIND for statement in translation.statements]
