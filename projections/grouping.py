"""Arrays of steps brought together by what they are: how many, when first, how long. Pure.

Durations come in as microseconds and go out in seconds, to the microsecond. A median of an even
number of values is the mean of the middle two, a p90 lies between its neighbours in proportion, as
NumPy, pandas and PM4Py have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from projections.paths.unpacking import Numbers, Steps

_MICROSECONDS = 1_000_000
Flags = NDArray[np.bool_]


def ends_of_cases(case: Numbers) -> tuple[Flags, Flags]:
    """Which places begin a case, and which end one."""
    starts, ends = np.ones(len(case), dtype=bool), np.ones(len(case), dtype=bool)
    starts[1:] = case[1:] != case[:-1]
    ends[:-1] = starts[1:]
    return starts, ends


def first_times(steps: Steps, starts: Flags, groups: Groups) -> tuple[Numbers, NDArray[np.float64]]:
    """Of each group (a kind or stage): how many cases come to it, and with how many steps behind
    them when they first do, on average."""
    firsts = groups.firsts(steps.case)
    cases = groups.sums(firsts)
    here = np.arange(len(starts))
    behind = here - np.maximum.accumulate(np.where(starts, here, 0))
    return cases, groups.sums(behind[groups.order] * firsts) / cases


@dataclass(frozen=True, slots=True)
class Groups:
    """Equal keys brought together by `order`: each key, where it begins there, how many it has."""

    order: Numbers
    keys: Numbers
    begins: Numbers
    counts: Numbers

    @classmethod
    def of(cls, keys: Numbers, below: int) -> Groups:
        """Groups of keys from 0 to `below`; within each the order stays."""
        # NumPy sorts small numbers by counting them, many times faster than others.
        small = keys.astype(np.uint16) if below <= 1 << 16 else keys
        order = np.argsort(small, kind="stable")
        ordered = keys[order]
        changes = np.ones(len(keys), dtype=bool)
        changes[1:] = ordered[1:] != ordered[:-1]
        begins = np.flatnonzero(changes)
        return cls(order, ordered[begins], begins, np.diff(begins, append=len(keys)))

    def firsts(self, case: Numbers) -> Flags:
        """In the order of the groups: whether a case is there in its group for the first time."""
        ordered = case[self.order]
        found = np.ones(len(ordered), dtype=bool)
        found[1:] = ordered[1:] != ordered[:-1]
        found[self.begins] = True
        return found

    def sums(self, values: NDArray[Any]) -> Numbers:
        """The sum of each group; the values stand in the order of the groups."""
        if not len(self.begins):
            return np.zeros(0, dtype=np.int64)
        return np.add.reduceat(values.astype(np.int64), self.begins)

    def quantile(self, values: Numbers, share: float) -> NDArray[np.float64]:
        """A quantile of each group; the values of each group stand in order."""
        place = (self.counts - 1) * share
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, self.counts - 1)
        below, above = values[self.begins + low], values[self.begins + high]
        found: NDArray[np.float64] = below + (above - below) * (place - low)
        return found


def spreads(
    keys: Numbers, lasted: Numbers, below: int
) -> Iterator[tuple[int, tuple[int, float, float, float]]]:
    """Each key with count, mean, median and p90 (in seconds) of what lasted (microseconds)."""
    groups = Groups.of(keys, below)
    ordered = lasted[groups.order]
    means = groups.sums(ordered) / groups.counts
    for begin, count in zip(groups.begins, groups.counts, strict=True):
        ordered[begin : begin + count].sort()
    medians, p90s = groups.quantile(ordered, 0.5), groups.quantile(ordered, 0.9)
    for key, count, *took in zip(groups.keys, groups.counts, means, medians, p90s, strict=True):
        mean, median, p90 = (round(float(each)) / _MICROSECONDS for each in took)
        yield int(key), (int(count), mean, median, p90)


__all__ = ["Flags", "Groups", "ends_of_cases", "first_times", "spreads"]
