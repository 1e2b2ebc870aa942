"""The reference against a second, independent implementation: loops over single numbers, written from the equations."""

import math
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import TRAIN, require
from pulsecast.computing import reference
from pulsecast.computing.calendars import with_calendar
from pulsecast.computing.network_forward import run
from pulsecast.model.weights import Weights
from pulsecast.stages.model_directory import read_model_directory

# float64 sums of a few dozen products in another order, over 50 steps
FLOAT64_ROUNDING = 1e-12
# Keras in float32: sums in another order and other sigmoids; a wrong gate order is off by 1e-2 and more
KERAS_ROUNDING = 2e-6


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def lstm_by_loops(weights: Weights, window: list[list[float]]) -> list[float]:
    """One window (steps, channels) through all layers and the head, a number at a time."""
    sequence = window
    for layer in weights.layers:
        units = layer.units
        h, c, hidden = [0.0] * units, [0.0] * units, []
        for x in sequence:
            new_h = []
            for u in range(units):
                gate = []
                for block in range(4):  # input, forget, candidate, output
                    column = block * units + u
                    total = float(layer.bias[column])
                    total += sum(float(layer.kernel[k, column]) * x[k] for k in range(len(x)))
                    total += sum(float(layer.recurrent[k, column]) * h[k] for k in range(units))
                    gate.append(total)
                c[u] = sigmoid(gate[1]) * c[u] + sigmoid(gate[0]) * math.tanh(gate[2])
                new_h.append(sigmoid(gate[3]) * math.tanh(c[u]))
            h = new_h
            hidden.append(h)
        sequence = hidden
    last = sequence[-1]
    return [
        float(weights.head_bias[j]) + sum(float(weights.head_kernel[k, j]) * last[k] for k in range(len(last)))
        for j in range(len(weights.head_bias))
    ]


def test_a_level_forecast_is_that_of_the_equations(level_model: plain.PlainModel) -> None:
    first = level_model.scaler.features[0]
    for window in level_model.windows[:2]:
        scaled = [[(float(v) - first.offset) / first.scale] for v in window[:, 0]]
        expected = lstm_by_loops(level_model.weights, scaled)[0] * first.scale + first.offset
        found = reference.forecast(
            level_model.spec, level_model.scaler, level_model.weights, window[np.newaxis].astype(np.float64)
        )
        assert abs(found[0, 0] - expected) <= FLOAT64_ROUNDING * level_model.scaler.range


def test_a_change_forecast_with_lags_and_calendar_is_that_of_the_equations(change_model: plain.PlainModel) -> None:
    first = change_model.scaler.features[0]
    window = change_model.windows[5].astype(np.float64)  # (73, 4)
    logs = [(math.log(1 + float(v)) - first.offset) / first.scale for v in window[:, 0]]
    inputs = [
        [logs[t], window[t, 1], window[t, 2], window[t, 3], logs[t] - logs[t - 1], logs[t] - logs[t - 23]]
        for t in range(23, 73)
    ]
    outputs = lstm_by_loops(change_model.weights, inputs)
    expected = [max(0.0, math.exp((o + logs[-1]) * first.scale + first.offset) - 1) for o in outputs]
    found = reference.forecast(
        change_model.spec, change_model.scaler, change_model.weights, window[np.newaxis].astype(np.float64)
    )
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=FLOAT64_ROUNDING * change_model.scaler.range)


def test_forecasts_below_the_floor_are_raised_to_it(change_model: plain.PlainModel) -> None:
    falling = np.zeros((1, 73, 4))
    falling[0, :10, 0] = 50.0
    found = reference.forecast(change_model.spec, change_model.scaler, change_model.weights, falling)
    assert (found >= 0).all()


def test_a_row_that_is_not_finite_gives_nan_in_that_row_only(change_model: plain.PlainModel) -> None:
    windows = change_model.windows[:6].astype(np.float64)
    model = (change_model.spec, change_model.scaler, change_model.weights)
    clean = reference.forecast(*model, windows)
    for row, (step, feature, value) in enumerate(
        [(0, 0, np.nan), (72, 0, np.inf), (30, 0, -np.inf), (0, 1, np.nan), (40, 0, -1.0), (40, 0, -3.0)]
    ):
        broken = windows.copy()
        broken[row, step, feature] = value
        found = reference.forecast(*model, broken)
        assert np.isnan(found[row]).all()
        np.testing.assert_array_equal(np.delete(found, row, 0), np.delete(clean, row, 0))


def test_the_dtype_of_the_windows_is_kept(level_model: plain.PlainModel) -> None:
    model = (level_model.spec, level_model.scaler, level_model.weights)
    single = reference.forecast(*model, level_model.windows)
    assert single.dtype == np.float32
    double = reference.forecast(*model, level_model.windows.astype(np.float64))
    assert double.dtype == np.float64
    # float32 rounding over 50 steps
    np.testing.assert_allclose(single, double, rtol=0, atol=2e-6 * level_model.scaler.range)


def test_channels_of_a_whole_series_are_those_of_its_windows(change_model: plain.PlainModel) -> None:
    """A channel is a function of the steps up to its own, so that windows may slide over a series computed once."""
    spec, scaler = change_model.spec, change_model.scaler
    steps = 120
    seconds = plain.START_S + plain.STEP_S * np.arange(steps, dtype=np.int64)
    values = with_calendar(spec, plain.series()[:steps, np.newaxis], seconds)
    whole = reference.channels(spec, scaler.transform(values))
    for start in (0, 17, steps - spec.context):
        window = scaler.transform(values[np.newaxis, start : start + spec.context])
        np.testing.assert_array_equal(reference.channels(spec, window)[0], whole[start : start + spec.window])


def test_large_inputs_overflow_nowhere(level_model: plain.PlainModel) -> None:
    with np.errstate(all="raise", under="ignore"):
        found = run(level_model.spec.network, level_model.weights, np.full((1, 50, 1), 1e30))
    assert np.isfinite(found).all()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["textbook_model", "recommended_model"])
def test_the_reference_is_the_trained_keras_network(model: str, request: pytest.FixtureRequest) -> None:
    require(*TRAIN)
    import keras

    path: Path = request.getfixturevalue(model)
    directory = read_model_directory(path)
    spec, scaler = directory.record.spec, directory.record.scaler
    network = keras.saving.load_model(path / "model.keras", compile=False)
    scaled = scaler.transform(directory.heldout.windows.astype(np.float64))
    inputs = reference.channels(spec, scaled)
    outputs = np.asarray(network(inputs.astype(np.float32)))
    ours = run(spec.network, directory.weights, inputs)
    np.testing.assert_allclose(outputs, ours, rtol=0, atol=KERAS_ROUNDING * max(1.0, float(np.abs(ours).max())))
