"""What views and the sweeper share: evidence, and when something becomes a person's business."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A touchpoint that proves something. `says` holds times it, or the silence, gave.

    As JSON: `{"id": …, "kind": …, "at": …}`, and `precision` and `says` where they matter.
    """

    id: str
    kind: str
    at: datetime
    precision: str = "instant"
    says: dict[str, datetime] | None = None


class Deadline(NamedTuple):
    """A row of table `deadlines`, in the order of its columns, but for `row_key`.

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
    evidence: Sequence[Evidence]
