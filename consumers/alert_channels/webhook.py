"""Alerts as Standard Webhooks: a signed POST to one URL from the settings.

The URL comes from settings and nowhere else, and redirects are not followed, so nothing that
arrives from outside can choose where we post. Every answer but 2xx is a failure; 410 ends it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

import httpx
import orjson

from consumers.alert_channels.channel import GiveUp, Message, Outcome, Retry, Sent
from consumers.retry_after import retry_after_seconds
from consumers.webhooks.signatures import sign_standard_webhooks
from journey.errors import ConfigurationError

TIMEOUT_SECONDS = 20.0
"""Between the 15 and 30 seconds that Standard Webhooks asks a sender to wait."""

# httpx logs each URL it calls, and this one may hold a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)

_GONE = 410
_LONGEST_WAIT_SECONDS = 24 * 3600.0


class WebhookChannel:
    """Posts `{type, timestamp, data}`, signed with every live secret (newest first).

    `url` is http or https; `secrets` are `whsec_…`, several while one is being rotated.
    Raises ConfigurationError for a URL or secrets it cannot use.
    """

    name = "webhook"
    at_once = 8

    def __init__(
        self, url: str, secrets: Sequence[str], *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("the alert webhook's URL must begin with https:// or http://")
        if not secrets or not all(secrets):
            raise ConfigurationError("the alert webhook needs a secret to sign with")
        self.timeout_seconds = timeout_seconds
        self._url = url
        self._secrets = tuple(secrets)
        self._client = httpx.Client(
            timeout=timeout_seconds,
            follow_redirects=False,
            headers={"content-type": "application/json", "user-agent": "candidate-journey"},
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def send(self, message: Message) -> Outcome:
        """Post it once. The body of the answer is not read: nothing in it is for us."""
        body = orjson.dumps(message.payload)
        try:
            with self._client.stream(
                "POST", self._url, content=body, headers=self._signed(message, body)
            ) as answer:
                return _outcome(answer, message.attempted_at)
        except httpx.TimeoutException:
            return Retry(f"no answer within {self.timeout_seconds:g} s")
        except httpx.HTTPError as error:
            # Its text may hold the URL, and the URL may hold a secret.
            return Retry(f"not reachable ({type(error).__name__})")

    def _signed(self, message: Message, body: bytes) -> dict[str, str]:
        each = [
            sign_standard_webhooks(
                body, secret, message_id=str(message.message_id), at=message.attempted_at
            )
            for secret in self._secrets
        ]
        signatures = " ".join(headers["webhook-signature"] for headers in each)
        return {**each[0], "webhook-signature": signatures}


def _outcome(answer: httpx.Response, now: datetime) -> Outcome:
    status = answer.status_code
    if 200 <= status < 300:
        return Sent()
    if status == _GONE:
        return GiveUp("answered 410: the receiver wants no more of these")
    if 300 <= status < 400:
        return Retry(f"answered {status}: a redirect, which is not followed")
    wait_seconds = retry_after_seconds(
        answer.headers.get("retry-after"), now, longest_seconds=_LONGEST_WAIT_SECONDS
    )
    return Retry(f"answered {status}", wait_seconds)
