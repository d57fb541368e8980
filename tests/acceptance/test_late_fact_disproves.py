"""An answer that was given in time and told too late."""

from __future__ import annotations

from consumers.demo.story import HUGO, Teller, at
from tests.support.installations import World


def test_a_late_fact_disproves_a_silence_alert(world: World) -> None:
    """The alert is resolved as disproved; both it and the late fact stay on record."""
    told = Teller()
    told.greenhouse(HUGO, "new_candidate_application", at("03-17", "15:00"))
    told.tool(HUGO, "mail.answer", at("03-23", "14:00"), named_by="email", late_days=3)
    world.hears(told, until=at("03-25", "12:00"))
    (alert,) = world.engine.alerts.list(["resolved"])
    assert (alert.name, alert.level, alert.reason) == ("after_application", "nudge", "disproved")
    assert [line.split(" candidate ")[0] for line in world.messages] == [
        "ALERT [nudge]",
        "resolved (disproved) [nudge]",
    ]


def test_what_we_knew_and_what_had_happened_differ(world: World) -> None:
    """As of the day of the alert there was an alert to see; of that day itself there was none."""
    told = Teller()
    told.greenhouse(HUGO, "new_candidate_application", at("03-17", "15:00"))
    told.tool(HUGO, "mail.answer", at("03-23", "14:00"), named_by="email", late_days=3)
    world.hears(told, until=at("03-27", "12:00"))
    candidate_id = world.engine.log.find("greenhouse:candidate/70008")
    day = at("03-25", "12:00")
    ask = world.engine.queries.journey
    known = ask(candidate_id, world.clock.now(), as_of=day)
    happened = ask(candidate_id, world.clock.now(), at=day)
    assert [each.name for each in known.alerts] == ["after_application"]
    assert known.silences[0].since == at("03-17", "15:00")
    assert happened.alerts == []
    assert happened.silences[-1].since == at("03-23", "14:00")


def test_three_systems_three_names_one_journey(world: World) -> None:
    """Chat by phone, mail by address, the ATS by id: every key leads to the same journey."""
    told = Teller()
    told.tool(HUGO, "chat.message", at("03-16", "17:50"), named_by="phone")
    told.tool(HUGO, "mail.answer", at("03-16", "20:30"), named_by="email")
    told.greenhouse(HUGO, "new_candidate_application", at("03-17", "15:00"))
    world.hears(told, until=at("03-18", "12:00"))
    queries, log, now = world.engine.queries, world.engine.log, world.clock.now()
    found = {
        queries.journey(log.find(key), now).candidate_id
        for key in (HUGO.email, f"phone/{HUGO.phone}", f"greenhouse:candidate/{HUGO.candidate}")
    }
    assert len(found) == 1
    journey = queries.journey(found.pop(), now)
    assert len(journey.candidates) == 2
    assert {entry.source for entry in journey.timeline if entry.what == "touchpoint"} == {
        "chat", "mail", "greenhouse", "journey",
    }  # fmt: skip
