"""A touchpoint as the folds read it: decoded straight from the stored state, in C.

The pydantic classes in `schemas/` guard what is written; reading ten years back needs no second
validation, so folds get this flat, picklable struct. Fields a kind does not have are None.
A contract test holds it to the registry: every field a fold or rule may name is here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


def later(moment: datetime, span: timedelta) -> datetime:
    """So much later; at most the last moment there is, which some sources write for "never"."""
    try:
        return moment + span
    except OverflowError:
        return _END_OF_TIME


class Fact(msgspec.Struct, kw_only=True, gc=False):
    """One touchpoint of a journey. Times are aware and in UTC.

    `kind`, `position` and `candidate_id` come from the log's columns, the rest from the state.
    """

    touchpoint_id: str
    occurred_at: datetime
    source: str
    recorded_at: datetime | None = None
    kind: str = ""
    position: int = 0
    occurred_precision: str = "instant"
    occurred_quality: str = "exact"
    application_id: str | None = None
    job_id: str | None = None
    stage: str | None = None
    channel: str = "ats"
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    due_at: datetime | None = None
    time_zone: str | None = None
    interview_id: str | None = None
    offer_id: str | None = None
    survey_id: str | None = None
    reason: str | None = None
    what: str | None = None
    label: str | None = None
    score: int | None = None
    asks: bool = False
    late: bool = False
    corrects: str | None = None
    corrected: dict[str, Any] | None = None
    retracts: str | None = None
    absorbed: UUID | None = None
    released: UUID | None = None

    @property
    def certainly_by(self) -> datetime:
        """The latest moment it may have happened: the end of the day for a day-only fact."""
        if self.occurred_precision == "instant":
            return self.occurred_at
        return later(self.occurred_at, _DAY if self.occurred_precision == "day" else _MINUTE)
