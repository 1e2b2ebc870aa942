"""Requests of each protocol as its specification has them, and the forecasts in answers."""

import json

import numpy as np
import pytest

from helpers import plain
from pulsecast.errors import EngineError
from pulsecast.model.series import SeriesNames
from pulsecast.model.windows import Windows
from pulsecast_bench.results.case import PROTOCOLS
from pulsecast_bench.wire.protocols import WIRES, Asking
from pulsecast_bench.wire.server import Server

SPEC = plain.CHANGE_SPEC
TIME = 1_700_000_000
WINDOWS = Windows(
    values=np.array([[[0.1], [2.0]], [[3.0], [4.5]]], np.float32),
    time=np.array([TIME, TIME + SPEC.step_s], np.int64),
)
SEVERAL = Windows(values=WINDOWS.values, time=WINDOWS.time, series=np.array([0, 2], np.int64))
ASKING = Asking(model="m", spec=SPEC)
NAMED = Asking(model="m", spec=SPEC, names=SeriesNames(names=("a", "b")))


def test_every_protocol_has_its_requests() -> None:
    assert list(WIRES) == list(PROTOCOLS)


def test_a_time_series_begins_as_many_steps_before_the_windows_time_as_it_has() -> None:
    document = json.loads(WIRES["timeseries"].write(ASKING, WINDOWS))
    assert document["model"] == "m"
    assert document["options"] == {"horizon": SPEC.horizon}
    assert [one["series"] for one in document["inputs"]] == [[0.1, 2.0], [3.0, 4.5]]
    assert {one["frequency"] for one in document["inputs"]} == {"H"}
    assert document["inputs"][0]["start_timestamp"] == "2023-11-14T21:13:20+00:00"  # an hour before the last step


def test_a_step_that_is_no_frequency_is_said_in_seconds() -> None:
    from dataclasses import replace

    asking = Asking(model="m", spec=replace(SPEC, step_s=900))
    (one, _) = json.loads(WIRES["timeseries"].write(asking, WINDOWS))["inputs"]
    assert (one["frequency"], one["step_seconds"]) == ("S", 900)


def test_series_are_asked_for_by_name_or_by_row() -> None:
    inputs = json.loads(WIRES["inference"].write(NAMED, SEVERAL))["inputs"]
    assert inputs[2] == {"name": "series", "datatype": "BYTES", "shape": [2], "data": ["pulsecast.POOL", "b"]}
    rows = Asking(model="m", spec=SPEC, names=NAMED.names, named=False)
    inputs = json.loads(WIRES["inference"].write(rows, SEVERAL))["inputs"]
    assert inputs[2] == {"name": "series", "datatype": "INT64", "shape": [2], "data": [0, 2]}
    assert json.loads(WIRES["tensorflow"].write(NAMED, SEVERAL))["inputs"]["series"] == [0, 2]
    assert [one["name"] for one in json.loads(WIRES["timeseries"].write(NAMED, SEVERAL))["inputs"]] == [
        "pulsecast.POOL", "b",
    ]  # fmt: skip


def test_open_inference_has_flat_numbers_and_their_shape() -> None:
    document = json.loads(WIRES["inference"].write(ASKING, WINDOWS))
    assert document == {
        "inputs": [
            {"name": "values", "datatype": "FP32", "shape": [2, 2, 1], "data": [0.1, 2.0, 3.0, 4.5]},
            {"name": "time", "datatype": "INT64", "shape": [2], "data": [TIME, TIME + SPEC.step_s]},
        ],
        "outputs": [{"name": "forecast"}],
    }


def test_tensorflow_has_nested_numbers_and_one_input_alone_without_its_name() -> None:
    assert json.loads(WIRES["tensorflow"].write(ASKING, WINDOWS)) == {
        "inputs": {"values": [[[0.1], [2.0]], [[3.0], [4.5]]], "time": [TIME, TIME + SPEC.step_s]}
    }
    alone = Windows(values=WINDOWS.values)
    assert json.loads(WIRES["tensorflow"].write(ASKING, alone)) == {"inputs": [[[0.1], [2.0]], [[3.0], [4.5]]]}


ANSWERS = {
    "timeseries": {"outputs": [{"content": [{"mean_forecast": [1.5, 2.5]}]}, {"content": [{"mean_forecast": [3, 4]}]}]},
    "tensorflow": {"outputs": {"forecast": [[1.5, 2.5], [3, 4]], "lower": [[0, 0], [0, 0]]}},
    "inference": {
        "outputs": [
            {"name": "lower", "shape": [2, 2], "data": [0, 0, 0, 0]},
            {"name": "forecast", "shape": [2, 2], "data": [1.5, 2.5, 3, 4]},
        ]
    },
}


@pytest.mark.parametrize("protocol", ANSWERS)
def test_the_forecast_is_read_from_an_answer_and_another_shape_is_refused(protocol: str) -> None:
    wire, body = WIRES[protocol], json.dumps(ANSWERS[protocol]).encode()
    assert wire.forecasts(body, 2, 2).tolist() == [[1.5, 2.5], [3.0, 4.0]]
    with pytest.raises(EngineError, match=r"forecasts \(2, 2\); expected \(1, 3\): does it serve this bundle\?"):
        wire.forecasts(body, 1, 3)
    for broken in (b"{}", b"[]", b"nothing", b'{"outputs": [{}]}', b'{"outputs": {"x": 1}}'):
        with pytest.raises(EngineError, match="holds no forecast"):
            wire.forecasts(broken, 2, 2)


def test_a_model_of_a_strange_name_is_part_of_the_path() -> None:
    asking = Asking(model="a b/c", spec=SPEC)
    request = WIRES["inference"].request(Server(url="http://h"), asking, WINDOWS)
    assert request.startswith(b"POST /v2/models/a%20b%2Fc/infer HTTP/1.1\r\n")


def test_a_version_stands_behind_the_name() -> None:
    asking = Asking(model="m/12", spec=SPEC)
    found = [
        WIRES[name].request(Server(url="http://h"), asking, WINDOWS).split(b" ")[1]
        for name in ("tensorflow", "inference")
    ]
    assert found == [b"/v1/models/m/versions/12:predict", b"/v2/models/m/versions/12/infer"]
    assert json.loads(WIRES["timeseries"].write(asking, WINDOWS))["model"] == "m/12"
