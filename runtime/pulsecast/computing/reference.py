"""The reference: the whole forecast in numpy, from raw windows to raw forecasts, in the dtype of its input.

In float64 it is what every artifact is compared with. It has no engine, no state and no dependency but numpy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..model.scaler import Scaler
from ..model.spec import ModelSpec
from ..model.weights import LstmWeights, Weights
from .network_forward import run

Array = NDArray[np.floating]


def forecast(spec: ModelSpec, scaler: Scaler, weights: Weights, windows: Array) -> Array:
    """Return raw forecasts (batch, horizon) for raw `windows` (batch, context, features); dtype is kept.

    A row that holds a non-finite value, or one that the scaler cannot take, gives NaN in that row only.
    """
    scaled = scaler.transform(windows)  # (batch, context, features)
    inputs = channels(spec, scaled)  # (batch, window, channels)
    with np.errstate(invalid="ignore"):  # an infinite row becomes NaN on the way; `to_raw` sees to it
        outputs = network(weights, inputs) if spec.network is None else run(spec.network, weights, inputs)
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


def network(weights: Weights, inputs: Array) -> Array:
    """Return the plain stack's outputs (batch, horizon) for channels (batch, window, channels); states start at 0."""
    sequence = inputs.swapaxes(0, 1)  # (window, batch, channels)
    for layer in weights.layers:
        sequence = lstm(layer, sequence)  # (window, batch, units)
    dtype = inputs.dtype
    outputs: Array = sequence[-1] @ weights.head_kernel.astype(dtype) + weights.head_bias.astype(dtype)
    return outputs


def lstm(layer: LstmWeights, sequence: Array) -> Array:
    """Return the hidden states (window, batch, units) of one layer over `sequence` (window, batch, inputs).

    The cell is that of Hochreiter and Schmidhuber with a forget gate, as Keras computes it: sigmoid gates, tanh
    candidate and output.
    """
    dtype = sequence.dtype
    units, batch = layer.units, sequence.shape[1]
    recurrent = layer.recurrent.astype(dtype)
    projected = sequence @ layer.kernel.astype(dtype) + layer.bias.astype(dtype)  # (window, batch, 4*units)
    h = np.zeros((batch, units), dtype)
    c = np.zeros((batch, units), dtype)
    hidden = np.empty((sequence.shape[0], batch, units), dtype)
    for t in range(sequence.shape[0]):
        z = projected[t] + h @ recurrent  # (batch, 4*units)
        i, f, o = _sigmoid(z[:, :units]), _sigmoid(z[:, units : 2 * units]), _sigmoid(z[:, 3 * units :])
        c = f * c + i * np.tanh(z[:, 2 * units : 3 * units])
        h = o * np.tanh(c)
        hidden[t] = h
    return hidden


def to_raw(spec: ModelSpec, scaler: Scaler, outputs: Array, scaled: Array, inputs: Array) -> Array:
    """Return raw forecasts from network `outputs` (batch, horizon); NaN where `scaled` or `inputs` are not finite.

    A saturating gate can hide an infinite input, so finiteness is judged on the inputs and not on the outputs; and on
    the whole context, though a feature without a lag is not looked at in its first steps, as every artifact does.
    """
    if spec.target == "change":
        outputs = outputs + scaled[:, -1:, 0]
    raw = scaler.inverse(outputs)
    if spec.floor is not None:
        raw = np.maximum(raw, raw.dtype.type(spec.floor))
    finite = np.logical_and.reduce(np.isfinite(scaled), axis=(1, 2))  # (batch,)
    finite &= np.logical_and.reduce(np.isfinite(inputs), axis=(1, 2))
    return np.where(finite[:, np.newaxis], raw, raw.dtype.type(np.nan))


def _sigmoid(x: Array) -> Array:
    # through tanh: no overflow for any finite input
    gate: Array = 0.5 * np.tanh(0.5 * x) + 0.5
    return gate
