"""A journey as it is to be read: what was corrected, taken back, and taken back again."""

from __future__ import annotations

import msgspec

from projections.effective import effective
from projections.fact import Fact
from tests.support.builders import T0, days, fact, hours


def corrects(about: Fact, **corrected: object) -> Fact:
    return fact("touchpoint_corrected", days(9), corrects=about.touchpoint_id, corrected=corrected)


def retracts(about: Fact) -> Fact:
    return fact("touchpoint_retracted", days(9), retracts=about.touchpoint_id)


def told(*facts: Fact) -> list[Fact]:
    """What holds, without the corrections and retractions themselves."""
    return [each for each in effective(list(facts)) if each.corrects is each.retracts is None]


def test_any_field_can_be_corrected() -> None:
    """Times, ids and a kind's own fields, as they are stored; also to nothing."""
    wrong = fact("interview_scheduled", T0, stage="Phone", job_id="j", starts_at=hours(1))
    right = corrects(
        wrong,
        occurred_at="2026-03-02T10:00:00Z",
        occurred_precision="minute",
        starts_at="2026-03-02T12:00:00Z",
        stage=None,
        job_id="k",
    )
    assert told(wrong, right) == [
        msgspec.structs.replace(
            wrong,
            occurred_at=hours(1),
            occurred_precision="minute",
            starts_at=hours(3),
            stage=None,
            job_id="k",
        )
    ]


def test_what_no_fold_reads_is_passed_over() -> None:
    """An actor stands in the stored touchpoint and in no fact."""
    wrong = fact("stage_changed", stage="a")
    actor = {"type": "person", "id": "7"}
    (read,) = told(wrong, corrects(wrong, actor=actor, occurred_offset_minutes=60, stage="b"))
    assert read == msgspec.structs.replace(wrong, stage="b")


def test_the_last_correction_stands_alone() -> None:
    """What an earlier one said is not mixed in; one without fields restores what was told."""
    wrong = fact("stage_changed", stage="a", job_id="j")
    first, second = corrects(wrong, stage="b", job_id="k"), corrects(wrong, stage="c")
    assert told(wrong, first, second) == [msgspec.structs.replace(wrong, stage="c")]
    assert told(wrong, first, corrects(wrong)) == [wrong]


def test_a_retraction_can_be_taken_back() -> None:
    """And so can its taking back, in whatever order they are read."""
    one = fact("hired")
    gone = retracts(one)
    back = retracts(gone)
    assert told(one, gone) == []
    assert told(back, gone, one) == [one]
    assert told(retracts(back), back, gone, one) == []


def test_a_correction_taken_back_leaves_the_one_before() -> None:
    """The earlier correction stands again."""
    wrong = fact("stage_changed", stage="a")
    first, second = corrects(wrong, stage="b"), corrects(wrong, stage="c")
    assert [each.stage for each in told(wrong, first, second, retracts(second))] == ["b"]
