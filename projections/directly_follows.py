"""The directly-follows graph: what comes after what, how often, and how long that takes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from projections.grouping import Flags, Groups, ends_of_cases, first_times, spreads
from projections.paths.unpacking import Numbers, Steps

By = Literal["kind", "stage"]
"""What a step of the graph is: a touchpoint, by its kind, or the entry into a stage."""

NOBODYS_STEPS = (
    "touchpoint_corrected", "touchpoint_retracted", "candidates_merged", "candidates_unmerged",
    "person_erased",
)  # fmt: skip
"""Kinds that speak of the log and not of what a candidate lived through."""


@dataclass(frozen=True, slots=True)
class Step:
    """A node of the graph. `count`: how often; `applications`: of how many.

    `first` and `last`: how many paths begin and end with it. `place`: how many steps an
    application has behind it when it comes to this one for the first time, on average.
    """

    name: str
    count: int
    applications: int
    first: int
    last: int
    place: float


@dataclass(frozen=True, slots=True)
class Edge:
    """How often `after` came directly after `before` in one application, and how long it took."""

    before: str
    after: str
    count: int
    mean_seconds: float
    median_seconds: float
    p90_seconds: float


@dataclass(frozen=True, slots=True)
class Graph:
    """The directly-follows graph: steps and edges, the most frequent first.

    Per application, in order of (occurred_at, recorded). Touchpoints that name no application are
    in no path.
    """

    by: By
    applications: int
    touchpoints: int
    steps: tuple[Step, ...]
    edges: tuple[Edge, ...]


def graph(steps: Steps, names: Sequence[str], by: By) -> Graph:
    """The directly-follows graph of paths; `names[number]` is what a step's number stands for."""
    starts, ends = ends_of_cases(steps.case)
    return Graph(
        by,
        int(starts.sum()),
        len(steps.what),
        _steps(steps, names, starts, ends),
        _edges(steps, names, np.flatnonzero(~ends)),
    )


def without(steps: Steps, numbers: Sequence[int]) -> Steps:
    """The steps less those of some kinds."""
    kept = ~np.isin(steps.what, numbers)
    if kept.all():
        return steps
    return Steps(steps.what[kept], steps.at[kept], steps.case[kept])


def _steps(steps: Steps, names: Sequence[str], starts: Flags, ends: Flags) -> tuple[Step, ...]:
    first = np.bincount(steps.what[starts], minlength=len(names))
    last = np.bincount(steps.what[ends], minlength=len(names))
    groups = Groups.of(steps.what, len(names))
    applications, places = first_times(steps, starts, groups)
    found = [
        Step(names[key], int(count), int(many), int(first[key]), int(last[key]), float(place))
        for key, count, many, place in zip(
            groups.keys, groups.counts, applications, places, strict=True
        )
    ]
    return tuple(sorted(found, key=lambda step: (-step.count, step.name)))


def _edges(steps: Steps, names: Sequence[str], before: Numbers) -> tuple[Edge, ...]:
    """`before`: the places in the arrays whose next place is the next step of the same path."""
    pairs = steps.what[before] * len(names) + steps.what[before + 1]
    lasted = steps.at[before + 1] - steps.at[before]
    found = [
        Edge(names[pair // len(names)], names[pair % len(names)], *told)
        for pair, told in spreads(pairs, lasted, len(names) ** 2)
    ]
    return tuple(sorted(found, key=lambda edge: (-edge.count, edge.before, edge.after)))


__all__ = ["NOBODYS_STEPS", "By", "Edge", "Graph", "Step", "graph", "without"]
