"""`journey deliveries`: what arrived, what became of it, and another try after a fix."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from consumers.cli.described import described
from consumers.cli.errors import NotFound, WrongUsage
from consumers.cli.options import AsJson, moment

app = typer.Typer(
    no_args_is_help=True,
    help="Deliveries as they arrived: list them, look at one, redrive dead letters.",
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
    typer.Option("--since", metavar="T", help="Received from then on.", show_default=False),
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
    as_json: AsJson = False,
) -> None:
    """Try dead letters again, after what was wrong with them is mended; ingest reads them.

    What a delivery had said before is not recorded twice.

    Example: journey deliveries redrive --connection scheduler

    JSON: {redriven}.
    """
    from consumers import inbox
    from consumers.bootstrap import installation
    from consumers.cli.output import console, print_json

    if not (ids or everything or connection or since):
        raise WrongUsage("say which: ids, --connection, --since, or --all")
    filters = _filters(None, connection, since, tuple(ids) if ids else None)
    with installation() as engine, engine.database.transaction() as transaction:
        redriven = inbox.redrive(transaction, filters)
    if ids and not redriven:
        raise NotFound("none of these is a dead letter; `journey deliveries list --status dead`")
    if as_json:
        print_json({"redriven": redriven})
        return
    plural = "delivery is" if redriven == 1 else "deliveries are"
    console().print(f"{redriven} {plural} pending again; a running ingest reads them.")


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
        since=moment(since, "--since"),
        ids=None if ids is None else tuple(DeliveryId(one) for one in ids),
    )


app.command("list", help=described(list_deliveries))(list_deliveries)
app.command("show", help=described(show_delivery))(show_delivery)
app.command("redrive", help=described(redrive))(redrive)
