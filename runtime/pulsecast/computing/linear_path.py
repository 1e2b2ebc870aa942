"""The linear path in numpy, in the dtype of its inputs: `pulsecast.model.linear.Linear` line by line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..model.linear import Linear, Wave
from ..model.series import POOL_ROW, Scaling, SeriesTable
from ..model.spec import ModelSpec
from ..model.weights import Weights
from ..model.windows import Windows
from .calendars import is_weekend

Array = NDArray[np.floating]


def linear_path(
    spec: ModelSpec, scaling: Scaling, weights: Weights, windows: Windows
) -> Callable[[Array], Array] | None:
    """Return what computes the linear path of `windows` from their scaled columns; None where the model has none.

    It takes (batch, context, features) and returns (batch, horizon), in the same dtype.
    """
    linear = spec.linear
    if linear is None:
        return None
    kernel = kernel_of(scaling, weights, windows)  # (inputs, horizon) or (batch, inputs, horizon)

    def path(scaled: Array) -> Array:
        return weighted(linear_inputs(spec, linear, scaled, windows.time), kernel.astype(scaled.dtype))

    return path


def kernel_of(scaling: Scaling, weights: Weights, windows: Windows) -> NDArray[np.float32]:
    """Return the kernel of all windows (inputs, horizon), or that of each of them (batch, inputs, horizon)."""
    if weights.linear is None:
        raise ValueError("these weights have no linear path")
    if not isinstance(scaling, SeriesTable) or scaling.linear is None or windows.series is None:
        return weights.linear
    known = (windows.series >= 0) & (windows.series < len(scaling))
    return scaling.linear[np.where(known, windows.series, POOL_ROW)]


def linear_inputs(spec: ModelSpec, linear: Linear, scaled: Array, time: NDArray[np.int64] | None) -> Array:
    """Return the inputs (batch, inputs, horizon): a column for each step that is forecast.

    scaled  (batch, context, features)
    time    (batch,) unix seconds of the last step; None where the path has neither waves nor the weekend

    Only the weekend's inputs differ between the steps.
    """
    z = scaled[:, :, 0]
    last = z[:, -1:]
    lags = [last, z[:, -linear.lags : -1][:, ::-1] - last]
    others = [part for f in range(1, spec.measured) for part in _others(scaled[:, :, f])]
    same = np.concatenate([*lags, *others, *_bends(linear, z)], axis=1)
    steps = np.repeat(same[:, :, np.newaxis], spec.horizon, axis=2)
    ones = np.ones((len(z), 1, spec.horizon), z.dtype)
    if time is None or not linear.timed:
        return np.concatenate([steps, ones], axis=1)
    first = time + spec.step_s  # (batch,)
    waves = wave_values(linear.waves, first).astype(z.dtype)[:, :, np.newaxis]  # (batch, 2 * waves, 1)
    parts = [steps, np.repeat(waves, spec.horizon, axis=2)]
    if linear.weekend_waves is not None:
        ahead = first[:, np.newaxis] + spec.step_s * np.arange(spec.horizon)
        weekend = is_weekend(ahead).astype(z.dtype)[:, np.newaxis]  # (batch, 1, horizon)
        parts += [weekend, weekend * waves[:, : 2 * linear.weekend_waves]]
    return np.concatenate([*parts, ones], axis=1)


def weighted(inputs: Array, kernel: Array) -> Array:
    """Return the sums (batch, horizon) of `inputs` (batch, inputs, horizon) with one kernel, or that of each window."""
    found: Array = np.einsum("bih,bih->bh" if kernel.ndim == 3 else "bih,ih->bh", inputs, kernel)
    return found


def _others(column: Array) -> tuple[Array, Array]:
    return column[:, -1:], column[:, -1:] - column[:, -2:-1]


def _bends(linear: Linear, z: Array) -> list[Array]:
    d = z[:, -1:] - z[:, -2:-1]
    three = z.dtype.type(3)
    found = [np.tanh(d), np.tanh(three * d), d * np.tanh(three * d)]
    if linear.season:
        g = z[:, -1:] - z[:, -linear.season :].mean(axis=1, keepdims=True)
        first = z.shape[1] - linear.season
        e = z[:, first : first + 1] - z[:, first - 1 : first]
        found += [np.tanh(g), np.tanh(three * g), np.tanh(three * e)]
    return found


def wave_values(waves: Sequence[Wave], seconds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return sine and cosine of each wave in turn, (n, 2 * waves), at unix `seconds` (n,)."""
    period = np.array([wave.period_s for wave in waves], np.int64)
    multiple = np.array([wave.multiple for wave in waves], np.int64)
    phase = seconds[:, np.newaxis] % period * multiple % period  # (n, waves)
    angle = 2 * np.pi * phase / period
    return np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(len(seconds), -1)
