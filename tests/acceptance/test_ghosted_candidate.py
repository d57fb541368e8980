"""Interviewed, and then nothing: from signed webhooks to an alert that gets graver."""

from __future__ import annotations

from consumers.demo.story import AMARA, Teller, at
from tests.support.installations import World


def interviewed_and_left(told: Teller) -> None:
    told.greenhouse(AMARA, "new_candidate_application", at("02-02", "14:00"))
    told.tool(AMARA, "mail.received_confirmation", at("02-02", "14:05"))
    told.interview(AMARA, 1, at("02-04", "15:00"), at("02-10", "15:00"))
    told.greenhouse(
        AMARA,
        "candidate_stage_change",
        at("02-13", "15:00"),
        current_stage={"id": 6104, "name": "Decision", "interviews": []},
    )


def alerts(world: World) -> list[tuple[str, str, str]]:
    return [(each.name, each.level, each.state) for each in world.engine.alerts.list()]


def test_an_unanswered_interview_becomes_one_alert_that_gets_graver(world: World) -> None:
    """Each level of the policy is told once, in order, and a stage move changes nothing."""
    told = Teller()
    interviewed_and_left(told)
    world.hears(told, until=at("02-13", "15:59"))
    assert alerts(world) == []
    # Three, five and fifteen working days after 11:00 in Toronto; Family Day is none.
    for moment, level in (
        (at("02-13", "16:00"), "nudge"),
        (at("02-18", "16:00"), "breach"),
        (at("03-04", "16:00"), "ghosted"),
    ):
        world.hears(Teller(), until=moment)
        assert alerts(world) == [("after_interview", level, "open")]
    assert [line.split(" candidate ")[0] for line in world.messages] == [
        "ALERT [nudge]",
        "ALERT, graver now [breach]",
        "ALERT, graver now [ghosted]",
    ]


def test_ontario_is_warned_before_and_told_after_45_days(world: World) -> None:
    """The statute stands beside the policy, with an alert of its own."""
    told = Teller()
    interviewed_and_left(told)
    world.hears(told, until=at("03-21", "05:00"))
    assert ("ontario_after_interview", "nudge", "open") in alerts(world)
    world.hears(Teller(), until=at("03-28", "05:00"))
    assert ("ontario_after_interview", "breach", "open") in alerts(world)


def test_a_survey_to_the_ghosted_is_a_contradiction_with_its_evidence(world: World) -> None:
    """Each of four surveys is one, and the silence goes on as if nothing had been sent."""
    told = Teller()
    interviewed_and_left(told)
    for day in ("02-24", "02-27", "03-03", "03-06"):
        event = "survey.sent" if day == "02-24" else "survey.reminder"
        told.tool(AMARA, event, at(day, "13:00"), survey="s1")
    world.hears(told, until=at("03-10", "12:00"))
    found = world.engine.queries.contradictions(world.clock.now())
    assert [(each.rule, each.verdict) for each in found] == [
        ("survey_while_silent", "violated")
    ] * 4
    assert [each.evidence[0]["kind"] for each in found] == ["survey_sent"] + ["survey_reminded"] * 3
    (silence, _) = world.engine.queries.open_silences(world.clock.now())
    assert (silence.since, silence.level) == (at("02-10", "16:00"), "ghosted")


def test_an_answer_resolves_the_alert(world: World) -> None:
    """What was open is resolved as answered, and the recruiter is told so."""
    told = Teller()
    interviewed_and_left(told)
    world.hears(told, until=at("02-19", "12:00"))
    answer = Teller()
    answer.tool(AMARA, "mail.rejection", at("02-19", "14:00"))
    world.hears(answer, until=at("04-30", "12:00"))
    assert world.engine.alerts.list() == []
    (alert,) = world.engine.alerts.list(["resolved"])
    assert (alert.reason, alert.until) == ("answered", at("02-19", "14:00"))
    assert world.messages[-1].startswith("resolved (answered) [breach]")


def test_deliveries_may_come_in_any_order(world: World) -> None:
    """Told backwards, the story ends with the same silence."""
    told = Teller()
    interviewed_and_left(told)
    world.hears(told, until=at("03-10", "12:00"), backwards=True)
    assert alerts(world) == [("after_interview", "ghosted", "open")]
    (silence, _) = world.engine.queries.open_silences(world.clock.now())
    assert silence.since == at("02-10", "16:00")
