"""What the database says of itself, and of who works on what is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from consumers.figures import Figures
from consumers.health.check import PATIENCE, Check, number
from journey.database import Connection, migrations
from projections.positions import positions_of


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
            f"{number(len(missing), 'is', 'are')} missing",
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


def gapless(connection: Connection, now: datetime) -> Iterator[Check]:
    """Whether the log is whole; reads all of it."""
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


def inbox(found: Figures, now: datetime) -> Iterator[Check]:
    """What came and waits, and what could not be read or proved."""
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
            f"{number(counts['dead'], 'delivery', 'deliveries')} could not be translated",
            "see `journey deliveries list --status dead`, mend, then `journey deliveries redrive`",
        )
    if counts["refused"]:
        yield Check(
            "refused",
            "note",
            f"{number(counts['refused'], 'delivery', 'deliveries')} did not prove who sent it",
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
            "sweeper", "ok", f"{number(unresolved, 'alert is', 'alerts are')} not resolved{coming}"
        )
    because = f" ({error})" if error else ""
    if given_up:
        yield Check(
            "notifier",
            "wrong",
            f"{number(given_up, 'message was', 'messages were')} given up; nobody was told"
            f"{because}",
            "mend the channel; the alerts themselves stand in `journey alerts`",
        )
    elif oldest is not None and now - oldest > PATIENCE:
        yield Check(
            "notifier",
            "wrong",
            f"{number(unsent, 'message waits', 'messages wait')} since {oldest:%Y-%m-%d %H:%M} UTC"
            f"{because}",
            "start `journey run notify` (or `serve`) and read its log",
        )
    else:
        yield Check(
            "notifier", "ok", f"{number(unsent, 'message waits', 'messages wait')} to be sent"
        )


def unattached(connection: Connection, now: datetime) -> Iterator[Check]:
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
            f"{number(count, 'candidate', 'candidates')} known only by interview or application",
            "they attach when their source names the person; switch on its application events",
        )
    else:
        yield Check("unattached", "ok", "every candidate is known by more than an application")


_Look = Callable[[Connection, datetime], Iterator[Check]]
GROUND: tuple[_Look, ...] = (_server, _migrations, _append_only, _counted)
"""What all else stands on."""
WORK: tuple[_Look, ...] = (_projections, _alerts)
"""Who works on it."""

__all__ = ["GROUND", "WORK", "gapless", "inbox", "unattached"]
