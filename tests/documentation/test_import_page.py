"""docs/how-to/import-a-log.md is true: its commands run on a fresh installation."""

from __future__ import annotations

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

PAGE = ROOT / "docs" / "how-to" / "import-a-log.md"


@pytest.fixture(scope="module")
def printed() -> dict[int, str]:
    commands = [block for block in blocks(PAGE) if block.language == "bash"]
    with own_folder("import") as folder:
        told = run(commands, folder, environment_of(folder))
        # Proposed, and therefore a map that loads.
        assert load_log_map(str(folder / "suggested.yaml")).case == "Case ID"
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
