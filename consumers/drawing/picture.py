"""What is drawn of a graph: the frequent part of it, with words on every box and arrow. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from projections.directly_follows import Edge, Graph, Step

BEGIN, END = "begin", "end"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Box:
    """A step, or one of the two ends of every path (`step` None, `what` BEGIN or END).

    `again`: the edge from the step to itself, which is told in the box.
    """

    what: str
    step: Step | None = None
    again: Edge | None = None


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one box to another, by their numbers. `edge` is None where a path begins or ends."""

    before: int
    after: int
    count: int
    edge: Edge | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """Boxes and the arrows between them, the most frequent arrow first.

    `hidden`: edges that are not drawn, and `drawn_share`, how much of all that follows something
    is drawn.
    """

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    hidden: int
    drawn_share: float


def picture(graph: Graph, title: str, *, least: int = 1, top: int | None = None) -> Picture:
    """The part of a graph that is drawn: edges of at least so many times, the `top` of them.

    Where paths begin and end is drawn for the boxes that are, under the same `least`.
    """
    edges = [edge for edge in graph.edges if edge.count >= least][:top]
    names = {name for edge in edges for name in (edge.before, edge.after)}
    if not names:
        # Where nothing follows anything there are still steps to be seen.
        names = {step.name for step in graph.steps if step.count >= least}
    again = {edge.before: edge for edge in edges if edge.before == edge.after}
    steps = [step for step in graph.steps if step.name in names]
    boxes = [
        Box(BEGIN),
        *(Box(step.name, step, again.get(step.name)) for step in steps),
        Box(END),
    ]
    numbers = {step.name: number for number, step in enumerate(steps, 1)}
    arrows = [
        Arrow(numbers[edge.before], numbers[edge.after], edge.count, edge)
        for edge in edges
        if edge.before != edge.after
    ]
    arrows += [Arrow(0, numbers[s.name], s.first) for s in steps if s.first >= least]
    arrows += [Arrow(numbers[s.name], len(boxes) - 1, s.last) for s in steps if s.last >= least]
    arrows.sort(key=lambda arrow: (-arrow.count, arrow.before, arrow.after))
    every = sum(edge.count for edge in graph.edges)
    return Picture(
        title,
        tuple(boxes),
        tuple(arrows),
        len(graph.edges) - len(edges),
        sum(edge.count for edge in edges) / every if every else 1.0,
    )


def caption(drawn: Picture) -> str:
    """What is drawn and what is not, in a sentence."""
    edges = sum(arrow.edge is not None for arrow in drawn.arrows)
    edges += sum(box.again is not None for box in drawn.boxes)
    told = f"{edges} of {edges + drawn.hidden} edges, {drawn.drawn_share:.0%} of all that follows"
    return f"{told}; on each how often and the median time."


def length(seconds: float | None) -> str:
    """A length of time with two figures that count: `3.4 d`, `12 min`; `–` for None."""
    if seconds is None:
        return "–"
    for size, unit in _UNITS:
        # One and a half of a unit is the first that is better told in it.
        if seconds >= 1.5 * size or size == 1:
            count = seconds / size
            return f"{count:,.0f} {unit}" if count >= 9.95 or size <= 60 else f"{count:.1f} {unit}"
    raise AssertionError("every length has a unit")


def said(arrow: Arrow) -> str:
    """What stands on an arrow."""
    return f"{arrow.count:,}" if arrow.edge is None else often(arrow.edge)


def often(edge: Edge) -> str:
    """How often, and the median time."""
    return f"{edge.count:,} · {length(edge.median_seconds)}"


def told(edge: Edge) -> str:
    """Everything about an edge."""
    return (
        f"{words(edge.before)} → {words(edge.after)}: {edge.count:,} times, "
        f"median {length(edge.median_seconds)}, mean {length(edge.mean_seconds)}, "
        f"p90 {length(edge.p90_seconds)}"
    )


def words(name: str) -> str:
    """A kind or stage as words on one line."""
    return printable(name.replace("_", " "))


def printable(text: str) -> str:
    """Text on one line; nothing from outside may steer what reads it."""
    return "".join(c if c.isprintable() else " " for c in text)


def breadth(text: str) -> float:
    """How broad a text is, in letters of the usual breadth, about, whatever the font."""
    return sum(map(_letters, text))


def _letters(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.9
    if unicodedata.combining(character):
        return 0.0
    if character in "MWmw@%":
        return 1.8
    return 1.3 if character.isupper() else 1.0


def lines(text: str, width: float, most: int) -> Sequence[str]:
    """Text in at most so many lines, each at most so broad; what is too long is cut."""
    found = [""]
    for word in text.split():
        if breadth(f"{found[-1]} {word}".lstrip()) <= width:
            found[-1] = f"{found[-1]} {word}".lstrip()
            continue
        if found[-1]:
            found.append("")
        # Japanese has no spaces, and some words are longer than a line.
        for character in word:
            if breadth(found[-1] + character) > width:
                found.append("")
            found[-1] += character
    if len(found) > most:
        last = found[most - 1]
        while breadth(f"{last}…") > width:
            last = last[:-1]
        found[most - 1 :] = [f"{last}…"]
    return found
