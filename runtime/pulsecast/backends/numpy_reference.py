"""Backend `numpy`: the float64 reference itself; needs no engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..bundle.bundle import Bundle
from ..bundle.manifest import Artifact, Manifest
from ..computing import reference
from ..computing.intervals import split_interval
from ..model.series import SeriesTable, scaling_of
from ..model.weights import Weights
from ..model.windows import Windows
from .forks import forks_wait


class NumpyBackend:
    """Runs `pulsecast.computing.reference` in float64 and rounds its results to float32. Thread-safe."""

    device = "CPU"

    def __init__(self, manifest: Manifest, weights: Weights, table: SeriesTable | None = None) -> None:
        self.engine = f"numpy {np.__version__}"
        self._manifest = manifest
        self._weights = weights
        self._table = table
        self._scaling = scaling_of(manifest.scaler, table)

    def predict(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """See `Backend.predict`."""
        return _float32(self._forecast(values, time, series))

    def outputs(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], ...]:
        """See `Backend.outputs`."""
        manifest = self._manifest
        forecasts = self._forecast(values, time, series)
        forecast = _float32(forecasts)
        if manifest.intervals is None or manifest.level is None:
            return (forecast,)
        with np.errstate(over="ignore"):
            _, lower, upper = split_interval(manifest.intervals, forecasts, manifest.level, self._table, series)
        lost = np.isnan(forecast)
        return forecast, *(np.where(lost, np.float32(np.nan), _float32(bound)) for bound in (lower, upper))

    def _forecast(
        self, values: NDArray[np.float32], time: NDArray[np.int64] | None, series: NDArray[np.int64] | None
    ) -> NDArray[np.floating]:
        manifest = self._manifest
        windows = Windows(values=values, time=time, series=series)
        with forks_wait:
            return reference.forecast(manifest.spec, self._scaling, self._weights, windows)


def _float32(results: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return float64 `results` in float32; one that it has no room for is NaN, never infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = results.astype(np.float32)
    found[np.isinf(found)] = np.nan
    return found


def open_artifact(bundle: Bundle, artifact: Artifact, threads: int) -> NumpyBackend:
    """Return the reference with the bundle's weights; numpy's BLAS chooses its own threads."""
    del artifact, threads
    return NumpyBackend(bundle.manifest, bundle.weights(), bundle.series)
