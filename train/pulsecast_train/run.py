"""A whole training run: logs in, model directory out."""

from __future__ import annotations

import itertools
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pulsecast.bundle.manifest import HeldOut
from pulsecast.bundle.tables import ACCURACY, accuracy_rows
from pulsecast.foundation.arguments import StrPath, flag, instance, one_path, paths
from pulsecast.foundation.tables import duration_text, html_table, text_table
from pulsecast.foundation.whole_directory import check_free, whole_directory
from pulsecast.stages.model_directory import MODEL_FOLDER, ModelRecord
from pulsecast.stages.progress import SILENT, Progress, require_progress

from .backtesting.metrics import geometric_mean
from .fitting.checkpoint import Checkpoint, forget_run
from .fitting.model_files import LINEAR, MODEL, UNSEEN, write_model
from .fitting.preparing import Prepared, prepare, prepare_pool
from .logs.config import LogConfig
from .logs.looking.settling import read_settled
from .recipes.recipes import filled, refuse_pool
from .recipes.train_config import RunConfig, TrainConfig
from .windows import Examples


@dataclass(frozen=True, kw_only=True, repr=False)
class Trained:
    """The result of `train`, usable as the path of the model directory.

    path       the folder
    record     the content of its `model.json`
    by_series  of a pool the held-out errors of each series by its name, `unseen` those by the pool's row; else empty
    """

    path: Path
    record: ModelRecord
    by_series: Mapping[str, HeldOut] = field(default_factory=dict)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __repr__(self) -> str:
        whole = f"{self.path}\n{accuracy_text(self.record.heldout, self.path)}"
        return f"{whole}\n\n{series_text(self.by_series)}" if self.by_series else whole

    def _repr_html_(self) -> str:
        heldout = self.record.heldout
        whole = html_table(ACCURACY, accuracy_rows(heldout), caption=f"{self.path}: {_outcome(heldout, self.path)}")
        if not self.by_series:
            return whole
        rows, more = series_rows(self.by_series)
        caption = "; ".join(filter(None, [more, series_verdict(self.by_series)]))
        return whole + html_table(BY_SERIES, rows, caption=caption)


def train(  # noqa: PLR0913  # an option is a parameter
    logs: StrPath | Sequence[StrPath],
    *,
    out: StrPath,
    log: LogConfig = LogConfig(),
    training: TrainConfig = TrainConfig(),
    force: bool = False,
    restart: bool = False,
    user_key: bytes | None = None,
    yes: bool = False,
    progress: Progress = SILENT,
) -> Trained:
    """Train a forecaster on engagement logs and write the model directory `out`; return it with its held-out errors.

    logs      one path or several: CSV, TSV, NDJSON (each also .gz or .zip), Parquet or XLSX
    out       the folder to write; with `training.pool` and several series the model has a table of them, by name
    log       how the logs are read
    training  the recipe and the differences from it
    force     replace an existing model directory, once the new one is whole
    restart   discard the progress of a killed run of the same command, instead of continuing it
    yes       where a log can be read in several ways, take the proposed one and record it, instead of asking
    user_key  secret under which the report names the busiest user of `log.user`, by HMAC-SHA256

        model = train("mentions.csv", out="model", log=LogConfig(timezone="UTC", step="1h"))
        export(model, out="bundle")

    A killed run leaves `OUT.training` beside `out`; the same call continues from its last whole epoch. Raises
    DataError (the log: everything that is open at once, and the command that settles it), UsageError (`out` or the
    configuration), MissingExtraError.
    """
    files, folder = paths("logs", logs), one_path("out", out)
    log, training = instance("log", log, LogConfig), instance("training", training, TrainConfig)
    force, restart = flag("force", force), flag("restart", restart)
    require_progress(progress)
    yes = flag("yes", yes)
    check_run(folder, training, force=force)
    found, log = read_settled(files, log, now_s=int(time.time()), yes=yes, progress=progress, user_key=user_key)
    run = RunConfig(log=log, train=training)
    pooled = bool(filled(training).pool) and len(found.series) > 1
    prepared = prepare_pool(found, run) if pooled else prepare(found, run)
    return _fit_and_write(prepared, _Job(out=folder, force=force, restart=restart, progress=progress))


def check_run(folder: Path, training: TrainConfig, *, force: bool) -> None:
    """Raise UsageError if it is known before the logs are read that `folder` or `training` will be refused."""
    config = filled(training)
    if config.pool:
        refuse_pool(config)
    check_free(folder, MODEL_FOLDER, force=force)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """Where a run writes and reports."""

    out: Path
    force: bool
    restart: bool
    progress: Progress


def _fit_and_write(prepared: Prepared, job: _Job) -> Trained:
    """Fit one network on all series and write the model directory."""
    prepared.report.tell(job.progress)
    from .fitting.device import describe_device  # importing Keras takes seconds: a bad log is refused before
    from .fitting.training import fit_network

    config, spec, split = prepared.config, prepared.spec, prepared.split
    what = "training" if prepared.table is None else f"training one network on {len(prepared.series)} series,"
    job.progress.tell(f"{what} on {describe_device(config.devices)}")
    unfinished = job.out.with_name(f"{job.out.name}.training")
    if job.restart:
        forget_run(unfinished)
    unfinished.mkdir(exist_ok=True)
    checkpoint = Checkpoint(folder=unfinished, run=prepared.fingerprint)
    training, validation = (Examples(prepared.steps, spec, starts) for starts in (split.training, split.validation))
    began = time.monotonic()
    network, history = fit_network(spec, config, training, validation, checkpoint, job.progress)
    job.progress.tell(f"trained in {duration_text(time.monotonic() - began)}; {len(history)} epochs")
    with whole_directory(job.out, MODEL_FOLDER, force=job.force) as folder:
        record, by_series = write_model(folder, job.out.name, prepared, network, history)
    forget_run(unfinished)
    return Trained(path=job.out, record=record, by_series=by_series)


def accuracy_text(heldout: HeldOut, folder: Path) -> str:
    """Return the held-out errors of the model in `folder` as a table, and in words whether it beats simpler ones."""
    return f"{text_table(ACCURACY, accuracy_rows(heldout))}\n{_outcome(heldout, folder)}"


def _outcome(heldout: HeldOut, folder: Path) -> str:
    model, alone = heldout.forecasts[MODEL], heldout.forecasts.get(LINEAR)
    better = [name for name, found in heldout.forecasts.items() if name != MODEL and found.mae <= model.mae]
    verdict = "the model beats every simpler forecast by MAE (one split: a quick check)"
    if better:
        verdict = f"the model does NOT beat {', '.join(name.replace('_', ' ') for name in better)} by MAE"
    if better and alone is not None:
        command = f"pulsecast export {shlex.quote(str(folder))} --model ridge --out BUNDLE"
        verdict += f"; `{command}` makes a bundle of the linear path alone (MAE {alone.mae:,.4g})"
    return f"{heldout.windows:,} held-out windows, raw units; {verdict}"


BY_SERIES = ("series", "windows", "MAE", "MAE / last value", "if unseen")
MOST_SERIES = 20  # that a table shows


def series_text(by_series: Mapping[str, HeldOut]) -> str:
    """Return the held-out errors of a pool's series as a table, and in words how many beat the last value."""
    rows, more = series_rows(by_series)
    return "\n".join(filter(None, [text_table(BY_SERIES, rows), more, series_verdict(by_series)]))


def series_rows(by_series: Mapping[str, HeldOut]) -> tuple[list[tuple[str, ...]], str]:
    """Return a row of BY_SERIES for each of the first MOST_SERIES series, and in words how many others there are."""
    rows = [
        (
            name,
            f"{found.windows:,}",
            f"{found.forecasts[MODEL].mae:,.4g}",
            *("-" if (ratio := _ratio(found, made)) is None else f"{ratio:.3f}" for made in (MODEL, UNSEEN)),
        )
        for name, found in itertools.islice(by_series.items(), MOST_SERIES)
    ]
    left = len(by_series) - len(rows)
    return rows, f"and {left:,} more: accuracy.json" if left else ""


def series_verdict(by_series: Mapping[str, HeldOut]) -> str:
    """Return in words what the model is worth over all series, and over series that training would not have seen."""
    found = [(_ratio(one, MODEL), _ratio(one, UNSEEN)) for one in by_series.values()]
    pairs = np.array([(own, unseen) for own, unseen in found if own is not None and unseen is not None])
    if not len(pairs):
        return "the last value is right on every series"
    own, unseen = (geometric_mean(column) for column in pairs.T)
    worse = sum(ratio is None or ratio >= 1 for ratio, _ in found)
    beaten = f"the model does NOT beat it on {worse:,}" if worse else "the model beats it on every one"
    return (
        f"MAE is {own:.3f} of the last value's, {unseen:.3f} if unseen (geometric means over {len(pairs):,} series); "
        f"{beaten}"
    )


def _ratio(found: HeldOut, made: str) -> float | None:
    """Return the MAE of the forecasts `made` over that of the last value; None where the last value is always right."""
    naive = found.forecasts.get("last_value")
    return found.forecasts[made].mae / naive.mae if naive is not None and naive.mae > 0 else None
