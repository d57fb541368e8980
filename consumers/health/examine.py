"""All checks, in the order in which one depends on another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from consumers.bootstrap import Installation
from consumers.figures import Figures, figures
from consumers.health import database, kafka
from consumers.health.check import PATIENCE, Check, failed, number
from consumers.pollers import standing as polls
from journey.database import Connection
from journey.errors import ConfigurationError, DatabaseUnavailable, JourneyError
from projections.feeds.view import feeds_of
from projections.runner import built_with

if TYPE_CHECKING:
    from consumers.kafka_stream.lag import KafkaLag


def examine(installation: Installation, *, quick: bool = False) -> Iterator[Check]:
    """Every check, in the order in which one depends on another.

    `quick` leaves out those that read whole tables, and take longer the longer the log is.
    """
    yield from _configuration(installation)
    if installation.settings.kafka:
        yield from kafka.topics(installation)
    try:
        stored = installation.database
    except JourneyError as error:
        yield failed("database", error)
        return
    now = installation.clock.now()
    try:
        with stored.transaction() as connection:
            for look in database.GROUND:
                yield from look(connection, now)
            if not quick:
                yield from database.gapless(connection, now)
            yield from database.inbox(figures(connection, now), now)
            for look in database.WORK:
                yield from look(connection, now)
            if not quick:
                yield from database.unattached(connection, now)
            yield from _polls(installation, connection, now)
            yield from _meaning(installation, connection)
            yield from _master_key(installation, connection)
            yield from kafka.publish_lag(installation, connection, now)
            yield from _feeds(connection)
    except DatabaseUnavailable as error:
        yield failed("database", error)


def glance(
    installation: Installation,
    connection: Connection,
    found: Figures,
    lag: KafkaLag | None,
    now: datetime,
) -> Iterator[Check]:
    """The checks that a page can make each time somebody looks at it, beside its figures.

    `examine` makes more: what reads whole tables, how topics are set, and whether the master key
    is the right one, which a page of figures need not be given.
    """
    yield from _configuration(installation)
    if lag is not None:
        yield from kafka.group_lag(installation, lag, now)
    for look in database.GROUND:
        yield from look(connection, now)
    yield from database.inbox(found, now)
    for look in database.WORK:
        yield from look(connection, now)
    yield from _polls(installation, connection, now)
    yield from _meaning(installation, connection)
    yield from kafka.publish_lag(installation, connection, now)
    yield from _feeds(connection)


def summary(checks: Iterable[Check]) -> str:
    """All of them in one sentence."""
    found = [check.status for check in checks]
    wrong, notes = found.count("wrong"), found.count("note")
    if wrong:
        return f"{wrong} of {len(found)} checks {'is' if wrong == 1 else 'are'} wrong."
    if notes:
        return f"Nothing is wrong; {number(notes, 'check is', 'checks are')} worth a note."
    return "All is well."


def _configuration(installation: Installation) -> Iterator[Check]:
    yield from _told("policies", lambda: _policies(installation))
    yield from _told("rules", lambda: _rules(installation))
    yield from _told("connections", lambda: _connections(installation))
    yield from _told("channels", lambda: _channels(installation))
    yield kafka.client()


def _told(name: str, look: Callable[[], Check]) -> Iterator[Check]:
    try:
        yield look()
    except ConfigurationError as error:
        yield failed(name, error)


def _policies(installation: Installation) -> Check:
    policies = installation.meaning.policies
    return Check(
        "policies",
        "ok",
        f"{len(policies.policies)} in force, fingerprint {policies.fingerprint[:12]}",
    )


def _rules(installation: Installation) -> Check:
    rules = installation.meaning.rules
    return Check("rules", "ok", f"{len(rules.rules)} loaded, fingerprint {rules.fingerprint[:12]}")


def _connections(installation: Installation) -> Check:
    found = sorted(installation.connections)
    if not found:
        return Check(
            "connections",
            "note",
            "none, so nobody can deliver",
            f"write {installation.settings.connections} or set JOURNEY_CONNECTION_<NAME>_SOURCE",
        )
    return Check("connections", "ok", ", ".join(found))


def _channels(installation: Installation) -> Check:
    return Check("channels", "ok", ", ".join(each.name for each in installation.channels))


def _polls(installation: Installation, connection: Connection, now: datetime) -> Iterator[Check]:
    """One check for all that is polled: the first thing that is wrong, else how far each is."""
    try:
        polled = [each for each in installation.connections.values() if each.poll_key is not None]
    except ConfigurationError:
        return
    told = []
    for each in polled:
        standing = polls.standing(connection, each.name, now)
        told.append(f"{each.name}: {standing.told()}")
        if advice := standing.advice(now, timedelta(seconds=each.poll_seconds) + PATIENCE):
            yield Check("poll", "wrong", told[-1], advice)
            return
    yield Check("poll", "ok", "; ".join(told) or "no connection has a poll_key")


def _meaning(installation: Installation, connection: Connection) -> Iterator[Check]:
    built = built_with(connection)
    if built is not None and built != installation.meaning.fingerprint:
        yield Check(
            "meaning",
            "wrong",
            "policies or rules changed since the tables were built",
            "run `journey rebuild`, so that they judge the past as well",
        )
    else:
        yield Check("meaning", "ok", "the tables were built with these policies and rules")


def _master_key(installation: Installation, connection: Connection) -> Iterator[Check]:
    row = connection.execute("SELECT candidate_id FROM person_keys LIMIT 1").fetchone()
    try:
        if row is not None:
            installation.vault.open_keys(connection, [row[0]])
        else:
            installation.vault  # noqa: B018 - made here, so that what is wrong with it is told
    except JourneyError as error:
        yield Check("master key", "wrong", str(error), "set the key this database was made with")
        return
    yield Check("master key", "ok", "opens what was sealed" if row else "there, nothing is sealed")


def _feeds(connection: Connection) -> Iterator[Check]:
    feeds = feeds_of(connection)
    if not feeds:
        yield Check(
            "feeds",
            "note",
            "no source has told anything yet",
            "point a webhook at it, or `journey import` a log",
        )
    for feed in feeds:
        yield Check(
            f"feed {feed.source}",
            "ok",
            f"{number(feed.touchpoints, 'touchpoint', 'touchpoints')}, last heard "
            f"{feed.last_recorded_at:%Y-%m-%d %H:%M} UTC",
        )


__all__ = ["examine", "glance", "summary"]
