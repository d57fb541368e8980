"""Settings: one table, checked values, sentences a person can act on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from consumers.settings import SETTINGS, Settings
from journey.errors import ConfigurationError


def test_nothing_set_is_a_working_installation() -> None:
    """An empty environment gives the defaults that the table shows."""
    settings = Settings.from_environment({})
    assert settings == Settings()
    assert settings.home == Path(".journey")
    assert settings.connections == Path(".journey/connections.yaml")


def test_the_table_has_a_line_for_every_field() -> None:
    """A setting without a line in the table cannot exist, nor a line without its field."""
    fields = {f"JOURNEY_{field.name.upper()}" for field in dataclasses.fields(Settings)}
    assert {setting.name for setting in SETTINGS} == fields


def test_the_defaults_of_the_table_are_the_defaults() -> None:
    """What the docs show as default is what an unset variable gives."""
    shown = {
        setting.name: setting.default.replace("$JOURNEY_HOME", ".journey")
        for setting in SETTINGS
        if setting.default
    }
    assert Settings.from_environment(shown) == Settings.from_environment({})


def test_connections_lie_in_the_data_folder() -> None:
    """Moving the data folder moves the connections file with it."""
    settings = Settings.from_environment({"JOURNEY_HOME": "/srv/journey"})
    assert settings.connections == Path("/srv/journey/connections.yaml")


def test_an_empty_variable_counts_as_unset() -> None:
    """`JOURNEY_PORT=` in an env file means the default."""
    assert Settings.from_environment({"JOURNEY_PORT": " "}).port == 8080


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JOURNEY_PORT", "eighty"),
        ("JOURNEY_PORT", "65536"),
        ("JOURNEY_PORT", "-1"),
        ("JOURNEY_PORT", "٨٠"),
        ("JOURNEY_TENANT", "Acme GmbH"),
        ("JOURNEY_LOG", "xml"),
        ("JOURNEY_MAX_BODY_BYTES", "1"),
        ("JOURNEY_REFUSED_KEEP", "all"),
        ("JOURNEY_ALERT_WEBHOOK_URL", "hooks.example.org"),
        ("JOURNEY_ALERT_WEBHOOK_URL", "http://["),
        ("JOURNEY_WEB_NAMES", "https://journey.example.com"),
        ("JOURNEY_WEB_NAMES", "journey.example.com:8081"),
        ("JOURNEY_WEB_NAMES", "*"),
        ("JOURNEY_POLICIES", "/no/such/folder"),
        ("JOURNEY_RULES", "/no/such/folder"),
    ],
)
def test_a_bad_value_is_one_sentence(name: str, value: str) -> None:
    """The sentence names the variable, its value, and what to do."""
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_environment({name: value})
    text = str(raised.value)
    assert text.startswith(f"{name} is {value!r}, which is no ")
    assert ";" in text
    assert "\n" not in text


def test_names_of_the_page_are_listed_with_commas() -> None:
    """Blanks beside them do not count."""
    settings = Settings.from_environment({"JOURNEY_WEB_NAMES": "a.example.com , b.example.com,"})
    assert settings.web_names == ("a.example.com", "b.example.com")


def test_a_bad_secret_is_not_repeated() -> None:
    """A database URL holds a password, so the sentence does not hold the URL."""
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_environment({"JOURNEY_DATABASE_URL": "mysql://u:hunter2@host/x"})
    assert "hunter2" not in str(raised.value)
    assert "JOURNEY_DATABASE_URL" in str(raised.value)


def test_secrets_stay_out_of_repr() -> None:
    """Whoever logs the settings logs no secret."""
    environment = {
        "JOURNEY_DATABASE_URL": "postgresql://u:hunter2@host/x",
        "JOURNEY_MASTER_KEY": "hunter2",
        "JOURNEY_ALERT_WEBHOOK_URL": "https://example.org",
        "JOURNEY_ALERT_WEBHOOK_SECRET": "hunter2",
    }
    assert "hunter2" not in repr(Settings.from_environment(environment))


def test_alerts_by_http_need_a_secret() -> None:
    """An unsigned alert could be anyone's, so a URL alone is refused."""
    with pytest.raises(ConfigurationError, match="JOURNEY_ALERT_WEBHOOK_SECRET"):
        Settings.from_environment({"JOURNEY_ALERT_WEBHOOK_URL": "https://example.org"})
