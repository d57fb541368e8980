"""A proposed map loads, names the right columns, and says where somebody must look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from consumers.imports.activity_words import guess
from consumers.imports.column_facts import dates_in
from consumers.imports.formats import open_log
from consumers.imports.log_map import LogMap, load_log_map
from consumers.imports.suggest import suggest
from tests.support.ocel_files import ocel_json, ocel_sqlite, ocel_xml
from tests.unit.consumers.test_cloudevents_log import EVENT, a_file

ROOT = Path(__file__).parents[3]
LOGS = Path(os.environ.get("JOURNEY_LOGS", ROOT.parent / "shared" / "data"))


def proposed(path: Path) -> tuple[LogMap, str]:
    """The proposal for a file, loaded as a map file is, and its text."""
    text = suggest(path)
    file = path.with_name("proposal.yaml")
    if not os.access(path.parent, os.W_OK) or path.is_relative_to(LOGS):
        return LogMap.model_validate(yaml.safe_load(text)), text
    file.write_text(text, encoding="utf-8")
    return load_log_map(str(file)), text


def a_table(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    """A CSV of these lines."""
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


# --- columns --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Case ID,Activity,Complete Timestamp", "c1,Interview,2026-01-05 09:00:00"),
        ("case:concept:name,concept:name,time:timestamp", "c1,Interview,2026-01-05 09:00:00"),
        ("N° de candidature,Étape,Date", "c1,Entretien,05/01/2026"),
        ("Bewerbungsnummer,Aktivität,Zeitstempel", "c1,Gespräch,05.01.2026 09:00"),
        ("応募番号,選考ステータス,日時", "c1,一次面接,2026/01/05 09:00"),
        ("Solicitud,Etapa,Fecha", "c1,Entrevista,31/01/2026"),
        ("Sollicitatie ID,Fase,Datum", "c1,Gesprek,31-01-2026"),
    ],
)
def test_columns_are_known_in_six_languages(tmp_path: Path, header: str, row: str) -> None:
    """Case, activity and time by their names; the interview by its own."""
    log_map, _ = proposed(a_table(tmp_path / "log.csv", header, row, row))
    case, activity, time = header.split(",")
    assert (log_map.case, log_map.activity, log_map.time) == (case, activity, time)
    assert [meaning.kind for meaning in log_map.activities.values()] == ["interview_held"]
    assert log_map.time_zone == "UTC"


def test_what_is_personal_goes_into_the_sealed_field(tmp_path: Path) -> None:
    """E-mails and phones by their values, names and notes by the column; none is ever quoted."""
    path = a_table(
        tmp_path / "log.csv",
        "application_id,full name,contact,mobile,status,changed at,notes,company name",
        "1,Anna Berg,anna@example.org,+49 30 123456,Applied,2026-01-05T09:00:00Z,kind,Acme",
        "2,Bo Lund,bo@example.org,+46 8 123 456 78,Applied,2026-01-06T09:00:00Z,shy,Acme",
    )
    log_map, text = proposed(path)
    assert log_map.personal.name == "full name"
    assert log_map.personal.emails == ("contact",)
    assert log_map.personal.phones == ("mobile",)
    assert log_map.personal.text == {"comment": "notes"}
    assert log_map.person == {"email": "contact", "phone": "mobile"}
    assert not [said for said in ("Anna", "Bo Lund", "@", "123", "shy") if said in text]


def test_an_address_is_never_the_case(tmp_path: Path) -> None:
    """Ids may not be personal: without another column the row is the case."""
    log_map, text = proposed(
        a_table(
            tmp_path / "log.csv",
            "candidate,event,date",
            "anna@example.org,applied,2026-01-05",
            "bo@example.org,applied,2026-01-06",
        )
    )
    assert log_map.case == "row:number"
    assert log_map.person == {"email": "candidate"}
    assert "CHECK" in text


@pytest.mark.parametrize(
    ("values", "formats", "doubtful"),
    [
        (["2026-01-05T09:00:00Z", "2026-01-06 09:00"], (), False),
        (["31/01/2026", "05/01/2026 9:00"], ("%d/%m/%Y", "%d/%m/%Y %H:%M"), False),
        (["05/01/2026", "06/01/2026"], ("%d/%m/%Y",), True),
        (["01/31/2026", "01/05/2026 09:00:00"], ("%m/%d/%Y", "%m/%d/%Y %H:%M:%S"), False),
        (["31.01.2026"], ("%d.%m.%Y",), False),
        (["2026年1月5日"], ("%Y年%m月%d日",), False),
        (["5 Jan 2026", "31 Dec 2025"], ("%d %b %Y",), False),
    ],
)
def test_dates_are_known_as_they_are_written(
    values: list[str], formats: tuple[str, ...], doubtful: bool
) -> None:
    """ISO 8601 needs no format; where day and month could change places, that is said."""
    found = dates_in(values)
    assert found is not None
    assert set(found.formats) == set(formats)
    assert found.doubtful == doubtful


@pytest.mark.parametrize("values", [["20260105", "12345678"], ["c1", "c2"], ["3/4", "1/2"], []])
def test_what_is_no_date_is_none(values: list[str]) -> None:
    """Ids of digits above all."""
    assert dates_in(values) is None


def test_a_table_of_dates_has_steps(tmp_path: Path) -> None:
    """A row a case, a date column a step; the last one means what another column says."""
    log_map, text = proposed(
        a_table(
            tmp_path / "log.csv",
            "Application ID,Application date,Interview,Decision,Status",
            "a1,01/02/2026,13/02/2026 10:00,20/02/2026,Rejected",
            "a2,02/02/2026,,21/02/2026,Hired",
            "a3,03/02/2026,14/02/2026 9:00,,Applied",
        )
    )
    assert log_map.case == "Application ID"
    assert list(log_map.steps) == ["Application date", "Interview", "Decision"]
    decision = log_map.steps["Decision"]
    assert decision.by == "Status"
    assert decision.values["Rejected"].kind == "rejection_decided"
    assert decision.values["Hired"].kind == "hired"
    assert set(log_map.time_formats) == {"%d/%m/%Y", "%d/%m/%Y %H:%M"}
    assert "CHECK" in text


def test_an_encoding_is_proposed(tmp_path: Path) -> None:
    """A table that is not UTF-8 can be read with the map as it stands."""
    lines = ("Candidature;Étape;Date", "c1;Refusé par courrier;05/01/2026")
    path = a_table(tmp_path / "log.csv", *lines, encoding="cp1252")
    log_map, _ = proposed(path)
    assert log_map.encoding == "cp1252"
    assert list(log_map.activities) == ["Refusé par courrier"]
    assert len(list(open_log(path, log_map).rows())) == 1
    path = a_table(tmp_path / "ja.csv", "応募番号,状態,日付", "1,内定,2026/01/05", encoding="cp932")
    assert proposed(path)[0].encoding == "cp932"


def test_any_text_can_be_an_activity(tmp_path: Path) -> None:
    """What YAML would read as something else is quoted; what nobody could mean is left out."""
    names = ["yes", "1", "a: b", "#1", "- x", "null", "{x}", "%y", "'", '"', "x # y", "a@b.c", "é"]
    rows = ['"' + name.replace('"', '""') + '"' for name in names]
    path = a_table(
        tmp_path / "log.csv",
        "case,activity,time",
        *(f"c,{row},2026-01-05T09:00:00Z" for row in rows),
        'c,"two\nlines",2026-01-05T09:00:00Z',
    )
    log_map, _ = proposed(path)
    assert set(log_map.activities) == {*names, "two\nlines"} - {"a@b.c"}


def test_activities_without_end_are_cut_off(tmp_path: Path) -> None:
    """A column that is no activity after all does not make a map of thousands of lines."""
    lines = (f"c{n % 7},thing {n},2026-01-05T09:00:00Z" for n in range(3_000))
    log_map, text = proposed(a_table(tmp_path / "log.csv", "case,activity,time", *lines))
    assert len(log_map.activities) == 200
    assert "1,800 more; is this really the activity?" in text


@pytest.mark.parametrize("make", [ocel_json, ocel_xml, ocel_sqlite])
def test_an_object_centric_log_is_seen_by_application(tmp_path: Path, make: object) -> None:
    """The object type that is called so, with the others beside it to choose from."""
    path = tmp_path / "log"
    make(path)  # type: ignore[operator]
    log_map, text = proposed(path)
    assert (log_map.case, log_map.event_id) == ("ocel:type:applications", "ocel:eid")
    assert (log_map.activity, log_map.time) == ("ocel:activity", "ocel:timestamp")
    assert "or ocel:type:recruiters" in text


def test_cloudevents_have_a_map_too(tmp_path: Path) -> None:
    """The same proposal from paths into the data."""
    events = [{**EVENT, "id": str(number)} for number in range(3)]
    log_map, _ = proposed(a_file(tmp_path / "log.ndjson", *events))
    assert (log_map.case, log_map.activity, log_map.time) == ("data.application_id", "type", "time")
    assert log_map.event_id in ("id", "source#id")
    assert log_map.activities["com.example.interview.held"].kind == "interview_held"
    assert log_map.personal.emails == ("data.emails.0",)


# --- words ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activity", "kind"),
    [
        ("Candidature envoyée", "application_submitted"),
        ("Bewerbung eingegangen", "application_submitted"),
        ("応募受付", "application_submitted"),
        ("Application Review", "stage_changed"),
        ("Entretien RH", "interview_held"),
        ("Vorstellungsgespräch", "interview_held"),
        ("面接日程調整", "interview_scheduled"),
        ("com.example.interview.booked", "interview_scheduled"),
        ("Interview Cancelled", "interview_cancelled"),
        ("Offre d'embauche", "offer_sent"),
        ("Offre refusée", "offer_declined"),
        ("内定辞退", "offer_declined"),
        ("Angebot angenommen", "offer_accepted"),
        ("Offer Approved", "offer_decided"),
        ("offer accepted and hired", "hired"),
        ("Absage", "rejection_sent"),
        ("不合格通知", "rejection_sent"),
        ("Afgewezen", "rejection_decided"),
        ("Not hired", "rejection_decided"),
        ("Désistement", "withdrew"),
        ("選考辞退", "withdrew"),
        ("Phone Screen", "call_made"),
        ("Llamada telefónica", "call_made"),
        ("Reference check completed", "reference_completed"),
        ("Extensive Background Check", "background_check_completed"),
        ("Background check requested", "background_check_started"),
        ("Take-home test sent", "assessment_sent"),
        ("Survey Sent", "survey_sent"),
        ("Contratado", "hired"),
        ("Embauché", "hired"),
    ],
)
def test_words_of_hiring_are_known(activity: str, kind: str) -> None:
    """In six languages, the surer reading first."""
    assert guess(activity).kind == kind
    assert guess(activity).sure


@pytest.mark.parametrize("activity", ["Preference set", "Leucocytes", "A_ACCEPTED", "Add penalty"])
def test_what_is_not_sure_is_left_to_the_reader(activity: str) -> None:
    """Half a word or a word alone is no ground for a kind."""
    assert not guess(activity).sure


# --- the published logs ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "columns", "kinds"),
    [
        (
            "recruiting-red.jsonocel.gz",
            ("ocel:type:applications", "ocel:activity", "ocel:timestamp"),
            {"send rejection": "rejection_sent", "check references": "reference_contacted"},
        ),
        (
            "jobsearch_diary_2023.events.csv.gz",
            ("case:concept:name", "concept:name", "time:timestamp"),
            {"1st interview": "interview_held", "Proposition": "offer_sent"},
        ),
        (
            "onboarding_ja.csv",
            ("candidate_id", "recruitment_status", "status_changed_at"),
            {"内定": "offer_sent", "入社手続": "hired", "不合格通知": "rejection_sent"},
        ),
        (
            "sepsis.csv.gz",
            ("Case ID", "Activity", "Complete Timestamp"),
            {"CRP": "unrecognised_touchpoint"},
        ),
        ("receipt.csv.gz", ("case:concept:name", "concept:name", "time:timestamp"), {}),
        (
            "roadtraffic_1t_per_variant.xes.gz",
            ("case:concept:name", "concept:name", "time:timestamp"),
            {},
        ),
        (
            "hiring_log_high.xes.gz",
            ("case:concept:name", "concept:name", "time:timestamp"),
            {"Application Rejected": "rejection_decided", "Make Job Offer": "offer_sent"},
        ),
        ("ocel20_example.sqlite", ("ocel:type:Invoice", "ocel:activity", "ocel:timestamp"), {}),
        ("jobsearch_diary_2023.raw.csv.gz", ("row:number", None, None), {}),
    ],
)
def test_published_logs_get_sensible_maps(
    name: str, columns: tuple[str | None, ...], kinds: dict[str, str]
) -> None:
    """Their main columns and the activities of hiring."""
    if not LOGS.is_dir():
        assert not os.environ.get("CI"), "the folder of published logs is missing in CI"
        pytest.skip("the folder of published logs is not here")
    log_map, _ = proposed(LOGS / name)
    assert (log_map.case, log_map.activity, log_map.time) == columns
    for activity, kind in kinds.items():
        assert log_map.activities[activity].kind == kind
    if "raw" in name:
        assert log_map.steps["Final answer"].by == "Status"
        assert len(log_map.steps) == 7
