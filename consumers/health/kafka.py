"""What is to be said of Kafka: its client, broker, topics, and how far each group and feed is."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from consumers.bootstrap import Installation
from consumers.errors import KafkaUnavailable
from consumers.figures import published
from consumers.health.check import PATIENCE, Check, failed, number
from journey.database import Connection
from journey.errors import ConfigurationError

if TYPE_CHECKING:
    from consumers.kafka_stream.lag import KafkaLag


def client() -> Check:
    """Whether its checksums are quick."""
    if importlib.util.find_spec("crc32c") is None:
        return Check(
            "kafka",
            "wrong",
            "the crc32c extra of kafka-python is missing",
            "install kafka-python[crc32c]; without it Kafka is many times slower",
        )
    return Check("kafka", "ok", "crc32c is there")


def topics(installation: Installation) -> Iterator[Check]:
    """Whether the broker answers, and its topics are as set."""
    # Imported here: most installations work without Kafka, and its client takes a while to load.
    from consumers.kafka_stream.cluster import LOOK_SECONDS
    from consumers.kafka_stream.topics import standings

    cluster = installation.cluster
    try:
        found = standings(cluster, patience_seconds=LOOK_SECONDS)
    except (KafkaUnavailable, ConfigurationError) as error:
        yield failed("kafka broker", error)
        return
    yield Check("kafka broker", "ok", f"answers at {cluster.told}")
    missing = [each.topic for each in found if each.partitions is None]
    differing = [
        f"{each.topic}: {'; '.join(each.differences(cluster))}"
        for each in found
        if each.partitions is not None and each.differences(cluster)
    ]
    if missing:
        told = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        yield Check("kafka topics", "wrong", told, "run `journey kafka init`")
    elif differing:
        yield Check(
            "kafka topics",
            "wrong",
            "; ".join(differing),
            "correct the settings or the topics' own, or move to topics of another prefix",
        )
    else:
        yield Check(
            "kafka topics",
            "ok",
            f"{len(found)} with {number(cluster.partitions, 'partition', 'partitions')} each",
        )
    yield from group_lag(installation, installation.lag_watch.now(), installation.clock.now())


def group_lag(installation: Installation, lag: KafkaLag, now: datetime) -> Iterator[Check]:
    """How far each consumer group is, and since when the oldest it has not handled waits."""
    if lag.problem is not None:
        yield failed("kafka-lag", lag.problem)
    for group in lag.groups:
        process = group.group.removeprefix(installation.cluster.group(""))
        if group.ran_out_records:
            yield Check(
                f"kafka-lag {process}",
                "wrong",
                f"{number(group.ran_out_records, 'record', 'records')} ran out of the topic "
                "before they were handled",
                f"start `journey run {process.removesuffix('-dead-letters')}` and ask their "
                "senders for them again; keep the topic for longer (retention.ms)",
            )
            continue
        behind = [each for each in group.partitions if each.lag_records]
        if not behind:
            yield Check(f"kafka-lag {process}", "ok", "everything is handled")
            continue
        found = (
            f"{number(group.lag_records, 'record', 'records')} unhandled in "
            f"{number(len(behind), 'partition', 'partitions')}, most in "
            f"{max(behind, key=lambda each: each.lag_records).name}"
        )
        if group.oldest_at is not None and now - group.oldest_at > PATIENCE:
            yield Check(
                f"kafka-lag {process}",
                "wrong",
                f"{found}; the oldest waits since {group.oldest_at:%Y-%m-%d %H:%M} UTC",
                f"start `journey run {process.removesuffix('-dead-letters')}`, or more of them, "
                "and read its log",
            )
        elif not group.is_oldest_known:
            yield Check(
                f"kafka-lag {process}",
                "note",
                f"{found}; since when was not told in time",
                "ask again, and look after the broker if it stays so",
            )
        else:
            yield Check(f"kafka-lag {process}", "ok", found)


def publish_lag(
    installation: Installation, connection: Connection, now: datetime
) -> Iterator[Check]:
    """Up to where each log is published: known from the database, without a broker."""
    for each in published(installation, connection):
        found = f"{each.topic} holds all up to position {each.position:,} of {each.head:,}"
        if each.since is not None and now - each.since > PATIENCE:
            yield Check(
                f"kafka-lag {each.feed}",
                "wrong",
                f"{found}; the next was recorded {each.since:%Y-%m-%d %H:%M} UTC",
                f"start `journey run {each.feed}` and read its log",
            )
        else:
            yield Check(f"kafka-lag {each.feed}", "ok", found)


__all__ = ["client", "group_lag", "publish_lag", "topics"]
