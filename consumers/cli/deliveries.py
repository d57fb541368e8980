"""`journey deliveries`: what arrived, what became of it, and another try after a fix."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consumers.cli.described import described
from consumers.cli.errors import NotFound, WrongUsage
from consumers.cli.options import AsJson, moment

if TYPE_CHECKING:
    from consumers.repair import Repaired

app = typer.Typer(
    no_args_is_help=True,
    help="Deliveries as they arrived: list them, look at one, redrive them after a fix.",
)

_Status = Annotated[
    str | None,
    typer.Option(
        "--status",
        help="pending, recorded, context, dead, probe or refused.",
        show_default=False,
    ),
]
_Connection = Annotated[
    str | None, typer.Option("--connection", "-c", help="Only by this one.", show_default=False)
]
_Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="T",
        help="Received from then on: 2026-03-02T09:00Z, or a day (from its beginning, UTC).",
        show_default=False,
    ),
]


def list_deliveries(
    status: _Status = None,
    connection: _Connection = None,
    since: _Since = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Deliveries, the newest first.

    Example: journey deliveries list --status dead

    JSON: a list of {delivery_id, connection, source, received_at, status, reason, attempts,
    touchpoints, handled_at, body_bytes}.
    """
    from consumers import inbox
    from consumers.bootstrap import installation
    from consumers.cli.output import print_json, print_table

    filters = _filters(status, connection, since)
    with installation() as engine, engine.database.transaction() as transaction:
        found = inbox.listing(transaction, filters, limit=limit)
    if as_json:
        print_json(found)
        return
    print_table(
        ("delivery", "received (UTC)", "connection", "status", "touchpoints", "reason"),
        [
            (
                str(each.delivery_id),
                each.received_at,
                each.connection,
                each.status,
                each.touchpoints,
                each.reason,
            )
            for each in found
        ],
        empty="No such deliveries.",
    )


def show_delivery(
    delivery: Annotated[
        str, typer.Argument(metavar="ID", help="The delivery's id.", show_default=False)
    ],
    raw: Annotated[
        bool, typer.Option("--raw", help="Headers and body as received; these may be personal.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One delivery: when it came, what became of it and why.

    Example: journey deliveries show 019a0b1c-7d2e-7f00-8000-5a5a5a5a5a5a --raw

    JSON: as one of `list`; with --raw also {headers, body}.
    """
    from consumers import inbox
    from consumers.bootstrap import installation
    from consumers.cli.output import console, print_json, words

    with installation() as engine, engine.database.transaction() as transaction:
        found = inbox.get(transaction, delivery)
    if found is None:
        raise NotFound(f"no delivery has the id {delivery!r}; `journey deliveries list` lists them")
    content, summary = found
    fields: dict[str, Any] = {
        name: getattr(summary, name) for name in inbox.DeliverySummary.__dataclass_fields__
    }
    body = content.body.decode("utf-8", "replace")
    if as_json:
        extra = {"headers": dict(content.headers), "body": body} if raw else {}
        print_json({**fields, **extra})
        return
    out = console()
    for name, value in fields.items():
        out.print(f"{name.replace('_', ' '):>12}  {words(value)}")
    if raw:
        out.print()
        for name, value in content.headers.items():
            out.print(f"{words(name)}: {words(value)}")
        out.print()
        out.print("".join(c if c.isprintable() or c == "\n" else " " for c in body))


def redrive(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID…]", help="Dead letters to try again.", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    connection: _Connection = None,
    since: _Since = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would do, and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read deliveries again, after what was wrong with an adapter or a mapping is mended.

    Ids, --all, --connection or --since alone: dead letters are pending again, and a running ingest
    reads them. What they had said before is not recorded twice.

    --connection and --since together: every delivery received since, recorded ones too, is read
    anew, here and at once. What was recorded and is not said any more is retracted, what is said
    otherwise is corrected, what is new is added; nothing is doubled, and once more does nothing.

    Example: journey deliveries redrive --connection greenhouse --since 2026-03-02 --dry-run

    JSON: {redriven, dry_run}; with --connection and --since {connection, since, dry_run,
    deliveries, became: {status: deliveries}, appended, kinds: [{kind, added, corrected, restored,
    retracted, unchanged, elsewhere, by_hand, fields: {field: corrections}}], examples: [{verb,
    kind, touchpoint_id, candidate_id, delivery_id, fields}], untranslatable, unreadable:
    [{delivery_id, reason, recorded}], merged, apart}.
    """
    from consumers import inbox
    from consumers.bootstrap import installation
    from consumers.cli.output import console, print_json

    if connection and since and not (ids or everything):
        moment_since = moment(since, "--since", day_begins=True)
        assert moment_since is not None
        _repair(connection, moment_since, dry_run, as_json)
        return
    if not (ids or everything or connection or since):
        raise WrongUsage("say which: ids, --connection, --since, or --all")
    filters = _filters(None, connection, since, tuple(ids) if ids else None)
    with installation() as engine, engine.database.transaction() as transaction:
        redriven = inbox.redrive(transaction, filters, dry_run=dry_run)
    if ids and not redriven:
        raise NotFound(
            "none of these is a dead letter; `journey deliveries list --status dead` lists them"
        )
    if as_json:
        print_json({"redriven": redriven, "dry_run": dry_run})
        return
    plural = "delivery" if redriven == 1 else "deliveries"
    if dry_run:
        console().print(f"{redriven} {plural} would be pending again. Nothing was changed.")
    else:
        verb = "is" if redriven == 1 else "are"
        console().print(f"{redriven} {plural} {verb} pending again, for a running ingest to read.")


def _repair(connection: str, since: datetime, dry_run: bool, as_json: bool) -> None:
    """Read every delivery of the connection since then anew, and say what that changed."""
    from consumers.bootstrap import installation
    from consumers.cli.output import print_json
    from consumers.cli.progress import counting

    with installation() as engine:
        engine.database  # noqa: B018 - opened before the bar is drawn
        with counting("reading deliveries, then comparing them", "a second") as progress:
            repaired = engine.repair.run(connection, since, dry_run=dry_run, progress=progress)
    if as_json:
        about = {"connection": connection, "since": since, "dry_run": dry_run}
        print_json(about | _document(repaired))
    else:
        _tell(repaired, dry_run)


def _document(repaired: Repaired) -> dict[str, Any]:
    from consumers.repair import VERBS

    return {
        "deliveries": repaired.deliveries,
        "became": repaired.became,
        "appended": repaired.appended,
        "kinds": [
            {"kind": kind}
            | {verb: counted[verb] for verb in VERBS}
            | {"fields": repaired.fields[kind]}
            for kind, counted in sorted(repaired.verbs.items())
        ],
        "examples": repaired.examples,
        "untranslatable": repaired.untranslatable,
        "unreadable": repaired.unreadable,
        "merged": repaired.merged,
        "apart": repaired.apart,
    }


def _tell(repaired: Repaired, dry_run: bool) -> None:
    from consumers.cli.amended import print_amended
    from consumers.cli.output import console, print_table

    out = console()
    became = ", ".join(f"{count:,} {status}" for status, count in sorted(repaired.became.items()))
    out.print(f"{_counted(repaired.deliveries, 'delivery', 'deliveries')} read anew: {became}.\n")
    print_amended(
        repaired.verbs,
        repaired.fields,
        empty="They tell of no touchpoint, and none was recorded from them.",
    )
    if repaired.examples:
        out.print()
        print_table(
            ("example", "kind", "touchpoint", "candidate", "delivery", "fields"),
            [
                (
                    each.verb,
                    each.kind,
                    each.touchpoint_id,
                    each.candidate_id,
                    each.delivery_id,
                    ", ".join(each.fields) or None,
                )
                for each in repaired.examples
            ],
            empty="",
        )
    out.print()
    for each in repaired.unreadable:
        out.print(f"{each.delivery_id} cannot be translated: {each.reason}")
    if repaired.untranslatable:
        deliveries = _counted(repaired.untranslatable, "delivery", "deliveries")
        out.print(f"{deliveries} cannot be translated; what was recorded of them stays.")
    if repaired.merged:
        people = _counted(repaired.merged, "candidate", "candidates")
        out.print(f"{people} found to be one with another.")
    if repaired.apart:
        facts = _counted(repaired.apart, "statement names", "statements name")
        out.print(f"{facts} also somebody it had wrongly been given to; these were not merged.")
    appended = _counted(repaired.appended, "touchpoint", "touchpoints")
    if dry_run:
        out.print(f"{appended} would be appended. Nothing was changed.")
    else:
        out.print(f"{appended} appended.")


def _counted(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"


def _filters(
    status: str | None,
    connection: str | None,
    since: str | None,
    ids: tuple[str, ...] | None = None,
) -> Any:
    from consumers import inbox
    from schemas.identifiers import DeliveryId

    if status is not None and status not in inbox.STATUSES:
        raise WrongUsage(f"--status: {status!r} is none; use one of {', '.join(inbox.STATUSES)}")
    return inbox.Filters(
        status=status,
        connection=connection,
        since=moment(since, "--since", day_begins=True),
        ids=None if ids is None else tuple(DeliveryId(one) for one in ids),
    )


app.command("list", help=described(list_deliveries))(list_deliveries)
app.command("show", help=described(show_delivery))(show_delivery)
app.command("redrive", help=described(redrive))(redrive)
