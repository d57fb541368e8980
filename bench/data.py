"""Seeded journeys in the shape the product stores them, fast enough to make a million.

States are written as text, and a test holds one of each kind against what pydantic writes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from journey.storage import NewEvent

START = datetime(2025, 1, 6, 8, 0, tzinfo=UTC)
STAGES = (
    "Application Review",
    "Phone Screen",
    "Take Home Test",
    "Onsite",
    "Reference Check",
    "Offer",
)
SEALED = "q83vEjRWeJq83vEjRWeJq83vEjRWeJq83vEjRWeJq83vEjRWeJq83vEjRWeJq83vEjRWeJq83vEjRWeJ"

# (kind, weight): what fills a journey between its application and its end.
MIDDLE = (
    ("stage_changed", 22), ("message_sent", 14), ("message_received", 12),
    ("availability_requested", 6), ("availability_provided", 6), ("interview_scheduled", 9),
    ("interview_held", 9), ("scorecard_submitted", 8), ("assessment_sent", 3),
    ("assessment_completed", 3), ("chaser_received", 2), ("reference_contacted", 1),
    ("survey_sent", 2), ("unrecognised_touchpoint", 3),
)  # fmt: skip
ENDS = (
    ("rejection_decided", "rejection_sent"), ("rejection_decided",), ("offer_sent", "hired"),
    ("withdrew",), (), (),
)  # fmt: skip
VERSIONS = {"interview_scheduled": 2}


def journeys(events: int, candidates: int, seed: int) -> Iterator[NewEvent]:
    """`events` touchpoints over `candidates` people, interleaved as they would arrive."""
    rng = random.Random(seed)
    per_candidate = events / candidates
    kinds = [kind for kind, _ in MIDDLE]
    weights = [weight for _, weight in MIDDLE]
    planned: list[tuple[int, int, str]] = []
    for number in range(candidates):
        at = rng.randrange(0, 300 * 86_400)
        length = max(3, round(rng.gauss(per_candidate, per_candidate / 4)))
        end = rng.choice(ENDS)
        story = [
            "application_submitted",
            *rng.choices(kinds, weights, k=length - 1 - len(end)),
            *end,
        ]
        for kind in story:
            planned.append((at, number, kind))
            at += rng.randrange(600, 5 * 86_400)
    planned.sort()
    del planned[events:]
    ids = [UUID(int=rng.getrandbits(128), version=5) for _ in range(candidates)]
    for place, (at, number, kind) in enumerate(planned):
        yield event(place, ids[number], number, kind, START + timedelta(seconds=at), rng)


def event(
    place: int, candidate_id: UUID, number: int, kind: str, at: datetime, rng: random.Random
) -> NewEvent:
    """One stored touchpoint of the kind."""
    touchpoint_id = UUID(int=rng.getrandbits(128), version=5)
    when = at.replace(tzinfo=None).isoformat() + "Z"
    extra = ""
    if kind == "interview_scheduled":
        ends = (at + timedelta(days=3)).replace(tzinfo=None).isoformat() + "Z"
        extra = f',"starts_at":"{ends}","ends_at":"{ends}","interview_id":"i{place}"'
    elif kind == "availability_requested":
        extra = ',"time_zone":"Europe/Berlin"'
    elif kind == "unrecognised_touchpoint":
        extra = ',"label":"update_candidate"'
    elif kind == "message_sent":
        extra = ',"asks":true' if place % 4 == 0 else ""
    sealed = f',"personal":"{SEALED}"' if kind in ("message_sent", "message_received") else ""
    state = (
        f'{{"touchpoint_id":"{touchpoint_id}","application_id":"greenhouse:{number}",'
        f'"job_id":"greenhouse:{number % 400}","occurred_at":"{when}",'
        f'"source":"greenhouse","source_event_id":"{kind}/{place}",'
        f'"stage":"{STAGES[place % len(STAGES)]}"{extra}'
        f',"recorded_at":"{when}"{sealed}}}'
    )
    topic = f"touchpoint.{kind}.v{VERSIONS.get(kind, 1)}"
    return NewEvent(candidate_id, touchpoint_id, topic, state.encode())
