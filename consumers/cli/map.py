"""`journey map`: what all journeys together tell, in tables, or as a drawn graph."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from consumers.cli.errors import CommandError, NotFound, WrongUsage
from consumers.cli.options import AsJson, span

if TYPE_CHECKING:
    from consumers.bootstrap import Installation
    from projections.directly_follows import Graph
    from projections.measures import AggregateMap, Cohort

_EDGES_SHOWN = 30
_FIRST = "of the application's first touchpoint, inclusive: a moment, or a day (UTC)."


def map_(
    job: Annotated[
        list[str] | None,
        typer.Option(
            "--job",
            metavar="ID",
            help="Only applications for this job, as in greenhouse:400; may be repeated.",
            show_default=False,
        ),
    ] = None,
    department: Annotated[
        str | None,
        typer.Option(
            "--department",
            help="Only for jobs that JOURNEY_DEPARTMENTS lists under this name.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            help="Only applications whose first touchpoint this source told.",
            show_default=False,
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="T", help=f"Earliest time {_FIRST}", show_default=False),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="T", help=f"Latest time {_FIRST}", show_default=False),
    ] = None,
    by: Annotated[
        Literal["kind", "stage"],
        typer.Option("--by", help="What a step is: a touchpoint, or the entry into a stage."),
    ] = "kind",
    dot: Annotated[
        str | None,
        typer.Option(
            "--dot",
            metavar="FILE",
            help="Draw the graph of what follows what for Graphviz; - for stdout.",
            show_default=False,
        ),
    ] = None,
    svg: Annotated[
        str | None,
        typer.Option(
            "--svg",
            metavar="FILE",
            help="Draw it as a picture for any browser; - for stdout.",
            show_default=False,
        ),
    ] = None,
    least: Annotated[
        int, typer.Option("--min", metavar="N", min=1, help="Hide edges that are rarer.")
    ] = 1,
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=1, help="Show only so many edges.")
    ] = _EDGES_SHOWN,
    as_json: AsJson = False,
) -> None:
    """What all journeys together tell: stages, times between steps, waiting, drop-off.

    An application is counted whole: --from and --to choose by its first touchpoint. Times between
    steps are of steps directly after one another in one application; waiting is silence, as in
    `silences`. --min and --top hide rare edges in tables and drawings, never in --json.

    Examples: journey map --job greenhouse:400 --from 2026-01-01; journey map --svg map.svg --top 40

    JSON: {now, position, cohort: {job_ids, source, since, until}, applications, candidates,
    touchpoints, outcomes: {status: applications}, stages: [{stage, entered, entries, now,
    moved_on, hired, rejected, rejected_not_told, withdrawn, dropped_off, stay}], waiting: [{stage,
    began_kind, silences, open, total_seconds, waited}], graph: {by, applications, touchpoints,
    steps: [{name, count, applications, first, last, place}], edges: [{before, after, count,
    mean_seconds, median_seconds, p90_seconds}]}}; stay and waited are {count, mean_seconds,
    median_seconds, p90_seconds}.
    """
    if [dot, svg].count("-") + as_json > 1:
        raise WrongUsage("only one of --json, --dot - and --svg - can go to standard output")
    since, until = span(from_, to)
    from consumers.bootstrap import installation
    from consumers.cli.output import print_json
    from projections.measures import Cohort

    with installation() as engine:
        cohort = Cohort(_jobs(engine, job, department), source, since, until)
        found = engine.queries.map(engine.clock.now(), cohort, by)
    if dot or svg:
        _draw(found, dot, svg, least, top)
    if as_json:
        print_json(found)
    elif not (dot or svg):
        _print(found, least, top)


def _jobs(
    engine: Installation, jobs: list[str] | None, department: str | None
) -> tuple[str, ...] | None:
    """The jobs that both options allow; None for any."""
    chosen = None if not jobs else tuple(jobs)
    if department is None:
        return chosen
    from consumers.departments import load_departments

    path = engine.settings.departments
    known = load_departments(path)
    if department not in known:
        names = ", ".join(known) or "none"
        raise NotFound(f"no department is called {department!r} in {path}; known: {names}")
    its_jobs = known[department]
    return its_jobs if chosen is None else tuple(each for each in chosen if each in its_jobs)


# --- drawings -------------------------------------------------------------------------------


def _draw(found: AggregateMap, dot: str | None, svg: str | None, least: int, top: int) -> None:
    from consumers.drawing.dot import dot as as_dot
    from consumers.drawing.picture import caption, picture
    from consumers.drawing.svg import svg as as_svg

    if not found.graph.steps:
        raise NotFound(f"there is nothing to draw: {_nothing(found)}")
    drawn = picture(found.graph, _title(found), least=least, top=top)
    for path, text in ((dot, as_dot), (svg, as_svg)):
        if path == "-":
            sys.stdout.write(text(drawn))
        elif path:
            _write(Path(path), text(drawn))
            print(f"{path}: {caption(drawn)}", file=sys.stderr)


def _write(path: Path, text: str) -> None:
    """A file that is there once it is whole; what is no file, such as a pipe, is written to."""
    is_file = path.is_file() or not path.exists()
    part = path.with_name(f".{path.name}.part") if is_file else path
    try:
        part.write_text(text, encoding="utf-8")
        if is_file:
            part.replace(path)
    except OSError as error:
        if is_file:
            with contextlib.suppress(OSError):
                part.unlink()
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error


def _title(found: AggregateMap) -> str:
    graph = found.graph
    what = "stages" if graph.by == "stage" else "touchpoints"
    steps = f"{graph.touchpoints:,} {'entries' if graph.by == 'stage' else 'touchpoints'}"
    return f"{what.capitalize()} of {graph.applications:,} applications, {steps}{_of(found.cohort)}"


def _of(cohort: Cohort) -> str:
    """Which applications, when not all."""
    told = []
    if cohort.job_ids is not None:
        told.append(f"job {', '.join(cohort.job_ids) or 'none'}")
    if cohort.source is not None:
        told.append(f"from {cohort.source}")
    if cohort.since is not None:
        told.append(f"since {cohort.since:%Y-%m-%d %H:%M}")
    if cohort.until is not None:
        told.append(f"until {cohort.until:%Y-%m-%d %H:%M}")
    return "".join(f", {each}" for each in told)


def _nothing(found: AggregateMap) -> str:
    if found.position == 0:
        return "the log is empty; `journey import` or a connection fills it"
    if found.graph.by == "stage" and found.applications:
        return "no application was ever in a stage"
    return f"no application is known{_of(found.cohort)}"


# --- tables ---------------------------------------------------------------------------------


def _print(found: AggregateMap, least: int, top: int) -> None:
    from consumers.cli.output import console, print_table, words
    from consumers.drawing.picture import length
    from consumers.drawing.picture import words as named

    out = console()
    if not found.applications:
        sentence = _nothing(found)
        out.print(f"{sentence[0].upper()}{sentence[1:]}.")
        return
    out.print(
        f"{found.applications:,} applications of {found.candidates:,} candidates, "
        f"{found.touchpoints:,} touchpoints{words(_of(found.cohort))}."
    )
    out.print(f"As of {found.now:%Y-%m-%d %H:%M} UTC, position {found.position:,} of the log.")
    out.print("; ".join(f"{count:,} {status}" for status, count in found.outcomes.items()) + ".")
    out.print("\nStages, in the order in which applications come to them", style="bold")
    print_table(
        (
            "stage", "came", "now", "moved on", "hired", "rejected", "not told", "withdrew",
            "drop-off", "stay", "stay p90",
        ),
        [
            (
                each.stage, each.entered, each.now, each.moved_on, each.hired, each.rejected,
                each.rejected_not_told, each.withdrawn, f"{each.dropped_off:.0%}",
                length(each.stay.median_seconds), length(each.stay.p90_seconds),
            )
            for each in found.stages
        ],
        empty="No application was ever in a stage.",
        wide=0,
    )  # fmt: skip
    out.print("\nWhere candidates wait: silences by what they began with", style="bold")
    print_table(
        ("stage", "after", "silences", "open now", "median", "p90", "in all"),
        [
            (
                each.stage, named(each.began_kind), each.silences, each.open,
                length(each.waited.median_seconds), length(each.waited.p90_seconds),
                length(each.total_seconds),
            )
            for each in found.waiting
        ],
        empty="Nobody waited for anything.",
        wide=0,
    )  # fmt: skip
    out.print("\nWhat follows what, and the time between", style="bold")
    shown = [edge for edge in found.graph.edges if edge.count >= least][:top]
    print_table(
        ("before", "after", "times", "median", "p90", "mean"),
        [
            (
                named(edge.before), named(edge.after), edge.count, length(edge.median_seconds),
                length(edge.p90_seconds), length(edge.mean_seconds),
            )
            for edge in shown
        ],
        empty="Nothing follows anything as often as that.",
        wide=0,
    )  # fmt: skip
    if rest := _rest(found.graph, len(shown)):
        out.print(rest, style="dim")


def _rest(graph: Graph, shown: int) -> str:
    hidden = graph.edges[shown:]
    if not hidden:
        return ""
    return (
        f"{len(hidden):,} rarer edges ({sum(edge.count for edge in hidden):,} times) are not "
        "shown: --top, --json."
    )
