"""Scaled errors, ranks and the Diebold-Mariano test against values worked out by hand or by simulation."""

import numpy as np
import pytest

from helpers.engines import require

require("scipy")

from pulsecast_train.backtesting.metrics import geometric_mean, mean_ranks, naive_scale, point_errors, smape  # noqa: E402
from pulsecast_train.backtesting.significance import diebold_mariano  # noqa: E402


def test_mase_of_the_seasonal_naive_forecast_itself_is_one() -> None:
    values = np.random.default_rng(0).normal(100, 10, 400)
    scale = naive_scale(values, 24)
    truth, naive = values[24:, np.newaxis], values[:-24, np.newaxis]
    ones = np.ones(len(truth))
    found = point_errors(naive, truth, scale.absolute * ones, scale.squared * ones)
    assert (found.mase, found.rmsse) == (pytest.approx(1.0, rel=1e-12), pytest.approx(1.0, rel=1e-12))


def test_rows_are_scaled_by_the_training_part_of_their_own_fold() -> None:
    truth, forecasts = np.zeros((2, 1)), np.array([[2.0], [6.0]])
    found = point_errors(forecasts, truth, np.array([1.0, 3.0]), np.array([1.0, 9.0]))
    assert (found.mae, found.mase, found.rmsse) == (4.0, 2.0, 2.0)


def test_a_training_part_that_never_changes_has_no_scaled_errors() -> None:
    scale = naive_scale(np.full(100, 5.0), 24)
    assert (scale.season, scale.absolute, scale.squared) == (24, 0.0, 0.0)
    found = point_errors(np.ones((3, 1)), np.zeros((3, 1)), np.zeros(3), np.zeros(3))
    assert (found.mase, found.rmsse, found.mae) == (None, None, 1.0)


def test_a_training_part_shorter_than_the_season_is_scaled_by_steps_and_says_so() -> None:
    scale = naive_scale(np.array([1.0, 3.0, 7.0]), 24)
    assert (scale.season, scale.absolute, scale.squared) == (1, 3.0, 10.0)


def test_gaps_are_left_out_of_the_scale() -> None:
    assert naive_scale(np.array([1.0, np.nan, 4.0, 6.0]), 1).absolute == 2.0


@pytest.mark.parametrize(
    ("forecast", "truth", "percent"), [(0, 0, 0), (0, 5, 200), (3, 1, 100), (1, 3, 100), (2, 2, 0)]
)
def test_smape_runs_from_0_to_200_and_takes_zeros(forecast: float, truth: float, percent: float) -> None:
    assert smape(np.array([float(forecast)]), np.array([float(truth)])) == pytest.approx(percent)


def test_the_geometric_mean_does_not_care_which_side_is_the_base() -> None:
    ratios = np.array([0.5, 4.0, 1.2])
    assert geometric_mean(ratios) * geometric_mean(1 / ratios) == pytest.approx(1.0)


def test_ties_share_their_rank() -> None:
    errors = {"a": np.array([1.0, 2.0]), "b": np.array([1.0, 1.0]), "c": np.array([3.0, 3.0])}
    assert mean_ranks(errors) == {"a": 1.75, "b": 1.25, "c": 3.0}


def test_the_statistic_is_that_of_the_published_formula() -> None:
    # horizon 1 and n = 3: at least one lag with Bartlett weight 1/2; worked out by hand:
    # d = (1, 2, 6), mean 3, centred (-2, -1, 3): gamma0 = 14/3, gamma1 = (2 - 3)/3 = -1/3, variance = 14/3 - 1/3 = 13/3
    found = diebold_mariano(np.array([2.0, 4.0, 9.0]), np.array([1.0, 2.0, 3.0]), 1)
    assert found.statistic == pytest.approx(np.sqrt(2 / 3) * 3 / np.sqrt(13 / 9), rel=1e-12)
    assert not found.better


@pytest.mark.parametrize("horizon", [1, 4])
def test_equal_forecasts_are_called_different_about_as_often_as_the_level_allows(horizon: int) -> None:
    rng = np.random.default_rng(horizon)
    told = 0
    for _ in range(400):
        shocks = rng.normal(size=(2, 300 + horizon))
        losses = np.abs(np.stack([np.convolve(row, np.ones(horizon), "valid")[:300] for row in shocks]))
        told += diebold_mariano(losses[0], losses[1], horizon).p_value < 0.05
    assert told / 400 < 0.09  # 0.05 asked; autocorrelated losses of finite length exceed it slightly


def test_a_clearly_better_forecast_is_called_better_and_the_other_worse() -> None:
    rng = np.random.default_rng(4)
    good, bad = np.abs(rng.normal(0, 1, 300)), np.abs(rng.normal(0, 1.6, 300))
    assert diebold_mariano(good, bad, 1).better
    assert diebold_mariano(bad, good, 1).worse


def test_the_same_forecast_is_neither() -> None:
    losses = np.arange(20.0)
    found = diebold_mariano(losses, losses, 1)
    assert (found.statistic, found.p_value) == (0.0, 1.0)
