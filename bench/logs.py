"""The same seeded log as XES, CSV and a PM4Py frame: what analysts hand us."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

START = datetime(2025, 1, 6, 8, 0, tzinfo=UTC)
ACTIVITIES = (
    "Application Received",
    "Stage Changed",
    "Phone Screen",
    "Coding Interview",
    "Onsite Interview",
    "Message Sent",
    "Message Received",
    "Scorecard Submitted",
    "Reference Called",
    "Offer Made",
    "Rejection Sent",
)
PER_CASE = 20
MAP = {
    "source": "bench",
    "case": "case:concept:name",
    "activity": "concept:name",
    "time": "time:timestamp",
    "actor": "org:resource",
    "activities": {
        "Application Received": "application_submitted",
        "Stage Changed": "stage_changed",
        "Phone Screen": "call_made",
        "Coding Interview": "interview_held",
        "Onsite Interview": "interview_held",
        "Message Sent": "message_sent",
        "Message Received": "message_received",
        "Scorecard Submitted": "scorecard_submitted",
        "Reference Called": "reference_contacted",
        "Offer Made": "offer_sent",
        "Rejection Sent": "rejection_sent",
    },
}

Event = tuple[str, str, str, str]
"""Activity, time in ISO 8601, resource, transition."""


def cases(events: int, seed: int) -> Iterator[tuple[str, list[Event]]]:
    """`events` events in cases of twenty, each in the order of its times."""
    rng = random.Random(seed)
    for number in range(max(1, events // PER_CASE)):
        at = START + timedelta(seconds=rng.randrange(300 * 86_400))
        case = []
        for place in range(PER_CASE):
            activity = ACTIVITIES[0] if place == 0 else rng.choice(ACTIVITIES[1:])
            told = at.isoformat(timespec="milliseconds")
            case.append((activity, told, f"recruiter-{rng.randrange(40)}", "complete"))
            at += timedelta(milliseconds=rng.randrange(5 * 86_400_000))
        yield f"Application-{number}", case


def write_csv(path: Path, events: int, seed: int) -> None:
    """The columns that PM4Py expects, a row an event."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(
            "case:concept:name,concept:name,time:timestamp,org:resource,lifecycle:transition\n"
        )
        for case, told in cases(events, seed):
            file.writelines(f"{case},{a},{t},{r},{c}\n" for a, t, r, c in told)


def write_xes(path: Path, events: int, seed: int) -> None:
    """XES, gzipped."""
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=6) as file:
        file.write(
            '<?xml version="1.0" encoding="utf-8"?>\n'
            '<log xes.version="1.0" xes.features="nested-attributes" '
            'xmlns="http://www.xes-standard.org/">\n'
            '\t<extension name="Concept" prefix="concept" '
            'uri="http://www.xes-standard.org/concept.xesext"/>\n'
            '\t<extension name="Time" prefix="time" '
            'uri="http://www.xes-standard.org/time.xesext"/>\n'
        )
        for case, told in cases(events, seed):
            file.write(f'\t<trace>\n\t\t<string key="concept:name" value="{case}"/>\n')
            for activity, at, resource, transition in told:
                file.write(
                    "\t\t<event>\n"
                    f'\t\t\t<string key="concept:name" value="{activity}"/>\n'
                    f'\t\t\t<date key="time:timestamp" value="{at}"/>\n'
                    f'\t\t\t<string key="org:resource" value="{resource}"/>\n'
                    f'\t\t\t<string key="lifecycle:transition" value="{transition}"/>\n'
                    "\t\t</event>\n"
                )
            file.write("\t</trace>\n")
        file.write("</log>\n")
