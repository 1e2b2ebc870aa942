"""Open Inference v2 over REST, with its binary extension.

Source: kserve/open-inference-protocol, inference_rest.md, and Triton's extension of binary tensor data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

import pulsecast
from pulsecast.foundation.arguments import shown

from ...models.served import Served
from ...refusal import BAD_REQUEST, NOT_READY, RefusedError
from ...serving import Serving
from ..bodies import json_bytes, sent_header, shortest, whole_body, written
from ..protocol import Address, Protocol
from .asked import BINARY_SIZE, HEADER, Asked, read_asked
from .model import EXTENSIONS, FP32, Answer, answered, found, gives, platform, takes, versions, wanted, windows_of
from .schema import INFER_REQUEST, INFER_RESPONSE, METADATA_RESPONSE, READY_RESPONSE, SERVER_RESPONSE
from .tensors import Head

_HEADER = HEADER.lower().encode("ascii")  # as ASGI has it
_BINARY_TYPE = "application/octet-stream"


def error_body(refused: RefusedError) -> Mapping[str, object]:
    """Return an error as the protocol words it."""
    return {"error": str(refused)}


def _named(serving: Serving, request: Request) -> Served:
    return found(serving, request.path_params["model"], _version(request))


def _version(request: Request) -> str:
    version: str = request.path_params.get("version", "")
    return version


async def server(serving: Serving, request: Request) -> Response:
    """Answer what this server is."""
    del serving, request
    return written({"name": "pulsecast", "version": pulsecast.__version__, "extensions": EXTENSIONS})


async def metadata(serving: Serving, request: Request) -> Response:
    """Answer what a model takes and gives."""
    served = _named(serving, request)
    return written(
        {
            "name": served.name,
            "versions": versions(serving, served),
            "platform": platform(served),
            "inputs": [_described(one) for one in takes(served.model)],
            "outputs": [_described(one) for one in gives(served.model)],
        }
    )


def _described(one: Head) -> dict[str, object]:
    return {"name": one.name, "datatype": one.datatype, "shape": one.shape}


async def ready(serving: Serving, request: Request) -> Response:
    """Answer whether a model answers: with 503 while it is being loaded."""
    name = request.path_params["model"]
    try:
        _named(serving, request)
    except RefusedError as error:
        if error.status != NOT_READY:
            raise
        return written({"name": name, "ready": False}, NOT_READY)
    return written({"name": name, "ready": True})


async def infer(serving: Serving, request: Request) -> Response:
    """Answer the forecasts of a batch of windows."""
    served = _named(serving, request)
    _refuse_compressed(request)
    asked = read_asked(await whole_body(serving, request), sent_header(request, _HEADER, None))
    names = wanted(served.model, [one.name for one in asked.outputs])
    windows = windows_of(served.model, asked.tensors, version=_version(request))
    made = await answered(serving, served, windows, names)
    return _response(served, asked, made)


def _refuse_compressed(request: Request) -> None:
    encoding = sent_header(request, b"content-encoding", "identity")
    if encoding.lower() != "identity":
        raise RefusedError(BAD_REQUEST, f"the request is compressed ({shown(encoding)}); send it as it is")


def _response(served: Served, asked: Asked, made: Answer) -> Response:
    binary = {one.name: one.binary for one in asked.outputs}
    parts = {name: one.tobytes() for name, one in made.outputs.items() if binary.get(name, asked.binary)}
    document = {
        "model_name": served.name,
        "model_version": str(served.version),
        **({} if asked.id is None else {"id": asked.id}),
        **({"parameters": made.parameters} if made.outside else {}),
        "outputs": [_output(name, numbers, parts.get(name)) for name, numbers in made.outputs.items()],
    }
    return _with_binary(document, list(parts.values())) if parts else written(document)


def _output(name: str, numbers: NDArray[np.float32], part: bytes | None) -> dict[str, object]:
    data = {"data": shortest(numbers.reshape(-1))} if part is None else {"parameters": {BINARY_SIZE: len(part)}}
    return {"name": name, "datatype": FP32, "shape": numbers.shape, **data}


def _with_binary(document: Mapping[str, object], parts: Sequence[bytes]) -> Response:
    head = json_bytes(document)
    return Response(b"".join((head, *parts)), 200, {HEADER: str(len(head))}, _BINARY_TYPE)


def _both(usual: Address) -> tuple[Address, Address]:
    """Return an address of a model, whose path is what follows its name, and of a version of it."""
    model, version = "/v2/models/{model}", "/versions/{version}"
    return replace(usual, path=model + usual.path), replace(usual, path=model + version + usual.path)


PROTOCOL = Protocol(
    name="inference",
    paths=re.compile(r"/v2(?:/|$)"),
    error=error_body,
    addresses=(
        Address(method="GET", path="/v2", name="inference.server", answer=server, response=SERVER_RESPONSE),
        *_both(Address(method="GET", path="", name="inference.metadata", answer=metadata, response=METADATA_RESPONSE)),
        *_both(Address(method="GET", path="/ready", name="inference.ready", answer=ready, response=READY_RESPONSE)),
        *_both(
            Address(
                method="POST",
                path="/infer",
                name="inference.infer",
                answer=infer,
                request=INFER_REQUEST,
                response=INFER_RESPONSE,
            )
        ),
    ),
)
