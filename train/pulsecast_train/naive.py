"""The model's errors on the held-out part, in raw units, beside forecasts that need no model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pulsecast.model.accuracy import Accuracy, accuracy
from pulsecast.model.spec import ModelSpec

from .recipes.recipes import season_steps
from .windows import Steps


def naive_forecasts(steps: Steps, spec: ModelSpec, starts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return the naive forecasts (n, horizon) of the windows at `starts`, raw.

    last_value      the window's last value, for the whole horizon
    seasonal_naive  the value one season (a day, else a week) before each step; NaN if the log does not reach back
    """
    last = starts + spec.context - 1  # (n,) index of each window's last step
    values = steps.values[:, 0]
    found = {"last_value": np.repeat(values[last][:, np.newaxis], spec.horizon, axis=1)}
    season = season_steps(spec.step_s)
    if season is not None:
        ahead = np.arange(1, spec.horizon + 1)
        back = season * -(-ahead // season)  # whole seasons, as many as needed to reach a known step
        index = last[:, np.newaxis] + ahead - back  # (n, horizon)
        known = (index >= 0) & (steps.series_at[np.maximum(index, 0)] == steps.series_at[last][:, np.newaxis])
        found["seasonal_naive"] = np.where(known, values[np.maximum(index, 0)], np.nan)
    return found


def compare_with_naive(
    made: Mapping[str, NDArray[np.floating]], truth: NDArray[np.float64], naive: Mapping[str, NDArray[np.float64]]
) -> dict[str, Accuracy]:
    """Return the errors of the forecasts `made` and of each naive one, over the windows for which all of them exist.

    All are (n, horizon), raw, by name.
    """
    usable = np.all([np.isfinite(f).all(axis=1) for f in naive.values()], axis=0)  # (n,)
    rows = usable if usable.any() else np.ones(len(truth), bool)
    compared = {**made, **naive} if usable.any() else made
    return {name: accuracy(values[rows], truth[rows]) for name, values in compared.items()}
