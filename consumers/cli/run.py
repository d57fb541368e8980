"""`journey run`: one process by itself."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from consumers.cli.errors import FOUND


def run(
    process: Annotated[
        Literal[
            "receiver", "poll", "ingest", "project", "sweep", "notify", "publish", "alerts", "web"
        ],
        typer.Argument(help="Which process.", show_default=False),
    ],
) -> None:
    """Run one process, until SIGTERM or Ctrl-C. Any number of each may run at once.

    receiver keeps deliveries; poll asks the systems that do not push everything, for connections
    with a poll_key; ingest makes touchpoints of both; project keeps the views; sweep raises alerts
    when deadlines pass; notify sends them. With JOURNEY_KAFKA set, publish tells other teams every
    touchpoint, and alerts what happens to alerts. web shows how the installation
    does, on JOURNEY_WEB_HOST:JOURNEY_WEB_PORT, to those who look after it; it has no log-in.

    Example: journey run ingest
    """
    from consumers.bootstrap import installation
    from consumers.logging import configure_logging
    from consumers.processes import run_processes

    with installation() as engine:
        configure_logging(engine.settings.log)
        if not run_processes(engine, [process]):
            raise typer.Exit(FOUND)
