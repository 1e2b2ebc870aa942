"""Many windows in one call: one bad among them, more than memory should hold, and values that training never saw."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require
from helpers.logs import many
from pulsecast import POOL, Forecaster, RangeWarning, Windows, load
from pulsecast.backends import BACKENDS, chunks
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import DtypeError, NonFiniteError, TimeError, UsageError, WindowLengthError
from pulsecast.model.ranges import training_range
from pulsecast.model.series import POOL_ROW

SIGNED = Path(__file__).parents[2] / "data" / "golden_v2.pulse"
START = plain.START_S


@pytest.fixture(scope="module")
def level(plain_bundle: Path) -> Forecaster:
    return load(plain_bundle, backend="numpy")


@pytest.fixture(scope="module")
def calendar(calendar_bundle: Path) -> Forecaster:
    return load(calendar_bundle, backend="numpy")


def windows(model: Forecaster, count: int) -> np.ndarray:
    """Return windows (count, context, 1) of the series that the model was made of."""
    context = model.manifest.spec.context
    starts = np.arange(count) % (plain.STEPS - context)
    return plain.series()[starts[:, np.newaxis] + np.arange(context), np.newaxis].astype(np.float32)


# --- one bad window --------------------------------------------------------------------------------------------------

DEFECTS: dict[str, Callable[[np.ndarray], Any]] = {
    "NaN": lambda values: _changed(values, np.nan),
    "infinity": lambda values: _changed(values, -np.inf),
    "beyond float32": lambda values: _changed(values.astype(np.float64), 1e300),
    "masked": lambda values: np.ma.array(values, mask=_changed(np.zeros(values.shape), 1.0)),
    "masked integers": lambda values: np.ma.array(values.astype(int), mask=_changed(np.zeros(values.shape), 1.0)),
    "masked in a list": lambda values: [
        np.ma.array(one, mask=one * 0 + (number == 7)) for number, one in enumerate(values)
    ],
    "the masked constant": lambda values: [
        [np.ma.masked if number == 7 else float(value) for value in one] for number, one in enumerate(values[..., 0])
    ],
}


def _changed(values: np.ndarray, value: float) -> np.ndarray:
    values = values.copy()
    values[7, 20, 0] = value
    return values


@pytest.mark.parametrize("name", DEFECTS)
def test_a_bad_window_does_not_refuse_the_others_if_asked(level: Forecaster, name: str) -> None:
    values = windows(level, 40)
    given = DEFECTS[name](values)
    found, expected = level.predict(given, bad="nan"), level.predict(values)
    others = np.arange(40) != 7
    assert np.isnan(found[7]).all()
    assert np.array_equal(found[others], expected[others])
    with pytest.raises(NonFiniteError):
        level.predict(given)


def test_a_window_outside_the_scaler_s_domain_is_nan_and_so_are_its_bounds(calendar: Forecaster) -> None:
    values, time = windows(calendar, 30), np.full(30, START)
    values[3] = -5.0  # below -1 a logarithm has no value
    found = calendar.predict(values, timestamps=time, interval=0.9, bad="nan")
    assert [np.flatnonzero(np.isnan(part).any(axis=1)).tolist() for part in found] == [[3]] * 3
    values[3] = values[4]
    assert np.array_equal(found.upper[4:], calendar.predict(values, timestamps=time, interval=0.9).upper[4:])
    with pytest.raises(UsageError, match=r"^bad is 'NaN'; expected raise or nan$"):
        calendar.predict(values, timestamps=time, bad="NaN")  # type: ignore[call-overload]


def test_a_window_whose_time_is_refused_is_nan_too(calendar: Forecaster) -> None:
    values = windows(calendar, 6)
    steps = START + 3600 * np.arange(calendar.manifest.spec.context) + 3600 * np.arange(6)[:, np.newaxis]
    expected = calendar.predict(values, timestamps=steps)
    uneven, milliseconds = steps.copy(), steps[:, -1] * np.array([1, 1, 1000, 1, 1, 1])
    uneven[2, 5] += 60
    missing = steps[:, -1].astype("datetime64[s]")
    missing[2] = np.datetime64("NaT")
    for given in (
        uneven,
        milliseconds,
        missing,
        np.ma.array(steps, mask=np.arange(6)[:, np.newaxis] == 2 * (steps > 0)),
    ):
        with pytest.raises((TimeError, DtypeError)):
            calendar.predict(values, timestamps=given)
        found = calendar.predict(values, timestamps=given, bad="nan")
        assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [2]
        assert np.array_equal(np.delete(found, 2, axis=0), np.delete(expected, 2, axis=0))
    assert np.isnan(calendar.predict(values[0], timestamps=np.datetime64("NaT"), bad="nan")).all()
    for given in (steps[:5, -1], steps[:, :40]):  # whose times they are is not known
        with pytest.raises(WindowLengthError):
            calendar.predict(values, timestamps=given, bad="nan")
    with pytest.raises(TimeError, match="the time is missing"):
        calendar.predict(values, bad="nan")


# --- more windows than one call holds --------------------------------------------------------------------------------


@pytest.mark.parametrize("artifact", ["numpy", "onnx-w8", "tflite-w8"])
def test_many_windows_are_computed_in_parts_and_are_the_same_numbers(
    artifact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(*filter(None, [BACKENDS[artifact.partition("-")[0]].package]))
    model = load(SIGNED, artifact=artifact)
    golden = Bundle.open(SIGNED).golden().windows
    given = golden.take([row % len(golden) for row in range(150)])
    expected = model.predict(given)
    monkeypatch.setattr(model, "_at_once", 64)
    sizes = []
    predict = model.backend.predict
    monkeypatch.setattr(model, "_backend_predict", lambda *parts: (sizes.append(len(parts[0])), predict(*parts))[1])
    found = model.predict(given)
    assert sizes == [64, 64, 22]
    # one rounding of float32: a sum in another order in each size of batch
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * model.manifest.scaler.range)


def test_parts_of_several_series_keep_their_rows(many_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, golden = load(many_bundle, backend="numpy"), Bundle.open(many_bundle).golden().windows
    expected = model.predict(golden)
    monkeypatch.setattr(model, "_at_once", 7)
    np.testing.assert_allclose(model.predict(golden), expected, rtol=1e-6)


def test_a_part_takes_as_much_memory_as_was_said() -> None:
    spec = plain.LEVEL_SPEC
    at_once = chunks.windows_at_once(spec)
    numbers = spec.context * 2 + spec.window * 6 * sum(spec.units)
    assert at_once % 32 == 0
    assert 0.9 * chunks.CHUNK_BYTES < at_once * 8 * numbers <= chunks.CHUNK_BYTES


def test_the_streams_of_one_push_are_computed_in_parts_too(level: Forecaster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "windows_at_once", lambda spec: 4)
    values = windows(level, 10)
    stream = level.stream(10)
    for step in range(50):
        found = stream.push(values[:, step])
    np.testing.assert_allclose(found, level.predict(values), rtol=1e-6)


# --- values that training never saw ----------------------------------------------------------------------------------


def warned(model: Forecaster, values: object, **options: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.predict(values, **options)
    assert all(one.category is RangeWarning and one.filename == __file__ for one in found)
    return [str(one.message) for one in found]


UNUSUAL = {"in thousands": (1000.0, "1e5"), "as a share of the range": (0.001, "1e-1"), "negative": (-9.0, "1e3")}


@pytest.mark.parametrize("name", UNUSUAL)
def test_windows_in_other_units_are_told_of(level: Forecaster, name: str) -> None:
    factor, power = UNUSUAL[name]
    values = windows(level, 1)
    assert warned(level, values) == []
    assert level.outside(values).tolist() == [False]
    (said,) = warned(level, factor * values)
    assert said == (
        "column 'value' lies far outside what training saw: "
        f"117 to 419, and now values of the order of {power}; do not trust such a forecast. "
        "Forecaster.outside(values) says which windows"
    )
    assert level.outside(factor * values).tolist() == level.outside(-values).tolist() == [True]


@pytest.mark.parametrize("count", [3, 64, 200])
def test_one_window_in_thousands_among_others_is_told_of(level: Forecaster, count: int) -> None:
    values = windows(level, count)
    assert warned(level, values) == []
    values[2] *= 1000
    assert len(warned(level, values)) == 1
    assert np.flatnonzero(level.outside(values)).tolist() == [2]


def test_a_lone_burst_of_less_than_the_range_is_not_far_outside(level: Forecaster) -> None:
    values = windows(level, 2)
    values[0, 20] = 419 + 300
    assert level.outside(values).tolist() == [False, False]
    values[0, 20] = 419 + 303
    assert level.outside(values).tolist() == [True, False]
    assert level.outside(Windows(values=values)).tolist() == [True, False]


def test_the_same_words_are_said_once_and_may_be_an_error(level: Forecaster) -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        for factor in (1000, 1001, 1002):
            level.predict(factor * windows(level, 1))
    assert len(found) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", RangeWarning)
        with pytest.raises(RangeWarning, match="far outside what training saw"):
            level.predict(1000 * windows(level, 1))


def test_each_series_has_a_range_of_its_own_and_the_pool_has_none(many_bundle: Path) -> None:
    model = load(many_bundle, backend="numpy")
    spec = model.manifest.spec
    assert model.series is not None
    found = training_range(spec, model.manifest.scaler, model.series)
    for row, name in enumerate(many.SIZES, 1):
        raw = many.values_of(name)[: plain.TRAINING_STEPS]
        assert found.low[row, 0] <= raw.min() <= raw.max() <= found.high[row, 0]  # the true range lies inside
        assert found.high[row, 0] - found.low[row, 0] <= 2.01 * (raw.max() - raw.min())
    assert (found.low[POOL_ROW, 0], found.high[POOL_ROW, 0]) == (-np.inf, np.inf)
    values = many.values_of("large")[: spec.context].astype(np.float32)
    time = {"timestamps": START}
    assert warned(model, values, series="large", **time) == []
    assert warned(model, values, series=POOL, **time) == []
    (said,) = warned(model, values, series="small", **time)
    assert said.startswith("column 'value' of series 'small' lies far outside what training saw: ")
    assert model.outside([values] * 3, series=["large", "small", POOL]).tolist() == [False, True, False]


def test_a_window_that_is_not_finite_is_not_called_far_outside(level: Forecaster) -> None:
    values = windows(level, 3)
    values[0, 3], values[1, 3] = np.nan, np.inf
    assert warned(level, values, bad="nan") == []
    assert level.outside(values).tolist() == [False, False, False]
