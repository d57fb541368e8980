"""The receiver: what it answers, and what it keeps before it answers."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from consumers import inbox
from consumers.ats_adapters import ALL_ADAPTERS
from consumers.connections import Connection
from consumers.errors import Unavailable
from consumers.inbox import Arrival, DeliverySummary, Filters, new_delivery_id
from consumers.webhooks.app import create_app
from consumers.webhooks.group_commit import GroupCommit
from consumers.webhooks.refusals import REFUSALS
from consumers.webhooks.server import ReceiverServer
from consumers.webhooks.signatures import ASHBY
from journey.database import Database
from journey.errors import ConfigurationError, DatabaseUnavailable
from tests.support.doors import SECRET, BrokenAdapter, ListKeeper, SignedAdapter, signed
from tests.support.fakes import FrozenClock
from tests.support.processes import PATIENCE_SECONDS

ADAPTERS = {"signed": SignedAdapter(), "broken": BrokenAdapter()}
CONNECTIONS = {
    "ats": Connection(name="ats", source="signed", secrets=("a-new-secret", SECRET)),
    "202": Connection(name="202", source="signed", secrets=(SECRET,), success_code=202),
    "204": Connection(name="204", source="signed", secrets=(SECRET,), success_code=204),
    "broken": Connection(name="broken", source="broken", secrets=(SECRET,)),
}
LIMIT = 2048
EVENT = b'{"action":"candidate_stage_change","payload":{}}'


class Door:
    """The receiver in this process, and a look into its inbox."""

    def __init__(self, database: Database, client: TestClient) -> None:
        self.database = database
        self.client = client

    def post(self, body: bytes, headers: dict[str, str] | None = None, to: str = "ats") -> Any:
        return self.client.post(f"/webhooks/{to}", content=body, headers=headers or signed(body))

    def kept(self) -> list[DeliverySummary]:
        with self.database.transaction() as connection:
            return inbox.listing(connection, limit=10_000)


@pytest.fixture
def door(database: Database) -> Iterator[Door]:
    """A receiver with a small limit."""
    app = create_app(database, CONNECTIONS, ADAPTERS, FrozenClock(), max_body_bytes=LIMIT)
    with TestClient(app) as client:
        yield Door(database, client)


@contextmanager
def serving(database: Database, **options: Any) -> Iterator[int]:
    """A real server on a free port, ended in order."""
    app = create_app(database, CONNECTIONS, ADAPTERS, FrozenClock(), **options)
    server = ReceiverServer(app, port=0)
    opened: list[int] = []
    ready = threading.Event()

    def announce(port: int) -> None:
        opened.append(port)
        ready.set()

    thread = threading.Thread(target=server.run, kwargs={"ready": announce})
    thread.start()
    try:
        assert ready.wait(PATIENCE_SECONDS)
        yield opened[0]
    finally:
        server.stop()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


# --- what is kept -----------------------------------------------------------------------------


def test_a_delivery_is_kept_as_it_came(door: Door) -> None:
    """Raw bytes, headers and arrival time are stored under the id that the answer names."""
    body = b'{"action": "x",  "text": "\\u003c"}'
    answer = door.post(body, signed(body, greenhouse_event_id="evt-1"))
    assert answer.status_code == 200
    with door.database.transaction() as connection:
        found = inbox.get(connection, answer.json()["delivery_id"])
    assert found is not None
    delivery, summary = found
    assert delivery.body == body
    assert delivery.headers["greenhouse-event-id"] == "evt-1"
    assert delivery.received_at == FrozenClock().now()
    assert (summary.status, summary.connection, summary.source) == ("pending", "ats", "signed")


def test_passwords_in_headers_are_not_stored(door: Door) -> None:
    """That there was one can be seen, not what it was."""
    headers = signed(EVENT, authorization="Basic aHVudGVyMg==", cookie="session=hunter2")
    door.post(EVENT, {**headers, "x-forwarded-for": "203.0.113.9"})
    [summary] = door.kept()
    with door.database.transaction() as connection:
        found = inbox.get(connection, summary.delivery_id)
    assert found is not None
    assert found[0].headers["authorization"] == "(not kept)"
    assert found[0].headers["cookie"] == "(not kept)"
    assert "x-forwarded-for" not in found[0].headers


def test_nobody_outside_may_say_how_we_came_by_a_delivery(door: Door) -> None:
    """Headers of our own names are dropped, in whatever case: a webhook cannot pose as a poll."""
    headers = {"Journey-Poll": "offers", "journey-poll-before": "{}", "JOURNEY-ANYTHING": "x"}
    assert door.post(EVENT, {**signed(EVENT), **headers}).status_code == 200
    [summary] = door.kept()
    with door.database.transaction() as connection:
        found = inbox.get(connection, summary.delivery_id)
    assert found is not None
    assert [name for name in found[0].headers if name.startswith("journey")] == []


def test_endless_headers_are_not_stored(door: Door) -> None:
    """What a sender puts into headers cannot fill the disk."""
    many = {f"x-filler-{n}": "y" * 1000 for n in range(60)}
    door.post(EVENT, {**signed(EVENT), **many})
    with door.database.transaction() as connection:
        row = connection.execute("SELECT length(headers::text) FROM deliveries").fetchone()
    assert row is not None
    assert row[0] < 10_000


# --- the answers ------------------------------------------------------------------------------


@pytest.mark.parametrize(("to", "code"), [("ats", 200), ("202", 202), ("204", 204)])
def test_the_answer_is_the_code_that_the_sender_needs(door: Door, to: str, code: int) -> None:
    """The adapter's success code, unless the connection has its own."""
    answer = door.post(EVENT, to=to)
    assert answer.status_code == code
    assert bool(answer.content) == (code != 204)


@pytest.mark.parametrize("secret", ["a-new-secret", SECRET])
def test_every_live_secret_is_accepted(door: Door, secret: str) -> None:
    """While a secret is rotated nothing is refused."""
    assert door.post(EVENT, signed(EVENT, secret)).status_code == 200


def test_an_action_nobody_knows_is_kept(door: Door) -> None:
    """A verified event we cannot map is a success to its sender."""
    body = b'{"action":"something_new"}'
    assert door.post(body).status_code == 200
    assert [one.status for one in door.kept()] == ["pending"]


def test_a_slash_at_the_end_is_forgiven(door: Door) -> None:
    """Senders count a redirect as a failure, so there is none."""
    assert door.post(EVENT, to="ats/").status_code == 200


def _refusal(answer: Any) -> tuple[int, str]:
    """Status and code of an answer that has the one shape of all errors."""
    assert answer.headers["content-type"] == "application/json"
    said = answer.json()
    assert set(said) == {"error", "message"}
    assert said["message"].endswith(".")
    return answer.status_code, said["error"]


def test_a_bad_signature_is_refused_and_kept_apart(door: Door) -> None:
    """401; the delivery can be looked at and is never translated."""
    answer = door.post(EVENT, signed(EVENT, "a-wrong-secret"))
    assert _refusal(answer) == (401, "not_authentic")
    [summary] = door.kept()
    assert summary.status == "refused"
    assert summary.reason == "no live secret matches the signature header"
    with door.database.transaction() as connection:
        assert inbox.redrive(connection, Filters(ids=(summary.delivery_id,))) == 0
        assert inbox.take(connection, 10) == []


def test_a_sender_for_whom_401_is_final_is_told_to_come_back(database: Database) -> None:
    """Ashby: a secret set wrong would lose what it refused, so the answer is 503; nothing more."""
    connections = {"ashby": Connection(name="ashby", source="ashby", secrets=(SECRET,))}
    app = create_app(database, connections, ALL_ADAPTERS, FrozenClock())
    with TestClient(app) as client:
        door = Door(database, client)
        answer = door.post(EVENT, {"content-type": "application/json"}, to="ashby")
        assert answer.status_code == 503
        assert answer.json()["error"] == "not_authentic"
        assert int(answer.headers["retry-after"]) > 0
        [summary] = door.kept()
        assert summary.status == "refused"
        accepted = door.post(EVENT, ASHBY.sign(EVENT, SECRET), to="ashby")
        assert accepted.status_code == 200


def test_no_signature_is_refused(door: Door) -> None:
    """401, as for a bad one."""
    answer = door.post(EVENT, {"content-type": "application/json"})
    assert _refusal(answer) == (401, "not_authentic")


def test_another_content_type_is_refused_and_kept(door: Door) -> None:
    """415; it is authentic, so it waits as a dead letter."""
    answer = door.post(EVENT, signed(EVENT, content_type="text/csv"))
    assert _refusal(answer) == (415, "wrong_content_type")
    [summary] = door.kept()
    assert summary.status == "dead"


def test_a_content_type_may_have_parameters(door: Door) -> None:
    """`Application/JSON; charset=utf-8` is JSON."""
    headers = signed(EVENT, content_type="Application/JSON; charset=utf-8")
    assert door.post(EVENT, headers).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 2000, b"NaN"])
def test_what_is_not_json_is_refused_and_kept(door: Door, body: bytes) -> None:
    """400; it is authentic, so it waits as a dead letter."""
    assert _refusal(door.post(body)) == (400, "not_json")
    [summary] = door.kept()
    assert (summary.status, summary.reason) == ("dead", "the body is not JSON")


def test_a_compressed_body_is_kept_raw(door: Door) -> None:
    """Un-packing is an adapter's business: this one reads JSON, so it is a dead letter."""
    body = gzip.compress(EVENT, mtime=0)
    assert _refusal(door.post(body, signed(body, content_encoding="gzip"))) == (400, "not_json")
    [summary] = door.kept()
    with door.database.transaction() as connection:
        found = inbox.get(connection, summary.delivery_id)
    assert found is not None
    assert found[0].body == body


def test_a_body_over_the_limit_is_refused_and_kept_if_authentic(door: Door) -> None:
    """413; nothing authentic is thrown away for its size alone."""
    body = b'"' + b"x" * LIMIT + b'"'
    assert _refusal(door.post(body)) == (413, "too_large")
    [summary] = door.kept()
    assert (summary.status, summary.body_bytes) == ("dead", len(body))


def test_a_body_far_over_the_limit_is_not_kept(door: Door) -> None:
    """413; that it came is kept, without its content, since nobody read it to verify it."""
    body = b'"' + b"x" * 20 * LIMIT + b'"'
    assert _refusal(door.post(body)) == (413, "too_large")
    [summary] = door.kept()
    assert (summary.status, summary.body_bytes) == ("refused", 0)


def test_an_unknown_connection_is_not_found(door: Door) -> None:
    """404, whatever it is called; nothing is kept."""
    for name in ("nobody", "", "a/b", "..%2f..", "%00", "ats/x"):
        assert _refusal(door.post(EVENT, to=name)) == (404, "unknown_connection")
    assert door.kept() == []


def test_other_methods_are_refused(door: Door) -> None:
    """405 with the method to use; a GET in a browser explains itself."""
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        answer = door.client.request(method, "/webhooks/ats")
        assert _refusal(answer) == (405, "wrong_method")
        assert answer.headers["allow"] == "POST"
    assert door.client.head("/webhooks/ats").status_code == 405


def test_other_addresses_have_the_same_errors(door: Door) -> None:
    """One shape for every error, also for those of the framework."""
    assert _refusal(door.client.get("/nothing")) == (404, "not_found")
    assert _refusal(door.client.post("/-/health")) == (405, "wrong_method")


def test_refusals_say_what_to_do() -> None:
    """Each is two clauses: what happened; what to do."""
    for refusal in REFUSALS:
        assert ";" in refusal.message
        assert (refusal.status < 500) or (refusal.status == 503)


# --- probes -----------------------------------------------------------------------------------


def test_a_ping_makes_nothing_to_translate(door: Door) -> None:
    """It gets the success code and never reaches ingest."""
    assert door.post(b'{"action":"ping"}').status_code == 200
    with door.database.transaction() as connection:
        assert inbox.take(connection, 10) == []
    assert [(one.status, one.reason) for one in door.kept()] == [("probe", "ping")]


def test_a_ping_must_be_signed(door: Door) -> None:
    """Otherwise anyone could write rows."""
    body = b'{"action":"ping"}'
    assert door.post(body, signed(body, "a-wrong-secret")).status_code == 401


def test_a_handshake_is_answered(door: Door) -> None:
    """A CloudEvents sender asks with OPTIONS before it sends; nothing is kept of it."""
    headers = {"webhook-request-origin": "events.example.org"}
    answer = door.client.options("/webhooks/ats", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["webhook-allowed-origin"] == "events.example.org"
    assert door.kept() == []


# --- our own bugs -----------------------------------------------------------------------------


def test_an_adapter_that_cannot_verify_costs_no_delivery(door: Door) -> None:
    """503, so the sender tries again; no traceback and nothing personal in the answer."""
    answer = door.post(b'{"action":"break verify"}', to="broken")
    assert _refusal(answer) == (503, "not_stored")
    assert "retry-after" in answer.headers
    assert "casey" not in answer.text
    assert [one.status for one in door.kept()] == ["refused"]


def test_an_adapter_that_cannot_look_for_probes_costs_no_delivery(door: Door) -> None:
    """The delivery is authentic and kept; a handshake is not taken for one."""
    assert door.post(EVENT, to="broken").status_code == 200
    assert [one.status for one in door.kept()] == ["pending"]
    assert door.client.options("/webhooks/broken").status_code == 405


# --- refused deliveries are capped ------------------------------------------------------------


def test_only_the_newest_refused_deliveries_are_kept(database: Database) -> None:
    """A flood of forged deliveries fills no disk and touches no authentic one."""
    app = create_app(database, CONNECTIONS, ADAPTERS, FrozenClock(), refused_keep=5)
    with TestClient(app) as client:
        door = Door(database, client)
        door.post(EVENT)
        for number in range(20):
            body = b'{"n":%d}' % number
            door.post(body, signed(body, "a-wrong-secret"))
        kept = door.kept()
    assert [one.status for one in kept] == ["refused"] * 5 + ["pending"]
    with database.transaction() as connection:
        rows = connection.execute("SELECT body FROM deliveries WHERE status = 'refused'").fetchall()
    assert {bytes(row[0]) for row in rows} == {b'{"n":%d}' % n for n in range(15, 20)}


def test_a_refused_body_is_cut(database: Database) -> None:
    """Enough of it stays to look at."""
    app = create_app(database, CONNECTIONS, ADAPTERS, FrozenClock())
    with TestClient(app) as client:
        door = Door(database, client)
        body = b'"' + b"x" * 200_000 + b'"'
        door.post(body, signed(body, "a-wrong-secret"))
        [summary] = door.kept()
    assert summary.body_bytes == inbox.REFUSED_BODY_BYTES


# --- many at once -----------------------------------------------------------------------------


def _many(database: Database, keeper: GroupCommit, arrivals: int) -> list[BaseException | None]:
    clock = FrozenClock()

    async def keep_all() -> list[BaseException | None]:
        keeper.start()
        results = await asyncio.gather(
            *(keeper.keep(_arrival(clock)) for _ in range(arrivals)), return_exceptions=True
        )
        await keeper.close()
        return results

    return asyncio.run(keep_all())


def _arrival(clock: FrozenClock, body: bytes = EVENT) -> Arrival:
    now = clock.now()
    return Arrival(inbox.Delivery(new_delivery_id(now), "ats", "signed", now, {"a": "b\x00"}, body))


def test_deliveries_that_come_together_share_commits(database: Database) -> None:
    """Sixty-four at once are far fewer than sixty-four commits, and all are kept."""
    keeper = GroupCommit(database)
    assert _many(database, keeper, 64) == [None] * 64
    assert keeper.commits <= 8
    with database.transaction() as connection:
        assert inbox.counts(connection)["pending"] == 64


def test_too_many_at_once_are_turned_away(database: Database) -> None:
    """Memory is bounded: what exceeds the bound is told to come again, the rest is kept."""
    keeper = GroupCommit(database, most_deliveries=10)
    results = _many(database, keeper, 15)
    turned_away = [str(result) for result in results if result is not None]
    assert turned_away == ["too many deliveries wait to be stored"] * 5
    with database.transaction() as connection:
        assert inbox.counts(connection)["pending"] == 10


def test_one_that_cannot_be_stored_harms_no_other(database: Database) -> None:
    """A row that the database refuses fails alone, though it came in one batch with others."""
    clock = FrozenClock()
    keeper = GroupCommit(database)
    good, bad = [_arrival(clock) for _ in range(5)], _arrival(clock)
    bad = Arrival(bad.delivery, "nonsense")  # type: ignore[arg-type]

    async def keep_all() -> list[BaseException | None]:
        keeper.start()
        results = await asyncio.gather(
            *(keeper.keep(one) for one in [*good, bad]), return_exceptions=True
        )
        await keeper.close()
        return results

    results = asyncio.run(keep_all())
    assert results[:5] == [None] * 5
    assert str(results[5]) == "the delivery could not be stored"


def test_a_database_that_freezes_does_not_hold_requests(database: Database) -> None:
    """A lock on the table stands for it: requests are let go, and later ones are kept."""
    clock = FrozenClock()
    keeper = GroupCommit(database, patience_seconds=0.5)

    async def story() -> list[BaseException | None]:
        keeper.start()
        with database.connect() as blocker:
            blocker.execute("LOCK TABLE deliveries")
            frozen = await asyncio.gather(keeper.keep(_arrival(clock)), return_exceptions=True)
            blocker.rollback()
        while True:
            with contextlib.suppress(Unavailable):
                await keeper.keep(_arrival(clock))
                break
            await asyncio.sleep(0.01)
        await keeper.close()
        return frozen

    frozen = asyncio.run(story())
    assert [str(one) for one in frozen] == ["the database is away"]


def test_the_same_delivery_fifty_times_is_accepted_fifty_times(database: Database) -> None:
    """From eight threads at once; that it makes one touchpoint is the log's promise."""
    with serving(database) as port, ThreadPoolExecutor(8) as threads:
        url = f"http://127.0.0.1:{port}/webhooks/ats"
        answers = list(
            threads.map(
                lambda _: (
                    httpx.post(
                        url, content=EVENT, headers=signed(EVENT), timeout=PATIENCE_SECONDS
                    ).status_code
                ),
                range(50),
            )
        )
    assert answers == [200] * 50
    with database.transaction() as connection:
        assert inbox.counts(connection)["pending"] == 50


# --- a real server ----------------------------------------------------------------------------


def _raw(port: int, head: str, piece: bytes = b"", pieces: int = 0) -> tuple[bytes, int]:
    """Send head and up to `pieces` pieces, until the server answers; (answer, pieces sent)."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as sender:
        sender.sendall(head.replace("\n", "\r\n").encode())
        sent = 0
        try:
            for _ in range(pieces):
                sender.sendall(piece)
                sent += 1
        except OSError:
            pass
        answer = b""
        try:
            while received := sender.recv(65536):
                answer += received
        except ConnectionResetError:
            pass
    return answer, sent


def test_an_endless_body_is_cut_off(database: Database) -> None:
    """Chunks without end: the server answers and hangs up long before it read them all."""
    with serving(database, max_body_bytes=LIMIT) as port:
        head = "POST /webhooks/ats HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n"
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        _, sent = _raw(port, head, chunk, 2000)
        assert sent < 2000
        assert (
            httpx.get(f"http://127.0.0.1:{port}/-/health", timeout=PATIENCE_SECONDS).status_code
            == 200
        )


def test_a_declared_length_is_believed(database: Database) -> None:
    """413 before a single byte of a gigabyte is read."""
    with serving(database, max_body_bytes=LIMIT) as port:
        answer, _ = _raw(
            port, "POST /webhooks/ats HTTP/1.1\nHost: x\nContent-Length: 1000000000\n\n"
        )
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"too_large"' in answer


def test_a_body_in_pieces_is_put_together(database: Database) -> None:
    """A slow sender's chunks are one delivery."""
    signature = signed(EVENT)["signature"]
    head = (
        "POST /webhooks/ats HTTP/1.1\nHost: x\nConnection: close\n"
        f"Content-Type: application/json\nSignature: {signature}\n"
        f"Content-Length: {len(EVENT)}\n\n"
    )
    with (
        serving(database) as port,
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as sender,
    ):
        sender.sendall(head.replace("\n", "\r\n").encode() + EVENT[:10])
        sender.sendall(EVENT[10:])
        assert sender.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_taken_port_is_one_sentence(database: Database) -> None:
    """It names the address and the settings, and is no traceback."""
    app = create_app(database, CONNECTIONS, ADAPTERS, FrozenClock(), keeper=ListKeeper())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match="JOURNEY_PORT"):
            ReceiverServer(app, port=port).run()


# --- the inside -------------------------------------------------------------------------------


def test_status_tells_positions_and_counts(database: Database) -> None:
    """As JSON for programs and as a page for people; other parts add what they know."""
    app = create_app(
        database,
        CONNECTIONS,
        ADAPTERS,
        FrozenClock(),
        status=lambda: {"projections": {"lag_touchpoints": 3}},
    )
    with TestClient(app) as client:
        door = Door(database, client)
        door.post(EVENT)
        door.post(EVENT, signed(EVENT, "a-wrong-secret"))
        said = client.get("/-/status.json").json()
        page = client.get("/-/status").text
    assert said["inbox"]["pending"] == 1
    assert said["inbox"]["refused"] == 1
    assert said["log"] == {"position": 0}
    assert said["projections"] == {"lag_touchpoints": 3}
    assert "projections lag_touchpoints</th><td>3</td>" in page


def test_openapi_names_the_door_and_all_its_refusals(door: Door) -> None:
    """Integration engineers read there what each answer means."""
    document = door.client.get("/-/openapi.json").json()
    responses = document["paths"]["/webhooks/{connection}"]["post"]["responses"]
    assert set(responses) == {"200", "202", "204", *(str(one.status) for one in REFUSALS)}


# --- the database goes away -------------------------------------------------------------------


def test_a_database_that_is_away_is_503_until_it_is_back(
    lonely: tuple[Database, Any],
) -> None:
    """Senders are told to try again; when it is back deliveries are kept, without a restart."""
    database, switch = lonely
    app = create_app(database, CONNECTIONS, ADAPTERS, FrozenClock())
    with TestClient(app) as client:
        door = Door(database, client)
        assert door.post(EVENT).status_code == 200
        switch(False)
        answer = door.post(EVENT)
        assert _refusal(answer) == (503, "not_stored")
        assert int(answer.headers["retry-after"]) > 0
        assert door.post(EVENT, signed(EVENT, "a-wrong-secret")).status_code == 401
        assert _refusal(client.get("/-/health")) == (503, "database_away")
        switch(True)
        answers = [door.post(EVENT).status_code]
        while answers[-1] == 503 and len(answers) < 10_000:
            answers.append(door.post(EVENT).status_code)
        assert answers[-1] == 200
        assert client.get("/-/health").json() == {"status": "ok"}
        with database.connect() as connection:
            assert inbox.counts(connection)["pending"] == 2


def test_a_connection_that_died_in_between_is_replaced_unseen(
    lonely: tuple[Database, Any],
) -> None:
    """The server restarted while nothing was delivered: the next delivery is simply kept."""
    database, switch = lonely
    app = create_app(database, CONNECTIONS, ADAPTERS, FrozenClock())
    with TestClient(app) as client:
        door = Door(database, client)
        assert door.post(EVENT).status_code == 200
        switch(False)
        switch(True)
        assert door.post(EVENT).status_code == 200


def test_a_database_url_that_leads_nowhere_is_unavailable() -> None:
    """The error is the one that processes wait on."""
    with pytest.raises(DatabaseUnavailable):
        Database("postgresql://127.0.0.1:1/x", "journey").connect()


# --- the inbox --------------------------------------------------------------------------------


def test_deliveries_are_taken_in_order_of_arrival_by_one_process_each(database: Database) -> None:
    """What one transaction has taken another passes over."""
    arrivals = [_arrival(FrozenClock(), b"%d" % n) for n in range(6)]
    with database.transaction() as connection:
        inbox.keep(connection, [one.delivery for one in arrivals])
    with database.connect() as first, database.connect() as second:
        assert [one.body for one in inbox.take(first, 4)] == [b"0", b"1", b"2", b"3"]
        assert [one.body for one in inbox.take(second, 4)] == [b"4", b"5"]


def test_ids_differ_whatever_seeds_the_random_module() -> None:
    """Two deliveries of one millisecond never share an id, since one would be lost."""
    now = FrozenClock().now()
    made = set()
    for _ in range(100):
        random.seed(7)
        made.add(new_delivery_id(now))
    assert len(made) == 100


def test_keeping_twice_is_keeping_once(database: Database) -> None:
    """A second try after a lost answer makes no second row."""
    delivery = _arrival(FrozenClock()).delivery
    with database.transaction() as connection:
        inbox.keep(connection, [delivery])
        inbox.keep(connection, [delivery])
        assert inbox.counts(connection)["pending"] == 1


def test_a_dead_delivery_can_be_redriven(database: Database) -> None:
    """It is pending again, one attempt richer, and ingest is woken; others stay as they are."""
    dead, recorded = (_arrival(FrozenClock()).delivery for _ in range(2))
    now = FrozenClock().now()
    with database.transaction() as connection:
        inbox.keep(connection, [dead, recorded])
        inbox.mark(
            connection,
            [
                inbox.Outcome(dead.delivery_id, "dead", "no mapping"),
                inbox.Outcome(recorded.delivery_id, "recorded", touchpoints=2),
            ],
            now,
        )
    with database.connect(autocommit=True) as ear:
        ear.execute(f"LISTEN {inbox.CHANNEL}")
        with database.transaction() as connection:
            assert inbox.redrive(connection) == 1
        assert next(ear.notifies(timeout=PATIENCE_SECONDS, stop_after=1)).channel == inbox.CHANNEL
    with database.transaction() as connection:
        [summary] = inbox.listing(connection, Filters(status="pending"))
        [other] = inbox.listing(connection, Filters(status="recorded"))
    assert (summary.delivery_id, summary.attempts, summary.reason) == (dead.delivery_id, 1, None)
    assert (other.touchpoints, other.handled_at) == (2, now)


def test_deliveries_are_listed_by_what_one_asks(database: Database) -> None:
    """By connection, time and status, newest first; an id that is none finds nothing."""
    clock = FrozenClock()
    early = _arrival(clock).delivery
    clock.advance(timedelta(hours=1))
    late = _arrival(clock).delivery
    with database.transaction() as connection:
        inbox.keep(connection, [early, late])
        ids = [one.delivery_id for one in inbox.listing(connection, Filters(connection="ats"))]
        assert ids == [late.delivery_id, early.delivery_id]
        [one] = inbox.listing(connection, Filters(since=clock.now()))
        assert one.delivery_id == late.delivery_id
        assert inbox.listing(connection, Filters(connection="other")) == []
        assert inbox.get(connection, "not an id") is None


def test_a_kept_delivery_wakes_ingest(database: Database) -> None:
    """Ingest sleeps on LISTEN and need not poll."""
    with database.connect(autocommit=True) as ear:
        ear.execute(f"LISTEN {inbox.CHANNEL}")
        with database.transaction() as connection:
            inbox.keep(connection, [_arrival(FrozenClock()).delivery])
        assert list(ear.notifies(timeout=PATIENCE_SECONDS, stop_after=1))
