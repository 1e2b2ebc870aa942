"""One piece of a back-test: a method fitted on one fold and what it forecasts there. Pieces run anywhere, in any order.

A task holds all that it needs and no data from after its fold's end, so a leak from the future is impossible by
construction; a test changes this future and finds the same forecasts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import DataError
from pulsecast.foundation import strict_json
from pulsecast.foundation.private_folder import temporary_folder
from pulsecast.foundation.whole_file import whole_file
from pulsecast.model.spec import ModelSpec
from pulsecast.stages.progress import SILENT

from ..baselines import Past, find_baseline
from ..recipes.recipes import find_recipe, spec_of
from ..recipes.train_config import TrainConfig
from ..series import Series
from .folds import MINIMUM_TRAINING_WINDOWS, Fold, first_targets, rolling_folds, until

if TYPE_CHECKING:
    from ..fitting.combined import Forward, Model
    from ..fitting.pooling import Member

MODEL = "model"
LINEAR = "linear_path"  # the model without its network
REVISION = 3  # version of the code behind a task's result; a new number makes older cached results stale

_one_fit_at_a_time = threading.Lock()  # Keras' random state belongs to the process, and a Dask worker has threads


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What to fit and where.

    method   MODEL, LINEAR, or a row of BASELINES
    series   one, or all that share a network
    fold     which of `origins` folds
    horizon  steps of every forecast
    train    how the network is trained, without Nones; its seed counts, its held-out fraction does not
    """

    method: str
    series: tuple[Series, ...]
    fold: int
    origins: int
    horizon: int
    train: TrainConfig

    def fingerprint(self) -> str:
        """Return the result's name in a cache: the same for the same method, data, fold and configuration."""
        digest = hashlib.sha256()
        chosen = {"train": self.train} if self.method in (MODEL, LINEAR) else {"context": self.spec.context}
        head = {"method": self.method, "fold": self.fold, "origins": self.origins, "horizon": self.horizon, **chosen}
        digest.update(strict_json.dumps({"revision": REVISION, **head}).encode())
        for one in self.series:
            digest.update(strict_json.dumps([one.metrics, one.start_s, one.step_s, list(one.values.shape)]).encode())
            digest.update(one.values.astype("<f8").tobytes())
        return digest.hexdigest()

    @property
    def spec(self) -> ModelSpec:
        """The spec of the network; it decides for every method where forecasts may start."""
        return spec_of(dataclasses.replace(self.train, horizon=self.horizon), self.series)


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldForecasts:
    """A method's forecasts for one series in one fold, raw.

    targets    (n,) first step of each forecast
    forecasts  (n, horizon)
    earlier_targets, earlier  likewise for windows before the cut that nothing was fitted on: where intervals start from
    epochs     that the network was trained for; 0 for a baseline
    """

    targets: NDArray[np.int64]
    forecasts: NDArray[np.float64]
    earlier_targets: NDArray[np.int64]
    earlier: NDArray[np.float64]
    epochs: int


def run_task(task: Task) -> tuple[FoldForecasts, ...]:
    """Fit the task's method and return its forecasts, one per series of the task."""
    if task.method == MODEL:
        with _one_fit_at_a_time:
            return _run_model(task)
    if task.method == LINEAR:
        return _run_linear(task)
    return tuple(_run_baseline(task, one) for one in task.series)


def _run_baseline(task: Task, series: Series) -> FoldForecasts:
    fold = rolling_folds(len(series.values), task.origins)[task.fold]
    known = until(series, fold.stop)
    values = known.values[:, 0]
    targets = first_targets(known, task.spec, fold.cut, fold.stop)
    past = Past(
        values=values,
        seconds=known.timestamps_s(),
        cut=fold.cut,
        targets=targets,
        horizon=task.horizon,
        step_s=series.step_s,
        nonnegative=bool((values[np.isfinite(values)] >= 0).all()),
    )
    return FoldForecasts(
        targets=targets,
        forecasts=find_baseline(task.method)(past),
        earlier_targets=np.empty(0, np.int64),
        earlier=np.empty((0, task.horizon)),
        epochs=0,
    )


def _run_model(task: Task) -> tuple[FoldForecasts, ...]:
    import keras

    spec, config = task.spec, dataclasses.replace(task.train, horizon=task.horizon)
    members, folds = _members(task)
    network, epochs = fit_members(spec, config, members)
    models = member_models(spec, members, network.predict_on_batch)
    found = tuple(_forecast_member(*one, epochs) for one in zip(models, members, folds, strict=True))
    keras.backend.clear_session()  # or a process that runs many folds grows
    return found


def _run_linear(task: Task) -> tuple[FoldForecasts, ...]:
    spec = task.spec
    members, folds = _members(task)
    models = [(late.alone(), early.alone()) for late, early in member_models(spec, members, None)]
    return tuple(_forecast_member(*one, 0) for one in zip(models, members, folds, strict=True))


def _members(task: Task) -> tuple[list[Member], list[Fold]]:
    from ..fitting.pooling import prepare_member

    spec, recipe = task.spec, find_recipe(task.train.recipe)
    folds = [rolling_folds(len(one.values), task.origins)[task.fold] for one in task.series]
    cuts = training_cuts(task.series, folds, spec)
    parts = zip(task.series, folds, cuts, strict=True)
    validation = task.train.validation_fraction or 0.0
    return [prepare_member(until(one, fold.stop), recipe, spec, cut, validation) for one, fold, cut in parts], folds


def fit_members(spec: ModelSpec, config: TrainConfig, members: Sequence[Member]) -> tuple[Any, int]:
    """Return one Keras network fitted on `members`, with its share of the forecast, and the epochs that it took."""
    from ..fitting.checkpoint import Checkpoint
    from ..fitting.combined import share_head
    from ..fitting.pooling import pooled_examples
    from ..fitting.training import fit_network

    training, validation = pooled_examples(members, spec)
    with temporary_folder() as folder:
        checkpoint = Checkpoint(folder=folder, run="")
        network, history = fit_network(spec, config, training, validation, checkpoint, SILENT)
    if spec.linear is not None:
        share_head(network)
    return network, len(history)


def member_models(spec: ModelSpec, members: Sequence[Member], network: Forward | None) -> list[tuple[Model, Model]]:
    """Return for each of `members` the model with its linear path: as it is used, and as if nothing validated it.

    The second one's linear path is fitted on the training part only, so that its errors in the validation part are
    those of forecasts. The network has seen neither in fitting.
    """
    from ..fitting.combined import Model, own_kernels, path_weights, with_share
    from ..fitting.linear_rows import Source

    def sources(*uses: str) -> list[Source]:
        starts = [np.concatenate([getattr(one.split, use) for use in uses]) for one in members]
        return [
            Source(steps=one.steps, starts=own, scaling=one.scaler) for one, own in zip(members, starts, strict=True)
        ]

    def models(*uses: str) -> list[Model]:
        linear = spec.linear
        kernels = [None] * len(members) if linear is None else own_kernels(spec, linear, sources(*uses))
        return [
            Model(
                spec=spec,
                scaling=one.scaler,
                weights=path_weights(None if kernel is None else with_share(kernel), spec.horizon),
                network=network,
            )
            for one, kernel in zip(members, kernels, strict=True)
        ]

    return list(zip(models("training", "validation"), models("training"), strict=True))


def training_cuts(series: Sequence[Series], folds: Sequence[Fold], spec: ModelSpec) -> list[int]:
    """Return the first step of each of `series` that the common network may not learn from.

    It is the same moment for all, the earliest of their folds' cuts: one event often moves several series, so another
    series' later values would reveal this one's future. Raises DataError if a series has too little before it.
    """
    moment = min(one.start_s + fold.cut * one.step_s for one, fold in zip(series, folds, strict=True))
    cuts = [min(fold.cut, -((one.start_s - moment) // one.step_s)) for one, fold in zip(series, folds, strict=True)]
    for one, cut in zip(series, cuts, strict=True):
        windows = len(first_targets(one, spec, 0, max(cut, 0)))
        if windows < MINIMUM_TRAINING_WINDOWS:
            raise DataError(
                f"series {one.name} has {windows} windows before fold {folds[0].number + 1} begins for all series "
                f"together; at least {MINIMUM_TRAINING_WINDOWS} are needed: bring longer logs of the same time, ask "
                "for fewer --origins, or evaluate a network per series with --no-pool"
            )
    return cuts


def _forecast_member(models: tuple[Model, Model], member: Member, fold: Fold, epochs: int) -> FoldForecasts:
    used, early = models
    context, starts = used.spec.context, member.split.heldout
    tested = starts[starts + context >= fold.cut]  # the common cut may lie before the series' own
    earlier = member.split.validation
    return FoldForecasts(
        targets=tested + context,
        forecasts=used.forecasts(member.steps, tested).astype(np.float64),
        earlier_targets=earlier + context,
        earlier=early.forecasts(member.steps, earlier).astype(np.float64),
        epochs=epochs,
    )


# --- results on disk -------------------------------------------------------------------------------------------------


def write_result(path: Path, result: Sequence[FoldForecasts]) -> None:
    """Write a task's result to `path` in one step: it exists whole or not at all."""
    arrays: dict[str, Any] = {
        f"{field.name}_{i}": getattr(one, field.name)
        for i, one in enumerate(result)
        for field in dataclasses.fields(one)
    }
    with whole_file(path, force=True) as file:
        np.savez(file, **arrays)


def read_result(path: Path, series: int) -> tuple[FoldForecasts, ...] | None:
    """Return the result at `path` of a task over `series` series; None if it is missing or not whole."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return tuple(
                FoldForecasts(
                    targets=arrays[f"targets_{i}"],
                    forecasts=arrays[f"forecasts_{i}"],
                    earlier_targets=arrays[f"earlier_targets_{i}"],
                    earlier=arrays[f"earlier_{i}"],
                    epochs=int(arrays[f"epochs_{i}"]),
                )
                for i in range(series)
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
