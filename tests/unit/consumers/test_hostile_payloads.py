"""Whatever JSON stands in a signed body, the adapter says something or says why not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.ats_adapters.adapter import Translation
from consumers.errors import Untranslatable
from schemas.ats import ashby, greenhouse, lever
from tests.support.payloads import Payloads
from tests.support.truth import FULL

SYSTEMS = {name: Payloads(name) for name in ("ashby", "greenhouse", "lever")}
KINDS = [
    *(("ashby", "action", "data", one) for one in sorted(ashby.ACTIONS)),
    *(("greenhouse", "action", "payload", one) for one in sorted(greenhouse.ACTIONS)),
    *(("lever", "event", "data", one) for one in sorted(lever.EVENTS)),
]
FILES = [(name, file) for name, system in SYSTEMS.items() for file in system.names()]
OPTIONS: dict[str, Any] = {
    "stages": {"offer": "offer_decided", "Phone Screen": "call_made"},
    "archive_reasons": {"5f4e3d2c-1b0a-4987-8654-3210fedcba08": "rejected", "reason-3": "hired"},
}

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["2026-01-12T08:02:12Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
         "2026-01-12T08:02:12", "2026-01-12", "9999-12-31", "02/30/2026", "Scheduled", "Complete",
         "Cancelled", "Archived"]
    )
)  # fmt: skip
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def answered(name: str, body: Any) -> bool:
    """Whether the adapter translated it or gave a reason; any other error fails the test."""
    try:
        translation = SYSTEMS[name].translate(body, **OPTIONS)
    except Untranslatable as error:
        return bool(error.reason)
    assert isinstance(translation, Translation)
    for statement in translation.statements:
        # What is recorded must be writable.
        assert statement.touchpoint.model_dump_json()
        assert statement.person
    return bool(translation.statements) or bool(translation.context)


@settings(max_examples=800 if FULL else 300, deadline=None)
@given(kind=st.sampled_from(KINDS), data=ANY_JSON)
def test_any_json_in_any_event_is_answered(kind: tuple[str, str, str, str], data: Any) -> None:
    """Nothing but Untranslatable is raised for any data at all."""
    name, field, holder, event = kind
    assert answered(name, orjson.dumps({field: event, "triggeredAt": 1, holder: data}))


@settings(max_examples=400 if FULL else 200, deadline=None)
@given(name=st.sampled_from(sorted(SYSTEMS)), body=st.binary(max_size=200))
def test_any_bytes_are_answered(name: str, body: bytes) -> None:
    """Nothing but Untranslatable is raised for any bytes."""
    assert answered(name, body)


def _paths(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    entries: Any = ()
    if isinstance(node, dict):
        entries = node.items()
    elif isinstance(node, list):
        entries = enumerate(node)
    return [path for key, value in entries for path in ((*here, key), *_paths(value, (*here, key)))]


@settings(max_examples=1_400 if FULL else 500, deadline=None)
@given(data=st.data(), file=st.sampled_from(FILES), other=SCALARS | ANY_JSON)
def test_any_field_may_have_any_other_shape(
    data: st.DataObject, file: tuple[str, str], other: Any
) -> None:
    """One field of a real payload replaced by anything, or left out, is answered too."""
    name, stem = file
    body = SYSTEMS[name].payload(stem)
    path = data.draw(st.sampled_from(_paths(body)))
    holder: Any = body
    for step in path[:-1]:
        holder = holder[step]
    if data.draw(st.booleans()):
        holder[path[-1]] = other
    else:
        del holder[path[-1]]
    assert answered(name, orjson.dumps(body))


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("lever", b'{"event":"candidateHired","data":'),
        ("ashby", b'{"action":"offerUpdate","data":'),
        ("greenhouse", b'{"action":"update_candidate","payload":'),
    ],
)
@pytest.mark.parametrize("depth", [500, 5_000])
def test_a_deeply_nested_body_is_answered(name: str, start: bytes, depth: int) -> None:
    """Depth is no way to stop the process."""
    assert answered(name, start + b"[" * depth + b"]" * depth + b"}")
