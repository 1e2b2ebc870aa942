"""What training saw: the range of every measured column, and which windows lie far outside it.

A network saturates: far outside the range it gives a plausible number that says nothing. A bundle knows the range of
one series exactly, those of several from their level and spread, and nothing of a series that training never saw.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..foundation.quick_dataclass import dataclass
from .series import POOL_ROW, SeriesTable
from .windows import LARGEST_FLOAT32

if TYPE_CHECKING:
    from .scaler import Scaler
    from .spec import ModelSpec

SLACK = 0.1  # of the range: a level that is new by less is not far outside
FAR = 1.0  # of the range: a single value may be beyond it by as much, as in a burst
# Scales below the offset: where training had a zero, only the mean of log1p shows values that are far too small. Of
# seven public series no window of three days or six hours is lower than 3.7; hourly ones in thousands are at 2 to 13.
DEEP = 4.0


@dataclass(frozen=True, kw_only=True)
class TrainingRange:
    """Raw extremes of the measured columns in training, (rows, measured) float64; a table of series has a row for each.

    A bundle of one series has one row. Infinite extremes stand for a series of which nothing is known.

    level  (rows, measured) float64: a lower mean of log1p is far outside; -infinity for a column without log1p
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    level: NDArray[np.float64]

    @cached_property
    def _limits(self) -> tuple[NDArray[np.float64], ...]:
        """Return the least and most of a value, then of a mean, then the least mean of log1p: (rows, measured) each."""
        width = _width(self.low, self.high)
        with np.errstate(invalid="ignore", over="ignore"):
            of_value = self.low - FAR * width, self.high + FAR * width
            return *of_value, self.low - SLACK * width, self.high + SLACK * width, self.level

    @cached_property
    def _usual(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (rows, measured) each: a column whose values all lie between them is not far outside."""
        _, _, least, most, level = self._limits
        with np.errstate(over="ignore"):
            return np.maximum(least, np.expm1(level)), most

    @cached_property
    def _usual_of_one(self) -> tuple[float, float] | None:
        """Return `_usual` of the one column of one series: comparing numbers takes a third of comparing arrays."""
        bottom, top = self._usual
        return (bottom.item(), top.item()) if bottom.size == 1 else None

    def far(self, values: NDArray[np.floating], rows: NDArray[np.int64] | None) -> NDArray[np.bool_]:
        """Return which columns (batch, measured) of `values` (batch, context, measured or more) lie far outside.

        A value is beyond the range by more than FAR of it, or the mean by more than SLACK, or the mean of log1p is
        below `level`. NaN and infinity are not.
        """
        measured = values[..., : self.low.shape[1]]
        if rows is None and self._usual_of_one is not None and len(values):
            least_usual, most_usual = self._usual_of_one
            if least_usual <= measured.min() and measured.max() <= most_usual:  # not true of NaN
                return np.zeros((len(values), 1), np.bool_)
        lowest, highest = np.minimum.reduce(measured, axis=1), np.maximum.reduce(measured, axis=1)
        bottom, top = self._usual if rows is None else (part[rows] for part in self._usual)
        if ((bottom <= lowest) & (highest <= top)).all():  # not true of NaN
            return np.zeros(lowest.shape, np.bool_)
        limits = self._limits if rows is None else tuple(limit[rows] for limit in self._limits)
        least, most, least_mean, most_mean, level = limits  # (batch or 1, measured) each
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            mean = np.add.reduce(measured, axis=1, dtype=np.float64) / measured.shape[1]
            found = (highest > most) | (lowest < least) | (mean > most_mean) | (mean < least_mean)
            if (level > -np.inf).any():
                found |= np.log1p(measured, dtype=np.float64).mean(axis=1) < level
        known: NDArray[np.bool_] = found & np.isfinite(mean)
        return known

    def words(self, values: NDArray[np.floating], row: int, column: int) -> str:
        """Return the range of a column, and the size of a window's `values` (context,) there as a power of ten.

        Python warns once of each text: one with the values themselves would be another one at every call.
        """
        lowest, highest = float(np.min(values)), float(np.max(values))
        size = max(abs(highest), abs(lowest))
        power = f"1e{math.floor(math.log10(size))}" if size > 0 else "0"
        low, high = self.low[row, column], self.high[row, column]
        typical = ""
        if low <= lowest and highest <= high and self.level[row, column] > -math.inf:  # else the range says why
            typical = f", over a window about {math.expm1(self.level[row, column]):,.3g} at least"
        return f"{low:,.6g} to {high:,.6g}{typical}, and now values of the order of {power}"

    def squares(self, context: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the least and the most, each (rows,), that the sum of a window's squares has if its means are inside.

        A sum outside them is a sure sign that a mean or a value is outside; one inside them proves nothing. A square is
        convex in the value, and in log1p of it: that of the mean is at most the mean of the squares.
        """
        width = _width(self.low, self.high)
        low, high = self.low - SLACK * width, self.high + SLACK * width
        least = np.square(np.maximum(self._usual[0], 0.0)).sum(axis=1)
        most = np.square(np.maximum(np.abs(low), np.abs(high))).sum(axis=1)
        return context * least, np.minimum(context * most, LARGEST_FLOAT32)


def training_range(spec: ModelSpec, scaler: Scaler, table: SeriesTable | None) -> TrainingRange:
    """Return the range of a bundle: `low` and `high` of its scaler, or of each series in its table.

    A table holds a series' level, the mean of log1p, which lies inside its range, and the range's width in the forecast
    column: the range lies within a width of the level. Further columns have the range of all series together.
    """
    measured = scaler.features[: spec.measured]
    low, high = (np.array([[getattr(one, name) for one in measured]], np.float64) for name in ("low", "high"))
    logarithmic = np.array([one.transform == "log1p" for one in measured])
    if table is None:
        offset, scale = (np.array([[getattr(one, name) for one in measured]]) for name in ("offset", "scale"))
        return TrainingRange(low=low, high=high, level=np.where(logarithmic, offset - DEEP * scale, -np.inf))
    low, high = (np.repeat(part, len(table), axis=0) for part in (low, high))
    with np.errstate(over="ignore"):
        level = np.expm1(table.offset[:, 0].astype(np.float64))
    low[:, 0], high[:, 0] = np.maximum(low[:, 0], level - table.unit), np.minimum(high[:, 0], level + table.unit)
    below = table.offset.astype(np.float64) - DEEP * table.scale.astype(np.float64)
    least = np.where(logarithmic, below, -np.inf)
    low[POOL_ROW], high[POOL_ROW], least[POOL_ROW] = -np.inf, np.inf, -np.inf
    return TrainingRange(low=low, high=high, level=least)


def _width(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ranges' widths; a constant column has none, and its size stands in, at least 1."""
    with np.errstate(invalid="ignore"):
        width = high - low
    return np.where(width > 0, width, np.maximum(np.abs(high), 1.0))
