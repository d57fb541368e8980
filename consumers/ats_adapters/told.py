"""A delivery being read: what the adapters have in common when they say what it tells.

Its body as JSON, ids it cannot do without, whose it is, and touchpoints under ids of the fact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from pydantic import ValidationError

from consumers.ats_adapters.adapter import POLLED, Delivery
from consumers.connections import Connection
from consumers.errors import Untranslatable
from journey.storage import without_nul
from schemas.ats.lenient import FIRST_ATS, LONGEST_AHEAD, Json
from schemas.event import Actor, Moment, Touchpoint
from schemas.identifiers import PersonKey
from schemas.statement import Statement
from schemas.touchpoints import RejectionDecided, RejectionSent, UnrecognisedTouchpoint

_PLANNED = frozenset({"starts_at", "ends_at"})
# Time zones differ by less, clocks that are set by far less.
_CLOCKS = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Told:
    """What every handler of an adapter needs: the delivery, what it is called, what it brings.

    `action` is the system's own word for the event; `payload` is JSON of any shape.
    """

    delivery: Delivery
    connection: Connection
    action: str
    payload: Any

    @property
    def source(self) -> str:
        """What its touchpoints say as `source`."""
        return self.connection.source_name

    def touchpoint(
        self, kind: type[Touchpoint], event_id: str, when: Moment, **fields: Any
    ) -> Touchpoint:
        """A fact under an id made from it, at a time that can be.

        When the source says nothing credible, it is unknown, as if it had said nothing: a fact of
        next year would keep a journey quiet until then, one of year 1 be the oldest silence of
        all. Raises pydantic.ValidationError, as `told` does.
        """
        for name in _PLANNED & fields.keys():
            if fields[name] is not None and not self._is_credible(fields[name], LONGEST_AHEAD):
                fields[name] = None
        return kind.told(
            source=self.source,
            source_event_id=event_id,
            moment=when if self._is_credible(when.at, _CLOCKS) else self.received(),
            delivery_id=self.delivery.delivery_id,
            late=POLLED in self.delivery.headers,
            **fields,
        )

    def _is_credible(self, at: datetime, ahead: timedelta) -> bool:
        # The difference, since a sum may be past the end of time.
        return at >= FIRST_ATS and at - self.delivery.received_at <= ahead

    def unrecognised(
        self, event_id: str, when: Moment, label: str | None = None, **fields: Any
    ) -> Touchpoint:
        """It concerns a person, and has no kind here."""
        return self.touchpoint(
            UnrecognisedTouchpoint, event_id, when, label=label or self.action, **fields
        )

    def implied_by_stage(
        self, stage: str | None, tell: Callable[[type[Touchpoint]], Statement]
    ) -> tuple[Statement, ...]:
        """What entering a stage means in this organisation, if its connection says so.

        Raises Untranslatable for a kind that cannot be told by a stage alone.
        """
        kind = self.connection.kind_of_stage(stage)
        if kind is None:
            return ()
        try:
            return (tell(kind),)
        except ValidationError:
            raise Untranslatable(
                f"the connection's stages map a stage to {kind.KIND}, which needs more than a stage"
            ) from None

    def kind_of_rejection(self) -> type[Touchpoint]:
        """What a rejection in the ATS is here: what the candidate was told, or only a decision."""
        return RejectionSent if self.connection.rejection_is_sent else RejectionDecided

    def scoped(self, some_id: str | None) -> str | None:
        """An id of this source, told apart from equal ones of other sources."""
        return None if some_id is None else f"{self.source}:{some_id}"

    def key(self, namespace: str, value: str) -> PersonKey:
        """A person, by an id of this source."""
        return PersonKey(f"{self.source}:{namespace}", value)

    def keys(self, **ids: str | None) -> tuple[PersonKey, ...]:
        """Person keys of the ids that are there, in the order given: the strongest first."""
        return tuple(self.key(name, found) for name, found in ids.items() if found is not None)

    def user(self, user_id: str | None) -> Actor | None:
        """Somebody of the employer's, by the id of their account."""
        return None if user_id is None else Actor(type="person", id=self.scoped(user_id))

    def received(self) -> Moment:
        """When it arrived: nothing says when it happened, and a retry may be hours late."""
        return Moment.of(self.delivery.received_at, quality="unknown")

    def digest(self) -> str:
        """Stands for a fact that has no time of its own: a retry has the same body."""
        return digest_of(self.delivery.body)


def json_body(body: bytes) -> Any:
    """A body as JSON, its texts as the log holds them. Raises Untranslatable."""
    try:
        return orjson.loads(without_nul(body))
    except orjson.JSONDecodeError:
        raise Untranslatable("the body is not JSON") from None


def json_object(body: bytes) -> Json:
    """A body that is a JSON object. Raises Untranslatable."""
    document = json_body(body)
    if not isinstance(document, dict):
        raise Untranslatable("the body is not a JSON object")
    return document


def required(found: str | None, path: str) -> str:
    """An id that a delivery cannot do without. Raises Untranslatable naming its place."""
    if found is None:
        raise Untranslatable(f"{path} is missing or no id")
    return found


def contact_keys(emails: tuple[str, ...], phones: tuple[str, ...]) -> tuple[PersonKey, ...]:
    """The candidate's own addresses and numbers; never those of recruiters or referrers."""
    return (
        *(PersonKey("email", email) for email in emails),
        *(PersonKey("phone", phone) for phone in phones),
    )


def digest_of(content: bytes) -> str:
    """Stands in an id for what has none of its own: 32 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()[:32]
