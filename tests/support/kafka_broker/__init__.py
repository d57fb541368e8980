"""A real Apache Kafka for tests: one node, KRaft, in a folder and on ports of its own.

What is there is used, in this order:

1. JOURNEY_KAFKA: somebody's broker. It cannot be stopped, so tests that stop one skip.
2. Java and Maven: the artifacts of Apache Kafka (`pom.xml`), fetched once.
3. A container engine: the official image of the same version.

Where none is possible `broker()` raises NoBroker, which says why; the fixture `kafka` skips with
it, and fails under CI=true.

One broker serves all tests of a process (some 300 MB, 6 s to start), and under xdist each worker
that needs one has its own: starting one is cheap, and a fault test may stop its worker's broker
without another worker's tests noticing. Tests keep apart by the prefix of their topics and groups.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest

from consumers.kafka_stream.cluster import Cluster
from tests.support.kafka_broker import artifacts
from tests.support.kafka_broker.brokers import Broker, ContainerBroker, NativeBroker, OutsideBroker
from tests.support.kafka_broker.brokers import engine as container_engine


class NoBroker(Exception):
    """No broker can be had on this machine; the text says why and what would help."""


@contextmanager
def broker(*, own: bool = False, measured: bool = False) -> Iterator[Broker]:
    """A running broker, gone afterwards whatever happened.

    `own` asks for one that can be stopped, even where JOURNEY_KAFKA names another; `measured` for
    one as fast as in production. Raises NoBroker.
    """
    with _found(own, measured) as found:
        try:
            found.start()
            yield found
        finally:
            found.close()


def _found(own: bool, measured: bool) -> Broker:
    outside = os.environ.get("JOURNEY_KAFKA")
    if outside and not own:
        return OutsideBroker(outside)
    missing = artifacts.missing()
    if missing is None:
        return NativeBroker(measured=measured)
    if engine := container_engine():
        return ContainerBroker(engine, artifacts.version())
    raise NoBroker(
        f"no Kafka for tests: JOURNEY_KAFKA is not set, {missing}, and no container engine "
        "answers; install a Java 17 runtime and Maven"
    )


def without(why: str) -> NoReturn:
    """Skip a test that cannot have its broker; where CI=true fail it, since there it must."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def kafka_environment(cluster: Cluster) -> dict[str, str]:
    """The variables with which a process works on the topics of a test."""
    return {
        "JOURNEY_KAFKA": cluster.address,
        "JOURNEY_KAFKA_PREFIX": cluster.prefix,
        "JOURNEY_KAFKA_PARTITIONS": str(cluster.partitions),
        "JOURNEY_KAFKA_REPLICATION": str(cluster.replication),
    }


__all__ = ["Broker", "NoBroker", "broker", "kafka_environment", "without"]
