"""The poller against a Harvest server on loopback: what is there is kept, once, on bad days too."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from structlog.testing import capture_logs

from consumers import inbox
from consumers.ats_adapters.adapter import BEFORE, POLLED
from consumers.bootstrap import Installation
from consumers.connections import Connection, Connections
from consumers.health.examine import examine
from consumers.ingest import Ingest
from consumers.pollers import cursors, poll
from consumers.pollers.poll import Polls
from consumers.repair import Repair
from journey.database import Database
from journey.errors import ConfigurationError, DatabaseUnavailable
from journey.journey_log import JourneyLog
from journey.vault import Vault
from tests.support import greenhouse
from tests.support.fakes import FrozenClock
from tests.support.harvest_server import (
    KEY,
    Asked,
    Harvest,
    a_harvest_server,
    anneke,
    interview,
    payload,
)
from tests.support.installations import settings_for
from tests.support.truth import a_chance

ENDPOINTS = ("candidates", "scheduled_interviews", "offers", "activity_feed")
NOW = greenhouse.RECEIVED_AT


@pytest.fixture
def harvest() -> Iterator[Harvest]:
    with a_harvest_server() as server:
        yield server


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(NOW)


class Polled:
    """A poller of one connection, its ingest, and what came of both."""

    def __init__(
        self, database: Database, clock: FrozenClock, harvest: Harvest, **options: Any
    ) -> None:
        self.connection = Connection(
            name="gh",
            source="greenhouse",
            secrets=("s3cret",),
            **{"poll_key": KEY, "poll_url": harvest.url, **options},
        )
        self.database, self.clock = database, clock
        connections = Connections([self.connection])
        self.log = JourneyLog(database, Vault(b"k" * 32), clock)
        self.polls = Polls(database, connections, clock)
        self._ingest = Ingest(database, self.log, connections, clock)

    def step(self) -> None:
        self.polls.step("gh")

    def round(self, most: int = 400) -> None:
        """Steps until this round is over; time stands still meanwhile."""
        self.step()
        for _ in range(most):
            if self.poll.endpoint is None or self.poll.next_at > self.clock.now():
                return
            self.step()
        raise AssertionError("the round does not end")

    def next_round(self) -> None:
        """The next one, when its time has come."""
        self.clock.at = max(self.poll.next_at, self.clock.at)
        self.round()

    @property
    def poll(self) -> cursors.Poll:
        with self.database.transaction() as connection:
            found = cursors.load_poll(connection, "gh")
        assert found is not None
        return found

    def cursor(self, endpoint: str) -> cursors.Cursor:
        with self.database.transaction() as connection:
            return cursors.load_cursor(connection, "gh", endpoint)

    def kept(self, endpoint: str | None = None) -> list[inbox.Delivery]:
        """Deliveries in the inbox, in order of arrival."""
        with self.database.transaction() as connection:
            rows = connection.execute(
                "SELECT delivery_id, connection, source, received_at, headers, body "
                "FROM deliveries ORDER BY arrival"
            ).fetchall()
        found = [inbox.Delivery(str(row[0]), *row[1:5], bytes(row[5])) for row in rows]
        return [each for each in found if endpoint in (None, each.headers.get(POLLED))]

    def ids(self, endpoint: str) -> list[Any]:
        return [orjson.loads(each.body)["id"] for each in self.kept(endpoint)]

    def keep(self, *bodies: Any) -> None:
        """Webhooks that came."""
        with self.database.transaction() as connection:
            inbox.keep(connection, [greenhouse.delivery(body) for body in bodies])

    def ingest(self) -> None:
        """Everything in the inbox is translated; nothing may be a dead letter."""
        while self._ingest.step().count:
            pass
        with self.database.transaction() as connection:
            assert inbox.counts(connection)["dead"] == 0

    def recorded(self) -> list[tuple[str, bool]]:
        """(kind, late) of the log, in order of position."""
        with self.database.transaction() as connection:
            rows = connection.execute(
                "SELECT topic, coalesce((convert_from(state, 'UTF8')::jsonb->>'late')::bool, false)"
                " FROM journey_events ORDER BY notification_id"
            ).fetchall()
        return [(str(row[0]).split(".")[1], bool(row[1])) for row in rows]

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.recorded()]


Make = Callable[..., Polled]


@pytest.fixture
def make(database: Database, clock: FrozenClock, harvest: Harvest) -> Iterator[Make]:
    """Makes pollers of this tenant and server."""
    made: list[Polled] = []

    def make(**options: Any) -> Polled:
        made.append(Polled(database, clock, harvest, **options))
        return made[-1]

    yield make
    for each in made:
        each.polls.close()


@pytest.fixture
def polled(make: Make) -> Polled:
    return make()


# --- a good day -----------------------------------------------------------------------------


def test_a_round_reads_every_list_and_the_feeds_of_whom_it_found(
    polled: Polled, harvest: Harvest
) -> None:
    """An object is a delivery of its own, raw; the key travels in one header only."""
    anneke(harvest)
    polled.round()
    assert [each.endpoint for each in harvest.asked] == list(ENDPOINTS)
    assert [each.headers[POLLED] for each in polled.kept()] == list(ENDPOINTS)
    assert orjson.loads(polled.kept("offers")[0].body) == payload("offer_out")
    assert KEY not in repr(harvest.asked)
    assert "vermeer" not in repr(harvest.asked).casefold()
    polled.ingest()
    assert set(polled.kinds()) == {
        "application_submitted", "interview_scheduled", "offer_decided", "offer_sent",
        "message_sent", "message_received", "unrecognised_touchpoint",
    }  # fmt: skip
    candidate = polled.log.find("greenhouse:candidate/70110001")
    assert len(polled.log.history(candidate)) == len(polled.recorded())


def test_what_was_found_is_late_and_keeps_its_time(polled: Polled, harvest: Harvest) -> None:
    """Recorded now, happened then."""
    anneke(harvest)
    polled.round()
    polled.ingest()
    history = polled.log.history(polled.log.find("greenhouse:candidate/70110001"))
    assert all(touchpoint.late for touchpoint in history)
    assert all(touchpoint.recorded_at == NOW for touchpoint in history)
    assert all(touchpoint.occurred_at < NOW - timedelta(days=10) for touchpoint in history)
    email = next(each for each in history if each.KIND == "message_sent")
    assert email.occurred_at.isoformat() == "2026-01-26T15:55:06+00:00"


def test_what_did_not_change_is_not_kept_again(polled: Polled, harvest: Harvest) -> None:
    """The window overlaps the last one; addresses of files are signed anew each time."""
    anneke(harvest)
    polled.round()
    before = len(polled.kept())
    harvest.lists["candidates"][0]["attachments"][0]["url"] += "&again=1"
    polled.next_round()
    assert len(polled.kept()) == before
    assert len(harvest.asked_for("activity_feed")) == 1


def test_a_new_item_of_a_feed_is_kept_without_the_old_ones(
    polled: Polled, harvest: Harvest
) -> None:
    """A candidate that changed is asked for its feed, and only what is new is a delivery."""
    anneke(harvest)
    polled.round()
    email = {**payload("feed_as_answered")["emails"][0], "id": 880009}
    harvest.feeds["70110001"]["emails"].append(email)
    harvest.put(
        "candidates",
        {**payload("candidate_in_process"), "updated_at": "2026-03-01T08:00:00.000Z"},
    )
    polled.next_round()
    (first, second) = [orjson.loads(each.body) for each in polled.kept("activity_feed")]
    assert len(first["emails"]) == 3
    assert (second["emails"], second["notes"], second["activities"]) == ([email], [], [])
    assert second["candidate"]["id"] == 70110001


def test_only_what_changed_since_is_asked_for(polled: Polled, harvest: Harvest) -> None:
    """From the newest change ever told, less the overlap; never from our own clock."""
    harvest.put("scheduled_interviews", interview(1), interview(2, minute=30))
    polled.round()
    polled.next_round()
    first, second = harvest.asked_for("scheduled_interviews")
    assert "updated_after" not in first.query
    assert second.query["updated_after"] == "2026-02-02T10:20:00.000Z"
    cursor = polled.cursor("scheduled_interviews")
    assert cursor.cursor_at is not None
    assert cursor.cursor_at.isoformat() == "2026-02-02T10:30:00+00:00"


def test_a_change_dated_into_the_future_does_not_move_the_cursor(
    polled: Polled, harvest: Harvest
) -> None:
    """Else all that changes until then would never be asked for."""
    harvest.put("scheduled_interviews", interview(1), interview(2))
    harvest.lists["scheduled_interviews"][1]["updated_at"] = "2999-01-01T00:00:00.000Z"
    polled.round()
    cursor = polled.cursor("scheduled_interviews")
    assert cursor.cursor_at is not None
    assert cursor.cursor_at.year == 2026
    assert polled.ids("scheduled_interviews") == [1, 2]


def test_what_changes_before_a_change_dated_ahead_is_not_missed(
    polled: Polled, harvest: Harvest
) -> None:
    """One clock of the system's is hours ahead, the others are right."""
    harvest.put("scheduled_interviews", interview(1), interview(2))
    ahead = NOW + timedelta(hours=20)
    harvest.lists["scheduled_interviews"][1]["updated_at"] = ahead.isoformat()
    polled.round()
    meanwhile = NOW + timedelta(hours=1)
    harvest.put("scheduled_interviews", interview(3, updated_at=meanwhile.isoformat()))
    polled.clock.at = NOW + timedelta(hours=2)
    polled.next_round()
    assert polled.ids("scheduled_interviews") == [1, 2, 3]


@pytest.mark.parametrize("never", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_times_that_stand_for_never_stop_no_poll(
    polled: Polled, harvest: Harvest, never: str
) -> None:
    """Of a change or of an appointment: the object is kept, and the rounds go on."""
    odd = {"updated_at": never, "start": {"date_time": never}, "end": {"date_time": never}}
    harvest.put("scheduled_interviews", interview(1, **odd))
    polled.round()
    polled.next_round()
    assert polled.ids("scheduled_interviews") == [1]
    assert "updated_after" not in harvest.asked_for("scheduled_interviews")[-1].query
    harvest.put("scheduled_interviews", interview(2))
    polled.next_round()
    assert polled.ids("scheduled_interviews") == [1, 2]
    polled.ingest()


def test_the_first_reading_may_begin_on_a_day(make: Make, harvest: Harvest) -> None:
    """`poll_since` keeps a long past out."""
    harvest.put("scheduled_interviews", interview(1), interview(2, updated_at=NOW.isoformat()))
    polled = make(poll_since="2026-03-01")
    polled.round()
    assert polled.ids("scheduled_interviews") == [2]


def test_a_moved_interview_is_told_from_a_new_one(polled: Polled, harvest: Harvest) -> None:
    """The delivery of the second version carries the times of the first."""
    harvest.put("scheduled_interviews", payload("interview_scheduled"))
    polled.round()
    harvest.put("scheduled_interviews", payload("interview_moved"))
    polled.next_round()
    harvest.put("scheduled_interviews", payload("interview_over"))
    polled.next_round()
    assert [BEFORE in each.headers for each in polled.kept()] == [False, True, True]
    polled.ingest()
    assert polled.kinds() == ["interview_scheduled", "interview_moved", "interview_held"]


def test_an_interview_is_asked_about_once_more_after_its_end(
    polled: Polled, harvest: Harvest, clock: FrozenClock
) -> None:
    """That its time is over may change its status and not its `updated_at`."""
    ends = {"date_time": (NOW + timedelta(hours=1)).isoformat()}
    booked = {**payload("interview_scheduled"), "start": {"date_time": NOW.isoformat()}}
    harvest.put("scheduled_interviews", {**booked, "end": ends})
    later = [{**interview(number), "updated_at": NOW.isoformat()} for number in (1, 2)]
    polled.round()
    harvest.put("scheduled_interviews", *later)
    polled.next_round()
    harvest.put("scheduled_interviews", {**booked, "end": ends, "status": "awaiting_feedback"})
    polled.next_round()
    assert polled.ids("scheduled_interviews") == [61000001, 1, 2]
    clock.at = NOW + timedelta(hours=1, minutes=10)
    polled.round()
    assert polled.ids("scheduled_interviews") == [61000001, 1, 2, 61000001]
    polled.ingest()
    assert polled.kinds().count("interview_held") == 1
    asked = len(harvest.asked)
    polled.next_round()
    assert [each.path for each in harvest.asked[asked:] if each.path.count("/") > 1] == []


# --- pages ----------------------------------------------------------------------------------


def test_pages_are_followed_by_their_links(polled: Polled, harvest: Harvest) -> None:
    """The server's addresses are used as they are; each page commits with its cursor."""
    harvest.page_most = 3
    harvest.put("scheduled_interviews", *(interview(number) for number in range(1, 9)))
    polled.step()
    for page, so_far in ((1, 3), (2, 6), (3, 8)):
        polled.step()
        assert len(polled.kept()) == so_far
        asked = harvest.asked[-1]
        assert (asked.query.get("page", "1"), asked.query["per_page"]) == (str(page), "500")
    polled.round()
    assert polled.ids("scheduled_interviews") == list(range(1, 9))


def test_a_list_of_several_pages_is_read_until_it_rests(polled: Polled, harvest: Harvest) -> None:
    """The second pass shows nothing new, so the cursor moves after it."""
    harvest.page_most = 3
    harvest.put("scheduled_interviews", *(interview(number) for number in range(1, 9)))
    polled.round()
    assert len(harvest.asked_for("scheduled_interviews")) == 6
    assert len(polled.kept()) == 8
    assert polled.cursor("scheduled_interviews").cursor_at is not None


def before_page(harvest: Harvest, page: int, change: Callable[[], None]) -> None:
    """Do this once, before this page of the interviews is answered."""

    def do(asked: Asked) -> None:
        if asked.endpoint == "scheduled_interviews" and asked.query.get("page", "1") == str(page):
            harvest.before = None
            change()

    harvest.before = do


def test_an_object_that_slips_to_a_page_already_read_is_found(
    polled: Polled, harvest: Harvest
) -> None:
    """Number 1 is deleted between two reads: number 4 moves from the second page to the first."""
    harvest.page_most = 3
    harvest.put("scheduled_interviews", *(interview(number) for number in range(1, 8)))
    before_page(harvest, 2, lambda: harvest.remove("scheduled_interviews", 1))
    polled.round()
    assert sorted(polled.ids("scheduled_interviews")) == list(range(1, 8))
    # The second pass brought number 4, so a third had to show that nothing else was missed.
    assert len(harvest.asked_for("scheduled_interviews")) == 2 + 2 + 2


@pytest.mark.parametrize("direction", [1, -1])
def test_an_object_that_changes_while_its_list_is_read_is_found(
    polled: Polled, harvest: Harvest, direction: int
) -> None:
    """Sorted by change, it jumps to the other end, and others shift; nothing is lost in a round."""
    harvest.page_most = 3
    harvest.order = lambda each: direction * int(each["updated_at"][14:16])
    harvest.put("scheduled_interviews", *(interview(number, number) for number in range(1, 10)))
    changed = interview(5, 50, location="Room Parchment")
    before_page(harvest, 2, lambda: harvest.put("scheduled_interviews", changed))
    polled.round()
    polled.next_round()
    assert set(polled.ids("scheduled_interviews")) == set(range(1, 10))
    last = [orjson.loads(each.body) for each in polled.kept()][-1]
    assert changed in [orjson.loads(each.body) for each in polled.kept()], last


def test_a_list_that_never_rests_keeps_its_old_cursor(polled: Polled, harvest: Harvest) -> None:
    """After some passes others have their turn, and the next round reads the same window again."""
    harvest.page_most = 3
    harvest.put("scheduled_interviews", *(interview(number) for number in range(1, 8)))

    def ever_more(asked: Asked) -> None:
        if asked.endpoint == "scheduled_interviews":
            harvest.put("scheduled_interviews", interview(1000 + len(harvest.asked)))

    harvest.before = ever_more
    with capture_logs() as logs:
        polled.round()
    assert polled.cursor("scheduled_interviews").cursor_at is None
    assert any("does not come to rest" in line["event"] for line in logs)
    harvest.before = None
    polled.next_round()
    assert polled.cursor("scheduled_interviews").cursor_at is not None
    assert len(polled.ids("scheduled_interviews")) == len(harvest.lists["scheduled_interviews"])


def test_what_slips_in_the_last_pass_is_asked_for_again(polled: Polled, harvest: Harvest) -> None:
    """New in the second pass, it moves to a page already read; a newer change does not hide it."""
    harvest.page_most = 4
    harvest.put("scheduled_interviews", *(interview(number, number) for number in range(1, 9)))

    def both_change() -> None:
        harvest.put("scheduled_interviews", interview(100, 120), interview(3, 150))
        before_page(harvest, 3, lambda: harvest.remove("scheduled_interviews", 1))

    # The first pass has two pages, the second a third one with number 100, until that moves up.
    before_page(harvest, 2, lambda: before_page(harvest, 1, both_change))
    polled.round()
    assert 100 not in polled.ids("scheduled_interviews")
    polled.next_round()
    assert 100 in polled.ids("scheduled_interviews")


@pytest.mark.parametrize("order", ["id", "oldest change first", "newest change first"])
def test_nothing_is_lost_while_everything_shifts(
    polled: Polled, harvest: Harvest, order: str
) -> None:
    """Objects come at any time, change and go during every second pass; what is there is kept.

    During every second one, since what slips in two passes running is told by no page at all.
    """
    chance, _ = a_chance()
    changed_at = NOW - timedelta(days=3)
    passes = 0
    sign = {"id": 0, "oldest change first": 1, "newest change first": -1}[order]
    if sign:
        harvest.order = lambda each: sign * datetime.fromisoformat(each["updated_at"]).timestamp()
    harvest.page_most = 4
    harvest.put("scheduled_interviews", *(interview(number, number) for number in range(1, 20)))

    def something_happens(asked: Asked) -> None:
        nonlocal changed_at, passes
        there = [each["id"] for each in harvest.lists["scheduled_interviews"]]
        changed_at += timedelta(seconds=chance.randrange(1, 900))
        if asked.path == "/scheduled_interviews" and asked.query.get("page", "1") == "1":
            passes += 1
        shifting = ["changed", "gone"] if passes % 2 else []
        match chance.choice(["nothing", "new", *shifting]):
            case "new":
                number = 1000 + len(harvest.asked)
                put = interview(number, updated_at=changed_at.isoformat())
                harvest.put("scheduled_interviews", put)
            case "changed":
                put = interview(chance.choice(there), updated_at=changed_at.isoformat())
                harvest.put("scheduled_interviews", put)
            case "gone" if len(there) > 8:
                harvest.remove("scheduled_interviews", chance.choice(there))

    harvest.before = something_happens
    for _ in range(3):
        polled.next_round() if harvest.asked else polled.round()
    harvest.before = None
    polled.next_round()
    kept = [orjson.loads(each.body) for each in polled.kept("scheduled_interviews")]
    assert [each for each in harvest.lists["scheduled_interviews"] if each not in kept] == []
    assert len({orjson.dumps(each) for each in kept}) == len(kept)


def test_a_page_on_another_server_is_not_followed(polled: Polled, harvest: Harvest) -> None:
    """It would be sent our key."""
    harvest.put("candidates", payload("candidate_in_process"))
    with a_harvest_server() as other:
        harvest.answers = [(200, {"Link": f'<{other.url}/candidates?page=2>; rel="next"'})]
        polled.step()
        assert other.asked == []
    assert polled.poll.problem == "named a page on another server as the next one"
    assert polled.kept() == []


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("http://[::1/v1/candidates", "named a page as the next one whose address is none"),
        ("", "named the page itself as the next one"),
    ],
)
def test_a_page_that_leads_nowhere_is_not_followed(
    polled: Polled, harvest: Harvest, link: str, problem: str
) -> None:
    """It is waited for like any answer that cannot be read; the process goes on."""
    harvest.answers = [(200, {"Link": f'<{link}>; rel="next"'})]
    polled.step()
    assert polled.poll.problem == problem
    assert polled.kept() == []


def test_a_page_that_is_gone_begins_its_list_anew(
    polled: Polled, harvest: Harvest, clock: FrozenClock
) -> None:
    """What stands in the cursor may be days old; the list itself is still there."""
    harvest.page_most = 3
    harvest.put("candidates", *({"id": n, "updated_at": "2026-02-01T00:00:00Z"} for n in range(5)))
    polled.step()
    harvest.answers = [(422, {})]
    polled.step()
    clock.at = polled.poll.next_at
    polled.round()
    assert len(polled.kept("candidates")) == 5
    assert polled.poll.problem is None


# --- bad days -------------------------------------------------------------------------------


def test_a_429_is_waited_for(polled: Polled, harvest: Harvest, clock: FrozenClock) -> None:
    """As long as it says, by all processes; then the same page is asked for."""
    anneke(harvest)
    harvest.answers = [(429, {"Retry-After": "17"})]
    polled.step()
    assert polled.poll.next_at == NOW + timedelta(seconds=17)
    clock.advance(timedelta(seconds=16))
    polled.step()
    assert len(harvest.asked) == 1
    clock.advance(timedelta(seconds=1))
    polled.round()
    assert len(polled.kept()) == 4
    assert polled.poll.problem is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "9" * 40}, 600),
        ({"Retry-After": "Mon, 02 Mar 2026 09:00:30 GMT"}, 30),
        ({"Retry-After": "soon"}, 10),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) + 7)}, 7),
        ({}, 10),
    ],
)
def test_how_long_a_429_is_waited_for(
    polled: Polled, harvest: Harvest, headers: dict[str, str], seconds: int
) -> None:
    """By its headers, and within bounds."""
    harvest.answers = [(429, headers)]
    polled.step()
    assert polled.poll.next_at == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("status", [500, 502, 503, 0, 301])
def test_a_server_that_fails_is_left_alone_longer_each_time(
    polled: Polled, harvest: Harvest, clock: FrozenClock, status: int
) -> None:
    """5xx, hanging up and redirects alike; the page is the same afterwards, and nothing is lost."""
    harvest.page_most = 3
    harvest.put("scheduled_interviews", *(interview(number) for number in range(1, 8)))
    polled.step()
    polled.step()
    harvest.answers = [(status, {})] * 3
    waits = []
    for _ in range(3):
        polled.step()
        waits.append((polled.poll.next_at - clock.now()).total_seconds())
        clock.at = polled.poll.next_at
    assert waits == [5, 10, 20]
    assert len(polled.kept()) == 3
    assert polled.cursor("scheduled_interviews").next_url is not None
    polled.round()
    assert len(polled.kept()) == 7
    assert (polled.poll.failures, polled.poll.problem) == (0, None)


def test_a_list_that_always_fails_does_not_keep_the_others_waiting(
    polled: Polled, harvest: Harvest, clock: FrozenClock
) -> None:
    """After five times the next list has its turn; the round does not count as whole."""
    anneke(harvest)
    harvest.answers = [(500, {})] * poll.FAILURES_A_LIST
    for _ in range(poll.FAILURES_A_LIST):
        polled.step()
        clock.at = polled.poll.next_at
    polled.round()
    assert polled.kept("candidates") == []
    assert len(polled.kept("scheduled_interviews")) == 1
    assert polled.poll.finished_at is None
    polled.next_round()
    assert len(polled.kept()) == 4
    assert polled.poll.finished_at == clock.now()


@pytest.mark.parametrize("body", ["null", '{"message": "hello"}', '["x"]', "7"])
def test_an_answer_that_is_no_list_is_a_failure(
    polled: Polled, harvest: Harvest, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is kept of it, and the cursor stays."""
    monkeypatch.setattr(
        harvest, "answer", lambda asked, authorization: (200, {}, orjson.loads(body))
    )
    polled.step()
    assert polled.poll.problem == "answered something that is no list of objects"
    assert polled.kept() == []


def test_an_expired_key_stops_its_connection_and_no_other(
    database: Database, clock: FrozenClock, harvest: Harvest, tmp_path: Path
) -> None:
    """One line in the log, a finding of the doctor, another try in a quarter of an hour."""
    anneke(harvest)
    fields = {"source": "greenhouse", "secrets": ("s",), "poll_url": harvest.url}
    connections = Connections(
        [
            Connection(name="old", poll_key="expired-key-9", source_name="old", **fields),
            Connection(name="gh", poll_key=KEY, **fields),
        ]
    )
    polls = Polls(database, connections, clock)
    with capture_logs() as logs:
        for _ in range(6):
            polls.step("old")
            polls.step("gh")
    refused = [line for line in logs if line["event"] == "poll was refused; renew the key"]
    assert [line["connection"] for line in refused] == ["old"]
    assert "expired-key-9" not in repr(logs)
    with database.transaction() as connection:
        old, gh = (cursors.load_poll(connection, name) for name in ("old", "gh"))
    assert old is not None
    assert old.next_at == NOW + poll.REFUSED_WAIT
    assert gh is not None
    assert gh.finished_at == NOW
    engine = Installation(
        settings_for(database, tmp_path), clock=clock, environment={}, connections=connections
    )
    with engine:
        (check,) = [each for each in examine(engine) if each.check == "poll"]
    assert check.status == "wrong"
    assert check.found.startswith("old: never read to the end, the key is refused (401)")
    assert "expired-key-9" not in repr(check)
    # Another try without anybody's doing, and at once by a process that was started anew.
    asked = len(harvest.asked)
    polls.step("old")
    assert len(harvest.asked) == asked
    clock.advance(poll.REFUSED_WAIT)
    polls.step("old")
    assert len(harvest.asked) == asked + 1
    renewed = Connections([connections["old"].model_copy(update={"poll_key": KEY})])
    again = Polls(database, renewed, clock)
    again.step("old")
    assert len(harvest.asked) == asked + 2
    with database.transaction() as connection:
        old = cursors.load_poll(connection, "old")
    assert old is not None
    assert (old.refused, old.problem) == (False, None)
    polls.close()
    again.close()


def test_a_list_that_the_key_may_not_read_is_left_out(polled: Polled, harvest: Harvest) -> None:
    """403 is about one list: the others are read, and the log says so once."""
    anneke(harvest)
    harvest.forbidden = {"candidates"}
    with capture_logs() as logs:
        polled.round()
        polled.next_round()
    assert [line["endpoint"] for line in logs if line["log_level"] == "error"] == ["candidates"]
    assert {each.headers[POLLED] for each in polled.kept()} == {"scheduled_interviews", "offers"}
    assert polled.poll.finished_at is None
    harvest.forbidden = set()
    polled.next_round()
    assert len(polled.kept()) == 4
    assert polled.cursor("candidates").problem is None
    assert polled.poll.finished_at == polled.clock.now()


def test_a_feed_that_cannot_be_read_does_not_keep_the_others_waiting(
    polled: Polled, harvest: Harvest, clock: FrozenClock
) -> None:
    """Deleted since, or never answering: the next candidate's has its turn."""
    second = {**payload("candidate_in_process"), "id": 70110002, "applications": []}
    third = {**second, "id": 70110003}
    harvest.put("candidates", payload("candidate_in_process"), second, third)
    harvest.feeds = {"70110001": payload("feed_as_answered"), "70110003": {"emails": None}}

    def fails(asked: Asked) -> None:
        if "/70110001/" in asked.path:
            harvest.answers = [(500, {})]

    harvest.before = fails
    polled.round()
    clock.at = polled.poll.next_at
    polled.round()
    assert len(harvest.asked_for("activity_feed")) == 3
    harvest.before = None
    clock.advance(timedelta(minutes=10))
    polled.round()
    assert len(polled.kept("activity_feed")) == 1


def test_neither_key_nor_address_is_logged(
    polled: Polled, harvest: Harvest, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by us, and not by the libraries that fetch."""
    structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())
    anneke(harvest)
    harvest.answers = [(500, {}), (429, {"Retry-After": "1"}), (0, {})]
    with caplog.at_level(logging.INFO):
        for _ in range(12):
            polled.step()
            polled.clock.at = max(polled.poll.next_at, polled.clock.at)
    assert len(polled.kept()) == 4
    assert caplog.records
    for secret in (KEY, "70110001", "127.0.0.1", "ermeer"):
        assert secret not in caplog.text


def test_a_database_that_goes_while_a_page_is_fetched_keeps_nothing_by_halves(
    polled: Polled, harvest: Harvest
) -> None:
    """The page and its cursor are lost together, and fetched again."""
    anneke(harvest)

    def ends_the_session(asked: Asked) -> None:
        harvest.before = None
        with polled.database.connect(autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND classid = %s AND objid::bigint = "
                "hashtext(current_schema() || ' gh')::bigint & 4294967295",
                [cursors.LOCK],
            )

    harvest.before = ends_the_session
    with pytest.raises(DatabaseUnavailable):
        polled.step()
    assert polled.kept() == []
    polled.round()
    assert len(polled.kept()) == 4
    assert len(harvest.asked_for("candidates")) == 2


# --- once -----------------------------------------------------------------------------------


@pytest.mark.parametrize("poll_first", [True, False])
def test_what_webhook_and_poll_both_tell_counts_once(
    polled: Polled, harvest: Harvest, poll_first: bool
) -> None:
    """In either order; late only if the poll was first."""
    harvest.put("candidates", payload("candidate_rejected"))
    harvest.put("offers", payload("offer_accepted"))
    pushed = ("application_received", "rejected_by_us", "offer_created", "offer_accepted")
    webhooks = [greenhouse.payload(name) for name in pushed]
    if poll_first:
        polled.round()
        polled.ingest()
        polled.keep(*webhooks)
    else:
        polled.keep(*webhooks)
        polled.ingest()
        polled.round()
    polled.ingest()
    assert sorted(polled.kinds()) == [
        "application_submitted", "offer_accepted", "offer_decided", "offer_sent",
        "rejection_decided",
    ]  # fmt: skip
    assert {late for _, late in polled.recorded()} == {poll_first}


@pytest.mark.parametrize("poll_first", [True, False])
def test_a_cancelled_interview_finds_its_candidate(
    polled: Polled, harvest: Harvest, poll_first: bool
) -> None:
    """Its webhook names nobody; the poll knows whose it was, before or after."""
    polled.keep(greenhouse.payload("application_received"))
    polled.ingest()
    harvest.put("scheduled_interviews", payload("interview_scheduled"))
    if not poll_first:
        polled.keep(greenhouse.payload("interview_deleted"))
        polled.ingest()
    polled.round()
    polled.ingest()
    if poll_first:
        polled.keep(greenhouse.payload("interview_deleted"))
        polled.ingest()
    candidate = polled.log.find("greenhouse:candidate/70110001")
    kinds = {touchpoint.KIND for touchpoint in polled.log.history(candidate)}
    assert kinds >= {"application_submitted", "interview_scheduled", "interview_cancelled"}
    assert ("candidates_merged" in kinds) is not poll_first


def test_pollers_of_one_connection_take_turns(make: Make, harvest: Harvest) -> None:
    """Two processes share the pages of a round; nothing is asked for or kept twice."""
    harvest.page_most = 3
    harvest.put("scheduled_interviews", *(interview(number) for number in range(1, 9)))
    one, other = make(), make()
    for _ in range(12):
        one.step()
        other.step()
    assert len(harvest.asked_for("scheduled_interviews")) == 6
    assert len(one.kept()) == 8


def test_while_one_asks_the_other_waits(make: Make, harvest: Harvest) -> None:
    """The lock is held for the time of the request, so that no limit is met twice as fast."""
    one, other = make(), make()
    seen: list[Any] = []

    def meanwhile(asked: Asked) -> None:
        harvest.before = None
        seen.append(other.polls.step("gh"))

    harvest.before = meanwhile
    one.step()
    assert seen == [NOW + timedelta(seconds=2)]
    assert len(harvest.asked) == 1


def test_what_was_polled_can_be_translated_again(polled: Polled, harvest: Harvest) -> None:
    """The inbox holds all that the translation needs, so a second one tells the same."""
    harvest.put("scheduled_interviews", payload("interview_scheduled"))
    polled.round()
    harvest.put("scheduled_interviews", payload("interview_over"))
    polled.next_round()
    polled.ingest()
    told = copy.copy(polled.kinds())
    with polled.database.transaction() as connection:
        connection.execute("UPDATE deliveries SET status = 'pending'")
    polled.ingest()
    assert polled.kinds() == told


@pytest.mark.parametrize("poll_first", [True, False])
def test_a_repair_finds_nothing_to_mend_in_what_both_told(
    polled: Polled, harvest: Harvest, poll_first: bool
) -> None:
    """Versions of an object, and a webhook beside them: the first to tell a fact stays right."""
    webhooks = [greenhouse.payload(name) for name in ("application_received", "offer_accepted")]
    if not poll_first:
        polled.keep(*webhooks)
    anneke(harvest)
    polled.round()
    harvest.put("scheduled_interviews", payload("interview_over"))
    harvest.put("offers", payload("offer_accepted"))
    harvest.put("candidates", payload("candidate_rejected"))
    polled.next_round()
    if poll_first:
        polled.keep(*webhooks)
    polled.ingest()
    connections = Connections([polled.connection])
    repair = Repair(polled.database, polled.log, connections, polled.clock)
    repaired = repair.run("gh", NOW - timedelta(days=1))
    assert repaired.appended == 0
    assert repaired.deliveries == len(polled.kept())


# --- set-up ---------------------------------------------------------------------------------


def test_a_system_that_cannot_be_polled_is_told_at_the_start(database: Database) -> None:
    """One sentence: which connection, which field, what to do."""
    connection = Connection(name="crm", source="generic", secrets=("s",), poll_key="k")
    with pytest.raises(ConfigurationError, match=r"connection crm, poll_key: generic cannot be"):
        Polls(database, Connections([connection]), FrozenClock())


def test_the_doctor_says_how_far_a_poll_is(
    polled: Polled, harvest: Harvest, tmp_path: Path
) -> None:
    """The last whole round and each cursor; too long without one is wrong."""
    anneke(harvest)
    engine = Installation(
        settings_for(polled.database, tmp_path),
        clock=polled.clock,
        environment={},
        connections=Connections([polled.connection]),
    )

    def check() -> tuple[str, str]:
        (found,) = [each for each in examine(engine) if each.check == "poll"]
        return found.status, found.found

    with engine:
        assert check() == ("wrong", "gh: never read to the end")
        polled.round()
        assert check() == (
            "ok",
            "gh: read 2026-03-02 09:00 UTC, candidates up to 2026-01-29 09:12, "
            "offers up to 2026-02-18 09:00, scheduled_interviews up to 2026-01-29 09:12",
        )
        assert engine._status()["polls"]["gh"] == {
            "finished_at": "2026-03-02T09:00:00+00:00",
            "next_at": "2026-03-02T09:05:00+00:00",
            "problem": None,
            "waiting": 0,
            "cursors": {
                "candidates": "2026-01-29T09:12:44.130000+00:00",
                "offers": "2026-02-18T09:00:00+00:00",
                "scheduled_interviews": "2026-01-29T09:12:44.120000+00:00",
            },
        }
        polled.clock.advance(timedelta(minutes=20))
        assert check()[0] == "wrong"
