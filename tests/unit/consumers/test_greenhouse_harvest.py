"""What is polled from Greenhouse Harvest: which touchpoints, when, and once with the webhook's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from consumers.ats_adapters.adapter import BEFORE, POLLED, Delivery, Translation
from consumers.ats_adapters.greenhouse_harvest import before
from consumers.errors import Untranslatable
from consumers.inbox import new_delivery_id
from schemas.event import Touchpoint
from schemas.identifiers import PersonKey
from tests.support import greenhouse
from tests.support.greenhouse import ADAPTER, CONNECTION, PAYLOADS, RECEIVED_AT, kinds

OURS = PAYLOADS / "harvest"
ROOT = Path(__file__).parents[3]
SAMPLES = Path(os.environ.get("JOURNEY_SAMPLES", ROOT.parent / "shared" / "samples"))
ENDPOINTS = {
    "candidate": "candidates",
    "offer": "offers",
    "interview": "scheduled_interviews",
    "feed": "activity_feed",
}
PERSONAL = ("Anneke", "Vermeer", "vermeer", "Robin", "Kim", "vellum", "Fridays", "Atelier", "keen")


def payload(name: str) -> Any:
    """One of `tests/payloads/greenhouse/harvest`."""
    return orjson.loads((OURS / f"{name}.json").read_bytes())


def found(endpoint: str, body: Any, earlier: Any = None) -> Translation:
    """What an object of this list says; `earlier` is the version that was kept before."""
    headers = {POLLED: endpoint}
    if earlier is not None:
        headers[BEFORE] = before(orjson.dumps(earlier)).decode()
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    delivery = Delivery(
        new_delivery_id(RECEIVED_AT), CONNECTION.name, "greenhouse", RECEIVED_AT, headers, raw
    )
    return ADAPTER.translate(delivery, CONNECTION)


def polled(name: str, earlier: str | None = None, **changes: Any) -> Translation:
    """What a payload of ours says, with some of its fields changed."""
    body = {**payload(name), **changes}
    return found(
        ENDPOINTS[name.partition("_")[0]], body, payload(earlier) if earlier is not None else None
    )


def touchpoints(said: Translation) -> list[Touchpoint]:
    return [statement.touchpoint for statement in said.statements]


def ids(said: Translation) -> set[Any]:
    return {touchpoint.touchpoint_id for touchpoint in touchpoints(said)}


EXPECTED: dict[str, list[str]] = {
    "candidate_in_process": ["application_submitted"],
    "candidate_rejected": ["application_submitted", "rejection_decided"],
    "candidate_without_application": [],
    "candidate_prospect": ["unrecognised_touchpoint"],
    "offer_out": ["offer_decided", "offer_sent"],
    "offer_superseded": [],
    "offer_accepted": ["offer_decided", "offer_sent", "offer_accepted"],
    "offer_declined": ["offer_decided", "offer_sent", "offer_declined"],
    "interview_scheduled": ["interview_scheduled"],
    "interview_moved": ["interview_scheduled"],
    "interview_over": ["interview_scheduled", "interview_held"],
    "interview_with_feedback": ["interview_scheduled", "interview_held", "scorecard_submitted"],
    "interview_all_day": ["interview_scheduled", "interview_held"],
    "feed": [
        "message_sent", "message_received", "unrecognised_touchpoint", "unrecognised_touchpoint",
        "unrecognised_touchpoint",
    ],
}  # fmt: skip


def test_every_payload_is_expected() -> None:
    """A payload that nobody looks at proves nothing."""
    assert {file.stem for file in OURS.glob("*.json")} == {*EXPECTED, "feed_as_answered"}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_object_says_what_it_says(name: str) -> None:
    """At first sight: these kinds, each marked late, or a reason why nothing is said."""
    said = polled(name)
    assert kinds(said) == EXPECTED[name]
    assert all(touchpoint.late for touchpoint in touchpoints(said))
    assert bool(said.statements) != bool(said.context)


@pytest.mark.parametrize("name", EXPECTED)
def test_nothing_personal_leaves_the_sealed_part(name: str) -> None:
    """No name, address or free text of anybody is in a touchpoint or context."""
    said = polled(name)
    shown = [said.context or "", *(each.model_dump_json() for each in touchpoints(said))]
    for text in shown:
        assert not [word for word in PERSONAL if word in text]


# --- told twice, counted once ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "action", "more"),
    [
        ("candidate_in_process", "application_received", 0),
        ("candidate_rejected", "rejected_by_us", 1),
        ("candidate_prospect", "prospect_added", 0),
        ("offer_out", "offer_sent", 1),
        ("offer_accepted", "offer_accepted", 1),
    ],
)
def test_what_a_webhook_tells_too_has_the_same_id(name: str, action: str, more: int) -> None:
    """All that the webhook says is among what the poll finds, under the same ids."""
    body = greenhouse.payload(action)
    if action == "prospect_added":
        body["payload"]["application"]["id"] = 90310007
    pushed = greenhouse.translate(body)
    both = ids(polled(name))
    assert ids(pushed) <= both
    assert len(both - ids(pushed)) == more


def test_a_rejection_says_why_and_seals_the_details() -> None:
    """Harvest writes the answers of the form in another place than the webhook."""
    said = polled("candidate_rejected")
    (no,) = [each for each in said.statements if each.touchpoint.KIND == "rejection_decided"]
    assert no.touchpoint.reason == "Lacking experience"  # type: ignore[attr-defined]
    assert no.personal is not None
    assert no.personal.text["rejection_details"] == "Anneke never handled vellum."


def test_an_application_found_does_not_claim_the_stage_of_today() -> None:
    """Where it stands now is not where it stood when it was sent."""
    (submitted,) = touchpoints(polled("candidate_in_process"))
    assert submitted.stage is None
    assert submitted.occurred_at.isoformat() == "2026-01-12T08:02:12.340000+00:00"
    assert submitted.occurred_quality == "exact"


def test_an_offer_names_its_candidate_and_says_when_it_was_made() -> None:
    """Harvest knows both; the webhook knows neither."""
    said = polled("offer_out")
    decided, sent = touchpoints(said)
    assert said.statements[0].person == (
        PersonKey("greenhouse:candidate", "70110001"),
        PersonKey("greenhouse:application", "90310001"),
    )
    assert (decided.occurred_at.isoformat(), decided.occurred_quality) == (
        "2026-02-17T14:05:00+00:00",
        "exact",
    )
    assert sent.occurred_precision == "day"


# --- interviews -----------------------------------------------------------------------------


def test_an_interview_keeps_its_times_and_its_own_key() -> None:
    """By that key the webhook of a cancelled interview knows it."""
    (statement,) = polled("interview_scheduled").statements
    scheduled: Any = statement.touchpoint
    assert scheduled.starts_at.isoformat() == "2026-02-05T13:00:00+00:00"
    assert scheduled.ends_at.isoformat() == "2026-02-05T13:45:00+00:00"
    assert scheduled.occurred_at.isoformat() == "2026-01-29T09:12:44.120000+00:00"
    assert scheduled.interview_id == "greenhouse:61000001"
    assert PersonKey("greenhouse:scheduled_interview", "61000001") in statement.person
    (cancelled,) = greenhouse.translate("interview_deleted").statements
    assert cancelled.touchpoint.interview_id == scheduled.interview_id  # type: ignore[attr-defined]
    assert cancelled.person[0] in statement.person


def test_other_times_than_before_are_a_move() -> None:
    """And not a second booking."""
    said = polled("interview_moved", "interview_scheduled")
    (moved,) = touchpoints(said)
    assert moved.KIND == "interview_moved"
    assert moved.starts_at.isoformat() == "2026-02-09T10:00:00+00:00"  # type: ignore[attr-defined]
    assert (moved.occurred_at.isoformat(), moved.occurred_quality) == (
        "2026-02-03T15:30:10.500000+00:00",
        "inferred",
    )


def test_moved_there_and_back_and_there_again_are_three_moves() -> None:
    """The same times at another change are another fact."""
    first = polled("interview_moved", "interview_scheduled")
    back = polled("interview_scheduled", "interview_moved", updated_at="2026-02-03T16:00:00.000Z")
    again = polled("interview_moved", "interview_scheduled", updated_at="2026-02-03T17:00:00.000Z")
    assert len(ids(first) | ids(back) | ids(again)) == 3


def test_a_second_look_at_an_unmoved_interview_says_nothing() -> None:
    """An answer to an invitation changes the object and no fact."""
    said = polled("interview_scheduled", "interview_scheduled", location="Room Parchment")
    assert said.context == "an interview that says nothing new"


def test_an_interview_is_held_from_its_end() -> None:
    """Greenhouse waits for feedback once the time is over: inferred, and told once."""
    (held,) = touchpoints(polled("interview_over", "interview_moved"))
    assert held.KIND == "interview_held"
    assert held.occurred_at.isoformat() == "2026-02-09T10:45:00+00:00"
    assert held.occurred_quality == "inferred"
    with_feedback = polled("interview_with_feedback", "interview_over")
    assert kinds(with_feedback) == ["interview_held", "scorecard_submitted"]
    assert held.touchpoint_id in ids(with_feedback)


def test_who_corrects_a_calendar_afterwards_tells_the_candidate_nothing() -> None:
    """New times of an interview that is over are no move and no second interview."""
    end = {"date_time": "2026-02-09T11:05:00.000Z"}
    said = polled("interview_with_feedback", "interview_over", start={**end}, end=end)
    assert kinds(said) == ["scorecard_submitted"]


def test_an_interview_moved_and_held_between_two_looks_is_both() -> None:
    """The move was before it began, however late we look."""
    moved, held = touchpoints(polled("interview_over", "interview_scheduled"))
    assert (moved.KIND, held.KIND) == ("interview_moved", "interview_held")
    assert moved.occurred_at.isoformat() == "2026-02-09T10:00:00+00:00"


def test_an_all_day_interview_has_a_day_and_no_hour() -> None:
    """Its end is the day after; it was held on its last day, whenever that day."""
    scheduled, held = touchpoints(polled("interview_all_day"))
    assert scheduled.starts_at.isoformat() == "2026-02-16T00:00:00+00:00"  # type: ignore[attr-defined]
    assert scheduled.ends_at.isoformat() == "2026-02-17T00:00:00+00:00"  # type: ignore[attr-defined]
    assert (held.occurred_at.date().isoformat(), held.occurred_precision) == ("2026-02-16", "day")


# --- activity feeds -------------------------------------------------------------------------


def test_the_candidates_own_addresses_tell_which_way_an_email_went() -> None:
    """Sent to them, received from them, or about them: a team's talk is no word to anybody."""
    sent, received, about, *_ = polled("feed").statements
    assert sent.touchpoint.KIND == "message_sent"
    assert sent.touchpoint.actor is not None
    assert (sent.touchpoint.actor.type, sent.touchpoint.actor.id) == ("person", "greenhouse:881")
    assert sent.touchpoint.channel == "email"
    assert sent.touchpoint.application_id == "greenhouse:90310001"
    assert received.touchpoint.KIND == "message_received"
    assert received.touchpoint.actor is not None
    assert received.touchpoint.actor.type == "candidate"
    assert about.touchpoint.label == "email"  # type: ignore[attr-defined]
    assert about.touchpoint.application_id is None
    assert sent.personal is not None
    assert set(sent.personal.text) == {"subject", "body", "from", "to", "cc"}


@pytest.mark.parametrize("hostile", ["(" * 5_000, "a:" * 5_000, "[(" * 5_000, "<" * 50_000])
def test_an_address_field_that_is_nested_without_end_stops_nobody(hostile: str) -> None:
    """Anybody can write to a candidate; the other fields still tell which way it went."""
    feed = payload("feed")
    sent = {**feed["emails"][0], "cc": hostile}
    said = found("activity_feed", {**feed, "emails": [sent, {**sent, "id": 1, "to": hostile}]})
    assert kinds(said)[:2] == ["message_sent", "unrecognised_touchpoint"]


def test_the_time_is_the_field_and_never_the_text() -> None:
    """The text of an activity names another day than its time."""
    sent, received, *_ = touchpoints(polled("feed"))
    assert sent.occurred_at.isoformat() == "2026-01-26T15:55:06+00:00"
    assert received.occurred_at.isoformat() == "2026-01-26T18:03:00+00:00"
    assert {sent.occurred_quality, received.occurred_quality} == {"exact"}


def test_stage_changes_and_rejections_of_a_feed_are_told_elsewhere() -> None:
    """Alone they leave a reason, beside others nothing."""
    feed = payload("feed")
    only = found(
        "activity_feed", {**feed, "emails": [], "notes": [], "activities": feed["activities"][:2]}
    )
    assert only.context == "stage changes and rejections, which are told otherwise"


@pytest.mark.parametrize(
    "applications", [[], [{"id": 1, "prospect": True}], [{"id": 1}, {"id": 2}]]
)
def test_an_email_is_about_an_application_only_if_there_is_one(applications: list[Any]) -> None:
    """Of none or several, and for a prospect, it speaks to the person."""
    feed = payload("feed")
    feed["candidate"]["applications"] = applications
    sent, *_ = touchpoints(found("activity_feed", feed))
    assert (sent.KIND, sent.application_id) == ("message_sent", None)


def test_a_second_look_at_a_feed_gives_the_same_ids() -> None:
    """Whatever else is in the feed by then, items without an id included."""
    feed = payload("feed")
    del feed["notes"][0]["id"]
    later = {**feed, "emails": feed["emails"][:1], "activities": []}
    assert ids(found("activity_feed", later)) < ids(found("activity_feed", feed))


# --- odd input ------------------------------------------------------------------------------


def read(endpoint: str, body: Any) -> Translation | str:
    """What an object says, or the reason why that cannot be read."""
    try:
        return found(endpoint, body)
    except Untranslatable as error:
        return error.reason


@pytest.mark.parametrize("endpoint", [*ENDPOINTS.values(), "unheard_of"])
@pytest.mark.parametrize("body", [b"", b"[", b"null", b"[]", b"{}", b'{"id":{}}', b'{"id":1}'])
def test_odd_objects_have_a_reason(endpoint: str, body: bytes) -> None:
    """A translation or Untranslatable with a reason, and nothing else."""
    said = read(endpoint, body)
    assert said if isinstance(said, str) else bool(said.statements) != bool(said.context)


@pytest.mark.parametrize("odd", [None, [], {}, "x", 7, True, [7], [{"id": 1}], "9999-99-99"])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_field_of_another_shape_breaks_nothing(name: str, odd: Any) -> None:
    """Every field in turn is something else than documented."""
    for field in payload(name):
        said = read(ENDPOINTS[name.partition("_")[0]], {**payload(name), field: odd})
        assert said if isinstance(said, str) else all(each.person for each in said.statements)


def test_a_header_that_is_no_json_is_no_earlier_version() -> None:
    """Nothing is taken for a move, and nothing is raised."""
    body = orjson.dumps(payload("interview_moved"))
    headers = {POLLED: "scheduled_interviews", BEFORE: "x"}
    delivery = Delivery(
        new_delivery_id(RECEIVED_AT), CONNECTION.name, "greenhouse", RECEIVED_AT, headers, body
    )
    assert ADAPTER.translate(delivery, CONNECTION).statements


# --- the samples of the documentation -------------------------------------------------------


def sample(name: str) -> Any:
    """A documented answer; they may be missing anywhere but in CI."""
    file = SAMPLES / "greenhouse" / "harvest" / f"{name}.json"
    if not file.exists():
        assert not os.environ.get("CI"), "the folder of samples is missing in CI"
        pytest.skip("the folder of samples is not here")
    return orjson.loads(file.read_bytes())


def test_the_documented_interviews_are_read() -> None:
    """The second is an all-day one without a time of its own change."""
    first, second = sample("scheduled_interviews-list")
    assert kinds(found("scheduled_interviews", first)) == [
        "interview_scheduled",
        "interview_held",
        "scorecard_submitted",
    ]
    scheduled, held = touchpoints(found("scheduled_interviews", second))
    assert held.occurred_at.date().isoformat() == "2017-08-22"
    assert scheduled.occurred_quality == "inferred"


def test_the_documented_offers_are_read() -> None:
    """One is accepted, the other superseded."""
    first, second = sample("offers-list")
    assert kinds(found("offers", first)) == ["offer_decided", "offer_sent", "offer_accepted"]
    assert found("offers", second).context


def test_the_documented_candidate_and_feed_are_read() -> None:
    """The e-mail of the feed went to an address that this candidate does not have."""
    candidate = sample("candidate")
    assert kinds(found("candidates", candidate)) == [
        "application_submitted",
        "rejection_decided",
        "application_submitted",
    ]
    feed = {"candidate": candidate, **sample("activity_feed")}
    assert kinds(found("activity_feed", feed)) == ["unrecognised_touchpoint"] * 2
    candidate["email_addresses"].append({"value": "John.Locke@example.com", "type": "other"})
    assert kinds(found("activity_feed", feed))[0] == "message_sent"
