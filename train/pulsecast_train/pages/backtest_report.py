"""The evaluation as one self-contained HTML file: verdict, tables, and pictures as SVG inside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from pulsecast.foundation.tables import html_table
from pulsecast.foundation.whole_file import write_whole
from pulsecast.model.spec import DAY_S

from ..backtesting.backtest import MODEL
from ..backtesting.folds import rolling_folds
from ..backtesting.interval_scores import Judged, judge_fold
from ..backtesting.metrics import geometric_mean
from ..backtesting.result import ENSEMBLE_NAME, MODEL_NAME, NAIVE_NAME, Evaluation, FoldRow, HorizonResult
from ..backtesting.scoring import Forecasts
from ..series import Series
from .document import STYLE, document
from .pictures import bars_picture, forecast_picture, lines_picture, week_picture

SHOWN_SERIES = 12
SHOWN_DAYS = 10
HOUR_S = 3600

mpl.use("svg")


def write_report(path: Path, series: Sequence[Series], result: Evaluation, forecasts: dict[int, Forecasts]) -> None:
    """Write the report of `result` to `path` in one step."""
    write_whole(path, report_html(series, result, forecasts), force=True)


def report_html(series: Sequence[Series], result: Evaluation, forecasts: dict[int, Forecasts]) -> str:
    """Return the report as one HTML document."""
    config = result.config
    how = "one network over all series, each scaled by itself" if result.pooled else "a network per series"
    intro = (
        f"recipe {config.train.recipe}, {'-'.join(map(str, config.train.units))} units, window {config.train.window}; "
        f"{how}; {config.origins} origins, window expanding, refitted for every fold; {config.seeds} seeds; "
        f"{len(series)} series"
    )
    parts = [_horizon(series, result, found, forecasts[found.horizon]) for found in result.horizons]
    formulas = "".join(f"<li>{escape(name)} = {escape(text)}</li>" for name, text in result.formulas.items())
    return document(
        "Evaluation",
        STYLE,
        f"<h1>Evaluation of a forecaster</h1><p>{escape(intro)}.</p>{''.join(parts)}"
        f'<h2>How to read it</h2><ul class="note">{formulas}<li>Ratios are geometric means over series of the error '
        "over that of the last value repeated; DM counts series with a significantly smaller / larger absolute error "
        "than that (Diebold-Mariano, 5 %). The ensemble is the mean of the seeds' forecasts.</li></ul>",
    )


def _horizon(series: Sequence[Series], result: Evaluation, found: HorizonResult, forecasts: Forecasts) -> str:
    bad = ' bad"' if "DO NOT DEPLOY" in found.verdict else '"'
    level = result.config.interval
    judged = [_judge(one, i, result, forecasts) for i, one in enumerate(series)]
    shown = list(zip(series, judged, strict=True))[:SHOWN_SERIES]
    pictures = "".join(f"<figure>{_series_picture(one, part, found.horizon, level)}</figure>" for one, part in shown)
    left_out = len(series) - len(shown)
    more = f'<p class="note">{left_out} more series are in the tables.</p>' if left_out else ""
    return (
        f"<h2>Horizon {found.horizon}</h2>"
        f'<p class="verdict{bad}>{escape(found.verdict)}</p>{_methods_table(found)}'
        f"<h3>Forecast over truth</h3><p class='note'>The last fold, of it at most {SHOWN_DAYS} days, seed 1, "
        f"{found.horizon} step{'s' if found.horizon > 1 else ''} ahead, with rolling conformal intervals.</p>"
        f"{pictures}{more}"
        f"<h3>Error by hour of the week</h3><figure>{_week(judged)}</figure>"
        f"{_coverage(found)}<h3>Folds</h3><figure>{_folds_picture(found)}</figure>{_series_table(found)}"
        f"{_folds_table(found)}"
    )


def _judge(series: Series, number: int, result: Evaluation, forecasts: Forecasts) -> list[Judged]:
    """Return the intervals of the first seed, fold by fold."""
    seed = next(iter(forecasts[MODEL].values()))
    folds = rolling_folds(len(series.values), result.config.origins)
    return [judge_fold(series, seed[number][fold.number], result.config.interval) for fold in folds]


def _series_picture(series: Series, judged: Sequence[Judged], horizon: int, level: float) -> str:
    last = judged[-1]
    rows = slice(horizon - 1, None, horizon)  # the furthest step ahead of each forecast
    seconds = last.seconds[rows]
    recent = seconds > seconds[-1] - SHOWN_DAYS * DAY_S
    forecast, lower, upper, truth = (a[rows][recent] for a in (last.forecast, last.lower, last.upper, last.truth))
    return forecast_picture(series.name, seconds[recent], truth, forecast, (lower, upper), level)


def _week(judged: Sequence[Sequence[Judged]]) -> str:
    """Draw mean |error| over the series' mean truth, by hour of the week."""
    total, count = np.zeros(168), np.zeros(168)
    for folds in judged:
        error = np.concatenate([np.abs(one.forecast - one.truth) for one in folds])
        unit = float(np.concatenate([one.truth for one in folds]).mean()) or 1.0
        seconds = np.concatenate([one.seconds for one in folds])
        hour = (seconds // DAY_S + 3) % 7 * 24 + seconds % DAY_S // HOUR_S  # Monday is 0
        total += np.bincount(hour, weights=error / unit, minlength=168)
        count += np.bincount(hour, minlength=168)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = (total / np.where(count > 0, count, np.nan)).reshape(7, 24)
    return week_picture("Where it errs", mean, "mean |error| / mean value")


def _coverage(found: HorizonResult) -> str:
    if found.coverage is None:
        return "<h3>Intervals</h3><p>There are too few residuals for any interval.</p>"
    covered = found.coverage
    picture = bars_picture(
        "Coverage by hour of the day", "covered", covered.by_hour, xlabel="hour, UTC", level=covered.level
    )
    return (
        f"<h3>Intervals</h3><p>Nominal {covered.level:.0%}, covered {covered.coverage:.1%}; worst day "
        f"{covered.worst_day_date} with {covered.worst_day:.1%}; mean width {covered.width:.2f} and Winkler score "
        f"{covered.winkler:.2f} of the mean value.</p><figure>{picture}</figure>"
    )


def _folds_picture(found: HorizonResult) -> str:
    """Draw each method's MAE over the last value's, fold by fold, as geometric means over series."""
    numbers = sorted({row.fold for row in found.folds})
    best = [
        m.name for m in sorted(found.methods, key=lambda m: m.mae_ratio) if m.name not in (MODEL_NAME, ENSEMBLE_NAME)
    ]
    names = [MODEL_NAME, *(name for name in best[:4] if name != NAIVE_NAME)]
    lines = {name.replace("_", " "): [_fold_ratio(found.folds, fold, name) for fold in numbers] for name in names}
    return lines_picture("Fold by fold", "MAE / last value", [str(n) for n in numbers], lines, xlabel="fold", level=1.0)


def _fold_ratio(rows: Sequence[FoldRow], fold: int, name: str) -> float:
    ratios = [row.mae[name] / row.mae[NAIVE_NAME] for row in rows if row.fold == fold and row.mae[NAIVE_NAME] > 0]
    return geometric_mean(np.array(ratios)) if ratios else 1.0


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], marked: Sequence[int] = ()) -> str:
    return f'<div class="scroll">{html_table(head, rows, marked=marked)}</div>'


def _methods_table(found: HorizonResult) -> str:
    methods, series = sorted(found.methods, key=lambda method: method.mae_ratio), len(found.series)
    rows = [
        (
            method.name.replace("_", " "),
            f"{method.mae_ratio:.3f}",
            f"{min(method.mae_ratio_seeds):.3f} to {max(method.mae_ratio_seeds):.3f}"
            if len(method.mae_ratio_seeds) > 1
            else "",
            f"{method.worst_series:.3f}",
            f"{method.rmse_ratio:.3f}",
            _number(method.mase),
            _number(method.rmsse),
            f"{method.smape:.1f}",
            f"{method.bias_ratio:+.1%}",
            f"{method.mean_rank:.2f}",
            f"{method.beaten}/{series}",
            f"{method.dm_better} / {method.dm_worse}",
        )
        for method in methods
    ]
    head = (
        "forecast", "MAE / last", "seeds", "worst series", "RMSE / last", "MASE", "RMSSE", "sMAPE", "bias", "mean rank",
        "beats last", "DM + / -",
    )  # fmt: skip
    return _table(head, rows, [i for i, method in enumerate(methods) if method.name == MODEL_NAME])


def _amount(value: float, sign: str = "-") -> str:
    """Return raw units as text: four digits, or all before the point; `sign` as in a format."""
    return f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.4g}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _series_table(found: HorizonResult) -> str:
    rows = []
    for row in found.series:
        model, naive = row.errors[MODEL_NAME], row.errors[NAIVE_NAME]
        covered = row.coverage
        rows.append(
            (
                row.series,
                _amount(row.mean_truth),
                _amount(model.mae),
                f"{model.mae / naive.mae:.3f}" if naive.mae else "",
                _number(model.mase),
                str(row.season),
                _amount(model.bias, sign="+"),
                f"{covered.coverage:.1%}" if covered else "",
                f"{covered.worst_day:.0%} on {covered.worst_day_date}" if covered else "",
                "copies" if row.copycat else "",
            )
        )
    head = ("series", "mean", "MAE", "MAE / last", "MASE", "m", "bias", "covered", "worst day", "")
    return f"<h3>Series</h3>{_table(head, rows)}"


def _folds_table(found: HorizonResult) -> str:
    names = list(found.folds[0].mae)
    rows = [
        (
            row.series,
            str(row.fold),
            row.cut_time.replace("T", " ").replace(":00Z", ""),
            f"{row.trained_steps:,}",
            str(row.tested_windows),
            " ".join(map(str, row.epochs)),
            *(_amount(row.mae[name]) for name in names),
        )
        for row in found.folds
    ]
    head = ("series", "fold", "cut, UTC", "steps before", "forecasts", "epochs", *(n.replace("_", " ") for n in names))
    return f'<h3>Every fold</h3><p class="note">Mean absolute errors in raw units.</p>{_table(head, rows)}'
