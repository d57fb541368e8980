"""One suite for all adapters: what each of them promises, whatever system it speaks for.

The samples in the shared folder run through it when it is present (always in CI): each is
translated, or refused with a reason, and never more than that.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

import consumers.ats_adapters as package
from consumers.ats_adapters import ALL_ADAPTERS
from consumers.ats_adapters.adapter import Adapter, Delivery, Translation
from consumers.connections import Connection
from consumers.errors import NotAuthentic, Untranslatable
from consumers.inbox import new_delivery_id

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
PAYLOADS = ROOT / "tests" / "payloads"
SAMPLES = Path(os.environ.get("JOURNEY_SAMPLES", ROOT.parent / "shared" / "samples"))
MAPPING = Path(package.__file__).parent / "mappings" / "sample.yaml"
SAMPLE_FOLDERS: dict[str, tuple[str, ...]] = {
    "greenhouse": ("greenhouse", "greenhouse/variants"),
    "lever": ("lever", "lever/composed"),
    "ashby": ("ashby", "ashby/composed"),
    "generic": (
        "cloudevents",
        "cloudevents/composed",
        "standard-webhooks",
        "standard-webhooks/composed",
    ),
}
"""Adapter → folders of samples that are bodies of its deliveries."""

# Words that stand in the candidates' own fields of the samples.
PERSONAL = (
    "first_name", "last_name", "company", "headline", "title", "fullName", "address",
    "phoneNumber", "occupation",
)  # fmt: skip
PERSONAL_LISTS = (
    "email_addresses", "phone_numbers", "addresses", "website_addresses",
    "social_media_addresses",
)  # fmt: skip
PERSONAL_OBJECTS = ("primaryEmailAddress", "primaryPhoneNumber")


def files() -> list[Any]:
    """(adapter, file) of every payload of ours and every sample that is here."""
    found = []
    for name in ALL_ADAPTERS:
        for folder in (PAYLOADS / name, *(SAMPLES / part for part in SAMPLE_FOLDERS.get(name, ()))):
            for file in sorted(folder.glob("*.json")):
                found.append(pytest.param(name, file, id=f"{folder.name}/{file.stem}"))
    return found


def connection_of(name: str) -> Connection:
    """A connection for this adapter."""
    mapping = MAPPING if name == "generic" else None
    return Connection(name="c", source=name, secrets=("s3cret",), mapping=mapping)


def delivery_of(name: str, body: bytes, headers: dict[str, str] | None = None) -> Delivery:
    """A delivery of this body."""
    told = (
        {"content-type": "application/json", "webhook-id": "msg_1"} if headers is None else headers
    )
    return Delivery(new_delivery_id(NOW), "c", name, NOW, told, body)


def delivery_in(name: str, file: Path) -> Delivery:
    """The delivery of a file: a body, or an object of headers and body."""
    raw = file.read_bytes()
    document = orjson.loads(raw)
    if isinstance(document, dict) and set(document) >= {"headers", "body"}:
        return delivery_of(name, document["body"].encode(), document["headers"])
    return delivery_of(name, raw)


def translate(name: str, delivery: Delivery) -> Translation | Untranslatable:
    """What the adapter says, or why it does not."""
    try:
        return ALL_ADAPTERS[name].translate(delivery, connection_of(name))
    except Untranslatable as error:
        return error


def test_every_adapter_file_is_in_the_list() -> None:
    """A file that nobody listed would never be used."""
    shared = {"__init__", "adapter", "mapping", "told"}
    stems = {file.stem for file in Path(package.__file__).parent.glob("*.py")} - shared
    # An adapter of several files names them after itself: ashby.py, ashby_offers.py.
    assert {stem.partition("_")[0] for stem in stems} == set(ALL_ADAPTERS)
    assert {name: adapter.name for name, adapter in ALL_ADAPTERS.items()} == {
        name: name for name in ALL_ADAPTERS
    }


def test_the_samples_are_here_in_ci() -> None:
    """Elsewhere they may be missing; CI always has them."""
    if not SAMPLES.is_dir():
        assert not os.environ.get("CI"), "the folder of samples is missing in CI"
        pytest.skip("the folder of samples is not here")
    assert len(files()) > len(list(PAYLOADS.glob("*/*.json")))


@pytest.mark.parametrize(("name", "file"), files())
def test_a_payload_is_translated_or_refused_with_a_reason(name: str, file: Path) -> None:
    """Touchpoints with a person, a context, or a reason: one of the three, always."""
    said = translate(name, delivery_in(name, file))
    if isinstance(said, Untranslatable):
        assert said.reason
        assert name == "generic", f"a documented payload was refused: {said.reason}"
        return
    assert bool(said.statements) != bool(said.context)
    for statement in said.statements:
        assert statement.person
        assert statement.touchpoint.model_dump_json()


@pytest.mark.parametrize(("name", "file"), files())
def test_nothing_personal_leaves_the_sealed_part(name: str, file: Path) -> None:
    """No name, address, number or title of the payload is in a touchpoint, context or reason."""
    delivery = delivery_in(name, file)
    said = translate(name, delivery)
    shown = (
        [said.reason]
        if isinstance(said, Untranslatable)
        else [said.context or "", *said.problems]
        + [statement.touchpoint.model_dump_json() for statement in said.statements]
    )
    for secret in personal_in(orjson.loads(delivery.body)):
        for text in shown:
            assert secret not in text


def personal_in(body: Any) -> set[str]:
    """Every value of a candidate's personal fields; short ones could stand in any id."""
    found: set[str] = set()
    if isinstance(body, list):
        for one in body:
            found |= personal_in(one)
    elif isinstance(body, dict):
        if "credited_to" in body and isinstance(body.get("candidate"), dict):
            found |= personal_in(body["candidate"])
        for key, value in body.items():
            if key in PERSONAL and isinstance(value, str):
                found.add(value)
            elif key in PERSONAL_LISTS and isinstance(value, list):
                found |= {str(one.get("value")) for one in value if isinstance(one, dict)}
            elif key in PERSONAL_OBJECTS and isinstance(value, dict):
                found |= {str(value.get("value")), str(body.get("name"))}
            elif key in ("application", "candidate", "person", "payload", "data"):
                found |= personal_in(value)
    return {one for one in found if len(one) > 3}


@pytest.mark.parametrize(("name", "file"), files())
def test_a_retry_tells_the_same_touchpoints(name: str, file: Path) -> None:
    """The same body in another delivery gives the same touchpoint ids."""
    first, again = (translate(name, delivery_in(name, file)) for _ in range(2))
    if isinstance(first, Untranslatable) or isinstance(again, Untranslatable):
        return
    assert [said.touchpoint.touchpoint_id for said in first.statements] == [
        said.touchpoint.touchpoint_id for said in again.statements
    ]


@pytest.mark.parametrize("adapter", ALL_ADAPTERS.values(), ids=lambda adapter: adapter.name)
class TestEveryAdapter:
    """What holds for an adapter without knowing its system."""

    def test_its_success_code_is_one(self, adapter: Adapter) -> None:
        """A 2xx, and media types in lower case."""
        assert 200 <= adapter.success_code < 300
        assert adapter.refusal_code in (401, 503)
        assert all(one == one.lower() and ";" not in one for one in adapter.content_types)

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"signature": "", "webhook-signature": ""},
            {"signature": "sha256 é", "webhook-signature": "v1,é", "webhook-id": "é"},
            {"signature": "sha256 " + "0" * 64, "webhook-id": "a", "webhook-timestamp": "x"},
            {"signature": "\udcff"},
        ],
    )
    def test_no_header_opens_the_door(self, adapter: Adapter, headers: dict[str, str]) -> None:
        """Whatever stands in the headers, NotAuthentic is all that is raised."""
        with pytest.raises(NotAuthentic):
            adapter.verify(headers, b"{}", ["s3cret"], NOW)

    @pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[", b"null", b"0", b'"\\ud800"', b"{}"])
    def test_a_body_it_cannot_read_has_a_reason(self, adapter: Adapter, body: bytes) -> None:
        """Untranslatable, never another error."""
        said = translate(adapter.name, delivery_of(adapter.name, body))
        assert isinstance(said, Untranslatable)
        assert said.reason

    def test_its_probes_are_not_made_of_anything(self, adapter: Adapter) -> None:
        """Odd bodies and methods are no probes, and nothing is raised."""
        for body in (None, [], {}, 1, "x", {"action": []}):
            for method in ("POST", "GET", "OPTIONS", "BREW"):
                assert adapter.is_probe({}, body, method) is None
