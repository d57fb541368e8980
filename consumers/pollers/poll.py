"""The poll process: asks systems for what they do not tell by themselves.

A step is one request and what it brought, in one transaction: the objects that are new become
deliveries in the inbox, and how far the list was read is written beside them. All that a step needs
to know is in the database, so a kill at any moment loses nothing, and any number of processes take
turns at each connection. From the inbox on, what was found goes the way of every delivery.

A round reads every list of a connection once, then asks about each object that changed. A system
that does not answer is left alone, longer each time; one that refuses the key is asked again every
quarter of an hour, and the others go on meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

import psycopg
import structlog

from consumers import inbox
from consumers.ats_adapters.adapter import BEFORE, POLLED, Delivery
from consumers.connections import Connection
from consumers.errors import Unavailable
from consumers.pollers import ALL_POLLERS, cursors
from consumers.pollers.cursors import MOST_PASSES, Cursor, Kept, Poll
from consumers.pollers.fetching import Api, FetchFailed, KeyRefused, NotAllowed, NotThere, Throttled
from consumers.pollers.poller import Found, Poller
from journey.clock import Clock
from journey.database import Connection as DatabaseConnection
from journey.database import Database
from journey.errors import ConfigurationError, DatabaseUnavailable

log = structlog.get_logger()

FIRST_WAIT_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 600.0
REFUSED_WAIT = timedelta(minutes=15)
FAILURES_A_LIST = 5
"""After so many failures in a row the next list has its turn, and this one in the next round."""

_DETAIL_AGAIN = timedelta(minutes=10)
_NOT_ALLOWED_AGAIN = timedelta(days=1)
_BUSY_ELSEWHERE = timedelta(seconds=2)
_LONGEST_SLEEP_SECONDS = 60.0
_DATABASE_WAIT_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class _Polled:
    """A connection with its poller and its way to the system."""

    connection: Connection
    poller: Poller
    api: Api

    @property
    def name(self) -> str:
        return self.connection.name

    @property
    def endpoints(self) -> tuple[str, ...]:
        return (*self.poller.lists, *self.poller.details.values())

    def list_behind(self, endpoint: str) -> str | None:
        """The list whose objects this endpoint is asked about; None if it is a list itself."""
        return next((each for each, d in self.poller.details.items() if d == endpoint), None)

    def starts_at(self) -> datetime | None:
        """Where the first reading of a list begins."""
        since = self.connection.poll_since
        return None if since is None else datetime.combine(since, time(), UTC)


class Polls:
    """Every connection that has a key to be polled with.

    Raises ConfigurationError for a connection whose system cannot be polled.
    """

    def __init__(
        self,
        database: Database,
        connections: Mapping[str, Connection],
        clock: Clock,
        *,
        pollers: Mapping[str, Poller] = ALL_POLLERS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._polled = {
            name: _polled(connection, pollers)
            for name, connection in connections.items()
            if connection.poll_key is not None
        }
        self._tried: set[str] = set()

    def close(self) -> None:
        """Let go of the systems."""
        for polled in self._polled.values():
            polled.api.close()

    def run(self, stop: threading.Event) -> None:
        """Poll, and sleep until it is time again, until `stop`."""
        log.info("polling", connections=sorted(self._polled))
        due = dict.fromkeys(self._polled, self._clock.now())
        failures = 0
        while not stop.is_set():
            name = min(due, key=lambda name: due[name], default=None)
            seconds = (
                _LONGEST_SLEEP_SECONDS
                if name is None
                else (due[name] - self._clock.now()).total_seconds()
            )
            if name is None or seconds > 0:
                stop.wait(min(seconds, _LONGEST_SLEEP_SECONDS))
                continue
            try:
                due[name] = self.step(name)
                failures = 0
            except (DatabaseUnavailable, psycopg.OperationalError, psycopg.InterfaceError) as error:
                if not failures:
                    log.warning(
                        "the database is away; waiting for it",
                        process="poll",
                        error=" ".join(str(error).split()),
                    )
                stop.wait(_DATABASE_WAIT_SECONDS[min(failures, len(_DATABASE_WAIT_SECONDS) - 1)])
                failures += 1

    def step(self, name: str) -> datetime:
        """Ask this connection's system one thing, if it is time to; returns when to come again.

        Raises DatabaseUnavailable with nothing kept; the same is asked again then.
        """
        polled, now = self._polled[name], self._clock.now()
        # The transaction spans the request: whoever holds its lock is the one who asks, and what
        # comes back is committed by the session that holds it, or not at all.
        with self._database.transaction() as session:
            if not cursors.lock(session, name):
                return now + _BUSY_ELSEWHERE
            poll = cursors.load_poll(session, name) or Poll(name, next_at=now)
            # Whoever starts us anew may have come with a new key.
            has_new_key = poll.refused and name not in self._tried
            if poll.next_at > now and not has_new_key:
                return poll.next_at
            self._tried.add(name)
            after = _Step(polled, session, now, self._clock).taken(poll)
            cursors.save_poll(session, after)
        _tell(poll, after)
        return max(after.next_at, self._clock.now())


def _polled(connection: Connection, pollers: Mapping[str, Poller]) -> _Polled:
    poller = pollers.get(connection.source)
    if poller is None:
        raise ConfigurationError(
            f"connection {connection.name}, poll_key: {connection.source} cannot be polled, only "
            f"{', '.join(sorted(pollers))}; remove it"
        )
    assert connection.poll_key is not None
    return _Polled(connection, poller, Api(connection.poll_url or poller.url, connection.poll_key))


@dataclass(frozen=True, slots=True)
class _Step:
    """One request of one connection, in a transaction that is open."""

    polled: _Polled
    session: DatabaseConnection
    now: datetime
    clock: Clock

    def taken(self, poll: Poll) -> Poll:
        """How the poll stands afterwards. Nothing is written before the answer is there."""
        if poll.endpoint is None or poll.endpoint not in self.polled.endpoints:
            first = self.polled.endpoints[0]
            poll = replace(poll, endpoint=first, began_at=self.now, is_whole=True)
        assert poll.endpoint is not None
        behind = self.polled.list_behind(poll.endpoint)
        try:
            if behind is None:
                return self._list(poll, poll.endpoint)
            return self._detail(poll, poll.endpoint, behind)
        except Throttled as error:
            log.info("poll waits", connection=poll.connection, seconds=error.seconds)
            return replace(poll, next_at=self.now + timedelta(seconds=error.seconds))
        except KeyRefused as error:
            return replace(poll, next_at=self.now + REFUSED_WAIT, problem=str(error), refused=True)
        except Unavailable as error:
            return self._left_alone(poll, str(error))

    # --- lists ------------------------------------------------------------------------------

    def _list(self, poll: Poll, endpoint: str) -> Poll:
        cursor = cursors.load_cursor(self.session, poll.connection, endpoint)
        poller, api = self.polled.poller, self.polled.api
        url = cursor.next_url
        if url is None or not api.is_ours(url):
            since = cursor.since or self.polled.starts_at()
            url = api.at(poller.list_path(endpoint, since))
        try:
            answer = api.get(url, self.now)
        except (NotAllowed, NotThere) as error:
            return self._unread(poll, cursor, error)
        found = poller.list_found(endpoint, answer.body)
        new = self._keep_objects(endpoint, found)
        cursor = cursor.after_page(found, new, answer.next_url, self.now)
        poll = _well(poll)
        if answer.next_url is None:
            cursor = _at_end_of_pass(cursor)
            if not cursor.has_begun:
                poll = self._next(poll)
        cursors.save_cursor(self.session, cursor)
        return poll

    def _keep_objects(self, endpoint: str, found: list[Found]) -> list[Found]:
        """Keep those that are new or changed; returns them."""
        new, known = self._new(endpoint, found)
        earlier = {
            each.object_id: known[each.object_id].delivery_id
            for each in new
            if each.object_id in known
        }
        bodies = cursors.bodies(self.session, list(earlier.values()))
        deliveries = []
        for each in new:
            body = bodies.get(earlier[each.object_id]) if each.object_id in earlier else None
            before = None if body is None else self.polled.poller.before(endpoint, body)
            deliveries.append(self._delivery(endpoint, each.body, before))
        self._keep(endpoint, new, deliveries)
        return new

    def _unread(self, poll: Poll, cursor: Cursor, error: FetchFailed) -> Poll:
        """A list that may not be read, or a page of it that is gone."""
        if cursor.has_begun and isinstance(error, NotThere):
            # The page was named long ago; the list itself may well be there.
            cursors.save_cursor(self.session, cursor.at_end(moved=False))
            return self._left_alone(poll, f"{error} for a page of {cursor.endpoint}")
        self._tell_unread(cursor, str(error))
        return self._next(replace(_well(poll), is_whole=False))

    def _tell_unread(self, cursor: Cursor, problem: str) -> None:
        if cursor.problem != problem:
            log.error(
                "a list cannot be polled",
                connection=cursor.connection,
                endpoint=cursor.endpoint,
                problem=problem,
            )
            cursors.save_cursor(self.session, replace(cursor, problem=problem))

    # --- what is asked about one object -----------------------------------------------------

    def _detail(self, poll: Poll, endpoint: str, behind: str) -> Poll:
        name, poller = poll.connection, self.polled.poller
        due = cursors.to_look_at(self.session, name, behind, self.now)
        if due is None or self.now >= self._round_ends_at(poll):
            # Those that are left have their turn in the next round, after its lists.
            return self._next(poll)
        object_id, delivery_id = due
        cursor = cursors.load_cursor(self.session, name, endpoint)
        about = cursors.bodies(self.session, [delivery_id]).get(delivery_id, b"{}")
        try:
            answer = self.polled.api.get(
                self.polled.api.at(poller.detail_path(endpoint, object_id)), self.now
            )
            found = poller.detail_found(endpoint, about, answer.body)
        except NotThere:
            # Gone since it stood in the list.
            found = []
        except NotAllowed as error:
            cursors.looked_at(self.session, name, behind, object_id, self.now + _NOT_ALLOWED_AGAIN)
            self._tell_unread(cursor, str(error))
            return self._next(replace(_well(poll), is_whole=False))
        except Unavailable:
            # One that never answers must not keep the others waiting.
            cursors.looked_at(self.session, name, behind, object_id, self.now + _DETAIL_AGAIN)
            raise
        # First, since what is kept now may have to be asked about at another time.
        cursors.looked_at(self.session, name, behind, object_id)
        self._keep_answer(endpoint, behind, about, found)
        if cursor.problem is not None:
            cursors.save_cursor(self.session, replace(cursor, problem=None))
        return _well(poll)

    def _keep_answer(self, endpoint: str, behind: str, about: bytes, found: list[Found]) -> None:
        """Keep what is new of an answer as one delivery: the rest was kept before."""
        new, _ = self._new(endpoint, found)
        body = self.polled.poller.detail_joined(endpoint, about, new)
        if body is None:
            self._keep_objects(behind, found)
        elif new:
            delivery = self._delivery(endpoint, body)
            self._keep(endpoint, new, [delivery] * len(new))

    # --- shared -----------------------------------------------------------------------------

    def _new(self, endpoint: str, found: list[Found]) -> tuple[list[Found], dict[str, Kept]]:
        """Those of these that were not kept as they are now, and what was kept of all of them."""
        by_id = {each.object_id: each for each in found}
        known = cursors.kept(self.session, self.polled.name, endpoint, list(by_id))
        new = [
            each
            for each in by_id.values()
            if (kept := known.get(each.object_id)) is None or kept.fingerprint != each.fingerprint
        ]
        return new, known

    def _delivery(self, endpoint: str, body: bytes, before: bytes | None = None) -> Delivery:
        now = self.clock.now()
        headers = {"content-type": "application/json", POLLED: endpoint}
        if before is not None:
            headers[BEFORE] = before.decode()
        connection = self.polled.connection
        return Delivery(
            inbox.new_delivery_id(now), connection.name, connection.source, now, headers, body
        )

    def _keep(self, endpoint: str, new: list[Found], deliveries: list[Delivery]) -> None:
        if not new:
            return
        own = {delivery.delivery_id: delivery for delivery in deliveries}
        inbox.keep(self.session, own.values())
        look_at = self.polled.poller.look_at
        cursors.remember(
            self.session,
            self.polled.name,
            endpoint,
            [
                (each, delivery.delivery_id, look_at(endpoint, each.body, self.now))
                for each, delivery in zip(new, deliveries, strict=True)
            ],
        )
        log.info("poll found", connection=self.polled.name, endpoint=endpoint, objects=len(new))

    def _left_alone(self, poll: Poll, problem: str) -> Poll:
        """Wait, longer each time; after some times another list has its turn."""
        failures = poll.failures + 1
        seconds = min(FIRST_WAIT_SECONDS * 2 ** min(poll.failures, 20), LONGEST_WAIT_SECONDS)
        poll = replace(
            poll,
            failures=failures,
            problem=problem,
            refused=False,
            next_at=self.now + timedelta(seconds=seconds),
        )
        if failures % FAILURES_A_LIST:
            return poll
        after = self._next(replace(poll, is_whole=False))
        return replace(after, next_at=max(after.next_at, poll.next_at))

    def _next(self, poll: Poll) -> Poll:
        """On to the next list, or to the next round."""
        endpoints = self.polled.endpoints
        assert poll.endpoint is not None
        place = endpoints.index(poll.endpoint) + 1
        if place < len(endpoints):
            return replace(poll, endpoint=endpoints[place])
        return replace(
            poll,
            endpoint=None,
            next_at=max(self._round_ends_at(poll), self.now),
            finished_at=self.now if poll.is_whole else poll.finished_at,
        )

    def _round_ends_at(self, poll: Poll) -> datetime:
        seconds = self.polled.connection.poll_seconds
        return (poll.began_at or self.now) + timedelta(seconds=seconds)


def _at_end_of_pass(cursor: Cursor) -> Cursor:
    if cursor.is_settled:
        return cursor.at_end(moved=True)
    if cursor.pass_number < MOST_PASSES:
        return cursor.next_pass()
    log.warning(
        "a list does not come to rest; it is read again from where it began",
        connection=cursor.connection,
        endpoint=cursor.endpoint,
        passes=cursor.pass_number,
    )
    return cursor.at_end(moved=False)


def _well(poll: Poll) -> Poll:
    """The system answered."""
    return replace(poll, failures=0, problem=None, refused=False)


def _tell(before: Poll, after: Poll) -> None:
    """One line when a problem comes or goes, none while it lasts."""
    if after.problem is not None and after.problem != before.problem:
        say: Callable[..., None] = log.error if after.refused else log.warning
        say(
            "poll was refused; renew the key" if after.refused else "poll waits",
            connection=after.connection,
            endpoint=after.endpoint,
            problem=after.problem,
            next_at=after.next_at.isoformat(),
        )
    elif before.problem is not None and after.problem is None:
        log.info("poll goes on", connection=after.connection)


__all__ = ["Polls"]
