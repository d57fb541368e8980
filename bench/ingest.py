"""`deliveries_to_touchpoints`: what batching deliveries brings over one transaction each.

Both sides call the product: the signature check of the door, then `Ingest.step`, which takes
stored deliveries, translates, resolves identity, seals, appends, marks and commits. Ours takes a
batch a transaction, the peer one delivery. Each round begins with an empty log of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.deliveries import CONNECTION_NAME, SECRET, deliveries
from bench.harness import Figure, in_turn, seconds, tenant
from consumers import inbox
from consumers.ats_adapters import ALL_ADAPTERS
from consumers.ats_adapters.adapter import Delivery
from consumers.connections import Connection, Connections
from consumers.ingest import BATCH, Ingest
from journey.clock import SystemClock
from journey.database import Database
from journey.journey_log import JourneyLog
from journey.vault import Vault

NAME = "deliveries_to_touchpoints"
PEER_SHARE = 10
"""The peer is given a tenth of the deliveries: its rate does not depend on how many there are."""


def run(url: str, size: int = 20_000, seed: int = 1) -> Iterator[Figure]:
    """One figure: deliveries a second, in batches and one transaction each, on this server."""
    told = deliveries(size, seed)
    few = told[: max(1, size // PEER_SHARE)]
    best, peer = in_turn(lambda: _rate(url, told, BATCH), lambda: _rate(url, few, 1))
    yield Figure(
        NAME, round(best), "deliveries/s", size, seed, "one transaction a delivery", round(peer),
        round(best / peer, 2), ">= 5",
        {"batch": BATCH, "body_bytes": sum(len(one.body) for one in told) // size},
    )  # fmt: skip


def _rate(url: str, told: list[Delivery], batch: int) -> float:
    with tenant(url) as database:
        with database.transaction() as connection:
            for start in range(0, len(told), 1_000):
                inbox.keep(connection, told[start : start + 1_000])
        ingest = _ingest(database)

        def work() -> None:
            _verify(told)
            ingest.drain(batch)

        return len(told) / seconds(work)


def _verify(told: list[Delivery]) -> None:
    """What the receiver does for each before it keeps it."""
    for one in told:
        ALL_ADAPTERS[one.source].verify(one.headers, one.body, [SECRET], one.received_at)


def _ingest(database: Database) -> Ingest:
    clock = SystemClock()
    connection = Connection(name=CONNECTION_NAME, source="greenhouse", secrets=(SECRET,))
    log = JourneyLog(database, Vault(b"b" * 32), clock)
    return Ingest(database, log, Connections([connection]), clock)
