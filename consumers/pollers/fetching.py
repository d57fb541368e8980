"""One GET of a polled API: what may come back, told apart by what is to be done about it.

FetchFailed
 ├── Throttled    too many requests: nobody asks again before `seconds` are over
 ├── KeyRefused   401: the key is expired or wrong, and asking again soon changes nothing
 ├── NotAllowed   403: the key is good, and may not read this
 └── NotThere     404 and other 4xx: this address leads nowhere
Unavailable       5xx, no answer, or one that cannot be read: wait, longer each time

The texts name statuses and kinds of errors, never an address: a path may hold an id.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from urllib.parse import urljoin

import httpx

from consumers.errors import Unavailable
from consumers.retry_after import retry_after_seconds

TIMEOUT_SECONDS = 20.0
MOST_SECONDS = 120.0
"""For a whole answer, however steadily it trickles."""
MOST_BODY_BYTES = 128 * 1024 * 1024
LEAST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 600.0
"""Of what a 429 asks for; a longer wait is asked for again then."""
_USUAL_WAIT_SECONDS = 10.0

# They log each URL they call; ours may hold ids of candidates.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class FetchFailed(Exception):
    """A GET did not bring what it was for; the text says why."""


class Throttled(FetchFailed):
    """Too many requests. `seconds`: how long to ask nothing."""

    def __init__(self, seconds: float) -> None:
        super().__init__("answered 429: too many requests")
        self.seconds = seconds


class KeyRefused(FetchFailed):
    """The system does not accept the key."""


class NotAllowed(FetchFailed):
    """The key may not read this."""


class NotThere(FetchFailed):
    """There is nothing at this address."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A body as it came, and the page that follows by its `Link` header."""

    body: bytes = field(repr=False)
    next_url: str | None = None


@cache
def _trusted() -> ssl.SSLContext:
    """The authorities whose certificates are believed; reading them takes longer than a page."""
    return httpx.create_ssl_context()


class Api:
    """One connection's API: its address and key. The key goes to this address and no other."""

    def __init__(self, url: str, key: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.Client(
            auth=httpx.BasicAuth(key, ""),
            verify=_trusted(),
            timeout=timeout_seconds,
            follow_redirects=False,
            headers={"accept": "application/json", "user-agent": "candidate-journey"},
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def at(self, path: str) -> str:
        """The address of a path of this API."""
        return self._url + path

    def is_ours(self, url: str) -> bool:
        """Whether an address that was told or stored is of this API."""
        try:
            given, own = httpx.URL(url), httpx.URL(self._url)
        except (httpx.InvalidURL, ValueError):
            return False
        same = (given.scheme, given.host, given.port) == (own.scheme, own.host, own.port)
        return same and f"{given.path}/".startswith(f"{own.path}/") and not given.userinfo

    def get(self, url: str, now: datetime) -> Answer:
        """Fetch once. Raises FetchFailed and Unavailable."""
        with _transport_errors(), self._client.stream("GET", url) as response:
            _check(response, now)
            pieces, size_bytes, begun = [], 0, time.monotonic()
            for piece in response.iter_bytes():
                size_bytes += len(piece)
                if size_bytes > MOST_BODY_BYTES:
                    raise Unavailable(f"answered more than {MOST_BODY_BYTES} bytes")
                if time.monotonic() - begun > MOST_SECONDS:
                    raise Unavailable(f"did not come to an end within {MOST_SECONDS:g} s")
                pieces.append(piece)
            return Answer(b"".join(pieces), self._following(response, url))

    def _following(self, response: httpx.Response, url: str) -> str | None:
        told = response.links.get("next", {}).get("url")
        if told is None:
            return None
        try:
            following = urljoin(url, told)
        except ValueError:
            raise Unavailable("named a page as the next one whose address is none") from None
        if not self.is_ours(following):
            # Whoever answers so would be sent our key.
            raise Unavailable("named a page on another server as the next one")
        if following == url:
            # It would be read without end.
            raise Unavailable("named the page itself as the next one")
        return following


@contextmanager
def _transport_errors() -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException:
        raise Unavailable("did not answer in time") from None
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
        # Its own text may hold the address.
        raise Unavailable(f"cannot be reached ({type(error).__name__})") from None


def _check(response: httpx.Response, now: datetime) -> None:
    status = response.status_code
    if status == 200:
        return
    if status == 429:
        raise Throttled(_wait_seconds(response.headers, now))
    if status == 401:
        raise KeyRefused("the key is refused (401)")
    if status == 403:
        raise NotAllowed("the key may not read this (403)")
    if 400 <= status < 500:
        raise NotThere(f"answered {status}")
    raise Unavailable(f"answered {status}")


def _wait_seconds(headers: httpx.Headers, now: datetime) -> float:
    """By `Retry-After`, else `X-RateLimit-Reset` (seconds since 1970), else the usual window."""
    wait = retry_after_seconds(
        headers.get("retry-after"), now, longest_seconds=LONGEST_WAIT_SECONDS
    )
    if wait is None:
        reset = headers.get("x-ratelimit-reset", "").strip()
        if reset.isascii() and reset.isdigit():
            wait = min(float(reset[:12]) - now.timestamp(), LONGEST_WAIT_SECONDS)
    return max(_USUAL_WAIT_SECONDS if wait is None else wait, LEAST_WAIT_SECONDS)
