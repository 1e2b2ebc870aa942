"""Open Inference v2 over gRPC: the tensors, their rules and the answers are those of REST."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pulsecast
from pulsecast.foundation.arguments import shown

from ..models.served import Served
from ..protocols.inference.asked import refuse_elsewhere
from ..protocols.inference.model import (
    EXTENSIONS,
    FP32,
    Answer,
    answered,
    found,
    gives,
    platform,
    takes,
    versions,
    wanted,
    windows_of,
)
from ..protocols.inference.tensors import BYTES, Head, Tensor, from_bytes, from_values, head, refused
from ..refusal import NOT_READY, RefusedError
from ..serving import Serving
from .inference_messages import FILE
from .messages import message
from .services import Service

# datatype -> the list of InferTensorContents that holds its elements; FP16 has none
CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    FP32: "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


def _new(kind: str, /, **fields: Any) -> Any:
    return message(f"inference.{kind}")(**fields)


async def server_live(serving: Serving, asked: Any) -> Any:
    """Answer that the process runs."""
    del serving, asked
    return _new("ServerLiveResponse", live=True)


async def server_ready(serving: Serving, asked: Any) -> Any:
    """Answer whether every model has a version that forecast its golden windows."""
    del asked
    return _new("ServerReadyResponse", ready=serving.models.ready)


async def model_ready(serving: Serving, asked: Any) -> Any:
    """Answer whether a model answers; false while it is being loaded."""
    try:
        found(serving, asked.name, asked.version)
    except RefusedError as error:
        if error.status != NOT_READY:
            raise
        return _new("ModelReadyResponse", ready=False)
    return _new("ModelReadyResponse", ready=True)


async def server_metadata(serving: Serving, asked: Any) -> Any:
    """Answer what this server is."""
    del serving, asked
    return _new("ServerMetadataResponse", name="pulsecast", version=pulsecast.__version__, extensions=EXTENSIONS)


async def model_metadata(serving: Serving, asked: Any) -> Any:
    """Answer what a model takes and gives."""
    served = found(serving, asked.name, asked.version)
    return _new(
        "ModelMetadataResponse",
        name=served.name,
        versions=versions(serving, served),
        platform=platform(served),
        inputs=_described(takes(served.model)),
        outputs=_described(gives(served.model)),
    )


def _described(heads: list[Head]) -> list[Any]:
    kind = "ModelMetadataResponse.TensorMetadata"
    return [_new(kind, name=one.name, datatype=one.datatype, shape=one.shape) for one in heads]


async def model_infer(serving: Serving, asked: Any) -> Any:
    """Answer the forecasts of a batch of windows: as raw bytes if they came so, else as a list of floats."""
    served = found(serving, asked.model_name, asked.model_version)
    for one in (asked, *asked.inputs, *asked.outputs):
        refuse_elsewhere(one.parameters)
    names = wanted(served.model, [one.name for one in asked.outputs])
    windows = windows_of(served.model, list(_tensors(asked)), version=asked.model_version)
    made = await answered(serving, served, windows, names)
    return _response(served, asked, made)


def _tensors(asked: Any) -> Iterator[Tensor]:
    """Yield the inputs of a request; raises RefusedError (400)."""
    raw = asked.raw_input_contents
    if raw and len(raw) != len(asked.inputs):
        raise refused(f"{len(raw)} raw_input_contents for {len(asked.inputs)} inputs; expected one for each", "inputs")
    for place, one in enumerate(asked.inputs):
        of = head(one.name, one.datatype, list(one.shape))
        filled = [field.name for field, values in one.contents.ListFields() if len(values)]
        if raw and filled:
            raise refused(f"{shown(of.name)} has both contents and raw_input_contents; expected one of them", of.name)
        yield from_bytes(of, raw[place]) if raw else _typed(of, one.contents, filled)


def _typed(of: Head, contents: Any, filled: list[str]) -> Tensor:
    """Return the tensor whose elements stand in the list for its datatype, and in no other."""
    own = CONTENTS.get(of.datatype)
    if own is None:
        raise refused(f"{shown(of.name)} is {of.datatype}, which is sent as raw_input_contents only", of.name)
    others = [name for name in filled if name != own]
    if others:
        raise refused(f"{shown(of.name)} is {of.datatype} and has {', '.join(others)}; expected {own}", of.name)
    return from_values(of, list(getattr(contents, own)))


def _response(served: Served, asked: Any, made: Answer) -> Any:
    response = _new("ModelInferResponse", model_name=served.name, model_version=str(served.version), id=asked.id)
    for name, text in made.parameters.items():
        response.parameters[name].string_param = text
    for name, numbers in made.outputs.items():
        output = response.outputs.add(name=name, datatype=FP32, shape=numbers.shape)
        if asked.raw_input_contents:
            response.raw_output_contents.append(numbers.tobytes())
        else:
            output.contents.fp32_contents.extend(numbers.reshape(-1).tolist())
    return response


SERVICE = Service(
    file=FILE,
    name="GRPCInferenceService",
    methods={
        "ServerLive": server_live,
        "ServerReady": server_ready,
        "ModelReady": model_ready,
        "ServerMetadata": server_metadata,
        "ModelMetadata": model_metadata,
        "ModelInfer": model_infer,
    },
    open=frozenset({"ServerLive", "ServerReady"}),
)
