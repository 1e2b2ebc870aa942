"""The reference: the whole forecast in numpy, from raw windows and their times to raw forecasts, in float64.

Every artifact is compared with its float64 result. It has no engine, no state and no dependency except numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..model.scaler import Scaler
from ..model.series import Scaling, WindowScaler
from ..model.spec import ModelSpec
from ..model.weights import Weights
from ..model.windows import Windows
from .calendars import complete
from .linear_path import linear_path
from .network_forward import run

Array = NDArray[np.floating]
TOGETHER = 512  # windows that are forecast at once: the sums of two layers of 50 units over 50 steps take 80 MB then


def forecast(spec: ModelSpec, scaling: Scaling, weights: Weights, windows: Windows) -> Array:
    """Return raw forecasts (batch, horizon) of `windows`, in float64.

    A row that holds a non-finite value, one that the scaler cannot take, an unknown time or a series that is not in the
    table, gives NaN in that row only. Raises UsageError for a graph of Keras layers, which numpy does not compute.
    """
    if spec.graph is not None:
        raise UsageError(
            f"numpy does not compute this model ({spec.graph.words}): its layers are known to engines only; expected "
            "an artifact of the bundle, such as onnx or tflite"
        )
    parts = [windows.take(slice(at, at + TOGETHER)) for at in range(0, len(windows), TOGETHER)] or [windows]
    return np.concatenate([_forecast(spec, scaling, weights, part) for part in parts])


def _forecast(spec: ModelSpec, scaling: Scaling, weights: Weights, windows: Windows) -> Array:
    exact = windows.changed(windows.values.astype(np.float64))
    network, beside = partial(run, spec.network, weights), linear_path(spec, scaling, weights, exact)
    return through(spec, scaling.of(exact), network, complete(spec, exact), beside)


def through(
    spec: ModelSpec, scaler: Scaler | WindowScaler, network: Callable[[Array], Array], columns: Array,
    beside: Callable[[Array], Array] | None = None,
) -> Array:  # fmt: skip
    """Return raw forecasts for raw `columns` (batch, context, features) through any `network`; dtype is kept.

    It takes channels (batch, window, channels) and returns outputs (batch, horizon), in the same dtype. `beside` takes
    scaled columns (batch, context, features) and returns what is added to the outputs: the `linear_path` of the same
    windows. This is the one place where values are scaled around a network in numpy.
    """
    scaled = scaler.transform(columns)  # (batch, context, features)
    inputs = channels(spec, scaled)  # (batch, window, channels)
    with np.errstate(invalid="ignore"):  # an infinite row becomes NaN on the way; `to_raw` handles it
        outputs = network(inputs)
        outputs = outputs if beside is None else outputs + beside(scaled)
    return to_raw(spec, scaler, outputs, scaled, inputs)


def channels(spec: ModelSpec, scaled: Array) -> Array:
    """Return network inputs (..., steps - lag, channels) of scaled values (..., steps, features), lag the longest one.

    A window of `context` steps gives the `window` steps that the network runs over; a whole series works as well.
    """
    longest, steps = spec.context - spec.window, scaled.shape[-2]
    with np.errstate(invalid="ignore"):
        columns = [
            scaled[..., longest:, c.feature] - (scaled[..., longest - c.lag : steps - c.lag, c.feature] if c.lag else 0)
            for c in spec.channels
        ]
    return np.stack(columns, axis=-1)


def to_raw(spec: ModelSpec, scaler: Scaler | WindowScaler, outputs: Array, scaled: Array, inputs: Array) -> Array:
    """Return raw forecasts from network `outputs` (batch, horizon); NaN where `scaled` or `inputs` are not finite.

    A saturating gate can hide an infinite input, so finiteness is tested on the inputs, not on the outputs. As in every
    artifact, the whole context is tested, although a feature without a lag does not use its first steps.
    """
    if spec.target == "change":
        outputs = outputs + scaled[:, -1:, 0]
    raw = scaler.inverse(outputs)
    if spec.floor is not None:
        raw = np.maximum(raw, raw.dtype.type(spec.floor))
    finite = np.logical_and.reduce(np.isfinite(scaled), axis=(1, 2))  # (batch,)
    finite &= np.logical_and.reduce(np.isfinite(inputs), axis=(1, 2))
    return np.where(finite[:, np.newaxis], raw, raw.dtype.type(np.nan))
