"""A whole training run: logs in, model directory out (its layout: `pulsecast.stages.model_directory`)."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.golden import evenly
from pulsecast.bundle.manifest import HeldOut, Provenance
from pulsecast.computing import reference
from pulsecast.computing.intervals import fit_split
from pulsecast.errors import DataError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.whole_directory import check_free, whole_directory
from pulsecast.model.scaler import Scaler
from pulsecast.model.spec import ModelSpec
from pulsecast.stages.environment import commands, installed_versions, platform_name
from pulsecast.stages.model_directory import (
    CALIBRATION_WINDOWS,
    HELDOUT_WINDOWS,
    HISTORY_NAME,
    KERAS_NAME,
    MODEL_NAME,
    HeldOutWindows,
    ModelDirectory,
    ModelRecord,
    write_model_directory,
)

from .fitting.checkpoint import Checkpoint, Epoch, EpochCallback
from .fitting.pooling import pooled_examples, prepare_member
from .logs.config import LogConfig
from .logs.data_report import DataReport
from .logs.files import OnBytes
from .logs.reader import read_log
from .naive import compare_with_naive, naive_forecasts
from .recipes.recipes import filled, find_recipe, fit_scaler, spec_of
from .recipes.train_config import RunConfig, TrainConfig
from .series import Series, are_counts, interval_scale
from .windows import (
    Examples,
    Split,
    Steps,
    all_steps,
    boundary,
    check_enough,
    raw_windows,
    split_windows,
    training_parts,
    truth,
)

PREDICT_BATCH = 1024


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Who hears of a run: `tell` a line per stage, `on_epoch` every finished epoch and how many there are at most.

    `on_bytes` hears of bytes of the log that were read; `user_key` hashes the busiest user's id for the report.
    """

    tell: Callable[[str], None]
    on_epoch: EpochCallback
    on_bytes: OnBytes | None = None
    user_key: bytes | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A log that is ready to be trained on, and how it was read."""

    log: LogConfig
    series: tuple[Series, ...]
    report: DataReport
    config: TrainConfig
    spec: ModelSpec
    scaler: Scaler
    steps: Steps
    split: Split
    fingerprint: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadLog:
    """The series of one or more logs, and how they were read."""

    series: tuple[Series, ...]
    report: DataReport


Logs = Sequence[Path] | ReadLog  # paths are read when they are needed


def train_logs(
    paths: Sequence[Path], run: RunConfig, out: Path, *, force: bool, restart: bool, listener: Listener
) -> ModelRecord | tuple[ModelRecord, ...]:
    """Train as `train_pool` does if there are several series and they are to be pooled, else as `train_model` does."""
    pooled = bool(filled(run.train).pool)
    if not (pooled and out.is_dir()) or (out / MODEL_NAME).exists():  # a pool's folder may be there
        check_free(out, force=force, marker=MODEL_NAME)
    log = _read(paths, run, listener)
    train = train_pool if pooled and len(log.series) > 1 else train_model
    return train(log, run, out, force=force, restart=restart, listener=listener)


def train_model(log: Logs, run: RunConfig, out: Path, *, force: bool, restart: bool, listener: Listener) -> ModelRecord:
    """Train on all series of `log` with one scaler and write the model directory `out`; return its record.

    A run that was killed left `OUT.training` beside `out`; the same command goes on from its last whole epoch.
    Raises DataError (the log), UsageError (`out` or the configuration).
    """
    check_free(out, force=force, marker=MODEL_NAME)
    prepared = prepare(log, run, listener)
    listener.tell(prepared.report.text())
    from .fitting.device import describe_device
    from .fitting.training import fit_network

    listener.tell(f"training on {describe_device(prepared.config.devices)}")
    progress = out.with_name(f"{out.name}.training")
    if restart:
        shutil.rmtree(progress, ignore_errors=True)
    progress.mkdir(exist_ok=True)
    steps, spec, split = prepared.steps, prepared.spec, prepared.split
    network, history = fit_network(
        spec,
        prepared.config,
        Examples(steps, spec, split.training),
        Examples(steps, spec, split.validation),
        Checkpoint(folder=progress, run=prepared.fingerprint),
        listener.on_epoch,
    )
    with whole_directory(out, force=force, marker=MODEL_NAME) as folder:
        record = write_model(folder, out.name, prepared, network, history)
    shutil.rmtree(progress, ignore_errors=True)
    return record


def train_pool(
    log: Logs, run: RunConfig, out: Path, *, force: bool, restart: bool, listener: Listener
) -> tuple[ModelRecord, ...]:
    """Train one network on all series, each scaled by itself; write one model directory per series, `out`/SERIES.

    The models share their weights and differ in their scaler. A killed run goes on like one of `train_model`. Raises
    DataError, UsageError.
    """
    prepared = prepare_pool(log, run, listener)
    folders = [out / directory_name(one.series[0].name) for one in prepared]
    if not out.parent.is_dir():
        raise UsageError(f"{out.parent} is not a folder; make it first")
    out.mkdir(exist_ok=True)
    for folder in folders:
        check_free(folder, force=force, marker=MODEL_NAME)
    listener.tell(prepared[0].report.text())
    from .fitting.device import describe_device
    from .fitting.training import fit_network

    spec, config = prepared[0].spec, prepared[0].config
    listener.tell(f"training one network on {len(prepared)} series, on {describe_device(config.devices)}")
    progress = out.with_name(f"{out.name}.training")
    if restart:
        shutil.rmtree(progress, ignore_errors=True)
    progress.mkdir(exist_ok=True)
    training, validation = pooled_examples([(one.steps, one.split) for one in prepared], spec)
    checkpoint = Checkpoint(folder=progress, run=prepared[0].fingerprint)
    network, history = fit_network(spec, config, training, validation, checkpoint, listener.on_epoch)
    records_ = []
    for one, target in zip(prepared, folders, strict=True):
        with whole_directory(target, force=force, marker=MODEL_NAME) as folder:
            records_.append(write_model(folder, target.name, one, network, history))
    shutil.rmtree(progress, ignore_errors=True)
    return tuple(records_)


def directory_name(series: str) -> str:
    """Return a folder's name for a series: anything but letters, digits, dot, dash and underscore becomes a dash.

    >>> directory_name("r/funny")
    'r-funny'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", series).lstrip(".-") or "series"


def prepare_pool(log: Logs, run: RunConfig, listener: Listener) -> list[Prepared]:
    """Read the logs and fit one scaler per series; raises DataError, UsageError if they cannot be trained on."""
    recipe = find_recipe(run.train.recipe)
    found = _read(log, run, listener)
    series, report = found.series, found.report
    names = [directory_name(one.name) for one in series]
    if len(set(names)) < len(names):
        raise UsageError(f"series {', '.join(names)} would share a model directory; give them names that differ")
    config = filled(run.train)
    spec = spec_of(config, series)
    if {(one.metrics, one.step_s) for one in series} != {(series[0].metrics, series[0].step_s)}:
        raise DataError("series of one pool need the same metrics and the same step: choose --metric and --step")
    fingerprint = _fingerprint(config, run.log, report, pooled=True)
    prepared = []
    for one in series:
        _check_long_enough([one], spec)
        cut = boundary(len(one.values), config.heldout_fraction)
        member = prepare_member(one, recipe, spec, cut, config.validation_fraction or 0.0)
        check_enough(member.split, spec, len(one.values))
        prepared.append(
            Prepared(
                log=run.log, series=(one,), report=report, config=config, spec=spec, scaler=member.scaler,
                steps=member.steps, split=member.split, fingerprint=fingerprint,
            )
        )  # fmt: skip
    return prepared


def _fingerprint(config: TrainConfig, log: LogConfig, report: DataReport, *, pooled: bool) -> str:
    identity = {"config": config, "log": log, "files": [f.sha256 for f in report.files]}
    return hashlib.sha256(strict_json.dumps({**identity, **({"pooled": True} if pooled else {})}).encode()).hexdigest()


def _read(log: Logs, run: RunConfig, listener: Listener | None) -> ReadLog:
    if isinstance(log, ReadLog):
        return log
    on_bytes, user_key = (None, None) if listener is None else (listener.on_bytes, listener.user_key)
    series, report = read_log(log, run.log, on_bytes=on_bytes, user_key=user_key)
    return ReadLog(series=series, report=report)


def prepare(log: Logs, run: RunConfig, listener: Listener | None = None) -> Prepared:
    """Read the logs and fit the scaler; raises DataError if they cannot be trained on."""
    recipe = find_recipe(run.train.recipe)
    found = _read(log, run, listener)
    series, report = found.series, found.report
    config = filled(run.train)
    spec = spec_of(config, series)
    _check_long_enough(series, spec)
    scaler = fit_scaler(recipe, spec, training_parts(series, config.heldout_fraction))
    steps = all_steps(series, spec, scaler)
    split = split_windows(series, spec, steps, config.heldout_fraction, config.validation_fraction or 0.0)
    return Prepared(
        log=run.log,
        series=series,
        report=report,
        config=config,
        spec=spec,
        scaler=scaler,
        steps=steps,
        split=split,
        fingerprint=_fingerprint(config, run.log, report, pooled=False),
    )


def _check_long_enough(series: Sequence[Series], spec: ModelSpec) -> None:
    longest = max((stop - start for one in series for start, stop in one.segments), default=0)
    if longest < spec.context + spec.horizon:
        raise DataError(
            f"the longest unbroken stretch has {longest} steps; one window takes {spec.context} and {spec.horizon} to "
            "forecast: bring a longer log, a finer --step, a smaller --window, or fill longer gaps with --max-gap"
        )


def write_model(folder: Path, name: str, prepared: Prepared, network: Any, history: tuple[Epoch, ...]) -> ModelRecord:
    """Write every file of a model directory into `folder` and return its record."""
    from .fitting.network import extract_weights

    spec, steps, split = prepared.spec, prepared.steps, prepared.split
    forecasts = keras_forecasts(network, prepared, split.heldout)  # (n, horizon)
    happened = truth(steps, spec, split.heldout)
    naive = naive_forecasts(steps, spec, split.heldout)
    chosen = evenly(len(split.heldout), HELDOUT_WINDOWS)
    record = ModelRecord(
        format=1,
        name=name,
        recipe=prepared.config.recipe,
        spec=spec,
        scaler=prepared.scaler,
        heldout=HeldOut(windows=len(happened), forecasts=compare_with_naive(forecasts, happened, naive)),
        provenance=_provenance(prepared, history),
        intervals=fit_split(
            forecasts,
            happened,
            interval_scale(prepared.series),
            counts=prepared.log.kind == "count" and are_counts(prepared.series),
        ),
    )
    model = ModelDirectory(
        record=record,
        weights=extract_weights(network, spec),
        heldout=HeldOutWindows(
            windows=raw_windows(steps, spec, split.heldout[chosen]), truth=happened[chosen], trained=forecasts[chosen]
        ),
        calibration=raw_windows(steps, spec, calibration_starts(prepared)),
    )
    network.save(folder / KERAS_NAME)
    more = {
        HISTORY_NAME: strict_json.dumps({"epochs": history}).encode(),
        KERAS_NAME: (folder / KERAS_NAME).read_bytes(),
    }
    return write_model_directory(folder, model, more)


def keras_forecasts(network: Any, prepared: Prepared, starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the Keras model's raw forecasts (n, horizon) for the windows at `starts`."""
    spec, scaler, found = prepared.spec, prepared.scaler, []
    for first in range(0, len(starts), PREDICT_BATCH):
        windows = raw_windows(prepared.steps, spec, starts[first : first + PREDICT_BATCH])
        found.append(reference.through(spec, scaler, lambda x: np.asarray(network(x, training=False)), windows))
    return np.concatenate(found).astype(np.float32)


def calibration_starts(prepared: Prepared) -> NDArray[np.int64]:
    """Return training windows for quantisation: evenly spaced in time, and those around the training extremes.

    Coverage matters more than number: a set from the first part of a series alone gave six times the error.
    """
    training, values = prepared.split.training, prepared.steps.values[:, 0]
    last = values[training + prepared.spec.context - 1]  # (n,)
    even = training[evenly(len(training), CALIBRATION_WINDOWS - 2)]
    return np.unique(np.concatenate([even, training[[int(np.argmin(last)), int(np.argmax(last))]]]))


def _provenance(prepared: Prepared, history: tuple[Epoch, ...]) -> Provenance:
    from .fitting.device import describe_device

    training = {
        "config": strict_json.to_json(prepared.config),
        "log": strict_json.to_json(prepared.log),
        "epochs_run": len(history),
        "device": describe_device(prepared.config.devices),
        "windows": {
            "training": len(prepared.split.training),
            "validation": len(prepared.split.validation),
            "heldout": len(prepared.split.heldout),
        },
    }
    return Provenance(
        versions=installed_versions(),
        platform=platform_name(),
        seed=prepared.config.seed,
        training=training,
        data=strict_json.to_json(prepared.report),
        commands=commands(),
    )
