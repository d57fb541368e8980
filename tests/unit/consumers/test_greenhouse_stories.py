"""Sequences of Greenhouse deliveries: each fact counts once, whatever is sent how often."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest

from tests.support.greenhouse import changed, payload, translate

OFFER_STORY = (
    "offer_created",
    "offer_approved",
    "offer_sent",
    "offer_version_deprecated",
    "offer_new_version",
    "offer_new_version_sent",
    "offer_accepted",
    "hired",
)


def told(*bodies: Any) -> Counter[str]:
    """How many touchpoints of each kind a log would hold after these deliveries."""
    seen: dict[UUID, str] = {}
    for body in bodies:
        for statement in translate(body).statements:
            seen[statement.touchpoint.touchpoint_id] = statement.touchpoint.KIND
    return Counter(seen.values())


def test_an_offer_in_two_versions_is_told_once_at_each_step() -> None:
    """Created, approved, sent, changed, sent again, accepted, hired: no step counts twice."""
    assert told(*OFFER_STORY) == {
        "offer_decided": 1,
        "offer_sent": 2,
        "offer_accepted": 1,
        "hired": 1,
    }


def test_the_order_of_an_offer_does_not_matter() -> None:
    """Late and repeated deliveries give the same touchpoints."""
    steps = ("offer_created", "offer_version_deprecated", "offer_new_version", "offer_accepted")
    expected = told(*steps)
    for order in permutations(steps):
        assert told(*order, *order) == expected


def test_a_new_version_that_keeps_its_sending_date_is_not_sent_again() -> None:
    """Greenhouse copies `sent_on` into the next version."""
    second = changed("offer_new_version", sent_on="2026-02-18")
    assert told("offer_sent", second) == {"offer_decided": 1, "offer_sent": 1}


def test_hiring_and_its_offer_update_are_one_acceptance() -> None:
    """`hire_candidate` and `offer_updated` tell the same yes, one with ms and one without."""
    assert told("offer_accepted", "hired")["offer_accepted"] == 1
    assert told("hired", "offer_accepted")["offer_sent"] == 1


def test_an_acceptance_is_dated_by_when_it_was_resolved() -> None:
    """The sending has the precision of a day, the answer that of an instant."""
    sent, accepted, hired = (said.touchpoint for said in translate("hired").statements)
    assert (sent.occurred_at.isoformat(), sent.occurred_precision) == (
        "2026-02-20T00:00:00+00:00",
        "day",
    )
    assert accepted.occurred_at == hired.occurred_at
    assert accepted.occurred_at.isoformat() == "2026-02-24T15:30:00.512000+00:00"
    assert {touchpoint.occurred_quality for touchpoint in (sent, accepted, hired)} == {"exact"}


def test_an_offer_made_and_answered_at_once_is_read_from_one_delivery() -> None:
    """A version may arrive created, sent and accepted, as in the documentation's example."""
    body = changed(
        "offer_created",
        sent_on="2013-03-22",
        resolved_at="2013-03-25T00:00:00Z",
        offer_status="Accepted",
    )
    assert told(body) == {"offer_decided": 1, "offer_sent": 1, "offer_accepted": 1}
    decided = translate(body).statements[0].touchpoint
    # Nothing says when it was decided, only that it was by the day it went out.
    assert (decided.occurred_at.date().isoformat(), decided.occurred_quality) == (
        "2013-03-22",
        "inferred",
    )


def test_a_decline_and_a_later_offer_are_both_there() -> None:
    """Declined, asked again, accepted: two sendings, two answers."""
    later = changed(
        "offer_accepted", version=3, sent_on="2026-03-01", resolved_at="2026-03-02T08:00:00Z"
    )
    assert told("offer_created", "offer_declined", later) == {
        "offer_decided": 1,
        "offer_sent": 2,
        "offer_declined": 1,
        "offer_accepted": 1,
    }


def test_an_edit_of_an_unsent_offer_tells_no_more_than_that_there_is_one() -> None:
    """Also when `offer_updated` is the only action an organisation has switched on."""
    edited = {**payload("offer_created"), "action": "offer_updated"}
    assert told(edited) == {"offer_decided": 1}
    assert told("offer_created", edited) == {"offer_decided": 1}


@pytest.mark.parametrize("status", ["Accepted", "Rejected", "Deprecated"])
def test_deleting_a_settled_offer_is_tidying_up(status: str) -> None:
    """Only an offer that was out and unanswered is taken back by deleting it."""
    body = payload("offer_deleted_after_sending")
    body["payload"]["offer"]["offer_status"] = status
    assert told(body) == {"unrecognised_touchpoint": 1}


def test_the_notes_of_an_offer_are_sealed_once() -> None:
    """Free text goes to the first statement's sealed part."""
    first, second = translate("offer_accepted").statements
    assert first.personal is not None
    assert first.personal.text == {"notes": "Anneke wants Fridays off"}
    assert second.personal is None


def test_the_owner_of_an_offer_is_its_actor() -> None:
    """`user_id`, renamed `offering_user_id` on deletion, owns the offer; no one else is named."""
    for name in ("offer_created", "offer_sent"):
        actor = translate(name).statements[0].touchpoint.actor
        assert actor is not None
        assert (actor.type, actor.id) == ("person", "greenhouse:881")
    assert translate("offer_accepted").statements[1].touchpoint.actor is None


def test_a_story_of_one_application_sent_twice_counts_once() -> None:
    """Applied, moved, rejected, reopened, hired, unhired: a second round adds nothing."""
    story = (
        "application_received",
        "moved_to_phone_screen",
        "rejected_by_us",
        "unrejected",
        "hired",
        "unhired",
    )
    once = told(*story)
    assert told(*story, *story) == once
    assert once == {
        "application_submitted": 1,
        "stage_changed": 1,
        "rejection_decided": 1,
        "application_reopened": 2,
        "offer_sent": 1,
        "offer_accepted": 1,
        "hired": 1,
    }


def test_rejected_reopened_and_rejected_again_are_three_facts() -> None:
    """A second rejection has its own time."""
    again = changed("rejected_by_us", rejected_at="2026-02-20T10:00:00Z")
    counted = told("rejected_by_us", "unrejected", again)
    assert counted == {"rejection_decided": 2, "application_reopened": 1}


def test_hired_unhired_and_hired_the_same_day_are_two_hirings() -> None:
    """A second hiring closes the reopened application again."""
    body = payload("hired")
    body["payload"]["application"]["offer"].update(version=3)
    assert told("hired", "unhired", body)["hired"] == 2


def test_an_application_that_was_updated_is_not_moved_again() -> None:
    """Moves are told by `candidate_stage_change` alone."""
    update = changed("application_updated", last_activity_at="2026-01-15T13:37:05Z")
    assert told("moved_to_phone_screen", update) == {
        "stage_changed": 1,
        "unrecognised_touchpoint": 1,
    }
