"""`journey export`: touchpoints out, in the formats that others read."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from consumers.cli.errors import WrongUsage
from consumers.cli.options import AsJson, AsOf, as_of, span

if TYPE_CHECKING:
    from consumers.exports.export import Access, Exported

FormatName = Literal["csv", "parquet", "xes", "ocel-json", "ocel-sqlite", "cloudevents"]


def _several(*names: str, metavar: str, help: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, show_default=False)


def export(
    format_: Annotated[
        FormatName, typer.Option("--format", "-f", help="What is written.", show_default=False)
    ],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="- is standard output, which parquet and ocel-sqlite cannot be written to.",
        ),
    ] = Path("-"),
    candidate: Annotated[
        list[str] | None,
        _several(
            "--candidate",
            "-c",
            metavar="CANDIDATE",
            help="Only this candidate, as `journey show` takes one; may be repeated.",
        ),
    ] = None,
    application: Annotated[
        list[str] | None,
        _several("--application", metavar="ID", help="Only this application; may be repeated."),
    ] = None,
    job: Annotated[
        list[str] | None,
        _several("--job", metavar="ID", help="Only this job; may be repeated."),
    ] = None,
    source: Annotated[
        list[str] | None,
        _several("--source", metavar="NAME", help="Only what this source told; may be repeated."),
    ] = None,
    kinds: Annotated[
        str | None,
        _several("--kinds", metavar="KIND,…", help="Only these kinds, separated by commas."),
    ] = None,
    since: Annotated[
        str | None,
        _several(
            "--from",
            metavar="T",
            help="Only what happened at or after this moment, or from this day on (UTC).",
        ),
    ] = None,
    until: Annotated[
        str | None,
        _several(
            "--to",
            metavar="T",
            help="Only what happened by this moment, or to the end of this day (UTC).",
        ),
    ] = None,
    as_of_text: AsOf = None,
    effective: Annotated[
        bool,
        typer.Option(
            "--effective",
            help="What holds after corrections and retractions, instead of all that was recorded.",
        ),
    ] = False,
    with_personal: Annotated[
        bool,
        typer.Option(
            "--with-personal",
            help="Names and texts, too; needs the master key, --by and --reason. Logged.",
        ),
    ] = False,
    by: Annotated[
        str | None, _several("--by", metavar="NAME", help="Who asks for personal data.")
    ] = None,
    reason: Annotated[
        str | None,
        _several("--reason", metavar="TEXT", help="What for; logged, so name no candidate."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there already.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write touchpoints to a file: all of them, or those chosen, as the log holds them.

    Personal data stay out unless asked for. The file is there once it is whole; what is recorded
    meanwhile is not in it. Each format has the same columns (docs/reference/export-columns.md), and
    `journey import` reads each back.

    Examples: journey export quarter.parquet --format parquet --from 2026-01-01 --to 2026-03-31;
    journey export one.xes --format xes --candidate greenhouse:candidate/123;
    journey export - --format cloudevents --kinds rejection_sent,offer_sent

    JSON: {file, format, touchpoints, candidates, bytes, seconds, position}.
    """  # fmt: skip
    to_stdout = str(file) == "-"
    if to_stdout and as_json:
        raise WrongUsage("--json goes to standard output, too; name a file")
    access = _access(with_personal, by, reason, to_stdout)

    from consumers.bootstrap import installation
    from consumers.cli.output import let_go_of_stdout
    from consumers.cli.progress import of_rows
    from consumers.exports import ALL_FORMATS
    from consumers.exports.export import Exporter
    from consumers.logging import configure_logging
    from projections.selection import Selection

    first, last = span(since, until)
    selection = Selection(
        applications=frozenset(application or ()),
        jobs=frozenset(job or ()),
        sources=frozenset(source or ()),
        kinds=_kinds(kinds),
        since=first,
        until=last,
        as_of=as_of(as_of_text),
        effective=effective,
    )
    configure_logging()
    with installation() as engine, _ending_cleanly():
        found = tuple(engine.log.find(each) for each in candidate or ())
        selection = replace(selection, candidates=found)
        exporter, form = Exporter(engine.database), ALL_FORMATS[format_]
        with of_rows("exporting", "exporting") as show:

            def progress(touchpoints: int, position: int, positions: int) -> None:
                show(position, positions, touchpoints, touchpoints)

            if to_stdout:
                try:
                    done = exporter.to_stream(form, sys.stdout.buffer, selection, progress=progress)
                except BrokenPipeError:
                    let_go_of_stdout()
                    raise typer.Exit from None
            else:
                done = exporter.to_file(
                    form,
                    file,
                    selection,
                    access=access,
                    vault=engine.vault if access else None,
                    overwrite=force,
                    progress=progress,
                )
    _tell(done, file, format_, as_json, to_stdout)


def _kinds(text: str | None) -> frozenset[str]:
    from schemas.errors import UnknownKind
    from schemas.registry import touchpoint_class

    kinds = frozenset(each.strip() for each in (text or "").split(",") if each.strip())
    try:
        for kind in kinds:
            touchpoint_class(kind)
    except UnknownKind as error:
        advice = "" if ";" in str(error) else "; docs/reference/events.md lists them"
        raise WrongUsage(f"--kinds: {error}{advice}") from None
    return kinds


def _access(asked: bool, by: str | None, reason: str | None, to_stdout: bool) -> Access | None:
    if not asked:
        if by or reason:
            raise WrongUsage("--by and --reason belong to --with-personal")
        return None
    if to_stdout:
        raise WrongUsage("personal data go to a file, which only its owner may read; name one")
    from consumers.exports.export import Access, ExportRefused

    try:
        return Access(by or "", reason or "")
    except ExportRefused:
        raise WrongUsage(
            "--with-personal needs --by NAME and --reason TEXT; both are logged"
        ) from None


@contextlib.contextmanager
def _ending_cleanly() -> Iterator[None]:
    """SIGTERM ends the export as Ctrl-C does: nothing half-written is left."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(done: Exported, file: Path, format_: str, as_json: bool, to_stdout: bool) -> None:
    from consumers.cli.output import print_json

    if as_json:
        print_json(
            {
                "file": file.name,
                "format": format_,
                "touchpoints": done.touchpoints,
                "candidates": done.candidates,
                "bytes": done.bytes,
                "seconds": round(done.seconds, 3),
                "position": done.position,
            }
        )
        return
    rate = done.touchpoints / done.seconds if done.seconds else 0
    print(
        f"{done.touchpoints:,} touchpoints of {done.candidates:,} candidates in {done.bytes:,} "
        f"bytes; {done.seconds:.1f} s ({rate:,.0f} a second), up to position {done.position:,}.",
        file=sys.stderr if to_stdout else sys.stdout,
    )
