"""Interview schedules of Ashby: booked, moved, held, cancelled, and availability asked for.

An interview schedule is one appointment, of one slot or several, and the interview of our
touchpoints is the schedule: its slots change their ids when it is booked anew, and a cancellation
no longer lists them. Each set of slots is one booking, called a move if the slots were edited
later. An edit that leaves the times alone is no news to the candidate and tells nothing; moved
away and back to the very same slots is not told again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from consumers.ats_adapters.adapter import Translation
from consumers.ats_adapters.ashby_told import AshbyTold, stamp
from consumers.ats_adapters.told import digest_of, required
from schemas.ats.ashby import Schedule, Slot
from schemas.event import Moment, Touchpoint
from schemas.identifiers import touchpoint_id
from schemas.statement import Statement
from schemas.touchpoints import (
    AvailabilityProvided,
    AvailabilityRequested,
    InterviewCancelled,
    InterviewHeld,
    InterviewMoved,
    InterviewScheduled,
    ScorecardSubmitted,
    UnrecognisedTouchpoint,
)

_SETTLING = timedelta(minutes=2)
"""Within so long a new slot is still being entered (rooms, links), and not edited."""


@dataclass(frozen=True, slots=True)
class _Appointment:
    """An interview schedule that a delivery is about."""

    told: AshbyTold
    said: Schedule
    schedule_id: str
    application_id: str

    @classmethod
    def of(cls, told: AshbyTold) -> _Appointment:
        said = Schedule.read(told.payload)
        return cls(
            told,
            said,
            required(said.schedule_id, "data.interviewSchedule.id"),
            required(said.application_id, "data.interviewSchedule.applicationId"),
        )

    def translation(self, touchpoints: Iterable[Touchpoint]) -> Translation:
        person = self.told.keys(candidate=self.said.candidate_id, application=self.application_id)
        return Translation(tuple(Statement(touchpoint, person) for touchpoint in touchpoints))

    def touchpoint(
        self, kind: type[Touchpoint], fact: str, when: Moment, **fields: Any
    ) -> Touchpoint:
        return self.told.touchpoint(
            kind,
            f"interviewSchedule/{self.schedule_id}/{fact}",
            when,
            application_id=self.told.scoped(self.application_id),
            **fields,
        )

    def interview(self) -> str | None:
        return self.told.scoped(self.schedule_id)

    def updated(self) -> Moment:
        return self.told.moment(self.said.updated_at, "inferred")

    def version(self) -> str:
        """Tells two states of one schedule apart, and not a state from its retry or echo."""
        at = self.said.updated_at
        return self.told.click() if at is None else stamp(at)


def schedule_changed(told: AshbyTold) -> Translation:
    """`interviewScheduleCreate` and `…Update`: all that the state of a schedule shows."""
    appointment = _Appointment.of(told)
    said = appointment.said
    status = said.status
    if said.slots and status in _BOOKED:
        return appointment.translation(_booked(appointment))
    # Nobody scheduled it and it lists nothing: a plan was dropped that the candidate never knew.
    if status == "cancelled" and (said.has_events or said.scheduled_by is not None):
        return appointment.translation([_cancelled(appointment)])
    if kind := _AVAILABILITY.get(status):
        # On a page of Ashby's that shows and takes times in the zone of whoever looks at it.
        asked = appointment.touchpoint(
            kind, f"{status}/{appointment.version()}", appointment.updated(), channel="web"
        )
        return appointment.translation([asked])
    kept = appointment.touchpoint(
        UnrecognisedTouchpoint,
        f"kept/{appointment.version()}",
        appointment.updated(),
        label=f"interview schedule {_STATUSES.get(status, 'of unknown status')}",
    )
    return appointment.translation([kept])


_BOOKED = frozenset({"scheduled", "waitingonfeedback", "complete"})
_AVAILABILITY: dict[str, type[Touchpoint]] = {
    "waitingoncandidatebooking": AvailabilityRequested,
    "waitingoncandidateavailability": AvailabilityRequested,
    "candidateavailabilitysubmitted": AvailabilityProvided,
}
_STATUSES = {
    "needsscheduling": "to be scheduled",
    "scheduled": "without times",
    "waitingonfeedback": "without times",
    "complete": "without times",
    "cancelled": "dropped before it was booked",
    "onhold": "on hold",
}


def _booked(appointment: _Appointment) -> list[Touchpoint]:
    """The booking, the feedback there is, and that it took place, as far as the state shows it.

    `WaitingOnFeedback` is no sign of that: Ashby says so as soon as the time has passed.
    """
    facts = [_booking(appointment)]
    facts += [
        appointment.touchpoint(
            ScorecardSubmitted,
            f"event/{slot.event_id}/feedback",
            appointment.told.moment(slot.updated_at or appointment.said.updated_at, "inferred"),
            interview_id=appointment.interview(),
        )
        for slot in appointment.said.slots
        if slot.has_feedback and slot.event_id is not None
    ]
    if appointment.said.status == "complete":
        facts.append(_held(appointment))
    return facts


def _booking(appointment: _Appointment) -> Touchpoint:
    """That these slots are booked: one fact, whether it is told as a booking or as a move."""
    told, slots = appointment.told, appointment.said.slots
    moved = told.action != "interviewScheduleCreate" and _was_moved(slots)
    touchpoint = appointment.touchpoint(
        InterviewMoved if moved else InterviewScheduled,
        f"booked/{_times_of(slots)}",
        _booked_at(appointment, moved),
        starts_at=min(slot.starts_at for slot in slots),
        ends_at=max(slot.ends_at for slot in slots),
        interview_id=appointment.interview(),
        actor=told.user(appointment.said.scheduled_by),
    )
    # One id for both words: an edit of another kind also shows up as a changed slot, and must
    # not turn a booking that is known into a move.
    same_id = touchpoint_id(told.source, touchpoint.source_event_id, InterviewScheduled.KIND)
    return touchpoint.model_copy(update={"touchpoint_id": same_id})


def _times_of(slots: Sequence[Slot]) -> str:
    """The times of all slots as part of an id, each once."""
    times = sorted({f"{stamp(slot.starts_at)}/{stamp(slot.ends_at)}" for slot in slots})
    return digest_of("\n".join(times).encode())


def _was_moved(slots: Sequence[Slot]) -> bool:
    """Whether slots were edited while they lay ahead, or some were made later than others."""
    made = _made(slots)
    return bool(_edits_ahead(slots)) or (bool(made) and max(made) - min(made) > _SETTLING)


def _booked_at(appointment: _Appointment, moved: bool) -> Moment:
    slots = appointment.said.slots
    times = [*_made(slots), *(_edits_ahead(slots) if moved else ())]
    if not times:
        return appointment.updated()
    untouched = not moved and not any(map(_is_edited, slots))
    return Moment.of(max(times), quality="exact" if untouched else "inferred")


def _made(slots: Sequence[Slot]) -> list[datetime]:
    return [slot.created_at for slot in slots if slot.created_at is not None]


def _edits_ahead(slots: Sequence[Slot]) -> list[datetime]:
    """When slots were edited before their time; an edit after it is feedback, and no move."""
    return [
        slot.updated_at
        for slot in slots
        if slot.updated_at is not None and _is_edited(slot) and slot.updated_at < slot.starts_at
    ]


def _is_edited(slot: Slot) -> bool:
    made, updated = slot.created_at, slot.updated_at
    return made is not None and updated is not None and updated - made > _SETTLING


def _held(appointment: _Appointment) -> Touchpoint:
    """Complete: every feedback is in. At its end, unless it was over sooner."""
    slots, updated = appointment.said.slots, appointment.said.updated_at
    ends_at = max(slot.ends_at for slot in slots)
    at = ends_at if updated is None else min(ends_at, updated)
    return appointment.touchpoint(
        InterviewHeld,
        f"held/{_times_of(slots)}",
        Moment.of(at, quality="inferred"),
        ends_at=at,
        interview_id=appointment.interview(),
    )


def _cancelled(appointment: _Appointment) -> Touchpoint:
    """Once a schedule: later edits of a cancelled one are no second cancellation."""
    return appointment.touchpoint(
        InterviewCancelled,
        "cancelled",
        appointment.updated(),
        interview_id=appointment.interview(),
    )
