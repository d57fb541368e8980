"""Constant-time checks of who sent a delivery, on the raw bytes as received.

Signatures are compared as text, never decoded first: base64 has spare bits that decode to the
same bytes, so comparing decoded ones would let a changed signature pass. Whatever a hostile
sender puts into headers or body, a check raises NotAuthentic and nothing else.

Most systems sign the body alone and differ in header, prefix and encoding: each of those is one
line in the table of `BodySignature`. Standard Webhooks also signs an id and a time.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

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
    encoding: Literal["hex", "base64"] = "hex"

    def sign(self, body: bytes, secret: str) -> dict[str, str]:
        """The header that `verify` accepts, for the demo, tests and other senders of ours."""
        return {self.header: self._expected(body, secret)}

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
        """Return when one of the secrets signed the body. Raises NotAuthentic."""
        given = _raw(headers.get(self.header), self.header)
        matched = False
        for secret in secrets:
            # No early end, so that the time taken does not tell which secret it was.
            matched |= hmac.compare_digest(given, self._expected(body, secret).encode("ascii"))
        if not matched:
            raise NotAuthentic(f"no live secret matches the {self.header} header")

    def _expected(self, body: bytes, secret: str) -> str:
        mac = hmac.digest(secret.encode("utf-8"), body, self.digest)
        text = mac.hex() if self.encoding == "hex" else base64.b64encode(mac).decode("ascii")
        return self.prefix + text


GREENHOUSE = BodySignature("signature", "sha256 ")
"""facts/ats.md §1.2: algorithm, one space, lower-case hex."""


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
    matched = False
    for secret in secrets:
        expected = _standard_signature(signed, secret)
        for signature in signatures:
            matched |= hmac.compare_digest(signature, expected)
    if not matched:
        raise NotAuthentic("no live secret matches the webhook-signature header")


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


def _raw(value: str | None, header: str) -> bytes:
    """A header's bytes as they came. Header text is latin-1 on the wire."""
    if value is None:
        raise NotAuthentic(f"the {header} header is missing")
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise NotAuthentic(f"the {header} header holds characters no header can") from None
