"""Whatever JSON stands in a signed body, the adapter says something or says why not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.ats_adapters.adapter import Translation
from consumers.errors import Untranslatable
from schemas.ats.greenhouse import ACTIONS
from tests.support.greenhouse import PAYLOADS, translate

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["2026-01-12T08:02:12Z", "0001-01-01T00:00:00+14:00", "9999-12-31", "02/30/2026"]
    )
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = sorted(file.stem for file in PAYLOADS.glob("*.json"))


def answered(body: Any) -> bool:
    """Whether the adapter translated it or gave a reason; any other error fails the test."""
    try:
        translation = translate(body)
    except Untranslatable as error:
        return bool(error.reason)
    assert isinstance(translation, Translation)
    for statement in translation.statements:
        # What is recorded must be writable.
        assert statement.touchpoint.model_dump_json()
        assert statement.person
    return bool(translation.statements) or bool(translation.context)


@settings(max_examples=400, deadline=None)
@given(action=st.sampled_from(sorted(ACTIONS)), payload=ANY_JSON)
def test_any_json_in_any_action_is_answered(action: str, payload: Any) -> None:
    """Nothing but Untranslatable is raised for any payload at all."""
    assert answered(orjson.dumps({"action": action, "payload": payload}))


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=200))
def test_any_bytes_are_answered(body: bytes) -> None:
    """Nothing but Untranslatable is raised for any bytes."""
    assert answered(body)


def _paths(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    entries = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    return [path for key, value in entries for path in ((*here, key), *_paths(value, (*here, key)))]


@settings(max_examples=600, deadline=None)
@given(data=st.data(), name=st.sampled_from(NAMES), other=SCALARS | ANY_JSON)
def test_any_field_may_have_any_other_shape(data: st.DataObject, name: str, other: Any) -> None:
    """One field of a real payload replaced by anything, or left out, is answered too."""
    body = orjson.loads((PAYLOADS / f"{name}.json").read_bytes())
    path = data.draw(st.sampled_from(_paths(body)))
    holder = body
    for step in path[:-1]:
        holder = holder[step]
    if data.draw(st.booleans()):
        holder[path[-1]] = other
    else:
        del holder[path[-1]]
    assert answered(orjson.dumps(body))


@pytest.mark.parametrize("depth", [500, 5_000])
def test_a_deeply_nested_body_is_answered(depth: int) -> None:
    """Depth is no way to stop the process."""
    assert answered(b'{"action":"update_candidate","payload":' + b"[" * depth + b"]" * depth + b"}")
