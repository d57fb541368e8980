"""`journey doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

from typing import Annotated

import typer

from consumers.cli.errors import FOUND
from consumers.cli.options import AsJson

Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="Leave out what reads whole tables (gaps, candidates known only by an application).",
    ),
]


def doctor(quick: Quick = False, as_json: AsJson = False) -> None:
    """Look at everything that can go wrong; exit code 1 when something has.

    Example: journey doctor || journey deliveries list --status dead

    JSON: a list of {check, status: ok | note | wrong, found, advice}.
    """
    from consumers.bootstrap import installation
    from consumers.cli.output import console, print_json, print_table
    from consumers.health.examine import examine, summary

    with installation() as engine:
        checks = list(examine(engine, quick=quick))
    if as_json:
        print_json(checks)
    else:
        print_table(
            ("check", "status", "found"),
            [
                (
                    check.check,
                    check.status,
                    f"{check.found}; {check.advice}" if check.advice else check.found,
                )
                for check in checks
            ],
            empty="Nothing was looked at.",
        )
        console().print()
        console().print(summary(checks))
    if any(check.status == "wrong" for check in checks):
        raise typer.Exit(FOUND)
