"""A user's own Keras model: its forecasts are those of the numpy reference, and of every artifact made from it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import EXPORT, load, require
from pulsecast import load as load_bundle
from pulsecast import reference
from pulsecast.errors import ConversionError, DataError, UsageError
from pulsecast.model_directory import read_model_directory
from pulsecast.scaler import FeatureScale, Scaler

pytestmark = pytest.mark.slow

WINDOW, HORIZON = 12, 2
# Keras computes in float32, the reference in float64: rounding of sums of about ten terms over twelve steps
ROUNDING = 5e-6


@pytest.fixture(scope="module")
def keras() -> Any:
    require("tensorflow", "keras", "h5py")
    return load("keras")


@pytest.fixture(scope="module")
def series() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Windows (n, 12, 2) and truth (n, 2) of a noisy wave."""
    steps = np.arange(500)
    noise = np.random.default_rng(3).standard_normal(500)
    values = np.stack([np.sin(steps / 4) + 0.1 * noise, np.cos(steps / 4)], axis=1).astype(np.float32)
    starts = range(500 - WINDOW - HORIZON)
    windows = np.stack([values[i : i + WINDOW] for i in starts])
    return windows, np.stack([values[i + WINDOW : i + WINDOW + HORIZON, 0] for i in starts])


@pytest.fixture(scope="module")
def heldout(series: tuple[NDArray[np.float32], NDArray[np.float32]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("heldout") / "heldout.npz"
    windows, truth = series
    np.savez(path, windows=windows[350:], truth=truth[350:])
    return path


def trained(keras: Any, series: Any, layers: list[Any], path: Path) -> Path:
    """Train a model of `layers` for a few epochs and save it."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((WINDOW, 2)), *layers])
    model.compile("adam", "mse")
    windows, truth = series
    model.fit(windows[:350], truth[:350], epochs=4, verbose=0)
    model.save(path)
    return path


def imported(path: Path, heldout: Path, out: Path, scaler: Scaler | None = None) -> Any:
    from pulsecast_export.keras_import import ImportOptions, import_keras

    import_keras(path, heldout, ImportOptions(name="own", step_s=3600, scaler=scaler), out, force=False)
    return read_model_directory(out)


def difference(model: Any) -> float:
    """Return the largest difference of the float64 reference from the Keras model on the held-out windows."""
    windows = model.heldout.windows.astype(np.float64)
    forecasts = reference.forecast(model.record.spec, model.record.scaler, model.weights, windows)
    return float(np.max(np.abs(forecasts - model.heldout.trained)))


def _mixed(layers: Any) -> list[Any]:
    return [
        layers.Bidirectional(layers.GRU(5, return_sequences=True)),
        layers.SpatialDropout1D(0.1),
        layers.LSTM(
            4, activation="relu", recurrent_activation="hard_sigmoid", return_sequences=True, go_backwards=True
        ),
        layers.Bidirectional(layers.LSTM(3), merge_mode="ave"),
        layers.Dense(5, activation="relu"),
        layers.Dense(HORIZON),
    ]


NETWORKS: dict[str, Callable[[Any], list[Any]]] = {
    "a plain stack": lambda k: [k.LSTM(5, return_sequences=True), k.Dropout(0.1), k.LSTM(4), k.Dense(HORIZON)],
    "a GRU": lambda k: [k.GRU(5), k.Dense(HORIZON)],
    "GRUs that reset before": lambda k: [
        k.GRU(5, reset_after=False, return_sequences=True),
        k.GRU(4, reset_after=False),
        k.Dense(HORIZON),
    ],
    "no biases": lambda k: [
        k.LSTM(5, use_bias=False, return_sequences=True),
        k.GRU(4, use_bias=False),
        k.Dense(HORIZON, use_bias=False),
    ],
    "both directions, joined": lambda k: [
        k.Bidirectional(k.LSTM(5, return_sequences=True)),
        k.Bidirectional(k.LSTM(4)),
        k.Dense(HORIZON),
    ],
    "both directions, added and multiplied": lambda k: [
        k.Bidirectional(k.GRU(5, return_sequences=True), merge_mode="sum"),
        k.Bidirectional(k.GRU(4), merge_mode="mul"),
        k.Dense(HORIZON),
    ],
    "backwards": lambda k: [k.LSTM(5, go_backwards=True, return_sequences=True), k.GRU(4), k.Dense(HORIZON)],
    "relu and hard sigmoid": lambda k: [
        k.LSTM(5, activation="relu", recurrent_activation="hard_sigmoid"),
        k.Dense(HORIZON, activation="sigmoid"),
    ],
    "no head": lambda k: [k.LSTM(5, return_sequences=True), k.LSTM(HORIZON)],
    "a mixture": _mixed,
}
PLAIN = {"a plain stack"}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_reference_forecasts_what_the_keras_model_does(
    name: str, keras: Any, series: Any, heldout: Path, tmp_path: Path
) -> None:
    path = trained(keras, series, NETWORKS[name](keras.layers), tmp_path / "own.keras")
    model = imported(path, heldout, tmp_path / "model")
    assert (model.record.spec.network is None) == (name in PLAIN)
    assert np.std(model.heldout.trained) > 0.01, "a constant forecast would compare equal whatever it is made of"
    assert difference(model) < ROUNDING


def test_the_comparison_fails_on_swapped_gates(keras: Any, series: Any, heldout: Path, tmp_path: Path) -> None:
    path = trained(keras, series, NETWORKS["a GRU"](keras.layers), tmp_path / "own.keras")
    model = imported(path, heldout, tmp_path / "model")
    kernel = model.weights.layers[0].kernel
    kernel[:] = np.roll(kernel, 5, axis=1)
    assert difference(model) > 1000 * ROUNDING


def test_a_functional_model_is_taken_as_a_sequential_one(keras: Any, heldout: Path, tmp_path: Path) -> None:
    start = keras.Input((None, 2))
    outputs = keras.layers.Dense(HORIZON)(keras.layers.LSTM(4)(start))
    keras.Model(start, outputs).save(tmp_path / "own.keras")
    model = imported(tmp_path / "own.keras", heldout, tmp_path / "model")
    assert model.record.spec.network is None
    assert difference(model) < ROUNDING


def test_a_scaler_stands_between_raw_values_and_the_model(
    keras: Any, series: Any, heldout: Path, tmp_path: Path
) -> None:
    path = trained(keras, series, NETWORKS["a GRU"](keras.layers), tmp_path / "own.keras")
    plain = imported(path, heldout, tmp_path / "model")
    raw = np.load(heldout)
    np.savez(tmp_path / "raw.npz", windows=raw["windows"] * 8 + 16, truth=raw["truth"] * 8 + 16)
    scaler = Scaler(features=(FeatureScale(offset=16.0, scale=8.0, low=0.0, high=32.0),) * 2)
    scaled = imported(path, tmp_path / "raw.npz", tmp_path / "scaled", scaler)
    np.testing.assert_allclose(scaled.heldout.trained, plain.heldout.trained * 8 + 16, rtol=1e-5)
    assert difference(scaled) < 20 * ROUNDING  # in units eight times as small


@pytest.fixture(scope="module")
def bundle(keras: Any, series: Any, heldout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of every target there is, from the mixed network."""
    require(*EXPORT)
    from pulsecast_export.exporter import export_model

    folder = tmp_path_factory.mktemp("own")
    imported(trained(keras, series, _mixed(keras.layers), folder / "own.keras"), heldout, folder / "model")
    export_model(folder / "model", folder / "bundle", targets=(), force=False, tell=lambda _: None)
    return folder / "bundle"


def test_every_artifact_of_a_mixed_network_forecasts_what_the_keras_model_does(bundle: Path, heldout: Path) -> None:
    from pulsecast.bundle import Bundle

    golden = Bundle.open(bundle).golden()
    errors = {}
    for artifact in Bundle.open(bundle).manifest.artifacts:
        forecasts = load_bundle(bundle, artifact=artifact.id).predict(golden.windows)
        errors[artifact.id] = float(np.max(np.abs(forecasts - golden.trained)))
    assert {"numpy", "savedmodel", "onnx", "onnx-w8", "tflite", "tflite-fp16", "tflite-w8"} <= set(errors)
    assert "tflite-int8" not in errors
    for name in ("numpy", "savedmodel", "onnx", "tflite"):
        assert errors[name] < 2 * ROUNDING, name


def test_a_target_for_the_plain_stack_alone_is_refused_by_name(bundle: Path, tmp_path: Path) -> None:
    from pulsecast_export.exporter import export_model

    with pytest.raises(UsageError, match="target tflite-int8 exists for a plain stack"):
        export_model(
            bundle.parent / "model", tmp_path / "b", targets=("tflite-int8",), force=False, tell=lambda _: None
        )


def test_the_command_exports_a_model_file(keras: Any, series: Any, heldout: Path, tmp_path: Path) -> None:
    require(*EXPORT, "typer")
    from pulsecast.cli.app import run

    path = trained(keras, series, NETWORKS["a GRU"](keras.layers), tmp_path / "own.keras")
    out = tmp_path / "bundle"
    options = ["--heldout", str(heldout), "--target", "onnx", "--feature", "mentions", "--feature", "likes"]
    assert run(["export", str(path), "--out", str(out), *options]) == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert [feature["name"] for feature in manifest["spec"]["features"]] == ["mentions", "likes"]
    assert manifest["provenance"]["training"]["imported"]["file"] == "own.keras"
    assert str(tmp_path) not in json.dumps(manifest)
    assert run(["export", str(path), "--out", str(tmp_path / "other")]) == 2


WRONG_WINDOWS: dict[str, tuple[dict[str, NDArray[np.float64]], str]] = {
    "no truth": ({"windows": np.zeros((64, WINDOW, 2))}, "it has no truth"),
    "too few": ({"windows": np.zeros((9, WINDOW, 2)), "truth": np.zeros((9, HORIZON))}, "9 windows; at least 64"),
    "unequal": ({"windows": np.zeros((64, WINDOW, 2)), "truth": np.zeros((63, HORIZON))}, "64 windows and 63 rows"),
    "NaN": ({"windows": np.full((64, WINDOW, 2), np.nan), "truth": np.zeros((64, HORIZON))}, "holds NaN"),
    "too short": ({"windows": np.zeros((64, 9, 2)), "truth": np.zeros((64, HORIZON))}, "windows have 9 steps"),
    "a feature too many": ({"windows": np.zeros((64, WINDOW, 3)), "truth": np.zeros((64, HORIZON))}, "3 features"),
    "another horizon": ({"windows": np.zeros((64, WINDOW, 2)), "truth": np.zeros((64, 1))}, "truth has 1 steps"),
}


def test_held_out_windows_that_do_not_fit_are_refused(keras: Any, series: Any, tmp_path: Path) -> None:
    path = trained(keras, series, NETWORKS["a GRU"](keras.layers), tmp_path / "own.keras")
    for arrays, sentence in WRONG_WINDOWS.values():
        np.savez(tmp_path / "w.npz", **arrays)  # type: ignore[arg-type]
        with pytest.raises(DataError, match=sentence):
            imported(path, tmp_path / "w.npz", tmp_path / "model")
        assert not (tmp_path / "model").exists()


def test_an_h5_file_gives_its_weights_to_our_architecture(
    keras: Any, series: Any, heldout: Path, tmp_path: Path
) -> None:
    path = trained(keras, series, NETWORKS["a plain stack"](keras.layers), tmp_path / "own.keras")
    keras.saving.load_model(path).save(tmp_path / "own.h5")
    from_h5 = imported(tmp_path / "own.h5", heldout, tmp_path / "from_h5")
    from_keras = imported(path, heldout, tmp_path / "from_keras")
    assert (tmp_path / "from_h5" / "weights.npz").read_bytes() == (tmp_path / "from_keras" / "weights.npz").read_bytes()
    np.testing.assert_allclose(from_h5.heldout.trained, from_keras.heldout.trained, atol=ROUNDING)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_that_would_leave_a_mark_leaves_none(
    suffix: str, keras: Any, heldout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    monkeypatch.setenv("PULSECAST_MARK", str(mark))

    # a lambda, since only those are stored as code; it stands on its own in the file
    leave_a_mark = lambda x: [  # noqa: E731
        __import__("pathlib").Path(__import__("os").environ["PULSECAST_MARK"]).touch(),
        x,
    ][1]
    layers = [keras.layers.LSTM(4), keras.layers.Lambda(leave_a_mark, name="trick"), keras.layers.Dense(HORIZON)]
    keras.Sequential([keras.Input((WINDOW, 2)), *layers]).save(tmp_path / f"own{suffix}")
    mark.unlink()  # building the model has run it
    with pytest.raises(ConversionError, match=r"layer 'trick' \(Lambda\)"):
        imported(tmp_path / f"own{suffix}", heldout, tmp_path / "model")
    assert not mark.exists()
    assert not (tmp_path / "model").exists()
    # the trick works where nobody looks: without this the test could not fail
    windows = np.zeros((1, WINDOW, 2), np.float32)
    keras.saving.load_model(tmp_path / f"own{suffix}", safe_mode=False, compile=False)(windows)
    assert mark.exists()
    assert os.environ["PULSECAST_MARK"] == str(mark)
