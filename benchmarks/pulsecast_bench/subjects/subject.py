"""The system under test: an artifact through pulsecast's runtime, or a peer; raw windows in, raw forecasts out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import pulsecast
from pulsecast.forecasting.forecaster import Forecaster

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Why to trust the bundle: `key` and `code` are `key` and `trust_code` of `pulsecast.load`."""

    key: str | None = None
    code: bool = False


UNVOUCHED = Trust()


@dataclass(frozen=True, kw_only=True)
class LoadedSubject:
    """`predict` takes (batch, context, features) and returns (batch, horizon).

    forecaster  of an artifact: it holds the engine for the overhead
    """

    predict: Callable[[Array], Array]
    engine: str
    device: str
    max_batch: int | None = None
    forecaster: Forecaster | None = None

    def forecast(self, windows: Array) -> Array:
        """Return `predict` of any number of windows, in as many calls as necessary."""
        at_once = self.max_batch or len(windows)
        parts = [self.predict(windows[first : first + at_once]) for first in range(0, len(windows), at_once)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


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
