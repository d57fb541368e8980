"""SASL/SCRAM over TLS, and TLS with a certificate of our own, against a broker that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from consumers.errors import KafkaUnavailable
from consumers.kafka_stream import topics
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.topics import DELIVERIES
from consumers.settings import Settings
from journey.errors import ConfigurationError
from tests.support.kafka_broker import artifacts, without
from tests.support.kafka_broker.secure import PASSWORD, USERNAME, SecureBroker, secure_broker
from tests.support.processes import PATIENCE_SECONDS

# What takes long to set up is set up once.
pytestmark = pytest.mark.xdist_group("kafka security")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """A broker that lets nobody in without proof."""
    if why := artifacts.missing():
        without(f"a broker with TLS runs from its own jars only, and {why}")
    with secure_broker(tmp_path_factory.mktemp("tls")) as broker:
        yield broker


def by_password(broker: SecureBroker, **change: str) -> Cluster:
    """The cluster that these variables name."""
    return Cluster.from_settings(
        Settings.from_environment(
            {
                "JOURNEY_KAFKA": broker.scram,
                "JOURNEY_KAFKA_PARTITIONS": "3",
                "JOURNEY_KAFKA_SECURITY": "SASL_SSL",
                "JOURNEY_KAFKA_MECHANISM": "SCRAM-SHA-512",
                "JOURNEY_KAFKA_USERNAME": USERNAME,
                "JOURNEY_KAFKA_PASSWORD": PASSWORD,
                "JOURNEY_KAFKA_CA": str(broker.ca),
                **change,
            }
        )
    )


def by_certificate(broker: SecureBroker) -> Cluster:
    return Cluster.from_settings(
        Settings.from_environment(
            {
                "JOURNEY_KAFKA": broker.mutual,
                "JOURNEY_KAFKA_PARTITIONS": "3",
                "JOURNEY_KAFKA_SECURITY": "SSL",
                "JOURNEY_KAFKA_CA": str(broker.ca),
                "JOURNEY_KAFKA_CERTIFICATE": str(broker.certificate),
                "JOURNEY_KAFKA_KEY": str(broker.key),
            }
        )
    )


@pytest.mark.parametrize("way", [by_password, by_certificate])
def test_who_proves_themselves_is_let_in(way: object, guarded: SecureBroker) -> None:
    """Admin, producer and consumer alike, a megabyte through TLS included."""
    assert callable(way)
    cluster: Cluster = way(guarded)
    topics.init(cluster)
    name = cluster.topic(DELIVERIES.name)
    body = bytes(range(256)) * 4096
    producer = cluster.producer()
    sent = producer.send(name, body, key=b"7").get(PATIENCE_SECONDS)
    producer.close()
    consumer = cluster.consumer(way.__name__)
    consumer.subscribe([name])
    read: list[bytes] = []
    for _ in range(240):
        for batch in consumer.poll(timeout_ms=500).values():
            read += [record.value for record in batch if record.offset == sent.offset]
        if read:
            break
    consumer.commit()
    consumer.close()
    assert read == [body]


@pytest.mark.parametrize(
    "change",
    [
        {"JOURNEY_KAFKA_PASSWORD": "wrong-one"},
        {"JOURNEY_KAFKA_USERNAME": "nobody"},
        {"JOURNEY_KAFKA_MECHANISM": "SCRAM-SHA-256"},
    ],
)
def test_who_does_not_is_told_what_to_mend(change: dict[str, str], guarded: SecureBroker) -> None:
    """Not taken for a broker that is away; and the password is in no sentence."""
    said = refusal(by_password(guarded, **change))
    assert "does not let" in said or "perhaps for the user, password or mechanism" in said
    assert PASSWORD not in said
    assert "wrong-one" not in said


def test_a_broker_that_nobody_vouches_for_is_not_spoken_to(guarded: SecureBroker) -> None:
    """The password is never sent to it."""
    stranger = replace(by_password(guarded), ca=None)
    assert "certificate verify failed" in refusal(stranger)


def refusal(cluster: Cluster) -> str:
    """What is said to who is not let in; asked again where the broker had no time to answer."""
    said = ""
    for patience_seconds in (3, 20, PATIENCE_SECONDS):
        with pytest.raises((ConfigurationError, KafkaUnavailable)) as error:
            topics.standings(cluster, patience_seconds=patience_seconds)
        said = str(error.value)
        if "no answer in time" not in said:
            break
    return said


def test_without_our_certificate_nothing_is_answered(guarded: SecureBroker) -> None:
    """Where the broker asks for one."""
    anonymous = replace(by_certificate(guarded), certificate=None, key=None)
    with pytest.raises(KafkaUnavailable):
        topics.standings(anonymous, patience_seconds=2)
