"""`journey serve`: all processes that do some work, in one."""

from __future__ import annotations

import typer

from consumers.cli.errors import FOUND


def serve() -> None:
    """Receive, poll, ingest, project, sweep and notify, in one process, until SIGTERM or Ctrl-C.

    Listens on JOURNEY_HOST:JOURNEY_PORT for POST /webhooks/<connection>. Alerts are lines on
    standard output, and signed posts when JOURNEY_ALERT_WEBHOOK_URL is set; the log is on stderr.
    With JOURNEY_KAFKA set, touchpoints and alerts are published there.

    Example: JOURNEY_PORT=8080 journey serve
    """
    from consumers.bootstrap import installation
    from consumers.logging import configure_logging
    from consumers.processes import run_processes, served

    with installation() as engine:
        configure_logging(engine.settings.log)
        if not run_processes(engine, served(with_kafka=bool(engine.settings.kafka))):
            raise typer.Exit(FOUND)
