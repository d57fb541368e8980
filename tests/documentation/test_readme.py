"""The README does what it says: its blocks run, and print what it shows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from consumers.demo.story import deliveries
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

README = ROOT / "README.md"


def as_run(block: Block) -> Block:
    """`make demo` installs and then runs `journey demo`; here the installation is there."""
    return replace(block, text=block.text.replace("make demo", "journey demo"))


# What takes long to set up is set up once.
pytestmark = pytest.mark.xdist_group("readme")


@pytest.fixture(scope="module")
def printed() -> dict[int, str]:
    commands = [as_run(block) for block in blocks(README) if block.language == "bash"]
    with own_folder("readme") as folder:
        return run(commands, folder, environment_of(folder))


@pytest.mark.parametrize(
    ("command", "shown"), expectations(README), ids=lambda block: f"line {block.line}"
)
def test_a_block_prints_what_the_page_shows(
    command: Block, shown: Block, printed: dict[int, str]
) -> None:
    """The output in the README is the output."""
    if told := difference(shown.text, printed[command.line]):
        pytest.fail(told)


def test_the_delivery_shown_is_one_of_the_demo() -> None:
    """What the README follows is what is really posted."""
    shown = next(json.loads(block.text) for block in blocks(README) if block.language == "json")
    assert shown in [told.body for told in deliveries()]


def test_it_stays_under_two_screens() -> None:
    """Past that, the design wants a look."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 100
