"""docs/reference/ says what the code says, and every command explains itself."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import Any

import pytest

from docs import generate

COMMANDS = [pytest.param(path, command, id=path) for path, command in generate.commands()]
MADE = generate.pages()


def test_the_reference_is_current() -> None:
    """`python -m docs.generate` would change nothing."""
    assert generate.stale(MADE) == [], f"run: {generate.COMMAND}"


def test_the_check_names_what_is_stale_and_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, and a sentence that says what to do."""
    monkeypatch.setitem(generate.PAGES, "settings.md", lambda: ["# Another page"])
    assert generate.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert said == "docs/reference/settings.md is stale; run: python -m docs.generate\n"


def test_it_is_the_same_in_another_process() -> None:
    """No hash seed, terminal or time zone goes into it."""
    ended = subprocess.run(
        [sys.executable, "-m", "docs.generate", "--check"],
        cwd=generate.FOLDER.parents[1],
        env={"PYTHONHASHSEED": "7", "COLUMNS": "40", "TZ": "Asia/Tokyo", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_a_command_has_a_worked_example(path: str, command: Any) -> None:
    """Its help ends with a line one can paste, and that line is one of this command."""
    _, example, _ = generate.help_parts(command)
    assert example, f"{path} --help shows no example"
    parsed = [shlex.split(line) for line in example.replace("||", ";").split(";")]
    words = path.split()
    assert any(
        words == [word for word in line if "=" not in word][: len(words)] for line in parsed
    ), example


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_a_command_is_in_the_reference(path: str, command: Any) -> None:
    """With every option it has."""
    page = MADE["cli.md"]
    _, found, section = page.partition(f"## {path}\n")
    assert found
    section = section.partition("\n## ")[0]
    for parameter in command.params:
        if parameter.opts[0].startswith("-"):
            for option in parameter.opts:
                assert f"`{option}`" in section


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_a_command_that_prints_json_says_which_fields(path: str, command: Any) -> None:
    """`--json` without a documented shape is a promise of nothing; `ack` tells an alert."""
    options = [option for parameter in command.params for option in parameter.opts]
    if "--json" in options and path not in ("journey alerts ack", "journey alerts resolve"):
        assert f"## {path}\n" in MADE["json.md"]


def test_every_kind_is_in_the_reference() -> None:
    """Each kind stands in one family."""
    from schemas.touchpoints import ALL_TOUCHPOINTS

    for cls in ALL_TOUCHPOINTS:
        assert MADE["events.md"].count(f"| `{cls.KIND}`") == 1, cls.KIND
