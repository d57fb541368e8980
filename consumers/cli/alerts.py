"""`journey alerts`: what somebody must see; `ack` and `resolve` say that somebody did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from consumers.cli.described import described
from consumers.cli.options import AsJson

if TYPE_CHECKING:
    from projections.alerts.lifecycle import Alert

app = typer.Typer(no_args_is_help=False)

_By = Annotated[
    str, typer.Option("--by", help="Who you are: an opaque id, not a name.", show_default=False)
]
_Id = Annotated[
    str, typer.Argument(metavar="ID", help="An alert's id or its first digits.", show_default=False)
]


def list_alerts(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    candidate: Annotated[
        str | None, typer.Option("--candidate", help="Only this candidate's.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Alerts that somebody must see, the longest overdue first.

    Examples: journey alerts; journey alerts ack 3f2a --by u17; journey alerts resolve 3f2a --by
    u17 --reason handled

    JSON: a list of {alert_id, state, subject, policy or rule, level, candidate_id,
    application_id, since, until, due_at, raised_at, reason, acknowledged_by, resolved_by,
    resolved_at, touchpoint_ids, explanation}.
    """
    if context.invoked_subcommand is not None:
        return
    from consumers.bootstrap import installation
    from consumers.cli.output import print_json, print_table
    from projections.alerts.lifecycle import STATES

    with installation() as engine:
        candidate_id = None
        if candidate:
            # Alerts stand under the journey that a merged candidate is read as part of.
            found_id = engine.log.find(candidate)
            candidate_id = engine.queries.journey(found_id, engine.clock.now()).candidate_id
        found = engine.alerts.list(
            STATES if everything else ("open", "acknowledged"), candidate_id=candidate_id
        )
    if as_json:
        print_json([_fields(alert) for alert in found])
        return
    print_table(
        ("alert", "state", "level", "candidate", "application", "due (UTC)", "what", "explanation"),
        [
            (
                alert.alert_id,
                alert.state if alert.reason is None else f"{alert.state}: {alert.reason}",
                alert.level,
                alert.candidate_id,
                alert.application_id,
                alert.due_at,
                alert.name,
                alert.explanation,
            )
            for alert in found
        ],
        empty="No alerts are open.",
    )


def acknowledge(alert: _Id, by: _By, as_json: AsJson = False) -> None:
    """Say that you take care of an alert.

    Example: journey alerts ack 3f2a --by u17
    """
    from consumers.bootstrap import installation

    with installation() as engine:
        found = engine.alerts.find(alert)
        changed = engine.alerts.acknowledge(found.alert_id, by, engine.clock.now())
    _tell(changed, as_json)


def resolve(
    alert: _Id,
    by: _By,
    reason: Annotated[
        str,
        typer.Option(
            "--reason",
            help="handled, manual, not_owed, false_alarm or duplicate.",
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Say that an alert is settled, and why. It does not come back.

    Example: journey alerts resolve 3f2a --by u17 --reason handled
    """
    from consumers.bootstrap import installation
    from consumers.cli.errors import WrongUsage
    from projections.alerts.lifecycle import UnknownReason

    with installation() as engine:
        found = engine.alerts.find(alert)
        try:
            changed = engine.alerts.resolve(found.alert_id, by, reason, engine.clock.now())
        except UnknownReason as error:
            raise WrongUsage(str(error)) from None
    _tell(changed, as_json)


def _tell(alert: Alert, as_json: bool) -> None:
    from consumers.cli.output import console, print_json

    if as_json:
        print_json(_fields(alert))
        return
    who = alert.resolved_by or alert.acknowledged_by
    console().print(f"Alert {str(alert.alert_id)[:8]} is {alert.state}, by {who}.")


def _fields(alert: Alert) -> dict[str, Any]:
    return {
        "alert_id": alert.alert_id,
        "state": alert.state,
        "subject": alert.subject,
        "policy" if alert.subject == "silence" else "rule": alert.name,
        "level": alert.level,
        "candidate_id": alert.candidate_id,
        "application_id": alert.application_id,
        "since": alert.since,
        "until": alert.until,
        "due_at": alert.due_at,
        "raised_at": alert.raised_at,
        "reason": alert.reason,
        "acknowledged_by": alert.acknowledged_by,
        "resolved_by": alert.resolved_by,
        "resolved_at": alert.resolved_at,
        "touchpoint_ids": alert.touchpoint_ids,
        "explanation": alert.explanation,
    }


app.callback(invoke_without_command=True, help=described(list_alerts))(list_alerts)
app.command("ack", help=described(acknowledge))(acknowledge)
app.command("resolve", help=described(resolve))(resolve)
