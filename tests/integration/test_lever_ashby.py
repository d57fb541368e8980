"""Lever and Ashby from the door to the log: signed, kept, translated, one journey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from consumers import inbox
from consumers.ats_adapters import ALL_ADAPTERS
from consumers.connections import Connection, Connections
from consumers.ingest import Ingest
from consumers.repair import Repair
from consumers.webhooks.app import create_app
from consumers.webhooks.signatures import ASHBY as SIGNATURE
from journey.database import Database
from journey.journey_log import JourneyLog
from journey.vault import Vault
from tests.support.fakes import FrozenClock
from tests.support.payloads import SECRET, Payloads

LEVER, ASHBY = Payloads("lever"), Payloads("ashby")
CONNECTIONS = Connections(
    [
        LEVER.connection(archive_reasons={"5f4e3d2c-1b0a-4987-8654-3210fedcba08": "rejected"}),
        Connection(name="ashby", source="ashby", secrets=("an-older-secret", SECRET)),
    ]
)
JSON = {"content-type": "application/json"}


class Way:
    """The receiver, the ingest process and the log on one database."""

    def __init__(self, database: Database, client: TestClient) -> None:
        clock = FrozenClock()
        self.database = database
        self.client = client
        self.log = JourneyLog(database, Vault(b"k" * 32), clock)
        self._ingest = Ingest(database, self.log, CONNECTIONS, clock)

    def lever(self, *bodies: Any) -> list[int]:
        """Deliver these, signed as they are; the status of each answer."""
        return [self._post("lever", LEVER.delivery(body).body, JSON) for body in bodies]

    def ashby(self, *names: str) -> list[int]:
        """Deliver payloads of these names, signed."""
        bodies = [ASHBY.delivery(name).body for name in names]
        return [
            self._post("ashby", body, {**JSON, **SIGNATURE.sign(body, SECRET)}) for body in bodies
        ]

    def ingested(self) -> dict[str, int]:
        """Translate what is pending; what became of all deliveries, without the zeros."""
        self._ingest.drain()
        with self.database.transaction() as connection:
            return {status: n for status, n in inbox.counts(connection).items() if n}

    def journey(self, key: str) -> list[str]:
        """The kinds of the touchpoints of whoever this key names."""
        return [touchpoint.KIND for touchpoint in self.log.history(self.log.find(key))]

    def _post(self, to: str, body: bytes, headers: dict[str, str]) -> int:
        return self.client.post(f"/webhooks/{to}", content=body, headers=headers).status_code


@pytest.fixture
def way(database: Database) -> Iterator[Way]:
    """Everything between a sender and a journey."""
    app = create_app(database, CONNECTIONS, ALL_ADAPTERS, FrozenClock())
    with TestClient(app) as client:
        yield Way(database, client)


def test_a_journey_at_lever(way: Way) -> None:
    """Applied, moved, rejected: ids alone, and all of it one person's journey."""
    assert way.lever("contact_created", "application_created", "archived") == [200] * 3
    assert way.lever("moved_to_phone_screen", "archived") == [200] * 2
    assert way.ingested() == {"recorded": 5}
    kinds = [
        "unrecognised_touchpoint",
        "application_submitted",
        "stage_changed",
        "rejection_decided",
    ]
    assert way.journey("lever:contact/c6a5e3d1-7b29-4e8f-a1d2-9f0e8d7c6b03") == kinds
    # An event that names no contact belongs to the same person.
    way.lever(LEVER.changed("hired", "data", contactId=...))
    way.ingested()
    assert way.journey("lever:opportunity/b8f0d2c4-51a7-4c3e-9a43-6f1f6f0d9e01") == [
        *kinds,
        "hired",
    ]


def test_an_archive_reason_that_is_said_later_mends_what_came_before(way: Way) -> None:
    """Unrecognised until the connection says what the reason means; then redriven, once."""
    way.lever("application_created", "archived_as_hired")
    way.ingested()
    person = "lever:contact/c6a5e3d1-7b29-4e8f-a1d2-9f0e8d7c6b03"
    assert way.journey(person) == ["application_submitted", "unrecognised_touchpoint"]
    mended = LEVER.connection(archive_reasons={"16f5e4d3-c2b1-4a09-9876-543210fedc09": "hired"})
    clock = FrozenClock()
    repair = Repair(way.database, way.log, Connections([mended]), clock)
    for _ in range(2):
        repair.run("lever", clock.now() - timedelta(days=1))
        assert Counter(way.journey(person)) == {
            "application_submitted": 1,
            "unrecognised_touchpoint": 1,
            "touchpoint_retracted": 1,
            "hired": 1,
        }


def test_verifying_a_lever_webhook_hires_nobody(way: Way) -> None:
    """The test request is answered and never translated."""
    assert way.lever("webhook_test") == [200]
    assert way.ingested() == {"probe": 1}


def test_a_lever_delivery_nobody_signed_is_refused(way: Way) -> None:
    """Another token, another time, no signature: 401, and Lever tries again."""
    forged = [
        LEVER.changed("hired", token="0" * 48),
        LEVER.changed("hired", triggeredAt=1),
        LEVER.changed("hired", signature=...),
    ]
    assert way.lever(*forged) == [401] * 3
    assert way.ingested() == {"refused": 3}


def test_a_journey_at_ashby_with_every_echo(way: Way) -> None:
    """Every click sends all its actions, twice and in an odd order, and counts once."""
    names = (
        "hired_echo", "application_submitted", "offer_signature_sent", "interview_complete",
        "moved_to_phone_screen_echo", "hired_stage_change", "moved_to_phone_screen", "hired",
        "interview_scheduled_echo", "interview_scheduled", "offer_accepted", "offer_created",
        "offer_sent", "job_updated",
    )  # fmt: skip
    assert way.ashby(*names, *names) == [200] * 2 * len(names)
    assert way.ingested() == {"recorded": 24, "context": 4}
    assert Counter(way.journey("anneke.vermeer@mail.example")) == {
        "application_submitted": 1,
        "stage_changed": 1,
        "interview_scheduled": 1,
        "scorecard_submitted": 2,
        "interview_held": 1,
        "offer_decided": 1,
        "offer_sent": 1,
        "offer_accepted": 1,
        "hired": 1,
        # The signature named an offer alone, and the offer's own action said whose it is.
        "candidates_merged": 1,
    }


def test_two_candidates_that_ashby_merges_are_one_journey(way: Way) -> None:
    """What was told of the deleted one is part of the journey of the merged one."""
    other = ASHBY.changed(
        "application_submitted",
        "data",
        "application",
        id="another-application",
        candidate={"id": "c40d9e8b-3a72-4f16-95b0-6e1d8f7a2b99", "name": "A. Vermeer"},
    )
    body = orjson.dumps(other)
    way.client.post("/webhooks/ashby", content=body, headers=SIGNATURE.sign(body, SECRET))
    way.ashby("application_submitted", "candidates_merged")
    way.ingested()
    told = Counter(way.journey("ashby:candidate/c40d9e8b-3a72-4f16-95b0-6e1d8f7a2b12"))
    assert told["application_submitted"] == 2
    assert told["candidates_merged"] == 1


def test_the_name_at_ashby_is_sealed(way: Way) -> None:
    """Nothing personal of a payload stands in the log in words."""
    way.ashby("application_submitted", "rejected_by_us", "survey_answered")
    way.ingested()
    with way.database.transaction() as connection:
        rows = connection.execute("SELECT state FROM journey_events").fetchall()
    states = b"".join(bytes(row[0]) for row in rows)
    assert rows
    for secret in (b"Anneke", b"Vermeer", b"555 0142", b"vellum", b"waited"):
        assert secret not in states


def test_a_rerun_of_last_week_changes_nothing(way: Way) -> None:
    """A person pressed "Rerun": authentic, accepted, and told already."""
    way.lever("application_created", "hired")
    way.ingested()
    before = way.journey("lever:contact/c6a5e3d1-7b29-4e8f-a1d2-9f0e8d7c6b03")
    assert way.lever("hired", "application_created") == [200, 200]
    way.ingested()
    assert way.journey("lever:contact/c6a5e3d1-7b29-4e8f-a1d2-9f0e8d7c6b03") == before
