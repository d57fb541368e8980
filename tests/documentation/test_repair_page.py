"""docs/how-to/repair.md mends a mapping, and prints what it shows."""

from __future__ import annotations

import pytest

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

PAGE = ROOT / "docs" / "how-to" / "repair.md"


@pytest.fixture(scope="module")
def printed() -> dict[int, str]:
    commands = [block for block in blocks(PAGE) if block.language == "bash"]
    with own_folder("repair") as folder:
        home = folder / "home"
        home.mkdir()
        connections = str(folder / "connections.yaml")
        environment = environment_of(folder, JOURNEY_CONNECTIONS=connections)
        return run(commands, folder, environment)


@pytest.mark.parametrize(
    ("command", "shown"), expectations(PAGE), ids=lambda block: f"line {block.line}"
)
def test_a_block_prints_what_the_page_shows(
    command: Block, shown: Block, printed: dict[int, str]
) -> None:
    """A repair as it is shown is a repair as it is done."""
    if told := difference(shown.text, printed[command.line]):
        pytest.fail(told)
