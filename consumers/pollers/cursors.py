"""How far each connection was polled: read and written in the transaction of what was fetched.

A list is read from a moment on, `OVERLAP` before the newest change that was ever told: a system
may commit late what it stamped early, and what was kept already is recognised. That moment is the
system's own and never our clock's.

Pages shift while they are read. An object that goes (deleted, or sorted to another place because
it changed) moves its successors one place up, and the one that crosses from the next page to the
last one is shown on neither. So a list of several pages is read again until a whole pass shows
nothing that the pass before should have shown; only then the cursor moves, and only as far as the
pass before had seen: what is newer was looked for once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta

from consumers.pollers.poller import Found
from journey.database import Connection as DatabaseConnection
from schemas.ats.lenient import FIRST_ATS
from schemas.identifiers import DeliveryId

OVERLAP = timedelta(minutes=10)
MOST_PASSES = 5
"""A list that has not come to rest by then is read anew from the old cursor in the next round."""

# Any fixed number, beside the hash of schema and connection: one process asks at a time.
LOCK = 0x706F6C


@dataclass(frozen=True, slots=True)
class Poll:
    """A connection that is polled: the round that goes on, and what stands in its way."""

    connection: str
    next_at: datetime
    endpoint: str | None = None
    began_at: datetime | None = None
    failures: int = 0
    problem: str | None = None
    refused: bool = False
    is_whole: bool = True
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a list was read."""

    connection: str
    endpoint: str
    cursor_at: datetime | None = None
    next_url: str | None = None
    newest_at: datetime | None = None
    floor_at: datetime | None = None
    pass_number: int = 1
    pages: int = 0
    gained: int = 0
    problem: str | None = None

    @property
    def since(self) -> datetime | None:
        """From when on the list is read; None: from its beginning."""
        if self.cursor_at is None or self.cursor_at < FIRST_ATS:
            # There is no overlap before year 1.
            return None
        return self.cursor_at - OVERLAP

    @property
    def has_begun(self) -> bool:
        """Whether its reading goes on where it was interrupted."""
        return self.next_url is not None or self.pass_number > 1

    def after_page(
        self, shown: Iterable[Found], new: Iterable[Found], next_url: str | None, now: datetime
    ) -> Cursor:
        """The cursor after a page that showed these objects, some of them new to us.

        A change that the system dates into our future does not move the cursor: all that is
        changed before it would never be asked for. By less than the overlap it loses nothing.
        """
        moments = [each.updated_at for each in shown if each.updated_at is not None]
        newest = _newest(self.newest_at, *(at for at in moments if at <= now + OVERLAP))
        missed = sum(self._should_have_been_shown(each) for each in new)
        return replace(
            self,
            next_url=next_url,
            newest_at=newest,
            pages=self.pages + 1,
            gained=self.gained + missed,
            problem=None,
        )

    def _should_have_been_shown(self, found: Found) -> bool:
        if self.pass_number == 1:
            return False
        return (
            found.updated_at is None or self.floor_at is None or found.updated_at <= self.floor_at
        )

    @property
    def is_settled(self) -> bool:
        """At the end of a pass: nothing can have slipped through."""
        return self.pages <= 1 or (self.pass_number > 1 and self.gained == 0)

    def next_pass(self) -> Cursor:
        """The same list from its beginning."""
        return replace(
            self,
            next_url=None,
            pages=0,
            gained=0,
            floor_at=self.newest_at,
            pass_number=self.pass_number + 1,
        )

    def at_end(self, *, moved: bool) -> Cursor:
        """Ready for the next round; `moved` to the newest change before which none was missed.

        One page is read at once, so nothing slips; of several, that is what the pass before saw.
        """
        reached = self.newest_at if self.pages <= 1 else self.floor_at
        cursor_at = _newest(self.cursor_at, reached) if moved else self.cursor_at
        return Cursor(self.connection, self.endpoint, cursor_at, problem=self.problem)


def _newest(*moments: datetime | None) -> datetime | None:
    return max((at for at in moments if at is not None), default=None)


@dataclass(frozen=True, slots=True)
class Kept:
    """The version of an object that was kept last."""

    fingerprint: bytes
    delivery_id: DeliveryId


# --- rows -----------------------------------------------------------------------------------


def lock(connection: DatabaseConnection, name: str) -> bool:
    """Keep others from polling this connection until the transaction ends; False if one does.

    The transaction may be idle while a system takes its time, whatever the server thinks of that.
    """
    row = connection.execute(
        "SELECT pg_try_advisory_xact_lock(%s, hashtext(current_schema() || ' ' || %s)), "
        "set_config('idle_in_transaction_session_timeout', '0', true)",
        [LOCK, name],
    ).fetchone()
    return row is not None and bool(row[0])


_POLL = ", ".join(each.name for each in fields(Poll))
_CURSOR = ", ".join(each.name for each in fields(Cursor))


def load_poll(connection: DatabaseConnection, name: str) -> Poll | None:
    """The row of a connection, or None if it was never polled."""
    row = connection.execute(f"SELECT {_POLL} FROM polls WHERE connection = %s", [name]).fetchone()
    return None if row is None else Poll(*row)


def save_poll(connection: DatabaseConnection, poll: Poll) -> None:
    """Write the row of a connection."""
    _save(connection, "polls", ("connection",), asdict(poll))


def load_cursor(connection: DatabaseConnection, name: str, endpoint: str) -> Cursor:
    """The row of a list; a new one if it was never read."""
    row = connection.execute(
        f"SELECT {_CURSOR} FROM poll_cursors WHERE (connection, endpoint) = (%s, %s)",
        [name, endpoint],
    ).fetchone()
    return Cursor(name, endpoint) if row is None else Cursor(*row)


def load_cursors(connection: DatabaseConnection, name: str) -> list[Cursor]:
    """Every list of a connection that was read."""
    rows = connection.execute(
        f"SELECT {_CURSOR} FROM poll_cursors WHERE connection = %s ORDER BY endpoint", [name]
    )
    return [Cursor(*row) for row in rows]


def save_cursor(connection: DatabaseConnection, cursor: Cursor) -> None:
    """Write the row of a list."""
    _save(connection, "poll_cursors", ("connection", "endpoint"), asdict(cursor))


def _save(
    connection: DatabaseConnection, table: str, key: tuple[str, ...], row: dict[str, object]
) -> None:
    columns = ", ".join(row)
    values = ", ".join("%s" for _ in row)
    changed = ", ".join(f"{name} = excluded.{name}" for name in row if name not in key)
    connection.execute(
        f"INSERT INTO {table} ({columns}) VALUES ({values}) "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changed}",
        list(row.values()),
    )


# --- objects --------------------------------------------------------------------------------


def kept(
    connection: DatabaseConnection, name: str, endpoint: str, object_ids: Sequence[str]
) -> dict[str, Kept]:
    """Those of these objects that were kept before, by id."""
    rows = connection.execute(
        "SELECT object_id, fingerprint, delivery_id FROM poll_objects "
        "WHERE connection = %s AND endpoint = %s AND object_id = ANY(%s)",
        [name, endpoint, list(object_ids)],
    )
    return {row[0]: Kept(bytes(row[1]), DeliveryId(str(row[2]))) for row in rows}


def remember(
    connection: DatabaseConnection,
    name: str,
    endpoint: str,
    objects: Sequence[tuple[Found, DeliveryId, datetime | None]],
) -> None:
    """These versions are kept, in these deliveries; at the moment beside to be asked about."""
    if not objects:
        return
    connection.execute(
        "INSERT INTO poll_objects "
        "SELECT %s, %s, new.* FROM unnest(%s::text[], %s::bytea[], %s::uuid[], %s::timestamptz[]) "
        "AS new (object_id, fingerprint, delivery_id, look_at) "
        "ON CONFLICT (connection, endpoint, object_id) DO UPDATE SET "
        "fingerprint = excluded.fingerprint, delivery_id = excluded.delivery_id, "
        "look_at = excluded.look_at",
        [
            name,
            endpoint,
            [found.object_id for found, _, _ in objects],
            [found.fingerprint for found, _, _ in objects],
            [delivery_id for _, delivery_id, _ in objects],
            [look_at for _, _, look_at in objects],
        ],
    )


def to_look_at(
    connection: DatabaseConnection, name: str, endpoint: str, now: datetime
) -> tuple[str, DeliveryId] | None:
    """The object that waits longest to be asked about: its id and the delivery that holds it."""
    row = connection.execute(
        "SELECT object_id, delivery_id FROM poll_objects "
        "WHERE connection = %s AND endpoint = %s AND look_at <= %s "
        "ORDER BY look_at, object_id LIMIT 1",
        [name, endpoint, now],
    ).fetchone()
    return None if row is None else (row[0], DeliveryId(str(row[1])))


def looked_at(
    connection: DatabaseConnection,
    name: str,
    endpoint: str,
    object_id: str,
    again_at: datetime | None = None,
) -> None:
    """It was asked about; again at this moment, if at all."""
    connection.execute(
        "UPDATE poll_objects SET look_at = %s "
        "WHERE (connection, endpoint, object_id) = (%s, %s, %s)",
        [again_at, name, endpoint, object_id],
    )


def waiting(connection: DatabaseConnection, name: str, now: datetime) -> int:
    """How many objects should have been asked about by now."""
    row = connection.execute(
        "SELECT count(*) FROM poll_objects WHERE connection = %s AND look_at <= %s", [name, now]
    ).fetchone()
    return 0 if row is None else int(row[0])


def bodies(
    connection: DatabaseConnection, delivery_ids: Sequence[DeliveryId]
) -> dict[DeliveryId, bytes]:
    """What these deliveries hold; one that is gone is left out."""
    rows = connection.execute(
        "SELECT delivery_id, body FROM deliveries WHERE delivery_id = ANY(%s::uuid[])",
        [list(delivery_ids)],
    )
    return {DeliveryId(str(row[0])): bytes(row[1]) for row in rows}
