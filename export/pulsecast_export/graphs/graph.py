"""The forecast as TensorFlow operations over weights: the source of every converted graph.

Nothing is traced from a trained Keras layer: a visible GPU would put cuDNN operators into the graph, and a compiled
model would bring its optimizer. Imported in converter child processes only.

Tensors before the network are (batch, feature, step): calendar columns come out of their formula in this order, and one
transposition at the end serves all of them. Every operator costs an engine about as much as 50 of its elements.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import tensorflow as tf

from pulsecast.computing.calendars import known_times
from pulsecast.computing.intervals import FLOAT32_SLACK
from pulsecast.model.scaler import Scaler
from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import FORECAST, LOWER, TIME, UPPER, VALUES
from pulsecast.stages.model_directory import ModelDirectory

from .calendar_graph import calendar
from .network_graph import Stack, network

Tensor = Any


def signature(model: ModelDirectory) -> dict[str, Any]:
    """Return the inputs of an artifact, in order: its name -> TensorSpec."""
    spec = model.record.spec
    values = tf.TensorSpec([None, spec.context, spec.measured], tf.float32, name=VALUES)
    time = tf.TensorSpec([None], tf.int64, name=TIME)
    return {VALUES: values} | ({TIME: time} if spec.timed else {})


def traced(model: ModelDirectory, stack: Stack) -> Any:
    """Return the whole forecast as a function of the inputs of `signature`, by position: name -> output."""
    return tf.function(
        lambda *given: forecast(model, dict(zip(signature(model), given, strict=True)), stack),
        input_signature=list(signature(model).values()),
        autograph=False,
    )


def forecast(model: ModelDirectory, given: dict[str, Tensor], stack: Stack) -> dict[str, Tensor]:
    """Return raw forecasts, and bounds where the model has intervals, each (batch, horizon).

    given  the inputs of `signature` by name
    stack  the form in which a plain stack of LSTM layers runs: one of `stacks`
    """
    before = prepared(model, given)
    outputs = network(model.record.spec, model.weights, before["inputs"], stack)  # (batch, horizon)
    return results(model, outputs, before["guard"], before.get("last"))


def prepared(model: ModelDirectory, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what comes before the network, and what must pass it by.

    inputs  (batch, window, channels)
    guard   (batch, 1): the `tripwire`
    last    (batch, 1): the last scaled value, where the network gives a change from it
    """
    spec, scaler = model.record.spec, model.record.scaler
    values, time = given[VALUES], given.get(TIME)
    raw = _by_feature(spec, values)  # (batch, measured, context)
    scaled = scale(spec, scaler, raw)  # (batch, measured, context)
    found = {"inputs": channels(spec, scaler, scaled, time), "guard": tripwire(spec, scaler, raw, scaled, time)}
    if spec.target == "change":
        found["last"] = scaled[:, 0, -1:]
    return found


def _by_feature(spec: ModelSpec, values: Tensor) -> Tensor:
    """Return values (batch, context, measured) as (batch, measured, context)."""
    if spec.measured == 1:
        return tf.reshape(values, [-1, 1, spec.context])
    return tf.transpose(values, [0, 2, 1])


def scale(spec: ModelSpec, scaler: Scaler, raw: Tensor) -> Tensor:
    """Return scaled values of raw ones, both (batch, measured, context)."""
    scales = scaler.features[: spec.measured]
    blocks = []
    for first, stop in _runs([s.transform for s in scales]):
        block = raw if stop - first == spec.measured else raw[:, first:stop]
        blocks.append(tf.math.log(block + 1.0) if scales[first].transform == "log1p" else block)
    level = blocks[0] if len(blocks) == 1 else tf.concat(blocks, axis=1)
    offset, divisor = (np.array([[getattr(s, name)] for s in scales], np.float32) for name in ("offset", "scale"))
    level = level - offset if offset.any() else level
    return level / divisor if (divisor != 1).any() else level


def _runs(kinds: list[str]) -> list[tuple[int, int]]:
    """Return (first, stop) of the runs of equal neighbours."""
    edges = [0, *(i for i in range(1, len(kinds)) if kinds[i] != kinds[i - 1]), len(kinds)]
    return list(itertools.pairwise(edges))


def channels(spec: ModelSpec, scaler: Scaler, scaled: Tensor, time: Tensor | None) -> Tensor:
    """Return network inputs (batch, window, channels), as `pulsecast.computing.reference.channels` does.

    scaled  (batch, measured, context)
    time    (batch,) int64, None without calendar features
    """
    lagged = {c.feature for c in spec.channels if c.lag}
    steps = spec.context if max(lagged, default=0) >= spec.measured else spec.window
    columns = None if time is None else calendar(spec, scaler, time, steps)  # (batch, calendar, steps)

    def at(feature: int, lag: int) -> Tensor:
        if columns is None or feature < spec.measured:
            return scaled[:, feature : feature + 1, spec.context - spec.window - lag : spec.context - lag]
        first = feature - spec.measured
        return columns[:, first : first + 1, steps - spec.window - lag : steps - lag]

    levels = [c.feature for c in spec.channels if c.lag == 0]
    if levels == list(range(len(spec.features))):
        blocks = [scaled[:, :, spec.context - spec.window :]]
        blocks += [] if columns is None else [columns[:, :, steps - spec.window :] if steps > spec.window else columns]
    else:
        blocks = [at(feature, 0) for feature in levels]
    now = {f: at(f, 0) for f in lagged} if spec.measured > 1 or lagged - {0} else {0: blocks[0]}
    blocks += [now[c.feature] - at(c.feature, c.lag) for c in spec.channels[len(levels) :]]
    inputs = blocks[0] if len(blocks) == 1 else tf.concat(blocks, axis=1)  # (batch, channels, window)
    return tf.transpose(inputs, [0, 2, 1])


def tripwire(spec: ModelSpec, scaler: Scaler, raw: Tensor, scaled: Tensor, time: Tensor | None) -> Tensor:
    """Return (batch, 1): zero, or NaN for a row that must not have a forecast.

    Such a row has a value that is not finite, has no logarithm or is so large that float32 may end on the way to a
    forecast or its bounds, or a time that is not one of the `known_times`. Some engines swallow NaN: ONNX Runtime's
    LSTM, and XNNPACK's exponential, give a plausible number for it, and XNNPACK's logarithm ends at 2.4e38. This guard
    uses only products, a difference, a sum, a division and the reciprocal root of x + 1, which at -1 and below is not
    finite. Squares of scaled values end at 1.8e19, and x times x times the root at 4.9e25.

    The difference is between blocks: TensorFlow Lite's converter takes that of a sum from itself for zero.
    """
    scales = scaler.features[: spec.measured]
    total: Tensor = None
    for first, stop in _runs([s.transform for s in scales]):
        logs, whole = scales[first].transform == "log1p", stop - first == spec.measured
        block = raw if logs else scaled
        block = block if whole else block[:, first:stop]
        large = block * (block * tf.math.rsqrt(block + 1.0) if logs else block)
        part = tf.reduce_sum(large - large, axis=[1, 2])
        total = part if total is None else total + part
    if time is not None:
        first, last = known_times(spec)
        known = tf.equal(tf.clip_by_value(time, np.int64(first), np.int64(max(first, last))), time)
        total = total / tf.cast(known, tf.float32)  # 0 / 0 is NaN
    return tf.reshape(total, [-1, 1])


def results(model: ModelDirectory, outputs: Tensor, guard: Tensor, last: Tensor | None) -> dict[str, Tensor]:
    """Return raw forecasts for the network's `outputs` (batch, horizon), with bounds where there are intervals."""
    record = model.record
    spec, first, split = record.spec, record.scaler.features[0], record.intervals
    scaled = outputs if last is None else outputs + last
    logs = first.transform == "log1p"
    if not logs:
        # here it also keeps converters from folding the scale into the head's weights, where large raw values would
        # cost precision, or all of it: float16 ends at 65,504
        scaled = scaled + guard
    level = scaled * np.float32(first.scale) + np.float32(first.offset)
    if logs and (split is None or (spec.floor == 0.0 and split.scale == "log1p")):
        return _from_logs(model, level, guard)
    raw = tf.exp(level) - 1.0 if logs else level
    raw = raw if spec.floor is None else tf.maximum(raw, np.float32(spec.floor))
    # an exponential and a maximum may swallow NaN, so the tripwire comes after them
    raw = raw + guard if logs or spec.floor is not None else raw
    return {FORECAST: raw} | ({} if split is None else _bounds_of(model, raw, guard))


def _from_logs(model: ModelDirectory, level: Tensor, guard: Tensor) -> dict[str, Tensor]:
    """Return forecasts and bounds for log1p of the forecast, `level` (batch, horizon): one exponential for all."""
    spec, split = model.record.spec, model.record.intervals
    if spec.floor is not None and spec.floor > -1:
        level = tf.maximum(level, np.float32(np.log1p(spec.floor)))
    if split is None:
        return {FORECAST: tf.exp(level) - 1.0 + guard}
    low, high = _moves(model)
    moves = np.concatenate([np.zeros(spec.horizon), low, high]).astype(np.float32)
    raw = tf.exp(tf.tile(level, [1, 3]) + moves) - 1.0 + guard  # (batch, 3 * horizon)
    forecast, lower, upper = tf.split(raw, 3, axis=1)
    return {FORECAST: forecast} | _rounded(model, lower, upper, guard)


def _bounds_of(model: ModelDirectory, forecast: Tensor, guard: Tensor) -> dict[str, Tensor]:
    """Return the bounds around raw forecasts, both (batch, horizon), as `pulsecast.computing.intervals.bounds` does."""
    split = model.record.intervals
    low, high = _moves(model)
    if split is not None and split.scale == "identity":
        return {LOWER: forecast + low, UPPER: forecast + high}
    level = tf.math.log(tf.maximum(forecast, 0.0) + 1.0)
    lower, upper = tf.exp(level + low) - 1.0 + guard, tf.exp(level + high) - 1.0 + guard
    return _rounded(model, lower, upper, guard)


def _moves(model: ModelDirectory) -> tuple[Any, Any]:
    """Return what the bounds add to the forecast on the scale of the radii, (horizon,) each.

    For counts the slack within which a number counts as whole is in it: (x + 1) times a factor is a sum in logs.
    """
    split = model.record.intervals
    assert split is not None  # noqa: S101  # for the type checker: callers have looked
    radius = np.array(split.at(split.default_level))
    slack = FLOAT32_SLACK if split.counts else 0.0
    low, high = -radius + np.log1p(-slack), radius + np.log1p(slack)
    return low.astype(np.float32), high.astype(np.float32)


def _rounded(model: ModelDirectory, lower: Tensor, upper: Tensor, guard: Tensor) -> dict[str, Tensor]:
    """Return bounds not below 0, and whole numbers where the model forecasts counts."""
    split = model.record.intervals
    if split is not None and split.counts:
        first, last = tf.math.ceil(lower), tf.math.floor(upper)  # lower is above -1, so first is at least 0
        return {LOWER: tf.minimum(first, last), UPPER: tf.maximum(first, last)}
    return {LOWER: tf.maximum(lower, 0.0) + guard, UPPER: upper}
