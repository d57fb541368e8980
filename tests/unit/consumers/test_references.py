"""Whom a delivery is about, read at the door: an id of the source, never anything personal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

import consumers.ats_adapters as package
from consumers.ats_adapters import ALL_ADAPTERS
from consumers.connections import Connection

PAYLOADS = Path(__file__).parents[2] / "payloads"
MAPPING = Path(package.__file__).parent / "mappings" / "sample.yaml"
GENERIC = Connection(name="tool", source="generic", secrets=("whsec_x",), mapping=MAPPING)


def reference(source: str, body: Any, **headers: str) -> str | None:
    connection = (
        GENERIC
        if source == "generic"
        else Connection(name="ats", source=source, secrets=("s3cret",))
    )
    return ALL_ADAPTERS[source].reference(headers, body, connection)


def payload(name: str) -> Any:
    return orjson.loads((PAYLOADS / f"{name}.json").read_bytes())


@pytest.mark.parametrize("source", ["greenhouse", "ashby"])
def test_a_candidates_deliveries_have_one_reference(source: str) -> None:
    """Applying, moving on and being hired are told of the same candidate."""
    names = {
        "greenhouse": ("application_received", "moved_to_phone_screen", "hired"),
        "ashby": ("application_submitted", "moved_to_phone_screen", "hired"),
    }[source]
    found = {reference(source, payload(f"{source}/{name}")) for name in names}
    assert len(found) == 1
    assert None not in found


@pytest.mark.parametrize(
    ("source", "body", "expected"),
    [
        ("greenhouse", {"payload": {"person": {"id": 7, "new_candidate_id": 8}}}, "7"),
        ("greenhouse", {"payload": {"application_id": 9, "id": 1}}, "9"),
        ("greenhouse", {"action": "job_created", "payload": {"job": {"id": 1}}}, None),
        ("lever", {"data": {"contactId": "c-1", "opportunityId": "o-1"}}, "c-1"),
        ("lever", {"data": {"opportunityId": "o-1"}}, "o-1"),
        ("ashby", {"data": {"interviewSchedule": {"applicationId": "a-1"}}}, "a-1"),
        ("generic", {"type": "x", "data": {"candidate": {"id": "42", "email": "a@b.c"}}}, "42"),
        ("generic", {"type": "x", "data": {"candidate": {"email": "a@b.c"}}}, None),
        ("generic", {"type": "x", "data": {"candidate": {"id": "a@b.c"}}}, None),
        ("generic", {"type": "x", "data": {"candidate": {"id": "42\n"}}}, None),
        ("generic", [{"type": "x"}], None),
    ],
)
def test_where_it_is_found(source: str, body: Any, expected: str | None) -> None:
    """The candidate's own id before the application's; what could be personal is none."""
    assert reference(source, body) == expected


def test_a_binary_cloud_event_is_its_data() -> None:
    """Its attributes are in headers."""
    headers = {"ce-specversion": "1.0", "ce-id": "1"}
    assert reference("generic", {"candidate": {"id": "42"}}, **headers) == "42"


@pytest.mark.parametrize("source", sorted(ALL_ADAPTERS))
@pytest.mark.parametrize(
    "body",
    [None, 1, "text", [], {}, {"payload": 1}, {"data": []}, {"payload": {"application": 1}},
     {"payload": {"person": {"id": {"a": 1}}}}, {"data": {"contactId": True}},
     {"payload": {"candidate_id": "Casey Example"}}, {"payload": {"candidate_id": "x" * 500}}],
)  # fmt: skip
def test_odd_bodies_have_none(source: str, body: Any) -> None:
    """Nothing raises, whatever a sender signs."""
    assert reference(source, body) is None


@pytest.mark.parametrize("source", sorted(ALL_ADAPTERS))
def test_nothing_personal_in_a_key(source: str) -> None:
    """Over all payloads: no address, no blank, nothing that is not a plain id."""
    for path in sorted((PAYLOADS / source).glob("*.json")):
        found = reference(source, orjson.loads(path.read_bytes()))
        assert found is None or not set(found) & set("@+ ()"), path.name
