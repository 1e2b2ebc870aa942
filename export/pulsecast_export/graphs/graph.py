"""The forecast as TensorFlow operations over weights: the source of every converted graph.

Nothing is traced from a trained Keras layer: a visible GPU would put cuDNN operators into the graph, and a compiled
model would bring its optimizer. Imported in converter child processes only.

Tensors before the network are (batch, feature, step): calendar columns come out of their formula in this order, and one
transposition at the end serves all of them. Every operator costs an engine about as much as 50 of its elements.
"""

from __future__ import annotations

import functools
import itertools
import operator
from typing import Any

import numpy as np
import tensorflow as tf

from pulsecast.computing.calendars import known_times
from pulsecast.computing.intervals import FLOAT32_SLACK
from pulsecast.model.scaler import Scaler
from pulsecast.model.series import LEAST_SPREAD, POOL_ROW, SeriesTable
from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import FORECAST, LOWER, SERIES, TIME, UPPER, VALUES
from pulsecast.stages.model_directory import ModelDirectory

from .calendar_graph import Times, times
from .linear_graph import linear_path
from .network_graph import Stack, network

Tensor = Any


def signature(model: ModelDirectory) -> dict[str, Any]:
    """Return the inputs of an artifact, in order: its name -> TensorSpec."""
    spec = model.record.spec
    values = tf.TensorSpec([None, spec.context, spec.measured], tf.float32, name=VALUES)
    found = {VALUES: values}
    if spec.timed:
        found[TIME] = tf.TensorSpec([None], tf.int64, name=TIME)
    if model.table is not None:
        found[SERIES] = tf.TensorSpec([None], tf.int64, name=SERIES)
    return found


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
    inputs = before.pop("inputs", None)
    outputs = None if inputs is None else network(model.record.spec, model.weights, inputs, stack)  # (batch, horizon)
    return results(model, outputs, before)


def prepared(model: ModelDirectory, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what comes before the network, and what must pass it by.

    inputs  (batch, window, channels); none without recurrent layers
    guard   (batch, 1): the `tripwire`
    last    (batch, 1): the last scaled value, where the network gives a change from it
    beside  (batch, horizon): the sum of the linear path with the last scaled value in it, in place of `last`
    frame   (batch, 2), or with intervals (batch, 2 + horizon): offset and scale of the forecast column, and the radii,
            where each window has those of its series
    """
    spec, scaler = model.record.spec, model.record.scaler
    values, time = given[VALUES], given.get(TIME)
    raw = _by_feature(spec, values)  # (batch, measured, context)
    level, found, row = levels(spec, scaler, raw), {}, None
    if model.table is None:
        scaled = scale(spec, scaler, level)
        found["guard"] = tripwire(spec, scaler, raw, scaled, time)
    else:
        row = series_rows(spec, model.table, given[SERIES], level)
        scaled = (level - row["offset"]) / row["scale"]
        found["guard"] = tripwire(spec, scaler, raw, scaled, time) + row["guard"]
        found["frame"] = tf.concat([row["offset"][:, 0], row["scale"][:, 0], *_gathered_radii(model, row)], axis=1)
    of_time = None if time is None else times(spec, scaler, time, _calendar_steps(spec))
    if spec.layered:
        found["inputs"] = channels(spec, scaled, of_time)
    if spec.linear is not None:
        found["beside"] = linear_path(model, scaled, of_time, None if row is None else row["row"])
    elif spec.target == "change":
        found["last"] = scaled[:, 0, -1:]
    return found


def series_rows(spec: ModelSpec, table: SeriesTable, series: Tensor, level: Tensor) -> dict[str, Tensor]:
    """Return what belongs to the series of each window, as `SeriesTable.of` does.

    level  (batch, measured, context), by which row 0 is scaled

    offset, scale  (batch, measured, 1)
    row    (batch,) int64: the row, or that of the pool where there is no such row
    guard  (batch, 1): zero, or NaN where there is no such row
    """
    row = tf.clip_by_value(series, np.int64(POOL_ROW), np.int64(len(table) - 1))
    found = tf.gather(np.concatenate([table.offset, table.scale], axis=1), row)  # (batch, 2 * measured)
    offset, spread = tf.split(tf.reshape(found, [-1, 2 * spec.measured, 1]), 2, axis=1)
    # 1 for the pool, whose offset is 0 in the table; a row that has no mean has no forecast either
    pooled = tf.reshape(tf.cast(tf.equal(row, np.int64(POOL_ROW)), tf.float32), [-1, 1, 1])
    share = np.float32(1 / spec.context)
    mean = tf.reduce_sum(level, axis=2, keepdims=True) * share
    away = level - mean
    own = tf.sqrt(tf.reduce_sum(away * away, axis=2, keepdims=True) * share)
    of_window = tf.sqrt(tf.maximum(own, np.float32(LEAST_SPREAD)) * table.scale[POOL_ROW][:, np.newaxis])
    known = tf.reshape(tf.cast(tf.equal(row, series), tf.float32), [-1, 1])
    return {
        "offset": offset + pooled * mean,
        "scale": spread + pooled * (of_window - spread),
        "row": row,
        "guard": 0.0 / known,
    }


def _gathered_radii(model: ModelDirectory, row: dict[str, Tensor]) -> list[Tensor]:
    """Return the radii (batch, horizon) at the level of the bounds, as a list of one; without intervals of none."""
    table, split = model.table, model.record.intervals
    if table is None or table.radii is None or split is None:
        return []
    radii = table.radii[:, split.levels.index(split.default_level)].astype(np.float32)  # (rows, horizon)
    return [tf.gather(radii, row["row"])]


def _by_feature(spec: ModelSpec, values: Tensor) -> Tensor:
    """Return values (batch, context, measured) as (batch, measured, context)."""
    if spec.measured == 1:
        return tf.reshape(values, [-1, 1, spec.context])
    return tf.transpose(values, [0, 2, 1])


def levels(spec: ModelSpec, scaler: Scaler, raw: Tensor) -> Tensor:
    """Return f(raw), scaled values without offset and scale, of raw ones, both (batch, measured, context)."""
    scales = scaler.features[: spec.measured]
    blocks = []
    for first, stop in _runs([s.transform for s in scales]):
        block = raw if stop - first == spec.measured else raw[:, first:stop]
        blocks.append(tf.math.log(block + 1.0) if scales[first].transform == "log1p" else block)
    return blocks[0] if len(blocks) == 1 else tf.concat(blocks, axis=1)


def scale(spec: ModelSpec, scaler: Scaler, level: Tensor) -> Tensor:
    """Return scaled values of `levels`, both (batch, measured, context), by the one scaler."""
    scales = scaler.features[: spec.measured]
    offset, divisor = (np.array([[getattr(s, name)] for s in scales], np.float32) for name in ("offset", "scale"))
    level = level - offset if offset.any() else level
    return level / divisor if (divisor != 1).any() else level


def _runs(kinds: list[str]) -> list[tuple[int, int]]:
    """Return (first, stop) of the runs of equal neighbours."""
    edges = [0, *(i for i in range(1, len(kinds)) if kinds[i] != kinds[i - 1]), len(kinds)]
    return list(itertools.pairwise(edges))


def _calendar_steps(spec: ModelSpec) -> int:
    """Return how many of the last steps the network takes the calendar of; 0 without recurrent layers."""
    if not spec.layered:
        return 0
    lagged = any(c.lag and c.feature >= spec.measured for c in spec.channels)
    return spec.context if lagged else spec.window


def channels(spec: ModelSpec, scaled: Tensor, of_time: Times | None) -> Tensor:
    """Return network inputs (batch, window, channels), as `pulsecast.computing.reference.channels` does.

    scaled   (batch, measured, context)
    of_time  with the columns of `_calendar_steps`; None without calendar features
    """
    lagged = {c.feature for c in spec.channels if c.lag}
    steps, columns = _calendar_steps(spec), None if of_time is None else of_time.columns  # (batch, calendar, steps)

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


def results(model: ModelDirectory, outputs: Tensor | None, passed: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return raw forecasts for the network's `outputs` (batch, horizon), with bounds where there are intervals.

    outputs  None without recurrent layers
    passed   what `prepared` gives beside the inputs
    """
    record = model.record
    spec, first, split = record.spec, record.scaler.features[0], record.intervals
    guard, frame = passed["guard"], passed.get("frame")
    added = [passed[name] for name in ("last", "beside") if name in passed]
    scaled = functools.reduce(operator.add, [*([] if outputs is None else [outputs]), *added])
    logs = first.transform == "log1p"
    if not logs:
        # here it also keeps converters from folding the scale into the head's weights, where large raw values would
        # cost precision, or all of it: float16 ends at 65,504
        scaled = scaled + guard
    if frame is None:
        level = scaled * np.float32(first.scale) + np.float32(first.offset)
    else:
        level = scaled * frame[:, 1:2] + frame[:, :1]
    if logs and (split is None or (spec.floor == 0.0 and split.scale == "log1p")):
        return _from_logs(model, level, guard, frame)
    raw = tf.exp(level) - 1.0 if logs else level
    raw = raw if spec.floor is None else tf.maximum(raw, np.float32(spec.floor))
    # an exponential and a maximum may swallow NaN, so the tripwire comes after them
    raw = raw + guard if logs or spec.floor is not None else raw
    return {FORECAST: raw} | ({} if split is None else _bounds_of(model, raw, guard, frame))


def _from_logs(model: ModelDirectory, level: Tensor, guard: Tensor, frame: Tensor | None) -> dict[str, Tensor]:
    """Return forecasts and bounds for log1p of the forecast, `level` (batch, horizon): one exponential for all."""
    spec, split = model.record.spec, model.record.intervals
    if spec.floor is not None and spec.floor > -1:
        level = tf.maximum(level, np.float32(np.log1p(spec.floor)))
    if split is None:
        return {FORECAST: tf.exp(level) - 1.0 + guard}
    low, high = _moves(model, frame)
    if frame is None:
        moved = tf.tile(level, [1, 3]) + np.concatenate([np.zeros(spec.horizon), low, high]).astype(np.float32)
    else:
        moved = tf.concat([level, level + low, level + high], axis=1)
    raw = tf.exp(moved) - 1.0 + guard  # (batch, 3 * horizon)
    forecast, lower, upper = tf.split(raw, 3, axis=1)
    return {FORECAST: forecast} | _rounded(model, lower, upper, guard)


def _bounds_of(model: ModelDirectory, forecast: Tensor, guard: Tensor, frame: Tensor | None) -> dict[str, Tensor]:
    """Return the bounds around raw forecasts, both (batch, horizon), as `pulsecast.computing.intervals.bounds` does."""
    split = model.record.intervals
    low, high = _moves(model, frame)
    if split is not None and split.scale == "identity":
        return {LOWER: forecast + low, UPPER: forecast + high}
    level = tf.math.log(tf.maximum(forecast, 0.0) + 1.0)
    lower, upper = tf.exp(level + low) - 1.0 + guard, tf.exp(level + high) - 1.0 + guard
    return _rounded(model, lower, upper, guard)


def _moves(model: ModelDirectory, frame: Tensor | None) -> tuple[Any, Any]:
    """Return what the bounds add to the forecast on the scale of the radii: (horizon,), or (batch, horizon) of a frame.

    For counts the slack within which a number counts as whole is in it: (x + 1) times a factor is a sum in logs.
    """
    split = model.record.intervals
    assert split is not None  # noqa: S101  # for the type checker: callers have looked
    slack = FLOAT32_SLACK if split.counts else 0.0
    below, above = np.log1p(-slack), np.log1p(slack)
    if frame is not None:
        return np.float32(below) - frame[:, 2:], frame[:, 2:] + np.float32(above)
    radius = np.array(split.at(split.default_level))
    return (-radius + below).astype(np.float32), (radius + above).astype(np.float32)


def _rounded(model: ModelDirectory, lower: Tensor, upper: Tensor, guard: Tensor) -> dict[str, Tensor]:
    """Return bounds not below 0, and whole numbers where the model forecasts counts."""
    split = model.record.intervals
    if split is not None and split.counts:
        first, last = tf.math.ceil(lower), tf.math.floor(upper)  # lower is above -1, so first is at least 0
        return {LOWER: tf.minimum(first, last), UPPER: tf.maximum(first, last)}
    return {LOWER: tf.maximum(lower, 0.0) + guard, UPPER: upper}
