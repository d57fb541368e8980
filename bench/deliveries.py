"""Greenhouse deliveries by seed: many candidates, whole stories, bodies of about 3 kB.

Each candidate applies, is moved through stages and then is rejected, withdraws, is hired or is
left waiting; offers come in versions, updates and job events lie between. Order is that of a
stream: stories overlap. The same seed and size give the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import orjson

from consumers.ats_adapters.adapter import Delivery
from consumers.webhooks.signatures import GREENHOUSE
from schemas.identifiers import DeliveryId

SECRET = "bench-secret"
CONNECTION_NAME = "bench"
START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)

_FIRST = ("Anneke", "Zoë", "Jamal", "Mei", "Siobhán", "Oluwaseun", "Priya", "Łukasz", "Ines", "Tom")
_LAST = (
    "Vermeer",
    "Nair",
    "Okafor",
    "Wójcik",
    "O’Brien",
    "García",
    "Nguyen",
    "Blom",
    "Ito",
    "Hart",
)
_STAGES = ("Application Review", "Phone Screen", "Take Home Test", "Onsite", "Reference Check")
_REASONS = (("Lacking experience", "We rejected them"), ("Took another offer", "They rejected us"))
_QUESTION = "Could you tell me about your previous experience, and why you would like to work here?"


def deliveries(size: int, seed: int) -> list[Delivery]:
    """`size` signed deliveries, in order of arrival."""
    return list(islice(endless_deliveries(seed), size))


def endless_deliveries(seed: int) -> Iterator[Delivery]:
    """Signed deliveries, in order of arrival, for as long as they are wanted."""
    chance = random.Random(seed)
    sent = 0
    stories = 0
    open_stories: list[Iterator[dict[str, Any]]] = []
    while True:
        while len(open_stories) < 50:
            stories += 1
            open_stories.append(_story(chance, stories))
        story = chance.choice(open_stories)
        body = next(story, None)
        if body is None:
            open_stories.remove(story)
            continue
        yield _delivery(body, sent, seed)
        sent += 1


def _delivery(body: dict[str, Any], number: int, seed: int) -> Delivery:
    raw = orjson.dumps(body)
    headers = {
        "content-type": "application/json",
        "greenhouse-event-id": f"{seed}-{number}",
        **GREENHOUSE.sign(raw, SECRET),
    }
    return Delivery(
        DeliveryId(f"{seed:08x}-0000-7000-8000-{number:012x}"),
        CONNECTION_NAME,
        "greenhouse",
        START + timedelta(minutes=number),
        headers,
        raw,
    )


def _story(chance: random.Random, number: int) -> Iterator[dict[str, Any]]:
    at = START + timedelta(minutes=7 * number)
    candidate = _candidate(chance, number)
    job = _job(chance.randrange(1, 200))

    def application(stage: int, **fields: Any) -> dict[str, Any]:
        return {
            "application": {
                "id": 90_000_000 + number,
                "rejected_at": None,
                "prospect": False,
                "status": "active",
                "applied_at": _text(START + timedelta(minutes=7 * number)),
                "last_activity_at": _text(at),
                "url": f"https://app.greenhouse.io/people/{number}?application_id={number}",
                "source": {"id": 16, "name": "Jobs page"},
                "credited_to": _user(chance.randrange(1, 30)),
                "rejection_reason": None,
                "rejection_details": None,
                "current_stage": _stage(stage, job["id"]),
                "custom_fields": {"start": {"name": "Start", "type": "date", "value": None}},
                "candidate": candidate,
                "jobs": [job],
                **fields,
            }
        }

    yield _body("new_candidate_application", application(0))
    for stage in range(1, chance.randrange(1, len(_STAGES) + 1)):
        at += timedelta(hours=chance.randrange(20, 200))
        yield _body("candidate_stage_change", application(stage))
        if chance.random() < 0.15:
            yield _body("update_candidate", {"candidate": candidate})
        if chance.random() < 0.05:
            yield _body("job_updated", {"job": job})
    at += timedelta(hours=chance.randrange(20, 200))
    end = chance.random()
    if end < 0.5:
        reason, kind = _REASONS[chance.random() < 0.3]
        rejection = {"id": 14, "name": reason, "type": {"id": 1, "name": kind}}
        yield _body(
            "reject_candidate",
            application(1, status="rejected", rejected_at=_text(at), rejection_reason=rejection),
        )
    elif end < 0.7:
        yield from _offer(chance, number, job["id"], at)


def _offer(
    chance: random.Random, number: int, job_id: int, at: datetime
) -> Iterator[dict[str, Any]]:
    offer: dict[str, Any] = {
        "id": 330_000 + number,
        "application_id": 90_000_000 + number,
        "job_id": job_id,
        "user_id": chance.randrange(1, 30),
        "version": 1,
        "sent_on": None,
        "resolved_at": None,
        "start_date": "04/01/2026",
        "notes": "Wants Fridays off",
        "offer_status": "Created",
        "custom_fields": {},
    }
    sent = {**offer, "sent_on": at.date().isoformat()}
    yield _body("offer_created", offer)
    yield _body("offer_updated", sent)
    if chance.random() < 0.5:
        yield _body("offer_updated", {**sent, "offer_status": "Deprecated"})
        yield _body("offer_created", {**sent, "version": 2})
    answered = {**sent, "resolved_at": _text(at + timedelta(days=3))}
    yield _body(
        "offer_updated",
        {**answered, "offer_status": "Accepted" if chance.random() < 0.8 else "Rejected"},
    )


def _candidate(chance: random.Random, number: int) -> dict[str, Any]:
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    return {
        "id": 70_000_000 + number,
        "first_name": first,
        "last_name": last,
        "title": "Engineer",
        "company": "Current Company Co.",
        "created_at": _text(START),
        "external_id": None,
        "url": f"https://app.greenhouse.io/people/{number}",
        "is_private": False,
        "can_email": True,
        "phone_numbers": [{"value": f"+49 30 {1_000_000 + number}", "type": "mobile"}],
        "email_addresses": [{"value": f"person.{number}@mail.example", "type": "personal"}],
        "addresses": [{"value": f"{number} Test Street\nBerlin", "type": "home"}],
        "website_addresses": [],
        "social_media_addresses": [],
        "educations": [{"school_name": "Rietveld", "start_date": "09/15/2007"}],
        "employments": [],
        "recruiter": _user(chance.randrange(1, 30)),
        "coordinator": _user(chance.randrange(1, 30)),
        "attachments": [
            {"filename": "cv.pdf", "url": "https://files.example/cv", "type": "resume"}
        ],
        "tags": ["Import"],
        "custom_fields": {"salary": {"name": "Salary", "type": "short_text", "value": None}},
    }


def _user(number: int) -> dict[str, Any]:
    name = f"user{number}"
    return {"id": number, "email": f"{name}@employer.example", "name": name, "employee_id": None}


def _stage(number: int, job_id: int) -> dict[str, Any]:
    kit = {
        "url": f"https://app.greenhouse.io/guides/{job_id}",
        "content": "<p>Directions on how to conduct this interview.</p>",
        "questions": [{"id": n, "question": _QUESTION} for n in range(2)],
    }
    interview = {
        "id": 100 * job_id + number,
        "name": _STAGES[number],
        "status": "to_be_scheduled",
        "interview_kit": kit,
        "interviewers": [],
    }
    return {"id": 10 * job_id + number, "name": _STAGES[number], "interviews": [interview]}


def _job(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"Job {number}",
        "requisition_id": None,
        "notes": None,
        "confidential": False,
        "job_post_id": number,
        "status": "open",
        "created_at": _text(START),
        "opened_at": _text(START),
        "closed_at": None,
        "departments": [{"id": 8717, "name": "Data", "external_id": None}],
        "offices": [{"id": 16478, "name": "London", "location": "London", "external_id": None}],
        "custom_fields": {"type": {"name": "Type", "type": "single_select", "value": "Full-time"}},
    }


def _body(action: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"action": action, "payload": payload}


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
