"""Models of layers that numpy does not compute: their artifacts forecast what the Keras model does."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import keras_matrix
from helpers.engines import EXPORT, load, require
from helpers.keras_matrix import TRAINING
from helpers.keras_own.graphs import GRAPHS, given_to, windows_of
from helpers.outside import warm
from pulsecast import load as load_bundle
from pulsecast import verify
from pulsecast.bundle.bundle import Bundle
from pulsecast.computing import reference
from pulsecast.errors import ConversionError, ToleranceError, UsageError
from pulsecast.model.weights import of_graph
from pulsecast.stages.model_directory import ModelDirectory, read_model_directory, write_model_directory

pytestmark = pytest.mark.slow
TARGETS = ("onnx", "tflite")
# every kind of twin, and the public architectures; `-m soak` exports all models to all targets
NAMES = (
    "CNN-LSTM: Conv1D, pooling, LSTM",
    "stacked Bidirectional LSTM with Attention",
    "sequence to sequence with RepeatVector",
    "WaveNet-like: gated causal Conv1D, dilated, residual",
    "Embedding of a column, two inputs",
    "Masking, LSTM, GRU",
)
ROUNDING = 1e-5  # two float32 engines, each with its own order of sums


@pytest.fixture(scope="module")
def keras() -> Any:
    require(*EXPORT, "keras", "h5py")
    return load("keras")


Made = Callable[[str], Path]


@pytest.fixture(scope="module")
def made(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return a function that gives the folder of a model of the table: own.keras, model and bundle, made once."""
    base = tmp_path_factory.mktemp("graphs")

    def folder(name: str) -> Path:
        path = base / str(list(GRAPHS).index(name))
        if not path.exists():
            path.mkdir()
            with warm.in_this_process():
                assert keras_matrix.export(keras, name, path, TARGETS) == TARGETS
        return path

    return folder


def own_forecasts(keras: Any, folder: Path, windows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return what Keras gives with the user's own file, (n, horizon)."""
    model = keras.saving.load_model(folder / "own.keras", compile=False)
    return np.asarray(model(given_to(model, windows), training=False)).reshape(len(windows), -1)


@pytest.mark.parametrize("name", NAMES)
def test_every_artifact_forecasts_what_the_users_file_does(name: str, keras: Any, made: Made) -> None:
    folder = made(name)
    windows = windows_of(GRAPHS[name], keras_matrix.wave()[0])[TRAINING:][:70]
    expected = own_forecasts(keras, folder, windows)
    assert np.std(expected) > 0.01, "a constant forecast would compare equal whatever it is made of"
    for target in TARGETS:
        forecaster = load_bundle(folder / "bundle", artifact=target)
        found = forecaster.predict(windows)
        np.testing.assert_allclose(found, expected, atol=ROUNDING, err_msg=target)
        alone = np.concatenate([forecaster.predict(windows[i : i + 1]) for i in (3, 40, 3)])
        np.testing.assert_allclose(alone, found[[3, 40, 3]], atol=ROUNDING)
        np.testing.assert_array_equal(alone[0], alone[2])


def test_a_converter_in_a_process_of_its_own_has_the_keras_that_a_graph_needs(made: Made, tmp_path: Path) -> None:
    """Those of networks leave Keras out, and all other tests of graphs convert in this process."""
    model, target = made("CNN-LSTM: Conv1D, pooling, LSTM") / "model", "savedmodel"
    module = "pulsecast_export.converting.conversion_child"
    done = subprocess.run(  # this interpreter
        [sys.executable, "-P", "-m", module, str(model), str(tmp_path), target],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[0] == target
    assert (tmp_path / "savedmodel" / "1" / "saved_model.pb").stat().st_size > 1000


def test_steps_that_a_masking_leaves_out_are_left_out(keras: Any, made: Made) -> None:
    """Held-out windows may have no such step: the mask must be that of Keras all the same."""
    folder = made("Masking, LSTM, GRU")
    windows = keras_matrix.wave()[0][TRAINING:][:8].copy()
    plain = own_forecasts(keras, folder, windows)
    windows[1, 4], windows[2, :5], windows[3, 9:], windows[4] = 0.0, 0.0, 0.0, 0.0
    windows[5, 4, 0] = 0.0  # one column alone is not left out
    expected = own_forecasts(keras, folder, windows)
    assert (np.abs(expected - plain).max(axis=1) > 1e-4).tolist() == [False, True, True, True, True, True, False, False]
    for target in TARGETS:
        np.testing.assert_allclose(
            load_bundle(folder / "bundle", artifact=target).predict(windows), expected, atol=ROUNDING
        )


def test_an_index_that_an_embedding_does_not_have_gives_no_number_and_harms_no_neighbour(made: Made) -> None:
    name = "Embedding of a column, two inputs"
    windows = windows_of(GRAPHS[name], keras_matrix.wave()[0])[TRAINING:][:6].copy()
    bundle = Bundle.open(made(name) / "bundle")
    from pulsecast.backends import open_backend

    for target in TARGETS:
        backend = open_backend(bundle, bundle.manifest.artifact(target), threads=1)
        clean = backend.predict(windows)
        for row, number in ((1, 7.0), (2, -1.0), (3, 2.5), (4, 1e30)):
            windows[row, 5, 2] = number
        found = backend.predict(windows)
        assert np.isnan(found[1:5]).all(), target
        np.testing.assert_array_equal(found[[0, 5]], clean[[0, 5]])
        windows[1:5, 5, 2] = 0.0


def test_a_bundle_of_a_graph_names_the_backends_that_it_has(made: Made) -> None:
    folder = made(NAMES[0])
    with pytest.raises(
        UsageError, match=r"no artifact for backend 'numpy': its network is a graph .* It has onnx, tflite"
    ):
        load_bundle(folder / "bundle", backend="numpy")
    model = read_model_directory(folder / "model")
    with pytest.raises(UsageError, match=r"numpy does not compute this model \(Conv1D 8 \+ MaxPooling1D \+ LSTM 6"):
        reference.forecast(model.record.spec, model.scaling, model.weights, model.heldout.windows)
    assert [report.artifact for report in verify(folder / "bundle") if report.passed] == list(TARGETS)
    document = json.loads((folder / "bundle" / "manifest.json").read_text())
    assert (document["spec"]["network"], document["spec"]["units"]) == (None, [])


def changed(model: ModelDirectory, folder: Path, change: Callable[[ModelDirectory], ModelDirectory]) -> Path:
    folder.mkdir()
    write_model_directory(folder, change(model))
    return folder


def test_weights_that_are_not_those_of_the_reference_fail(made: Made, tmp_path: Path) -> None:
    from pulsecast_export.exporter import export_model

    def perturbed(model: ModelDirectory) -> ModelDirectory:
        named = {name: array * 1.01 for name, array in model.weights.named.items()}
        return dataclasses.replace(model, weights=of_graph(named))

    model = read_model_directory(made(NAMES[0]) / "model")
    folder = changed(model, tmp_path / "model", perturbed)
    with warm.in_this_process(), pytest.raises(ToleranceError, match="onnx: largest error / range is"):
        export_model(folder, tmp_path / "bundle", targets=("onnx",))


WRONG_LAYERS: dict[str, tuple[dict[str, Any], str]] = {
    "code": ({"kind": "Lambda"}, "it is not a known layer"),
    "an object as a setting": (
        {"settings": {"filters": 8, "kernel_size": 3, "activation": {"class_name": "x"}}},
        "activation is",
    ),
    "a setting that runs code": (
        {"settings": {"filters": 8, "kernel_size": 3, "kernel_initializer_": "x"}},
        "not known here",
    ),
}


@pytest.mark.parametrize("name", WRONG_LAYERS)
def test_a_model_directory_that_was_edited_makes_no_other_layer(name: str, made: Made) -> None:
    from pulsecast_export.layer_graphs.building import keras_model

    edit, sentence = WRONG_LAYERS[name]
    spec = read_model_directory(made(NAMES[0]) / "model").record.spec
    assert spec.graph is not None
    layers = list(spec.graph.layers)
    layers[1] = dataclasses.replace(layers[1], **edit)
    edited = dataclasses.replace(spec, graph=dataclasses.replace(spec.graph, layers=tuple(layers)))
    with pytest.raises(ConversionError, match=sentence):
        keras_model(edited, None)
