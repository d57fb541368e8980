"""A delivery of Ashby's being read: what its applications, interviews and offers are told with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from consumers.ats_adapters.told import Told
from schemas.event import Moment, Quality


@dataclass(frozen=True, slots=True)
class AshbyTold(Told):
    """A delivery of Ashby's; one click of a user's sends several."""

    webhook_action_id: str | None

    def moment(self, at: datetime | None, quality: Quality = "exact") -> Moment:
        """This time; when there is none, an unknown one."""
        return self.received() if at is None else Moment.of(at, quality=quality)

    def click(self) -> str:
        """What stands for a fact without a time of its own: the same in every retry and echo."""
        return self.webhook_action_id or self.digest()


def stamp(at: datetime) -> str:
    """A time as part of an id."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
