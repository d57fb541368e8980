"""The log: JSON for programs, and never a personal field."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from consumers.logging import configure_logging
from journey.errors import UnknownCandidate


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """A log of JSON lines; the log is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure_logging("json", stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


def test_a_line_is_one_json_object(out: io.StringIO) -> None:
    """Programs read event, level, time and ids."""
    structlog.get_logger().info("a delivery was kept", delivery_id="d-1")
    line = json.loads(out.getvalue())
    assert (line["event"], line["level"], line["delivery_id"]) == (
        "a delivery was kept",
        "info",
        "d-1",
    )


def test_personal_and_secret_fields_are_left_out(out: io.StringIO) -> None:
    """They are taken out by name, and the line says that they were."""
    structlog.get_logger().info("kept", email="casey@example.org", secrets=["s"], delivery_id="d")
    assert "casey" not in out.getvalue()
    assert json.loads(out.getvalue())["left_out"] == ["email", "secrets"]


def test_the_text_of_a_foreign_error_is_left_out(out: io.StringIO) -> None:
    """Parsers quote their input; type and place are enough to find the bug."""
    try:
        int("casey@example.org")
    except ValueError:
        structlog.get_logger().exception("oops")
        logging.getLogger("uvicorn.error").exception("oops")
    assert "casey" not in out.getvalue()
    for line in out.getvalue().splitlines():
        assert json.loads(line)["error"] == "ValueError"
        assert "test_logging.py" in json.loads(line)["where"][-1]


def test_the_text_of_our_own_error_is_kept(out: io.StringIO) -> None:
    """We wrote it, so it says what to do and nothing personal."""
    try:
        raise UnknownCandidate("nobody has this id")
    except UnknownCandidate:
        structlog.get_logger().exception("oops")
    assert json.loads(out.getvalue())["error"] == "UnknownCandidate: nobody has this id"
