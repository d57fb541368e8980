"""Deadlines become alerts, once, found by their index; a second look takes back what is not so."""

from __future__ import annotations

import multiprocessing
import threading
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import IntegrityError

from consumers import waking
from consumers.alert_sweeper import TAKE_DUE, Sweeper
from journey.clock import SystemClock
from journey.database import Database
from projections.alerts import lifecycle
from projections.alerts.alert_log import AlertLog, change
from projections.alerts.explanation import explainer, plain
from projections.alerts.lifecycle import UnknownAlert
from projections.runner import Runner
from schemas.personal import Personal
from tests.support.alerts import (
    BREACH,
    GHOSTED,
    NUDGE,
    a_sweeper,
    ask_again,
    end_silence,
    put_finding,
    put_silence,
    rows,
    unsay_silence,
)
from tests.support.builders import T0, a_log, days, hours, statement, the_meaning
from tests.support.fakes import FrozenClock
from tests.support.processes import PATIENCE_SECONDS, until


def topics(database: Database) -> list[str]:
    return [
        row[0] for row in rows(database, "SELECT topic FROM alert_events ORDER BY notification_id")
    ]


def outbox(database: Database) -> list[tuple[Any, ...]]:
    return rows(database, "SELECT transition, channel FROM outbox ORDER BY created_at, channel")


# --- raising --------------------------------------------------------------------------------


def test_a_passed_deadline_raises_an_alert_and_is_gone(database: Database) -> None:
    """One alert, one message a channel, and the deadlines that have not passed stay."""
    candidate_id = put_silence(database)
    sweeper = a_sweeper(database, FrozenClock(NUDGE), ("console", "webhook"))
    swept = sweeper.sweep()
    (alert,) = sweeper.alerts.list()
    assert (swept.raised, swept.next_due) == (1, BREACH)
    assert (alert.candidate_id, alert.level, alert.due_at) == (candidate_id, "nudge", NUDGE)
    assert outbox(database) == [("raised", "console"), ("raised", "webhook")]


def test_nothing_is_raised_before_its_time(database: Database) -> None:
    """A moment before the deadline there is nothing to see."""
    put_silence(database)
    sweeper = a_sweeper(database, FrozenClock(NUDGE - (hours(1) - T0)))
    assert (sweeper.sweep().raised, sweeper.alerts.list()) == (0, [])


def test_each_level_escalates_the_one_alert(database: Database) -> None:
    """Three deadlines of a silence are one alert that gets graver, told each time."""
    put_silence(database)
    clock = FrozenClock(NUDGE)
    sweeper = a_sweeper(database, clock)
    for clock.at in (NUDGE, BREACH, GHOSTED):
        sweeper.sweep()
    (alert,) = sweeper.alerts.list()
    assert (alert.level, alert.due_at, alert.raised_at) == ("ghosted", GHOSTED, NUDGE)
    assert [row[0] for row in outbox(database)] == ["raised", "escalated", "escalated"]


def test_a_late_sweep_tells_the_same_story_in_one_message(database: Database) -> None:
    """The log has every step at its own time; people get the level it has reached."""
    put_silence(database)
    sweeper = a_sweeper(database, FrozenClock(days(90)))
    swept = sweeper.sweep()
    (alert,) = sweeper.alerts.list()
    events = list(sweeper.alerts.events.get(alert.alert_id))
    assert [event.at for event in events] == [NUDGE, BREACH, GHOSTED]  # type: ignore[attr-defined]
    assert (swept.raised, swept.escalated) == (1, 2)
    assert rows(database, "SELECT payload->>'type', payload->'data'->>'level' FROM outbox") == [
        ("alert.raised", "ghosted")
    ]


def test_a_finding_is_one_alert(database: Database) -> None:
    """With its rule, its severity and the touchpoints that prove it."""
    put_finding(database)
    sweeper = a_sweeper(database, FrozenClock(days(1)))
    sweeper.sweep()
    (alert,) = sweeper.alerts.list()
    assert (alert.subject, alert.name, alert.level) == ("contradiction", "a_rule", "high")
    assert alert.touchpoint_ids == ["t1"]


def test_a_deadline_whose_alert_exists_sends_nothing(database: Database) -> None:
    """A rebuild writes deadlines anew; the alerts are there already, so nobody hears of it."""
    candidate_id = put_silence(database)
    sweeper = a_sweeper(database, FrozenClock(BREACH))
    sweeper.sweep()
    before = (topics(database), outbox(database))
    put_silence(database, candidate_id)
    assert sweeper.sweep().deadlines == 2
    assert (topics(database), outbox(database)) == before


def test_a_silence_that_is_over_when_the_sweep_comes_raises_nothing(database: Database) -> None:
    """A deadline left over from a silence that has ended has nothing to tell."""
    candidate_id = put_silence(database)
    with database.transaction() as connection:
        connection.execute("UPDATE silences SET until = %s, ended_kind = 'message_sent'", [days(7)])
    assert a_sweeper(database, FrozenClock(days(8))).sweep().raised == 0
    assert rows(database, "SELECT 1 FROM alerts WHERE candidate_id = %s", candidate_id) == []


def test_five_hundred_alerts_are_raised_in_one_transaction(database: Database) -> None:
    """Batches, not one commit each."""
    for _ in range(500):
        put_silence(database, levels={"nudge": NUDGE})
    assert a_sweeper(database, FrozenClock(NUDGE)).sweep().raised == 500
    assert rows(database, "SELECT count(DISTINCT xmin::text) FROM alert_events") == [(1,)]


def test_an_alert_that_cannot_be_explained_is_raised_all_the_same(database: Database) -> None:
    """A sentence that fails must not keep an alert from anyone."""
    put_silence(database)
    sweeper = a_sweeper(database, FrozenClock(NUDGE))

    def fails(*_: object) -> str:
        raise ValueError

    sweeper.explain = fails
    sweeper.sweep()
    assert sweeper.alerts.list()[0].explanation.startswith("Nothing received since 2026-03-02")


# --- a second look --------------------------------------------------------------------------


def test_a_late_fact_that_disproves_a_silence_resolves_its_alert(database: Database) -> None:
    """It never was: resolved as disproved, told, and both stay on record."""
    candidate_id = put_silence(database)
    clock = FrozenClock(NUDGE)
    sweeper = a_sweeper(database, clock)
    sweeper.sweep()
    unsay_silence(database, candidate_id)
    clock.at = days(6)
    assert sweeper.sweep().resolved == 1
    (alert,) = sweeper.alerts.list(["resolved"])
    assert (alert.reason, alert.resolved_at, alert.resolved_by) == ("disproved", days(6), None)
    assert [row[0] for row in outbox(database)] == ["raised", "resolved"]
    assert topics(database) == ["alert.raised.v1", "alert.resolved.v1"]


@pytest.mark.parametrize(
    ("until", "kind", "reason"),
    [
        (days(4), "message_sent", "disproved"),
        (days(6), "message_sent", "answered"),
        (days(6), "rejection_sent", "answered"),
        (days(6), "withdrew", "closed"),
    ],
)
def test_a_silence_that_ended_resolves_its_alert(
    database: Database, until: datetime, kind: str, reason: str
) -> None:
    """Answered, closed, or disproved when the answer had come by the deadline."""
    candidate_id = put_silence(database)
    sweeper = a_sweeper(database, FrozenClock(days(7)))
    sweeper.sweep()
    end_silence(database, candidate_id, until, kind)
    sweeper.sweep()
    (alert,) = sweeper.alerts.list(["resolved"])
    assert alert.reason == reason


def test_a_finding_that_was_mended_resolves_its_alert(database: Database) -> None:
    """With the moment it was mended."""
    candidate_id = put_finding(database)
    sweeper = a_sweeper(database, FrozenClock(days(3)))
    sweeper.sweep()
    with database.transaction() as connection:
        connection.execute("UPDATE findings SET until = %s", [days(2)])
        ask_again(connection, candidate_id)
    sweeper.sweep()
    (alert,) = sweeper.alerts.list(["resolved"])
    assert (alert.reason, alert.until) == ("mended", days(2))


def test_a_reason_that_stands_keeps_the_alert(database: Database) -> None:
    """A stage move touches the journey and answers nobody."""
    candidate_id = put_silence(database)
    sweeper = a_sweeper(database, FrozenClock(NUDGE))
    sweeper.sweep()
    with database.transaction() as connection:
        ask_again(connection, candidate_id)
    swept = sweeper.sweep()
    assert (swept.checked, swept.resolved, len(sweeper.alerts.list())) == (1, 0, 1)


def test_a_silence_that_turns_out_to_be_due_later_is_taken_back_until_then(
    database: Database,
) -> None:
    """Its start was corrected: resolved as disproved now, raised again when it is due."""
    candidate_id = put_silence(database, levels={"nudge": NUDGE})
    clock = FrozenClock(NUDGE)
    sweeper = a_sweeper(database, clock)
    sweeper.sweep()
    put_silence(database, candidate_id, levels={"nudge": days(8)})
    with database.transaction() as connection:
        ask_again(connection, candidate_id)
    assert sweeper.sweep().resolved == 1
    clock.at = days(8)
    assert sweeper.sweep().reopened == 1
    (alert,) = sweeper.alerts.list()
    assert (alert.state, alert.due_at) == ("open", days(8))


def test_a_disproved_alert_comes_back_and_is_told_again(database: Database) -> None:
    """The late answer was retracted: a message of its own, with an id of its own."""
    candidate_id = put_silence(database)
    sweeper = a_sweeper(database, FrozenClock(days(7)))
    sweeper.sweep()
    unsay_silence(database, candidate_id)
    sweeper.sweep()
    put_silence(database, candidate_id)
    assert sweeper.sweep().reopened == 1
    assert [row[0] for row in outbox(database)] == ["raised", "resolved", "raised"]


# --- people ---------------------------------------------------------------------------------


def test_acknowledging_is_recorded_once_and_told_to_nobody(database: Database) -> None:
    """The same person twice is harmless."""
    put_silence(database)
    sweeper = a_sweeper(database, FrozenClock(NUDGE))
    sweeper.sweep()
    (alert,) = sweeper.alerts.list()
    for _ in range(2):
        sweeper.alerts.acknowledge(alert.alert_id, "p1", days(6))
    assert topics(database) == ["alert.raised.v1", "alert.acknowledged.v1"]
    assert [row[0] for row in outbox(database)] == ["raised"]
    assert sweeper.alerts.get(alert.alert_id).acknowledged_by == "p1"


def test_an_alert_that_a_person_resolved_stays_resolved_across_a_rebuild(
    database: Database,
) -> None:
    """Every deadline anew, and graver ones: nothing changes, nobody is told."""
    candidate_id = put_silence(database)
    clock = FrozenClock(NUDGE)
    sweeper = a_sweeper(database, clock)
    sweeper.sweep()
    (alert,) = sweeper.alerts.list()
    sweeper.alerts.resolve(alert.alert_id, "p1", "handled", days(6))
    put_silence(database, candidate_id)
    clock.at = days(90)
    sweeper.sweep()
    kept = sweeper.alerts.get(alert.alert_id)
    assert (kept.state, kept.reason, kept.resolved_by) == ("resolved", "handled", "p1")
    assert [row[0] for row in outbox(database)] == ["raised", "resolved"]


def test_an_alert_is_found_by_the_beginning_of_its_id(database: Database) -> None:
    """And an unknown one is said to be unknown."""
    put_silence(database)
    sweeper = a_sweeper(database, FrozenClock(NUDGE))
    sweeper.sweep()
    (alert,) = sweeper.alerts.list()
    assert sweeper.alerts.find(str(alert.alert_id)[:10]) == alert
    with pytest.raises(UnknownAlert, match="no alert"):
        sweeper.alerts.get(uuid4())
    with pytest.raises(UnknownAlert, match="lists them"):
        sweeper.alerts.find("xyz")


# --- the library's log ------------------------------------------------------------------------


def test_the_library_reads_every_alert_from_its_events(database: Database) -> None:
    """Its repository gives the same alert as the table, at every version; its log has them all."""
    candidate_id = put_silence(database)
    clock = FrozenClock(NUDGE)
    sweeper = a_sweeper(database, clock)
    sweeper.sweep()
    (first,) = sweeper.alerts.list()
    sweeper.alerts.acknowledge(first.alert_id, "p1", days(6))
    clock.at = BREACH
    sweeper.sweep()
    end_silence(database, candidate_id, days(11), "message_sent")
    clock.at = days(12)
    sweeper.sweep()
    log = AlertLog(database)
    assert log.repository.get(first.alert_id) == log.get(first.alert_id)
    assert log.repository.get(first.alert_id, version=1) == first
    assert [item.topic for item in log.notification_log.select(start=1, limit=10)] == [
        "alert.raised.v1",
        "alert.acknowledged.v1",
        "alert.escalated.v1",
        "alert.resolved.v1",
    ]


def test_events_saved_through_the_library_bring_row_and_messages_along(
    database: Database,
) -> None:
    """There is no way in that leaves the current state or the outbox behind."""
    put_silence(database)
    sweeper = a_sweeper(database, FrozenClock(NUDGE))
    sweeper.sweep()
    (alert,) = sweeper.alerts.list()
    event = lifecycle.resolve(alert, "p1", "handled", days(6))
    sweeper.alerts.events.put([event])
    assert sweeper.alerts.get(alert.alert_id).state == "resolved"
    assert [row[0] for row in outbox(database)] == ["raised", "resolved"]
    with pytest.raises(IntegrityError):
        sweeper.alerts.events.put([event])


def test_of_two_writers_on_one_alert_the_second_is_refused(database: Database) -> None:
    """The library's rule: a version of a stream is there once. Nothing of the loser stays."""
    put_silence(database)
    sweeper = a_sweeper(database, FrozenClock(NUDGE))
    sweeper.sweep()
    (seen,) = sweeper.alerts.list()
    sweeper.alerts.acknowledge(seen.alert_id, "p1", days(6))
    late = change(seen, [lifecycle.resolve(seen, "p2", "handled", days(6))])
    with pytest.raises(IntegrityError), database.transaction() as connection:
        sweeper.alerts.append(connection, [late])
    assert sweeper.alerts.get(seen.alert_id).state == "acknowledged"
    assert len(outbox(database)) == 1


# --- two at once, and the database away ----------------------------------------------------------


def test_two_sweepers_at_once_raise_each_alert_once(database: Database) -> None:
    """Threads off one barrier, three levels each: one raising and two escalations an alert."""
    for _ in range(120):
        put_silence(database)
    barrier = threading.Barrier(4)
    faults: list[BaseException] = []

    def sweep() -> None:
        sweeper = a_sweeper(database, FrozenClock(days(90)), batch=7)
        barrier.wait()
        try:
            sweeper.sweep()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=sweep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    a_sweeper(database, FrozenClock(days(90))).sweep()
    assert rows(database, "SELECT level, count(*) FROM alerts GROUP BY 1") == [("ghosted", 120)]
    assert topics(database).count("alert.raised.v1") == 120
    doubled = "SELECT alert_id, payload->'data'->>'level', count(*) FROM outbox GROUP BY 1, 2 "
    assert rows(database, doubled + "HAVING count(*) > 1") == []
    assert rows(database, "SELECT count(*) FROM deadlines") == [(0,)]


def test_two_sweepers_that_meet_on_one_alert_make_one_story(database: Database) -> None:
    """One holds its nudge, the other its breach: the second looks again, and escalates."""
    put_silence(database, levels={"nudge": NUDGE, "breach": BREACH})
    first = a_sweeper(database, FrozenClock(BREACH), batch=1)
    second = a_sweeper(database, FrozenClock(BREACH))
    with database.transaction() as connection:
        first._sweep_deadlines(connection)
        sweeping = threading.Thread(target=second.sweep)
        sweeping.start()
        until(lambda: _somebody_waits(database), "the other waits")
    sweeping.join()
    assert topics(database) == ["alert.raised.v1", "alert.escalated.v1"]
    assert [row[0] for row in outbox(database)] == ["raised", "escalated"]


def _somebody_waits(database: Database) -> bool:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    return rows(database, waiting) != []


def _sweep_in_process(url: str, schema: str, barrier: Any) -> None:
    database = Database(url, schema)
    sweeper = a_sweeper(database, FrozenClock(NUDGE), batch=11)
    barrier.wait()
    sweeper.sweep()
    database.close()


def test_two_processes_at_once_raise_each_alert_once(database: Database) -> None:
    """Two real processes off one barrier."""
    for _ in range(100):
        put_silence(database, levels={"nudge": NUDGE})
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    processes = [
        context.Process(target=_sweep_in_process, args=(database.url, database.schema, barrier))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE_SECONDS)
    assert [process.exitcode for process in processes] == [0, 0]
    assert topics(database) == ["alert.raised.v1"] * 100
    assert len(outbox(database)) == 100


def test_an_answer_that_commits_while_the_sweep_runs_is_not_lost(database: Database) -> None:
    """The projector waits for the deadline the sweep holds, then sees the alert it raised."""
    candidate_id = put_silence(database, levels={"nudge": NUDGE})
    clock = FrozenClock(NUDGE)
    sweeper = a_sweeper(database, clock)
    with database.transaction() as connection:
        sweeper._sweep_deadlines(connection)
        answering = threading.Thread(
            target=end_silence, args=(database, candidate_id, days(6), "message_sent")
        )
        answering.start()
        until(lambda: _somebody_waits(database), "the other waits")
    answering.join()
    sweeper.sweep()
    assert [alert.reason for alert in sweeper.alerts.list(["resolved"])] == ["answered"]


@pytest.mark.fault
def test_the_sweeper_lives_through_the_loss_of_its_connections(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every connection is cut; it resumes, and NOTIFY still wakes it long before its next look."""
    monkeypatch.setattr(waking, "LONGEST_SLEEP_SECONDS", 2 * PATIENCE_SECONDS)
    sweeper = Sweeper(database, SystemClock(), AlertLog(database, ["console"]), plain)
    stop = threading.Event()
    running = threading.Thread(target=sweeper.run, args=[stop])
    running.start()
    try:
        for _ in range(2):
            before = len(sweeper.alerts.list())
            put_silence(database, levels={"nudge": NUDGE})
            with database.transaction() as connection:
                connection.execute("NOTIFY deadlines")
            until(lambda: len(AlertLog(database).list()) == before + 1, "it is raised")  # noqa: B023
            with database.connect(autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'journey' AND pid <> pg_backend_pid()"
                )
    finally:
        stop.set()
        running.join(PATIENCE_SECONDS)
    assert not running.is_alive()


def test_the_sweeper_wakes_at_the_next_deadline(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any NOTIFY: it knows when the next one is due."""
    monkeypatch.setattr(waking, "LONGEST_SLEEP_SECONDS", 2 * PATIENCE_SECONDS)
    clock = SystemClock()
    sweeper = Sweeper(database, clock, AlertLog(database, ["console"]), plain)
    stop = threading.Event()
    put_silence(database, levels={"nudge": clock.now() + (hours(1) - T0) / 3600})
    running = threading.Thread(target=sweeper.run, args=[stop])
    running.start()
    try:
        until(lambda: len(sweeper.alerts.list()) == 1, "it is raised")
    finally:
        stop.set()
        running.join(PATIENCE_SECONDS)


# --- what it costs --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_reads_only_what_is_due(database: Database) -> None:
    """With a million deadlines ahead it touches a handful of pages: the index, not the table."""
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO deadlines SELECT %s + n * interval '1 second', 'silence', "
            "gen_random_uuid(), 'a', 'p', 'nudge', 'silence:p:a:t', %s, '[]' "
            "FROM generate_series(1, 1000000) n",
            [days(30), T0],
        )
    for _ in range(3):
        put_silence(database, levels={"nudge": NUDGE})
    with database.transaction() as connection:
        (plan,) = connection.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {TAKE_DUE}",  # type: ignore[arg-type]
            [NUDGE, 500],
        ).fetchone() or [None]
        connection.execute("DISCARD PLANS")
        assert "deadlines_due_idx" in str(plan)
        assert "Seq Scan" not in str(plan)
        top = plan[0]["Plan"]
        assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < 100
    put_silence(database, levels={"nudge": NUDGE})
    assert a_sweeper(database, FrozenClock(NUDGE)).sweep().raised == 1


# --- with real journeys -----------------------------------------------------------------------


def _engine(database: Database, clock: FrozenClock) -> tuple[Any, Runner, Sweeper]:
    meaning = the_meaning()
    log = a_log(database, clock)
    sweeper = Sweeper(database, clock, AlertLog(database, ["console"]), explainer(meaning))
    return log, Runner(database, meaning), sweeper


PERSON = Personal(name="Ada Quill", emails=("ada.quill@example.org",), phones=("+44 20 7946 0999",))


def test_from_a_touchpoint_to_an_alert_and_back(database: Database) -> None:
    """Applied, heard nothing: an alert with its sentence. A late mail shows that it never was."""
    clock = FrozenClock(days(60))
    log, runner, sweeper = _engine(database, clock)
    applied = statement("application_submitted", T0, personal=PERSON)
    log.put_statements([applied])
    runner.catch_up()
    sweeper.sweep()
    alerts = sweeper.alerts.list()
    assert {alert.level for alert in alerts} == {"ghosted"}
    assert all("2026-03-02" in alert.explanation for alert in alerts)
    assert alerts[0].touchpoint_ids == [str(applied.touchpoint.touchpoint_id)]
    log.put_statements([statement("rejection_sent", days(1), personal=PERSON)])
    runner.catch_up()
    sweeper.sweep()
    assert sweeper.alerts.list() == []
    assert {alert.reason for alert in sweeper.alerts.list(["resolved"])} == {"disproved"}


def test_a_real_answer_resolves_and_a_retraction_brings_the_alert_back(
    database: Database,
) -> None:
    """The engine takes back its own word when the answer turns out never to have been."""
    clock = FrozenClock(days(60))
    log, runner, sweeper = _engine(database, clock)
    log.put_statements([statement("application_submitted", T0)])
    runner.catch_up()
    sweeper.sweep()
    known = {alert.alert_id for alert in sweeper.alerts.list()}
    answer = statement("rejection_sent", days(50))
    log.put_statements([answer])
    runner.catch_up()
    sweeper.sweep()
    assert {a.reason for a in sweeper.alerts.list(["resolved"])} == {"answered"}
    taken_back = statement(
        "touchpoint_retracted", days(51), retracts=answer.touchpoint.touchpoint_id
    )
    log.put_statements([taken_back])
    runner.catch_up()
    sweeper.sweep()
    assert {alert.alert_id for alert in sweeper.alerts.list()} == known


def test_alerts_and_outbox_hold_nothing_personal(database: Database) -> None:
    """Every byte of alerts, their events and their messages, searched for all that went in."""
    clock = FrozenClock(days(60))
    log, runner, sweeper = _engine(database, clock)
    log.put_statements(
        [
            statement("application_submitted", T0, personal=PERSON),
            statement("interview_held", days(3), personal=PERSON),
            statement("rejection_sent", days(20), personal=PERSON),
            statement("reference_contacted", days(21), personal=PERSON),
        ]
    )
    runner.catch_up()
    sweeper.sweep()
    held = "\n".join(
        str(row)
        for table in ("alerts", "outbox", "deadlines", "alert_checks")
        for row in rows(database, f"SELECT * FROM {table}")
    )
    held += "\n".join(
        bytes(row[0]).decode() for row in rows(database, "SELECT state FROM alert_events")
    )
    assert "reference_contacted" in held
    for secret in ("Ada", "Quill", "example.org", "7946", "0999"):
        assert secret not in held
    assert UUID(str(rows(database, "SELECT alert_id FROM outbox")[0][0]))
