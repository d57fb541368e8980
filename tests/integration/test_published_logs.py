"""Every published log imports, and afterwards counts are what a few lines over the file say.

The lines over the files are plain Python and use none of our readers; those over what was recorded
are SQL. The logs stand in the shared folder (always in CI) and are not ours to copy.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import sqlite3
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from consumers.imports.log_map import BUILT_IN, load_log_map
from journey.database import Database
from schemas.registry import TRAITS
from tests.support.imports import import_file
from tests.support.truth import rows

ROOT = Path(__file__).parents[2]
LOGS = Path(os.environ.get("JOURNEY_LOGS", ROOT.parent / "shared" / "data"))
REJECTIONS = ("rejection_sent", "rejection_decided")
CLOSING = tuple(kind for kind, traits in TRAITS.items() if traits.lifecycle == "closes")
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Event:
    """An event of a file, as the plain lines read it."""

    case: str
    activity: str
    at: datetime
    is_day: bool = False


@dataclass
class Measures:
    """What is counted on both sides."""

    cases: int = 0
    touchpoints: int = 0
    pairs: dict[tuple[str, str], int] = field(default_factory=dict)
    rejected_and_anything_later: int = 0
    offer_after_rejection: int = 0
    never_ended: int = 0


# --- over the files -------------------------------------------------------------------------


def opened(name: str) -> Any:
    """A shared file as text."""
    path = LOGS / name
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def xes(name: str, keep: str | None = None, zone: str = "UTC") -> Iterator[Event]:
    """The events of an XES file; days where the file has only midnights."""
    with gzip.open(LOGS / name) as file:
        for _, trace in ET.iterparse(file):
            if trace.tag.rpartition("}")[2] != "trace":
                continue
            case, events = "", []
            for part in trace:
                if part.tag.rpartition("}")[2] == "event":
                    events.append({each.get("key"): each.get("value") for each in part})
                elif part.get("key") == "concept:name":
                    case = part.get("value") or ""
            for event in events:
                if keep is None or event["lifecycle:transition"] == keep:
                    text = event["time:timestamp"]
                    at = local(text, zone)
                    yield Event(case, event["concept:name"], at, is_day=len(text) == 19)
            trace.clear()


def local(text: str, zone: str) -> datetime:
    """A time in UTC; a naive one is of this zone."""
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def table(name: str, case: str, activity: str, time: str, zone: str = "UTC") -> Iterator[Event]:
    """The events of a CSV file."""
    with opened(name) as file:
        for row in csv.DictReader(file):
            is_day = row.get("time_precision") == "day"
            yield Event(row[case], row[activity], local(row[time], zone), is_day)


def wide() -> Iterator[Event]:
    """The diary as its author kept it: a row an application."""
    steps = (
        "Application", "Phone call", "1st interview", "2nd interview", "3rd interview",
        "Proposition", "Final answer",
    )  # fmt: skip
    with opened("jobsearch_diary_2023.raw.csv.gz") as file:
        for number, row in enumerate(csv.DictReader(file), start=1):
            for step in steps:
                if not row[step]:
                    continue
                is_day = ":" not in row[step]
                at = datetime.strptime(row[step], "%d/%m/%Y" if is_day else "%d/%m/%Y %H:%M")  # noqa: DTZ007
                label = f"{step} ({row['Status']})" if step == "Final answer" else step
                moment = at.replace(tzinfo=ZoneInfo("Europe/Paris")).astimezone(UTC)
                yield Event(str(number), label, moment, is_day)


def recruiting() -> Iterator[Event]:
    """OCEL 1.0, seen by application."""
    with opened("recruiting-red.jsonocel.gz") as file:
        document = json.load(file)
    objects = document["ocel:objects"]
    for event in document["ocel:events"].values():
        for each in event["ocel:omap"]:
            if objects[each]["ocel:type"] == "applications":
                yield Event(each, event["ocel:activity"], local(event["ocel:timestamp"], "UTC"))


def example_json() -> Iterator[Event]:
    """OCEL 2.0 in JSON, seen by invoice."""
    with opened("ocel20_example.jsonocel") as file:
        document = json.load(file)
    invoices = {each["id"] for each in document["objects"] if each["type"] == "Invoice"}
    for event in document["events"]:
        for case in {each["objectId"] for each in event["relationships"]} & invoices:
            yield Event(case, event["type"], local(event["time"], "UTC"))


def example_xml() -> Iterator[Event]:
    """OCEL 2.0 in XML, seen by invoice; times are local."""
    log = ET.parse(LOGS / "ocel20_example.xmlocel").getroot()
    invoices = {
        each.get("id") for each in log.findall("objects/object") if each.get("type") == "Invoice"
    }
    for event in log.findall("events/event"):
        related = {each.get("object-id") for each in event.findall("objects/relationship")}
        for case in related & invoices:
            at = local(event.get("time", ""), "Europe/Berlin")
            yield Event(str(case), event.get("type", ""), at)


def sqlite(path: Path, object_type: str) -> Iterator[Event]:
    """OCEL 2.0 in SQLite, seen by this type, in the row order of `event`; times are local."""
    database = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    times: dict[str, str] = {}
    for (name,) in database.execute("SELECT ocel_type_map FROM event_map_type").fetchall():
        times |= dict(database.execute(f'SELECT ocel_id, ocel_time FROM "event_{name}"'))
    cases: dict[str, set[str]] = {}
    for event, case in database.execute(
        "SELECT ocel_event_id, ocel_object_id FROM event_object "
        "JOIN object ON object.ocel_id = ocel_object_id WHERE ocel_type = ?",
        [object_type],
    ):
        cases.setdefault(event, set()).add(case)
    for event, kind in database.execute("SELECT ocel_id, ocel_type FROM event ORDER BY rowid"):
        for case in cases.get(event, ()):
            yield Event(case, kind, local(times[event], "Europe/Berlin"))
    database.close()


def over_the_file(events: list[Event], kinds: dict[str, str]) -> Measures:
    """The measures, in plain Python."""
    journeys: dict[str, list[tuple[Event, str]]] = {}
    for event in events:
        kind = kinds.get(event.activity, "unrecognised_touchpoint")
        journeys.setdefault(event.case, []).append((event, kind))
    measures = Measures(len(journeys), len(events))
    pairs: Counter[tuple[str, str]] = Counter()
    for journey in journeys.values():
        journey.sort(key=lambda told: told[0].at)  # stable: the order of the file settles ties
        names = [e.activity if k == "unrecognised_touchpoint" else k for e, k in journey]
        pairs.update(pairwise(names))
        later = [
            kind
            for place, (first, told) in enumerate(journey)
            if told in REJECTIONS
            for event, kind in journey[place + 1 :]
            if first.is_day == event.is_day or not same_day(first, event)
        ]
        measures.rejected_and_anything_later += bool(later)
        measures.offer_after_rejection += "offer_sent" in later
        measures.never_ended += not any(kind in CLOSING for _, kind in journey)
    measures.pairs = dict(pairs)
    return measures


def same_day(one: Event, other: Event) -> bool:
    """Whether a date and a time are of one day, so that neither precedes the other."""
    day, timed = (one, other) if one.is_day else (other, one)
    return day.at <= timed.at < day.at + DAY


# --- over what was recorded -----------------------------------------------------------------

FACTS = """
    CREATE TEMP VIEW facts AS SELECT
        state ->> 'application_id' AS application, at, version, kind,
        CASE kind WHEN 'unrecognised_touchpoint' THEN state ->> 'label' ELSE kind END AS name,
        coalesce(state ->> 'occurred_precision', 'instant') = 'day' AS is_day
    FROM (
        SELECT convert_from(state, 'UTF8')::jsonb AS state, originator_version AS version,
            split_part(topic, '.', 2) AS kind,
            (convert_from(state, 'UTF8')::jsonb ->> 'occurred_at')::timestamptz AS at
        FROM journey_events
    ) AS events
"""
LATER = """
    SELECT count(DISTINCT one.application) FROM facts AS one JOIN facts AS other
        ON other.application = one.application AND (other.at, other.version) > (one.at, one.version)
    WHERE one.kind = ANY(%s) AND other.kind = ANY(%s) AND NOT (
        one.is_day <> other.is_day
        AND CASE WHEN one.is_day THEN other.at < one.at + interval '1 day' AND other.at >= one.at
            ELSE one.at < other.at + interval '1 day' AND one.at >= other.at END)
"""
PAIRS = """
    SELECT name, next, count(*) FROM (
        SELECT name, lead(name) OVER (PARTITION BY application ORDER BY at, version) AS next
        FROM facts) AS pairs
    WHERE next IS NOT NULL GROUP BY name, next
"""


def recorded(database: Database) -> Measures:
    """The measures, from the log."""
    with database.connect() as connection:

        def one(query: str, *values: object) -> int:
            row = connection.execute(query, list(values)).fetchone()  # type: ignore[arg-type]
            assert row is not None
            return int(row[0])

        connection.execute(FACTS.replace("VIEW", "TABLE"))
        connection.execute("CREATE INDEX ON facts (application, at, version)")
        connection.execute("ANALYZE facts")
        return Measures(
            cases=one("SELECT count(DISTINCT application) FROM facts"),
            touchpoints=one("SELECT count(*) FROM facts"),
            pairs={(a, b): count for a, b, count in connection.execute(PAIRS)},
            rejected_and_anything_later=one(LATER, list(REJECTIONS), list(TRAITS)),
            offer_after_rejection=one(LATER, list(REJECTIONS), ["offer_sent"]),
            never_ended=one(
                "SELECT count(*) FROM (SELECT application FROM facts GROUP BY application "
                "HAVING NOT bool_or(kind = ANY(%s))) AS open",
                list(CLOSING),
            ),
        )


# --- the logs -------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def logs_are_here() -> None:
    """Elsewhere they may be missing; CI always has them."""
    if not LOGS.is_dir():
        assert not os.environ.get("CI"), "the folder of published logs is missing in CI"
        pytest.skip("the folder of published logs is not here")


def kinds_of(log: str) -> dict[str, str]:
    """Activity → kind as the shared folder says it, independently of our maps."""
    kinds: dict[str, str] = json.loads((LOGS / "touchpoints.json").read_text())[log]
    return kinds


def check(
    database: Database, log_map: str, name: str, events: list[Event], kinds: dict[str, str]
) -> Measures:
    """Import with the built-in map; what is recorded measures the same as the file."""
    imported = import_file(database, LOGS / name, load_log_map(log_map))
    expected = over_the_file(events, kinds)
    assert (imported.broken, imported.touchpoints) == (0, expected.touchpoints)
    assert recorded(database) == expected
    return expected


def test_every_map_is_tested_here() -> None:
    """A map that is no longer right for its log would be noticed."""
    tested = Path(__file__).read_text(encoding="utf-8")
    assert [each.stem for each in BUILT_IN.glob("*.yaml") if f'"{each.stem}"' not in tested] == []


@pytest.mark.slow
def test_hiring2015(database: Database) -> None:
    """Neighbours share their time by the thousand: the order of the file settles them."""
    name = "hiring_log_high.xes.gz"
    events = list(xes(name))
    ties = sum(1 for one, other in pairwise(events) if (one.case, one.at) == (other.case, other.at))
    assert ties == 10_893
    measures = check(database, "hiring2015", name, events, kinds_of("hiring_log_high"))
    assert (measures.cases, measures.touchpoints) == (10_000, 63_869)
    assert measures.offer_after_rejection == 1_321
    twice = rows(
        database,
        "SELECT count(*) FROM (SELECT originator_id FROM journey_events WHERE topic = "
        "'touchpoint.rejection_decided.v1' GROUP BY originator_id HAVING count(*) > 1) AS twice",
    )
    assert twice == [(729,)]


def test_recruiting_red(database: Database) -> None:
    """A clean log of OCEL 1.0: nothing follows a rejection, and every case comes to its end."""
    name = "recruiting-red.jsonocel.gz"
    measures = check(
        database, "recruiting_red", name, list(recruiting()), kinds_of("recruiting-red")
    )
    assert (measures.cases, measures.touchpoints) == (916, 6_607)
    assert measures.rejected_and_anything_later == 0
    # Those whose last word is a declined offer: that alone closes no application here.
    assert measures.never_ended == measures.pairs[("offer_sent", "offer_declined")] == 46


def test_jobsearch_diary(database: Database) -> None:
    """A date and a time of the same day are in no order: no interview follows its rejection."""
    name = "jobsearch_diary_2023.events.csv.gz"
    keys = ("case:concept:name", "concept:name", "time:timestamp")
    events = list(table(name, *keys, zone="Europe/Paris"))
    kinds = kinds_of("jobsearch_diary_2023")
    measures = check(database, "jobsearch_diary", name, events, kinds)
    assert (measures.cases, measures.touchpoints) == (446, 624)
    assert sum(1 for n in Counter(event.case for event in events).values() if n == 1) == 298
    # Sorted by their timestamps alone, two rejections stand before an interview of that day.
    timed = [Event(each.case, each.activity, each.at) for each in events]
    assert over_the_file(timed, kinds).rejected_and_anything_later == 2
    assert measures.rejected_and_anything_later == 0


def test_jobsearch_diary_wide(database: Database) -> None:
    """The author's own table gives the same journeys as its long form."""
    name = "jobsearch_diary_2023.raw.csv.gz"
    kinds = kinds_of("jobsearch_diary_2023")
    measures = check(database, "jobsearch_diary_wide", name, list(wide()), kinds)
    keys = ("case:concept:name", "concept:name", "time:timestamp")
    long = table("jobsearch_diary_2023.events.csv.gz", *keys, zone="Europe/Paris")
    assert measures == over_the_file(list(long), kinds)


def test_onboarding_ja(database: Database) -> None:
    """Japanese labels, local times."""
    keys = ("candidate_id", "recruitment_status", "status_changed_at")
    events = list(table("onboarding_ja.csv", *keys, zone="Asia/Tokyo"))
    kinds = kinds_of("onboarding_ja")
    measures = check(database, "onboarding_ja", "onboarding_ja.csv", events, kinds)
    assert (measures.cases, measures.touchpoints) == (40, 162)


@pytest.mark.slow
def test_bpic2012(database: Database) -> None:
    """Work items are told thrice and count once; only few journeys have no end."""
    name = "bpic2012.xes.gz"
    events = list(xes(name, keep="COMPLETE"))
    measures = check(database, "bpic2012", name, events, kinds_of("bpic2012"))
    assert (measures.cases, measures.touchpoints) == (13_087, 164_506)
    assert measures.never_ended == 399


def test_receipt(database: Database) -> None:
    """The office's own names are kept for what no kind means."""
    keys = ("case:concept:name", "concept:name", "time:timestamp")
    kinds = {
        "Confirmation of receipt": "application_submitted",
        "T05 Print and send confirmation of receipt": "application_acknowledged",
        "T15 Print document X request unlicensed": "message_sent",
        "T20 Print report Y to stop indication": "message_sent",
    }
    events = list(table("receipt.csv.gz", *keys))
    measures = check(database, "receipt", "receipt.csv.gz", events, kinds)
    assert (measures.cases, measures.touchpoints) == (1_434, 8_577)


def test_roadtraffic(database: Database) -> None:
    """Midnights are dates; gaps of years are no matter."""
    name = "roadtraffic_1t_per_variant.xes.gz"
    measures = check(database, "roadtraffic", name, list(xes(name, zone="Europe/Rome")), {})
    assert (measures.cases, measures.touchpoints) == (231, 1_891)


def test_sepsis(database: Database) -> None:
    """A case called NA is a case; thousands of neighbours share their time."""
    keys = ("Case ID", "Activity", "Complete Timestamp")
    events = list(table("sepsis.csv.gz", *keys, zone="Europe/Amsterdam"))
    measures = check(database, "sepsis", "sepsis.csv.gz", events, {})
    assert (measures.cases, measures.touchpoints) == (1_050, 15_214)
    called_na = rows(
        database,
        "SELECT count(*) FROM journey_events WHERE "
        "convert_from(state, 'UTF8')::jsonb ->> 'application_id' = 'sepsis:NA'",
    )
    assert called_na == [(sum(1 for event in events if event.case == "NA"),)] != [(0,)]


@pytest.mark.parametrize("encoding", ["jsonocel", "xmlocel", "sqlite"])
def test_ocel_example(database: Database, encoding: str) -> None:
    """Its three encodings give the same journeys."""
    name = f"ocel20_example.{encoding}"
    events = {
        "jsonocel": lambda: list(example_json()),
        "xmlocel": lambda: list(example_xml()),
        "sqlite": lambda: list(sqlite(LOGS / name, "Invoice")),
    }[encoding]()
    check(database, "ocel_example", name, events, {})
    # Ids and moments are those of the JSON, so that whichever encoding comes second adds nothing.
    other = "sqlite" if encoding == "jsonocel" else "jsonocel"
    again = import_file(database, LOGS / f"ocel20_example.{other}", load_log_map("ocel_example"))
    assert (again.touchpoints, again.repeated) == (0, 9)


def test_order_management(database: Database, tmp_path: Path) -> None:
    """Empty tables of types and a type without a table; ties are settled by `event`'s rows."""
    name = "ocel2_order_management.sqlite.gz"
    copy = tmp_path / "log.sqlite"
    copy.write_bytes(gzip.decompress((LOGS / name).read_bytes()))
    measures = check(database, "order_management", name, list(sqlite(copy, "orders")), {})
    assert (measures.cases, measures.touchpoints) == (2_000, 6_484)
