"""The forecast as TensorFlow operations over weights: the source of every converted graph.

Nothing is traced from a trained Keras layer: a GPU that is visible would put cuDNN operators into the graph, and a
compiled model would drag its optimizer along. Imported in converter child processes only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.spec import ModelSpec
from pulsecast.model.weights import LstmWeights, Weights

Tensor = Any
Stack = Callable[[ModelSpec, Weights, Tensor], Tensor]


def forecast(spec: ModelSpec, scaler: Scaler, weights: Weights, window: Tensor, stack: Stack) -> Tensor:
    """Return raw forecasts (batch, horizon) for raw `window` (batch, context, features)."""
    scaled = scale(scaler, window)  # (batch, context, features)
    inputs = channels(spec, scaled)  # (batch, window, channels)
    if spec.network is not None:
        from . import network_graph

        found = network_graph.outputs(spec, spec.network, weights, inputs)  # (batch, horizon)
        return unscale(scaler, found + tripwire(scaler, window))
    hidden = stack(spec, weights, inputs)  # (batch, units)
    outputs = tf.matmul(hidden, tf.constant(weights.head_kernel)) + tf.constant(weights.head_bias)
    if spec.target == "change":
        outputs += scaled[:, -1, 0:1]
    guard = tripwire(scaler, window)
    if spec.floor is None:
        # here it also keeps converters from folding the scale into the head's weights, where large raw values would
        # cost precision
        return unscale(scaler, outputs + guard)
    # a maximum may swallow NaN, so the tripwire comes after it
    return tf.maximum(unscale(scaler, outputs), np.float32(spec.floor)) + guard


def tripwire(scaler: Scaler, window: Tensor) -> Tensor:
    """Return (batch, 1): zero, or NaN for a row of `window` with a value that is not finite or has no logarithm.

    Engines swallow NaN in places: ONNX Runtime's LSTM and XNNPACK's logarithm answer it with a plausible number. Only
    subtraction, sums, and x times the reciprocal root of x + 1 stand between input and forecast here: from -1 down the
    root is not finite, and at infinity the product is not.
    """
    total: Tensor = None
    for first, stop, scales in _runs(scaler):
        block = window if stop - first == len(scaler.features) else window[:, :, first:stop]
        value = block * tf.math.rsqrt(block + 1.0) if scales[0].transform == "log1p" else block
        part = tf.reduce_sum(value - value, axis=[1, 2])
        total = part if total is None else total + part
    return total[:, tf.newaxis]


def scale(scaler: Scaler, window: Tensor) -> Tensor:
    """Return scaled values (batch, context, features): runs of features that are treated alike are computed at once."""
    blocks = []
    for first, stop, scales in _runs(scaler):
        block = window if stop - first == len(scaler.features) else window[:, :, first:stop]
        if scales[0].transform == "log1p":
            block = tf.math.log(block + 1.0)
        if not scales[0].is_identity:
            offset = np.array([s.offset for s in scales], np.float32)
            block = block - offset if offset.any() else block
            block = block / np.array([s.scale for s in scales], np.float32)
        blocks.append(block)
    return blocks[0] if len(blocks) == 1 else tf.concat(blocks, axis=2)


def _runs(scaler: Scaler) -> list[tuple[int, int, tuple[FeatureScale, ...]]]:
    """Return (first, stop, scales) of the runs of neighbouring features with the same kind of scaling."""
    keys = [(f.transform, f.is_identity) for f in scaler.features]
    edges = [0, *(i for i in range(1, len(keys)) if keys[i] != keys[i - 1]), len(keys)]
    return [(first, stop, scaler.features[first:stop]) for first, stop in itertools.pairwise(edges)]


def channels(spec: ModelSpec, scaled: Tensor) -> Tensor:
    """Return network inputs (batch, window, channels), as `pulsecast.computing.reference.channels` does."""
    longest = spec.context - spec.window
    now = scaled[:, longest:, :] if longest else scaled  # (batch, window, features)
    levels = [c.feature for c in spec.channels if c.lag == 0]
    blocks = [now if levels == list(range(len(spec.features))) else tf.gather(now, levels, axis=2)] if levels else []
    for channel in spec.channels[len(levels) :]:
        i, first = channel.feature, longest - channel.lag
        blocks.append(now[:, :, i : i + 1] - scaled[:, first : first + spec.window, i : i + 1])
    return blocks[0] if len(blocks) == 1 else tf.concat(blocks, axis=2)


def unscale(scaler: Scaler, outputs: Tensor) -> Tensor:
    """Return raw values for scaled `outputs` of the forecast feature."""
    first = scaler.features[0]
    level = outputs * np.float32(first.scale) + np.float32(first.offset)
    return tf.exp(level) - 1.0 if first.transform == "log1p" else level


@dataclass(frozen=True, kw_only=True)
class LayerConstants:
    """One layer's weights as graph constants, made outside of loops: tf2onnx looks for them among a loop's inputs."""

    kernel: Tensor
    recurrent: Tensor
    bias: Tensor
    units: int


def constants(layer: LstmWeights) -> LayerConstants:
    """Return `layer` as graph constants."""
    return LayerConstants(
        kernel=tf.constant(layer.kernel),
        recurrent=tf.constant(layer.recurrent),
        bias=tf.constant(layer.bias),
        units=layer.units,
    )


def cell(layer: LayerConstants, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next (h, c), each (batch, units), for inputs `x` (batch, inputs); gates in Keras' order i, f, c, o."""
    z = tf.matmul(x, layer.kernel) + tf.matmul(h, layer.recurrent)
    i, f, g, o = tf.split(tf.nn.bias_add(z, layer.bias), 4, axis=1)
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
    return tf.sigmoid(o) * tf.tanh(c), c


def gather_stack(spec: ModelSpec, weights: Weights, inputs: Tensor) -> Tensor:
    """All layers in one loop over time that gathers step t: what TFLite runs with a dynamic batch and no state tensors.

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

    The converter takes a function that says it implements a Keras LSTM, has static shapes, six arguments and five
    results of which only the first (last state) or second (sequence) is used, for UNIDIRECTIONAL_SEQUENCE_LSTM.
    """
    x = inputs
    for i, layer in enumerate(weights.layers):
        last, sequence = _fused_layer(i, spec.window, constants(layer), x)
        x = last if i == len(weights.layers) - 1 else sequence
    return tf.matmul(x, tf.constant(weights.head_kernel)) + tf.constant(weights.head_bias)


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
