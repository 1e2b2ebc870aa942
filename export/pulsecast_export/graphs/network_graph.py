"""A network as TensorFlow operations over weights: `pulsecast.computing.network_forward` line by line.

A plain stack runs in the form that a writer asks for (`stacks`), any other network in one loop over time per cell. A
loop keeps its outputs in one tensor, which it shifts by a step each time, not in a tensor list: TFLite has no builtin
operator for a list with a dynamic batch. Imported in converter child processes only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from pulsecast.model.network import Activation, Network, Recurrent
from pulsecast.model.spec import ModelSpec
from pulsecast.model.weights import CellWeights, Weights

Tensor = Any
Stack = Callable[[ModelSpec, Weights, Tensor], Tensor]  # the recurrent part: channels in, (batch, width) out


def network(spec: ModelSpec, weights: Weights, inputs: Tensor, stack: Stack) -> Tensor:
    """Return the network's outputs (batch, horizon) for channels (batch, window, channels).

    A plain stack runs in the form `stack`, which engines fuse; any other network in a loop for each cell.
    """
    recurrent = stack if spec.network.is_plain else _loops
    return behind(spec.network, weights, recurrent(spec, weights, inputs))


def behind(network: Network, weights: Weights, final: Tensor) -> Tensor:
    """Return the outputs (batch, horizon) of dense layers and head for the last recurrent output (batch, width)."""
    for dense, (kernel, bias) in zip(network.dense, weights.dense, strict=True):
        final = activate(dense.activation, tf.matmul(final, tf.constant(kernel)) + tf.constant(bias))
    found = tf.matmul(final, tf.constant(weights.head_kernel)) + tf.constant(weights.head_bias)
    return activate(network.activation, found)


def _loops(spec: ModelSpec, weights: Weights, inputs: Tensor) -> Tensor:
    """Return the last recurrent output (batch, width)."""
    cells = iter(weights.layers)
    sequence = tf.transpose(inputs, [1, 0, 2])  # (window, batch, channels)
    final: Tensor = None
    for layer in spec.network.recurrent:
        sequence, final = _layer(spec.window, layer, cells, sequence, last=layer is spec.network.recurrent[-1])
    return final


def _layer(
    window: int, layer: Recurrent, cells: Iterator[CellWeights], sequence: Tensor, *, last: bool
) -> tuple[Tensor, Tensor]:
    """Return the outputs (window, batch, width), None of the `last` layer, and its final output (batch, width)."""
    hidden, finals = [], []
    for backwards in {"forward": (False,), "backward": (True,), "both": (False, True)}[layer.direction]:
        step = Step(layer, next(cells))
        found, final = _loop(window, step, sequence, backwards=backwards, keep=not last)
        hidden.append(found)
        finals.append(final)
    return (None if last else _merge(layer, hidden)), _merge(layer, finals)


def _merge(layer: Recurrent, parts: list[Tensor]) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    if layer.merge == "concat":
        return tf.concat(parts, axis=-1)
    if layer.merge == "mul":
        return parts[0] * parts[1]
    total = parts[0] + parts[1]
    return total * 0.5 if layer.merge == "ave" else total


def _loop(window: int, step: Step, sequence: Tensor, *, backwards: bool, keep: bool) -> tuple[Tensor, Tensor]:
    """Run one cell over `sequence` (window, batch, inputs); return its outputs if `keep`, and the last one.

    Outputs keep the order of computation, except for the second cell of a Bidirectional.
    """
    batch = tf.shape(sequence)[1]
    layer = step.layer
    turned = backwards and layer.direction == "both"
    zeros = tf.zeros([batch, layer.units])
    kept = [tf.zeros([window, batch, layer.units])] if keep else []

    def body(t: Tensor, h: Tensor, c: Tensor, *outputs: Tensor) -> tuple[Tensor, ...]:
        x = tf.gather(sequence, window - 1 - t if backwards else t)  # (batch, inputs)
        h, c = step(x, h, c)
        new = [tf.concat([h[tf.newaxis], o[:-1]] if turned else [o[1:], h[tf.newaxis]], axis=0) for o in outputs]
        return (t + 1, h, c, *new)

    state = tf.TensorShape([None, layer.units])
    final = tf.while_loop(
        lambda t, *_: t < window,
        body,
        (tf.constant(0), zeros, zeros, *kept),
        shape_invariants=(tf.TensorShape([]), state, state, *[tf.TensorShape([window, None, layer.units])] * len(kept)),
        maximum_iterations=window,
    )
    return (final[3] if keep else None), final[1]


class Step:
    """One step of a cell; its weights are graph constants, made outside of the loop."""

    def __init__(self, layer: Recurrent, weights: CellWeights) -> None:
        self.layer = layer
        self._kernel = tf.constant(weights.kernel)
        self._two = weights.bias.ndim == 2
        self._outer = tf.constant(weights.bias[0] if self._two else weights.bias)
        self._inner = tf.constant(weights.bias[1]) if self._two else None
        split = 2 * layer.units
        self._recurrent = tf.constant(weights.recurrent)
        self._gate_part = tf.constant(np.ascontiguousarray(weights.recurrent[:, :split]))
        self._candidate_part = tf.constant(np.ascontiguousarray(weights.recurrent[:, split:]))

    def __call__(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next (h, c), each (batch, units); a GRU returns `c` unchanged."""
        projected = tf.matmul(x, self._kernel) + self._outer
        if self.layer.kind == "gru":
            return self._gru(projected, h), c
        gates, activation = self.layer.gates, self.layer.activation
        return gated(projected + tf.matmul(h, self._recurrent), c, gates, activation)

    def _gru(self, projected: Tensor, h: Tensor) -> Tensor:
        gates, activation = self.layer.gates, self.layer.activation
        xz, xr, xh = tf.split(projected, 3, axis=1)
        if self._two:
            hz, hr, hh = tf.split(tf.matmul(h, self._recurrent) + self._inner, 3, axis=1)
            z, r = activate(gates, xz + hz), activate(gates, xr + hr)
            candidate = activate(activation, xh + r * hh)
        else:
            hz, hr = tf.split(tf.matmul(h, self._gate_part), 2, axis=1)
            z, r = activate(gates, xz + hz), activate(gates, xr + hr)
            candidate = activate(activation, xh + tf.matmul(r * h, self._candidate_part))
        return z * h + (1.0 - z) * candidate


def gated(
    z: Tensor, c: Tensor, gates: Activation = "sigmoid", activation: Activation = "tanh"
) -> tuple[Tensor, Tensor]:
    """Return an LSTM's next (h, c), each (batch, units), for sums `z` (batch, 4*units) in Keras' order i, f, c, o."""
    i, f, g, o = tf.split(z, 4, axis=1)
    c = activate(gates, f) * c + activate(gates, i) * activate(activation, g)
    return activate(gates, o) * activate(activation, c), c


def activate(activation: Activation, x: Tensor) -> Tensor:
    """Return the activation of `x`, as `pulsecast.computing.network_forward.activate` does."""
    if activation == "linear":
        return x
    if activation == "hard_sigmoid":
        return tf.nn.relu6(x + 3.0) * np.float32(1 / 6)
    return {"tanh": tf.tanh, "sigmoid": tf.sigmoid, "relu": tf.nn.relu}[activation](x)
