"""Thousands of hostile requests: an answer for each, no 5xx, no traceback, nothing broken after.

Three thousand by default, ten thousand with JOURNEY_FULL=1. Requests go straight into the ASGI app
and from there into the real database, so that they take seconds. Each example of hypothesis sends
a volley at once, so that good and hostile deliveries share commits.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers import inbox
from consumers.ats_adapters import ALL_ADAPTERS
from consumers.connections import Connection
from consumers.logging import configure_logging
from consumers.webhooks.app import ReceiverApp, create_app
from consumers.webhooks.group_commit import GroupCommit
from consumers.webhooks.signatures import GREENHOUSE, sign_standard_webhooks
from journey.database import Database
from tests.support.doors import SECRET, ListKeeper
from tests.support.fakes import FrozenClock
from tests.support.truth import FULL

VOLLEY = 20
EXAMPLES = 500 if FULL else 150
GENERATED = 80 if FULL else 40
"""500 volleys of 20 are the ten thousand; schemathesis adds its own."""

_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CONNECTIONS = {
    "greenhouse": Connection(name="greenhouse", source="greenhouse", secrets=(SECRET,)),
    "generic": Connection(name="generic", source="generic", secrets=(_KEY,)),
    # Its signature stands in the body, which is parsed before anyone knows whose it is.
    "lever": Connection(name="lever", source="lever", secrets=(SECRET,)),
}

Request = tuple[str, str, list[tuple[bytes, bytes]], list[bytes]]
"""Method, path, headers, body in pieces."""


class Sender:
    """Calls the app as a server would, on one event loop, and notes every answer."""

    def __init__(self, app: ReceiverApp, keeper: GroupCommit) -> None:
        self._app = app
        self._keeper = keeper
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._in_loop(keeper.start))
        self.requests = 0
        self.statuses: dict[int, int] = {}
        self.handshakes = 0

    def volley(self, requests: list[Request]) -> list[tuple[int, bytes]]:
        """Send them all at once."""

        async def all_of_them() -> list[tuple[int, bytes]]:
            return list(await asyncio.gather(*(self._call(one) for one in requests)))

        answers = self._loop.run_until_complete(all_of_them())
        for (method, _, _, _), (status, _) in zip(requests, answers, strict=True):
            self.requests += 1
            self.handshakes += method != "POST" and status < 300
            self.statuses[status] = self.statuses.get(status, 0) + 1
        return answers

    def close(self) -> None:
        self._loop.run_until_complete(self._keeper.close())
        self._loop.close()

    async def _call(self, request: Request) -> tuple[int, bytes]:
        method, path, headers, pieces = request
        messages = [
            {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
            for index, piece in enumerate(pieces)
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "replace"),
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await self._app(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], body

    @staticmethod
    async def _in_loop(begin: Any) -> None:
        begin()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the receiver logs meanwhile."""
    import logging

    import structlog

    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    out = io.StringIO()
    configure_logging("json", stream=out)
    yield out
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


@pytest.fixture
def sender(database: Database, log: io.StringIO) -> Iterator[Sender]:
    """The real app, adapters and group commit on the real database, with a small limit."""
    keeper = GroupCommit(database)
    app = create_app(
        database, CONNECTIONS, ALL_ADAPTERS, FrozenClock(), keeper=keeper, max_body_bytes=4096
    )
    made = Sender(app, keeper)
    yield made
    made.close()


# --- what a hostile sender sends --------------------------------------------------------------

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.sampled_from(["\x00", "ping", "' OR 1=1 --", "../../etc/passwd", "<script>", "1e999"]),
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
_DOCUMENT = st.one_of(
    _JSON,
    st.fixed_dictionaries({"action": _SCALARS, "payload": _JSON}),
    st.fixed_dictionaries({"token": _SCALARS, "triggeredAt": _SCALARS, "signature": _SCALARS}),
    st.fixed_dictionaries(
        {"specversion": _SCALARS, "id": _SCALARS, "source": _SCALARS, "type": _SCALARS}
    ),
).map(orjson.dumps)
_BODY = st.one_of(
    _DOCUMENT,
    _DOCUMENT.map(lambda document: document[: len(document) // 2]),
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"",
            b"[" * 5000,
            b'{"a":' * 3000,
            b"9" * 5000,
            b'{"action":"ping"}',
            b'{"action":"\\ud800"}',
            b'{"a":NaN}',
            b"\xef\xbb\xbf{}",
            b"\x1f\x8b\x08\x00",
            b'"' + b"x" * 4096 + b'"',
            b"x" * 40_000,
            b"\x00" * 64,
            b"----boundary\r\nContent-Disposition: form-data\r\n\r\n",
        ]
    ),
)
_VALUE = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"application/json", b"text/plain", b"application/cloudevents-batch+json", b"\xff\x00",
         b"gzip", b"v1,", b"v1", b"sha256 ", b"9" * 400, b"-1", b"nan", b"1614265330"]
    ),
)  # fmt: skip
_NAME = st.sampled_from(
    [b"content-type", b"signature", b"webhook-id", b"webhook-timestamp", b"webhook-signature",
     b"svix-id", b"svix-signature", b"content-length", b"content-encoding", b"ce-id", b"ce-type",
     b"ce-specversion", b"authorization", b"cookie", b"webhook-request-origin", b"x-\xff",
     b"greenhouse-event-id"]
)  # fmt: skip
_HEADERS = st.lists(st.tuples(_NAME, _VALUE), max_size=5)
_PATH = st.one_of(
    st.sampled_from(["/webhooks/greenhouse", "/webhooks/generic", "/webhooks/lever"]),
    st.text(st.characters(codec="utf-8"), max_size=12).map(lambda text: "/webhooks/" + text),
)
_METHOD = st.sampled_from(["POST"] * 6 + ["OPTIONS", "HEAD", "GET", "PUT", "BREW"])


@st.composite
def hostile_requests(draw: st.DrawFn) -> Request:
    """Half of them are properly signed: the hostile part is then what they say."""
    body = draw(_BODY)
    headers = draw(_HEADERS)
    if draw(st.booleans()):
        path = draw(st.sampled_from(["/webhooks/greenhouse", "/webhooks/generic"]))
        signed = (
            GREENHOUSE.sign(body, SECRET)
            if path.endswith("greenhouse")
            else sign_standard_webhooks(body, _KEY, message_id="msg_1", at=FrozenClock().now())
        )
        own = [(name.encode(), value.encode()) for name, value in signed.items()]
        taken = {name for name, _ in own}
        headers = own + [header for header in headers if header[0] not in taken]
        method = "POST"
    else:
        path, method = draw(_PATH), draw(_METHOD)
    cut = draw(st.integers(0, len(body)))
    pieces = [body] if draw(st.booleans()) else [body[:cut], body[cut:]]
    return method, path, headers, pieces


@pytest.mark.slow
def test_thousands_of_hostile_requests_get_an_answer(
    sender: Sender, database: Database, log: io.StringIO
) -> None:
    """No 5xx, no traceback in answer or log, and every accepted delivery is in the inbox."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=os.environ.get("CI") == "true",
    )
    @given(requests=st.lists(hostile_requests(), min_size=VOLLEY, max_size=VOLLEY))
    def volleys(requests: list[Request]) -> None:
        for (method, _, _, _), (status, body) in zip(
            requests, sender.volley(requests), strict=True
        ):
            assert status < 500
            assert b"Traceback" not in body
            if status >= 400 and method != "HEAD":
                assert set(orjson.loads(body)) == {"error", "message"}

    volleys()
    print("answers by status", sender.statuses)
    assert sender.requests >= EXAMPLES * VOLLEY
    assert sender.statuses[200] > EXAMPLES / 5
    assert sender.statuses[202] > EXAMPLES / 5
    assert '"level":"error"' not in log.getvalue()
    assert "raceback" not in log.getvalue()
    with database.transaction() as connection:
        counts = inbox.counts(connection)
    # 400 and 415 are only said of authentic deliveries, which are kept.
    accepted = sender.statuses[200] + sender.statuses[202]
    assert accepted - counts["pending"] - counts["probe"] == sender.handshakes
    assert counts["dead"] >= sender.statuses[400] + sender.statuses[415]


def test_after_hostile_requests_a_good_one_is_kept(sender: Sender, database: Database) -> None:
    """Nothing they did stays behind."""
    body = b'{"action":"new_candidate_application","payload":{}}'
    good: Request = (
        "POST",
        "/webhooks/greenhouse",
        [
            (b"content-type", b"application/json"),
            *((n.encode(), v.encode()) for n, v in GREENHOUSE.sign(body, SECRET).items()),
        ],
        [body],
    )
    gone: Request = ("POST", "/webhooks/greenhouse", [], [b""])
    sender.volley([gone] * 50)
    [(status, _)] = sender.volley([good])
    assert status == 200
    with database.transaction() as connection:
        assert inbox.counts(connection)["pending"] == 1


@pytest.mark.slow
def test_requests_made_from_the_description_get_an_answer(
    database: Database, log: io.StringIO
) -> None:
    """schemathesis reads our OpenAPI and sends what it allows and what it does not."""
    app = create_app(database, CONNECTIONS, ALL_ADAPTERS, FrozenClock(), keeper=ListKeeper())
    description = schemathesis.openapi.from_asgi("/-/openapi.json", app)
    seen: set[str] = set()
    for result in description.get_all_operations():
        operation = result.ok()
        seen.add(operation.path)
        # The inside pages open a database connection each; the door is what is attacked.
        examples = GENERATED * 10 if operation.method == "post" else GENERATED // 10
        _attack(operation, examples)
    assert "/webhooks/{connection}" in seen
    assert '"level":"error"' not in log.getvalue()


def _attack(operation: Any, examples: int) -> None:
    modes = list(schemathesis.GenerationMode)
    strategy = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=strategy)
    def attack(case: Any) -> None:
        answer = case.call()
        assert answer.status_code < 500
        assert "Traceback" not in answer.text

    attack()
