"""The dashboard's server with real sockets: who says nothing, or little, or comes too often, keeps nobody out."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from hpsearch.reporting import server as of_server
from hpsearch.reporting.server import OF_ADDRESS, listening

WAIT = 30  # seconds, at most, for what happens after a fraction of one


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"shown"]


@pytest.fixture
def serve() -> Iterator[Callable[[int], Any]]:
    """Serves in a thread until the test ends: ``serve(idle_seconds)``."""
    with ExitStack() as stack:

        def begin(idle_seconds: int) -> Any:
            server = listening(application, "127.0.0.1", 0, idle_seconds)
            threading.Thread(target=server.run, daemon=True).start()
            stack.callback(server.close)
            return server

        yield begin


def connected(server: Any, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.effective_port), WAIT, (source, 0))


def shown(server: Any) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.effective_port}/", timeout=WAIT) as answer:
        return bool(answer.read() == b"shown")


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side closes it, sooner or later."""
    connection.settimeout(WAIT)
    try:
        return connection.recv(1) == b""
    except (ConnectionResetError, TimeoutError) as error:
        return isinstance(error, ConnectionResetError)


def test_two_hundred_who_say_nothing_are_closed_and_keep_nobody_out(serve: Callable[[int], Any]) -> None:
    server = serve(1)
    with ExitStack() as stack:
        idle = [stack.enter_context(connected(server)) for _ in range(200)]
        assert shown(server)
        assert all(map(is_closed, idle))
        assert shown(server)


def test_of_a_name_with_two_addresses_the_first_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a machine with an address of either version. Here both are this machine's own."""
    real = socket.getaddrinfo

    def both(host: Any, *rest: Any, **options: Any) -> Any:
        hosts = ["127.0.0.1", "127.0.0.2"] if host == "two.example" else [host]
        return [info for one in hosts for info in real(one, *rest, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    server = listening(application, "two.example", 0)
    threading.Thread(target=server.run, daemon=True).start()
    assert shown(server)
    server.close()


def test_a_request_that_never_ends_is_closed_however_often_a_byte_comes(serve: Callable[[int], Any]) -> None:
    server = serve(1)
    with connected(server) as drip, connected(server) as steady:
        until, sent, answered = time.monotonic() + WAIT, b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", 0
        drip.sendall(sent)
        while time.monotonic() < until:
            try:
                drip.sendall(b"x")
            except OSError:  # closed
                break
            # Whoever asks one whole thing after the other stays.
            steady.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answered += steady.recv(4096).endswith(b"shown")
            time.sleep(0.05)
        else:
            raise AssertionError("a request that never ends is kept open")
        assert answered > 0


def test_one_address_cannot_take_the_room_of_others(
    serve: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert OF_ADDRESS < of_server.CONNECTIONS
    monkeypatch.setattr(of_server, "OF_ADDRESS", 5)
    server = serve(WAIT)
    with ExitStack() as stack:
        first = [stack.enter_context(connected(server, "127.0.0.2")) for _ in range(5)]
        for one in first:  # each is served, and stays
            one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            said = one.recv(4096)
            while said and not said.endswith(b"shown"):  # head and body may come one by one
                said += one.recv(4096)
            assert said
        assert is_closed(stack.enter_context(connected(server, "127.0.0.2")))
        assert shown(server)
