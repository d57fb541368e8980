"""`python -m bench [--only NAME] [--size N] [--rounds N]`: a JSON line a figure, with its peer."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator

import structlog

from bench import (
    append,
    delivery_to_view,
    exports,
    imports,
    ingest,
    kafka,
    kafka_publish,
    measures,
    projections,
    reads,
    webhook,
)
from bench.harness import Figure, ask_for_rounds, server

Run = Callable[..., Iterator[Figure]]

FIGURES: dict[str, Run] = {
    "append_vs_save": append.run,
    "append_vs_copy": append.run,
    "rebuild_vs_runner": projections.run_rebuild,
    "rebuild_vs_scan": projections.run_rebuild,
    "live_vs_runner": projections.run_live,
    "webhook_vs_insert": webhook.run,
    "deliveries_to_touchpoints": ingest.run,
    "as_of_read": reads.run,
    "read_xes": imports.run_read,
    "read_csv": imports.run_read,
    "import_to_store": imports.run_import,
    "export_parquet": exports.run_parquet,
    "export_ocel": exports.run_ocel,
    "dfg": measures.run,
    "project_two": projections.run_two,
    "kafka_publish": kafka_publish.run,
    "delivery_to_view": delivery_to_view.run,
    "kafka_ingest": kafka.run_ingest,
    "kafka_ingest_two": kafka.run_two,
    "kafka_receiver": kafka.run_receiver,
    "growth": projections.run_growth,
}
"""Name → what measures it; two names of one measurement share its run."""


def main() -> int:
    """Run what was asked for; 2 for a name that is none."""
    asked = argparse.ArgumentParser(prog="make bench", description=__doc__)
    asked.add_argument("--only", help=f"one of: {', '.join(FIGURES)}")
    asked.add_argument(
        "--size", type=int, help="events, deliveries or requests, instead of the default"
    )
    asked.add_argument(
        "--rounds", type=int, help="how often each contender takes its turn, usually three times"
    )
    given = asked.parse_args()
    if given.only is not None and given.only not in FIGURES:
        print(f"no figure is called {given.only}; known: {', '.join(FIGURES)}", file=sys.stderr)
        return 2
    if given.rounds is not None:
        ask_for_rounds(given.rounds)
    # Standard output is for the figures.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    runs = [FIGURES[given.only]] if given.only else list(dict.fromkeys(FIGURES.values()))
    sized = {} if given.size is None else {"size": given.size}
    for run in runs:
        # A server for each, so that no measurement inherits another's buffers or bloat.
        with server() as url:
            for figure in run(url, **sized):
                if given.only in (None, figure.name) or given.only == "growth":
                    print(json.dumps(figure.line()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
