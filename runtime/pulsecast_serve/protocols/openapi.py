"""The OpenAPI document at `/openapi.json`: every address of every protocol, made from the tables that answer."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping

from starlette.requests import Request
from starlette.responses import Response

from pulsecast import __version__

from ..serving import Serving
from .bodies import JSON, written
from .operation import error_body
from .protocol import Address, Protocol, Schema, protocols

METRICS_PATH = "/metrics"
_REFUSALS = {
    "400": "What was sent cannot be answered; the error says why.",
    "401": "The key is missing or unknown.",
    "404": "There is no such model, version, label or address.",
    "405": "The address does not take this method.",
    "408": "The request did not arrive in time.",
    "409": "The request does not fit what is kept.",
    "413": "The request is too large.",
    "429": "Too many requests are at work; Retry-After says when to come again.",
    "500": "A fault of the server.",
    "503": "The model is not loaded yet, or the store of streams cannot be written.",
    "507": "The store of streams is full.",
}
_PATH_PART = re.compile(r"\{(\w+)(?::\w+)?\}")


async def openapi(serving: Serving, request: Request) -> Response:
    """Answer this document."""
    del request
    return written(document(has_keys=serving.config.keys is not None))


@functools.cache
def document(*, has_keys: bool) -> Mapping[str, object]:
    """Return the document; a server with keys says that it asks for one."""
    paths: dict[str, dict[str, object]] = {METRICS_PATH: {"get": _metrics()}}
    for protocol in protocols():
        for address in protocol.addresses:
            if address.listed:
                path = _PATH_PART.sub(r"{\1}", address.path)
                paths.setdefault(path, {})[address.method.lower()] = _operation(protocol, address)
    return {
        "openapi": "3.1.0",
        "info": {"title": "pulsecast", "version": __version__, "description": "Forecasts of regular series."},
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        **({"security": [{"key": []}]} if has_keys else {}),
    }


def _operation(protocol: Protocol, address: Address) -> dict[str, object]:
    said = (address.answer.__doc__ or address.name).split("\n", 1)[0]
    answers: dict[str, object] = {"200": _answer("Answered.", address.response)}
    answers |= {status: _answer(why, _error_schema(protocol)) for status, why in _REFUSALS.items()}
    body = {"required": True, "content": {JSON: {"schema": address.request}}}
    return {
        "operationId": f"{address.method.lower()}.{address.name}.{len(_PATH_PART.findall(address.path))}",
        "tags": [protocol.name],
        "summary": said,
        **({"requestBody": body} if address.request is not None else {}),
        **({"parameters": parameters} if (parameters := [*_parameters(address.path)]) else {}),
        "responses": answers,
    }


def _parameters(path: str) -> Iterator[dict[str, object]]:
    for name in _PATH_PART.findall(path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _answer(why: str, schema: Schema) -> dict[str, object]:
    return {"description": why, "content": {JSON: {"schema": schema}}}


def _error_schema(protocol: Protocol) -> Schema:
    """Return the form of the protocol's errors, by what it makes of one."""
    from ..refusal import BAD_REQUEST, RefusedError

    return _form(protocol.error(RefusedError(BAD_REQUEST, "why")))


def _form(example: object) -> Schema:
    """Return the schema of an example: objects with its keys, texts, and anything where it has null."""
    if isinstance(example, Mapping):
        properties = {key: _form(value) for key, value in example.items()}
        return {"type": "object", "required": list(properties), "properties": properties}
    return {"type": "string"} if isinstance(example, str) else {}


def _metrics() -> dict[str, object]:
    text = {"description": "Metrics in Prometheus's text format.", "content": {"text/plain": {}}}
    return {
        "operationId": "get.metrics",
        "tags": ["operation"],
        "summary": "Answer all metrics.",
        "responses": {"200": text},
    }


PROTOCOL = Protocol(
    name="openapi",
    paths=re.compile(r"/openapi\.json$"),
    error=error_body,
    addresses=(Address(method="GET", path="/openapi.json", name="openapi", answer=openapi),),
)
