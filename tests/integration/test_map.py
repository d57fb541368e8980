"""`journey map`: its numbers are those that PM4Py finds, and its tables say what happened."""

from __future__ import annotations

import gzip
import json
import os
import random
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

import msgspec
import pandas as pd
import pm4py
import pytest

from consumers.bootstrap import Installation
from consumers.imports.log_map import load_log_map
from journey.database import Database
from projections.directly_follows import NOBODYS_STEPS
from projections.measures import AggregateMap, Cohort, PathsIncomplete, aggregate_map
from projections.paths.kinds import KINDS
from projections.rebuild import rebuild
from projections.runner import Runner
from schemas.identifiers import PersonKey
from schemas.statement import Statement
from tests.support.builders import T0, a_log, days, hours, statement, the_meaning
from tests.support.imports import import_file
from tests.support.installations import Run
from tests.support.truth import FULL, a_chance

ROOT = Path(__file__).parents[2]
LOGS = Path(os.environ.get("JOURNEY_LOGS", ROOT.parent / "shared" / "data"))
NOW = days(100)
COLUMNS = {
    "case_id_key": "case:concept:name",
    "activity_key": "concept:name",
    "timestamp_key": "time:timestamp",
}
SVG = "{http://www.w3.org/2000/svg}"


# --- the same numbers as PM4Py --------------------------------------------------------------


def assert_same_as_pm4py(found: AggregateMap, log: pd.DataFrame) -> None:
    """Counts, starts and ends exactly; mean, median and p90 to a microsecond."""
    log = log.sort_values([COLUMNS["case_id_key"], COLUMNS["timestamp_key"]], kind="stable")
    counts, starts, ends = pm4py.discover_dfg(log, **COLUMNS)
    times, _, _ = pm4py.discover_performance_dfg(log, business_hours=False, **COLUMNS)
    edges = {(edge.before, edge.after): edge for edge in found.graph.edges}
    assert {pair: edge.count for pair, edge in edges.items()} == counts
    steps = found.graph.steps
    assert {step.name: step.first for step in steps if step.first} == starts
    assert {step.name: step.last for step in steps if step.last} == ends
    assert {step.name: step.count for step in steps} == dict(log["concept:name"].value_counts())
    p90s = quantiles(log, 0.9)
    for pair, edge in edges.items():
        assert edge.mean_seconds == pytest.approx(times[pair]["mean"], abs=2e-6, rel=1e-12), pair
        assert edge.median_seconds == pytest.approx(times[pair]["median"], abs=2e-6), pair
        assert edge.p90_seconds == pytest.approx(p90s[pair], abs=2e-6), pair


def quantiles(log: pd.DataFrame, share: float) -> dict[tuple[str, str], float]:
    """Which PM4Py does not give: by pandas, of the same pairs."""
    cases = log.groupby("case:concept:name", sort=False)
    after = cases["concept:name"].shift(-1)
    took = (cases["time:timestamp"].shift(-1) - log["time:timestamp"]).dt.total_seconds()
    pairs = pd.DataFrame({"before": log["concept:name"], "after": after, "took": took})
    return pairs.dropna().groupby(["before", "after"])["took"].quantile(share).to_dict()


def random_statements(rng: random.Random, many: int) -> list[Statement]:
    """Applications of all lengths, times that tie by the hundred, a few with microseconds."""
    kinds = [kind for kind in KINDS if kind not in NOBODYS_STEPS]
    fields = {"unrecognised_touchpoint": {"label": "x"}, "survey_answered": {"score": 3}}
    return [
        statement(
            kind,
            T0 + timedelta(hours=rng.randrange(60), microseconds=rng.choice((0, 0, 0, 1, 999_999))),
            person=person,
            application=person + rng.choice("ab"),
            stage=rng.choice(("Screen", "Onsite", "Offer", None)),
            **fields.get(kind, {}),
        )
        for kind, person in zip(
            rng.choices([*kinds[:12], "unrecognised_touchpoint"], k=many),
            (str(int(rng.expovariate(0.05))) for _ in range(many)),
            strict=True,
        )
    ]


def frame(statements: list[Statement], *, by: str = "kind") -> pd.DataFrame:
    """Statements in the order in which they were recorded, as PM4Py wants them."""
    told = [each.touchpoint for each in statements]
    return pd.DataFrame(
        {
            "case:concept:name": [each.application_id for each in told],
            "concept:name": [each.KIND if by == "kind" else each.stage for each in told],
            "time:timestamp": pd.to_datetime([each.occurred_at for each in told], utc=True),
        }
    )


def test_random_journeys_measure_as_in_pm4py(database: Database) -> None:
    """Ties, repeated steps and microseconds, live and after a rebuild, over all and a cohort."""
    rng, _ = a_chance()
    told = random_statements(rng, 3_000)
    a_log(database).put_statements(told)
    Runner(database, the_meaning(), page=700).catch_up()
    found = aggregate_map(database, NOW)
    assert_same_as_pm4py(found, frame(told))
    rebuild(database, the_meaning(), NOW)
    assert aggregate_map(database, NOW) == found
    first = frame(told).groupby("case:concept:name")["time:timestamp"].transform("min")
    late = aggregate_map(database, NOW, Cohort(since=hours(12), until=hours(30)))
    assert 0 < late.applications < found.applications
    assert_same_as_pm4py(late, frame(told)[(first >= hours(12)) & (first <= hours(30))])


def test_what_was_amended_or_merged_is_measured_as_it_holds(database: Database) -> None:
    """As a few lines of Python find it, over all and over both halves of the applications."""
    rng, _ = a_chance()
    told = random_statements(rng, 500)
    for number in rng.sample(range(500), 10):
        same = PersonKey("greenhouse:candidate", told[number - 1].person[0].value)
        if same not in told[number].person:
            told[number] = msgspec.structs.replace(told[number], same_as=(same,))
    log = a_log(database)
    log.put_statements(told)
    holds = {each.touchpoint.touchpoint_id: each.touchpoint.occurred_at for each in told}
    amended = []
    for each in rng.sample(told, 60):
        person, touchpoint_id = each.person[0].value, each.touchpoint.touchpoint_id
        if rng.random() < 0.5:
            del holds[touchpoint_id]
            more: dict[str, Any] = {"retracts": touchpoint_id}
        else:
            at = holds[touchpoint_id] = hours(rng.randrange(60))
            more = {"corrects": touchpoint_id, "corrected": {"occurred_at": at.isoformat()}}
        kind = "touchpoint_retracted" if "retracts" in more else "touchpoint_corrected"
        amended.append(statement(kind, person=person, application=None, **more))
    log.put_statements(amended)
    Runner(database, the_meaning(), page=173).catch_up()

    paths: dict[str, list[tuple[datetime, int, str]]] = {}
    for number, each in enumerate(told):
        said = each.touchpoint
        if said.touchpoint_id in holds and said.application_id is not None:
            step = (holds[said.touchpoint_id], number, said.KIND)
            paths.setdefault(said.application_id, []).append(step)
    middle = hours(3)
    for cohort, begins in (
        (Cohort(), lambda at: True),
        (Cohort(until=middle), lambda at: at <= middle),
        (Cohort(since=middle + timedelta(microseconds=1)), lambda at: at > middle),
    ):
        chosen = [sorted(path) for path in paths.values() if begins(min(path)[0])]
        took: dict[tuple[str, str], list[float]] = {}
        for path in chosen:
            for (before, _, one), (after, _, other) in pairwise(path):
                took.setdefault((one, other), []).append((after - before).total_seconds())
        found = aggregate_map(database, NOW, cohort)
        assert found.applications == len(chosen) > 0
        assert {(edge.before, edge.after): edge.count for edge in found.graph.edges} == {
            pair: len(each) for pair, each in took.items()
        }
        for edge in found.graph.edges:
            times = took[edge.before, edge.after]
            assert edge.mean_seconds == pytest.approx(mean(times), abs=2e-6)
            assert edge.median_seconds == pytest.approx(median(times), abs=2e-6)


def test_stages_measure_as_in_pm4py(database: Database) -> None:
    """By stage, a step is the entry into one: what PM4Py finds where the stage changes."""
    rng, _ = a_chance()
    told = random_statements(rng, 2_000)
    a_log(database).put_statements(told)
    Runner(database, the_meaning()).catch_up()
    log = frame(told, by="stage").dropna()
    log = log.sort_values(["case:concept:name", "time:timestamp"], kind="stable")
    entered = log[log["concept:name"] != log.groupby("case:concept:name")["concept:name"].shift()]
    found = aggregate_map(database, NOW, by="stage")
    assert_same_as_pm4py(found, entered)
    volumes = {each.stage: each for each in found.stages}
    for step in found.graph.steps:
        assert volumes[step.name].entries == step.count
        assert volumes[step.name].entered == step.applications


@pytest.fixture
def logs() -> Path:
    """The folder of published logs; elsewhere it may be missing, CI always has it."""
    if not LOGS.is_dir():
        assert not os.environ.get("CI"), "the folder of published logs is missing in CI"
        pytest.skip("the folder of published logs is not here")
    return LOGS


def from_csv(name: str, case: str, activity: str, time: str, zone: str) -> pd.DataFrame:
    """A published CSV as PM4Py's user would read it, not losing the case called NA."""
    log = pd.read_csv(LOGS / name, keep_default_na=False, dtype=str)
    # One by one, since some files mix days with times of day.
    moments = [pd.Timestamp(each) for each in log[time]]
    utc = [at.tz_localize(zone) if at.tzinfo is None else at for at in moments]
    return pd.DataFrame(
        {
            "case:concept:name": log[case],
            "concept:name": log[activity],
            "time:timestamp": pd.to_datetime(utc, utc=True),
        }
    )


def from_xes(name: str, zone: str | None = None) -> pd.DataFrame:
    """A published XES file as PM4Py reads it; it takes local times for UTC, unless told a zone."""
    log = pm4py.read_xes(str(LOGS / name))[list(PM4PY)]
    if zone is not None:
        local = log["time:timestamp"].dt.tz_localize(None).dt.tz_localize(zone)
        log["time:timestamp"] = local.dt.tz_convert("UTC")
    return log


def completed(log: pd.DataFrame) -> pd.DataFrame:
    """Of what was scheduled, started and completed only the last, as our map has it."""
    return log[log["lifecycle:transition"] == "COMPLETE"][list(PM4PY)]


def recruiting(name: str) -> pd.DataFrame:
    """OCEL 1.0, seen by application; flattened in a few lines."""
    document = json.loads(gzip.decompress((LOGS / name).read_bytes()))
    objects = document["ocel:objects"]
    told = [
        (case, event["ocel:activity"], event["ocel:timestamp"])
        for event in document["ocel:events"].values()
        for case in event["ocel:omap"]
        if objects[case]["ocel:type"] == "applications"
    ]
    log = pd.DataFrame(told, columns=list(PM4PY))
    log["time:timestamp"] = pd.to_datetime(log["time:timestamp"], utc=True, format="ISO8601")
    return log


PM4PY = ("case:concept:name", "concept:name", "time:timestamp")
PUBLISHED: dict[str, tuple[str, str, Callable[[str], pd.DataFrame]]] = {
    "hiring2015": ("hiring_log_high.xes.gz", "hiring_log_high", from_xes),
    "jobsearch_diary": (
        "jobsearch_diary_2023.events.csv.gz",
        "jobsearch_diary_2023",
        lambda name: from_csv(name, *PM4PY, "Europe/Paris"),
    ),
    "onboarding_ja": (
        "onboarding_ja.csv",
        "onboarding_ja",
        lambda name: from_csv(
            name, "candidate_id", "recruitment_status", "status_changed_at", "Asia/Tokyo"
        ),
    ),
    "receipt": ("receipt.csv.gz", "", lambda name: from_csv(name, *PM4PY, "UTC")),
    "roadtraffic": (
        "roadtraffic_1t_per_variant.xes.gz",
        "",
        lambda name: from_xes(name, "Europe/Rome"),
    ),
    "recruiting_red": ("recruiting-red.jsonocel.gz", "recruiting-red", recruiting),
    "bpic2012": (
        "bpic2012.xes.gz",
        "bpic2012",
        lambda name: completed(pm4py.read_xes(str(LOGS / name))),
    ),
    "sepsis": (
        "sepsis.csv.gz",
        "",
        lambda name: from_csv(
            name, "Case ID", "Activity", "Complete Timestamp", "Europe/Amsterdam"
        ),
    ),
}
"""Built-in map → its log, what the shared folder calls it, how PM4Py's user reads it."""


@pytest.mark.slow
@pytest.mark.parametrize("log_map", PUBLISHED)
def test_published_logs_measure_as_in_pm4py(database: Database, logs: Path, log_map: str) -> None:
    """Imported, projected and measured, beside PM4Py over the file itself."""
    name, labels, read = PUBLISHED[log_map]
    if log_map == "bpic2012" and not FULL:
        pytest.skip("the largest log takes a while; JOURNEY_FULL=1 imports it")
    meaning = load_log_map(log_map)
    kinds = json.loads((logs / "touchpoints.json").read_text()).get(labels)
    if kinds is None:
        kinds = {label: each.kind for label, each in (meaning.activities or {}).items()}
    assert import_file(database, logs / name, meaning).broken == 0
    rebuild(database, the_meaning(), NOW)
    log = read(name)
    log["concept:name"] = log["concept:name"].map(
        lambda label: kinds.get(label, "unrecognised_touchpoint")
    )
    assert_same_as_pm4py(aggregate_map(database, NOW), log)


# --- on the command line --------------------------------------------------------------------


@pytest.fixture
def story(engine: Installation) -> Installation:
    """One hired, one rejected after ten days of silence, one still waiting for an answer."""
    screen, onsite = {"stage": "Screen"}, {"stage": "Onsite"}
    one, two = {"job_id": "greenhouse:400"}, {"job_id": "greenhouse:500"}
    engine.log.put_statements(
        [
            statement("application_submitted", T0, person="1", application="1", **screen, **one),
            statement("call_made", days(2), person="1", application="1", **one),
            statement("interview_held", days(4), person="1", application="1", **onsite, **one),
            statement("hired", days(6), person="1", application="1", **one),
            statement("application_submitted", T0, person="2", application="2", **screen, **one),
            statement("rejection_sent", days(10), person="2", application="2", **one),
            statement(
                "application_submitted", days(1), person="3", application="3", source="lever", **two
            ),
        ]
    )
    engine.runner.catch_up()
    return engine


def test_the_tables_say_what_happened(story: Installation, journey: Run) -> None:
    """Stages, waiting and what follows what, for people."""
    code, out, err = journey("map")
    assert (code, err) == (0, "")
    assert "3 applications of 3 candidates, 7 touchpoints." in out
    assert "1 hired" in out
    told = [" ".join(line.split()) for line in out.splitlines()]
    assert "Screen 2 0 1 0 1 0 0 50% 7.0 d 9.4 d" in told
    assert "Onsite 1 0 0 1 0 0 0 0% 2.0 d 2.0 d" in told
    assert any(
        line.startswith("Screen application submitted 2 0 6.0 d 9.2 d 12 d") for line in told
    )
    assert "interview held hired 1 2.0 d 2.0 d 2.0 d" in told


def test_json_has_every_documented_field(story: Installation, journey: Run) -> None:
    """All edges, whatever --top and --min hide from people."""
    code, out, err = journey("map", "--json", "--top", "1")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert list(found) == [
        "now", "position", "cohort", "applications", "candidates", "touchpoints", "outcomes",
        "stages", "waiting", "graph",
    ]  # fmt: skip
    assert list(found["cohort"]) == ["job_ids", "source", "since", "until"]
    assert list(found["stages"][0]) == [
        "stage", "entered", "entries", "now", "moved_on", "hired", "rejected",
        "rejected_not_told", "withdrawn", "dropped_off", "stay",
    ]  # fmt: skip
    assert list(found["waiting"][0]) == [
        "stage", "began_kind", "silences", "open", "total_seconds", "waited",
    ]  # fmt: skip
    spread = ["count", "mean_seconds", "median_seconds", "p90_seconds"]
    assert list(found["stages"][0]["stay"]) == list(found["waiting"][0]["waited"]) == spread
    graph = found["graph"]
    assert list(graph) == ["by", "applications", "touchpoints", "steps", "edges"]
    assert list(graph["steps"][0]) == ["name", "count", "applications", "first", "last", "place"]
    assert list(graph["edges"][0]) == ["before", "after", *spread]
    assert len(graph["edges"]) == 4
    assert found["outcomes"] == {"hired": 1, "rejected": 1, "open": 1}


def test_applications_are_chosen_by_job_department_source_and_time(
    story: Installation, journey: Run, tmp_path: Path
) -> None:
    """Each option narrows, and an application is counted whole."""
    (tmp_path / "departments.yaml").write_text('Engineering: ["greenhouse:400", "x"]\nSales: []\n')
    for options, expected in (
        ((), (3, 7)),
        (("--job", "greenhouse:500"), (1, 1)),
        (("--job", "greenhouse:500", "--job", "greenhouse:400"), (3, 7)),
        (("--department", "Engineering"), (2, 6)),
        (("--department", "Sales"), (0, 0)),
        (("--department", "Engineering", "--job", "greenhouse:500"), (0, 0)),
        (("--source", "lever"), (1, 1)),
        (("--from", "2026-03-03"), (1, 1)),
        (("--to", "2026-03-02"), (2, 6)),
        (("--from", "2026-03-02", "--to", "2026-03-03T00:00Z"), (2, 6)),
    ):
        code, out, _ = journey("map", "--json", *options)
        found = json.loads(out)
        assert (code, found["applications"], found["touchpoints"]) == (0, *expected), options
        assert found["graph"]["touchpoints"] == expected[1]


def test_a_department_that_nobody_listed_is_told(story: Installation, journey: Run) -> None:
    """In a sentence that names those that are known, and the file."""
    code, out, err = journey("map", "--department", "Legal")
    assert (code, out) == (3, "")
    assert "no department is called 'Legal'" in err
    assert "departments.yaml; known: none" in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n- b\n", "are no mapping"),
        ("Sales: greenhouse:1\n", "'Sales'"),
        ("Sales: [1, 2]\n", "as text in quotes"),
        ("Sales: [\n", "are no YAML (line 2)"),
    ],
)
def test_a_bad_file_of_departments_is_told(
    story: Installation, journey: Run, tmp_path: Path, text: str, says: str
) -> None:
    """What is wrong with it, and where."""
    (tmp_path / "departments.yaml").write_text(text)
    code, out, err = journey("map", "--department", "Sales")
    assert (code, out) == (5, "")
    assert says in err
    assert err.count("\n") == 1


def test_an_empty_log_says_so(engine: Installation, journey: Run, tmp_path: Path) -> None:
    """In tables and in place of a drawing; JSON is full of nothing."""
    engine.runner.catch_up()
    assert journey("map") == (
        0,
        "The log is empty; `journey import` or a connection fills it.\n",
        "",
    )
    code, out, err = journey("map", "--svg", str(tmp_path / "map.svg"))
    assert (code, out) == (3, "")
    assert "there is nothing to draw: the log is empty" in err
    assert not (tmp_path / "map.svg").exists()
    for by in ("kind", "stage"):
        assert json.loads(journey("map", "--json", "--by", by)[1])["stages"] == []


def test_drawings_are_written(story: Installation, journey: Run, tmp_path: Path) -> None:
    """To a file, which is said with what it shows, or to standard output and nothing else."""
    path = tmp_path / "map.svg"
    code, out, err = journey("map", "--svg", str(path), "--top", "2")
    assert (code, out) == (0, "")
    assert err == (
        f"{path}: 2 of 4 edges, 50% of all that follows; on each how often and the median time.\n"
    )
    assert ET.parse(path).getroot().tag == f"{SVG}svg"
    code, out, err = journey("map", "--dot", "-", "--by", "stage")
    assert (code, err) == (0, "")
    assert out.startswith("digraph journeys {")
    assert "Screen" in out


def test_drawings_that_cannot_be_are_told(
    story: Installation, journey: Run, tmp_path: Path
) -> None:
    """No such folder; two documents on one standard output."""
    code, out, err = journey("map", "--svg", str(tmp_path / "none" / "map.svg"))
    assert (code, out) == (1, "")
    assert "map.svg cannot be written: No such file or directory" in err
    for options in (("--svg", "-", "--dot", "-"), ("--svg", "-", "--json")):
        code, out, err = journey("map", *options)
        assert (code, out) == (2, "")
        assert "standard output" in err


def test_a_drawing_that_fails_leaves_the_one_before(
    story: Installation, journey: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves no half of a picture; a pipe is written to as it is."""
    path = tmp_path / "out" / "map.svg"
    path.parent.mkdir()
    path.write_text("mine")
    assert journey("map", "--svg", "/dev/full")[0] == 1

    def full(part: Path, *_: object, **__: object) -> None:
        part.write_bytes(b"<svg")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    code, out, err = journey("map", "--svg", str(path))
    assert (code, out) == (1, "")
    assert "map.svg cannot be written: No space left on device" in err
    assert os.listdir(path.parent) == ["map.svg"]
    assert path.read_text() == "mine"


def test_views_of_an_older_release_are_told(
    story: Installation, journey: Run, database: Database
) -> None:
    """Paths that are missing do not pass for a map of nothing; a rebuild makes them."""
    with database.connect() as connection:
        connection.execute("UPDATE applications SET kinds = '', times = ''")
        connection.commit()
    with pytest.raises(PathsIncomplete):
        aggregate_map(database, NOW)
    code, out, err = journey("map")
    assert (code, out) == (1, "")
    assert "run `journey rebuild` once" in err
    rebuild(database, the_meaning(), NOW)
    assert journey("map")[0] == 0


def test_corrections_and_retractions_are_measured_as_they_hold(database: Database) -> None:
    """What was taken back is no step, and what only speaks of the log is none either."""
    log = a_log(database)
    wrong = statement("rejection_sent", days(1))
    log.put_statements(
        [
            statement("application_submitted", T0),
            wrong,
            statement("message_sent", days(2)),
            statement("touchpoint_retracted", days(3), retracts=wrong.touchpoint.touchpoint_id),
        ]
    )
    Runner(database, the_meaning()).catch_up()
    found = aggregate_map(database, NOW)
    assert [(edge.before, edge.after) for edge in found.graph.edges] == [
        ("application_submitted", "message_sent")
    ]
    assert found.outcomes == {"open": 1}
