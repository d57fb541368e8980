"""A picture in DOT, the language of Graphviz. Pure."""

from __future__ import annotations

from consumers.drawing.picture import (
    BEGIN,
    Arrow,
    Box,
    Picture,
    caption,
    often,
    printable,
    said,
    words,
)


def dot(drawn: Picture) -> str:
    """The picture as one digraph; a box is called n0, n1 …, what it is stands in its label."""
    most = max((arrow.count for arrow in drawn.arrows), default=1)
    joined = {end for arrow in drawn.arrows for end in (arrow.before, arrow.after)}
    return "\n".join(
        [
            "digraph journeys {",
            f"  label={_quoted(drawn.title, caption(drawn))};",
            "  labelloc=t; rankdir=TB; fontname=Helvetica;",
            "  node [shape=box, style=rounded, fontname=Helvetica, fontsize=11];",
            "  edge [fontname=Helvetica, fontsize=9];",
            *(
                f"  n{number} [{_box(box)}];"
                for number, box in enumerate(drawn.boxes)
                if box.step is not None or number in joined
            ),
            *(f"  {_arrow(arrow, most)};" for arrow in drawn.arrows),
            *(
                f"  n{number} -> n{number} [label={_quoted(often(box.again))}];"
                for number, box in enumerate(drawn.boxes)
                if box.again is not None
            ),
            "}",
            "",
        ]
    )


def _box(box: Box) -> str:
    if box.step is None:
        shape = "circle" if box.what == BEGIN else "doublecircle"
        return f'label="", xlabel={_quoted(box.what)}, shape={shape}, width=0.2'
    return f"label={_quoted(words(box.what), f'{box.step.count:,}')}"


def _arrow(arrow: Arrow, most: int) -> str:
    width = 1 + 5 * arrow.count / most
    ends = f"n{arrow.before} -> n{arrow.after}"
    return f"{ends} [label={_quoted(said(arrow))}, penwidth={width:.2f}]"


def _quoted(*lines: str) -> str:
    """A quoted string. A backslash would begin one of DOT's escapes, so it is doubled."""
    told = (printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(told) + '"'
