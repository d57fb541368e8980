"""docs/how-to/measure-journeys.md is true: its commands run on a fresh installation."""

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

PAGE = ROOT / "docs" / "how-to" / "measure-journeys.md"


@pytest.fixture(scope="module")
def printed() -> dict[int, str]:
    commands = [block for block in blocks(PAGE) if block.language == "bash"]
    with own_folder("measures") as folder:
        told = run(commands, folder, environment_of(folder))
        assert (folder / "map.svg").read_text(encoding="utf-8").startswith("<svg")
        return told


@pytest.mark.parametrize(
    ("command", "shown"), expectations(PAGE), ids=lambda block: f"line {block.line}"
)
def test_a_block_prints_what_the_page_shows(
    command: Block, shown: Block, printed: dict[int, str]
) -> None:
    """What the page shows is what a reader sees."""
    if told := difference(shown.text, printed[command.line]):
        pytest.fail(told)
