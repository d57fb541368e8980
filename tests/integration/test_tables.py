"""Tables for notebooks say what the command line says, now and as of any moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from consumers.bootstrap import Installation
from journey.database import Database
from journey.errors import UnknownCandidate
from projections.standing import gravity
from projections.tables import findings, silences, touchpoints
from schemas.errors import NaiveDatetime
from schemas.identifiers import PersonKey
from tests.support.builders import T0, days, statement
from tests.support.fakes import FrozenClock
from tests.support.installations import settings_for


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Iterator[Installation]:
    """Four people: waiting, rejected and reference-checked, merged of two; told on two days."""
    clock = FrozenClock(T0)
    with Installation(settings_for(database, tmp_path), clock=clock) as engine:

        def told(kind: str, day: float, who: str, **more: Any) -> None:
            one = statement(
                kind, days(day), person=who, application=who, job_id=f"greenhouse:{who}", **more
            )
            engine.log.put_statements([one])

        for who in ("1", "2", "3", "4"):
            told("application_submitted", -200, who)
        told("interview_held", -150, "1")
        told("rejection_sent", -100, "2")
        clock.advance(timedelta(days=1))
        told("message_sent", -120, "1")
        told("reference_contacted", -50, "2")
        told("message_sent", -20, "3", same_as=(PersonKey("greenhouse:candidate", "4"),))
        engine.runner.catch_up()
        yield engine


def test_touchpoints_are_those_of_the_log_in_its_order(engine: Installation) -> None:
    """Moments are moments, in UTC."""
    table = touchpoints(engine)
    assert table.column("position").to_pylist() == list(range(1, engine.log.position() + 1))
    assert table.schema.field("occurred_at").type == pa.timestamp("us", tz="UTC")
    assert table.column("occurred_at").to_pylist()[0] == days(-200)


def test_one_candidate_a_cohort_a_job_or_all(engine: Installation) -> None:
    """A merged candidate brings the other's touchpoints along."""
    one = engine.log.find("greenhouse:candidate/1")
    assert touchpoints(engine, one).num_rows == 3
    assert touchpoints(engine, [str(one)[:10], "greenhouse:candidate/4"]).num_rows == 7
    assert touchpoints(engine, job="greenhouse:2").num_rows == 3
    assert touchpoints(engine, as_of=T0).num_rows == 6
    with pytest.raises(UnknownCandidate):
        touchpoints(engine, "greenhouse:candidate/99")
    with pytest.raises(UnknownCandidate, match="leave it out to ask for all"):
        touchpoints(engine, [])
    with pytest.raises(UnknownCandidate):
        touchpoints(engine, UUID(int=1))


@pytest.mark.parametrize("table", [touchpoints, silences, findings])
def test_before_anything_was_known_a_table_is_empty(
    engine: Installation, table: Callable[..., pa.Table]
) -> None:
    """And has its columns all the same; so has one of a job that nobody applied for."""
    columns = table(engine).schema
    for asked in ({"as_of": 0}, {"as_of": days(-400)}, {"job": "greenhouse:none"}):
        empty = table(engine, **asked)
        assert (empty.num_rows, empty.schema) == (0, columns), asked


@pytest.mark.parametrize("table", [touchpoints, silences, findings])
def test_a_moment_without_a_zone_is_refused(
    engine: Installation, table: Callable[..., pa.Table]
) -> None:
    """It would be another one on another machine."""
    with pytest.raises(NaiveDatetime, match="has no zone"):
        table(engine, as_of=datetime(2026, 3, 2))  # noqa: DTZ001


def test_silences_say_what_the_command_line_says(engine: Installation) -> None:
    """With the gravest level of all policies."""
    now = engine.clock.now()
    told: dict[tuple[str, str], int] = {}
    for each in engine.queries.open_silences(now):
        key = (str(each.candidate_id), each.application_id)
        told[key] = max(told.get(key, 0), gravity(each.level))
    rows = [row for row in silences(engine).to_pylist() if row["until"] is None]
    assert {
        (row["journey_id"], row["application_id"]): gravity(row["level"]) for row in rows
    } == told
    assert told


def test_findings_say_what_the_command_line_says(engine: Installation) -> None:
    """With the verdict of today."""
    (finding,) = engine.queries.contradictions(engine.clock.now())
    (row,) = findings(engine).to_pylist()
    assert (row["rule"], row["verdict"], row["since"], row["explanation"]) == (
        finding.rule, finding.verdict, finding.since, finding.explanation,
    )  # fmt: skip
    assert tuple(row["touchpoint_ids"]) == finding.touchpoint_ids
    assert row["job_id"] == "greenhouse:2"
    assert findings(engine, job="greenhouse:1").num_rows == 0


@pytest.mark.parametrize("table", [silences, findings])
def test_folded_from_the_log_they_are_the_same(
    engine: Installation, table: Callable[..., pa.Table]
) -> None:
    """As of the last position is as of now."""
    now, last = engine.clock.now(), engine.log.position()

    def rows(**asked: Any) -> list[str]:
        return sorted(str(row) for row in table(engine, now=now, **asked).to_pylist())

    assert rows(as_of=last) == rows()
    assert rows()
    for candidate in ("greenhouse:candidate/1", "greenhouse:candidate/2"):
        assert rows(candidates=candidate, as_of=now) == rows(candidates=candidate)


def test_as_of_before_they_say_what_was_known_then(engine: Installation) -> None:
    """Judged at that moment; who is merged since were two then."""
    assert findings(engine, as_of=T0).num_rows == 0
    (row,) = silences(engine, "greenhouse:candidate/1", as_of=T0).to_pylist()[-1:]
    assert (row["since"], row["until"], row["began_kind"]) == (days(-150), None, "interview_held")
    journeys = set(silences(engine, as_of=T0).column("journey_id").to_pylist())
    assert len(journeys) == 4
