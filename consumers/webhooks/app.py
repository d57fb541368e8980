"""The receiver as a web app: `POST /webhooks/<connection>` and pages about the inside.

The path of a delivery is in `receiver.py`; `/-/health` and `/-/status` are ordinary FastAPI.
"""

from __future__ import annotations

import contextlib
import html
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from consumers.ats_adapters.adapter import Adapter
from consumers.connections import Connection
from consumers.inbox import REFUSED_KEEP, counts
from consumers.webhooks.group_commit import GroupCommit, Keeper
from consumers.webhooks.receiver import MAX_BODY_BYTES, PREFIX, Receiver
from consumers.webhooks.refusals import REFUSALS, RETRY_AFTER_SECONDS, Refusal
from journey.clock import Clock
from journey.database import Database
from journey.errors import DatabaseUnavailable


class ReceiverApp(FastAPI):
    """FastAPI, with deliveries led past it.

    Its routing, middleware and exception stack would cost each delivery a third of its time and
    do nothing for it.
    """

    receiver: Receiver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Deliveries go to the receiver, everything else to FastAPI."""
        if scope["type"] == "http" and scope["path"].startswith(
            scope.get("root_path", "") + PREFIX
        ):
            await self.receiver(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    database: Database,
    connections: Mapping[str, Connection],
    adapters: Mapping[str, Adapter],
    clock: Clock,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    refused_keep: int = REFUSED_KEEP,
    keeper: Keeper | None = None,
    status: Callable[[], Mapping[str, Any]] | None = None,
    metrics: Callable[[], str] | None = None,
) -> ReceiverApp:
    """The receiver as a web app. Every connection's `source` must be in `adapters`.

    `status` adds what other parts know (positions and lag of projections) to `/-/status`; it is
    called in a thread and may raise DatabaseUnavailable. `metrics` is what `/-/metrics` tells;
    without it there is no such page. `keeper` replaces the group commit.
    """
    keeper = keeper or GroupCommit(database, refused_keep=refused_keep)
    receiver = Receiver(keeper, connections, adapters, clock, max_body_bytes=max_body_bytes)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        keeper.start()
        try:
            yield
        finally:
            await keeper.close()

    app = ReceiverApp(
        title="candidate journey: receiver",
        description="Where systems deliver what happened to candidates.",
        version="1",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url="/-/openapi.json",
    )
    app.receiver = receiver
    _add_inside_pages(app, database, keeper, status)
    if metrics is not None:
        _add_metrics(app, metrics)
    _add_error_answers(app)
    made_by_fastapi = app.openapi
    entry = _openapi_entry(sorted(connections), receiver.success_codes)

    def openapi() -> dict[str, Any]:
        document = made_by_fastapi()
        document["paths"].setdefault(f"{PREFIX}{{connection}}", entry)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _add_inside_pages(
    app: FastAPI,
    database: Database,
    keeper: Keeper,
    status: Callable[[], Mapping[str, Any]] | None,
) -> None:
    away = JSONResponse(
        orjson.loads(
            Refusal(503, "database_away", "The database does not answer; start it or wait.").body
        ),
        503,
        {"retry-after": str(RETRY_AFTER_SECONDS)},
    )
    answers: dict[int | str, dict[str, Any]] = {503: {"description": "The database is away."}}

    def look() -> dict[str, Any]:
        with database.transaction() as connection:
            row = connection.execute("SELECT position FROM log_head").fetchone()
            found: dict[str, Any] = {
                "inbox": counts(connection),
                "log": {"position": row[0] if row else 0},
            }
        return {**found, **(status() if status else {})}

    @app.get("/-/health", responses=answers)
    def health() -> JSONResponse:
        """Whether a delivery that comes now could be stored."""
        return JSONResponse({"status": "ok"}) if keeper.is_ready() else away

    @app.get("/-/status.json", responses=answers)
    def status_as_json() -> JSONResponse:
        """Deliveries by status, the log's position, and how far everything else is."""
        try:
            return JSONResponse(look())
        except DatabaseUnavailable:
            return away

    @app.get("/-/status", response_class=HTMLResponse, responses=answers)
    def status_as_page() -> Response:
        """The same to read."""
        try:
            return HTMLResponse(_status_page(look()))
        except DatabaseUnavailable:
            return away


def _add_metrics(app: FastAPI, metrics: Callable[[], str]) -> None:
    @app.get("/-/metrics", response_class=PlainTextResponse)
    def metrics_as_text() -> Response:
        """Lag, counts and ages as gauges, for Prometheus."""
        return Response(metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _status_page(found: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in _flat(found)
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Status</title>"
        f"<h1>Status</h1><table>{rows}</table>"
        '<p><a href="/-/status.json">The same as JSON</a></p></html>'
    )


def _flat(found: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(found, Mapping):
        return [
            line for key, value in found.items() for line in _flat(value, f"{name} {key}".strip())
        ]
    return [(name, str(found))]


def _add_error_answers(app: FastAPI) -> None:
    """Errors of the framework in the one shape of all our errors."""
    messages = {
        404: ("not_found", "There is nothing at this address; deliveries go to /webhooks/<name>."),
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


def _openapi_entry(connections: list[str], success_codes: set[int]) -> dict[str, Any]:
    """What OpenAPI says of the door. Built by hand, since FastAPI does not see the route."""
    error = {
        "type": "object",
        "required": ["error", "message"],
        "properties": {"error": {"type": "string"}, "message": {"type": "string"}},
    }
    kept = {
        "type": "object",
        "required": ["delivery_id"],
        "properties": {"delivery_id": {"type": "string", "format": "uuid"}},
    }
    refusals: dict[str, Any] = {}
    for refusal in REFUSALS:
        refusals[str(refusal.status)] = {
            "description": refusal.message,
            "content": {"application/json": {"schema": error}},
        }
    return {
        "parameters": [
            {
                "name": "connection",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"},
                "examples": {name: {"value": name} for name in connections},
            }
        ],
        "post": {
            "summary": "Deliver an event",
            "operationId": "deliver",
            "description": "Signed as the connection's system signs. The success code is the one "
            "that system expects, 200 unless the connection says otherwise.",
            "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
            "responses": {
                **{
                    str(code): {
                        "description": "Kept; never lost.",
                        "content": {"application/json": {"schema": kept}},
                    }
                    for code in sorted(success_codes)
                },
                **refusals,
            },
        },
    }
