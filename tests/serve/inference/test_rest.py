"""Open Inference v2 over REST, asked with plain HTTP."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pulsecast
from helpers.serving import Reply
from helpers.serving.rpc import Both

PATH = "/v2/models/plain/infer"
HEADER = "Inference-Header-Content-Length"


def outputs(reply: Reply) -> dict[str, np.ndarray]:
    assert reply.status == 200, reply.body
    return {one["name"]: np.array(one["data"], np.float32).reshape(one["shape"]) for one in reply.json["outputs"]}


def test_the_server_says_what_it_is(server: Both) -> None:
    assert server.http.get("/v2").json == {
        "name": "pulsecast", "version": pulsecast.__version__, "extensions": ["binary_tensor_data"],
    }  # fmt: skip


def test_metadata_are_those_of_the_artifacts(server: Both) -> None:
    bounds = [{"name": name, "datatype": "FP32", "shape": [-1, 2]} for name in ("forecast", "lower", "upper")]
    inputs = [
        {"name": "values", "datatype": "FP32", "shape": [-1, 73, 1]},
        {"name": "time", "datatype": "INT64", "shape": [-1]},
    ]
    expected = {
        "name": "plain", "versions": ["1"], "platform": "pulsecast_numpy", "inputs": inputs, "outputs": bounds,
    }  # fmt: skip
    for path in ("/v2/models/plain", "/v2/models/plain/versions/1", "/v2/models/plain/versions/stable"):
        assert server.http.get(path).json == expected
    series = {"name": "series", "datatype": "BYTES", "shape": [-1]}
    assert server.http.get("/v2/models/table").json["inputs"] == [*inputs, series]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v2/models/plain/ready", 200, {"name": "plain", "ready": True}),
        ("/v2/models/plain/versions/1/ready", 200, {"name": "plain", "ready": True}),
        ("/v2/models/plane/ready", 404, {"error": "no model 'plane'; there is 'plain'"}),
        ("/v2/models/plain/versions/2", 404, {"error": "model 'plain' has no version 2; it has 1, stable"}),
        ("/v2/models/plain/versions/01", 404, {"error": "model 'plain' has no label '01'; it has 1, stable"}),
        ("/v2/health/ready", 200, {"ready": True}),
    ],
)
def test_a_model_is_ready_or_said_to_be_unknown(server: Both, path: str, status: int, said: object) -> None:
    reply = server.http.get(path)
    assert (reply.status, reply.json) == (status, said)


def test_an_answer_is_what_predict_gives_in_process(server: Both, asked: Any) -> None:
    reply = server.http.post(PATH, asked.document(id="é 7"))
    found = outputs(reply)
    assert (reply.json["model_name"], reply.json["model_version"], reply.json["id"]) == ("plain", "1", "é 7")
    assert list(found) == ["forecast", "lower", "upper"]
    for name, expected in asked.expected().items():
        assert np.array_equal(found[name], expected)
    assert "parameters" not in reply.json


@pytest.mark.parametrize("binary", [True, False])
def test_half_of_a_pair_is_echoed_as_it_came(server: Both, asked: Any, binary: bool) -> None:
    document = asked.document(id="a\ud800", parameters={"binary_data_output": binary})
    reply = server.http.post(PATH, document)
    assert reply.status == 200
    assert b'"id":"a\\ud800"' in reply.body


def test_nested_data_and_other_numbers_give_the_same_answer(server: Both, asked: Any) -> None:
    expected = server.http.post(PATH, asked.document()).json["outputs"]
    for datatype in ("FP32", "FP64", "INT32", "UINT16", "INT64"):  # the windows are whole counts
        document = asked.document()
        data = asked.values.tolist() if datatype.startswith("FP") else asked.values.astype(int).tolist()
        document["inputs"][0] |= {"datatype": datatype, "data": data}
        document["inputs"][1]["datatype"] = "UINT32"
        assert server.http.post(PATH, document).json["outputs"] == expected


def test_outputs_are_those_that_are_asked_for_in_that_order(server: Both, asked: Any) -> None:
    document = asked.document(outputs=[{"name": "upper"}, {"name": "forecast", "parameters": {"unknown": 1}}])
    assert list(outputs(server.http.post(PATH, document))) == ["upper", "forecast"]
    assert list(outputs(server.http.post(PATH, asked.document(outputs=[])))) == ["forecast", "lower", "upper"]


def test_windows_far_outside_training_are_named_beside_the_answer(server: Both, asked: Any) -> None:
    document = asked.document()
    count = len(document["inputs"][0]["data"]) // 3
    document["inputs"][0]["data"][count : 2 * count] = [5e6] * count
    assert server.http.post(PATH, document).json["parameters"] == {"outside_training_range": "1"}


def test_series_are_named_and_rows_are_taken_for_one_version_only(server: Both, table_asked: Any) -> None:
    document = table_asked.document()
    named = {"name": "series", "datatype": "BYTES", "shape": [4], "data": ["pulsecast.POOL", "a", "b", "c"]}
    rows = {"name": "series", "datatype": "INT64", "shape": [4], "data": [0, 1, 2, 3]}
    expected = table_asked.expected()
    for path, series in (
        ("/v2/models/table/infer", named),
        ("/v2/models/table/versions/1/infer", named),
        ("/v2/models/table/versions/1/infer", rows),
    ):
        found = outputs(server.http.post(path, {"inputs": [*document["inputs"], series]}))
        for name in ("forecast", "lower", "upper"):
            assert np.array_equal(found[name], expected[name]), name
    for path in ("/v2/models/table/infer", "/v2/models/table/versions/stable/infer"):
        reply = server.http.post(path, {"inputs": [*document["inputs"], rows]})
        assert reply.status == 400
        assert "the next version may have another series there" in reply.json["error"]
    for data, said in ((["a", "b", "c", "d"], "no series 'd': this model has 3 series, such as 'a'"),):
        reply = server.http.post("/v2/models/table/infer", {"inputs": [*document["inputs"], named | {"data": data}]})
        assert (reply.status, said in reply.json["error"]) == (400, True)
    reply = server.http.post(
        "/v2/models/table/versions/1/infer", {"inputs": [*document["inputs"], rows | {"data": [0, 1, 2, 4]}]}
    )
    assert (reply.status, "rows are 0 to 3" in reply.json["error"]) == (400, True)


def changed(place: int, **fields: Any) -> Callable[[dict[str, Any]], None]:
    """Return what changes fields of an input."""
    return lambda document: document["inputs"][place].update(fields)


def number(place: int, value: object) -> Callable[[dict[str, Any]], None]:
    """Return what puts `value` in the place of the first element of an input."""

    def change(document: dict[str, Any]) -> None:
        document["inputs"][place]["data"][0] = value

    return change


BAD: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no inputs": (lambda d: d.pop("inputs"), "inputs is missing"),
    "empty inputs": (lambda d: d.update(inputs=[]), "inputs is missing"),
    "an input that is a list": (lambda d: d["inputs"].append([]), "an input is not an object"),
    "an unknown input": (
        changed(0, name="window"),
        "no input 'window'; this model takes values, time; input",
    ),
    "an input twice": (lambda d: d["inputs"].append(d["inputs"][0]), "input 'values' stands more than once"),
    "no time": (lambda d: d["inputs"].pop(), "input time is missing"),
    "no name": (changed(0, name=None), "the name of an input is None"),
    "an unknown datatype": (changed(0, datatype="FLOAT"), "the datatype of 'values' is 'FLOAT'; expected BOOL"),
    "another datatype": (changed(0, datatype="BYTES", data=["1"] * 219), "values is BYTES; this model takes FP32"),
    "truths": (changed(0, datatype="BOOL", data=[True] * 219), "values is BOOL; this model takes FP32"),
    "times as floats": (changed(1, datatype="FP64"), "time is FP64; this model takes INT64"),
    "no shape": (changed(0, shape=None), "the shape of 'values' is None"),
    "a negative shape": (changed(0, shape=[-1, 73, 1]), "the shape of 'values'"),
    "another shape": (changed(0, shape=[3, 1, 73]), "the shape of values is [3, 1, 73]; this model takes [-1, 73, 1]"),
    "a flat shape": (changed(0, shape=[219]), "the shape of values is [219]; this model takes [-1, 73, 1]"),
    "a shape of other data": (changed(0, shape=[4, 73, 1]), "has 219 elements; its shape [4, 73, 1] has 292"),
    "another batch": (changed(1, shape=[2], data=[1, 2]), "time is of 2 windows, values of 3"),
    "no window": (changed(0, shape=[0, 73, 1], data=[]), "values is empty"),
    "ragged data": (changed(0, data=[[[1.0]] * 73, [[1.0]] * 72, [[1.0]] * 73]), "nested in another shape"),
    "no data": (changed(0, data=None), "the data of 'values' is missing"),
    "a truth": (number(0, value=True), "values[0] is True; expected FP32"),
    "text": (number(0, "1"), "values[0] is '1'; expected FP32"),
    "null": (number(0, None), "values[0] is null, a missing value; expected FP32"),
    "a number beyond float32": (number(0, 1e39), "values[0] is a number beyond FP32"),
    "an endless number": (number(0, 10**400), "values[0] is a number beyond FP32"),
    "a count below none": (number(0, -7.0), "no forecast for window 0: values lie outside what the model takes"),
    "a time in milliseconds": (number(1, 1_736_121_600_000), "no forecast for window 0: timestamps lie beyond"),
    "a time with a fraction": (number(1, 1.5), "time[0] is 1.5; expected INT64"),
    "an unknown output": (
        lambda d: d.update(outputs=[{"name": "mean"}]),
        "no output 'mean'; this model gives",
    ),
    "an output that is a list": (lambda d: d.update(outputs=[{"name": []}]), "no output []"),
    "an output twice": (lambda d: d.update(outputs=[{"name": "upper"}] * 2), "asked for twice"),
    "outputs as text": (lambda d: d.update(outputs="upper"), "outputs is not a list"),
    "a number as id": (lambda d: d.update(id=7), "id is 7; expected text"),
    "parameters as a list": (lambda d: d.update(parameters=[]), "parameters of the request is not an object"),
    "a word for a truth": (lambda d: d.update(parameters={"binary_data_output": "no"}), "binary_data_output is 'no'"),
    "a class": (lambda d: d.update(outputs=[{"name": "upper", "parameters": {"classification": 2}}]), "classification"),
    "shared memory": (changed(0, parameters={"shared_memory_region": "a"}), "shared_memory_region: leave it out"),
    "data that is not behind": (changed(0, parameters={"binary_data_size": 876}), "both data and binary_data_size"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_one_sentence(server: Both, asked: Any, name: str) -> None:
    change, said = BAD[name]
    document = asked.document()
    change(document)
    reply = server.http.post(PATH, document)
    assert reply.status == 400
    assert list(reply.json) == ["error"]
    assert said in reply.json["error"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"[1]", "the request is not an object of JSON"),
        (b'{"inputs": [{"data": [NaN]}]}', "NaN, which JSON does not have"),
        (b'{"inputs": [], "inputs": []}', "'inputs' stands more than once"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"id": "\xff"}', "not UTF-8"),
    ],
)
def test_a_body_that_is_no_request_is_refused(server: Both, body: bytes, said: str) -> None:
    reply = server.http.post(PATH, body)
    assert (reply.status, said in reply.json["error"]) == (400, True)


def test_all_windows_without_a_forecast_are_named_with_their_reason(server: Both, asked: Any) -> None:
    body, sizes = binary(asked, np.array([np.nan, 1, -5], np.float32))
    reply = server.http.post(PATH, body, sizes)
    assert reply.status == 400
    assert reply.json["error"] == (
        "no forecast for window 0: values are NaN or infinite; for window 2: values lie outside what the model takes; "
        "leave such windows out"
    )


def binary(asked: Any, first: np.ndarray | None = None, **more: Any) -> tuple[bytes, dict[str, str]]:
    """Return a request in binary form, and its header; `first` replaces the first step of each window."""
    values, time = asked.values.copy(), asked.time
    if first is not None:
        values[:, 0, 0] = first
    inputs = [
        {"name": name, "datatype": kind, "shape": one.shape, "parameters": {"binary_data_size": one.nbytes}}
        for name, kind, one in (("values", "FP32", values), ("time", "INT64", time))
    ]
    head = json.dumps({"inputs": inputs, **more}).encode()
    return head + values.tobytes() + time.tobytes(), {HEADER: str(len(head))}


def test_binary_data_is_answered_in_the_form_that_is_asked_for(server: Both, asked: Any) -> None:
    expected = asked.expected()
    body, header = binary(asked)
    reply = server.http.post(PATH, body, header)
    assert (reply.headers["content-type"], HEADER.lower() in reply.headers) == ("application/json", False)
    assert np.array_equal(outputs(reply)["forecast"], expected["forecast"])
    mixed = [{"name": "upper", "parameters": {"binary_data": False}}, {"name": "lower"}, {"name": "forecast"}]
    body, header = binary(asked, parameters={"binary_data_output": True}, outputs=mixed)
    reply = server.http.post(PATH, body, header)
    length = int(reply.headers[HEADER.lower()])
    assert reply.headers["content-type"] == "application/octet-stream"
    document = json.loads(reply.body[:length])
    assert [one.get("parameters") for one in document["outputs"]] == [None, *[{"binary_data_size": 24}] * 2]
    assert np.array_equal(np.array(document["outputs"][0]["data"], np.float32), expected["upper"].ravel())
    assert reply.body[length:] == expected["lower"].tobytes() + expected["forecast"].tobytes()


def test_names_of_series_travel_as_binary_data(server: Both, table_asked: Any) -> None:
    values, time = table_asked.values, table_asked.time
    names = b"".join(struct.pack("<I", len(one)) + one for one in (b"pulsecast.POOL", b"a", b"b", b"c"))
    parts = {"values": values.tobytes(), "time": time.tobytes(), "series": names}
    shapes = {"values": ("FP32", values.shape), "time": ("INT64", time.shape), "series": ("BYTES", (4,))}
    inputs = [
        {"name": name, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(parts[name])}}
        for name, (kind, shape) in shapes.items()
    ]
    head = json.dumps({"inputs": inputs}).encode()
    reply = server.http.post("/v2/models/table/infer", head + b"".join(parts.values()), {HEADER: str(len(head))})
    assert np.array_equal(outputs(reply)["forecast"], table_asked.expected()["forecast"])


def test_half_precision_is_taken_as_binary_data(server: Both, asked: Any) -> None:
    """Its numbers are exact in float32; the windows are counts below 2048, which it holds exactly."""
    body, header = binary(asked)
    head, rest = body[: int(header[HEADER])], body[int(header[HEADER]) :]
    document = json.loads(head)
    half = asked.values.astype("<f2").tobytes()
    document["inputs"][0] |= {"datatype": "FP16", "parameters": {"binary_data_size": len(half)}}
    head = json.dumps(document).encode()
    reply = server.http.post(PATH, head + half + rest[asked.values.nbytes :], {HEADER: str(len(head))})
    assert np.array_equal(outputs(reply)["forecast"], asked.expected()["forecast"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda body, length: (body[:-1], length), "23 bytes are left"),
        (lambda body, length: (body + b"\0", length), "1 bytes of binary data are left after the inputs"),
        (lambda body, length: (body, 0), f"{HEADER} is 0"),
        (lambda body, length: (body, 10**9), f"{HEADER} is 1,000,000,000"),
        (lambda body, length: (body, "x"), f"{HEADER} is 'x'; expected a number"),
        (lambda body, length: (body, "9" * 40), "expected a number of bytes"),
        (lambda body, length: (body, "²"), "expected a number of bytes"),
        (lambda body, length: (body, -5), "expected a number of bytes"),
        (lambda body, length: (body, length - 1), "not JSON"),
        (lambda body, length: (body, None), "not JSON|not UTF-8"),
    ],
)
def test_binary_data_of_a_wrong_length_is_refused(
    server: Both, asked: Any, change: Callable[[bytes, int], tuple[bytes, object]], said: str
) -> None:
    body, header = binary(asked)
    sent, length = change(body, int(header[HEADER]))
    reply = server.http.post(PATH, sent, {} if length is None else {HEADER: str(length)})
    assert reply.status == 400
    assert any(words in reply.json["error"] for words in said.split("|")), reply.json


def test_errors_before_the_address_are_worded_as_the_protocol_does(server: Both) -> None:
    assert list(server.http.get("/v2/nothing").json) == ["error"]
    assert list(server.http.get(PATH).json) == ["error"]
