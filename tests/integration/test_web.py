"""`journey run web`: what it shows is what the database and Kafka say, and it only shows."""

from __future__ import annotations

import hashlib
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import orjson
import pytest
import schemathesis
from fastapi.testclient import TestClient

from bench.data import journeys
from bench.log import fill
from consumers import inbox
from consumers.ats_adapters.adapter import Delivery
from consumers.bootstrap import Installation
from consumers.connections import Connection, Connections
from consumers.inbox import STATUSES
from consumers.kafka_stream import lag
from consumers.kafka_stream.cluster import Cluster
from consumers.kafka_stream.lag import LOOK_SECONDS, GroupLag, KafkaLag, PartitionLag
from consumers.processes import PROCESSES, served
from consumers.settings import Settings
from consumers.web.app import PAGES
from consumers.web.looking import Looking, TakesLong
from consumers.web.server import WebServer
from journey.database import Database
from journey.errors import ConfigurationError
from projections.runner import Runner
from tests.support.builders import the_meaning
from tests.support.fakes import FrozenClock
from tests.support.installations import settings_for
from tests.support.kafka_broker import kafka_environment
from tests.support.pages import read
from tests.support.processes import PATIENCE_SECONDS, until
from tests.support.truth import one, rows

BUSY_SECONDS = 10.0
"""So long a busy machine may take for what is done in no time."""
NOW = FrozenClock().now()
HOUR_AGO = NOW - timedelta(hours=1)
POLLED = Connection(name="gh", source="greenhouse", secrets=("s",), poll_key="k")
SECTIONS = ["deliveries", "polls", "feeds", "projections", "alerts", "setup"]


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Iterator[Installation]:
    """An installation that is not given the master key."""
    with an_installation(replace(settings_for(database, tmp_path), master_key=None)) as made:
        yield made


def an_installation(settings: Settings) -> Installation:
    return Installation(
        settings, clock=FrozenClock(), environment={}, connections=Connections([POLLED])
    )


@contextmanager
def shown(engine: Installation) -> Iterator[httpx.Client]:
    """The real server on a free port, ended in order, and a client of it."""
    server = WebServer(engine.web, port=0)
    opened, ports = Event(), list[int]()

    def ready(port: int) -> None:
        ports.append(port)
        opened.set()

    thread = Thread(target=server.run, kwargs={"ready": ready})
    thread.start()
    try:
        assert opened.wait(PATIENCE_SECONDS)
        base = f"http://127.0.0.1:{ports[0]}"
        with httpx.Client(base_url=base, trust_env=False, timeout=PATIENCE_SECONDS) as client:
            yield client
    finally:
        server.stop()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def told_by(client: httpx.Client) -> dict[str, Any]:
    answer = client.get("/index.json")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def tables(told: dict[str, Any], section: str) -> list[list[dict[str, Any]]]:
    return [each["rows"] for each in told["sections"][section]["tables"]]


def deliver(database: Database, *statuses: str) -> None:
    """A delivery of each of these, received a minute apart, the first an hour ago."""
    for n, status in enumerate(statuses):
        at = HOUR_AGO + timedelta(minutes=n)
        kept = Delivery(inbox.new_delivery_id(at), "ats", "greenhouse", at, {}, b"{}")
        with database.transaction() as connection:
            inbox.keep(connection, [kept])
            connection.execute(
                "UPDATE deliveries SET status = %s WHERE delivery_id = %s",
                [status, kept.delivery_id],
            )


def live(database: Database) -> None:
    """Something in every table that is looked at."""
    deliver(database, "pending", "pending", "recorded", "dead", "refused", "refused", "refused")
    fill(database, journeys(400, 20, 1))
    Runner(database, the_meaning()).catch_up()
    fill(database, journeys(30, 20, 2))
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO alerts SELECT gen_random_uuid(), 1, n::text, 'silence', 'p', 'nudge', "
            "gen_random_uuid(), 'greenhouse:7', %(at)s, %(at)s, %(at)s, "
            "(ARRAY['open', 'open', 'acknowledged', 'resolved'])[n], "
            "null, null, null, null, null, '[]', 'Casey waits' FROM generate_series(1, 4) AS n",
            {"at": HOUR_AGO},
        )
        connection.execute(
            "INSERT INTO outbox (message_id, alert_id, version, transition, channel, payload, "
            "created_at, next_attempt_at, given_up_at, sent_at, last_error) "
            "SELECT gen_random_uuid(), gen_random_uuid(), 1, 'raised', 'webhook', '{}', "
            "%(at)s + n * interval '1 minute', %(at)s, "
            "CASE n WHEN 1 THEN %(at)s END, CASE n WHEN 2 THEN %(at)s END, 'answered 500' "
            "FROM generate_series(1, 5) AS n",
            {"at": HOUR_AGO},
        )
        connection.execute(
            "INSERT INTO polls (connection, next_at, finished_at, problem) "
            "VALUES ('gh', %s, %s, 'answered 500')",
            [HOUR_AGO, HOUR_AGO - timedelta(days=1)],
        )
        connection.execute(
            "INSERT INTO poll_cursors (connection, endpoint, cursor_at) "
            "VALUES ('gh', 'offers', %s)",
            [HOUR_AGO],
        )


# --- what it shows ----------------------------------------------------------------------------


def test_every_figure_is_what_the_database_says(engine: Installation, database: Database) -> None:
    """Counted anew with SQL, section by section."""
    live(database)
    with shown(engine) as client:
        told = told_by(client)
    assert list(told["sections"]) == SECTIONS
    counted = dict(rows(database, "SELECT status, count(*) FROM deliveries GROUP BY 1"))
    by_status, oldest = tables(told, "deliveries")
    assert by_status == [
        {"status": status, "deliveries": counted.get(status, 0)} for status in STATUSES
    ]
    assert oldest == [
        {"where": "inbox", "oldest_since": HOUR_AGO.isoformat(), "waits_seconds": 3600},
    ]
    head = one(database, "SELECT position FROM log_head")
    at = one(
        database,
        "SELECT notification_id FROM projection_tracking WHERE application_name = 'projections'",
    )
    assert 0 < at < head
    assert tables(told, "projections") == [
        [
            {"where": "log", "position": head, "lag_touchpoints": 0},
            {"where": "projections", "position": at, "lag_touchpoints": head - at},
        ]
    ]
    feeds = rows(database, "SELECT source, touchpoints, last_recorded_at FROM feeds ORDER BY 1")
    assert [
        (row["source"], row["touchpoints"], row["last_heard_at"])
        for row in tables(told, "feeds")[0]
    ] == [(source, count, heard.isoformat()) for source, count, heard in feeds]
    assert feeds
    due, since = rows(
        database, f"SELECT count(*), min(due_at) FROM deadlines WHERE due_at <= '{NOW}'"
    )[0]
    alerts, waits = tables(told, "alerts")
    assert alerts == [{"state": "open", "alerts": 2}, {"state": "acknowledged", "alerts": 1}]
    assert [(row["count"], row["oldest_since"]) for row in waits] == [
        (due, since and since.isoformat()),
        (3, (HOUR_AGO + timedelta(minutes=3)).isoformat()),
        (1, None),
    ]
    polls, lists = tables(told, "polls")
    assert polls == [
        {
            "connection": "gh",
            "read_to_the_end_at": (HOUR_AGO - timedelta(days=1)).isoformat(),
            "next_at": HOUR_AGO.isoformat(),
            "to_be_asked_about": 0,
            "problem": "answered 500",
        }
    ]
    assert lists == [{"connection": "gh", "list": "offers", "read_up_to": HOUR_AGO.isoformat()}]


def test_it_complains_as_the_doctor_does_and_says_what_to_do(
    engine: Installation, database: Database
) -> None:
    """Each complaint stands in the section it is about, whose status is that of the gravest."""
    live(database)
    with shown(engine) as client:
        told = told_by(client)
    complaints = {
        name: {each["check"]: each["status"] for each in section["complaints"]}
        for name, section in told["sections"].items()
    }
    assert complaints["deliveries"] == {
        "inbox": "wrong", "dead letters": "wrong", "refused": "note",
    }  # fmt: skip
    assert complaints["projections"].keys() == {"projections"}
    assert "notifier" in complaints["alerts"]
    assert complaints["polls"] == {"poll": "wrong"}
    assert complaints["setup"] == {}
    for section in told["sections"].values():
        gravest = {each["status"] for each in section["complaints"]}
        assert section["status"] == ("wrong" if "wrong" in gravest else "note" if gravest else "ok")
        assert all(each["advice"] for each in section["complaints"])
    assert told["status"] == "wrong"
    assert "checks are wrong" in told["summary"]


def test_a_new_installation_is_well(engine: Installation) -> None:
    """Empty tables are said to be empty; nothing divides by nothing."""
    with shown(engine) as client:
        told, page = told_by(client), read(client.get("/").text)
    alone = {each["check"] for name in SECTIONS for each in told["sections"][name]["complaints"]}
    assert alone == {"poll", "feeds"}
    assert "Sources: none." in page.text


def test_lanes_are_told_one_by_one(engine: Installation, database: Database) -> None:
    """Where the work is shared, it shows which share is behind."""
    engine.settings = replace(engine.settings, project_lanes=3)
    runner = Runner(database, the_meaning(), lanes=3)
    fill(database, journeys(200, 20, 1))
    runner.catch_up()
    fill(database, journeys(10, 20, 2))
    head = one(database, "SELECT position FROM log_head")
    at = rows(
        database,
        "SELECT notification_id FROM projection_tracking "
        "WHERE application_name LIKE 'projections/%%' ORDER BY application_name",
    )
    with shown(engine) as client:
        _, lanes = tables(told_by(client), "projections")
    assert lanes == [{"lane": n, "lag_touchpoints": head - row[0]} for n, row in enumerate(at)]
    assert len(lanes) == 3


def test_the_page_and_its_twin_say_the_same(engine: Installation, database: Database) -> None:
    """Every title, sentence, complaint and cell; the page is well formed and needs nothing else."""
    live(database)
    with shown(engine) as client:
        told, answer = told_by(client), client.get("/")
    page = read(answer.text)
    in_tables = [
        (table["title"], [list(map(cell, row.values())) for row in table["rows"]])
        for section in told["sections"].values()
        for table in section["tables"]
        if table["rows"]
    ]
    assert [(title, [list(row.values()) for row in found]) for title, found in page.tables] == (
        in_tables
    )
    for section in told["sections"].values():
        said = [section["title"], section["meaning"]]
        said += [each["found"] for each in section["complaints"]]
        said += [each["advice"] for each in section["complaints"]]
        for sentence in said:
            assert " ".join(sentence.replace("`", "").split()) in page.text
    assert told["summary"] in page.text
    assert {f"#{name}" for name in told["sections"]} <= set(page.links)
    assert set(told["sections"]) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not page.tags & {"script", "img", "link", "iframe", "form", "input", "object"}
    assert {"h1", "h2", "main", "nav", "caption", "th"} <= page.tags
    assert "prefers-color-scheme: dark" in page.style
    assert [link for link in page.links if not link.startswith(("/", "#"))] == []


def cell(value: Any) -> str:
    """How the twin's value stands in the page, as told to programs."""
    return "none" if value is None else str(value)


def test_what_comes_from_outside_stays_text(engine: Installation, database: Database) -> None:
    """A source is named by who configures it; its name cannot become part of the page."""
    hostile = '<script>alert("1")</script>\x01'
    with database.transaction() as connection:
        connection.execute("INSERT INTO feeds VALUES (%s, 1, %s, %s, %s)", [hostile, NOW, NOW, NOW])
    with shown(engine) as client:
        pages = [client.get(address) for address in ("/", "/-/status")]
        assert tables(told_by(client), "feeds")[0][0]["source"] == hostile
    for answer in pages:
        assert answer.status_code == 200
        assert "script" not in read(answer.text).tags


def test_nothing_is_about_a_candidate(engine: Installation, database: Database) -> None:
    """No id of a candidate or application, no text of an alert, on any page."""
    live(database)
    secret = {
        str(value)
        for row in rows(
            database,
            "SELECT candidate_id::text, application_id, explanation FROM alerts "
            "UNION SELECT candidate_id::text, application_id, '' FROM applications "
            "UNION SELECT originator_id::text, originator_id::text, '' FROM journey_events",
        )
        for value in row
        if value
    }
    assert len(secret) > 20
    with shown(engine) as client:
        document = client.get("/-/openapi.json").json()
        for address in document["paths"]:
            answer = client.get(address)
            assert answer.status_code == 200
            assert [each for each in secret if each in answer.text] == [], address


def test_every_page_has_its_twin_and_stands_in_the_description(engine: Installation) -> None:
    """OpenAPI names each address; what is HTML is JSON beside it."""
    with shown(engine) as client:
        paths = client.get("/-/openapi.json").json()["paths"]
        kinds = {path: client.get(path).headers["content-type"] for path in paths}
    pages = {path for path, kind in kinds.items() if kind.startswith("text/html")}
    twins = {page.address: page.twin for page in PAGES} | {"/-/status": "/-/status.json"}
    assert pages == twins.keys()
    assert {kinds[twin] for twin in twins.values()} == {"application/json"}


def test_the_twin_is_as_described(engine: Installation, database: Database) -> None:
    """Each JSON answer fits the schema that OpenAPI gives it."""
    live(database)
    description = schemathesis.openapi.from_asgi("/-/openapi.json", engine.web)
    checked = set()
    for result in description.get_all_operations():
        operation = result.ok()
        operation.Case().call_and_validate()
        checked.add(operation.path)
    assert {"/", "/index.json", "/-/status.json"} <= checked


# --- Kafka ------------------------------------------------------------------------------------


def on_kafka(database: Database, home: Path, environment: dict[str, str]) -> Installation:
    kafka = Settings.from_environment(environment)
    fields = {name: getattr(kafka, name) for name in Settings.__slots__ if "kafka" in name}
    return an_installation(replace(settings_for(database, home), **fields))


def test_lag_on_kafka_and_what_is_published(
    database: Database, tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By group and partition, with the age of what waits longest; the feeds by position."""
    # What a busy broker says is waited for.
    monkeypatch.setattr(lag, "LOOK_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(lag, "_PATIENCE_SECONDS", PATIENCE_SECONDS)
    producer = cluster.producer()
    for partition, count in ((0, 3), (2, 1)):
        for _ in range(count):
            producer.send(
                cluster.topic("deliveries"), b"{}", partition=partition,
                timestamp_ms=int(HOUR_AGO.timestamp() * 1000),
            )  # fmt: skip
    producer.flush()
    producer.close()
    fill(database, journeys(50, 5, 1))
    head = one(database, "SELECT position FROM log_head")
    with (
        on_kafka(database, tmp_path, kafka_environment(cluster)) as engine,
        shown(engine) as client,
    ):
        told, page = told_by(client), read(client.get("/").text)
    assert list(told["sections"]) == [*SECTIONS[:1], "kafka", *SECTIONS[1:-1], "published", "setup"]
    groups, partitions = tables(told, "kafka")
    group = cluster.group("ingest")
    assert groups[0] == {
        "group": group,
        "lag_records": 4,
        "ran_out_records": 0,
        "oldest_since": HOUR_AGO.astimezone(UTC).isoformat(),
        "waits_seconds": 3600,
    }
    topic = cluster.topic("deliveries")
    assert [
        (row["partition"], row["committed"], row["end"], row["lag_records"])
        for row in partitions
        if row["group"] == group
    ] == [(f"{topic}/{n}", None, end, end) for n, end in enumerate((3, 0, 1))]
    oldest = {row["where"]: row["waits_seconds"] for row in tables(told, "deliveries")[1]}
    assert oldest[f"Kafka, {group}"] == 3600
    (published,) = tables(told, "published")
    assert {row["topic"]: (row["position"], row["lag_positions"]) for row in published} == {
        cluster.topic("touchpoints"): (0, head),
        cluster.topic("alerts"): (0, 0),
    }
    assert told["sections"]["kafka"]["status"] == "wrong"
    assert "journey run ingest" in page.text


def test_an_age_that_kafka_did_not_tell_is_not_shown_as_none(
    database: Database, tmp_path: Path
) -> None:
    """None would say that nothing waits."""
    partition = PartitionLag("journey.deliveries", 0, 2, 9, 4, ran_out_records=3)
    with on_kafka(database, tmp_path, {"JOURNEY_KAFKA": "127.0.0.1:9"}) as engine:
        engine.lag_watch.now = lambda: KafkaLag(  # type: ignore[method-assign]
            (GroupLag("journey.ingest", (partition,), None),)
        )
        with shown(engine) as client:
            told, page = told_by(client), read(client.get("/").text)
    (group,) = tables(told, "kafka")[0]
    assert (group["lag_records"], group["ran_out_records"]) == (4, 3)
    assert group["waits_seconds"] == tables(told, "deliveries")[1][1]["waits_seconds"]
    assert group["waits_seconds"] == "not told in time"
    assert "3 records ran out of the topic" in page.text


def test_without_a_broker_the_page_comes_and_says_so(database: Database, tmp_path: Path) -> None:
    """Within a few seconds, with everything else; nothing that is not known is shown as none."""
    with (
        on_kafka(database, tmp_path, {"JOURNEY_KAFKA": "127.0.0.1:9"}) as engine,
        shown(engine) as client,
    ):
        began = time.monotonic()
        answer = client.get("/")
        assert time.monotonic() - began < LOOK_SECONDS + BUSY_SECONDS
        told = told_by(client)
    assert answer.status_code == 200
    (complaint,) = told["sections"]["kafka"]["complaints"]
    assert "cannot be reached" in complaint["found"]
    assert complaint["found"] in read(answer.text).text
    assert tables(told, "kafka") == []
    assert [row["where"] for row in tables(told, "deliveries")[1]] == ["inbox"]


# --- the database goes away -------------------------------------------------------------------


def test_a_database_that_is_away_is_503_until_it_is_back(
    lonely: tuple[Database, Any], tmp_path: Path
) -> None:
    """At once, page and JSON alike, with one sentence and when to come back."""
    database, switch = lonely
    with an_installation(settings_for(database, tmp_path)) as engine, shown(engine) as client:
        assert client.get("/").status_code == 200
        switch(False)
        for address in ("/", "/index.json", "/-/health", "/-/status", "/-/status.json"):
            began = time.monotonic()
            answer = client.get(address)
            assert time.monotonic() - began < BUSY_SECONDS
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert_safe(answer)
            if answer.headers["content-type"] == "application/json":
                assert answer.json()["error"] == "database_away"
                sentence = answer.json()["message"]
            else:
                sentence = read(answer.text).text
            assert "The database does not answer; start it or wait." in sentence
        assert "journey_database_up 0\n" in client.get("/-/metrics").text
        switch(True)
        assert client.get("/-/health").json() == {"status": "ok"}
        assert client.get("/").status_code == 200


def test_a_database_that_hangs_keeps_nobody_waiting_for_long() -> None:
    """Who asks meanwhile shares the look, so a hundred visitors cost one thread."""
    let_go, looks = Event(), list[int]()

    def look() -> int:
        looks.append(1)
        assert let_go.wait(PATIENCE_SECONDS)
        return len(looks)

    looking = Looking(look, patience_seconds=0.1)
    for _ in range(5):
        with pytest.raises(TakesLong):
            looking()
    until(lambda: looks, "the look has begun")
    assert len(looks) == 1
    let_go.set()
    patient = Looking(look, patience_seconds=PATIENCE_SECONDS)
    assert [patient(), patient()] == [2, 3]


# --- visitors who mean no good ----------------------------------------------------------------


def assert_safe(answer: httpx.Response) -> None:
    """Nothing is loaded, framed, guessed at or kept."""
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    assert "set-cookie" not in answer.headers


def test_the_style_is_the_one_that_is_allowed(engine: Installation) -> None:
    """By its digest, so that no other is."""
    with shown(engine) as client:
        answers = [client.get(address) for address in ("/", "/-/status")]
    for answer in answers:
        assert_safe(answer)
        digest = b64encode(hashlib.sha256(read(answer.text).style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("evil.example:8081", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 200),
        ("localhost:8081", 200),
        ("web:8081", 200),
        ("10.1.2.3", 200),
        ("[::1]:8081", 200),
        ("Journey.Example.com.", 200),
        ("journey.example.com:443", 200),
    ],
)
def test_a_name_of_a_stranger_does_not_lead_here(
    database: Database, tmp_path: Path, host: str, status: int
) -> None:
    """Nor through the browser of somebody who may see the page; numbers and plain names do."""
    named = replace(settings_for(database, tmp_path), web_names=("journey.example.com",))
    with an_installation(named) as engine, shown(engine) as client:
        for address in ("/", "/index.json", "/-/health"):
            answer = client.get(address, headers={"host": host})
            assert answer.status_code == status
            assert_safe(answer)
    if status == 421:
        assert answer.json()["error"] == "foreign_name"
        assert "JOURNEY_WEB_NAMES" in answer.json()["message"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"])
def test_it_is_only_read(engine: Installation, database: Database, method: str) -> None:
    """Deliveries least of all; whatever is sent is not even looked at."""
    with shown(engine) as client:
        for address in ("/", "/index.json", "/webhooks/ats", "/-/health"):
            answer = client.request(method, address, content=b"{}" * 100_000)
            assert answer.status_code == 405
            assert answer.headers["allow"] == "GET, HEAD"
            assert answer.json()["error"] == "wrong_method"
            assert_safe(answer)
        assert client.get("/-/health").status_code == 200
    assert one(database, "SELECT count(*) FROM deliveries") == 0


def test_head_tells_what_get_would(engine: Installation) -> None:
    """The same headers and no body."""
    with shown(engine) as client:
        for address in ("/", "/index.json", "/-/health", "/-/metrics", "/nothing"):
            head, got = client.head(address), client.get(address)
            assert (head.status_code, head.content) == (got.status_code, b"")
            assert head.headers["content-type"] == got.headers["content-type"]
            assert_safe(head)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing", "/index.json/", "/index.html", "//", "/-/", "/-/status/", "/webhooks/ats",
        "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/-/..%2f..%2fetc/passwd", "/%00",
        "/docs", "/openapi.json", "/.git/config", "/" + "a" * 8000, "/%C3%BC", "/%ff%fe",
    ],
)  # fmt: skip
def test_there_is_nothing_elsewhere(engine: Installation, path: str) -> None:
    """No folder stands behind it that one could walk out of."""
    with shown(engine) as client:
        # Not httpx, which puts such an address in order before it asks.
        asked = HTTPConnection("127.0.0.1", client.base_url.port, timeout=PATIENCE_SECONDS)
        asked.request("GET", path)
        answer = asked.getresponse()
        assert answer.status == 404
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert orjson.loads(answer.read())["error"] == "not_found"
        asked.close()


@pytest.mark.parametrize(
    "said",
    [b"\r\n" * 9, b"GET /\xc3\xbc HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"GET / HTTP/9\r\n\r\n"],
)
def test_what_is_no_http_harms_nothing(engine: Installation, said: bytes) -> None:
    """It is answered with an error or not at all, and the next visitor is served."""
    with shown(engine) as client:
        with socket.create_connection(
            ("127.0.0.1", client.base_url.port or 0), timeout=PATIENCE_SECONDS
        ) as one:
            one.sendall(said)
            one.shutdown(socket.SHUT_WR)
            assert one.recv(100)[:12] in (b"", b"HTTP/1.1 400")
        assert client.get("/-/health").status_code == 200


def test_a_question_is_ignored_and_an_endless_one_cut_off(engine: Installation) -> None:
    """Memory is bounded whatever stands in the address; others are answered meanwhile."""
    with shown(engine) as client:
        assert client.get("/index.json?" + "a" * 8000).status_code == 200
        assert client.get("/index.json?x=%00&x=<script>").status_code == 200
        port = client.base_url.port
        assert port is not None
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as visitor:
            visitor.sendall(b"GET /?")
            said = b""
            try:
                for _ in range(1000):
                    visitor.sendall(b"a" * 10_000)
                said = visitor.recv(100)
            except OSError:
                pass
            assert said == b"" or said.startswith(b"HTTP/1.1 400")
        assert client.get("/-/health").status_code == 200


def test_a_bug_is_said_without_its_text(engine: Installation, database: Database) -> None:
    """A table that is gone: one sentence for the visitor, the rest for the log."""
    with database.transaction() as connection:
        connection.execute("ALTER TABLE outbox RENAME TO gone")
    with TestClient(engine.web, raise_server_exceptions=False) as client:
        answer = client.get("/")
    assert (answer.status_code, answer.json()["error"]) == (500, "bug")
    assert "outbox" not in answer.text
    assert_safe(answer)


# --- the process ------------------------------------------------------------------------------


def test_a_taken_port_is_one_sentence(engine: Installation) -> None:
    """It names the settings of this server, not of the receiver."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigurationError, match="JOURNEY_WEB_HOST or JOURNEY_WEB_PORT"),
    ):
        WebServer(engine.web, port=taken.getsockname()[1]).run()


def test_it_listens_to_this_machine_unless_told_otherwise() -> None:
    """There is no log-in, so nobody else is let near by default."""
    settings = Settings.from_environment({})
    assert (settings.web_host, settings.web_port) == ("127.0.0.1", 8081)


def test_serve_opens_one_port() -> None:
    """All that works runs in it; web, a second port, is started by who wants it."""
    assert served(with_kafka=True) == [name for name in PROCESSES if name != "web"]
    assert set(served(with_kafka=False)) == set(PROCESSES) - {"web", "publish", "alerts"}


def test_times_are_told_in_one_zone(engine: Installation) -> None:
    """Aware, in UTC."""
    with shown(engine) as client:
        told_at = datetime.fromisoformat(told_by(client)["told_at"])
    assert told_at == NOW
    assert told_at.utcoffset() == timedelta(0)
