"""Kafka: what batches bring in ingest and at the door, and what a second ingest process adds.

`kafka_ingest`      from Kafka to committed touchpoints, one process (signed Greenhouse payloads of
                    about 3 kB), against a plain consumer that handles one record, one transaction,
                    one offset commit at a time; and as a share of what the consumer polls alone
`kafka_ingest_two`  two processes against one on the same records; what the processors did
                    meanwhile says what the bottleneck is
`kafka_receiver`    the receiver answering after acks=all, 64 connections, against the same app
                    with one `send().get()` a request

The broker is that of the tests: one node, on the same processors as everything else.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import psycopg

from bench.deliveries import CONNECTION_NAME, SECRET, deliveries
from bench.harness import Figure, rounds, tenant, topic_prefix
from bench.webhook import OneInsert, measured
from consumers import inbox
from consumers.ats_adapters import ALL_ADAPTERS
from consumers.ats_adapters.adapter import Delivery
from consumers.connections import Connection, Connections
from consumers.inbox import Arrival
from consumers.ingest import read_delivery, record_readings
from consumers.kafka_stream import topics
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.ingest import KafkaIngest
from consumers.kafka_stream.keeper import KafkaKeeper
from consumers.kafka_stream.messages import delivery_key, delivery_of, delivery_record
from consumers.webhooks.app import create_app
from consumers.webhooks.server import ReceiverServer
from journey.clock import SystemClock
from journey.database import Database
from journey.journey_log import JourneyLog
from journey.vault import Vault

PEER_SHARE = 20
"""The peer is given a twentieth: its rate does not depend on how many there are."""
_PARTITIONS = 4
_SPAWN = multiprocessing.get_context("spawn")
_CONNECTION = Connection(name=CONNECTION_NAME, source="greenhouse", secrets=(SECRET,))
_HERTZ = os.sysconf("SC_CLK_TCK")


@contextmanager
def _broker() -> Iterator[str]:
    from tests.support.kafka_broker import broker

    with broker(measured=True) as running:
        yield running.bootstrap


def _filled(bootstrap: str, told: list[Delivery]) -> Cluster:
    """Topics of a round's own, with these deliveries on them under their candidates' keys."""
    cluster = Cluster((bootstrap,), prefix=topic_prefix(), partitions=_PARTITIONS)
    topics.init(cluster)
    adapter = ALL_ADAPTERS["greenhouse"]
    with cluster.producer() as producer:
        for each in told:
            found = adapter.reference(each.headers, orjson.loads(each.body), _CONNECTION)
            record = delivery_record(each, delivery_key("greenhouse", found))
            producer.send(cluster.topic("deliveries"), **record._asdict())
        producer.flush()
    return cluster


# --- ingest ---------------------------------------------------------------------------------


def run_ingest(url: str, size: int = 20_000, seed: int = 1) -> Iterator[Figure]:
    """Deliveries a second from the first poll to the last commit; best of three rounds in turn."""
    told = deliveries(size, seed)
    few = told[: max(100, size // PEER_SHARE)]
    ours = peer = polled = 0.0
    with _broker() as bootstrap:
        for _ in rounds():
            cluster = _filled(bootstrap, told)
            polled = max(polled, _poll_rate(cluster, size))
            ours = max(ours, _rate(url, cluster, size, [_ours])[0])
            peer = max(peer, _rate(url, _filled(bootstrap, few), len(few), [_plain])[0])
    yield Figure(
        "kafka_ingest", round(ours), "deliveries/s", size, seed,
        "one record, one transaction, one offset commit at a time", round(peer),
        round(ours / peer, 2), ">= 6",
        {"polled_alone": round(polled), "share_of_polling": round(ours / polled, 3)},
    )  # fmt: skip


def run_two(url: str, size: int = 20_000, seed: int = 1) -> Iterator[Figure]:
    """Two processes of our own against one, in turn, with what the processors did meanwhile."""
    told = deliveries(size, seed)
    best: dict[int, tuple[float, dict[str, float]]] = {}
    with _broker() as bootstrap:
        for _ in rounds():
            for number in (1, 2):
                found = _rate(url, _filled(bootstrap, told), size, [_ours] * number)
                best[number] = max(best.get(number, found), found, key=lambda each: each[0])
    (one, of_one), (two, of_two) = best[1], best[2]
    yield Figure(
        "kafka_ingest_two", round(two), "deliveries/s", size, seed,
        "one ingest process", round(one), round(two / one, 2), ">= 1.4 where there is room",
        {
            "processors": os.cpu_count(),
            **{f"one_{name}": value for name, value in of_one.items()},
            **{f"two_{name}": value for name, value in of_two.items()},
        },
    )  # fmt: skip


def _poll_rate(cluster: Cluster, size: int) -> float:
    """Records a second that the consumer polls, with nothing done with them."""
    from kafka import TopicPartition

    with cluster.consumer(None) as consumer:
        topic = cluster.topic("deliveries")
        consumer.assign([TopicPartition(topic, n) for n in range(_PARTITIONS)])
        consumer.seek_to_beginning()
        found, began = 0, time.perf_counter()
        while found < size:
            found += sum(map(len, consumer.poll(1_000, max_records=500).values()))
        return found / (time.perf_counter() - began)


def _rate(
    url: str, cluster: Cluster, size: int, workers: list[Callable[..., None]]
) -> tuple[float, dict[str, float]]:
    """Deliveries a second once every worker is in the group; what the processors did."""
    with tenant(url) as database:
        # Modules are imported and partitions shared out before the clock runs.
        go = _SPAWN.Event()
        ready = _SPAWN.Semaphore(0)
        processes = [
            _SPAWN.Process(
                target=worker,
                args=(url, database.schema, cluster, len(workers), go, ready),
                daemon=True,
            )
            for worker in workers
        ]
        for process in processes:
            process.start()
        for _ in processes:
            if not ready.acquire(timeout=60):
                raise AssertionError("a worker did not begin; see its message above")
        with psycopg.connect(database.conninfo, autocommit=True) as looking:
            used, began = _processor_seconds(processes), time.perf_counter()
            go.set()
            while (done := _kept(looking)) < size:
                if not all(process.is_alive() for process in processes):
                    raise AssertionError("a worker ended; see its message above")
                time.sleep(0.02)
            seconds = time.perf_counter() - began
            busy = dict.fromkeys(("ingest_cpus", "postgres_cpus", "broker_cpus"), 0.0)
            for pid, (name, now) in _processor_seconds(processes).items():
                busy[name] += (now - used.get(pid, (name, 0.0))[1]) / seconds
            busy = {name: round(value, 2) for name, value in busy.items()}
            waits = _waits(looking) if len(workers) > 1 else {}
        for process in processes:
            process.terminate()
            process.join(30)
    return done / seconds, {**busy, **waits}


def _kept(looking: psycopg.Connection[Any]) -> int:
    row = looking.execute("SELECT count(*) FROM deliveries").fetchone()
    return 0 if row is None else int(row[0])


def _processor_seconds(processes: list[Any]) -> dict[int, tuple[str, float]]:
    """Processor seconds so far, by process: of ingest, of PostgreSQL, of the broker.

    Whatever PostgreSQL and Java this machine runs besides is counted with ours.
    """
    used: dict[int, tuple[str, float]] = {}
    own = {process.pid for process in processes}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "comm").read_text().strip()
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid, seconds = int(folder.name), (int(fields[11]) + int(fields[12])) / _HERTZ
        if pid in own:
            used[pid] = ("ingest_cpus", seconds)
        elif name.startswith("postgres"):
            used[pid] = ("postgres_cpus", seconds)
        elif name == "java":
            used[pid] = ("broker_cpus", seconds)
    return used


def _waits(looking: psycopg.Connection[Any]) -> dict[str, float]:
    row = looking.execute(
        "SELECT coalesce(deadlocks, 0) FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    return {"deadlocks": float(row[0]) if row else 0.0}


class _Held(KafkaIngest):
    """Ingest that waits, in its group and with its share of the partitions, until told to go."""

    share: int
    go: Any
    ready: Any
    _told = False

    def _polled(self) -> list[Any]:
        if self.go.is_set():
            if self._consumer.paused():
                self._read_on()
            return super()._polled()
        self._poll_for_nothing()
        if not self._told and len(self._consumer.assignment()) == self.share:
            self._told = True
            self.ready.release()
        return []


def _ours(url: str, schema: str, cluster: Cluster, number: int, go: Any, ready: Any) -> None:
    database, log = _opened(url, schema)
    ingest = _Held(database, log, Connections([_CONNECTION]), SystemClock(), cluster)
    ingest.share, ingest.go, ingest.ready = _PARTITIONS // number, go, ready
    ingest.run(threading.Event())


def _plain(url: str, schema: str, cluster: Cluster, number: int, go: Any, ready: Any) -> None:
    """The peer: the product's own translation and log, one record at a time."""
    database, log = _opened(url, schema)
    connections, clock = Connections([_CONNECTION]), SystemClock()
    consumer = cluster.consumer("plain")
    consumer.subscribe([cluster.topic("deliveries")])
    while len(consumer.assignment()) < _PARTITIONS:
        consumer.poll(500, max_records=1)
    consumer.seek_to_beginning()
    ready.release()
    go.wait()
    while True:
        for records in consumer.poll(500, max_records=1).values():
            for record in records:
                reading = read_delivery(delivery_of(record), connections, ALL_ADAPTERS)
                with database.transaction() as connection:
                    [outcome], _ = record_readings(log, connection, [reading])
                    inbox.archive(connection, [(reading.delivery, outcome)], clock.now())
                consumer.commit()


def _opened(url: str, schema: str) -> tuple[Database, JourneyLog]:
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    database = Database(url, schema)
    return database, JourneyLog(database, Vault(b"b" * 32), SystemClock())


# --- the receiver ---------------------------------------------------------------------------


class OneSend(OneInsert):
    """The peer: every request sends its own delivery and waits for its acknowledgement."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def start(self) -> None:
        """Begin, inside the running event loop."""
        self._producer = self._cluster.producer(linger_ms=0)
        self._topic = self._cluster.topic("deliveries")
        self._producer.partitions_for(self._topic)

    async def keep(self, arrival: Arrival) -> None:
        """Send one delivery and wait."""
        record = delivery_record(arrival.delivery)
        self._producer.send(self._topic, **record._asdict()).get(30)

    async def close(self) -> None:
        """Give the connection back."""
        self._producer.close(timeout=5)


def run_receiver(url: str, size: int = 20_000, seed: int = 1) -> Iterator[Figure]:
    """Deliveries a second with their p99, best of three rounds each, in turn."""
    best: dict[str, dict[str, float]] = {}
    with _broker() as bootstrap:
        for _ in rounds():
            for variant, share in (("keeper", 1), ("one_send", 10)):
                cluster = _filled(bootstrap, [])
                sent = size // share

                def kept(database: Database, cluster: Cluster = cluster) -> int:
                    return _on_topic(cluster)

                found = measured(url, sent, seed, _serve, (variant, replace(cluster)), kept)
                if variant not in best or found["per_second"] > best[variant]["per_second"]:
                    best[variant] = found
    ours, peer = best["keeper"], best["one_send"]
    yield Figure(
        "kafka_receiver", round(ours["per_second"]), "deliveries/s", size, seed,
        "same app, one send().get() a request", round(peer["per_second"]),
        round(ours["per_second"] / peer["per_second"], 2), ">= 3",
        {"p99_ms": round(ours["p99_ms"], 1), "peer_p99_ms": round(peer["p99_ms"], 1)},
    )  # fmt: skip


def _on_topic(cluster: Cluster) -> int:
    from kafka import TopicPartition

    with cluster.consumer(None) as consumer:
        topic = cluster.topic("deliveries")
        partitions = [TopicPartition(topic, n) for n in range(_PARTITIONS)]
        return sum(consumer.end_offsets(partitions).values())


def _serve(pipe: Any, url: str, tenant_name: str, variant: str, cluster: Cluster) -> None:
    database = Database(url, tenant_name)
    connection = Connection(name="greenhouse", source="greenhouse", secrets=(SECRET,))
    connections = {"greenhouse": connection}
    clock = SystemClock()
    keeper = OneSend(cluster) if variant == "one_send" else KafkaKeeper(cluster, connections, clock)
    app = create_app(database, connections, ALL_ADAPTERS, clock, keeper=keeper)
    ReceiverServer(app, port=0).run(ready=pipe.send)


__all__ = ["run_ingest", "run_receiver", "run_two"]
