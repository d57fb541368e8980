"""`journey export`: what is chosen, what is left out, and what others read of it."""

from __future__ import annotations

import base64
import fcntl
import importlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.data import journeys
from bench.log import fill
from consumers.exports import ALL_FORMATS
from consumers.exports.export import Access, Exported, Exporter, ExportRefused
from consumers.imports.formats import open_log
from journey.database import Database
from journey.errors import WrongMasterKey
from journey.journey_log import JourneyLog
from projections.selection import PAGE, Reading, Selection
from schemas.identifiers import PersonKey
from tests.support.builders import T0, a_log, days, statement
from tests.support.every_kind import PERSONAL, PERSONAL_TEXTS, record_everything, texts_in
from tests.support.fakes import FrozenClock
from tests.support.installations import MASTER_KEY, Run, environment_for
from tests.support.processes import COMMAND, PATIENCE_SECONDS, ROOT, until

MEMORY_MB = 150
"""Bound on the peak of an export's whole process, whatever the size of the log (Parquet: 260)."""


def events(database: Database, **chosen: Any) -> list[str]:
    """The source's ids of what a selection finds, in order."""
    pages = Reading(database, Selection(**chosen)).pages()
    return [flat.source_event_id for page in pages for flat in page]


@pytest.fixture
def log(database: Database) -> JourneyLog:
    """Two candidates, one of them with two applications, told by two sources."""
    log = a_log(database, FrozenClock(T0), base64.b64decode(MASTER_KEY))
    log.put_statements(
        [
            statement("application_submitted", days(0), event="a", person="1", application="1"),
            statement("interview_held", days(1), event="b", person="1", application="1"),
            statement(
                "hired", days(2), event="c", person="1", application="2", job_id="greenhouse:9"
            ),
            statement("survey_sent", days(3), event="d", person="2", source="qualtrics"),
        ]
    )
    return log


# --- what is chosen -------------------------------------------------------------------------


def test_everything_is_exported_in_the_order_in_which_it_was_recorded(log: JourneyLog) -> None:
    """Unless something else is asked for."""
    assert events(log.database) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({"applications": frozenset({"greenhouse:1"})}, "ab"),
        ({"jobs": frozenset({"greenhouse:9"})}, "c"),
        ({"sources": frozenset({"qualtrics"})}, "d"),
        ({"kinds": frozenset({"hired", "survey_sent"})}, "cd"),
        ({"since": days(1)}, "bcd"),
        ({"until": days(1)}, "ab"),
        ({"since": days(1), "until": days(2), "kinds": frozenset({"hired"})}, "c"),
        ({"as_of": 2}, "ab"),
        ({"as_of": 99}, "abcd"),
        ({"as_of": T0 - timedelta(microseconds=1)}, ""),
        ({"as_of": T0}, "abcd"),
    ],
)
def test_a_filter_leaves_out_the_rest(log: JourneyLog, chosen: dict[str, Any], found: str) -> None:
    """Filters of several sorts all hold."""
    assert "".join(events(log.database, **chosen)) == found


def test_moments_are_compared_to_the_microsecond(database: Database) -> None:
    """A whole second comes before its own fractions."""
    log = a_log(database)
    half = T0 + timedelta(microseconds=500_000)
    log.put_statements([statement("hired", T0, event="a"), statement("left", half, event="b")])
    assert events(database, until=T0) == ["a"]
    assert events(database, since=T0 + timedelta(microseconds=1)) == ["b"]


def test_a_candidate_is_exported_with_all_who_are_merged_with_them_as_of_then(
    log: JourneyLog,
) -> None:
    """As `journey show` shows them; each row names the journey that it is part of."""
    one, two = log.find("greenhouse:candidate/1"), log.find("qualtrics:candidate/2")
    assert events(log.database, candidates=(two,)) == ["d"]
    same = (PersonKey("qualtrics:candidate", "2"),)
    log.put_statements([statement("left", event="e", person="1", same_as=same)])
    told = events(log.database, candidates=(two,))
    assert told[:5] == ["a", "b", "c", "d", "e"]
    assert told[5].startswith("merge/")
    assert events(log.database, candidates=(two,), as_of=4) == ["d"]
    for chosen, journey_ids in (({}, {str(one)}), ({"as_of": 4}, {str(one), str(two)})):
        pages = Reading(log.database, Selection(**chosen)).pages()
        assert {flat.journey_id for page in pages for flat in page} == journey_ids


def test_effective_is_what_holds_after_corrections_and_retractions(database: Database) -> None:
    """And filters ask about what holds; as of before, what held then."""
    log = a_log(database)
    said = [
        statement("interview_held", days(0), event="wrong", stage="Phone", source="s"),
        statement("rejection_sent", days(1), event="never", source="s"),
        statement("hired", days(2), event="right", source="s"),
    ]
    ids = [each.touchpoint.touchpoint_id for each in said]
    log.put_statements(said)
    corrected = {"stage": "Onsite", "occurred_at": days(5).isoformat(), "actor": {"type": "person"}}
    log.put_statements(
        [
            statement("touchpoint_corrected", source="s", corrects=ids[0], corrected=corrected),
            statement("touchpoint_retracted", source="s", retracts=ids[1]),
        ]
    )
    assert len(events(database)) == 5
    assert events(database, effective=True) == ["wrong", "right"]
    assert events(database, effective=True, since=days(4)) == ["wrong"]
    assert events(database, effective=True, as_of=4) == ["wrong", "never", "right"]
    ((held, _),) = Reading(database, Selection(effective=True)).pages()
    assert (held.stage, held.occurred_at, held.actor_type) == (
        "Onsite", "2026-03-07T09:00:00Z", "person",
    )  # fmt: skip


def test_what_is_recorded_during_an_export_is_not_in_it(database: Database) -> None:
    """Pages are read one after another and show one moment all the same."""
    fill(database, journeys(2 * PAGE + 10, 50, 1))
    reading = Reading(database, Selection())
    pages = reading.pages()
    first = next(pages)
    a_log(database).put_statements([statement("hired")])
    rest = [flat for page in pages for flat in page]
    assert [flat.position for flat in [*first, *rest]] == list(range(1, reading.position + 1))


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_pages_in_which_nothing_is_chosen_leave_no_trace(
    name: str, database: Database, tmp_path: Path
) -> None:
    """What is chosen may stand far apart, or be nothing: the file is whole, and reads back."""
    log, far = a_log(database), (0, PAGE + 10, 4 * PAGE - 1)
    log.put_statements(
        [
            statement("hired", person=str(number), source="rare" if number in far else "often")
            for number in range(4 * PAGE)
        ]
    )
    suffix = {"ocel-json": ".jsonocel", "cloudevents": ".ndjson"}.get(name, f".{name}")
    for sources, wanted in (({"rare"}, 3), ({"never"}, 0)):
        path = tmp_path / f"{wanted}{suffix.replace('ocel-', '')}"
        chosen = Selection(sources=frozenset(sources))
        assert Exporter(database).to_file(ALL_FORMATS[name], path, chosen).touchpoints == wanted
        if name == "ocel-json":
            assert len(json.loads(path.read_bytes())["events"]) == wanted
        assert sum(1 for _ in open_log(path).rows()) == wanted


def test_journeys_come_whole_and_in_order_of_time(database: Database) -> None:
    """And hold together what pages hold."""
    record_everything(database)
    by_journey = list(Reading(database, Selection()).journeys())
    for journey in by_journey:
        assert len({flat.journey_id for flat in journey}) == 1
        order = [(flat.occurred_at[:-1], flat.position) for flat in journey]
        assert order == sorted(order)
    names = [journey[0].journey_id for journey in by_journey]
    assert names == sorted(set(names))
    paged = [flat for page in Reading(database, Selection()).pages() for flat in page]
    assert sorted(flat.position for journey in by_journey for flat in journey) == [
        flat.position for flat in paged
    ]


# --- the file -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_an_empty_log_makes_a_file_that_can_be_read(
    name: str, database: Database, tmp_path: Path
) -> None:
    """Nothing was recorded, and that is what it says."""
    done = Exporter(database).to_file(ALL_FORMATS[name], tmp_path / "x", Selection())
    assert (done.touchpoints, done.candidates, done.position) == (0, 0, 0)
    assert done.bytes == (tmp_path / "x").stat().st_size
    if name == "ocel-json":
        assert json.loads((tmp_path / "x").read_bytes())["events"] == []


def test_a_file_that_is_there_stays_unless_it_is_to_be_written_over(
    log: JourneyLog, tmp_path: Path
) -> None:
    """Nobody loses an export to a repeated command."""
    target, exporter = tmp_path / "x.csv", Exporter(log.database)
    target.write_text("mine")
    with pytest.raises(ExportRefused, match=r"x\.csv is there already"):
        exporter.to_file(ALL_FORMATS["csv"], target, Selection())
    assert target.read_text() == "mine"
    exporter.to_file(ALL_FORMATS["csv"], target, Selection(), overwrite=True)
    assert target.read_text().startswith("touchpoint_id,")
    assert os.listdir(tmp_path) == ["x.csv"]


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_an_export_that_fails_leaves_nothing(
    name: str, log: JourneyLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was there before is there still."""
    (tmp_path / "x").write_text("mine")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportRefused, match=r"x cannot be written \(No space left on device\)"):
        Exporter(log.database).to_file(
            ALL_FORMATS[name], tmp_path / "x", Selection(), overwrite=True
        )
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").read_text() == "mine"


def test_two_exports_of_one_name_never_write_one_file(
    log: JourneyLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while the other writes, nor when it has put its file in place just before."""
    target, part, exporter = tmp_path / "x", tmp_path / ".x.part", Exporter(log.database)
    with part.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ExportRefused, match="another export is writing x; wait for it"):
            exporter.to_file(ALL_FORMATS["csv"], target, Selection())
        assert part.exists()
    part.write_text("whole")
    lock = fcntl.flock

    def too_late(descriptor: int, how: int) -> None:
        part.replace(target)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", too_late)
    with pytest.raises(ExportRefused, match="another export is writing x; wait for it"):
        exporter.to_file(ALL_FORMATS["csv"], target, Selection())
    assert target.read_text() == "whole"
    assert os.listdir(tmp_path) == ["x"]


def test_an_export_follows_no_link_that_somebody_put_in_its_way(
    log: JourneyLog, tmp_path: Path
) -> None:
    """In a folder that others may write to, personal data would go where it leads."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    (tmp_path / ".x.part").symlink_to(elsewhere)
    with pytest.raises(ExportRefused, match="x cannot be written"):
        Exporter(log.database).to_file(ALL_FORMATS["csv"], tmp_path / "x", Selection())
    assert elsewhere.read_text() == "mine"


@pytest.mark.parametrize("name", ["csv", "parquet", "ocel-sqlite"])
def test_a_disk_that_fills_up_half_way_leaves_nothing(
    name: str, log: JourneyLog, tmp_path: Path
) -> None:
    """One sentence, no traceback, and no part of a file, whoever writes it: we, Arrow, SQLite."""
    fill(log.database, journeys(4_000, 200, 1))
    (tmp_path / "out").mkdir()
    target = str(tmp_path / "out" / "x")
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
    done = subprocess.run(
        [sys.executable, "-c", limited + COMMAND, "export", target, "--format", name],
        cwd=ROOT,
        env={**os.environ, **environment_for(log.database, tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"journey: x cannot be written \([^\n]+\)\.\n", done.stderr)
    assert os.listdir(tmp_path / "out") == []


def test_a_folder_that_is_not_there_is_said(log: JourneyLog, tmp_path: Path) -> None:
    """In one sentence."""
    with pytest.raises(ExportRefused, match=r"x cannot be written \(No such file or directory\)"):
        Exporter(log.database).to_file(ALL_FORMATS["csv"], tmp_path / "no" / "x", Selection())


STUCK = """
import signal, sys, time
from pathlib import Path
from consumers.exports import ALL_FORMATS, csv_file
from consumers import cli
write = csv_file.CsvWriter.write
def stuck(self, page):
    write(self, page)
    self._text.flush()
    Path(sys.argv[1]).touch()
    time.sleep(60)
csv_file.CsvWriter.write = stuck
# What runs in the background of a shell ignores it from the start.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(cli.invoke(["export", "--format", "csv", sys.argv[2]]))
"""


@pytest.mark.fault
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_export_that_is_killed_half_way_leaves_no_file(
    number: signal.Signals, log: JourneyLog, tmp_path: Path
) -> None:
    """Killed outright it leaves a hidden part, which the next export takes away."""
    folder = tmp_path / "out"
    folder.mkdir()
    environment = {**os.environ, **environment_for(log.database, tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, str(tmp_path / "half way"), str(folder / "x.csv")],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    until((tmp_path / "half way").exists, "it is half way")
    process.send_signal(number)
    process.wait(PATIENCE_SECONDS)
    left = [] if number != signal.SIGKILL else [".x.csv.part"]
    assert os.listdir(folder) == left
    Exporter(log.database).to_file(ALL_FORMATS["csv"], folder / "x.csv", Selection())
    assert os.listdir(folder) == ["x.csv"]


# --- personal data --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_nothing_personal_is_in_any_format_unless_asked_for(
    name: str, database: Database, tmp_path: Path
) -> None:
    """And then all of it is, in a file that only its owner may read."""
    log = record_everything(database)
    exporter, form = Exporter(database), ALL_FORMATS[name]
    plain, opened = tmp_path / f"plain.{name}", tmp_path / f"opened.{name}"
    os.umask(0o022)
    exporter.to_file(form, plain, Selection())
    access = Access("Ada", "a request for access")
    exporter.to_file(form, opened, Selection(), access=access, vault=log.vault)
    for text in PERSONAL_TEXTS:
        assert text not in texts_in(plain)
        assert text in texts_in(opened)
    assert "personal" not in texts_in(plain)
    assert stat.S_IMODE(plain.stat().st_mode) == 0o644
    assert stat.S_IMODE(opened.stat().st_mode) == 0o600


def test_who_asks_for_personal_data_is_logged_before_they_have_them(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason, and nothing of what was opened."""
    from consumers.logging import configure_logging

    log = record_everything(database)
    configure_logging("json", stream=sys.stdout)
    access = Access("Ada", "a request for access")
    Exporter(database).to_file(
        ALL_FORMATS["csv"], tmp_path / "x", Selection(), access=access, vault=log.vault
    )
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert (told["by"], told["reason"]) == ("Ada", "a request for access")
    assert not any(text in line for text in PERSONAL_TEXTS)


def test_without_the_right_key_name_or_reason_nothing_is_opened(
    database: Database, tmp_path: Path
) -> None:
    """And no file is left."""
    a_log(database).put_statements([statement("hired", personal=PERSONAL)])
    exporter, form, target = Exporter(database), ALL_FORMATS["csv"], tmp_path / "x"
    access = Access("Ada", "curious")
    with pytest.raises(WrongMasterKey):
        exporter.to_file(form, target, Selection(), access=access, vault=a_log(database).vault)
    with pytest.raises(ExportRefused, match="master key"):
        exporter.to_file(form, target, Selection(), access=access)
    with pytest.raises(ExportRefused, match="a name and a reason"):
        Access("Ada", " ")
    assert os.listdir(tmp_path) == []


def test_who_was_forgotten_stays_forgotten(database: Database, tmp_path: Path) -> None:
    """Where a key was destroyed, the personal columns are empty."""
    log = a_log(database)
    log.put_statements([statement("hired", personal=PERSONAL)])
    with database.transaction() as connection:
        connection.execute("DELETE FROM person_keys")
    Exporter(database).to_file(
        ALL_FORMATS["csv"],
        tmp_path / "x",
        Selection(),
        access=Access("Ada", "a request"),
        vault=log.vault,
    )
    assert not any(text in texts_in(tmp_path / "x") for text in PERSONAL_TEXTS)


# --- constant memory ------------------------------------------------------------------------


def exported_elsewhere(database: Database, name: str, target: Path) -> tuple[Exported, float]:
    """An export in a process of its own: what it did, and its peak in MB."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.exports", database.url, database.schema, name, str(target)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    told = orjson.loads(done.stdout.splitlines()[-1])
    peak, _ = told.pop("peak_mb"), told.pop("cpu_seconds")
    return Exported(**told), peak


@pytest.fixture
def large(database: Database) -> Database:
    """100,000 touchpoints of 5,000 people."""
    fill(database, journeys(100_000, 5_000, 1))
    return database


@pytest.mark.slow
def test_memory_does_not_grow_with_the_log(large: Database, tmp_path: Path) -> None:
    """100,000 touchpoints take no more than a bound that a million keep to as well."""
    for name in ("csv", "parquet", "xes", "ocel-json"):
        done, peak = exported_elsewhere(large, name, tmp_path / name)
        print(f"{name}: {done.touchpoints:,} touchpoints, {done.bytes:,} bytes, peak {peak:.0f} MB")
        assert done.touchpoints == done.position > 90_000
        assert peak <= (MEMORY_MB if name != "parquet" else 260), name


# --- read by PM4Py --------------------------------------------------------------------------


@pytest.fixture
def pm4py() -> Any:
    """The library, loaded by the tests that need it and by nothing else: it is AGPL, and slow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("pm4py")


def counted(database: Database) -> tuple[int, int, dict[str, int]]:
    """Events, cases, and objects by type, counted from the log itself."""
    pages = Reading(database, Selection()).pages()
    rows = [flat for page in pages for flat in page]
    cases = {flat.application_id or flat.journey_id for flat in rows}
    people = {flat.candidate_id for flat in rows} | {flat.journey_id for flat in rows}
    people |= {each for flat in rows for each in (flat.absorbed, flat.released) if each}
    return len(rows), len(cases), {
        "application": len({flat.application_id for flat in rows} - {None}),
        "candidate": len(people),
        "job": len({flat.job_id for flat in rows} - {None}),
    }  # fmt: skip


@pytest.fixture(params=["everything", "many"])
def told(request: pytest.FixtureRequest, database: Database) -> Database:
    """A log with everything in it, and one with many journeys."""
    if request.param == "everything":
        record_everything(database)
    else:
        fill(database, journeys(3_000, 150, 1))
    return database


def without_complaint(read: Callable[[str], Any], path: Path) -> Any:
    """What a reader makes of a file; a warning is a complaint."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What it says of its own dependencies, whatever the file.
        warnings.filterwarnings("ignore", message=".*r4pm.*")
        for category in (DeprecationWarning, FutureWarning, ImportWarning):
            warnings.simplefilter("ignore", category)
        return read(str(path))


def test_pm4py_reads_xes_with_equal_counts(told: Database, pm4py: Any, tmp_path: Path) -> None:
    """A case an application, an event a touchpoint, in time."""
    path = tmp_path / "x.xes"
    Exporter(told).to_file(ALL_FORMATS["xes"], path, Selection())
    table = without_complaint(pm4py.read_xes, path)
    number, cases, _ = counted(told)
    assert (len(table), table["case:concept:name"].nunique()) == (number, cases)
    assert table["touchpoint_id"].nunique() == number
    assert str(table["time:timestamp"].dt.tz) == "UTC"
    assert table["position"].sum() == number * (number + 1) // 2


@pytest.mark.parametrize(
    ("name", "suffix", "reader"),
    [
        ("ocel-json", "jsonocel", "read_ocel2_json"),
        ("ocel-sqlite", "sqlite", "read_ocel2_sqlite"),
    ],
)
def test_pm4py_reads_ocel_with_equal_counts(
    told: Database, pm4py: Any, tmp_path: Path, name: str, suffix: str, reader: str
) -> None:
    """Events, objects of each type, and which event is about which object."""
    path = tmp_path / f"x.{suffix}"
    Exporter(told).to_file(ALL_FORMATS[name], path, Selection())
    ocel = without_complaint(getattr(pm4py, reader), path)
    number, _, objects = counted(told)
    assert len(ocel.events) == number
    assert ocel.objects["ocel:type"].value_counts().to_dict() == {
        kind: count for kind, count in objects.items() if count
    }
    about = ocel.relations["ocel:qualifier"].value_counts()
    assert about["candidate"] == number
    pages = Reading(told, Selection()).pages()
    assert about["application"] == sum(
        flat.application_id is not None for page in pages for flat in page
    )


# --- the command ----------------------------------------------------------------------------


def test_the_command_writes_a_file_and_says_what_is_in_it(
    log: JourneyLog, journey: Run, tmp_path: Path
) -> None:
    """Fields of the JSON are those of its help."""
    code, out, err = journey("export", "x.csv", "--format", "csv", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert list(told) == [
        "file", "format", "touchpoints", "candidates", "bytes", "seconds", "position",
    ]  # fmt: skip
    assert told["touchpoints"] == told["position"] == 4
    assert told["candidates"] == 2
    assert told["bytes"] == (tmp_path / "x.csv").stat().st_size
    code, _, err = journey("export", "x.csv", "--format", "csv")
    assert (code, err) == (1, "journey: x.csv is there already; --force writes over it.\n")
    assert journey("export", "x.csv", "--format", "csv", "--force")[0] == 0


def test_without_a_file_it_goes_to_standard_output_alone(log: JourneyLog, journey: Run) -> None:
    """What people are told goes to standard error."""
    code, out, err = journey("export", "--format", "cloudevents", "--kinds", "hired,survey_sent")
    assert code == 0
    assert [json.loads(line)["data"]["source_event_id"] for line in out.splitlines()] == ["c", "d"]
    assert err.startswith("2 touchpoints of 2 candidates in ")


@pytest.mark.parametrize(
    ("arguments", "events"),
    [
        (["--candidate", "greenhouse:candidate/1"], "abc"),
        (["--candidate", "greenhouse:candidate/1", "-c", "qualtrics:candidate/2"], "abcd"),
        (["--application", "greenhouse:1"], "ab"),
        (["--from", "2026-03-03", "--to", "2026-03-04"], "bc"),
        (["--as-of", "1"], "a"),
        (["--source", "qualtrics", "--effective"], "d"),
    ],
)
def test_options_choose(log: JourneyLog, journey: Run, arguments: list[str], events: str) -> None:
    """A day is taken whole, in UTC."""
    code, out, _ = journey("export", "--format", "cloudevents", *arguments)
    assert code == 0
    told = [json.loads(line)["data"]["source_event_id"] for line in out.splitlines()]
    assert "".join(told) == events


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--format", "csv", "--kinds", "hire"], 2, "did you mean hired"),
        (["--format", "csv", "--json"], 2, "name a file"),
        (["--format", "parquet"], 1, "parquet cannot be written to standard output; name a file"),
        (["--format", "csv", "--candidate", "abcdef"], 3, "nobody has an id that begins with"),
        (["x", "--format", "csv", "--with-personal"], 2, "needs --by NAME and --reason TEXT"),
        (["--format", "csv", "--with-personal", "--by", "A", "--reason", "B"], 2, "to a file"),
        (["x", "--format", "csv", "--by", "A"], 2, "belong to --with-personal"),
        (["x", "--format", "csv", "--from", "yesterday"], 2, "--from: 'yesterday' is no moment"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    log: JourneyLog, journey: Run, tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    """With an exit code that means something."""
    got, out, err = journey("export", *arguments)
    assert (got, out) == (code, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert list(tmp_path.glob("*x*")) == []


def test_a_reader_who_has_seen_enough_ends_it_quietly(database: Database, tmp_path: Path) -> None:
    """As `journey export … | head` does."""
    fill(database, journeys(10_000, 500, 1))
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "export", "--format", "cloudevents"],
        cwd=ROOT,
        env={**os.environ, **environment_for(database, tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b'{"id":')
    process.stdout.close()
    _, complaints = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, complaints) == (0, b"")
