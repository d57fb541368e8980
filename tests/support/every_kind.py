"""A log with everything in it: every kind, every field, old versions, merges, text at its worst."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import orjson

from journey.database import Database
from journey.journey_log import JourneyLog
from journey.storage import NewEvent, append, touchpoint_of
from projections.columns import own_columns
from schemas.event import Actor, Moment, Touchpoint
from schemas.identifiers import PersonKey
from schemas.personal import Personal
from schemas.registry import TOUCHPOINTS
from schemas.statement import Statement
from schemas.touchpoints import CandidatesMerged, CandidatesUnmerged
from tests.support.builders import T0, a_log, statement
from tests.support.fakes import FrozenClock

TEXT = "=1+1 \"said\" <b> & 'so', _x0008_ \x08\x1f tab\there\r\nnext ü 漢 😀"
"""What a spreadsheet, XML, CSV and a terminal might stumble over."""

NAME, EMAIL, NOTE = "Noor Examplesdottir", "noor.examplesdottir@example.org", "Blue bicycle"
PERSONAL = Personal(
    name=NAME, emails=(EMAIL,), phones=("+31612345678",), addresses=("1 High Street, Examplecity",),
    links=("https://people.example.org/noor",), text={"notes": NOTE},
)  # fmt: skip
PERSONAL_TEXTS = (NAME, EMAIL, "+31612345678", "Examplecity", "people.example.org", NOTE)

_IDS = UUID(int=7, version=5)
_MADE_BY_THE_LOG = (CandidatesMerged, CandidatesUnmerged)


def value_of(cls: type[Touchpoint], name: str, number: int) -> Any:
    """Some value for a kind's own field, by the field's type."""
    kind = str(cls.model_fields[name].annotation)
    if "UUID" in kind:
        return uuid5(_IDS, f"{name}{number}")
    if "Datetime" in kind:
        return T0 + timedelta(days=3, microseconds=number)
    if "bool" in kind:
        return True
    if "int" in kind:
        return number % 11
    if "dict" in kind:
        return {"stage": TEXT, "occurred_at": "2026-03-01T10:00:00Z", "score": 3, "actor": None}
    return f"{TEXT} {name}"


def in_full(cls: type[Touchpoint], number: int) -> Statement:
    """A kind with every field set, two of them to a candidate."""
    own = {name: value_of(cls, name, number) for name in own_columns(cls.KIND)}
    touchpoint = cls.told(
        source="a source;of=ours",
        source_event_id=f"{TEXT}/{number}",
        moment=Moment.of(
            datetime.fromisoformat("2026-02-03T10:00:00.000100+05:30") + timedelta(hours=number),
            quality="inferred",
            precision="minute",
        ),
        application_id=f"+a source:{number // 4}\n{TEXT}",
        job_id=f"-a source:{number % 3}",
        delivery_id=f"delivery/{number}",
        stage=TEXT,
        channel="email",
        actor=Actor(type="person", id=f"@{TEXT}"),
        late=True,
        **own,
    )
    return Statement(touchpoint, (PersonKey("ours:candidate", str(number // 2)),), PERSONAL)


def blank(cls: type[Touchpoint], number: int) -> Statement:
    """A kind with nothing set that may be left out."""
    needed = {
        name: value_of(cls, name, number)
        for name in own_columns(cls.KIND)
        if cls.model_fields[name].is_required()
    }
    touchpoint = cls.told(
        source="plain",
        source_event_id=str(number),
        moment=Moment.of(T0 + timedelta(hours=number)),
        **needed,
    )
    return Statement(touchpoint, (PersonKey("ours:candidate", str(number // 2)),))


def record_everything(database: Database, clock: FrozenClock | None = None) -> JourneyLog:
    """Every kind in full and blank, a story with what rules and policies find, corrections that
    hold, old versions, people found to be one and told apart again."""
    log = a_log(database, clock)
    kinds = [cls for cls in TOUCHPOINTS.values() if cls not in _MADE_BY_THE_LOG]
    log.put_statements([in_full(cls, number) for number, cls in enumerate(kinds)])
    log.put_statements([blank(cls, number) for number, cls in enumerate(kinds)])
    log.put_statements(_story())
    _amend(log)
    _old_versions(database)
    _merge(log)
    return log


def _story() -> list[Statement]:
    told = []
    for person in ("s1", "s2", "s3"):
        for day, kind in enumerate(
            ("application_submitted", "interview_held", "rejection_decided", "rejection_sent",
             "reference_contacted", "chaser_received"),
        ):  # fmt: skip
            at = T0 - timedelta(days=100 - 9 * day)
            told.append(statement(kind, at, person=person, application=person, stage="Onsite"))
    told.append(statement("application_submitted", T0, person="s4", application="s4"))
    return told


def _amend(log: JourneyLog) -> None:
    """What rules and policies say depends on these."""
    said = [
        statement("interview_held", T0, person="amended", application="am", event="wrong"),
        statement("rejection_sent", T0, person="amended", application="am", event="never"),
    ]
    wrong, never = (each.touchpoint.touchpoint_id for each in said)
    log.put_statements(said)
    log.put_statements(
        [
            statement(
                "touchpoint_corrected", person="amended", application="am", corrects=wrong,
                corrected={"occurred_at": "2026-01-05T09:00:00Z", "stage": "Phone"},
            ),
            statement("touchpoint_retracted", person="amended", application="am", retracts=never),
        ]
    )  # fmt: skip


def _old_versions(database: Database) -> None:
    """As earlier versions of the program stored them."""
    states = {
        "touchpoint.interview_scheduled.v1": {
            "starts_at": "2026-03-05T10:00:00Z", "duration_minutes": 45,
        },
        "touchpoint.touchpoint_corrected.v1": {
            "corrects": str(uuid5(_IDS, "nothing")), "corrected_stage": "Before",
        },
    }  # fmt: skip
    with database.transaction() as connection:
        append(
            connection,
            [
                NewEvent(
                    uuid5(_IDS, "old"),
                    uuid5(_IDS, topic),
                    topic,
                    orjson.dumps(
                        {
                            "touchpoint_id": str(uuid5(_IDS, topic)),
                            "application_id": "old:1",
                            "occurred_at": "2026-01-02T10:00:00.500000Z",
                            "source": "old",
                            "source_event_id": topic,
                            **own,
                            "recorded_at": "2026-01-02T10:00:00Z",
                        }
                    ),
                )
                for topic, own in states.items()
            ],
        )


def _merge(log: JourneyLog) -> None:
    """`m1` and `m2` are one; so were `m3` and `m4`, until they were told apart."""
    for one, other in (("m1", "m2"), ("m3", "m4")):
        for person in (one, other):
            log.put_statements(
                [statement("application_submitted", person=person, application=person)]
            )
        log.put_statements(
            [
                statement(
                    "message_sent", person=one, application=one,
                    same_as=(PersonKey("greenhouse:candidate", other),),
                )
            ]
        )  # fmt: skip
    with log.database.transaction() as connection:
        released = connection.execute(
            "SELECT absorbed FROM identity_merges ORDER BY since_position DESC LIMIT 1"
        ).fetchone()
        assert released is not None
        assert log.unmerge(released[0], connection, by="a colleague")


def recorded(database: Database, *, versions: bool = True) -> dict[str, dict[str, Any]]:
    """Touchpoint id → all that is recorded of it, but for what a log knows of itself."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT originator_id, originator_version, topic, state FROM journey_events",
            binary=True,
        ).fetchall()
    found = {}
    for row in rows:
        touchpoint = touchpoint_of(*row)
        document = touchpoint.model_dump(mode="json", exclude={"recorded_at", "personal"})
        document |= {"kind": touchpoint.KIND, "candidate": row[0]}
        document |= {"version": row[1]} if versions else {}
        found[str(touchpoint.touchpoint_id)] = document
    return found


def texts_in(path: Path) -> str:
    """What anybody would find in a file of any format, decompressed."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return str(pq.read_table(path).to_pylist())
    return path.read_bytes().decode("utf-8", "replace")


__all__ = ["PERSONAL", "PERSONAL_TEXTS", "record_everything", "recorded", "texts_in"]
