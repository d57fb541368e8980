"""Set-up of the log: JSON in processes, readable on a terminal, never a personal field.

Everything that other libraries log goes the same way. An exception of somebody else's is shown
by its type and where it happened, without its text: texts of parsers and validators quote their
input, and that is where a name would slip into the log.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import orjson
import structlog
from structlog.typing import Processor

PERSONAL_FIELDS = frozenset(
    {
        "address", "addresses", "body", "comment", "email", "emails", "first_name", "full_name",
        "headers", "last_name", "link", "links", "notes", "payload", "person", "personal",
        "phone", "phones", "subject_line", "text",
    }
)  # fmt: skip
SECRET_FIELDS = frozenset(
    {
        "authorization", "cookie", "database_url", "key", "master_key", "password", "secret",
        "secrets", "signature", "token",
    }
)  # fmt: skip

# Texts of these packages are written by us and never personal (the working agreement says so).
_OUR_PACKAGES = ("schemas.", "journey.", "projections.", "consumers.")


def configure_logging(
    form: Literal["json", "console", "auto"] = "auto",
    *,
    stream: TextIO | None = None,
    level: int = logging.INFO,
) -> None:
    """Send structlog and the standard library's log to `stream` (default: stderr) in one form.

    `auto` is console on a terminal and json elsewhere. May be called again.
    """
    out = stream or sys.stderr
    as_json = form == "json" or (form == "auto" and not out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        leave_out_personal,
        describe_exception,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=_as_json)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=out.isatty())
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def leave_out_personal(
    logger: Any, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Take out fields that are personal or secret by name, and say which in `left_out`."""
    names = [name for name in event if name in PERSONAL_FIELDS or name in SECRET_FIELDS]
    for name in names:
        del event[name]
    if names:
        event["left_out"] = names
    return event


def describe_exception(
    logger: Any, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace `exc_info` by `error` (type, and text if ours) and `where` (innermost frames)."""
    given = event.pop("exc_info", None)
    if not given:
        return event
    if isinstance(given, BaseException):
        error: BaseException | None = given
    elif isinstance(given, tuple):
        error = given[1]
    else:
        error = sys.exc_info()[1]
    if error is None:
        return event
    event["error"] = error_text(error)
    frames = traceback.extract_tb(error.__traceback__)
    event["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    return event


def error_text(error: BaseException) -> str:
    """An error's type, and its text where we wrote it."""
    kind = type(error)
    if f"{kind.__module__}.".startswith(_OUR_PACKAGES):
        return f"{kind.__name__}: {error}"
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def _as_json(event: Any, default: Any = None, **_: Any) -> str:
    return orjson.dumps(event, default=default or str, option=orjson.OPT_NON_STR_KEYS).decode()
