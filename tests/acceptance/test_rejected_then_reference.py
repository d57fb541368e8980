"""Rejected, and a referee is called the next day."""

from __future__ import annotations

from consumers.demo.story import BELA, Teller, at
from tests.support.installations import World

REJECTED = {
    "status": "rejected",
    "rejected_at": "2026-03-16T16:00:00Z",
    "rejection_reason": {"id": 1, "name": "Other", "type": {"id": 2, "name": "We rejected them"}},
}


def story(told: Teller) -> None:
    told.greenhouse(BELA, "new_candidate_application", at("03-02", "15:00"))
    told.tool(BELA, "mail.received_confirmation", at("03-02", "15:05"))
    told.greenhouse(BELA, "reject_candidate", at("03-16", "16:00"), **REJECTED)
    told.tool(BELA, "mail.rejection", at("03-16", "17:00"))
    told.tool(BELA, "references.called", at("03-17", "14:30"))


def test_a_reference_after_the_rejection_is_found_and_alerted(world: World) -> None:
    """The evidence names both touchpoints, the explanation says how long after."""
    told = Teller()
    story(told)
    world.hears(told, until=at("03-18", "12:00"))
    (found,) = world.engine.queries.contradictions(world.clock.now())
    assert (found.rule, found.verdict, found.until) == (
        "reference_after_rejection",
        "violated",
        None,
    )
    assert [each["kind"] for each in found.evidence] == ["rejection_decided", "reference_contacted"]
    assert found.explanation.startswith("Reference contacted on 2026-03-17 14:30 UTC, 22 hours")
    assert [each.name for each in world.engine.alerts.list()] == ["reference_after_rejection"]


def test_the_same_story_backwards_and_twice_is_one_contradiction(world: World) -> None:
    """Order of arrival and repeats change neither touchpoints nor findings."""
    told = Teller()
    story(told)
    world.hears(told, until=at("03-18", "12:00"), backwards=True)
    position = world.engine.log.position()
    for each in told.told:
        world.receives(each)
    assert world.engine.log.position() == position
    assert len(world.engine.queries.contradictions(world.clock.now())) == 1


def test_a_rejection_nobody_sent_is_a_silence_and_a_contradiction(world: World) -> None:
    """The candidate does not know, so it ends nothing and is owed."""
    told = Teller()
    story(told)
    told.told = [each for each in told.told if each.connection in ("greenhouse",)]
    world.hears(told, until=at("03-24", "12:00"))
    (found,) = world.engine.queries.contradictions(world.clock.now())
    assert (found.rule, found.verdict) == ("rejection_not_sent", "mendable")
    assert [each.since for each in world.engine.queries.open_silences(world.clock.now())] == [
        at("03-02", "15:00")
    ]
