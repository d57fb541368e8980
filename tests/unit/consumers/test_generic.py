"""The generic adapter: CloudEvents in three modes, Standard Webhooks, and mapping files."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers import ats_adapters
from consumers.ats_adapters.adapter import Delivery, Translation
from consumers.ats_adapters.generic import Generic
from consumers.ats_adapters.mapping import found_at, load_mapping
from consumers.connections import Connection
from consumers.errors import NotAuthentic, Untranslatable
from consumers.inbox import new_delivery_id
from consumers.webhooks.signatures import sign_standard_webhooks
from journey.errors import ConfigurationError
from schemas.identifiers import PersonKey
from tests.support.truth import FULL

PAYLOADS = Path(__file__).parents[2] / "payloads" / "generic"
SAMPLE = Path(ats_adapters.__file__).parent / "mappings" / "sample.yaml"
RECEIVED_AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ADAPTER = Generic()
STRUCTURED = {"content-type": "application/cloudevents+json; charset=UTF-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
WEBHOOK = {"content-type": "application/json", "webhook-id": "msg_1"}
BOOKED: dict[str, Any] = orjson.loads((PAYLOADS / "interview_booked.cloudevent.json").read_bytes())
ENDED: dict[str, Any] = orjson.loads(
    (PAYLOADS / "interview_ended.standard-webhook.json").read_bytes()
)


def translate(body: Any, headers: dict[str, str], mapping: Path | None = SAMPLE) -> Translation:
    """What the adapter says of a body with these headers."""
    connection = Connection(
        name="scheduler",
        source="generic",
        source_name="scheduler",
        secrets=("s",),
        mapping=mapping,
    )
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    delivery = Delivery(
        new_delivery_id(RECEIVED_AT), "scheduler", "generic", RECEIVED_AT, headers, raw
    )
    return ADAPTER.translate(delivery, connection)


def event(**changes: Any) -> dict[str, Any]:
    """The booked interview with attributes replaced; None leaves one out."""
    changed = {**copy.deepcopy(BOOKED), **changes}
    return {key: value for key, value in changed.items() if value is not None}


def only(body: Any, headers: dict[str, str], mapping: Path = SAMPLE) -> Any:
    """The touchpoint of a delivery that tells one."""
    (statement,) = translate(body, headers, mapping).statements
    return statement.touchpoint


def mapping_file(folder: Path, text: str) -> Path:
    """A mapping file of this text."""
    path = folder / "map.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_structured_event_becomes_what_the_mapping_says() -> None:
    """Kind, person, application, times and kind fields come from where the mapping points."""
    (statement,) = translate(BOOKED, STRUCTURED).statements
    touchpoint: Any = statement.touchpoint
    assert touchpoint.KIND == "interview_scheduled"
    assert touchpoint.source_event_id == "/scheduler#ev-1"
    assert touchpoint.application_id == "greenhouse:90310001"
    assert touchpoint.occurred_at.isoformat() == "2026-01-28T08:15:00+00:00"
    assert touchpoint.occurred_offset_minutes == 60
    assert touchpoint.interview_id == "501"
    # A naive start, in the zone the mapping names.
    assert touchpoint.starts_at.isoformat() == "2026-02-03T09:00:00+00:00"
    assert touchpoint.channel == "calendar"
    assert statement.person == (
        PersonKey("scheduler:candidate", "c-17"),
        PersonKey("greenhouse:application", "90310001"),
        PersonKey("email", "zoe.nair@mail.example"),
        PersonKey("email", "zoe@second.example"),
        PersonKey("phone", "+44 20 7946 0321"),
    )


def test_what_is_personal_goes_into_the_sealed_part_alone() -> None:
    """Name, addresses and comment are where the mapping says, and nowhere in the state."""
    (statement,) = translate(BOOKED, STRUCTURED).statements
    assert statement.personal is not None
    assert statement.personal.name == "Zoë Nair"
    assert statement.personal.text == {"comment": "Zoë prefers mornings"}
    state = statement.touchpoint.model_dump_json()
    for secret in ("Zoë", "Nair", "mail.example", "7946", "mornings"):
        assert secret not in state


def test_the_three_modes_tell_the_same_event() -> None:
    """Structured, binary and batch of one event have one touchpoint id."""
    attributes = {key: value for key, value in BOOKED.items() if key != "data"}
    binary = {f"ce-{key}": quote(value) for key, value in attributes.items()}
    binary["content-type"] = "application/json"
    told = {
        only(BOOKED, STRUCTURED).touchpoint_id,
        only(BOOKED["data"], binary).touchpoint_id,
        only([BOOKED], BATCH).touchpoint_id,
        only(BOOKED, {"content-type": "application/json"}).touchpoint_id,
    }
    assert len(told) == 1


def test_binary_headers_are_percent_decoded(tmp_path: Path) -> None:
    """`Zo%C3%AB%20Nair` in a header is Zoë Nair."""
    path = mapping_file(
        tmp_path,
        "person: {candidate: data.id}\npersonal: {name: subject}\n"
        "events: {a: {kind: message_sent}}",
    )
    headers = {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/s",
        "ce-type": "a",
        "ce-subject": "Zo%C3%AB%20Nair",
    }
    (statement,) = translate({"id": "c"}, headers, path).statements
    assert statement.personal is not None
    assert statement.personal.name == "Zoë Nair"


def test_data_in_base64_is_read() -> None:
    """`data_base64` of JSON is data; of anything else it is nothing."""
    import base64

    encoded = base64.b64encode(orjson.dumps(BOOKED["data"])).decode()
    body = event(data=None, data_base64=encoded)
    assert only(body, STRUCTURED).KIND == "interview_scheduled"
    with pytest.raises(Untranslatable, match="not base64"):
        translate(event(data=None, data_base64="... base64 ..."), STRUCTURED)


@pytest.mark.parametrize("attribute", ["id", "source", "type"])
@pytest.mark.parametrize("value", [None, "", 5])
def test_a_required_attribute_is_never_made_up(attribute: str, value: Any) -> None:
    """Without an id a retry would be a new event, so there is none."""
    with pytest.raises(Untranslatable, match=f"attribute {attribute} is missing"):
        translate(event(**{attribute: value}), STRUCTURED)


def test_an_event_without_a_time_happened_at_an_unknown_one() -> None:
    """It is dated by its arrival, and says that it is not known."""
    touchpoint = only(event(time=None), STRUCTURED)
    assert (touchpoint.occurred_at, touchpoint.occurred_quality) == (RECEIVED_AT, "unknown")


def test_another_version_of_cloudevents_is_not_guessed_at() -> None:
    """0.3 had other names for things."""
    with pytest.raises(Untranslatable, match="specversion"):
        translate(event(specversion="0.3"), STRUCTURED)


def test_one_bad_event_does_not_sink_the_batch() -> None:
    """The good ones are told, and the bad one's reason is kept."""
    body = orjson.loads((PAYLOADS / "batch_with_one_bad_event.json").read_bytes())
    translation = translate(body, BATCH)
    assert [said.touchpoint.KIND for said in translation.statements] == [
        "interview_scheduled",
        "interview_held",
    ]
    (problem,) = translation.problems
    assert problem.startswith("event 2: the attribute id")


def test_a_batch_of_nothing_but_bad_events_is_a_dead_letter() -> None:
    """The reason counts them and gives the first few."""
    with pytest.raises(Untranslatable, match=r"9 of 9 events.*event 1.*and 4 more"):
        translate([event(id=None)] * 9, BATCH)


def test_an_empty_batch_is_valid() -> None:
    """`[]` says nothing and is no fault."""
    assert translate([], BATCH).context == "an empty batch"


def test_a_standard_webhook_is_known_by_its_header() -> None:
    """The id is in a header, the time in the body; the header's time is that of the attempt."""
    headers = {**WEBHOOK, "webhook-timestamp": "1"}
    touchpoint = only(ENDED, headers)
    assert (touchpoint.KIND, touchpoint.source_event_id) == ("interview_held", "msg_1")
    # The mapping dates it by the interview's end, in the zone it names.
    assert touchpoint.occurred_at.isoformat() == "2026-02-03T10:00:00+00:00"
    assert touchpoint.occurred_quality == "exact"
    body = copy.deepcopy(ENDED)
    del body["data"]["interview"]
    told = only(body, headers)
    assert told.occurred_at.isoformat() == "2026-02-03T11:02:00+00:00"
    assert told.occurred_quality == "inferred"


def test_a_standard_webhook_without_an_id_needs_one_from_the_mapping(tmp_path: Path) -> None:
    """From a file there is no header; the mapping may say where an id is."""
    with pytest.raises(Untranslatable, match="webhook-id"):
        translate(ENDED, {"content-type": "application/json"})
    path = mapping_file(
        tmp_path,
        "person: {candidate: data.candidate.id}\nevent_id: data.interview.id\n"
        "events: {interview.ended: {kind: interview_held}}",
    )
    assert only(ENDED, {"content-type": "application/json"}, path).source_event_id == "501"


def test_an_unknown_type_is_kept_if_it_names_a_person() -> None:
    """Kept under its own name; without a person it is a dead letter."""
    touchpoint = only(event(type="calendar.synced"), STRUCTURED)
    assert (touchpoint.KIND, touchpoint.label) == ("unrecognised_touchpoint", "calendar.synced")
    with pytest.raises(Untranslatable, match="not in the mapping"):
        translate(event(type="calendar.synced", data={}), STRUCTURED)


def test_an_ignored_type_is_context() -> None:
    """The mapping may say that a type concerns nobody."""
    assert translate(event(type="page.viewed"), STRUCTURED).context is not None


def test_a_naive_time_without_a_zone_is_untranslatable(tmp_path: Path) -> None:
    """It names no moment, and guessing would move an interview by hours."""
    text = SAMPLE.read_text(encoding="utf-8").replace("time_zone: Europe/Amsterdam", "", 1)
    path = mapping_file(tmp_path, text)
    with pytest.raises(Untranslatable, match=r"data\.interview\.start is a time without a zone"):
        translate(BOOKED, STRUCTURED, path)


@pytest.mark.parametrize(
    ("time", "at", "quality"),
    [
        ("2026-07-01T10:00:00", "2026-07-01T08:00:00+00:00", "exact"),
        # The hour that the clock shows twice.
        ("2026-10-25T02:30:00", "2026-10-25T00:30:00+00:00", "inferred"),
        ("2026-07-01", "2026-07-01T00:00:00+00:00", "exact"),
        ("2026-07-01t10:00:00.123456789z", "2026-07-01T10:00:00.123456+00:00", "exact"),
    ],
)
def test_times_are_read_in_the_configured_zone(time: str, at: str, quality: str) -> None:
    """Naive times take the mapping's zone; where its clock shows a time twice, it is inferred."""
    touchpoint = only(event(time=time), STRUCTURED)
    assert (touchpoint.occurred_at.isoformat(), touchpoint.occurred_quality) == (at, quality)


@pytest.mark.parametrize("time", [5, "soon", "2026-02-30", "0001-01-01T00:00:00+14:00", {}])
def test_an_unreadable_time_is_a_reason(time: Any) -> None:
    """A time that is there and cannot be read is a dead letter, not a made-up moment."""
    with pytest.raises(Untranslatable, match="ISO 8601"):
        translate(event(time=time), STRUCTURED)


def test_both_proofs_are_standard_webhooks_signatures() -> None:
    """Signed over id, time and raw body; a changed byte fails."""
    body = orjson.dumps(BOOKED)
    headers = sign_standard_webhooks(body, "whsec_c2VjcmV0", message_id="m1", at=RECEIVED_AT)
    ADAPTER.verify(headers, body, ["whsec_c2VjcmV0"], RECEIVED_AT)
    with pytest.raises(NotAuthentic):
        ADAPTER.verify(headers, body + b" ", ["whsec_c2VjcmV0"], RECEIVED_AT)


def test_the_handshake_names_the_origin_that_asked() -> None:
    """OPTIONS is answered with the allowed origin; an odd origin gets nothing."""
    probe = ADAPTER.is_probe({"webhook-request-origin": "events.example"}, None, "OPTIONS")
    assert probe is not None
    assert probe.headers == {"WebHook-Allowed-Origin": "events.example"}
    assert ADAPTER.is_probe({"webhook-request-origin": "a\r\nx: y"}, None, "OPTIONS") is None
    assert ADAPTER.is_probe({}, BOOKED, "POST") is None


def test_two_tools_stay_apart_without_being_named() -> None:
    """A connection without a `source_name` speaks under its own name, not as "generic"."""
    connection = Connection(name="cal", source="generic", secrets=("s",), mapping=SAMPLE)
    delivery = Delivery(
        new_delivery_id(RECEIVED_AT),
        "cal",
        "generic",
        RECEIVED_AT,
        STRUCTURED,
        orjson.dumps(BOOKED),
    )
    (statement,) = ADAPTER.translate(delivery, connection).statements
    assert statement.touchpoint.source == "cal"
    assert statement.person[0] == PersonKey("cal:candidate", "c-17")


def test_no_mapping_is_a_clear_reason() -> None:
    """Redriven once there is one."""
    with pytest.raises(Untranslatable, match="connection scheduler has no mapping"):
        translate(BOOKED, STRUCTURED, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a", "holds no fields"),
        ("a: [", "line 1"),
        ("events: {a: {kind: interview_schedule}}", "did you mean"),
        ("events: {a: {kind: message_sent}}", "whose event a a is"),
        ("events: {a: {}}", "has no kind"),
        ("events: {a: {kind: message_sent, ignore: true}}", "ignored"),
        ("person: {c: data..id}", "person.c.0: 'data..id' is no path"),
        ("time_zone: Mars/Base", "time_zone: 'Mars/Base' is no IANA time zone"),
        ("nonsense: 1", "nonsense"),
        ("person: {c: d}\nevents: {a: {kind: hired, fields: {x: y}}}", "hired has no field 'x'"),
        ("person: {c: d}\nevents: {a: {kind: touchpoint_retracted}}", "needs retracts"),
        ("person: {c: d}\nevents: {a: {kind: person_erased}}", "concluded by the engine"),
    ],
)
def test_a_faulty_mapping_names_file_and_field(tmp_path: Path, text: str, says: str) -> None:
    """One sentence that says where and what."""
    with pytest.raises(ConfigurationError) as raised:
        load_mapping(mapping_file(tmp_path, text))
    assert "map.yaml" in str(raised.value)
    assert says in str(raised.value)
    with pytest.raises(Untranslatable, match=r"map\.yaml"):
        translate(BOOKED, STRUCTURED, tmp_path / "map.yaml")


def test_a_mended_mapping_is_read_again(tmp_path: Path) -> None:
    """No restart: the file is looked at for each delivery."""
    path = mapping_file(tmp_path, "events: {a: {}}")
    with pytest.raises(Untranslatable):
        translate(BOOKED, STRUCTURED, path)
    mapping_file(tmp_path, SAMPLE.read_text(encoding="utf-8"))
    assert only(BOOKED, STRUCTURED, path).KIND == "interview_scheduled"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b", [1]),
        ("a.c", []),
        ("list.0.v", ["x"]),
        ("list.*.v", ["x", "y"]),
        ("list.9", []),
        ("a.b.c", []),
        ("null", []),
    ],
)
def test_paths_are_names_places_and_stars(path: str, found: list[Any]) -> None:
    """A path leads to something or nowhere, and raises never."""
    root = {"a": {"b": 1}, "list": [{"v": "x"}, {"v": "y"}], "null": None}
    assert found_at(root, path) == found


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*BOOKED, "candidate", "id", "email", "interview"]), inner
        )
    ),
    max_leaves=10,
)


@settings(max_examples=400 if FULL else 200, deadline=None)
@given(
    body=ANY_JSON | st.fixed_dictionaries(dict.fromkeys(BOOKED, ANY_JSON)),
    headers=st.sampled_from([STRUCTURED, BATCH, WEBHOOK, {}, {"ce-id": "1"}]),
    mend=st.booleans(),
)
def test_any_json_is_answered(body: Any, headers: dict[str, str], mend: bool) -> None:
    """Nothing but Untranslatable is raised, in any mode."""
    if mend and isinstance(body, dict):
        body = {**BOOKED, "data": body.get("data"), "time": body.get("time")}
    try:
        translation = translate(body, headers)
    except Untranslatable:
        return
    assert translation.statements or translation.context
