"""The forward pass of a `Network` in numpy, in the dtype of its inputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..model.network import Activation, Network, Recurrent
from ..model.weights import CellWeights, Weights

Array = NDArray[np.floating]


def run(network: Network, weights: Weights, inputs: Array) -> Array:
    """Return the head's outputs (batch, horizon) for channels (batch, window, channels), in their dtype.

    States start at 0. The linear path is not in it; see `linear_path`. Without recurrent layers all outputs are 0.
    """
    if not network.recurrent:
        return np.zeros((len(inputs), len(weights.head_bias)), inputs.dtype)
    sequence = inputs.swapaxes(0, 1)  # (window, batch, channels)
    dtype = inputs.dtype
    cells = iter(weights.layers)
    final: Array = inputs
    for layer in network.recurrent:
        sequence, final = _layer(layer, cells, sequence)  # (window, batch, width), (batch, width)
    for dense, (kernel, bias) in zip(network.dense, weights.dense, strict=True):
        final = activate(dense.activation, final @ kernel.astype(dtype) + bias.astype(dtype))
    outputs = final @ weights.head_kernel.astype(dtype) + weights.head_bias.astype(dtype)
    return activate(network.activation, outputs)


def _layer(layer: Recurrent, cells: Iterator[CellWeights], sequence: Array) -> tuple[Array, Array]:
    """Return the outputs of all steps in time order, and the layer's final output.

    The final output of a cell that runs backwards is its output at the first step.
    """
    hidden, finals = [], []
    for backwards in {"forward": (False,), "backward": (True,), "both": (False, True)}[layer.direction]:
        ordered = sequence[::-1] if backwards else sequence
        found = _cell(layer, next(cells), ordered)
        # a backward Keras layer alone keeps its own order of outputs; inside Bidirectional they are reversed
        hidden.append(found[::-1] if backwards and layer.direction == "both" else found)
        finals.append(found[-1])
    return _merge(layer, hidden), _merge(layer, finals)


def _merge(layer: Recurrent, parts: list[Array]) -> Array:
    if len(parts) == 1:
        return parts[0]
    one, other = parts
    if layer.merge == "concat":
        return np.concatenate(parts, axis=-1)
    if layer.merge == "mul":
        product: Array = one * other
        return product
    total: Array = one + other
    return total / 2 if layer.merge == "ave" else total


def _cell(layer: Recurrent, weights: CellWeights, sequence: Array) -> Array:
    """Return the hidden states (window, batch, units) over `sequence` (window, batch, inputs), in its order."""
    dtype = sequence.dtype
    recurrent = weights.recurrent.astype(dtype)
    bias = weights.bias.astype(dtype)
    outer, inner = (bias[0], bias[1]) if layer.two_biases else (bias, None)
    projected = sequence @ weights.kernel.astype(dtype) + outer  # (window, batch, gates*units)
    h = np.zeros((sequence.shape[1], layer.units), dtype)
    c = np.zeros_like(h)
    hidden = np.empty((len(sequence), *h.shape), dtype)
    for t, x in enumerate(projected):
        if layer.kind == "lstm":
            h, c = _lstm_step(layer, x + h @ recurrent, c)
        else:
            h = _gru_step(layer, x, h, recurrent, inner)
        hidden[t] = h
    return hidden


def _lstm_step(layer: Recurrent, z: Array, c: Array) -> tuple[Array, Array]:
    n = layer.units
    i, f, g, o = z[:, :n], z[:, n : 2 * n], z[:, 2 * n : 3 * n], z[:, 3 * n :]  # (batch, units) each
    c = activate(layer.gates, f) * c + activate(layer.gates, i) * activate(layer.activation, g)
    return activate(layer.gates, o) * activate(layer.activation, c), c


def _gru_step(layer: Recurrent, x: Array, h: Array, recurrent: Array, inner: Array | None) -> Array:
    """Return the next h of a GRU, in the form of Cho et al. (2014), or with `inner` biases in cuDNN's."""
    units = layer.units
    xz, xr, xh = np.split(x, 3, axis=1)
    if inner is not None:
        hz, hr, hh = np.split(h @ recurrent + inner, 3, axis=1)
        z, r = activate(layer.gates, xz + hz), activate(layer.gates, xr + hr)
        candidate = activate(layer.activation, xh + r * hh)
    else:
        hz, hr = np.split(h @ recurrent[:, : 2 * units], 2, axis=1)
        z, r = activate(layer.gates, xz + hz), activate(layer.gates, xr + hr)
        candidate = activate(layer.activation, xh + (r * h) @ recurrent[:, 2 * units :])
    return z * h + (1 - z) * candidate


def activate(activation: Activation, x: Array) -> Array:
    """Return the activation of `x`; `hard_sigmoid` is that of Keras 3: x/6 + 1/2, clipped to 0 and 1."""
    if activation == "linear":
        return x
    if activation == "relu":
        return np.maximum(x, x.dtype.type(0))
    if activation == "hard_sigmoid":
        return np.clip(x / x.dtype.type(6) + x.dtype.type(0.5), x.dtype.type(0), x.dtype.type(1))
    # sigmoid through tanh: no overflow for any finite input
    result: Array = np.tanh(x) if activation == "tanh" else 0.5 * np.tanh(0.5 * x) + 0.5
    return result
