"""The held-out windows for the checks of artifacts, with the float64 reference forecasts of a model's weights."""

from __future__ import annotations

import numpy as np

from pulsecast.bundle.golden import Golden, evenly
from pulsecast.computing import reference
from pulsecast.stages.model_directory import ModelDirectory


def reference_of(model: ModelDirectory) -> Golden:
    """Return all held-out windows with their float64 reference forecasts."""
    record, windows = model.record, model.heldout.windows
    return Golden(
        windows=windows,
        truth=model.heldout.truth,
        reference=reference.forecast(record.spec, record.scaler, model.weights, windows).astype(np.float64),
        trained=model.heldout.trained,
    )


def thinned(golden: Golden, at_most: int) -> Golden:
    """Return at most `at_most` evenly spaced windows of `golden`."""
    return golden.take(evenly(len(golden.windows), at_most))
