"""Constant-time checks of who sent a delivery, on the raw bytes as received.

Signatures are compared as text, never decoded first: base64 has spare bits that decode to the
same bytes, so comparing decoded ones would let a changed signature pass. Whatever a hostile
sender puts into headers or body, a check raises NotAuthentic and nothing else.

Most systems sign the body alone and differ in header, prefix and encoding: each of those is one
line in the table of `BodySignature`. Standard Webhooks, SmartRecruiters and Teamtailor sign a time
or some headers as well. Lever signs two fields of the body, and nothing of what the body says.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import orjson

from consumers.errors import NotAuthentic

TOLERANCE = timedelta(minutes=5)
"""How far a signed time may lie from ours, either way (Standard Webhooks' own libraries)."""

_SECRET_PREFIX = "whsec_"
_LONGEST_TIMESTAMP = 12


@dataclass(frozen=True, slots=True)
class BodySignature:
    """An HMAC over the raw body in one header, such as `Signature: sha256 <hex>`."""

    header: str
    prefix: str = ""
    digest: str = "sha256"
    encoding: Literal["hex", "base64", "base64url"] = "hex"

    def sign(self, body: bytes, secret: str) -> dict[str, str]:
        """The header that `verify` accepts, for the demo, tests and other senders of ours."""
        return {self.header: self._expected(body, secret)}

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
        """Return when one of the secrets signed the body. Raises NotAuthentic."""
        given = _raw(headers.get(self.header), self.header)
        expected = [self._expected(body, secret).encode("ascii") for secret in secrets]
        _require([given], expected, f"the {self.header} header")

    def _expected(self, body: bytes, secret: str) -> str:
        mac = hmac.digest(secret.encode("utf-8"), body, self.digest)
        return self.prefix + _ENCODINGS[self.encoding](mac)


_ENCODINGS: dict[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": lambda mac: base64.b64encode(mac).decode("ascii"),
    "base64url": lambda mac: base64.urlsafe_b64encode(mac).decode("ascii"),
}

# facts/ats.md §1.2, 3.2, 7, 10, 11 and 13. Greenhouse: algorithm, one space, lower-case hex.
GREENHOUSE = BodySignature("signature", "sha256 ")
ASHBY = BodySignature("ashby-signature", "sha256=")
WORKABLE = BodySignature("x-workable-signature")
RECRUITEE = BodySignature("x-recruitee-signature")
JAZZHR = BodySignature("x-jazzhr-signature")
MERGE = BodySignature("x-merge-webhook-signature", encoding="base64url")


def verify_standard_webhooks(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    now: datetime,
    *,
    tolerance: timedelta = TOLERANCE,
) -> None:
    """Check `webhook-*` (or Svix's `svix-*`) headers of the Standard Webhooks specification.

    `now` is aware. Any of several signatures by any of several secrets is enough. Raises
    NotAuthentic, also for a time further than `tolerance` away, which may be a replay.
    """
    prefix = "webhook-" if "webhook-signature" in headers else "svix-"
    message_id = _raw(headers.get(f"{prefix}id"), "webhook-id")
    timestamp = _raw(headers.get(f"{prefix}timestamp"), "webhook-timestamp")
    signatures = _raw(headers.get(f"{prefix}signature"), "webhook-signature").split(b" ")
    # A dot in the id would let the same signature cover another id, time and body.
    if not message_id or b"." in message_id:
        raise NotAuthentic("the webhook-id header is empty or has a dot in it")
    if not timestamp.isdigit() or len(timestamp) > _LONGEST_TIMESTAMP:
        raise NotAuthentic("the webhook-timestamp header is not a time in seconds")
    if abs(int(timestamp) - now.timestamp()) > tolerance.total_seconds():
        raise NotAuthentic("the webhook-timestamp is too far from our clock")
    signed = b".".join((message_id, timestamp, body))
    expected = [_standard_signature(signed, secret) for secret in secrets]
    _require(signatures, expected, "the webhook-signature header")


def sign_standard_webhooks(
    body: bytes, secret: str, *, message_id: str, at: datetime
) -> dict[str, str]:
    """The three headers of a Standard Webhook: the notifier's, the demo's and the tests'."""
    timestamp = str(int(at.timestamp()))
    signed = b".".join((message_id.encode("utf-8"), timestamp.encode("ascii"), body))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": _standard_signature(signed, secret).decode("ascii"),
    }


def _standard_signature(signed: bytes, secret: str) -> bytes:
    return b"v1," + base64.b64encode(hmac.digest(_standard_key(secret), signed, "sha256"))


def _standard_key(secret: str) -> bytes:
    """The bytes behind `whsec_…`; a secret that is not base64 is taken as it stands."""
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    # An empty key is one that anyone has.
    return key or secret.encode("utf-8")


# --- Lever ----------------------------------------------------------------------------------

_LARGEST_LEVER_BODY_BYTES = 64 * 1024


def lever_signature(token: str, triggered_at: int, secret: str) -> str:
    """What Lever writes into `signature`: over `token`, then `triggeredAt` in decimal (ms)."""
    return hmac.digest(_utf8(secret), _utf8(f"{token}{triggered_at}"), "sha256").hex()


def verify_lever(body: bytes, secrets: Sequence[str]) -> None:
    """Check the `signature` inside a Lever body (facts/ats.md §2.2). Raises NotAuthentic.

    It covers `token` and `triggeredAt` alone. What passes proves that a holder of a secret once
    triggered *something* at that moment; event and data may have been changed on the way by
    whoever saw one delivery.
    """
    # The signature is inside, so a stranger's body must be parsed: ids only, never a large one.
    if len(body) > _LARGEST_LEVER_BODY_BYTES:
        raise NotAuthentic("the body is too large for a delivery of Lever")
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise NotAuthentic("the body is not JSON, so it holds no signature") from None
    fields = said if isinstance(said, dict) else {}
    token, at, given = (fields.get(name) for name in ("token", "triggeredAt", "signature"))
    # True is an int in Python, and no time.
    if not (isinstance(token, str) and type(at) is int and isinstance(given, str)):
        raise NotAuthentic("token, triggeredAt or signature is missing from the body")
    expected = [_utf8(lever_signature(token, at, secret)) for secret in secrets]
    _require([_utf8(given)], expected, "the signature in the body")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8")


# --- SmartRecruiters, Teamtailor ------------------------------------------------------------

_SMARTRECRUITERS_SIGNED: dict[str, re.Pattern[bytes]] = {
    "smartrecruiters-timestamp": re.compile(rb"[0-9]*"),
    "event-id": re.compile(rb"[^.]*"),
    "event-name": re.compile(rb".*", re.DOTALL),
    "event-version": re.compile(rb"[^.]*"),
    "link": re.compile(rb"(<.*)?", re.DOTALL),
}
"""Signed header → what may stand in it. Joined by dots, they could otherwise be parted elsewhere:
one signature would cover another id, name and version."""


def verify_smartrecruiters(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
    """Check `smartrecruiters-signature`, over time, body and four headers (facts/ats.md §6).

    The header lists a signature for each active key; one good one is enough. Raises NotAuthentic.
    The time is that of sending and is not judged: a delivery may be retried for days.
    """
    given = _raw(headers.get("smartrecruiters-signature"), "smartrecruiters-signature")
    # An absent header is signed as empty text.
    fields = {name: _raw(headers.get(name, ""), name) for name in _SMARTRECRUITERS_SIGNED}
    for name, value in fields.items():
        if not _SMARTRECRUITERS_SIGNED[name].fullmatch(value):
            raise NotAuthentic(f"the {name} header is not as SmartRecruiters writes it")
    timestamp, *others = fields.values()
    signed = b".".join((timestamp, body, *others))
    expected = [
        b"v1=" + _utf8(hmac.digest(_utf8(secret), signed, "sha256").hex()) for secret in secrets
    ]
    _require(given.split(b";"), expected, "the smartrecruiters-signature header")


_TEAMTAILOR = re.compile(rb"t=([0-9]{1,12}),v2=[0-9a-f]{64}")


def verify_teamtailor(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
    """Check `TT-Signature`: base64 of `t=<seconds>,v2=<hex>` over `t.body` (facts/ats.md §9).

    Raises NotAuthentic. The time is not judged: how long Teamtailor retries is not documented.
    """
    given = _raw(headers.get("tt-signature"), "tt-signature")
    try:
        inner = _TEAMTAILOR.fullmatch(base64.b64decode(given, validate=True))
    except (binascii.Error, ValueError):
        inner = None
    if inner is None:
        raise NotAuthentic("the tt-signature header is not of the second version")
    signed = inner[1] + b"." + body
    expected = [
        # Encoded again rather than compared inside: base64 has spare bits.
        base64.b64encode(
            b"t=%b,v2=%b" % (inner[1], _utf8(hmac.digest(_utf8(secret), signed, "sha256").hex()))
        )
        for secret in secrets
    ]
    _require([given], expected, "the tt-signature header")


# --- shared ---------------------------------------------------------------------------------


def _require(given: Iterable[bytes], expected: Sequence[bytes], where: str) -> None:
    """Return when one of the given signatures is an expected one. Raises NotAuthentic."""
    matched = False
    for signature in given:
        for one in expected:
            # No early end, so that the time taken does not tell which secret it was.
            matched |= hmac.compare_digest(signature, one)
    if not matched:
        raise NotAuthentic(f"no live secret matches {where}")


def _raw(value: str | None, header: str) -> bytes:
    """A header's bytes as they came. Header text is latin-1 on the wire."""
    if value is None:
        raise NotAuthentic(f"the {header} header is missing")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise NotAuthentic(f"the {header} header holds characters no header can") from None
