"""Ten bad messages and a limit of two: it stops, two are parked, eight wait, none is lost."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from consumers import inbox
from consumers.ats_adapters.adapter import Adapter, Delivery, Translation
from consumers.ats_adapters.greenhouse import Greenhouse
from consumers.connections import Connection, Connections
from consumers.errors import Untranslatable
from consumers.inbox import Filters
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.dead_letters import DeadLetterLimitPassed
from consumers.kafka_stream.ingest import KafkaIngest
from journey.database import Database
from journey.journey_log import JourneyLog
from journey.vault import Vault
from tests.support.fakes import FrozenClock
from tests.support.greenhouse import ADAPTER, CONNECTION, changed, delivery
from tests.support.kafka_deliveries import all_handled, dead_letters, running, send, unhandled
from tests.support.processes import until

REASON = "payload.application is written differently since today"


class OutOfDate(Greenhouse):
    """An adapter whose vendor changed something."""

    def translate(self, delivery: Delivery, connection: Connection) -> Translation:
        raise Untranslatable(REASON)


def test_ten_bad_messages_with_a_limit_of_two(database: Database, cluster: Cluster) -> None:
    """After the fix all ten are touchpoints; nothing vanished, however often it starts."""
    log = JourneyLog(database, Vault(b"k" * 32), FrozenClock())

    def ingest(adapter: Adapter) -> KafkaIngest:
        adapters: Mapping[str, Adapter] = {"greenhouse": adapter}
        return KafkaIngest(
            database, log, Connections([CONNECTION]), FrozenClock(), cluster,
            adapters=adapters, limit=(2, 20),
        )  # fmt: skip

    told = [
        delivery(changed("application_received", id=number, candidate={"id": 1_000 + number}))
        for number in range(1, 11)
    ]
    send(cluster, told)

    # It stops, and says why; a supervisor that starts it again parks no more.
    for _ in range(3):
        with pytest.raises(DeadLetterLimitPassed, match="more than 2 dead letters of the last 20"):
            ingest(OutOfDate()).run(threading.Event())
        assert len(dead_letters(cluster)) == 2
        assert unhandled(cluster) == 8
        assert counts(database) == {"dead": 2}
    ids = {each.delivery_id for each in told}
    for letter in dead_letters(cluster):
        assert letter.reason == REASON
        assert letter.delivery_id in ids
        assert letter.again.value == next(
            each.body for each in told if each.delivery_id == letter.delivery_id
        )

    # The adapter is mended. What waited is handled, what was parked is redriven.
    with running(ingest(ADAPTER)):
        all_handled(cluster)
        assert counts(database) == {"dead": 2, "recorded": 8}
        with database.transaction() as connection:
            assert inbox.redrive(connection, Filters(status="dead")) == 2
        until(lambda: counts(database) == {"recorded": 10}, "all ten are recorded")
    log.close()
    with database.transaction() as connection:
        found = connection.execute("SELECT touchpoint_id FROM journey_events").fetchall()
    assert len(found) == 10
    assert len(dead_letters(cluster)) == 2


def counts(database: Database) -> dict[str, int]:
    """How many deliveries have each status, without the zeros."""
    with database.transaction() as connection:
        return {status: n for status, n in inbox.counts(connection).items() if n}
