"""What follows from the time of a window's last step, as TensorFlow operations: the calendar's columns of every step,
and what the linear path takes of the steps ahead.

Arithmetic on times is exact: int64, and the remainder of a division, which every converter has an operator for. The
steps of a window are regular, so sine and cosine of all of them follow from those of one by the addition theorem.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pulsecast.model.linear import Wave
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.spec import DAY_S, WEEK_S, Calendar, Holidays, ModelSpec

Tensor = Any


@dataclass(frozen=True, kw_only=True)
class Times:
    """What a graph computes of the time of each window's last step.

    columns  the calendar's, (batch, calendar, steps); None if no step is asked for
    waves    sine and cosine of each of `turning` at the first step ahead, (batch, 2 * waves); None without waves
    weekend  of each step ahead, (batch, horizon); None where the linear path does not take it
    """

    columns: Tensor
    waves: Tensor
    weekend: Tensor


def times(spec: ModelSpec, scaler: Scaler, time: Tensor, steps: int) -> Times:
    """Return what follows from `time` (batch,), with the columns of the last `steps` steps, which may be none.

    Neighbours of one kind are computed at once, and all weekends.
    """
    moment = tf.reshape(time, [-1, 1])
    turned = turning(spec)
    waves = _waves_ahead(spec, turned, moment) if turned else None
    every = [feature.calendar for feature in spec.features if feature.calendar is not None] if steps else []
    groups = [(kind, list(group)) for kind, group in itertools.groupby(every, _kind)]
    offsets = [_offsets(spec, columns, steps).ravel() for kind, columns in groups if kind == "weekend"]
    linear = spec.linear
    if linear is not None and linear.weekend_waves is not None:
        offsets.append(spec.step_s * np.arange(1, spec.horizon + 1, dtype=np.int64))
    weekends = _weekends(moment, offsets)
    blocks = []  # (batch, columns, steps) each
    for kind, columns in groups:
        if kind == "wave":
            blocks.append(_turned(spec, turned, waves, columns, steps))
        elif kind == "weekend":
            blocks.append(tf.reshape(weekends.pop(0), [-1, len(columns), steps]))
        else:
            blocks += [_share(spec, column, steps, moment)[:, tf.newaxis] for column in columns]
    return Times(
        columns=_scaled(scaler, spec.measured, _joined(blocks)) if blocks else None,
        waves=waves,
        weekend=weekends[0] if weekends else None,
    )


def turning(spec: ModelSpec) -> tuple[Wave, ...]:
    """Return the waves that a graph computes: those of the linear path in their order, then further ones of columns."""
    linear = spec.linear
    found = [] if linear is None else [*linear.waves]
    for feature in spec.features if spec.layered else ():
        if feature.calendar is not None and _kind(feature.calendar) == "wave":
            wave = Wave(period_s=feature.calendar.period_s)
            found += [] if _pace(wave) in map(_pace, found) else [wave]
    return tuple(found)


def _pace(wave: Wave) -> Fraction:
    """Return the turns of a second: twice a day is what a period of half a day is."""
    return Fraction(wave.multiple, wave.period_s)


def _kind(column: Calendar) -> str:
    return "wave" if column.function in ("sin", "cos") else column.function


def _joined(blocks: list[Tensor]) -> Tensor:
    return blocks[0] if len(blocks) == 1 else tf.concat(blocks, axis=1)


def _offsets(spec: ModelSpec, columns: list[Calendar], steps: int) -> NDArray[np.int64]:
    """Return the seconds from the last step to each step as a column sees it, (columns, steps)."""
    ahead = np.array([[column.ahead_steps] for column in columns], np.int64)
    return (np.arange(1 - steps, 1, dtype=np.int64) + ahead) * spec.step_s


def _waves_ahead(spec: ModelSpec, waves: Sequence[Wave], moment: Tensor) -> Tensor:
    """Return sine and cosine of each wave, in turn, a step after `moment` (batch, 1).

    Phases count quarters of a second, so that a quarter of any period is a whole number: cos x = sin(x + pi/2). The
    remainder comes before the multiple: engines that hold times in 32 bits would lose what is above.
    """
    period = np.repeat([wave.period_s for wave in waves], 2).astype(np.int64)
    rate = 4 * np.repeat([wave.multiple for wave in waves], 2).astype(np.int64)
    start = rate * spec.step_s + np.tile([0, 1], len(waves)) * period
    phase = tf.math.floormod(tf.math.floormod(moment, period) * rate + start, 4 * period)
    return tf.sin(tf.cast(phase, tf.float32) * (np.pi / 2 / period).astype(np.float32))


def _turned(spec: ModelSpec, turned: Sequence[Wave], waves: Tensor, columns: list[Calendar], steps: int) -> Tensor:
    """Return `columns` (batch, columns, steps) by sine and cosine of `turned` at the first step ahead, `waves`.

    sin(a + b) = sin a cos b + cos a sin b, with a of the step ahead, and b of the way to a step.
    """
    period = np.array([[column.period_s] for column in columns], np.int64)
    quarter = np.array([[np.pi / 2 if column.function == "cos" else 0.0] for column in columns])
    way = (_offsets(spec, columns, steps) - spec.step_s) % period * (2 * np.pi / period) + quarter  # (columns, steps)
    paces = [*map(_pace, turned)]
    sine = np.array([[2 * paces.index(Fraction(1, column.period_s))] for column in columns])  # its place in `waves`
    of_sine, of_cosine = np.cos(way).astype(np.float32), np.sin(way).astype(np.float32)
    return tf.gather(waves, sine, axis=1) * of_sine + tf.gather(waves, sine + 1, axis=1) * of_cosine


def _weekends(moment: Tensor, offsets: list[NDArray[np.int64]]) -> list[Tensor]:
    """Return 1 on Saturday and Sunday, else 0, (batch, n) for each (n,) seconds after `moment` (batch, 1).

    Unix time began on a Thursday; the week is counted from Monday.
    """
    if not offsets:
        return []
    since_monday = tf.math.floormod(moment + (np.concatenate(offsets) + 3 * DAY_S), np.int64(WEEK_S))
    found = tf.cast(since_monday >= np.int64(5 * DAY_S), tf.float32)
    return [found] if len(offsets) == 1 else tf.split(found, [len(one) for one in offsets], axis=1)


def _share(spec: ModelSpec, column: Calendar, steps: int, moment: Tensor) -> Tensor:
    """Return the share of each step that is a holiday, (batch, steps).

    It is the seconds of a step after the start of a span less those after its end, over the step. The difference to an
    edge is exact in int64; as a float it is exact too where it is within a step, and far outside it is cut to 0 or to
    the whole step. Without a span one edge stands where knowledge ends, and no step reaches it.
    """
    holidays: Holidays | None = column.holidays
    assert holidays is not None  # noqa: S101  # for the type checker: a column of holidays has them
    edges = np.array(holidays.spans or holidays.known[1:], np.int64).reshape(-1)  # first, stop, first, stop, ...
    offsets = _offsets(spec, [column], steps).reshape(-1, 1) + spec.step_s
    ends = moment[:, :, tf.newaxis] + offsets  # (batch, steps, 1); a constant (steps, edges) would be large
    after = tf.clip_by_value(tf.cast(ends - edges, tf.float32), 0.0, np.float32(spec.step_s))  # (batch, steps, edges)
    signs = np.resize([1.0, -1.0], len(edges)) / spec.step_s
    return tf.reduce_sum(after * signs.astype(np.float32), axis=2)


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
