"""Writes docs/reference/ from the code: `python -m docs.generate`; `--check` compares instead.

Every page is made from what the program itself reads (the commands, the table of settings, the
registry of touchpoints, the packs of rules and policies), so it cannot say anything else. The
output depends on the code alone: no time, machine, terminal or order of a set goes into it.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from fastapi import FastAPI
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

FOLDER = Path(__file__).parent / "reference"
COMMAND = "python -m docs.generate"
WRITTEN = f"Made from the code by `{COMMAND}`; edit the code, not this page."
NOTE = f"<!-- {WRITTEN} -->"
WIDTH = 100

Page = Callable[[], Iterable[str]]


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` name those that differ; returns the exit code."""
    made = pages()
    if list(arguments) == ["--check"]:
        wrong = stale(made)
        for file in wrong:
            print(f"docs/reference/{file} is stale; run: {COMMAND}", file=sys.stderr)
        return 1 if wrong else 0
    if arguments:
        print(f"usage: {COMMAND} [--check]", file=sys.stderr)
        return 2
    FOLDER.mkdir(exist_ok=True)
    for name in stale(made):
        path = FOLDER / name
        if name in made:
            path.write_text(made[name], encoding="utf-8")
        else:
            path.unlink()
        print(f"docs/reference/{name}")
    return 0


def pages() -> dict[str, str]:
    """File name → text of every reference page."""
    from docs import asyncapi

    made = {name: _text(page()) for name, page in PAGES.items()}
    return made | {"asyncapi.yaml": f"# {WRITTEN}\n{asyncapi.document()}"}


def stale(made: dict[str, str]) -> list[str]:
    """Files that are missing, differ, or that no code stands behind any more."""
    kept = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.*")}
    return sorted(name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name))


# --- commands -------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, Any]]:
    """("journey show", the command) of every command, groups that do something included."""
    from consumers.cli import make_app

    def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
        inside = getattr(command, "commands", None)
        if inside is None or command.invoke_without_command:
            yield path, command
        for name, each in (inside or {}).items():
            yield from walk(f"{path} {name}", each)

    for name, each in typer.main.get_command(make_app()).commands.items():
        yield from walk(f"journey {name}", each)


def help_parts(command: Any) -> tuple[list[str], str | None, str | None]:
    """A command's help: what it says, its example, its JSON."""
    said: list[str] = []
    example = fields = None
    for paragraph in (command.help or "").split("\n\n"):
        label, _, rest = paragraph.partition(": ")
        if label in ("Example", "Examples"):
            example = rest
        elif label == "JSON":
            fields = rest
        else:
            # What stands in angle brackets would be taken for HTML.
            said.append(re.sub(r"<(\w+)>", r"\\<\1>", paragraph))
    return said, example, fields


def cli_page() -> Iterator[str]:
    """The `journey` command, from its own help."""
    from consumers.cli import HELP

    yield "# The `journey` command"
    yield from HELP.split("\n\n")
    yield (
        "Every command has `--help`; `journey --version` tells which one this is. What `--json` "
        "prints is listed in [json.md](json.md)."
    )
    for path, command in commands():
        said, example, fields = help_parts(command)
        yield f"## {path}"
        yield from said
        yield _block("text", [_usage(path, command)])
        rows = [_parameter(each) for each in command.params if not getattr(each, "hidden", False)]
        if rows:
            yield _table(("argument or option", "meaning", "default"), rows)
        if example:
            lines = [part.strip().removesuffix(".") for part in example.split(";")]
            yield _block("bash", lines)
        if fields:
            yield f"With `--json`: [its fields](json.md#{path.replace(' ', '-')})."


def _usage(path: str, command: Any) -> str:
    words = [path]
    if any(_is_option(each) for each in command.params):
        words.append("[OPTIONS]")
    for each in command.params:
        if not _is_option(each):
            words.append(_value(each) if each.required else f"[{_value(each)}]".replace("[[", "["))
    return " ".join(words).replace("]]", "]")


def _is_option(parameter: Any) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def _parameter(parameter: Any) -> tuple[str, str, str]:
    flag = getattr(parameter, "is_flag", False)
    if _is_option(parameter):
        shown = ", ".join(f"`{option}`" for option in parameter.opts)
        shown += "" if flag else f" `{_value(parameter)}`"
        shown += " (required)" if parameter.required else ""
    else:
        shown = f"`{_value(parameter)}`"
    default = "" if flag or parameter.default in (None, ()) else f"`{parameter.default}`"
    return shown, parameter.help or "", default


def _value(parameter: Any) -> str:
    """What stands for the value: its metavar, its choices, or its type."""
    if parameter.metavar:
        return str(parameter.metavar)
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    if choices := _choices(annotation):
        return "|".join(choices)
    if _is_option(parameter):
        return "N" if annotation is int else "TEXT"
    return str(parameter.name).upper()


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(each) for each in get_args(annotation)]
    return [choice for part in get_args(annotation) for choice in _choices(part)]


def json_page() -> Iterator[str]:
    """What `--json` prints, from the same help."""
    yield "# What `--json` prints"
    yield (
        "One JSON document on standard output, indented. Times are ISO 8601 in UTC with `Z`, ids "
        "are text, what is not known is `null`. Fields stay as they are named here; new ones may "
        "be added. `–` and cut ids are for people and never stand in JSON."
    )
    for path, command in commands():
        _, _, fields = help_parts(command)
        if fields:
            yield f"## {path}"
            yield fields[0].upper() + fields[1:]
    yield "## Words in the fields"
    from projections.alerts.lifecycle import PEOPLE_REASONS, STATES, Over
    from projections.contradictions.rule import Severity, Verdict
    from projections.silence.policy import LEVELS

    yield _table(
        ("field", "values"),
        [
            ("`level` of a silence", _codes(LEVELS)),
            ("`severity`, and `level` of a contradiction", _codes(get_args(Severity))),
            ("`verdict`", _codes(get_args(Verdict))),
            ("`state` of an alert", _codes(STATES)),
            ("`reason` of a resolved alert, by the engine", _codes((*get_args(Over), "disproved"))),
            ("`reason` of a resolved alert, by a person", _codes(PEOPLE_REASONS)),
        ],
    )


# --- touchpoints ----------------------------------------------------------------------------


def events_page() -> Iterator[str]:
    """Every kind of touchpoint, by family."""
    import schemas.touchpoints as module
    from schemas.event import Touchpoint
    from schemas.findings import AlertEvent
    from schemas.upcasting import UPCASTERS

    yield "# Touchpoints and alert events"
    yield (
        "Each kind has a stored name (its topic), traits that the folds read, and fields of its "
        "own beside those that all have. Traits: *direction*; *seen*, whether the candidate "
        "experiences it; *turn*, whose move it makes it; *life*, what it does to the application; "
        "*answers*, whether receiving it ends a silence."
    )
    yield "## Fields of every touchpoint"
    yield _table(("field", "type", "default"), _fields(Touchpoint, ()))
    yield (
        "`candidate_id` and `version` are the key of the stream and stand in columns of the log; "
        "`personal` is sealed. Fields that hold their default are left out of what is stored."
    )
    for family, kinds in _families(module):
        yield f"## {family.capitalize()}"
        yield _table(
            ("kind", "what it says", "direction", "seen", "turn", "life", "answers", "own fields"),
            [_kind_row(cls, Touchpoint) for cls in kinds],
        )
    yield "## Stored names"
    yield (
        "The topic of a kind is `touchpoint.<kind>.v1`, except where its shape has changed; old "
        "versions stay in the log and are read through an upcaster:"
    )
    yield _table(
        ("old topic", "read as", "what changed"),
        [
            (f"`{old}`", f"`{new}`", inspect.getdoc(step) or "")
            for old, (new, step) in UPCASTERS.items()
        ],
    )
    yield "## Events of an alert"
    yield "They stand in a log of their own (table `alert_events`), one stream an alert."
    yield _table(("field of each", "type", "default"), _fields(AlertEvent, ()))
    from schemas.analyst_actions import ALL_ALERT_EVENTS

    yield _table(
        ("topic", "what it says", "own fields"),
        [
            (f"`{cls.TOPIC}`", _first(cls), _own(cls, AlertEvent.model_fields))
            for cls in ALL_ALERT_EVENTS
        ],
    )


def _families(module: Any) -> Iterator[tuple[str, list[Any]]]:
    """The families, as the headings in the source name them."""
    family, kinds = "", []
    for line in inspect.getsource(module).splitlines():
        if heading := re.match(r"^# --- (\w+) -+$", line):
            if kinds:
                yield family, kinds
            family, kinds = heading[1], []
        elif named := re.match(r"^class (\w+)\(Touchpoint\):", line):
            kinds.append(getattr(module, named[1]))
    yield family, kinds


def _kind_row(cls: Any, base: Any) -> tuple[str, ...]:
    traits = cls.TRAITS
    version = "" if cls.TOPIC.endswith(".v1") else f"<br>`{cls.TOPIC}`"
    return (
        f"`{cls.KIND}`{version}",
        " ".join((inspect.getdoc(cls) or "").split()),
        traits.direction.replace("_", " "),
        "yes" if traits.candidate_sees else "",
        "" if traits.turn == "unchanged" else traits.turn,
        "" if traits.lifecycle == "none" else traits.lifecycle,
        "yes" if traits.answers else "",
        _own(cls, base.model_fields),
    )


def _own(cls: type[BaseModel], common: Iterable[str]) -> str:
    return ", ".join(f"`{name}` {kind}" for name, kind, _ in _named_fields(cls, common))


def _fields(cls: type[BaseModel], without: Iterable[str]) -> list[tuple[str, str, str]]:
    return [(f"`{name}`", kind, default) for name, kind, default in _named_fields(cls, without)]


def _named_fields(cls: type[BaseModel], without: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    for name, field in cls.model_fields.items():
        if name not in without:
            yield name, _type(field.annotation), _default(field)


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is PydanticUndefined:
        value = field.default_factory()
    return "" if value in (None, "", (), {}) else f"`{value}`"


def _type(annotation: Any) -> str:
    """A type in words: text, moment, number …"""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _type(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return " or ".join(_type(each) for each in get_args(annotation) if each is not NoneType)
    if origin is Literal:
        return " · ".join(str(each) for each in get_args(annotation))
    if origin in (tuple, list):
        return f"list of {_type(get_args(annotation)[0])}"
    if origin is dict:
        return "mapping"
    words = {
        "str": "text", "int": "number", "bool": "flag", "datetime": "moment",
        "AwareDatetime": "moment", "UUID": "id", "Path": "path", "Actor": "actor",
    }  # fmt: skip
    return words.get(annotation.__name__, annotation.__name__)


# --- exports --------------------------------------------------------------------------------


def columns_page() -> Iterator[str]:
    """The columns of every export and of the tables for notebooks."""
    from consumers.exports import ALL_FORMATS
    from projections.columns import COLUMNS, COMMON, PERSONAL_COLUMNS

    yield "# Columns of an export"
    yield (
        "Every format of `journey export`, and the table of touchpoints "
        "[for notebooks](../how-to/notebooks.md), has these columns, in this order. Names and "
        "meanings are stable; new columns may be added behind them. *id*: a UUID as text; "
        "*moment*: ISO 8601 in UTC, ending in `Z`, or a typed timestamp; *flag*: true or false; "
        "*json*: a list or mapping as JSON text. Nothing stands where a kind has no such field, "
        "or nothing was told."
    )
    common = [each for each in COLUMNS if each.name in COMMON]
    own = [each for each in COLUMNS if each.name not in COMMON]
    for title, columns in (
        ("Of every touchpoint", common),
        ("Of some kinds", own),
        ("Personal, only if asked for", PERSONAL_COLUMNS),
    ):
        yield f"## {title}"
        yield _table(
            ("column", "type", "meaning"),
            [(f"`{each.name}`", each.type, each.meaning) for each in columns],
        )
    yield "## Formats"
    yield _table(
        ("format", "holds"), [(f"`{name}`", each.holds) for name, each in ALL_FORMATS.items()]
    )
    yield (
        "**CSV**: lines end in CR LF; what was not told is an empty cell; flags are `true` and "
        "`false`. A text that begins with `=`, `+`, `-`, `@`, their wide forms, a tab or a line "
        "break has an apostrophe before it, for a spreadsheet would run it as a formula; so has "
        "one that begins with an apostrophe, or is empty. Take one apostrophe off to read it."
    )
    yield (
        "**XES**: `kind` is `concept:name` and `occurred_at` is `time:timestamp` of an event, the "
        "other columns are attributes under their own names; `org:resource` repeats `actor_id`. A "
        "trace is an application, named by it; touchpoints without one are in a trace named by "
        "their journey. A character that XML cannot hold is written `_x0008_`."
    )
    yield (
        "**OCEL 2.0**: `touchpoint_id`, `kind` and `occurred_at` are id, type and time of an "
        "event, the other columns are its attributes. Objects are candidates, applications and "
        "jobs, their ids with the type in front (`application:greenhouse:1`). An event is related "
        "to its `candidate`, `application` and `job`, a merge also to whom it `absorbed` or "
        "`released`; an application is `of` a candidate and `for` a job; a merged candidate is "
        "`read as part of` another."
    )
    yield (
        "**CloudEvents 1.0**: one a line. `id` is the touchpoint, `type` its topic, `subject` its "
        "candidate, `time` its `occurred_at`; `data` holds the columns."
    )


# --- settings -------------------------------------------------------------------------------


def settings_page() -> Iterator[str]:
    """Environment variables and the fields of a connection."""
    from consumers.ats_adapters import ALL_ADAPTERS
    from consumers.connections import Connection
    from consumers.settings import SETTINGS

    yield "# Settings"
    yield "Environment variables; an empty one counts as unset. Secrets are never shown or logged."
    yield _table(
        ("variable", "meaning", "default"),
        [
            (
                f"`{setting.name}`" + (" (secret)" if setting.secret else ""),
                setting.meaning,
                f"`{setting.default}`" if setting.default else "",
            )
            for setting in SETTINGS
        ],
    )
    yield "## Connections"
    yield _paragraph(Connection)
    yield _table(
        ("field", "type", "default"),
        [row for row in _fields(Connection, ()) if row[0] != "`name`"],
    )
    yield (
        "`source` is one of "
        + ", ".join(
            f"`{name}` (answers {each.success_code})" for name, each in _sorted(ALL_ADAPTERS)
        )
        + ". A secret written `env:NAME` is read from the variable NAME. Instead of the file, or "
        "over it, stand the variables `JOURNEY_CONNECTION_<NAME>_SOURCE`, `…_SECRETS` (separated "
        "by commas), `…_SUCCESS_CODE`, `…_MAPPING`, `…_SOURCE_NAME`, `…_POLL_KEY`, `…_POLL_URL`, "
        "`…_POLL_SECONDS` and `…_POLL_SINCE`."
    )


def http_page() -> Iterator[str]:
    """What the receiver and the pages answer."""
    from consumers.ats_adapters import ALL_ADAPTERS
    from consumers.bootstrap import Installation
    from consumers.connections import Connections
    from consumers.settings import Settings
    from consumers.web.app import create_app as create_web_app
    from consumers.webhooks.app import create_app
    from consumers.webhooks.refusals import REFUSALS
    from journey.clock import SystemClock
    from journey.database import Database

    yield "# What the receiver answers"
    yield (
        "`POST /webhooks/<connection>` answers the success code of the connection's adapter, with "
        '`{"delivery_id": …}`, after the delivery is committed; before that it never does. '
        'Everything else is `{"error": code, "message": sentence}`:'
    )
    yield _table(
        ("status", "error", "message"),
        [(str(each.status), f"`{each.code}`", each.message) for each in REFUSALS],
    )
    yield _table(
        ("adapter", "success", "not authentic", "content types"),
        [
            (
                f"`{name}`",
                str(each.success_code),
                str(each.refusal_code),
                _codes(sorted(each.content_types)),
            )
            for name, each in _sorted(ALL_ADAPTERS)
        ],
    )
    yield "## Pages about the inside"
    app = create_app(
        Database("", "journey"), Connections(), ALL_ADAPTERS, SystemClock(), metrics=str
    )
    yield _pages_of(app)
    yield "The same as an OpenAPI document: `GET /-/openapi.json`."
    yield "## What `journey run web` answers"
    yield (
        "On an address of its own (`JOURNEY_WEB_HOST`, `JOURNEY_WEB_PORT`), to GET and HEAD only. "
        "While the database is away they are 503 with `Retry-After`, a page as a page and JSON as "
        "JSON; `/-/metrics` tells it as a gauge. Under a foreign name, see `JOURNEY_WEB_NAMES`, "
        "they are 421."
    )
    yield _pages_of(create_web_app(Installation(Settings())).app)
    yield "The same as an OpenAPI document: `GET /-/openapi.json`."


def _pages_of(app: FastAPI) -> str:
    return _table(
        ("address", "what it says"),
        [
            (f"`GET {path}`", told["get"].get("description", ""))
            for path, told in sorted(app.openapi()["paths"].items())
            if "get" in told
        ],
    )


# --- packs ----------------------------------------------------------------------------------


def rules_page() -> Iterator[str]:
    """The rules that come with the program."""
    from projections.contradictions.rule import BUILT, FIRST_PACK, PLANNED, load_rules

    yield "# Rules of contradiction"
    yield (
        f"The pack `{FIRST_PACK.name}` is on from the start; `JOURNEY_RULES` names a folder of "
        f"more. Templates that are built: {_codes(BUILT)}; planned: {_codes(PLANNED)}. The format "
        "is told in `projections/contradictions/rule.py` and [add-a-rule](../how-to/add-a-rule.md)."
    )
    for rule in load_rules([FIRST_PACK]):
        yield f"## {rule.title}"
        yield _table(
            ("rule", "version", "template", "scope", "severity"),
            [(f"`{rule.rule}`", str(rule.version), rule.template, rule.scope, rule.severity)],
        )
        yield rule.reason
        yield f"> {rule.explain}"
        yield f"Source: {rule.source}."
        yield "\n".join(f"- {each.name} ({each.shows}: {each.expect})" for each in rule.examples)


def policies_page() -> Iterator[str]:
    """The policies that come with the program."""
    from projections.silence.policy import load_policies

    loaded = load_policies()
    yield "# Policies of silence"
    yield (
        "How long a silence may last, by what began it. `JOURNEY_POLICIES` names a folder whose "
        "policies and calendars replace those of the same name; see "
        "[add-a-policy](../how-to/add-a-policy.md)."
    )
    for policy in loaded.policies:
        yield f"## {policy.title}"
        yield _table(
            ("policy", "version", "severity", "counted from", "calendar", *policy.level_names),
            [
                (
                    f"`{policy.name}`",
                    str(policy.version),
                    policy.severity,
                    "the last interview" if policy.anchor != "since" else "its beginning",
                    policy.calendar.name,
                    *(_duration(each) for each in policy.durations),
                )
            ],
        )
        yield _applies(policy)
        if policy.statutory is not None:
            law = policy.statutory
            yield f"Law of {law.place_name} ({law.place}), in force {law.in_force}."
        yield f"> {policy.explanation}"
        yield f"Source: {policy.source.rstrip('.')}."
        yield "\n".join(f"- {each.title}" for each in policy.examples)
    yield "## Calendars"
    yield _table(
        ("calendar", "zone", "holidays of"),
        [
            (
                f"`{name}`",
                str(each.zone),
                "-".join(filter(None, (each.country, each.subdivision))) or "nowhere",
            )
            for name, each in _sorted(loaded.calendars)
        ],
    )


def _duration(duration: Any) -> str:
    unit = str(duration.unit)
    return f"{duration.count} {unit.removesuffix('s') if duration.count == 1 else unit}"


def _applies(policy: Any) -> str:
    told = []
    for name, values in policy.applies_to:
        if values:
            told.append(f"{name.replace('_', ' ')} {_codes(values)}")
    if not told:
        return "Holds for every silence that no more specific policy holds for."
    return "Holds for: " + "; ".join(told) + "."


# --- Markdown -------------------------------------------------------------------------------


def _text(parts: Iterable[str]) -> str:
    return "\n\n".join([NOTE, *(_wrapped(part) for part in parts)]) + "\n"


def _wrapped(part: str) -> str:
    if part.startswith(("|", "#", "```", "- ")):
        return part
    quote = "> " if part.startswith("> ") else ""
    return textwrap.fill(
        part.removeprefix("> "),
        WIDTH,
        initial_indent=quote,
        subsequent_indent=quote,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _block(language: str, lines: Iterable[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _codes(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _first(cls: type) -> str:
    return " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())


def _paragraph(cls: type) -> str:
    return " ".join((inspect.getdoc(cls) or "").split())


def _sorted(named: Any) -> list[tuple[str, Any]]:
    return sorted(named.items())


PAGES: dict[str, Page] = {
    "cli.md": cli_page,
    "events.md": events_page,
    "export-columns.md": columns_page,
    "http.md": http_page,
    "json.md": json_page,
    "policies.md": policies_page,
    "rules.md": rules_page,
    "settings.md": settings_page,
}
"""File → what makes it."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
