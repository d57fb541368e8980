"""`journey rebuild`: every view anew from the log, beside the live ones, compared, swapped in."""

from __future__ import annotations

from typing import Annotated

import typer

from consumers.cli.errors import FOUND
from consumers.cli.options import AsJson


def rebuild(
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Processes.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compare and change nothing; 1 if they differ.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build every view anew from the log and swap it in; readers never see a gap, nothing is sent.

    Do it after policies or rules changed. Differences are rows that the live view had otherwise.

    Example: journey rebuild --jobs 2

    JSON: {touchpoints, journeys, seconds, position, differences: {table: rows}, dry_run}.
    """
    from consumers.bootstrap import installation
    from consumers.cli.output import console, print_json
    from consumers.cli.progress import counting
    from projections.rebuild import rebuild as rebuild_views

    with installation() as engine:
        engine.database  # noqa: B018 - opened before the bar is drawn
        with counting("folding", "touchpoints/s") as progress:
            built = rebuild_views(
                engine.database,
                engine.meaning,
                engine.clock.now(),
                jobs=jobs,
                progress=progress,
                dry_run=dry_run,
            )
    differ = sum(built.differences.values())
    if as_json:
        print_json(
            {
                "touchpoints": built.touchpoints,
                "journeys": built.journeys,
                "seconds": round(built.seconds, 3),
                "position": built.position,
                "differences": built.differences,
                "dry_run": dry_run,
            }
        )
    else:
        out = console()
        rate = built.touchpoints / built.seconds if built.seconds else 0
        out.print(
            f"{built.touchpoints:,} touchpoints of {built.journeys:,} journeys in "
            f"{built.seconds:.1f} s ({rate:,.0f} a second), up to position {built.position:,}."
        )
        for table, rows in built.differences.items():
            out.print(f"{table}: {'the same' if not rows else f'{rows:,} rows differed'}")
        out.print("Nothing was changed." if dry_run else "The new views are in place.")
    if dry_run and differ:
        raise typer.Exit(FOUND)
