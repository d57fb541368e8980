"""What every alert channel promises, and what the two that exist promise on top."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import Webhook

import consumers.alert_channels
from consumers.alert_channels import ALL_CHANNELS
from consumers.alert_channels.channel import Channel, GiveUp, Message, Outcome, Retry, Sent
from consumers.alert_channels.console import ConsoleChannel, line_of
from consumers.alert_channels.webhook import WebhookChannel
from journey.errors import ConfigurationError
from tests.support.alerts import Receiver, a_receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEWER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def payload(kind: str = "alert.raised", **data: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "timestamp": "2026-03-07T09:00:00Z",
        "data": {
            "alert_id": str(UUID(int=5)),
            "candidate_id": str(UUID(int=6)),
            "application_id": "greenhouse:1",
            "subject": "silence",
            "policy": "after_application",
            "level": "nudge",
            "since": "2026-03-02T09:00:00Z",
            "due_at": "2026-03-07T09:00:00Z",
            "until": None,
            "state": "open",
            "reason": None,
            "touchpoint_ids": ["t1"],
            "explanation": "Nothing received for 5 days.",
            **data,
        },
    }


def message(**fields: Any) -> Message:
    whole = Message(UUID(int=7), UUID(int=5), payload(), 1, datetime.now(UTC))
    return replace(whole, **fields)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with a_receiver() as running:
        yield running


def channels(receiver: Receiver) -> list[Channel]:
    return [ConsoleChannel(io.StringIO()), WebhookChannel(receiver.url, [SECRET])]


# --- all of them ------------------------------------------------------------------------------


def test_every_channel_is_in_the_list() -> None:
    """A file without its line in ALL_CHANNELS would never be found."""
    folder = Path(consumers.alert_channels.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "channel"}
    assert files == set(ALL_CHANNELS)
    assert all(cls.name == name for name, cls in ALL_CHANNELS.items())


def test_every_channel_sends_every_kind_of_message(receiver: Receiver) -> None:
    """Raised, escalated, resolved, and a kind it does not know yet."""
    for channel in channels(receiver):
        for kind in ("alert.raised", "alert.escalated", "alert.resolved", "alert.snoozed"):
            told = payload(kind, reason="answered" if kind == "alert.resolved" else None)
            assert channel.send(message(payload=told)) == Sent()
        assert channel.at_once >= 1
        assert channel.timeout_seconds > 0


# --- console ----------------------------------------------------------------------------------


def test_the_console_says_who_waits_and_why_on_one_line() -> None:
    """For people: level, candidate, application, the sentence."""
    out = io.StringIO()
    ConsoleChannel(out).send(message())
    assert out.getvalue() == (
        f"ALERT [nudge] candidate {UUID(int=6)} application greenhouse:1: "
        "Nothing received for 5 days.\n"
    )


def test_the_console_says_why_an_alert_is_resolved() -> None:
    """With the reason."""
    line = line_of(payload("alert.resolved", reason="answered"))
    assert line.startswith("resolved (answered) [nudge]")


def test_nothing_from_outside_steers_the_terminal() -> None:
    """An application id may hold anything; escapes and line breaks become blanks."""
    line = line_of(payload(application_id="1\x1b[2J\nALERT"))
    assert line.isprintable()


def test_a_closed_console_is_tried_again() -> None:
    """It is no reason to lose the alert, nor to fall over."""
    out = io.StringIO()
    out.close()
    assert ConsoleChannel(out).send(message()) == Retry("standard output is closed")


# --- webhook ----------------------------------------------------------------------------------


def test_the_webhook_is_signed_as_standard_webhooks_asks(receiver: Receiver) -> None:
    """The reference library verifies it, and its id is the message's."""
    WebhookChannel(receiver.url, [SECRET]).send(message())
    (request,) = receiver.received
    assert Webhook(SECRET).verify(request.body, request.headers) == payload()
    assert request.headers["webhook-id"] == str(UUID(int=7))
    assert request.headers["content-type"] == "application/json"


def test_while_a_secret_is_rotated_both_verify(receiver: Receiver) -> None:
    """Several signatures, one header."""
    WebhookChannel(receiver.url, [NEWER, SECRET]).send(message())
    (request,) = receiver.received
    for secret in (NEWER, SECRET):
        assert Webhook(secret).verify(request.body, request.headers)


def test_the_webhook_carries_opaque_ids_only(receiver: Receiver) -> None:
    """Exactly the documented fields."""
    WebhookChannel(receiver.url, [SECRET]).send(message())
    told = Webhook(SECRET).verify(receiver.received[0].body, receiver.received[0].headers)
    assert set(told) == {"type", "timestamp", "data"}


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (200, {}, Sent()),
        (202, {}, Sent()),
        (500, {}, Retry("answered 500")),
        (400, {}, Retry("answered 400")),
        (429, {"retry-after": "120"}, Retry("answered 429", 120.0)),
        (503, {"retry-after": "9" * 400}, Retry("answered 503", 86400.0)),
        (503, {"retry-after": "soon"}, Retry("answered 503")),
        (410, {}, GiveUp("answered 410: the receiver wants no more of these")),
    ],
)
def test_what_an_answer_means(
    receiver: Receiver, status: int, headers: dict[str, str], outcome: Outcome
) -> None:
    """2xx arrived, 410 never again, all else later; Retry-After is passed on, at most a day."""
    receiver.answers = [(status, headers)]
    assert WebhookChannel(receiver.url, [SECRET]).send(message()) == outcome


def test_a_retry_after_may_be_a_date(receiver: Receiver) -> None:
    """Both forms of HTTP."""
    sent = message()
    when = format_datetime(sent.attempted_at + timedelta(seconds=90), usegmt=True)
    receiver.answers = [(503, {"retry-after": when})]
    outcome = WebhookChannel(receiver.url, [SECRET]).send(sent)
    assert isinstance(outcome, Retry)
    assert outcome.after_seconds == pytest.approx(90, abs=1)


def test_a_redirect_is_a_failure_and_is_not_followed(receiver: Receiver) -> None:
    """Nobody outside chooses where we post."""
    with a_receiver() as elsewhere:
        receiver.answers = [(307, {"location": elsewhere.url})]
        outcome = WebhookChannel(receiver.url, [SECRET]).send(message())
        assert elsewhere.received == []
    assert outcome == Retry("answered 307: a redirect, which is not followed")


def test_a_receiver_that_hangs_is_left_after_the_timeout(receiver: Receiver) -> None:
    """And tried again later."""
    receiver.answers = [(0, {})]
    started = time.monotonic()
    outcome = WebhookChannel(receiver.url, [SECRET], timeout_seconds=0.3).send(message())
    assert outcome == Retry("no answer within 0.3 s")
    # It would have answered after thirty seconds.
    assert time.monotonic() - started < 20


def test_a_receiver_that_hangs_up_or_is_not_there_is_tried_again(receiver: Receiver) -> None:
    """The reason names the kind of failure, never the URL."""
    receiver.answers = [(-1, {})]
    outcome = WebhookChannel(receiver.url, [SECRET]).send(message())
    assert outcome == Retry("not reachable (RemoteProtocolError)")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/token"
        outcome = WebhookChannel(url, [SECRET]).send(message())
    assert outcome == Retry("not reachable (ConnectError)")


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("file:///etc/passwd", [SECRET]),
        ("ftp://example.org", [SECRET]),
        ("https://", [SECRET]),
        ("https://example.org/hook", []),
        ("https://example.org/hook", [""]),
    ],
)
def test_a_url_or_secret_it_cannot_use_is_refused_at_the_start(
    url: str, secrets: list[str]
) -> None:
    """Before the first alert, not with it."""
    with pytest.raises(ConfigurationError):
        WebhookChannel(url, secrets)
