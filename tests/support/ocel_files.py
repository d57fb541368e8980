"""Small and large OCEL files of our own, in each encoding."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import quoteattr


@dataclass(frozen=True)
class OcelEvent:
    """An event: id, type, time, ids of its objects, attributes."""

    id: str
    type: str
    time: str
    objects: tuple[str, ...]
    attributes: dict[str, str] = field(default_factory=dict)


OBJECTS = (("app1", "applications"), ("app2", "applications"), ("r1", "recruiters"))
EMAILS = (
    ("app1", "", "old@example.org"),
    ("app1", "2026-01-07T00:00:00Z", "new@example.org"),
)
EVENTS = (
    OcelEvent("e1", "apply", "2026-01-05T09:00:00Z", ("app1",), {"channel": "web"}),
    OcelEvent("e2", "apply", "2026-01-05T09:00:00Z", ("app2",)),
    OcelEvent("e3", "compare", "2026-01-06T09:00:00Z", ("app1", "app2", "r1")),
    OcelEvent("e4", "lunch", "2026-01-06T12:00:00Z", ("r1",)),
    OcelEvent("e5", "reject", "2026-01-08T09:00:00Z", ("r1", "app1")),
)
"""Two applications, an event about both, and one about neither."""


def ocel_json(
    path: Path, events: Sequence[OcelEvent] = EVENTS, *, objects_last: bool = False
) -> Path:
    """OCEL 2.0 in JSON."""
    told = [
        {
            "id": event.id,
            "type": event.type,
            "time": event.time,
            "attributes": [{"name": n, "value": v} for n, v in event.attributes.items()],
            "relationships": [{"objectId": each, "qualifier": ""} for each in event.objects],
        }
        for event in events
    ]
    objects = [
        {
            "id": object_id,
            "type": object_type,
            "attributes": [
                {"name": "email", "time": time, "value": value}
                for owner, time, value in EMAILS
                if owner == object_id
            ],
        }
        for object_id, object_type in OBJECTS
    ]
    types = {
        "objectTypes": [
            {"name": "applications", "attributes": [{"name": "email", "type": "string"}]},
            {"name": "recruiters", "attributes": []},
        ],
        "eventTypes": [
            {"name": "apply", "attributes": [{"name": "channel", "type": "string"}]},
        ],
    }
    lists = {"events": told, "objects": objects} if objects_last else {
        "objects": objects, "events": told,
    }  # fmt: skip
    path.write_text(json.dumps({**types, **lists}), encoding="utf-8")
    return path


def ocel_json_1(path: Path) -> Path:
    """OCEL 1.0 in JSON."""
    document = {
        "ocel:global-log": {"ocel:object-types": ["applications", "recruiters"]},
        "ocel:events": {
            event.id: {
                "ocel:activity": event.type,
                "ocel:timestamp": event.time,
                "ocel:omap": list(event.objects),
                "ocel:vmap": event.attributes,
            }
            for event in EVENTS
        },
        "ocel:objects": {
            object_id: {
                "ocel:type": object_type,
                "ocel:ovmap": {"email": "new@example.org"} if object_id == "app1" else {},
            }
            for object_id, object_type in OBJECTS
        },
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def ocel_xml(path: Path) -> Path:
    """OCEL 2.0 in XML."""
    lines = [
        "<?xml version='1.0' encoding='UTF-8'?><log><object-types>",
        '<object-type name="applications"><attributes><attribute name="email" type="string"/>'
        "</attributes></object-type></object-types><event-types>",
        '<event-type name="apply"><attributes><attribute name="channel" type="string"/>'
        "</attributes></event-type></event-types><objects>",
    ]
    for object_id, object_type in OBJECTS:
        told = "".join(
            f'<attribute name="email" time="{time}">{value}</attribute>'
            for owner, time, value in EMAILS
            if owner == object_id
        )
        lines.append(
            f'<object id="{object_id}" type="{object_type}"><attributes>{told}</attributes>'
            '<objects><relationship object-id="r1" qualifier="x"/></objects></object>'
        )
    lines.append("</objects><events>")
    for event in EVENTS:
        told = "".join(
            f"<attribute name={quoteattr(n)}>{v}</attribute>" for n, v in event.attributes.items()
        )
        related = "".join(f'<relationship object-id="{o}" qualifier=""/>' for o in event.objects)
        lines.append(
            f'<event id="{event.id}" type="{event.type}" time="{event.time}">'
            f"<attributes>{told}</attributes><objects>{related}</objects></event>"
        )
    path.write_text("\n".join([*lines, "</events></log>"]), encoding="utf-8")
    return path


def ocel_sqlite(path: Path) -> Path:
    """OCEL 2.0 in SQLite, without any index, with an empty table and a type of no name."""
    database = sqlite3.connect(path)
    database.executescript(
        """
        CREATE TABLE event (ocel_id TEXT, ocel_type TEXT);
        CREATE TABLE object (ocel_id TEXT, ocel_type TEXT);
        CREATE TABLE event_object (ocel_event_id TEXT, ocel_object_id TEXT, ocel_qualifier TEXT);
        CREATE TABLE event_map_type (ocel_type TEXT, ocel_type_map TEXT);
        CREATE TABLE object_map_type (ocel_type TEXT, ocel_type_map TEXT);
        CREATE TABLE object_Applications
            (ocel_id TEXT, ocel_time TEXT, ocel_changed_field TEXT, email TEXT);
        CREATE TABLE object_ (ocel_id TEXT, ocel_time TEXT);
        CREATE TABLE event_Hire (ocel_id TEXT, ocel_time TEXT);
        CREATE INDEX misleading ON event (ocel_type, ocel_id);
        INSERT INTO object_map_type VALUES ('applications', 'Applications'), ('recruiters', '');
        INSERT INTO event_map_type VALUES ('hire', 'Hire');
        """
    )
    database.executemany("INSERT INTO object VALUES (?, ?)", OBJECTS)
    for number, (owner, time, value) in enumerate(EMAILS):
        row = (owner, time, "email" if number else None, value)
        database.execute("INSERT INTO object_Applications VALUES (?, ?, ?, ?)", row)
    for event_type in dict.fromkeys(event.type for event in EVENTS):
        table = event_type.capitalize()
        attribute = ", channel TEXT" if event_type == "apply" else ""
        database.execute(f"CREATE TABLE event_{table} (ocel_id TEXT, ocel_time TEXT{attribute})")
        database.execute("INSERT INTO event_map_type VALUES (?, ?)", (event_type, table))
    for event in EVENTS:
        database.execute("INSERT INTO event VALUES (?, ?)", (event.id, event.type))
        values = [event.id, event.time]
        values += [event.attributes.get("channel")] if event.type == "apply" else []
        places = ", ".join("?" for _ in values)
        database.execute(f"INSERT INTO event_{event.type.capitalize()} VALUES ({places})", values)
        for each in event.objects:
            database.execute("INSERT INTO event_object VALUES (?, ?, '')", (event.id, each))
    database.commit()
    database.close()
    return path


def many(events: int) -> Iterator[OcelEvent]:
    """So many events, three an application, in no order of applications."""
    applications = max(1, events // 3)
    for number in range(events):
        time = f"2026-01-{1 + number % 28:02}T{number % 24:02}:00:00Z"
        yield OcelEvent(f"e{number}", "apply", time, (f"app{number % applications}", "r1"))


def large_json(path: Path, events: int) -> Path:
    """OCEL 2.0 in JSON with its objects last, written as it goes."""
    with path.open("w", encoding="utf-8") as file:
        file.write('{"events": [')
        for number, event in enumerate(many(events)):
            document = {
                "id": event.id,
                "type": event.type,
                "time": event.time,
                "attributes": [{"name": "note", "value": "x" * 100}],
                "relationships": [{"objectId": each} for each in event.objects],
            }
            file.write(("," if number else "") + json.dumps(document))
        file.write('], "objects": [{"id": "r1", "type": "recruiters"}')
        for number in range(max(1, events // 3)):
            file.write(f', {{"id": "app{number}", "type": "applications"}}')
        file.write("]}")
    return path


def large_sqlite(path: Path, events: int) -> Path:
    """OCEL 2.0 in SQLite."""
    database = sqlite3.connect(path)
    database.executescript(
        """
        CREATE TABLE event (ocel_id TEXT, ocel_type TEXT);
        CREATE TABLE object (ocel_id TEXT, ocel_type TEXT);
        CREATE TABLE event_object (ocel_event_id TEXT, ocel_object_id TEXT, ocel_qualifier TEXT);
        CREATE TABLE event_map_type (ocel_type TEXT, ocel_type_map TEXT);
        CREATE TABLE object_map_type (ocel_type TEXT, ocel_type_map TEXT);
        CREATE TABLE object_A (ocel_id TEXT, ocel_time TEXT);
        CREATE TABLE object_R (ocel_id TEXT, ocel_time TEXT);
        CREATE TABLE event_Apply (ocel_id TEXT, ocel_time TEXT, note TEXT);
        INSERT INTO object_map_type VALUES ('applications', 'A'), ('recruiters', 'R');
        INSERT INTO event_map_type VALUES ('apply', 'Apply');
        INSERT INTO object VALUES ('r1', 'recruiters');
        """
    )
    database.executemany(
        "INSERT INTO object VALUES (?, 'applications')",
        ((f"app{number}",) for number in range(max(1, events // 3))),
    )
    for event in many(events):
        database.execute("INSERT INTO event VALUES (?, ?)", (event.id, event.type))
        row = (event.id, event.time, "x" * 100)
        database.execute("INSERT INTO event_Apply VALUES (?, ?, ?)", row)
        for each in event.objects:
            database.execute("INSERT INTO event_object VALUES (?, ?, '')", (event.id, each))
    database.commit()
    database.close()
    return path
