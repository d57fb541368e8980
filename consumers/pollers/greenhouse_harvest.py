"""Greenhouse Harvest v1: what no webhook tells.

E-mails stand in the feed of activities of each candidate and times of interviews in
`scheduled_interviews`; `offers` and the applications inside `candidates` also make up for webhooks
that were missed. Which feeds have something new is told by `candidates`: whatever happens to a
candidate moves its `updated_at`. A feed is one request a candidate, so feeds are read last.

An interview is asked about once more when its time is over: nothing says that its status alone,
which then becomes `awaiting_feedback`, moves its `updated_at`.

Source: github.com/grnhse/greenhouse-api-docs, source/includes/harvest/*.md; facts/ats.md §1.5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from consumers.ats_adapters import greenhouse_harvest
from consumers.errors import Unavailable
from consumers.pollers.poller import Found
from schemas.ats.greenhouse import ScheduledInterview, instant
from schemas.ats.lenient import LONGEST_AHEAD, Json, objects, opaque_id

PER_PAGE = 500
"""The most that Harvest gives at once."""

_AFTER_INTERVIEW = timedelta(minutes=10)
_FEED_PARTS = ("notes", "emails", "activities")
# Addresses of files are signed anew for each answer, so they say nothing about a change.
_EVER_OTHER = frozenset({"attachments"})


class GreenhouseHarvest:
    """The poller of Greenhouse Harvest."""

    source = "greenhouse"
    url = "https://harvest.greenhouse.io/v1"
    lists = ("candidates", "scheduled_interviews", "offers")
    details: Mapping[str, str] = {
        "scheduled_interviews": "scheduled_interview",
        "candidates": "activity_feed",
    }

    def list_path(self, endpoint: str, changed_since: datetime | None) -> str:
        """`skip_count` spares Greenhouse the counting of all for a link that nobody follows."""
        query = {"per_page": str(PER_PAGE), "skip_count": "true"}
        if changed_since is not None:
            since = changed_since.astimezone(UTC).isoformat(timespec="milliseconds")
            query["updated_after"] = since.replace("+00:00", "Z")
        return f"/{endpoint}?{urlencode(query)}"

    def list_found(self, endpoint: str, body: bytes) -> list[Found]:
        """Each object of the page."""
        return [_found(each, _id(each)) for each in _objects(_loaded(body))]

    def look_at(self, endpoint: str, body: bytes, now: datetime) -> datetime | None:
        """A candidate that changed at once, an interview that is to come after its end."""
        if endpoint == "candidates":
            return now
        said = ScheduledInterview.read(_loaded(body)) if endpoint in self.details else None
        if said is None or said.ends_at is None or said.status != "scheduled":
            return None
        # One of the end of time is not waited for.
        is_to_be = said.ends_at - now < LONGEST_AHEAD
        return max(said.ends_at, now) + _AFTER_INTERVIEW if is_to_be else None

    def detail_path(self, endpoint: str, object_id: str) -> str:
        """The feed of a candidate, or the interview itself."""
        own_id = quote(object_id, safe="")
        if endpoint == "scheduled_interview":
            return f"/scheduled_interviews/{own_id}"
        return f"/candidates/{own_id}/{endpoint}"

    def detail_found(self, endpoint: str, about: bytes, body: bytes) -> list[Found]:
        """Each note, e-mail and activity, named by what it is and whose; or the interview."""
        answer = _loaded(body)
        if not isinstance(answer, dict):
            raise Unavailable("answered something that is no object")
        if endpoint == "scheduled_interview":
            return [_found(answer, _id(answer))]
        candidate = _id(_loaded(about))
        return [
            _found(item, f"{name}/{candidate}/{_id(item)}")
            for name in _FEED_PARTS
            for item in _objects(answer.get(name) or [])
        ]

    def detail_joined(self, endpoint: str, about: bytes, new: list[Found]) -> bytes | None:
        """A feed of what is new in it, with the candidate's ids and addresses beside.

        Without the addresses nobody can tell an e-mail from the candidate from one to them.
        """
        if endpoint == "scheduled_interview":
            return None
        candidate = _loaded(about)
        parts: dict[str, list[Any]] = {name: [] for name in _FEED_PARTS}
        for each in new:
            parts[each.object_id.partition("/")[0]].append(orjson.Fragment(each.body))
        return orjson.dumps({"candidate": _who(candidate), **parts})

    def before(self, endpoint: str, body: bytes) -> bytes | None:
        """The times of an interview, by which its translation sees that it was moved."""
        return greenhouse_harvest.before(body) if endpoint == "scheduled_interviews" else None


def _who(candidate: Any) -> Json:
    return {
        "id": candidate.get("id"),
        "email_addresses": candidate.get("email_addresses"),
        "applications": [
            {"id": each.get("id"), "prospect": each.get("prospect")}
            for each in objects(candidate.get("applications"))
        ],
    }


def _found(each: Json, object_id: str) -> Found:
    changed = instant(each.get("updated_at"))
    return Found(
        object_id,
        None if changed is None else changed[0].astimezone(UTC),
        _digest(each),
        orjson.dumps(each),
    )


def _id(each: Any) -> str:
    """Its id; what has none is told apart by what it says."""
    found = opaque_id(each.get("id")) if isinstance(each, dict) else None
    return found if found is not None and found.isprintable() else f"?{_digest(each).hex()}"


def _digest(each: Any) -> bytes:
    try:
        said = orjson.dumps(_lasting(each), option=orjson.OPT_SORT_KEYS)
    except (RecursionError, orjson.JSONEncodeError):
        raise Unavailable("answered something nested too deeply") from None
    return hashlib.blake2b(said, digest_size=16).digest()


def _lasting(said: Any) -> Any:
    """All of it but what is another at each look."""
    if isinstance(said, dict):
        return {key: _lasting(value) for key, value in said.items() if key not in _EVER_OTHER}
    if isinstance(said, list):
        return [_lasting(each) for each in said]
    return said


def _loaded(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Unavailable("answered something that is not JSON") from None


def _objects(entries: Any) -> list[Json]:
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise Unavailable("answered something that is no list of objects")
    return entries
