"""Rows into tables: binary COPY, batches only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from psycopg import sql
from psycopg.types.json import set_json_dumps

from journey.database import Connection
from projections.projection import Row


def use_fast_json(connection: Connection) -> None:
    """Have jsonb values encoded in C on this connection."""
    set_json_dumps(msgspec.json.encode, connection)


def copy_statement(table: str, columns: Sequence[str]) -> sql.Composed:
    """The COPY that takes these columns in binary form."""
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )


def copy_rows(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    types: Sequence[str],
    rows: Iterable[Row],
) -> None:
    """Put rows into a table by one COPY, in the caller's transaction."""
    with connection.cursor().copy(copy_statement(table, columns)) as copy:
        copy.set_types(types)
        write = copy.write_row
        for row in rows:
            write(row)
