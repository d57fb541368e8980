"""Code blocks of a page: finding them, running the bash ones, comparing what they print.

A block of `bash` is run, and the block right after it, if it is `text` or `json`, is what it
prints. In what is expected, a line that holds only `…` stands for any number of lines, and `…`
within a line for any characters. Blanks at the ends of lines do not count. Nothing else is
normalised.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.support.postgres import memory_folder

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "\x1e"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language, what it holds, and its place on the page."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(text)
    ]


def expectations(page: Path) -> list[tuple[Block, Block]]:
    """(bash block, what it prints) of every bash block that an output follows."""
    return [
        (block, after)
        for block, after in pairwise(blocks(page))
        if block.language == "bash" and after.language in ("text", "json")
    ]


def run(commands: list[Block], folder: Path, environment: Mapping[str, str]) -> dict[int, str]:
    """Run the blocks in one shell in this folder; returns what each printed, by its line.

    A block that fails ends the run and the test.
    """
    script = "set -euo pipefail\n" + "".join(
        f"printf '{_MARK}{block.line}\\n'\n{block.text}" for block in commands
    )
    shell = subprocess.Popen(
        [shutil.which("bash") or "bash", "-c", script],
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, complaints = shell.communicate(timeout=600)
    finally:
        # What a block left in the background ends with the run, also with one that failed.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
    said = out.decode()
    assert shell.returncode == 0, said[-2000:] + complaints.decode()[-2000:]
    printed = {}
    for part in said.split(_MARK)[1:]:
        line, _, text = part.partition("\n")
        printed[int(line)] = text
    return printed


@contextlib.contextmanager
def own_folder(name: str) -> Iterator[Path]:
    """A folder for a run, gone afterwards. Not pytest's: PostgreSQL runs as another user there."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=memory_folder()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment_of(folder: Path, **more: str) -> dict[str, str]:
    """An environment without settings of this machine, its data and files in `folder`."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("JOURNEY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{clean.get('PATH', '')}"
    return {
        **clean,
        "PATH": path,
        "TMPDIR": str(folder),
        "JOURNEY_HOME": str(folder / "home"),
        **more,
    }


def difference(expected: str, printed: str) -> str | None:
    """None if what was printed is what the page shows, else both."""
    wanted = [line.rstrip() for line in expected.splitlines()]
    pattern = "".join(
        r"(?:[^\n]*\n)*?" if line == "…" else _line_pattern(line) + r"\n" for line in wanted
    )
    text = "".join(line.rstrip() + "\n" for line in printed.splitlines())
    if re.fullmatch(pattern, text):
        return None
    return f"the page shows\n{expected}\nand the command prints\n{printed}"


def _line_pattern(line: str) -> str:
    return r"[^\n]*?".join(re.escape(part) for part in line.split("…"))
