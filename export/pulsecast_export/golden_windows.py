"""The held-out windows for the checks of artifacts, with the float64 reference forecasts of a model's weights."""

from __future__ import annotations

import numpy as np

from pulsecast.bundle.golden import Golden, evenly
from pulsecast.computing import reference
from pulsecast.stages.model_directory import ModelDirectory


def reference_of(model: ModelDirectory) -> Golden:
    """Return all held-out windows with their float64 reference forecasts."""
    record, windows, unit = model.record, model.heldout.windows, model.heldout.unit
    known = model.heldout.reference
    if known is None:
        known = reference.forecast(record.spec, model.scaling, model.weights, windows).astype(np.float64)
    return Golden(
        windows=windows,
        truth=model.heldout.truth,
        reference=known,
        trained=model.heldout.trained,
        unit=np.full(len(windows), record.scaler.range) if unit is None else unit,
        extremes=model.heldout.extremes,
    )


def thinned(golden: Golden, at_most: int) -> Golden:
    """Return at most `at_most` evenly spaced windows of `golden`, and at least one of every series."""
    rows = evenly(len(golden.windows), at_most)
    if golden.windows.series is None:
        return golden.take(rows)
    _, first = np.unique(golden.windows.series, return_index=True)
    few = rows if len(first) < at_most else rows[:0]
    return golden.take(np.union1d(few, first))
