"""`read_xes`, `read_csv`, `import_to_store`: a log of a million events in, beside PM4Py.

Each contender reads in a process of its own, so that peaks of memory are its own too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.append import Fixed, _copy, _rows
from bench.harness import NOW, Figure, in_turn, peak_mb, seconds, tenant
from bench.logs import MAP, write_csv, write_xes
from consumers.imports.formats import open_log
from consumers.imports.history import Importer, aside_of
from consumers.imports.log_map import LogMap
from consumers.imports.translate import Translator
from journey.collector import collector_paused
from journey.database import Database
from journey.journey_log import JourneyLog
from journey.vault import Vault

_ROUNDS = 2


def run_read(url: str, size: int = 1_000_000, seed: int = 4) -> Iterator[Figure]:
    """Files to statements in memory, a statement at a time, against PM4Py's own readers."""
    with tempfile.TemporaryDirectory(prefix="journey-bench-") as folder:
        xes, csv = Path(folder, "log.xes.gz"), Path(folder, "log.csv")
        write_xes(xes, size, seed)
        write_csv(csv, size, seed)
        for name, path, peer, bar in (
            ("read_xes", xes, "pm4py.read_xes", ">= 1.5, peak <= 150 MB"),
            ("read_csv", csv, "pandas.read_csv, pm4py.format_dataframe", ">= 0.3, peak <= 150 MB"),
        ):
            peaks: dict[str, float] = {}
            ours, theirs = in_turn(
                _child("ours", path, size, peaks), _child("pm4py", path, size, peaks),
                usual=_ROUNDS,
            )  # fmt: skip
            yield Figure(
                name, round(ours), "events/s", size, seed, peer, round(theirs),
                round(ours / theirs, 2), bar,
                {"peak_mb": peaks["ours"], "peer_peak_mb": peaks["pm4py"]},
            )  # fmt: skip


def run_import(url: str, size: int = 1_000_000, seed: int = 4) -> Iterator[Figure]:
    """The whole way: checked, read, translated, identified, appended, resumable at each batch."""
    with tempfile.TemporaryDirectory(prefix="journey-bench-") as folder:
        csv, xes = Path(folder, "log.csv"), Path(folder, "log.xes.gz")
        write_csv(csv, size, seed)
        write_xes(xes, size, seed)
        with tenant(url) as database:
            rate = _imported(database, csv, size)
            rows = _rows(database, min(size, 100_000))
        with tenant(url) as copied:
            peer = len(rows) / seconds(lambda: _copy(copied, rows))
        with tenant(url) as database:
            from_xes = _imported(database, xes, size)
    yield Figure(
        "import_to_store", round(rate), "events/s", size, seed,
        "binary COPY, same rows, same indexes", round(peer), round(rate / peer, 3),
        ">= 12000 events/s", {"xes_gz_events_per_second": round(from_xes)},
    )  # fmt: skip


def _imported(database: Database, path: Path, size: int) -> float:
    """Events a second of one import of a file."""
    log_map = LogMap.model_validate(MAP)
    log_file = open_log(path, log_map)
    importer = Importer(database, JourneyLog(database, Vault(bytes(32)), Fixed()), Fixed())
    translate = Translator(log_map, log_file.key)
    taken = seconds(
        lambda: importer.run(
            log_file,
            translate,
            log_map,
            quiet_until=NOW,
            aside=aside_of(path),
        )
    )
    return size / taken


def _child(who: str, path: Path, size: int, peaks: dict[str, float]) -> Callable[[], float]:
    def read() -> float:
        command = [sys.executable, "-m", "bench.imports", who, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        assert told["events"] == size, told
        peaks[who] = max(peaks.get(who, 0), told["peak_mb"])
        return float(size / told["seconds"])

    return read


def _ours(path: Path) -> tuple[int, float]:
    log_map = LogMap.model_validate(MAP)
    started = time.perf_counter()
    log_file = open_log(path, log_map)
    translate = Translator(log_map, log_file.key).translate
    with collector_paused():
        events = sum(len(translate(cells)) for _, cells, _ in log_file.rows())
    return events, time.perf_counter() - started


def _pm4py(path: Path) -> tuple[int, float]:
    import warnings

    warnings.simplefilter("ignore")
    import pandas
    import pm4py

    started = time.perf_counter()
    if path.suffix == ".csv":
        frame = pm4py.format_dataframe(
            pandas.read_csv(path), case_id="case:concept:name", activity_key="concept:name",
            timestamp_key="time:timestamp",
        )  # fmt: skip
    else:
        frame = pm4py.read_xes(str(path))
    return len(frame), time.perf_counter() - started


if __name__ == "__main__":
    events, taken = {"ours": _ours, "pm4py": _pm4py}[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps({"events": events, "seconds": taken, "peak_mb": round(peak_mb())}))
