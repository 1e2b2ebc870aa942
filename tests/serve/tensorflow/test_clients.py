"""Clients that others wrote: ovmsclient, and the official stubs of tensorflow-serving-api, in one process with ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message

import pulsecast
from helpers import plain
from helpers.engines import load
from helpers.serving.official import official
from pulsecast.model.windows import Windows
from pulsecast_serve.rpc.messages import described, message
from pulsecast_serve.rpc.tensorflow_serving import schema

from .conftest import Server

FILES = (schema.PREDICTION, schema.MODEL)
MESSAGES = [
    "PredictRequest", "PredictResponse", "GetModelMetadataRequest", "GetModelMetadataResponse", "SignatureDefMap",
    "GetModelStatusRequest", "GetModelStatusResponse", "ClassificationRequest", "ClassificationResponse",
    "RegressionRequest", "RegressionResponse", "MultiInferenceRequest", "MultiInferenceResponse", "ReloadConfigRequest",
    "ReloadConfigResponse",
]  # fmt: skip


@pytest.fixture(scope="module")
def windows(change_model: plain.PlainModel) -> Windows:
    return change_model.windows.take(slice(0, 3))


@pytest.fixture(scope="module")
def own(bundle: Path, windows: Windows) -> dict[str, Any]:
    found = pulsecast.load(bundle).predict(windows.values, timestamps=windows.time, interval=0.9)
    return {name: np.asarray(getattr(found, name), np.float32) for name in ("forecast", "lower", "upper")}


def same(found: dict[str, Any], own: dict[str, Any]) -> None:
    assert found.keys() == own.keys()
    for name, numbers in own.items():
        np.testing.assert_array_equal(np.array(found[name], np.float32), numbers, err_msg=name)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_ovmsclient_reads_status_and_forecasts(
    server: Server, windows: Windows, own: dict[str, Any], kind: str, version: int
) -> None:
    ovmsclient = load("ovmsclient")
    url = server.target if kind == "grpc" else server.http.address.removeprefix("http://")
    client = getattr(ovmsclient, f"make_{kind}_client")(url)
    assert client.get_model_status("plain", version) == {
        1: {"state": "AVAILABLE", "error_code": 0, "error_message": ""}
    }
    same(client.predict({"values": windows.values, "time": windows.time}, "plain", version), own)
    with pytest.raises(Exception, match="Servable not found for request: Latest"):
        client.predict({"values": windows.values, "time": windows.time}, "foo")


def test_ovmsclient_reads_the_metadata(server: Server) -> None:
    found = load("ovmsclient").make_grpc_client(server.target).get_model_metadata("plain")
    assert found["model_version"] == 1
    assert found["inputs"] == {
        "values": {"shape": [-1, 73, 1], "dtype": "DT_FLOAT"},
        "time": {"shape": [-1], "dtype": "DT_INT64"},
    }
    assert set(found["outputs"]) == {"forecast", "lower", "upper"}


def test_the_official_stubs_forecast_read_the_signature_and_the_status(
    server: Server, windows: Windows, own: dict[str, Any]
) -> None:
    import grpc

    apis = official()
    assert windows.time is not None
    request = apis.predict_pb2.PredictRequest()
    request.model_spec.name = "plain"
    for name, array in (("values", windows.values), ("time", windows.time)):
        tensor = request.inputs[name]
        tensor.dtype = {"f": 1, "i": 9}[array.dtype.kind]
        tensor.tensor_content = array.tobytes()
        for size in array.shape:
            tensor.tensor_shape.dim.add(size=size)
    with grpc.insecure_channel(server.target) as channel:
        prediction = apis.prediction_service_pb2_grpc.PredictionServiceStub(channel)
        found = prediction.Predict(request, timeout=30).outputs
        same({name: np.reshape(one.float_val, (3, 2)) for name, one in found.items()}, own)
        asked = apis.get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        asked.model_spec.name = "plain"
        signatures = apis.get_model_metadata_pb2.SignatureDefMap()
        assert prediction.GetModelMetadata(asked, timeout=30).metadata["signature_def"].Unpack(signatures)
        assert list(signatures.signature_def) == ["serving_default"]
        status = apis.get_model_status_pb2.GetModelStatusRequest()
        status.model_spec.name = "plain"
        answer = apis.model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status, timeout=30)
        assert [one.version for one in answer.model_version_status] == [1]


def theirs(name: str) -> Any:
    modules = vars(official()).values()
    return next(getattr(module, name) for module in modules if hasattr(module, name))


def fill(one: Message, depth: int = 0) -> Message:
    """Set every field of a message, and of those within, to a value that is not its default."""
    for place, field in enumerate(one.DESCRIPTOR.fields):
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            value = getattr(one, field.name)["key"] if field.message_type.fields_by_name["value"].message_type else None
            if value is not None:
                _fill_deeper(value, depth)
        elif field.message_type is not None:
            _fill_deeper(getattr(one, field.name).add() if field.is_repeated else getattr(one, field.name), depth)
        elif field.is_repeated:
            getattr(one, field.name).extend([_value(field, place), _value(field, place)])
        else:
            setattr(one, field.name, _value(field, place))
    return one


def _fill_deeper(one: Message, depth: int) -> None:
    if depth < 6:
        fill(one, depth + 1)
    one.SetInParent()


def _value(field: Any, place: int) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[1].number
    kinds = {field.CPPTYPE_STRING: f"text {place}", field.CPPTYPE_BOOL: True, field.CPPTYPE_DOUBLE: place + 0.5,
             field.CPPTYPE_FLOAT: place + 0.5}  # fmt: skip
    value = kinds.get(field.cpp_type, place + 1)
    return value.encode() if field.type == field.TYPE_BYTES else value


@pytest.mark.parametrize("name", MESSAGES)
def test_each_message_says_the_same_to_the_official_classes_and_theirs_to_ours(name: str) -> None:
    for one in FILES:
        described(one)
    ours, other = message(f"tensorflow.serving.{name}"), theirs(name)
    written = fill(ours())
    read = other.FromString(written.SerializeToString())
    assert plainly(read) == plainly(written)
    whole = fill(other())
    again = ours.FromString(whole.SerializeToString())
    assert other.FromString(again.SerializeToString()) == whole


@pytest.mark.parametrize("name", MESSAGES)
def test_each_field_has_the_number_and_the_type_of_the_official_one(name: str) -> None:
    for one in FILES:
        described(one)
    ours = set(facts(message(f"tensorflow.serving.{name}").DESCRIPTOR, set()))
    assert len(ours) > 3 or name.startswith("Reload")
    assert ours <= set(facts(theirs(name).DESCRIPTOR, set()))


def facts(one: Any, seen: set[str]) -> Iterator[tuple[Any, ...]]:
    """Yield what is said of each field of a message, and of those within, and of the values of enumerations."""
    if one.full_name in seen:
        return
    seen.add(one.full_name)
    for field in one.fields:
        oneof = None if field.containing_oneof is None else field.containing_oneof.name
        yield one.full_name, field.name, field.number, field.type, field.is_repeated, oneof
        if field.enum_type is not None:
            yield from ((field.enum_type.full_name, value.name, value.number) for value in field.enum_type.values)
        if field.message_type is not None:
            yield from facts(field.message_type, seen)


def plainly(one: Message) -> dict[str, Any]:
    """Return a message as a dictionary; the value of an Any stays bytes."""
    for_any = {"type_url", "value"}
    if {field.name for field in one.DESCRIPTOR.fields} == for_any:
        return {name: getattr(one, name) for name in for_any}
    found: dict[str, Any] = {}
    for field, value in one.ListFields():
        if field.message_type is None:
            found[field.name] = list(value) if field.is_repeated else value
        elif field.message_type.GetOptions().map_entry:
            deeper = field.message_type.fields_by_name["value"].message_type is not None
            found[field.name] = {key: plainly(value[key]) if deeper else value[key] for key in value}
        else:
            found[field.name] = [plainly(each) for each in value] if field.is_repeated else plainly(value)
    return found
