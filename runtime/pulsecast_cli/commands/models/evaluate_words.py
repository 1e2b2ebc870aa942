"""What `pulsecast evaluate` says of a back-test: a table, the coverage of intervals and a verdict per horizon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...terminal.output import table

if TYPE_CHECKING:
    from pulsecast_train.backtesting.result import Coverage, Evaluation, HorizonResult


def evaluation_text(result: Evaluation) -> str:
    """Return the tables and verdicts of every horizon, and the formulas."""
    parts = [horizon_text(found, result.config.origins) for found in result.horizons]
    seasons = sorted({row.season for found in result.horizons for row in found.series})
    formulas = [f"{name} = {formula}" for name, formula in result.formulas.items()]
    formulas.append(f"m = {', '.join(map(str, seasons))} steps; ratios are geometric means over series")
    return "\n\n".join([*parts, "\n".join(formulas)])


def horizon_text(found: HorizonResult, origins: int) -> str:
    """Return one horizon's table, coverage and verdict."""
    series = len(found.series)
    rows = [
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
    head = (
        "forecast",
        "MAE/last",
        "seeds",
        "RMSE/last",
        "MASE",
        "RMSSE",
        "sMAPE",
        "bias",
        "rank",
        "beat last",
        "DM +/-",
    )
    tested = sum(row.tested_windows for row in found.folds)
    title = f"horizon {found.horizon}: {series} series, {origins} origins, {tested:,} forecasts"
    return "\n".join([title, table(head, rows), _coverage_text(found.coverage), f"verdict: {found.verdict}"])


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
