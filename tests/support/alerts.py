"""Steps for stories about alerts: rows as the live runner writes them, and channels that listen."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

from consumers.alert_channels.channel import Message, Outcome, Sent
from consumers.alert_sweeper import Sweeper
from journey.database import Connection, Database
from projections.alerts.alert_log import AlertLog
from projections.alerts.explanation import plain
from tests.support.builders import T0, days
from tests.support.fakes import FrozenClock

NUDGE, BREACH, GHOSTED = days(5), days(10), days(20)


def a_sweeper(
    database: Database, clock: FrozenClock, channels: tuple[str, ...] = ("console",), **more: Any
) -> Sweeper:
    """A sweeper with an alert log that tells these channels."""
    return Sweeper(database, clock, AlertLog(database, channels), plain, **more)


def put_silence(
    database: Database,
    candidate_id: UUID | None = None,
    *,
    application: str = "greenhouse:1",
    began_by: str = "a0000000-0000-5000-8000-000000000001",
    policy: str = "after_application",
    levels: dict[str, datetime] | None = None,
) -> UUID:
    """An open silence since T0 and its deadlines, as the live runner writes them."""
    candidate_id = candidate_id or uuid4()
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO silences VALUES (%s, %s, %s, 'application_submitted', %s, NULL, NULL, "
            "NULL, 'job', 'Review', 'greenhouse', NULL, 0, 0) ON CONFLICT DO NOTHING",
            [candidate_id, application, began_by, T0],
        )
        chosen = {"nudge": NUDGE, "breach": BREACH, "ghosted": GHOSTED}
        for level, due_at in (chosen if levels is None else levels).items():
            put_deadline(connection, candidate_id, application, began_by, policy, level, due_at)
    return candidate_id


def put_deadline(
    connection: Connection,
    candidate_id: UUID,
    application: str,
    began_by: str,
    policy: str,
    level: str,
    due_at: datetime,
) -> None:
    """One deadline of a silence."""
    evidence = [{"id": began_by, "kind": "application_submitted", "at": T0.isoformat()}]
    connection.execute(
        "INSERT INTO deadlines VALUES (%s, 'silence', %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (candidate_id, alert_key, level) DO UPDATE SET due_at = excluded.due_at",
        [
            due_at, candidate_id, application, policy, level,
            f"silence:{policy}:{application}:{began_by}", T0, json.dumps(evidence),
        ],
    )  # fmt: skip


def end_silence(database: Database, candidate_id: UUID, until: datetime, kind: str) -> None:
    """It ended: as the live runner does, deadlines first, the question about alerts last."""
    with database.transaction() as connection:
        connection.execute("DELETE FROM deadlines WHERE candidate_id = %s", [candidate_id])
        connection.execute(
            "UPDATE silences SET until = %s, ended_kind = %s WHERE candidate_id = %s",
            [until, kind, candidate_id],
        )
        ask_again(connection, candidate_id)


def unsay_silence(database: Database, candidate_id: UUID) -> None:
    """It never was: a refold finds no such silence."""
    with database.transaction() as connection:
        connection.execute("DELETE FROM deadlines WHERE candidate_id = %s", [candidate_id])
        connection.execute("DELETE FROM silences WHERE candidate_id = %s", [candidate_id])
        ask_again(connection, candidate_id)


def put_finding(database: Database, since: datetime = T0, severity: str = "high") -> UUID:
    """A finding and its deadline, as the live runner writes them."""
    candidate_id = uuid4()
    evidence = json.dumps([{"id": "t1", "kind": "rejection_sent", "at": T0.isoformat()}])
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO findings VALUES (%s, 'a', 'a_rule', 'a_rule:t1', %s, %s, NULL, %s)",
            [candidate_id, severity, since, evidence],
        )
        connection.execute(
            "INSERT INTO deadlines VALUES (%s, 'contradiction', %s, 'a', 'a_rule', %s, "
            "'rule:a_rule:t1', %s, %s)",
            [since, candidate_id, severity, since, evidence],
        )
    return candidate_id


def ask_again(connection: Connection, candidate_id: UUID) -> None:
    """What the live runner does for every journey it touched."""
    connection.execute(
        "INSERT INTO alert_checks SELECT DISTINCT candidate_id FROM alerts "
        "WHERE state <> 'resolved' AND candidate_id = %s ON CONFLICT DO NOTHING",
        [candidate_id],
    )
    connection.execute("NOTIFY deadlines")


def rows(database: Database, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with database.transaction() as connection:
        return connection.execute(query, parameters).fetchall()  # type: ignore[call-overload,no-any-return]


@dataclass
class RecordingChannel:
    """Remembers what it was sent, and answers as it is told (by default: sent)."""

    name: str = "console"
    at_once: int = 1
    timeout_seconds: float = 1.0
    answers: list[Outcome] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> Outcome:
        self.messages.append(message)
        return self.answers.pop(0) if self.answers else Sent()

    @property
    def told(self) -> list[str]:
        """The types of what it was sent, in order."""
        return [message.payload["type"] for message in self.messages]


@dataclass
class Received:
    """A request as the receiver saw it."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A real HTTP server on loopback that has good and bad days.

    `answers`: (status, headers) for the next requests; afterwards 204. A status of 0 hangs until
    the server is closed, and -1 hangs up without an answer.
    """

    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def a_receiver() -> Iterator[Receiver]:
    """A running receiver."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.received.append(
                Received({name.lower(): value for name, value in self.headers.items()}, body)
            )
            status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
            if status <= 0:
                if status == 0:
                    receiver.closing.wait(30)
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"content-length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/alerts"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
