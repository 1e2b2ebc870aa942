"""The result of an evaluation: records for programs, tables and a verdict for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pulsecast.foundation.tables import html_table, text_table

from .config import EvaluateConfig
from .metrics import PointErrors


@dataclass(frozen=True, kw_only=True)
class MethodSummary:
    """One method over all series; ratios are to the last value, as geometric means over series.

    mae_ratio     for the model, the mean over its seeds; `mae_ratio_seeds` holds the ratio of each seed
    worst_series  the largest MAE ratio of a series
    beaten        series on which its MAE is below the last value's
    mase, rmsse, smape  means over series
    bias_ratio    mean over series of bias / mean truth
    mean_rank     by MAE over series and folds; 1 is best
    dm_better, dm_worse  series on which its absolute error is smaller, larger than the last value's by Diebold-Mariano
    model_better, model_worse  series on which the model's is smaller, larger than this method's
    """

    name: str
    mae_ratio: float
    mae_ratio_seeds: tuple[float, ...]
    worst_series: float
    beaten: int
    rmse_ratio: float
    mase: float | None
    rmsse: float | None
    smape: float
    bias_ratio: float
    mean_rank: float
    dm_better: int
    dm_worse: int
    model_better: int
    model_worse: int


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Coverage of the rolling intervals; width and Winkler score are divided by the mean truth.

    worst_hour, worst_day  the smallest coverage of an hour of the week's day, and of a calendar day (UTC)
    by_hour                coverage of each hour of the day from 0 to 23; None if nothing was tested
    unbounded              share of forecasts for which too few residuals were known; they are left out of all others
    """

    level: float
    coverage: float
    width: float
    winkler: float
    by_hour: tuple[float | None, ...]
    worst_hour: float
    worst_day: float
    worst_day_date: str
    unbounded: float
    forecasts: int


@dataclass(frozen=True, kw_only=True)
class FoldRow:
    """One series in one fold: its cut, how much was tested, MAE per method (of the model as its seeds' mean)."""

    series: str
    fold: int
    cut_time: str
    trained_steps: int
    tested_windows: int
    mae: Mapping[str, float]
    epochs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class SeriesRow:
    """One series over all folds: errors per method, MASE's m, the model's intervals, and whether it copies."""

    series: str
    season: int
    mean_truth: float
    errors: Mapping[str, PointErrors]
    coverage: Coverage | None
    copycat: bool


@dataclass(frozen=True, kw_only=True)
class HorizonResult:
    """All figures for one horizon; `coverage` is pooled over series."""

    horizon: int
    methods: tuple[MethodSummary, ...]
    series: tuple[SeriesRow, ...]
    folds: tuple[FoldRow, ...]
    coverage: Coverage | None
    verdict: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Evaluation:
    """A whole evaluation, as `evaluation.json` holds it; in a notebook a table per horizon."""

    config: EvaluateConfig
    pooled: bool
    formulas: Mapping[str, str]
    horizons: tuple[HorizonResult, ...]
    seconds: float

    def __repr__(self) -> str:
        parts = [horizon_text(found, self.config.origins) for found in self.horizons]
        seasons = sorted({row.season for found in self.horizons for row in found.series})
        formulas = [f"{name} = {formula}" for name, formula in self.formulas.items()]
        formulas.append(f"m = {', '.join(map(str, seasons))} steps; ratios are geometric means over series")
        return "\n\n".join([*parts, "\n".join(formulas)])

    def _repr_html_(self) -> str:
        return "".join(
            html_table(METHODS, method_rows(found), caption=f"horizon {found.horizon}: {found.verdict}")
            for found in self.horizons
        )


METHODS = (
    "forecast", "MAE/last", "seeds", "RMSE/last", "MASE", "RMSSE", "sMAPE", "bias", "rank", "beat last", "DM +/-",
)  # fmt: skip


def method_rows(found: HorizonResult) -> list[tuple[str, ...]]:
    """Return a row of METHODS for each forecast, the best one by MAE first."""
    series = len(found.series)
    return [
        (
            method.name.replace("_", " "),
            f"{method.mae_ratio:.3f}",
            _spread(method.mae_ratio_seeds),
            f"{method.rmse_ratio:.3f}",
            _or_dash(method.mase),
            _or_dash(method.rmsse),
            f"{method.smape:.1f}",
            f"{method.bias_ratio:+.1%}",
            f"{method.mean_rank:.2f}",
            f"{method.beaten}/{series}",
            f"{method.dm_better}/{method.dm_worse}",
        )
        for method in sorted(found.methods, key=lambda method: method.mae_ratio)
    ]


def horizon_text(found: HorizonResult, origins: int) -> str:
    """Return one horizon's table, coverage and verdict."""
    tested = sum(row.tested_windows for row in found.folds)
    title = f"horizon {found.horizon}: {len(found.series)} series, {origins} origins, {tested:,} forecasts"
    table = text_table(METHODS, method_rows(found))
    return "\n".join([title, table, _coverage_text(found.coverage), f"verdict: {found.verdict}"])


def _coverage_text(found: Coverage | None) -> str:
    if found is None:
        return "intervals: too few residuals for any"
    hour = found.by_hour.index(found.worst_hour)
    return (
        f"intervals, rolling conformal, {found.level:.0%} asked: {found.coverage:.1%} covered; "
        f"worst hour {hour:02d} UTC {found.worst_hour:.1%}, worst day {found.worst_day_date} {found.worst_day:.1%}"
    )


def _spread(seeds: tuple[float, ...]) -> str:
    return f"{min(seeds):.3f}-{max(seeds):.3f}" if len(seeds) > 1 else "-"


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


MODEL_NAME, ENSEMBLE_NAME, NAIVE_NAME, LINEAR_NAME = "model", "model_ensemble", "last_value", "linear_path"
ADAPTED_NAME = "model_adapting"  # the model's forecasts, corrected as a stream adapts


@dataclass(frozen=True, kw_only=True)
class Tested:
    """What a verdict is over."""

    series: int
    origins: int


def verdict(
    methods: tuple[MethodSummary, ...], tested: Tested, *, copycats: int = 0, outside: Mapping[str, int] | None = None
) -> str:
    """Return the verdict in words: against the last value first, then against the best of all others.

    copycats  series on which the model copies the last value
    outside   methods that were not made here, and on how many series each does
    """
    by_name, outside = {method.name: method for method in methods}, outside or {}
    model, others = by_name[MODEL_NAME], [m for m in methods if m.name not in (MODEL_NAME, ENSEMBLE_NAME, ADAPTED_NAME)]
    what = f"by MAE over {tested.origins} origin{'s' if tested.origins > 1 else ''} and {tested.series} series"
    if model.mae_ratio >= 1:
        ratio = f"its MAE is {model.mae_ratio:.3f} of the last value's"
        said = [f"DO NOT DEPLOY: the model does not beat repeating the last value {what} ({ratio})"]
    else:
        said = [f"the model beats repeating the last value {what}: its MAE is {model.mae_ratio:.3f} times as large"]
        if model.worst_series >= 1:
            said.append(
                f"but not on every series: on {tested.series - model.beaten} of {tested.series} it is not better"
            )
        said.append(f"the difference is more than chance on {model.dm_better} of {tested.series} series")
    best = min(others, key=lambda m: m.mae_ratio)
    if best.mae_ratio < model.mae_ratio and best.name != NAIVE_NAME:
        kind = "what you brought" if best.name in outside else "a forecast without a network"
        said.append(
            f"{kind} is better: {best.name} reaches {best.mae_ratio:.3f} "
            f"({best.model_worse} series significantly better than the model, {best.model_better} worse)"
        )
    elif best.name != NAIVE_NAME:
        said.append(f"the best of the others, {best.name}, reaches {best.mae_ratio:.3f}")
    if best.mae_ratio < model.mae_ratio and LINEAR_NAME in by_name:
        said.append(
            f"the model's linear path alone reaches {by_name[LINEAR_NAME].mae_ratio:.3f}: "
            "`pulsecast export MODEL --model ridge --out BUNDLE` makes a bundle of it"
        )
    if copycats:
        said.append(f"on {copycats} series its changes do not predict the real ones: it copies the last value")
    said += [
        f"on {count} series the changes of {name} do not predict the real ones: its time must be that of the last "
        "known step"
        for name, count in outside.items()
        if count
    ]
    return "; ".join(said) + "."
