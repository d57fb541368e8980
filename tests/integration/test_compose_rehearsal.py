"""docker-compose.yml rehearsed: every service's own command, natively, with what is written there.

Some machines have no container engine. What only an engine can tell (images, volumes, names of
hosts) is held to in tests/documentation/test_compose.py; all else runs here, from the topics that
are made first to the health checks at the end.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from bench.deliveries import CONNECTION_NAME, SECRET, deliveries
from consumers.kafka_stream import topics
from consumers.kafka_stream.cluster import Cluster
from journey.database import Database, open_database
from tests.support.installations import MASTER_KEY
from tests.support.kafka_broker import Broker
from tests.support.kafka_broker.brokers import free_ports
from tests.support.processes import PATIENCE_SECONDS, ROOT, Process, Processes, Sender, until
from tests.support.published import assert_published_topic_equals_log
from tests.support.truth import (
    a_chance,
    alerted,
    assert_each_once,
    assert_no_gaps,
    assert_views_are_what_a_rebuild_makes,
    caught_up,
    expected,
    in_the_log,
    one,
)

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(
    (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
)["services"]
BUILT = [name for name, service in SERVICES.items() if "build" in service]
DELIVERIES = 200
TENANT = f"rehearsal_{os.getpid()}"
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[?-])(?P<text>[^}]*))?\}")

pytestmark = pytest.mark.fault


def test_the_compose_file_rehearsed(postgres_url: str, kafka: Broker, tmp_path: Path) -> None:
    """From the first start to alerts: deliveries through the receiver are in the log, in the topic
    and in the views, and every health check passes."""
    _, seed = a_chance()
    told = deliveries(DELIVERIES, seed)
    port, web_port = free_ports(2)
    prefix = f"rehearsal-{os.getpid()}"
    cluster = Cluster(tuple(kafka.bootstrap.split(",")), prefix=prefix)
    database = Database(postgres_url, TENANT)
    given = dotenv(prefix)
    connections = tmp_path / "connections.yaml"
    connections.write_text(
        f"connections:\n  {CONNECTION_NAME}:\n    source: greenhouse\n"
        "    secrets: [env:GREENHOUSE_SECRET]\n"
    )
    elsewhere = {
        "JOURNEY_DATABASE_URL": postgres_url,
        "JOURNEY_KAFKA": kafka.bootstrap,
        "JOURNEY_CONNECTIONS": str(connections),
        "JOURNEY_HOST": "127.0.0.1",
        "JOURNEY_PORT": str(port),
        "JOURNEY_WEB_HOST": "127.0.0.1",
        "JOURNEY_WEB_PORT": str(web_port),
    }
    started = Processes(database, tmp_path)
    running: dict[str, Process] = {}
    try:
        for name in in_order(BUILT):
            started.environment = environment_of(name, given, elsewhere, tmp_path)
            process = started.start(*SERVICES[name]["command"])
            if name == "topics":
                assert process.wait() == 0, process.tail
                assert all(each.partitions for each in topics.standings(cluster))
            else:
                running[name] = process
        for process in running.values():
            process.says("started")
        database = open_database(tmp_path, postgres_url, TENANT)
        with Sender(told, rate=100) as sender:
            sender.to(running["receiver"])
            until(sender.done, "all deliveries are accepted")
        assert sender.answers == {200: DELIVERIES}
        until(lambda: expected(told) <= in_the_log(database).keys(), "all is in the log")
        caught_up(database, started)
        alerted(database, started)
        assert_published_topic_equals_log(database, cluster)
        for name in running:
            environment = environment_of(name, given, elsewhere, tmp_path)
            check(name, environment, {"8080": port, "8081": web_port})
        assert_web_shows_it(web_port, database)
        for process in running.values():
            assert process.end() == 0, process.tail
        assert_each_once(database, sender.accepted, told)
        assert_no_gaps(database)
        assert_views_are_what_a_rebuild_makes(database)
    finally:
        started.end_all()
        with cluster.admin() as admin:
            admin.delete_topics([each for each in admin.list_topics() if each.startswith(prefix)])
        database.close()
        with database.connect(autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {TENANT} CASCADE")  # type: ignore[arg-type]


def dotenv(prefix: str) -> dict[str, str]:
    """The .env that the head of the compose file asks for, and names that keep tests apart."""
    return {
        "POSTGRES_PASSWORD": "secret",
        "JOURNEY_MASTER_KEY": MASTER_KEY,
        "GREENHOUSE_SECRET": SECRET,
        "JOURNEY_TENANT": TENANT,
        "JOURNEY_KAFKA_PREFIX": prefix,
    }


def environment_of(
    name: str, given: Mapping[str, str], elsewhere: Mapping[str, str], home: Path
) -> dict[str, str]:
    """What the container would have: .env, then what is written at the service; our addresses."""
    service = SERVICES[name]
    assert service["env_file"] == ".env"
    written = {key: filled(text, given) for key, text in service["environment"].items()}
    missing = elsewhere.keys() - written.keys()
    assert not missing, f"{name} is not told {missing}"
    machine = {key: os.environ[key] for key in ("HOME", "LANG", "TMPDIR") if key in os.environ}
    # The image's own: where data is kept, and the command on the path.
    image = {"JOURNEY_HOME": str(home), "PATH": f"{home}/bin:{os.environ['PATH']}"}
    return machine | image | dict(given) | written | dict(elsewhere)


def filled(text: str, given: Mapping[str, str]) -> str:
    """`${NAME}`, `${NAME:-default}` and `${NAME:?why}` as an engine fills them in."""

    def value(match: re.Match[str]) -> str:
        found = given.get(match["name"])
        assert found or match["kind"] == "-", f"{match['name']} is to be set: {match['text']}"
        return found or match["text"]

    return _VARIABLE.sub(value, text)


def in_order(names: list[str]) -> list[str]:
    """What others wait for comes first."""
    return sorted(names, key=lambda name: len(set(SERVICES[name]["depends_on"]) & set(names)))


def assert_web_shows_it(port: int, database: Database) -> None:
    """What the service `web` says at the end is what stands in the database: nothing waits."""
    head = one(database, "SELECT position FROM log_head")
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS, trust_env=False
    ) as client:

        def rows_of(section: str) -> list[dict[str, Any]]:
            """Of its first table; none while there is a complaint, as of a busy broker."""
            told = client.get("/index.json").json()["sections"][section]
            return [] if told["complaints"] else told["tables"][0]["rows"]

        assert client.get("/").status_code == 200
        assert {row["position"] for row in rows_of("projections")} == {head}
        # What Kafka says may be some seconds old.
        until(lambda: {row["lag_records"] for row in rows_of("kafka")} == {0}, "all is handled")
        until(lambda: {row["lag_positions"] for row in rows_of("published")} == {0}, "published")


def check(name: str, environment: dict[str, str], ports: Mapping[str, int]) -> None:
    """The service's own health-check command, as its container would run it, and as often."""
    kind, *command = SERVICES[name]["healthcheck"]["test"]
    for written, port in ports.items():
        command = [part.replace(f":{written}/", f":{port}/") for part in command]
    folder = Path(environment["JOURNEY_HOME"]) / "bin"
    if not folder.exists():
        folder.mkdir()
        (folder / "python").symlink_to(sys.executable)
        journey = folder / "journey"
        journey.write_text(
            f"#!/bin/sh\ncd {ROOT} && exec {sys.executable} -c "
            "'from consumers.cli import main; main()' \"$@\"\n"
        )
        journey.chmod(0o755)
    for _ in range(SERVICES[name]["healthcheck"].get("retries", 3)):
        ended = subprocess.run(
            command if kind == "CMD" else ["sh", "-c", *command],
            env=environment,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if ended.returncode == 0:
            return
    pytest.fail(f"{name}: {command}: {ended.stdout!r} {ended.stderr[-2000:]!r}")
