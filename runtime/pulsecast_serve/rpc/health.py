"""grpc.health.v1: is the server ready, and each of its services, which are ready together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpc_health.v1 import health_pb2

from pulsecast.foundation.arguments import shown

from ..refusal import NOT_FOUND, RefusedError
from ..serving import Serving
from . import services
from .services import Service

WATCH_S = 0.2  # between two looks for those who watch
_STATES = health_pb2.HealthCheckResponse


async def check(serving: Serving, asked: Any) -> Any:
    """Answer SERVING if every model has a version that forecast its golden windows; raises RefusedError (404)."""
    state = _state(serving, asked.service)
    if state == _STATES.SERVICE_UNKNOWN:
        raise RefusedError(NOT_FOUND, f"no service {shown(asked.service)}; there is {', '.join(_names())}")
    return _STATES(status=state)


async def everything(serving: Serving, asked: Any) -> Any:
    """Answer the state of each service."""
    del asked
    states = {name: _STATES(status=_state(serving, name)) for name in ("", *_names())}
    return health_pb2.HealthListResponse(statuses=states)


async def watch(serving: Serving, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Yield the state of a service, and again whenever it changes."""
    asked = await anext(messages)
    before = None
    while True:
        state = _state(serving, asked.service)
        if state != before:
            yield _STATES(status=state)
        before = state
        await asyncio.sleep(WATCH_S)


def _state(serving: Serving, service: str) -> int:
    """Return the state of a service; its name may lack the package, as in the checks of TensorFlow Serving."""
    if service and not any(service in (name, name.rpartition(".")[2]) for name in _names()):
        return int(_STATES.SERVICE_UNKNOWN)
    return int(_STATES.SERVING if serving.models.ready else _STATES.NOT_SERVING)


def _names() -> list[str]:
    return services.service_names()


SERVICE = Service(
    file=health_pb2.DESCRIPTOR,
    name="Health",
    methods={"Check": check, "List": everything},
    streams={"Watch": watch},
    open=frozenset({"Check", "List", "Watch"}),
)
