"""`journey demo`: the main job on a made-up story, from signed webhooks to alerts."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the data folder, and say where it is.")
    ] = False,
) -> None:
    """Run the main job on a story of nine candidates, in a folder of its own.

    Starts the real server, posts signed webhooks to it, and shows one journey, the open alerts and
    the contradictions. Clock and story are fixed, so it prints the same on every day and machine.

    Example: journey demo --keep
    """
    from consumers.demo.runner import run_demo

    run_demo(keep=keep)
