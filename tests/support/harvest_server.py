"""Greenhouse Harvest on loopback: lists, pages and bad days as its documentation says.

Basic auth with the key as user and no password; `per_page` up to 500; `Link` with `next` and
`last` (`last` is left out with `skip_count`); `updated_after` includes its moment; 401, 403, 404,
422; `X-RateLimit-Limit` and `-Remaining`, which a 429 leaves out, with `Retry-After` instead.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson

from tests.support.greenhouse import PAYLOADS

KEY = "harvest-key-1"
LIMIT = 50
Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One request: its path below /v1 and its query."""

    path: str
    query: dict[str, str]

    @property
    def endpoint(self) -> str:
        """The list, or the last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass
class Harvest:
    """What the server holds and how it behaves; tests change it at any time.

    `answers`: (status, headers) for the next requests instead of what they ask for; 0 hangs up.
    `before` is called with each request before it is answered, to change things between two.
    `order` sorts each list; by default it is by id, offers by application.
    """

    key: str = KEY
    lists: dict[str, list[Json]] = field(default_factory=dict)
    feeds: dict[str, Json] = field(default_factory=dict)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    forbidden: set[str] = field(default_factory=set)
    page_most: int = 500
    before: Callable[[Asked], None] | None = None
    order: Callable[[Json], Any] | None = None
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def put(self, endpoint: str, *objects: Json) -> None:
        """Add objects to a list, each in the place of one with its id."""
        ids = {each["id"] for each in objects}
        kept = [each for each in self.lists.get(endpoint, []) if each["id"] not in ids]
        self.lists[endpoint] = [*kept, *objects]

    def remove(self, endpoint: str, object_id: int) -> None:
        """Delete an object from a list."""
        self.lists[endpoint] = [each for each in self.lists[endpoint] if each["id"] != object_id]

    def asked_for(self, endpoint: str) -> list[Asked]:
        """The requests for this endpoint, in order."""
        return [each for each in self.asked if each.endpoint == endpoint]

    def answer(self, asked: Asked, authorization: str) -> tuple[int, dict[str, str], Any]:
        """Status, headers and document for a request."""
        if self.answers:
            status, headers = self.answers.pop(0)
            return status, headers, {"message": "a bad day"}
        if authorization != "Basic " + base64.b64encode(f"{self.key}:".encode()).decode():
            return 401, {}, {"message": "Invalid Basic Auth credentials"}
        if asked.endpoint in self.forbidden:
            return 403, {}, {"message": "You do not have access to that record"}
        parts = asked.path.strip("/").split("/")
        if len(parts) == 3 and parts[0] == "candidates" and parts[2] == "activity_feed":
            feed = self.feeds.get(parts[1])
            return (404, {}, {"message": "Resource not found"}) if feed is None else (200, {}, feed)
        if len(parts) == 2 and parts[0] in self.lists:
            found = [each for each in self.lists[parts[0]] if str(each["id"]) == parts[1]]
            return (200, {}, found[0]) if found else (404, {}, {"message": "Resource not found"})
        if len(parts) == 1 and parts[0] in self.lists:
            return self._page(asked, parts[0])
        return 404, {}, {"message": "Resource not found"}

    def _page(self, asked: Asked, endpoint: str) -> tuple[int, dict[str, str], Any]:
        query = asked.query
        per_page = int(query.get("per_page", "100"))
        if not 1 <= per_page <= 500:
            return 422, {}, {"message": "Validation error", "errors": [{"field": "per_page"}]}
        by_id = "application_id" if endpoint == "offers" else "id"
        found = sorted(self.lists[endpoint], key=self.order or (lambda each: each[by_id]))
        if since := query.get("updated_after"):
            after = datetime.fromisoformat(since)
            found = [
                each
                for each in found
                if datetime.fromisoformat(each.get("updated_at", "2000-01-01T00:00:00Z")) >= after
            ]
        size, page = min(per_page, self.page_most), int(query.get("page", "1"))
        last = max(1, -(-len(found) // size))
        rels = {"next": page + 1} if page < last else {}
        if query.get("skip_count") != "true":
            rels["last"] = last
        link = ", ".join(
            f'<{self.url}{asked.path}?{urlencode({**query, "page": number})}>; rel="{rel}"'
            for rel, number in rels.items()
        )
        shown = found[(page - 1) * size : page * size]
        return 200, {"Link": link} if link else {}, shown


def payload(name: str) -> Json:
    """One of our payloads of Harvest, free to be changed."""
    found: Json = orjson.loads((PAYLOADS / "harvest" / f"{name}.json").read_bytes())
    return found


def interview(number: int, minute: int = 0, **changes: Any) -> Json:
    """An interview of its own application, changed this many minutes after ten on 2 February."""
    at = f"2026-02-02T{10 + minute // 60:02}:{minute % 60:02}:00.000Z"
    own = {"id": number, "application_id": 90000000 + number, "created_at": at, "updated_at": at}
    return {**payload("interview_scheduled"), **own, **changes}


def anneke(harvest: Harvest) -> None:
    """One candidate in process, with an interview, an offer and a feed."""
    harvest.put("candidates", payload("candidate_in_process"))
    harvest.put("scheduled_interviews", payload("interview_scheduled"))
    harvest.put("offers", payload("offer_out"))
    harvest.feeds["70110001"] = payload("feed_as_answered")


@contextmanager
def a_harvest_server() -> Iterator[Harvest]:
    """A running server with empty lists."""
    harvest = Harvest(
        lists={"candidates": [], "scheduled_interviews": [], "offers": [], "applications": []}
    )
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else what comes after the headers waits until the client has acknowledged those.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: each[0] for name, each in parse_qs(parts.query).items()}
            asked = Asked(parts.path.removeprefix("/v1"), query)
            with lock:
                harvest.asked.append(asked)
                if harvest.before is not None:
                    harvest.before(asked)
                status, headers, document = harvest.answer(
                    asked, self.headers.get("authorization", "")
                )
            if status == 0:
                self.close_connection = True
                return
            body = json.dumps(document).encode()
            if status == 200:
                limits = {"X-RateLimit-Limit": str(LIMIT), "X-RateLimit-Remaining": str(LIMIT - 1)}
                headers = {**limits, **headers}
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on stderr."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that was killed is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    harvest.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield harvest
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
