"""OCEL in three encodings: the same rows from each, broken files named, memory bounded."""

from __future__ import annotations

import gzip
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consumers.imports.formats import open_log
from consumers.imports.log_file import UnreadableLog
from consumers.imports.log_map import LogMap
from consumers.imports.ocel import OcelLog
from tests.support.ocel_files import (
    EVENTS,
    large_json,
    large_sqlite,
    ocel_json,
    ocel_json_1,
    ocel_sqlite,
    ocel_xml,
)

FIELDS: dict[str, Any] = {
    "source": "log",
    "case": "ocel:type:applications",
    "event_id": "ocel:eid",
    "activity": "ocel:activity",
    "time": "ocel:timestamp",
    "job": "ocel:type:recruiters",
    "personal": {"emails": "applications:email"},
}
ENCODINGS: dict[str, Callable[[Path], Path]] = {
    "log.jsonocel": ocel_json,
    "log.xmlocel": ocel_xml,
    "log.sqlite": ocel_sqlite,
}
MOST_MEMORY_MB = 48
"""How much reading a log may add to the memory of a process, however many events it has."""


def a_map(**changes: Any) -> LogMap:
    """A map of the small files, with changes."""
    return LogMap.model_validate({**FIELDS, **changes})


def read(path: Path, log_map: LogMap | None = None) -> tuple[list[Any], OcelLog]:
    """All rows, with their log."""
    log = open_log(path, log_map or a_map())
    assert isinstance(log, OcelLog)
    log.check()
    return list(log.rows()), log


def refused(path: Path, says: str, log_map: LogMap | None = None) -> None:
    """The file is refused in one sentence that names it and says this, and no content."""
    with pytest.raises(UnreadableLog) as caught:
        read(path, log_map)
    told = str(caught.value)
    assert path.name in told
    assert says in told
    assert "\n" not in told
    assert "Anna" not in told


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_row_is_an_event_seen_by_one_application(tmp_path: Path, name: str) -> None:
    """An event about two makes two rows with ids of their own; one about none makes no row."""
    rows, log = read(ENCODINGS[name](tmp_path / name))
    seen = [
        (line, cells["ocel:eid"], cells["ocel:type:applications"], cells["ocel:activity"])
        for line, cells, _ in rows
    ]
    assert seen == [
        (1, "e1", "app1", "apply"),
        (2, "e2", "app2", "apply"),
        (3, "e3/app1", "app1", "compare"),
        (3, "e3/app2", "app2", "compare"),
        (5, "e5", "app1", "reject"),
    ]
    assert log.events_without_case == 1
    assert log.object_types() == ("applications", "recruiters")


def test_the_three_encodings_give_the_same_rows(tmp_path: Path) -> None:
    """Whichever of them an analyst has."""
    told = [read(make(tmp_path / name))[0] for name, make in ENCODINGS.items()]
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize("name", ENCODINGS)
def test_cells_are_of_the_event_its_objects_and_its_case(tmp_path: Path, name: str) -> None:
    """The case object's attribute is what it was at the time of the event."""
    rows, _ = read(ENCODINGS[name](tmp_path / name))
    first, compared, rejected = rows[0][1], rows[2][1], rows[4][1]
    assert first["channel"] == "web"
    assert first["no such"] == ""
    assert first["ocel:type:recruiters"] == ""
    assert compared["ocel:type:recruiters"] == "r1"
    assert [cells["applications:email"] for cells in (first, compared, rejected)] == [
        "old@example.org", "old@example.org", "new@example.org",
    ]  # fmt: skip
    assert rows[1][1]["applications:email"] == ""


@pytest.mark.parametrize("name", ENCODINGS)
def test_packed_or_not_is_the_same(tmp_path: Path, name: str) -> None:
    """A .gz is read without being asked to."""
    plain = ENCODINGS[name](tmp_path / name)
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    rows, log = read(packed)
    assert rows == read(plain)[0]
    assert log.progress()[0] == log.progress()[1] > 0


def test_objects_may_stand_last(tmp_path: Path) -> None:
    """An event tells only ids; of which type they are is known all the same."""
    late = ocel_json(tmp_path / "late.jsonocel", objects_last=True)
    assert read(late)[0] == read(ocel_json(tmp_path / "log.jsonocel"))[0]


def test_version_1_is_read_too(tmp_path: Path) -> None:
    """OCEL 1.0 has dicts where 2.0 has lists, and attributes without a history."""
    rows, log = read(ocel_json_1(tmp_path / "log.jsonocel"))
    assert [cells["ocel:eid"] for _, cells, _ in rows] == ["e1", "e2", "e3/app1", "e3/app2", "e5"]
    assert rows[0][1]["applications:email"] == "new@example.org"
    assert rows[0][1]["channel"] == "web"
    assert log.events_without_case == 1


@pytest.mark.parametrize("name", ENCODINGS)
def test_without_a_map_a_row_is_an_event(tmp_path: Path, name: str) -> None:
    """With the ids of all its objects, by type: what a proposal is made from."""
    log = open_log(ENCODINGS[name](tmp_path / name))
    rows = list(log.rows())
    assert len(rows) == len(EVENTS)
    assert rows[2][1]["ocel:type:applications"] == "app1,app2"
    assert log.columns is not None
    assert {"channel", "applications:email", "ocel:type:recruiters"} <= set(log.columns)


def test_the_candidate_may_be_the_case_object(tmp_path: Path) -> None:
    """A map that names only the person sees the log by it."""
    log_map = a_map(case=None, candidate="ocel:type:recruiters", job=None, personal={})
    rows, _ = read(ocel_json(tmp_path / "log.jsonocel"), log_map)
    assert [cells["ocel:eid"] for _, cells, _ in rows] == ["e3", "e4", "e5"]


def test_the_rows_of_the_table_settle_the_order(tmp_path: Path) -> None:
    """An index that SQLite would rather read does not change it; events without time stay."""
    path = ocel_sqlite(tmp_path / "log.sqlite")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE event SET ocel_type = 'zz' WHERE ocel_id = 'e1'")
    database.close()
    rows, _ = read(path)
    assert [cells["ocel:eid"] for _, cells, _ in rows][:2] == ["e1", "e2"]
    assert rows[0][1]["ocel:timestamp"] == ""


def test_ids_stay_text(tmp_path: Path) -> None:
    """An id of digits is the same where one table holds it as text and another as a number."""
    path = ocel_sqlite(tmp_path / "log.sqlite")
    with sqlite3.connect(path) as database:
        database.executescript(
            "CREATE TABLE event_Call (ocel_id INTEGER, ocel_time TEXT);"
            "INSERT INTO event_map_type VALUES ('call', 'Call');"
            "INSERT INTO event VALUES ('77', 'call');"
            "INSERT INTO event_Call VALUES (77, '2026-01-09 10:00:00');"
            "INSERT INTO event_object VALUES ('77', 'app2', '');"
        )
    database.close()
    cells = read(path)[0][-1][1]
    assert (cells["ocel:eid"], cells["ocel:timestamp"]) == ("77", "2026-01-09 10:00:00")


def test_an_event_without_an_id_is_a_broken_row(tmp_path: Path) -> None:
    """It stops none of the others."""
    path = ocel_json(tmp_path / "log.jsonocel")
    document = json.loads(path.read_text())
    del document["events"][1]["id"]
    document["events"].append("what is this")
    path.write_text(json.dumps(document))
    rows, _ = read(path)
    assert [(line, broken) for line, _, broken in rows if broken] == [
        (2, "the event has no id"), (6, "the event has no id"),
    ]  # fmt: skip
    assert len(rows) == 6


# --- what is not as it should be ------------------------------------------------------------


@pytest.mark.parametrize("name", ENCODINGS)
def test_an_object_type_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    """And so are those that are."""
    path = ENCODINGS[name](tmp_path / name)
    log_map = a_map(case="ocel:type:application", personal={})
    refused(path, "its object types are: applications, recruiters", log_map)


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_column_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    """With the nearest that is."""
    log = open_log(ENCODINGS[name](tmp_path / name), a_map())
    assert log.key("channel") == "channel"
    with pytest.raises(UnreadableLog, match="no column 'chanel'; the nearest is 'channel'"):
        log.key("chanel")


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_packed_file_that_ends_too_soon_is_refused(tmp_path: Path, name: str) -> None:
    """Before a row of it is given."""
    packed = gzip.compress(ENCODINGS[name](tmp_path / name).read_bytes())
    path = tmp_path / f"{name}.gz"
    path.write_bytes(packed[: len(packed) // 2])
    refused(path, "fetch it again")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"events": [{"id": "Anna', "ends in the middle of its JSON"),
        (b'{"events": [{"id": "Ann\xe9"}]}', "not in UTF-8"),
        ('{"events": [{"id": "Anna"}]}'.encode("utf-16"), "is not JSON, or not in UTF-8"),
        (b'{"events": [{"id": Anna}]}', "is not JSON"),
        (b'{"people": ["Anna"]}', "neither `events` nor `ocel:events`"),
        (b'{"events": [], "objects": []}', "holds no OCEL events"),
        (b'{"ocel:events": ["Anna"]}', "holds no OCEL events"),
    ],
)
def test_what_is_no_ocel_in_json_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    """Cut off, another encoding, not JSON, another document: a sentence, without its content."""
    path = tmp_path / "log.json.gz"
    path.write_bytes(gzip.compress(content))
    from consumers.imports.ocel_json import OcelJson

    with pytest.raises(UnreadableLog, match=says) as caught:
        OcelJson(path, a_map()).check()
    assert "Anna" not in str(caught.value)


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    """Some programs put one before UTF-8."""
    path = ocel_json(tmp_path / "log.jsonocel")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read(path)[0]) == 5


BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f'<!DOCTYPE log [<!ENTITY e0 "Anna">{BOMB}]><log a="&e8;">&e8;</log>', "DOCTYPE"),
        ('<!DOCTYPE log [<!ENTITY e SYSTEM "file:///etc/passwd">]><log>&e;</log>', "DOCTYPE"),
        ('<!DOCTYPE log SYSTEM "http://192.0.2.1/log.dtd"><log/>', "DOCTYPE"),
        ("<log><events><event id='Anna'>", "not well-formed"),
        ("<people/>", "its root is <people>"),
        ("<log><events/></log>", "holds no OCEL events"),
    ],
)
def test_what_is_no_ocel_in_xml_is_refused(tmp_path: Path, content: str, says: str) -> None:
    """A document type, before anything of it is read; and what is not whole."""
    path = tmp_path / "log.xmlocel"
    path.write_text(content, encoding="utf-8")
    refused(path, says)


def test_xml_in_another_encoding_than_it_says_is_refused(tmp_path: Path) -> None:
    """One that it names is read."""
    path = tmp_path / "log.xmlocel"
    told = ocel_xml(path).read_text().replace('id="e1"', 'id="é1"')
    path.write_bytes(told.encode("latin-1"))
    refused(path, "not well-formed")
    path.write_bytes(told.replace("UTF-8", "ISO-8859-1").encode("latin-1"))
    assert read(path)[0][0][1]["ocel:eid"] == "é1"


def test_a_sqlite_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """By its first bytes."""
    path = tmp_path / "log.sqlite"
    path.write_text("Anna was here")
    refused(path, "is no SQLite database")


def test_a_damaged_sqlite_file_is_refused(tmp_path: Path) -> None:
    """One that was cut off says so before a row is given."""
    path = large_sqlite(tmp_path / "log.sqlite", 2_000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused(path, "is damaged")


def test_sqlite_without_the_tables_is_refused(tmp_path: Path) -> None:
    """Those that are missing are named."""
    path = tmp_path / "log.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE event (ocel_id TEXT, ocel_type TEXT)")
    database.close()
    refused(path, "it has no table object, event_object, event_map_type, object_map_type")


def test_a_type_without_its_table_is_refused(tmp_path: Path) -> None:
    """Where there are events of it; an unused type needs none."""
    path = ocel_sqlite(tmp_path / "log.sqlite")
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE event_Hire")
    database.close()
    assert len(read(path)[0]) == 5
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE event_Reject")
    database.close()
    refused(path, "has no table event_Reject")


def test_the_sqlite_file_is_only_read(tmp_path: Path) -> None:
    """Nothing is written to it or beside it."""
    path = ocel_sqlite(tmp_path / "log.sqlite")
    before = path.read_bytes()
    path.chmod(0o400)
    read(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["log.sqlite"]


# --- memory ---------------------------------------------------------------------------------

MEASURED = """
import sys
from pathlib import Path
from consumers.imports.formats import open_log
from consumers.imports.log_map import LogMap
from tests.unit.consumers.test_ocel import FIELDS

def most():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024

fields = {**FIELDS, "personal": {}}
log = open_log(Path(sys.argv[1]), LogMap.model_validate(fields))
import ijson, sqlite3
before = most()
log.check()
print(sum(1 for _ in log.rows()), most() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("make", [large_json, large_sqlite])
def test_memory_does_not_grow_with_the_log(
    tmp_path: Path, make: Callable[[Path, int], Path]
) -> None:
    """A hundred thousand events and their objects are read within a stated bound."""
    path = make(tmp_path / f"log.{'sqlite' if make is large_sqlite else 'jsonocel'}", 100_000)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    rows, grown = done.stdout.split()
    assert int(rows) == 100_000
    assert float(grown) < MOST_MEMORY_MB, f"{grown} MB"
