"""`journey show`: one journey on one line of time, now or as it stood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from consumers.cli.options import AsJson, AsOf, Candidate, Moment, as_of, moment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from projections.queries import JourneyMap
    from schemas.personal import Personal


def show(
    candidate: Candidate,
    as_of_text: AsOf = None,
    at: Moment = None,
    unseal: Annotated[
        bool,
        typer.Option("--unseal", help="Print names and texts, too; needs the master key."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One candidate's journey: touchpoints, silences, contradictions, alerts, on one line of time.

    It is folded from the log, also for a merged candidate. --as-of asks what we knew then, --at
    what had happened by then; both are judged as of that moment.

    Examples: journey show 3f2a91c0; journey show greenhouse:candidate/123 --at 2026-03-01

    JSON: {candidate_id, candidates, now, position, applications: […], silences: [… as in
    `silences`], contradictions: [… as in `contradictions`], pending, alerts: [{alert_id, subject,
    application_id, name, level, since, due_at, explanation}], timeline: [{at, what, name,
    application_id, level, text, touchpoint_ids, source, precision}]}; with --unseal also
    personal: {touchpoint_id: {name, emails, phones, addresses, links, text} or null}.
    """
    from consumers.bootstrap import installation
    from consumers.cli.output import print_json

    known, happened = as_of(as_of_text), moment(at)
    with installation() as engine:
        found = engine.log.find(candidate)
        journey = engine.queries.journey(found, engine.clock.now(), as_of=known, at=happened)
        personal = engine.queries.unsealed(found, as_of=known, at=happened) if unseal else None
    if as_json:
        import msgspec

        document = msgspec.to_builtins(journey)
        if personal is not None:
            document["personal"] = {
                str(key): None if each is None else each.model_dump(mode="json")
                for key, each in personal.items()
            }
        print_json(document)
        return
    _print(journey, personal)


def _print(journey: JourneyMap, personal: Mapping[UUID, Personal | None] | None) -> None:
    from consumers.cli.output import console, print_table
    from consumers.cli.timeline import LEGEND, lines

    out = console()
    others = ", ".join(str(each)[:8] for each in journey.candidates[1:])
    out.print(f"Candidate {journey.candidate_id}" + (f", also known as {others}" if others else ""))
    out.print(f"As of {journey.now:%Y-%m-%d %H:%M} UTC, position {journey.position:,} of the log.")
    out.print()
    print_table(
        ("application", "status", "turn", "stage", "interviews", "touchpoints", "last (UTC)"),
        [
            (
                each.application_id,
                each.status,
                each.turn,
                each.stage,
                each.interviews,
                each.touchpoints,
                each.last_at,
            )
            for each in journey.applications
        ],
        empty="No application is known.",
    )
    out.print()
    several = len(journey.applications) > 1
    for line in lines(journey.timeline, out.width, personal=personal, several=several):
        out.print(line)
    out.print()
    for owed in journey.pending:
        out.print(f"Owed by {owed.since:%Y-%m-%d %H:%M} UTC: {owed.explanation} ({owed.rule})")
    out.print(LEGEND, style="dim")
