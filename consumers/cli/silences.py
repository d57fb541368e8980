"""`journey silences`: who is waiting, since when, and what the policies say."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from consumers.cli.options import AsJson, Moment, check_known, moment


def silences(
    candidate: Annotated[
        str | None, typer.Option("--candidate", help="Only this candidate's.", show_default=False)
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", help="Only by this policy.", show_default=False)
    ] = None,
    level: Annotated[
        Literal["nudge", "breach", "ghosted"] | None,
        typer.Option(
            "--level", help="Only those that have reached at least this.", show_default=False
        ),
    ] = None,
    at: Moment = None,
    as_json: AsJson = False,
) -> None:
    """Open silences: which candidate is waiting, since when, for what.

    A line a policy that holds; level – means still in time.

    Example: journey silences --level breach

    JSON: a list of {candidate_id, application_id, policy, level, since, until, touchpoint_ids,
    explanation, began_kind, ended_kind, stage, job_id, source, chases, next_level, next_due_at}.
    """  # fmt: skip
    from consumers.bootstrap import installation
    from consumers.cli.output import print_json, print_table

    now = moment(at)
    with installation() as engine:
        check_known(policy, (each.name for each in engine.meaning.policies.policies), "policy")
        found = engine.queries.open_silences(
            now or engine.clock.now(),
            candidate_id=engine.log.find(candidate) if candidate else None,
            policy=policy,
            at_least=level,
        )
    if as_json:
        print_json(found)
        return
    print_table(
        ("candidate", "application", "level", "since (UTC)", "policy", "explanation"),
        [
            (
                each.candidate_id,
                each.application_id,
                each.level,
                each.since,
                each.policy,
                each.explanation,
            )
            for each in found
        ],
        empty="Nobody is waiting for an answer.",
    )
