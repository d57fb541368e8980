"""`journey demo`: the main job on real input, the same on every day and machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest

from consumers.demo.story import CAST
from tests.support.postgres import memory_folder


def run_demo(**environment: str) -> tuple[str, str, float]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("JOURNEY_")}
    # Where its database is for the while it runs.
    in_memory = {"TMPDIR": str(folder)} if (folder := memory_folder()) else {}
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", "from consumers.cli import main; main()", "demo"],
        capture_output=True,
        env={**clean, **in_memory, **environment},
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout.decode(), ended.stderr.decode(), time.monotonic() - began


# What takes long to set up is set up once.
pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def shown() -> tuple[str, str, float]:
    return run_demo(TZ="UTC", PYTHONHASHSEED="1")


def test_two_runs_print_the_same(shown: tuple[str, str, float]) -> None:
    """Also in another time zone, with another hash seed, terminal width and locale."""
    again, _, _ = run_demo(TZ="Asia/Tokyo", PYTHONHASHSEED="2", COLUMNS="40", LC_ALL="C")
    assert again == shown[0]


def test_it_takes_less_than_a_minute(shown: tuple[str, str, float]) -> None:
    """The bar of the issue; it is some seconds on a quiet machine."""
    assert shown[2] < 60


def test_it_shows_a_journey_alerts_of_every_level_and_contradictions(
    shown: tuple[str, str, float],
) -> None:
    """A person gets the point: who waits, by what law, what contradicts what."""
    text = shown[0]
    assert "still silent after 51 days" in text
    for line in (
        r"ghosted +\w{8} \(Amara\)  after interview",
        r"breach +\w{8} \(Amara\)  ontario after interview",
        r"breach +\w{8} \(Dana\)  after missed appointment",
        r"nudge +\w{8} \(Ines\)  after message",
        r"high +\w{8} \(Bela\)  reference after rejection",
        r"high +\w{8} \(Farid\)  rejection not sent",
        r"high +\w{8} \(Greta\)  offer after rejection or withdrawal",
        r"low +\w{8} \(Chidi\)  availability without time zone",
        r"high +\w{8} \(Dana\)  interview nobody came",
        r"medium +\w{8} \(Amara\)  survey while silent",
    ):
        assert re.search(line, text), line
    assert not re.search(r"\(Emi\)", text), "she was treated well"
    assert "1 × disproved" in text


def test_it_prints_nothing_of_this_machine_and_nothing_sealed(
    shown: tuple[str, str, float],
) -> None:
    """No path, port, address or phone number; nothing on stderr; at most 100 columns."""
    text, complaints, _ = shown
    assert complaints == ""
    assert not re.search(r"/tmp|127\.0\.0\.1|localhost", text)
    for who in CAST:
        for personal in (who.email, who.phone, who.name.split()[1]):
            assert personal not in text
    assert max(map(len, text.splitlines())) <= 100
