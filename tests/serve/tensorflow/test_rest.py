"""TensorFlow Serving's REST API: its answers are the forecaster's numbers, in the form that its clients read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pulsecast
from helpers import plain
from helpers.serving import running
from pulsecast.model.windows import Windows
from pulsecast_serve import ServerConfig

from .conftest import Server

COUNT = 3


@pytest.fixture(scope="module")
def windows(change_model: plain.PlainModel) -> Windows:
    return change_model.windows.take(slice(0, COUNT))


def rows(windows: Windows, **more: Any) -> dict[str, Any]:
    """Return a request of rows; `more` has a column each."""
    assert windows.time is not None
    columns = {"values": windows.values.tolist(), "time": windows.time.tolist(), **more}
    return {"instances": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]}


def expected(bundle: Path, windows: Windows, **named: Any) -> dict[str, NDArray[np.float32]]:
    model = pulsecast.load(bundle)
    found = model.predict(windows.values, timestamps=windows.time, interval=model.manifest.level or 0.9, **named)
    return {name: np.asarray(getattr(found, name), np.float32) for name in ("forecast", "lower", "upper")}


def answered(reply: Any) -> dict[str, NDArray[np.float32]]:
    """Return the outputs of an answer in rows."""
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "application/json"
    found = reply.json["predictions"]
    return {name: np.array([row[name] for row in found], np.float32) for name in found[0]}


def same(found: dict[str, Any], own: dict[str, Any]) -> None:
    assert found.keys() == own.keys()
    for name, numbers in own.items():
        np.testing.assert_array_equal(np.array(found[name], np.float32), numbers, err_msg=name)


def test_rows_and_columns_are_answered_with_the_forecasters_numbers_bit_by_bit(
    server: Server, bundle: Path, windows: Windows
) -> None:
    own = expected(bundle, windows)
    same(answered(server.http.post("/v1/models/plain:predict", rows(windows))), own)
    assert windows.time is not None
    columns = {"inputs": {"values": windows.values.tolist(), "time": windows.time.tolist()}}
    same(server.http.post("/v1/models/plain:predict", columns).json["outputs"], own)


def test_a_model_of_one_input_takes_bare_lists_and_objects_in_rows_and_columns(
    server: Server, plain_bundle: Path, level_model: plain.PlainModel
) -> None:
    windows = level_model.windows.take(slice(0, COUNT))
    own, values = expected(plain_bundle, windows), windows.values.tolist()
    flat = windows.values[:, :, 0].tolist()  # the axis of one measured column may be left out
    for instances in (values, [{"values": one} for one in values], flat):
        same(answered(server.http.post("/v1/models/level:predict", {"instances": instances})), own)
    for inputs in (values, {"values": values}, flat):
        same(server.http.post("/v1/models/level:predict", {"inputs": inputs}).json["outputs"], own)


def test_a_row_says_which_series_it_is_of(server: Server, table_bundle: Path, windows: Windows) -> None:
    asked = rows(windows, series=[2, 0, 3])
    own = expected(table_bundle, windows, series=["b", pulsecast.POOL, "c"])
    same(answered(server.http.post("/v1/models/table/versions/1:predict", asked)), own)


def test_rows_of_series_need_the_version_that_they_are_of_except_the_pools(
    server: Server, table_bundle: Path, windows: Windows
) -> None:
    """Another version may have another series in the same row."""
    for path in ("/v1/models/table", "/v1/models/table/labels/stable", "/v1/models/table/versions/0"):
        refused = server.http.post(f"{path}:predict", rows(windows, series=[0, 0, 1]))
        assert refused.status == 400
        assert "series are rows, and the next version may have another series there" in refused.json["error"]
        found = server.http.post(f"{path}:predict", rows(windows, series=[0, 0, 0]))
        same(answered(found), expected(table_bundle, windows, series=pulsecast.POOL))


def test_a_row_that_cannot_be_forecast_is_nan_and_the_others_have_their_numbers(
    server: Server, table_bundle: Path, windows: Windows
) -> None:
    model = pulsecast.load(table_bundle)
    assert windows.time is not None
    for spoil in ("values", "infinite", "time", "series"):
        values, time, series = windows.values.copy(), windows.time.copy(), np.array([1, 2, 3])
        if spoil in ("values", "infinite"):
            values[1, 5] = np.nan if spoil == "values" else -np.inf
        elif spoil == "time":
            time[1] = 2**62
        else:
            series[1] = 4  # the table has the rows 0 to 3
        asked = rows(Windows(values=values, time=time), series=series.tolist())
        found = answered(server.http.post("/v1/models/table/versions/1:predict", asked))
        own = model.predict(windows.values, timestamps=windows.time, series=["a", "b", "c"], interval=0.9)
        for name, numbers in found.items():
            assert np.isnan(numbers[1]).all(), (spoil, name)
            kept = np.asarray(getattr(own, name), np.float32)[[0, 2]]
            np.testing.assert_allclose(numbers[[0, 2]], kept, rtol=1e-6, err_msg=spoil)


def test_the_words_of_what_is_not_finite_are_read_and_written(server: Server, windows: Windows) -> None:
    values = [[float("nan")], *windows.values[0, 1:].tolist()]
    assert windows.time is not None
    text = json.dumps({"instances": [{"values": values, "time": int(windows.time[0])}]})
    assert "NaN" in text
    reply = server.http.post("/v1/models/plain:predict", text.encode())
    assert b'"forecast": [NaN, NaN]' in reply.body
    assert b'"lower": [NaN, NaN]' in reply.body


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/plain/versions/1:predict",
        "/v1/models/plain/versions/001:predict",
        "/v1/models/plain/versions/0:predict",  # ovmsclient's word for the version that answers
        "/v1/models/plain/labels/stable:predict",
        "/v1/models/pl%61in/labels/st%61ble:predict",
        "/V1/Models/plain/Versions/1:Predict",
    ],
)
def test_a_version_and_a_label_are_found_and_capital_letters_do_not_matter(
    server: Server, bundle: Path, windows: Windows, path: str
) -> None:
    same(answered(server.http.post(path, rows(windows))), expected(bundle, windows))


def test_the_signature_may_be_named_and_unknown_keys_are_left_alone(
    server: Server, bundle: Path, windows: Windows
) -> None:
    asked = {"signature_name": "serving_default", "more": [1], **rows(windows)}
    same(answered(server.http.post("/v1/models/plain:predict", asked)), expected(bundle, windows))
    assert windows.time is not None
    columns = {"inputs": {"values": windows.values.tolist(), "time": windows.time.tolist(), "more": 1}}
    assert server.http.post("/v1/models/plain:predict", columns).status == 200


def test_a_known_input_that_the_model_does_not_take_is_refused(server: Server, windows: Windows) -> None:
    """It would change nothing, and the client believes that it does."""
    assert windows.time is not None
    columns = {"values": windows.values.tolist(), "time": windows.time.tolist(), "series": [1, 1, 1]}
    refused = server.http.post("/v1/models/plain:predict", {"inputs": columns})
    assert (refused.status, refused.json) == (400, {"error": "this model has no input series; it takes time, values"})


def test_the_answer_in_rows_has_the_originals_white_space(
    server: Server, plain_bundle: Path, level_model: plain.PlainModel
) -> None:
    windows = level_model.windows.take(slice(0, 2))
    body = server.http.post("/v1/models/level:predict", {"instances": windows.values.tolist()}).body.decode()
    forecast = expected(plain_bundle, windows)["forecast"]
    first = f'{{\n    "predictions": [\n        {{\n            "forecast": [{forecast[0, 0]:.9g}],\n'
    assert body.startswith(first)
    assert body.endswith("]\n        }\n    ]\n}")


def test_a_gzip_body_is_inflated(server: Server, bundle: Path, windows: Windows) -> None:
    body = gzip.compress(json.dumps(rows(windows)).encode())
    for name in ("gzip", "GZIP", "x-gzip"):
        reply = server.http.post("/v1/models/plain:predict", body, {"Content-Encoding": name})
        same(answered(reply), expected(bundle, windows))


@pytest.mark.parametrize(
    ("body", "encoding", "status", "said"),
    [
        (gzip.compress(b" " * (8 << 20), 9, mtime=0), "gzip", 413, "inflates beyond the 1,048,576 bytes"),
        (
            gzip.compress(gzip.compress(b" " * (8 << 20), 9, mtime=0), 9, mtime=0),
            "gzip",
            400,
            "JSON Parse error: Invalid encoding",
        ),
        (gzip.compress(b"{}", mtime=0)[:-4], "gzip", 400, "cut off, or something follows"),
        (gzip.compress(b"{}", mtime=0) + b"{}", "gzip", 400, "cut off, or something follows"),
        (b"{}", "gzip", 400, "the request is not gzip"),
        (b"{}", "br", 400, "the content encoding is 'br'; expected gzip, or none"),
    ],
)
def test_what_is_not_gzip_or_inflates_too_far_is_refused(
    server: Server, body: bytes, encoding: str, status: int, said: str
) -> None:
    reply = server.http.post("/v1/models/plain:predict", body, {"Content-Encoding": encoding})
    assert reply.status == status
    assert said in reply.json["error"]


def test_the_metadata_is_the_signature(server: Server) -> None:
    reply = server.http.get("/v1/models/table/versions/1/metadata")
    assert reply.json["model_spec"] == {"name": "table", "signature_name": "", "version": "1"}
    found = reply.json["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert found["method_name"] == "tensorflow/serving/predict"
    described = {
        name: (one["dtype"], [int(size["size"]) for size in one["tensor_shape"]["dim"]])
        for name, one in {**found["inputs"], **found["outputs"]}.items()
    }
    assert described == {
        "values": ("DT_FLOAT", [-1, 73, 1]),
        "time": ("DT_INT64", [-1]),
        "series": ("DT_INT64", [-1]),
        "forecast": ("DT_FLOAT", [-1, 2]),
        "lower": ("DT_FLOAT", [-1, 2]),
        "upper": ("DT_FLOAT", [-1, 2]),
    }


@pytest.mark.parametrize("path", ["", "/versions/1", "/labels/stable", "/versions/0"])
def test_the_status_says_that_the_version_is_available(server: Server, path: str) -> None:
    reply = server.http.get(f"/v1/models/plain{path}")
    status = {"error_code": "OK", "error_message": ""}
    assert reply.json == {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": status}]}
    assert reply.body.startswith(b'{\n "model_version_status": [\n  {\n   "version": "1",\n')


def test_metrics_are_also_where_tensorflow_serving_has_them(server: Server) -> None:
    server.http.get("/v1/models/plain")
    reply = server.http.get("/monitoring/prometheus/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain")
    assert b'pulsecast_answers_total{address="tensorflow.status",status="200"}' in reply.body


def test_a_missing_key_is_told_in_the_protocols_words(plain_bundle: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("k" * 32)
    keys.chmod(0o600)
    with running(plain_bundle, config=ServerConfig(keys=str(keys))) as client:
        reply = client.get("/v1/models/plain")
        assert (reply.status, list(reply.json)) == (401, ["error"])
        assert client.get("/monitoring/prometheus/metrics").status == 401
        assert client.get("/v1/models/plain", {"Authorization": "Bearer " + "k" * 32}).status == 200


def test_more_windows_than_the_server_takes_are_refused(server: Server, level_model: plain.PlainModel) -> None:
    one = [[1.0]] * 50
    reply = server.http.post("/v1/models/level:predict", json.dumps({"instances": [one] * 300}).encode())
    assert reply.status == 200
    assert len(reply.json["predictions"]) == 300
    much = server.http.post("/v1/models/level:predict", json.dumps({"instances": [one] * 301}).encode())
    assert much.status == 413
