"""A silence as a plain struct: what the table `silences` holds.

Ids of touchpoints and candidates come as in the tables; times are aware and in UTC.
"""

from __future__ import annotations

from datetime import datetime
from operator import attrgetter
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


in_order = attrgetter("since", "application_id", "began_by")
"""The order in which the silences of a journey are told, ties settled."""
