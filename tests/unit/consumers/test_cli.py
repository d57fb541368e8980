"""The `journey` command: stable fields, exit codes, one-sentence errors."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from consumers.bootstrap import Installation
from consumers.cli import output
from consumers.cli.output import PLAIN_WIDTH
from consumers.cli.replay import moved
from consumers.health.check import Check, Status
from consumers.health.examine import summary
from journey.database import Database
from schemas.identifiers import PersonKey
from schemas.personal import Personal
from tests.support.builders import T0, days, hours, statement
from tests.support.fakes import FrozenClock
from tests.support.greenhouse import PAYLOADS
from tests.support.installations import Run, environment_for

NOW = (T0 + timedelta(days=30)).isoformat()
SILENCE = [
    "candidate_id", "application_id", "policy", "level", "since", "until", "touchpoint_ids",
    "explanation", "began_kind", "ended_kind", "stage", "job_id", "source", "chases",
    "next_level", "next_due_at",
]  # fmt: skip
CONTRADICTION = [
    "candidate_id", "application_id", "rule", "verdict", "severity", "since", "until",
    "touchpoint_ids", "explanation", "evidence", "finding_key",
]  # fmt: skip
ALERT = [
    "alert_id", "state", "subject", "rule", "level", "candidate_id", "application_id", "since",
    "until", "due_at", "raised_at", "reason", "acknowledged_by", "resolved_by", "resolved_at",
    "touchpoint_ids", "explanation",
]  # fmt: skip


@pytest.fixture
def story(engine: Installation) -> Installation:
    """Ghosted and surveyed, rejected and reference-checked; swept 30 days after T0."""
    name = Personal(name="Amara Okafor", emails=("amara@mail.example",))
    engine.log.put_statements(
        [
            statement("application_submitted", T0, person="1", application="1", personal=name),
            statement("interview_held", hours(24), person="1", application="1"),
            statement("survey_sent", days(20), person="1", application="1"),
            statement("application_submitted", T0, person="2", application="2"),
            statement("rejection_sent", days(1), person="2", application="2"),
            statement("reference_contacted", days(2), person="2", application="2"),
        ]
    )
    engine.runner.catch_up()
    clock = engine.clock
    assert isinstance(clock, FrozenClock)
    clock.at = days(30)
    engine.sweeper.sweep()
    return engine


def document(told: tuple[int, str, str]) -> Any:
    assert told[2] == ""
    return json.loads(told[1])


# --- lists ----------------------------------------------------------------------------------


def test_silences_have_their_documented_fields(story: Installation, journey: Run) -> None:
    """A silence, a policy that holds, and where it stands at the moment asked for."""
    (ordinary, statute) = document(journey("silences", "--json", "--at", NOW))
    assert list(ordinary) == list(statute) == SILENCE
    assert (ordinary["policy"], ordinary["level"]) == ("after_interview", "ghosted")
    assert ordinary["since"] == "2026-03-03T09:00:00Z"
    assert ordinary["until"] is None
    assert statute["policy"] == "ontario_after_interview"


def test_silences_can_be_narrowed(story: Installation, journey: Run) -> None:
    """By level, policy and candidate; an empty answer is an empty list."""
    ask = ("silences", "--json", "--at", NOW)
    assert len(document(journey(*ask, "--level", "nudge"))) == 1
    assert len(document(journey(*ask, "--policy", "ontario_after_interview"))) == 1
    assert document(journey(*ask, "--candidate", "greenhouse:candidate/2")) == []


def test_an_earlier_moment_has_the_silence_of_that_moment(
    story: Installation, journey: Run
) -> None:
    """On the first day the application was what waited."""
    found = document(journey("silences", "--json", "--at", hours(1).isoformat()))
    assert [each["began_kind"] for each in found] == ["application_submitted"] * 2


def test_contradictions_have_their_documented_fields(story: Installation, journey: Run) -> None:
    """Rule, verdict, and each touchpoint that proves it."""
    found = document(journey("contradictions", "--json", "--at", NOW))
    assert all(list(each) == CONTRADICTION for each in found)
    assert [(each["rule"], each["verdict"]) for each in found] == [
        ("reference_after_rejection", "violated"),
        ("survey_while_silent", "violated"),
    ]
    evidence = found[0]["evidence"]
    assert [list(each) for each in evidence] == [["id", "kind", "at"]] * 2
    assert [each["id"] for each in evidence] == found[0]["touchpoint_ids"]


def test_pending_ones_are_shown_on_request(engine: Installation, journey: Run) -> None:
    """A rejection that may still be sent in time is no contradiction yet."""
    engine.log.put_statements([statement("rejection_decided", T0)])
    engine.runner.catch_up()
    at = ("--at", hours(2).isoformat())
    assert document(journey("contradictions", "--json", *at)) == []
    (pending,) = document(journey("contradictions", "--json", "--pending", *at))
    assert (pending["rule"], pending["verdict"]) == ("rejection_not_sent", "pending")


def test_alerts_have_their_documented_fields(story: Installation, journey: Run) -> None:
    """An alert of a policy says `policy`, one of a rule says `rule`."""
    found = document(journey("alerts", "--json"))
    by_subject = {each["subject"]: each for each in found}
    assert list(by_subject["contradiction"]) == ALERT
    assert list(by_subject["silence"]) == ["policy" if name == "rule" else name for name in ALERT]
    assert by_subject["silence"]["level"] == "ghosted"


def test_lists_are_tables_for_people(story: Installation, journey: Run) -> None:
    """Short ids, a level, a sentence; on a pipe nothing is coloured."""
    code, out, err = journey("silences", "--at", NOW)
    assert (code, err) == (0, "")
    assert "after_interview" in out
    assert "ghosted" in out
    assert "\x1b" not in out


def test_nothing_to_list_is_said_in_a_sentence(journey: Run) -> None:
    """An empty installation is no error."""
    assert journey("silences") == (0, "Nobody is waiting for an answer.\n", "")
    assert journey("contradictions") == (0, "No contradictions.\n", "")
    assert journey("alerts") == (0, "No alerts are open.\n", "")
    assert journey("deliveries", "list") == (0, "No such deliveries.\n", "")


# --- alerts ---------------------------------------------------------------------------------


def test_an_alert_is_acknowledged_and_resolved(story: Installation, journey: Run) -> None:
    """By its first digits; who did it and why is kept."""
    alert_id = document(journey("alerts", "--json"))[0]["alert_id"]
    acknowledged = document(journey("alerts", "ack", alert_id[:8], "--by", "u17", "--json"))
    assert (acknowledged["state"], acknowledged["acknowledged_by"]) == ("acknowledged", "u17")
    resolve = ("alerts", "resolve", alert_id, "--by", "u17", "--reason", "handled", "--json")
    resolved = document(journey(*resolve))
    assert (resolved["state"], resolved["reason"]) == ("resolved", "handled")
    assert alert_id not in [each["alert_id"] for each in document(journey("alerts", "--json"))]
    every = document(journey("alerts", "--all", "--json"))
    assert alert_id in [each["alert_id"] for each in every]


def test_a_resolved_alert_cannot_be_resolved_again(story: Installation, journey: Run) -> None:
    """It says so, and with which reason it was."""
    alert_id = document(journey("alerts", "--json"))[0]["alert_id"]
    resolve = ("alerts", "resolve", alert_id, "--by", "u17", "--reason", "handled")
    assert journey(*resolve)[0] == 0
    code, _, err = journey(*resolve)
    assert (code, err) == (1, f"journey: alert {alert_id} is already resolved (handled).\n")


def test_free_text_is_no_reason(story: Installation, journey: Run) -> None:
    """Reasons are codes, since free text is where names slip in."""
    alert_id = document(journey("alerts", "--json"))[0]["alert_id"]
    code, _, err = journey("alerts", "resolve", alert_id, "--by", "u1", "--reason", "called Amara")
    assert code == 2
    assert "handled, manual" in err
    assert "Amara" not in err


# --- one journey ----------------------------------------------------------------------------


def test_a_journey_has_its_documented_fields(story: Installation, journey: Run) -> None:
    """The map, what is owed, what contradicts, and one line of time."""
    found = document(journey("show", "greenhouse:candidate/1", "--at", NOW, "--json"))
    assert list(found) == [
        "candidate_id", "candidates", "now", "position", "applications", "silences",
        "contradictions", "pending", "alerts", "timeline",
    ]  # fmt: skip
    assert list(found["silences"][0]) == SILENCE
    assert list(found["contradictions"][0]) == CONTRADICTION
    assert list(found["timeline"][0]) == [
        "at", "what", "name", "application_id", "level", "text", "touchpoint_ids", "source",
        "precision",
    ]  # fmt: skip
    assert list(found["alerts"][0]) == [
        "alert_id", "subject", "application_id", "name", "level", "since", "due_at",
        "explanation",
    ]  # fmt: skip


def test_what_we_knew_is_asked_by_moment_and_by_position(story: Installation, journey: Run) -> None:
    """Everything was recorded at T0, the first touchpoint at position 1."""
    show = ("show", "greenhouse:candidate/1", "--json")
    first = document(journey(*show, "--as-of", "1"))
    assert [each["name"] for each in first["timeline"] if each["what"] == "touchpoint"] == [
        "application_submitted"
    ]
    whole = document(journey(*show, "--as-of", hours(1).isoformat()))
    assert whole["position"] == 3
    code, _, err = journey(*show, "--as-of", "2026-02-01")
    assert code == 3
    assert "by then" in err


def test_a_day_means_to_its_end(story: Installation, journey: Run) -> None:
    """`--at 2026-03-02` holds what happened on that day."""
    found = document(journey("show", "greenhouse:candidate/1", "--at", "2026-03-02", "--json"))
    assert found["timeline"][0]["name"] == "application_submitted"
    assert found["now"] == "2026-03-02T23:59:59.999999Z"


def test_names_are_printed_only_when_unsealed(story: Installation, journey: Run) -> None:
    """Sealed without --unseal, in tables and in JSON; there with it."""
    show = ("show", "greenhouse:candidate/1", "--at", NOW)
    for arguments in (show, (*show, "--json")):
        sealed = journey(*arguments)[1]
        assert "Okafor" not in sealed
        assert "@" not in sealed
        assert "Amara Okafor" in journey(*arguments, "--unseal")[1]


def test_a_candidate_is_found_by_address_prefix_and_key(engine: Installation, journey: Run) -> None:
    """Every way of naming them leads to the same journey."""
    keys = (PersonKey("greenhouse:candidate", "7"), PersonKey("email", "emi@mail.example"))
    engine.log.put_statements([statement("application_submitted", T0, keys=keys)])
    found = [
        document(journey("show", each, "--at", NOW, "--json"))["candidate_id"]
        for each in ("greenhouse:candidate/7", "Emi@Mail.example")
    ]
    assert found[0] == found[1]
    assert (
        document(journey("show", found[0][:6], "--at", NOW, "--json"))["candidate_id"] == found[0]
    )


def test_a_merged_candidate_leads_to_the_journey(engine: Installation, journey: Run) -> None:
    """By the absorbed id, too."""
    engine.log.put_statements([statement("application_submitted", T0, person="1")])
    engine.log.put_statements([statement("message_received", hours(1), person="2")])
    engine.log.put_statements(
        [
            statement(
                "stage_changed",
                hours(2),
                person="1",
                same_as=(PersonKey("greenhouse:candidate", "2"),),
            )
        ]
    )
    shown = [
        document(journey("show", f"greenhouse:candidate/{number}", "--at", NOW, "--json"))
        for number in (1, 2)
    ]
    assert shown[0] == shown[1]
    assert len(shown[0]["candidates"]) == 2


def test_a_replay_has_a_step_for_each_touchpoint_deadline_and_now(
    story: Installation, journey: Run
) -> None:
    """Silence speaks too: a deadline that passes is a step of its own."""
    steps = document(journey("replay", "greenhouse:candidate/1", "--at", NOW, "--json"))
    assert [step["because"] for step in steps] == [
        "touchpoint", "touchpoint", "deadline", "deadline", "touchpoint", "deadline", "now",
    ]  # fmt: skip
    assert list(steps[0]) == [
        "number", "at", "because", "touchpoint", "applications", "silences", "begins", "ends",
        "alerts",
    ]  # fmt: skip
    assert [each["rule"] for each in steps[4]["begins"]] == ["survey_while_silent"]
    assert [each["level"] for each in steps[5]["alerts"]] == ["medium", "ghosted"]


def test_a_pipe_gets_every_step(story: Installation, journey: Run) -> None:
    """Nobody is there to press a key."""
    code, out, _ = journey("replay", "greenhouse:candidate/1", "--at", NOW)
    assert code == 0
    assert "── 7 of 7 ──" in out
    assert "! open alert [ghosted] after_interview" in out


@pytest.mark.parametrize(
    ("key", "leads_to"),
    [("n", 3), (" ", 3), ("\x1b[C", 3), ("p", 1), ("\x7f", 1), ("f", 0), ("l", 4), ("x", 2)],
)
def test_keys_walk_through_a_replay(key: str, leads_to: int) -> None:
    """From the third of five steps."""
    assert moved(2, key, 5) == leads_to


def test_keys_stop_at_both_ends() -> None:
    """There is nothing before the first step and after the last."""
    assert (moved(0, "p", 5), moved(4, "n", 5)) == (0, 4)


# --- deliveries, rebuild, doctor --------------------------------------------------------------

CONNECTIONS = """
connections:
  greenhouse: {source: greenhouse, secrets: [s3cret]}
"""


def test_files_go_the_way_of_deliveries(journey: Run, tmp_path: Path) -> None:
    """Kept, translated, recorded and projected; a second time nothing is new."""
    (tmp_path / "connections.yaml").write_text(CONNECTIONS)
    file = str(PAYLOADS / "application_received.json")
    ingest = ("ingest", file, "--connection", "greenhouse", "--json")
    first = document(journey(*ingest))
    assert first == {
        "deliveries": 1, "recorded": 1, "context": 0, "dead": 0, "touchpoints": 1, "repeated": 0,
        "position": 1,
    }  # fmt: skip
    assert document(journey(*ingest))["touchpoints"] == 0
    assert len(document(journey("deliveries", "list", "--json"))) == 2


def test_a_dead_letter_is_listed_shown_and_redriven(journey: Run, tmp_path: Path) -> None:
    """Exit code 1 says there is one; its body is shown only on request."""
    (tmp_path / "connections.yaml").write_text(CONNECTIONS)
    broken = tmp_path / "broken.json"
    broken.write_text('{"action": "hire_candidate", "payload": {"name": "Casey"}}')
    assert journey("ingest", str(broken), "-c", "greenhouse")[0] == 1
    (dead,) = document(journey("deliveries", "list", "--status", "dead", "--json"))
    assert list(dead) == [
        "delivery_id", "connection", "source", "received_at", "status", "reason", "attempts",
        "touchpoints", "handled_at", "body_bytes",
    ]  # fmt: skip
    show = ("deliveries", "show", dead["delivery_id"])
    assert dead["reason"] in journey(*show)[1]
    assert "Casey" not in journey(*show)[1]
    assert "Casey" in journey(*show, "--raw")[1]
    assert journey("doctor")[0] == 1
    redrive = ("deliveries", "redrive", dead["delivery_id"], "--json")
    assert document(journey(*redrive, "--dry-run")) == {"redriven": 1, "dry_run": True}
    assert document(journey(*redrive)) == {"redriven": 1, "dry_run": False}
    assert journey(*redrive)[0] == 3


def test_what_was_recorded_wrongly_is_redriven(journey: Run, tmp_path: Path) -> None:
    """First it says what it would do, then it does it, then there is nothing left to do."""
    connections = tmp_path / "connections.yaml"
    connections.write_text(CONNECTIONS)
    files = [str(PAYLOADS / f"{name}.json") for name in ("application_received", "rejected_by_us")]
    document(journey("ingest", *files, "-c", "greenhouse", "--json"))
    connections.write_text(CONNECTIONS.replace("}", ", rejection_is_sent: true}"))
    redrive = ("deliveries", "redrive", "--connection", "greenhouse", "--since", "2026-01-01")
    dry = document(journey(*redrive, "--dry-run", "--json"))
    assert list(dry) == [
        "connection", "since", "dry_run", "deliveries", "became", "appended", "kinds", "examples",
        "untranslatable", "unreadable", "merged", "apart",
    ]  # fmt: skip
    assert (dry["since"], dry["became"]) == ("2026-01-01T00:00:00Z", {"recorded": 2})
    counted = {
        each["kind"]: {verb: n for verb, n in each.items() if n and verb != "kind"}
        for each in dry["kinds"]
    }
    assert counted == {
        "application_submitted": {"unchanged": 1},
        "rejection_decided": {"retracted": 1},
        "rejection_sent": {"added": 1},
    }
    assert [list(each) for each in dry["examples"]] == [
        ["verb", "kind", "touchpoint_id", "candidate_id", "delivery_id", "fields"]
    ] * 2
    done = document(journey(*redrive, "--json"))
    assert {**done, "dry_run": True} == dry
    assert document(journey(*redrive, "--json"))["appended"] == 0
    out = journey(*redrive)[1]
    assert "2 deliveries read anew: 2 recorded." in out
    assert "0 touchpoints appended." in out
    assert journey(*redrive[:3], "gone", "--since", "2026-01-01")[0] == 5


def test_connections_are_listed_without_their_secrets(journey: Run, tmp_path: Path) -> None:
    """How many are live, never which."""
    (tmp_path / "connections.yaml").write_text(CONNECTIONS)
    code, out, _ = journey("connections", "--json")
    assert code == 0
    assert "s3cret" not in out
    assert json.loads(out) == [
        {
            "name": "greenhouse",
            "path": "/webhooks/greenhouse",
            "source": "greenhouse",
            "source_name": "greenhouse",
            "secrets": 1,
            "success_code": 200,
            "mapping": None,
            "stages": 0,
            "poll_seconds": None,
        }
    ]


def test_a_rebuild_tells_what_differed(
    story: Installation, journey: Run, database: Database
) -> None:
    """A dry run finds a row that is wrong and leaves it; a real one mends it."""
    assert document(journey("rebuild", "--dry-run", "--json"))["differences"] == {
        "applications": 0, "silences": 0, "findings": 0, "paths": 0,
    }  # fmt: skip
    with database.transaction() as connection:
        connection.execute("UPDATE silences SET chases = 99 WHERE until IS NULL")
    code, out, _ = journey("rebuild", "--dry-run", "--json")
    assert (code, json.loads(out)["differences"]["silences"]) == (1, 1)
    code, out, _ = journey("rebuild")
    assert code == 0
    assert "silences: 1 rows differed" in out
    assert journey("rebuild", "--dry-run")[0] == 0


def test_the_doctor_finds_a_healthy_installation_well(engine: Installation, journey: Run) -> None:
    """Every check is there, none is wrong; `--quick` leaves out what reads whole tables."""
    checks = document(journey("doctor", "--json"))
    assert [list(each) for each in checks] == [["check", "status", "found", "advice"]] * len(checks)
    assert {"durability", "append-only", "log", "inbox", "projections", "master key"} <= {
        each["check"] for each in checks
    }
    assert "wrong" not in {each["status"] for each in checks}
    quick = document(journey("doctor", "--quick", "--json"))
    assert quick == [each for each in checks if each["check"] not in ("log", "unattached")]


@pytest.mark.parametrize(
    ("harm", "check"),
    [
        ("ALTER TABLE journey_events DISABLE TRIGGER USER", "append-only"),
        ("ALTER TABLE deliveries DISABLE TRIGGER deliveries_changed", "counts"),
        ("UPDATE log_head SET position = position + 1", "log"),
        ("UPDATE projection_tracking SET notification_id = 0", "projections"),
        (
            "INSERT INTO deliveries (delivery_id, connection, source, received_at, headers, body) "
            "VALUES (gen_random_uuid(), 'gh', 'greenhouse', '2026-01-01Z', '{}', '')",
            "inbox",
        ),
        ("UPDATE person_keys SET wrapped_key = decode(repeat('00', 60), 'hex')", "master key"),
    ],
)
def test_the_doctor_finds_what_is_wrong(
    story: Installation, journey: Run, database: Database, harm: str, check: str
) -> None:
    """Exit code 1, and the finding says what to do."""
    with database.transaction() as connection:
        connection.execute(harm)  # type: ignore[arg-type]
    code, out, _ = journey("doctor", "--json")
    wrong = {each["check"]: each for each in json.loads(out) if each["status"] == "wrong"}
    assert code == 1
    assert wrong[check]["advice"]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (["ok", "ok"], "All is well."),
        (["ok", "note"], "Nothing is wrong; 1 check is worth a note."),
        (["note", "note"], "Nothing is wrong; 2 checks are worth a note."),
        (["wrong", "note", "ok"], "1 of 3 checks is wrong."),
    ],
)
def test_the_summary_of_the_checks_says_what_the_gravest_says(
    found: list[Status], sentence: str
) -> None:
    """A note is not called well."""
    assert summary(Check("inbox", status, "") for status in found) == sentence


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["shwo"], 2, "No such command"),
        (["alerts", "list"], 2, "No such command 'list'; see `journey alerts --help`"),
        (["show", "abc", "--bogus"], 2, "No such option: --bogus; see `journey show --help`"),
        (
            ["silences", "--policy", "after_nothing"],
            3,
            "no policy is called 'after_nothing'; there",
        ),
        (["contradictions", "--rule", "none"], 3, "no rule is called 'none'; there are"),
        (["map", "--from", "2026-02-02", "--to", "2026-02-01"], 2, "--from 2026-02-02 is after"),
        (["export", "-f", "csv", "--from", "2026-02-02", "--to", "2026-02-01"], 2, "is after --to"),
        (["export", "-f", "csv", "--kinds", "xyzzy"], 2, "'xyzzy'; docs/reference/events.md lists"),
        (["show"], 2, "Missing argument"),
        (["show", "abc", "--at", "yesterday"], 2, "'yesterday' is no moment"),
        (["show", "abc", "--at", "2026-03-02T09:00"], 2, "says no time zone"),
        (["silences", "--level", "huge"], 2, "--level"),
        (["run", "everything"], 2, "process"),
        (["deliveries", "list", "--status", "lost"], 2, "use one of pending"),
        (["deliveries", "redrive"], 2, "say which"),
        (["show", "abc"], 3, "nobody has an id that begins with 'abc'"),
        (["show", "casey@mail.example"], 3, "no candidate is known by that key"),
        (["show", "no id at all"], 3, "is no candidate id"),
        (["alerts", "ack", "abc", "--by", "u1"], 3, "no alert has an id that begins with 'abc'"),
        (["deliveries", "show", "abc"], 3, "no delivery has the id 'abc'"),
        (["ingest", "nowhere.json", "-c", "greenhouse"], 3, "no connection is called"),
    ],
)
def test_an_error_is_one_sentence_and_a_code(
    journey: Run, arguments: list[str], code: int, sentence: str
) -> None:
    """On stderr, beginning with the command's name, without a traceback."""
    given, out, err = journey(*arguments)
    assert (given, out) == (code, "")
    assert err.startswith("journey: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert "casey" not in err
    assert "Value error" not in err


@pytest.mark.parametrize(
    ("name", "value", "code", "sentence"),
    [
        ("JOURNEY_PORT", "eighty", 5, "JOURNEY_PORT is 'eighty'"),
        ("JOURNEY_MASTER_KEY", "", 5, "JOURNEY_MASTER_KEY is not set"),
        ("JOURNEY_DATABASE_URL", "postgresql://127.0.0.1:1/none", 4, "refused); start it, or mend"),
    ],
)
def test_what_is_wrong_with_the_set_up_has_codes_of_its_own(
    journey: Run,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    code: int,
    sentence: str,
) -> None:
    """Configuration and an absent database are told apart, so that scripts can wait for one."""
    monkeypatch.setenv(name, value)
    given, out, err = journey("silences")
    assert (given, out) == (code, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_the_doctor_tells_of_an_absent_database(
    journey: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds that rather than failing on it."""
    monkeypatch.setenv("JOURNEY_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    code, out, _ = journey("doctor", "--json")
    assert code == 1
    told = json.loads(out)[-1]
    assert told["check"] == "database"
    assert told["advice"] == "start it, or mend JOURNEY_DATABASE_URL"


def test_a_bug_of_ours_quotes_nothing(journey: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of other people's errors quote their input; only the type is told."""

    def broken(self: object, reference: str) -> None:
        raise KeyError("casey@mail.example")

    monkeypatch.setattr("journey.journey_log.JourneyLog.find", broken)
    code, out, err = journey("show", "abc")
    assert (code, out) == (1, "")
    assert "KeyError" in err
    assert "casey" not in err


# --- terminals and pipes --------------------------------------------------------------------


@pytest.mark.parametrize("width", [38, 60, 80, 100, PLAIN_WIDTH])
def test_a_narrow_terminal_tears_no_word_apart(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns stand closer, or each row has lines of its own; nothing is cut off."""
    said = io.StringIO()
    monkeypatch.setattr(output, "console", lambda: Console(file=said, width=width))
    columns = ("delivery", "received (UTC)", "application", "what", "explanation")
    row = (
        "01a202c2-fe7f", T0, "greenhouse:90001", "survey_while_silent",
        "Survey sent while the candidate had been waiting for 15 days and 21 hours.",
    )  # fmt: skip
    output.print_table(columns, [row, row], empty="")
    lines = said.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    shown = Counter(word for line in lines for word in line.split())
    for value in row:
        for word, count in Counter(output.words(value).split()).items():
            assert shown[word] >= 2 * count
    assert {word for column in columns for word in column.split()} <= shown.keys()


@pytest.mark.parametrize("command", [("connections",), ("silences",), ("doctor",)])
def test_a_reader_who_has_gone_is_no_error(
    database: Database, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """As with `journey … | head`: nothing was wrong."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from consumers.cli import main; main()", *command],
        env={**os.environ, **environment_for(database, tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (0, b"")


# --- help -----------------------------------------------------------------------------------

COMMANDS = (
    ("demo",), ("serve",), ("run",), ("ingest",), ("import",), ("show",), ("replay",), ("map",),
    ("silences",), ("contradictions",), ("alerts",), ("alerts", "ack"), ("alerts", "resolve"),
    ("deliveries", "list"), ("deliveries", "show"), ("deliveries", "redrive"), ("connections",),
    ("rebuild",), ("export",), ("doctor",), ("kafka", "init"), ("kafka", "topics"),
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_a_worked_example(journey: Run, command: tuple[str, ...]) -> None:
    """Its help names itself in an example."""
    code, out, _ = journey(*command, "--help")
    assert code == 0
    assert "Example" in out
    assert f"journey {command[0]}" in " ".join(out.split())


def test_help_documents_the_exit_codes(journey: Run) -> None:
    """All of them, in one place."""
    out = " ".join(journey("--help")[1].split())
    for code in ("0 fine", "1 something", "2 wrong usage", "3 not found", "4 the database"):
        assert code in out
    assert "5 wrong configuration" in out


def test_the_version_is_told(journey: Run) -> None:
    """With the name, as it is installed."""
    assert journey("--version") == (0, f"journey {version('candidate-journey')}\n", "")


def test_help_comes_quickly() -> None:
    """Nothing heavy is imported for it; measured in CPU time, as other tests run beside."""
    program = (
        "import sys, time\n"
        "from consumers.cli import invoke\n"
        "code = invoke(['--help'])\n"
        "heavy = {'psycopg', 'fastapi', 'pydantic', 'httpx', 'holidays'} & set(sys.modules)\n"
        "print(heavy, time.process_time(), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    heavy, _, seconds = ended.stderr.decode().rpartition(" ")
    assert "psycopg" not in heavy
    assert "fastapi" not in heavy
    assert float(seconds) < 1.0
