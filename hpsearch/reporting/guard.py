"""What stands before a web application that shows and must not be changed: WSGI (PEP 3333) around WSGI."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_COOKIE = "hpsearch-token"
# For every answer: nothing guesses its type, frames it, keeps it, or learns the token from where a link came from.
_NOT_KEPT = ("Cache-Control", "no-store")
_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    _NOT_KEPT,
]


@dataclass
class Guard:
    """Lets through what only looks, is meant for this server, and knows the token where there is one; else 403.

    Attributes:
        application: what is guarded.
        token: to be given once, as ``?token=…``; a cookie remembers it.
        hosts: the ``Host`` headers that mean this server, as ``127.0.0.1:8080``. Any other is a page of somebody
            else's whose name was made to point here (DNS rebinding). Until they are known nobody is let in.
    """

    application: Application
    token: str | None = None
    hosts: frozenset[str] = frozenset()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refuse(start_response, "This dashboard shows and changes nothing: only GET and HEAD are allowed.")
        if environ.get("HTTP_HOST", "").lower() not in self.hosts:
            return _refuse(start_response, "This dashboard answers only under the address that it printed.")
        extra = [h for h in _HEADERS if h != _NOT_KEPT or not environ.get("PATH_INFO", "").startswith("/static/")]
        if self.token is not None:
            if self._knows(parse_qs(environ.get("QUERY_STRING", "")).get("token", [""])[-1]):
                extra.append(("Set-Cookie", f"{_COOKIE}={self.token}; Path=/; HttpOnly; SameSite=Strict"))
            elif not self._knows(_cookie(environ)):
                return _refuse(start_response, "This dashboard needs the token in the address that it printed.")

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            names = {name.lower() for name, _ in extra}
            return start_response(status, [h for h in headers if h[0].lower() not in names] + extra, *rest)

        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")  # optuna-dashboard fails where nobody sends it
        return self.application(environ, start)

    def _knows(self, given: str) -> bool:
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())


def _cookie(environ: Environ) -> str:
    try:
        found = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(_COOKIE)
    except CookieError:
        found = None
    return "" if found is None else found.value


def _refuse(start_response: StartResponse, why: str) -> list[bytes]:
    body = f"{why}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response("403 Forbidden", [*headers, *_HEADERS])
    return [body]
