"""Each Lever event: which touchpoint, whose, when, and what stays unsaid."""

from __future__ import annotations

import os
from itertools import permutations
from pathlib import Path
from typing import Any

import orjson
import pytest

from consumers.ats_adapters.lever import _HANDLERS
from consumers.errors import NotAuthentic, Untranslatable
from schemas.ats.lever import EVENTS
from schemas.identifiers import PersonKey
from tests.support.payloads import RECEIVED_AT, SECRET, Payloads

LEVER = Payloads("lever")
SAMPLES = Path(os.environ.get("JOURNEY_SAMPLES", Path(__file__).parents[4] / "shared" / "samples"))
REJECTED = "5f4e3d2c-1b0a-4987-8654-3210fedcba08"
HIRED = "16f5e4d3-c2b1-4a09-9876-543210fedc09"
REASONS = {REJECTED: "rejected", HIRED: "hired"}

EXPECTED: dict[str, list[str]] = {
    "application_created": ["application_submitted"],
    "moved_to_phone_screen": ["stage_changed"],
    "moved_to_offer": ["stage_changed"],
    "archived": ["unrecognised_touchpoint"],
    "archived_as_hired": ["unrecognised_touchpoint"],
    "unarchived": ["application_reopened"],
    "hired": ["hired"],
    "deleted": ["unrecognised_touchpoint"],
    "interview_created": ["interview_scheduled"],
    "interview_updated": ["unrecognised_touchpoint"],
    "interview_deleted": ["interview_cancelled"],
    "contact_created": ["unrecognised_touchpoint"],
    "contact_updated": ["unrecognised_touchpoint"],
    "webhook_test": [],
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_payload_tells_its_kinds(name: str) -> None:
    """A delivery tells these kinds of touchpoints; one that tells none says why."""
    assert LEVER.kinds(name) == EXPECTED[name]
    assert (LEVER.translate(name).context is None) == bool(EXPECTED[name])


def test_every_event_has_a_payload() -> None:
    """Our payloads cover the ten documented events, and each file has its expectation."""
    assert {LEVER.payload(name)["event"] for name in LEVER.names()} == set(EVENTS) == set(_HANDLERS)
    assert len(EVENTS) == 10
    assert set(LEVER.names()) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_payload_is_signed_as_lever_signs(name: str) -> None:
    """Token and time are signed inside the body; a secret per event type is one of several."""
    body = LEVER.delivery(name).body
    LEVER.adapter.verify({}, body, ["of another event", SECRET], RECEIVED_AT)
    with pytest.raises(NotAuthentic):
        LEVER.adapter.verify({}, body, ["of another event"], RECEIVED_AT)


def test_a_rerun_of_two_weeks_ago_is_authentic() -> None:
    """People may press "Rerun" on old deliveries, so no age is refused."""
    body = LEVER.delivery("hired").body
    LEVER.adapter.verify({}, body, [SECRET], RECEIVED_AT.replace(year=2031))


def test_the_person_is_the_contact_and_the_opportunity_leads_to_it() -> None:
    """`candidateId` is neither: it is an old name that mostly equals the opportunity."""
    (statement,) = LEVER.translate("moved_to_phone_screen").statements
    assert statement.person == (
        PersonKey("lever:contact", "c6a5e3d1-7b29-4e8f-a1d2-9f0e8d7c6b03"),
        PersonKey("lever:opportunity", "b8f0d2c4-51a7-4c3e-9a43-6f1f6f0d9e01"),
    )
    assert statement.personal is None
    assert statement.touchpoint.application_id == "lever:b8f0d2c4-51a7-4c3e-9a43-6f1f6f0d9e01"


def test_an_event_without_its_contact_is_known_by_its_opportunity() -> None:
    """Of most events the documentation does not show what `data` holds."""
    (statement,) = LEVER.translate(LEVER.changed("hired", "data", contactId=...)).statements
    assert [key.namespace for key in statement.person] == ["lever:opportunity"]


def test_an_interview_of_nobody_known_is_known_by_its_own_id() -> None:
    """As with Greenhouse: whose it was may be told later."""
    body = LEVER.changed("interview_deleted", "data", contactId=..., opportunityId=...)
    (statement,) = LEVER.translate(body).statements
    assert [key.namespace for key in statement.person] == ["lever:interview"]
    assert statement.touchpoint.application_id is None


def test_an_event_is_dated_by_when_it_was_triggered() -> None:
    """Milliseconds since 1970, exact."""
    touchpoint = LEVER.only("application_created")
    assert touchpoint.occurred_at.isoformat() == "2026-01-12T08:02:12+00:00"
    assert touchpoint.occurred_quality == "exact"


def test_a_stage_is_an_id_or_a_slug() -> None:
    """As Lever tells it; names are only to be had by asking its API."""
    assert LEVER.only("moved_to_phone_screen").stage == "9c1d2e3f-4a5b-4c6d-8e7f-0a1b2c3d4e07"
    assert LEVER.only("moved_to_offer").stage == "offer"


def test_a_stage_means_what_its_connection_says() -> None:
    """Stage ids map to kinds by configuration, beside the move itself."""
    stages = {"9C1D2E3F-4A5B-4C6D-8E7F-0A1B2C3D4E07": "information_requested"}
    assert LEVER.kinds("moved_to_phone_screen", stages=stages) == [
        "stage_changed",
        "information_requested",
    ]
    implied = LEVER.translate("moved_to_phone_screen", stages=stages).statements[1].touchpoint
    assert implied.occurred_quality == "inferred"
    assert LEVER.kinds("moved_to_offer", stages=stages) == ["stage_changed"]


def test_a_stage_map_that_cannot_be_is_a_clear_reason() -> None:
    """A kind that needs more than a stage makes a dead letter that a mended map heals."""
    with pytest.raises(Untranslatable, match="touchpoint_retracted"):
        LEVER.translate("moved_to_offer", stages={"offer": "touchpoint_retracted"})


def test_two_moves_into_one_stage_are_two_facts() -> None:
    """Only the time differs."""
    again = LEVER.changed("moved_to_offer", triggeredAt=1769932932001)
    assert LEVER.told("moved_to_offer", again) == {"stage_changed": 2}


# --- archiving --------------------------------------------------------------------------------


def test_an_archiving_for_an_unknown_reason_claims_nothing() -> None:
    """It may be a rejection, a withdrawal or a hire; its reason is an id, and nobody said which."""
    touchpoint = LEVER.only("archived")
    assert (touchpoint.KIND, touchpoint.label) == (
        "unrecognised_touchpoint",
        "candidateArchiveChange",
    )
    assert touchpoint.occurred_at.isoformat() == "2026-02-10T08:02:12.500000+00:00"


@pytest.mark.parametrize(
    ("meaning", "options", "kind"),
    [
        ("rejected", {}, "rejection_decided"),
        ("rejected", {"rejection_is_sent": True}, "rejection_sent"),
        ("withdrew", {"rejection_is_sent": True}, "withdrew"),
        ("hired", {"rejection_is_sent": True}, "hired"),
    ],
)
def test_an_archiving_is_what_the_connection_says_of_its_reason(
    meaning: str, options: dict[str, Any], kind: str
) -> None:
    """A table from reason ids to meanings, in any case; the time is that of archiving."""
    reasons = {f" {REJECTED.upper()}": meaning}
    touchpoint = LEVER.only("archived", archive_reasons=reasons, **options)
    assert kind == touchpoint.KIND
    assert touchpoint.occurred_at.isoformat() == "2026-02-10T08:02:12.500000+00:00"
    if kind != "hired":
        assert touchpoint.reason == REJECTED


def test_a_reason_that_is_configured_later_gives_another_touchpoint() -> None:
    """So that a redrive adds what the unrecognised one stood for."""
    before = LEVER.only("archived")
    after = LEVER.only("archived", archive_reasons=REASONS)
    assert before.source_event_id == after.source_event_id
    assert before.touchpoint_id != after.touchpoint_id


def test_a_hire_told_twice_is_one_hire_and_no_rejection() -> None:
    """`candidateHired` and an archiving as hired, in any order and any number of times."""
    for order in permutations(["hired", "archived_as_hired", "hired"]):
        assert LEVER.told(*order, archive_reasons=REASONS) == {"hired": 1}
        assert LEVER.told(*order) == {"hired": 1, "unrecognised_touchpoint": 1}


def test_unarchiving_opens_the_application_again() -> None:
    """`toArchived: null`, once for each archiving it ends."""
    again = LEVER.changed("unarchived", triggeredAt=1770900000000, token="another")
    assert LEVER.told("unarchived", again) == {"application_reopened": 1}


@pytest.mark.parametrize("value", [..., "reason", [], {}, 7])
def test_an_archive_change_that_does_not_say_which_claims_nothing(value: Any) -> None:
    """Only a plain null is an unarchiving; the field is not in the documentation."""
    body = LEVER.changed("unarchived", "data", toArchived=value)
    assert LEVER.only(body).KIND == "unrecognised_touchpoint"


def test_archived_unarchived_and_archived_again_are_three_facts() -> None:
    """Each archiving has its own time."""
    later = {"archivedAt": 1771500000000, "reason": REJECTED}
    again = LEVER.changed("archived", "data", toArchived=later)
    assert LEVER.told("archived", "unarchived", again, archive_reasons=REASONS) == {
        "rejection_decided": 2,
        "application_reopened": 1,
    }


# --- one touchpoint a fact --------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - {"webhook_test"}))
def test_a_rerun_under_another_token_tells_the_same(name: str) -> None:
    """Whether a retry keeps `token` and `id` is not documented, so no id is made of them."""
    again = LEVER.changed(name, token="another", id="another")
    assert LEVER.told(name, again) == LEVER.told(name)
    without = LEVER.changed(name, id=...)
    assert LEVER.told(name, without) == LEVER.told(name)


def test_a_story_sent_twice_in_any_order_counts_once() -> None:
    """Applied, moved, interviewed, archived, unarchived, hired."""
    story = ("application_created", "archived", "unarchived", "hired")
    once = LEVER.told(*story, archive_reasons=REASONS)
    for order in permutations(story):
        assert LEVER.told(*order, *order, archive_reasons=REASONS) == once
    assert once == {
        "application_submitted": 1,
        "rejection_decided": 1,
        "application_reopened": 1,
        "hired": 1,
    }


def test_two_organisations_stay_apart() -> None:
    """Ids and keys carry the connection's source name."""
    (statement,) = LEVER.translate("hired", source_name="lever-emea").statements
    assert statement.person[0].namespace == "lever-emea:contact"
    assert statement.touchpoint.touchpoint_id != LEVER.only("hired").touchpoint_id


# --- interviews -------------------------------------------------------------------------------


def test_an_interview_is_named_and_has_no_time() -> None:
    """Lever sends ids alone, so when it is has to come from somewhere else."""
    booked, cancelled = LEVER.only("interview_created"), LEVER.only("interview_deleted")
    assert booked.interview_id == cancelled.interview_id
    assert booked.interview_id == "lever:7d9c1e5b-2a64-4f30-8c17-5b4a3f2e1d04"
    assert booked.starts_at is None


def test_an_updated_interview_is_not_called_moved() -> None:
    """It may be a note or another interviewer; a move would count as word to the candidate."""
    assert LEVER.only("interview_updated").label == "interviewUpdated"


# --- what is no event -------------------------------------------------------------------------


def test_the_verify_request_is_a_probe_and_hires_nobody() -> None:
    """A signed `candidateHired` with `data: {}`."""
    body = LEVER.payload("webhook_test")
    assert body["event"] == "candidateHired"
    assert LEVER.adapter.is_probe({}, body, "POST") is not None
    assert LEVER.translate(body).context == "a test of the webhook"
    assert LEVER.adapter.is_probe({}, LEVER.payload("hired"), "POST") is None


def test_the_documentations_own_example_is_no_json() -> None:
    """It lacks a comma and has one too many: a dead letter with a reason, at the door a refusal."""
    file = SAMPLES / "lever" / "candidateStageChange.as-documented.invalid-json.txt"
    if not file.exists():
        assert not os.environ.get("CI"), "the folder of samples is missing in CI"
        pytest.skip("the folder of samples is not here")
    with pytest.raises(Untranslatable, match="not JSON"):
        LEVER.translate(file.read_bytes())
    with pytest.raises(NotAuthentic, match="not JSON"):
        LEVER.adapter.verify({}, file.read_bytes(), [SECRET], RECEIVED_AT)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("application_created", "data.opportunityId"),
        ("moved_to_offer", "data.opportunityId"),
        ("archived", "data.opportunityId"),
        ("unarchived", "data.opportunityId"),
        ("hired", "data.opportunityId"),
        ("deleted", "data.opportunityId"),
        ("interview_created", "data.interviewId"),
        ("interview_updated", "data.interviewId"),
        ("interview_deleted", "data.interviewId"),
        ("contact_created", "data.contactId"),
        ("contact_updated", "data.contactId"),
    ],
)
def test_the_reason_names_the_missing_field(name: str, path: str) -> None:
    """An event that names nobody says which field should have."""
    body = LEVER.changed(name, data={"toArchived": None, "other": 1})
    with pytest.raises(Untranslatable) as raised:
        LEVER.translate(body)
    assert raised.value.reason == f"{path} is missing or unreadable"


def test_an_unknown_event_is_kept_as_context() -> None:
    """Answered, kept, and not held against the sender; an odd word is not repeated."""
    assert LEVER.translate({"event": "offerCreated"}).context == "unknown event offerCreated"
    assert LEVER.translate({"event": "Anneke Vermeer"}).context == "unknown event"


@pytest.mark.parametrize("body", [b"", b"\xff", b"[1]", b"{}", b'{"event": 3}', b'"x"', b"{"])
def test_a_body_without_an_event_is_untranslatable(body: bytes) -> None:
    """No JSON, no object, no event: a dead letter each, with its reason."""
    with pytest.raises(Untranslatable):
        LEVER.translate(body)


@pytest.mark.parametrize("value", [None, "1768204932000", 1.5, True, 10**17, -(10**17)])
def test_an_unreadable_time_is_never_a_guess(value: Any) -> None:
    """Unknown where the fact stands without it, a dead letter where it tells facts apart."""
    touchpoint = LEVER.only(LEVER.changed("application_created", triggeredAt=value))
    assert (touchpoint.occurred_at, touchpoint.occurred_quality) == (RECEIVED_AT, "unknown")
    with pytest.raises(Untranslatable, match="triggeredAt"):
        LEVER.translate(orjson.dumps(LEVER.changed("moved_to_offer", triggeredAt=value)))
