"""PredictionService: forecasts, and the signature of a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...models.served import Served
from ...protocols.tensorflow_serving.examples import no_such_method
from ...protocols.tensorflow_serving.finding import find
from ...protocols.tensorflow_serving.predicting import predict, windows_of
from ...protocols.tensorflow_serving.signature import (
    CLASSIFY,
    PREDICT,
    REGRESS,
    SIGNATURE,
    SIGNATURE_DEF,
    Signature,
    TensorInfo,
    signature_of,
)
from ...refusal import BAD_REQUEST, RefusedError
from ...serving import Serving
from ..messages import described, message
from ..services import Service
from . import schema
from .asking import PRECONDITION, UNIMPLEMENTED, code, wanted
from .tensors import array_of, fill

_FILE = described(schema.PREDICTION)
_PACKAGE = "tensorflow.serving"
_ANY_PREFIX = "type.googleapis.com"
_METHODS = (CLASSIFY, REGRESS)


async def predict_tensors(serving: Serving, asked: Any) -> Any:
    """Answer the outputs for tensors of all inputs."""
    which = wanted(asked)
    served = find(serving.models, which)
    name = asked.model_spec.signature_name or SIGNATURE
    if name != SIGNATURE:
        raise RefusedError(PRECONDITION, f'Serving signature key "{name}" not found.')
    signature = signature_of(served.model)
    _check_names(signature, asked.inputs)
    outputs = _outputs(signature, asked.output_filter)
    tensors = {one: array_of(one, info, asked.inputs[one]) for one, info in signature.inputs.items()}
    windows = windows_of(serving, signature.inputs, tensors, pinned=which.pinned)
    found = await predict(serving, served, windows)
    answer = message(f"{_PACKAGE}.PredictResponse")()
    _fill_spec(answer.model_spec, served)
    answer.model_spec.signature_name = SIGNATURE
    for one in outputs:
        fill(answer.outputs[one], found[one])
    return answer


def _check_names(signature: Signature, sent: Iterable[str]) -> None:
    """Raise RefusedError (400) unless exactly the inputs of the signature were sent."""
    own, given = set(signature.inputs), set(sent)
    if len(given) != len(own):
        raise RefusedError(
            BAD_REQUEST,
            f"input size does not match signature: {len(given)}!={len(own)} len({_set(given)}) != len({_set(own)}). "
            f"Sent extra: {_set(given - own)}. Missing but required: {_set(own - given)}.",
        )
    for name in sorted(own - given):
        raise RefusedError(
            BAD_REQUEST,
            f"Signature input alias: {name}(feed name: {signature.inputs[name].node}) not found in request and no "
            f"default value provided. Inputs expected to be in the request {_set(given)}, or default input alias set: ",
        )


def _set(names: Iterable[str]) -> str:
    return f"{{{','.join(sorted(names))}}}"


def _outputs(signature: Signature, wanted_names: Sequence[str]) -> Sequence[str]:
    """Return the outputs to answer: all, unless some are named; raises RefusedError (400)."""
    for place, name in enumerate(wanted_names):
        if name not in signature.outputs:
            raise RefusedError(
                BAD_REQUEST,
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{_set(signature.outputs)}.",
            )
        if name in wanted_names[:place]:
            raise RefusedError(BAD_REQUEST, f"duplicate output tensor alias: {name}")
    return wanted_names or sorted(signature.outputs)


def _fill_spec(spec: Any, served: Served) -> None:
    spec.name = served.name
    spec.version.value = served.version


async def metadata(serving: Serving, asked: Any) -> Any:
    """Answer the signature of a model."""
    which = wanted(asked)
    if not asked.metadata_field:
        raise RefusedError(BAD_REQUEST, "GetModelMetadataRequest must specify at least one metadata_field")
    for name in asked.metadata_field:
        if name != SIGNATURE_DEF:
            raise RefusedError(BAD_REQUEST, f"Metadata field {name} is not supported")
    served = find(serving.models, which)
    signatures = message(f"{_PACKAGE}.SignatureDefMap")()
    _fill_signature(signatures.signature_def[SIGNATURE], signature_of(served.model))
    answer = message(f"{_PACKAGE}.GetModelMetadataResponse")()
    _fill_spec(answer.model_spec, served)
    packed = answer.metadata[SIGNATURE_DEF]
    packed.type_url = f"{_ANY_PREFIX}/{signatures.DESCRIPTOR.full_name}"
    packed.value = signatures.SerializeToString(deterministic=True)
    return answer


def _fill_signature(proto: Any, signature: Signature) -> None:
    for name, info in signature.inputs.items():
        _fill_info(proto.inputs[name], info)
    for name, info in signature.outputs.items():
        _fill_info(proto.outputs[name], info)
    proto.method_name = PREDICT


def _fill_info(proto: Any, info: TensorInfo) -> None:
    proto.name, proto.dtype = info.node, info.dtype.number
    for size in info.shape:
        proto.tensor_shape.dim.add(size=size)


async def classify(serving: Serving, asked: Any) -> Any:
    """Answer that the model does not classify."""
    _refuse_method(serving, asked, CLASSIFY)


async def regress(serving: Serving, asked: Any) -> Any:
    """Answer that the model does not regress: a forecast has several steps and bounds."""
    _refuse_method(serving, asked, REGRESS)


async def several(serving: Serving, asked: Any) -> Any:
    """Answer that the model neither classifies nor regresses, for the first task that is asked."""
    if not asked.tasks:
        raise RefusedError(BAD_REQUEST, "Inference request must have at least one task")
    task = asked.tasks[0]
    if task.method_name not in _METHODS:
        raise RefusedError(UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
    _refuse_method(serving, task, task.method_name)


def _refuse_method(serving: Serving, asked: Any, method: str) -> None:
    find(serving.models, wanted(asked))
    raise no_such_method(method, asked.model_spec.signature_name or SIGNATURE)


SERVICE = Service(
    file=_FILE,
    name="PredictionService",
    methods={
        "Predict": predict_tensors,
        "GetModelMetadata": metadata,
        "Classify": classify,
        "Regress": regress,
        "MultiInference": several,
    },
    code=code,
)
