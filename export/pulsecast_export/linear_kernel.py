"""The kernel of a linear path as generated C reads it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulsecast.model.linear import Linear


def folded(linear: Linear, kernels: NDArray[np.float32], measured: int) -> NDArray[np.float32]:
    """Return kernels (..., rows, horizon) as generated C reads them, from those of `Linear`, (..., inputs, horizon).

    Differences from the last step become weights of the values themselves, in float64. Rows that go by the steps before
    the last one come first: weekend and its waves; bias, waves, values of the forecast column from the oldest step
    on, the last value of each further column, tanh 3e. Then those of the last step: its values, and what bends.
    """
    part = {name: kernels[..., rows, :].astype(np.float64) for name, rows in linear.parts(measured).items()}
    lags, bends = part["lags"], part["bends"]
    level, change = part["others"][..., ::2, :], part["others"][..., 1::2, :]
    beyond = np.zeros((*lags.shape[:-2], linear.steps - linear.lags, lags.shape[-1]))  # the season looks back further
    last = lags[..., :1, :] - lags[..., 1:, :].sum(axis=-2, keepdims=True)
    rows = [part["weekend"], part["bias"], part["waves"], beyond, lags[..., :0:-1, :], -change, bends[..., 5:, :]]
    rows += [last, level + change, bends[..., :5, :]]
    return np.concatenate(rows, axis=-2).astype(np.float32)
