"""The small types that keep one id from being used as another."""

from __future__ import annotations

from hashlib import sha1
from typing import Any, NamedTuple, NewType
from uuid import UUID, SafeUUID

CandidateId = NewType("CandidateId", UUID)
"""One person as the log knows them; also the id of their stream."""

TouchpointId = NewType("TouchpointId", UUID)
"""One fact. UUIDv5 of source, source event id and kind, so a repeat gets the same id."""

DeliveryId = NewType("DeliveryId", str)
"""One raw arrival in the inbox."""

_new = object.__new__
_UNKNOWN = SafeUUID.unknown  # looking a member up in its enum costs half as much as the hash
_CLEAR = ~(0xF000 << 64 | 0xC000 << 48)
_VERSION_5 = 5 << 76 | 0x8000 << 48
_TOUCHPOINT_NAMESPACE = sha1(
    UUID("7c1f6f0e-53a3-5d0b-9a51-0c8b4a0e7d11").bytes, usedforsecurity=False
)


class _Unfinished(UUID):
    """A UUID whose two fields are set one by one, before it is made one that never changes."""

    __slots__ = ()
    __setattr__ = object.__setattr__  # type: ignore[assignment]


class PersonKey(NamedTuple):
    """How one source names a person: `PersonKey("greenhouse:candidate", "123")`.

    `email` and `phone` are the two namespaces that several sources share; their values are
    normalised before they are fingerprinted. Ids from outside are text and survive as they came.
    """

    namespace: str
    value: str


def touchpoint_id(source: str, source_event_id: str, kind: str) -> TouchpointId:
    """The idempotency key of a touchpoint (design §5)."""
    # uuid.uuid5 without its detours: a log of a million events makes a million of these.
    hashed = _TOUCHPOINT_NAMESPACE.copy()
    hashed.update(f"{source}\x1f{source_event_id}\x1f{kind}".encode())
    made: Any = _new(_Unfinished)
    made.int = int.from_bytes(hashed.digest()[:16], "big") & _CLEAR | _VERSION_5
    made.is_safe = _UNKNOWN
    made.__class__ = UUID
    return TouchpointId(made)
