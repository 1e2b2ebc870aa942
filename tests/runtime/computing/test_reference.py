"""The reference against a second, independent implementation: loops over single numbers, written from the equations."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import TRAIN, require
from pulsecast.computing import reference
from pulsecast.computing.calendars import complete, with_calendar
from pulsecast.computing.network_forward import run
from pulsecast.model.spec import YEAR_1, YEAR_10000
from pulsecast.model.weights import Weights
from pulsecast.model.windows import Windows
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
    for row in range(2):
        windows = level_model.windows.take([row])
        scaled = [[(float(v) - first.offset) / first.scale] for v in windows.values[0, :, 0]]
        expected = lstm_by_loops(level_model.weights, scaled)[0] * first.scale + first.offset
        found = reference.forecast(level_model.spec, level_model.scaler, level_model.weights, windows)
        assert abs(found[0, 0] - expected) <= FLOAT64_ROUNDING * level_model.scaler.range


def test_a_change_forecast_with_lags_and_calendar_is_that_of_the_equations(change_model: plain.PlainModel) -> None:
    first = change_model.scaler.features[0]
    windows = change_model.windows.take([5])
    window = complete(change_model.spec, windows.changed(windows.values.astype(np.float64)))[0]  # (73, 4)
    logs = [(math.log(1 + float(v)) - first.offset) / first.scale for v in window[:, 0]]
    inputs = [
        [logs[t], window[t, 1], window[t, 2], window[t, 3], logs[t] - logs[t - 1], logs[t] - logs[t - 23]]
        for t in range(23, 73)
    ]
    outputs = lstm_by_loops(change_model.weights, inputs)
    expected = [max(0.0, math.exp((o + logs[-1]) * first.scale + first.offset) - 1) for o in outputs]
    found = reference.forecast(change_model.spec, change_model.scaler, change_model.weights, windows)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=FLOAT64_ROUNDING * change_model.scaler.range)


def test_forecasts_below_the_floor_are_raised_to_it(change_model: plain.PlainModel) -> None:
    values = np.zeros((1, 73, 1))
    values[0, :10, 0] = 50.0
    falling = Windows(values=values, time=np.array([plain.START_S]))
    found = reference.forecast(change_model.spec, change_model.scaler, change_model.weights, falling)
    assert (found >= 0).all()


def test_a_row_that_is_not_finite_gives_nan_in_that_row_only(change_model: plain.PlainModel) -> None:
    windows = change_model.windows.take(slice(6))
    model = (change_model.spec, change_model.scaler, change_model.weights)
    clean = reference.forecast(*model, windows)
    for row, (step, value) in enumerate([(0, np.nan), (72, np.inf), (30, -np.inf), (40, -1.0), (40, -3.0)]):
        broken = windows.values.copy()
        broken[row, step, 0] = value
        found = reference.forecast(*model, windows.changed(broken))
        assert np.isnan(found[row]).all()
        np.testing.assert_array_equal(np.delete(found, row, 0), np.delete(clean, row, 0))


@pytest.mark.parametrize("time", [plain.START_S * 1000, YEAR_1 - 1, YEAR_10000, 2**62, -(2**63)])
def test_a_time_beyond_the_calendar_gives_nan_in_that_row_only(change_model: plain.PlainModel, time: int) -> None:
    windows = change_model.windows.take(slice(4))
    model = (change_model.spec, change_model.scaler, change_model.weights)
    clean, times = reference.forecast(*model, windows), windows.time.copy()
    times[2] = time
    found = reference.forecast(*model, replace(windows, time=times))
    assert np.isnan(found[2]).all()
    np.testing.assert_array_equal(np.delete(found, 2, 0), np.delete(clean, 2, 0))


def test_windows_of_any_float_are_computed_in_float64(level_model: plain.PlainModel) -> None:
    model = (level_model.spec, level_model.scaler, level_model.weights)
    single = reference.forecast(*model, level_model.windows)
    double = reference.forecast(*model, level_model.windows.changed(level_model.windows.values.astype(np.float64)))
    assert single.dtype == np.float64
    np.testing.assert_array_equal(single, double)  # float32 values are float64 values


def test_float32_columns_are_computed_in_float32(level_model: plain.PlainModel) -> None:
    spec, scaler, network = level_model.spec, level_model.scaler, level_model.spec.network
    single = reference.through(spec, scaler, lambda x: run(network, level_model.weights, x), level_model.windows.values)
    assert single.dtype == np.float32
    double = reference.forecast(spec, scaler, level_model.weights, level_model.windows)
    # float32 rounding over 50 steps, in the order of sums of any processor: 2.2e-6 has been seen
    np.testing.assert_allclose(single, double, rtol=0, atol=5e-6 * level_model.scaler.range)


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
    windows = directory.heldout.windows
    scaled = scaler.transform(complete(spec, windows.changed(windows.values.astype(np.float64))))
    inputs = reference.channels(spec, scaled)
    outputs = np.asarray(network(inputs.astype(np.float32)))
    ours = run(spec.network, directory.weights, inputs)
    np.testing.assert_allclose(outputs, ours, rtol=0, atol=KERAS_ROUNDING * max(1.0, float(np.abs(ours).max())))


def test_many_windows_are_forecast_part_by_part(
    change_model: plain.PlainModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand windows at once would take a gigabyte."""
    model = change_model.spec, change_model.scaler, change_model.weights
    whole = reference.forecast(*model, change_model.windows)
    seen = []
    monkeypatch.setattr(reference, "TOGETHER", 7)
    through = reference.through
    monkeypatch.setattr(reference, "through", lambda *given: seen.append(len(given[3])) or through(*given))
    parts = reference.forecast(*model, change_model.windows)
    assert max(seen) == 7
    assert sum(seen) == len(whole)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)
