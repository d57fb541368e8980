"""Files as they come: line ends, encodings, quotes, packing, and those that mean no good."""

from __future__ import annotations

import csv
import gzip
import io
import sqlite3
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.imports import csv_log
from consumers.imports.csv_log import CsvLog
from consumers.imports.formats import format_of, open_log
from consumers.imports.log_file import UnreadableLog, as_text
from tests.support.ocel_files import ocel_sqlite

HEADER = "case,activity,note\n"
CELL = st.text(st.characters(exclude_categories=["Cs"]))


def a_file(folder: Path, name: str, content: str | bytes) -> Path:
    """A file of this content."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows_of(path: Path) -> list[tuple[int, Any, str | None]]:
    """Every row, after the check that an import makes."""
    log = open_log(path)
    log.check()
    return [tuple(row) for row in log.rows()]


def refused(path: Path) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(UnreadableLog) as found:
        rows_of(path)
    return str(found.value)


# --- tables ---------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("beginning", ["", "\ufeff", "\n\n"])
def test_every_line_end_is_one(tmp_path: Path, end: str, beginning: str) -> None:
    """Also the oldest, with a byte order mark, or after empty lines."""
    text = beginning + HEADER + '1,a,"two\nlines"\n2,b,x\n'
    path = a_file(tmp_path, "x.csv", text.replace("\n", end))
    assert open_log(path).columns == ("case", "activity", "note")
    cells = [cells for _, cells, _ in rows_of(path)]
    assert cells == [["1", "a", f"two{end}lines"], ["2", "b", "x"]]


def test_a_name_of_a_column_may_be_quoted(tmp_path: Path) -> None:
    """With a line break in it, or with what elsewhere stands between cells."""
    path = a_file(tmp_path, "x.csv", '"case, or\nid";activity\n1;a\n')
    assert open_log(path).columns == ("case, or\nid", "activity")
    assert rows_of(path) == [(3, ["1", "a"], None)]


@given(st.lists(st.tuples(CELL, CELL, CELL), max_size=8))
def test_what_a_writer_of_csv_wrote_is_read(rows: list[tuple[str, str, str]]) -> None:
    """Any text in any cell, quoted or not."""
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b", "c"), *rows])
    lines = csv_log._Lines(io.StringIO(file.getvalue(), newline=""))
    log = CsvLog.__new__(CsvLog)
    log.columns, log.delimiter, log._is_numbered = ("a", "b", "c"), ",", False
    read = [(cells, broken) for _, cells, broken in log._records(lines)]
    assert read == [(["a", "b", "c"], None), *((list(row), None) for row in rows)]


@pytest.mark.parametrize(
    "first", ['1,"a,b', '1,a,"b', '"1,a,b'], ids=["in the middle", "at the end", "at once"]
)
def test_a_quote_left_open_breaks_its_own_line_alone(tmp_path: Path, first: str) -> None:
    """The thousand rows that it would swallow are read, whatever the last cell may hold."""
    rest = [[str(number), "applied", "x"] for number in range(1_000)]
    lines = [first, *map(",".join, rest)]
    path = a_file(tmp_path, "x.csv", HEADER + "\n".join(lines) + "\n")
    (line, cells, broken), *read = rows_of(path)
    assert (line, broken) == (2, "a quote in it is left open, or a cell is far too long")
    assert ",".join(cells) == first.replace('"', "") + "\n"
    assert read == [(number, row, None) for number, row in enumerate(rest, 3)]


def test_a_quote_left_open_until_the_next_one_swallows_no_row(tmp_path: Path) -> None:
    """What looks like a row of its own is one; a cell of two lines is a cell."""
    text = f'{HEADER}1,"a,x\n2,b,"y"\n3,c,"two\nlines"\n4,"two\nlines"\n'
    told = rows_of(a_file(tmp_path, "x.csv", text))
    assert [(line, cells) for line, cells, broken in told if broken is None] == [
        (3, ["2", "b", "y"]), (5, ["3", "c", "two\nlines"]),
    ]  # fmt: skip
    assert [(line, broken) for line, _, broken in told if broken is not None] == [
        (2, "a quote in it is left open, or a cell is far too long"),
        (7, "it has 2 cells where the header has 3"),
    ]


def test_a_cell_may_be_long_and_not_endless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A letter of a megabyte is a cell; what no memory should hold is a broken row, or refused."""
    path = a_file(tmp_path, "x.csv", f"{HEADER}1,a,{'x' * (1 << 20)}\n2,b,y\n")
    assert [len(cells[2]) for _, cells, _ in rows_of(path)] == [1 << 20, 1]
    monkeypatch.setattr(csv_log, "_LONGEST_CELL", 1_000)
    assert [broken is None for _, _, broken in rows_of(path)] == [False, True]
    monkeypatch.setattr(csv_log, "_LONGEST_LINE", 100_000)
    assert "has a line of more than 100,000 characters" in refused(path)


def test_a_header_that_is_none_quotes_nothing_of_the_rows(tmp_path: Path) -> None:
    """A quote left open in it makes a name of all that follows."""
    path = a_file(tmp_path, "x.csv", 'case,"activity\n' + "1,Casey Example\n" * 100)
    said = refused(path)
    assert "is a quote left open in its first line?" in said
    assert "Casey" not in said


def test_a_column_that_is_there_in_another_encoding_is_told_so(tmp_path: Path) -> None:
    """And not that it is missing."""
    path = a_file(tmp_path, "x.csv", "case,activité\n1,a\n".encode("cp1252"))
    with pytest.raises(UnreadableLog, match=r"about line 1, is not UTF-8; say what it is"):
        open_log(path).key("activité")


# --- packed ---------------------------------------------------------------------------------


def test_what_is_packed_otherwise_is_called_by_its_name(tmp_path: Path) -> None:
    """A spreadsheet is a ZIP archive, whatever it is called."""
    for name in ("log.csv.zip", "log.csv", "log.xlsx"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("log.csv", HEADER)
        assert f"{name} is packed with zip; unpack it" in refused(tmp_path / name)


def test_json_is_told_apart_by_what_it_holds(tmp_path: Path) -> None:
    """CloudEvents may be called .json, too."""
    event = '{"specversion":"1.0","id":"1","source":"s","type":"t"}\n'
    assert format_of(a_file(tmp_path, "x.json", event)) == "cloudevents"
    assert format_of(a_file(tmp_path, "y.json", '{"objectTypes": []}')) == "ocel-json"


# --- XML and JSON ---------------------------------------------------------------------------


def test_a_small_file_of_one_endless_attribute_is_refused(tmp_path: Path) -> None:
    """Unpacked it would fill the memory."""
    with gzip.open(tmp_path / "x.xes.gz", "wb", 1) as file:
        file.write(b'<log><trace><event><string key="a" value="')
        for _ in range(40):
            file.write(b"x" * (1 << 20))
        file.write(b'"/></event></trace></log>')
    assert "has an attribute or a text of more than 16,777,216 bytes" in refused(
        tmp_path / "x.xes.gz"
    )


@pytest.mark.parametrize("encoding", ["shift_jis", "no-such-encoding"])
def test_xml_in_an_encoding_nobody_reads_is_refused(tmp_path: Path, encoding: str) -> None:
    """In a sentence that says what to do."""
    text = f'<?xml version="1.0" encoding="{encoding}"?><log/>'
    said = "x.xes is in an encoding that cannot be read; convert it to UTF-8"
    assert refused(a_file(tmp_path, "x.xes", text)) == said


def test_xes_is_read_with_as_little_as_it_may_have(tmp_path: Path) -> None:
    """No extensions, globals or namespace; lists and attributes of attributes are passed over."""
    inner = '<values><string key="i" value="v"/><string key="concept:name" value="INNER"/></values>'
    path = a_file(
        tmp_path,
        "x.xes",
        '<log><trace><string key="concept:name" value="1"><string key="concept:name" value="no"/>'
        f'</string><event><string key="concept:name" value="a"/><list key="l">{inner}</list>'
        '<string key="empty"/></event></trace></log>',
    )
    ((_, cells, _),) = rows_of(path)
    assert dict(cells) == {"case:concept:name": "1", "concept:name": "a", "l": "", "empty": ""}


def an_ocel(value: str) -> str:
    """OCEL in JSON with one event whose attribute has this value."""
    return (
        '{"objectTypes":[],"eventTypes":[],"events":[{"id":"e1","type":"a","time":"t",'
        f'"attributes":[{{"name":"x","value":{value}}}],"relationships":[]}}],"objects":[]}}'
    )


@pytest.mark.parametrize(
    "value", ["[" * 100_000 + "]" * 100_000, "[" * 100_000, '{"a":[' * 110 + "]}" * 110]
)
def test_json_nested_without_end_is_refused(tmp_path: Path, value: str) -> None:
    """Before a parser that keeps every path takes all the memory there is."""
    said = refused(a_file(tmp_path, "x.jsonocel", an_ocel(value)))
    assert said == "x.jsonocel has values nested deeper than 100 levels, which no log needs"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("[" * 90 + "]" * 90, "[" * 90 + "]" * 90),
        ('"' + "[{" * 50_000 + '"', "[{" * 50_000),
        ('"' + '\\"[\\\\' * 50_000 + '"', '"[\\' * 50_000),
        ("[" + "9" * 30 + "]", "[" + "9" * 30 + "]"),
        ("1e5", "1E+5"),
        ("null", ""),
    ],
)
def test_what_json_holds_is_a_cell(tmp_path: Path, value: str, text: str) -> None:
    """Brackets in a text are text; a number may be longer than a machine word."""
    ((_, cells, _),) = rows_of(a_file(tmp_path, "x.jsonocel", an_ocel(value)))
    assert cells["x"] == text


def test_a_value_with_parts_is_json_whatever_is_in_it() -> None:
    """As Parquet, SQLite and JSON may have it."""
    assert as_text({"a": 2**70, "b": datetime(2026, 3, 2, tzinfo=UTC)}).startswith(
        '{"a":1180591620717411303424,'
    )


# --- SQLite ---------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """An OCEL file in SQLite."""
    return ocel_sqlite(tmp_path / "log.sqlite")


def test_text_that_is_no_utf_8_is_not_quoted(database: Path) -> None:
    """It may be somebody's name."""
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE event SET ocel_id = CAST(x'4a6f73e9' AS TEXT) WHERE rowid = 1")
    connection.close()
    said = refused(database)
    assert said == "log.sqlite holds text that is not in UTF-8; convert it or export it again"


def test_a_database_that_is_being_written_is_read_whole_or_not_at_all(database: Path) -> None:
    """What another program has not committed is never seen."""
    before = rows_of(database)
    writer = sqlite3.connect(database, isolation_level=None)
    writer.execute("PRAGMA cache_size = 1")
    writer.execute("BEGIN IMMEDIATE")
    event_type = writer.execute("SELECT ocel_type FROM event").fetchone()[0]
    half = [(f"half {number}" * 20, event_type) for number in range(2_000)]
    writer.executemany("INSERT INTO event (ocel_id, ocel_type) VALUES (?, ?)", half)
    assert "is being written by another program" in refused(database)
    writer.execute("ROLLBACK")
    writer.close()
    assert rows_of(database) == before


# --- Parquet --------------------------------------------------------------------------------


def a_table(path: Path, **columns: Any) -> Path:
    """A Parquet file of these columns."""
    pq.write_table(pa.table(columns), path)
    return path


def test_every_type_of_a_column_is_text(tmp_path: Path) -> None:
    """Also bytes that are no text, and times of any unit and zone."""
    at = datetime(1960, 3, 2, 9, 0, 0, 250_000)  # noqa: DTZ001
    path = a_table(
        tmp_path / "x.parquet",
        text=pa.array(["NA"], pa.large_string()),
        word=pa.array(["x"]).dictionary_encode(),
        blob=pa.array([b"\xff\xfe"], pa.large_binary()),
        fixed=pa.array([b"\xff\xfe"], pa.binary(2)),
        local=pa.array([at], pa.timestamp("ns")),
        zoned=pa.array([at], pa.timestamp("us", "Europe/Paris")),
        took=pa.array([timedelta(seconds=1)]),
        parts=pa.array([{"x": [1, 2]}]),
        nothing=pa.nulls(1),
    )
    ((_, cells, _),) = rows_of(path)
    assert dict(cells) == {
        "text": "NA", "word": "x", "blob": "\ufffd\ufffd", "fixed": "\ufffd\ufffd",
        "local": "1960-03-02 09:00:00.250000000", "zoned": "1960-03-02 10:00:00.250000+0100",
        "took": "1000000", "parts": '{"x":[1,2]}',
    }  # fmt: skip


def test_a_damaged_page_is_found_before_anything_is_recorded(tmp_path: Path) -> None:
    """The index at the end says nothing of what stands before it."""
    path = a_table(tmp_path / "x.parquet", a=[str(number) for number in range(200_000)])
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2_000] = b"\xff" * 2_000
    path.write_bytes(content)
    log = open_log(path)
    with pytest.raises(UnreadableLog, match=r"is damaged after row [0-9,]+; fetch or export"):
        log.check()


def test_a_name_that_two_columns_have_is_asked_about(tmp_path: Path) -> None:
    """Nobody could know which one is meant."""
    pq.write_table(
        pa.table([pa.array(["1"]), pa.array(["2"])], names=["case", "case"]), tmp_path / "x.parquet"
    )
    with pytest.raises(UnreadableLog, match="has 2 columns called 'case'"):
        open_log(tmp_path / "x.parquet").key("case")
