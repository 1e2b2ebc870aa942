"""A span of OpenTelemetry for each request, where the process was set up to collect them; nothing of what was sent."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pulsecast.errors import MissingExtraError

_ERRORS = 500  # a status from here on is a fault of the server


class Traced:
    """Stands before the application, and continues the trace that a client's headers name."""

    def __init__(self, app: ASGIApp) -> None:
        """Raise MissingExtraError without OpenTelemetry's API."""
        try:
            from opentelemetry import propagate, trace
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "traces need opentelemetry-api, which is not installed: pip install 'pulsecast[traces]'"
            ) from error
        self._app = app
        self._extract = propagate.extract
        self._trace = trace
        self._tracer = trace.get_tracer("pulsecast.serve")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self._tracer.start_as_current_span(
            scope["method"], self._extract(headers), self._trace.SpanKind.SERVER
        ) as span:

            async def heard(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= _ERRORS:
                        span.set_status(self._trace.StatusCode.ERROR)
                await send(message)

            await self._app(scope, receive, heard)
            name = getattr(scope.get("route"), "name", None)
            if name is not None:
                span.update_name(name)
                span.set_attribute("http.route", getattr(scope["route"], "path", ""))
