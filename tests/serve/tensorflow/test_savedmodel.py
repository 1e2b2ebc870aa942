"""A client that leaves TensorFlow Serving for us: the SavedModel of the same model is asked beside the server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pulsecast
from helpers import native_models, plain, series_models
from helpers.engines import require
from helpers.serving import running
from pulsecast.bundle.bundle import Bundle
from pulsecast.model.windows import Windows
from pulsecast_serve.protocols.tensorflow_serving.signature import PREDICT, SIGNATURE, signature_of
from pulsecast_serve.rpc.messages import message
from pulsecast_serve.rpc.tensorflow_serving import prediction

from .conftest import Server

pytestmark = pytest.mark.slow
MODELS = ("plain", "level", "table")
# forecasts of two engines in float32, by raw units of some hundreds; a bound in counts may then round to the next one
CLOSE = {"forecast": 1e-2, "lower": 1.0, "upper": 1.0}


@pytest.fixture(scope="module")
def saved(
    tmp_path_factory: pytest.TempPathFactory, change_model: plain.PlainModel, level_model: plain.PlainModel
) -> dict[str, Path]:
    """The SavedModel of each model that the server has."""
    require("tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from pulsecast_export.graphs.savedmodel import write_savedmodel

    directories = {
        "plain": native_models.directory(change_model),
        "level": native_models.directory(level_model),
        "table": series_models.with_table(native_models.directory(change_model)),
    }
    folder = tmp_path_factory.mktemp("saved")
    for name, directory in directories.items():
        write_savedmodel(directory, folder / name, None)
    return {name: folder / name for name in directories}


@pytest.fixture(scope="module")
def windows(change_model: plain.PlainModel, level_model: plain.PlainModel) -> dict[str, Windows]:
    """Windows of each model; the second has a NaN, the third an infinity, then an unknown time, and series."""
    found = {}
    for name, model in (("plain", change_model), ("level", level_model), ("table", change_model)):
        some = model.windows.take(slice(0, 6))
        values = some.values.copy()
        values[1, 7], values[2, 0] = np.nan, np.inf
        time = None if some.time is None else some.time.copy()
        if time is not None:
            time[3] = 2**61
        series = np.array([0, 1, 2, 3, 4, 3]) if name == "table" else None
        found[name] = Windows(values=values, time=time, series=series)
    return found


def named(windows: Windows) -> dict[str, NDArray[Any]]:
    pairs = zip(("values", "time", "series"), windows.inputs, strict=True)
    return {name: array for name, array in pairs if array is not None}


def by_tensorflow(path: Path, windows: Windows) -> dict[str, NDArray[np.float32]]:
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    found = model.signatures[SIGNATURE](**{name: tf.constant(array) for name, array in named(windows).items()})
    return {name: one.numpy() for name, one in found.items()}


@pytest.mark.parametrize("model", MODELS)
def test_the_server_answers_what_the_savedmodel_computes_with_nan_in_the_same_rows(
    server: Server, saved: dict[str, Path], windows: dict[str, Windows], model: str
) -> None:
    own = by_tensorflow(saved[model], windows[model])
    columns = {name: array.tolist() for name, array in named(windows[model]).items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    by_rows = server.http.post(f"/v1/models/{model}/versions/1:predict", {"instances": rows}).json["predictions"]
    by_columns = server.http.post(f"/v1/models/{model}/versions/1:predict", {"inputs": columns}).json["outputs"]
    assert np.isnan(own["forecast"]).any(axis=1).tolist()[:3] == [False, True, True]
    assert np.isfinite(own["forecast"][5]).all()
    for name, numbers in own.items():
        for found in (np.array([row[name] for row in by_rows]), np.array(by_columns[name])):
            assert found.shape == numbers.shape
            np.testing.assert_array_equal(np.isnan(found), np.isnan(numbers), err_msg=name)
            np.testing.assert_allclose(found, numbers, rtol=0, atol=CLOSE[name], err_msg=name)
    assert set(by_columns) == set(own)


def test_a_trained_bundle_is_answered_as_its_own_savedmodel_computes_it(recommended_bundle: Path) -> None:
    opened = Bundle.open(recommended_bundle)
    manifest, windows = opened.manifest, opened.golden().windows.take(slice(0, 8))
    own = by_tensorflow(recommended_bundle / "savedmodel" / "1", windows)
    with running(f"trained={recommended_bundle}") as client:
        columns = {name: array.tolist() for name, array in named(windows).items()}
        found = client.post("/v1/models/trained:predict", {"inputs": columns}).json["outputs"]
    close = 2 * manifest.artifact("savedmodel").tolerance.max_abs * manifest.scaler.range  # two engines, each so near
    assert found.keys() == own.keys()
    np.testing.assert_allclose(found["forecast"], own["forecast"], rtol=0, atol=close)
    for name in ("lower", "upper"):
        np.testing.assert_allclose(found[name], own[name], rtol=0, atol=max(close, CLOSE[name]))


def test_a_request_made_with_tensorflows_own_tensors_is_answered(
    server: Server, saved: dict[str, Path], windows: dict[str, Windows]
) -> None:
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    request, answer = message("tensorflow.serving.PredictRequest")(), message("tensorflow.serving.PredictResponse")
    request.model_spec.name = "plain"
    for name, array in named(windows["plain"]).items():
        made = tf.make_tensor_proto(array)
        request.inputs[name].MergeFromString(made.SerializeToString())
    found = server.call("PredictionService", "Predict", request, answer).outputs
    own = by_tensorflow(saved["plain"], windows["plain"])
    for name, numbers in own.items():
        read = tf.make_ndarray(tensor_pb2.TensorProto.FromString(found[name].SerializeToString()))
        assert (read.dtype, read.shape) == (numbers.dtype, numbers.shape)
        np.testing.assert_allclose(read, numbers, rtol=0, atol=CLOSE[name])


@pytest.mark.parametrize("model", MODELS)
def test_the_signature_from_the_manifest_is_that_of_the_savedmodel(
    saved: dict[str, Path], bundle: Path, plain_bundle: Path, table_bundle: Path, model: str
) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    read = saved_model_pb2.SavedModel.FromString((saved[model] / "saved_model.pb").read_bytes())
    theirs = read.meta_graphs[0].signature_def[SIGNATURE]
    paths = {"plain": bundle, "level": plain_bundle, "table": table_bundle}
    ours = signature_of(pulsecast.load(paths[model]))
    assert theirs.method_name == PREDICT
    for own, other in ((ours.inputs, theirs.inputs), (ours.outputs, theirs.outputs)):
        described = {
            name: (one.dtype, tuple(size.size for size in one.tensor_shape.dim), one.name)
            for name, one in other.items()
        }
        assert {name: (one.dtype.number, one.shape, one.node) for name, one in own.items()} == described
    assert prediction.SERVICE.name == "PredictionService"
