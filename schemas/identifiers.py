"""The small types that keep one id from being used as another."""

from __future__ import annotations

from hashlib import sha1
from typing import NamedTuple, NewType
from uuid import UUID, SafeUUID

CandidateId = NewType("CandidateId", UUID)
"""One person as the log knows them; also the id of their stream."""

TouchpointId = NewType("TouchpointId", UUID)
"""One fact. UUIDv5 of source, source event id and kind, so a repeat gets the same id."""

DeliveryId = NewType("DeliveryId", str)
"""One raw arrival in the inbox."""

_new = UUID.__new__
_set_int, _set_safe = (vars(UUID)[slot].__set__ for slot in ("int", "is_safe"))
_UNKNOWN = SafeUUID.unknown  # looking a member up in its enum costs half as much as the hash
_CLEAR = ~(0xF000 << 64 | 0xC000 << 48)
_VERSION_5 = 5 << 76 | 0x8000 << 48
_TOUCHPOINT_NAMESPACE = UUID("7c1f6f0e-53a3-5d0b-9a51-0c8b4a0e7d11").bytes


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
    name = f"{source}\x1f{source_event_id}\x1f{kind}".encode()
    digest = sha1(_TOUCHPOINT_NAMESPACE + name, usedforsecurity=False).digest()
    made = _new(UUID)
    _set_int(made, int.from_bytes(digest[:16], "big") & _CLEAR | _VERSION_5)
    _set_safe(made, _UNKNOWN)
    return TouchpointId(made)
