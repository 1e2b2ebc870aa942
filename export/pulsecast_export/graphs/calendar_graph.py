"""The calendar as TensorFlow operations: every step's columns from the time of the last one.

Arithmetic on times is exact: int64, and the remainder of a division, which every converter has an operator for. The
steps of a window are regular, so sine and cosine of all of them follow from those of one by the addition theorem.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.spec import DAY_S, WEEK_S, Calendar, Holidays, ModelSpec

Tensor = Any


def calendar(spec: ModelSpec, scaler: Scaler, time: Tensor, steps: int) -> Tensor:
    """Return the calendar columns (batch, calendar, steps) of the last `steps` steps, for `time` (batch,) of the last.

    Neighbours of one kind are computed at once.
    """
    columns = [feature.calendar for feature in spec.features if feature.calendar is not None]
    moment = tf.reshape(time, [-1, 1, 1])
    blocks = []
    for kind, group in itertools.groupby(columns, _kind):
        block = {"wave": _waves, "weekend": _weekends, "holiday": _holidays}[kind]
        blocks.append(block(spec, list(group), moment, steps))
    found = blocks[0] if len(blocks) == 1 else tf.concat(blocks, axis=1)
    return _scaled(scaler, spec.measured, found)


def _kind(column: Calendar) -> str:
    return "wave" if column.function in ("sin", "cos") else column.function


def _offsets(spec: ModelSpec, columns: list[Calendar], steps: int) -> NDArray[np.int64]:
    """Return the seconds from the last step to each step as a column sees it, (columns, steps)."""
    ahead = np.array([[column.ahead_steps] for column in columns], np.int64)
    return (np.arange(1 - steps, 1, dtype=np.int64) + ahead) * spec.step_s


def _waves(spec: ModelSpec, columns: list[Calendar], moment: Tensor, steps: int) -> Tensor:
    """Return sines and cosines: sin(a + b) = sin a cos b + cos a sin b, a of the last step, b of the way to a step."""
    period = np.array([[column.period_s] for column in columns], np.int64)  # (columns, 1)
    way = _offsets(spec, columns, steps) % period * (2 * np.pi / period)  # (columns, steps)
    quarter = np.array(
        [[np.pi / 2 if column.function == "cos" else 0.0] for column in columns]
    )  # cos x = sin(x + pi/2)
    angle = tf.cast(tf.math.floormod(moment, period), tf.float32) * (2 * np.pi / period).astype(np.float32)
    of_sine, of_cosine = np.cos(way + quarter).astype(np.float32), np.sin(way + quarter).astype(np.float32)
    return tf.sin(angle) * of_sine + tf.cos(angle) * of_cosine


def _weekends(spec: ModelSpec, columns: list[Calendar], moment: Tensor, steps: int) -> Tensor:
    """Return 1 on Saturday and Sunday, else 0. Unix time began on a Thursday; the week is counted from Monday."""
    since_monday = tf.math.floormod(moment + (_offsets(spec, columns, steps) + 3 * DAY_S), np.int64(WEEK_S))
    return tf.cast(since_monday >= np.int64(5 * DAY_S), tf.float32)


def _holidays(spec: ModelSpec, columns: list[Calendar], moment: Tensor, steps: int) -> Tensor:
    """Return the share of each step that is a holiday, column by column."""
    found = [_share(spec, column.holidays, _offsets(spec, [column], steps), moment) for column in columns]
    return found[0] if len(found) == 1 else tf.concat(found, axis=1)


def _share(spec: ModelSpec, holidays: Holidays | None, offsets: NDArray[np.int64], moment: Tensor) -> Tensor:
    """Return (batch, 1, steps): seconds of a step after the start of a span less those after its end, over the step.

    The difference to an edge is exact in int64; as a float it is exact too where it is within a step, and far outside
    it is cut to 0 or to the whole step. Without a span one edge stands where knowledge ends, and no step reaches it.
    """
    assert holidays is not None  # noqa: S101  # for the type checker: a column of holidays has them
    edges = np.array(holidays.spans or holidays.known[1:], np.int64).reshape(-1)  # first, stop, first, stop, ...
    ends = moment + (
        offsets.reshape(-1, 1) + spec.step_s
    )  # (batch, steps, 1); a constant (steps, edges) would be large
    after = tf.clip_by_value(tf.cast(ends - edges, tf.float32), 0.0, np.float32(spec.step_s))  # (batch, steps, edges)
    signs = np.resize([1.0, -1.0], len(edges)) / spec.step_s
    return tf.reduce_sum(after * signs.astype(np.float32), axis=2)[:, tf.newaxis]


def _scaled(scaler: Scaler, measured: int, found: Tensor) -> Tensor:
    """Return calendar columns scaled as the model's other features are; recipes leave them as they are."""
    scales = scaler.features[measured:]
    if all(scale.is_identity for scale in scales):
        return found
    offset, divisor = (np.array([[getattr(s, name)] for s in scales], np.float32) for name in ("offset", "scale"))
    return (_logs(scales, found) - offset) / divisor


def _logs(scales: tuple[FeatureScale, ...], found: Tensor) -> Tensor:
    """Return the columns with those that the scaler takes on a log scale there; a choice by element is slower."""
    blocks, first = [], 0
    for transform, group in itertools.groupby(scale.transform for scale in scales):
        stop = first + len(list(group))
        block = found[:, first:stop]
        blocks.append(tf.math.log(block + 1.0) if transform == "log1p" else block)
        first = stop
    return blocks[0] if len(blocks) == 1 else tf.concat(blocks, axis=1)
