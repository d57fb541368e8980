"""Drawings of a graph: valid, escaped, and only the frequent part."""

from __future__ import annotations

import random
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from consumers.drawing.dot import dot
from consumers.drawing.layout import laid_out
from consumers.drawing.picture import Picture, breadth, caption, length, lines, picture
from consumers.drawing.svg import svg
from projections.directly_follows import Edge, Graph, Step

NASTY = 'a<b> & "c" \\ ]]> \x07\x1b[31m\n\u202e</svg>\ufffe'
SVG = "{http://www.w3.org/2000/svg}"


def a_graph(edges: dict[tuple[str, str], int]) -> Graph:
    """A graph with these counts; every step is where some paths begin and some end."""
    names = list(dict.fromkeys(name for pair in edges for name in pair))
    return Graph(
        "kind",
        10,
        100,
        tuple(Step(name, 9, 8, 2, 1, float(place)) for place, name in enumerate(names)),
        tuple(
            Edge(before, after, count, 60.0 * count, 50.0 * count, 90.0 * count)
            for (before, after), count in sorted(edges.items(), key=lambda each: -each[1])
        ),
    )


GRAPH = a_graph(
    {("apply", "talk"): 50, ("talk", "talk"): 30, ("talk", "apply"): 15, ("apply", "x"): 5}
)


def drawn(graph: Graph = GRAPH, **limits: int) -> Picture:
    return picture(graph, "All", **limits)


def test_rare_edges_are_hidden_and_it_is_said() -> None:
    """By how often, and by how many; a step that nothing drawn touches is not drawn."""
    assert caption(drawn()).startswith("4 of 4 edges, 100% of all that follows")
    few = drawn(least=15)
    assert caption(few).startswith("3 of 4 edges, 95% of all that follows")
    assert [box.what for box in few.boxes] == ["begin", "apply", "talk", "end"]
    assert caption(drawn(top=1)).startswith("1 of 4 edges, 50% of all that follows")


def test_a_step_after_itself_is_told_in_its_box() -> None:
    """No arrow leads from a box to the same box."""
    assert [box.what for box in drawn().boxes if box.again is not None] == ["talk"]
    assert all(arrow.before != arrow.after for arrow in drawn().arrows)
    assert "again 30 · 25 min" in svg(drawn())


def test_steps_that_nothing_follows_are_drawn() -> None:
    """Applications of one touchpoint each still make a picture."""
    lonely = Graph("kind", 4, 4, (Step("apply", 4, 4, 4, 4, 0.0),), ())
    root = ET.fromstring(svg(drawn(lonely)))
    assert any(text.text == "apply" for text in root.iter(f"{SVG}text"))
    assert "n0 -> n1" in dot(drawn(lonely))


def test_an_svg_is_self_contained_and_says_what_it_shows() -> None:
    """A title, a description with every edge, no script, nothing fetched."""
    text = svg(drawn())
    root = ET.fromstring(text)
    title, description = root[0], root[1]
    assert (title.tag, title.text) == (f"{SVG}title", "All")
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert "apply → talk: 50 times, median 42 min, mean 50 min, p90 75 min" in str(description.text)
    assert {each.tag.removeprefix(SVG) for each in root.iter()} == {
        "svg", "title", "desc", "rect", "text", "g", "path", "circle",
    }  # fmt: skip
    assert "href" not in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_names_from_outside_are_escaped() -> None:
    """Markup, quotes, backslashes, control characters: a stage is called as it pleases."""
    graph = a_graph({(NASTY, "talk"): 3, ("talk", NASTY): 2, (NASTY, NASTY): 1})
    told = picture(graph, NASTY)
    root = ET.fromstring(svg(told))
    shown = [text.text for text in root.iter(f"{SVG}text")]
    assert any(str(text).startswith('a<b> & "c" \\') for text in shown)
    assert all(c.isprintable() or c == "\n" for c in svg(told))
    lines = dot(told).splitlines()
    assert '  n1 [label="a<b> & \\"c\\" \\\\ ]]>' in "\n".join(lines)
    for line in lines:
        bare = line.replace("\\\\", "").replace('\\"', "")
        assert bare.count('"') % 2 == 0, line


@pytest.mark.parametrize(
    "name",
    [
        "一次面接（オンライン）実施後の社内評価待ちステータス", "W" * 60, "i" * 60, "😀" * 40,
        "a long name of many short words that goes on and on and on, and ends",
        "Phone screen", "", "x" * 10_000,
    ],
)  # fmt: skip
def test_words_stay_within_their_box(name: str) -> None:
    """Whatever the script: broad characters count for more. What is cut is said in full, too."""
    lines_of_name = lines(name, 18, 3)
    assert len(lines_of_name) <= 3
    assert all(breadth(line) <= 18 for line in lines_of_name)
    told = "".join(lines_of_name).removesuffix("…").replace(" ", "")
    assert name.replace(" ", "").startswith(told)
    if breadth(name) <= 18:
        assert lines_of_name == [name]
    graph = a_graph({(name, "talk"): 3})
    full = [each.text for each in ET.fromstring(svg(drawn(graph))).iter(f"{SVG}title")]
    assert any(
        str(text).startswith(f"{name}: 3 times") or f"{name} →" in str(text) for text in full
    )


def test_a_long_title_is_cut_and_told_in_full() -> None:
    """A picture of a hundred jobs is no wider than what is drawn of them, or a screen."""
    title = "Stages of 12 applications, job " + ", ".join(f"greenhouse:{n}" for n in range(100))
    root = ET.fromstring(svg(picture(GRAPH, title)))
    assert root[0].text == title
    assert float(root.get("width") or 0) <= 1_300
    shown = [str(text.text) for text in root.iter(f"{SVG}text")]
    assert shown[0].startswith("Stages of 12 applications, job greenhouse:0")
    assert shown[0].endswith("…")


def test_a_picture_is_the_same_each_time() -> None:
    """Also in another process, where names hash otherwise."""
    code = (
        "import sys; sys.path[:0] = sys.argv[1:];"
        "from tests.unit.consumers.test_drawing import *; print(svg(drawn()), end='')"
    )
    for seed in ("1", "2"):
        said = subprocess.run(
            [sys.executable, "-c", code, *sys.path],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
        )
        assert said.stdout == svg(drawn())


@pytest.mark.parametrize("seed", range(30))
def test_any_graph_is_laid_out(seed: int) -> None:
    """Cycles, islands and dense ones: each box and label has a place of its own."""
    rng = random.Random(seed)
    names = [f"step {number}" for number in range(rng.randrange(1, 14))]
    edges = {
        (rng.choice(names), rng.choice(names)): rng.randrange(1, 100)
        for _ in range(rng.randrange(1, 40))
    }
    told = drawn(a_graph(edges))
    layout = laid_out(told)
    places = [*layout.boxes.values(), *layout.labels]
    assert len({(round(x, 3), round(y, 3)) for x, y in places}) == len(places)
    assert len(layout.boxes) == len(told.boxes)
    for arrow, points in zip(told.arrows, layout.arrows, strict=True):
        assert points[0] == layout.boxes[arrow.before]
        assert points[-1] == layout.boxes[arrow.after]
    ET.fromstring(svg(told))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"), (0, "0 s"), (59.6, "60 s"), (89, "89 s"), (90, "2 min"), (5_399, "90 min"),
        (5_400, "1.5 h"), (35_000, "9.7 h"), (40_000, "11 h"), (129_600, "1.5 d"),
        (10 * 86_400, "10 d"), (4_000 * 86_400, "4,000 d"),
    ],
)  # fmt: skip
def test_lengths_are_told_with_two_figures(seconds: float | None, text: str) -> None:
    """In the unit in which they are easiest to read."""
    assert length(seconds) == text
