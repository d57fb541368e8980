"""`export_parquet`, `export_ocel`: the whole log to a file, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.harness import Figure, peak_mb, rounds
from bench.log import filled
from journey.database import Database

PEER_SHARE = 10
"""PM4Py holds a log in memory, 13 GB and many minutes for a million events: it writes a tenth, and
rates are compared."""


def run_parquet(url: str, size: int = 1_000_000, seed: int = 1) -> Iterator[Figure]:
    """Seconds from the store to a Parquet file."""
    with filled(url, size, seed) as database, tempfile.TemporaryDirectory() as folder:
        done = _best(database, "parquet", Path(folder, "log.parquet"))
    yield Figure(
        "export_parquet", round(done["seconds"], 2), "s", size, seed, bar="<= 15",
        more=_more(done),
    )  # fmt: skip


def run_ocel(url: str, size: int = 1_000_000, seed: int = 1) -> Iterator[Figure]:
    """From the store to OCEL 2.0 JSON, beside PM4Py writing the same log from its own memory."""
    with tempfile.TemporaryDirectory() as folder:
        with filled(url, size // PEER_SHARE, seed) as database:
            tenth = Path(folder, "tenth.jsonocel")
            _export(database, "ocel-json", tenth)
            peer = _peer(tenth)
            tenth.unlink()
        with filled(url, size, seed) as database:
            done = _best(database, "ocel-json", Path(folder, "log.jsonocel"))
    ours, theirs = done["touchpoints"] / done["seconds"], peer["events"] / peer["seconds"]
    yield Figure(
        "export_ocel", round(ours), "touchpoints/s", size, seed,
        "pm4py.write_ocel2_json of a log in memory", round(theirs), round(ours / theirs, 2),
        ">= 8",
        {
            **_more(done), "peak_bar_mb": 200, "peer_events": peer["events"],
            "peer_seconds": round(peer["seconds"], 1), "peer_peak_mb": round(peer["peak_mb"]),
        },
    )  # fmt: skip


def _more(done: dict[str, Any]) -> dict[str, Any]:
    return {
        "seconds": round(done["seconds"], 2),
        # Less what the server does: tells a busy machine from a slow program.
        "cpu_seconds": round(done["cpu_seconds"], 2),
        "peak_mb": round(done["peak_mb"]),
        "file_mb": round(done["bytes"] / 1e6),
    }


def _best(database: Database, form: str, target: Path) -> dict[str, Any]:
    """The quickest of some exports, with the highest peak of all."""
    exports = [_export(database, form, target) for _ in rounds()]
    best = min(exports, key=lambda done: float(done["seconds"]))
    return {**best, "peak_mb": max(done["peak_mb"] for done in exports)}


def _export(database: Database, form: str, target: Path) -> dict[str, Any]:
    return _elsewhere(database.url, database.schema, form, str(target))


def _peer(path: Path) -> dict[str, Any]:
    return _elsewhere("peer", str(path))


def _elsewhere(*arguments: str) -> dict[str, Any]:
    """In a process of its own, so that its peak memory is its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.exports", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main(arguments: list[str]) -> None:
    """One export, or the peer's: for the process that measures its memory."""
    done = _write_as_peer(Path(arguments[1])) if arguments[0] == "peer" else _write(*arguments)
    done["peak_mb"] = peak_mb()
    print(json.dumps(done))


def _write(url: str, schema: str, form: str, target: str) -> dict[str, Any]:
    from dataclasses import asdict

    from consumers.exports import ALL_FORMATS
    from consumers.exports.export import Exporter
    from projections.selection import Selection

    exporter = Exporter(Database(url, schema))
    started = time.process_time()
    done = exporter.to_file(ALL_FORMATS[form], Path(target), Selection(), overwrite=True)
    return {**asdict(done), "cpu_seconds": time.process_time() - started}


def _write_as_peer(path: Path) -> dict[str, Any]:
    import pm4py

    ocel = pm4py.read_ocel2_json(str(path))
    started = time.perf_counter()
    pm4py.write_ocel2_json(ocel, str(path.with_name("peer.jsonocel")))
    return {"events": len(ocel.events), "seconds": time.perf_counter() - started}


if __name__ == "__main__":
    main(sys.argv[1:])
