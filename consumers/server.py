"""A web app as a process: uvicorn around it, on an address of ours, ended in order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, ClassVar

import uvicorn
from starlette.types import ASGIApp

from journey.errors import ConfigurationError


class Server:
    """uvicorn around an app, in this thread or another, ended cleanly.

    On SIGTERM or SIGINT (in the main thread), or `stop()` from anywhere: no new requests, those
    in hand are answered, the app's lifespan ends, then `run` returns. A kind of server says which
    `settings` name its address, and which of uvicorn's options are its own.
    """

    settings: ClassVar[tuple[str, str]]
    """Of host and port, for who is told that the address cannot be had."""
    options: ClassVar[dict[str, Any]]

    def __init__(self, app: ASGIApp, *, host: str, port: int) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                loop="auto",
                ws="none",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                **self.options,
            )
        )

    def run(self, *, ready: Callable[[int], None] | None = None) -> None:
        """Serve until told to stop. `ready` is called with the port once it is open.

        Raises ConfigurationError when the address cannot be had.
        """
        with self._bind() as listening:
            port = int(listening.getsockname()[1])
            factory = self._server.config.get_loop_factory()
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(self._serve(listening, port, ready))
        if self._server.lifespan.error_occurred:
            # uvicorn only logs it, and would end as if all were well.
            raise RuntimeError("the server did not start or end in order")

    def stop(self) -> None:
        """Ask `run` to end."""
        self._server.should_exit = True

    def _bind(self) -> socket.socket:
        host, port = self._server.config.host, self._server.config.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            return socket.create_server((host, port), family=family, backlog=2048)
        except OSError as error:
            raise ConfigurationError(
                f"{host}:{port} cannot be listened on ({error.strerror}); set "
                f"{' or '.join(self.settings)} to a free address"
            ) from None

    async def _serve(
        self, listening: socket.socket, port: int, ready: Callable[[int], None] | None
    ) -> None:
        announcing = asyncio.create_task(self._announce(port, ready)) if ready else None
        try:
            await self._server.serve(sockets=[listening])
        finally:
            if announcing is not None:
                announcing.cancel()

    async def _announce(self, port: int, ready: Callable[[int], None]) -> None:
        while not self._server.started:
            await asyncio.sleep(0.01)
        ready(port)


__all__ = ["Server"]
