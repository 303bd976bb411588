"""The HTTP server of the dashboard: waitress, with bounds on what those who connect can hold."""

from __future__ import annotations

import logging
import socket
from typing import Any

from waitress import create_server
from waitress.channel import HTTPChannel

from hpsearch.reporting.guard import Application

IDLE_SECONDS = 20  # without a word, without the rest of a request, or without reading an answer
CONNECTIONS = 600  # at once: who comes while idle ones are still open is let in
OF_ADDRESS = 400  # of one address: so many that all of a proxy's browsers have their six each, and others find room
_THREADS = 8


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection, which counts as idle from when a request began to arrive until all of it is there."""

    last_activity: float
    _begun: float | None = None

    def received(self, data: bytes) -> bool:
        begun = self._begun or self.last_activity
        known: bool = super().received(data)
        self._begun = None if self.request is None else begun
        if self._begun is not None:
            self.last_activity = self._begun  # a byte now and then is no activity
        return known


def listening(application: Application, host: str, port: int, idle_seconds: int = IDLE_SECONDS) -> Any:
    """A server that listens, and serves once it is run.

    Args:
        application: what is served.
        host: the address, or a name; of one with several addresses the first.
        port: a free port; 0 lets the system choose one.
        idle_seconds: after which a connection is closed that says nothing, or goes on in the middle of a request, or
            does not read.

    Raises:
        OSError, ValueError: the address or the port cannot be had.
    """
    _, _, _, _, (address, *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a browser's six requests at once are no news
    server = create_server(
        application,
        host=address,
        port=port,
        threads=_THREADS,
        ident=None,
        connection_limit=CONNECTIONS,
        channel_timeout=idle_seconds,
        cleanup_interval=max(1, idle_seconds // 4),
        max_request_header_size=16384,
        max_request_body_size=1024,
        asyncore_use_poll=True,  # select ends at file 1023
        log_socket_errors=False,  # of those who left
    )
    server.channel_class = _admitted
    _drop_slow_readers(server.socket, idle_seconds)
    return server


def _admitted(server: Any, connection: socket.socket, address: Any, *rest: Any, **options: Any) -> None:
    """Serve who has just connected, unless enough others of its address are there."""
    if sum(channel.addr[0] == address[0] for channel in list(server.active_channels.values())) < OF_ADDRESS:
        Channel(server, connection, address, *rest, **options)
    else:
        connection.close()


def _drop_slow_readers(listening: socket.socket, seconds: int) -> None:
    """Have the system end connections whose other side does not read, which waitress would keep; macOS cannot."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * seconds)
