"""Connections from file and environment: checked, and clear about what is wrong."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from consumers.connections import Connections, load_connections
from journey.errors import ConfigurationError


def _load(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Connections:
    path = tmp_path / "connections.yaml"
    path.write_text(text, encoding="utf-8")
    return load_connections(path, environment or {}, known_sources={"greenhouse", "generic"})


def test_a_connection_is_read_from_the_file(tmp_path: Path) -> None:
    """Every field of the file arrives, and a relative mapping lies beside the file."""
    connections = _load(
        tmp_path,
        """
        connections:
          surveys:
            source: generic
            secrets: [one, two]
            success_code: 204
            mapping: surveys.yaml
            source_name: pulse
            stages: {Phone screen: interview_scheduled}
        """,
    )
    connection = connections["surveys"]
    assert connection.secrets == ("one", "two")
    assert connection.success_code == 204
    assert connection.mapping == tmp_path / "surveys.yaml"
    assert connection.source_name == "pulse"
    assert connection.stages == {"Phone screen": "interview_scheduled"}


def test_a_file_that_is_not_there_yet_means_no_connections(tmp_path: Path) -> None:
    """A new installation starts without a connections file."""
    assert len(load_connections(tmp_path / "none.yaml", {})) == 0


def test_a_connection_is_read_from_the_environment(tmp_path: Path) -> None:
    """A container needs no file at all."""
    connections = load_connections(
        tmp_path / "none.yaml",
        {
            "JOURNEY_CONNECTION_GREENHOUSE_EU_SOURCE": "greenhouse",
            "JOURNEY_CONNECTION_GREENHOUSE_EU_SECRETS": "new, old",
            "JOURNEY_CONNECTION_GREENHOUSE_EU_SOURCE_NAME": "greenhouse-eu",
        },
    )
    connection = connections["greenhouse_eu"]
    assert connection.secrets == ("new", "old")
    assert connection.source_name == "greenhouse-eu"


def test_the_environment_wins_field_by_field(tmp_path: Path) -> None:
    """The file says what a connection is; a deployment gives only the secret."""
    connections = _load(
        tmp_path,
        "connections: {green-house: {source: greenhouse, secrets: [dev]}}",
        {"JOURNEY_CONNECTION_GREEN_HOUSE_SECRETS": "real"},
    )
    assert connections["green-house"].secrets == ("real",)
    assert connections["green-house"].source == "greenhouse"


def test_a_secret_may_stand_in_the_environment(tmp_path: Path) -> None:
    """`env:NAME` keeps the secret out of the file."""
    text = "connections: {a: {source: greenhouse, secrets: ['env:GH', 'old']}}"
    assert _load(tmp_path, text, {"GH": "s3cret"})["a"].secrets == ("s3cret", "old")


def test_secrets_stay_out_of_repr(tmp_path: Path) -> None:
    """Whoever logs a connection logs no secret."""
    connections = _load(tmp_path, "connections: {a: {source: greenhouse, secrets: [hunter2]}}")
    assert "hunter2" not in repr(connections) + repr(connections["a"])


def test_a_connection_may_be_polled(tmp_path: Path) -> None:
    """The key from the environment, the rest from the file or likewise; shown nowhere."""
    text = (
        "connections: {a: {source: greenhouse, secrets: [x], poll_key: 'env:HARVEST', "
        "poll_since: 2026-01-01}}"
    )
    polled = _load(tmp_path, text, {"HARVEST": "hunter2"})["a"]
    assert (polled.poll_key, polled.poll_seconds) == ("hunter2", 300)
    assert polled.poll_since == date(2026, 1, 1)
    assert "hunter2" not in repr(polled)
    variables = {"JOURNEY_CONNECTION_A_POLL_KEY": "k", "JOURNEY_CONNECTION_A_POLL_SECONDS": "60"}
    polled = _load(tmp_path, "connections: {a: {source: greenhouse, secrets: [x]}}", variables)["a"]
    assert (polled.poll_key, polled.poll_seconds) == ("k", 60)


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("poll_key: 'env:NONE'", "connection a, poll_key: NONE is not set; set it or remove it"),
        ("poll_key: ''", "poll_key: String should have at least 1 character"),
        ("poll_url: 'http://harvest.example/v1'", "must begin with https://"),
        ("poll_url: 'https://key@harvest.example'", "is no plain address"),
        ("poll_url: 'https://[x'", "is no plain address"),
        ("poll_seconds: 1", "poll_seconds: Input should be greater than or equal to 10"),
        ("poll_since: soon", "poll_since: Input should be a valid date"),
    ],
)
def test_what_is_wrong_with_a_poll_is_said(tmp_path: Path, field: str, says: str) -> None:
    """One sentence, and never the key."""
    with pytest.raises(ConfigurationError) as raised:
        _load(tmp_path, f"connections: {{a: {{source: greenhouse, secrets: [x], {field}}}}}")
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("connections: [", "is not YAML"),
        ("- a", "has no `connections:`"),
        ("connections: {a: 1}", "connection a has no fields"),
        ("connections: {a: {secrets: [x]}}", "connection a, source: Field required"),
        ("connections: {a: {source: greenhouse}}", "connection a, secrets: Field required"),
        ("connections: {a: {source: greenhouse, secrets: []}}", "connection a, secrets:"),
        ("connections: {a: {source: greenhouse, secrets: ['']}}", "holds an empty secret"),
        ("connections: {a: {source: greenhouse, secrets: [12345]}}", "secrets.0: Input should be"),
        ("connections: {a: {source: greenhouse, secrets: ['env:NONE']}}", "NONE is not set"),
        ("connections: {A/b: {source: greenhouse, secrets: [x]}}", "is a part of the address"),
        ("connections: {a: {source: taleo, secrets: [x]}}", "use one of generic, greenhouse"),
        ("connections: {a: {source: greenhouse, secrets: [x], sekret: 1}}", "sekret: Extra"),
        (
            "connections: {a: {source: greenhouse, secrets: [x], success_code: 302}}",
            "success_code: Input should be less",
        ),
        (
            "connections: {a: {source: greenhouse, secrets: [x], stages: {A: interview_hold}}}",
            "did you mean interview_held",
        ),
        (
            "connections: {a: {source: lever, secrets: [x], archive_reasons: {r1: refused}}}",
            "archive_reasons.r1: Input should be 'rejected', 'withdrew' or 'hired'",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_and_field(tmp_path: Path, text: str, says: str) -> None:
    """One sentence with the file, the connection, the field and what to do."""
    with pytest.raises(ConfigurationError) as raised:
        _load(tmp_path, text)
    assert says in str(raised.value)
    assert "connections.yaml" in str(raised.value)
    assert "12345" not in str(raised.value)
    assert "\n" not in str(raised.value)
