"""The forms in which a plain stack of LSTM layers becomes a graph: a converter or engine fuses each of them.

Imported in converter child processes only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from pulsecast.model.spec import ModelSpec
from pulsecast.model.weights import CellWeights, Weights

from .network_graph import behind, gated

Tensor = Any


@dataclass(frozen=True, kw_only=True)
class LayerConstants:
    """One layer's weights as graph constants, made outside of loops: tf2onnx expects them among a loop's inputs."""

    kernel: Tensor
    recurrent: Tensor
    bias: Tensor
    units: int


def constants(layer: CellWeights) -> LayerConstants:
    """Return `layer` as graph constants."""
    return LayerConstants(
        kernel=tf.constant(layer.kernel),
        recurrent=tf.constant(layer.recurrent),
        bias=tf.constant(layer.bias),
        units=layer.units,
    )


def cell(layer: LayerConstants, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next (h, c), each (batch, units), for inputs `x` (batch, inputs).

    The sum has Keras' order, bias last: tf2onnx and TFLite's converter recognise an LSTM by it.
    """
    z = tf.matmul(x, layer.kernel) + tf.matmul(h, layer.recurrent)
    return gated(tf.nn.bias_add(z, layer.bias), c)


def gather_stack(spec: ModelSpec, weights: Weights, inputs: Tensor) -> Tensor:
    """All layers in one loop over time that gathers step t: TFLite runs it with a dynamic batch, without state tensors.

    Returns the last layer's last hidden state (batch, units).
    """
    steps = tf.transpose(inputs, [1, 0, 2])  # (window, batch, channels)
    batch = tf.shape(inputs)[0]
    layers = [constants(layer) for layer in weights.layers]
    zeros = [tf.zeros([batch, layer.units]) for layer in layers for _ in "hc"]

    def body(t: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        x, new = tf.gather(steps, t), []
        for i, layer in enumerate(layers):
            x, c = cell(layer, x, states[2 * i], states[2 * i + 1])
            new += [x, c]
        return (t + 1, *new)

    final = tf.while_loop(
        lambda t, *_: t < spec.window,
        body,
        (tf.constant(0), *zeros),
        shape_invariants=(
            tf.TensorShape([]),
            *(tf.TensorShape([None, layer.units]) for layer in layers for _ in "hc"),
        ),
        maximum_iterations=spec.window,
    )
    return final[-2]


def tensor_list_stack(spec: ModelSpec, weights: Weights, inputs: Tensor) -> Tensor:
    """One loop per layer over tensor lists: the form in which tf2onnx recognises an LSTM and emits the fused operator.

    Returns the last layer's last hidden state (batch, units).
    """
    sequence = tf.transpose(inputs, [1, 0, 2])  # (window, batch, channels)
    for layer in weights.layers[:-1]:
        sequence, _ = _tensor_list_layer(spec, constants(layer), sequence)
    return _tensor_list_layer(spec, constants(weights.layers[-1]), sequence)[1]


def _tensor_list_layer(spec: ModelSpec, layer: LayerConstants, sequence: Tensor) -> tuple[Tensor, Tensor]:
    """Return the hidden states (window, batch, units) and the last one (batch, units)."""
    batch = tf.shape(sequence)[1]
    xs = tf.TensorArray(tf.float32, spec.window).unstack(sequence)
    hs = tf.TensorArray(tf.float32, spec.window, element_shape=[None, layer.units])
    zeros = tf.zeros([batch, layer.units])

    def body(t: Tensor, written: Any, h: Tensor, c: Tensor) -> tuple[Any, ...]:
        h, c = cell(layer, xs.read(t), h, c)
        return t + 1, written.write(t, h), h, c

    state = tf.TensorShape([None, layer.units])
    _, hidden, last, _ = tf.while_loop(
        lambda t, *_: t < spec.window,
        body,
        (tf.constant(0), hs, zeros, zeros),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape(None), state, state),
    )
    return tf.ensure_shape(hidden.stack(), [spec.window, None, layer.units]), last


def fused_network(spec: ModelSpec, weights: Weights, inputs: Tensor) -> Tensor:
    """The network alone, (1, window, channels) -> (1, horizon), in the form that TFLite's converter fuses.

    The converter makes UNIDIRECTIONAL_SEQUENCE_LSTM of a function that says it implements a Keras LSTM, has static
    shapes, six arguments and five results, with only the first (last state) or second (sequence) in use.
    """
    x = inputs
    for i, layer in enumerate(weights.layers):
        last, sequence = _fused_layer(i, spec.window, constants(layer), x)
        x = last if i == len(weights.layers) - 1 else sequence
    return behind(spec.network, weights, x)


def _fused_layer(number: int, window: int, layer: LayerConstants, x: Tensor) -> tuple[Tensor, Tensor]:
    attributes = {
        "api_implements": f"lstm_{number}",
        "api_preferred_device": "CPU",
        "go_backwards": False,
        "time_major": False,
    }

    @tf.function(autograph=False, experimental_attributes=attributes)  # type: ignore[untyped-decorator]
    def standard_lstm(x: Tensor, h: Tensor, c: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor) -> Any:
        inner = LayerConstants(kernel=kernel, recurrent=recurrent, bias=bias, units=layer.units)
        hidden = []
        for t in range(window):
            h, c = cell(inner, x[:, t], h, c)
            hidden.append(h)
        return h, tf.stack(hidden, axis=1), h, c, tf.constant(0.0)

    zeros = tf.zeros([1, layer.units])
    last, sequence, *_ = standard_lstm(x, zeros, zeros, layer.kernel, layer.recurrent, layer.bias)
    return last, sequence
