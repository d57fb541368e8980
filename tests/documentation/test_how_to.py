"""Pages of docs/how-to/ are true: their commands run on a fresh installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumers.imports.log_map import load_log_map
from tests.documentation.blocks import (
    ROOT,
    blocks,
    difference,
    environment_of,
    expectations,
    own_folder,
    run,
)

HOW_TO = ROOT / "docs" / "how-to"


@pytest.mark.parametrize("name", ["import-a-log", "measure-journeys", "repair"])
def test_every_block_prints_what_the_page_shows(name: str) -> None:
    """What the page shows is what a reader sees."""
    page = HOW_TO / f"{name}.md"
    commands = [block for block in blocks(page) if block.language == "bash"]
    with own_folder(name) as folder:
        (folder / "home").mkdir()
        connections = str(folder / "connections.yaml")
        printed = run(commands, folder, environment_of(folder, JOURNEY_CONNECTIONS=connections))
        leaves_what_it_says(name, folder)
    for command, shown in expectations(page):
        if told := difference(shown.text, printed[command.line]):
            pytest.fail(f"{page.name}, line {shown.line}: {told}")


def leaves_what_it_says(name: str, folder: Path) -> None:
    """Files that a page has its reader make."""
    if name == "import-a-log":
        # Proposed, and therefore a map that loads.
        assert load_log_map(str(folder / "suggested.yaml")).case == "Case ID"
    elif name == "measure-journeys":
        assert (folder / "map.svg").read_text(encoding="utf-8").startswith("<svg")
