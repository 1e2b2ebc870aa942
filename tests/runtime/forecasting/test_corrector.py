"""Streams that adapt: what they learn, that it does no harm, and that a state goes on exactly where it was."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from helpers import engines, plain
from helpers.native_models import directory
from helpers.series_models import with_table, write_bundle
from pulsecast import POOL, Forecaster, Stream, load, step
from pulsecast.errors import FormatError, UsageError
from pulsecast.forecasting.corrector import (
    INPUTS,
    KEPT,
    PRIOR,
    REMEMBERED,
    Corrector,
    Correctors,
    replayed,
    season_of,
)
from pulsecast.forecasting.stream_state import read_state, write_state
from pulsecast.model.spec import DAY_S, ModelSpec

SPEC, SCALE = plain.CHANGE_SPEC, plain.make_model(plain.CHANGE_SPEC).scaler.features[0]
FRAME = (SCALE.offset, SCALE.scale)


def time_of(n: int) -> int:
    return plain.START_S + plain.STEP_S * n


def run(spec: ModelSpec, values: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return the corrected forecasts (steps, horizon) made after each of `values`, where `exact` are the given ones."""
    corrector, found = Corrector(spec, SCALE), []
    for n, (value, forecast) in enumerate(zip(values, exact, strict=True)):
        corrector.observe(float(value))
        found.append(corrector.correct(forecast, time_of(n), FRAME))
    return np.array(found)


def noisy(steps: int = 900, seed: int = 5) -> np.ndarray:
    return np.round(plain.series()[np.arange(steps) % 900] * np.exp(np.random.default_rng(seed).normal(0, 0.05, steps)))


def mean_error(forecasts: np.ndarray, values: np.ndarray, after: int) -> float:
    return float(np.abs(forecasts[after:-1, 0] - values[after + 1 :]).mean())


def test_the_formula_of_the_format_gives_the_same_corrections():
    spec = dataclasses.replace(SPEC, horizon=1)
    values = noisy(120)
    exact = values[:, np.newaxis] * 1.3
    found = run(spec, values, exact)
    z = (np.log1p(values) - SCALE.offset) / SCALE.scale
    gram, moment, theta = np.zeros((INPUTS, INPUTS)), np.zeros(INPUTS), np.zeros(INPUTS)
    errors, losses, usual, waiting = [], np.zeros(2), 0.0, None
    for n in range(len(values)):
        if waiting is not None:
            x, f, last, guess = waiting
            u = z[n] - last - f
            e = u - x @ theta
            errors.append(abs(e))
            usual = np.median(errors[-REMEMBERED:])
            w = min(1.0, 1.5 * usual / abs(e))
            gram, moment = KEPT * gram + w * np.outer(x, x), KEPT * moment + w * u * x
            losses = KEPT * losses + np.abs([exact[n - 1, 0] - values[n], guess - values[n]])
            theta = np.linalg.inv(gram + PRIOR * np.eye(INPUTS)) @ moment
        if n < 23:
            np.testing.assert_array_equal(found[n], exact[n])
            continue
        f = (np.log1p(exact[n, 0]) - SCALE.offset) / SCALE.scale - z[n]
        m, t = z[n - 23 : n + 1].mean(), time_of(n + 1)
        a = 2 * np.pi * (t % DAY_S) / DAY_S
        weekend = (t // DAY_S + 3) % 7 >= 5
        x = np.array([
            0.5, f, 0.3 * m, 0.3 * (z[n] - m), 0.5 * np.sin(a), 0.5 * np.cos(a), 0.5 * np.sin(2 * a),
            0.5 * np.cos(2 * a), 0.5 * weekend, 0.5 * (z[n] - z[n - 1]), 0.3 * (z[n - 23] - z[n]),
            0.5 * (z[n - 1] - z[n - 2]),
        ])  # fmt: skip
        move = np.clip(x @ theta, -3 * usual, 3 * usual)
        guess = max(np.expm1((z[n] + f + move) * SCALE.scale + SCALE.offset), 0.0)
        waiting = (x, f, z[n], guess)
        np.testing.assert_allclose(found[n, 0], guess if losses[1] < 0.99 * losses[0] else exact[n, 0], rtol=1e-9)
    assert (found[60:, 0] != exact[60:, 0]).all()


def test_forecasts_that_are_always_too_high_are_corrected():
    values = noisy()
    exact = np.repeat(values[:, np.newaxis], 2, axis=1) * 1.2
    found = run(SPEC, values, exact)
    assert mean_error(found, values, 200) < 0.75 * mean_error(exact, values, 200)


def test_forecasts_that_cannot_be_bettered_are_hardly_touched():
    random = np.random.default_rng(8)
    values = np.round(np.exp(random.normal(5, 0.3, 1200)))  # nothing to be known of the next one
    exact = np.full((1200, 2), np.exp(5.0))
    found = run(SPEC, values, exact)
    assert mean_error(found, values, 100) < 1.01 * mean_error(exact, values, 100)


@pytest.mark.parametrize("fault", ["burst", "outage", "constant", "gap"])
def test_bad_days_leave_later_corrections_no_worse_than_none(fault):
    values = noisy(2000)
    if fault == "burst":
        values[400:404] *= 1000
    elif fault == "outage":
        values[400:700] = 0
    elif fault == "constant":
        values[400:900] = 100
    else:
        values[400:420] = np.nan
    exact = np.repeat(np.where(np.isnan(values), np.nan, values)[:, np.newaxis], 2, axis=1)
    found = run(SPEC, values, exact)
    known = np.isfinite(exact)
    assert (np.isfinite(found) <= known).all()
    after = 950
    assert mean_error(found, values, after) < 1.01 * mean_error(exact, values, after)
    assert np.nanmax(np.abs(np.log1p(found) - np.log1p(exact))) < 5  # bounded by the usual error


def test_ten_thousand_equal_steps_do_no_harm():
    values = np.concatenate([noisy(300), np.full(10_000, 7.0), noisy(300, seed=6)])
    exact = np.repeat(values[:, np.newaxis], 2, axis=1)
    found = run(SPEC, values, exact)
    assert np.isfinite(found[50:]).all()
    assert np.abs(found[5000:10_000] - 7).max() < 0.01


@pytest.mark.parametrize("size", [1e30, 3e38])
def test_extreme_numbers_leave_the_exact_forecast_and_no_harm(size):
    spec, scale = plain.LEVEL_SPEC, plain.make_model(plain.LEVEL_SPEC).scaler.features[0]
    corrector, values = Corrector(spec, scale), noisy(300)
    values[100:103] = size
    for n, value in enumerate(values):
        corrector.observe(float(value))
        found = corrector.correct(values[n : n + 1], None, (scale.offset, scale.scale))
        assert np.isfinite(found).all()
        if 100 <= n < 103:
            np.testing.assert_array_equal(found, [value])
    assert np.abs(found / values[-1] - 1).max() < 0.5


@pytest.fixture(scope="module")
def model(calendar_bundle: Path) -> Forecaster:
    return load(calendar_bundle, backend="numpy")


def test_exact_forecasts_stay_beside_adapted_ones(model: Forecaster):
    plainly, adapting = model.stream(), model.stream(adapt=True)
    assert plainly.adapted is None
    corrector = Corrector(model.manifest.spec, model.manifest.scaler.features[0])
    first = model.manifest.scaler.features[0]
    for n, value in enumerate(noisy(140)):
        exact = plainly.push(float(value), timestamp=time_of(n))
        np.testing.assert_array_equal(adapting.push(float(value), timestamp=time_of(n)), exact)
        corrector.observe(float(np.float32(value)))
        expected = corrector.correct(exact[0], time_of(n), (first.offset, first.scale))
        np.testing.assert_array_equal(adapting.adapted, expected[np.newaxis].astype(np.float32))
    assert np.isfinite(adapting.adapted).all()


def test_the_named_column_of_a_frame_is_learnt_from_wherever_it_stands(tmp_path: Path):
    pandas = engines.load("pandas")
    spec = dataclasses.replace(
        plain.LEVEL_SPEC,
        features=(*plain.LEVEL_SPEC.features, dataclasses.replace(plain.LEVEL_SPEC.features[0], name="other")),
        channels=(plain.LEVEL_SPEC.channels[0], dataclasses.replace(plain.LEVEL_SPEC.channels[0], feature=1)),
    )
    plain.write_bundle(tmp_path / "two", plain.make_model(spec))
    model = load(tmp_path / "two")
    arrays, frames = model.stream(adapt=True), model.stream(adapt=True)
    for value in noisy(140):
        arrays.push([value, 3.0])
        frames.push(pandas.DataFrame({"other": [3.0], "value": [value]}))
        np.testing.assert_array_equal(frames.adapted, arrays.adapted)
    assert frames.to_bytes() == arrays.to_bytes()


def test_a_replay_gives_what_a_stream_of_a_model_without_a_calendar_gave(plain_bundle: Path):
    model = load(plain_bundle)
    stream, values = model.stream(adapt=True), noisy(160)
    times = np.array([time_of(n) for n in range(len(values))])
    exact, expected = {}, {}
    for n, value in enumerate(values):
        made = stream.push(float(value), timestamp=int(times[n]))[0]
        if np.isfinite(made).all():
            exact[n + 1], expected[n + 1] = made, stream.adapted[0]  # type: ignore[index]
    correctors = Correctors(model.manifest.spec, model.manifest.scaler, None, 1)
    found = replayed(correctors, values[:, np.newaxis], times, exact)
    assert found.keys() == expected.keys()
    for n, forecast in found.items():
        np.testing.assert_array_equal(forecast.astype(np.float32), expected[n])


def test_a_state_goes_on_as_if_nothing_had_been(model: Forecaster):
    values = noisy(170)
    values[110] = np.nan
    whole = model.stream(adapt=True)
    parted = model.stream(adapt=True)
    for n, value in enumerate(values):
        whole.push(float(value), timestamp=time_of(n))
        if n % 9 == 0:
            parted = Stream.from_bytes(model, parted.to_bytes())
        parted.push(float(value), timestamp=time_of(n))
        np.testing.assert_array_equal(parted.adapted, whole.adapted)
        assert parted.to_bytes() == whole.to_bytes()
    assert len(whole.to_bytes()) < 2000


def test_a_restored_stream_still_has_its_last_adapted_forecast(model: Forecaster):
    stream = model.stream(adapt=True)
    for n, value in enumerate(noisy(120)):
        stream.push(float(value), timestamp=time_of(n))
    np.testing.assert_array_equal(Stream.from_bytes(model, stream.to_bytes()).adapted, stream.adapted)


def test_steps_give_what_a_stream_that_runs_on_gives(model: Forecaster):
    stream, state = model.stream(adapt=True), None
    for n, value in enumerate(noisy(130)):
        stream.push(float(value), timestamp=time_of(n))
        found = step(model, state, float(value), time_of(n), adapt=state is None)
        state = found.state
        np.testing.assert_array_equal(found.forecast.adapted, stream.adapted[0])  # type: ignore[index]
    forecast = found.forecast
    assert (forecast.adapted_lower <= forecast.adapted).all()
    assert (forecast.adapted <= forecast.adapted_upper).all()
    again = step(model, state, 1.0, time_of(129))
    assert (again.forecast.arrival, again.state) == ("repeated", state)
    np.testing.assert_array_equal(again.forecast.adapted, forecast.adapted)
    assert np.isnan(step(model, state, 1.0, time_of(100)).forecast.adapted).all()
    assert step(model, None, 1.0, time_of(0)).forecast.adapted is None


def test_a_state_that_did_not_adapt_may_begin_to(model: Forecaster):
    stream = model.stream()
    for n, value in enumerate(noisy(100)):
        stream.push(float(value), timestamp=time_of(n))
    assert Stream.from_bytes(model, stream.to_bytes()).adapted is None
    begun = Stream.from_bytes(model, stream.to_bytes(), adapt=True)
    for n, value in enumerate(noisy(60), 100):
        begun.push(float(value), timestamp=time_of(n))
    assert np.isfinite(begun.adapted).all()


@pytest.mark.parametrize("change", [{"losses": np.array([-1.0, 0])}, {"gram": np.full(78, np.nan)}])
def test_a_state_of_numbers_that_nobody_learnt_is_refused(model: Forecaster, change):
    state = model.stream(adapt=True).state()
    (learnt,) = state.learnt  # type: ignore[misc]
    wrong = dataclasses.replace(state, learnt=(dataclasses.replace(learnt, **change),))
    with pytest.raises(FormatError, match="no corrector has learnt"):
        read_state(write_state(wrong))


def test_another_models_errors_are_forgotten(model: Forecaster, calendar_bundle: Path):
    stream = model.stream(adapt=True)
    for n, value in enumerate(noisy(130)):
        stream.push(float(value), timestamp=time_of(n))
    other = dataclasses.replace(stream.state(), digest="ab" * 32)
    with pytest.raises(UsageError, match="another model"):
        Stream.of_state(model, other)
    carried = Stream.of_state(model, other, carry_over=True)
    assert carried.state().learnt[0].losses.tolist() == [0.0, 0.0]  # type: ignore[index]


def test_series_of_a_pool_learn_each_for_itself(tmp_path: Path):
    write_bundle(tmp_path / "several", with_table(directory(plain.make_model(plain.CHANGE_SPEC)), ("a", "b")))
    model = load(tmp_path / "several")
    together = model.stream(series=["a", POOL], adapt=True)
    apart = [model.stream(series=name, adapt=True) for name in ("a", POOL)]
    for n, value in enumerate(noisy(140)):
        rows = np.array([[value], [value * 2 + 1]], np.float32)
        together.push(rows, timestamp=time_of(n))
        for row, one in zip(rows, apart, strict=True):
            one.push(row, timestamp=time_of(n))
        for i, one in enumerate(apart):
            np.testing.assert_allclose(together.adapted[i], one.adapted[0], rtol=1e-6)  # type: ignore[index]
    assert Stream.from_bytes(model, together.to_bytes()).to_bytes() == together.to_bytes()


def test_a_season_is_that_of_the_model_and_fits_its_window():
    assert season_of(SPEC) == 24
    assert season_of(plain.LEVEL_SPEC) == 24
    assert season_of(dataclasses.replace(plain.LEVEL_SPEC, window=10)) == 9
