"""Forecasts that need no network, for `evaluate`: a useful model must beat them.

Every baseline fits on the steps before the fold's cut only, keeps its parameters frozen through the fold, and forecasts
each step from the values before it. A gap (NaN) is carried forward from the last value before it.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulsecast.computing.calendars import is_weekend
from pulsecast.errors import MissingExtraError, UsageError
from pulsecast.model.spec import DAY_S, WEEK_S

LAGS = 50
RIDGE_ALPHAS = tuple(10.0**power for power in range(-2, 5))
TREES, LEARNING_RATE, LEAVES, PATIENCE = 400, 0.05, 15, 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Past:
    """The data that a baseline may use of one fold of one series.

    values   (steps,) raw, of the forecast metric, up to the end of the fold
    seconds  (steps,) unix seconds
    cut      first step that nothing may be fitted on
    targets  (n,) first step of each forecast: it may use all values before it, also those in the fold's tested part
    horizon  steps of each forecast
    step_s   seconds between steps
    nonnegative  values and forecasts are never below 0, so log1p exists
    """

    values: NDArray[np.float64]
    seconds: NDArray[np.int64]
    cut: int
    targets: NDArray[np.int64]
    horizon: int
    step_s: int
    nonnegative: bool

    @property
    def filled(self) -> NDArray[np.float64]:
        """The values with gaps carried forward: (steps,)."""
        known = np.isfinite(self.values)
        index = np.maximum.accumulate(np.where(known, np.arange(len(known)), 0))
        return np.where(known[index], self.values[index], self.values[known][0])

    @property
    def levels(self) -> NDArray[np.float64]:
        """The filled values on the scale that the baselines fit on: log1p where values are never negative."""
        return np.log1p(self.filled) if self.nonnegative else self.filled

    def raw(self, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return raw forecasts for forecasts of `levels`."""
        return np.maximum(np.expm1(levels), 0.0) if self.nonnegative else levels

    def period(self, seconds: int) -> int:
        """Return the steps of a cycle of so many seconds; 0 unless it is longer than a step, and a multiple of it."""
        return seconds // self.step_s if seconds % self.step_s == 0 and seconds > self.step_s else 0


Baseline = Callable[[Past], NDArray[np.float64]]  # -> forecasts (n, horizon), raw


def last_value(past: Past) -> NDArray[np.float64]:
    """Repeat the last value."""
    return np.repeat(past.filled[past.targets - 1][:, np.newaxis], past.horizon, axis=1)


def seasonal_naive_day(past: Past) -> NDArray[np.float64]:
    """Repeat the value of the same time of day, from the last day known."""
    return past.filled[_season_back(past, past.period(DAY_S))]


def seasonal_naive_week(past: Past) -> NDArray[np.float64]:
    """Repeat the value of the same time of week, from the last week known."""
    return past.filled[_season_back(past, past.period(WEEK_S))]


def _season_back(past: Past, season: int) -> NDArray[np.int64]:
    """Return, for every step to forecast (n, horizon), the last known step a whole number of seasons before it.

    Without a season, or where the series does not reach back so far, it is the step before the forecast.
    """
    ahead = np.arange(1, past.horizon + 1)
    last = past.targets[:, np.newaxis] - 1  # (n, 1)
    if not season:
        return np.repeat(last, past.horizon, axis=1)
    index: NDArray[np.int64] = last + ahead - season * -(-ahead // season)  # (n, horizon)
    return np.where(index >= 0, index, last)


def ses_log(past: Past) -> NDArray[np.float64]:
    """Simple exponential smoothing of the levels, fitted by least squared error in the training part."""
    from scipy.optimize import minimize_scalar

    levels = past.levels
    training = levels[: past.cut]

    def loss(alpha: float) -> float:
        return float(np.mean(np.square(training[1:] - _smooth(training, alpha)[:-1])))

    alpha = float(minimize_scalar(loss, bounds=(0.01, 1.0), method="bounded").x)
    state = _smooth(levels, alpha)  # (steps,) after each step
    return np.repeat(past.raw(state[past.targets - 1])[:, np.newaxis], past.horizon, axis=1)


def _smooth(levels: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    from scipy.signal import lfilter

    smoothed: NDArray[np.float64] = lfilter([alpha], [1.0, alpha - 1.0], levels, zi=[(1 - alpha) * levels[0]])[0]
    return smoothed


def ets_log(past: Past) -> NDArray[np.float64]:
    """ETS(A,N,A) of the levels: additive errors, no trend, an additive day; fitted by likelihood (statsmodels)."""
    from statsmodels.tools.sm_exceptions import ConvergenceWarning
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    levels, season = past.levels, past.period(DAY_S)
    form = {"seasonal": "add", "seasonal_periods": season} if season > 1 and 2 * season < past.cut else {}
    with warnings.catch_warnings():
        # an optimum with fewer digits than statsmodels asks for is good enough
        warnings.simplefilter("ignore", category=ConvergenceWarning)
        fitted = ETSModel(levels[: past.cut], error="add", **form).fit(disp=False)
    run = ETSModel(levels, error="add", **form).smooth(fitted.params)
    forecasts = np.repeat(np.asarray(run.level)[past.targets - 1][:, np.newaxis], past.horizon, axis=1)
    if form:
        forecasts = forecasts + np.asarray(run.season)[_season_back(past, season)]
    return past.raw(forecasts)


def ridge_log_calendar(past: Past) -> NDArray[np.float64]:
    """Ridge regression of the change from the last level on lags, the day and week before, and the calendar."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def fit(inputs: NDArray[np.float64], targets: NDArray[np.float64]) -> _Predict:
        found: _Predict = make_pipeline(StandardScaler(), RidgeCV(alphas=RIDGE_ALPHAS)).fit(inputs, targets).predict
        return found

    return _regress(past, fit)


def lightgbm_l1(past: Past) -> NDArray[np.float64]:
    """Boosted trees, absolute loss, the same inputs; their number chosen on the last tenth of training."""
    import lightgbm

    common = {"objective": "l1", "learning_rate": LEARNING_RATE, "num_leaves": LEAVES, "verbose": -1, "n_jobs": 1}

    def fit(inputs: NDArray[np.float64], targets: NDArray[np.float64]) -> _Predict:
        kept = len(inputs) - max(1, len(inputs) // 10)
        with warnings.catch_warnings():
            # `eval_set` has a new name from 4.7 on; older versions know this one only
            warnings.simplefilter("ignore", category=FutureWarning)
            warnings.simplefilter("ignore", category=DeprecationWarning)
            searched = lightgbm.LGBMRegressor(n_estimators=TREES, random_state=0, **common).fit(
                inputs[:kept],
                targets[:kept],
                eval_set=[(inputs[kept:], targets[kept:])],
                callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
            )
        trees = max(1, int(searched.best_iteration_))
        found: _Predict = (
            lightgbm.LGBMRegressor(n_estimators=trees, random_state=0, **common).fit(inputs, targets).predict
        )
        return found

    return _regress(past, fit)


_Predict = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _regress(past: Past, fit: Callable[[NDArray[np.float64], NDArray[np.float64]], _Predict]) -> NDArray[np.float64]:
    """Fit and forecast the change from the last level, each horizon step with a regression of its own."""
    levels, fitted = past.levels, regression_targets(past)
    found = np.empty((len(past.targets), past.horizon))
    for h in range(past.horizon):
        predict = fit(_inputs(past, levels, fitted, h), levels[fitted + h] - levels[fitted - 1])
        found[:, h] = predict(_inputs(past, levels, past.targets, h)) + levels[past.targets - 1]
    return past.raw(found)


def regression_targets(past: Past) -> NDArray[np.int64]:
    """Return the first targets that a regression is fitted on: with all lags, and a whole forecast before the cut."""
    return np.arange(max(LAGS, past.period(DAY_S)), past.cut - past.horizon + 1)


def _inputs(past: Past, levels: NDArray[np.float64], first: NDArray[np.int64], ahead: int) -> NDArray[np.float64]:
    """Return (n, inputs) for the step `ahead` steps after each of `first`: only values before `first`.

    The level before, LAGS - 1 differences from it, the same time a day and a week before the step (where the series
    reaches back so far, else no difference), and the calendar of the step.
    """
    last = levels[first - 1]
    columns = [last, *(levels[np.maximum(first - lag, 0)] - last for lag in range(2, LAGS + 1))]
    for period in (past.period(DAY_S), past.period(WEEK_S)):
        if period:
            index = first + ahead - period * -(-(ahead + 1) // period)
            columns.append(np.where(index >= 0, levels[np.maximum(index, 0)] - last, 0.0))
    seconds = past.seconds[first] + ahead * past.step_s
    for cycle in (DAY_S, DAY_S // 2, WEEK_S):
        if cycle > 2 * past.step_s:
            angle = 2 * np.pi * (seconds % cycle) / cycle
            columns += [np.sin(angle), np.cos(angle)]
    columns.append(is_weekend(seconds).astype(np.float64))
    return np.stack(columns, axis=1)


# name -> (function, package that it needs); a good model is compared with the last three
BASELINES: dict[str, tuple[Baseline, str | None]] = {
    "last_value": (last_value, None),
    "seasonal_naive_day": (seasonal_naive_day, None),
    "seasonal_naive_week": (seasonal_naive_week, None),
    "ses_log": (ses_log, "scipy"),
    "ets_log": (ets_log, "statsmodels"),
    "ridge_log_calendar": (ridge_log_calendar, "sklearn"),
    "lightgbm_l1": (lightgbm_l1, "lightgbm"),
}


def installed_baselines() -> tuple[str, ...]:
    """Return the names of the baselines that can run here."""
    return tuple(
        name
        for name, (_, package) in BASELINES.items()
        if package is None or importlib.util.find_spec(package) is not None
    )


def find_baseline(name: str) -> Baseline:
    """Return a row of BASELINES; raises UsageError that lists them, MissingExtraError if its package is missing."""
    if name not in BASELINES:
        raise UsageError(f"no baseline {name!r}; known: {', '.join(BASELINES)}")
    function, package = BASELINES[name]
    if package is not None and importlib.util.find_spec(package) is None:
        raise MissingExtraError(f"baseline {name} needs {package}: pip install 'pulsecast[evaluate]'")
    return function
