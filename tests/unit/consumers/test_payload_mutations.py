"""Documented payloads, bent: what is said of them is sound, or there is a reason why nothing is.

Two promises. However a payload is bent (parts left out, null, of another shape, doubled, in
another order), nothing but Untranslatable is raised, and what is told can be true. And the same
thing written otherwise is the same facts: nothing counts twice because a system changed its hand.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.ats_adapters.adapter import BEFORE, POLLED, Delivery, Translation
from consumers.ats_adapters.greenhouse_harvest import before
from consumers.errors import Untranslatable
from consumers.inbox import new_delivery_id
from schemas.event import Touchpoint
from tests.support.payloads import RECEIVED_AT, Payloads
from tests.support.truth import FULL

OPTIONS: dict[str, Any] = {
    "stages": {"offer": "offer_decided", "Phone Screen": "call_made", "Onsite": "offer_decided"},
    "archive_reasons": {"5f4e3d2c-1b0a-4987-8654-3210fedcba08": "rejected", "reason-3": "hired"},
}
SYSTEMS = {name: Payloads(name) for name in ("ashby", "greenhouse", "lever")}
LISTS = {
    "candidate": "candidates",
    "offer": "offers",
    "interview": "scheduled_interviews",
    "feed": "activity_feed",
}
HARVEST = SYSTEMS["greenhouse"].folder / "harvest"
ANSWER = "feed_as_answered"
"""What Harvest answers of a feed; the poller makes deliveries of what is new in it."""
MESSAGES = [
    *((name, file) for name, system in SYSTEMS.items() for file in system.names()),
    *(("harvest", file.stem) for file in sorted(HARVEST.glob("*.json")) if file.stem != ANSWER),
]
PERSONAL = (
    "Anneke", "Vermeer", "vermeer", "Blom", "@mail.example", "@atelier.example", "555 0142",
    "Prinsengracht", "vellum", "Fridays", "waited",
)  # fmt: skip
FIRST = datetime(1990, 1, 1, tzinfo=UTC)
ODD_TIMES = [
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:59Z", "9999-12-31", "12/31/9999", "2026-01-12T08:02:12", "2026-01-12",
    "2026-01-12T08:02:12+05:53:28", "2026-01-12T24:00:00Z", "2026-02-30T00:00:00Z",
    "2026-01-12T08:02:60Z", "1767225600", 1767225600, 1767225600000, 1767225600000000, 0, -1,
    "2030-01-01T00:00:00Z", "",
]  # fmt: skip
Path = tuple[Any, ...]


def payload(message: tuple[str, str]) -> Any:
    """A payload of ours, free to be changed."""
    name, file = message
    if name == "harvest":
        return orjson.loads((HARVEST / f"{file}.json").read_bytes())
    return SYSTEMS[name].payload(file)


def translated(message: tuple[str, str], body: Any, earlier: Any = None) -> Translation:
    """What the adapter says of it; `earlier` is how a polled object stood before."""
    name, file = message
    if name != "harvest":
        return SYSTEMS[name].translate(body, **OPTIONS)
    headers = {POLLED: LISTS[file.partition("_")[0]]}
    if earlier is not None:
        headers[BEFORE] = before(orjson.dumps(earlier)).decode()
    greenhouse = SYSTEMS["greenhouse"]
    delivery = Delivery(
        new_delivery_id(RECEIVED_AT), "greenhouse", "greenhouse", RECEIVED_AT, headers,
        orjson.dumps(body),
    )  # fmt: skip
    return greenhouse.adapter.translate(delivery, greenhouse.connection(**OPTIONS))


# --- bent -----------------------------------------------------------------------------------


def places(node: Any, here: Path = ()) -> Iterator[Path]:
    """Where everything in a document stands."""
    entries: Any = ()
    if isinstance(node, dict):
        entries = node.items()
    elif isinstance(node, list):
        entries = enumerate(node)
    for key, value in entries:
        yield (*here, key)
        yield from places(value, (*here, key))


def _retyped(value: Any, draw: st.DataObject) -> Any:
    others: list[Any] = [[value], {"value": value}, {"id": value}, [], {}, True, 1.5, 1e30]
    if isinstance(value, int):
        others += [str(value), float(value)]
    if isinstance(value, str):
        others += [f" {value} ", value.swapcase(), value + "\u0000", value[:1], int(value or 0)
                   if value.isascii() and value.isdigit() else value * 3_000]  # fmt: skip
    return draw.draw(st.sampled_from(others))


def bend(body: Any, draw: st.DataObject) -> None:
    """Change one place of the document."""
    found = list(places(body))
    if not found:
        return
    path = draw.draw(st.sampled_from(found))
    holder = body
    for step in path[:-1]:
        holder = holder[step]
    key, value = path[-1], holder[path[-1]]
    how = draw.draw(st.sampled_from(["drop", "null", "retype", "double", "turn", "time"]))
    if how == "drop":
        del holder[key]
    elif how == "null":
        holder[key] = None
    elif how == "retype":
        holder[key] = _retyped(value, draw)
    elif how == "double" and isinstance(holder, list):
        holder.insert(0, copy.deepcopy(value))
    elif how == "turn" and isinstance(value, list):
        value.reverse()
    elif how == "time":
        holder[key] = draw.draw(st.sampled_from(ODD_TIMES))


def unsound(touchpoint: Touchpoint) -> str | None:
    """What cannot be true of a touchpoint, if anything."""
    said = touchpoint.model_dump(mode="python")
    starts_at, ends_at = said.get("starts_at"), said.get("ends_at")
    if not FIRST <= touchpoint.occurred_at <= RECEIVED_AT + timedelta(days=1):
        return "occurred_at"
    if starts_at is not None and ends_at is not None and ends_at < starts_at:
        return "it ends before it starts"
    if any(at is not None and at.year > 2035 for at in (starts_at, ends_at)):
        return "an appointment at the end of time"
    for name in ("application_id", "job_id", "interview_id", "offer_id", "survey_id"):
        if (found := said.get(name)) is not None and not found.startswith(f"{touchpoint.source}:"):
            return name
    text = touchpoint.model_dump_json()
    if "\\u0000" in text:
        return "U+0000"
    # Doubled a thousand times it may be anything; no id is so long.
    return "a huge text in an id" if len(touchpoint.source_event_id) > 2_000 else None


def faults(message: tuple[str, str], body: Any, earlier: Any = None) -> list[str]:
    """What is wrong with the answer to a body; any error but Untranslatable is raised."""
    try:
        said = translated(message, body, earlier)
    except Untranslatable as error:
        return [*personal_in(error.reason), *([] if error.reason else ["no reason"])]
    touchpoints = [statement.touchpoint for statement in said.statements]
    found = [fault for each in touchpoints if (fault := unsound(each)) is not None]
    if not all(statement.person for statement in said.statements):
        found.append("nobody's")
    if bool(touchpoints) == bool(said.context):
        found.append("neither told nor context, or both")
    shown = [said.context or "", *(each.model_dump_json() for each in touchpoints)]
    return found + [word for text in shown for word in personal_in(text)]


def personal_in(text: str) -> list[str]:
    return [word for word in PERSONAL if word in text]


@settings(max_examples=800 if FULL else 300, deadline=None)
@given(draw=st.data(), message=st.sampled_from(MESSAGES))
def test_of_a_bent_payload_only_what_can_be_is_told(
    draw: st.DataObject, message: tuple[str, str]
) -> None:
    """A reason or sound touchpoints; never another error, and nothing personal in either."""
    body = payload(message)
    earlier = copy.deepcopy(body) if draw.draw(st.booleans()) else None
    for _ in range(draw.draw(st.integers(1, 5))):
        bend(body, draw)
    assert faults(message, body, earlier) == []


def _with(body: Any, path: Path, value: Any) -> Any:
    """A copy with another value at this place; `...` leaves it out."""
    key, *rest = path
    other: Any = dict(body) if isinstance(body, dict) else list(body)
    if rest:
        other[key] = _with(body[key], tuple(rest), value)
    elif value is ...:
        del other[key]
    else:
        other[key] = value
    return other


def _at(body: Any, path: Path) -> Any:
    for step in path:
        body = body[step]
    return body


@pytest.mark.parametrize("message", MESSAGES, ids="/".join)
def test_every_field_may_be_missing_null_or_empty(message: tuple[str, str]) -> None:
    """Each in turn, wherever an object, a list or a word is documented."""
    body = payload(message)
    for path in places(body):
        for other in (..., None, {}, [], "", [_at(body, path)]):
            assert faults(message, _with(body, path, other)) == [], (path, other)


@pytest.mark.parametrize("message", MESSAGES, ids="/".join)
def test_every_time_may_be_an_odd_one(message: tuple[str, str]) -> None:
    """Year 1, the end of time, seconds, a day alone, no zone: each in turn, and all at once."""
    body = payload(message)
    times = [path for path in places(body) if _is_time(_at(body, path))]
    for odd in ODD_TIMES:
        everywhere = body
        for path in times:
            everywhere = _with(everywhere, path, odd)
            assert faults(message, _with(body, path, odd)) == [], (path, odd)
            assert faults(message, _with(body, path, odd), earlier=body) == [], (path, odd)
        assert faults(message, everywhere) == [], odd


def _is_time(value: Any) -> bool:
    if isinstance(value, str):
        return re.match(r"^\d{4}-\d\d-\d\d", value) is not None
    return type(value) is int and value > 10**12


# --- written otherwise ----------------------------------------------------------------------


def _each(node: Any, change: Callable[[str | None, Any], Any], key: str | None = None) -> Any:
    """The document with every object, list and value changed, the inner ones first."""
    if isinstance(node, dict):
        node = {name: _each(value, change, name) for name, value in node.items()}
    elif isinstance(node, list):
        node = [_each(value, change) for value in node]
    return change(key, node)


def other_order(key: str | None, node: Any) -> Any:
    if isinstance(node, dict):
        return dict(random.Random(7).sample(list(node.items()), len(node)))
    return node


def ids_as_text(key: str | None, node: Any) -> Any:
    is_id = key is not None and re.search(r"(^|_)id$|Id$", key) is not None
    return str(node) if is_id and type(node) is int else node


def without_nulls(key: str | None, node: Any) -> Any:
    if isinstance(node, dict):
        # Of these the missing one says nothing, and null that there is none.
        return {name: one for name, one in node.items() if one is not None or name == "toArchived"}
    return node


def with_more(key: str | None, node: Any) -> Any:
    # Nothing is added to nothing, which means something else: it is how Lever tests a webhook.
    is_some = isinstance(node, dict) and node
    return {**node, "something_new": {"id": 1, "at": None}} if is_some else node


def everything_twice(key: str | None, node: Any) -> Any:
    return [each for one in node for each in (one, one)] if isinstance(node, list) else node


_INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


def another_zone(key: str | None, node: Any) -> Any:
    if not isinstance(node, str) or not _INSTANT.match(node):
        return node
    at = datetime.fromisoformat(node)
    return at.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()


def finer_times(key: str | None, node: Any) -> Any:
    if not isinstance(node, str) or not _INSTANT.match(node):
        return node
    at = datetime.fromisoformat(node)
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


OTHERWISE = [
    other_order, ids_as_text, without_nulls, with_more, everything_twice, another_zone,
    finer_times,
]  # fmt: skip

BY_ITS_BODY = re.compile(
    r"/(updated|consent|note|activity|email)/[0-9a-f]{32}$|^[a-z]+/[0-9a-f]{32}$"
)
"""Ids of what has neither a time nor an id of its own: a retry of it has the same body."""


def facts(said: Translation) -> set[Any]:
    """Who is told what, where it is not known by its body alone."""
    return {
        (statement.touchpoint.KIND, statement.touchpoint.touchpoint_id, statement.person)
        for statement in said.statements
        if not BY_ITS_BODY.search(statement.touchpoint.source_event_id)
    }


@pytest.mark.parametrize("otherwise", OTHERWISE, ids=lambda change: change.__name__)
@pytest.mark.parametrize("message", MESSAGES, ids="/".join)
def test_the_same_written_otherwise_is_the_same_facts(
    message: tuple[str, str], otherwise: Callable[[str | None, Any], Any]
) -> None:
    """Another order, text for numbers, missing for null, lists with repeats, another zone."""
    body = payload(message)
    assert facts(translated(message, _each(body, otherwise))) == facts(translated(message, body))
