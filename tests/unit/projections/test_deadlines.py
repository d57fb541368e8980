"""When a silence becomes a person's business, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from projections.deadline import Deadline, Evidence
from projections.silence.deadlines import deadlines, due_times, explain, standing
from projections.silence.policy import Policy, PolicySet, load_policies
from projections.silence.rows import SilenceRow

CANDIDATE = UUID(int=7)
TOLD = "5b1d6a3e-0000-5000-8000-000000000001"


@dataclass
class Defaults:
    """The default policies and the two this page is about."""

    policies: PolicySet
    interview: Policy
    ontario: Policy


@pytest.fixture(scope="module")
def defaults() -> Defaults:
    policies = load_policies()
    interview = policies.named("after_interview")
    ontario = policies.named("ontario_after_interview")
    assert interview is not None
    assert ontario is not None
    return Defaults(policies, interview, ontario)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def silence(**fields: Any) -> SilenceRow:
    """An open silence after an interview on Monday 2 March 2026, 15:00 in Toronto."""
    moment = at("2026-03-02T15:00:00-05:00")
    usual: dict[str, Any] = {
        "candidate_id": CANDIDATE,
        "application_id": "12",
        "began_by": TOLD,
        "began_kind": "interview_held",
        "since": moment,
        "source": "greenhouse",
        "stage": "On-site",
        "last_interview_at": moment,
        "interviews": 1,
    }
    return SilenceRow(**{**usual, **fields})


def test_an_open_silence_has_a_deadline_for_each_level(defaults: Defaults) -> None:
    """The house's policy and the statute beside it, each level with its time, mild ones first."""
    found = deadlines(silence(), defaults.policies)
    assert [(deadline.name, deadline.level, deadline.due_at) for deadline in found] == [
        ("after_interview", "nudge", at("2026-03-05T15:00:00-05:00")),
        ("after_interview", "breach", at("2026-03-09T15:00:00-04:00")),
        ("after_interview", "ghosted", at("2026-03-23T15:00:00-04:00")),
        ("ontario_after_interview", "nudge", at("2026-04-10T00:00:00-04:00")),
        ("ontario_after_interview", "breach", at("2026-04-17T00:00:00-04:00")),
    ]


def test_a_deadline_says_whose_it_is_and_what_proves_it(defaults: Defaults) -> None:
    """A row of the table: subject, candidate, application, one alert key for all levels."""
    row = silence()
    first, second, *_ = deadlines(row, defaults.policies)
    assert first == Deadline(
        due_at=at("2026-03-05T15:00:00-05:00"),
        subject="silence",
        candidate_id=CANDIDATE,
        application_id="12",
        name="after_interview",
        level="nudge",
        alert_key=f"silence:after_interview:12:{TOLD}",
        since=row.since,
        evidence=[Evidence(TOLD, "interview_held", row.since)],
    )
    assert second.alert_key == first.alert_key


def test_evidence_is_stored_as_id_kind_and_time(defaults: Defaults) -> None:
    """The jsonb column holds what the shared table design says."""
    first = deadlines(silence(), defaults.policies)[0]
    assert msgspec.json.decode(msgspec.json.encode(first.evidence)) == [
        {"id": TOLD, "kind": "interview_held", "at": "2026-03-02T20:00:00Z"}
    ]


def test_a_silence_that_ended_has_no_deadlines(defaults: Defaults) -> None:
    """What was answered is nobody's business any more."""
    ended = silence(until=at("2026-03-03T10:00:00-05:00"))
    assert deadlines(ended, defaults.policies) == []


def test_a_silence_that_has_not_begun_yet_is_counted_from_its_beginning(
    defaults: Defaults,
) -> None:
    """A booked interview's silence lies ahead; so do its deadlines."""
    since = at("2030-03-04T15:00:00-05:00")
    ahead = silence(since=since, began_kind="interview_scheduled", interviews=0)
    assert all(deadline.due_at > since for deadline in deadlines(ahead, defaults.policies))


def test_without_an_interview_the_statute_has_nothing_to_count_from(defaults: Defaults) -> None:
    """Ontario's clock runs from the last interview; a booked one is not one."""
    for row in (silence(interviews=0), silence(last_interview_at=None, interviews=0)):
        assert due_times(defaults.ontario, row) == []
        assert standing(defaults.ontario, row, at("2027-01-01T00:00:00Z")) is None


def test_an_interview_before_the_law_was_in_force_is_not_under_it(defaults: Defaults) -> None:
    """The last second of 2025 in Toronto is free, the first of 2026 is not."""
    first = at("2026-01-01T00:00:00-05:00")
    before = first - timedelta(seconds=1)
    assert due_times(defaults.ontario, silence(since=before, last_interview_at=before)) == []
    assert due_times(defaults.ontario, silence(since=first, last_interview_at=first)) != []


def test_what_was_due_before_a_silence_began_is_not_due_in_it(defaults: Defaults) -> None:
    """A word on the 50th day is late, but the silence after it does not break the law again."""
    late = silence(began_kind="message_sent", since=at("2026-04-21T10:00:00-04:00"))
    assert due_times(defaults.ontario, late) == []
    on_time = silence(began_kind="message_sent", since=at("2026-04-12T10:00:00-04:00"))
    assert [level for level, _ in due_times(defaults.ontario, on_time)] == ["breach"]


def test_a_level_is_reached_at_its_due_time(defaults: Defaults) -> None:
    """Not a microsecond before."""
    due = at("2026-03-09T15:00:00-04:00")
    just_before = due - timedelta(microseconds=1)
    assert standing(defaults.interview, silence(), just_before) == "nudge"
    assert standing(defaults.interview, silence(), due) == "breach"


def test_nothing_is_reached_before_the_first_level(defaults: Defaults) -> None:
    """A silence of an hour is no verdict."""
    assert standing(defaults.interview, silence(), at("2026-03-02T16:00:00-05:00")) is None


def test_a_silence_that_ended_stands_where_it_ended(defaults: Defaults) -> None:
    """An answer at the due time is in time; years later that is still so."""
    due = at("2026-03-09T15:00:00-04:00")
    years_later = at("2030-01-01T00:00:00Z")
    assert standing(defaults.interview, silence(until=due), years_later) == "nudge"
    after = silence(until=due + timedelta(seconds=1))
    assert standing(defaults.interview, after, years_later) == "breach"


def test_an_explanation_is_one_sentence_in_the_policy_s_own_zone(defaults: Defaults) -> None:
    """Since when, for how long, what began it, where it stands, and what was due."""
    now = at("2026-03-10T09:00:00-04:00")
    assert explain(defaults.interview, silence(), "breach", now) == (
        "Nothing since the interview (interview held, On-site) on 2026-03-02 15:00 EST: "
        "8 days without a word, an answer was due by 2026-03-09 15:00 EDT."
    )


def test_an_explanation_of_whole_days_names_the_last_day(defaults: Defaults) -> None:
    """The 45th day ends at its 24:00; nobody has to know that this is the next day's midnight."""
    told = explain(defaults.ontario, silence(), "breach", at("2026-03-03T00:00:00-05:00"))
    assert "on 2026-03-02 15:00 EST, 1 day ago" in told
    assert "2026-04-16 24:00 EDT" in told


def test_an_explanation_holds_no_id_and_no_control_character(defaults: Defaults) -> None:
    """Names of stages come from outside: they stay on the line, and are not templates."""
    hostile = silence(stage="On\x1b[31m-site\n\n{since} {due.__class__}", job_id="job-9")
    told = explain(defaults.interview, hostile, "nudge", at("2026-03-10T09:00:00-04:00"))
    assert "On [31m-site {since} {due.__class__}" in told
    assert told.isprintable()
    for opaque in (str(CANDIDATE), TOLD, "job-9", "greenhouse"):
        assert opaque not in told


def test_an_explanation_of_a_silence_without_a_stage_says_so(defaults: Defaults) -> None:
    """No `None` in a sentence for people."""
    told = explain(defaults.interview, silence(stage=None), "nudge", at("2026-03-10T09:00:00Z"))
    assert "no stage" in told


def test_a_level_that_a_silence_does_not_have_cannot_be_explained(defaults: Defaults) -> None:
    """Ontario knows no ghosting, and no breach without an interview."""
    now = at("2026-03-10T09:00:00Z")
    with pytest.raises(ValueError, match="no ghosted"):
        explain(defaults.ontario, silence(), "ghosted", now)
    with pytest.raises(ValueError, match="no breach"):
        explain(defaults.ontario, silence(interviews=0), "breach", now)
