"""From a log that was read to the data of a fit: spec, scaler, steps, and the use of each window."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pulsecast.errors import DataError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.model.scaler import Scaler
from pulsecast.model.spec import ModelSpec

from ..logs.config import LogConfig
from ..logs.data_report import DataReport
from ..logs.reader import ReadLog
from ..recipes.recipes import filled, find_recipe, fit_scaler, spec_of
from ..recipes.train_config import RunConfig, TrainConfig
from ..series import Series
from ..windows import Split, Steps, all_steps, boundary, check_enough, split_windows, training_parts
from .pooling import prepare_member


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A log prepared for training, and how it was read."""

    log: LogConfig
    series: tuple[Series, ...]
    report: DataReport
    config: TrainConfig
    spec: ModelSpec
    scaler: Scaler
    steps: Steps
    split: Split
    fingerprint: str


def prepare(log: ReadLog, run: RunConfig) -> Prepared:
    """Fit one scaler for all series; raises DataError if the log is not fit for training."""
    recipe = find_recipe(run.train.recipe)
    series, report = log.series, log.report
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
        fingerprint=_fingerprint(config, spec, run.log, report, pooled=False),
    )


def prepare_pool(log: ReadLog, run: RunConfig) -> list[Prepared]:
    """Fit one scaler per series; raises DataError, UsageError if the log is not fit for training."""
    recipe = find_recipe(run.train.recipe)
    series, report = log.series, log.report
    names = [directory_name(one.name) for one in series]
    if len(set(names)) < len(names):
        raise UsageError(f"series {', '.join(names)} would share a model directory; give them names that differ")
    config = filled(run.train)
    spec = spec_of(config, series)
    if {(one.metrics, one.step_s) for one in series} != {(series[0].metrics, series[0].step_s)}:
        raise DataError("series of one pool need the same metrics and the same step: choose --metric and --step")
    fingerprint = _fingerprint(config, spec, run.log, report, pooled=True)
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


def _check_long_enough(series: Sequence[Series], spec: ModelSpec) -> None:
    longest = max((stop - start for one in series for start, stop in one.segments), default=0)
    if longest < spec.context + spec.horizon:
        raise DataError(
            f"the longest unbroken stretch has {longest} steps; one window takes {spec.context} and {spec.horizon} to "
            "forecast: bring a longer log, a finer --step, a smaller --window, or fill longer gaps with --max-gap"
        )


def _fingerprint(config: TrainConfig, spec: ModelSpec, log: LogConfig, report: DataReport, *, pooled: bool) -> str:
    """Return what a checkpoint must have in common with a run that goes on from it.

    The recipe and the spec are in it, not only the recipe's name: another version may mean another model by it.
    """
    recipe = find_recipe(config.recipe)
    files = [f.sha256 for f in report.files]
    identity = {"config": config, "recipe": recipe, "spec": spec, "log": log, "files": files}
    return hashlib.sha256(strict_json.dumps({**identity, **({"pooled": True} if pooled else {})}).encode()).hexdigest()


def directory_name(series: str) -> str:
    """Return a folder's name for a series: all but letters, digits, dots, dashes and underscores become dashes.

    >>> directory_name("r/funny")
    'r-funny'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", series).lstrip(".-") or "series"
