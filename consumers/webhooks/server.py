"""The receiver as a process: ended without losing what it accepted."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable
from typing import ClassVar

from fastapi import FastAPI

from consumers.server import Server


class ReceiverServer(Server):
    """The receiver on its address. Before it ends, the group commit writes what waits."""

    settings = ("JOURNEY_HOST", "JOURNEY_PORT")
    options: ClassVar = {
        "http": "httptools",
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": 20,
    }

    def __init__(self, app: FastAPI, *, host: str = "127.0.0.1", port: int = 8080) -> None:
        super().__init__(app, host=host, port=port)

    def run(self, *, ready: Callable[[int], None] | None = None) -> None:
        """Serve until told to stop, as any server."""
        _spare_the_collector()
        super().run(ready=ready)


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
