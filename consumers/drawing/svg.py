"""A picture as one SVG that needs nothing else: no script, no style sheet, no font. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from xml.sax.saxutils import escape

from consumers.drawing.layout import Point, laid_out
from consumers.drawing.picture import (
    Arrow,
    Box,
    Picture,
    breadth,
    caption,
    length,
    lines,
    often,
    printable,
    said,
    told,
    words,
)

_COLUMN, _LAYER = 138.0, 64.0
_WIDTH, _LINE, _PADDING = 126.0, 14.0, 8.0
_MARGIN, _HEAD, _FOOT = 28.0, 74.0, 46.0
_ROUND = 9.0
_WIDEST, _THINNEST = 9.0, 1.0
_BOX_CHARACTERS, _BOX_LINES = 18, 3
_WIDEST_TITLE = 1_200.0
# How wide a character is, about.
_TITLE_CHARACTER, _CHARACTER, _LABEL_CHARACTER = 8.6, 6.2, 5.6

_INK, _QUIET, _PAPER, _BOX, _RIM = "#1f2933", "#52606d", "#ffffff", "#f0f4f8", "#486581"
# From the quickest to the slowest; told apart by the colour-blind, too, by how dark they are.
_QUICK, _SLOW = (130, 154, 177), (180, 60, 20)


def svg(drawn: Picture) -> str:
    """The picture as an SVG document, ending in a newline."""
    return "\n".join(_Drawing(drawn).parts()) + "\n"


class _Drawing:
    def __init__(self, drawn: Picture) -> None:
        self._drawn = drawn
        self._layout = laid_out(drawn)
        self._most = max((arrow.count for arrow in drawn.arrows), default=1)
        medians = [a.edge.median_seconds for a in drawn.arrows if a.edge is not None]
        self._quickest, self._slowest = min(medians, default=0.0), max(medians, default=0.0)
        self._texts = {number: _text(box) for number, box in enumerate(drawn.boxes)}
        self._joined = {end for arrow in drawn.arrows for end in (arrow.before, arrow.after)}

    def parts(self) -> Iterator[str]:
        """The document, an element a line."""
        drawn = self._drawn
        title, sentence = drawn.title, f"{caption(drawn)} {self._legend()}"
        wide = max(self._layout.width * _COLUMN + _WIDTH, len(sentence) * _CHARACTER)
        # A title may name a hundred jobs: then it is cut, and stands in full in the tooltip.
        wide = max(wide, min(breadth(title) * _TITLE_CHARACTER, _WIDEST_TITLE))
        (headline,) = lines(title, wide / _TITLE_CHARACTER, 1)
        width = wide + 2 * _MARGIN
        height = self._layout.height * _LAYER + _HEAD + _FOOT + 2 * _MARGIN
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'width="{width:.0f}" height="{height:.0f}" role="img" '
            'aria-labelledby="title description" '
            f'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="{_INK}">'
        )
        yield f'<title id="title">{_escaped(title)}</title>'
        yield f'<desc id="description">{_escaped(self._description())}</desc>'
        yield f'<rect width="100%" height="100%" fill="{_PAPER}"/>'
        yield f'<text x="{_MARGIN}" y="{_MARGIN + 8}" font-size="16">{_escaped(headline)}</text>'
        yield (
            f'<text x="{_MARGIN}" y="{_MARGIN + 28}" fill="{_QUIET}">{_escaped(sentence)}</text>'
        )
        routes = self._routes()
        # The widest first, so that the thin ones lie on top, and all words on top of all lines.
        for arrow, points in zip(drawn.arrows, routes, strict=True):
            yield from self._arrow(arrow, points)
        for number, box in enumerate(drawn.boxes):
            yield from self._box(number, box)
        for arrow, label in zip(drawn.arrows, self._layout.labels, strict=True):
            yield from _label(said(arrow), *_place(label))
        yield "</svg>"

    def _legend(self) -> str:
        if self._slowest <= self._quickest:
            return "The wider, the more often."
        return (
            f"The wider, the more often; the redder, the longer, from {length(self._quickest)} "
            f"to {length(self._slowest)}."
        )

    def _description(self) -> str:
        edges = [arrow.edge for arrow in self._drawn.arrows if arrow.edge is not None]
        edges += [box.again for box in self._drawn.boxes if box.again is not None]
        edges.sort(key=lambda edge: -edge.count)
        return f"{caption(self._drawn)} {'; '.join(map(told, edges))}."

    # --- arrows -----------------------------------------------------------------------------

    def _routes(self) -> list[list[Point]]:
        """The points of each arrow, from the rim of a box to that of another.

        Where several meet a side of a box they stand beside each other, in the order in which
        they come, so that they do not cross there.
        """
        routes = [[_place(point) for point in points] for points in self._layout.arrows]
        sides: defaultdict[tuple[int, bool], list[tuple[float, int, int]]] = defaultdict(list)
        for index, (arrow, points) in enumerate(zip(self._drawn.arrows, routes, strict=True)):
            down = points[0][1] < points[-1][1]
            sides[arrow.before, down].append((points[1][0], index, 0))
            sides[arrow.after, not down].append((points[-2][0], index, -1))
        for (number, below), ends in sides.items():
            for place, (_, index, end) in enumerate(sorted(ends), 1):
                x, y = routes[index][end]
                if self._drawn.boxes[number].step is not None:
                    x += (place / (len(ends) + 1) - 0.5) * _WIDTH * 0.8
                half = self._half_height(number)
                routes[index][end] = (x, y + half if below else y - half)
        return routes

    def _arrow(self, arrow: Arrow, points: list[Point]) -> Iterator[str]:
        stroke = _THINNEST + (_WIDEST - _THINNEST) * arrow.count / self._most
        sign = 1.0 if points[0][1] < points[-1][1] else -1.0
        head = 5.0 + stroke
        tip = points[-1]
        points[-1] = (tip[0], tip[1] - sign * head * 0.8)
        colour = self._colour(arrow)
        yield "<g>"
        yield f"<title>{_escaped(self._full(arrow))}</title>"
        yield (
            f'<path d="{_curve(points)}" fill="none" stroke="{colour}" '
            f'stroke-width="{stroke:.1f}" stroke-opacity="0.85"/>'
        )
        x, y = tip
        half = head * 0.6
        yield (
            f'<path d="M{x:.1f} {y:.1f}L{x - half:.1f} {y - sign * head:.1f}'
            f'L{x + half:.1f} {y - sign * head:.1f}Z" fill="{colour}"/>'
        )
        yield "</g>"

    def _full(self, arrow: Arrow) -> str:
        if arrow.edge is not None:
            return told(arrow.edge)
        before, after = (words(self._drawn.boxes[n].what) for n in (arrow.before, arrow.after))
        return f"{before} → {after}: {arrow.count:,} applications"

    def _colour(self, arrow: Arrow) -> str:
        """By the median time, on a scale of its logarithm."""
        share = 0.0
        if arrow.edge is not None and self._slowest > self._quickest:
            low, here, high = (
                math.log1p(max(0.0, each))
                for each in (self._quickest, arrow.edge.median_seconds, self._slowest)
            )
            share = (here - low) / (high - low)
        mixed = (q + (s - q) * share for q, s in zip(_QUICK, _SLOW, strict=True))
        return "#" + "".join(f"{round(each):02x}" for each in mixed)

    def _half_height(self, number: int) -> float:
        if self._drawn.boxes[number].step is None:
            return _ROUND
        return (len(self._texts[number]) * _LINE + _PADDING) / 2

    # --- boxes ------------------------------------------------------------------------------

    def _box(self, number: int, box: Box) -> Iterator[str]:
        x, y = _place(self._layout.boxes[number])
        if box.step is None:
            if number in self._joined:
                yield from _end_of_paths(box, number == 0, x, y)
            return
        half = self._half_height(number)
        step = box.step
        full = (
            f"{words(step.name)}: {step.count:,} times in {step.applications:,} applications, "
            f"first in {step.first:,}, last in {step.last:,}"
        )
        yield "<g>"
        yield f"<title>{_escaped(full)}</title>"
        yield (
            f'<rect x="{x - _WIDTH / 2:.1f}" y="{y - half:.1f}" width="{_WIDTH}" '
            f'height="{2 * half:.1f}" rx="6" fill="{_BOX}" stroke="{_RIM}"/>'
        )
        for place, (line, strong) in enumerate(self._texts[number]):
            weight = ' font-weight="bold"' if strong else ""
            yield (
                f'<text x="{x:.1f}" y="{y - half + _PADDING / 2 + (place + 0.8) * _LINE:.1f}" '
                f'text-anchor="middle"{weight}>{_escaped(line)}</text>'
            )
        yield "</g>"


def _text(box: Box) -> list[tuple[str, bool]]:
    """The lines in a box, and which are strong."""
    if box.step is None:
        return []
    found = [(line, True) for line in lines(words(box.what), _BOX_CHARACTERS, _BOX_LINES)]
    found.append((f"{box.step.count:,}", False))
    if box.again is not None:
        found.append((f"again {often(box.again)}", False))
    return found


def _end_of_paths(box: Box, begins: bool, x: float, y: float) -> Iterator[str]:
    fill = _RIM if begins else _PAPER
    yield (
        f"<g><title>{_escaped('paths begin' if begins else 'paths end')}</title>"
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_ROUND}" fill="{fill}" stroke="{_RIM}" '
        'stroke-width="3"/></g>'
    )


def _label(text: str, x: float, y: float) -> Iterator[str]:
    """Words on a line, which is covered behind them."""
    half = len(text) * _LABEL_CHARACTER / 2 + 3
    yield (
        f'<rect x="{x - half:.1f}" y="{y - 8:.1f}" width="{2 * half:.1f}" height="16" rx="3" '
        f'fill="{_PAPER}" fill-opacity="0.9"/>'
    )
    yield (
        f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" font-size="11">'
        f"{_escaped(text)}</text>"
    )


def _place(point: Point) -> Point:
    """A place of the layout in pixels."""
    x, y = point
    return _MARGIN + _WIDTH / 2 + x * _COLUMN, _MARGIN + _HEAD + y * _LAYER


def _curve(points: list[Point]) -> str:
    """A line that leaves every point straight up or down."""
    x, y = points[0]
    told = [f"M{x:.1f} {y:.1f}"]
    for next_x, next_y in points[1:]:
        middle = (y + next_y) / 2
        told.append(f"C{x:.1f} {middle:.1f} {next_x:.1f} {middle:.1f} {next_x:.1f} {next_y:.1f}")
        x, y = next_x, next_y
    return "".join(told)


def _escaped(text: str) -> str:
    """Text that XML allows."""
    return escape(printable(text))


__all__ = ["svg"]
