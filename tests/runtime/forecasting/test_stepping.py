"""`step`, the pure function for engines of streams: against a stream that runs on, and for steps that come badly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import plain
from pulsecast import Forecaster, load, step
from pulsecast.computing.intervals import split_interval
from pulsecast.errors import DtypeError, FormatError, TimeError, UsageError
from pulsecast.forecasting.anomalies import AnomalyDetector
from pulsecast.forecasting.living.live_series import refuse_far
from pulsecast.forecasting.stepping import Stepped

RATE = 0.05
STEPS = 150


@pytest.fixture(scope="module")
def model(calendar_bundle: Path) -> Forecaster:
    return load(calendar_bundle, backend="numpy")


def time_of(n: int) -> int:
    return plain.START_S + plain.STEP_S * n


def values() -> list[float]:
    column = plain.series()[:STEPS].tolist()
    column[120] *= 60
    return column


@pytest.fixture(scope="module")
def run(model: Forecaster) -> list[Stepped]:
    """The results of all steps, one after the other."""
    found, state = [], None
    for n, value in enumerate(values()):
        found.append(step(model, state, value, time_of(n), false_alarm_rate=RATE if state is None else None))
        state = found[-1].state
    return found


def test_steps_give_what_a_detector_that_runs_on_gives(model: Forecaster, run: list[Stepped]) -> None:
    detector = model.detector(false_alarm_rate=RATE)
    for n, (value, found) in enumerate(zip(values(), run, strict=True)):
        expected = detector.push(value, timestamp=time_of(n))
        assert repr(found.anomaly) == repr(expected)  # NaN is NaN
        np.testing.assert_array_equal(found.forecast.forecast, detector.forecasts)
        assert (found.forecast.arrival, found.forecast.missing, found.forecast.time) == ("next", 0, time_of(n))
    assert run[120].anomaly.alarm
    assert detector.to_bytes() == run[-1].state


def test_forecasts_come_with_bounds_at_the_manifests_level(model: Forecaster, run: list[Stepped]) -> None:
    assert model.manifest.intervals is not None
    last = run[-1].forecast
    _, lower, upper = split_interval(model.manifest.intervals, last.forecast, 0.9)
    np.testing.assert_array_equal(last.lower, lower)
    np.testing.assert_array_equal(last.upper, upper)
    assert (last.lower <= last.forecast).all()
    assert (last.forecast <= last.upper).all()


def test_the_same_step_again_gives_the_same_answer(model: Forecaster, run: list[Stepped]) -> None:
    value = values()[100]
    for _ in range(2):
        again = step(model, run[99].state, value, time_of(100))
        assert again.state == run[100].state
        assert repr(again) == repr(run[100])


def test_a_step_that_is_delivered_twice_counts_once_and_is_answered_alike(
    model: Forecaster, run: list[Stepped]
) -> None:
    for value in (values()[100], 1e6):  # the first value stands
        found = step(model, run[100].state, value, time_of(100))
        assert found.forecast.arrival == "repeated"
        assert found.state == run[100].state
        assert found.anomaly == run[100].anomaly
        np.testing.assert_array_equal(found.forecast.forecast, run[100].forecast.forecast)


@pytest.mark.parametrize(
    ("seconds", "arrival"), [(-7200, "late"), (-3600 * 500, "late"), (1800, "between"), (-1, "between")]
)
def test_a_step_that_is_late_or_off_the_grid_changes_nothing(
    model: Forecaster, run: list[Stepped], seconds: int, arrival: str
) -> None:
    found = step(model, run[100].state, 5.0, time_of(100) + seconds)
    assert found.forecast.arrival == arrival
    assert np.isnan(found.forecast.forecast).all()
    assert found.anomaly is None
    assert found.state == run[100].state


def test_missing_steps_are_a_gap_until_the_window_is_whole_again(model: Forecaster, run: list[Stepped]) -> None:
    found = step(model, run[100].state, values()[104], time_of(104))
    assert (found.forecast.arrival, found.forecast.missing) == ("gap", 3)
    assert np.isnan(found.forecast.forecast).all()
    assert not found.anomaly.anomalous
    detector = AnomalyDetector.from_bytes(model, run[100].state)
    for n in range(101, 104):
        detector.push(float("nan"), timestamp=time_of(n))
    detector.push(values()[104], timestamp=time_of(104))
    assert found.state == detector.to_bytes()
    context, state = model.manifest.spec.context, found.state
    for n in range(105, 104 + context):
        found = step(model, state, 300.0, time_of(n))
        state = found.state
        assert np.isfinite(found.forecast.forecast).all() == (n == 103 + context)


def test_a_gap_beyond_the_window_starts_it_anew_and_keeps_what_was_learnt(
    model: Forecaster, run: list[Stepped]
) -> None:
    year = 366 * 24
    found = step(model, run[100].state, 300.0, time_of(100 + year))
    assert (found.forecast.arrival, found.forecast.missing) == ("gap", year - 1)
    before, after = (AnomalyDetector.from_bytes(model, state) for state in (run[100].state, found.state))
    assert after.due == time_of(101 + year)
    assert after._judge.residuals == before._judge.residuals


def test_a_time_years_ahead_is_refused_and_true_steps_go_on(model: Forecaster, run: list[Stepped]) -> None:
    wrong = time_of(101) + 50 * 366 * 86400
    with pytest.raises(TimeError, match=r"comes 50\.1 years after the last one; .* begin again with state=None"):
        step(model, run[100].state, 300.0, wrong)
    assert step(model, None, 300.0, wrong).forecast.arrival == "next"
    assert step(model, run[100].state, values()[101], time_of(101)).forecast.arrival == "next"


def test_a_gap_of_a_whole_window_is_one_where_steps_are_long(model: Forecaster) -> None:
    weekly = replace(model.manifest.spec, step_s=7 * 86400)
    refuse_far(weekly, weekly.context * weekly.step_s)  # more than a year
    with pytest.raises(TimeError, match="at most a year, or a window"):
        refuse_far(weekly, (weekly.context + 1) * weekly.step_s)


def test_whole_numbers_of_numpy_are_times(model: Forecaster, run: list[Stepped]) -> None:
    for time in (np.int64(time_of(101)), np.uint32(time_of(101)), np.array(time_of(101))):
        found = step(model, run[100].state, values()[101], time)
        assert found.state == run[101].state
        assert type(found.forecast.time) is int


@pytest.mark.parametrize("at", [0, 1800])
def test_milliseconds_are_refused_on_the_grid_of_steps_and_off_it(
    model: Forecaster, run: list[Stepped], at: int
) -> None:
    for state in (None, run[100].state):
        with pytest.raises(TimeError, match="divide milliseconds by 1,000"):
            step(model, state, 1.0, (time_of(101) + at) * 1000)


def test_a_state_is_refused_by_another_model_unless_it_is_carried_over(model: Forecaster, run: list[Stepped]) -> None:
    other = SimpleNamespace(manifest=replace(model.manifest, digest="0" * 64), backend=model.backend, series=None)
    with pytest.raises(UsageError, match="the state is of another model than plain"):
        step(other, run[100].state, 5.0, time_of(101))
    carried = step(other, run[100].state, values()[101], time_of(101), carry_over=True)
    np.testing.assert_array_equal(carried.forecast.forecast, run[101].forecast.forecast)
    assert np.isnan(carried.anomaly.forecast)  # the other model's forecast is not judged by


def test_a_state_of_format_1_is_of_its_own_bundle_only(model: Forecaster, run: list[Stepped]) -> None:
    golden = load(Path(__file__).parents[2] / "data" / "golden_v1", backend="numpy")
    start = step(golden, None, 5.0, time_of(0))
    assert step(golden, start.state, 6.0, time_of(1)).forecast.arrival == "next"
    with pytest.raises(UsageError, match="the state is of another model"):
        step(model, start.state, 6.0, time_of(1))


def test_bad_arguments_are_typed_errors(model: Forecaster, run: list[Stepped]) -> None:
    for time in (1.5, True, np.True_, "5", None, np.ma.array(time_of(0), mask=True)):
        with pytest.raises(TimeError, match="expected a whole number of unix seconds"):
            step(model, None, 1.0, time)  # type: ignore[arg-type]
    for time in (10**30, -(10**30)):
        with pytest.raises(TimeError, match="beyond the years 1 to 9999"):
            step(model, None, 1.0, time)
    with pytest.raises(TimeError, match="divide milliseconds by 1,000"):
        step(model, None, 1.0, time_of(0) * 1000)
    with pytest.raises(DtypeError, match="steps are <U3; expected real numbers"):
        step(model, None, "1.0", time_of(0))  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="the state is damaged"):
        step(model, run[3].state[:-1], 1.0, time_of(4))
    with pytest.raises(FormatError, match="the state is a stream's"):
        step(model, model.stream().to_bytes(), 1.0, time_of(4))
    with pytest.raises(UsageError, match=r"the state was begun with 0\.05, which holds for it"):
        step(model, run[3].state, 1.0, time_of(4), false_alarm_rate=0.01)


def test_a_missing_value_is_a_step_that_is_not_judged(model: Forecaster, run: list[Stepped]) -> None:
    found = step(model, run[100].state, float("nan"), time_of(101))
    assert found.forecast.arrival == "next"
    assert np.isnan(found.forecast.forecast).all()
    assert not found.anomaly.anomalous
