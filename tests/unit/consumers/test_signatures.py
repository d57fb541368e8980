"""Signatures: right ones pass, anything else is NotAuthentic and nothing but that."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.errors import NotAuthentic
from consumers.webhooks.signatures import (
    ASHBY,
    GREENHOUSE,
    JAZZHR,
    MERGE,
    RECRUITEE,
    WORKABLE,
    BodySignature,
    lever_signature,
    sign_standard_webhooks,
    verify_lever,
    verify_smartrecruiters,
    verify_standard_webhooks,
    verify_teamtailor,
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


Signed = tuple[dict[str, str], bytes]
"""What arrives: headers with lower-case names, and the raw body."""

BODY_SIGNATURES = {
    "greenhouse": GREENHOUSE,
    "greenhouse-escaped": GREENHOUSE,
    "ashby": ASHBY,
    "workable": WORKABLE,
    "recruitee": RECRUITEE,
    "merge": MERGE,
    "jazzhr": JAZZHR,
}
OTHER_CHECKS: dict[str, Callable[[Signed, list[str]], None]] = {
    "lever": lambda signed, secrets: verify_lever(signed[1], secrets),
    "smartrecruiters": lambda signed, secrets: verify_smartrecruiters(*signed, secrets),
    "teamtailor-tt-signature-v2": lambda signed, secrets: verify_teamtailor(*signed, secrets),
}


def _check(name: str, signed: Signed, secrets: list[str]) -> None:
    """The check of the system a vector is of."""
    if name in BODY_SIGNATURES:
        BODY_SIGNATURES[name].verify(*signed, secrets)
    else:
        OTHER_CHECKS[name](signed, secrets)


def _arrived(name: str, vector: Any) -> tuple[Signed, str]:
    """A vector as it would arrive, and its secret."""
    if name == "lever":
        body = _lever_body(vector["token"], vector["triggeredAt"], vector["body_signature"])
        return ({}, body), vector["signature_token"]
    if name == "smartrecruiters":
        headers = {
            "smartrecruiters-timestamp": "1574080897",
            "event-id": "123",
            "event-name": "application.created",
            "event-version": "v201910",
            "link": "<http://smartrecruiters.com/endpoint>; rel=self",
            "smartrecruiters-signature": f"v1={vector['v1']}",
        }
        return (headers, b'{"job_id":"jid","candidate_id":"cid"}'), vector["secret"]
    headers = {header.lower(): value for header, value in vector["header"].items()}
    headers.pop("greenhouse-event-id", None)  # it is not signed
    return (headers, vector["body"].encode()), vector["secret"]


def _lever_body(token: str, triggered_at: int, signature: str) -> bytes:
    fields = {"event": "candidateHired", "token": token, "triggeredAt": triggered_at}
    return json.dumps({**fields, "signature": signature, "data": {}}).encode()


def _with_one_bit_changed(name: str, signed: Signed, vector: Any) -> Iterator[Signed]:
    """Everything that is signed, and the signatures, with each of their bits changed in turn."""
    headers, body = signed
    for header, value in headers.items():
        for changed in _changed(value.encode()):
            yield {**headers, header: changed.decode("latin-1")}, body
    if name != "lever":
        for changed in _changed(body):
            yield headers, changed
        return
    # Of its body Lever signs two fields alone; the third is the signature.
    for part in (vector["token"], str(vector["triggeredAt"]), vector["body_signature"]):
        before, found, after = body.partition(part.encode())
        assert found
        for changed in _changed(found):
            yield headers, before + changed + after


def test_every_ats_vector_has_its_check() -> None:
    """A system whose signature is known can be told from one who pretends to be it."""
    assert set(_vectors("ats-signature-vectors.json")) == {*BODY_SIGNATURES, *OTHER_CHECKS}


@pytest.mark.parametrize("name", [*BODY_SIGNATURES, *OTHER_CHECKS])
def test_ats_vectors_pass_and_no_changed_one_does(name: str) -> None:
    """The documented signature verifies; one bit changed in it, or in what it covers, does not."""
    vector = _vectors("ats-signature-vectors.json")[name]
    signed, secret = _arrived(name, vector)
    _check(name, signed, ["an-older-secret", secret])
    with pytest.raises(NotAuthentic):
        _check(name, signed, [secret + "x"])
    for changed in _with_one_bit_changed(name, signed, vector):
        with pytest.raises(NotAuthentic):
            _check(name, changed, [secret])


# --- Lever ------------------------------------------------------------------------------------


def test_lever_signs_its_token_and_then_its_time() -> None:
    """In this order and without anything between."""
    secret, token, at = "a-signature-token", "77", 1431454330072
    assert lever_signature(token, at, secret) == _hmac(secret, "771431454330072")
    verify_lever(_lever_body(token, at, _hmac(secret, f"{token}{at}")), [secret])
    for wrong in (f"{at}{token}", f"{token}.{at}", f"{token} {at}", token, str(at)):
        with pytest.raises(NotAuthentic):
            verify_lever(_lever_body(token, at, _hmac(secret, wrong)), [secret])


def test_each_lever_event_type_may_have_its_own_secret() -> None:
    """All of them are secrets of one connection, and each is accepted."""
    for secret in ("of hires", "of stages"):
        body = _lever_body("77", 1431454330072, lever_signature("77", 1431454330072, secret))
        verify_lever(body, ["of hires", "of stages"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"token":null,"triggeredAt":1,"signature":"x"}',
        b'{"token":"t","triggeredAt":"1","signature":"x"}',
        b'{"token":"t","triggeredAt":true,"signature":"x"}',
        b'{"token":"t","triggeredAt":1.0,"signature":"x"}',
        b'{"token":"t","triggeredAt":1e400,"signature":"x"}',
        b'{"token":"t","triggeredAt":123456789012345678901234567890,"signature":"x"}',
        b'{"token":"t","triggeredAt":1,"signature":7}',
        b'{"token":"t","triggeredAt":1,"signature":"\xc3\xa9"}',
        b'{"token":"\\ud800","triggeredAt":1,"signature":"x"}',
        b"[" * 100_000,
        b'{"a":' * 60_000,
    ],
)
def test_hostile_lever_bodies_are_not_authentic(body: bytes) -> None:
    """Whatever is in the body that must be read before anyone knows whose it is."""
    with pytest.raises(NotAuthentic):
        verify_lever(body, ["a-secret-nobody-guesses"])


def test_a_large_body_is_no_delivery_of_lever() -> None:
    """Strangers cannot make us parse megabytes, not even with a right signature."""
    body = _lever_body("77", 1, lever_signature("77", 1, "s"))
    verify_lever(body, ["s"])
    with pytest.raises(NotAuthentic):
        verify_lever(body[:-1] + b" " * 65_536 + b"}", ["s"])


def _hmac(secret: str, message: str) -> str:
    return hmac.digest(secret.encode(), message.encode(), "sha256").hex()


# --- SmartRecruiters, Teamtailor --------------------------------------------------------------


def _smartrecruiters(**changes: str) -> Signed:
    signed, _ = _arrived("smartrecruiters", {"secret": "", "v1": "0" * 64})
    headers, body = {**signed[0], **changes}, signed[1]
    fields = ("event-id", "event-name", "event-version", "link")
    message = ".".join(
        (headers["smartrecruiters-timestamp"], body.decode(), *(headers[one] for one in fields))
    )
    headers["smartrecruiters-signature"] = "v1=" + _hmac("s", message)
    return headers, body


def test_smartrecruiters_may_sign_with_several_keys() -> None:
    """While a key is rotated the header lists a signature for each."""
    headers, body = _smartrecruiters()
    good = headers["smartrecruiters-signature"]
    headers["smartrecruiters-signature"] = f"v1={'0' * 64};{good};v2=x"
    verify_smartrecruiters(headers, body, ["s"])


def test_a_smartrecruiters_header_that_is_absent_is_signed_as_empty() -> None:
    """Not every event has a link."""
    headers, body = _smartrecruiters(link="")
    del headers["link"]
    verify_smartrecruiters(headers, body, ["s"])


@pytest.mark.parametrize(
    "changes",
    [
        {"event-id": "123.application", "event-name": "created"},
        {"event-name": "application", "event-version": "created.v201910"},
        {
            "event-name": "application",
            "event-version": "created",
            "link": "v201910.<http://smartrecruiters.com/endpoint>; rel=self",
        },
    ],
)
def test_smartrecruiters_fields_cannot_be_parted_elsewhere(changes: dict[str, str]) -> None:
    """The same signed text with its dots read otherwise is another story under one signature."""
    headers, body = _smartrecruiters()
    with pytest.raises(NotAuthentic):
        verify_smartrecruiters({**headers, **changes}, body, ["s"])


@pytest.mark.parametrize(
    "value",
    ["", "é", "%%%", "dD0x", "dD0xNzAwMDAwMDAwLHYyPQ==", "\u20ac", "A" * 5000],
)
def test_hostile_teamtailor_headers_are_not_authentic(value: str) -> None:
    """Base64 or not, of the second version or not."""
    with pytest.raises(NotAuthentic):
        verify_teamtailor({"tt-signature": value}, b"{}", ["s"])


# --- Standard Webhooks ------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "scheme", [*BODY_SIGNATURES.values(), BodySignature("x", "", "sha1", "base64")]
)
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
        [
            "signature",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
            "svix-signature",
            "ashby-signature",
            "smartrecruiters-signature",
            "smartrecruiters-timestamp",
            "event-id",
            "event-version",
            "link",
            "tt-signature",
        ]
    ),
    st.one_of(st.text(), st.from_regex(r"v1,[A-Za-z0-9+/=]*"), st.just("1614265330")),
)


@given(headers=_ANY_HEADERS, body=st.binary())
def test_no_input_raises_anything_else(headers: dict[str, str], body: bytes) -> None:
    """For any headers and any bytes every check raises NotAuthentic."""
    for name in (*BODY_SIGNATURES, *OTHER_CHECKS):
        with pytest.raises(NotAuthentic):
            _check(name, (headers, body), ["a-secret-nobody-guesses"])
    with pytest.raises(NotAuthentic):
        verify_standard_webhooks(headers, body, [_SECRET], _NOW)
