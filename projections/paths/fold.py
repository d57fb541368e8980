"""The path of each application: kind and moment of every step, in order. Pure; no clock.

Paths are what a directly-follows graph of a million touchpoints is made of, so they are kept as
bytes: a byte a kind, and the moments as msgpack encodes them (6 bytes when they are whole seconds,
else 10). A fact costs no object of its own, neither here nor in the stored state.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from projections.fact import Fact
from projections.paths.kinds import NUMBER

STEPS = 128
"""Steps in a part at most. What is full is written once and leaves the state, so that a journey
of ten thousand touchpoints costs the next one no more than a short journey does."""

_encode = msgspec.msgpack.Encoder().encode


class Path(msgspec.Struct, omit_defaults=True, gc=False):
    """The last part of one application's path, which is not full."""

    part: int = 0
    kinds: bytes = b""
    times: bytes = b""


class PathState(msgspec.Struct, omit_defaults=True, gc=False):
    """Every application of a journey, and the parts that filled up since they were last taken."""

    applications: dict[str, Path] = msgspec.field(default_factory=dict)
    filled: list[tuple[str, Path]] = msgspec.field(default_factory=list)


def apply(state: PathState, application_id: str, steps: Sequence[Fact]) -> None:
    """Take more facts of an application, in `occurred_at` order, into the state (in place).

    Many at once, since encoding a list of moments costs a tenth of encoding each by itself.
    """
    path = state.applications.get(application_id)
    if path is None:
        path = state.applications[application_id] = Path()
    while len(steps) >= (room := STEPS - len(path.kinds)):
        _extend(path, steps[:room])
        state.filled.append((application_id, path))
        path = state.applications[application_id] = Path(path.part + 1)
        steps = steps[room:]
    if steps:
        _extend(path, steps)


def _extend(path: Path, steps: Sequence[Fact]) -> None:
    path.kinds += bytes([NUMBER[fact.kind] for fact in steps])
    path.times += packed([fact.occurred_at for fact in steps])


def packed(moments: list[datetime]) -> bytes:
    """Moments as msgpack timestamps, one after the other (fewer than 65,536)."""
    # Without the head that says how many there are: one byte up to 15, else three.
    return _encode(moments)[1 if len(moments) < 16 else 3 :]
