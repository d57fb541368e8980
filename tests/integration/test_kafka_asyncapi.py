"""docs/reference/asyncapi.yaml is true: what the topics really hold is what it says they do."""

from __future__ import annotations

import threading
from typing import Any

import jsonschema_rs
import orjson
import yaml

from consumers.connections import Connections
from consumers.kafka_stream.alerts import ALERTS_FEED
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.ingest import KafkaIngest
from consumers.kafka_stream.publish import TOUCHPOINTS_FEED, Feed, Publisher
from docs import asyncapi
from journey.database import Database
from journey.journey_log import JourneyLog
from journey.vault import Vault
from projections.alerts.alert_log import AlertLog
from schemas.analyst_actions import ALL_ALERT_EVENTS
from schemas.registry import BY_TOPIC
from tests.support.alerts import a_sweeper, put_silence
from tests.support.builders import days
from tests.support.every_kind import record_everything
from tests.support.fakes import FrozenClock
from tests.support.greenhouse import CONNECTION, delivery, payload
from tests.support.kafka_deliveries import all_handled, on_topic, running, send
from tests.support.processes import PATIENCE_SECONDS
from tests.support.published import everything_in, published

DOCUMENT = yaml.safe_load(asyncapi.document())


def resolved(path: str) -> Any:
    """What a reference in the document names."""
    found = DOCUMENT
    for part in path.removeprefix("#/").split("/"):
        found = found[part]
    return found


def valid(schema: dict[str, Any], told: Any) -> None:
    """Raises where this is not what the schema says; references are to the whole document."""
    whole = schema | {"components": {"schemas": DOCUMENT["components"]["schemas"]}}
    jsonschema_rs.validator_for(whole, validate_formats=True).validate(told)


def conforms(channel: str, record: Any) -> str:
    """Check a record against the message that the channel says it is; returns its name."""
    headers = {name: value.decode() for name, value in record.headers}
    messages = DOCUMENT["channels"][channel]["messages"]
    name = headers["ce_type"] if "ce_type" in headers else next(iter(messages))
    message = resolved(messages[name]["$ref"])
    traits = [resolved(trait["$ref"]) for trait in message.get("traits", ())]
    for part in (message, *traits):
        valid(part["headers"], headers)
    assert message["bindings"]["kafka"]["key"]["type"] == "string"
    assert record.key.decode()
    if "payload" in message and "$ref" in message["payload"]:
        valid(message["payload"], orjson.loads(record.value))
    return name


def publish(database: Database, cluster: Cluster, feed: Feed) -> None:
    """All that a log holds."""
    stop = threading.Event()
    thread = threading.Thread(target=Publisher(database, cluster, feed).run, args=(stop,))
    thread.start()
    try:
        published(database, cluster, feed=feed)
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)


def test_every_kind_of_touchpoint(database: Database, cluster: Cluster) -> None:
    """Full, blank, corrected, merged, and told in an old version."""
    record_everything(database)
    publish(database, cluster, TOUCHPOINTS_FEED)
    names = {conforms("touchpoints", each) for each in everything_in(cluster, "touchpoints")}
    # A person is erased by a command of its own.
    assert BY_TOPIC.keys() - names <= {"touchpoint.person_erased.v1"}


def test_what_happens_to_alerts(database: Database, cluster: Cluster) -> None:
    """Raised, escalated, acknowledged, resolved."""
    clock = FrozenClock(days(6))
    put_silence(database)
    sweeper = a_sweeper(database, clock)
    sweeper.sweep()
    clock.at = days(11)
    sweeper.sweep()
    alerts = AlertLog(database)
    [alert] = alerts.list()
    alerts.acknowledge(alert.alert_id, "recruiter/7", clock.now())
    alerts.resolve(alert.alert_id, "recruiter/7", "handled", clock.now())
    publish(database, cluster, ALERTS_FEED)
    names = {conforms("alerts", each) for each in everything_in(cluster, "alerts")}
    assert {cls.TOPIC for cls in ALL_ALERT_EVENTS} - names == {"alert.reopened.v1"}


def test_deliveries_and_dead_letters(database: Database, cluster: Cluster) -> None:
    """As the receiver sends them, and as ingest parks them."""
    clock = FrozenClock()
    send(cluster, [delivery(payload("application_received")), delivery({"payload": {}})])
    log = JourneyLog(database, Vault(b"k" * 32), clock)
    with running(KafkaIngest(database, log, Connections([CONNECTION]), clock, cluster)):
        all_handled(cluster)
    log.close()
    assert [conforms("deliveries", each) for each in on_topic(cluster, "deliveries")]
    assert [conforms("deadLetters", each) for each in on_topic(cluster, "dead-letters")]
