"""The ingest process on a real database: exactly once, nothing lost, one transaction a step."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest

import consumers.ats_adapters as package
from consumers import inbox
from consumers.ats_adapters.adapter import Delivery
from consumers.ats_adapters.greenhouse import Greenhouse
from consumers.connections import Connection, Connections
from consumers.inbox import Filters
from consumers.ingest import Ingest, IngestStopped, ingest_payloads
from journey.database import Database
from journey.errors import DatabaseUnavailable
from journey.journey_log import JourneyLog
from journey.vault import Vault
from schemas.identifiers import PersonKey
from tests.support.fakes import FrozenClock
from tests.support.greenhouse import CONNECTION, changed, delivery, payload
from tests.support.processes import PATIENCE_SECONDS, until

MAPPING = Path(package.__file__).parent / "mappings" / "sample.yaml"
BATCH = {"content-type": "application/cloudevents-batch+json"}


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def log(database: Database, clock: FrozenClock) -> JourneyLog:
    return JourneyLog(database, Vault(b"k" * 32), clock)


@pytest.fixture
def ingest(database: Database, log: JourneyLog, clock: FrozenClock) -> Ingest:
    return Ingest(database, log, Connections([CONNECTION]), clock)


def keep(database: Database, *bodies: Any) -> list[Delivery]:
    """Deliveries of these bodies, or payloads of these names, in the inbox."""
    kept = [delivery(payload(one) if isinstance(one, str) else one) for one in bodies]
    with database.transaction() as connection:
        inbox.keep(connection, kept)
    return kept


def recorded(database: Database) -> list[str]:
    """The kinds in the log, in order of position."""
    with database.transaction() as connection:
        rows = connection.execute("SELECT topic FROM journey_events ORDER BY notification_id")
        return [str(row[0]).split(".")[1] for row in rows]


def statuses(database: Database) -> dict[str, int]:
    """How many deliveries have each status, without the zeros."""
    with database.transaction() as connection:
        return {status: n for status, n in inbox.counts(connection).items() if n}


def test_deliveries_become_touchpoints(database: Database, ingest: Ingest) -> None:
    """Each is recorded, or context, or dead with a reason, in one step."""
    keep(database, "application_received", "moved_to_phone_screen", "job_created", {"action": 1})
    stepped = ingest.step()
    assert (stepped.count, stepped.recorded, stepped.context, stepped.dead) == (4, 2, 1, 1)
    assert recorded(database) == ["application_submitted", "stage_changed"]
    assert statuses(database) == {"recorded": 2, "context": 1, "dead": 1}
    assert ingest.step().count == 0


def test_one_journey_holds_what_all_actions_said(
    database: Database, ingest: Ingest, log: JourneyLog
) -> None:
    """An offer names only its application, and still lands in the candidate's journey."""
    keep(database, "application_received", "offer_created", "offer_sent", "hired")
    ingest.step()
    candidate = log.find("greenhouse:candidate/70110001")
    assert [touchpoint.KIND for touchpoint in log.history(candidate)] == [
        "application_submitted",
        "offer_sent",
        "offer_sent",
        "offer_accepted",
        "hired",
        "offer_decided",
    ]
    assert log.find("anneke.vermeer@mail.example") == candidate


def test_a_repeat_is_recorded_once(database: Database, ingest: Ingest) -> None:
    """The same delivery again, in the same step and in a later one, adds nothing."""
    first, *_ = keep(database, "rejected_by_us", "rejected_by_us")
    assert ingest.step().repeated == 1
    keep(database, "rejected_by_us")
    assert (ingest.step().touchpoints, recorded(database)) == (0, ["rejection_decided"])
    assert statuses(database) == {"recorded": 3}
    with database.transaction() as connection:
        kept = inbox.get(connection, first.delivery_id)
    assert kept is not None
    assert kept[1].touchpoints == 1


def test_a_touchpoint_names_its_delivery(
    database: Database, ingest: Ingest, log: JourneyLog
) -> None:
    """The raw body is one look away."""
    (kept,) = keep(database, "application_received")
    ingest.step()
    (touchpoint,) = log.history(log.find("greenhouse:application/90310001"))
    assert touchpoint.delivery_id == kept.delivery_id


def test_a_merge_joins_two_journeys(database: Database, ingest: Ingest, log: JourneyLog) -> None:
    """`merge_candidate` reads both candidates as one from then on."""
    other = payload("moved_to_phone_screen")
    other["payload"]["application"].update(id=90310002)
    other["payload"]["application"]["candidate"] = {"id": 70110002}
    keep(database, "application_received", other)
    ingest.step()
    first = log.find("greenhouse:candidate/70110001")
    assert log.find("greenhouse:candidate/70110002") != first
    keep(database, "candidates_merged")
    ingest.step()
    assert "candidates_merged" in recorded(database)
    assert {touchpoint.KIND for touchpoint in log.history(first)} >= {
        "application_submitted",
        "stage_changed",
    }


def test_a_cancelled_interview_joins_when_somebody_names_it(
    database: Database, ingest: Ingest, log: JourneyLog
) -> None:
    """It waits under the interview's own id until that id comes with a candidate."""
    keep(database, "interview_deleted", "application_received")
    ingest.step()
    candidate = log.find("greenhouse:candidate/70110001")
    assert log.find("greenhouse:scheduled_interview/61000001") != candidate
    said = (
        Greenhouse().translate(delivery(changed("moved_to_phone_screen")), CONNECTION).statements[0]
    )
    known = type(said)(
        said.touchpoint,
        (*said.person, PersonKey("greenhouse:scheduled_interview", "61000001")),
    )
    log.put_statements([known])
    assert "interview_cancelled" in {one.KIND for one in log.history(candidate)}


def test_nothing_personal_is_in_the_log_or_the_reasons(database: Database, ingest: Ingest) -> None:
    """A dump of events, keys and reasons holds no name, address, number or free text."""
    names = [
        file.stem
        for file in sorted((Path(__file__).parents[1] / "payloads" / "greenhouse").glob("*.json"))
    ]
    keep(
        database,
        *names,
        {"action": "Anneke Vermeer"},
        {"action": "hire_candidate", "payload": "Anneke"},
    )
    ingest.drain()
    with database.transaction() as connection:
        dump = [
            str(row)
            for table in ("journey_events", "identity_keys", "identity_merges")
            for row in connection.execute(f"SELECT t::text, t.* FROM {table} t").fetchall()  # type: ignore[call-overload]
        ]
        dump += [str(row) for row in connection.execute("SELECT reason FROM deliveries")]
        dump += [
            bytes(row[0]).decode() for row in connection.execute("SELECT state FROM journey_events")
        ]
    text = "\n".join(dump)
    assert "application_submitted" in text
    for secret in (
        "Anneke",
        "Vermeer",
        "vermeer",
        "555 0142",
        "Prinsengracht",
        "vellum",
        "Fridays",
    ):
        assert secret not in text


def test_a_dead_letter_is_redriven_after_a_fix(
    database: Database, log: JourneyLog, clock: FrozenClock
) -> None:
    """The connection's map is mended, the dead letter redriven: what was missing is recorded."""
    broken = CONNECTION.model_copy(update={"stages": {"phone screen": "touchpoint_corrected"}})
    keep(database, "application_received", "moved_to_phone_screen")
    assert Ingest(database, log, {"gh": broken}, clock).step().dead == 1
    mended = CONNECTION.model_copy(update={"stages": {"phone screen": "call_made"}})
    with database.transaction() as connection:
        assert inbox.redrive(connection, Filters(connection="gh")) == 1
    ingest = Ingest(database, log, {"gh": mended}, clock)
    assert ingest.drain().touchpoints == 2
    assert recorded(database) == ["application_submitted", "stage_changed", "call_made"]
    assert statuses(database) == {"recorded": 2}


def test_a_batch_is_recorded_in_part_and_redriven_for_the_rest(
    database: Database, log: JourneyLog, clock: FrozenClock, tmp_path: Path
) -> None:
    """Good events at once, the bad one after the mapping is mended, none of them twice."""
    mapping = tmp_path / "map.yaml"
    text = MAPPING.read_text(encoding="utf-8")
    mapping.write_text(text.replace("time_zone: Europe/Amsterdam\n", "", 1), encoding="utf-8")
    connection = Connection(name="s", source="generic", secrets=("s",), mapping=mapping)
    event = orjson.loads(
        (
            Path(__file__).parents[1] / "payloads/generic/interview_booked.cloudevent.json"
        ).read_bytes()
    )
    batch = [event, {**event, "id": "ev-2", "type": "message.sent"}]
    kept = Delivery(
        inbox.new_delivery_id(clock.now()), "s", "generic", clock.now(), BATCH, orjson.dumps(batch)
    )
    with database.transaction() as transaction:
        inbox.keep(transaction, [kept])
    ingest = Ingest(database, log, {"s": connection}, clock)
    assert (ingest.step().dead, recorded(database)) == (1, ["message_sent"])
    with database.transaction() as transaction:
        summary = inbox.listing(transaction)[0]
        assert summary.reason is not None
        assert summary.reason.startswith("recorded in part; 1 could not be translated: event 1:")
        assert summary.touchpoints == 1
    mapping.write_text(text, encoding="utf-8")
    with database.transaction() as transaction:
        inbox.redrive(transaction)
    assert ingest.step().touchpoints == 1
    assert recorded(database) == ["message_sent", "interview_scheduled"]
    assert statuses(database) == {"recorded": 1}


def test_a_connection_that_is_gone_leaves_a_dead_letter(
    database: Database, log: JourneyLog, clock: FrozenClock
) -> None:
    """Its deliveries wait for it to be configured again."""
    keep(database, "application_received")
    assert Ingest(database, log, {}, clock).step().dead == 1
    with database.transaction() as connection:
        reason = inbox.listing(connection)[0].reason
    assert reason == "its connection is not configured any more; configure it"


class Bug(Greenhouse):
    """An adapter with a bug that quotes the body."""

    def translate(self, delivery: Delivery, connection: Connection) -> Any:
        if b"reject_candidate" in delivery.body:
            raise KeyError(delivery.body.decode())
        return super().translate(delivery, connection)


def test_a_bug_stops_loudly_and_loses_nothing(
    database: Database, log: JourneyLog, clock: FrozenClock
) -> None:
    """The error names the delivery and no one's name; all of the batch is still pending."""
    _, bad = keep(database, "application_received", "rejected_by_us")
    ingest = Ingest(database, log, Connections([CONNECTION]), clock, adapters={"greenhouse": Bug()})
    with pytest.raises(IngestStopped) as raised:
        ingest.run(threading.Event())
    assert str(bad.delivery_id) in str(raised.value)
    assert "KeyError" in str(raised.value)
    assert "Anneke" not in str(raised.value)
    assert raised.value.__suppress_context__
    assert (recorded(database), statuses(database)) == ([], {"pending": 2})
    assert Ingest(database, log, Connections([CONNECTION]), clock).step().count == 2


def test_a_failure_after_translating_loses_nothing(
    database: Database, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Touchpoints and outcomes commit together or not at all."""
    keep(database, "application_received")

    def away(*_: object) -> None:
        raise psycopg.OperationalError("the connection is lost")

    with monkeypatch.context() as patched:
        patched.setattr(inbox, "mark", away)
        with pytest.raises(DatabaseUnavailable):
            ingest.step()
    assert (recorded(database), statuses(database)) == ([], {"pending": 1})
    assert ingest.step().touchpoints == 1


def test_several_processes_share_the_work(database: Database, clock: FrozenClock) -> None:
    """Four at once over the same deliveries, each twice: every fact is there exactly once."""
    bodies = []
    for number in range(120):
        body = payload("application_received")
        body["payload"]["application"].update(id=number)
        body["payload"]["application"]["candidate"] = {
            "id": number % 40,
            "email_addresses": [{"value": f"person{number % 40}@mail.example", "type": "personal"}],
        }
        bodies += [body, body]
    keep(database, *bodies)
    failures: list[BaseException] = []

    def work() -> None:
        log = JourneyLog(database, Vault(b"k" * 32), clock)
        ingest = Ingest(database, log, Connections([CONNECTION]), clock)
        try:
            ingest.drain(limit=7)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=PATIENCE_SECONDS)
    assert failures == []
    assert recorded(database) == ["application_submitted"] * 120
    assert statuses(database) == {"recorded": 240}
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT count(DISTINCT originator_id), max(notification_id) FROM journey_events"
        ).fetchone()
    assert rows == (40, 120)


def all_recorded(database: Database) -> None:
    """Wait until every delivery is."""
    until(lambda: statuses(database).keys() == {"recorded"}, "all are recorded")


@pytest.fixture
def running(ingest: Ingest) -> Iterator[None]:
    """The ingest loop in a thread, stopped afterwards."""
    stop = threading.Event()
    thread = threading.Thread(target=ingest.run, args=(stop,))
    thread.start()
    yield
    stop.set()
    thread.join(timeout=PATIENCE_SECONDS)
    assert not thread.is_alive()


@pytest.mark.usefixtures("running")
def test_the_loop_is_woken_by_a_delivery(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sleeps on LISTEN, and a kept delivery is recorded well before the timeout."""
    monkeypatch.setattr("consumers.ingest._IDLE_SECONDS", 2 * PATIENCE_SECONDS)
    for _ in range(3):
        keep(database, "application_received")
        all_recorded(database)


@pytest.mark.usefixtures("running")
def test_the_loop_outlives_its_connections(database: Database) -> None:
    """Every connection cut by the server, as in a restart: it reconnects and goes on."""
    keep(database, "application_received")
    all_recorded(database)
    for _ in range(3):
        with database.connect(autocommit=True) as own:
            own.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'journey' AND pid <> pg_backend_pid()"
            )
            body = orjson.dumps(payload("moved_to_phone_screen"))
            ingest_payloads(database, CONNECTION, [io.BytesIO(body)], FrozenClock())
        all_recorded(database)
    assert recorded(database) == ["application_submitted", "stage_changed"]


def test_the_loop_waits_for_the_database(
    database: Database, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it does not answer nothing is lost; when it does, work goes on by itself."""
    keep(database, "application_received")
    answers = iter([False, False, True])
    connect = database.connect

    def flaky(*, autocommit: bool = False) -> Any:
        if not next(answers, True):
            raise DatabaseUnavailable("no answer")
        return connect(autocommit=autocommit)

    monkeypatch.setattr(database, "connect", flaky)
    stop = threading.Event()
    thread = threading.Thread(target=ingest.run, args=(stop,))
    thread.start()
    all_recorded(database)
    stop.set()
    thread.join(timeout=PATIENCE_SECONDS)


def test_bodies_come_from_files_and_streams(
    database: Database, ingest: Ingest, clock: FrozenClock, tmp_path: Path
) -> None:
    """One body a file, pretty or not, or one a line, through the same inbox."""
    pretty = tmp_path / "pretty.json"
    pretty.write_bytes(orjson.dumps(payload("application_received"), option=orjson.OPT_INDENT_2))
    lines = b"\n".join(
        orjson.dumps(payload(name)) for name in ("moved_to_phone_screen", "rejected_by_us")
    )
    kept = ingest_payloads(
        database, CONNECTION, [pretty, io.BytesIO(b"\n" + lines + b"\n\n"), io.BytesIO(b"")], clock
    )
    assert len(set(kept)) == 3
    assert all(UUID(one).version == 7 for one in kept)
    assert ingest.step().recorded == 3
    # Reading the files again records nothing twice.
    ingest_payloads(database, CONNECTION, [pretty], clock)
    assert (ingest.step().repeated, len(recorded(database))) == (1, 3)


def test_a_broken_line_of_a_file_is_a_dead_letter(
    database: Database, ingest: Ingest, clock: FrozenClock
) -> None:
    """It does not stop the lines after it."""
    good = orjson.dumps(payload("application_received"))
    ingest_payloads(database, CONNECTION, [io.BytesIO(good + b"\n{broken\n" + good)], clock)
    stepped = ingest.step()
    assert (stepped.recorded, stepped.dead) == (2, 1)
