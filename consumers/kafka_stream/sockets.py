"""Sockets that are closed when a connection comes to nothing.

kafka-python leaves such a socket to the garbage collector, which may take its time: a process that
looks for a broker that is away has a thousand of them within half an hour, and then can open
nothing else. The library picks the class of its sockets by the scheme of a proxy's address; ours is
that of no proxy.
"""

from __future__ import annotations

import socket
from typing import Any

from kafka.net.inet import KafkaNetSocket

DIRECTLY = "direct://"
"""As `proxy_url`: connect to the broker itself, with sockets of this class."""


class ClosedSocket(KafkaNetSocket):  # type: ignore[misc]
    """The library's own way to connect, tidied up after."""

    SCHEMES = ("direct",)

    async def sock_connect(
        self, net: Any, sock: socket.socket, sockaddr: Any, timeout_at: float | None = None
    ) -> socket.socket:
        """The socket, connected. Raises what the library raises, and closes the socket first."""
        try:
            connected: socket.socket = await super().sock_connect(net, sock, sockaddr, timeout_at)
        except BaseException:
            sock.close()
            raise
        return connected


__all__ = ["DIRECTLY", "ClosedSocket"]
