"""Scaled and relative point errors, beside those of `pulsecast.model.accuracy`; one formula each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulsecast.model.accuracy import accuracy

FORMULAS = {
    "MAE": "mean |y - f|",
    "RMSE": "sqrt(mean (y - f)^2)",
    "MASE": "MAE / mean over the training part of |y[t] - y[t - m]|",
    "RMSSE": "sqrt(mean (y - f)^2 / mean over the training part of (y[t] - y[t - m])^2)",
    "sMAPE": "200 * mean |y - f| / (|y| + |f|), where 0 / 0 counts as 0",
    "bias": "mean (f - y)",
}


@dataclass(frozen=True, kw_only=True)
class PointErrors:
    """Errors of one method on one series; `mase` and `rmsse` are None where the training part never changes."""

    mae: float
    rmse: float
    bias: float
    smape: float
    mase: float | None
    rmsse: float | None


@dataclass(frozen=True, kw_only=True)
class NaiveScale:
    """Errors of the naive forecast over `season` steps (m) in the training part: mean absolute, mean squared."""

    season: int
    absolute: float
    squared: float


def smape(forecasts: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Return 200 * mean |y - f| / (|y| + |f|), in percent from 0 to 200; 0 / 0 counts as 0.

    >>> smape(np.array([1.0, 0.0]), np.array([3.0, 0.0]))
    50.0
    """
    size = np.abs(truth) + np.abs(forecasts)
    parts = np.divide(np.abs(truth - forecasts), size, out=np.zeros(np.shape(size)), where=size > 0)
    return float(200 * np.mean(parts))


def naive_scale(training: NDArray[np.float64], season: int) -> NaiveScale:
    """Return the scale of MASE and RMSSE from the training part (steps,); gaps are NaN and left out.

    For a part not longer than `season`, the scale is the change from step to step instead (m = 1).
    """
    season = season if len(training) > season else 1
    changes = training[season:] - training[:-season]
    changes = changes[np.isfinite(changes)]
    if not len(changes):
        return NaiveScale(season=season, absolute=0.0, squared=0.0)
    return NaiveScale(
        season=season, absolute=float(np.mean(np.abs(changes))), squared=float(np.mean(np.square(changes)))
    )


def point_errors(
    forecasts: NDArray[np.floating], truth: NDArray[np.floating], absolute: NDArray[np.float64],
    squared: NDArray[np.float64],
) -> PointErrors:  # fmt: skip
    """Return the errors of `forecasts` against `truth`, both (n, horizon).

    absolute, squared  (n,) the `NaiveScale` of the fold that each row belongs to, so that rows of several folds pool
    """
    plain = accuracy(forecasts, truth)
    error = np.asarray(forecasts, np.float64) - truth
    usable = bool((absolute > 0).all() and (squared > 0).all())
    return PointErrors(
        mae=plain.mae,
        rmse=plain.rmse,
        bias=plain.bias,
        smape=smape(forecasts, truth),
        mase=float(np.mean(np.abs(error) / absolute[:, np.newaxis])) if usable else None,
        rmsse=float(np.sqrt(np.mean(error**2 / squared[:, np.newaxis]))) if usable else None,
    )


def geometric_mean(values: NDArray[np.floating]) -> float:
    """Return exp(mean(log(values))); 0 if any is 0.

    >>> round(geometric_mean(np.array([0.5, 2.0])), 12)
    1.0
    """
    with np.errstate(divide="ignore"):
        return float(np.exp(np.mean(np.log(values))))


def mean_ranks(errors: Mapping[str, NDArray[np.floating]]) -> dict[str, float]:
    """Return each method's mean rank (1 is best) over the cases of `errors` (cases,); ties share their mean rank."""
    from scipy.stats import rankdata

    ranks = rankdata(np.stack(list(errors.values())), axis=0)  # (methods, cases)
    return {name: float(ranks[i].mean()) for i, name in enumerate(errors)}
