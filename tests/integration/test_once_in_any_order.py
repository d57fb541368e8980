"""Each fact counts once and belongs to one person, in whatever order a story arrives.

Webhooks and polls, echoes and retries, candidates that the ATS merges while deliveries of both
are under way, an adapter that is mended in the middle: the order is drawn, what holds is not.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import orjson
import pytest

from consumers import inbox
from consumers.ats_adapters import ALL_ADAPTERS
from consumers.ats_adapters.adapter import BEFORE, POLLED, Adapter, Delivery, Translation
from consumers.ats_adapters.greenhouse_harvest import before
from consumers.connections import Connection, Connections
from consumers.ingest import Ingest
from consumers.repair import Repair
from journey.database import Database
from journey.journey_log import JourneyLog
from projections.effective import effective
from projections.fact import Fact
from projections.reading import read_page
from schemas.statement import Statement
from tests.support.builders import a_log
from tests.support.fakes import FrozenClock
from tests.support.payloads import RECEIVED_AT, Payloads

ASHBY, GREENHOUSE, LEVER = (Payloads(name) for name in ("ashby", "greenhouse", "lever"))
SEEDS = range(3)


class Mistaken:
    """An adapter with bugs: an hour late, in a stage that is none, and now and then speechless."""

    def __init__(self, right: Adapter) -> None:
        self.name = right.name
        self._right = right

    def translate(self, delivery: Delivery, connection: Connection) -> Translation:
        said = self._right.translate(delivery, connection)
        return replace(said, statements=tuple(map(self._wrong, said.statements[:2])))

    def _wrong(self, said: Statement) -> Statement:
        told = said.touchpoint
        wrong = {"occurred_at": told.occurred_at + timedelta(hours=1), "stage": "Oops"}
        return msgspec.structs.replace(said, touchpoint=told.model_copy(update=wrong))


def polled(endpoint: str, name: str, earlier: str | None = None) -> Delivery:
    """An object of Harvest as the poller keeps it."""
    folder = GREENHOUSE.folder / "harvest"
    headers = {POLLED: endpoint}
    if earlier is not None:
        headers[BEFORE] = before((folder / f"{earlier}.json").read_bytes()).decode()
    body = (folder / f"{name}.json").read_bytes()
    return replace(GREENHOUSE.delivery(body), headers=headers)


def _of(system: Payloads, name: str, **ids: tuple[str, Any]) -> dict[str, Any]:
    """A payload with some words replaced wherever they stand."""
    text = orjson.dumps(system.payload(name)).decode()
    for old, new in ids.values():
        assert old in text
        text = text.replace(old, str(new))
    found: dict[str, Any] = orjson.loads(text)
    return found


GREENHOUSE_SECOND = {
    "candidate": ("70110001", 70110002),
    "application": ("90310001", 90310002),
    "email": ("@mail.example", "@other.example"),
    "phone": ("555 0142", "555 0177"),
}


def greenhouse_story() -> tuple[list[Delivery], dict[str, int], Sequence[str]]:
    """One person under two ids that are merged; what is polled is told by webhooks too."""
    only_application = {"application": GREENHOUSE_SECOND["application"]}
    second = _of(GREENHOUSE, "application_received", **GREENHOUSE_SECOND)
    second_moved = _of(GREENHOUSE, "moved_to_phone_screen", **GREENHOUSE_SECOND)
    # After the merge the same application is told of as the survivor's.
    second_rejected = _of(GREENHOUSE, "rejected_by_us", **only_application)
    pushed = [
        "application_received", "moved_to_phone_screen", "rejected_by_us", "offer_created",
        "offer_sent", "offer_accepted", "hired", "interview_deleted", "candidates_merged",
        second, second_moved, second_rejected,
    ]  # fmt: skip
    deliveries = [
        *map(GREENHOUSE.delivery, pushed),
        polled("candidates", "candidate_rejected"),
        polled("offers", "offer_accepted"),
        polled("scheduled_interviews", "interview_scheduled"),
        polled("scheduled_interviews", "interview_over", earlier="interview_scheduled"),
        polled("activity_feed", "feed"),
    ]
    people = ("greenhouse:candidate/70110001", "greenhouse:candidate/70110002")
    return deliveries, {"application_submitted": 2, "rejection_decided": 2, "hired": 1}, people


def ashby_story() -> tuple[list[Delivery], dict[str, int], Sequence[str]]:
    """Every echo, and an application of the candidate that is merged into the other."""
    second = {
        "candidate": ("95b0-6e1d8f7a2b12", "95b0-6e1d8f7a2b99"),
        "email": ("@mail.example", "@other.example"),
    }  # fmt: skip
    absorbed = _of(ASHBY, "application_submitted", **second)
    absorbed["data"]["application"]["id"] = "another-application"
    rejected = ASHBY.changed("rejected_by_us", "data", "application", id="another-application")
    pushed = [
        "application_submitted", "moved_to_phone_screen", "moved_to_phone_screen_echo",
        "interview_scheduled", "interview_scheduled_echo", "interview_complete", "offer_created",
        "offer_sent", "offer_signature_sent", "offer_accepted", "offer_signature_completed",
        "hired", "hired_stage_change", "hired_echo", "candidates_merged", absorbed, rejected,
    ]  # fmt: skip
    people = (
        "ashby:candidate/c40d9e8b-3a72-4f16-95b0-6e1d8f7a2b12",
        "ashby:candidate/c40d9e8b-3a72-4f16-95b0-6e1d8f7a2b99",
    )
    counts = {"application_submitted": 2, "hired": 1, "offer_accepted": 1, "rejection_decided": 1}
    return [ASHBY.delivery(one) for one in pushed], counts, people


def lever_story() -> tuple[list[Delivery], dict[str, int], Sequence[str]]:
    """No event tells of a merge: one opportunity is told of under two contacts."""
    contact = {"contact": ("c6a5e3d1-7b29-4e8f-a1d2-9f0e8d7c6b03", "another-contact")}
    pushed = [
        "contact_created", "application_created", "moved_to_phone_screen", "interview_created",
        "archived", "unarchived", "hired", _of(LEVER, "contact_created", **contact),
        _of(LEVER, "moved_to_offer", **contact),
    ]  # fmt: skip
    people = (
        "lever:contact/c6a5e3d1-7b29-4e8f-a1d2-9f0e8d7c6b03",
        "lever:contact/another-contact",
        "lever:opportunity/b8f0d2c4-51a7-4c3e-9a43-6f1f6f0d9e01",
    )
    return [LEVER.delivery(one) for one in pushed], {"hired": 1, "stage_changed": 2}, people


STORIES = {"ashby": ashby_story, "greenhouse": greenhouse_story, "lever": lever_story}


@dataclass
class World:
    """An inbox and a log of one connection."""

    database: Database
    name: str

    def __post_init__(self) -> None:
        self.clock = FrozenClock(RECEIVED_AT)
        self.log: JourneyLog = a_log(self.database, self.clock, b"k" * 32)
        self.connections = Connections([Payloads(self.name).connection()])

    def arrives(self, *deliveries: Delivery) -> None:
        """Each under an id of its own, at a time of its own."""
        self.clock.advance(timedelta(seconds=1))
        now = self.clock.now()
        with self.database.transaction() as connection:
            inbox.keep(
                connection,
                [
                    replace(one, delivery_id=inbox.new_delivery_id(now), received_at=now)
                    for one in deliveries
                ],
            )

    def ingests(self, adapters: Mapping[str, Any], limit: int) -> None:
        Ingest(
            self.database, self.log, self.connections, self.clock, adapters=adapters
        ).drain(limit)  # fmt: skip

    def repairs(self) -> int:
        repair = Repair(self.database, self.log, self.connections, self.clock, batch=3)
        return repair.run(self.name, RECEIVED_AT).appended

    def holds(self) -> list[Fact]:
        """Every fact of the source's that holds."""
        with self.database.transaction() as connection:
            facts = [fact for _, fact in read_page(connection, 0, 100_000).facts]
        return [fact for fact in effective(facts) if fact.source == self.name]

    def journeys(self, people: Sequence[str]) -> set[frozenset[UUID]]:
        """The journeys these people have, each as the streams it is read from."""
        with self.database.transaction() as connection:
            return {
                frozenset(self.log.members(connection, self.log.find(person))) for person in people
            }


def reference(deliveries: Sequence[Delivery], name: str) -> dict[Any, Any]:
    """Facts by id: what the adapter says of each delivery, taken together."""
    connection = Payloads(name).connection()
    return {
        said.touchpoint.touchpoint_id: said.touchpoint
        for delivery in deliveries
        for said in ALL_ADAPTERS[name].translate(delivery, connection).statements
    }


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_story_is_the_same_in_any_order(database: Database, name: str, seed: int) -> None:
    """Shuffled, repeated, redriven, read wrongly for a while and mended: once, and one person's."""
    order = random.Random(seed)
    deliveries, expected, people = STORIES[name]()
    world = World(database, name)
    arriving = [*deliveries, *order.sample(deliveries, len(deliveries) // 2)]
    order.shuffle(arriving)
    wrong: Mapping[str, Any] = {name: Mistaken(ALL_ADAPTERS[name])}
    is_mended = False
    for delivery in arriving:
        world.arrives(delivery)
        adapters = ALL_ADAPTERS if is_mended else wrong
        if order.random() < 0.5:
            world.ingests(adapters, order.choice([1, 2, 500]))
        if not is_mended and order.random() < 0.1:
            is_mended = True
            world.repairs()
    world.ingests(ALL_ADAPTERS if is_mended else wrong, 500)
    world.repairs()
    held = world.holds()
    kinds = Counter(fact.kind for fact in held)
    told = reference(deliveries, name).values()
    assert kinds == Counter(touchpoint.KIND for touchpoint in told), f"seed {seed}"
    assert {kind: kinds[kind] for kind in expected} == expected
    assert "Oops" not in {fact.stage for fact in held}
    assert len(world.journeys(people)) == 1
    assert world.repairs() == 0
