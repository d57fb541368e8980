"""Packed paths as arrays: what `fold.py` packs, read a million at a time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

# The three forms of a msgpack timestamp, told apart by their first byte.
_WHOLE_SECONDS, _NANOSECONDS, _ANY_TIME = 0xD6, 0xD7, 0xC7
_SIZES = np.zeros(256, dtype=np.int64)
_SIZES[[_WHOLE_SECONDS, _NANOSECONDS, _ANY_TIME]] = 6, 10, 15
_LOW_34_BITS = np.uint64((1 << 34) - 1)
_whole_seconds = np.dtype([("head", ">u2"), ("seconds", ">u4")])


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of many cases, one case after the other, each in order.

    `what` is the number of the step's kind (or stage), `at` its moment in microseconds since 1970,
    `case` the number of its case, which never falls.
    """

    what: Numbers
    at: Numbers
    case: Numbers


def unpack(parts: Sequence[tuple[bool, bytes, bytes]]) -> Steps:
    """The steps of paths from (begins a path, kinds, times) a part, parts of a path in order."""
    lengths = np.fromiter((len(kinds) for _, kinds, _ in parts), np.int64, len(parts))
    begins = np.fromiter((begins for begins, _, _ in parts), np.int64, len(parts))
    kinds = np.frombuffer(b"".join([kinds for _, kinds, _ in parts]), np.uint8)
    return Steps(
        kinds.astype(np.int64),
        moments([times for _, _, times in parts], lengths),
        np.repeat(np.cumsum(begins) - 1, lengths),
    )


def moments(packed: Sequence[bytes], lengths: Numbers) -> Numbers:
    """Microseconds since 1970 from packed moments; `lengths` says how many each packet holds."""
    sizes = np.fromiter(map(len, packed), np.int64, len(packed))
    joined = b"".join(packed)
    if np.array_equal(sizes, 6 * lengths):
        return np.frombuffer(joined, _whole_seconds)["seconds"].astype(np.int64) * 1_000_000
    octets = np.frombuffer(joined, np.uint8)
    return _decoded(octets, _places(octets, np.cumsum(sizes) - sizes, lengths))


def _places(octets: NDArray[np.uint8], starts: Numbers, lengths: Numbers) -> Numbers:
    """Where each moment begins. Their sizes differ, so packets are walked side by side."""
    places = np.empty(lengths.sum(), dtype=np.int64)
    # The longest first, so that those with a step left to walk are always the first ones.
    longest = np.argsort(-lengths)
    here, into = starts[longest], (np.cumsum(lengths) - lengths)[longest]
    counts = lengths[longest]
    for step in range(int(counts[0]) if len(counts) else 0):
        walking = int(np.searchsorted(-counts, -step))
        here, into = here[:walking], into[:walking]
        places[into + step] = here
        here = here + _SIZES[octets[here]]
    return places


def _decoded(octets: NDArray[np.uint8], places: Numbers) -> Numbers:
    found = np.empty(len(places), dtype=np.int64)
    form = octets[places]
    whole = form == _WHOLE_SECONDS
    found[whole] = _number(octets, places[whole] + 2, 4).astype(np.int64) * 1_000_000
    fine = form == _NANOSECONDS
    both = _number(octets, places[fine] + 2, 8)
    found[fine] = (both & _LOW_34_BITS).astype(np.int64) * 1_000_000
    found[fine] += (both >> np.uint64(34)).astype(np.int64) // 1_000
    rest = form == _ANY_TIME
    found[rest] = _number(octets, places[rest] + 7, 8).astype(np.int64) * 1_000_000
    found[rest] += _number(octets, places[rest] + 3, 4).astype(np.int64) // 1_000
    return found


def _number(octets: NDArray[np.uint8], places: Numbers, size: int) -> NDArray[np.uint64]:
    """Unsigned numbers of so many octets, the highest first."""
    found = np.zeros(len(places), dtype=np.uint64)
    for offset in range(size):
        found = (found << np.uint64(8)) | octets[places + offset]
    return found
