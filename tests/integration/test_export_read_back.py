"""An export read back into another installation is the same log."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from consumers.exports import ALL_FORMATS
from consumers.exports.export import Access, Exporter
from consumers.exports.reading_back import own_rows
from consumers.imports.formats import open_log
from consumers.imports.history import Imported, Importer
from journey.database import Database, open_database
from journey.errors import UnknownCandidate
from journey.journey_log import JourneyLog
from projections.runner import Runner
from projections.selection import Selection
from schemas.identifiers import PersonKey
from schemas.registry import TOUCHPOINTS
from tests.support.builders import T0, a_log, statement, the_meaning
from tests.support.every_kind import PERSONAL, record_everything, recorded
from tests.support.fakes import FrozenClock
from tests.support.truth import views

SUFFIXES = {
    "csv": ".csv", "parquet": ".parquet", "xes": ".xes", "ocel-json": ".jsonocel",
    "ocel-sqlite": ".sqlite", "cloudevents": ".ndjson",
}  # fmt: skip
VIEWS = ("applications", "silences", "findings", "journey_members", "paths")
_numbers = count(1)


@pytest.fixture
def elsewhere(database: Database) -> Iterator[Database]:
    """Another installation: a tenant of its own, and in the tests another master key."""
    opened = open_database(Path("unused"), database.url, f"{database.schema}_{next(_numbers)}")
    yield opened
    opened.close()
    with opened.connect(autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {opened.schema} CASCADE".encode())


def read_back(path: Path, log: JourneyLog) -> Imported:
    """What `journey import FILE` does with an export of ours."""
    log_file = open_log(path)
    translate = own_rows(log_file)
    assert translate is not None
    return Importer(log.database, log, log.clock).run(
        log_file,
        translate,
        None,
        quiet_until=T0,
        aside=path.with_suffix(".broken.csv"),
    )


def projected(database: Database) -> dict[str, list[str]]:
    """What the views make of a log."""
    Runner(database, the_meaning()).catch_up()
    return views(database, [each for each in VIEWS if each in all_tables(database)])


def all_tables(database: Database) -> set[str]:
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        )
        return {row[0] for row in rows}


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_an_export_read_back_gives_the_same_touchpoints_and_views(
    name: str, database: Database, elsewhere: Database, tmp_path: Path
) -> None:
    """Every kind, every field, old versions, merges: through any format into another tenant."""
    record_everything(database)
    path = tmp_path / f"all{SUFFIXES[name]}"
    done = Exporter(database).to_file(ALL_FORMATS[name], path, Selection())
    log = a_log(elsewhere)
    imported = read_back(path, log)
    assert imported.problems == []
    # A case holds what happened in order of time, whenever it was learned.
    in_order = name != "xes"
    wanted = recorded(database, versions=in_order)
    assert {each["kind"] for each in wanted.values()} == TOUCHPOINTS.keys()
    assert recorded(elsewhere, versions=in_order) == wanted
    assert imported.touchpoints == done.touchpoints == len(wanted)
    assert projected(elsewhere) == projected(database)
    assert all(projected(database)[table] for table in ("applications", "silences", "findings"))


def test_read_back_twice_or_where_it_came_from_nothing_is_doubled(
    database: Database, elsewhere: Database, tmp_path: Path
) -> None:
    """A repeat is a repeat in every installation, merges included."""
    log, path = record_everything(database), tmp_path / "all.csv"
    Exporter(database).to_file(ALL_FORMATS["csv"], path, Selection())
    there = a_log(elsewhere)
    read_back(path, there)
    again = tmp_path / "again.csv"
    Exporter(elsewhere).to_file(ALL_FORMATS["csv"], again, Selection())
    for each in (log, there):
        imported = read_back(again, each)
        assert (imported.touchpoints, imported.repeated) == (0, imported.rows)


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_personal_data_that_were_exported_are_sealed_again_where_they_are_read(
    name: str, database: Database, elsewhere: Database, tmp_path: Path
) -> None:
    """Under the other installation's own keys."""
    log, path = record_everything(database), tmp_path / f"all{SUFFIXES[name]}"
    Exporter(database).to_file(
        ALL_FORMATS[name], path, Selection(), access=Access("Ada", "moving house"), vault=log.vault
    )
    there = a_log(elsewhere)
    read_back(path, there)
    candidate = log.find("ours:candidate/0")
    told = [each for each in there.history(candidate) if each.personal is not None]
    assert len(told) == 2
    for each in told:
        assert each.personal is not None
        assert there.vault.unseal(elsewhere, candidate, each.personal) == PERSONAL


def test_a_row_that_was_tampered_with_is_told_apart_and_the_rest_read(
    database: Database, elsewhere: Database, tmp_path: Path
) -> None:
    """Each with a reason that quotes nothing of the row."""
    log, path = a_log(database), tmp_path / "some.csv"
    log.put_statements([statement("hired", person=str(number)) for number in range(100)])
    Exporter(database).to_file(ALL_FORMATS["csv"], path, Selection())
    lines = path.read_bytes().decode().split("\r\n")
    lines[3] = lines[3].replace("touchpoint.hired.v1", "touchpoint.promoted.v9")
    lines[5] = "x" + lines[5][1:]
    first, _, rest = lines[7].partition(",")
    lines[7] = f"{first},casey@example.org{rest[36:]}"
    path.write_bytes("\r\n".join(lines).encode())
    imported = read_back(path, a_log(elsewhere))
    assert [tuple(each) for each in imported.problems] == [
        (4, "its topic is none that this program knows; upgrade the program"),
        (6, "its touchpoint_id is not what a touchpoint.hired.v1 has there"),
        (8, "its candidate_id is no UUID"),
    ]
    assert imported.touchpoints == 97


def test_a_file_of_somebody_else_is_not_taken_for_ours(tmp_path: Path) -> None:
    """Then it needs a map."""
    other = tmp_path / "log.csv"
    other.write_text("case,activity,time\n1,hired,2026-03-02T09:00:00Z\n")
    assert own_rows(open_log(other)) is None


def test_a_person_told_by_the_candidates_own_id_is_that_candidate_everywhere(
    database: Database, elsewhere: Database
) -> None:
    """Whatever the master key; other keys told with it lead there, too."""
    log, there = a_log(database), a_log(elsewhere)
    log.put_statements([statement("hired")])
    candidate = log.find("greenhouse:candidate/1")
    own = (PersonKey("journey", str(candidate)), PersonKey("lever:candidate", "9"))
    there.put_statements([statement("hired", keys=own), statement("left", keys=own[1:])])
    assert there.find("lever:candidate/9") == there.find(f"journey/{candidate}") == candidate
    assert len(there.history(candidate)) == 2


def test_a_person_told_by_what_is_no_id_is_refused_without_being_quoted(
    database: Database,
) -> None:
    """The text may be anything, an address for instance."""
    keys = (PersonKey("journey", "casey@example.org"),)
    with pytest.raises(UnknownCandidate) as refused:
        a_log(database).put_statements([statement("hired", keys=keys)])
    assert "casey" not in str(refused.value)


def test_a_merge_read_back_is_read_as_one_journey_until_it_is_taken_back(
    database: Database, elsewhere: Database, tmp_path: Path
) -> None:
    """`as of` asks the same of the other installation."""
    log = a_log(database)
    log.put_statements([statement("hired", person="1"), statement("hired", person="2")])
    same = (PersonKey("greenhouse:candidate", "2"),)
    log.put_statements([statement("left", person="1", same_as=same)])
    one, two = log.find("greenhouse:candidate/1"), log.find("greenhouse:candidate/2")
    with database.transaction() as connection:
        assert log.unmerge(two, connection, by="a colleague")
    path = tmp_path / "all.csv"
    Exporter(database).to_file(ALL_FORMATS["csv"], path, Selection())
    there = a_log(elsewhere, FrozenClock(T0))
    read_back(path, there)
    for each in (log, there):
        with each.database.transaction() as connection:
            assert [len(each.members(connection, one, as_of)) for as_of in (3, 4, 5)] == [1, 2, 1]
