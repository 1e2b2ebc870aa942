"""Prediction intervals by conformal prediction, around any point forecast, with numpy alone.

A radius is a quantile of past |residual|, on the log scale where the data allow it, because errors of engagement are
factors.

* `SplitConformal` is stateless: radii found once on the held-out part and stored in the manifest. They cover on
  average, as long as the series behaves as it did there.
* `RollingConformal` is the default where truth keeps arriving: radii follow the last days, so coverage holds when the
  series changes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import DtypeError, InputError, NonFiniteError, UsageError
from ..foundation.arguments import flag, fraction, listed, shown, text, whole_number
from ..foundation.masked import read_array
from ..model.radii import IntervalScale, SplitConformal
from ..model.series import SeriesTable

FLOAT32_SLACK = 1e-6  # of a value plus 1: forecasts of one model by two artifacts differ by about as much
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)


_FEW = 8  # steps: the arrays of more are quicker than so many numbers
_MOST_KEPT = 1_000_000  # residuals of a horizon step; and horizon steps


class Interval(NamedTuple):
    """A point forecast and its bounds, all of one shape, in raw units; `lower` and `upper` may be infinite."""

    forecast: NDArray[np.floating]
    lower: NDArray[np.floating]
    upper: NDArray[np.floating]


def conformal_radius(residuals: NDArray[np.floating], level: float) -> float:
    """Return the smallest radius that covers a new residual with probability `level`, given past |residuals| (n,).

    It is the k-th smallest, k = ceil((n + 1) * level); infinite if n is too small for that: n + 1 < k.

    >>> conformal_radius(np.array([0.3, 0.1, 0.2]), 0.5)
    0.2
    >>> conformal_radius(np.array([0.3, 0.1, 0.2]), 0.9)
    inf
    """
    rank = math.ceil((len(residuals) + 1) * level - 1e-9)  # 0.9 * 10 is 9.000000000000002 or so
    if rank > len(residuals):
        return math.inf
    return float(np.partition(residuals, rank - 1)[rank - 1])


def bounds(
    forecast: NDArray[np.floating], radius: NDArray[np.floating], scale: IntervalScale, *, counts: bool
) -> Interval:
    """Return the interval of `radius`, on `scale`, around raw `forecast`; the two broadcast.

    Counts are whole numbers: their bounds are the first and the last whole number in the interval, so rounding never
    widens it. If it holds none, the bounds are the two whole numbers around it. No bound is below 0.
    """
    if scale == "log1p":
        level = np.log1p(np.maximum(forecast, 0.0))
        lower, upper = np.maximum(np.expm1(level - radius), 0.0), np.expm1(level + radius)
    else:
        lower, upper = forecast - radius, forecast + radius
    if counts:
        lower, upper = _whole(np.maximum(lower, 0.0), upper)
    return Interval(forecast=forecast, lower=lower + 0.0, upper=upper + 0.0)  # -0 becomes 0


def _whole(
    lower: NDArray[np.floating], upper: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the first and the last whole number in [lower, upper], or the two around it if it holds none.

    Without one, `last` is the whole number below the interval and `first` the one above it. A number that is whole up
    to float32 rounding counts as whole.
    """
    first = np.ceil(lower - FLOAT32_SLACK * (np.abs(lower) + 1.0))
    last = np.floor(upper + FLOAT32_SLACK * (np.abs(upper) + 1.0))
    return np.maximum(np.minimum(first, last), 0.0), np.maximum(first, last)


def residuals(
    forecast: NDArray[np.floating], truth: NDArray[np.floating], scale: IntervalScale
) -> NDArray[np.floating]:
    """Return |truth - forecast| on `scale`; raw values in, of any shape."""
    if scale == "log1p":
        distance = np.log1p(np.maximum(truth, 0.0)) - np.log1p(np.maximum(forecast, 0.0))
    else:
        distance = truth - forecast
    magnitude: NDArray[np.floating] = np.abs(distance)
    return magnitude


def bounds_of_one(forecast: float, radius: float, scale: IntervalScale, *, counts: bool) -> tuple[float, float]:
    """Return (lower, upper) as `bounds` does for one number: arrays of one number take ten times as long."""
    if scale == "log1p":
        level = math.log1p(max(forecast, 0.0))
        lower, upper = max(math.expm1(level - radius), 0.0), _expm1(level + radius)
    else:
        lower, upper = forecast - radius, forecast + radius
    if not counts:
        return lower + 0.0, upper + 0.0  # -0 becomes 0
    lower = max(lower, 0.0)
    first = float(math.ceil(lower - FLOAT32_SLACK * (lower + 1.0)))
    last = float(math.floor(upper + FLOAT32_SLACK * (abs(upper) + 1.0))) if upper < math.inf else upper
    return max(min(first, last), 0.0) + 0.0, max(first, last) + 0.0


def bounds_of_few(
    forecast: NDArray[np.floating], radius: NDArray[np.floating], scale: IntervalScale, *, counts: bool
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return (lower, upper) (horizon,) as `bounds` does, bit for bit, of a few steps.

    Of one step it takes a third of the time. numpy computes the logarithm and the exponential, as it does there: those
    of the standard library differ from them in the last bit.
    """
    if scale == "log1p" and counts and len(forecast) <= _FEW:
        level = np.log1p(np.maximum(forecast, 0.0))
        ends = [np.expm1(level - radius).tolist(), np.expm1(level + radius).tolist()]
        if all(map(math.isfinite, ends[0])) and all(map(math.isfinite, ends[1])):
            whole = [*map(_whole_of_one, *ends)]
            return np.array([low for low, _ in whole]), np.array([high for _, high in whole])
    found = bounds(forecast, radius, scale, counts=counts)
    return found.lower, found.upper


def _whole_of_one(lower: float, upper: float) -> tuple[float, float]:
    """Return what `_whole` does, for one number."""
    lower = max(lower, 0.0)
    first = float(math.ceil(lower - FLOAT32_SLACK * (lower + 1.0)))
    last = float(math.floor(upper + FLOAT32_SLACK * (abs(upper) + 1.0)))
    return max(min(first, last), 0.0) + 0.0, max(first, last) + 0.0


def residual_of_one(forecast: float, truth: float, scale: IntervalScale) -> float:
    """Return |truth - forecast| on `scale`, as `residuals` does, for one number."""
    if scale == "log1p":
        return abs(math.log1p(max(truth, 0.0)) - math.log1p(max(forecast, 0.0)))
    return abs(truth - forecast)


def _expm1(x: float) -> float:
    try:
        return math.expm1(x)
    except OverflowError:
        return math.inf


def fit_split(
    forecasts: NDArray[np.floating], truth: NDArray[np.floating], scale: IntervalScale, *, counts: bool
) -> SplitConformal | None:
    """Return radii from held-out `forecasts` and `truth`, both (n, horizon), for the LEVELS that n is enough for.

    None if there is no such level.
    """
    found = residuals(np.asarray(forecasts, np.float64), truth, scale)
    rows = [tuple(conformal_radius(column, level) for column in found.T) for level in LEVELS]
    usable = [i for i, row in enumerate(rows) if all(math.isfinite(radius) for radius in row)]
    if not usable:
        return None
    return SplitConformal(
        scale=scale,
        counts=counts,
        levels=tuple(LEVELS[i] for i in usable),
        radii=tuple(rows[i] for i in usable),
        windows=len(found),
    )


def radius_at(
    split: SplitConformal, level: float, table: SeriesTable | None, series: NDArray[np.int64] | None
) -> NDArray[np.float64]:
    """Return the radii at `level`: (horizon,), or of the rows `series` of a table (batch, horizon).

    Raises UsageError, with the known levels, if there are none for `level`.
    """
    radius = np.asarray(split.at(level), np.float64)
    if table is None or series is None:
        return radius
    return table.radius(series, split.levels.index(level))


def split_interval(
    split: SplitConformal,
    forecast: NDArray[np.floating],
    level: float,
    table: SeriesTable | None = None,
    series: NDArray[np.int64] | None = None,
) -> Interval:
    """Return the interval that covers with probability `level` around raw `forecast` (..., horizon).

    table, series  where the model is of several series: their table, and the row of each forecast

    Raises UsageError, with the known levels, if `split` has no radii for `level`.
    """
    radius = radius_at(split, level, table, series)
    return bounds(forecast.astype(np.float64), radius, split.scale, counts=split.counts)


class RollingConformal:
    """Intervals whose radii follow the last `window` residuals, step by step: forecast, interval, observe, again.

    It holds state and is not thread-safe: one object per series. For every step of the series call `interval` with the
    forecast that was made, then `observe` with what happened:

    >>> rolling = RollingConformal(horizon=1, window=3, scale="identity")
    >>> for value in (10.0, 12.0, 11.0):
    ...     found = rolling.interval(np.array([10.0]), 0.5)
    ...     rolling.observe(value)
    >>> found = rolling.interval(np.array([10.0]), 0.5)
    >>> float(found.lower[0]), float(found.upper[0])
    (9.0, 11.0)
    """

    def __init__(
        self, *, horizon: int, window: int = 168, scale: IntervalScale = "log1p", counts: bool = False,
        start: Sequence[NDArray[np.floating]] = (),
    ) -> None:  # fmt: skip
        """Start empty, or from residuals of the past.

        horizon  steps of every forecast
        window   residuals kept per horizon step; seven days measured best on hourly engagement
        start    |residuals| known beforehand, one array per horizon step, oldest first, on `scale`
        """
        horizon, window = whole_number("horizon", horizon), whole_number("window", window)
        if max(horizon, window) > _MOST_KEPT:
            raise UsageError(f"horizon is {shown(horizon)}, window {shown(window)}; expected at most {_MOST_KEPT:,}")
        if text("scale", scale) not in get_args(IntervalScale):
            raise UsageError(f"scale is {shown(scale)}; expected one of {', '.join(get_args(IntervalScale))}")
        start = [_numbers(f"start[{h}]", one) for h, one in enumerate(listed("start", start))]
        if start and len(start) != horizon:
            raise UsageError(f"start holds residuals of {len(start)} horizon steps; expected {horizon}")
        self._scale: IntervalScale = scale
        self._counts = flag("counts", counts)
        self._kept = [deque(start[h] if start else (), maxlen=window) for h in range(horizon)]
        self._pending: list[tuple[int, NDArray[np.float64]]] = []  # (steps observed since it was made, forecast)

    def interval(self, forecast: NDArray[np.floating], level: float) -> Interval:
        """Return the interval around `forecast` (horizon,), raw, and remember the forecast until truth arrives.

        A bound is infinite where too few residuals are known for `level`. Raises UsageError (the level), InputError
        (the shape), DtypeError, NonFiniteError (masked cells).
        """
        level = fraction("interval", level, such_as=0.9)
        point = _numbers("forecast", forecast)
        if point.shape != (len(self._kept),):
            raise InputError(f"forecast has shape {point.shape}; expected ({len(self._kept)},)")
        self._pending.append((0, point))
        return bounds(point, self.radii(level), self._scale, counts=self._counts)

    def radii(self, level: float) -> NDArray[np.float64]:
        """Return the radius of each horizon step at `level`: (horizon,), on the scale."""
        level = fraction("interval", level, such_as=0.9)
        return np.array([conformal_radius(np.asarray(kept, np.float64), level) for kept in self._kept])

    def observe(self, value: float) -> None:
        """Take the value of the step after the last forecast; a NaN (a missing step) teaches nothing.

        Raises InputError (the shape), DtypeError, NonFiniteError (a masked value).
        """
        happened = _numbers("value", value)
        if happened.ndim:
            raise InputError(f"value has shape {happened.shape}; expected one number")
        for age, forecast in self._pending:
            found = float(residuals(forecast[age : age + 1], happened[np.newaxis], self._scale)[0])
            if math.isfinite(found):
                self._kept[age].append(found)
        self._pending = [(age + 1, forecast) for age, forecast in self._pending if age + 1 < len(self._kept)]


def _numbers(name: str, value: object) -> NDArray[np.float64]:
    """Return `value` as float64; raises DtypeError unless it is an array of real numbers, NonFiniteError if masked."""
    try:
        array, masked = read_array(value)
    except Exception:  # an object's own methods, or more elements than memory holds
        raise DtypeError(f"{name} is {shown(value)}; expected real numbers") from None
    if masked:
        raise NonFiniteError(f"{name} has masked cells; expected real numbers, and NaN for a missing one")
    if array.dtype.kind not in "iuf":
        raise DtypeError(f"{name} is {shown(value)}; expected real numbers")
    return array.astype(np.float64)
