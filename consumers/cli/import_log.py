"""`journey import`: logs that analysts already have, into the event log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consumers.cli.errors import FOUND, WrongUsage
from consumers.cli.options import AsJson, moment

if TYPE_CHECKING:
    from consumers.imports.history import Imported


def import_log(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV, XES, OCEL (JSON, XML, SQLite), CloudEvents as NDJSON, or what "
            "`journey export` wrote; also as .gz.",
            show_default=False,
        ),
    ],
    map_: Annotated[
        str | None,
        typer.Option(
            "--map",
            "-m",
            metavar="MAP",
            help="A YAML file that says which column is what, or the name of a built-in one. "
            "Our own exports need none.",
            show_default=False,
        ),
    ] = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Print a map proposed from what the file holds.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be recorded; record nothing.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="T",
            help="What was due before then alerts nobody. Unless given: now, so that history "
            "raises no alerts.",
            show_default=False,
        ),
    ] = None,
    most_broken: Annotated[
        float,
        typer.Option("--max-broken", metavar="PERCENT", min=0, max=100, help="Stop above this."),
    ] = 5.0,
    correct: Annotated[
        bool,
        typer.Option("--correct", help="Correct what an earlier map told otherwise."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Record a log file: as a map says, in batches, idempotent, and resumable after a kill.

    A broken row stops nothing: it is kept aside in FILE.broken.csv (or .ndjson), which can be
    mended and imported with the same map. The views are brought up to date at the end.
    Exit code 1 when rows are broken.

    After the map was mended, import the same file again with --correct: what the earlier map told
    otherwise is corrected, what the new one does not tell is retracted, and nothing is there twice.

    Example: journey import hiring.csv --suggest > hiring.yaml

    Example: journey import hiring.csv --map hiring.yaml --dry-run

    Example: journey import hiring.csv --map hiring.yaml

    Example: journey import hiring.csv --map mended.yaml --correct

    JSON: {file, rows, touchpoints, repeated, corrected, restored, retracted, left_alone, ignored,
    broken, kinds: {kind: n}, amended: [{kind, added, corrected, restored, retracted, unchanged,
    elsewhere, by_hand, fields: {field: corrections}}], other: {activity: rows}, problems: [{line,
    reason}], first_at, last_at, resumed_at, finished_before, kept_aside, dry_run, position}.
    """
    from consumers.imports.formats import open_log

    if suggest:
        from consumers.imports.suggest import suggest as proposed

        print(proposed(open_log(file)), end="")
        return
    log_file, log_map, translate = _opened(file, map_)
    from consumers.bootstrap import installation
    from consumers.cli.output import print_json
    from consumers.cli.progress import of_rows
    from consumers.imports.history import Importer, aside_of
    from consumers.imports.translate import Translator
    from consumers.logging import configure_logging

    configure_logging("console", level=40)
    with installation() as engine:
        importer = Importer(engine.database, engine.log, engine.clock)
        with of_rows("reading", "recording") as show:

            def told(done: int, total: int, imported: Imported) -> None:
                show(done, total, imported.rows, imported.rows - imported.resumed_at)

            if dry_run:
                imported = importer.forecast(log_file, translate, log_map, progress=told)
                position = engine.log.position()
            else:
                imported = importer.run(
                    log_file,
                    translate,
                    log_map,
                    quiet_until=moment(since, "--since", day_begins=True) or engine.clock.now(),
                    aside=aside_of(file),
                    most_broken=most_broken / 100,
                    correct=correct,
                    progress=told,
                )
                position = engine.runner.catch_up()
    other = translate.other if isinstance(translate, Translator) else {}
    if as_json:
        print_json(_document(file, imported, other, dry_run, position))
    else:
        _tell(file, imported, other, dry_run, without=_without_case(log_file, log_map))
    if imported.broken:
        raise typer.Exit(FOUND)


def _opened(file: Path, map_: str | None) -> tuple[Any, Any, Any]:
    """The log file, its map (None for an export of ours) and what translates its rows."""
    from consumers.imports.formats import open_log
    from consumers.imports.log_map import load_log_map
    from consumers.imports.translate import Translator

    if map_ is not None:
        log_map = load_log_map(map_)
        log_file = open_log(file, log_map)
        return log_file, log_map, Translator(log_map, log_file.key)
    from consumers.exports.reading_back import own_rows

    log_file = open_log(file)
    translate = own_rows(log_file)
    if translate is None:
        raise WrongUsage(
            f"{file.name} is no export of ours, so it needs a map: --map MAP; "
            f"`journey import {file.name} --suggest` proposes one"
        )
    return log_file, None, translate


def _document(
    file: Path, imported: Imported, other: dict[str, int], dry_run: bool, position: int
) -> dict[str, Any]:
    from consumers.comparison import VERBS

    return {
        "file": file.name,
        "rows": imported.rows,
        "touchpoints": imported.touchpoints,
        "repeated": imported.repeated,
        "corrected": imported.corrected,
        "restored": imported.restored,
        "retracted": imported.retracted,
        "left_alone": imported.left_alone,
        "ignored": imported.ignored,
        "broken": imported.broken,
        "kinds": dict(imported.kinds.most_common()),
        "amended": [
            {"kind": kind}
            | {verb: verbs[verb] for verb in VERBS}
            | {"fields": imported.fields[kind]}
            for kind, verbs in sorted(imported.amended.items())
        ],
        "other": other,
        "problems": [problem._asdict() for problem in imported.problems],
        "first_at": imported.first_at,
        "last_at": imported.last_at,
        "resumed_at": imported.resumed_at,
        "finished_before": imported.finished_before,
        "kept_aside": imported.kept_aside.name if imported.kept_aside else None,
        "dry_run": dry_run,
        "position": position,
    }


def _touchpoints(imported: Imported) -> str:
    """How many became what; what only a log that was imported before has, where there is any."""
    counts = {
        "corrected": imported.corrected,
        "restored": imported.restored,
        "retracted": imported.retracted,
        "left alone": imported.left_alone,
    }
    amended = "".join(f", {name} {count:,}" for name, count in counts.items() if count)
    return f"new {imported.touchpoints:,}, known {imported.repeated:,}{amended}"


def _without_case(log_file: Any, log_map: Any) -> str:
    """What an object-centric log tells of no case object, and so of nobody."""
    events: int = getattr(log_file, "events_without_case", 0)
    if not events:
        return ""
    case = log_map.case or log_map.candidate
    return f"Events about no {case.removeprefix('ocel:type:')}, which made no row: {events:,}."


def _tell(
    file: Path, imported: Imported, other: dict[str, int], dry_run: bool, *, without: str
) -> None:
    from consumers.cli.amended import print_amended
    from consumers.cli.output import console, print_table, words

    out = console()
    if imported.finished_before:
        out.print(
            f"{file.name} was imported before with this map: {imported.touchpoints:,} touchpoints "
            f"of {imported.rows:,} rows. Nothing was done."
        )
        return
    if dry_run:
        out.print("A dry run: nothing was recorded.")
    if imported.resumed_at:
        out.print(f"Went on after row {imported.resumed_at:,}, where an earlier run had ended.")
    out.print(
        f"Rows: {imported.rows:,}, of these left out {imported.ignored:,}, "
        f"broken {imported.broken:,}. Touchpoints: {_touchpoints(imported)}."
    )
    if without:
        out.print(without)
    if imported.first_at and imported.last_at:
        out.print(
            f"They happened from {words(imported.first_at)} to {words(imported.last_at)} UTC."
        )
    if imported.amended:
        out.print()
        print_amended(imported.amended, imported.fields, empty="")
    elif dry_run:
        out.print()
        print_table(("kind", "touchpoints"), imported.kinds.most_common(), empty="No touchpoints.")
    named = {activity: rows for activity, rows in other.items() if rows}
    if named:
        out.print()
        out.print("Activities the map does not name:")
        print_table(
            ("activity", "rows"),
            sorted(named.items(), key=lambda pair: -pair[1])[:20],
            empty="",
            wide=0,
        )
    if imported.problems:
        out.print()
        print_table(("line", "problem"), imported.problems, empty="")
    if imported.kept_aside:
        out.print(
            f"\nBroken rows are in {imported.kept_aside.name}: mend them there and import that "
            "file with the same map."
        )
