"""Rows of a log into statements: what a map says, and what a row leaves out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.imports.log_file import BrokenRow, CellMap
from consumers.imports.log_map import LogMap, checked_map, load_log_map
from consumers.imports.moments import Moments
from consumers.imports.translate import Translator
from journey.errors import ConfigurationError
from schemas.event import Touchpoint
from schemas.identifiers import PersonKey
from schemas.statement import Statement
from tests.support.imports import FIELDS, a_map


def said(log_map: LogMap, **cells: str) -> Statement:
    """What one row says."""
    (statement,) = Translator(log_map, str)(CellMap(ROW | cells))
    return statement


ROW = {"case": "c1", "activity": "applied", "time": "2026-01-05T09:00:00Z"}


def told(log_map: LogMap, **cells: str) -> Touchpoint:
    return said(log_map, **cells).touchpoint


# --- what a row says ------------------------------------------------------------------------


def test_a_case_is_application_and_candidate() -> None:
    """Unless the map names a candidate of its own."""
    statement = said(a_map())
    assert statement.touchpoint.application_id == "old-ats:c1"
    assert statement.person == (PersonKey("old-ats:candidate", "c1"),)
    other = said(a_map(candidate="who", person={"email": "mail"}), who="p7", mail="a@example.org")
    assert other.person == (
        PersonKey("old-ats:candidate", "p7"),
        PersonKey("email", "a@example.org"),
    )


def test_an_event_is_known_by_case_activity_and_time() -> None:
    """In UTC and to the microsecond, however its time is written."""
    log_map = a_map(time_zone="Europe/Berlin")
    ids = {
        told(log_map, time=text).source_event_id
        for text in (
            "2026-01-05T09:00:00Z",
            "2026-01-05 09:00:00+00:00",
            "2026-01-05T10:00:00.000+01:00",
            "2026-01-05T10:00",
            "20260105T090000Z",
            "2026-W02-1T09:00:00Z",
            "2026-01-05T09:00:00,000Z",
        )
    }
    assert ids == {"c1/applied/2026-01-05T09:00:00"}
    assert told(log_map, time="2026-01-05T09:00:00.250Z").source_event_id.endswith(".250000")
    # A letter of a form, in local time, is no zone.
    local = a_map(time_zone="Europe/Berlin", time_formats=["%Y-%m-%dT%H:%M:%SZ"])
    assert told(local, time="2026-01-05T10:00:00Z").source_event_id in ids


def test_an_event_id_of_the_log_is_kept_as_it_came() -> None:
    """Whatever it looks like: ids from outside are text."""
    assert told(a_map(event_id="id"), id="007").source_event_id == "007"
    assert told(a_map(event_id="id"), id="<a@b>").source_event_id == "<a@b>"


def test_equal_rows_are_numbered() -> None:
    """From the second on, so that the first keeps its id when there is no other."""
    translate = Translator(a_map(), str)
    ids = [translate(CellMap(ROW))[0].touchpoint.source_event_id for _ in range(3)]
    assert ids == [f"c1/applied/2026-01-05T09:00:00{end}" for end in ("", "/2", "/3")]


def test_what_the_map_does_not_name_is_kept_as_unrecognised() -> None:
    """With its label, and counted; or left out, where the map says so."""
    translate = Translator(a_map(), str)
    (statement,) = translate(CellMap(ROW | {"activity": "Coffee"}))
    assert (statement.touchpoint.KIND, statement.touchpoint.label) == (  # type: ignore[attr-defined]
        "unrecognised_touchpoint", "Coffee",
    )  # fmt: skip
    assert translate.other == {"Coffee": 1}
    assert Translator(a_map(other="ignore"), str)(CellMap(ROW | {"activity": "Coffee"})) == ()


def test_only_the_transitions_that_count_are_told() -> None:
    """A work item that is scheduled, started and completed is one touchpoint."""
    log_map = a_map(lifecycle={"column": "lc", "keep": ["COMPLETE"]})
    translate = Translator(log_map, str)
    assert translate(CellMap(ROW | {"lc": "START"})) == ()
    assert len(translate(CellMap(ROW | {"lc": "COMPLETE"}))) == 1


def test_a_wide_row_is_a_touchpoint_a_step() -> None:
    """A date column each; an empty one did not happen."""
    log_map = LogMap.model_validate(
        {"source": "diary", "case": "case", "time_formats": ["%d/%m/%Y"],
         "steps": {"Applied": "application_submitted", "Offer": "offer_sent"}}
    )  # fmt: skip
    translate = Translator(log_map, str)
    both = translate(CellMap(case="1", Applied="03/01/2026", Offer="05/01/2026"))
    assert [statement.touchpoint.KIND for statement in both] == [
        "application_submitted", "offer_sent",
    ]  # fmt: skip
    assert [s.touchpoint.occurred_precision for s in both] == ["day", "day"]
    assert len(translate(CellMap(case="1", Applied="03/01/2026", Offer=""))) == 1


def test_fields_stage_job_and_actor() -> None:
    """Where the map says they are; a name or an address never becomes an actor's id."""
    log_map = a_map(
        job="job", stage="stage", actor="who",
        activities={"booked": {"kind": "interview_scheduled", "fields": {"starts_at": "start"},
                               "constants": {"time_zone": "Europe/Berlin"}}},
    )  # fmt: skip
    touchpoint: Any = told(
        log_map, activity="booked", start="2026-02-01T10:00:00+01:00", job="7", stage="Onsite",
        who="r-12",
    )  # fmt: skip
    assert touchpoint.starts_at == datetime(2026, 2, 1, 9, tzinfo=UTC)
    assert (touchpoint.job_id, touchpoint.stage, touchpoint.time_zone) == (
        "old-ats:7", "Onsite", "Europe/Berlin",
    )  # fmt: skip
    assert touchpoint.actor.id == "r-12"
    for name in ("Ada Miller", "ada@example.org"):
        opaque = told(log_map, activity="booked", start="", who=name).actor
        assert opaque is not None
        assert opaque.id is not None
        assert opaque.id.startswith("digest:")
        assert name not in opaque.id


def test_personal_things_are_for_the_sealed_field() -> None:
    """And for nothing else."""
    log_map = a_map(personal={"name": "name", "emails": "mail", "text": {"comment": "why"}})
    statement = said(log_map, name="Ada", mail="ada@example.org", why="too slow")
    assert statement.personal is not None
    assert statement.personal.name == "Ada"
    assert statement.personal.text == {"comment": "too slow"}
    assert "Ada" not in repr(statement.touchpoint)
    assert said(log_map).personal is None


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"case": ""}, "case is empty"),
        ({"case": "ada@example.org"}, "looks like an e-mail address"),
        ({"case": "x" * 501}, "longer than 500"),
        ({"case": "a\0b"}, "binary"),
        ({"activity": " "}, "no activity"),
        ({"time": ""}, "no ISO 8601 time"),
        ({"time": "soon"}, "no ISO 8601 time"),
        ({"time": "2026-01-05T09:00:00"}, "no zone"),
        ({"time": "0001-01-01T00:00:00+02:00"}, "outside the years"),
    ],
)
def test_a_broken_row_says_why_and_quotes_nothing(cells: dict[str, str], reason: str) -> None:
    """What a cell holds may be personal."""
    with pytest.raises(BrokenRow, match=reason) as error:
        said(a_map(), **cells)
    for value in cells.values():
        assert not value.strip() or value not in error.value.reason


# --- times ----------------------------------------------------------------------------------


@given(
    st.datetimes(min_value=datetime(1950, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001
    st.sampled_from(["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo"]),
)
def test_local_times_are_what_zoneinfo_says(naive: datetime, zone: str) -> None:
    """With what is worked out once an hour, and on the days the clocks change."""
    from zoneinfo import ZoneInfo

    moments = Moments(zone)
    for at in (naive.replace(minute=59), naive, naive.replace(minute=0)):
        when, minutes, quality, _ = moments.read(at.isoformat())
        # A text does not say which of two it is; we take the first.
        local = at.replace(tzinfo=ZoneInfo(zone), fold=0)
        offset = local.utcoffset()
        assert offset is not None
        assert when == (at - offset).replace(tzinfo=UTC)
        assert minutes == offset // timedelta(minutes=1)
        assert (quality == "exact") == (local.utcoffset() == local.replace(fold=1).utcoffset())


@pytest.mark.parametrize(
    ("text", "precision"),
    [
        ("2026-01-05", "day"),
        ("2026-01-05T09:00Z", "minute"),
        ("2026-01-05T09:00+01:00", "minute"),
        ("2026-01-05T09:00:00Z", "instant"),
        ("2026-01-05T09:00:00.5Z", "instant"),
        ("20260105", "day"),
        ("20260105T0900Z", "minute"),
        ("20260105T0900+0100", "minute"),
        ("20260105T090000Z", "instant"),
        ("20260105T090000.5Z", "instant"),
    ],
)
def test_precision_follows_how_a_time_is_written(text: str, precision: str) -> None:
    """A date is a day; no seconds, a minute."""
    assert Moments(None).read(text)[3] == precision


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-05t09:00:00z", " 2026-01-05T09:00:00Z ", "2026-01-05 09:00:00Z",
        "2026-01-05T09:00:00,000Z", "2026-01-05T10:00:00.000000000+0100",
    ],
)  # fmt: skip
def test_a_time_may_be_written_in_many_ways(text: str) -> None:
    """In small letters, between blanks, with more digits than there are microseconds."""
    assert Moments(None).read(text)[0] == datetime(2026, 1, 5, 9, tzinfo=UTC)


# --- maps -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": "a b"}, "source"),
        ({"case": None}, "says nowhere whose event a row is"),
        ({"case": None, "candidate": "x"}, "neither `case` nor `event_id`"),
        ({"activity": None}, "needs `activity` and `time`"),
        ({"steps": {"a": "offer_sent"}}, "has `steps`"),
        ({"activities": {"x": "interview_hold"}}, "interview_held"),
        ({"activities": {"x": "candidates_merged"}}, "concluded by the engine"),
        ({"activities": {"x": {"kind": "offer_sent", "fields": {"mood": "m"}}}}, "no field 'mood'"),
        ({"time_zone": "Mars/Olympus"}, "no IANA time zone"),
        ({"encoding": "klingon"}, "no encoding"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_map_is_told_in_a_sentence(changes: dict[str, Any], says: str) -> None:
    """With the field that is wrong, before any file is opened."""
    with pytest.raises(ConfigurationError, match=says) as error:
        checked_map({**FIELDS, **changes}, "my.yaml")
    assert str(error.value).startswith("the map my.yaml")
    assert "\n" not in str(error.value)


def test_a_map_that_is_not_there_names_the_built_in_ones() -> None:
    """By the name under which they can be used."""
    with pytest.raises(ConfigurationError, match="sepsis"):
        load_log_map("no_such_map")
