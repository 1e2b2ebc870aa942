"""The linear path as TensorFlow operations: `pulsecast.computing.linear_path` with what is linear folded into a kernel.

Differences between steps, and the window's last value, which every forecast of a change adds, are one kernel over the
window. Three operators make all inputs that bend: a product with a small matrix, tanh, and a product with what it was
taken of. Imported in converter child processes only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulsecast.model.linear import Linear
from pulsecast.model.spec import ModelSpec
from pulsecast.stages.model_directory import ModelDirectory

from .calendar_graph import Times

Tensor = Any
Array = NDArray[np.float64]
EXACT = "exact"  # in the names of its products: `*-w8` and `*-fp16` leave them in float32
_BENT, _TIMES_BENT = [0, 1, 3, 4, 5], 2  # rows of the kernel's bends: of tanh alone, and of d tanh 3d


def linear_path(model: ModelDirectory, scaled: Tensor, of_time: Times | None, row: Tensor | None) -> Tensor:
    """Return the path's sums and the window's last scaled value, added up, (batch, horizon).

    scaled  (batch, measured, context)
    row     (batch,) rows of the table of series; None without a table
    """
    spec, table = model.record.spec, model.table
    linear, shared = spec.linear, model.weights.linear
    assert linear is not None and shared is not None  # noqa: S101, PT018  # for the type checker: callers have looked
    with tf.name_scope(EXACT):
        if row is None or table is None or table.linear is None:
            inputs = _inputs(spec, linear, scaled, of_time, spec.context)
            return _by_one(linear, _Kernel(spec, linear, shared, spec.context), inputs, of_time)
        inputs = _inputs(spec, linear, scaled, of_time, linear.lags)
        return _by_row(linear, _Kernel(spec, linear, table.linear, linear.lags), inputs, of_time, row)


def _inputs(spec: ModelSpec, linear: Linear, scaled: Tensor, of_time: Times | None, steps: int) -> Tensor:
    """Return what the kernel multiplies, (batch, inputs): see `_Kernel.base`."""
    # a slice of one column would be two operators in ONNX
    z = tf.reshape(scaled, [-1, spec.context]) if spec.measured == 1 else scaled[:, 0]  # (batch, context)
    bends = tf.matmul(z, _bends(linear, spec.context))
    bent = tf.tanh(bends)
    parts = [z if steps == spec.context else z[:, -steps:]]
    if spec.measured > 1:
        parts.append(tf.reshape(scaled[:, 1:, -2:], [-1, 2 * (spec.measured - 1)]))
    parts += [bent, bends * bent]
    if of_time is not None and linear.waves:
        width = 2 * len(linear.waves)
        parts.append(of_time.waves if of_time.waves.shape[1] == width else of_time.waves[:, :width])
    return tf.concat(parts, axis=1)


def _bends(linear: Linear, context: int) -> NDArray[np.float32]:
    """Return what makes d, 3d and with a season g, 3g, 3e of a window: (context, 2 or 5)."""
    d = np.zeros(context)
    d[-1], d[-2] = 1.0, -1.0
    if not linear.season:
        return np.stack([d, 3 * d], axis=1).astype(np.float32)
    g, e = np.zeros(context), np.zeros(context)
    g[-linear.season :] = -1 / linear.season
    g[-1] += 1.0
    e[-linear.season], e[-linear.season - 1] = 1.0, -1.0
    return np.stack([d, 3 * d, g, 3 * g, 3 * e], axis=1).astype(np.float32)


class _Kernel:
    """A kernel (..., inputs, horizon) of the written order, in the order of `_inputs`; with a row for each series.

    base   (..., rows, horizon): the last `steps` scaled values of the forecast column, oldest first; the last two of
           each further column; the bends' tanh; the bends times their tanh; the waves
    bias   (..., 1, horizon)
    gates  (..., 2 * weekend_waves, horizon), times the weekend and the first waves
    own    (..., 1, horizon), times the weekend
    """

    def __init__(self, spec: ModelSpec, linear: Linear, kernel: NDArray[np.float32], steps: int) -> None:
        exact = kernel.astype(np.float64)
        part = {name: exact[..., rows, :] for name, rows in linear.parts(spec.measured).items()}
        others, bends = part["others"], part["bends"]
        parts = [_of_window(part["lags"], steps), _of_last_two(others[..., ::2, :], others[..., 1::2, :])]
        bent = bends[..., _BENT if linear.season else _BENT[:2], :]
        product = np.zeros_like(bent)
        product[..., 1, :] = bends[..., _TIMES_BENT, :] / 3  # times 3d, where the kernel means d
        self.base = np.concatenate([*parts, bent, product, part["waves"]], axis=-2)
        self.bias = part["bias"]
        self.own, self.gates = part["weekend"][..., :1, :], part["weekend"][..., 1:, :]


def _of_window(lags: Array, steps: int) -> Array:
    """Return the rows of the last `steps` values for those of z[-1] and z[-j] - z[-1], with the last value added."""
    last = lags[..., :1, :] - lags[..., 1:, :].sum(axis=-2, keepdims=True) + 1.0
    before = np.zeros((*lags.shape[:-2], steps - lags.shape[-2], lags.shape[-1]))
    return np.concatenate([before, lags[..., :0:-1, :], last], axis=-2)


def _of_last_two(levels: Array, changes: Array) -> Array:
    """Return the rows of z[-2] and z[-1] of each column for those of z[-1] and of z[-1] - z[-2].

    levels, changes  (..., columns, horizon)
    """
    pairs = np.stack([-changes, levels + changes], axis=-2)  # (..., columns, 2, horizon)
    return pairs.reshape(*pairs.shape[:-3], -1, pairs.shape[-1])


def _by_one(linear: Linear, kernel: _Kernel, inputs: Tensor, of_time: Times | None) -> Tensor:
    """Return the sums (batch, horizon) with the kernel of all windows."""
    if of_time is None or linear.weekend_waves is None:
        return tf.matmul(inputs, _float32(kernel.base)) + _float32(kernel.bias)
    gated = np.zeros_like(kernel.base)
    first = len(gated) - 2 * len(linear.waves)
    gated[first : first + len(kernel.gates)] = kernel.gates
    both = tf.matmul(inputs, _float32(kernel.base, gated)) + _float32(kernel.bias, kernel.own)
    base, weekend = tf.split(both, 2, axis=1)
    return base + of_time.weekend * weekend


def _by_row(linear: Linear, kernel: _Kernel, inputs: Tensor, of_time: Times | None, row: Tensor) -> Tensor:
    """Return the sums (batch, horizon), of each window with the kernel of its series."""
    parts = [kernel.base, kernel.bias, kernel.gates, kernel.own]
    parts = [part for part in parts if part.shape[1]]
    found = tf.gather(np.concatenate(parts, axis=1).astype(np.float32), row)  # (batch, rows of the kernel, horizon)
    base, bias, *weekend = tf.split(found, [part.shape[1] for part in parts], axis=1)
    total = tf.matmul(inputs[:, tf.newaxis], base) + bias  # (batch, 1, horizon)
    if of_time is not None and weekend:
        *gates, own = weekend
        gated = sum((tf.matmul(of_time.waves[:, tf.newaxis, : one.shape[1]], one) for one in gates), own)
        total += of_time.weekend[:, tf.newaxis] * gated
    return tf.reshape(total, [-1, total.shape[2]])


def _float32(*parts: Array) -> NDArray[np.float32]:
    return np.concatenate(parts, axis=1).astype(np.float32)
