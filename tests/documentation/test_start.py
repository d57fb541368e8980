"""docs/start.md leads to a working connection: its blocks run against a real server."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

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
from tests.support.kafka_broker.brokers import free_ports

PAGE = ROOT / "docs" / "start.md"

# What a person does in another terminal, and the moment they take to look.
IN_THE_BACKGROUND = """\
journey serve > serve.out 2> serve.err &
serving=$!
trap 'kill $serving; wait $serving || true' EXIT
curl --silent --retry 120 --retry-delay 1 --retry-connrefused \
  --output /dev/null http://127.0.0.1:8080/-/health
"""
UNTIL_GHOSTED = """\
for _ in $(seq 240); do
  if journey alerts --json | grep -q ghosted; then break; fi
  sleep 0.5
done
"""


def as_run(block: Block, port: int) -> Block:
    """The block for one shell and a port that is free."""
    text = block.text
    if text.strip() == "journey serve":
        text = IN_THE_BACKGROUND
    elif text.startswith("journey show"):
        text = UNTIL_GHOSTED + text
    return replace(block, text=text.replace("8080", str(port)))


# What takes long to set up is set up once.
pytestmark = pytest.mark.xdist_group("start")


@pytest.fixture(scope="module")
def printed() -> dict[int, str]:
    for tool in ("bash", "curl", "openssl"):
        if shutil.which(tool) is None:
            if os.environ.get("CI") == "true":
                pytest.fail(f"{tool} must be installed in CI")
            pytest.skip(f"{tool} is not installed, and the page uses it")
    (port,) = free_ports(1)
    commands = [as_run(block, port) for block in blocks(PAGE) if block.language == "bash"]
    with own_folder("start") as folder:
        environment = environment_of(folder, JOURNEY_PORT=str(port))
        # The page relies on the default.
        del environment["JOURNEY_HOME"]
        return run(commands, folder, environment)


@pytest.mark.parametrize(
    ("command", "shown"), expectations(PAGE), ids=lambda block: f"line {block.line}"
)
def test_a_block_prints_what_the_page_shows(
    command: Block, shown: Block, printed: dict[int, str]
) -> None:
    """What the page shows is what a newcomer sees."""
    if told := difference(shown.text, printed[command.line]):
        pytest.fail(told)
