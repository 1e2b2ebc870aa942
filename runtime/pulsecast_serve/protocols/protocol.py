"""What a protocol is to the server: its addresses, its answers, its words for an error."""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from pulsecast.foundation.lazy import imported

from ..refusal import ErrorBody
from ..serving import Serving

Schema = Mapping[str, object]
Answer = Callable[[Serving, Request], Awaitable[Response]]


@dataclass(frozen=True, kw_only=True)
class Address:
    """One address: `path` as Starlette writes it, and what answers there.

    name      of the address in metrics, as in `timeseries.forecast`
    request   schema of the JSON that is sent; None where nothing is, or something else
    response  schema of the JSON of an answer
    listed    in the OpenAPI document, with the first line of the function's docstring
    """

    method: str
    path: str
    name: str
    answer: Answer
    request: Schema | None = None
    response: Schema = field(default_factory=lambda: {"type": "object"})
    listed: bool = True


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One protocol.

    paths       of the requests that are worded as its own, also of those without an address
    error       its words for an error
    addresses   the first one whose path fits answers
    otherwise   answers its paths that no address fits; without it they are answered 404, or 405 for another method
    """

    name: str
    paths: re.Pattern[str]
    error: ErrorBody
    addresses: Sequence[Address]
    otherwise: Answer | None = None


# name -> `module:PROTOCOL` below this package, in the order in which a path is looked up
PROTOCOLS: Mapping[str, str] = {
    "timeseries": "timeseries:PROTOCOL",
    "inference": "inference.rest:PROTOCOL",
    "anomalies": "judging:PROTOCOL",
    "streams": "streams.addresses:PROTOCOL",
    "page": "page:PROTOCOL",
    "openapi": "openapi:PROTOCOL",
    "tensorflow": "tensorflow_serving.rest:PROTOCOL",  # has every path below /v1 that no other has
    "operation": "operation:PROTOCOL",
}


@functools.cache
def protocols() -> tuple[Protocol, ...]:
    """Return all protocols, imported."""
    return tuple(imported(where, __package__) for where in PROTOCOLS.values())


def protocol_of(path: str) -> Protocol:
    """Return the protocol of a path; the last one has all that no other has."""
    return next((one for one in protocols() if one.paths.match(path)), protocols()[-1])
