"""What an adapter is: it verifies a delivery, recognises probes, and translates what was said.

An adapter is small: tables of words, a signature, two functions. It never reads a clock, sends,
or asks the database; everything it needs is handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from consumers.connections import Connection
from schemas.identifiers import DeliveryId
from schemas.statement import Statement

OWN_HEADERS = "journey-"
"""Headers that begin so are written by us: the receiver lets none in from outside."""
POLLED = "journey-poll"
"""Header of a delivery that a poll fetched: which list of the system it stands in."""
BEFORE = "journey-poll-before"
"""Header of a polled object that was kept before: what of its earlier version matters, as JSON."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What arrived, raw, before anyone read it.

    `source` is the adapter's name, `headers` have lower-case names, `body` is the bytes as
    received. Neither headers nor body appear in `repr`, because both may be personal.
    """

    delivery_id: DeliveryId
    connection: str
    source: str
    received_at: datetime
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Probe:
    """A handshake, and the answer its sender waits for. `status` None: the success code."""

    name: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Translation:
    """What a delivery says: statements, or none of them and why (`context`).

    `context` names a delivery that is understood and concerns no candidate, such as a new job.
    `problems` says, of a delivery of several events, why some could not be read while others
    were: the statements are recorded, and the delivery stays a dead letter for the rest.
    """

    statements: tuple[Statement, ...] = ()
    context: str | None = None
    problems: tuple[str, ...] = ()


class Adapter(Protocol):
    """One system's way of speaking."""

    @property
    def name(self) -> str:
        """What connections write as `source`."""
        ...

    @property
    def success_code(self) -> int:
        """The HTTP code its sender takes for "never lost" (facts/ats.md §16)."""
        ...

    @property
    def refusal_code(self) -> int:
        """The HTTP code for a delivery that is not authentic: 401, or 503 where the sender takes
        401 for the last word, so that a secret set wrong would lose what it refused."""
        ...

    @property
    def content_types(self) -> frozenset[str]:
        """Media types it reads, lower-case and without parameters; empty means any."""
        ...

    def verify(
        self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
    ) -> None:
        """Return when one of the live secrets signed these raw bytes.

        `headers` have lower-case names. Raises NotAuthentic, and nothing else on any input.
        """
        ...

    def is_probe(self, headers: Mapping[str, str], body: Any | None, method: str) -> Probe | None:
        """The handshake this request is, or None.

        `body` is the parsed JSON of a verified POST; None for other methods (which nobody
        signs) and for a body that is not JSON.
        """
        ...

    def reference(
        self, headers: Mapping[str, str], body: Any | None, connection: Connection
    ) -> str | None:
        """The candidate a delivery is about, by the source's own id; None where that takes work.

        Read at the door, for every delivery, from its parsed JSON: it keeps one candidate's
        deliveries in order, and nothing else rests on it. Never personal: it is seen in keys.
        """
        ...

    def translate(self, delivery: Delivery, connection: Connection) -> Translation:
        """What the delivery says. Raises Untranslatable with a reason that is never personal."""
        ...
