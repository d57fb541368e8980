"""Signatures: right ones pass, anything else is NotAuthentic and nothing but that."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.errors import NotAuthentic
from consumers.webhooks.signatures import (
    GREENHOUSE,
    BodySignature,
    sign_standard_webhooks,
    verify_standard_webhooks,
)

_SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "samples"
_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_NOW = datetime.fromtimestamp(1614265330, UTC)


def _vectors(name: str) -> Any:
    path = _SAMPLES / name
    if not path.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} must be present in CI")
        pytest.skip(f"{name} is not beside this checkout")
    return json.loads(path.read_text())


def _changed(text: bytes) -> list[bytes]:
    """The text with one bit changed, once for each of its bits."""
    return [
        text[:place] + bytes([text[place] ^ 1 << bit]) + text[place + 1 :]
        for place in range(len(text))
        for bit in range(8)
    ]


@pytest.mark.parametrize("name", ["greenhouse", "greenhouse-escaped"])
def test_greenhouse_vectors_pass_and_no_changed_one_does(name: str) -> None:
    """The documented signatures verify; one bit changed in body or header does not."""
    vector = _vectors("ats-signature-vectors.json")[name]
    body, header = vector["body"].encode(), vector["header"]["Signature"]
    secrets = [vector["secret"]]
    GREENHOUSE.verify({"signature": header}, body, secrets)
    for changed in _changed(body):
        with pytest.raises(NotAuthentic):
            GREENHOUSE.verify({"signature": header}, changed, secrets)
    for changed in _changed(header.encode()):
        with pytest.raises(NotAuthentic):
            GREENHOUSE.verify({"signature": changed.decode("latin-1")}, body, secrets)


@pytest.mark.parametrize("system", ["standard-webhooks", "svix"])
def test_standard_webhooks_vectors_pass_and_no_changed_one_does(system: str) -> None:
    """The published signature verifies; one bit changed in body or any header does not."""
    vectors = _vectors("systems-signature-vectors.json")["vectors"]
    vector = next(one for one in vectors if one["system"] == system)
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    body, secrets = vector["body"].encode(), [vector["secret"]]
    now = next(
        datetime.fromtimestamp(int(v), UTC) for n, v in headers.items() if n.endswith("timestamp")
    )
    verify_standard_webhooks(headers, body, secrets, now)
    for changed in _changed(body):
        with pytest.raises(NotAuthentic):
            verify_standard_webhooks(headers, changed, secrets, now)
    for name, value in headers.items():
        for changed in _changed(value.encode()):
            with pytest.raises(NotAuthentic):
                verify_standard_webhooks(
                    {**headers, name: changed.decode("latin-1")}, body, secrets, now
                )


@pytest.mark.parametrize("scheme", [GREENHOUSE, BodySignature("x-signature", "", "sha1", "base64")])
def test_what_we_sign_we_verify(scheme: BodySignature) -> None:
    """A sender of ours and the check agree, for every encoding of the table."""
    scheme.verify(scheme.sign(b"{}", "secret"), b"{}", ["secret"])


def test_any_live_secret_will_do() -> None:
    """While a secret is rotated both the old and the new one are accepted."""
    for secret in ("old", "new"):
        GREENHOUSE.verify(GREENHOUSE.sign(b"{}", secret), b"{}", ["new", "old"])
    with pytest.raises(NotAuthentic):
        GREENHOUSE.verify(GREENHOUSE.sign(b"{}", "older"), b"{}", ["new", "old"])


def test_a_standard_webhook_may_carry_several_signatures() -> None:
    """The sender may rotate too: one good signature in the list is enough."""
    headers = sign_standard_webhooks(b"{}", _SECRET, message_id="msg_1", at=_NOW)
    headers["webhook-signature"] = "v1,AAAA v1a,BBBB " + headers["webhook-signature"]
    verify_standard_webhooks(headers, b"{}", ["whsec_b3RoZXI=", _SECRET], _NOW)


@pytest.mark.parametrize(("seconds", "passes"), [(300, True), (301, False)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_signed_time_counts_for_five_minutes_either_way(
    seconds: int, passes: bool, sign: int
) -> None:
    """An older or newer one may be a replay."""
    headers = sign_standard_webhooks(b"{}", _SECRET, message_id="msg_1", at=_NOW)
    now = _NOW + timedelta(seconds=seconds * sign)
    if passes:
        verify_standard_webhooks(headers, b"{}", [_SECRET], now)
    else:
        with pytest.raises(NotAuthentic):
            verify_standard_webhooks(headers, b"{}", [_SECRET], now)


def test_an_id_with_a_dot_is_refused() -> None:
    """Otherwise one signature would cover two readings of id, time and body."""
    headers = sign_standard_webhooks(b"{}", _SECRET, message_id="msg.1", at=_NOW)
    with pytest.raises(NotAuthentic):
        verify_standard_webhooks(headers, b"{}", [_SECRET], _NOW)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-id": "a", "webhook-timestamp": "1614265330"},
        {"webhook-id": "a", "webhook-timestamp": "1614265330", "webhook-signature": "v1"},
        {"webhook-id": "a", "webhook-timestamp": "1614265330", "webhook-signature": "v1,%%%"},
        {"webhook-id": "a", "webhook-timestamp": "1614265330", "webhook-signature": "v1,é\u20ac"},
        {"webhook-id": "a", "webhook-timestamp": "١٦١٤٢٦٥٣٣٠", "webhook-signature": "v1,a"},
        {"webhook-id": "a", "webhook-timestamp": "9" * 400, "webhook-signature": "v1,a"},
        {"webhook-id": "a", "webhook-timestamp": "nan", "webhook-signature": "v1,a"},
        {"webhook-id": "", "webhook-timestamp": "1614265330", "webhook-signature": "v1,a"},
    ],
)
def test_hostile_headers_are_not_authentic(headers: dict[str, str]) -> None:
    """Whatever is in them, the answer is NotAuthentic and never another error."""
    with pytest.raises(NotAuthentic):
        verify_standard_webhooks(headers, b"\xff\xfe", [_SECRET], _NOW)


_ANY_HEADERS = st.dictionaries(
    st.sampled_from(
        ["signature", "webhook-id", "webhook-timestamp", "webhook-signature", "svix-signature"]
    ),
    st.one_of(st.text(), st.from_regex(r"v1,[A-Za-z0-9+/=]*"), st.just("1614265330")),
)


@given(headers=_ANY_HEADERS, body=st.binary())
def test_no_input_raises_anything_else(headers: dict[str, str], body: bytes) -> None:
    """For any headers and any bytes both checks raise NotAuthentic."""
    with pytest.raises(NotAuthentic):
        GREENHOUSE.verify(headers, body, ["a-secret-nobody-guesses"])
    with pytest.raises(NotAuthentic):
        verify_standard_webhooks(headers, body, [_SECRET], _NOW)
