"""`journey contradictions`: what followed what must not follow it, with its evidence."""

from __future__ import annotations

from typing import Annotated

import typer

from consumers.cli.options import AsJson, Moment, check_known, moment


def contradictions(
    candidate: Annotated[
        str | None, typer.Option("--candidate", help="Only this candidate's.", show_default=False)
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", help="Only by this rule.", show_default=False)
    ] = None,
    pending: Annotated[
        bool, typer.Option("--pending", help="Also what is owed and not yet overdue.")
    ] = False,
    at: Moment = None,
    as_json: AsJson = False,
) -> None:
    """Contradictions: what must not have followed, or is owed and did not come.

    Verdicts: violated (for good), mendable (overdue, a late answer mends it), satisfied (mended),
    pending (owed by `since`; only with --pending).

    Example: journey contradictions --rule reference_after_rejection

    JSON: a list of {candidate_id, application_id, rule, verdict, severity, since, until,
    touchpoint_ids, explanation, evidence: [{id, kind, at}], finding_key}.
    """
    from consumers.bootstrap import installation
    from consumers.cli.output import print_json, print_table

    now = moment(at)
    with installation() as engine:
        check_known(rule, engine.meaning.rules.rules, "rule")
        found = engine.queries.contradictions(
            now or engine.clock.now(),
            candidate_id=engine.log.find(candidate) if candidate else None,
            rule=rule,
            pending=pending,
        )
    if as_json:
        print_json(found)
        return
    print_table(
        ("candidate", "application", "verdict", "severity", "since (UTC)", "rule", "explanation"),
        [
            (
                each.candidate_id,
                each.application_id,
                each.verdict,
                each.severity,
                each.since,
                each.rule,
                each.explanation,
            )
            for each in found
        ],
        empty="No contradictions.",
    )
