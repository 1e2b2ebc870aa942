"""Forecasts of a ridge regression and of boosted trees on the split of a training run, to judge its model by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ..baselines import BASELINES, Past, installed_baselines, regression_targets
from ..series import Series
from ..windows import MINIMUM_TRAINING_WINDOWS, boundary
from .preparing import Prepared

# name -> most regressions, one for each series and step ahead. A pool of thousands, or a day ahead, would take longer
# than the network's training; `evaluate` has them all
PEERS = {"ridge_log_calendar": 1000, "lightgbm_l1": 12}


def peer_forecasts(prepared: Prepared) -> dict[str, NDArray[np.float64]]:
    """Return the raw forecasts (n, horizon) of the held-out windows by each peer that is installed and fast enough.

    There are none where a series is too short for a regression.
    """
    pasts = _pasts(prepared)
    if any(len(regression_targets(past)) < MINIMUM_TRAINING_WINDOWS for past in pasts):
        return {}
    count, installed = len(pasts) * prepared.spec.horizon, installed_baselines()
    chosen = [name for name, most in PEERS.items() if count <= most and name in installed]
    with threadpool_limits(limits=1, user_api="blas"):  # see `fitting.linear`
        return {name: np.concatenate([BASELINES[name][0](past) for past in pasts]) for name in chosen}


def _pasts(prepared: Prepared) -> list[Past]:
    """Return what the peers may know of each series with held-out windows, in the order of these."""
    steps, starts = prepared.steps, prepared.split.heldout
    offset, found = 0, []
    for number, one in enumerate(prepared.series):
        own = starts[steps.series_at[starts] == number]
        if len(own):
            found.append(_past(one, prepared, own - offset + prepared.spec.context))
        offset += len(one.values)
    return found


def _past(series: Series, prepared: Prepared, targets: NDArray[np.int64]) -> Past:
    values = series.values[:, 0]
    return Past(
        values=values,
        seconds=series.timestamps_s(),
        cut=boundary(len(values), prepared.config.heldout_fraction),
        targets=targets,
        horizon=prepared.spec.horizon,
        step_s=series.step_s,
        nonnegative=bool((values[np.isfinite(values)] >= 0).all()),
    )
