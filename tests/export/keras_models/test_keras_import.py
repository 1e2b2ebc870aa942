"""A user's own Keras model: its forecasts are those of the numpy reference, and of every artifact made from it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import keras_matrix
from helpers.engines import EXPORT, require
from helpers.keras_matrix import GRU, HEADLESS, HORIZON, MIXED, NETWORKS, PLAIN, WINDOW
from helpers.outside import warm
from pulsecast import load as load_bundle
from pulsecast.computing import reference
from pulsecast.errors import ConversionError, DataError, UsageError
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.stages.model_directory import read_model_directory

pytestmark = pytest.mark.slow

# Keras computes in float32, the reference in float64: rounding of sums of about ten terms over twelve steps
ROUNDING = 5e-6


Trained = Callable[[str], Path]


@pytest.fixture(scope="module")
def trained(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a function that gives the file of a network of the matrix, trained once."""
    folder = tmp_path_factory.mktemp("trained")
    files: dict[str, Path] = {}

    def path(name: str) -> Path:
        if name not in files:
            files[name] = keras_matrix.train(keras, name, folder / f"own{len(files)}.keras")
        return files[name]

    return path


def imported(path: Path, heldout: Path, out: Path, scaler: Scaler | None = None) -> Any:
    from pulsecast_export.keras_models.keras_import import ImportOptions, import_keras

    import_keras(path, heldout, ImportOptions(name="own", step_s=3600, scaler=scaler), out, force=False)
    return read_model_directory(out)


def difference(model: Any) -> float:
    """Return the largest difference of the float64 reference from the Keras model on the held-out windows."""
    forecasts = reference.forecast(model.record.spec, model.record.scaler, model.weights, model.heldout.windows)
    return float(np.max(np.abs(forecasts - model.heldout.trained)))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_reference_forecasts_what_the_keras_model_does(
    name: str, trained: Trained, heldout: Path, tmp_path: Path
) -> None:
    model = imported(trained(name), heldout, tmp_path / "model")
    assert model.record.spec.network.is_plain == (name in (PLAIN, HEADLESS))
    assert np.std(model.heldout.trained) > 0.01, "a constant forecast would compare equal whatever it is made of"
    assert difference(model) < ROUNDING


def test_the_comparison_fails_on_swapped_gates(trained: Trained, heldout: Path, tmp_path: Path) -> None:
    path = trained(GRU)
    model = imported(path, heldout, tmp_path / "model")
    kernel = model.weights.layers[0].kernel
    kernel[:] = np.roll(kernel, 5, axis=1)
    assert difference(model) > 1000 * ROUNDING


def test_a_functional_model_is_taken_as_a_sequential_one(keras: Any, heldout: Path, tmp_path: Path) -> None:
    start = keras.Input((None, 2))
    outputs = keras.layers.Dense(HORIZON)(keras.layers.LSTM(4)(start))
    keras.Model(start, outputs).save(tmp_path / "own.keras")
    model = imported(tmp_path / "own.keras", heldout, tmp_path / "model")
    assert model.record.spec.network.is_plain
    assert difference(model) < ROUNDING


def test_a_scaler_stands_between_raw_values_and_the_model(
    keras: Any, trained: Trained, heldout: Path, tmp_path: Path
) -> None:
    path = trained(GRU)
    plain = imported(path, heldout, tmp_path / "model")
    raw = np.load(heldout)
    np.savez(tmp_path / "raw.npz", windows=raw["windows"] * 8 + 16, truth=raw["truth"] * 8 + 16)
    scaler = Scaler(features=(FeatureScale(offset=16.0, scale=8.0, low=0.0, high=32.0),) * 2)
    scaled = imported(path, tmp_path / "raw.npz", tmp_path / "scaled", scaler)
    np.testing.assert_allclose(scaled.heldout.trained, plain.heldout.trained * 8 + 16, rtol=1e-5)
    assert difference(scaled) < 20 * ROUNDING  # in units eight times as small


@pytest.fixture(scope="module")
def bundle(trained: Trained, heldout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of every possible target, from the mixed network."""
    require(*EXPORT)
    from pulsecast_export.exporter import export_model

    folder = tmp_path_factory.mktemp("own")
    imported(trained(MIXED), heldout, folder / "model")
    with warm.converters():
        export_model(folder / "model", folder / "bundle")
    return folder / "bundle"


def test_every_artifact_of_a_mixed_network_forecasts_what_the_keras_model_does(bundle: Path, heldout: Path) -> None:
    from pulsecast.bundle.bundle import Bundle

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
        export_model(bundle.parent / "model", tmp_path / "b", targets=("tflite-int8",))


def test_the_command_exports_a_model_file(keras: Any, trained: Trained, heldout: Path, tmp_path: Path) -> None:
    require(*EXPORT, "typer")
    from pulsecast_cli.app import run

    path = trained(GRU)
    out = tmp_path / "bundle"
    options = ["--heldout", str(heldout), "--target", "onnx", "--feature", "mentions", "--feature", "likes"]
    with warm.converters():
        assert run(["export", str(path), "--out", str(out), *options]) == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert [feature["name"] for feature in manifest["spec"]["features"]] == ["mentions", "likes"]
    assert manifest["provenance"]["training"]["imported"]["file"] == path.name
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


def test_held_out_windows_that_do_not_fit_are_refused(keras: Any, trained: Trained, tmp_path: Path) -> None:
    path = trained(GRU)
    for arrays, sentence in WRONG_WINDOWS.values():
        np.savez(tmp_path / "w.npz", **arrays)  # type: ignore[arg-type]
        with pytest.raises(DataError, match=sentence):
            imported(path, tmp_path / "w.npz", tmp_path / "model")
        assert not (tmp_path / "model").exists()


def test_an_h5_file_gives_its_weights_to_our_architecture(
    keras: Any, trained: Trained, heldout: Path, tmp_path: Path
) -> None:
    path = trained(PLAIN)
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

    # a lambda, because only lambdas are stored as code
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
    # the trick works without the check: otherwise the test could not fail
    windows = np.zeros((1, WINDOW, 2), np.float32)
    keras.saving.load_model(tmp_path / f"own{suffix}", safe_mode=False, compile=False)(windows)
    assert mark.exists()
    assert os.environ["PULSECAST_MARK"] == str(mark)
