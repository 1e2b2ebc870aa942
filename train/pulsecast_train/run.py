"""A whole training run: logs in, model directory out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulsecast.bundle.manifest import HeldOut
from pulsecast.bundle.tables import ACCURACY, accuracy_rows
from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import StrPath, one_path, paths
from pulsecast.foundation.tables import html_table, text_table
from pulsecast.foundation.whole_directory import check_free, whole_directory
from pulsecast.stages.model_directory import MODEL_FOLDER, MODEL_NAME, ModelRecord
from pulsecast.stages.progress import SILENT, Progress

from .fitting.checkpoint import Checkpoint, forget_run
from .fitting.model_files import write_model
from .fitting.pooling import pooled_examples
from .fitting.preparing import Prepared, directory_name, prepare, prepare_pool
from .logs.config import LogConfig
from .logs.reader import ReadLog, read_log
from .recipes.recipes import filled
from .recipes.train_config import RunConfig, TrainConfig
from .windows import Examples


@dataclass(frozen=True, kw_only=True, repr=False)
class Trained:
    """The result of `train`, usable as a path: a model directory, or for a pool a folder with one for each series.

    path     the folder
    records  the content of `model.json` of every model
    pooled   whether `path` holds a folder for each model
    """

    path: Path
    records: tuple[ModelRecord, ...]
    pooled: bool = False

    @property
    def models(self) -> tuple[Trained, ...]:
        """The models: for a pool those of its series, else this one."""
        if not self.pooled:
            return (self,)
        return tuple(Trained(path=self.path / record.name, records=(record,)) for record in self.records)

    def __fspath__(self) -> str:
        if self.pooled:
            names = ", ".join(record.name for record in self.records)
            raise UsageError(f"{self.path} holds a pool of models: {names}; take one of `.models`")
        return os.fspath(self.path)

    def __repr__(self) -> str:
        return "\n\n".join(f"{model.path}\n{accuracy_text(model.records[0].heldout)}" for model in self.models)

    def _repr_html_(self) -> str:
        return "".join(
            html_table(
                ACCURACY,
                accuracy_rows(model.records[0].heldout),
                caption=f"{model.path}: {_outcome(model.records[0].heldout)}",
            )
            for model in self.models
        )


def train(  # noqa: PLR0913  # an option is a parameter
    logs: StrPath | Sequence[StrPath],
    *,
    out: StrPath,
    log: LogConfig = LogConfig(),
    training: TrainConfig = TrainConfig(),
    force: bool = False,
    restart: bool = False,
    user_key: bytes | None = None,
    progress: Progress = SILENT,
) -> Trained:
    """Train a forecaster on engagement logs and write the model directory `out`; return it with its held-out errors.

    logs      one path or several: CSV, TSV, NDJSON (each also .gz or .zip) or Parquet
    out       the folder to write; with `training.pool` and several series, OUT/SERIES for each
    log       how the logs are read
    training  the recipe and the differences from it
    force     replace an existing model directory, once the new one is whole
    restart   discard the progress of a killed run of the same command, instead of continuing it
    user_key  secret under which the report names the busiest user of `log.user`, by HMAC-SHA256

        model = train("mentions.csv", out="model", log=LogConfig(timezone="UTC", step="1h"))
        export(model, out="bundle")

    A killed run leaves `OUT.training` beside `out`; the same call continues from its last whole epoch. Raises
    DataError (the log), UsageError (`out` or the configuration), MissingExtraError.
    """
    files, folder = paths("logs", logs), one_path("out", out)
    run = RunConfig(log=log, train=training)
    check_out(folder, training, force=force)
    pooled = bool(filled(training).pool)
    found = read_log(files, log, progress=progress, user_key=user_key)
    job = _Job(out=folder, force=force, restart=restart, progress=progress)
    return _train_pool(found, run, job) if pooled and len(found.series) > 1 else _train_one(found, run, job)


def check_out(folder: Path, training: TrainConfig, *, force: bool) -> bool:
    """Return whether it is known before the logs are read that `folder` can be written; raises UsageError if it cannot.

    It is not known of a folder that several series would get their models in, and that one series would not replace.
    """
    if filled(training).pool and folder.is_dir() and not (folder / MODEL_NAME).exists():
        return False
    check_free(folder, MODEL_FOLDER, force=force)
    return True


@dataclass(frozen=True, kw_only=True)
class _Job:
    """Where a run writes and reports."""

    out: Path
    force: bool
    restart: bool
    progress: Progress


def _train_one(log: ReadLog, run: RunConfig, job: _Job) -> Trained:
    """Train on all series with one scaler."""
    check_free(job.out, MODEL_FOLDER, force=job.force)
    prepared = prepare(log, run)
    training, validation = (
        Examples(prepared.steps, prepared.spec, starts)
        for starts in (prepared.split.training, prepared.split.validation)
    )
    return Trained(path=job.out, records=_fit_and_write([prepared], [job.out], (training, validation), job))


def _train_pool(log: ReadLog, run: RunConfig, job: _Job) -> Trained:
    """Train one network on all series, each scaled by itself; the models share their weights, not their scaler."""
    prepared = prepare_pool(log, run)
    folders = [job.out / directory_name(one.series[0].name) for one in prepared]
    if not job.out.parent.is_dir():
        raise UsageError(f"{job.out.parent} is not a folder; make it first")
    job.out.mkdir(exist_ok=True)
    for folder in folders:
        check_free(folder, MODEL_FOLDER, force=job.force)
    examples = pooled_examples([(one.steps, one.split) for one in prepared], prepared[0].spec)
    return Trained(path=job.out, records=_fit_and_write(prepared, folders, examples, job), pooled=True)


def _fit_and_write(
    prepared: Sequence[Prepared], folders: Sequence[Path], examples: tuple[Examples, Examples], job: _Job
) -> tuple[ModelRecord, ...]:
    """Fit one network on `examples` and write a model directory for each of `prepared`; return their records."""
    prepared[0].report.tell(job.progress)
    from .fitting.device import describe_device  # importing Keras takes seconds: a bad log is refused before
    from .fitting.training import fit_network

    config = prepared[0].config
    what = "training" if len(prepared) == 1 else f"training one network on {len(prepared)} series,"
    job.progress.tell(f"{what} on {describe_device(config.devices)}")
    unfinished = job.out.with_name(f"{job.out.name}.training")
    if job.restart:
        forget_run(unfinished)
    unfinished.mkdir(exist_ok=True)
    checkpoint = Checkpoint(folder=unfinished, run=prepared[0].fingerprint)
    network, history = fit_network(prepared[0].spec, config, *examples, checkpoint, job.progress)
    records = []
    for one, target in zip(prepared, folders, strict=True):
        with whole_directory(target, MODEL_FOLDER, force=job.force) as folder:
            records.append(write_model(folder, target.name, one, network, history))
    forget_run(unfinished)
    return tuple(records)


def accuracy_text(heldout: HeldOut) -> str:
    """Return the held-out errors as a table, and in words whether the model beats forecasts without a model."""
    return f"{text_table(ACCURACY, accuracy_rows(heldout))}\n{_outcome(heldout)}"


def _outcome(heldout: HeldOut) -> str:
    model = heldout.forecasts["model"]
    better = [name for name, found in heldout.forecasts.items() if name != "model" and found.mae <= model.mae]
    verdict = "the model beats every naive forecast by MAE (one split: a quick check)"
    if better:
        verdict = f"the model does NOT beat {', '.join(name.replace('_', ' ') for name in better)} by MAE"
    return f"{heldout.windows:,} held-out windows, raw units; {verdict}"
