"""Deliveries of an adapter for tests: a payload of ours, changed where a test needs it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from consumers.ats_adapters import ALL_ADAPTERS
from consumers.ats_adapters.adapter import Adapter, Delivery, Translation
from consumers.connections import Connection
from consumers.inbox import new_delivery_id

RECEIVED_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECRET = "s3cret"


@dataclass(frozen=True)
class Payloads:
    """The payloads in `tests/payloads/<adapter>` and what the adapter says of them."""

    name: str

    @property
    def adapter(self) -> Adapter:
        return ALL_ADAPTERS[self.name]

    @property
    def folder(self) -> Path:
        return Path(__file__).parents[1] / "payloads" / self.name

    def names(self) -> list[str]:
        """Every payload of ours, by name."""
        return sorted(file.stem for file in self.folder.glob("*.json"))

    def payload(self, name: str) -> dict[str, Any]:
        """One of them, free to be changed."""
        found: dict[str, Any] = orjson.loads((self.folder / f"{name}.json").read_bytes())
        return found

    def changed(self, name: str, *path: str, **changes: Any) -> dict[str, Any]:
        """A payload with fields of the object at this path replaced; `...` removes one."""
        body = self.payload(name)
        inner = body
        for step in path:
            inner = inner[step]
        for field, value in changes.items():
            inner[field] = value
            if value is ...:
                del inner[field]
        return body

    def connection(self, **options: Any) -> Connection:
        """A connection of this adapter, with these options."""
        return Connection(name=self.name, source=self.name, secrets=(SECRET,), **options)

    def delivery(self, body: Any) -> Delivery:
        """A delivery of this body (JSON, bytes, or a payload's name), under an id of its own."""
        if isinstance(body, str):
            body = self.payload(body)
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"content-type": "application/json"}
        return Delivery(
            new_delivery_id(RECEIVED_AT), self.name, self.name, RECEIVED_AT, headers, raw
        )

    def translate(self, body: Any, **options: Any) -> Translation:
        """What the adapter says of a body, through a connection with these options."""
        return self.adapter.translate(self.delivery(body), self.connection(**options))

    def only(self, body: Any, **options: Any) -> Any:
        """The touchpoint of a delivery that tells one."""
        (statement,) = self.translate(body, **options).statements
        return statement.touchpoint

    def kinds(self, body: Any, **options: Any) -> list[str]:
        """The kinds of the touchpoints of a delivery, in order."""
        return [said.touchpoint.KIND for said in self.translate(body, **options).statements]

    def told(self, *bodies: Any, **options: Any) -> Counter[str]:
        """How many touchpoints of each kind a log would hold after these deliveries."""
        seen: dict[UUID, str] = {}
        for body in bodies:
            for said in self.translate(body, **options).statements:
                seen.setdefault(said.touchpoint.touchpoint_id, said.touchpoint.KIND)
        return Counter(seen.values())
