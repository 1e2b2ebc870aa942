"""How well rolling conformal intervals cover the truth: overall, by hour of the day, on the worst day."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulsecast.computing.intervals import RollingConformal
from pulsecast.model.spec import DAY_S, WEEK_S

from ..series import Series, are_counts, interval_scale
from .backtest import FoldForecasts
from .config import EvaluateConfig
from .folds import rolling_folds
from .result import Coverage

MINIMUM_WINDOW = 50  # residuals: with fewer, the 0.95 and 0.98 radii of a series of daily steps would not exist
MINIMUM_PER_DAY = 12  # forecasts that a day needs to count as the worst one

HOUR_S = 3600


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Intervals beside truth, one row per forecast value: bounds, truth and its time in unix seconds; all (n,)."""

    forecast: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    truth: NDArray[np.float64]
    seconds: NDArray[np.int64]


def residual_window(step_s: int) -> int:
    """Return how many residuals to keep: seven days of steps, and at least MINIMUM_WINDOW."""
    return max(WEEK_S // step_s, MINIMUM_WINDOW)


def judge_fold(series: Series, found: FoldForecasts, level: float) -> Judged:
    """Return the intervals of one fold's forecasts, made step by step as an app would, beside the truth.

    Residuals start from the windows before the cut that were used for early stopping, not for fitting.
    """
    values, stamps, horizon = series.values[:, 0], series.timestamps_s(), found.forecasts.shape[1]
    rolling = RollingConformal(
        horizon=horizon,
        window=residual_window(series.step_s),
        scale=interval_scale([series]),
        counts=are_counts([series]),
    )
    at = {int(t): row for t, row in zip(found.earlier_targets, found.earlier, strict=True)}
    tested = {int(t): row for t, row in zip(found.targets, found.forecasts, strict=True)}
    rows = []
    for step in range(min([*at, *tested]), max(tested) + 1):
        forecast = tested.get(step, at.get(step))
        if forecast is not None:
            interval = rolling.interval(forecast, level)
            if step in tested:
                ahead = slice(step, step + horizon)
                rows.append((*interval, values[ahead], stamps[ahead]))
        rolling.observe(float(values[step]))
    forecasts, lower, upper, truth, seconds = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Judged(forecast=forecasts, lower=lower, upper=upper, truth=truth, seconds=seconds)


def series_coverage(
    series: Series, config: EvaluateConfig, seeds: Mapping[int, Mapping[int, Mapping[int, FoldForecasts]]], number: int
) -> Coverage | None:
    """Return the coverage over all folds and seeds of one series; None if no interval is bounded."""
    folds = rolling_folds(len(series.values), config.origins)
    judged = [
        judge_fold(series, seed[number][fold.number], config.interval) for seed in seeds.values() for fold in folds
    ]
    return summarise(joined(judged), config.interval)


def joined(judged: Sequence[Judged]) -> Judged:
    """Return all rows of `judged`, one after the other."""
    return Judged(
        **{
            name: np.concatenate([getattr(one, name) for one in judged])
            for name in ("forecast", "lower", "upper", "truth", "seconds")
        }
    )


def covered_by_one(first: Judged, second: Judged) -> tuple[int, int]:
    """Return the number of values that only the first one's bounded intervals hold, and that only the second's hold."""
    held = [(one.truth >= one.lower) & (one.truth <= one.upper) for one in (first, second)]  # (n,) each
    bounded = np.isfinite([first.lower, first.upper, second.lower, second.upper]).all(axis=0)  # (n,)
    return int((held[0] & ~held[1] & bounded).sum()), int((held[1] & ~held[0] & bounded).sum())


def summarise(judged: Judged, level: float) -> Coverage | None:
    """Return the figures of `judged`; None if no interval is bounded."""
    bounded = np.isfinite(judged.upper) & np.isfinite(judged.lower)
    if not bounded.any():
        return None
    lower, upper, truth = judged.lower[bounded], judged.upper[bounded], judged.truth[bounded]
    covered = (truth >= lower) & (truth <= upper)
    unit = float(np.abs(truth).mean()) or 1.0
    missed = np.maximum(lower - truth, 0) + np.maximum(truth - upper, 0)
    hours = judged.seconds[bounded] % DAY_S // HOUR_S
    by_hour = tuple(float(covered[hours == hour].mean()) if (hours == hour).any() else None for hour in range(24))
    worst_day, date = _worst_day(covered, judged.seconds[bounded])
    return Coverage(
        level=level,
        coverage=float(covered.mean()),
        width=float((upper - lower).mean()) / unit,
        winkler=float((upper - lower + 2 / (1 - level) * missed).mean()) / unit,
        by_hour=by_hour,
        worst_hour=min(value for value in by_hour if value is not None),
        worst_day=worst_day,
        worst_day_date=date,
        unbounded=float(1 - bounded.mean()),
        forecasts=int(bounded.sum()),
    )


def _worst_day(covered: NDArray[np.bool_], seconds: NDArray[np.int64]) -> tuple[float, str]:
    days, index, counts = np.unique(seconds // DAY_S, return_inverse=True, return_counts=True)
    shares = np.bincount(index, weights=covered) / counts
    enough = counts >= min(MINIMUM_PER_DAY, counts.max())
    worst = int(np.flatnonzero(enough)[np.argmin(shares[enough])])
    date = datetime.datetime.fromtimestamp(int(days[worst]) * DAY_S, datetime.UTC).strftime("%Y-%m-%d")
    return float(shares[worst]), date


def pooled_coverage(parts: Sequence[Coverage]) -> Coverage | None:
    """Return the coverage over several series, weighted by their forecasts; the worst day is the worst of any."""
    if not parts:
        return None
    weights = np.array([part.forecasts for part in parts], np.float64)

    def mean(name: str) -> float:
        return float(np.average([getattr(part, name) for part in parts], weights=weights))

    by_hour: list[float | None] = []
    for hour in range(24):
        known = [part.by_hour[hour] for part in parts]
        by_hour.append(float(np.mean([value for value in known if value is not None])) if any(known) else None)
    worst = min(parts, key=lambda part: part.worst_day)
    return Coverage(
        level=parts[0].level,
        coverage=mean("coverage"),
        width=mean("width"),
        winkler=mean("winkler"),
        by_hour=tuple(by_hour),
        worst_hour=min(value for value in by_hour if value is not None),
        worst_day=worst.worst_day,
        worst_day_date=worst.worst_day_date,
        unbounded=mean("unbounded"),
        forecasts=int(weights.sum()),
    )
