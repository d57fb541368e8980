"""What a source says: a touchpoint about a person, before we know who that is to us.

Adapters make statements; the journey log turns them into recorded touchpoints by resolving
the person, sealing what is personal and stamping `recorded_at`.
"""

from __future__ import annotations

import msgspec

from schemas.event import Touchpoint
from schemas.identifiers import PersonKey
from schemas.personal import Personal


class Statement(msgspec.Struct, frozen=True, gc=False):
    """One touchpoint and everything its source said about whose it is.

    `person`: every key that names the person, strongest first; at least one.
    `personal`: what is to be sealed under the person's key.
    `same_as`: keys of a second person the source declares to be the same one (a merge).
    """

    touchpoint: Touchpoint
    person: tuple[PersonKey, ...]
    personal: Personal | None = None
    same_as: tuple[PersonKey, ...] = ()
