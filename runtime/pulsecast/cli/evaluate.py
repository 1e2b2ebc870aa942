"""`pulsecast evaluate`: whether a model's forecasts can be trusted, over rolling origins and beside baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from . import log_options as log
from .evaluate_bundle import evaluate_bundle, scores_text
from .exits import OUT_OF_TOLERANCE
from .output import Format, progress, show, table, tell

if TYPE_CHECKING:
    from pulsecast_train.backtesting.config import EvaluateConfig
    from pulsecast_train.backtesting.result import Coverage, Evaluation, HorizonResult

PANEL = "Evaluation"


def evaluate(
    logs: log.Logs,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", exists=True, help="Train nothing: score every artifact of this bundle instead."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", exists=True, dir_okay=False, help="Public key that must have signed the bundle."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the result, the report and each fold's forecasts.")
    ] = Path("evaluation"),
    config: Annotated[
        Path | None,
        typer.Option("--config", exists=True, dir_okay=False, help="TOML with [log] and [train]; flags win."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="recommended (default) or textbook.", rich_help_panel=PANEL)
    ] = None,
    window: Annotated[
        int | None, typer.Option("--window", help="Steps the network sees.", rich_help_panel=PANEL)
    ] = None,
    units: Annotated[
        str | None, typer.Option("--units", help="LSTM units per layer, 50,50, or tiny.", rich_help_panel=PANEL)
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="At most so many.", rich_help_panel=PANEL)] = None,
    origins: Annotated[int, typer.Option("--origins", help="Cut-offs in the second half.", rich_help_panel=PANEL)] = 5,
    seeds: Annotated[int, typer.Option("--seeds", help="Trainings per fold.", rich_help_panel=PANEL)] = 3,
    horizon: Annotated[
        str, typer.Option("--horizon", help="Steps ahead, with commas; each gets a table.", rich_help_panel=PANEL)
    ] = "1",
    pool: Annotated[
        bool | None,
        typer.Option("--pool/--no-pool", help="One network over all series, or one each.", rich_help_panel=PANEL),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option("--baseline", help="Baseline, repeatable; all that are installed.", rich_help_panel=PANEL),
    ] = None,
    interval: Annotated[
        float, typer.Option("--interval", help="Nominal coverage of the intervals.", rich_help_panel=PANEL)
    ] = 0.9,
    jobs: Annotated[int, typer.Option("--jobs", help="Local processes; 0 is one per core.")] = 0,
    dask: Annotated[str | None, typer.Option("--dask", help="Dask scheduler, such as tcp://host:8786.")] = None,
    column: log.Columns = None,
    time: log.Time = None,
    metric: log.Metrics = None,
    series_column: log.SeriesColumn = None,
    id_: log.Identity = None,
    user: log.User = None,
    user_cap: log.UserCap = None,
    events: log.Events = None,
    kind: log.Kind = None,
    allow_reset: log.AllowReset = None,
    maturity: log.Maturity = None,
    step: log.Step = None,
    timezone: log.Timezone = None,
    repeated_hour: log.RepeatedHour = None,
    time_format: log.TimeFormat = None,
    missing: log.Missing = None,
    on_conflict: log.OnConflict = None,
    max_gap: log.MaxGap = None,
    user_key: log.UserKey = None,
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write OUT/report.html with pictures.")] = True,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Back-test over rolling origins beside naive baselines; an interrupted evaluation goes on where it stopped.

    With --bundle nothing is trained: every artifact forecasts the held-out part, and each metric must come out within
    1 % of the float64 reference's (exit code 3 if not).
    """
    from pulsecast_train.backtesting.config import EvaluateConfig
    from pulsecast_train.train_config import RunConfig, parse_units, read_config, with_changes

    reading = log.given(
        columns=log.columns(column), time=time, metrics=metric, series=series_column, id=id_, user=user,
        user_cap=user_cap, events=events, kind=kind, allow_reset=allow_reset, maturity=maturity, step=step,
        timezone=timezone, repeated_hour=repeated_hour, time_format=time_format, missing=missing,
        on_conflict=on_conflict, max_gap=max_gap,
    )  # fmt: skip
    if bundle is not None:
        _refuse_training(
            {"--config": config, "--recipe": recipe, "--window": window, "--units": units, "--epochs": epochs}
            | {"--pool": pool, "--baseline": baseline, "--dask": dask}
        )
        scores = evaluate_bundle(logs, bundle, key, reading, interval)
        document = {"command": "evaluate", "reproduced": scores.reproduced, "artifacts": scores}
        show(format_, text=scores_text(scores), document=document)
        if not scores.reproduced:
            raise typer.Exit(OUT_OF_TOLERANCE)
        return
    run = read_config(config) if config else RunConfig()
    training = log.given(
        recipe=recipe, window=window, units=parse_units(units) if units else None, epochs=epochs, pool=pool
    )
    run = RunConfig(log=with_changes(run.log, reading), train=with_changes(run.train, training))
    chosen = with_changes(
        EvaluateConfig(train=run.train),
        {
            "origins": origins,
            "seeds": seeds,
            "horizons": _numbers(horizon),
            "baselines": tuple(baseline) if baseline else None,
            "interval": interval,
        },
    )
    result = run_evaluation(logs, run, chosen, out, jobs=jobs, dask=dask, html=html, user_key=log.secret(user_key))
    report = f"\nreport: {out / 'report.html'}" if html else ""
    show(format_, text=f"{evaluation_text(result)}{report}", document={"command": "evaluate", "evaluation": result})


def _refuse_training(options: dict[str, object]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(f"--bundle scores a finished model, for which {', '.join(given)} has no meaning; leave it out")


def run_evaluation(
    logs: list[Path],
    run: Any,
    config: EvaluateConfig,
    out: Path,
    *,
    jobs: int,
    dask: str | None,
    html: bool,
    user_key: bytes | None,
) -> Evaluation:
    """Read the logs and evaluate, with progress on stderr; write the report if asked for."""
    from pulsecast_train.backtesting.evaluator import Where, evaluate
    from pulsecast_train.logs.reader import read_log

    if html:
        from pulsecast_train.backtesting.report import write_report  # what it needs is missed now, not after an hour
    with log.reading() as on_bytes:
        series, report = read_log(logs, run.log, on_bytes=on_bytes, user_key=user_key)
    tell(report.text())
    if jobs < 0:
        raise UsageError(f"jobs is {jobs}; expected 0 (one per core) or more")
    with progress("piece") as steps:
        result, forecasts = evaluate(series, config, out, Where(jobs=jobs, dask=dask), steps.advance)
    if html:
        write_report(out / "report.html", series, result, forecasts)
    return result


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"horizon is {text!r}; expected numbers with commas, such as 1,24") from error


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
