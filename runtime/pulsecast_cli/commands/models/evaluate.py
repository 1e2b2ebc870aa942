"""`pulsecast evaluate`: can a model's forecasts be trusted? Over rolling origins, compared with baselines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import with_changes
from pulsecast.stages.exits import OUT_OF_TOLERANCE

from ...logs.options import UNSAID, LogOptions, Logs, UserKey, Yes, given, secret
from ...logs.reading import configured
from ...terminal.grouped import grouped
from ...terminal.options import Key, TrustCode, under
from ...terminal.output import Format, progress, show

if TYPE_CHECKING:
    from pulsecast_train.backtesting.config import EvaluateConfig
    from pulsecast_train.recipes.train_config import TrainConfig


_option = under("Evaluation")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """The options of the back-test and of its trainings; None means the default."""

    recipe: Annotated[str | None, _option("--recipe", "recommended (default) or textbook.")] = None
    window: Annotated[int | None, _option("--window", "Steps the network sees.")] = None
    units: Annotated[str | None, _option("--units", "LSTM units per layer, 50,50, or tiny.")] = None
    epochs: Annotated[int | None, _option("--epochs", "Most epochs.")] = None
    origins: Annotated[int, _option("--origins", "Cut-offs in the second half.")] = 5
    seeds: Annotated[int, _option("--seeds", "Trainings per fold.")] = 3
    horizon: Annotated[str, _option("--horizon", "Steps ahead, with commas; each gets a table.")] = "1"
    pool: Annotated[
        bool | None,
        _option(
            "--pool/--no-pool",
            "One network over all series, or one each; with --bundle: series that it does not have by its pool.",
        ),
    ] = None
    baseline: Annotated[list[str] | None, _option("--baseline", "Baseline, repeatable; default: all installed.")] = None
    linear: Annotated[
        bool | None, _option("--linear/--no-linear", "A linear path beside the network, or the network alone.")
    ] = None
    interval: Annotated[float, _option("--interval", "Nominal coverage of the intervals.")] = 0.9
    holidays: Annotated[
        list[str] | None, _option("--holidays", "Tell the network the holidays of US, DE-BY, ...; repeatable.")
    ] = None
    holiday_zone: Annotated[str | None, _option("--holiday-zone", "Time zone in which a holiday begins; UTC.")] = None
    smearing: Annotated[bool, _option("--smearing", "Also score forecasts corrected to means.")] = False
    adapting: Annotated[bool, _option("--adapt", "Also score forecasts of a stream that adapts.")] = False

    def training(self) -> dict[str, Any]:
        """Return the given options as values of `TrainConfig`; raises UsageError for wrong units."""
        from pulsecast_train.recipes.train_config import parse_units

        units = parse_units(self.units) if self.units else None
        names = ("recipe", "window", "epochs", "pool", "linear", "holidays", "holiday_zone")
        return given(**{name: getattr(self, name) for name in names}, units=units)

    def config(self, train: TrainConfig) -> EvaluateConfig:
        """Return the configuration of the back-test; raises UsageError for a wrong value."""
        from pulsecast_train import EvaluateConfig

        chosen = {"origins": self.origins, "seeds": self.seeds, "horizons": _numbers(self.horizon)}
        baselines = tuple(self.baseline) if self.baseline else None
        judged = {"interval": self.interval, "smearing": self.smearing, "adapting": self.adapting}
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
    forecasts: Annotated[
        list[Path] | None,
        typer.Option(
            "--forecasts",
            exists=True,
            dir_okay=False,
            help="CSV of forecasts from elsewhere to stand beside ours: series,time,step,forecast; repeatable.",
        ),
    ] = None,
    log: LogOptions = UNSAID,
    user_key: UserKey = None,
    yes: Yes = False,
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write OUT/report.html with pictures.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace the result and the report in OUT.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Back-test over rolling origins beside naive baselines; an interrupted evaluation continues where it stopped.

    With --bundle nothing is trained: every artifact forecasts the held-out part, and each metric must lie within 1 % of
    the float64 reference's (exit code 3 if not); a coverage may differ by chance. A bundle of several series scores
    each by its name.
    """
    if bundle is not None:
        _refuse_training(
            options, {"--config": config, "--dask": dask, "--forecasts": forecasts, "--force": force or None}
        )
        _score_bundle(logs, bundle, log, options, Vouched(key, trust_code), format_)
        return
    if key is not None or trust_code:
        raise UsageError("--key and --trust-code are for a bundle; name it with --bundle")
    from pulsecast_train import evaluate as run

    chosen = configured(config, log, options.training())
    with progress() as heard:
        found = run(
            logs,
            out=out,
            log=chosen.log,
            config=options.config(chosen.train),
            jobs=jobs,
            dask=dask,
            html=html,
            force=force,
            forecasts=forecasts or (),
            yes=yes,
            user_key=secret(user_key),
            progress=heard,
        )
    report = f"\nreport: {out / 'report.html'}" if html else ""
    show(format_, text=f"{found!r}{report}", document={"command": "evaluate", "evaluation": found})


class Vouched(NamedTuple):
    """Why a bundle's code is trusted."""

    key: Path | None
    trust_code: bool


def _score_bundle(
    logs: list[Path], bundle: Path, log: LogOptions, options: EvaluateOptions, vouched: Vouched, format_: Format
) -> None:
    from pulsecast_train import evaluate_bundle

    with progress() as heard:
        found = evaluate_bundle(
            logs,
            bundle,
            changes=log.changes(),
            pool=bool(options.pool),
            interval=options.interval,
            **vouched._asdict(),
            progress=heard,
        )
    document = {"command": "evaluate", "reproduced": found.reproduced, "artifacts": found}
    show(format_, text=repr(found), document=document)
    if not found.reproduced:
        raise typer.Exit(OUT_OF_TOLERANCE)


def _refuse_training(options: EvaluateOptions, others: dict[str, object]) -> None:
    names = ("recipe", "window", "units", "epochs", "linear", "holidays", "holiday_zone", "baseline")
    training = {f"--{name.replace('_', '-')}": getattr(options, name) for name in names}
    every = {**others, **training, "--smearing": options.smearing or None, "--adapt": options.adapting or None}
    said = ", ".join(name for name, value in every.items() if value is not None)
    if said:
        raise UsageError(f"--bundle scores a finished model, for which {said} has no meaning; leave it out")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"horizon is {text!r}; expected numbers with commas, such as 1,24") from error
