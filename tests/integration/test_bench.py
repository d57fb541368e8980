"""Every measurement of `make bench` works: a change that breaks one is found by its test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import FIGURES
from tests.support.kafka_broker import Broker
from tests.support.truth import FULL

ROOT = Path(__file__).parents[2]
SIZE = "400"
NAMES = list({run: name for name, run in FIGURES.items()}.values())
"""One name of each measurement."""
LONG = {
    "webhook_vs_insert", "read_csv", "export_parquet", "export_ocel", "dfg", "project_two",
    "delivery_to_view", "kafka_ingest_two", "kafka_receiver",
}  # fmt: skip
"""Those whose peers and processes alone take long to start: with JOURNEY_FULL=1."""
ON_KAFKA = {
    "kafka_publish",
    "delivery_to_view",
    "kafka_ingest",
    "kafka_ingest_two",
    "kafka_receiver",
}
FIELDS = {"name", "figure", "unit", "peer", "ratio", "size", "seed"}
TOO_SLOW = "this machine cannot make the rate"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if FULL or name not in LONG])
def test_a_measurement_works(name: str, request: pytest.FixtureRequest) -> None:
    """Small and once: a line for the figure, all fields in it, and nothing else on stdout."""
    environment = dict(os.environ)
    if name in ON_KAFKA:
        kafka: Broker = request.getfixturevalue("kafka")
        environment["JOURNEY_KAFKA"] = kafka.bootstrap
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--only", name, "--size", SIZE, "--rounds", "1"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    if name == "delivery_to_view" and TOO_SLOW in done.stderr:
        # It then refuses to give a figure, as it should: the rate is part of what is measured.
        return
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines
    for line in lines:
        assert line.keys() >= FIELDS
        assert line["figure"] > 0
        assert line["name"].startswith(name.removesuffix("_two"))
        assert (line["peer"] is None) == (line["ratio"] is None)


def test_a_figure_that_is_none() -> None:
    """Exit code 2, and what there is."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--only", "speed"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no figure is called speed; known: append_vs_save, " in done.stderr
