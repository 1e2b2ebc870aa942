"""What stands at the ends of a Keras model: several outputs of which one is chosen, and a first layer that scales."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import keras_matrix
from helpers.engines import require
from helpers.keras_matrix import HORIZON, TRAINING, WINDOW
from helpers.keras_own.graphs import GRAPHS, windows_of
from pulsecast.computing import reference
from pulsecast.errors import ConversionError, DataError
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.stages.model_directory import ModelDirectory, read_model_directory

pytestmark = pytest.mark.slow
ROUNDING = 5e-6  # Keras computes in float32


def imported(path: Path, heldout: Path, out: Path, **options: Any) -> ModelDirectory:
    from pulsecast_export.keras_models.keras_import import import_keras
    from pulsecast_export.keras_models.network_import import ImportOptions

    import_keras(path, heldout, ImportOptions(name="own", step_s=3600, **options), out, force=False)
    return read_model_directory(out)


def taught(keras: Any, model: Any, *, targets: Callable[[Any], Any] = lambda truth: truth, epochs: int = 2) -> Any:
    windows, truth = keras_matrix.wave()
    model.compile("adam", "mse")
    model.fit(windows[:TRAINING], targets(truth[:TRAINING]), epochs=epochs, verbose=0)
    return model


@pytest.fixture(scope="module")
def two_ends(keras: Any) -> tuple[Any, Any, Any, Any]:
    """A trained model of one output: its input, its last hidden state, its forecast, and itself."""
    keras.utils.set_random_seed(5)
    start = keras.Input((WINDOW, 2))
    hidden = keras.layers.LSTM(6, name="hidden")(start)
    forecast = keras.layers.Dense(HORIZON, name="forecast")(hidden)
    return start, hidden, forecast, taught(keras, keras.Model(start, forecast))


OUTPUTS: dict[str, tuple[Callable[[Any, Any], Any], str | None]] = {
    "a list": (lambda hidden, forecast: [hidden, forecast], "forecast"),
    "a list the other way round": (lambda hidden, forecast: [forecast, hidden], "forecast"),
    # Keras sorts the keys, the file does not
    "a dict": (lambda hidden, forecast: {"z": forecast, "a": hidden}, "z"),
    "a dict of one": (lambda hidden, forecast: {"z": forecast}, None),
    "a list of one": (lambda hidden, forecast: [forecast], None),
    "a dict of lists": (lambda hidden, forecast: {"a": [hidden], "z": [forecast]}, "z"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_one_output_of_several_is_the_forecast(
    name: str, keras: Any, two_ends: tuple[Any, ...], heldout: Path, tmp_path: Path
) -> None:
    start, hidden, forecast, model = two_ends
    make, output = OUTPUTS[name]
    keras.Model(start, make(hidden, forecast)).save(tmp_path / "own.keras")
    found = imported(tmp_path / "own.keras", heldout, tmp_path / "model", output=output)
    windows, _ = keras_matrix.wave()
    np.testing.assert_allclose(found.heldout.trained, model(windows[TRAINING:]), atol=ROUNDING)
    assert found.record.spec.is_plain
    assert difference(found) < ROUNDING


def test_several_outputs_without_a_name_are_asked_about(
    keras: Any, two_ends: tuple[Any, ...], heldout: Path, tmp_path: Path
) -> None:
    start, hidden, forecast, _ = two_ends
    keras.Model(start, [hidden, forecast]).save(tmp_path / "own.keras")
    with pytest.raises(ConversionError, match=r"has 2 outputs: hidden, forecast; name one .* --output forecast"):
        imported(tmp_path / "own.keras", heldout, tmp_path / "model")
    with pytest.raises(ConversionError, match=r"has no output 'loss'; it has hidden, forecast"):
        imported(tmp_path / "own.keras", heldout, tmp_path / "model", output="loss")


def difference(model: ModelDirectory) -> float:
    forecasts = reference.forecast(model.record.spec, model.record.scaler, model.weights, model.heldout.windows)
    return float(np.max(np.abs(forecasts - model.heldout.trained)))


SCALING: dict[str, Callable[[Any], Any]] = {
    "a Normalization": lambda k: k.Normalization(mean=[0.25, -0.5], variance=[0.04, 4.0]),
    "a Normalization of all columns": lambda k: k.Normalization(axis=None, mean=0.25, variance=4.0),
    "a Rescaling": lambda k: k.Rescaling(0.5, offset=-0.25),
    "a Rescaling of each column": lambda k: k.Rescaling([2.0, 0.5], offset=[1.0, -0.25]),
}


@pytest.mark.parametrize("name", SCALING)
def test_a_first_layer_that_scales_becomes_a_part_of_the_scaler(
    name: str, keras: Any, heldout: Path, tmp_path: Path
) -> None:
    k = keras.layers
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((WINDOW, 2)), SCALING[name](k), k.LSTM(5), k.Dense(HORIZON)])
    taught(keras, model).save(tmp_path / "own.keras")
    found = imported(tmp_path / "own.keras", heldout, tmp_path / "model")
    assert found.record.spec.is_plain
    assert not found.record.scaler.features[0].is_identity
    assert difference(found) < 2 * ROUNDING
    # beside a scaler of the user's own: both, one after the other
    raw = np.load(heldout)
    np.savez(tmp_path / "raw.npz", windows=raw["windows"] * 8 + 16, truth=raw["truth"] * 8 + 16)
    scaler = Scaler(features=(FeatureScale(offset=16.0, scale=8.0, low=0.0, high=32.0),) * 2)
    both = imported(tmp_path / "own.keras", tmp_path / "raw.npz", tmp_path / "both", scaler=scaler)
    np.testing.assert_allclose(both.heldout.trained, found.heldout.trained * 8 + 16, rtol=1e-5)
    assert difference(both) < 20 * ROUNDING  # in units eight times as small


def test_an_adapted_normalisation_is_read_from_the_weights(keras: Any, heldout: Path, tmp_path: Path) -> None:
    windows, _ = keras_matrix.wave()
    first = keras.layers.Normalization()
    first.adapt(windows[:TRAINING] * 3 + 7)
    model = keras.Sequential(
        [keras.Input((WINDOW, 2)), first, keras.layers.GRU(5), keras.layers.Dense(HORIZON, use_bias=False)]
    )
    taught(keras, model).save(tmp_path / "own.keras")
    found = imported(tmp_path / "own.keras", heldout, tmp_path / "model")
    np.testing.assert_allclose([one.offset for one in found.record.scaler.features], np.ravel(first.mean), rtol=1e-6)
    assert difference(found) < 2 * ROUNDING


def test_arrays_of_several_inputs_stand_side_by_side_in_the_order_of_the_model(keras: Any, tmp_path: Path) -> None:
    """Keras sorts the names of inputs, and the model takes `zeit` first."""
    row, (wave, truth) = GRAPHS["two named inputs, one of the last step"], keras_matrix.wave()
    windows = windows_of(row, wave)[TRAINING:]
    model = row.make(keras)
    model.save(tmp_path / "own.keras")
    zeit, art = windows[..., :2], windows[:, -1, 2:]
    np.savez(tmp_path / "apart.npz", zeit=zeit, art=art, truth=truth[TRAINING:])
    np.savez(tmp_path / "together.npz", windows=windows, truth=truth[TRAINING:])
    expected = np.asarray(model({"zeit": zeit, "art": art}))
    for name in ("apart", "together"):
        found = imported(tmp_path / "own.keras", tmp_path / f"{name}.npz", tmp_path / name)
        np.testing.assert_allclose(found.heldout.trained, expected, atol=ROUNDING)
        assert found.heldout.reference is not None
        np.testing.assert_allclose(found.heldout.reference, expected, atol=ROUNDING)
    np.savez(tmp_path / "short.npz", zeit=zeit, art=art[:, :, np.newaxis], truth=truth[TRAINING:])
    with pytest.raises(DataError, match=r"art is \(136, 1, 1\); expected \(n, 12, features\) or \(n, features\)"):
        imported(tmp_path / "own.keras", tmp_path / "short.npz", tmp_path / "short")


def masked(keras: Any) -> Any:
    """Return a functional model, whose file writes the mask down as operations."""
    k, start = keras.layers, keras.Input((WINDOW, 2))
    x = k.LSTM(4, return_sequences=True)(k.Masking(0.5)(start))
    return keras.Model(start, k.Dense(HORIZON)(k.GRU(3)(x)))


def test_a_mask_that_a_functional_file_writes_down_is_that_of_its_masking(
    keras: Any, heldout: Path, tmp_path: Path
) -> None:
    model = masked(keras)
    model.save(tmp_path / "own.keras")
    raw = np.load(heldout)
    windows = raw["windows"].copy()
    windows[::3, 2:5] = 0.5
    np.savez(tmp_path / "masked.npz", windows=windows, truth=raw["truth"])
    found = imported(tmp_path / "own.keras", tmp_path / "masked.npz", tmp_path / "model")
    expected = np.asarray(model(windows))
    assert np.abs(expected - np.asarray(model(raw["windows"])))[::3].min(axis=1).max() > 1e-3
    assert found.heldout.reference is not None
    np.testing.assert_allclose(found.heldout.reference, expected, atol=ROUNDING)


def test_a_mask_of_another_kind_is_refused(keras: Any, heldout: Path, tmp_path: Path) -> None:
    k, start = keras.layers, keras.Input((WINDOW, 2))
    mask = keras.ops.any(keras.ops.not_equal(start, 2.0), axis=-1)
    x = k.LSTM(4)(k.Masking(0.5)(start), mask=mask)
    keras.Model(start, k.Dense(HORIZON)(x)).save(tmp_path / "own.keras")
    with pytest.raises(ConversionError, match=r"\(LSTM\) is called with a mask; only those that Masking and Embedding"):
        imported(tmp_path / "own.keras", heldout, tmp_path / "model")


def test_an_export_of_a_constant_says_loudly_what_it_is_worth(keras: Any, tmp_path: Path) -> None:
    """An LSTM on counts in the hundreds saturates: it gives one number, and every artifact gives it faithfully."""
    from pulsecast_export import export

    steps = np.arange(400)
    counts = 500 + 400 * np.sin(steps / 12)
    windows = np.stack([counts[i : i + WINDOW] for i in range(300)])[..., np.newaxis]
    truth = np.stack([counts[i + WINDOW : i + WINDOW + 1] for i in range(300)])
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((WINDOW, 1)), keras.layers.LSTM(5), keras.layers.Dense(1)])
    model.compile("adam", "mse", run_eagerly=True)  # a graph takes longer than its two steps
    model.fit(windows[:200], truth[:200], epochs=2, batch_size=200, verbose=0)
    model.save(tmp_path / "own.keras")
    np.savez(tmp_path / "heldout.npz", windows=windows[200:], truth=truth[200:])
    require("onnx", "tf2onnx", "onnxruntime")
    from helpers.outside import warm

    with warm.converters():
        found = export(
            tmp_path / "own.keras", out=tmp_path / "bundle", targets=["onnx"], heldout=tmp_path / "heldout.npz"
        )
    loses, moves = found.remarks
    mae = {name: one.mae for name, one in found.manifest.heldout.forecasts.items()}
    assert mae["model"] > 5 * mae["last_value"]
    assert f"MAE {mae['model']:,.4g} against {mae['last_value']:,.4g}" in loses
    assert "hardly move" in moves
    shown = repr(found)
    assert f"MAE of the model {mae['model']:,.4g}, of the last value {mae['last_value']:,.4g}" in shown
    assert f"REMARK: {loses}" in shown
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert "Remark: this model loses to repeating the last value" in card
