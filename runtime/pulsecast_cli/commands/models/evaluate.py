"""`pulsecast evaluate`: whether a model's forecasts can be trusted, over rolling origins and beside baselines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pulsecast.errors import UsageError
from pulsecast.stages.exits import OUT_OF_TOLERANCE

from ...logs.options import UNSAID, LogOptions, Logs, UserKey, given, secret
from ...logs.reading import configured, read_with
from ...terminal.grouped import grouped
from ...terminal.options import Key, TrustCode, under
from ...terminal.output import Format, progress, show, tell
from .evaluate_bundle import evaluate_bundle, scores_text
from .evaluate_words import evaluation_text

if TYPE_CHECKING:
    from pulsecast_train.backtesting.config import EvaluateConfig
    from pulsecast_train.backtesting.result import Evaluation
    from pulsecast_train.recipes.train_config import RunConfig, TrainConfig


_option = under("Evaluation")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What was said about the back-test and the trainings in it; None leaves it to the defaults."""

    recipe: Annotated[str | None, _option("--recipe", "recommended (default) or textbook.")] = None
    window: Annotated[int | None, _option("--window", "Steps the network sees.")] = None
    units: Annotated[str | None, _option("--units", "LSTM units per layer, 50,50, or tiny.")] = None
    epochs: Annotated[int | None, _option("--epochs", "At most so many.")] = None
    origins: Annotated[int, _option("--origins", "Cut-offs in the second half.")] = 5
    seeds: Annotated[int, _option("--seeds", "Trainings per fold.")] = 3
    horizon: Annotated[str, _option("--horizon", "Steps ahead, with commas; each gets a table.")] = "1"
    pool: Annotated[bool | None, _option("--pool/--no-pool", "One network over all series, or one each.")] = None
    baseline: Annotated[list[str] | None, _option("--baseline", "Baseline, repeatable; all that are installed.")] = None
    interval: Annotated[float, _option("--interval", "Nominal coverage of the intervals.")] = 0.9
    holidays: Annotated[
        list[str] | None, _option("--holidays", "Tell the network the holidays of US, DE-BY, ...; repeatable.")
    ] = None
    holiday_zone: Annotated[str | None, _option("--holiday-zone", "Time zone in which a holiday begins; UTC.")] = None
    smearing: Annotated[bool, _option("--smearing", "Also score forecasts corrected to be of means.")] = False

    def training(self) -> dict[str, Any]:
        """Return what was said as values of `TrainConfig`; raises UsageError for units that are none."""
        from pulsecast_train.recipes.train_config import parse_units

        units = parse_units(self.units) if self.units else None
        names = ("recipe", "window", "epochs", "pool", "holidays", "holiday_zone")
        return given(**{name: getattr(self, name) for name in names}, units=units)

    def config(self, train: TrainConfig) -> EvaluateConfig:
        """Return the back-test of trainings as `train` says; raises UsageError for what cannot be."""
        from pulsecast_train.backtesting.config import EvaluateConfig
        from pulsecast_train.recipes.train_config import with_changes

        chosen = {"origins": self.origins, "seeds": self.seeds, "horizons": _numbers(self.horizon)}
        baselines = tuple(self.baseline) if self.baseline else None
        judged = {"interval": self.interval, "smearing": self.smearing}
        return with_changes(EvaluateConfig(train=train), {**chosen, "baselines": baselines, **judged})


USUAL = EvaluateOptions()


@grouped
def evaluate(
    logs: Logs,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", exists=True, help="Train nothing: score every artifact of this bundle instead."),
    ] = None,
    key: Key = None,
    trust_code: TrustCode = False,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the result, the report and each fold's forecasts.")
    ] = Path("evaluation"),
    config: Annotated[
        Path | None,
        typer.Option("--config", exists=True, dir_okay=False, help="TOML with [log] and [train]; flags win."),
    ] = None,
    options: EvaluateOptions = USUAL,
    jobs: Annotated[int, typer.Option("--jobs", help="Local processes; 0 is one per core.")] = 0,
    dask: Annotated[str | None, typer.Option("--dask", help="Dask scheduler, such as tcp://host:8786.")] = None,
    log: LogOptions = UNSAID,
    user_key: UserKey = None,
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write OUT/report.html with pictures.")] = True,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Back-test over rolling origins beside naive baselines; an interrupted evaluation goes on where it stopped.

    With --bundle nothing is trained: every artifact forecasts the held-out part, and each metric must come out within
    1 % of the float64 reference's (exit code 3 if not); a coverage may differ by as much as chance makes of it.
    """
    if bundle is not None:
        _refuse_training(options, {"--config": config, "--dask": dask})
        scores = evaluate_bundle(logs, bundle, log, interval=options.interval, key=key, trust_code=trust_code)
        document = {"command": "evaluate", "reproduced": scores.reproduced, "artifacts": scores}
        show(format_, text=scores_text(scores), document=document)
        if not scores.reproduced:
            raise typer.Exit(OUT_OF_TOLERANCE)
        return
    if key is not None or trust_code:
        raise UsageError("--key and --trust-code vouch for a bundle; name it with --bundle")
    run = configured(config, log, options.training())
    chosen = options.config(run.train)
    result = run_evaluation(logs, run, chosen, out, jobs=jobs, dask=dask, html=html, user_key=secret(user_key))
    report = f"\nreport: {out / 'report.html'}" if html else ""
    show(format_, text=f"{evaluation_text(result)}{report}", document={"command": "evaluate", "evaluation": result})


def _refuse_training(options: EvaluateOptions, others: dict[str, object]) -> None:
    names = ("recipe", "window", "units", "epochs", "pool", "holidays", "holiday_zone", "baseline")
    training = {f"--{name.replace('_', '-')}": getattr(options, name) for name in names}
    every = {**others, **training, "--smearing": options.smearing or None}
    said = ", ".join(name for name, value in every.items() if value is not None)
    if said:
        raise UsageError(f"--bundle scores a finished model, for which {said} has no meaning; leave it out")


def run_evaluation(
    logs: list[Path],
    run: RunConfig,
    config: EvaluateConfig,
    out: Path,
    *,
    jobs: int,
    dask: str | None,
    html: bool,
    user_key: bytes | None,
) -> Evaluation:
    """Read the logs and evaluate, with progress on stderr; write the report if asked for."""
    from pulsecast_train.backtesting.baselines import find_baseline
    from pulsecast_train.backtesting.evaluator import Where, evaluate

    if html:
        from pulsecast_train.pages.backtest_report import write_report  # what it needs is missed now, not after an hour
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; --out names the folder for all that is written")
    if jobs < 0:
        raise UsageError(f"jobs is {jobs}; expected 0 (one per core) or more")
    for name in config.baselines or ():
        find_baseline(name)  # refused now, not after a long log was read
    series, report = read_with(logs, run.log, user_key=user_key)
    tell(report.text())
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
