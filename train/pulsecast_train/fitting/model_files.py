"""A fitted network as a model directory (its layout: `pulsecast.stages.model_directory`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.golden import evenly
from pulsecast.bundle.manifest import HeldOut, Provenance
from pulsecast.computing import reference
from pulsecast.computing.intervals import fit_split
from pulsecast.foundation import strict_json
from pulsecast.stages.environment import commands, installed_versions, platform_name
from pulsecast.stages.model_directory import (
    CALIBRATION_WINDOWS,
    HELDOUT_WINDOWS,
    HISTORY_NAME,
    KERAS_NAME,
    HeldOutWindows,
    ModelDirectory,
    ModelRecord,
    write_model_directory,
)

from ..naive import compare_with_naive, naive_forecasts
from ..series import are_counts, interval_scale
from ..windows import raw_columns, raw_windows, truth
from .checkpoint import Epoch
from .preparing import Prepared

PREDICT_BATCH = 1024


def write_model(folder: Path, name: str, prepared: Prepared, network: Any, history: tuple[Epoch, ...]) -> ModelRecord:
    """Write every file of a model directory into `folder` and return its record."""
    from .network import extract_weights

    spec, steps, split = prepared.spec, prepared.steps, prepared.split
    forecasts = keras_forecasts(network, prepared, split.heldout)  # (n, horizon)
    happened = truth(steps, spec, split.heldout)
    naive = naive_forecasts(steps, spec, split.heldout)
    chosen = evenly(len(split.heldout), HELDOUT_WINDOWS)
    record = ModelRecord(
        format=2,
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
        columns = raw_columns(prepared.steps, spec, starts[first : first + PREDICT_BATCH])
        found.append(reference.through(spec, scaler, lambda x: np.asarray(network(x, training=False)), columns))
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
    from .device import describe_device

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
