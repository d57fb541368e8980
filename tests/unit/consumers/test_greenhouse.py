"""Each Greenhouse action: which touchpoint, whose, when, and what stays unsaid."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from consumers.ats_adapters.greenhouse import _HANDLERS
from consumers.errors import NotAuthentic, Untranslatable
from schemas.ats.greenhouse import ACTIONS
from schemas.identifiers import PersonKey
from tests.support.greenhouse import (
    ADAPTER,
    PAYLOADS,
    RECEIVED_AT,
    changed,
    kinds,
    payload,
    translate,
)

EXPECTED: dict[str, list[str]] = {
    "application_received": ["application_submitted"],
    "prospect_added": ["unrecognised_touchpoint"],
    "application_updated": ["unrecognised_touchpoint"],
    "application_deleted": ["unrecognised_touchpoint"],
    "moved_to_phone_screen": ["stage_changed"],
    "moved_to_reference_check": ["stage_changed"],
    "moved_without_candidate": ["stage_changed"],
    "rejected_by_us": ["rejection_decided"],
    "withdrawn": ["withdrew"],
    "unrejected": ["application_reopened"],
    "hired": ["offer_sent", "offer_accepted", "hired"],
    "unhired": ["application_reopened"],
    "candidate_updated": ["unrecognised_touchpoint"],
    "candidate_deleted": ["unrecognised_touchpoint"],
    "candidates_merged": ["unrecognised_touchpoint"],
    "candidate_anonymized": ["unrecognised_touchpoint"],
    "offer_created": ["offer_decided"],
    "offer_approved": ["offer_decided"],
    "offer_new_version": ["offer_decided"],
    "offer_sent": ["offer_sent"],
    "offer_new_version_sent": ["offer_sent"],
    "offer_version_deprecated": [],
    "offer_accepted": ["offer_sent", "offer_accepted"],
    "offer_declined": ["offer_sent", "offer_declined"],
    "offer_deleted_after_sending": ["offer_rescinded"],
    "offer_deleted_unsent": ["unrecognised_touchpoint"],
    "interview_deleted": ["interview_cancelled"],
    "scorecard_deleted": ["unrecognised_touchpoint"],
    "job_created": [],
    "job_updated": [],
    "job_approved": [],
    "job_deleted": [],
    "job_post_created": [],
    "prospect_post_updated": [],
    "job_post_deleted": [],
    "job_stage_deleted": [],
    "department_deleted": [],
    "office_deleted": [],
    "ping": [],
}


def only(body: Any, **options: Any) -> Any:
    """The touchpoint of a delivery that tells one."""
    (statement,) = translate(body, **options).statements
    return statement.touchpoint


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_payload_tells_its_kinds(name: str) -> None:
    """A delivery tells these kinds of touchpoints; one that tells none says why."""
    translation = translate(name)
    assert kinds(translation) == EXPECTED[name]
    assert (translation.context is None) == bool(EXPECTED[name])


def test_every_action_has_a_payload() -> None:
    """Our payloads cover all 29 documented actions, and each file has its expectation."""
    actions = {orjson.loads(file.read_bytes())["action"] for file in PAYLOADS.glob("*.json")}
    assert set(ACTIONS) <= actions
    assert len(ACTIONS) == 29
    assert set(_HANDLERS) <= set(ACTIONS)
    assert {file.stem for file in PAYLOADS.glob("*.json")} == set(EXPECTED)


def test_the_person_is_named_by_every_key_strongest_first() -> None:
    """Candidate id, application id, then the candidate's own addresses and numbers."""
    (statement,) = translate("application_received").statements
    assert statement.person == (
        PersonKey("greenhouse:candidate", "70110001"),
        PersonKey("greenhouse:application", "90310001"),
        PersonKey("email", "Anneke.Vermeer@mail.example"),
        PersonKey("email", "a.vermeer@atelier.example"),
        PersonKey("phone", "+31 20 555 0142"),
    )


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_no_colleague_is_taken_for_the_candidate(name: str) -> None:
    """Recruiters, coordinators, interviewers and referrers are never the person or the actor."""
    said = repr(translate(name))
    for colleague in ("@employer.example", "Robin Baker", "Chris Moor", "Sam Friend", "Kim de"):
        assert colleague not in said
    assert "value='7102'" not in said


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_nothing_personal_is_outside_the_sealed_part(name: str) -> None:
    """Names, addresses, numbers and free text of a payload are in `personal` alone."""
    for statement in translate(name).statements:
        state = statement.touchpoint.model_dump_json()
        for secret in (
            "Anneke", "Vermeer", "Blom", "@mail.example", "@atelier.example", "555 0142",
            "Prinsengracht", "vermeer.example", "@annekevermeer", "Restorer", "Atelier",
            "vellum", "Fridays", "Loves paper",
        ):  # fmt: skip
            assert secret not in state


def test_what_is_personal_is_kept_for_sealing() -> None:
    """Name, addresses, links and the words of a rejection go into the sealed part."""
    (statement,) = translate("rejected_by_us").statements
    personal = statement.personal
    assert personal is not None
    assert personal.name == "Anneke Vermeer"
    assert personal.emails == ("Anneke.Vermeer@mail.example", "a.vermeer@atelier.example")
    assert personal.addresses == ("Prinsengracht 263\n1016 GV Amsterdam",)
    assert personal.links == ("https://vermeer.example/my work", "@annekevermeer")
    assert personal.text["rejection_details"] == "Anneke never handled vellum."


def test_an_application_is_dated_by_when_it_was_sent() -> None:
    """`applied_at` is exact."""
    touchpoint = only("application_received")
    assert touchpoint.occurred_at.isoformat() == "2026-01-12T08:02:12+00:00"
    assert touchpoint.occurred_quality == "exact"
    assert touchpoint.application_id == "greenhouse:90310001"
    assert touchpoint.job_id == "greenhouse:40210"
    assert touchpoint.stage == "Application Review"


def test_a_prospect_opens_no_application() -> None:
    """A prospect has not applied: no application, and its rejection is no rejection."""
    touchpoint = only("prospect_added")
    assert touchpoint.label == "new_prospect_application"
    assert touchpoint.application_id is None
    assert touchpoint.job_id is None
    for name in ("moved_to_phone_screen", "rejected_by_us", "unrejected", "application_received"):
        kept = only(changed(name, prospect=True))
        assert (kept.KIND, kept.application_id) == ("unrecognised_touchpoint", None)


def test_a_stage_change_is_dated_by_the_last_activity() -> None:
    """The payload has no time of the move, so the best one there is counts as inferred."""
    touchpoint = only("moved_to_phone_screen")
    assert touchpoint.stage == "Phone Screen"
    assert touchpoint.occurred_at.isoformat() == "2026-01-15T13:37:05+00:00"
    assert touchpoint.occurred_quality == "inferred"


def test_two_moves_of_one_application_are_two_facts() -> None:
    """Also back into the same stage: only the time differs."""
    again = changed("moved_to_phone_screen", last_activity_at="2026-01-19T08:00:00Z")
    assert only("moved_to_phone_screen").touchpoint_id != only(again).touchpoint_id


def test_a_stage_means_what_its_connection_says() -> None:
    """Stage names map to kinds by configuration, in any case, beside the move itself."""
    stages = {"reference check": "reference_requested"}
    translation = translate("moved_to_reference_check", stages=stages)
    assert kinds(translation) == ["stage_changed", "reference_requested"]
    assert translation.statements[1].touchpoint.occurred_quality == "inferred"
    assert translation.statements[1].touchpoint.stage == "Reference Check"
    assert kinds(translate("moved_to_phone_screen", stages=stages)) == ["stage_changed"]


def test_a_stage_map_that_cannot_be_is_a_clear_reason() -> None:
    """A kind that needs more than a stage makes a dead letter that a mended map heals."""
    with pytest.raises(Untranslatable, match="touchpoint_corrected"):
        translate("moved_to_reference_check", stages={"Reference Check": "touchpoint_corrected"})


def test_a_rejection_is_a_decision_until_somebody_tells_the_candidate() -> None:
    """Rejected in the ATS is known inside; a connection may say that it is sent in one click."""
    decided = only("rejected_by_us")
    assert (decided.KIND, decided.reason) == ("rejection_decided", "Lacking experience")
    assert decided.occurred_at.isoformat() == "2026-02-10T16:20:00+00:00"
    assert decided.occurred_quality == "exact"
    assert only("rejected_by_us", rejection_is_sent=True).KIND == "rejection_sent"


@pytest.mark.parametrize("name", ["They rejected us", "THEY REJECTED US ", "they rejected us"])
def test_a_withdrawal_is_told_by_the_name_of_the_reason_type(name: str) -> None:
    """The type's id differs between organisations, its name does not."""
    reason = {"id": 1, "name": "Moved away", "type": {"id": 77, "name": name}}
    body = changed("rejected_by_us", rejection_reason=reason)
    assert only(body, rejection_is_sent=True).KIND == "withdrew"


@pytest.mark.parametrize("reason", [None, {}, {"name": 3, "type": None}, {"type": {"name": None}}])
def test_a_rejection_without_a_readable_reason_is_still_one(reason: Any) -> None:
    """The reason may be missing, anonymised or odd."""
    touchpoint = only(changed("rejected_by_us", rejection_reason=reason))
    assert (touchpoint.KIND, touchpoint.reason) == ("rejection_decided", None)


def test_a_payload_without_its_candidate_is_known_by_its_application() -> None:
    """A real payload lacked candidate and jobs (issue #19): the application names the person."""
    (statement,) = translate("moved_without_candidate").statements
    assert statement.person == (PersonKey("greenhouse:application", "90310001"),)
    assert statement.touchpoint.job_id == "greenhouse:40210"


def test_a_merge_names_both_candidates() -> None:
    """The survivor is the person, the absorbed one is the same as it."""
    (statement,) = translate("candidates_merged").statements
    assert statement.touchpoint.label == "merge_candidate"  # type: ignore[attr-defined]
    assert statement.person == (PersonKey("greenhouse:candidate", "70110001"),)
    assert statement.same_as == (PersonKey("greenhouse:candidate", "70110002"),)


def test_a_cancelled_interview_is_known_by_its_own_id() -> None:
    """Nothing else is sent, so whose it was is found when a poll names it."""
    (statement,) = translate("interview_deleted").statements
    assert statement.person == (PersonKey("greenhouse:scheduled_interview", "61000001"),)
    assert statement.touchpoint.interview_id == "greenhouse:61000001"  # type: ignore[attr-defined]
    assert statement.touchpoint.occurred_quality == "unknown"
    assert statement.touchpoint.occurred_at == RECEIVED_AT


def test_an_update_brings_new_addresses_as_keys() -> None:
    """What identity learns from an update: each address, also with an odd type."""
    (statement,) = translate("candidate_updated").statements
    assert PersonKey("email", "anneke@new.example") in statement.person


def test_two_organisations_stay_apart() -> None:
    """Ids and keys carry the connection's source name."""
    (statement,) = translate("application_received", source_name="greenhouse-eu").statements
    assert statement.touchpoint.application_id == "greenhouse-eu:90310001"
    assert statement.person[0].namespace == "greenhouse-eu:candidate"
    assert statement.touchpoint.touchpoint_id != only("application_received").touchpoint_id


@pytest.mark.parametrize("given", ["007", "NA", "null", " 12", "é"])
def test_ids_survive_as_they_came(given: str) -> None:
    """Ids are text: zeros, blanks and words that look like nothing included."""
    assert only(changed("application_received", id=given)).application_id == f"greenhouse:{given}"


@pytest.mark.parametrize("given", [None, "", "  ", True, 7.5, [], {}, "x" * 201, 10**30])
def test_what_is_no_id_names_nobody(given: Any) -> None:
    """A missing or mangled id is a dead letter that says which field it was."""
    body = orjson.dumps(changed("application_received", id="ID"))
    raw = body.replace(b'"ID"', str(given).encode() if given == 10**30 else orjson.dumps(given))
    with pytest.raises(Untranslatable, match=r"payload\.application\.id"):
        translate(raw)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("offer_created", "payload.application_id"),
        ("offer_deleted_unsent", "payload.offer.application_id"),
        ("interview_deleted", "payload.interview.id"),
        ("scorecard_deleted", "payload.scorecard.candidate_id"),
        ("candidate_updated", "payload.candidate.id"),
        ("candidate_deleted", "payload.person.id"),
        ("candidates_merged", "payload.person.id"),
        ("candidate_anonymized", "payload.candidate_id"),
    ],
)
def test_the_reason_names_the_missing_field(name: str, path: str) -> None:
    """An action that names nobody says which field should have."""
    with pytest.raises(Untranslatable) as raised:
        translate({"action": payload(name)["action"], "payload": {}})
    assert raised.value.reason == f"{path} is missing or no id"


def test_an_unknown_action_is_kept_as_context() -> None:
    """Answered, kept, and not held against the sender; an odd word is not repeated."""
    assert (
        translate({"action": "candidate_promoted"}).context == "unknown action candidate_promoted"
    )
    assert translate({"action": "Anneke Vermeer"}).context == "unknown action"


@pytest.mark.parametrize("body", [b"", b"\xff", b"[1]", b"{}", b'{"action": 3}', b'"x"', b"{"])
def test_a_body_without_an_action_is_untranslatable(body: bytes) -> None:
    """No JSON, no object, no action: a dead letter each, with its reason."""
    with pytest.raises(Untranslatable):
        translate(body)


def test_a_ping_is_a_probe() -> None:
    """Only the ping is; a test of the door never becomes a touchpoint."""
    assert ADAPTER.is_probe({}, {"action": "ping", "payload": {}}, "POST") is not None
    for body in (None, [], {}, {"action": "hire_candidate"}):
        assert ADAPTER.is_probe({}, body, "POST") is None


def test_the_signature_is_over_the_raw_body() -> None:
    """The documented vectors pass; the same JSON written anew does not."""
    body = (
        b'{"action":"job_post_created",'
        b'"payload":{"content":"\\u003cp\\u003ehello\\u003c/p\\u003e"}}'
    )
    signed = {
        "signature": "sha256 249299b9624841571596ba08b8860c65f9c10ecaed790dcececcbd273650e582"
    }
    ADAPTER.verify(signed, body, ["old", "gh-test-secret"], RECEIVED_AT)
    with pytest.raises(NotAuthentic):
        ADAPTER.verify(signed, orjson.dumps(orjson.loads(body)), ["gh-test-secret"], RECEIVED_AT)


@pytest.mark.parametrize(
    ("value", "at", "precision"),
    [
        ("2026-01-12", "2026-01-12T00:00:00+00:00", "day"),
        ("01/12/2026", "2026-01-12T00:00:00+00:00", "day"),
        ("2026-01-12T08:02:12.345Z", "2026-01-12T08:02:12.345000+00:00", "instant"),
        ("2026-01-12T09:02:12+01:00", "2026-01-12T08:02:12+00:00", "instant"),
    ],
)
def test_dates_come_in_three_ways(value: str, at: str, precision: str) -> None:
    """ISO date, US date and ISO time with an offset; a date is only as sharp as a day."""
    touchpoint = only(changed("application_received", applied_at=value))
    assert touchpoint.occurred_at.isoformat() == at
    assert touchpoint.occurred_precision == precision


@pytest.mark.parametrize(
    "value", [None, "", "soon", 5, "2026-01-12T08:02:12", "13/45/2026", "0001-01-01T00:00:00+14:00"]
)
def test_an_unreadable_time_falls_back_to_the_next_best(value: Any) -> None:
    """First to the last activity, inferred; then to when it arrived, unknown."""
    touchpoint = only(changed("application_received", applied_at=value))
    assert touchpoint.occurred_quality == "inferred"
    touchpoint = only(changed("application_received", applied_at=value, last_activity_at=value))
    assert (touchpoint.occurred_at, touchpoint.occurred_quality) == (RECEIVED_AT, "unknown")
