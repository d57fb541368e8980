"""A map that was mended and its file: the log says what it would have said with that map alone."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.imports.formats import open_log
from consumers.imports.history import Imported, Importer, ImportStopped, aside_of
from consumers.imports.log_map import LogMap
from consumers.imports.registry import ImportRunning, Log, begun
from consumers.imports.translate import Translator
from consumers.recorded import read_copies
from journey.database import Database
from journey.errors import ConfigurationError
from journey.journey_log import OWN_SOURCE
from projections.runner import Runner
from schemas.event import Moment
from schemas.identifiers import PersonKey
from schemas.statement import Statement
from schemas.touchpoints import RejectionSent, TouchpointCorrected
from tests.properties.test_rebuild_equals_live import empty
from tests.support.alerts import a_sweeper
from tests.support.builders import a_log, the_meaning
from tests.support.fakes import FrozenClock
from tests.support.imports import FIELDS, NOW, a_map, import_file
from tests.support.ocel_files import ocel_json
from tests.support.truth import FULL, a_chance, assert_no_gaps, rows

MASTER = bytes(32)
MEANING = the_meaning()
HEADER = "case,activity,time,done,cand,mail,note,stage,id"
ROWS = (
    "c1,applied,2026-01-05 09:00,2026-01-05 10:00,c2,ann@example.org,hello,new,e1",
    "c1,interview,2026-01-12 09:00,2026-01-12 10:00,c2,ann@example.org,well,talk,e2",
    "c2,applied,2026-01-06 09:00,2026-01-06 10:00,c2,ann@example.org,hi,new,e3",
    "c2,misc,2026-01-07 09:00,2026-01-07 10:00,c2,ann@example.org,hm,new,e4",
    "c2,misc,2026-01-07 10:00,2026-01-07 11:00,c2,ann@example.org,hm,new,e5",
    "c2,misc,2026-01-07 10:00,2026-01-07 11:00,c2,ann@example.org,hm,new,e6",
    "c3,applied,2026-01-06 09:30,2026-01-06 10:30,c1,bob@example.org,ha,new,e7",
    "c3,rejected,2026-01-20 09:00,2026-01-20 10:00,c1,bob@example.org,sorry,end,e8",
)
A = FIELDS["activities"]
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another kind": ({}, {"activities": {**A, "rejected": "rejection_decided"}}),
    "a missing kind": ({}, {"activities": {**A, "misc": "chaser_received"}}),
    "left out, now mapped": (
        {"other": "ignore"}, {"other": "ignore", "activities": {**A, "misc": "chaser_received"}},
    ),
    "mapped, now left out": ({}, {"activities": {**A, "rejected": "ignore"}}),
    "another zone": ({}, {"time_zone": "Europe/Berlin"}),
    "an hour's shift": ({}, {"time_zone": "Etc/GMT+1"}),
    "another time column": ({}, {"time": "done"}),
    "another precision": ({}, {"time_formats": ["%Y-%m-%d %H:%M"]}),
    "a stage column": ({}, {"stage": "stage"}),
    "no stage column": ({"stage": "stage"}, {}),
    "a constant": (
        {},
        {"activities": {**A, "rejected": {"kind": "rejection_sent", "constants": {"reason": "x"}}}},
    ),
    "a field": (
        {},
        {"activities": {**A, "rejected": {"kind": "rejection_sent", "fields": {"reason": "note"}}}},
    ),
    "an actor": ({}, {"actor": "cand"}),
    "a channel": ({}, {"channel": "email"}),
    "a candidate column": ({}, {"candidate": "cand"}),
    "another case column": ({}, {"case": "cand"}),
    "ids of events": ({}, {"event_id": "id"}),
    "an address that names people": ({}, {"person": {"email": "mail"}}),
    "who it is, told twice": ({}, {"candidate": "cand", "person": {"email": "mail"}}),
    "something personal": ({}, {"personal": {"text": {"note": "note"}}}),
    "something else personal": ({"personal": {"name": "note"}}, {"personal": {"emails": "mail"}}),
    "nothing personal any more": ({"personal": {"name": "note"}}, {}),
    "all at once": (
        {"stage": "note", "other": "ignore"},
        {"stage": "stage", "time": "done", "candidate": "cand", "activities": {"misc": "hired"}},
    ),
}  # fmt: skip


def the_map(changes: dict[str, Any]) -> LogMap:
    return a_map(**{"time_zone": "UTC", **changes})


def a_file(path: Path, told: Sequence[str] = ROWS) -> Path:
    path.write_text("\n".join([HEADER, *told]) + "\n", encoding="utf-8")
    return path


def told_by(database: Database) -> list[tuple[str, ...]]:
    """What holds, a journey an entry: its touchpoints with all they say, personal things too."""
    log = a_log(database, FrozenClock(NOW), MASTER)
    with database.transaction() as connection:
        found = connection.execute(
            "SELECT originator_id, originator_version, topic, state, notification_id "
            "FROM journey_events ORDER BY notification_id",
            binary=True,
        ).fetchall()
        journeys: dict[Any, list[str]] = defaultdict(list)
        for copy in read_copies(connection, log, found):
            if copy.touchpoint.source == OWN_SOURCE or copy.retractions:
                continue
            personal = copy.personal_now()
            said = [
                copy.touchpoint.KIND,
                copy.content(),
                personal.model_dump(mode="json") if personal else None,
            ]
            journey = min(log.members(connection, copy.candidate_id))
            journeys[journey].append(json.dumps(said, sort_keys=True, default=str))
    return sorted(tuple(sorted(each)) for each in journeys.values())


VIEWS = {
    "applications": "application_id, status, turn, stage, first_at, last_at, closed_at, "
    "touchpoints, interviews, chases, stages",
    "silences": "application_id, began_kind, since, until, ended_kind, stage, interviews",
    "findings": "application_id, rule, severity, since, until",
    "deadlines": "due_at, subject, application_id, name, level, since",
}


def views_of(database: Database) -> dict[str, list[str]]:
    """Rows of the views, without ids of touchpoints and candidates."""
    Runner(database, MEANING).catch_up()
    return {
        table: sorted(map(repr, rows(database, f"SELECT {columns} FROM {table}")))
        for table, columns in VIEWS.items()
    }


def begins_anew(database: Database) -> None:
    """As if nothing had ever been imported."""
    empty(database)
    with database.transaction() as connection:
        connection.execute("TRUNCATE imports, quiet_candidates")


def numbers(imported: Imported) -> tuple[int, ...]:
    return tuple(imported.counts().values())


def of_touchpoints(imported: Imported) -> dict[str, int]:
    """The numbers that are not 0."""
    names = ("touchpoints", "repeated", "corrected", "restored", "retracted", "left_alone")
    return {name: count for name in names if (count := imported.counts()[name])}


def everything(database: Database) -> list[str]:
    """All that a dry run, or a refusal, leaves as it was."""
    tables = ("journey_events", "identity_keys", "identity_merges", "person_keys", "imports",
              "quiet_candidates")  # fmt: skip
    return [
        repr(row) for table in tables for row in rows(database, f"SELECT * FROM {table} ORDER BY 1")
    ]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_mended_map_gives_what_it_alone_would_have_given(
    database: Database, tmp_path: Path, change: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    """Touchpoints, personal things, people and views; foretold by a dry run; once more nothing."""
    path = a_file(tmp_path / "log.csv")
    before, after = map(the_map, change)
    import_file(database, path, after)
    expected, views = told_by(database), views_of(database)
    begins_anew(database)
    import_file(database, path, before)
    untouched = everything(database)
    foretold = import_file(database, path, after, dry_run=True, batch=3)
    assert everything(database) == untouched
    done = import_file(database, path, after, batch=3)
    assert numbers(done) == numbers(foretold)
    assert done.amended == foretold.amended
    assert told_by(database) == expected
    assert views_of(database) == views
    assert import_file(database, path, after).finished_before
    copied = a_file(tmp_path / "copy.csv", [*ROWS, ""])
    again = import_file(database, copied, after)
    assert set(of_touchpoints(again)) == {"repeated"}


@pytest.mark.parametrize("name", [name for name in CHANGES if "person" not in CHANGES[name][1]])
def test_a_map_that_is_taken_back_is_taken_back(
    database: Database, tmp_path: Path, name: str
) -> None:
    """The earlier map again says what it said, and the later one once more too."""
    path = a_file(tmp_path / "log.csv")
    before, after = map(the_map, CHANGES[name])
    import_file(database, path, before)
    first = told_by(database)
    import_file(database, path, after)
    second = told_by(database)
    for log_map, told in ((before, first), (after, second), (before, first)):
        assert not import_file(database, path, log_map).finished_before
        assert told_by(database) == told
    assert_no_gaps(database)


def test_the_numbers_say_what_was_done(database: Database, tmp_path: Path) -> None:
    """New, known, corrected, taken back and told again, by kind and field."""
    path = a_file(tmp_path / "log.csv")
    import_file(database, path, the_map({}))
    mended = {"activities": {**A, "misc": "chaser_received"}}
    mended["activities"]["interview"] = {"kind": "interview_held", "stage": "Talk"}
    done = import_file(database, path, the_map(mended))
    assert of_touchpoints(done) == {
        "touchpoints": 3, "repeated": 4, "corrected": 1, "retracted": 3,
    }  # fmt: skip
    assert {kind: dict(verbs) for kind, verbs in done.amended.items()} == {
        "application_submitted": {"unchanged": 3},
        "chaser_received": {"added": 3},
        "interview_held": {"corrected": 1},
        "rejection_sent": {"unchanged": 1},
        "unrecognised_touchpoint": {"retracted": 3},
    }
    assert done.fields["interview_held"] == {"stage": 1}
    back = import_file(database, path, the_map({}))
    assert of_touchpoints(back) == {
        "repeated": 4, "corrected": 1, "restored": 3, "retracted": 3,
    }  # fmt: skip


def test_a_log_that_grew_is_corrected_where_it_was_known(
    database: Database, tmp_path: Path
) -> None:
    """Another file of the same source: what an earlier map told of its rows is found all the same.

    Also when the file has lost columns that the earlier map named and no id needs.
    """
    before = the_map({"personal": {"name": "note"}, "actor": "cand"})
    import_file(database, a_file(tmp_path / "one.csv", ROWS[:5]), before)
    import_file(database, a_file(tmp_path / "two.csv", ROWS[:6]), before)
    columns = [0, 1, 2, 5, 7]
    grown = tmp_path / "grown.csv"
    grown.write_text(
        "\n".join(",".join(line.split(",")[at] for at in columns) for line in [HEADER, *ROWS])
    )
    after = the_map({"activities": {**A, "misc": "chaser_received"}})
    done = import_file(database, grown, after)
    assert of_touchpoints(done) == {"touchpoints": 5, "corrected": 3, "retracted": 3}
    found = told_by(database)
    begins_anew(database)
    import_file(database, grown, after)
    assert told_by(database) == found


def test_another_file_of_the_source_with_a_map_of_its_own_is_left_alone(
    database: Database, tmp_path: Path
) -> None:
    """Two tables of one ATS: neither map reads the other's columns, and nothing is taken back."""
    import_file(database, a_file(tmp_path / "log.csv"), the_map({}))
    table = tmp_path / "offers.csv"
    table.write_text("candidate,what,when\nc1,offer,2026-02-01 09:00\n")
    columns = {"case": "candidate", "activity": "what", "time": "when"}
    done = import_file(database, table, the_map(columns))
    assert (done.is_again, of_touchpoints(done)) == (False, {"touchpoints": 1})
    assert import_file(database, tmp_path / "log.csv", the_map({})).finished_before


def test_rows_kept_aside_and_mended_are_corrected_too(database: Database, tmp_path: Path) -> None:
    """With the mended map they are imported once more; nobody overwrites what was mended."""
    path = a_file(tmp_path / "log.csv", [*ROWS, "c9,misc,yesterday,,c9,c@example.org,x,new,e9"])
    aside = import_file(database, path, the_map({}), most_broken=0.5).kept_aside
    assert aside is not None
    mended = aside.read_text().replace("yesterday", "2026-01-09 09:00")
    aside.write_text(mended)
    import_file(database, aside, the_map({}))
    after = the_map({"activities": {**A, "misc": "chaser_received"}})
    done = import_file(database, path, after, most_broken=0.5)
    assert (done.broken, done.retracted) == (1, 3)
    assert done.kept_aside == aside.with_name("log.csv.broken-2.csv")
    assert aside.read_text() == mended
    again = import_file(database, aside, after)
    assert of_touchpoints(again) == {"touchpoints": 1, "retracted": 1}
    assert not any("unrecognised" in each for told in told_by(database) for each in told)


def test_what_the_new_map_cannot_read_is_taken_back_and_kept_aside(
    database: Database, tmp_path: Path
) -> None:
    """So that it is not there twice once it is mended."""
    path = a_file(tmp_path / "log.csv", [*ROWS, "c9,applied,2026-01-05 09:00,,c9,,,new,e9"])
    import_file(database, path, the_map({}))
    after = the_map({"time": "done"})
    done = import_file(database, path, after, most_broken=0.5)
    # One of them is told with the time that another had.
    assert (done.broken, done.touchpoints, done.repeated, done.retracted) == (1, 7, 1, 8)
    assert done.kept_aside is not None
    mended = done.kept_aside.read_text().replace("09:00,,", "09:00,2026-01-05 10:00,")
    done.kept_aside.write_text(mended)
    assert of_touchpoints(import_file(database, done.kept_aside, after)) == {"touchpoints": 1}
    assert len([each for told in told_by(database) for each in told if "c9" in each]) == 1


def test_too_many_broken_rows_stop_it_before_anything_is_changed(
    database: Database, tmp_path: Path
) -> None:
    """Though the first batches have none: a mended map is tried on the whole file first."""
    path = a_file(
        tmp_path / "log.csv", [*ROWS * 40, *["c8,applied,2026-01-05 09:00,never,,,,,"] * 200]
    )
    import_file(database, path, the_map({}))
    before = everything(database)
    with pytest.raises(
        ImportStopped, match=r"200 of 520 rows .* is at 322: .*Nothing was recorded"
    ):
        import_file(database, path, the_map({"time": "done"}), batch=10)
    assert everything(database) == before
    assert import_file(database, path, the_map({})).finished_before


def test_the_same_file_as_another_source_is_refused(database: Database, tmp_path: Path) -> None:
    """It would all be there twice; one sentence says so, and how to go about it."""
    path = a_file(tmp_path / "log.csv")
    import_file(database, path, the_map({"source": "old-atz"}))
    before = everything(database)
    for dry_run in (True, False):
        with pytest.raises(ConfigurationError, match=r"as source 'old-atz'.*`source: old-atz`"):
            import_file(database, path, the_map({}), dry_run=dry_run)
    assert everything(database) == before
    nothing = {"source": "old-atz", "activities": {}, "other": "ignore"}
    assert of_touchpoints(import_file(database, path, the_map(nothing))) == {"retracted": 8}
    assert of_touchpoints(import_file(database, path, the_map({}))) == {"touchpoints": 8}


def test_people_who_were_made_one_are_not_told_apart_by_a_map(
    database: Database, tmp_path: Path
) -> None:
    """Keys never move: a map that no longer names the wrong address is refused, with what to do."""
    path = a_file(tmp_path / "log.csv")
    import_file(database, path, the_map({"person": {"email": "mail"}}))
    before = everything(database)
    for changes in ({}, {"person": {"email": "note"}}, {"case": "id", "person": {"email": "mail"}}):
        with pytest.raises(ConfigurationError, match=r"never part again.*a new tenant"):
            import_file(database, path, the_map(changes))
    assert everything(database) == before
    assert import_file(database, path, the_map({"person": {"email": "mail"}})).finished_before


def test_other_rows_of_the_same_file_take_the_place_of_the_first(
    database: Database, tmp_path: Path
) -> None:
    """An object-centric log seen by other objects has other rows, and more or fewer of them."""
    path = ocel_json(tmp_path / "log.jsonocel")
    columns = {"activity": "ocel:activity", "time": "ocel:timestamp", "event_id": "ocel:eid"}
    maps = [
        a_map(case=f"ocel:type:{seen_by}", **columns) for seen_by in ("applications", "recruiters")
    ]
    for before, after in (maps, maps[::-1]):
        import_file(database, path, after)
        expected = told_by(database)
        begins_anew(database)
        told = import_file(database, path, before).touchpoints
        done = import_file(database, path, after, batch=1)
        assert told_by(database) == expected
        assert done.retracted + done.corrected + done.repeated >= told
        begins_anew(database)


def test_the_word_of_a_webhook_and_of_a_hand_stands(database: Database, tmp_path: Path) -> None:
    """A map corrects what maps told."""
    path = a_file(tmp_path / "log.csv")
    import_file(database, path, the_map({}))
    log = a_log(database, FrozenClock(NOW), MASTER)
    (held,) = rows(database, "SELECT touchpoint_id FROM journey_events WHERE topic LIKE '%%held%%'")
    by_hand = TouchpointCorrected.told(
        source="desk", source_event_id="1", moment=Moment.of(NOW), corrects=held[0],
        corrected={"stage": "By hand"},
    )  # fmt: skip
    log.put_statements([Statement(by_hand, (PersonKey("old-ats:candidate", "c1"),))])
    delivered = RejectionSent.told(
        source="old-ats", source_event_id="c4/rejected/2026-01-20T09:00:00",
        moment=Moment.of(NOW), delivery_id="6d0d5fd8-53a2-4a0e-8d0a-0e0a52fba8a3",
        application_id="old-ats:c4",
    )  # fmt: skip
    log.put_statements([Statement(delivered, (PersonKey("old-ats:candidate", "c4"),))])
    grown = a_file(tmp_path / "log.csv", [*ROWS, ROWS[-1].replace("c3,", "c4,")])
    done = import_file(database, grown, the_map({"activities": {}, "stage": "stage"}))
    assert of_touchpoints(done) == {
        "touchpoints": 6, "corrected": 3, "retracted": 4, "left_alone": 2,
    }  # fmt: skip


def test_imports_that_correct_run_alone(database: Database, tmp_path: Path) -> None:
    """Files with one map may run side by side, another map waits."""
    one, two = a_file(tmp_path / "one.csv"), a_file(tmp_path / "two.csv", ROWS[:3])
    first = the_map({})
    with (
        database.connect(autocommit=True) as session,
        begun(session, Log.of(one, first), aside_of(one), NOW),
    ):
        assert import_file(database, two, first).touchpoints == 3
        with pytest.raises(ImportRunning, match="runs alone"):
            import_file(database, two, the_map({"time": "done"}))
    assert import_file(database, two, the_map({"time": "done"})).retracted == 3


def test_what_is_taken_back_alerts_nobody(database: Database, tmp_path: Path) -> None:
    """A silence that a mended map shows in the past is history too."""
    path = a_file(tmp_path / "log.csv")
    import_file(database, path, the_map({}))
    later = NOW + timedelta(days=60)
    import_file(
        database, path, the_map({"activities": {**A, "rejected": "ignore"}}), quiet_until=later,
        clock=FrozenClock(later),
    )  # fmt: skip
    Runner(database, MEANING).catch_up()
    sweeper = a_sweeper(database, FrozenClock(later))
    assert sweeper.sweep().deadlines > 0
    assert sweeper.alerts.list() == []


# --- any map, any log -----------------------------------------------------------------------

ROUNDS = 300 if FULL else 15


def a_random_row(chance: random.Random, number: int) -> str:
    """Of few cases, activities and hours, so that much of it is equal or meets when it is moved."""
    hour = chance.randrange(8, 13)
    day = chance.randrange(5, 8)
    when = f"2026-01-0{day} {hour:02}:00" if chance.random() > 0.03 else "never"
    done = f"2026-01-0{day} {hour + 1:02}:00"
    mail = chance.choice(("ann@example.org", "bob@example.org", "eve@example.org", "", ""))
    return ",".join(
        (
            f"c{chance.randrange(5)}",
            chance.choice(("applied", "interview", "rejected", "misc")),
            when, done, f"c{chance.randrange(5)}", mail,
            chance.choice(("", "x", "y")), chance.choice(("new", "end", "")),
            f"e{number if chance.random() > 0.1 else number // 2}",
        )
    )  # fmt: skip


KINDS = ("application_submitted", "interview_held", "rejection_sent", "chaser_received", "ignore")
EDITS: dict[str, tuple[Any, ...]] = {
    "time": ("time", "done"),
    "time_zone": ("UTC", "Europe/Berlin", "Etc/GMT+1", "Asia/Tokyo"),
    "time_formats": ([], ["%Y-%m-%d %H:%M"]),
    "case": ("case", "cand"),
    "candidate": (None, "cand", "case"),
    "event_id": (None, "id"),
    "stage": (None, "stage", "note"),
    "job": (None, "note"),
    "actor": (None, "cand"),
    "channel": ("import", "email"),
    "other": ("ignore", "unrecognised_touchpoint"),
    "person": ({}, {"email": "mail"}),
    "personal": ({}, {"name": "note"}, {"emails": "mail", "text": {"about": "note"}}),
}


WHO_IT_IS = ("case", "candidate", "person")


def edited(chance: random.Random, fields: dict[str, Any]) -> dict[str, Any]:
    """The map with one to three edits."""
    for _ in range(chance.randrange(1, 4)):
        if chance.random() < 0.5:
            kind: Any = chance.choice(KINDS)
            if kind == "rejection_sent" and chance.random() < 0.5:
                kind = {"kind": kind, "fields": {"reason": "note"}, "stage": chance.choice("ab")}
            elif chance.random() < 0.3:
                kind = {"kind": kind, "by": "stage", "values": {"end": chance.choice(KINDS)}}
            named = chance.choice(("applied", "interview", "rejected", "misc"))
            fields = {**fields, "activities": {**fields["activities"], named: kind}}
        else:
            name = chance.choice([*EDITS, *WHO_IT_IS, *WHO_IT_IS, *WHO_IT_IS])
            fields = {**fields, name: chance.choice(EDITS[name])}
    return fields


class Killed(Exception):
    """In the middle of it."""


@contextmanager
def a_kill(chance: random.Random) -> Iterator[Any]:
    """Progress that ends the import at a random batch, or not at all."""
    left = chance.choice((1, 2, 3, 5, 1_000))

    def progress(done: int, total: int, imported: Imported) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Killed

    with suppress(Killed):
        yield progress


def imports(
    database: Database, path: Path, log_map: LogMap, chance: random.Random
) -> Imported | None:
    """Batches of any size, killed now and then; None when it was."""
    log = a_log(database, FrozenClock(NOW), MASTER)
    importer = Importer(database, log, log.clock)
    log_file = open_log(path, log_map)
    with a_kill(chance) as progress:
        return importer.run(
            log_file, Translator(log_map, log_file.key), log_map, quiet_until=NOW,
            aside=aside_of(path), most_broken=1, correct=True, batch=chance.choice((1, 4, 7, 100)),
            progress=progress,
        )  # fmt: skip
    return None


def test_after_any_edits_of_a_map_the_log_tells_what_the_last_one_tells(
    database: Database, tmp_path: Path
) -> None:
    """Whatever was mended, in whatever order, on a file that grew, with kills on the way."""
    chance, _ = a_chance()
    refused = amended = 0
    for number in range(ROUNDS):
        begins_anew(database)
        lines = [a_random_row(chance, at) for at in range(chance.randrange(5, 40))]
        fields = edited(chance, {**FIELDS, "time_zone": "UTC"})
        path = a_file(tmp_path / f"{number}.csv", lines[: chance.randrange(1, len(lines) + 1)])
        imports(database, path, a_map(**fields), chance)
        for step in range(chance.randrange(1, 4)):
            tried = edited(chance, fields)
            if step and chance.random() < 0.5:
                lines.append(a_random_row(chance, len(lines)))
            path = a_file(tmp_path / f"{number}.csv", lines)
            try:
                import_file(database, path, a_map(**tried), dry_run=True)
            except ConfigurationError:
                refused += 1
                continue
            fields = tried
            imports(database, path, a_map(**fields), chance)
        path = a_file(tmp_path / f"{number}.csv", lines)
        while (done := imports(database, path, a_map(**fields), chance)) is None:
            pass
        amended += done.corrected + done.restored + done.retracted
        found = told_by(database)
        assert imports_nothing(database, tmp_path / "same.csv", lines, fields)
        begins_anew(database)
        import_file(database, path, a_map(**fields), most_broken=1)
        assert found == told_by(database), (number, fields)
    assert amended > ROUNDS
    print(f"{amended} touchpoints amended, {refused} maps refused")


def imports_nothing(
    database: Database, path: Path, lines: Sequence[str], fields: dict[str, Any]
) -> bool:
    """Whether the same rows once more, as another file, leave the log as long as it is."""
    before = rows(database, "SELECT position FROM log_head")
    # An empty line is no row, and makes it another file.
    import_file(database, a_file(path, [*lines, ""]), a_map(**fields), most_broken=1)
    return before == rows(database, "SELECT position FROM log_head")


def test_without_being_asked_to_it_changes_nothing_that_stands(
    database: Database, tmp_path: Path
) -> None:
    """Another map may be a mistake: rows before the first such one are recorded, the rest waits."""
    path = a_file(tmp_path / "log.csv")
    import_file(database, path, the_map({"other": "ignore"}))
    held = told_by(database)
    mended = the_map({"activities": {**A, "misc": "chaser_received", "rejected": "ignore"}})
    with pytest.raises(ImportStopped) as stopped:
        import_file(database, path, mended, correct=False, batch=4)
    assert str(stopped.value) == (
        "log.csv was imported before with another map, which told some of it otherwise. The 4 rows "
        "before are recorded; --dry-run shows what this map would change, and --correct changes it"
    )
    # The rejection stands; the fourth row, which the earlier map left out, is new.
    assert [each for journey in told_by(database) for each in journey if "rejection" in each] == [
        each for journey in held for each in journey if "rejection" in each
    ]
    done = import_file(database, path, mended, batch=4)
    assert of_touchpoints(done) == {"touchpoints": 3, "repeated": 4, "retracted": 1}
    # Where nothing would change, nothing is asked.
    again = import_file(database, a_file(tmp_path / "more.csv", ROWS[:7]), mended, correct=False)
    assert of_touchpoints(again) == {"repeated": 7}
