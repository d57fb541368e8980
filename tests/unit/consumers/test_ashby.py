"""Each Ashby action: which touchpoint, whose, when, and what stays unsaid."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.ats_adapters.ashby import _HANDLERS
from consumers.errors import NotAuthentic, Untranslatable
from consumers.webhooks.signatures import ASHBY as SIGNATURE
from schemas.ats.ashby import ACTIONS
from schemas.identifiers import PersonKey
from tests.support.payloads import RECEIVED_AT, SECRET, Payloads

ASHBY = Payloads("ashby")
APPLICATION = "7a1c0f52-9be4-4d38-8c61-2f5d9e3b0a11"
CANDIDATE = "c40d9e8b-3a72-4f16-95b0-6e1d8f7a2b12"
OFFER = "0ffe5a1d-2b3c-4d5e-8f60-718293a4b516"

EXPECTED: dict[str, list[str]] = {
    "application_submitted": ["application_submitted"],
    "lead_added": ["unrecognised_touchpoint"],
    "application_edited": [],
    "moved_to_phone_screen": ["stage_changed"],
    "moved_to_phone_screen_echo": [],
    "moved_to_reference_check": ["stage_changed"],
    "rejected_by_us": ["rejection_decided"],
    "rejected_by_us_echo": ["rejection_decided"],
    "withdrawn": ["withdrew"],
    "archived_for_another_reason": ["unrecognised_touchpoint"],
    "reopened": ["application_reopened", "stage_changed"],
    "offer_created": ["offer_decided"],
    "offer_sent": ["offer_decided", "offer_sent"],
    "offer_new_version": ["offer_decided"],
    "offer_new_version_sent": ["offer_decided", "offer_sent"],
    "offer_accepted": ["offer_decided", "offer_accepted"],
    "offer_declined": ["offer_decided", "offer_declined"],
    "offer_rescinded": ["offer_decided", "offer_rescinded"],
    "offer_cancelled_unsent": ["offer_decided", "unrecognised_touchpoint"],
    "offer_deleted": ["unrecognised_touchpoint"],
    "offer_signature_sent": ["offer_sent"],
    "offer_signature_completed": ["offer_accepted"],
    "offer_signature_cancelled": ["unrecognised_touchpoint"],
    "form_signature_sent": ["information_requested"],
    "form_signature_completed": ["information_provided"],
    "form_signature_deleted": ["unrecognised_touchpoint"],
    "hired": ["offer_accepted", "hired"],
    "hired_stage_change": ["hired"],
    "hired_echo": ["hired"],
    "pushed_to_hris": ["unrecognised_touchpoint"],
    "candidate_deleted": ["unrecognised_touchpoint"],
    "candidates_merged": ["unrecognised_touchpoint"],
    "interview_to_be_planned": ["unrecognised_touchpoint"],
    "availability_requested": ["availability_requested"],
    "booking_link_sent": ["availability_requested"],
    "availability_submitted": ["availability_provided"],
    "interview_scheduled": ["interview_scheduled"],
    "interview_scheduled_echo": ["interview_scheduled"],
    "interviewer_swapped": ["interview_moved"],
    "interview_moved": ["interview_moved"],
    "interview_waiting_on_feedback": ["interview_scheduled"],
    "interview_feedback_of_one": ["interview_scheduled", "scorecard_submitted"],
    "interview_complete": [
        "interview_scheduled",
        "scorecard_submitted",
        "scorecard_submitted",
        "interview_held",
    ],
    "interview_cancelled": ["interview_cancelled"],
    "plan_dropped": ["unrecognised_touchpoint"],
    "interview_on_hold": ["unrecognised_touchpoint"],
    "survey_answered": ["survey_answered"],
    "questionnaire_answered": ["information_provided"],
    "consent_given": ["unrecognised_touchpoint"],
    "interview_plan_switched": [],
    "job_created": [],
    "job_updated": [],
    "job_posting_update": [],
    "job_posting_publish": [],
    "job_posting_unpublish": [],
    "opening_created": [],
    "ping": [],
}


def application(name: str, **changes: Any) -> dict[str, Any]:
    """A payload with fields of its application replaced."""
    return ASHBY.changed(name, "data", "application", **changes)


def schedule(name: str, **changes: Any) -> dict[str, Any]:
    """A payload with fields of its interview schedule replaced."""
    return ASHBY.changed(name, "data", "interviewSchedule", **changes)


def offer(name: str, **changes: Any) -> dict[str, Any]:
    """A payload with fields of its offer replaced."""
    return ASHBY.changed(name, "data", "offer", **changes)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_payload_tells_its_kinds(name: str) -> None:
    """A delivery tells these kinds of touchpoints; one that tells none says why."""
    assert ASHBY.kinds(name) == EXPECTED[name]
    assert (ASHBY.translate(name).context is None) == bool(EXPECTED[name])


def test_every_action_has_a_payload() -> None:
    """Our payloads cover the 22 documented actions, and each file has its expectation."""
    actions = {ASHBY.payload(name)["action"] for name in ASHBY.names()}
    assert actions == {*ACTIONS, "ping"}
    assert len(actions) == 22
    assert set(_HANDLERS) <= set(ACTIONS)
    assert set(ASHBY.names()) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_nothing_personal_is_outside_the_sealed_part(name: str) -> None:
    """Names, addresses, numbers and free text of a payload are in `personal` alone."""
    for statement in ASHBY.translate(name).statements:
        state = statement.touchpoint.model_dump_json()
        for secret in ("Anneke", "Vermeer", "@mail.example", "555 0142", "vellum", "waited"):
            assert secret not in state


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_what_no_fact_needs_is_dropped(name: str) -> None:
    """File handles, the applicant's address and browser, colleagues: nowhere, sealed or not."""
    said = repr(ASHBY.translate(name))
    for dropped in (
        "192.0.2.55", "Mozilla", "secret-handle", ".pdf", "start in May", "52000",
        "@employer.example", "Robin", "Baker", "Chris", "Moor", "Sam", "Kim", "7102",
        "credited-user",
    ):  # fmt: skip
        assert dropped not in said


def test_the_person_is_named_by_every_key_strongest_first() -> None:
    """Candidate id, application id, then the candidate's own address and number."""
    (statement,) = ASHBY.translate("application_submitted").statements
    assert statement.person == (
        PersonKey("ashby:candidate", CANDIDATE),
        PersonKey("ashby:application", APPLICATION),
        PersonKey("email", "Anneke.Vermeer@mail.example"),
        PersonKey("phone", "+31 20 555 0142"),
    )
    assert statement.personal is not None
    assert statement.personal.name == "Anneke Vermeer"


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("interview_to_be_planned", ["ashby:application"]),
        ("interview_scheduled", ["ashby:candidate", "ashby:application"]),
        ("offer_sent", ["ashby:application", "ashby:offer"]),
        ("offer_signature_sent", ["ashby:offer"]),
        ("form_signature_sent", ["ashby:application"]),
        ("survey_answered", ["ashby:candidate", "ashby:application"]),
        ("candidate_deleted", ["ashby:candidate"]),
    ],
)
def test_what_names_no_candidate_is_known_by_what_it_names(name: str, keys: list[str]) -> None:
    """Interviews and offers name an application, a signature of an offer the offer alone."""
    person = ASHBY.translate(name).statements[0].person
    assert [key.namespace for key in person] == keys


# --- applications -----------------------------------------------------------------------------


def test_an_application_is_dated_by_when_it_was_made() -> None:
    """`createdAt` is exact, and `updatedAt` the next best."""
    touchpoint = ASHBY.only("application_submitted")
    assert touchpoint.occurred_at.isoformat() == "2026-01-12T08:02:12.310000+00:00"
    assert touchpoint.occurred_quality == "exact"
    assert touchpoint.application_id == f"ashby:{APPLICATION}"
    assert touchpoint.job_id == "ashby:1f6b2d90-c8a5-4e37-b1d4-90a7c5e3f213"
    assert touchpoint.stage == "Application Review"
    assert (
        ASHBY.only(application("application_submitted", createdAt=None)).occurred_quality
        == "inferred"
    )


def test_a_lead_opens_no_application() -> None:
    """Somebody who was found has not applied, and moving them about is no stage of anything."""
    for body in ("lead_added", application("moved_to_phone_screen", status="Lead")):
        kept = ASHBY.only(body)
        assert (kept.KIND, kept.application_id) == ("unrecognised_touchpoint", None)


def test_a_real_payload_without_job_and_team_is_read() -> None:
    """The specification requires them; a recorded delivery has neither."""
    body = application("moved_to_phone_screen", job=..., hiringTeam=..., archiveReason=None)
    assert ASHBY.only(body).job_id is None


def test_a_stage_change_is_dated_by_the_last_update() -> None:
    """Nothing says when the stage was entered, so the time is inferred."""
    touchpoint = ASHBY.only("moved_to_phone_screen")
    assert (touchpoint.stage, touchpoint.occurred_quality) == ("Phone Screen", "inferred")
    assert touchpoint.occurred_at.isoformat() == "2026-01-15T13:37:05.120000+00:00"


def test_a_stage_means_what_its_connection_says() -> None:
    """Stage names map to kinds by configuration, in any case, beside the move itself."""
    stages = {"reference check": "reference_requested"}
    kinds = ["stage_changed", "reference_requested"]
    assert ASHBY.kinds("moved_to_reference_check", stages=stages) == kinds
    assert ASHBY.kinds("moved_to_phone_screen", stages=stages) == ["stage_changed"]
    with pytest.raises(Untranslatable, match="touchpoint_retracted"):
        ASHBY.translate(
            "moved_to_reference_check", stages={"Reference Check": "touchpoint_retracted"}
        )


def test_archiving_is_dated_by_its_own_time() -> None:
    """`updatedAt` moves for edits years later; `archivedAt` does not."""
    body = application("rejected_by_us", updatedAt="2028-05-28T21:07:26.245Z")
    touchpoint = ASHBY.only(body)
    assert touchpoint.occurred_at.isoformat() == "2026-02-10T16:20:00+00:00"
    assert (touchpoint.occurred_quality, touchpoint.reason) == ("exact", "Lacking experience")


def test_a_rejection_is_a_decision_until_somebody_tells_the_candidate() -> None:
    """A connection may say that this organisation rejects and tells in one click."""
    assert ASHBY.only("rejected_by_us", rejection_is_sent=True).KIND == "rejection_sent"
    assert ASHBY.only("withdrawn", rejection_is_sent=True).KIND == "withdrew"


@pytest.mark.parametrize(
    "reason", [None, ..., {}, {"reasonType": "Other"}, {"reasonType": 3}, "Lacking"]
)
def test_archiving_without_a_telling_reason_claims_nothing(reason: Any) -> None:
    """It may be a closed job or a duplicate: neither a rejection nor a withdrawal."""
    assert ASHBY.kinds(application("rejected_by_us", archiveReason=reason)) == [
        "unrecognised_touchpoint"
    ]


def test_another_reason_is_what_the_connection_says_of_it() -> None:
    """By the id of the reason."""
    for meaning, kind in (("rejected", "rejection_decided"), ("withdrew", "withdrew")):
        reasons = {"reason-3": meaning}
        assert ASHBY.kinds("archived_for_another_reason", archive_reasons=reasons) == [kind]


@pytest.mark.parametrize("status", [None, ..., "", "Paused", 7])
def test_only_an_active_application_was_reopened(status: Any) -> None:
    """A status that is missing or new to us is no sign that it is under way again."""
    body = application("reopened", status=status, currentInterviewStage=None)
    assert "application_reopened" in ASHBY.kinds("reopened")
    assert "application_reopened" not in ASHBY.kinds(body)
    assert ASHBY.kinds({**body, "action": "applicationUpdate"}) == []


def test_a_rejection_leaves_the_stage_it_came_in() -> None:
    """ "Archived" and "Hired" are no stages anybody waited in."""
    assert ASHBY.only("rejected_by_us").stage is None
    assert ASHBY.only("hired_echo").stage is None


def test_a_merge_names_both_candidates() -> None:
    """The merged one is the person, the deleted one is the same as it."""
    (statement,) = ASHBY.translate("candidates_merged").statements
    assert statement.person == (PersonKey("ashby:candidate", CANDIDATE),)
    assert statement.same_as == (
        PersonKey("ashby:candidate", "c40d9e8b-3a72-4f16-95b0-6e1d8f7a2b99"),
    )


# --- interviews -------------------------------------------------------------------------------


def test_a_schedule_of_two_slots_is_one_appointment() -> None:
    """From the first start to the last end; whoever scheduled it is the actor."""
    booked = ASHBY.only("interview_scheduled")
    assert booked.starts_at.isoformat() == "2026-01-20T13:00:00+00:00"
    assert booked.ends_at.isoformat() == "2026-01-20T15:00:00+00:00"
    assert booked.occurred_at.isoformat() == "2026-01-16T10:00:00+00:00"
    assert booked.occurred_quality == "exact"
    assert booked.interview_id == "ashby:5c4ed01e-6f70-4182-93a4-b5c6d7e8f917"
    assert (booked.actor.type, booked.actor.id) == (
        "person",
        "ashby:e57a1b2c-3d4e-4f50-8a61-7b8c9d0e1f15",
    )


def test_a_moved_interview_has_its_new_time() -> None:
    """Its slots were edited while they lay ahead."""
    moved = ASHBY.only("interview_moved")
    assert moved.starts_at.isoformat() == "2026-01-22T09:00:00+00:00"
    assert moved.occurred_at.isoformat() == "2026-01-19T08:00:00+00:00"
    assert moved.occurred_quality == "inferred"
    assert moved.interview_id == ASHBY.only("interview_scheduled").interview_id


def test_a_slot_that_gets_its_room_is_not_moved() -> None:
    """A minute after it was made it is still being entered."""
    body = ASHBY.payload("interview_scheduled_echo")
    body["data"]["interviewSchedule"]["interviewEvents"][0]["updatedAt"] = (
        "2026-01-16T10:00:41.000Z"
    )
    assert ASHBY.kinds(body) == ["interview_scheduled"]


def test_a_slot_added_later_moves_the_appointment() -> None:
    """The candidate has to come at another time, whichever slot it is."""
    body = ASHBY.payload("interviewer_swapped")
    first, second = body["data"]["interviewSchedule"]["interviewEvents"]
    first["updatedAt"] = first["createdAt"]
    second.update(createdAt="2026-01-17T09:00:00.000Z", updatedAt="2026-01-17T09:00:00.000Z")
    second.update(startTime="2026-01-21T09:00:00.000Z", endTime="2026-01-21T10:00:00.000Z")
    moved = ASHBY.only(body)
    assert (moved.KIND, moved.occurred_at.isoformat()) == (
        "interview_moved",
        "2026-01-17T09:00:00+00:00",
    )


def test_waiting_on_feedback_is_no_sign_that_it_took_place() -> None:
    """Ashby says so once the time has passed; feedback that came in says more."""
    assert "interview_held" not in ASHBY.kinds("interview_waiting_on_feedback")
    held = ASHBY.translate("interview_complete").statements[-1].touchpoint
    assert (held.KIND, held.occurred_quality) == ("interview_held", "inferred")
    assert held.occurred_at.isoformat() == "2026-01-20T15:00:00+00:00"


def test_feedback_after_an_interview_does_not_move_it() -> None:
    """It edits the slot, and the candidate notices nothing."""
    assert "interview_moved" not in ASHBY.kinds("interview_complete")


def test_a_cancellation_without_slots_is_one_if_it_had_been_scheduled() -> None:
    """A plan that nobody had scheduled was never told to the candidate: dropping it is no word."""
    cancelled = ASHBY.only("interview_cancelled")
    assert cancelled.interview_id == ASHBY.only("interview_scheduled").interview_id
    assert ASHBY.only("plan_dropped").label == "interview schedule dropped before it was booked"


@pytest.mark.parametrize("events", [None, [], ..., ["x"], [{}], [{"startTime": "soon"}]])
def test_a_booking_without_times_claims_none(events: Any) -> None:
    """Kept as it was told; nobody is said to have an appointment."""
    kept = ASHBY.only(schedule("interview_scheduled", interviewEvents=events))
    assert kept.label == "interview schedule without times"


def test_availability_is_asked_on_a_page_of_ashbys() -> None:
    """It shows and takes times in the zone of whoever looks, so none is missing."""
    assert ASHBY.only("availability_requested").channel == "web"
    assert ASHBY.only("availability_requested").occurred_quality == "inferred"


def test_an_unknown_status_is_not_repeated() -> None:
    """It is not sealed, so only words of Ashby's list are."""
    kept = ASHBY.only(schedule("interview_on_hold", status="Anneke is ill"))
    assert kept.label == "interview schedule of unknown status"


# --- offers, signatures, surveys --------------------------------------------------------------


def test_an_offer_is_decided_when_its_first_version_was_made() -> None:
    """Whatever version a delivery is about; its author is the actor."""
    decided = ASHBY.translate("offer_new_version_sent").statements[0].touchpoint
    assert decided.occurred_at.isoformat() == "2026-02-18T15:00:00+00:00"
    assert decided.actor is not None
    assert decided.actor.id == "ashby:e57a1b2c-3d4e-4f50-8a61-7b8c9d0e1f15"


def test_an_answer_is_dated_by_when_it_was_given() -> None:
    """`decidedAt` is exact; when an offer was sent nothing says."""
    assert ASHBY.translate("offer_accepted").statements[1].touchpoint.occurred_quality == "exact"
    sent = ASHBY.translate("offer_sent").statements[1].touchpoint
    assert (sent.occurred_at, sent.occurred_quality) == (RECEIVED_AT, "unknown")


def test_a_new_version_in_approval_is_not_sent() -> None:
    """`acceptanceStatus` still waits for an answer to the version before."""
    assert "offer_sent" not in ASHBY.kinds("offer_new_version")
    without = offer("offer_sent", offerStatus=...)
    assert "offer_sent" in ASHBY.kinds(without)


def test_a_signed_offer_is_the_same_fact_as_an_accepted_one() -> None:
    """Sent for signing is sent, and signed is accepted."""
    assert ASHBY.told("offer_sent", "offer_signature_sent")["offer_sent"] == 1
    assert ASHBY.told("offer_signature_completed", "offer_accepted")["offer_accepted"] == 1


def test_the_comment_of_a_survey_is_sealed() -> None:
    """What the candidate wrote about how it was; answers to other surveys are not needed."""
    (said,) = ASHBY.translate("survey_answered").statements
    assert said.personal is not None
    assert said.personal.text == {"comment": "Anneke waited three weeks for an answer"}
    assert (said.touchpoint.survey_id, said.touchpoint.channel) == ("ashby:form-7", "survey")  # type: ignore[attr-defined]
    for name in ("questionnaire_answered", "consent_given"):
        assert ASHBY.translate(name).statements[0].personal is None


# --- deliveries -------------------------------------------------------------------------------


def test_two_organisations_stay_apart() -> None:
    """Ids and keys carry the connection's source name."""
    (statement,) = ASHBY.translate("interview_scheduled", source_name="ashby-eu").statements
    assert statement.person[0].namespace == "ashby-eu:candidate"
    ours = ASHBY.only("interview_scheduled")
    assert statement.touchpoint.touchpoint_id != ours.touchpoint_id


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("application_submitted", "data.application.id"),
        ("application_edited", "data.application.id"),
        ("moved_to_phone_screen", "data.application.id"),
        ("hired", "data.application.id"),
        ("pushed_to_hris", "data.application.id"),
        ("candidate_deleted", "data.candidate.id"),
        ("candidates_merged", "data.deletedCandidate.id"),
        ("interview_scheduled", "data.interviewSchedule.id"),
        ("offer_created", "data.offer.id"),
        ("offer_deleted", "data.offer.id"),
        ("form_signature_sent", "data.applicationId"),
        ("survey_answered", "data.surveySubmission.id"),
    ],
)
def test_the_reason_names_the_missing_field(name: str, path: str) -> None:
    """An action that names nobody says which field should have."""
    with pytest.raises(Untranslatable) as raised:
        ASHBY.translate(ASHBY.changed(name, data={}))
    assert raised.value.reason == f"{path} is missing or no id"


def test_an_unknown_action_is_kept_as_context() -> None:
    """Answered, kept, and not held against the sender; an odd word is not repeated."""
    assert ASHBY.translate({"action": "noteCreate"}).context == "unknown action noteCreate"
    assert ASHBY.translate({"action": "Anneke Vermeer"}).context == "unknown action"


@pytest.mark.parametrize("body", [b"", b"\xff", b"[1]", b"{}", b'{"action": 3}', b'"x"', b"{"])
def test_a_body_without_an_action_is_untranslatable(body: bytes) -> None:
    """No JSON, no object, no action: a dead letter each, with its reason."""
    with pytest.raises(Untranslatable):
        ASHBY.translate(body)


def test_a_ping_is_a_probe() -> None:
    """Unanswered, the webhook is created disabled."""
    assert ASHBY.adapter.is_probe({}, ASHBY.payload("ping"), "POST") is not None
    assert ASHBY.adapter.is_probe({}, ASHBY.payload("hired"), "POST") is None


def test_the_signature_is_over_the_raw_body() -> None:
    """Another body under the same signature is not authentic."""
    body = ASHBY.delivery("hired").body
    headers = SIGNATURE.sign(body, SECRET)
    ASHBY.adapter.verify(headers, body, ["old", SECRET], RECEIVED_AT)
    with pytest.raises(NotAuthentic):
        ASHBY.adapter.verify(headers, body + b" ", [SECRET], RECEIVED_AT)


def test_a_signature_mistake_is_answered_so_that_ashby_tries_again() -> None:
    """401, 403, 404, 405 and 410 are final for it, and a secret can be set wrong."""
    assert ASHBY.adapter.refusal_code not in {401, 403, 404, 405, 410}
