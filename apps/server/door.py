"""What stands before every request: the password, which paths there are, sizes, how often an address calls; /metrics.

Pure ASGI: a stream passes through as it comes. `CLIENT` tells what is called from here whose request it answers. What
Gradio cannot read is answered with a sentence, and no answer holds more than that of what went wrong.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.server.faults import DISK, SENTENCES, kind_of
from apps.server.metrics import Metrics
from apps.server.paths import API, Paths
from apps.server.rates import Rates
from apps.server.settings import Settings
from apps.server.uploads import FORM, Uploads, dropped

CLIENT: ContextVar[str] = ContextVar("client", default="")
"""The address whose request is being answered; "" where that is nobody's."""
MOST_BODY = 16 * 2**20
"""Bytes of a request that is no upload; files have a limit of their own."""
METRICS = "/metrics"
SCORE = "/score"
OPEN = ("/startup-events",)
"""What Gradio asks of itself when it starts; it tells nothing."""
REALM = 'Basic realm="workbench", charset="UTF-8"'
AT_ONCE = 8
"""Requests, open streams among them, for each tab that an address may have."""
FRAMES = "frame-ancestors 'self' http://localhost:* http://127.0.0.1:* https://huggingface.co https://*.hf.space"
"""Who may show the page inside his own: the Hub, and notebooks on the same machine."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # addresses of pages name runs
    "Content-Security-Policy": FRAMES,
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
TOO_LONG = "The request is longer than it may be, or did not come to its end."
UNREADABLE = (LookupError, ValueError, TypeError, AttributeError, RecursionError)
"""What Gradio raises for a request that no page would send."""


class Door:
    """Middleware of one served app."""

    def __init__(
        self, app: ASGIApp, settings: Settings, metrics: Metrics, clock: Callable[[], float] = time.monotonic,
        pages: Sequence[str] = ("",), folder: Path | None = None,
    ) -> None:  # fmt: skip
        """``pages`` are those of the app; ``folder`` is where its uploads and exports lie."""
        self._paths, self._uploads = Paths(pages, folder), Uploads(settings, folder, clock)
        self._running: Counter[str] = Counter()
        self._app, self._settings, self._metrics, self._clock = app, settings, metrics, clock
        self._rates = Rates(settings.calls_per_minute, clock)
        self._wrong = Rates(30, clock)  # passwords that an address may try in a minute

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers, path = Headers(scope=scope), str(scope["path"])
        send = _headed(send)
        client = address(scope["client"][0] if scope.get("client") else "", headers, self._settings.proxies)
        answer = self._refused(scope, headers, path, client)
        if answer is None and path == METRICS:
            answer = PlainTextResponse(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
        if answer is not None:
            return await answer(scope, receive, send)
        if path.startswith(f"{API}info") and not self._settings.proxies:
            scope = {**scope, "headers": [one for one in scope["headers"] if not one[0].startswith(b"x-forwarded-")]}
        mark, began = CLIENT.set(client), self._clock()
        self._running[client] += 1
        try:
            await self._read(scope, self._counted(receive, path), send, path)
        finally:
            CLIENT.reset(mark)
            self._running[client] -= 1
            if self._running[client] <= 0:
                del self._running[client]
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
        if path != METRICS and not self._paths.known(scope["method"], path):
            return _answer(404, "There is nothing here. The page is at /.")
        each = self._settings.sessions_per_client
        if each is not None and self._running[client] >= AT_ONCE * each:
            self._metrics.refused("at_once")
            return _answer(429, "Too many requests of your address are being answered. Close a tab.")
        if scope["method"] != "POST":
            return None
        if _upload(path):
            if (refusal := self._uploads.refused(client, _length(headers))) is not None:
                self._metrics.refused("upload")
                return _answer(*refusal)
        elif _length(headers) > MOST_BODY:
            self._metrics.refused("body")
            return _answer(413, f"The request is larger than {MOST_BODY // 2**20} MiB.")
        if seconds := self._rates.spend(client):
            self._metrics.refused("calls")
            said = f"Too many calls came from your address. Try again in {math.ceil(seconds)} s."
            if path.rstrip("/").endswith("/component_server"):  # its callers show {"error"} where they would an answer
                return JSONResponse({"error": said})
            return _answer(429, said, {"Retry-After": str(math.ceil(seconds))})
        return None

    async def _read(self, scope: Scope, receive: Receive, send: Send, path: str) -> None:
        """The app's answer; a sentence where the request is one that Gradio cannot read. It says 500 of a direct call
        that was refused with a sentence: that is 422."""
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                if message["status"] == 500 and path.startswith((f"{API}run/", f"{API}api/")):
                    message = {**message, "status": 422}
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except ClientDisconnect as error:  # it has gone, or `_counted` has ended what was too long
            dropped(error)
            if not begun:
                await _answer(413, TOO_LONG)(scope, receive, send)
        except OSError as error:
            if begun or kind_of(error) != DISK:
                raise
            dropped(error)
            self._metrics.failed(DISK)
            print(f"The disk is full, so {path[:60]!r} was not served: {error.strerror}", flush=True)
            await _answer(507, SENTENCES[DISK])(scope, receive, send)
        except RuntimeError as error:
            if not begun or not isinstance(error.__cause__, HTTPException):
                raise  # else Gradio has told its reader, in the stream, that there is nothing to read
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except UNREADABLE as error:
            if path == SCORE or begun:
                raise
            self._metrics.refused("unreadable")
            print(f"{type(error).__name__} where {path[:60]!r} was asked for: no request of a page", flush=True)
            await _answer(400, "This is no request of the page.")(scope, receive, send)

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
        most = self._uploads.most + FORM if _upload(path) else MOST_BODY
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            return {"type": "http.disconnect"} if read > most else message

        return counted


def address(host: str, headers: Any, proxies: int) -> str:
    """The address a request comes from: of X-Forwarded-For as many entries from the right are believed as there are
    ``proxies`` before the server; a shorter header, or none, is not. Of IPv6 the network of a household, /64: whoever
    has one has all of it."""
    parts = [part.strip() for part in str(headers.get("x-forwarded-for") or "").split(",")]
    found = ((parts[-proxies] if 0 < proxies <= len(parts) else "") or host)[:64]
    try:
        known = ipaddress.ip_address(found)
    except ValueError:
        return found
    return found if known.version == 4 else str(ipaddress.ip_network((int(known), 64), strict=False))


def loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _upload(path: str) -> bool:
    return path.rstrip("/").endswith("/upload")


def _headed(send: Send) -> Send:
    """``send`` that puts `HEADERS` before what the app says."""

    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope={**message, "headers": list(message.get("headers", ()))})
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            message = {**message, "headers": headers.raw}
        await send(message)

    return headed


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _answer(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"detail": sentence}, status, headers=headers)
