"""One piece of a back-test: a method fitted on one fold and what it forecasts there. Pieces run anywhere, in any order.

A task holds all that it needs and no data from after its fold's end, so a leak from the future is impossible by
construction; a test changes this future and finds the same forecasts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.computing import reference
from pulsecast.errors import DataError
from pulsecast.foundation import strict_json
from pulsecast.foundation.whole_file import whole_file
from pulsecast.model.scaler import Scaler
from pulsecast.model.spec import ModelSpec
from pulsecast.stages.progress import SILENT

from ..recipes.recipes import find_recipe, spec_of
from ..recipes.train_config import TrainConfig
from ..series import Series
from ..windows import Steps, raw_columns
from .baselines import Past, find_baseline
from .folds import MINIMUM_TRAINING_WINDOWS, Fold, first_targets, rolling_folds, until

if TYPE_CHECKING:
    from ..fitting.pooling import Member

MODEL = "model"
REVISION = 2  # version of the code behind a task's result; a new number makes older cached results stale
PREDICT_BATCH = 1024

_one_fit_at_a_time = threading.Lock()  # Keras' random state belongs to the process, and a Dask worker has threads


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What to fit and where.

    method   MODEL, or a row of BASELINES
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
        chosen = {"train": self.train} if self.method == MODEL else {"context": self.spec.context}
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

    from ..fitting.checkpoint import Checkpoint
    from ..fitting.pooling import pooled_examples, prepare_member
    from ..fitting.training import fit_network

    spec, config, recipe = (
        task.spec,
        dataclasses.replace(task.train, horizon=task.horizon),
        find_recipe(task.train.recipe),
    )
    folds = [rolling_folds(len(one.values), task.origins)[task.fold] for one in task.series]
    members = [
        prepare_member(until(one, fold.stop), recipe, spec, cut, config.validation_fraction or 0.0)
        for one, fold, cut in zip(task.series, folds, training_cuts(task.series, folds, spec), strict=True)
    ]
    training, validation = pooled_examples(members, spec)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(folder=Path(folder), run="")
        network, history = fit_network(spec, config, training, validation, checkpoint, SILENT)
    found = tuple(_forecast_member(network, member, spec, fold) for member, fold in zip(members, folds, strict=True))
    keras.backend.clear_session()  # or a process that runs many folds grows
    return tuple(dataclasses.replace(one, epochs=len(history)) for one in found)


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


def _forecast_member(network: Any, member: Member, spec: ModelSpec, fold: Fold) -> FoldForecasts:
    starts = member.split.heldout
    tested = starts[starts + spec.context >= fold.cut]  # the common cut may lie before the series' own
    earlier = member.split.validation
    return FoldForecasts(
        targets=tested + spec.context,
        forecasts=network_forecasts(network, spec, member.scaler, member.steps, tested),
        earlier_targets=earlier + spec.context,
        earlier=network_forecasts(network, spec, member.scaler, member.steps, earlier),
        epochs=0,
    )


def network_forecasts(
    network: Any, spec: ModelSpec, scaler: Scaler, steps: Steps, starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the Keras network's raw forecasts (n, horizon) for the windows at `starts`."""
    found = [np.empty((0, spec.horizon))]
    for first in range(0, len(starts), PREDICT_BATCH):
        columns = raw_columns(steps, spec, starts[first : first + PREDICT_BATCH])
        found.append(reference.through(spec, scaler, network.predict_on_batch, columns).astype(np.float64))
    return np.concatenate(found)


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
