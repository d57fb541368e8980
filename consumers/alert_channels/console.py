"""Alerts as lines on standard output, for people at a terminal and for `make demo`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TextIO

from consumers.alert_channels.channel import Message, Outcome, Retry, Sent

_HEADINGS = {
    "alert.raised": "ALERT",
    "alert.escalated": "ALERT, graver now",
    "alert.resolved": "resolved",
}


class ConsoleChannel:
    """One line an alert. Deaf to nothing but a closed terminal."""

    name = "console"
    at_once = 1
    timeout_seconds = 5.0

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out

    def send(self, message: Message) -> Outcome:
        """Write the line."""
        out = self._out or sys.stdout
        try:
            out.write(line_of(message.payload) + "\n")
            out.flush()
        except (OSError, ValueError):  # a closed pipe, a closed stream
            return Retry("standard output is closed")
        return Sent()


def line_of(payload: Mapping[str, Any]) -> str:
    """`ALERT [breach] candidate 0190… application 42: what is the matter`."""
    data = payload["data"]
    heading = _HEADINGS.get(payload["type"], payload["type"])
    if data["reason"]:
        heading += f" ({data['reason']})"
    where = f"candidate {data['candidate_id']}"
    if data["application_id"]:
        where += f" application {data['application_id']}"
    line = f"{heading} [{data['level']}] {where}: {data['explanation']}"
    # Ids of applications come from outside: nothing in them may steer a terminal.
    return "".join(c if c.isprintable() else " " for c in line)
