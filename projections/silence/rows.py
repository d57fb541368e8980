"""The rows of silence as plain structs: what the table `silences` holds, and `deadlines`.

Ids of touchpoints and candidates come as in the tables; times are aware and in UTC.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec


class SilenceRow(msgspec.Struct, kw_only=True, gc=False):
    """A span in which the employer owed and nothing came; the columns of table `silences`."""

    candidate_id: UUID
    application_id: str
    began_by: str
    began_kind: str
    since: datetime
    until: datetime | None = None
    ended_by: str | None = None
    ended_kind: str | None = None
    job_id: str | None = None
    stage: str | None = None
    source: str
    last_interview_at: datetime | None = None
    interviews: int = 0
    chases: int = 0


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """A touchpoint that proves something: its id, its kind, and when it counts from."""

    id: str
    kind: str
    at: datetime


class Deadline(msgspec.Struct, gc=False):
    """When something becomes what a person must see; the columns of table `deadlines`.

    `subject` is `silence` or `contradiction`, `name` the policy or rule, `level` how bad it is
    from `due_at` on. Every level of one alert has the same `alert_key`.
    """

    due_at: datetime
    subject: str
    candidate_id: UUID
    application_id: str | None
    name: str
    level: str
    alert_key: str
    since: datetime
    evidence: list[Evidence]
