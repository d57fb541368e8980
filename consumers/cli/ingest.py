"""`journey ingest`: deliveries from files, by the same way as those by webhook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consumers.cli.errors import FOUND, NotFound, WrongUsage
from consumers.cli.options import AsJson


def ingest(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            help="One body a file, or one a line; - is standard input.",
            show_default=False,
        ),
    ],
    connection: Annotated[
        str,
        typer.Option("--connection", "-c", help="Whose deliveries they are.", show_default=False),
    ],
    as_json: AsJson = False,
) -> None:
    """Keep deliveries from files, record what they say, and bring the views up to date.

    Repeats are harmless. Nobody signed these: who may read the files vouches for them.
    Exit code 1 when some became dead letters.

    Example: journey ingest export.ndjson --connection greenhouse

    JSON: {deliveries, recorded, context, dead, touchpoints, repeated, position}.
    """
    from consumers import inbox
    from consumers.bootstrap import installation
    from consumers.cli.output import console, print_json
    from consumers.ingest import ingest_payloads
    from consumers.logging import configure_logging

    configure_logging("console", level=40)
    with installation() as engine:
        if connection not in engine.connections:
            raise NotFound(
                f"no connection is called {connection!r}; `journey connections` lists them"
            )
        try:
            kept = ingest_payloads(
                engine.database, engine.connections[connection], files, engine.clock
            )
        except OSError as error:
            raise WrongUsage(f"{error.filename} cannot be read ({error.strerror})") from None
        stepped = engine.ingest.drain()
        position = engine.runner.catch_up()
        with engine.database.transaction() as transaction:
            mine = inbox.listing(
                transaction, inbox.Filters(ids=tuple(kept), status="dead"), limit=len(kept) or 1
            )
    told = {
        "deliveries": len(kept),
        "recorded": stepped.recorded,
        "context": stepped.context,
        "dead": len(mine),
        "touchpoints": stepped.touchpoints,
        "repeated": stepped.repeated,
        "position": position,
    }
    if as_json:
        print_json(told)
    else:
        console().print(
            f"{len(kept)} {'delivery' if len(kept) == 1 else 'deliveries'} kept: "
            f"{stepped.touchpoints} touchpoints are new, "
            f"{stepped.repeated} were known, {stepped.context} deliveries are about no candidate."
        )
        for dead in mine[:10]:
            console().print(f"Dead letter {dead.delivery_id}: {dead.reason}")
    if mine:
        raise typer.Exit(FOUND)
