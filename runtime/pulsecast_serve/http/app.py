"""The ASGI application: addresses of all protocols behind one gate."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from typing import Protocol as Kind

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from pulsecast.errors import PulsecastError
from pulsecast.foundation.arguments import shown

from ..models.library import Library
from ..protocols.protocol import Address, Protocol, protocol_of, protocols
from ..refusal import FAILED, NOT_FOUND, RefusedError, refusal
from ..serving import Serving
from .dispatch import Dispatch
from .gate import Gate
from .measures import Measures
from .tracing import Traced, Tracer
from .words import error_response

log = logging.getLogger("pulsecast.serve")
Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class Beside(Kind):
    """A server that runs beside this one: gRPC."""

    async def start(self) -> None:
        """Begin to answer."""

    async def stop(self) -> None:
        """Finish what is at work."""


def build(serving: Serving, library: Library, measures: Measures, beside: Beside | None = None) -> ASGIApp:
    """Return the application; it follows the folder of models while it runs, and `beside` runs with it."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        library.start()
        try:
            if beside is not None:
                await beside.start()
            yield
        finally:
            if beside is not None:
                await beside.stop()
            library.stop()
            serving.threads.shutdown(wait=True)
            if serving.streams is not None:
                serving.streams.close()

    routes = [
        Route(address.path, _endpoint(serving, protocol, address), methods=[address.method], name=address.name)
        for protocol in protocols()
        for address in protocol.addresses
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _no_address(serving)})
    app.router.redirect_slashes = False
    gate = Gate(Dispatch(routes, app), serving.config, measures)
    return Traced(gate, Tracer()) if serving.config.traces else gate


def _no_address(serving: Serving) -> Callable[[Request, Exception], Coroutine[Any, Any, Response]]:
    """Return what answers where no address is, or none for this method."""

    async def answer(request: Request, error: Exception) -> Response:
        protocol = protocol_of(request.url.path)
        if protocol.otherwise is None:
            return _nothing(protocol, request, error)
        address = Address(method=request.method, path="", name=f"{protocol.name}.otherwise", answer=protocol.otherwise)
        return await _endpoint(serving, protocol, address)(request)

    return answer


def _nothing(protocol: Protocol, request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else NOT_FOUND
    path = shown(request.url.path)
    known = "; /openapi.json lists the addresses"
    said = f"there is nothing at {path}" if status == NOT_FOUND else f"{path} does not take {shown(request.method)}"
    headers = dict(getattr(error, "headers", None) or {})
    return error_response(protocol, RefusedError(status, f"{said}{known}"), headers)


def _endpoint(serving: Serving, protocol: Protocol, address: Address) -> Endpoint:
    """Return what answers at an address; every error becomes a sentence in the protocol's words."""

    async def endpoint(request: Request) -> Response:
        try:
            return await address.answer(serving, request)
        except PulsecastError as error:
            refused = refusal(error)
            if refused.status == FAILED:
                log.exception("%s failed", address.name)
        except Exception as error:
            log.exception("%s failed", address.name)
            refused = refusal(error)
        return error_response(protocol, refused)

    return endpoint
