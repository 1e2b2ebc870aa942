"""Open Inference v2 over gRPC, asked with the official messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from helpers.engines import load, require
from helpers.serving.rpc import Both
from pulsecast_serve.rpc.inference import CONTENTS
from pulsecast_serve.rpc.inference_messages import FILE
from pulsecast_serve.rpc.messages import message

require("tritonclient")
official = load("tritonclient.grpc.service_pb2")
stubs = load("tritonclient.grpc.service_pb2_grpc")


@pytest.fixture
def stub(server: Both) -> Iterator[Any]:
    with grpc.insecure_channel(server.rpc) as channel:
        yield stubs.GRPCInferenceServiceStub(channel)


def request(asked: Any, **fields: Any) -> Any:
    """Return a request whose elements stand in typed lists."""
    found = official.ModelInferRequest(model_name="plain", **fields)
    values = found.inputs.add(name="values", datatype="FP32", shape=asked.values.shape)
    values.contents.fp32_contents.extend(asked.values.ravel())
    time = found.inputs.add(name="time", datatype="INT64", shape=asked.time.shape)
    time.contents.int64_contents.extend(asked.time)
    return found


def raw(asked: Any) -> Any:
    """Return the same request with raw bytes."""
    found = request(asked)
    for one in found.inputs:
        one.ClearField("contents")
    found.raw_input_contents.extend([asked.values.tobytes(), asked.time.tobytes()])
    return found


def test_an_answer_comes_as_the_request_did(stub: Any, asked: Any) -> None:
    expected = asked.expected()
    typed = stub.ModelInfer(request(asked, id="a"))
    assert (typed.id, typed.model_name, typed.model_version, len(typed.raw_output_contents)) == ("a", "plain", "1", 0)
    for one in typed.outputs:
        assert np.array(one.contents.fp32_contents, np.float32).tobytes() == expected[one.name].tobytes()
        assert (one.datatype, list(one.shape)) == ("FP32", [3, 2])
    answer = stub.ModelInfer(raw(asked))
    assert [one.HasField("contents") for one in answer.outputs] == [False] * 3
    assert list(answer.raw_output_contents) == [expected[one.name].tobytes() for one in answer.outputs]


@pytest.mark.parametrize("datatype", ["FP64", "INT32", "INT64", "UINT16", "UINT64"])
def test_typed_lists_of_other_numbers_give_the_same_answer(stub: Any, asked: Any, datatype: str) -> None:
    sent = request(asked)
    sent.inputs[0].datatype = datatype
    sent.inputs[0].ClearField("contents")
    numbers = asked.values.ravel().astype(float if datatype == "FP64" else int)
    getattr(sent.inputs[0].contents, CONTENTS[datatype]).extend(numbers.tolist())
    assert stub.ModelInfer(sent).outputs == stub.ModelInfer(request(asked)).outputs


def test_windows_far_outside_training_are_named_beside_the_answer(stub: Any, asked: Any) -> None:
    sent = request(asked)
    sent.inputs[0].contents.fp32_contents[:73] = [5e6] * 73
    assert stub.ModelInfer(sent).parameters["outside_training_range"].string_param == "0"


def other_list(sent: Any) -> None:
    """Put the numbers into the list of another datatype."""
    sent.inputs[0].contents.fp64_contents.extend(sent.inputs[0].contents.fp32_contents)
    sent.inputs[0].contents.ClearField("fp32_contents")


INVALID = grpc.StatusCode.INVALID_ARGUMENT
BAD: dict[str, tuple[Callable[[Any], object], grpc.StatusCode, str]] = {
    "an unknown model": (lambda r: setattr(r, "model_name", "x"), grpc.StatusCode.NOT_FOUND, "no model 'x'"),
    "an unknown version": (lambda r: setattr(r, "model_version", "9"), grpc.StatusCode.NOT_FOUND, "no version 9"),
    "no inputs": (lambda r: r.ClearField("inputs"), INVALID, "input values is missing"),
    "no elements": (lambda r: r.inputs[0].ClearField("contents"), INVALID, "has 0 elements; its shape [3, 73, 1]"),
    "another list": (other_list, INVALID, "'values' is FP32 and has fp64_contents; expected fp32_contents"),
    "half precision": (lambda r: setattr(r.inputs[0], "datatype", "FP16"), INVALID, "as raw_input_contents only"),
    "both forms": (lambda r: r.raw_input_contents.extend([b"", b""]), INVALID, "both contents and raw_input_contents"),
    "too few raw": (lambda r: r.raw_input_contents.append(b""), INVALID, "1 raw_input_contents for 2 inputs"),
    "an unknown output": (lambda r: r.outputs.add(name="x"), INVALID, "no output 'x'; this model gives forecast"),
    "NaN": (lambda r: r.inputs[0].contents.fp32_contents.__setitem__(0, np.nan), INVALID, "window 0: values are NaN"),
    "infinity": (lambda r: r.inputs[0].contents.fp32_contents.__setitem__(0, np.inf), INVALID, "NaN or infinite"),
    "a negative shape": (lambda r: r.inputs[0].shape.__setitem__(0, -3), INVALID, "the shape of 'values' is [-3, 73"),
    "shared memory": (
        lambda r: r.inputs[0].parameters["shared_memory_region"].MergeFrom(official.InferParameter(string_param="a")),
        INVALID,
        "leave it out",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_a_code_and_one_sentence(stub: Any, asked: Any, name: str) -> None:
    change, code, said = BAD[name]
    sent = request(asked)
    change(sent)
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(sent)
    assert caught.value.code() == code
    assert said in caught.value.details()


def test_raw_bytes_of_a_wrong_length_are_refused(stub: Any, asked: Any) -> None:
    sent = raw(asked)
    sent.raw_input_contents[0] = sent.raw_input_contents[0][:-1]
    with pytest.raises(grpc.RpcError, match="has 875 bytes; FP32 of shape"):
        stub.ModelInfer(sent)


def filled(kind: Descriptor, place: int = 0) -> Any:
    """Return fields for a message of this kind, each with a value of its own: every one of an oneof in turn."""
    fields: dict[str, Any] = {}
    for number, field in enumerate(kind.fields):
        if field.containing_oneof is not None and number != place % len(kind.fields):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            fields[field.name] = {f"key {number}": filled(field.message_type.fields[1].message_type, number)}
        else:
            one, other = _value(field, number), _value(field, number + 1)
            fields[field.name] = [one, other] if field.is_repeated else one
    return fields


def _value(field: FieldDescriptor, number: int) -> Any:
    if field.message_type is not None:
        return filled(field.message_type, number)
    values = {
        FieldDescriptor.CPPTYPE_STRING: b"\xff\0" if field.type == FieldDescriptor.TYPE_BYTES else f"é {number}",
        FieldDescriptor.CPPTYPE_BOOL: True,
        FieldDescriptor.CPPTYPE_INT32: -(2**31) + number,
        FieldDescriptor.CPPTYPE_INT64: -(2**63) + number,
        FieldDescriptor.CPPTYPE_UINT32: 2**32 - 1 - number,
        FieldDescriptor.CPPTYPE_UINT64: 2**64 - 1 - number,
        FieldDescriptor.CPPTYPE_FLOAT: 0.5 + number,
        FieldDescriptor.CPPTYPE_DOUBLE: 0.1 + number,
    }
    return values[field.cpp_type]


OURS = list(FILE.message_types_by_name)


@pytest.mark.parametrize("name", OURS)
def test_every_message_is_the_official_one_on_the_wire(name: str) -> None:
    ours, theirs = message(f"inference.{name}"), getattr(official, name)
    assert {(f.name, f.number, f.type, f.is_repeated) for f in ours.DESCRIPTOR.fields} == {
        (f.name, f.number, f.type, f.is_repeated) for f in theirs.DESCRIPTOR.fields
    }
    for place in range(5):
        fields = filled(theirs.DESCRIPTOR, place)
        sent = theirs(**fields).SerializeToString(deterministic=True)
        assert ours(**fields).SerializeToString(deterministic=True) == sent
        assert ours.FromString(sent) == ours(**fields)
        assert theirs.FromString(ours(**fields).SerializeToString()) == theirs(**fields)
