"""Methods that are made of the model's own forecasts: of means instead of medians, and corrected as a stream adapts.

A network trained on absolute errors of log1p forecasts the median. The mean is the median times the mean of (1 + truth)
/ (1 + forecast) over steps that nothing was fitted on: here, those before a fold's cut. This is Duan's smearing (1983):
the factor lost when a logarithm is undone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from pulsecast.forecasting.corrector import Correctors, replayed
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.spec import ModelSpec

from ..recipes.recipes import find_recipe, fit_scaler, spec_of
from ..recipes.train_config import TrainConfig
from ..series import Series
from .backtest import MODEL, FoldForecasts
from .folds import rolling_folds
from .result import ADAPTED_NAME
from .scoring import Forecasts

SMEARED_NAME = "model_for_means"


def with_smeared(forecasts: Forecasts, series: Sequence[Series]) -> Forecasts:
    """Return `forecasts` and, as another method, the network's smeared ones; no fold uses data from after its cut."""
    return _with(forecasts, SMEARED_NAME, lambda found, number, fold: smear(found, series[number]))


def with_adapted(forecasts: Forecasts, series: Sequence[Series], train: TrainConfig, origins: int) -> Forecasts:
    """Return `forecasts` and, as another method, those of a stream that adapts: each step is known before the next.

    train  with the horizon of `forecasts`
    """
    recipe = find_recipe(train.recipe)

    def adapted(found: FoldForecasts, number: int, fold: int) -> FoldForecasts:
        one = series[number]
        spec = spec_of(train, [one])
        cut = rolling_folds(len(one.values), origins)[fold].cut
        return adapt(found, one, spec, fit_scaler(recipe, spec, [one.values[:cut]]).features[0])

    return _with(forecasts, ADAPTED_NAME, adapted)


def _with(forecasts: Forecasts, name: str, made: Callable[[FoldForecasts, int, int], FoldForecasts]) -> Forecasts:
    """Return `forecasts` and, under `name`, what is made of each of the model's: of a series' number and a fold."""
    found = {
        seed: {
            number: {fold: made(one, number, fold) for fold, one in by_fold.items()}
            for number, by_fold in by_series.items()
        }
        for seed, by_series in forecasts[MODEL].items()
    }
    return {**forecasts, name: found}


def adapt(found: FoldForecasts, series: Series, spec: ModelSpec, scale: FeatureScale) -> FoldForecasts:
    """Return one fold's forecasts, corrected by what happened before each; learning begins where training ends.

    scale  of the forecast column, fitted before the fold's cut
    """
    exact = dict(zip(found.earlier_targets.tolist(), found.earlier, strict=True))
    exact |= dict(zip(found.targets.tolist(), found.forecasts, strict=True))
    correctors = Correctors(spec, Scaler(features=(scale,)), None, 1)
    corrected = replayed(correctors, series.values, series.timestamps_s(), exact)
    return dataclasses.replace(found, forecasts=np.stack([corrected[target] for target in found.targets.tolist()]))


def smear(found: FoldForecasts, series: Series) -> FoldForecasts:
    """Return one fold's forecasts, each horizon step times its own factor; unchanged if no factor can be learnt."""
    horizon = found.forecasts.shape[1]
    truth = series.values[found.earlier_targets[:, np.newaxis] + np.arange(horizon), 0]  # (n, horizon)
    if not len(truth):
        return found
    factor = np.nanmean((1.0 + truth) / (1.0 + found.earlier), axis=0)  # (horizon,)
    return dataclasses.replace(found, forecasts=np.maximum((1.0 + found.forecasts) * factor - 1.0, 0.0))
