"""Errors of forecasts in raw units, window by window: intervals, the distribution, and the change by a conversion."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pulsecast.model.accuracy import Accuracy, accuracy, relative_change

from .statistics import BOOTSTRAP_DRAWS, CONFIDENCE, Estimate

Forecasts = NDArray[np.float64]  # (windows, horizon), raw units
QUANTILES = (0.5, 0.9, 0.99, 1.0)
LEAST_WINDOWS = 30  # an interval from fewer resampled windows covers far less than its nominal level
_SEED = 7


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Forecasts on the golden in raw units, against truth and against the float64 reference.

    mae, rmse                with 95 % intervals over windows
    mae_change, rmse_change  relative to the reference's own; 0.01 is 1 %
    rmse_change_interval     95 %, of the same windows for both; None if there are too few
    error_quantiles          of |forecast - truth|, at QUANTILES
    deviation_quantiles      of |forecast - reference|, at QUANTILES
    max_error                largest |forecast - reference| as a fraction of the training part's range
    """

    accuracy: Accuracy
    mae: Estimate
    rmse: Estimate
    mae_change: float
    rmse_change: float
    rmse_change_interval: tuple[float, float] | None
    error_quantiles: tuple[float, ...]
    deviation_quantiles: tuple[float, ...]
    max_error: float


def fidelity(
    forecasts: Forecasts, truth: Forecasts, reference: Forecasts, scaler_range: float | NDArray[np.float64]
) -> Fidelity:
    """Return the errors of `forecasts`; every array is (windows, horizon).

    scaler_range  the training part's range, one for all or one for each window, (windows,)
    """
    measured, ideal = accuracy(forecasts, truth), accuracy(reference, truth)
    change = rmse_change(forecasts, reference, truth)
    absolute, deviation = np.abs(forecasts - truth), np.abs(forecasts - reference)
    return Fidelity(
        accuracy=measured,
        mae=_over_windows(measured.mae, absolute.mean(axis=1)),
        rmse=_root(_over_windows(measured.rmse**2, (absolute**2).mean(axis=1)), measured.rmse),
        mae_change=relative_change(measured.mae, ideal.mae),
        rmse_change=relative_change(measured.rmse, ideal.rmse),
        rmse_change_interval=None if change.low is None or change.high is None else (change.low, change.high),
        error_quantiles=_quantiles(absolute),
        deviation_quantiles=_quantiles(deviation),
        max_error=float((deviation.max(axis=1) / scaler_range).max()),
    )


def rmse_change(forecasts: Forecasts, base: Forecasts, truth: Forecasts) -> Estimate:
    """Return RMSE(forecasts) / RMSE(base) - 1 with its interval over windows.

    Each draw takes the same windows for both: a window that is hard to forecast is hard for both, and cancels.

    >>> truth = np.zeros((40, 1))
    >>> round(rmse_change(truth + 1.01, truth + 1.0, truth).low, 9)
    0.01
    """
    mine, theirs = (np.square(values - truth).mean(axis=1) for values in (forecasts, base))
    value = relative_change(float(np.sqrt(mine.mean())), float(np.sqrt(theirs.mean())))
    if len(truth) < LEAST_WINDOWS:
        return Estimate(value=value, reason=_few_windows(len(truth)))
    above, below = (window_means(errors) for errors in (mine, theirs))
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.where(below > 0, np.sqrt(above / below) - 1, (above > 0).astype(np.float64))
    low, high = np.quantile(drawn, CONFIDENCE, method="inverted_cdf")
    return Estimate(value=value, low=float(low), high=float(high))


def window_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of `values` (windows,) in each of the bootstrap's draws, (draws,); the draws are always the same
    for one number of windows, so that two calls can be compared draw by draw.
    """
    return np.asarray(_weights(len(values)) @ values / len(values), np.float64)


@lru_cache(maxsize=2)
def _weights(windows: int) -> NDArray[np.float32]:
    """Return how often each window is in each draw with replacement, (draws, windows)."""
    rng = np.random.default_rng(_SEED)
    drawn = rng.integers(0, windows, (BOOTSTRAP_DRAWS, windows))
    return np.stack([np.bincount(row, minlength=windows) for row in drawn]).astype(np.float32)


def _over_windows(value: float, per_window: NDArray[np.float64]) -> Estimate:
    if len(per_window) < LEAST_WINDOWS:
        return Estimate(value=value, reason=_few_windows(len(per_window)))
    low, high = np.quantile(window_means(per_window), CONFIDENCE, method="inverted_cdf")
    return Estimate(value=value, low=float(low), high=float(high))


def _root(square: Estimate, value: float) -> Estimate:
    if square.low is None or square.high is None:
        return Estimate(value=value, reason=square.reason)
    return Estimate(value=value, low=float(np.sqrt(square.low)), high=float(np.sqrt(square.high)))


def _few_windows(windows: int) -> str:
    return f"no interval: {windows} held-out windows, {LEAST_WINDOWS} are needed"


def _quantiles(values: Forecasts) -> tuple[float, ...]:
    """Return errors that occurred (nearest rank), over all windows and horizon steps."""
    return tuple(float(value) for value in np.quantile(values, QUANTILES, method="inverted_cdf"))
