"""Sequences of Ashby deliveries: one click counts once, whatever it sends and in whatever order."""

from __future__ import annotations

from collections import Counter
from itertools import chain, combinations, permutations
from typing import Any

import pytest

from tests.support.payloads import Payloads

ASHBY = Payloads("ashby")


def orders(*names: str) -> list[tuple[str, ...]]:
    """Every order of all of them and of every part of them that is not empty."""
    parts = chain.from_iterable(combinations(names, size) for size in range(1, len(names) + 1))
    return [order for part in parts for order in permutations(part)]


@pytest.mark.parametrize(
    "order", orders("hired", "hired_stage_change", "hired_echo"), ids=", ".join
)
def test_a_hire_counts_once(order: tuple[str, ...]) -> None:
    """`candidateHire`, its stage change and its update, in any order, with any of them missing."""
    told = ASHBY.told(*order)
    assert told["hired"] == 1
    assert set(told) <= {"hired", "offer_accepted"}


@pytest.mark.parametrize("order", orders("rejected_by_us", "rejected_by_us_echo"), ids=", ".join)
def test_a_rejection_counts_once(order: tuple[str, ...]) -> None:
    """The move into "Archived" is the rejection, and its echo tells the same one."""
    assert ASHBY.told(*order) == {"rejection_decided": 1}


@pytest.mark.parametrize(
    "order",
    list(permutations(["moved_to_phone_screen", "moved_to_phone_screen_echo"])),
    ids=", ".join,
)
def test_a_stage_change_counts_once(order: tuple[str, ...]) -> None:
    """Its echo looks like any edit and tells nothing."""
    assert ASHBY.told(*order) == {"stage_changed": 1}


@pytest.mark.parametrize(
    "order", orders("interview_scheduled", "interview_scheduled_echo"), ids=", ".join
)
def test_a_booking_counts_once(order: tuple[str, ...]) -> None:
    """`interviewScheduleCreate` and its update are one booking, and the one word for it."""
    assert ASHBY.told(*order) == {"interview_scheduled": 1}


@pytest.mark.parametrize(
    "planned", ["interview_to_be_planned", "availability_requested", "availability_submitted"]
)
def test_the_echo_of_an_unbooked_schedule_counts_once(planned: str) -> None:
    """A schedule may be made in any status, and its update is sent beside it."""
    body = ASHBY.payload(planned)
    create = {**body, "action": "interviewScheduleCreate"}
    update = {**body, "action": "interviewScheduleUpdate"}
    for order in ((create, update), (update, create), (create,), (update,)):
        assert sum(ASHBY.told(*order).values()) == 1


def test_every_retry_tells_the_same_touchpoints() -> None:
    """The same body again, for each payload."""
    for name in ASHBY.names():
        assert ASHBY.told(name, name) == ASHBY.told(name)
        assert max(ASHBY.told(name).values(), default=1) <= 2


def test_a_second_webhook_for_the_same_action_adds_nothing() -> None:
    """Several may point at one action; they share the id of the click."""
    body = ASHBY.payload("moved_to_phone_screen")
    # The application may have been edited between the two.
    body["data"]["application"]["updatedAt"] = "2026-01-15T13:37:09.000Z"
    assert ASHBY.told("moved_to_phone_screen", body) == {"stage_changed": 1}


def test_two_moves_into_one_stage_are_two_facts() -> None:
    """Each is a click of its own."""
    again = ASHBY.changed("moved_to_phone_screen", webhookActionId="another-click")
    assert ASHBY.told("moved_to_phone_screen", again) == {"stage_changed": 2}


def test_an_application_edited_after_its_end_ends_no_second_time() -> None:
    """Another click, another `updatedAt`, the same rejection; and so for a hire."""
    for name, kind in (("rejected_by_us_echo", "rejection_decided"), ("hired_echo", "hired")):
        edited = ASHBY.changed(name, webhookActionId="much-later")
        edited["data"]["application"]["updatedAt"] = "2028-05-28T21:07:26.245Z"
        assert ASHBY.told(name, edited) == {kind: 1}


def test_rejected_reopened_and_rejected_again_are_three_facts() -> None:
    """Each archiving has its own time, and reopening names the one it ends."""
    again = ASHBY.changed(
        "rejected_by_us", "data", "application", archivedAt="2026-02-20T10:00:00.000Z"
    )
    again["webhookActionId"] = "click-reject-again"
    assert ASHBY.told("rejected_by_us", "reopened", again) == {
        "rejection_decided": 2,
        "application_reopened": 1,
        "stage_changed": 1,
    }


def test_an_interviewer_who_is_swapped_moves_nothing() -> None:
    """The times are the same, so it is the booking that is known already."""
    for order in permutations(
        ["interview_scheduled", "interview_scheduled_echo", "interviewer_swapped"]
    ):
        assert sum(ASHBY.told(*order).values()) == 1
    assert ASHBY.told("interview_scheduled", "interviewer_swapped") == {"interview_scheduled": 1}


INTERVIEW = (
    "availability_requested",
    "availability_submitted",
    "interview_scheduled",
    "interview_scheduled_echo",
    "interviewer_swapped",
    "interview_waiting_on_feedback",
    "interview_feedback_of_one",
    "interview_complete",
)


def test_an_interview_is_told_once_at_each_step() -> None:
    """Asked, answered, booked, held; two interviewers wrote down what they thought."""
    assert (
        ASHBY.told(*INTERVIEW)
        == ASHBY.told(*INTERVIEW, *reversed(INTERVIEW))
        == {
            "availability_requested": 1,
            "availability_provided": 1,
            "interview_scheduled": 1,
            "scorecard_submitted": 2,
            "interview_held": 1,
        }
    )


def test_a_moved_and_cancelled_interview_is_told_in_any_order() -> None:
    """Booked once, moved once, cancelled once, and all of it is the same interview."""
    steps = ("interview_scheduled", "interview_moved", "interview_cancelled")
    for order in permutations(steps):
        assert ASHBY.told(*order, *order) == Counter(steps)
    assert len({ASHBY.only(step).interview_id for step in steps}) == 1


def test_a_booking_whose_creation_was_missed_is_still_one() -> None:
    """An organisation may have switched on the update alone."""
    assert ASHBY.told("interview_complete")["interview_scheduled"] == 1
    assert ASHBY.told("interview_moved") == {"interview_moved": 1}


OFFER_STORY = (
    "offer_created",
    "offer_sent",
    "offer_signature_sent",
    "offer_new_version",
    "offer_new_version_sent",
)


def test_an_offer_in_two_versions_is_told_once_at_each_step() -> None:
    """Decided once, sent twice, by whichever action says so."""
    expected = {"offer_decided": 1, "offer_sent": 2}
    for order in permutations(OFFER_STORY):
        assert ASHBY.told(*order) == expected


def test_an_acceptance_is_told_once_by_three_actions() -> None:
    """The offer's update, the signature and the hire."""
    steps = ("offer_accepted", "offer_signature_completed", "hired")
    for order in permutations(steps):
        assert ASHBY.told(*order) == {"offer_decided": 1, "offer_accepted": 1, "hired": 1}


def test_an_offer_that_never_went_out_is_not_taken_back() -> None:
    """Only what the candidate had can be."""
    assert ASHBY.told("offer_created", "offer_cancelled_unsent") == {
        "offer_decided": 1,
        "unrecognised_touchpoint": 1,
    }
    assert ASHBY.told("offer_sent", "offer_rescinded")["offer_rescinded"] == 1


def without_click(name: str) -> dict[str, Any]:
    """A payload that lacks the id of its click."""
    return ASHBY.changed(name, webhookActionId=...)


def test_without_the_id_of_a_click_a_retry_is_known_by_its_body() -> None:
    """It is documented, and never to be relied on alone."""
    body = without_click("moved_to_phone_screen")
    assert ASHBY.told(body, body) == {"stage_changed": 1}
