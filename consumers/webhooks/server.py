"""The receiver as a process: uvicorn around the app, ended without losing what it accepted."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from journey.errors import ConfigurationError


class ReceiverServer:
    """uvicorn around an app, in this thread or another, ended cleanly.

    On SIGTERM or SIGINT (in the main thread), or `stop()` from anywhere: no new requests, those
    in hand are answered, the group commit writes what waits, then `run` returns.
    """

    def __init__(self, app: FastAPI, *, host: str = "127.0.0.1", port: int = 8080) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                loop="auto",
                http="httptools",
                ws="none",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=20,
            )
        )

    def run(self, *, ready: Callable[[int], None] | None = None) -> None:
        """Serve until told to stop. `ready` is called with the port once it is open.

        Raises ConfigurationError when the address cannot be had.
        """
        _spare_the_collector()
        with self._bind() as listening:
            port = int(listening.getsockname()[1])
            factory = self._server.config.get_loop_factory()
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(self._serve(listening, port, ready))
        if self._server.lifespan.error_occurred:
            # uvicorn only logs it, and would end as if all were well.
            raise RuntimeError("the receiver did not start or end in order")

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
                f"{host}:{port} cannot be listened on ({error.strerror}); set JOURNEY_HOST or "
                "JOURNEY_PORT to a free address"
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


def _spare_the_collector() -> None:
    """Let the garbage collector pass over what is here to stay, and come less often.

    A delivery's document is many small objects that live for milliseconds; with the default
    settings they make the collector walk everything again and again, which costs a fifth of the
    time of a delivery and most of the slowest ones.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def serve_receiver(
    app: FastAPI, *, host: str, port: int, ready: Callable[[int], None] | None = None
) -> None:
    """Serve the app in the main thread until SIGTERM or SIGINT; returns when all is written."""
    server = ReceiverServer(app, host=host, port=port)
    # uvicorn raises the signal again once it is done, to end the process with the code that the
    # signal has by itself. Ended as asked is a success, so the second one is let go.
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for number in before:
            # Not lost either when it comes before uvicorn listens for signals.
            signal.signal(number, lambda *_: server.stop())
        server.run(ready=ready)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
