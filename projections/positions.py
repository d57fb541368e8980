"""How far the projections have read the log: one position, or one a lane.

A lane is a share of the journeys, told by the last byte of their id, so that several processes
may project at once. Who folds a lane holds its row locked until the commit that moves it: that is
the fence, and whoever comes late finds the row moved.

Who is read as part of whom changes which lane a touchpoint belongs to. So `journey_members`
changes only while every lane is at rest: lanes take turns on one advisory lock, shared to fold,
alone to change what all of them rest on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from psycopg import sql

from journey.database import Connection, Database
from journey.storage import JourneyDatastore

TRACKED = "projections"
"""The position's name where there is one lane; of several each has its own (`lane_name`)."""

MEMBERS = "journey_members"
"""The name under which stands how far merges were read; with one lane it needs no row."""

MOST_LANES = 256
"""As many as a byte tells apart."""

LANE = "get_byte(uuid_send({journey}), 15) %% {lanes}"
"""SQL of `lane_of`."""

IS_MERGE = "topic IN ('touchpoint.candidates_merged.v1', 'touchpoint.candidates_unmerged.v1')"
"""SQL of what changes who is part of whom, in the words of the log's index of them."""

_OURS = f"(starts_with(application_name, '{TRACKED}') OR application_name = '{MEMBERS}')"
_LANES_LOCK = 0x6C616E65


def lane_of(journey_id: UUID, lanes: int) -> int:
    """Which lane a journey is in. Ids are digests, so lanes are about even."""
    return (journey_id.int & 0xFF) % lanes


def lane_name(lane: int, lanes: int) -> str:
    """The name of a lane's position."""
    return TRACKED if lanes == 1 else f"{TRACKED}/{lane}-of-{lanes}"


@dataclass(frozen=True, slots=True)
class Positions:
    """Where every lane is, and how far merges are taken in. No lanes: nothing was projected yet."""

    lanes: tuple[int, ...]
    members: int

    @property
    def least(self) -> int:
        """Up to here the log is projected."""
        return min(self.lanes, default=0)

    @property
    def most(self) -> int:
        """No lane is beyond."""
        return max(self.lanes, default=0)

    def of(self, journey_id: UUID) -> int:
        """The position of a journey's lane."""
        return self.lanes[lane_of(journey_id, len(self.lanes))]


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do: `unread_merges` up to `head` must be taken in before anything else."""

    positions: Positions
    head: int
    unread_merges: bool


class ViewTracking(PostgresTrackingRecorder):
    """The library's tracking recorder, writing positions in our transaction."""

    def __init__(self, database: Database) -> None:
        super().__init__(JourneyDatastore(database), tracking_table_name="projection_tracking")
        # Named whole: the schema need not be first on the connection's path.
        self._table = sql.Identifier(database.schema, self.tracking_table_name)
        self._schema = database.schema

    def create_table(self) -> None:
        """Nothing: the numbered migrations make the table."""

    # --- one lane ---------------------------------------------------------------------------

    def lock(self, connection: Connection) -> int | None:
        """The one position, locked until the end of the transaction; None if there is no such."""
        row = connection.execute(
            self._sql("SELECT notification_id FROM {} WHERE application_name = %s FOR UPDATE"),
            [TRACKED],
        ).fetchone()
        return None if row is None else int(row[0])

    def move(self, connection: Connection, position: int) -> None:
        """Write the one position. Raises the library's IntegrityError if it would go back."""
        self._insert_tracking(connection.cursor(), Tracking(TRACKED, position))  # type: ignore[arg-type]

    # --- several ----------------------------------------------------------------------------

    def share(self, connection: Connection) -> None:
        """Keep who is part of whom as it is, until the end of the transaction."""
        connection.execute(
            "SELECT pg_advisory_xact_lock_shared(%s, hashtext(%s))", [_LANES_LOCK, self._schema]
        )

    def alone(self, connection: Connection) -> Positions:
        """Where every lane is, none of them moving until the end of the transaction."""
        connection.execute(
            "SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LANES_LOCK, self._schema]
        )
        # The rows too: who has the only lane holds its row and nothing else.
        rows = connection.execute(
            self._sql(
                "SELECT application_name, notification_id FROM {} "
                f"WHERE {_OURS} ORDER BY application_name FOR UPDATE"
            )
        ).fetchall()
        return _positions(rows)

    def positions(self, connection: Connection) -> Positions:
        """Where every lane is just now."""
        rows = connection.execute(self._sql("SELECT application_name, notification_id FROM {}"))
        return _positions(rows.fetchall())

    def work(self, connection: Connection, up_to: int | None) -> Work:
        """What there is to do, up to a position or the end of the log."""
        rows = connection.execute(
            self._sql(
                "SELECT application_name, notification_id, head, EXISTS ("
                f"SELECT FROM journey_events WHERE {IS_MERGE} AND "
                "notification_id > (SELECT notification_id FROM {} WHERE application_name = %s) "
                "AND notification_id <= head) "
                "FROM {}, (SELECT least(position, %s::bigint) AS head FROM log_head) AS log"
            ),
            [MEMBERS, up_to],
        ).fetchall()
        _, _, head, unread_merges = rows[0] if rows else ("", 0, 0, False)
        return Work(_positions(rows), head, unread_merges)

    def take(
        self, connection: Connection, lanes: Collection[int], of: int, at_most: int, before: int
    ) -> dict[int, int]:
        """Lock free ones of these lanes that are before a position, the furthest behind first.

        Lane → position; never waits, and is empty when others hold them all.
        """
        names = {lane_name(lane, of): lane for lane in lanes}
        rows = connection.execute(
            self._sql(
                "SELECT application_name, notification_id FROM {} WHERE application_name = ANY(%s) "
                "AND notification_id < %s ORDER BY notification_id LIMIT %s FOR UPDATE SKIP LOCKED"
            ),
            [list(names), before, at_most],
        )
        return {names[name]: int(position) for name, position in rows}

    def move_lanes(
        self, connection: Connection, lanes: Collection[int], of: int, position: int
    ) -> None:
        """Move lanes on to a position; one that is beyond it stays."""
        connection.execute(
            self._sql(
                "UPDATE {} SET notification_id = %s "
                "WHERE application_name = ANY(%s) AND notification_id < %s"
            ),
            [position, [lane_name(lane, of) for lane in lanes], position],
        )

    def lay_out(self, connection: Connection, lanes: int, position: int, members: int) -> None:
        """Have so many lanes, all at one position. The caller is `alone`."""
        rows = {lane_name(lane, lanes): position for lane in range(lanes)}
        if lanes > 1:
            rows[MEMBERS] = members
        connection.execute(
            self._sql(f"DELETE FROM {{}} WHERE application_name <> ALL(%s) AND {_OURS}"),
            [list(rows)],
        )
        connection.execute(
            self._sql(
                "INSERT INTO {} SELECT * FROM unnest(%s::text[], %s::bigint[]) "
                "ON CONFLICT (application_name) "
                "DO UPDATE SET notification_id = excluded.notification_id"
            ),
            [list(rows), list(rows.values())],
        )

    def move_members(self, connection: Connection, position: int) -> None:
        """Merges are taken in up to here. The caller is `alone`."""
        connection.execute(
            self._sql("UPDATE {} SET notification_id = %s WHERE application_name = %s"),
            [position, MEMBERS],
        )

    def _sql(self, statement: str) -> sql.Composed:
        return sql.SQL(statement.replace("{}", "{0}")).format(self._table)


def projected_up_to(connection: Connection) -> int:
    """The position up to which the whole log is projected; 0 at the start."""
    return positions_of(connection).least


def positions_of(connection: Connection) -> Positions:
    """Where every lane of the connection's tenant is just now."""
    rows = connection.execute("SELECT application_name, notification_id FROM projection_tracking")
    return _positions(rows.fetchall())


def _positions(rows: Sequence[tuple]) -> Positions:  # type: ignore[type-arg]
    told = {row[0]: int(row[1]) for row in rows}
    of = sum(name.startswith(TRACKED) for name in told)
    lanes = tuple(told[lane_name(lane, of)] for lane in range(of))
    return Positions(lanes, told.get(MEMBERS, 0))


__all__ = [
    "IS_MERGE",
    "LANE",
    "MOST_LANES",
    "Positions",
    "ViewTracking",
    "Work",
    "lane_of",
    "positions_of",
    "projected_up_to",
]
