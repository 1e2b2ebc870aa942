"""What a service is to the gRPC server: its methods, its codes for an error."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor

from pulsecast.foundation.lazy import imported

from ..refusal import (
    BAD_REQUEST,
    CONFLICT,
    FAILED,
    GONE_SLOW,
    NO_SPACE,
    NOT_FOUND,
    NOT_READY,
    TOO_LARGE,
    TOO_MANY,
    UNAUTHENTICATED,
    RefusedError,
)
from ..serving import Serving

RpcAnswer = Callable[[Serving, Any], Awaitable[Any]]
RpcStream = Callable[[Serving, AsyncIterator[Any]], AsyncIterator[Any]]

# status of HTTP -> code. A request that is too large stays so, and RESOURCE_EXHAUSTED would ask to send it again.
CODES: Mapping[int, grpc.StatusCode] = {
    BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    GONE_SLOW: grpc.StatusCode.DEADLINE_EXCEEDED,
    CONFLICT: grpc.StatusCode.ABORTED,
    TOO_LARGE: grpc.StatusCode.INVALID_ARGUMENT,
    TOO_MANY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    FAILED: grpc.StatusCode.INTERNAL,
    NOT_READY: grpc.StatusCode.UNAVAILABLE,
    NO_SPACE: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def usual_code(refused: RefusedError) -> grpc.StatusCode:
    """Return the code of an error."""
    return CODES.get(refused.status, grpc.StatusCode.INTERNAL)


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service.

    file     the descriptor of its file: `described(schema)`, or a library's own
    name     in that file
    methods  name -> what answers one message with one; one that stands in the file alone is not implemented
    streams  name -> what answers a stream of messages with another
    open     methods that are answered without a key
    code     of an error, where it is another one than `usual_code`
    """

    file: FileDescriptor
    name: str
    methods: Mapping[str, RpcAnswer] = field(default_factory=dict)
    streams: Mapping[str, RpcStream] = field(default_factory=dict)
    open: AbstractSet[str] = frozenset()
    code: Callable[[RefusedError], grpc.StatusCode] = usual_code

    @property
    def whole_name(self) -> str:
        """The name with its package, as `grpc.health.v1.Health`."""
        return f"{self.file.package}.{self.name}"


# name -> `module:SERVICE` below this package
SERVICES: Mapping[str, str] = {
    "health": "health:SERVICE",
    "reflection": "reflecting:SERVICE",
    "inference": "inference:SERVICE",
    "tensorflow prediction": "tensorflow_serving.prediction:SERVICE",
    "tensorflow model": "tensorflow_serving.status:SERVICE",
}


@functools.cache
def services() -> tuple[Service, ...]:
    """Return all services, imported."""
    return tuple(imported(where, __package__) for where in SERVICES.values())


def service_names() -> list[str]:
    """Return the whole names of all services."""
    return [one.whole_name for one in services()]
