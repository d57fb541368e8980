"""A scratch database: for what must be remembered while a file is read or written, and may be
more than fits in memory."""

from __future__ import annotations

import sqlite3


def scratch(tables: str) -> sqlite3.Connection:
    """A database of SQLite's without a name, with these tables.

    It is held in memory while it is small, else in a file that vanishes with it.
    """
    database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
    database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {tables}")
    return database
