"""The system under test: an artifact through pulsecast's runtime, or a peer; raw windows in, raw forecasts out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import pulsecast
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.model.series import SeriesNames
from pulsecast.model.windows import Windows

Array = NDArray[np.float32]
Times = NDArray[np.int64]


class Predict(Protocol):
    """A call as an app makes it, that of `Forecaster.predict`: every subject has this form, so that none pays for it.

    values      (batch, context, measured) raw; of a bundle of format 1 (batch, context, features)
    timestamps  (batch,) unix seconds of each window's last step; None where the model takes no time
    series      where the bundle holds several: what `asked` returns for the subject; else None
    """

    def __call__(self, values: Array, *, timestamps: Times | None = None, series: Any = None) -> Array:
        """Return raw forecasts (batch, horizon)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Why to trust the bundle: `key` and `code` are `key` and `trust_code` of `pulsecast.load`."""

    key: str | None = None
    code: bool = False


UNVOUCHED = Trust()


@dataclass(frozen=True, kw_only=True)
class LoadedSubject:
    """What is called, and what runs it.

    forecaster  of an artifact: it holds the engine for the overhead, and makes streams
    """

    predict: Predict
    engine: str
    device: str
    max_batch: int | None = None
    forecaster: Forecaster | None = None

    @property
    def names(self) -> SeriesNames | None:
        """The names of an artifact's series: an app calls it by name, and a peer, as any engine, by row."""
        table = None if self.forecaster is None else self.forecaster.series
        return None if table is None else table.names

    def forecast(self, windows: Windows) -> Array:
        """Return `predict` of any number of windows, in as many calls as necessary."""
        if self.max_batch is None or len(windows) <= self.max_batch:
            return self._forecast(windows)
        starts = range(0, len(windows), self.max_batch)
        return np.concatenate([self._forecast(windows.take(slice(at, at + self.max_batch))) for at in starts])

    def _forecast(self, windows: Windows) -> Array:
        return self.predict(windows.values, timestamps=windows.time, series=asked(windows, self.names))


def asked(windows: Windows, names: SeriesNames | None) -> Any:
    """Return the series of `windows` as a call takes them: by name, or without `names` by row, (batch,).

    A single name stands for all. None where the windows have no series.
    """
    if windows.series is None or names is None:
        return windows.series
    found = [names.name(row) for row in windows.series.tolist()]
    return found[0] if len(set(found)) == 1 else found


def open_artifact(path: Path, artifact: str, threads: int, trust: Trust = UNVOUCHED) -> LoadedSubject:
    """Return an artifact of the bundle, loaded by `pulsecast.load`."""
    forecaster = pulsecast.load(path, artifact=artifact, threads=threads, key=trust.key, trust_code=trust.code)
    backend = forecaster.backend
    return LoadedSubject(
        predict=forecaster.predict,
        engine=backend.engine,
        device=backend.device,
        max_batch=forecaster.artifact.max_batch,
        forecaster=forecaster,
    )
