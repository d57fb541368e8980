"""`journey run web` as a process."""

from __future__ import annotations

from typing import ClassVar

from starlette.types import ASGIApp

from consumers.server import Server


class WebServer(Server):
    """The pages on their address."""

    settings = ("JOURNEY_WEB_HOST", "JOURNEY_WEB_PORT")
    # h11 takes no more than 16 KiB of address and headers, which is plenty for people.
    options: ClassVar = {"http": "h11", "timeout_graceful_shutdown": 15}

    def __init__(self, app: ASGIApp, *, host: str = "127.0.0.1", port: int = 8081) -> None:
        super().__init__(app, host=host, port=port)


__all__ = ["WebServer"]
