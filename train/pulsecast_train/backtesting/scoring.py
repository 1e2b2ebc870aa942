"""From forecasts to figures: one horizon's tables, over series, folds and seeds."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..recipes.recipes import season_steps
from ..series import Series
from .backtest import MODEL, FoldForecasts
from .config import EvaluateConfig
from .folds import rolling_folds
from .interval_scores import pooled_coverage, series_coverage
from .metrics import PointErrors, geometric_mean, mean_ranks, naive_scale, point_errors
from .result import (
    ADAPTED_NAME,
    ENSEMBLE_NAME,
    MODEL_NAME,
    NAIVE_NAME,
    FoldRow,
    HorizonResult,
    MethodSummary,
    SeriesRow,
    Tested,
    verdict,
)
from .significance import LEVEL, diebold_mariano

# method -> seed -> number of the series -> fold
Forecasts = dict[str, dict[int, dict[int, dict[int, FoldForecasts]]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesScores:
    """One series: truth and the forecasts of every method, all folds one after the other.

    truth      (n, horizon)
    last       (n,) the value before each forecast
    fold       (n,) number of each forecast's fold
    absolute, squared  (n,) the fold's `NaiveScale`
    forecasts  method -> (seeds, n, horizon); a baseline has one seed
    """

    truth: NDArray[np.float64]
    last: NDArray[np.float64]
    fold: NDArray[np.int64]
    absolute: NDArray[np.float64]
    squared: NDArray[np.float64]
    season: int
    forecasts: Mapping[str, NDArray[np.float64]]

    def loss(self, method: str) -> NDArray[np.float64]:
        """Return mean |error| of each forecast over seeds and horizon: (n,)."""
        found: NDArray[np.float64] = np.abs(self.forecasts[method] - self.truth).mean(axis=(0, 2))
        return found

    def seed_errors(self, method: str) -> list[PointErrors]:
        """Return the errors of each seed."""
        return [point_errors(one, self.truth, self.absolute, self.squared) for one in self.forecasts[method]]


def score_horizon(
    series: Sequence[Series], config: EvaluateConfig, horizon: int, forecasts: Forecasts,
    *, outside: tuple[str, ...] = (),
) -> HorizonResult:  # fmt: skip
    """Return all figures for one horizon; the methods `outside` were not made here."""
    scores = [_gather(one, i, config.origins, horizon, forecasts) for i, one in enumerate(series)]
    coverages = [series_coverage(one, config, forecasts[MODEL], i) for i, one in enumerate(series)]
    rows = tuple(
        SeriesRow(
            series=one.name,
            season=score.season,
            mean_truth=float(score.truth.mean()),
            errors={method: _mean_errors(score.seed_errors(method)) for method in score.forecasts},
            coverage=coverage,
            copycat=is_copycat(score.forecasts[MODEL], score.truth, score.last),
        )
        for one, score, coverage in zip(series, scores, coverages, strict=True)
    )
    folds = tuple(
        row
        for i, (one, score) in enumerate(zip(series, scores, strict=True))
        for row in _fold_rows(one, i, score, config, forecasts)
    )
    methods = tuple(_summaries(scores))
    return HorizonResult(
        horizon=horizon,
        methods=methods,
        series=rows,
        folds=folds,
        coverage=pooled_coverage([found for found in coverages if found is not None]),
        verdict=verdict(
            methods,
            Tested(series=len(series), origins=config.origins),
            copycats=sum(row.copycat for row in rows),
            outside={name: _copies(scores, name) for name in outside},
        ),
    )


def _gather(series: Series, number: int, origins: int, horizon: int, forecasts: Forecasts) -> SeriesScores:
    folds = rolling_folds(len(series.values), origins)
    values = series.values[:, 0]
    by_fold = forecasts[NAIVE_NAME][0][number]
    targets = [by_fold[fold.number].targets for fold in folds]
    counts = [len(found) for found in targets]
    season = season_steps(series.step_s) or 1
    scales = [naive_scale(values[: fold.cut], season) for fold in folds]
    found: dict[str, NDArray[np.float64]] = {}
    for method, seeds in forecasts.items():
        for seed in seeds.values():
            for fold in folds:
                if not np.array_equal(seed[number][fold.number].targets, targets[fold.number]):
                    raise AssertionError(f"{method} forecast other steps of {series.name} than {NAIVE_NAME}")
        found[method] = np.stack(
            [np.concatenate([s[number][f.number].forecasts for f in folds]) for s in seeds.values()]
        )
    if len(found[MODEL]) > 1:
        found[ENSEMBLE_NAME] = found[MODEL].mean(axis=0, keepdims=True)
    first = np.concatenate(targets)  # (n,)
    return SeriesScores(
        truth=values[first[:, np.newaxis] + np.arange(horizon)],
        last=values[first - 1],
        fold=np.repeat(np.arange(origins), counts),
        absolute=np.repeat([scale.absolute for scale in scales], counts),
        squared=np.repeat([scale.squared for scale in scales], counts),
        season=scales[0].season,
        forecasts=found,
    )


def _copies(scores: Sequence[SeriesScores], method: str) -> int:
    return sum(is_copycat(score.forecasts[method], score.truth, score.last) for score in scores)


def is_copycat(forecasts: NDArray[np.float64], truth: NDArray[np.float64], last: NDArray[np.float64]) -> bool:
    """Return whether the forecast change does not predict the real one, so that the forecast trails the series.

    forecasts (seeds, n, horizon), truth (n, horizon), last (n,). The rank correlation between forecast and real change
    must be positive by more than chance. (A comparison of the forecast's correlations with y[t - 1] and with y[t] would
    flag the best forecast of any autocorrelated series, because it lies between the two.)
    """
    from scipy.stats import spearmanr

    forecast_change = forecasts.mean(axis=0)[:, 0] - last
    if not forecast_change.any():
        return True
    found = spearmanr(forecast_change, truth[:, 0] - last, alternative="greater")
    return not float(found.pvalue) < LEVEL


def _mean_errors(seeds: Sequence[PointErrors]) -> PointErrors:
    def mean(name: str) -> float | None:
        values = [getattr(one, name) for one in seeds]
        return None if None in values else float(np.mean(values))

    return PointErrors(
        mae=mean("mae") or 0.0,
        rmse=mean("rmse") or 0.0,
        bias=mean("bias") or 0.0,
        smape=mean("smape") or 0.0,
        mase=mean("mase"),
        rmsse=mean("rmsse"),
    )


def _summaries(scores: Sequence[SeriesScores]) -> list[MethodSummary]:
    methods = list(scores[0].forecasts)
    derived = [method for method in methods if method in (ENSEMBLE_NAME, ADAPTED_NAME)]
    alone = [method for method in methods if method not in derived]
    losses = {method: [score.loss(method) for score in scores] for method in methods}
    by_fold = {method: _fold_means(scores, found) for method, found in losses.items()}
    ranks = mean_ranks({method: by_fold[method] for method in alone})
    for name in derived:  # it takes the model's place: beside the model it would change all other ranks
        others = {method: by_fold[method] for method in (name, *alone) if method != MODEL_NAME}
        ranks[name] = mean_ranks(others)[name]
    return [_summary(scores, method, ranks[method], losses) for method in methods]


def _fold_means(scores: Sequence[SeriesScores], losses: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean loss per series and fold: (cases,)."""
    return np.concatenate(
        [
            np.bincount(score.fold, weights=loss) / np.bincount(score.fold)
            for score, loss in zip(scores, losses, strict=True)
        ]
    )


def _summary(
    scores: Sequence[SeriesScores], method: str, rank: float, losses: Mapping[str, list[NDArray[np.float64]]]
) -> MethodSummary:
    horizon = scores[0].truth.shape[1]
    errors = [score.seed_errors(method) for score in scores]  # series, then seeds
    naive = [score.seed_errors(NAIVE_NAME)[0] for score in scores]
    mae = _ratios([[one.mae for one in seeds] for seeds in errors], [one.mae for one in naive])  # (series, seeds)
    rmse = _ratios([[one.rmse for one in seeds] for seeds in errors], [one.rmse for one in naive])
    means = [_mean_errors(seeds) for seeds in errors]
    per_seed = tuple(geometric_mean(column) for column in mae.T)
    tests = [diebold_mariano(a, b, horizon) for a, b in zip(losses[method], losses[NAIVE_NAME], strict=True)]
    against = [diebold_mariano(a, b, horizon) for a, b in zip(losses[MODEL_NAME], losses[method], strict=True)]
    return MethodSummary(
        name=method,
        mae_ratio=float(np.mean(per_seed)),
        mae_ratio_seeds=per_seed,
        worst_series=float(mae.mean(axis=1).max()),
        beaten=int((mae.mean(axis=1) < 1).sum()),
        rmse_ratio=float(np.mean([geometric_mean(column) for column in rmse.T])),
        mase=_mean_or_none([one.mase for one in means]),
        rmsse=_mean_or_none([one.rmsse for one in means]),
        smape=float(np.mean([one.smape for one in means])),
        bias_ratio=float(
            np.mean([m.bias / s.truth.mean() if s.truth.mean() else 0.0 for m, s in zip(means, scores, strict=True)])
        ),
        mean_rank=rank,
        dm_better=sum(test.better for test in tests),
        dm_worse=sum(test.worse for test in tests),
        model_better=sum(test.better for test in against),
        model_worse=sum(test.worse for test in against),
    )


def _ratios(errors: Sequence[Sequence[float]], naive: Sequence[float]) -> NDArray[np.float64]:
    """Return errors / naive: (series, seeds). If the last value has no error, 1 if the method has none, else inf."""
    found, base = np.array(errors), np.array(naive)[:, np.newaxis]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(base > 0, found / base, np.where(found > 0, np.inf, 1.0))


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _fold_rows(
    series: Series, number: int, score: SeriesScores, config: EvaluateConfig, forecasts: Forecasts
) -> list[FoldRow]:
    rows = []
    for fold in rolling_folds(len(series.values), config.origins):
        own = score.fold == fold.number
        moment = datetime.datetime.fromtimestamp(series.start_s + fold.cut * series.step_s, datetime.UTC)
        rows.append(
            FoldRow(
                series=series.name,
                fold=fold.number + 1,
                cut_time=moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
                trained_steps=fold.cut,
                tested_windows=int(own.sum()),
                mae={method: float(score.loss(method)[own].mean()) for method in score.forecasts},
                epochs=tuple(seed[number][fold.number].epochs for seed in forecasts[MODEL].values()),
            )
        )
    return rows
