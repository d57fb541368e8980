"""A log in: each row once, whatever happens on the way; what is broken is kept aside."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from consumers.imports.history import ImportRunning, ImportStopped, aside_of
from consumers.imports.log_file import UnreadableLog
from consumers.imports.registry import Log, begun
from journey.database import Database
from projections.runner import Runner
from tests.support.alerts import a_sweeper
from tests.support.builders import the_meaning
from tests.support.fakes import FrozenClock
from tests.support.imports import NOW, a_csv, a_map, import_file
from tests.support.truth import rows

ROWS = [
    ("c1", "applied", "2026-01-05T09:00:00Z"),
    ("c1", "interview", "2026-01-12T09:00:00+01:00"),
    ("c2", "applied", "2026-01-06T09:00:00Z"),
    ("NA", "applied", "2026-01-07T09:00:00Z"),
    ("c2", "rejected", "2026-01-20"),
]


def recorded(database: Database) -> list[tuple[object, ...]]:
    """The log without candidates and times of recording, in order."""
    return rows(
        database,
        "SELECT topic, convert_from(state, 'UTF8')::jsonb - 'recorded_at' FROM journey_events "
        "ORDER BY notification_id",
    )


def test_rows_become_touchpoints_once(database: Database, tmp_path: Path) -> None:
    """A case is an application and a candidate; reading the file again adds nothing."""
    path = a_csv(tmp_path / "log.csv", ROWS)
    first = import_file(database, path, a_map())
    assert (first.rows, first.touchpoints, first.broken) == (5, 5, 0)
    assert rows(database, "SELECT count(DISTINCT originator_id) FROM journey_events") == [(3,)]
    assert import_file(database, path, a_map()).finished_before
    copied = a_csv(tmp_path / "copy.csv", [*ROWS, ("c3", "applied", "2026-01-07T09:00:00Z")])
    second = import_file(database, copied, a_map())
    assert (second.touchpoints, second.repeated) == (1, 5)


def test_times_keep_offset_and_precision(database: Database, tmp_path: Path) -> None:
    """An offset is kept beside UTC, a date alone is a day, a naive time has the log's zone."""
    path = a_csv(
        tmp_path / "log.csv",
        [
            ("a", "interview", "2026-01-12T09:00:00+01:00"),
            ("b", "rejected", "2026-01-20"),
            ("c", "applied", "2026-07-01 09:00"),
            ("d", "applied", "2026-10-25T02:30:00"),
        ],
    )
    import_file(database, path, a_map(time_zone="Europe/Paris"))
    told = [state for _, state in recorded(database)]
    assert [each["occurred_at"] for each in told] == [
        "2026-01-12T08:00:00Z",
        "2026-01-19T23:00:00Z",
        "2026-07-01T07:00:00Z",
        "2026-10-25T00:30:00Z",
    ]
    assert [each.get("occurred_precision", "instant") for each in told] == [
        "instant", "day", "minute", "instant",
    ]  # fmt: skip
    # That half hour comes twice on the night the clocks go back.
    assert [each.get("occurred_quality", "exact") for each in told] == [*["exact"] * 3, "inferred"]
    assert told[0]["occurred_offset_minutes"] == 60
    assert ZoneInfo("Europe/Paris").utcoffset(datetime(2026, 7, 1)) == timedelta(hours=2)  # noqa: DTZ001


def test_equal_events_are_told_apart_by_their_place(database: Database, tmp_path: Path) -> None:
    """Two rows that are the same are two touchpoints, today and when the file is read again."""
    twice = [ROWS[0], ROWS[0], ROWS[1]]
    imported = import_file(database, a_csv(tmp_path / "log.csv", twice), a_map())
    assert imported.touchpoints == 3
    again = import_file(database, a_csv(tmp_path / "more.csv", [*twice, ROWS[2]]), a_map())
    assert (again.touchpoints, again.repeated) == (1, 3)


def test_a_broken_row_is_kept_aside_and_can_be_mended(database: Database, tmp_path: Path) -> None:
    """The others are recorded; the mended file has the rest, and nothing is doubled."""
    broken = [*ROWS, ("c4", "applied", "yesterday"), ("", "applied", "2026-01-05T09:00:00Z")]
    path = a_csv(tmp_path / "log.csv", broken)
    imported = import_file(database, path, a_map(), most_broken=0.5)
    assert (imported.touchpoints, imported.broken) == (5, 2)
    assert [line for line, _ in imported.problems] == [7, 8]
    assert imported.kept_aside is not None
    aside = imported.kept_aside
    assert aside.read_text().splitlines() == [
        "journey:line,journey:problem,case,activity,time",
        "7,its time is no ISO 8601 time; mend it or add its form to `time_formats`,"
        "c4,applied,yesterday",
        "8,its case is empty,,applied,2026-01-05T09:00:00Z",
    ]
    mended = aside.read_text().replace("yesterday", "2026-01-08T09:00:00Z").replace(",,", ",c5,")
    aside.write_text(mended)
    again = import_file(database, aside, a_map())
    assert (again.touchpoints, again.broken) == (2, 0)
    assert not aside_of(aside).exists()


def test_rows_that_stay_broken_are_kept_aside_again(database: Database, tmp_path: Path) -> None:
    """Under the same columns, so that mending may take several rounds."""
    path = a_csv(tmp_path / "log.csv", [*ROWS, ("c4", "applied", "yesterday")])
    aside = import_file(database, path, a_map(), most_broken=1).kept_aside
    assert aside is not None
    again = import_file(database, aside, a_map(), most_broken=1).kept_aside
    assert again is not None
    assert again.read_text().splitlines()[0] == "journey:line,journey:problem,case,activity,time"


def test_too_many_broken_rows_stop_it(database: Database, tmp_path: Path) -> None:
    """Then the map is wrong: one sentence, with the first row, and nothing was recorded."""
    path = a_csv(tmp_path / "log.csv", [(f"c{n}", "applied", "yesterday") for n in range(300)])
    with pytest.raises(
        ImportStopped, match=r"300 of 300 rows .* first of these is at 2: .*Nothing"
    ):
        import_file(database, path, a_map())
    assert recorded(database) == []
    path = a_csv(tmp_path / "log.csv", [*ROWS, *[("c", "applied", "never")] * 300])
    with pytest.raises(ImportStopped, match="rows before are recorded"):
        import_file(database, path, a_map(), batch=5)


def test_an_import_that_was_cut_off_goes_on(database: Database, tmp_path: Path) -> None:
    """With the same log as one that was not, equal events and broken rows included."""
    told = [(f"c{n % 7}", "applied", f"2026-01-{n % 20 + 1:02}T09:00:00Z") for n in range(400)]
    told[50] = told[350] = ("c1", "applied", "never")
    path = a_csv(tmp_path / "log.csv", told)

    class Killed(Exception):
        pass

    stopped_at = []

    def kill(done: int, total: int, imported: object) -> None:
        stopped_at.append(done)
        raise Killed

    from consumers.imports.formats import open_log
    from consumers.imports.history import Importer
    from consumers.imports.translate import Translator
    from journey.journey_log import JourneyLog
    from journey.vault import Vault

    log_map, clock = a_map(), FrozenClock(NOW)
    importer = Importer(database, JourneyLog(database, Vault(bytes(32)), clock), clock)
    while True:
        log_file = open_log(path, log_map)
        try:
            imported = importer.run(
                log_file, Translator(log_map, log_file.key), log_map, quiet_until=NOW,
                aside=aside_of(path), batch=30, progress=kill,
            )  # fmt: skip
            break
        except Killed:
            continue
    assert imported.finished_before or imported.rows == 400
    assert len(stopped_at) == 14
    assert len(recorded(database)) == 398
    assert len(aside_of(path).read_text().splitlines()) == 3


def test_a_file_is_imported_by_one_at_a_time(database: Database, tmp_path: Path) -> None:
    """The second is told so, and may come back."""
    path, log_map = a_csv(tmp_path / "log.csv", ROWS), a_map()
    log = Log.of(path, log_map)
    with (
        database.connect(autocommit=True) as session,
        begun(session, log, aside_of(path), NOW),
        pytest.raises(ImportRunning, match="imported already"),
    ):
        import_file(database, path, log_map)
    assert import_file(database, path, log_map).touchpoints == 5


def test_a_dry_run_says_what_would_be_and_records_nothing(
    database: Database, tmp_path: Path
) -> None:
    """New and known touchpoints, kinds, problems with their lines."""
    path = a_csv(tmp_path / "log.csv", [*ROWS, ("c4", "applied", "yesterday")])
    import_file(database, a_csv(tmp_path / "two.csv", ROWS[:2]), a_map())
    before = recorded(database)
    told = import_file(database, path, a_map(), dry_run=True)
    assert (told.rows, told.touchpoints, told.repeated, told.broken) == (6, 3, 2, 1)
    assert told.kinds == {"application_submitted": 3, "interview_held": 1, "rejection_sent": 1}
    assert [problem.line for problem in told.problems] == [7]
    assert recorded(database) == before
    assert rows(database, "SELECT count(*) FROM imports") == [(1,)]


def test_the_same_log_as_xes_and_as_csv_is_one(database: Database, tmp_path: Path) -> None:
    """Ids follow from case, activity and time in UTC, whatever the file's form."""
    xes = tmp_path / "log.xes.gz"
    traces = "".join(
        f'<trace><string key="concept:name" value="{case}"/><event>'
        f'<string key="concept:name" value="{activity}"/>'
        f'<date key="time:timestamp" value="{time}"/></event></trace>'
        for case, activity, time in [
            ("c1", "applied", "2026-01-05T10:00:00.000+01:00"),
            ("c2", "applied", "2026-01-06T09:00:00.250Z"),
        ]
    )
    with gzip.open(xes, "wt") as file:
        file.write(f'<log xmlns="http://www.xes-standard.org/">{traces}</log>')
    columns = {"case": "case:concept:name", "activity": "concept:name", "time": "time:timestamp"}
    assert import_file(database, xes, a_map(**columns)).touchpoints == 2
    csv = a_csv(
        tmp_path / "log.csv",
        [("c1", "applied", "2026-01-05T09:00:00Z"), ("c2", "applied", "2026-01-06 09:00:00.25Z")],
    )
    imported = import_file(database, csv, a_map())
    assert (imported.touchpoints, imported.repeated) == (0, 2)


def test_history_raises_no_alerts(database: Database, tmp_path: Path) -> None:
    """What was due before `quiet_until` alerts nobody; what is due later does."""
    path = a_csv(
        tmp_path / "log.csv",
        [
            ("old", "applied", "2020-01-05T09:00:00Z"),
            ("new", "applied", "2026-03-01T09:00:00Z"),
        ],
    )
    import_file(database, path, a_map(), quiet_until=NOW)
    Runner(database, the_meaning()).catch_up()
    clock = FrozenClock(NOW)
    sweeper = a_sweeper(database, clock)
    swept = sweeper.sweep()
    assert swept.deadlines > 0
    assert sweeper.alerts.list() == []
    clock.advance(timedelta(days=60))
    sweeper.sweep()
    assert {alert.since for alert in sweeper.alerts.list()} == {datetime(2026, 3, 1, 9, tzinfo=UTC)}


def test_since_an_earlier_moment_alerts_are_raised(database: Database, tmp_path: Path) -> None:
    """Whoever wants to hear of the last weeks says so."""
    path = a_csv(tmp_path / "log.csv", [("c", "applied", "2020-01-05T09:00:00Z")])
    import_file(database, path, a_map(), quiet_until=datetime(2020, 1, 1, tzinfo=UTC))
    Runner(database, the_meaning()).catch_up()
    sweeper = a_sweeper(database, FrozenClock(NOW))
    sweeper.sweep()
    assert len(sweeper.alerts.list()) > 0


# --- files that are not what they should be -------------------------------------------------


def refused(database: Database, path: Path, says: str, **changes: object) -> None:
    """One clear sentence, and nothing half-done."""
    with pytest.raises(UnreadableLog, match=says) as told:
        import_file(database, path, a_map(**changes))
    assert str(path.parent) not in str(told.value)
    assert "\n" not in str(told.value)
    assert recorded(database) == []
    assert rows(database, "SELECT count(*) FROM imports") == [(0,)]
    assert list(path.parent.glob("*.broken.*")) == []


def test_a_truncated_gzip_is_refused(database: Database, tmp_path: Path) -> None:
    """Before anything of it is recorded."""
    whole = gzip.compress(a_csv(tmp_path / "log.csv", ROWS * 2_000).read_bytes())
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    refused(database, path, "ends in the middle of its gzip data")


def test_a_damaged_gzip_is_refused(database: Database, tmp_path: Path) -> None:
    """A flipped byte is found by the check, not by the candidate."""
    whole = bytearray(gzip.compress(a_csv(tmp_path / "log.csv", ROWS * 2_000).read_bytes()))
    whole[-6] ^= 0xFF
    path = tmp_path / "damaged.csv.gz"
    path.write_bytes(bytes(whole))
    refused(database, path, "damaged")


def test_a_wrong_encoding_is_refused(database: Database, tmp_path: Path) -> None:
    """With the line, and what to write into the map."""
    path = tmp_path / "log.csv"
    told = [*ROWS * 100, ("Zoë", "applied", "2026-01-05T09:00:00Z")]
    path.write_bytes(a_csv(path, told).read_text().encode("cp1252"))
    refused(database, path, r"line 502, is not UTF-8; .*`encoding: cp1252`")
    assert import_file(database, path, a_map(encoding="cp1252")).rows == 501


def test_a_table_too_wide_is_refused(database: Database, tmp_path: Path) -> None:
    """Ten thousand columns are no log."""
    path = tmp_path / "log.csv"
    path.write_text(",".join(f"c{n}" for n in range(10_000)) + "\n")
    refused(database, path, "has 10,000 columns")


def test_a_column_that_is_not_there_is_named(database: Database, tmp_path: Path) -> None:
    """With those that come nearest."""
    refused(
        database, a_csv(tmp_path / "log.csv", ROWS), "no column 'activty'.*'activity'",
        activity="activty",
    )  # fmt: skip


ENTITY_BOMB = (
    '<!DOCTYPE log [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><log><trace>&c;</trace></log>'
)
EXTERNAL = (
    '<!DOCTYPE log [<!ENTITY x SYSTEM "file:///etc/passwd">]><log><trace>'
    '<string key="concept:name" value="1"/>&x;</trace></log>'
)


@pytest.mark.parametrize("text", [ENTITY_BOMB, EXTERNAL], ids=["bomb", "external"])
def test_xes_with_entities_is_refused(database: Database, tmp_path: Path, text: str) -> None:
    """Before an entity is looked at."""
    path = tmp_path / "log.xes"
    path.write_text(text)
    refused(database, path, "document type")


def test_xes_that_is_cut_off_is_refused(database: Database, tmp_path: Path) -> None:
    """With the line where it stops being XML."""
    path = tmp_path / "log.xes"
    path.write_text('<log>\n<trace>\n<event><string key="concept:name" value="x"/>')
    refused(database, path, "line 3, is not well-formed XML")


def test_a_sqlite_file_that_is_none_is_refused(database: Database, tmp_path: Path) -> None:
    """Whatever its name says."""
    path = tmp_path / "log.sqlite"
    path.write_bytes(b"case,activity,time\n" * 100)
    columns = {"case": "ocel:type:app", "activity": "ocel:activity", "time": "ocel:timestamp"}
    refused(database, path, "SQLite", **columns)


def test_a_file_that_is_not_there_is_named(database: Database, tmp_path: Path) -> None:
    """Without the folder, which may say who somebody is."""
    with pytest.raises(UnreadableLog, match=r"^log\.csv cannot be read"):
        import_file(database, tmp_path / "log.csv", a_map())
