"""`journey run web` as a web app: pages for the people who look after an installation.

It only looks: GET and HEAD, no deliveries, nothing about a candidate. It has no log-in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from consumers.bootstrap import Installation
from consumers.figures import inbox_and_log, status
from consumers.metrics import metrics
from consumers.web.document import STYLE_SOURCE
from consumers.web.inside import AWAY, OPENAPI, add_error_answers, add_inside_pages
from consumers.web.looking import Looking
from consumers.web.overview import Overview, overview, overview_page
from journey.errors import DatabaseUnavailable

HEADERS = (
    (
        b"content-security-policy",
        f"default-src 'none'; style-src {STYLE_SOURCE}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'".encode(),
    ),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
"""On every answer: nothing is loaded, framed, guessed at or kept."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page and its twin in JSON, made of the same thing."""

    address: str
    twin: str
    meaning: str
    shape: type
    """Of what is shown, for OpenAPI: a dataclass."""
    look: Callable[[Installation], Any]
    """May raise DatabaseUnavailable; called in a thread, once for all who ask meanwhile."""
    page: Callable[[Any], str]


PAGES = (
    Page(
        "/", "/index.json", "How the installation does, section by section.",
        Overview, overview, overview_page,
    ),
)  # fmt: skip
"""The pages beside those about the inside. A new one goes here."""


def create_app(installation: Installation) -> Guarded:
    """The app of an installation, of which nothing is opened before somebody looks."""
    app = FastAPI(
        title="candidate journey: overview",
        description="How an installation does, for those who look after it. Only read.",
        version="1",
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url=OPENAPI,
    )
    add_inside_pages(
        app,
        is_well=Looking(lambda: _answers(installation)),
        health="Whether the database answers.",
        status=lambda: {**inbox_and_log(installation.database), **status(installation)},
        metrics=lambda: metrics(installation),
    )
    for page in PAGES:
        _add(app, page, installation)
    add_error_answers(
        app, not_found="There is nothing at this address; begin at /, or read /-/openapi.json."
    )
    app.exception_handler(Exception)(_say_bug)
    settings = installation.settings
    return Guarded(app, names=(settings.web_host, *settings.web_names))


def _add(app: FastAPI, page: Page, installation: Installation) -> None:
    look = Looking(lambda: page.look(installation))
    name = page.address.strip("/") or "index"

    def as_page() -> HTMLResponse:
        return HTMLResponse(page.page(look()))

    def as_json() -> Response:
        return Response(orjson.dumps(look()), media_type="application/json")

    app.get(
        page.address, name=name, response_class=HTMLResponse, responses=AWAY,
        description=page.meaning,
    )(as_page)  # fmt: skip
    app.get(
        page.twin, name=f"{name} as JSON", response_model=page.shape, responses=AWAY,
        description=f"What `{page.address}` tells, for programs.",
    )(as_json)  # fmt: skip


def _answers(installation: Installation) -> bool:
    try:
        with installation.database.reading() as connection:
            connection.execute("SELECT 1")
    except DatabaseUnavailable:
        return False
    return True


async def _say_bug(request: Request, error: Exception) -> JSONResponse:
    """The server logs the error itself; here it is only said that there is one."""
    return JSONResponse(
        {"error": "bug", "message": "Something is wrong with this page; its log says what."}, 500
    )


class Guarded:
    """The app, asked only with GET and HEAD, and every answer with the headers that keep it safe.

    Around the whole app, so that no answer misses them. It is asked for under `names` alone, or
    under one that no stranger can own: else a page from elsewhere could have its own name lead
    here (DNS rebinding), and the browser of somebody who may see this one would read it out.
    """

    def __init__(self, app: FastAPI, *, names: Iterable[str] = ()) -> None:
        self.app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            elif scope["method"] == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        if scope["method"] not in ("GET", "HEAD"):
            await _WRONG_METHOD(scope, receive, guarded)
            return
        if not self._is_ours(dict(scope["headers"]).get(b"host", b"").decode("latin-1")):
            await _FOREIGN_NAME(scope, receive, guarded)
            return
        # The framework knows HEAD only where it is named; it is a GET whose body is kept back.
        await self.app({**scope, "method": "GET"}, receive, guarded)

    def _is_ours(self, host: str) -> bool:
        """Names without a dot, and addresses of numbers, are not to be had by strangers."""
        name = _PORT.sub("", host.lower()).removesuffix(".")
        return "." not in name or name.replace(".", "").isdecimal() or name in self._names


_PORT = re.compile(r":\d*$")
_WRONG_METHOD = JSONResponse(
    {"error": "wrong_method", "message": "This address is read with GET."},
    405,
    {"allow": "GET, HEAD"},
)

_FOREIGN_NAME = JSONResponse(
    {
        "error": "foreign_name",
        "message": "These pages are not known by this name; ask for them by address, or add the "
        "name to JOURNEY_WEB_NAMES.",
    },
    421,
)

__all__ = ["HEADERS", "PAGES", "Guarded", "Page", "create_app"]
