"""Whoever only looks, under the right address and with the token, is let in; nobody else is."""

from __future__ import annotations

from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from hpsearch.reporting.dashboard import hosts_of
from hpsearch.reporting.guard import Guard

HOST = "127.0.0.1:8080"


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Cache-Control", "max-age=9")])
    return [b"shown"]


def ask(guard: Guard, method: str = "GET", host: str | None = HOST, query: str = "", **more: str) -> tuple[int, Any]:
    """Status and headers of an answer."""
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "QUERY_STRING": query, **more}
    setup_testing_defaults(environ)
    if host is None:
        del environ["HTTP_HOST"]
    else:
        environ["HTTP_HOST"] = host
    got: list[Any] = []
    body = b"".join(guard(environ, lambda status, headers, *rest: got.extend((status, dict(headers)))))
    status = int(got[0].split()[0])
    assert (body == b"shown") == (status == 200)
    return status, got[1]


def open_guard(token: str | None = None) -> Guard:
    return Guard(application, token, frozenset({HOST}))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_is_allowed(method: str) -> None:
    status, headers = ask(open_guard(), method)
    assert status == 200
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize(("given", "known"), [({}, "identity"), ({"HTTP_ACCEPT_ENCODING": "gzip"}, "gzip")])
def test_what_is_guarded_knows_which_encoding_is_accepted(given: dict[str, str], known: str) -> None:
    """optuna-dashboard raises a KeyError where a request does not say."""
    asked: list[str] = []

    def listening(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        asked.append(environ["HTTP_ACCEPT_ENCODING"])
        return application(environ, start_response)

    assert ask(Guard(listening, None, frozenset({HOST})), **given)[0] == 200
    assert asked == [known]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "X"])
def test_anything_but_looking_is_refused(method: str) -> None:
    assert ask(open_guard(), method)[0] == 403


@pytest.mark.parametrize(
    "host", [None, "", "evil.example", "evil.example:8080", "127.0.0.1", "127.0.0.1:80", HOST + "."]
)
def test_another_host_is_refused(host: str | None) -> None:
    assert ask(open_guard(), host=host)[0] == 403


def test_before_the_address_is_known_nobody_is_let_in() -> None:
    assert ask(Guard(application))[0] == 403


@pytest.mark.parametrize("query", ["", "token=", "token=wrong", "token=secre", "token=secret2", "x=secret", "token=ü"])
def test_without_the_token_all_is_refused(query: str) -> None:
    assert ask(open_guard("secret"), query=query)[0] == 403
    assert ask(open_guard("secret"), HTTP_COOKIE="hpsearch-token=wrong")[0] == 403
    assert ask(open_guard("secret"), HTTP_COOKIE="\x00;;=")[0] == 403


def test_the_token_is_given_once_and_then_remembered_by_a_cookie_that_no_script_and_no_other_site_sees() -> None:
    guard = open_guard("secret")
    status, headers = ask(guard, query="token=secret")
    assert status == 200
    name, *flags = headers["Set-Cookie"].split("; ")
    assert set(flags) >= {"HttpOnly", "SameSite=Strict", "Path=/"}
    assert ask(guard, HTTP_COOKIE=name)[0] == 200
    assert ask(guard, "POST", HTTP_COOKIE=name)[0] == 403
    assert ask(guard, host="evil.example", HTTP_COOKIE=name)[0] == 403


@pytest.mark.parametrize(
    ("host", "port", "names", "known"),
    [
        ("127.0.0.1", 8080, (), {"127.0.0.1:8080", "localhost:8080", "[::1]:8080"}),
        ("192.168.0.7", 80, ("Box.example",), {"192.168.0.7:80", "192.168.0.7", "box.example:80", "box.example"}),
    ],
)
def test_the_hosts_are_the_address_and_the_names_that_were_given(
    host: str, port: int, names: tuple[str, ...], known: set[str]
) -> None:
    assert hosts_of(host, port, names) == known
