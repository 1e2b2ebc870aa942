"""TensorFlow Serving's REST API: predict, status and metadata of models.

A path is read as the original reads it: without regard to capital letters, and %-decoded after it was split.
"""

from __future__ import annotations

import asyncio
import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from ...models.served import Served
from ...refusal import BAD_REQUEST, RefusedError
from ...serving import Serving
from ..bodies import JSON, whole_body
from ..inflating import inflated
from ..protocol import Address, Protocol, Schema
from .answer import columnar_answer, row_answer
from .document import read_document
from .examples import check_examples, no_such_method
from .finding import Wanted, find, states
from .predicting import predict, windows_of
from .request import COLUMNS, INSTANCES, SIGNATURE_NAME, Asked, read_tensors, signature_name
from .signature import CLASSIFY, PREDICT, REGRESS, SIGNATURE, SIGNATURE_DEF, TensorInfo, signature_of

_WHICH = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_INFERENCE = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_WHICH}:(?P<what>classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_READING = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_WHICH}(?:/(?P<what>metadata))?", re.IGNORECASE | re.ASCII)
_DIGITS = len(str(2**63 - 1))  # of the largest version
_PATH = 200  # characters of a path that a sentence repeats
_LARGE = 64 << 10  # bytes of a request that is read in a thread: it would keep others waiting
_METHODS = {"classify": CLASSIFY, "regress": REGRESS}


def error_body(refused: RefusedError) -> Mapping[str, object]:
    """Return an error as the protocol words it."""
    return {"error": str(refused)}


async def infer(serving: Serving, request: Request) -> Response:
    """Answer forecasts to `:predict`, and to `:classify` and `:regress` that the model has no such signature."""
    asking = _asked(request)
    body = inflated(serving, request, await whole_body(serving, request))
    if len(body) > _LARGE:
        read_it = asyncio.get_running_loop().run_in_executor(serving.threads, _read, serving, asking, body)
        served, given = await read_it
    else:
        served, given = _read(serving, asking, body)
    inputs = signature_of(served.model).inputs
    windows = windows_of(serving, inputs, given.tensors, pinned=asking.wanted.pinned)
    write = row_answer if given.as_rows else columnar_answer
    outputs = await predict(serving, served, windows)
    return _text(await serving.run(len(windows), lambda: write(outputs)))


async def read(serving: Serving, request: Request) -> Response:
    """Answer the state of a model's versions, or its metadata."""
    asking = _asked(request)
    if asking.what:
        return _written(_metadata(find(serving.models, asking.wanted)))
    found = states(serving.models, asking.wanted)
    return _written(
        {
            "model_version_status": [
                {
                    "version": str(one.version),
                    "state": one.state,
                    "status": {"error_code": one.code, "error_message": one.message},
                }
                for one in found
            ]
        }
    )


async def otherwise(serving: Serving, request: Request) -> Response:
    """Answer a path in capital letters; raises RefusedError (400) for a path or method that the protocol has not."""
    return await (infer if request.method == "POST" else read)(serving, request)


@dataclass(frozen=True, kw_only=True)
class _Asking:
    """What a path asks: of which model, and the word at its end."""

    wanted: Wanted
    what: str


def _asked(request: Request) -> _Asking:
    """Return what a path asks; raises RefusedError (400)."""
    path = (request.scope.get("raw_path") or b"").decode("latin-1") or urllib.parse.quote(request.url.path)
    form = {"POST": _INFERENCE, "GET": _READING}.get(request.method)
    match = None if form is None else form.fullmatch(path)
    if match is None:
        raise RefusedError(BAD_REQUEST, f"Malformed request: {request.method} {path[:_PATH]}")
    name, label = (urllib.parse.unquote(match[part] or "") for part in ("name", "label"))
    if not name:
        raise RefusedError(BAD_REQUEST, "Missing model name in request.")
    version = None if match["version"] is None else _version(match["version"])
    return _Asking(wanted=Wanted(name=name, version=version, label=label or None), what=(match["what"] or "").lower())


def _version(text: str) -> int:
    digits = text.lstrip("0")
    if len(digits) > _DIGITS or int(digits or "0") >= 2**63:
        raise RefusedError(BAD_REQUEST, f"Failed to convert version: {text[:_PATH]} to numeric.")
    return int(digits or "0")


def _read(serving: Serving, asking: _Asking, body: bytes) -> tuple[Served, Asked]:
    """Return the model that is asked, and the tensors; raises RefusedError, in the order of the original."""
    document = read_document(body)
    name = signature_name(document)
    if asking.what in _METHODS:
        check_examples(document)
    served = find(serving.models, asking.wanted)
    if asking.what in _METHODS:
        raise no_such_method(_METHODS[asking.what], name[:_PATH])
    if name != SIGNATURE:
        raise RefusedError(BAD_REQUEST, f'Serving signature name: "{name[:_PATH]}" not found in signature def')
    return served, read_tensors(document, signature_of(served.model))


def _metadata(served: Served) -> dict[str, object]:
    signature = signature_of(served.model)
    described = {
        "inputs": {name: _described(info) for name, info in signature.inputs.items()},
        "outputs": {name: _described(info) for name, info in signature.outputs.items()},
        "method_name": PREDICT,
        "defaults": {},
    }
    return {
        "model_spec": {"name": served.name, "signature_name": "", "version": str(served.version)},
        "metadata": {SIGNATURE_DEF: {SIGNATURE_DEF: {SIGNATURE: described}}},
    }


def _described(info: TensorInfo) -> dict[str, object]:
    dimensions = [{"size": str(size), "name": ""} for size in info.shape]
    return {
        "dtype": info.dtype.name,
        "tensor_shape": {"dim": dimensions, "unknown_rank": False},
        "name": info.node,
    }


def _written(document: object) -> Response:
    return _text(json.dumps(document, indent=1))


def _text(text: str) -> Response:
    return Response(text, media_type=JSON)


_FORMS = {"": "", ".version": "/versions/{version}", ".label": "/labels/{label}"}
_STATUS: Schema = {
    "type": "object",
    "required": ["model_version_status"],
    "properties": {"model_version_status": {"type": "array", "minItems": 1, "items": {"type": "object"}}},
}
_METADATA: Schema = {"type": "object", "required": ["model_spec", "metadata"]}
_REQUEST: Schema = {
    "type": "object",
    "properties": {
        SIGNATURE_NAME: {"type": "string"},
        INSTANCES: {"type": "array", "minItems": 1},
        COLUMNS: {"type": ["array", "object", "number"]},
    },
    "oneOf": [{"required": [INSTANCES]}, {"required": [COLUMNS]}],
}
_ANSWER: Schema = {
    "type": "object",
    "properties": {"predictions": {"type": "array"}, "outputs": {"type": ["array", "object"]}},
    "oneOf": [{"required": ["predictions"]}, {"required": ["outputs"]}],
}


def _addresses() -> Iterator[Address]:
    """Yield what is answered about each model, by its name alone, and by a version or a label beside it."""
    for kind, which in _FORMS.items():
        path = f"/v1/models/{{name}}{which}"
        yield Address(
            method="POST", path=f"{path}:predict", name=f"tensorflow.predict{kind}", answer=infer, request=_REQUEST,
            response=_ANSWER,
        )  # fmt: skip
        for verb in _METHODS:
            name = f"tensorflow.{verb}{kind}"
            yield Address(method="POST", path=f"{path}:{verb}", name=name, answer=infer, listed=False)
        name = f"tensorflow.metadata{kind}"
        yield Address(method="GET", path=f"{path}/metadata", name=name, answer=read, response=_METADATA)
        yield Address(method="GET", path=path, name=f"tensorflow.status{kind}", answer=read, response=_STATUS)


PROTOCOL = Protocol(
    name="tensorflow",
    paths=re.compile(r"/v1(?:/|$)", re.IGNORECASE),
    error=error_body,
    addresses=tuple(_addresses()),
    otherwise=otherwise,
)
