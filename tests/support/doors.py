"""Small working stand-ins for what the receiver needs: an adapter, its sender, a keeper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from consumers.ats_adapters.adapter import Delivery, Probe, Translation
from consumers.connections import Connection
from consumers.errors import Unavailable
from consumers.inbox import Arrival
from consumers.webhooks.signatures import GREENHOUSE

SECRET = "a-live-secret"


class SignedAdapter:
    """Signs as Greenhouse does, reads JSON, knows a ping and a CloudEvents handshake."""

    name = "signed"
    success_code = 200
    refusal_code = 401
    content_types = frozenset({"application/json"})

    def verify(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
    ) -> None:
        GREENHOUSE.verify(headers, body, secrets)

    def is_probe(self, headers: Mapping[str, str], body: Any | None, method: str) -> Probe | None:
        if method == "OPTIONS" and "webhook-request-origin" in headers:
            allowed = {"WebHook-Allowed-Origin": headers["webhook-request-origin"]}
            return Probe("handshake", headers=allowed)
        if isinstance(body, dict) and body.get("action") == "ping":
            return Probe("ping")
        return None

    def reference(
        self, headers: Mapping[str, str], body: Any | None, connection: Connection
    ) -> str | None:
        found = body.get("candidate") if isinstance(body, dict) else None
        return found if isinstance(found, str) else None

    def translate(self, delivery: Delivery, connection: Connection) -> Translation:
        return Translation(context="a stand-in says nothing")


class BrokenAdapter(SignedAdapter):
    """Has a bug in each of its two functions that run at the door."""

    name = "broken"

    def verify(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
    ) -> None:
        super().verify(headers, body, secrets, now)
        if body == b'{"action":"break verify"}':
            raise KeyError("casey@example.org")

    def is_probe(self, headers: Mapping[str, str], body: Any | None, method: str) -> Probe | None:
        raise KeyError("casey@example.org")


class ListKeeper:
    """Keeps arrivals in a list; `away` makes it refuse, as when the database is away."""

    goes_by_reference = False

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.away = False

    def start(self) -> None: ...

    async def keep(self, arrival: Arrival) -> None:
        if self.away:
            raise Unavailable("the database is away")
        self.arrivals.append(arrival)

    def is_ready(self) -> bool:
        return not self.away

    async def close(self) -> None: ...


def signed(body: bytes, secret: str = SECRET, **headers: str) -> dict[str, str]:
    """The headers of an authentic delivery. `content_type=…` and the like replace or add some."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"content-type": "application/json", **GREENHOUSE.sign(body, secret), **given}
