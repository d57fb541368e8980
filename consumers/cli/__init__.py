"""The `journey` command: one file a command, listed here by hand.

Commands print tables for people and, with `--json`, one JSON document for programs. Errors are
one sentence on stderr. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated

import typer

from consumers.cli import (
    alerts,
    connections,
    contradictions,
    deliveries,
    demo,
    doctor,
    export,
    import_log,
    ingest,
    kafka,
    map,
    rebuild,
    replay,
    run,
    serve,
    show,
    silences,
)
from consumers.cli.described import described, paragraphs
from consumers.cli.errors import CONFIGURATION, DATABASE, FOUND, KAFKA, NOT_FOUND, USAGE, code_of
from consumers.cli.output import let_go_of_stdout

HELP = paragraphs(f"""
Every candidate touchpoint is an immutable fact; silences and contradictions are derived.

Start with `journey demo`, then `journey serve` and point a webhook at it. Settings are environment
variables (JOURNEY_HOME, JOURNEY_DATABASE_URL, …). Times are in UTC. Every command that lists
something takes --json.

Exit codes: 0 fine; {FOUND} something is wrong or was found; {USAGE} wrong usage; {NOT_FOUND} not
found; {DATABASE} the database is away; {CONFIGURATION} wrong configuration; {KAFKA} Kafka is away.
""")


def make_app() -> typer.Typer:
    """The whole command, in the order of its help; the reference page is made from it."""
    app = typer.Typer(
        name="journey",
        help=HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_journey)
    name: str
    command: Callable[..., None]
    for name, command in (
        ("demo", demo.demo),
        ("serve", serve.serve),
        ("run", run.run),
        ("ingest", ingest.ingest),
        ("import", import_log.import_log),
        ("show", show.show),
        ("replay", replay.replay),
        ("map", map.map_),
        ("silences", silences.silences),
        ("contradictions", contradictions.contradictions),
    ):
        app.command(name, help=described(command))(command)
    app.add_typer(alerts.app, name="alerts")
    app.add_typer(deliveries.app, name="deliveries")
    app.add_typer(kafka.app, name="kafka")
    for name, command in (
        ("connections", connections.connections),
        ("rebuild", rebuild.rebuild),
        ("export", export.export),
        ("doctor", doctor.doctor),
    ):
        app.command(name, help=described(command))(command)
    return app


@cache
def _command() -> Callable[..., object]:
    """The command ready to be called; who runs many command lines in one process makes it once."""
    return typer.main.get_command(make_app())


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"journey {version('candidate-journey')}")
        raise typer.Exit


def _journey(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Name and version, and exit."
        ),
    ] = False,
) -> None:
    pass


_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code. Errors are told in a sentence on stderr."""
    try:
        result = _command()(args=list(arguments), prog_name="journey", standalone_mode=False)
    except BrokenPipeError:
        let_go_of_stdout()
        return 0
    except typer.Abort:
        return 130
    except _UsageError as error:
        _complain(_sentence(error))
        return USAGE
    except Exception as error:
        code = code_of(error)
        if code is None:
            return _bug(error)
        _complain(str(error))
        return code
    return result if isinstance(result, int) else 0


def main() -> None:
    """The entry point of the `journey` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    sys.exit(invoke(sys.argv[1:]))


def _sentence(error: Exception) -> str:
    format_message = getattr(error, "format_message", None)
    text = str(format_message() if format_message else error)
    text = " ".join(text.replace("Value error, ", "").removeprefix("Invalid value: ").split())
    if not text:
        # Its help was printed instead.
        return "give a command"
    context = getattr(error, "ctx", None)
    if context is None or ";" in text or text.endswith("?"):
        return text
    return f"{text.rstrip('.')}; see `{context.command_path} --help`"


def _complain(sentence: str) -> None:
    end = "" if sentence.endswith((".", "?", "!")) else "."
    print(f"journey: {sentence}{end}", file=sys.stderr)


def _bug(error: Exception) -> int:
    """What nobody foresaw. The text of other people's errors may quote personal things."""
    from consumers.logging import error_text

    if os.environ.get("JOURNEY_TRACEBACK"):
        raise error
    _complain(
        f"this is a bug of ours ({error_text(error)}); nothing was changed by halves, "
        "set JOURNEY_TRACEBACK=1 to see where"
    )
    return FOUND


__all__ = ["invoke", "main", "make_app"]
