"""The gate before every address: it counts, asks for the key, and turns away what would be too much.

It is plain ASGI: Starlette's own middleware would take longer than a forecast does.
"""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pulsecast.foundation.arguments import one_path
from pulsecast.plain_text import printable

from ..config import ServerConfig
from ..protocols.operation import OPEN
from ..protocols.protocol import protocol_of
from ..refusal import FAILED, TOO_MANY, UNAUTHENTICATED, RefusedError
from .keys import Keys, read_keys
from .measures import Measures
from .words import error_response

METRICS_PATH = "/metrics"
_METRICS_PATHS = frozenset({METRICS_PATH, "/monitoring/prometheus/metrics"})  # the second one is TensorFlow Serving's
_NO_ADDRESS = "none"
access = logging.getLogger("pulsecast.serve.access")


class Gate:
    """Stands before the application."""

    def __init__(self, app: ASGIApp, config: ServerConfig, measures: Measures) -> None:
        self._app = app
        self._config = config
        self._measures = measures
        self._keys: Keys | None = None if config.keys is None else read_keys(one_path("keys", config.keys))
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        self._active += 1
        self._measures.active.set(self._active)
        heard = _Heard(send)
        try:
            await self._answer(scope, receive, heard)
        finally:
            self._active -= 1
            self._measures.active.set(self._active)
            self._note(scope, heard.status, time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: _Heard) -> None:
        path: str = scope["path"]
        refused = self._refused(scope, path)
        if refused is None and path in _METRICS_PATHS and scope["method"] == "GET":
            await send.text(await asyncio.to_thread(self._measures.text))  # it may wait for the store of streams
            return
        if refused is None:
            await self._app(scope, receive, send)
            return
        await error_response(protocol_of(path), refused)(scope, receive, send)

    def _refused(self, scope: Scope, path: str) -> RefusedError | None:
        if path in OPEN:
            return None
        if self._active > self._config.active:
            return RefusedError(TOO_MANY, f"{self._config.active:,} requests are at work; try again in a moment")
        if self._keys is not None and not self._keys.admits(_authorization(scope)):
            return RefusedError(
                UNAUTHENTICATED, "a key is missing or unknown; send it as the header 'Authorization: Bearer KEY'"
            )
        return None

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        address = METRICS_PATH if scope["path"] in _METRICS_PATHS else getattr(route, "name", _NO_ADDRESS)
        self._measures.note(address, str(status), seconds)
        if self._config.access_log:
            access.info("%s %s %d %.1f ms", scope["method"], printable(scope["path"][:200]), status, 1000 * seconds)


class _Heard:
    """Passes an answer on, and remembers its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = FAILED  # of an answer that was never begun

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def text(self, body: bytes) -> None:
        """Send `body` as Prometheus reads it."""
        headers = [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")]
        headers.append((b"content-length", str(len(body)).encode()))
        await self({"type": "http.response.start", "status": 200, "headers": headers})
        await self({"type": "http.response.body", "body": body})


def _authorization(scope: Scope) -> bytes:
    """Return the first header of that name, b"" without one."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return next((value for name, value in headers if name == b"authorization"), b"")
