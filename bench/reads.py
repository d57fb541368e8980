"""`as_of_read`: one long journey out of a large log, as of a moment."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import timedelta

from bench.data import START
from bench.harness import Figure
from bench.log import LONG_JOURNEYS, LONG_LENGTH, filled, long_journey
from bench.peers import _Fixed
from journey.journey_log import JourneyLog
from journey.vault import Vault

READS = 400


def run(url: str, size: int = 1_000_000, seed: int = 1) -> Iterator[Figure]:
    """The p99 of reading a journey of 200 touchpoints as of random moments, in ms."""
    rng = random.Random(seed)
    with filled(url, size, seed) as database:
        log = JourneyLog(database, Vault(bytes(32)), _Fixed())
        taken = []
        for number in range(READS):
            candidate = long_journey(number % LONG_JOURNEYS)
            moment = START + timedelta(days=rng.randrange(500))
            started = time.perf_counter()
            log.history(candidate, as_of=moment)
            taken.append((time.perf_counter() - started) * 1000)
        whole = len(log.history(long_journey(0)))
    taken.sort()
    yield Figure(
        "as_of_read", round(taken[int(len(taken) * 0.99)], 2), "ms p99", size, seed, bar="<= 20",
        more={"median_ms": round(taken[len(taken) // 2], 2), "touchpoints": whole,
              "expected_touchpoints": LONG_LENGTH},
    )  # fmt: skip
