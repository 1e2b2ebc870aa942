"""The forecast as TensorFlow operations over weights: the source of every converted graph.

Nothing is traced from a trained Keras layer: a visible GPU would put cuDNN operators into the graph, and a compiled
model would bring its optimizer. Imported in converter child processes only.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import tensorflow as tf

from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.spec import ModelSpec
from pulsecast.model.weights import Weights

from .network_graph import Stack, network

Tensor = Any


def forecast(spec: ModelSpec, scaler: Scaler, weights: Weights, window: Tensor, stack: Stack) -> Tensor:
    """Return raw forecasts (batch, horizon) for raw `window` (batch, context, features).

    stack  the form in which a plain stack of LSTM layers runs: one of `stacks`
    """
    scaled = scale(scaler, window)  # (batch, context, features)
    inputs = channels(spec, scaled)  # (batch, window, channels)
    outputs = network(spec, weights, inputs, stack)  # (batch, horizon)
    if spec.target == "change":
        outputs += last_value(scaled)
    return to_raw(spec, scaler, outputs, tripwire(scaler, window))


def last_value(scaled: Tensor) -> Tensor:
    """Return the scaled value to which a change is added, (batch, 1)."""
    return scaled[:, -1, 0:1]


def to_raw(spec: ModelSpec, scaler: Scaler, outputs: Tensor, guard: Tensor) -> Tensor:
    """Return raw forecasts for scaled levels `outputs` (batch, horizon); `guard` is the `tripwire`."""
    if spec.floor is None:
        # here it also keeps converters from folding the scale into the head's weights, where large raw values would
        # cost precision
        return unscale(scaler, outputs + guard)
    # a maximum may swallow NaN, so the tripwire comes after it
    return tf.maximum(unscale(scaler, outputs), np.float32(spec.floor)) + guard


def tripwire(scaler: Scaler, window: Tensor) -> Tensor:
    """Return (batch, 1): zero, or NaN for a row of `window` with a value that is not finite or has no logarithm.

    Some engines swallow NaN: ONNX Runtime's LSTM and XNNPACK's logarithm give a plausible number for it. This guard
    uses only subtraction, sums, and x times the reciprocal root of x + 1: at -1 and below the root is not finite, and
    at infinity the product is not finite.
    """
    total: Tensor = None
    for first, stop, scales in _runs(scaler):
        block = window if stop - first == len(scaler.features) else window[:, :, first:stop]
        value = block * tf.math.rsqrt(block + 1.0) if scales[0].transform == "log1p" else block
        part = tf.reduce_sum(value - value, axis=[1, 2])
        total = part if total is None else total + part
    return total[:, tf.newaxis]


def scale(scaler: Scaler, window: Tensor) -> Tensor:
    """Return scaled values (batch, context, features): neighbours with the same scaling are computed at once."""
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
