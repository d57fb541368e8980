"""What was recorded, and what was said about it afterwards: the past of a repair.

What was recorded from a delivery is found by one pass over the log, from where the first of it can
be. What was said about it are corrections and retractions, by hand, by an earlier repair or
by a log that was imported again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from consumers.comparison import PREFIX, Copy, Correction
from consumers.inbox import Span
from journey.database import Connection as DatabaseConnection
from journey.journey_log import OWN_SOURCE, JourneyLog
from journey.storage import touchpoint_of
from projections.effective import KEEPERS, standing
from projections.fact import Fact
from projections.merging import MERGE_KINDS
from projections.reading import fact_of
from schemas.event import Touchpoint
from schemas.personal import Personal
from schemas.upcasting import topics_of

# Clocks of receivers and of ingest processes differ, by less than this.
_CLOCKS = timedelta(days=1)


_CONCLUDED = topics_of(KEEPERS | MERGE_KINDS)
"""What the engine concludes; it may name the delivery that made it so, and is not told by it."""


def find_recorded(session: DatabaseConnection, chosen: Span) -> None:
    """Touchpoints of the deliveries, with the fact each is a copy of, into `repair_recorded`.

    A table of the session: (touchpoint_id, delivery_id, fact), indexed by the last two.

    One pass over the log from about where the first of them can be: the log names deliveries
    inside its states, and an index on that would cost every append for what is rarely asked.
    """
    session.execute(
        "CREATE TEMP TABLE repair_recorded (touchpoint_id uuid, delivery_id uuid, fact uuid)"
    )
    # A merge would sort the whole log, states and all.
    session.execute("SET enable_mergejoin = off")
    session.execute(
        _RECORDED,
        {
            "after": _position_before(session, chosen.since - _CLOCKS),
            "concluded": _CONCLUDED,
            "connection": chosen.connection,
            "since": chosen.since,
        },
    )
    session.execute("CREATE INDEX ON repair_recorded (fact)")
    session.execute("CREATE INDEX ON repair_recorded (delivery_id)")
    session.execute("ANALYZE repair_recorded")
    session.execute("RESET enable_mergejoin")


_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


# Bytes are searched, not JSON: in text from outside a quote is escaped, so only the field itself
# looks like this. A copy in another stream names the fact it is a copy of and its own stream.
def _copied_fact(state: str, stream: str) -> str:
    named = f"""'"source_event_id":"{PREFIX}({_UUID})/' || {stream} || '"'"""
    return f"substring(convert_from({state}, 'UTF8') FROM {named})::uuid"


_RECORDED = f"""
INSERT INTO repair_recorded
SELECT found.touchpoint_id, deliveries.delivery_id,
       coalesce({_copied_fact("found.of_another", "found.originator_id")}, found.touchpoint_id)
FROM (
    SELECT touchpoint_id, originator_id,
           encode(
               substring(state FROM position('"delivery_id":"'::bytea IN state) + 15 FOR 36),
               'escape') AS delivery_id,
           CASE WHEN position('"source_event_id":"{PREFIX}'::bytea IN state) > 0
                THEN state END AS of_another
    FROM journey_events
    WHERE notification_id > %(after)s AND topic <> ALL(%(concluded)s)
      AND position('"delivery_id":"'::bytea IN state) > 0
) AS found
JOIN deliveries ON deliveries.delivery_id::text = found.delivery_id
WHERE deliveries.connection = %(connection)s AND deliveries.received_at >= %(since)s
"""


_COPIES = f"""
INSERT INTO found_copies SELECT {_copied_fact("state", "originator_id")}, touchpoint_id
FROM journey_events
WHERE topic <> ALL(%s) AND position('"source_event_id":"{PREFIX}'::bytea IN state) > 0
"""


def find_copies(session: DatabaseConnection) -> None:
    """Copies of facts in other streams than their first, into `found_copies`.

    A table of the session: (fact, touchpoint_id), indexed by the fact. One pass over the log.
    """
    session.execute("CREATE TEMP TABLE found_copies (fact uuid, touchpoint_id uuid)")
    session.execute(_COPIES, [_CONCLUDED])
    session.execute("DELETE FROM found_copies WHERE fact IS NULL")
    session.execute("CREATE INDEX ON found_copies (fact)")
    session.execute("ANALYZE found_copies")


def _position_before(session: DatabaseConnection, moment: datetime) -> int:
    """A position of the log up to which all was recorded before a moment."""
    row = session.execute("SELECT position FROM log_head").fetchone()
    low, high = 0, int(row[0]) if row is not None else 0
    while low < high:
        middle = (low + high + 1) // 2
        row = session.execute(
            "SELECT topic, state FROM journey_events WHERE notification_id = %s",
            [middle],
            binary=True,
        ).fetchone()
        recorded_at = None if row is None else fact_of(row[0], row[1], middle).recorded_at
        if recorded_at is not None and recorded_at < moment:
            low = middle
        else:
            high = middle - 1
    return low


def read_copies(
    session: DatabaseConnection, log: JourneyLog, rows: Sequence[tuple[Any, ...]]
) -> list[Copy]:
    """Copies of facts with everything said about each since, from rows of the log.

    A row begins with originator_id, originator_version, topic, state, notification_id.
    """
    found = [(touchpoint_of(*row[:4]), row[4]) for row in rows]
    streams = {touchpoint.originator_id for touchpoint, _ in found}
    amendments = Amendments.read(session, log.members_of_all(session, list(streams)))
    keys = log.vault.known_keys(session, streams)

    def opened(sealed: Touchpoint) -> Personal | None:
        key = keys.get(sealed.originator_id)
        if sealed.personal is None or key is None:
            return None
        personal = log.vault.open(key, sealed.originator_id, sealed.personal)
        return None if personal.is_empty() else personal

    def copy(touchpoint: Touchpoint, position: int) -> Copy:
        is_readable = touchpoint.personal is None or touchpoint.originator_id in keys
        made = Copy(touchpoint, position, opened(touchpoint), is_readable)
        return amendments.taken_into(made, opened)

    return [copy(*each) for each in found]


@dataclass(slots=True)
class Amendments:
    """Corrections and retractions of some streams, by what they are about in the end."""

    touchpoints: dict[str, Touchpoint]
    about: dict[str, list[Fact]]
    retractions: dict[str, list[Fact]]
    corrections: dict[str, Fact]

    @classmethod
    def read(cls, session: DatabaseConnection, streams: Sequence[UUID]) -> Amendments:
        """All there are in these streams."""
        rows = session.execute(
            "SELECT originator_id, originator_version, topic, state, notification_id "
            "FROM journey_events WHERE originator_id = ANY(%s) AND topic = ANY(%s) "
            "ORDER BY notification_id",
            [list(streams), topics_of(KEEPERS)],
            binary=True,
        ).fetchall()
        facts = [fact_of(row[2], row[3], row[4]) for row in rows]
        about: dict[str, list[Fact]] = {}
        root: dict[str, str] = {}
        for fact in facts:
            named = fact.retracts or fact.corrects or ""
            # A retraction of a retraction is about what that one was about.
            root[fact.touchpoint_id] = root.get(named, named)
            about.setdefault(root[fact.touchpoint_id], []).append(fact)
        touchpoints = {
            fact.touchpoint_id: touchpoint_of(*row[:4])
            for fact, row in zip(facts, rows, strict=True)
        }
        return cls(touchpoints, about, *standing(facts))

    def taken_into(self, copy: Copy, opened: Callable[[Touchpoint], Personal | None]) -> Copy:
        """The copy with what was said about it."""
        key = str(copy.touchpoint.touchpoint_id)
        said = self.about.get(key)
        if not said:
            return copy
        correction = self.corrections.get(key)
        return replace(
            copy,
            retractions=tuple(UUID(each.touchpoint_id) for each in self.retractions.get(key, ())),
            correction=None if correction is None else self._correction(correction, opened),
            last=UUID(said[-1].touchpoint_id),
            by_hand=any(
                not self._is_ours(each) and each.touchpoint_id not in self.retractions
                for each in said
            ),
        )

    def _correction(
        self, fact: Fact, opened: Callable[[Touchpoint], Personal | None]
    ) -> Correction:
        return Correction(fact.corrected or {}, opened(self.touchpoints[fact.touchpoint_id]))

    def _is_ours(self, fact: Fact) -> bool:
        told = self.touchpoints[fact.touchpoint_id]
        return told.source == OWN_SOURCE and told.source_event_id.startswith(PREFIX)


__all__ = ["find_copies", "find_recorded", "read_copies"]
