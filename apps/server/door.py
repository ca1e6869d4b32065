"""What stands before every request: the password, the size of a body, how often an address calls; and /metrics.

Pure ASGI: a stream passes through as it comes. `CLIENT` tells what is called from here whose request it answers.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import math
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.server.metrics import Metrics
from apps.server.rates import Rates
from apps.server.settings import Settings

CLIENT: ContextVar[str] = ContextVar("client", default="")
"""The address whose request is being answered; "" where that is nobody's."""
MOST_BODY = 16 * 2**20
"""Bytes of a request that is no upload; files have a limit of their own."""
METRICS = "/metrics"
OPEN = ("/startup-events",)
"""What Gradio asks of itself when it starts; it tells nothing."""
REALM = 'Basic realm="workbench", charset="UTF-8"'


class Door:
    """Middleware of one served app."""

    def __init__(
        self, app: ASGIApp, settings: Settings, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        self._app, self._settings, self._metrics, self._clock = app, settings, metrics, clock
        self._rates = Rates(settings.calls_per_minute, clock)
        self._wrong = Rates(30, clock)  # passwords that an address may try in a minute

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers, path = Headers(scope=scope), str(scope["path"])
        client = address(scope["client"][0] if scope.get("client") else "", headers, self._settings.proxies)
        answer = self._refused(scope, headers, path, client)
        if answer is None and path == METRICS:
            answer = PlainTextResponse(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
        if answer is not None:
            return await answer(scope, receive, send)
        mark, began = CLIENT.set(client), self._clock()
        try:
            await self._app(scope, self._counted(receive, path), send)
        finally:
            CLIENT.reset(mark)
            if path.rstrip("/").endswith("/component_server"):
                self._metrics.done("call", self._clock() - began)

    def _refused(self, scope: Scope, headers: Headers, path: str, client: str) -> Response | None:
        if path == METRICS and not self._operator(scope, headers):
            said = "The metrics are for the operator: ask from the server's own machine, or with its bearer token."
            return _answer(403, said)
        if path != METRICS and not path.endswith(OPEN) and not self._knows_password(headers):
            if self._wrong.spend(client):
                return _answer(429, "Too many passwords were tried. Wait a minute.")
            return _answer(401, "This server needs a password.", {"WWW-Authenticate": REALM})
        if scope["method"] != "POST":
            return None
        if not path.rstrip("/").endswith("/upload") and _length(headers) > MOST_BODY:
            self._metrics.refused("body")
            return _answer(413, f"The request is larger than {MOST_BODY // 2**20} MiB.")
        if seconds := self._rates.spend(client):
            self._metrics.refused("calls")
            said = f"Too many calls came from your address. Try again in {math.ceil(seconds)} s."
            if path.rstrip("/").endswith("/component_server"):  # its callers show {"error"} where they would an answer
                return JSONResponse({"error": said})
            return _answer(429, said, {"Retry-After": str(math.ceil(seconds))})
        return None

    def _operator(self, scope: Scope, headers: Headers) -> bool:
        if (token := self._settings.metrics_token) is not None:
            given = headers.get("authorization", "").removeprefix("Bearer ").encode()
            return hmac.compare_digest(given, token.get_secret_value().encode())
        own = loopback(scope["client"][0] if scope.get("client") else "")
        return own and "x-forwarded-for" not in headers and "forwarded" not in headers

    def _knows_password(self, headers: Headers) -> bool:
        if (password := self._settings.password) is None:
            return True
        kind, _, coded = headers.get("authorization", "").partition(" ")
        try:
            _, _, given = base64.b64decode(coded, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return False
        return kind.lower() == "basic" and hmac.compare_digest(given, password.get_secret_value().encode())

    def _counted(self, receive: Receive, path: str) -> Receive:
        """``receive`` that ends a body which is longer than it may be, whatever its header said."""
        if path.rstrip("/").endswith("/upload"):
            return receive
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            return {"type": "http.disconnect"} if read > MOST_BODY else message

        return counted


def address(host: str, headers: Any, proxies: int) -> str:
    """The address a request comes from: of X-Forwarded-For as many entries from the right are believed as there are
    ``proxies`` before the server; a shorter header, or none, is not."""
    parts = [part.strip() for part in str(headers.get("x-forwarded-for") or "").split(",")]
    found = parts[-proxies] if 0 < proxies <= len(parts) else ""
    return (found or host)[:64]


def loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _answer(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"detail": sentence}, status, headers=headers)
