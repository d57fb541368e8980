"""Where the boxes and arrows of a picture go: layers from top to bottom (Sugiyama). Pure.

fast-sugiyama orders the layers and keeps crossings few. It ends the process on a loop and has no
idea of what comes first, so it is given a graph without cycles: arrows lead down to what
applications come to later, and one that leads back is laid out the other way round and drawn
upwards. The label of an arrow is a vertex of its own, so that room is left for it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from consumers.drawing.picture import BEGIN, Box, Picture

Point = tuple[float, float]

_SPACING = 100.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Places in units of (a column, a layer), from the top left corner.

    `boxes`: by the number of the box; `arrows`: the points each arrow goes through, from box to
    box; `labels`: where its label is. `width` and `height` are the largest numbers in it.
    """

    boxes: dict[int, Point]
    arrows: list[list[Point]]
    labels: list[Point]
    width: float
    height: float


def laid_out(drawn: Picture) -> Layout:
    """A place for every box, label and bend."""
    boxes, arrows = len(drawn.boxes), drawn.arrows
    order = [_when(box, number) for number, box in enumerate(drawn.boxes)]
    downwards = [order[arrow.before] < order[arrow.after] for arrow in arrows]
    halves: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for label, (arrow, down) in enumerate(zip(arrows, downwards, strict=True), boxes):
        ends = (arrow.before, arrow.after)
        first, last = ends if down else ends[::-1]
        halves.append(((first, label), (label, last)))
    below = {last for _, (_, last) in halves}
    # What nothing leads down to hangs from the beginning, unseen: it numbers bends only once as
    # long as everything is connected.
    hung = [(0, number) for number in range(1, boxes) if number not in below]
    vertices = boxes + len(arrows)
    edges = [*hung, *(edge for both in halves for edge in both)]
    places, routes = _sugiyama(edges, vertices)
    paths = []
    for (upper, lower), down in zip(halves, downwards, strict=True):
        path = [*routes[upper], *routes[lower][1:]]
        points = [places[vertex] for vertex in path]
        paths.append(points if down else points[::-1])
    return Layout(
        {number: places[number] for number in range(boxes)},
        paths,
        [places[label] for label in range(boxes, vertices)],
        max(x for x, _ in places.values()),
        max(y for _, y in places.values()),
    )


def _when(box: Box, number: int) -> tuple[float, int]:
    """Sorts boxes by when applications come to them; no two are alike."""
    if box.step is not None:
        return box.step.place, number
    return (-1.0 if box.what == BEGIN else math.inf), number


def _sugiyama(
    edges: list[tuple[int, int]], vertices: int
) -> tuple[dict[int, Point], dict[tuple[int, int], list[int]]]:
    """Place of each vertex and bend; edge → the vertex, bends and vertex that it goes through.

    Vertices are numbered from 0; bends come after them.
    """
    from fast_sugiyama import from_edges

    ((positions, _, _, pieces),) = from_edges(
        edges, vertex_spacing=_SPACING, dummy_vertices=True, dummy_size=0.3
    )
    left = min(x for _, (x, _) in positions)
    top = max(y for _, (_, y) in positions)
    places = {
        int(each): ((x - left) / _SPACING, (top - y) / _SPACING) for each, (x, y) in positions
    }
    below: defaultdict[int, list[int]] = defaultdict(list)
    for before, after in pieces or ():
        below[int(before)].append(int(after))
    routes = {}
    for vertex in range(vertices):
        for each in below[vertex]:
            route = [vertex, each]
            while route[-1] >= vertices:
                route += below[route[-1]]
            routes[vertex, route[-1]] = route
    return places, routes
