"""What a repair finds and appends about a fact, from what was recorded and what is told today."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from consumers.comparison import Comparison, Copy, Correction, Step, Told, copy_event_id
from schemas.event import Moment
from schemas.identifiers import touchpoint_id
from schemas.personal import Personal
from schemas.registry import touchpoint_class
from schemas.statement import Statement
from tests.support.builders import hours

CASEY, ROBIN, ALSO_CASEY = UUID(int=1), UUID(int=2), UUID(int=3)
NAME = Personal(name="Casey Doe")
COMPARISON = Comparison(
    now=hours(99),
    journey_of=lambda candidate: CASEY if candidate == ALSO_CASEY else candidate,
    digest=lambda content: hashlib.sha256(content).hexdigest()[:16],
)


def tells(
    candidate: UUID = CASEY, at: float = 0, personal: Personal | None = None, **fields: Any
) -> Told:
    """A delivery tells of a rejection."""
    touchpoint = touchpoint_class("rejection_sent").told(
        source="greenhouse",
        source_event_id="r/1",
        moment=Moment.of(hours(at)),
        delivery_id="d2",
        **fields,
    )
    return Told(Statement(touchpoint, (), personal), candidate)


def holds(told: Told, position: int = 1, **more: Any) -> Copy:
    """The log holds what was told, as it was told."""
    said = told.statement.touchpoint.model_copy(
        update={"candidate_id": told.candidate_id, "version": 1, "delivery_id": "d1"}
    )
    return Copy(said, position, told.statement.personal, **more)


def found(told: Told | None, *copies: Copy) -> list[Step]:
    return list(COMPARISON.steps(told, copies))


def verbs(steps: list[Step]) -> list[str]:
    return [step.verb for step in steps]


def said(step: Step) -> Any:
    """The touchpoint to append."""
    assert step.statement is not None
    return step.statement.touchpoint


def taken_in(copy: Copy, step: Step) -> Copy:
    """The copy after what a step appends was recorded."""
    assert step.statement is not None
    last = said(step).touchpoint_id
    if step.verb == "retracted":
        return replace(copy, retractions=(last,), last=last)
    if step.verb == "restored":
        return replace(copy, retractions=(), last=last)
    correction = Correction(said(step).corrected, step.statement.personal)
    return replace(copy, correction=correction, last=last)


def test_what_is_told_as_recorded_is_unchanged() -> None:
    """The delivery that told it may be another one."""
    (step,) = found(tells(reason="r", personal=NAME), holds(tells(reason="r", personal=NAME)))
    assert (step.verb, step.statement) == ("unchanged", None)


def test_what_is_unknown_is_added_as_told() -> None:
    """Under the id that its source gives it."""
    told = tells()
    (step,) = found(told)
    assert (step.verb, step.statement, step.candidate_id) == ("added", told.statement, CASEY)


def test_a_correction_carries_every_field_that_differs() -> None:
    """Also what is to be nothing; and it names what it corrects and the delivery that says so."""
    was = holds(tells(at=5, reason="r", stage="s"))
    (step,) = found(tells(at=0, stage="t"), was)
    assert (step.verb, set(step.fields)) == ("corrected", {"occurred_at", "reason", "stage"})
    made = said(step)
    assert made.corrected == {"occurred_at": "2026-03-02T09:00:00Z", "reason": None, "stage": "t"}
    assert (made.corrects, made.delivery_id) == (was.touchpoint.touchpoint_id, "d2")
    assert (made.source, made.occurred_at, step.candidate_id) == ("journey", hours(99), CASEY)


def test_a_second_correction_is_complete_in_itself() -> None:
    """The last one stands alone: it says again what the first said, if that still holds."""
    was = holds(tells(at=5, reason="r"))
    (first,) = found(tells(at=0, reason="r"), was)
    was = taken_in(was, first)
    assert verbs(found(tells(at=0, reason="r"), was)) == ["unchanged"]
    (second,) = found(tells(at=0, reason="q"), was)
    assert second.fields == ("reason",)
    assert said(second).corrected == {"occurred_at": "2026-03-02T09:00:00Z", "reason": "q"}


def test_what_was_right_at_first_is_corrected_back_with_nothing() -> None:
    """A correction without fields: as first told."""
    was = holds(tells(at=0))
    was = taken_in(was, found(tells(at=5), was)[0])
    (back,) = found(tells(at=0), was)
    assert (back.verb, said(back).corrected) == ("corrected", {})


def test_personal_data_are_sealed_in_the_correction() -> None:
    """Never among its fields; taken away, that is said among them."""
    was = holds(tells(personal=Personal(name="C?sey")))
    (step,) = found(tells(personal=NAME), was)
    assert (step.fields, said(step).corrected) == (("personal",), {})
    assert step.statement is not None
    assert step.statement.personal == NAME
    was = taken_in(was, step)
    assert verbs(found(tells(personal=NAME), was)) == ["unchanged"]
    (cleared,) = found(tells(), was)
    assert said(cleared).corrected == {"personal": None}
    was = taken_in(was, cleared)
    assert verbs(found(tells(), was)) == ["unchanged"]
    assert verbs(found(tells(personal=Personal()), was)) == ["unchanged"]


def test_another_correction_keeps_the_right_name() -> None:
    """It stands alone, so it seals again what differs from what was first told."""
    was = holds(tells(personal=Personal(name="C?sey")))
    was = taken_in(was, found(tells(personal=NAME), was)[0])
    (step,) = found(tells(at=1, personal=NAME), was)
    assert step.fields == ("occurred_at",)
    assert step.statement is not None
    assert step.statement.personal == NAME


def test_of_an_erased_person_nothing_is_said_again() -> None:
    """The key is gone: what is personal is neither compared nor sealed anew."""
    was = replace(holds(tells()), is_readable=False)
    assert verbs(found(tells(personal=NAME), was)) == ["unchanged"]
    (step,) = found(tells(at=1, personal=NAME), was)
    assert step.statement is not None
    assert (step.fields, step.statement.personal) == (("occurred_at",), None)


def test_what_nobody_tells_is_retracted_once() -> None:
    """What is retracted already stays so."""
    was = holds(tells())
    (step,) = found(None, was)
    assert (step.verb, said(step).retracts) == ("retracted", was.touchpoint.touchpoint_id)
    assert said(step).delivery_id == "d1"
    assert found(None, taken_in(was, step)) == []


def test_what_comes_back_is_restored_by_retracting_the_retraction() -> None:
    """Its id cannot be recorded twice; where it comes back otherwise, it is corrected too."""
    was = holds(tells())
    gone = found(None, was)[0]
    was = taken_in(was, gone)
    (back,) = found(tells(), was)
    assert (back.verb, said(back).retracts) == ("restored", said(gone).touchpoint_id)
    restored, corrected = found(tells(at=4), was)
    assert (restored.verb, corrected.verb) == ("restored", "corrected")


def test_another_persons_fact_is_retracted_and_said_again() -> None:
    """Its id is taken, so it gets one that is made of it and of whose it is."""
    was = holds(tells(ROBIN))
    retracted, added = found(tells(CASEY), was)
    assert (retracted.verb, retracted.candidate_id) == ("retracted", ROBIN)
    assert (added.verb, added.candidate_id) == ("added", CASEY)
    event_id = copy_event_id(was.touchpoint.touchpoint_id, CASEY)
    assert said(added).source_event_id == event_id
    assert said(added).touchpoint_id == touchpoint_id("greenhouse", event_id, "rejection_sent")
    assert said(added).content() == tells().statement.touchpoint.content()


def test_a_fact_that_goes_back_is_restored_where_it_was() -> None:
    """A stream holds one copy of a fact, whatever comes and goes."""
    first = holds(tells(ROBIN))
    retracted, added = found(tells(CASEY), first)
    first, second = (
        taken_in(first, retracted),
        Copy(said(added).model_copy(update={"candidate_id": CASEY}), 3),
    )
    assert verbs(found(tells(CASEY), first, second)) == ["unchanged"]
    steps = found(tells(ROBIN), first, second)
    assert [(step.verb, step.candidate_id) for step in steps] == [
        ("retracted", CASEY),
        ("restored", ROBIN),
    ]


def test_a_fact_of_another_kind_under_the_same_id_is_said_again() -> None:
    """Booked and moved share an id: which of them it was may be what is mended, there and back."""
    moved = tells()
    booked = moved.statement.touchpoint.model_copy()
    other = touchpoint_class("withdrew").trusted(dict(booked))
    was = replace(holds(moved), touchpoint=other.model_copy(update={"candidate_id": CASEY}))
    retracted, added = found(moved, was)
    assert verbs([retracted, added]) == ["retracted", "added"]
    assert said(added).KIND == "rejection_sent"
    assert said(added).touchpoint_id not in (booked.touchpoint_id, said(retracted).touchpoint_id)
    was = taken_in(was, retracted)
    again = Copy(said(added).model_copy(update={"candidate_id": CASEY}), 3)
    assert verbs(found(moved, was, again)) == ["unchanged"]


def test_a_merged_persons_fact_stays_where_it_is() -> None:
    """Both streams are read as one journey."""
    assert verbs(found(tells(ALSO_CASEY), holds(tells(CASEY)))) == ["unchanged"]


def test_of_two_copies_in_one_journey_one_is_read() -> None:
    """After a merge, the one that was recorded first."""
    one, two = holds(tells(CASEY), 1), holds(tells(ALSO_CASEY), 2)
    steps = found(tells(CASEY), two, one)
    assert [(step.verb, step.candidate_id) for step in steps] == [
        ("retracted", ALSO_CASEY),
        ("unchanged", CASEY),
    ]


@pytest.mark.parametrize("told", [None, tells(at=3)])
def test_what_was_amended_by_hand_is_left(told: Told | None) -> None:
    """Who did it knew better than the source."""
    was = replace(holds(tells()), by_hand=True)
    assert [(s.verb, s.statement) for s in found(told, was)] == [("by_hand", None)]


def test_the_same_finding_has_the_same_id_at_any_time() -> None:
    """So two repairs at once append it once."""
    was, told = holds(tells(at=5, personal=NAME)), tells()
    other = replace(COMPARISON, now=hours(500))
    ids = [
        [said(step).touchpoint_id for step in comparison.steps(told, [was])]
        for comparison in (COMPARISON, other)
    ]
    assert ids[0] == ids[1]


def test_what_is_said_again_later_is_said_under_another_id() -> None:
    """Spoilt, mended and spoilt the same way again: the log takes each of them."""
    was, ids = holds(tells(at=0)), set()
    for at in (5, 0, 5, 0):
        (step,) = found(tells(at=at), was)
        ids.add(said(step).touchpoint_id)
        was = taken_in(was, step)
    for told in (None, tells(), None, tells()):
        (step,) = found(told, was)
        ids.add(said(step).touchpoint_id)
        was = taken_in(was, step)
    assert len(ids) == 8


def test_nothing_personal_is_in_an_id() -> None:
    """A name in the open, or a digest that anybody can make, would be one."""
    seen: list[bytes] = []

    def digest(content: bytes) -> str:
        seen.append(content)
        return "d1g35t"

    comparison = replace(COMPARISON, digest=digest)
    (step,) = comparison.steps(tells(personal=NAME), [holds(tells())])
    assert said(step).source_event_id.split("/")[2:4] == ["corrected", "d1g35t"]
    assert b"Casey" in seen[0]
