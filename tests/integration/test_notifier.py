"""What is in the outbox gets out: once if all goes well, again with the same id if it does not."""

from __future__ import annotations

import multiprocessing
import os
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from consumers import waking
from consumers.alert_channels.channel import GiveUp, Message, Outcome, Retry, Sent
from consumers.alert_channels.webhook import WebhookChannel
from consumers.alert_notifier import RETRY_SECONDS, TAKE, Notified, Notifier, unsent
from journey.clock import SystemClock
from journey.database import Database
from tests.support.alerts import (
    BREACH,
    NUDGE,
    RecordingChannel,
    a_receiver,
    a_sweeper,
    end_silence,
    put_silence,
    rows,
)
from tests.support.builders import days
from tests.support.fakes import FrozenClock
from tests.support.processes import PATIENCE_SECONDS, until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def raise_alerts(database: Database, count: int = 1, *names: str) -> None:
    """So many alerts, one message each and channel, due at NUDGE."""
    for _ in range(count):
        put_silence(database, levels={"nudge": NUDGE})
    a_sweeper(database, FrozenClock(NUDGE), names or ("console",)).sweep()


def waits_until(database: Database) -> datetime:
    ((moment,),) = rows(database, "SELECT next_attempt_at FROM outbox")
    assert isinstance(moment, datetime)
    return moment


def test_a_message_is_sent_once(database: Database) -> None:
    """And never again, however often the notifier looks."""
    raise_alerts(database)
    channel = RecordingChannel()
    notifier = Notifier(database, FrozenClock(NUDGE), [channel])
    assert notifier.send_due() == Notified(sent=1)
    assert notifier.send_due() == Notified()
    assert channel.told == ["alert.raised"]
    assert notifier.next_attempt_at(channel) is None


def test_each_channel_is_told_for_itself(database: Database) -> None:
    """A dead one does not keep the others from hearing; each message has an id of its own."""
    raise_alerts(database, 1, "console", "webhook")
    dead = RecordingChannel("console", answers=[Retry("down")])
    well = RecordingChannel("webhook")
    done = Notifier(database, FrozenClock(NUDGE), [dead, well]).send_due()
    assert done == Notified(sent=1, put_off=1)
    assert dead.messages[0].message_id != well.messages[0].message_id


def test_retries_follow_the_schedule_of_standard_webhooks(database: Database) -> None:
    """At once, then 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 hours, and a tenth at most."""
    raise_alerts(database)
    clock = FrozenClock(NUDGE)
    channel = RecordingChannel(answers=[Retry("answered 500")] * 9)
    notifier = Notifier(database, clock, [channel])
    waited = []
    for _ in range(9):
        assert notifier.send_due().put_off == 1
        waited.append((waits_until(database) - clock.at).total_seconds())
        clock.at = waits_until(database)
    assert notifier.send_due() == Notified(sent=1)
    assert all(
        wait <= found <= 1.1 * wait for wait, found in zip(RETRY_SECONDS, waited, strict=True)
    )
    assert len({message.message_id for message in channel.messages}) == 1


def test_after_the_last_attempt_it_gives_up_loudly(database: Database) -> None:
    """Ten attempts; then an error in the log and a mark in the outbox, and no more."""
    raise_alerts(database)
    clock = FrozenClock(NUDGE)
    channel = RecordingChannel(answers=[Retry("answered 500")] * 20)
    notifier = Notifier(database, clock, [channel])
    with capture_logs() as logs:
        for _ in range(14):
            notifier.send_due()
            clock.advance(timedelta(days=2))
    assert len(channel.messages) == 10
    assert [entry["attempt"] for entry in logs if entry["log_level"] == "error"] == [10]
    ((given_up_at, last_error),) = rows(database, "SELECT given_up_at, last_error FROM outbox")
    assert given_up_at is not None
    assert last_error == "answered 500; attempt 10 was the last"


def test_a_receiver_that_is_gone_is_given_up_at_once(database: Database) -> None:
    """410 means never again."""
    raise_alerts(database)
    channel = RecordingChannel(answers=[GiveUp("answered 410")])
    clock = FrozenClock(NUDGE)
    notifier = Notifier(database, clock, [channel])
    assert notifier.send_due() == Notified(given_up=1)
    clock.advance(timedelta(days=9))
    assert notifier.send_due() == Notified()


def test_a_retry_after_is_waited_for(database: Database) -> None:
    """Longer than the schedule when asked to; never shorter."""
    raise_alerts(database)
    clock = FrozenClock(NUDGE)
    channel = RecordingChannel(answers=[Retry("answered 429", 600.0), Retry("answered 429", 1.0)])
    notifier = Notifier(database, clock, [channel])
    notifier.send_due()
    assert 600 <= (waits_until(database) - clock.at).total_seconds() <= 660
    clock.at = waits_until(database)
    notifier.send_due()
    assert (waits_until(database) - clock.at).total_seconds() >= 300


def test_messages_about_one_alert_leave_in_their_order(database: Database) -> None:
    """Nobody hears that it is resolved before hearing that it was raised."""
    candidate_id = put_silence(database)
    clock = FrozenClock(NUDGE)
    sweeper = a_sweeper(database, clock)
    sweeper.sweep()
    clock.at = BREACH
    sweeper.sweep()
    end_silence(database, candidate_id, days(11), "message_sent")
    clock.at = days(12)
    sweeper.sweep()
    channel = RecordingChannel(at_once=8, answers=[Retry("down")])
    notifier = Notifier(database, clock, [channel])
    notifier.send_due()
    assert channel.told == ["alert.raised"]
    clock.advance(timedelta(minutes=1))
    notifier.send_due()
    assert channel.told[1:] == ["alert.raised", "alert.escalated", "alert.resolved"]


def test_a_channel_with_a_bug_is_loud_and_loses_nothing(database: Database) -> None:
    """Its message is tried again, the other channel's is sent."""

    class Broken(RecordingChannel):
        def send(self, message: Message) -> Outcome:
            raise KeyError("explanation")

    raise_alerts(database, 1, "console", "webhook")
    with capture_logs() as logs:
        done = Notifier(
            database, FrozenClock(NUDGE), [Broken("console"), RecordingChannel("webhook")]
        ).send_due()
    assert done == Notified(sent=1, put_off=1)
    assert any(entry["log_level"] == "error" for entry in logs)


def test_no_transaction_is_open_while_something_is_sent(database: Database) -> None:
    """Somebody's slow server holds nothing of ours."""
    raise_alerts(database)
    seen: list[int] = []

    class Looking(RecordingChannel):
        def send(self, message: Message) -> Outcome:
            with database.connect(autocommit=True) as connection:
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'journey' "
                    "AND state LIKE 'idle in transaction%'"
                ).fetchone()
            assert row is not None
            seen.append(row[0])
            return Sent()

    Notifier(database, FrozenClock(NUDGE), [Looking()]).send_due()
    assert seen == [0]


def test_a_leased_message_is_not_taken_by_another_notifier(database: Database) -> None:
    """While one sends, the other finds nothing; two at once send each message once."""
    raise_alerts(database, 60)
    barrier = threading.Barrier(3)
    found = [RecordingChannel(at_once=4) for _ in range(3)]

    def send(channel: RecordingChannel) -> None:
        barrier.wait()
        Notifier(database, FrozenClock(NUDGE), [channel]).send_due()

    threads = [threading.Thread(target=send, args=[channel]) for channel in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [message.message_id for channel in found for message in channel.messages]
    assert (len(ids), len(set(ids))) == (60, 60)


def _die_after_sending(url: str, schema: str, webhook: str, at: datetime) -> None:
    class Deadly(WebhookChannel):
        def send(self, message: Message) -> Outcome:
            super().send(message)
            os._exit(9)

    Notifier(Database(url, schema), FrozenClock(at), [Deadly(webhook, [SECRET])]).send_due()


@pytest.mark.fault
def test_killed_between_sending_and_writing_it_down_it_sends_the_same_id_again(
    database: Database,
) -> None:
    """At least once, and the receiver can tell: same webhook-id, same body, verifiable."""
    now = SystemClock().now()
    raise_alerts(database, 1, "webhook")
    clock = FrozenClock(now)
    with a_receiver() as receiver:
        process = multiprocessing.get_context("spawn").Process(
            target=_die_after_sending, args=(database.url, database.schema, receiver.url, now)
        )
        process.start()
        process.join(PATIENCE_SECONDS)
        assert process.exitcode == 9
        notifier = Notifier(database, clock, [WebhookChannel(receiver.url, [SECRET])])
        assert notifier.send_due() == Notified(), "the dead one's lease still holds"
        clock.advance(timedelta(minutes=2))
        assert notifier.send_due() == Notified(sent=1)
    first, again = receiver.received
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.body == again.body
    assert Webhook(SECRET).verify(again.body, again.headers)["type"] == "alert.raised"


def test_a_receivers_bad_week_ends_with_every_alert_delivered(database: Database) -> None:
    """500, 429, a redirect, a hang, a hang-up, nobody there; then each one, verified."""
    raise_alerts(database, 6, "webhook")
    clock = FrozenClock(SystemClock().now())
    bad: list[tuple[int, dict[str, str]]] = [
        (500, {}), (429, {"retry-after": "3600"}), (302, {"location": "http://127.0.0.1:1/"}),
        (0, {}), (-1, {}), (503, {}),
    ]  # fmt: skip
    with a_receiver() as receiver:
        receiver.answers = list(bad)
        # Those that answer must be heard in time, also on a busy machine.
        channel = WebhookChannel(receiver.url, [SECRET], timeout_seconds=6.0)
        notifier = Notifier(database, clock, [channel])
        assert notifier.send_due().put_off == 6
        clock.advance(timedelta(seconds=6))
        assert notifier.send_due().sent == 5, "the one that was asked to wait an hour waits"
        clock.advance(timedelta(hours=2))
        assert notifier.send_due().sent == 1
    told = {request.headers["webhook-id"] for request in receiver.received}
    assert (len(told), len(receiver.received)) == (6, 12)


def test_stored_reasons_hold_neither_url_nor_secret(database: Database) -> None:
    """A URL of a chat system is a secret in itself."""
    raise_alerts(database, 1, "webhook")
    channel = WebhookChannel("http://127.0.0.1:1/T000/s3cret", [SECRET])
    with capture_logs() as logs:
        Notifier(database, FrozenClock(NUDGE), [channel]).send_due()
    held = str(rows(database, "SELECT * FROM outbox")) + str(logs)
    assert "ConnectError" in held
    assert "s3cret" not in held
    assert SECRET not in held


@pytest.mark.fault
def test_the_notifier_wakes_by_itself_and_lives_through_the_loss_of_its_connections(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raised → told long before it looks again, before and after every connection was cut."""
    monkeypatch.setattr(waking, "LONGEST_SLEEP_SECONDS", 2 * PATIENCE_SECONDS)
    channel = RecordingChannel()
    notifier = Notifier(database, SystemClock(), [channel])
    stop = threading.Event()
    running = threading.Thread(target=notifier.run, args=[stop])
    running.start()
    try:
        for expected in (1, 2):
            raise_alerts(database)
            # By id: one whose connection was cut before it was written down is sent again.
            until(lambda: len({each.message_id for each in channel.messages}) == expected, "told")  # noqa: B023
            with database.connect(autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'journey' AND pid <> pg_backend_pid()"
                )
            until(lambda: _alive(database), "the database answers")
    finally:
        stop.set()
        running.join(PATIENCE_SECONDS)
    assert not running.is_alive()


def _alive(database: Database) -> bool:
    try:
        return rows(database, "SELECT 1") == [(1,)]
    except Exception:
        return False


def test_what_waits_and_what_was_given_up_can_be_counted(database: Database) -> None:
    """By channel, so that nobody has to find out from silence."""
    raise_alerts(database, 3, "console", "webhook")
    channel = RecordingChannel("webhook", answers=[GiveUp("gone"), Retry("down")])
    Notifier(database, FrozenClock(NUDGE), [channel]).send_due()
    assert unsent(database) == {"console": (3, 0), "webhook": (1, 1)}


def test_taking_a_batch_reads_a_few_pages_of_a_long_outbox(database: Database) -> None:
    """Also before the database has counted the table: 2,000 wait, eight are read."""
    raise_alerts(database, 1)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO outbox (message_id, alert_id, version, transition, channel, payload, "
            "created_at, next_attempt_at) SELECT gen_random_uuid(), gen_random_uuid(), 1, "
            "'raised', 'console', '{}', %(now)s, %(now)s FROM generate_series(1, 2000)",
            {"now": NUDGE},
        )
        row = connection.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {TAKE}",  # type: ignore[arg-type]
            {"channel": "console", "now": NUDGE, "leased_until": BREACH, "limit": 8},
        ).fetchone()
        assert row is not None
        top = row[0][0]["Plan"]
        assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 400


def test_payloads_have_the_documented_fields(database: Database) -> None:
    """What a receiver may rely on."""
    raise_alerts(database)
    channel = RecordingChannel()
    Notifier(database, FrozenClock(NUDGE), [channel]).send_due()
    told: Any = channel.messages[0].payload
    assert set(told["data"]) == {
        "alert_id", "candidate_id", "application_id", "subject", "policy", "level", "since",
        "due_at", "until", "state", "reason", "touchpoint_ids", "explanation",
    }  # fmt: skip
    assert told["timestamp"] == "2026-03-07T09:00:00Z"
