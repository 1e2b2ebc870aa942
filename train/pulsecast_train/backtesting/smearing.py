"""Forecasts of means from forecasts of medians, by Duan's smearing (1983): the factor lost when a logarithm is undone.

A network trained on absolute errors of log1p forecasts the median. The mean is the median times the mean of (1 + truth)
/ (1 + forecast) over steps that nothing was fitted on: here, those before a fold's cut.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..series import Series
from .backtest import MODEL, FoldForecasts
from .scoring import Forecasts

SMEARED_NAME = "model_for_means"


def with_smeared(forecasts: Forecasts, series: Sequence[Series]) -> Forecasts:
    """Return `forecasts` and, as another method, the network's smeared ones; no fold uses data from after its cut."""
    smeared = {
        seed: {
            number: {fold: smear(found, series[number]) for fold, found in by_fold.items()}
            for number, by_fold in by_series.items()
        }
        for seed, by_series in forecasts[MODEL].items()
    }
    return {**forecasts, SMEARED_NAME: smeared}


def smear(found: FoldForecasts, series: Series) -> FoldForecasts:
    """Return one fold's forecasts, each horizon step times its own factor; unchanged if no factor can be learnt."""
    horizon = found.forecasts.shape[1]
    truth = series.values[found.earlier_targets[:, np.newaxis] + np.arange(horizon), 0]  # (n, horizon)
    if not len(truth):
        return found
    factor = np.nanmean((1.0 + truth) / (1.0 + found.earlier), axis=0)  # (horizon,)
    return dataclasses.replace(found, forecasts=np.maximum((1.0 + found.forecasts) * factor - 1.0, 0.0))
