"""Pages of docs/how-to/ are true: their commands run on a fresh installation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consumers.imports.log_map import load_log_map
from tests.documentation.blocks import (
    ROOT,
    Block,
    blocks,
    difference,
    environment_of,
    expectations,
    own_folder,
    run,
)

HOW_TO = ROOT / "docs" / "how-to"
PAGES = ("import-a-log", "measure-journeys", "repair")


def shown() -> list[Any]:
    """(page, bash block, what it prints) of every bash block that an output follows."""
    return [
        pytest.param(page, command, output, id=f"{page} line {output.line}")
        for page in PAGES
        for command, output in expectations(HOW_TO / f"{page}.md")
    ]


@pytest.fixture(scope="module")
def printed(request: pytest.FixtureRequest) -> dict[int, str]:
    """What each block of a page printed, by its line."""
    page: str = request.param
    commands = [block for block in blocks(HOW_TO / f"{page}.md") if block.language == "bash"]
    with own_folder(page) as folder:
        (folder / "home").mkdir()
        connections = str(folder / "connections.yaml")
        told = run(commands, folder, environment_of(folder, JOURNEY_CONNECTIONS=connections))
        leaves_what_it_says(page, folder)
        return told


def leaves_what_it_says(page: str, folder: Path) -> None:
    """Files that a page has its reader make."""
    if page == "import-a-log":
        # Proposed, and therefore a map that loads.
        assert load_log_map(str(folder / "suggested.yaml")).case == "Case ID"
    elif page == "measure-journeys":
        assert (folder / "map.svg").read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize(("printed", "command", "output"), shown(), indirect=["printed"])
def test_a_block_prints_what_the_page_shows(
    printed: dict[int, str], command: Block, output: Block
) -> None:
    """What the page shows is what a reader sees."""
    if told := difference(output.text, printed[command.line]):
        pytest.fail(told)
