"""Whatever touchpoints a log holds, every format of an export reads back as those very ones."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers.exports import ALL_FORMATS
from consumers.exports.export import _fill
from consumers.exports.reading_back import own_rows
from consumers.imports.formats import open_log
from journey.storage import stamp_of, stamped_state
from projections.columns import (
    COLUMNS,
    PERSONAL_COLUMNS,
    FlatTouchpoint,
    complete,
    own_columns,
)
from schemas.event import Actor, Moment, Touchpoint
from schemas.personal import Personal
from schemas.registry import TOUCHPOINTS
from schemas.statement import Statement

SUFFIXES = {
    "csv": ".csv", "parquet": ".parquet", "xes": ".xes", "ocel-json": ".jsonocel",
    "ocel-sqlite": ".sqlite", "cloudevents": ".ndjson",
}  # fmt: skip

_TYPICAL = [
    "", "NA", "null", "None", "true", "1e5", "007", "-1", "'", "''", "=1+1", "@x", "+1", " x ",
    "a,b;c\td|e", '"', '""', '"open', "\r\n", "\r", "\n", "\ufeffx", "\x00", "\x08\x1f\x7f\x85",
    "_x0041_", "_x0041\x08", "\ufffe\uffff", "\u2028", "<b>&amp;]]>", "%s %d {}", "\\", "\\u0000",
    "\U0001f600", "漢字", "e\u0301", "\u202e", "x" * 200_000,
]  # fmt: skip
TEXT = st.sampled_from(_TYPICAL) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MOMENT = st.datetimes(
    datetime(1, 1, 2),  # noqa: DTZ001
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.just(UTC),
) | st.sampled_from(
    [
        datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2026, 3, 2, 9, 0, 0, 1, UTC),
    ]
)
PERSONAL = st.none() | st.builds(
    Personal,
    name=st.none() | TEXT,
    emails=st.lists(TEXT, max_size=2).map(tuple),
    text=st.dictionaries(TEXT, TEXT, max_size=2),
)


def own_value(cls: type[Touchpoint], name: str) -> st.SearchStrategy[Any]:
    """Any value of a kind's own field, nothing included where that may be."""
    told = str(cls.model_fields[name].annotation)
    if "UUID" in told:
        return st.uuids()
    some: st.SearchStrategy[Any] = TEXT
    if "dict" in told:
        return st.fixed_dictionaries(
            {},
            optional={
                "stage": st.none() | TEXT,
                "score": st.integers(0, 10),
                "occurred_at": MOMENT.map(lambda at: at.isoformat()),
                "actor": st.fixed_dictionaries({"type": st.just("person"), "id": TEXT}),
            },
        )
    if "datetime" in told.lower():
        some = MOMENT
    elif "bool" in told:
        return st.booleans()
    elif "int" in told:
        some = st.integers(0, 10)
    return some if cls.model_fields[name].is_required() else st.none() | some


@st.composite
def touchpoints(draw: st.DrawFn) -> tuple[Touchpoint, Personal | None]:
    """One of any kind, with anything in its fields; and what is personal in it."""
    cls = draw(st.sampled_from(list(TOUCHPOINTS.values())))
    offset = timedelta(minutes=draw(st.integers(-14 * 60, 14 * 60)))
    moment = Moment(
        at=draw(MOMENT),
        offset_minutes=offset // timedelta(minutes=1),
        quality=draw(st.sampled_from(["exact", "inferred", "unknown"])),
        precision=draw(st.sampled_from(["instant", "minute", "day"])),
    )
    said = cls.told(
        source=draw(TEXT),
        source_event_id=draw(TEXT),
        moment=moment,
        application_id=draw(st.none() | TEXT),
        job_id=draw(st.none() | TEXT),
        delivery_id=draw(st.none() | TEXT),
        stage=draw(st.none() | TEXT),
        channel=draw(st.sampled_from(["ats", "email", "other"])),
        actor=draw(st.none() | st.builds(Actor, type=st.just("person"), id=st.none() | TEXT)),
        late=draw(st.booleans()),
        **{name: draw(own_value(cls, name)) for name in sorted(own_columns(cls.KIND))},
    )
    return said, draw(PERSONAL)


CANDIDATES = [UUID(int=number, version=4) for number in (1, 2, 3)]


def flat(stored: bytes, cls: type[Touchpoint], position: int, candidate: UUID) -> FlatTouchpoint:
    """A state as a selection makes a row of it."""
    head = {
        "kind": cls.KIND, "topic": cls.TOPIC, "position": position,
        "candidate_id": str(candidate), "journey_id": str(CANDIDATES[0]),
    }  # fmt: skip
    document = msgspec.json.encode(head)[:-1] + b"," + stored[1:]
    return msgspec.json.decode(document, type=FlatTouchpoint)


@pytest.mark.parametrize("name", ALL_FORMATS)
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(touchpoints(), min_size=1, max_size=5))
def test_every_touchpoint_reads_back_as_itself(
    name: str, told: list[tuple[Touchpoint, Personal | None]]
) -> None:
    """Any text, empty or missing, any moment of ten thousand years, with what is personal."""
    stamp = stamp_of(datetime(2026, 3, 2, tzinfo=UTC))
    # A log holds a touchpoint once.
    unlike = {said.touchpoint_id: (said, personal) for said, personal in told}.values()
    rows, wanted = [], []
    for position, (said, personal) in enumerate(unlike, 1):
        stored = stamped_state(said, stamp)
        candidate = CANDIDATES[position % 3]
        rows.append(flat(stored, type(said), position, candidate))
        (row,) = complete(rows[-1:])
        if personal is not None:
            _fill(row, personal)
        sealed = None if personal is None or personal.is_empty() else personal
        recorded = type(said).model_validate_json(stored).model_copy(update={"recorded_at": None})
        wanted.append((recorded, (("journey", str(candidate)),), sealed))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"all{SUFFIXES[name]}")
        with path.open("w+b") as file:
            writer = ALL_FORMATS[name].open(file, path, COLUMNS + PERSONAL_COLUMNS)
            writer.write(rows)
            writer.close()
        log = open_log(path)
        log.check()
        read = own_rows(log)
        assert read is not None
        statements: list[Statement] = []
        for _, cells, broken in log.rows():
            assert broken is None
            statements += read(cells)
    got = [(each.touchpoint, each.person, each.personal) for each in statements]
    by_id = {each[0].touchpoint_id: each for each in got}
    assert len(got) == len(by_id) == len(wanted)
    for each in wanted:
        assert by_id[each[0].touchpoint_id] == each
    if name != "xes":
        # A case of XES is in the order of its applications.
        assert [each[0].touchpoint_id for each in got] == [each[0].touchpoint_id for each in wanted]
