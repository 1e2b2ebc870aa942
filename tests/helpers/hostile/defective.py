"""A backend that is right except for one defect, and the checks of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast.backends.numpy_reference import NumpyBackend
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import Manifest
from pulsecast.forecasting.checks import Check, check_backend
from pulsecast.model.weights import Weights

Values = NDArray[np.float32]
Times = NDArray[np.int64] | None
Predict = Callable[[Values, Times], Values]


class Defective:
    """The reference with a defect: `spoil` is given the sound prediction and returns the one to use."""

    engine = "defective"
    device = "CPU"

    def __init__(self, manifest: Manifest, weights: Weights, spoil: Callable[[Predict, Manifest], Predict]) -> None:
        self._spoiled = spoil(NumpyBackend(manifest, weights).predict, manifest)
        self._sound = NumpyBackend(manifest, weights)
        self._bounds_of = bounds_of(spoil)

    def predict(self, values: Values, time: Times = None, series: Times = None) -> Values:
        """See `Backend.predict`."""
        return self._spoiled(values, time)

    def outputs(self, values: Values, time: Times = None, series: Times = None) -> tuple[Values, ...]:
        """See `Backend.outputs`."""
        return self._bounds_of(self._sound.outputs(values, time, series))


def bounds_of(spoil: Callable[[Predict, Manifest], Predict]) -> Callable[[tuple[Values, ...]], tuple[Values, ...]]:
    """Return what a defect makes of sound outputs: most leave them as they are."""
    return getattr(spoil, "bounds", lambda found: found)


def spoils_bounds(change: Callable[[tuple[Values, ...]], tuple[Values, ...]]) -> Callable[[Predict, Manifest], Predict]:
    """Return a defect that leaves the forecast, and makes of the outputs what `change` does."""

    def spoil(sound: Predict, manifest: Manifest) -> Predict:
        return sound

    spoil.bounds = change  # type: ignore[attr-defined]
    return spoil


def checks_of(path: Path, spoil: Callable[[Predict, Manifest], Predict]) -> dict[str, Check]:
    """Return the checks by name of the reference in the bundle at `path`, with the defect `spoil`."""
    bundle = Bundle.open(path)
    manifest = bundle.manifest
    backend = Defective(manifest, bundle.weights(), spoil)
    checks = check_backend(backend, manifest, manifest.artifacts[0], bundle.golden(), bundle.weights())
    return {check.name: check for check in checks}
