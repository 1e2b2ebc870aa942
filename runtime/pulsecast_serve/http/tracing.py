"""A span of OpenTelemetry for each request, where the process was set up to collect them; nothing of what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pulsecast.errors import MissingExtraError

_ERRORS = 500  # a status from here on is a fault of the server


class Tracer:
    """Opens spans of the server, below those that clients name."""

    def __init__(self) -> None:
        """Raise MissingExtraError without OpenTelemetry's API."""
        try:
            from opentelemetry import propagate, trace
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "traces need opentelemetry-api, which is not installed: pip install 'pulsecast[traces]'"
            ) from error
        self._extract = propagate.extract
        self._kind = trace.SpanKind.SERVER
        self._error = trace.StatusCode.ERROR
        self._tracer = trace.get_tracer("pulsecast.serve")

    def opened(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[Any]:
        """Return a span that is current while it is open; `headers` may name the client's (`traceparent`)."""
        span: AbstractContextManager[Any] = self._tracer.start_as_current_span(name, self._extract(headers), self._kind)
        return span

    def failed(self, span: Any) -> None:
        """Mark a span: the fault was the server's."""
        span.set_status(self._error)


class Traced:
    """Stands before the application."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self._tracer.opened(scope["method"], headers) as span:

            async def heard(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= _ERRORS:
                        self._tracer.failed(span)
                await send(message)

            await self._app(scope, receive, heard)
            name = getattr(scope.get("route"), "name", None)
            if name is not None:
                span.update_name(name)
                span.set_attribute("http.route", getattr(scope["route"], "path", ""))
