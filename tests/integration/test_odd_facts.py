"""Odd ids, words and times, signed by the ATS itself: recorded, and no view stops at them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from consumers import inbox
from consumers.connections import Connections
from consumers.ingest import Ingest
from consumers.repair import Repair
from journey.database import Database
from projections.rebuild import rebuild
from projections.runner import Runner
from tests.support.builders import T0, a_log, days, statement, the_meaning
from tests.support.fakes import FrozenClock
from tests.support.payloads import RECEIVED_AT, Payloads

ASHBY, GREENHOUSE, LEVER = (Payloads(name) for name in ("ashby", "greenhouse", "lever"))
NUL = "a\u0000b"
END = datetime.max.replace(tzinfo=UTC)
ODD: dict[str, tuple[Payloads, dict[str, Any]]] = {
    "id of an application": (
        ASHBY,
        ASHBY.changed("application_submitted", "data", "application", id=NUL),
    ),
    "id of an opportunity": (
        LEVER,
        LEVER.changed("application_created", "data", opportunityId=NUL),
    ),
    "id of a job": (
        ASHBY,
        ASHBY.changed("application_submitted", "data", "application", "job", id=NUL),
    ),
    "name of a stage": (
        GREENHOUSE,
        GREENHOUSE.changed(
            "moved_to_phone_screen", "payload", "application", current_stage={"id": 1, "name": NUL}
        ),
    ),
    "a stage of a million characters": (
        GREENHOUSE,
        GREENHOUSE.changed(
            "moved_to_phone_screen",
            "payload",
            "application",
            current_stage={"id": 1, "name": "a" * 10**6},
        ),
    ),
    "a date that stands for never": (
        GREENHOUSE,
        GREENHOUSE.changed(
            "application_received", "payload", "application", applied_at="9999-12-31"
        ),
    ),
    "a time of year 1": (
        ASHBY,
        ASHBY.changed(
            "application_submitted", "data", "application", createdAt="0001-01-01T00:00:00Z"
        ),
    ),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_an_ats_writes_stops_no_view(database: Database, odd: str) -> None:
    """It is translated, recorded and folded, and a repair finds nothing to mend."""
    system, body = ODD[odd]
    log, clock = a_log(database), FrozenClock()
    connections = Connections([system.connection()])
    with database.transaction() as connection:
        inbox.keep(connection, [system.delivery(body)])
    assert Ingest(database, log, connections, clock).drain().touchpoints == 1
    Runner(database, the_meaning()).catch_up()
    repair = Repair(database, log, connections, clock)
    assert repair.run(system.name, RECEIVED_AT).appended == 0


def test_what_any_door_lets_in_stops_no_view(database: Database) -> None:
    """Files and mappings may say what no ATS does: the end of time, and what no text can hold."""
    log, runner = a_log(database), Runner(database, the_meaning())
    log.put_statements(
        [
            statement("application_submitted", T0, application=NUL, stage=NUL, job_id=NUL),
            statement("interview_scheduled", days(1), application=NUL, starts_at=END, ends_at=END),
            statement("message_received", END, application="b"),
            statement("rejection_sent", END, application="c", reason=NUL),
        ]
    )
    runner.catch_up()
    with database.transaction() as connection:
        rows = connection.execute("SELECT application_id FROM applications ORDER BY 1").fetchall()
    assert [row[0] for row in rows] == [f"greenhouse:{name}" for name in ("a\ufffdb", "b", "c")]
    assert not any(rebuild(database, the_meaning(), T0).differences.values())
