"""docker-compose.yml and the Dockerfile, as far as they can be held to without an engine."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumers.processes import PROCESSES, SERVERS
from consumers.settings import SETTINGS
from tests.documentation.blocks import ROOT, environment_of, own_folder
from tests.support.kafka_broker import artifacts
from tests.support.processes import PATIENCE_SECONDS

FILE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
BUILT = {name: service for name, service in SERVICES.items() if "build" in service}
OURS = {name: service for name, service in BUILT.items() if name != "topics"}
"""The processes, without what makes the topics and ends."""
DOCTOR = "journey doctor --quick --json"
"""Without what takes longer the longer the log is: it is asked every five minutes, for ever."""
KAFKA = {name for name in OURS if "kafka-lag" in str(OURS[name]["healthcheck"])}
"""Those whose check needs a broker: the compose rehearsal runs it."""
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", command],
        env=environment_of(folder),
        cwd=folder,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def doctored() -> str:
    """What the doctor says of a new installation when a health check asks."""
    with own_folder("compose") as folder:
        return shell(DOCTOR, folder).stdout.decode()


def test_there_is_a_service_for_every_process() -> None:
    """A process that nobody starts would be missed on the first alert."""
    assert set(OURS) == set(PROCESSES)
    assert set(SERVICES) - set(OURS) == {"postgres", "kafka", "topics"}


def test_the_topics_are_made_before_anything_starts(tmp_path: Path) -> None:
    """By a command that is safe to repeat, once the broker is well."""
    service = SERVICES["topics"]
    assert service["command"] == ["kafka", "init"]
    assert service["depends_on"]["kafka"]["condition"] == "service_healthy"
    assert shell("journey kafka init --help", tmp_path).returncode == 0
    for each in OURS.values():
        assert each["depends_on"]["topics"]["condition"] == "service_completed_successfully"


def test_the_broker_is_the_one_of_the_tests() -> None:
    """In one version, and under the name that the processes are given."""
    kafka = SERVICES["kafka"]
    assert kafka["image"] == f"apache/kafka:{artifacts.version()}"
    address = BUILT["topics"]["environment"]["JOURNEY_KAFKA"]
    assert kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{address}"
    assert kafka["volumes"] == [f"kafka:{kafka['environment']['KAFKA_LOG_DIRS']}"]


@pytest.mark.parametrize("name", OURS)
def test_the_command_of_a_service_is_one(name: str, tmp_path: Path) -> None:
    """`journey` knows it."""
    command = OURS[name]["command"]
    assert command == ["run", name]
    ended = shell(f"journey {shlex.join(command)} --help", tmp_path)
    assert ended.returncode == 0, ended.stderr.decode()


@pytest.mark.parametrize("name", BUILT)
def test_the_environment_of_a_service_are_settings(name: str) -> None:
    """A misspelt variable would be ignored in silence."""
    known = {setting.name for setting in SETTINGS}
    environment = BUILT[name]["environment"]
    assert set(environment) <= known
    for secret in ("JOURNEY_MASTER_KEY", "JOURNEY_DATABASE_URL"):
        assert ":?" in environment[secret], f"{secret} must be asked for"


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "topics"])
def test_a_service_has_a_health_check_and_waits_for_the_database(name: str) -> None:
    """Nothing starts before the database answers, and an engine can see who is well."""
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    if name in OURS:
        assert service["depends_on"]["postgres"]["condition"] == "service_healthy"


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_published_to_this_machine_only_and_asked_on_its_own_port(name: str) -> None:
    """What has no log-in, and what a proxy with TLS stands before, is nobody else's to reach."""
    service = OURS[name]
    prefix = {"receiver": "JOURNEY", "web": "JOURNEY_WEB"}[name]
    port = service["environment"][f"{prefix}_PORT"]
    assert service["environment"][f"{prefix}_HOST"] == "0.0.0.0"
    (published,) = service["ports"]
    assert re.fullmatch(rf"127\.0\.0\.1:\$\{{[A-Z_]+:-{port}\}}:{port}", published)
    assert f"http://127.0.0.1:{port}/-/health" in str(service["healthcheck"]["test"])


def test_nothing_else_is_published() -> None:
    """Neither the database nor the broker, nor a process that listens to nothing."""
    assert {name for name, service in SERVICES.items() if "ports" in service} == set(SERVERS)


@pytest.mark.parametrize("name", sorted(set(OURS) - set(SERVERS) - KAFKA))
def test_a_health_check_asks_for_a_check_that_exists(name: str, doctored: str) -> None:
    """It passes on a new installation; a renamed check of the doctor would fail it for ever."""
    kind, command = OURS[name]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    asked = command.replace(DOCTOR, "cat")
    assert asked != command
    ended = subprocess.run(["sh", "-c", asked], input=doctored.encode(), check=False)
    assert ended.returncode == 0, f"{command}\n{doctored}"


def test_images_are_pinned() -> None:
    """Nothing is `latest`."""
    images = [SERVICES[name]["image"] for name in ("postgres", "kafka")]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    for image in images:
        assert re.search(r":\d+\.\d+", image), image


def test_the_image_runs_as_nobody_in_particular_from_the_lock() -> None:
    """Not root, and only what requirements.lock names by hash."""
    users = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert users
    assert users[-1] not in ("root", "0")
    assert "pip install --require-hashes -r requirements.lock" in DOCKERFILE
    for source in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE):
        for each in source.split():
            assert (ROOT / each).exists(), each
