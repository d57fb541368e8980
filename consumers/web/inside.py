"""The pages about the inside, `/-/…`, which the receiver and `journey run web` both show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request

from consumers.drawing.picture import printable
from consumers.web.document import E, Node, document, sentence
from consumers.web.looking import Looking, TakesLong
from consumers.webhooks.refusals import RETRY_AFTER_SECONDS
from journey.errors import DatabaseUnavailable

OPENAPI = "/-/openapi.json"
AWAY: dict[int | str, dict[str, Any]] = {503: {"description": "The database is away."}}
"""For OpenAPI, beside what a page answers otherwise."""

_AWAY = "The database does not answer; start it or wait."
_SLOW = "The database does not answer in time; see what keeps it busy, and look again."


def add_inside_pages(
    app: FastAPI,
    *,
    is_well: Callable[[], bool],
    health: str,
    status: Callable[[], Mapping[str, Any]],
    metrics: Callable[[], str] | None,
) -> None:
    """Health, status and metrics as pages of an app, and what they answer without a database.

    `health` says what `is_well` tells. `status` is what `/-/status` tells and may raise
    DatabaseUnavailable; `metrics` is what `/-/metrics` tells, and without it there is no such
    page. All are called in threads.
    """
    look = Looking(status)

    @app.get("/-/health", responses=AWAY, description=health)
    def health_as_json() -> JSONResponse:
        if not is_well():
            raise DatabaseUnavailable(_AWAY)
        return JSONResponse({"status": "ok"})

    @app.get("/-/status.json", responses=AWAY)
    def status_as_json() -> JSONResponse:
        """Deliveries by status, the log's position, and how far everything else is."""
        return JSONResponse(look())

    @app.get("/-/status", response_class=HTMLResponse, responses=AWAY)
    def status_as_page() -> HTMLResponse:
        """What `/-/status.json` tells, to read."""
        return HTMLResponse(_status_page(look()))

    if metrics is not None:
        _add_metrics(app, metrics)
    app.exception_handler(DatabaseUnavailable)(_say_away)


def _add_metrics(app: FastAPI, metrics: Callable[[], str]) -> None:
    look = Looking(metrics)

    @app.get("/-/metrics", response_class=PlainTextResponse)
    def metrics_as_text() -> Response:
        """Lag, counts and ages as gauges, for Prometheus."""
        return Response(look(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _say_away(request: Request, error: Exception) -> Response:
    """In the form that was asked for: to people on a page, to programs in JSON."""
    code, message = ("database_away", _AWAY)
    if isinstance(error, TakesLong):
        code, message = ("database_slow", _SLOW)
    retry = {"retry-after": str(RETRY_AFTER_SECONDS)}
    if getattr(request.scope.get("route"), "response_class", None) is HTMLResponse:
        return HTMLResponse(sentence("Not now", message), 503, retry)
    return JSONResponse({"error": code, "message": message}, 503, retry)


def add_error_answers(app: FastAPI, *, not_found: str) -> None:
    """Errors of the framework in the one shape of all our errors."""
    messages = {
        404: ("not_found", not_found),
        405: ("wrong_method", "This address is read with GET."),
    }

    @app.exception_handler(HTTPException)
    async def say(request: Request, error: HTTPException) -> JSONResponse:
        code, message = messages.get(
            error.status_code, ("bad_request", "The request cannot be read; correct it.")
        )
        return JSONResponse(
            {"error": code, "message": message}, error.status_code, dict(error.headers or {})
        )


def _status_page(found: Mapping[str, Any]) -> str:
    rows: list[Node] = [
        E.tr(E.th({"scope": "row"}, printable(name)), E.td(printable(value)))
        for name, value in _flat(found)
    ]
    return document(
        "Status",
        E.main(
            E.h1("Status"),
            E.div({"class": "wide"}, E.table(E.tbody(*rows))),
            E.p(E.a({"href": "/-/status.json"}, "The same as JSON")),
        ),
    )


def _flat(found: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(found, Mapping):
        return [
            line for key, value in found.items() for line in _flat(value, f"{name} {key}".strip())
        ]
    return [(name, str(found))]


__all__ = ["AWAY", "OPENAPI", "add_error_answers", "add_inside_pages"]
