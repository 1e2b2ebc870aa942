"""Departures from what was expected: the false-alarm rate that is promised, what is flagged, and the stream beneath."""

from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from pulsecast import load
from pulsecast.computing.intervals import RollingConformal
from pulsecast.errors import InputError, UsageError
from pulsecast.forecasting.anomalies import AnomalyDetector
from pulsecast.forecasting.departures import Departures, default_rate, default_window, residuals_needed

RATE = 0.02


def judged(values: np.ndarray, forecast: float, judge: Departures) -> list:
    return [judge.judge(forecast, float(value)) for value in values]


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_of_steps_that_go_on_as_they_did_no_more_are_flagged_than_was_promised(rate: float) -> None:
    values = np.random.default_rng(3).lognormal(5, 1, 20_000)
    judge = Departures(false_alarm_rate=rate, window=default_window(3600, rate))
    found = judged(values, 150.0, judge)[residuals_needed(rate) :]
    # 20,000 draws: three standard errors of a share of 0.05 are 0.0046, of 0.01 0.0021
    assert np.mean([one.outside for one in found]) == pytest.approx(rate, abs=3 * np.sqrt(rate / 20_000) + rate / 20)


def test_the_interval_is_that_of_rolling_conformal_step_by_step() -> None:
    rng = np.random.default_rng(5)
    forecasts, values = rng.lognormal(4, 0.3, 300), np.round(rng.lognormal(4, 0.6, 300))
    judge = Departures(false_alarm_rate=RATE, window=80, scale="log1p", counts=True)
    rolling = RollingConformal(horizon=1, window=80, scale="log1p", counts=True)
    for forecast, value in zip(forecasts, values, strict=True):
        interval = rolling.interval(np.array([forecast]), 1 - RATE)
        found = judge.judge(float(forecast), float(value))
        assert (found.lower, found.upper) == (float(interval.lower[0]), float(interval.upper[0]))
        rolling.observe(float(value))


def test_a_score_counts_radii_and_above_one_lies_outside() -> None:
    judge = Departures(false_alarm_rate=0.25, window=3, scale="identity")
    judged(np.array([11.0, 12.0, 13.0]), 10.0, judge)  # residuals 1, 2, 3: the radius is 3
    outside, inside = judge.judge(10.0, 16.0), judge.judge(10.0, 10.5)
    assert outside == (7.0, 13.0, 2.0, True)
    assert (inside.upper, inside.outside) == (16.0, False)  # the residuals kept are 2, 3 and 6 now
    assert inside.score == pytest.approx(0.5 / 6)


def test_nothing_is_flagged_before_enough_residuals_are_known() -> None:
    judge = Departures(false_alarm_rate=RATE, window=100)
    found = judged(np.array([1e6] * 49), 10.0, judge)
    assert residuals_needed(RATE) == 49
    assert [one.score for one in found] == [0.0] * 49
    assert not any(one.outside for one in found)
    assert judge.judge(10.0, 1e7).outside


@pytest.mark.parametrize("scale", ["log1p", "identity"])
def test_a_negative_value_that_cannot_be_judged_is_not_flagged(scale: str) -> None:
    found = Departures(false_alarm_rate=RATE, window=100, scale=scale).judge(10.0, -1.0)
    assert (found.upper, found.score, found.outside) == (np.inf, 0.0, False)


def test_a_series_that_was_always_forecast_exactly_flags_what_is_off_by_anything() -> None:
    judge = Departures(false_alarm_rate=RATE, window=100, scale="identity")
    judged(np.full(60, 5.0), 5.0, judge)
    off, same = judge.judge(5.0, 5.5), judge.judge(5.0, 5.0)
    assert (off.outside, same.outside, same.score) == (True, False, 0.0)
    assert 1 < off.score < np.inf


def test_the_detector_judges_each_step_by_the_forecast_made_one_step_before(plain_bundle: Path) -> None:
    model = load(plain_bundle, backend="numpy")
    values = plain.series()[:300].copy()
    values[280] *= 5
    detector = model.detector(false_alarm_rate=RATE)
    found = [detector.push([value]) for value in values]
    assert all(np.isnan(one.forecast) for one in found[:50])
    windows = np.stack([values[i - 50 : i] for i in range(50, 300)])
    # float32 forecasts through the same backend, one by one and in a batch
    np.testing.assert_allclose([one.forecast for one in found[50:]], model.predict(windows)[:, 0], rtol=1e-5)
    assert found[280].anomalous
    assert found[280].score == max(one.score for one in found)


def test_the_detector_computes_calendar_features_and_takes_gaps(calendar_bundle: Path) -> None:
    model = load(calendar_bundle, backend="numpy")
    detector, values = model.detector(false_alarm_rate=0.05), plain.series()[:250].copy()
    values[200] = np.nan
    seconds = plain.START_S + plain.STEP_S * np.arange(250)
    found = [detector.push([v], timestamp=int(s)) for v, s in zip(values, seconds, strict=True)]
    context = model.manifest.spec.context
    assert np.isfinite(found[context].forecast)
    assert np.isfinite(found[199].upper)
    assert all(not one.anomalous for one in found[200:])  # no whole window since
    with pytest.raises(InputError, match="comes 7200 s after the last one"):
        detector.push([1.0], timestamp=int(seconds[-1]) + 7200)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"false_alarm_rate": 0.0}, "false-alarm rate is 0.0; expected a number between 0 and 1"),
        (
            {"false_alarm_rate": 0.001, "window": 500},
            "window is 500 residuals; a false-alarm rate of 0.001 takes at least 1999, as half",
        ),
    ],
)
def test_a_rate_that_cannot_be_kept_is_refused(plain_bundle: Path, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(plain_bundle, backend="numpy").detector(**options)


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1e-12])
def test_a_rate_near_zero_flags_nothing_and_breaks_nothing(rate: float, plain_bundle: Path) -> None:
    model = load(plain_bundle, backend="numpy")
    detector = model.detector(false_alarm_rate=rate)
    assert not any(detector.push(value).anomalous for value in (*plain.series()[:60].tolist(), 1e9))
    again = AnomalyDetector.from_bytes(model, detector.to_bytes())
    assert (again.false_alarm_rate, again.to_bytes()) == (rate, detector.to_bytes())


def test_the_default_rate_is_about_one_step_a_week(plain_bundle: Path) -> None:
    assert load(plain_bundle, backend="numpy").detector().false_alarm_rate == default_rate(3600) == 3600 / 604_800


def test_a_count_that_rounding_takes_in_is_not_outside() -> None:
    departures = Departures(false_alarm_rate=0.02, window=60, scale="identity", counts=True)
    judged(np.full(60, 10.0), 10.0, departures)
    taken_in = departures.judge(10.5, 10.0)  # radius 0: the interval is 10 to 11
    assert not taken_in.outside
    assert taken_in.score > 1
    assert departures.judge(10.0, 13.0).outside
