"""Intervals over windows and changes of RMSE against values worked out by hand, and their coverage by simulation."""

import numpy as np
import pytest

from pulsecast_bench.analysis.forecast_errors import LEAST_WINDOWS, fidelity, rmse_change

TRUTH = np.zeros((100, 1))


def test_errors_and_their_quantiles_are_in_raw_units() -> None:
    forecasts = np.arange(1.0, 101.0)[:, np.newaxis]
    found = fidelity(forecasts, TRUTH, TRUTH + 1.0, scaler_range=200.0)
    assert found.accuracy.mae == 50.5
    assert found.mae.value == 50.5
    assert found.error_quantiles == (50.0, 90.0, 99.0, 100.0)
    assert found.deviation_quantiles == (49.0, 89.0, 98.0, 99.0)
    assert found.max_error == 99 / 200
    assert found.mae_change == 49.5


def test_equal_errors_have_an_interval_of_no_width() -> None:
    found = fidelity(TRUTH + 2.0, TRUTH, TRUTH + 1.0, scaler_range=1.0)
    assert (found.rmse.value, found.rmse.low, found.rmse.high) == (2.0, 2.0, 2.0)
    assert found.rmse_change_interval == pytest.approx((1.0, 1.0))


def test_a_change_is_paired_so_that_hard_windows_cancel() -> None:
    errors = np.exp(np.random.default_rng(3).normal(0, 2, (100, 1)))  # a few windows are very hard
    change = rmse_change(1.02 * errors, errors, TRUTH)
    assert (change.value, change.low, change.high) == pytest.approx((0.02, 0.02, 0.02))


def test_a_larger_error_on_a_few_windows_gives_an_interval_that_says_so() -> None:
    base = np.ones((100, 1))
    worse = base.copy()
    worse[:3] = 5.0
    change = rmse_change(worse, base, TRUTH)
    assert change.value == pytest.approx(np.sqrt(0.97 + 0.75) - 1)
    assert change.low is not None
    assert change.high is not None
    # between none and seven of the three bad windows in a draw: sqrt(1 + 24 k / 100) - 1
    assert 0.0 <= change.low < change.value < change.high <= np.sqrt(1 + 24 * 8 / 100) - 1


def test_few_windows_give_a_value_without_an_interval_and_the_reason() -> None:
    few = np.ones((LEAST_WINDOWS - 1, 1))
    change = rmse_change(1.5 * few, few, 0 * few)
    assert (change.value, change.low) == (0.5, None)
    assert change.reason == "no interval: 29 held-out windows, 30 are needed"


def test_no_error_at_all_is_no_change_and_any_error_over_none_is_all_of_it() -> None:
    assert rmse_change(TRUTH, TRUTH, TRUTH).high == 0.0
    assert rmse_change(TRUTH + 1, TRUTH, TRUTH).low == 1.0


def test_a_horizon_of_several_steps_is_resampled_window_by_window() -> None:
    truth = np.zeros((40, 3))
    found = fidelity(truth + np.array([1.0, 2.0, 3.0]), truth, truth, scaler_range=1.0)
    assert (found.mae.low, found.mae.high) == pytest.approx((2.0, 2.0))  # every window has the same three errors


def test_the_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    trials, covered_mae, covered_change = 300, 0, 0
    truth = np.zeros((200, 1))
    for _ in range(trials):
        base = rng.standard_normal((200, 1))
        forecasts = base + 0.3 * rng.standard_normal((200, 1))
        found = fidelity(forecasts, truth, base, scaler_range=1.0)
        assert found.mae.low is not None
        assert found.mae.high is not None
        assert found.rmse_change_interval is not None
        scale = np.sqrt(1.09)  # of the forecasts' errors
        covered_mae += found.mae.low <= scale * np.sqrt(2 / np.pi) <= found.mae.high
        low, high = found.rmse_change_interval
        covered_change += low <= scale - 1 <= high
    # 95 %, minus two and a half standard errors of 300 trials
    assert 0.92 <= covered_mae / trials <= 0.98
    assert 0.92 <= covered_change / trials <= 0.98
