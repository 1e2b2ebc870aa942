"""From a log that was read to the data of a fit: spec, scaler, steps, and the use of each window."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import DataError
from pulsecast.foundation import strict_json
from pulsecast.model.scaler import Scaler
from pulsecast.model.series import POOL_ROW, SeriesNames, SeriesTable
from pulsecast.model.spec import ModelSpec
from pulsecast.plain_text import listed

from ..logs.config import LogConfig
from ..logs.data_report import DataReport
from ..logs.reader import ReadLog
from ..recipes.recipes import Recipe, filled, find_recipe, fit_scaler, spec_of
from ..recipes.train_config import RunConfig, TrainConfig
from ..series import Series
from ..windows import Split, Steps, all_steps, boundary, check_enough, finer_step, split_windows, training_parts
from .pooling import Member, fit_pool, joined, prepare_member, table_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A log prepared for training, and how it was read.

    scaler  of all series alike, or of a pool: then `steps` are scaled by the scaler of each series
    table   of a pool's series, without radii; None where one scaler serves all
    """

    log: LogConfig
    series: tuple[Series, ...]
    report: DataReport
    config: TrainConfig
    spec: ModelSpec
    scaler: Scaler
    steps: Steps
    split: Split
    fingerprint: str
    table: SeriesTable | None = None

    def rows(self, starts: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the rows in the table of the windows at `starts`, both (n,); None without a table."""
        return None if self.table is None else self.steps.series_at[starts] + POOL_ROW + 1


def prepare(log: ReadLog, run: RunConfig) -> Prepared:
    """Fit one scaler for all series; raises DataError if the log is not fit for training."""
    recipe = find_recipe(run.train.recipe)
    series = log.series
    config = filled(run.train)
    spec = spec_of(config, series)
    _check_long_enough(series, spec)
    scaler = fit_scaler(recipe, spec, training_parts(series, config.heldout_fraction))
    steps = all_steps(series, spec, scaler)
    split = split_windows(series, spec, steps, config.heldout_fraction, config.validation_fraction or 0.0)
    return _prepared(log, run, spec, scaler, steps, split)


def prepare_pool(log: ReadLog, run: RunConfig) -> Prepared:
    """Fit a scaler for each series, and one for all of them; raises DataError if the log is not fit for training."""
    recipe = find_recipe(run.train.recipe)
    series = log.series
    names = _names(series)
    config = filled(run.train)
    spec = spec_of(config, series)
    if {(one.metrics, one.step_s) for one in series} != {(series[0].metrics, series[0].step_s)}:
        raise DataError("series of one pool need the same metrics and the same step: choose --metric and --step")
    members = _members(series, recipe, config, spec)
    steps, split = joined(members)
    pool = fit_pool(recipe, spec, training_parts(series, config.heldout_fraction))
    return _prepared(log, run, spec, pool, steps, split, table=table_of(names, pool, members, spec))


def _prepared(  # noqa: PLR0913  # the parts of the record
    log: ReadLog, run: RunConfig, spec: ModelSpec, scaler: Scaler, steps: Steps, split: Split,
    *, table: SeriesTable | None = None,
) -> Prepared:  # fmt: skip
    config = filled(run.train)
    return Prepared(
        log=run.log,
        series=log.series,
        report=log.report,
        config=config,
        spec=spec,
        scaler=scaler,
        steps=steps,
        split=split,
        fingerprint=_fingerprint(config, spec, run.log, log.report, pooled=table is not None),
        table=table,
    )


def _names(series: Sequence[Series]) -> SeriesNames:
    """Return the names of a pool's series; raises DataError with all that no table may hold."""
    try:
        return SeriesNames(names=tuple(one.name for one in series))
    except ValueError as error:
        raise DataError(f"series of one pool: {error}; name them otherwise, or train without --pool") from error


def _members(series: Sequence[Series], recipe: Recipe, config: TrainConfig, spec: ModelSpec) -> list[Member]:
    """Return the prepared series of a pool; raises DataError with the name of each that is not fit for training."""
    found, problems = [], []
    for one in series:
        try:
            _check_long_enough([one], spec)
            cut = boundary(len(one.values), config.heldout_fraction)
            member = prepare_member(one, recipe, spec, cut, config.validation_fraction or 0.0)
            check_enough(member.split, spec, len(one.values))
        except DataError as error:
            problems.append(f"series {one.name}: {error}")
        else:
            found.append(member)
    if problems:
        raise DataError(listed(problems))
    return found


def _check_long_enough(series: Sequence[Series], spec: ModelSpec) -> None:
    longest = max((stop - start for one in series for start, stop in one.segments), default=0)
    if longest < spec.context + spec.horizon:
        raise DataError(
            f"the longest unbroken stretch has {longest} steps; one window takes {spec.context} and {spec.horizon} to "
            f"forecast: bring a longer log{finer_step(spec, longest)}, choose a smaller --window, or fill longer gaps "
            "with --max-gap"
        )


def _fingerprint(config: TrainConfig, spec: ModelSpec, log: LogConfig, report: DataReport, *, pooled: bool) -> str:
    """Return what a checkpoint must have in common with a run that goes on from it.

    The recipe and the spec are in it, not only the recipe's name: another version may mean another model by it.
    """
    recipe = find_recipe(config.recipe)
    files = [f.sha256 for f in report.files]
    identity = {"config": config, "recipe": recipe, "spec": spec, "log": log, "files": files}
    return hashlib.sha256(strict_json.dumps({**identity, **({"pooled": True} if pooled else {})}).encode()).hexdigest()
