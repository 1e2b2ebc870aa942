"""Backend `numpy`: the float64 reference itself; needs no engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..bundle.bundle import Bundle
from ..bundle.manifest import Artifact, Manifest
from ..computing import reference
from ..model.weights import Weights


class NumpyBackend:
    """Runs `pulsecast.computing.reference` in float64 and rounds the forecast to float32. Thread-safe."""

    device = "CPU"

    def __init__(self, manifest: Manifest, weights: Weights) -> None:
        self.engine = f"numpy {np.__version__}"
        self._manifest = manifest
        self._weights = weights

    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Backend.predict`."""
        manifest = self._manifest
        forecasts = reference.forecast(manifest.spec, manifest.scaler, self._weights, windows.astype(np.float64))
        with np.errstate(over="ignore"):
            return forecasts.astype(np.float32)


def open_artifact(bundle: Bundle, artifact: Artifact, threads: int) -> NumpyBackend:
    """Return the reference with the bundle's weights; numpy's BLAS chooses its own threads."""
    del artifact, threads
    return NumpyBackend(bundle.manifest, bundle.weights())
