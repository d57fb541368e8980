"""The fast way to make touchpoints says what the careful one says."""

from __future__ import annotations

from uuid import UUID, uuid5

import pytest

from journey.storage import state_of
from schemas.event import Moment, Touchpoint
from schemas.identifiers import touchpoint_id
from schemas.registry import TOUCHPOINTS
from tests.support.builders import T0
from tests.unit.schemas.test_stored_schemas import NEEDED


@pytest.mark.parametrize("cls", TOUCHPOINTS.values(), ids=lambda cls: cls.KIND)
def test_trusted_makes_what_validation_makes(cls: type[Touchpoint]) -> None:
    """The same touchpoint and the same stored bytes, for every kind."""
    own = NEEDED.get(cls.KIND, {})
    told = cls.told(
        source="s", source_event_id="1", moment=Moment.of(T0), application_id="s:1", **own
    )
    values = cls.blank(source="s", channel="ats", **own)
    values["touchpoint_id"] = touchpoint_id("s", "1", cls.KIND)
    values["source_event_id"] = "1"
    values["occurred_at"] = T0
    values["application_id"] = "s:1"
    trusted = cls.trusted(values)
    assert trusted == told
    assert state_of(trusted) == state_of(told)


@pytest.mark.parametrize("name", ["", "x", "応募受付", "a" * 500])
def test_an_id_is_a_uuid_of_version_5(name: str) -> None:
    """Made faster than by the standard library, and the same."""
    namespace = UUID("7c1f6f0e-53a3-5d0b-9a51-0c8b4a0e7d11")
    made = touchpoint_id("source", name, "kind")
    assert made == uuid5(namespace, f"source\x1f{name}\x1fkind")
    assert (made.version, repr(made)) == (5, f"UUID('{made}')")
