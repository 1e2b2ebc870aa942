"""What `Forecaster.predict` takes, what it refuses, and that each form of a window gives the same forecast."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import plain
from helpers.native_models import directory, loaded_native
from helpers.series_models import with_table
from pulsecast import Forecaster, Windows, load
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import (
    DtypeError,
    EmptyInputError,
    FeatureCountError,
    InputError,
    NonFiniteError,
    PulsecastError,
    TimeError,
    UsageError,
    WindowLengthError,
)

# ----------------------------------------------------------------------------------------------- one error per defect


@pytest.fixture(scope="module")
def level(plain_bundle: Path) -> Forecaster:
    return load(plain_bundle, backend="numpy")


@pytest.fixture(scope="module")
def calendar(calendar_bundle: Path) -> Forecaster:
    return load(calendar_bundle, backend="numpy")


@pytest.fixture(scope="module")
def native(change_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forecaster]:
    """The model of `calendar`, compiled."""
    with loaded_native(change_model, tmp_path_factory.mktemp("native")) as found:
        yield found


def ones(*shape: int) -> np.ndarray:
    return np.full(shape, 300.0, np.float32)


def masked(values: np.ndarray) -> np.ndarray:
    """Return `values` with their last cell masked."""
    mask = np.zeros(values.shape, bool)
    mask.reshape(-1)[-1] = True
    return np.ma.array(values, mask=mask)


def broken(value: float) -> np.ndarray:
    values = ones(3, 50, 1)
    values[1, 49, 0] = value
    return values


BAD_VALUES: dict[str, tuple[Callable[[], Any], type[PulsecastError], str]] = {
    "a step too few": (lambda: ones(2, 49, 1), WindowLengthError, "windows have 49 steps; this model takes 50"),
    "a step too many": (lambda: ones(2, 51, 1), WindowLengthError, "windows have 51 steps; this model takes 50"),
    "a flat window of 49": (lambda: ones(49), WindowLengthError, "windows have 49 steps"),
    "flat windows of 51": (lambda: ones(4, 51), WindowLengthError, "windows have 51 steps"),
    "a feature too many": (lambda: ones(2, 50, 2), FeatureCountError, "steps have 2 features; this model takes 1"),
    "four axes": (lambda: ones(1, 2, 50, 1), FeatureCountError, r"shape \(1, 2, 50, 1\); this model takes"),
    "a lone number": (lambda: 3.0, FeatureCountError, r"shape \(\)"),
    "objects": (lambda: ones(2, 50, 1).astype(object), DtypeError, "values are object; expected real numbers"),
    "a missing value as None": (lambda: [[None] * 50], DtypeError, "values are object"),
    "complex numbers": (lambda: ones(2, 50, 1).astype(complex), DtypeError, "values are complex128"),
    "booleans": (lambda: ones(2, 50, 1) > 0, DtypeError, "values are bool"),
    "strings": (lambda: np.full((2, 50, 1), "7"), DtypeError, "values are <U1"),
    "bytes": (lambda: np.full((2, 50, 1), b"7"), DtypeError, r"values are \|S1"),
    "times": (lambda: np.full((2, 50, 1), np.datetime64("2026-01-01")), DtypeError, "values are datetime64"),
    "ragged windows": (lambda: [[1.0] * 50, [1.0] * 49], DtypeError, "values are ragged"),
    "no windows": (lambda: ones(0, 50, 1), EmptyInputError, r"values are empty \(shape \(0, 50, 1\)\)"),
    "windows without steps": (lambda: ones(2, 0, 1), EmptyInputError, "values are empty"),
    "an empty list": (list, EmptyInputError, "values are empty"),
    "NaN": (lambda: broken(np.nan), NonFiniteError, "1 values are NaN or infinite .* window 1, step 49, feature 0"),
    "infinity": (lambda: broken(np.inf), NonFiniteError, "1 values are NaN or infinite"),
    "minus infinity": (lambda: broken(-np.inf), NonFiniteError, "1 values are NaN or infinite"),
    "masked cells": (lambda: masked(ones(2, 50, 1)), NonFiniteError, "values have masked cells"),
    "the masked constant": (lambda: np.ma.masked, NonFiniteError, "values have masked cells"),
    "the masked constant in a list": (lambda: [1.0] * 49 + [np.ma.masked], NonFiniteError, "values have masked cells"),
    "masked cells deep in lists": (lambda: [[1.0] * 49 + [np.ma.masked]], NonFiniteError, "values have masked cells"),
    "masked steps of a window": (lambda: [[masked(ones(1))] * 50], NonFiniteError, "values have masked cells"),
    "masked integers": (lambda: masked(ones(2, 50, 1).astype(int)), NonFiniteError, "values have masked cells"),
    "more than float32 holds": (
        lambda: broken(0.0).astype(np.float64) + 1e39,
        NonFiniteError,
        "150 values are NaN or infinite in float32",
    ),
}


@pytest.mark.parametrize(("make", "error", "sentence"), BAD_VALUES.values(), ids=BAD_VALUES.keys())
def test_each_defect_of_the_values_has_its_own_error(
    level: Forecaster, make: Callable[[], Any], error: type[PulsecastError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence) as raised:
        level.predict(make())
    assert type(raised.value) is error
    assert isinstance(raised.value, InputError)
    assert isinstance(raised.value, ValueError)


def test_a_refused_dtype_is_a_type_error_too(level: Forecaster) -> None:
    with pytest.raises(TypeError):
        level.predict(["a"] * 50)


def test_a_model_with_a_calendar_asks_for_the_time(calendar: Forecaster) -> None:
    with pytest.raises(TimeError, match=r"has a calendar and the time is missing: pass timestamps, the unix seconds"):
        calendar.predict(ones(2, 73, 1))


def test_calendar_columns_of_the_apps_own_are_refused(calendar: Forecaster) -> None:
    with pytest.raises(FeatureCountError, match=r"takes 1 .*; its 3 calendar columns are computed from timestamps"):
        calendar.predict(ones(2, 73, 4))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [-1.0, -5.0])
def test_a_value_without_a_logarithm_is_refused_not_forecast(calendar: Forecaster, value: float) -> None:
    values = ones(3, 73)
    values[2, 40] = value
    with pytest.raises(NonFiniteError, match="1 windows have no finite forecast, first window 2: its values lie out"):
        calendar.predict(values, timestamps=stamps(3, 73))


def test_values_so_large_that_their_square_overflows_are_not_taken_for_infinite(level: Forecaster) -> None:
    assert np.isfinite(level.predict(np.full((1, 50, 1), 1e25, np.float32))).all()


def test_threads_below_one_are_refused(plain_bundle: Path) -> None:
    with pytest.raises(UsageError, match="threads is 0; expected at least 1"):
        load(plain_bundle, threads=0)


# ---------------------------------------------------------------------------------------------- every documented form


def windows_of(model: plain.PlainModel, count: int = 5) -> np.ndarray:
    return model.windows.values[:count].copy()


def read_only(values: np.ndarray) -> np.ndarray:
    values.setflags(write=False)
    return values


ACCEPTED: dict[str, Callable[[np.ndarray], Any]] = {
    "float64": lambda w: w.astype(np.float64),
    "int64": lambda w: w.astype(np.int64),  # the series is in counts, so nothing is rounded
    "uint16": lambda w: w.astype(np.uint16),
    "big-endian float32": lambda w: w.astype(">f4"),
    "nested lists": lambda w: w.tolist(),
    "without the feature axis": lambda w: w[:, :, 0],
    "every second row of a larger array": lambda w: np.repeat(w, 2, axis=0)[::2],
    "Fortran order": np.asfortranarray,
    "read-only": read_only,
}


@pytest.mark.parametrize("convert", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_the_same_windows_in_another_form_give_the_same_forecasts(
    level: Forecaster, level_model: plain.PlainModel, convert: Callable[[np.ndarray], Any]
) -> None:
    windows = windows_of(level_model)
    forecasts = level.predict(windows)
    assert forecasts.shape == (5, 1)
    assert forecasts.dtype == np.float32
    np.testing.assert_array_equal(level.predict(convert(windows)), forecasts)


@pytest.mark.parametrize("shape", [(1, 50, 1), (50, 1), (1, 50), (50,)])
def test_one_window_may_drop_its_batch_and_feature_axes(
    level: Forecaster, level_model: plain.PlainModel, shape: tuple[int, ...]
) -> None:
    window = windows_of(level_model, 1)
    np.testing.assert_array_equal(level.predict(window.reshape(shape)), level.predict(window))


def test_one_window_with_a_time_may_drop_its_batch_axis(calendar: Forecaster, change_model: plain.PlainModel) -> None:
    window, time = change_model.windows.values[:1], change_model.windows.time[:1]
    forecasts = calendar.predict(window, timestamps=time)
    assert forecasts.shape == (1, 2)
    np.testing.assert_array_equal(calendar.predict(window[0], timestamps=time[0]), forecasts)


def test_the_values_passed_are_left_as_they_were(level: Forecaster, level_model: plain.PlainModel) -> None:
    windows = windows_of(level_model)
    before = windows.copy()
    level.predict(windows)
    level.predict(windows.astype(np.float64))
    np.testing.assert_array_equal(windows, before)


# ----------------------------------------------------------------------------------------------------- timestamps


def stamps(batch: int, steps: int, *, start: int = plain.START_S) -> np.ndarray:
    """Unix seconds (batch, steps): window i starts i steps after `start`."""
    return start + plain.STEP_S * (np.arange(batch)[:, np.newaxis] + np.arange(steps))


def test_the_time_of_the_last_step_says_what_those_of_all_steps_say(
    calendar: Forecaster, change_model: plain.PlainModel
) -> None:
    measured, seconds = change_model.windows.values[:5], stamps(5, 73)
    expected = calendar.predict(measured, timestamps=seconds)
    np.testing.assert_array_equal(calendar.predict(measured, timestamps=seconds[:, -1]), expected)
    np.testing.assert_array_equal(calendar.predict(measured[:1], timestamps=int(seconds[0, -1])), expected[:1])
    assert not np.array_equal(calendar.predict(measured, timestamps=seconds[:, -1] + 7 * 3600), expected)


def test_windows_that_have_their_times_are_taken_as_they_are(
    calendar: Forecaster, change_model: plain.PlainModel
) -> None:
    windows = change_model.windows.take(slice(6))
    expected = calendar.predict(windows.values, timestamps=windows.time)
    np.testing.assert_array_equal(calendar.predict(windows), expected)
    with pytest.raises(UsageError, match="the windows have their times; leave timestamps out"):
        calendar.predict(windows, timestamps=windows.time)


FORMS = {
    "datetime64 in nanoseconds": lambda s: s.astype("datetime64[s]").astype("datetime64[ns]"),
    "float seconds": lambda s: s.astype(np.float64),
    "a list": lambda s: s.tolist(),
}


@pytest.mark.parametrize("convert", FORMS.values(), ids=FORMS.keys())
def test_timestamps_may_be_datetimes_or_numbers(
    calendar: Forecaster, change_model: plain.PlainModel, convert: Callable[[np.ndarray], Any]
) -> None:
    measured, seconds = change_model.windows.values[:2], stamps(2, 73)
    expected = calendar.predict(measured, timestamps=seconds)
    np.testing.assert_array_equal(calendar.predict(measured, timestamps=convert(seconds)), expected)


STRIDED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "a column": lambda t: np.stack([np.full_like(t, 7), t], axis=1)[:, 1],
    "backwards": lambda t: np.ascontiguousarray(t[::-1])[::-1],
    "every third": lambda t: np.repeat(t, 3)[::3],
    "one for all": lambda t: np.broadcast_to(t[0], t.shape),
    "read-only": lambda t: read_only(t.copy()),
}


def strided_alike(model: Forecaster, windows: Windows, convert: Callable[[np.ndarray], np.ndarray]) -> None:
    """Assert that values and times that lie apart in memory give the forecasts of those that lie together."""
    time = convert(windows.time)
    expected = model.predict(windows.values, timestamps=np.ascontiguousarray(time))
    np.testing.assert_array_equal(model.predict(windows.values, timestamps=time), expected)
    np.testing.assert_array_equal(model.predict(Windows(values=windows.values, time=time)), expected)
    apart = np.repeat(windows.values, 2, axis=0)[::2]
    np.testing.assert_array_equal(model.predict(apart, timestamps=time), expected)
    np.testing.assert_array_equal(model.predict(apart, timestamps=time, interval=0.9).forecast, expected)


@pytest.mark.parametrize("name", ["calendar", "native"])
@pytest.mark.parametrize("convert", STRIDED.values(), ids=STRIDED.keys())
def test_times_may_lie_apart_in_memory(
    request: pytest.FixtureRequest, change_model: plain.PlainModel, name: str, convert: Callable[[np.ndarray], Any]
) -> None:
    strided_alike(request.getfixturevalue(name), change_model.windows.take(slice(40)), convert)


@pytest.mark.slow
def test_times_may_lie_apart_in_memory_on_every_engine(recommended_bundle: Path) -> None:
    bundle = Bundle.open(recommended_bundle)
    windows = bundle.golden().windows.take(slice(8))
    for artifact in bundle.manifest.artifacts:
        model = load(recommended_bundle, artifact=artifact.id)
        for convert in STRIDED.values():
            strided_alike(model, windows, convert)


def test_windows_of_several_series_have_a_row_each(calendar: Forecaster, change_model: plain.PlainModel) -> None:
    table = with_table(directory(change_model), ("a", "b")).table
    model = Forecaster(calendar.manifest, calendar.artifact, calendar.backend, series=table)
    windows = change_model.windows.take(slice(3))
    for rows in (np.ones(2, np.int64), np.ones((3, 1), np.int64), np.int64(1)):
        with pytest.raises(UsageError, match=r"series of the windows is int64\(.*\); expected whole numbers \(3,\)"):
            model.predict(Windows(values=windows.values, time=windows.time, series=rows))
    hidden = np.ma.array(np.ones(3, np.int64), mask=[False, True, False])
    with pytest.raises(UsageError, match="series of the windows has masked cells"):
        model.predict(Windows(values=windows.values, time=windows.time, series=hidden))


def test_one_window_takes_flat_timestamps(calendar: Forecaster, change_model: plain.PlainModel) -> None:
    measured, seconds = change_model.windows.values[0, :, 0], stamps(1, 73)
    expected = calendar.predict(measured[np.newaxis], timestamps=seconds)
    np.testing.assert_array_equal(calendar.predict(measured, timestamps=seconds[0]), expected)


def test_timestamps_of_a_model_without_calendar_change_nothing(
    level: Forecaster, level_model: plain.PlainModel
) -> None:
    windows = windows_of(level_model, 2)
    np.testing.assert_array_equal(level.predict(windows, timestamps=stamps(2, 50)), level.predict(windows))


def with_gap() -> np.ndarray:
    seconds = stamps(2, 73)
    seconds[1, 10:] += plain.STEP_S
    return seconds


BAD_TIMESTAMPS: dict[str, tuple[Callable[[], Any], type[PulsecastError], str]] = {
    "a missing step": (with_gap, TimeError, "window 1: step 10 comes 7200 s after step 9; .* every 3600 s"),
    "milliseconds": (
        lambda: stamps(2, 73) * 1000,
        TimeError,
        "beyond the years 1 to 9999; .* divide milliseconds by 1,000",
    ),
    "milliseconds of the last steps": (
        lambda: stamps(2, 73)[:, -1] * 1000,
        TimeError,
        "beyond the years 1 to 9999; .* divide milliseconds by 1,000",
    ),
    "backwards": (lambda: stamps(2, 73)[:, ::-1], TimeError, "comes -3600 s after"),
    "too few": (lambda: stamps(2, 72), WindowLengthError, r"shape \(2, 72\); expected \(2,\), the last step of each"),
    "one time for two windows": (lambda: stamps(1, 73)[0, -1], WindowLengthError, r"shape \(\); expected \(2,\)"),
    "one row for two windows": (lambda: stamps(1, 73), WindowLengthError, r"shape \(1, 73\)"),
    "text": (lambda: np.full((2, 73), "2026-01-01"), DtypeError, "timestamps are <U10; expected datetime64"),
    "NaT": (lambda: np.full((2, 73), np.datetime64("NaT", "s")), DtypeError, "timestamps hold NaT"),
    "NaN": (lambda: np.full((2, 73), np.nan), DtypeError, "timestamps are not all finite"),
    "booleans": (lambda: np.ones((2, 73), bool), DtypeError, "timestamps are bool"),
    "masked cells": (lambda: masked(stamps(2, 73)), TimeError, "timestamps have masked cells"),
    "masked times of the last steps": (lambda: masked(stamps(2, 73)[:, -1]), TimeError, "timestamps have masked cells"),
    "masked dates": (lambda: masked(stamps(2, 73).astype("datetime64[s]")), TimeError, "timestamps have masked cells"),
}


def test_an_array_whose_mask_hides_nothing_is_an_array(level: Forecaster) -> None:
    np.testing.assert_array_equal(level.predict(np.ma.array(ones(2, 50, 1))), level.predict(ones(2, 50, 1)))
    np.testing.assert_array_equal(level.predict(np.ma.array(ones(2, 50, 1), mask=False)), level.predict(ones(2, 50, 1)))


@pytest.mark.parametrize(("make", "error", "sentence"), BAD_TIMESTAMPS.values(), ids=BAD_TIMESTAMPS.keys())
def test_each_defect_of_the_timestamps_is_named(
    calendar: Forecaster, make: Callable[[], Any], error: type[PulsecastError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        calendar.predict(ones(2, 73), timestamps=make())


def test_ragged_timestamps_are_a_typed_error(calendar: Forecaster) -> None:
    ragged = [stamps(1, 73)[0].tolist(), stamps(1, 72)[0].tolist()]
    with pytest.raises(DtypeError, match="timestamps are ragged"):
        calendar.predict(ones(2, 73), timestamps=ragged)


def test_values_with_calendar_features_and_timestamps_are_refused(calendar: Forecaster) -> None:
    with pytest.raises(FeatureCountError, match=r"takes 1 .*; its 3 calendar columns are computed from timestamps"):
        calendar.predict(ones(2, 73, 4), timestamps=stamps(2, 73))


def test_a_forecaster_says_what_it_runs(level: Forecaster) -> None:
    assert repr(level) == f"Forecaster('plain', artifact='numpy', engine='numpy {np.__version__}')"
    assert level.backend.device == "CPU"


# ------------------------------------------------------------------------------------- the largest and smallest numbers


@pytest.mark.parametrize("number", [2**24 + 1, 2**31, 2**53 + 1, -(2**53) - 1, 2**63, 1, 0, -1])
def test_whole_numbers_of_any_type_are_rounded_to_float32_once(level: Forecaster, number: int) -> None:
    expected = level.predict(np.full((1, 50, 1), number, np.float32))
    forms: list[Any] = [[number] * 50, np.full((1, 50, 1), number, np.float64)]
    if abs(number) < 2**63:
        forms.append(np.full((1, 50, 1), number, np.int64))
    for given in forms:
        np.testing.assert_array_equal(level.predict(given), expected)


def test_windows_of_extreme_numbers_forecast_or_are_refused_for_them(calendar: Forecaster) -> None:
    """A number that float32 does not hold is infinite there, and refused before any engine sees it."""
    spec = calendar.manifest.spec
    time = np.array([1_736_121_600], np.int64)
    for number in (1e30, np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal, -0.0, -0.5, 2.0**53):
        assert np.isfinite(calendar.predict(np.full((1, spec.context, 1), number), timestamps=time)).all(), number
    for number, reason in ((-1.0, "outside what the model's scaler"), (-1e30, "outside what"), (1e39, "infinite")):
        with pytest.raises(NonFiniteError, match=reason):
            calendar.predict(np.full((1, spec.context, 1), number), timestamps=time)
