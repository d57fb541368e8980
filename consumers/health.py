"""Whether an installation is well: each check finds something and says what to do about it.

Read-only. A check that cannot be made because an earlier one failed is left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from consumers.bootstrap import Installation
from consumers.errors import KafkaUnavailable
from consumers.figures import Figures, figures, published
from consumers.pollers import standing as polls
from journey.database import Connection, migrations
from journey.errors import ConfigurationError, DatabaseUnavailable, JourneyError
from projections.feeds.view import feeds_of
from projections.positions import positions_of
from projections.runner import built_with

if TYPE_CHECKING:
    from consumers.kafka_stream.lag import KafkaLag

Status = Literal["ok", "note", "wrong"]

PATIENCE = timedelta(minutes=5)
"""What waits longer than this has nobody who works on it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: `ok`, worth a `note`, or `wrong`; `advice` says what to do."""

    check: str
    status: Status
    found: str
    advice: str = ""


def examine(installation: Installation) -> Iterator[Check]:
    """Every check, in the order in which one depends on another."""
    yield from _configuration(installation)
    if installation.settings.kafka:
        yield from _topics(installation)
    try:
        database = installation.database
    except JourneyError as error:
        yield _failed("database", error)
        return
    now = installation.clock.now()
    try:
        with database.transaction() as connection:
            for look in (*_GROUND, _gapless):
                yield from look(connection, now)
            yield from _inbox(figures(connection, now), now)
            for look in (*_WORK, _unattached):
                yield from look(connection, now)
            yield from _polls(installation, connection, now)
            yield from _meaning(installation, connection)
            yield from _master_key(installation, connection)
            yield from _publish_lag(installation, connection, now)
            yield from _feeds(connection)
    except DatabaseUnavailable as error:
        yield _failed("database", error)


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
        yield from _group_lag(installation, lag, now)
    for look in _GROUND:
        yield from look(connection, now)
    yield from _inbox(found, now)
    for look in _WORK:
        yield from look(connection, now)
    yield from _polls(installation, connection, now)
    yield from _meaning(installation, connection)
    yield from _publish_lag(installation, connection, now)
    yield from _feeds(connection)


def summary(checks: Iterable[Check]) -> str:
    """All of them in one sentence."""
    found = [check.status for check in checks]
    wrong, notes = found.count("wrong"), found.count("note")
    if wrong:
        return f"{wrong} of {len(found)} checks {'is' if wrong == 1 else 'are'} wrong."
    if notes:
        return f"Nothing is wrong; {_number(notes, 'check is', 'checks are')} worth a note."
    return "All is well."


def _configuration(installation: Installation) -> Iterator[Check]:
    yield from _told("policies", lambda: _policies(installation))
    yield from _told("rules", lambda: _rules(installation))
    yield from _told("connections", lambda: _connections(installation))
    yield from _told("channels", lambda: _channels(installation))
    if importlib.util.find_spec("crc32c") is None:
        yield Check(
            "kafka",
            "wrong",
            "the crc32c extra of kafka-python is missing",
            "install kafka-python[crc32c]; without it Kafka is many times slower",
        )
    else:
        yield Check("kafka", "ok", "crc32c is there")


def _topics(installation: Installation) -> Iterator[Check]:
    """Whether the broker answers, and its topics are as set."""
    # Imported here: most installations work without Kafka, and its client takes a while to load.
    from consumers.kafka_stream.cluster import LOOK_SECONDS
    from consumers.kafka_stream.topics import standings

    cluster = installation.cluster
    try:
        found = standings(cluster, patience_seconds=LOOK_SECONDS)
    except (KafkaUnavailable, ConfigurationError) as error:
        yield _failed("kafka broker", error)
        return
    yield Check("kafka broker", "ok", f"answers at {cluster.told}")
    missing = [each.topic for each in found if each.partitions is None]
    differing = [
        f"{each.topic}: {'; '.join(each.differences(cluster))}"
        for each in found
        if each.partitions is not None and each.differences(cluster)
    ]
    if missing:
        told = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        yield Check("kafka topics", "wrong", told, "run `journey kafka init`")
    elif differing:
        yield Check(
            "kafka topics",
            "wrong",
            "; ".join(differing),
            "correct the settings or the topics' own, or move to topics of another prefix",
        )
    else:
        yield Check(
            "kafka topics",
            "ok",
            f"{len(found)} with {_number(cluster.partitions, 'partition', 'partitions')} each",
        )
    yield from _group_lag(installation, installation.lag_watch.now(), installation.clock.now())


def _group_lag(installation: Installation, lag: KafkaLag, now: datetime) -> Iterator[Check]:
    """How far each consumer group is, and since when the oldest it has not handled waits."""
    if lag.problem is not None:
        yield _failed("kafka-lag", lag.problem)
    for group in lag.groups:
        process = group.group.removeprefix(installation.cluster.group(""))
        if group.ran_out_records:
            yield Check(
                f"kafka-lag {process}",
                "wrong",
                f"{_number(group.ran_out_records, 'record', 'records')} ran out of the topic "
                "before they were handled",
                f"start `journey run {process.removesuffix('-dead-letters')}` and ask their "
                "senders for them again; keep the topic for longer (retention.ms)",
            )
            continue
        behind = [each for each in group.partitions if each.lag_records]
        if not behind:
            yield Check(f"kafka-lag {process}", "ok", "everything is handled")
            continue
        found = (
            f"{_number(group.lag_records, 'record', 'records')} unhandled in "
            f"{_number(len(behind), 'partition', 'partitions')}, most in "
            f"{max(behind, key=lambda each: each.lag_records).name}"
        )
        if group.oldest_at is not None and now - group.oldest_at > PATIENCE:
            yield Check(
                f"kafka-lag {process}",
                "wrong",
                f"{found}; the oldest waits since {group.oldest_at:%Y-%m-%d %H:%M} UTC",
                f"start `journey run {process.removesuffix('-dead-letters')}`, or more of them, "
                "and read its log",
            )
        elif not group.is_oldest_known:
            yield Check(
                f"kafka-lag {process}",
                "note",
                f"{found}; since when was not told in time",
                "ask again, and look after the broker if it stays so",
            )
        else:
            yield Check(f"kafka-lag {process}", "ok", found)


def _publish_lag(
    installation: Installation, connection: Connection, now: datetime
) -> Iterator[Check]:
    """Up to where each log is published: known from the database, without a broker."""
    for each in published(installation, connection):
        found = f"{each.topic} holds all up to position {each.position:,} of {each.head:,}"
        if each.since is not None and now - each.since > PATIENCE:
            yield Check(
                f"kafka-lag {each.feed}",
                "wrong",
                f"{found}; the next was recorded {each.since:%Y-%m-%d %H:%M} UTC",
                f"start `journey run {each.feed}` and read its log",
            )
        else:
            yield Check(f"kafka-lag {each.feed}", "ok", found)


def _told(name: str, look: Callable[[], Check]) -> Iterator[Check]:
    try:
        yield look()
    except ConfigurationError as error:
        yield _failed(name, error)


def _failed(name: str, error: object) -> Check:
    """What an error says: our sentences end with what to do."""
    found, _, advice = str(error).partition("; ")
    return Check(name, "wrong", found, advice or "mend what it names")


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


def _number(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


# --- the database ---------------------------------------------------------------------------


def _server(connection: Connection, now: datetime) -> Iterator[Check]:
    row = connection.execute(
        "SELECT split_part(current_setting('server_version'), ' ', 1), current_schema(), "
        "current_setting('fsync'), current_setting('full_page_writes'), "
        "current_setting('synchronous_commit')"
    ).fetchone()
    assert row is not None
    version, schema, fsync, pages, commit = row
    yield Check("database", "ok", f"PostgreSQL {version}, schema {schema}")
    if "off" in (fsync, pages) or commit == "off":
        yield Check(
            "durability",
            "wrong",
            f"fsync is {fsync}, full_page_writes {pages}, synchronous_commit {commit}",
            "switch all three on; otherwise an answered delivery may be lost in a power cut",
        )
    else:
        yield Check("durability", "ok", f"fsync on, synchronous_commit {commit}")


def _migrations(connection: Connection, now: datetime) -> Iterator[Check]:
    done = {row[0] for row in connection.execute("SELECT number FROM migrations")}
    missing = migrations().keys() - done
    if missing:
        yield Check(
            "migrations",
            "wrong",
            f"{_number(len(missing), 'is', 'are')} missing",
            "start any process once",
        )
    else:
        yield Check("migrations", "ok", f"{len(done)} applied, up to {max(done):04}")


def _append_only(connection: Connection, now: datetime) -> Iterator[Check]:
    rows = connection.execute(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = ANY(ARRAY["
        "'journey_events'::regclass, 'alert_events'::regclass]) "
        "AND tgname LIKE '%\\_append\\_only' AND tgenabled IN ('O', 'A')"
    )
    found = {row[0] for row in rows}
    missing = {"journey_events_append_only", "alert_events_append_only"} - found
    if missing:
        yield Check(
            "append-only",
            "wrong",
            f"the trigger {', '.join(sorted(missing))} is gone or off",
            "find out who removed it and what was changed; make it again from the migration",
        )
    else:
        yield Check("append-only", "ok", "the log refuses UPDATE, DELETE and TRUNCATE")


def _counted(connection: Connection, now: datetime) -> Iterator[Check]:
    row = connection.execute(
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'deliveries'::regclass "
        "AND tgfoid = to_regproc('count_deliveries') AND tgenabled IN ('O', 'A')"
    ).fetchone()
    if row != (4,):
        yield Check(
            "counts",
            "wrong",
            "a trigger that counts deliveries is gone or off, so their counts are not right",
            "make the triggers as migration 0011 does, then run 0012 again, which corrects them",
        )
    else:
        yield Check("counts", "ok", "deliveries are counted as they come and change")


def _gapless(connection: Connection, now: datetime) -> Iterator[Check]:
    row = connection.execute(
        "SELECT (SELECT position FROM log_head), count(*), coalesce(max(notification_id), 0), "
        "(SELECT count(*) FROM (SELECT FROM journey_events GROUP BY originator_id "
        "HAVING max(originator_version) <> count(*)) AS broken) FROM journey_events"
    ).fetchone()
    assert row is not None
    head, count, last, broken = row
    if head != count or last != count or broken:
        yield Check(
            "log",
            "wrong",
            f"{count:,} touchpoints, last position {last:,}, head {head:,}, "
            f"{broken} streams with gaps",
            "something was written past the journey log; restore from a backup",
        )
    else:
        yield Check("log", "ok", f"{count:,} touchpoints, positions and versions without a gap")


def _inbox(found: Figures, now: datetime) -> Iterator[Check]:
    counts, oldest = found.inbox, found.pending_since
    told = ", ".join(f"{count:,} {status}" for status, count in counts.items() if count)
    if oldest is not None and now - oldest > PATIENCE:
        yield Check(
            "inbox",
            "wrong",
            f"{told}; the oldest pending one waits since {oldest:%Y-%m-%d %H:%M} UTC",
            "start `journey run ingest` (or `serve`) and read its log",
        )
    else:
        yield Check("inbox", "ok", told or "empty")
    if counts["dead"]:
        yield Check(
            "dead letters",
            "wrong",
            f"{_number(counts['dead'], 'delivery', 'deliveries')} could not be translated",
            "see `journey deliveries list --status dead`, mend, then `journey deliveries redrive`",
        )
    if counts["refused"]:
        yield Check(
            "refused",
            "note",
            f"{_number(counts['refused'], 'delivery', 'deliveries')} did not prove who sent it",
            "see `journey deliveries list --status refused`; a secret may have been rotated",
        )


def _projections(connection: Connection, now: datetime) -> Iterator[Check]:
    # Before the head, which may move meanwhile: no lane is ahead of it.
    positions = positions_of(connection)
    row = connection.execute("SELECT position FROM log_head").fetchone()
    assert row is not None
    head, position = row[0], positions.least
    if position >= head:
        yield Check("projections", "ok", f"position {position:,}, nothing to read")
        return
    waiting = connection.execute(
        "SELECT (convert_from(state, 'UTF8')::jsonb->>'recorded_at')::timestamptz "
        "FROM journey_events WHERE notification_id = %s",
        [position + 1],
    ).fetchone()
    since = waiting[0] if waiting is not None else None
    found = f"position {position:,} of {head:,}, {head - position:,} touchpoints behind"
    if len(positions.lanes) > 1:
        behind = sum(reached < head for reached in positions.lanes)
        found += f" in {behind} of {len(positions.lanes)} lanes"
    if since is not None and now - since > PATIENCE:
        yield Check(
            "projections",
            "wrong",
            f"{found}, since {since:%Y-%m-%d %H:%M} UTC",
            "start `journey run project` (or `serve`) and read its log",
        )
    else:
        yield Check("projections", "ok", found)


def _alerts(connection: Connection, now: datetime) -> Iterator[Check]:
    row = connection.execute(
        "SELECT (SELECT count(*) FROM alerts WHERE state <> 'resolved'), "
        "(SELECT min(due_at) FROM deadlines), "
        "(SELECT count(*) FROM outbox WHERE sent_at IS NULL AND given_up_at IS NULL), "
        "(SELECT min(created_at) FROM outbox WHERE sent_at IS NULL AND given_up_at IS NULL), "
        "(SELECT count(*) FROM outbox WHERE given_up_at IS NOT NULL), "
        "(SELECT last_error FROM outbox WHERE last_error IS NOT NULL "
        " ORDER BY created_at DESC LIMIT 1)"
    ).fetchone()
    assert row is not None
    unresolved, due_at, unsent, oldest, given_up, error = row
    if due_at is not None and now - due_at > PATIENCE:
        yield Check(
            "sweeper",
            "wrong",
            f"a deadline passed at {due_at:%Y-%m-%d %H:%M} UTC and nobody looked",
            "start `journey run sweep` (or `serve`) and read its log",
        )
    else:
        coming = f", next deadline {due_at:%Y-%m-%d %H:%M} UTC" if due_at is not None else ""
        yield Check(
            "sweeper", "ok", f"{_number(unresolved, 'alert is', 'alerts are')} not resolved{coming}"
        )
    because = f" ({error})" if error else ""
    if given_up:
        yield Check(
            "notifier",
            "wrong",
            f"{_number(given_up, 'message was', 'messages were')} given up; nobody was told"
            f"{because}",
            "mend the channel; the alerts themselves stand in `journey alerts`",
        )
    elif oldest is not None and now - oldest > PATIENCE:
        yield Check(
            "notifier",
            "wrong",
            f"{_number(unsent, 'message waits', 'messages wait')} since {oldest:%Y-%m-%d %H:%M} UTC"
            f"{because}",
            "start `journey run notify` (or `serve`) and read its log",
        )
    else:
        yield Check(
            "notifier", "ok", f"{_number(unsent, 'message waits', 'messages wait')} to be sent"
        )


def _unattached(connection: Connection, now: datetime) -> Iterator[Check]:
    """Candidates known only as whose interview or application it was."""
    row = connection.execute(
        "SELECT count(*) FROM (SELECT candidate_id FROM identity_keys "
        "WHERE candidate_id NOT IN "
        "(SELECT absorbed FROM identity_merges WHERE until_position IS NULL) "
        "GROUP BY candidate_id HAVING bool_and(namespace LIKE '%:scheduled\\_interview' "
        "OR namespace LIKE '%:application')) AS unattached"
    ).fetchone()
    count = row[0] if row is not None else 0
    if count:
        yield Check(
            "unattached",
            "note",
            f"{_number(count, 'candidate', 'candidates')} known only by interview or application",
            "they attach when their source names the person; switch on its application events",
        )
    else:
        yield Check("unattached", "ok", "every candidate is known by more than an application")


_Look = Callable[[Connection, datetime], Iterator[Check]]
_GROUND: tuple[_Look, ...] = (_server, _migrations, _append_only, _counted)
_WORK: tuple[_Look, ...] = (_projections, _alerts)


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
            f"{_number(feed.touchpoints, 'touchpoint', 'touchpoints')}, last heard "
            f"{feed.last_recorded_at:%Y-%m-%d %H:%M} UTC",
        )
