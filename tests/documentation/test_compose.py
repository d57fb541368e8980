"""docker-compose.yml and the Dockerfile, as far as they can be held to without an engine."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumers.processes import PROCESSES
from consumers.settings import SETTINGS
from tests.documentation.blocks import ROOT, environment_of, own_folder

FILE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", command],
        env=environment_of(folder),
        cwd=folder,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def doctored() -> str:
    """What `journey doctor --json` says of a new installation."""
    with own_folder("compose") as folder:
        return shell("journey doctor --json", folder).stdout.decode()


def test_there_is_a_service_for_every_process() -> None:
    """A process that nobody starts would be missed on the first alert."""
    assert set(OURS) == set(PROCESSES)
    assert set(SERVICES) - set(OURS) == {"postgres"}


@pytest.mark.parametrize("name", OURS)
def test_the_command_of_a_service_is_one(name: str, tmp_path: Path) -> None:
    """`journey` knows it."""
    command = OURS[name]["command"]
    assert command == ["run", name]
    ended = shell(f"journey {shlex.join(command)} --help", tmp_path)
    assert ended.returncode == 0, ended.stderr.decode()


@pytest.mark.parametrize("name", OURS)
def test_the_environment_of_a_service_are_settings(name: str) -> None:
    """A misspelt variable would be ignored in silence."""
    known = {setting.name for setting in SETTINGS}
    environment = OURS[name]["environment"]
    assert set(environment) <= known
    for secret in ("JOURNEY_MASTER_KEY", "JOURNEY_DATABASE_URL"):
        assert ":?" in environment[secret], f"{secret} must be asked for"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check_and_waits_for_the_database(name: str) -> None:
    """Nothing starts before the database answers, and an engine can see who is well."""
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    if name in OURS:
        assert service["depends_on"]["postgres"]["condition"] == "service_healthy"


@pytest.mark.parametrize("name", sorted(set(OURS) - {"receiver"}))
def test_a_health_check_asks_for_a_check_that_exists(name: str, doctored: str) -> None:
    """It passes on a new installation; a renamed check of the doctor would fail it for ever."""
    kind, command = OURS[name]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    asked = command.replace("journey doctor --json", "cat")
    ended = subprocess.run(["sh", "-c", asked], input=doctored.encode(), check=False)
    assert ended.returncode == 0, f"{command}\n{doctored}"


def test_images_are_pinned() -> None:
    """Nothing is `latest`."""
    images = [SERVICES["postgres"]["image"], *re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)]
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
