"""The receiver as a web app: `POST /webhooks/<connection>` and pages about the inside.

The path of a delivery is in `receiver.py`; the pages are ordinary FastAPI, in `consumers/web/`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from consumers.ats_adapters.adapter import Adapter
from consumers.connections import Connection
from consumers.figures import inbox_and_log
from consumers.inbox import REFUSED_KEEP
from consumers.web.inside import OPENAPI, add_error_answers, add_inside_pages
from consumers.webhooks.group_commit import GroupCommit, Keeper
from consumers.webhooks.receiver import MAX_BODY_BYTES, PREFIX, Receiver
from consumers.webhooks.refusals import REFUSALS
from journey.clock import Clock
from journey.database import Database


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
        openapi_url=OPENAPI,
    )
    app.receiver = receiver

    def told() -> dict[str, Any]:
        # First the part that brings the schema up to date, where no other process has yet.
        others = status() if status else {}
        return {**inbox_and_log(database), **others}

    add_inside_pages(
        app,
        is_well=keeper.is_ready,
        health="Whether a delivery that comes now could be stored.",
        status=told,
        metrics=metrics,
    )
    add_error_answers(
        app, not_found="There is nothing at this address; deliveries go to /webhooks/<name>."
    )
    made_by_fastapi = app.openapi
    entry = _openapi_entry(sorted(connections), receiver.success_codes)

    def openapi() -> dict[str, Any]:
        document = made_by_fastapi()
        document["paths"].setdefault(f"{PREFIX}{{connection}}", entry)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app


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
