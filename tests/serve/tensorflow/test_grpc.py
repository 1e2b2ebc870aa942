"""TensorFlow Serving's gRPC services: tensors in every form, and each refusal with the original's code and sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

import pulsecast
from helpers import plain
from pulsecast.model.windows import Windows
from pulsecast_serve.protocols.tensorflow_serving import signature
from pulsecast_serve.refusal import RefusedError
from pulsecast_serve.rpc.messages import message
from pulsecast_serve.rpc.tensorflow_serving import prediction, status
from pulsecast_serve.rpc.tensorflow_serving.tensors import array_of

from .conftest import Server

assert prediction.SERVICE.name
assert status.SERVICE.name
WAS = "Was: tensorflow/serving/predict"
FLOAT, DOUBLE, INT64 = 1, 2, 9


def of(name: str) -> Any:
    return message(f"tensorflow.serving.{name}")


def put(tensor: Any, array: NDArray[Any], *, typed: bool = False, dtype: int | None = None) -> None:
    """Write an array into a TensorProto: its bytes, or its numbers one by one."""
    tensor.dtype = dtype or (INT64 if array.dtype.kind == "i" else FLOAT)
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    if typed:
        (tensor.int64_val if array.dtype.kind == "i" else tensor.float_val).extend(array.ravel().tolist())
    else:
        tensor.tensor_content = array.tobytes()


def asking(model: str, typed: bool = False, **inputs: NDArray[Any]) -> Any:
    request = of("PredictRequest")()
    request.model_spec.name = model
    for name, array in inputs.items():
        put(request.inputs[name], array, typed=typed)
    return request


def predicted(server: Server, request: Any) -> Any:
    return server.call("PredictionService", "Predict", request, of("PredictResponse"))


def outputs(answer: Any) -> dict[str, NDArray[np.float32]]:
    found = {}
    for name, tensor in answer.outputs.items():
        assert tensor.dtype == FLOAT
        shape = [one.size for one in tensor.tensor_shape.dim]
        found[name] = np.array(tensor.float_val, np.float32).reshape(shape)
    return found


@pytest.fixture(scope="module")
def windows(change_model: plain.PlainModel) -> Windows:
    return change_model.windows.take(slice(0, 3))


@pytest.mark.parametrize("typed", [False, True])
def test_bytes_and_numbers_give_the_forecasters_numbers_bit_by_bit(
    server: Server, bundle: Path, windows: Windows, typed: bool
) -> None:
    assert windows.time is not None
    answer = predicted(server, asking("plain", typed, values=windows.values, time=windows.time))
    own = pulsecast.load(bundle).predict(windows.values, timestamps=windows.time, interval=0.9)
    found = outputs(answer)
    assert set(found) == {"forecast", "lower", "upper"}
    for name, numbers in found.items():
        np.testing.assert_array_equal(numbers, np.asarray(getattr(own, name), np.float32), err_msg=name)
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("plain", 1, "serving_default")


def test_one_number_stands_for_the_whole_tensor(server: Server, plain_bundle: Path) -> None:
    request = asking("level")
    tensor = request.inputs["values"]
    put(tensor, np.zeros((2, 50, 1), np.float32), typed=True)
    del tensor.float_val[:]
    tensor.float_val.append(250.0)
    own = pulsecast.load(plain_bundle).predict(np.full((2, 50, 1), 250, np.float32))
    np.testing.assert_array_equal(outputs(predicted(server, request))["forecast"], own)


def test_one_number_for_a_tensor_of_no_end_takes_no_memory_and_is_refused(server: Server) -> None:
    request = asking("level")
    put(request.inputs["values"], np.float32(1).reshape(1, 1, 1))
    request.inputs["values"].tensor_shape.dim[1].size = 50
    for size, said in ((2**25, "33,554,432 windows in one request"), (2**62, "has 3 dimensions and 2.31e+20 numbers")):
        request.inputs["values"].tensor_shape.dim[0].size = size
        with pytest.raises(grpc.RpcError) as refused:
            predicted(server, request)
        assert said in refused.value.details()


def test_a_row_that_cannot_be_forecast_is_nan_and_the_others_have_their_numbers(
    server: Server, table_bundle: Path, windows: Windows
) -> None:
    assert windows.time is not None
    values, series = windows.values.copy(), np.array([3, -1, 1])
    values[2, 0] = np.nan
    request = asking("table", values=values, time=windows.time, series=series)
    with pytest.raises(grpc.RpcError) as refused:
        predicted(server, request)
    assert "series are rows, and the next version may have another series there" in refused.value.details()
    request.model_spec.version.value = 1
    found = outputs(predicted(server, request))
    own = pulsecast.load(table_bundle).predict(windows.take([0]).values, timestamps=windows.time[:1], series="c")
    for numbers in found.values():
        assert np.isnan(numbers[1:]).all()
    np.testing.assert_allclose(found["forecast"][0], own[0], rtol=1e-6)


def test_no_rows_give_no_rows(server: Server) -> None:
    found = outputs(predicted(server, asking("level", values=np.zeros((0, 50, 1), np.float32))))
    assert {name: one.shape for name, one in found.items()} == dict.fromkeys(("forecast", "lower", "upper"), (0, 1))


def test_a_filter_chooses_the_outputs(server: Server, windows: Windows) -> None:
    assert windows.time is not None
    request = asking("plain", values=windows.values, time=windows.time)
    request.output_filter.append("upper")
    assert set(outputs(predicted(server, request))) == {"upper"}


def fine(**change: Any) -> Any:
    request = asking("level", values=np.full((1, 50, 1), 250, np.float32))
    for name, value in change.items():
        if name == "version":
            request.model_spec.version.value = value
        elif name == "output_filter":
            request.output_filter.extend(value)
        else:
            setattr(request.model_spec, name, value)
    return request


def with_tensor(change: Callable[[Any], None]) -> Any:
    request = fine()
    change(request.inputs["values"])
    return request


def only(**inputs: NDArray[Any]) -> Any:
    return asking("level", **inputs)


VALUES = np.full((1, 50, 1), 250, np.float32)
INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
REFUSED: list[tuple[Callable[[], Any], grpc.StatusCode, str]] = [
    (of("PredictRequest"), INVALID, "Missing ModelSpec"),
    (lambda: fine(name=""), INVALID, "ModelSpec has no name specified."),
    (lambda: fine(name="foo"), MISSING, "Servable not found for request: Latest(foo)"),
    (lambda: fine(version=5), MISSING, "Servable not found for request: Specific(level, 5)"),
    (lambda: fine(version=-5), MISSING, "Servable not found for request: Specific(level, -5)"),
    (lambda: fine(version_label="nix"), INVALID, "Unrecognized servable version label: nix"),
    (lambda: fine(signature_name="X"), grpc.StatusCode.FAILED_PRECONDITION, 'Serving signature key "X" not found.'),
    (
        only,
        INVALID,
        ("input size does not match signature: 0!=1 len({}) != len({values}). Sent extra: {}. Missing but required: "
        "{values}."),
    ),
    (
        lambda: only(values=VALUES, time=VALUES),
        INVALID,
        ("input size does not match signature: 2!=1 len({time,values}) != len({values}). Sent extra: {time}. "
         "Missing but required: {}."),
    ),
    (
        lambda: only(window=VALUES),
        INVALID,
        ("Signature input alias: values(feed name: serving_default_values:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {window}, or default input alias set: "),
    ),
    (
        lambda: fine(output_filter=["a"]),
        INVALID,
        "output tensor alias not found in signature: a Outputs expected to be in the set {forecast,lower,upper}.",
    ),
    (lambda: fine(output_filter=["upper", "upper"]), INVALID, "duplicate output tensor alias: upper"),
    (
        lambda: with_tensor(lambda one: setattr(one, "dtype", DOUBLE)),
        INVALID,
        "tensor parsing error: values is of the type DT_DOUBLE; expected DT_FLOAT",
    ),
    (lambda: with_tensor(lambda one: setattr(one, "dtype", 99)), INVALID, "is of the type 99; expected DT_FLOAT"),
    (
        lambda: with_tensor(lambda one: setattr(one, "tensor_content", VALUES[:, :-1].tobytes())),
        INVALID,
        "tensor parsing error: values holds 49 numbers; its shape [1, 50, 1] takes 50",
    ),
    (lambda: with_tensor(lambda one: one.ClearField("tensor_content")), INVALID, "holds 0 numbers; its shape"),
    (lambda: with_tensor(lambda one: setattr(one, "tensor_content", b"abc")), INVALID, "holds 3 bytes, which are not"),
    (lambda: with_tensor(lambda one: one.float_val.append(1.0)), INVALID, "holds both tensor_content and float_val"),
    (
        lambda: with_tensor(lambda one: setattr(one.tensor_shape, "unknown_rank", True)),
        INVALID,
        "tensor parsing error: values has no known shape",
    ),
    (lambda: with_tensor(lambda one: setattr(one.tensor_shape.dim[0], "size", -1)), INVALID, "has no known shape"),
    (lambda: only(values=np.ones((1,) * 60, np.float32)), INVALID, "has 60 dimensions and 1 numbers"),
    (lambda: only(values=VALUES[:, :49]), INVALID, "values has the shape [1,49,1]; expected [-1,50,1]"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "code", "said"), REFUSED)
def test_a_request_is_refused_with_the_originals_code_and_sentence(
    server: Server, make: Callable[[], Any], code: grpc.StatusCode, said: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        predicted(server, make())
    assert said in refused.value.details()
    assert refused.value.code() == code


def test_health_knows_the_services_by_the_names_that_tensorflow_serving_gives_them(server: Server) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(server.target) as channel:
        ask = health_pb2_grpc.HealthStub(channel).Check
        for name in ("PredictionService", "ModelService", "tensorflow.serving.PredictionService"):
            assert ask(health_pb2.HealthCheckRequest(service=name), timeout=30).status == 1
        with pytest.raises(grpc.RpcError):
            ask(health_pb2.HealthCheckRequest(service="Service"), timeout=30)


def test_a_damaged_tensor_is_read_or_refused_in_a_sentence() -> None:
    """Whatever else is raised would be told as a fault of the server."""
    random, info = np.random.default_rng(4), signature.TensorInfo(dtype=signature.FLOAT, shape=(-1, 50, 1), node="")
    whole = {
        typed: asking("level", typed, values=VALUES).inputs["values"].SerializeToString() for typed in (False, True)
    }
    read = 0
    for turn in range(3000):
        sent = np.frombuffer(whole[turn % 2 == 0], np.uint8).copy()
        sent[random.integers(0, 20, 2)] = random.integers(0, 256, 2)
        tensor = message("tensorflow.TensorProto")()
        try:
            tensor.ParseFromString(sent.tobytes())
            array_of("values", info, tensor)
            read += 1
        except (DecodeError, RefusedError):
            pass
    assert 10 < read < 3000


def test_the_status_is_told_for_all_versions_and_for_one(server: Server) -> None:
    for version in (None, 0, 1):
        request = of("GetModelStatusRequest")()
        request.model_spec.name = "plain"
        if version is not None:
            request.model_spec.version.value = version
        answer = server.call("ModelService", "GetModelStatus", request, of("GetModelStatusResponse"))
        assert [(one.version, one.state, one.status.error_code) for one in answer.model_version_status] == [(1, 30, 0)]


OTHERS: list[tuple[str, str, str, dict[str, Any], grpc.StatusCode, str]] = [
    ("ModelService", "GetModelStatus", "GetModelStatus", {}, INVALID, "Missing ModelSpec"),
    ("ModelService", "GetModelStatus", "GetModelStatus", {"name": "x"}, MISSING,
     "Could not find any versions of model x"),
    ("ModelService", "GetModelStatus", "GetModelStatus", {"name": "plain", "version": 9}, MISSING,
     "Could not find version 9 of model plain"),
    ("ModelService", "HandleReloadConfigRequest", "ReloadConfig", {}, grpc.StatusCode.UNIMPLEMENTED,
     "this server takes no configuration over the wire"),
    ("PredictionService", "GetModelMetadata", "GetModelMetadata", {}, INVALID, "Missing ModelSpec"),
    ("PredictionService", "GetModelMetadata", "GetModelMetadata", {"name": "plain"}, INVALID,
     "GetModelMetadataRequest must specify at least one metadata_field"),
    ("PredictionService", "GetModelMetadata", "GetModelMetadata", {"name": "plain", "fields": ["signature_def", "X"]},
     INVALID, "Metadata field X is not supported"),
    ("PredictionService", "GetModelMetadata", "GetModelMetadata", {"name": "x", "fields": ["signature_def"]}, MISSING,
     "Servable not found for request: Latest(x)"),
    ("PredictionService", "Classify", "Classification", {"name": "plain"}, INVALID,
     f"Expected classification signature method_name to be tensorflow/serving/classify. {WAS}"),
    ("PredictionService", "Regress", "Regression", {"name": "plain"}, INVALID,
     f"Expected regression signature method_name to be tensorflow/serving/regress. {WAS}"),
    ("PredictionService", "Regress", "Regression", {"name": "x"}, MISSING, "Servable not found for request: Latest(x)"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "method", "kind", "parts", "code", "said"), OTHERS)
def test_other_calls_are_refused_with_the_originals_code_and_sentence(
    server: Server, service: str, method: str, kind: str, parts: dict[str, Any], code: grpc.StatusCode, said: str
) -> None:
    request = of(f"{kind}Request")()
    if "name" in parts:
        request.model_spec.name = parts["name"]
    if "version" in parts:
        request.model_spec.version.value = parts["version"]
    for name in parts.get("fields", ()):
        request.metadata_field.append(name)
    with pytest.raises(grpc.RpcError) as refused:
        server.call(service, method, request, of(f"{kind}Response"))
    assert said in refused.value.details()
    assert refused.value.code() == code


@pytest.mark.parametrize(
    ("method", "code", "said"),
    [
        ("tensorflow/serving/classify", INVALID, "Expected classification signature method_name"),
        ("tensorflow/serving/regress", INVALID, "Expected regression signature method_name"),
        ("guess", grpc.StatusCode.UNIMPLEMENTED, "Unsupported signature method_name: guess"),
        (None, INVALID, "Inference request must have at least one task"),
    ],
)
def test_several_inferences_at_once_are_refused_by_the_first_task(
    server: Server, method: str | None, code: grpc.StatusCode, said: str
) -> None:
    request = of("MultiInferenceRequest")()
    if method is not None:
        request.tasks.add(method_name=method).model_spec.name = "plain"
    with pytest.raises(grpc.RpcError) as refused:
        server.call("PredictionService", "MultiInference", request, of("MultiInferenceResponse"))
    assert (refused.value.code(), said in refused.value.details()) == (code, True)
