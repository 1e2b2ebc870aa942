"""Open Inference v2, asked with Triton's own clients, over HTTP and gRPC."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from helpers.engines import load, require
from helpers.serving.rpc import Both

require("tritonclient", "rapidjson")
failed = load("tritonclient.utils").InferenceServerException


def module(name: str) -> Any:
    """Return the client `http` or `grpc`."""
    if name == "http":
        require("gevent", "geventhttpclient")
    return load(f"tritonclient.{name}")


@pytest.fixture(params=["http", "grpc"])
def kind(request: pytest.FixtureRequest) -> Any:
    return module(request.param)


def client(server: Both, kind: Any) -> Any:
    return kind.InferenceServerClient(server.place if kind.__name__ == "tritonclient.http" else server.rpc)


def inputs(kind: Any, arrays: dict[str, np.ndarray], **options: bool) -> list[Any]:
    """Return `arrays` as a client's inputs."""
    found = []
    for name, array in arrays.items():
        datatype = {"float32": "FP32", "int64": "INT64", "object": "BYTES"}[array.dtype.name]
        one = kind.InferInput(name, list(array.shape), datatype)
        one.set_data_from_numpy(array, **options)
        found.append(one)
    return found


# the client, and how it sends and is sent tensors
WAYS = {
    "HTTP, binary": ("http", {"binary_data": True}),
    "HTTP, JSON": ("http", {"binary_data": False}),
    "gRPC": ("grpc", {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_is_bit_for_bit_what_predict_gives(server: Both, asked: Any, way: str) -> None:
    name, options = WAYS[way]
    kind = module(name)
    asking = client(server, kind)
    sent = inputs(kind, {"values": asked.values, "time": asked.time}, **options)
    outputs = [kind.InferRequestedOutput(name, **options) for name in ("upper", "forecast", "lower")]
    for version in ("", "1"):
        answer = asking.infer("plain", sent, outputs=outputs, request_id="7", model_version=version)
        for output, expected in asked.expected().items():
            assert answer.as_numpy(output).tobytes() == expected.tobytes(), output
    asking.close()


@pytest.mark.parametrize("way", WAYS)
def test_series_are_asked_for_by_name(server: Both, table_asked: Any, way: str) -> None:
    name, options = WAYS[way]
    kind = module(name)
    asking = client(server, kind)
    names = np.array(["pulsecast.POOL", "a", "b", "c"], object)
    arrays = {"values": table_asked.values, "time": table_asked.time, "series": names}
    answer = asking.infer("table", inputs(kind, arrays, **options))
    for output, expected in table_asked.expected().items():
        assert answer.as_numpy(output).tobytes() == expected.tobytes(), output
    asking.close()


def test_a_client_learns_what_is_there(server: Both, kind: Any) -> None:
    asking = client(server, kind)
    assert asking.is_server_live()
    assert asking.is_server_ready()
    assert asking.is_model_ready("plain")
    assert asking.is_model_ready("table", "1")
    options = {} if kind.__name__ == "tritonclient.http" else {"as_json": True}
    assert asking.get_server_metadata(**options)["extensions"] == ["binary_tensor_data"]
    found = asking.get_model_metadata("table", **options)
    assert [(one["name"], one["datatype"]) for one in found["inputs"]] == [
        ("values", "FP32"), ("time", "INT64"), ("series", "BYTES"),
    ]  # fmt: skip
    assert [list(map(int, one["shape"])) for one in found["outputs"]] == [[-1, 2]] * 3
    asking.close()


def test_a_compressed_request_is_refused_over_http_and_answered_over_grpc(server: Both, asked: Any) -> None:
    arrays = {"values": asked.values, "time": asked.time}
    http, rpc = module("http"), module("grpc")
    over_http, over_rpc = client(server, http), client(server, rpc)
    with pytest.raises(failed, match=r"the request is compressed \('gzip'\); send it as it is"):
        over_http.infer("plain", inputs(http, arrays), request_compression_algorithm="gzip")
    answer = over_rpc.infer("plain", inputs(rpc, arrays), compression_algorithm="gzip")
    assert answer.as_numpy("forecast").tobytes() == asked.expected()["forecast"].tobytes()
    over_http.close()
    over_rpc.close()


def test_both_ways_refuse_with_the_same_sentence(server: Both, asked: Any, kind: Any) -> None:
    asking = client(server, kind)
    values = asked.values.copy()
    values[1, 3] = np.nan
    sent = inputs(kind, {"values": values, "time": asked.time * 1000})
    with pytest.raises(failed, match="no forecast for window 1: values are NaN or infinite; for windows 0, 2: time"):
        asking.infer("plain", sent)
    with pytest.raises(failed, match="input time is missing"):
        asking.infer("plain", sent[:1])
    with pytest.raises(failed, match="no model 'plane'; there is 'plain'"):
        asking.infer("plane", sent)
    with pytest.raises(failed, match="has no version 9; it has 1, stable"):
        asking.infer("plain", sent, model_version="9")
    asking.close()
