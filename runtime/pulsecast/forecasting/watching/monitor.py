"""A monitor: what a model forecast for a series in the last weeks, what came, and whether to train again."""

from __future__ import annotations

import math
import struct
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...computing.frames import numbers_of, unlabelled
from ...computing.intervals import bounds, radius_at
from ...errors import DtypeError, FeatureCountError, FormatError, NonFiniteError
from ...foundation.arguments import flag, shown
from ...foundation.masked import has_masked
from ...model.series import POOL_ROW, Pool
from ...model.spec import DAY_S, WEEK_S
from ..copies import Reduced
from ..stream_state import MONITOR, read_state, require_loaded, write_state
from ..streaming import Loaded, Stream
from .drift import Drift, Finding, Sign, finding

if TYPE_CHECKING:
    from ...bundle.manifest import Manifest

LEAST_STEPS, MOST_STEPS = 100, 4032
LEAST_ERRORS = 30  # that a side is asked of
COVERAGE_SLACK = 0.05  # of the interval: a series is well covered up to there
SIZE_SLACK = 0.1  # of the errors above the held-out median
BIAS_SLACK = 0.2  # of the larger errors on one side: skewed series have a little
INPUTS_LIMIT = 0.01  # of the values outside what training saw: a rare record is no drift
DEVIATIONS = 5.0  # a table of series holds means and deviations, not extremes
_SECTION = struct.Struct("<If")  # steps, and the forecast of the next one


def steps_watched(step_s: int) -> tuple[int, int]:
    """Return how many steps a monitor keeps, four weeks or so, and how many a verdict takes.

    >>> steps_watched(3600), steps_watched(300), steps_watched(86400)
    ((672, 100), (4032, 288), (200, 100))
    """
    kept = min(max(4 * WEEK_S // step_s, 2 * LEAST_STEPS), MOST_STEPS)
    return kept, min(max(LEAST_STEPS, DAY_S // step_s), kept)


class Monitor:
    """Follows one series and the forecasts that were made of it. Not thread-safe; one object per series.

    monitor = model.monitor()
    for second, value in measurements:
        monitor.push(value, timestamp=second)
    print(monitor.report())
    """

    def __init__(self, stream: Stream, model: Loaded) -> None:
        """Start with a stream of one series of `model` that has seen nothing yet."""
        self._stream = stream
        self._manifest: Manifest = model.manifest
        spec = model.manifest.spec
        self._names = spec.measured_names
        self._table = model.series
        self._row = None if self._table is None or stream.series is None else self._table.names.row(stream.series[0])
        kept, self._needed = steps_watched(spec.step_s)
        self._seen: deque[tuple[float, float, bool]] = deque(maxlen=kept)  # value, its forecast, whether it is strange
        self._expected = math.nan

    def __reduce__(self) -> Reduced:
        return type(self).from_bytes, (self._stream.model, self.to_bytes())

    def __deepcopy__(self, memo: object = None) -> Monitor:
        """Return a monitor that goes on from the same steps, of the same loaded model."""
        del memo
        return self.from_bytes(self._stream.model, self.to_bytes())

    __copy__ = __deepcopy__

    @property
    def series(self) -> tuple[str | Pool, ...] | None:
        """The name of the series, as a tuple of one; None where the bundle is of one series."""
        return self._stream.series

    @property
    def due(self) -> int | None:
        """The time of the next step in unix seconds (UTC), None before a step had one."""
        return self._stream.due

    def push(self, step: ArrayLike, *, timestamp: object = None) -> NDArray[np.float32]:
        """Take one step, compare it with its forecast, and return the next forecasts (horizon,).

        step, timestamp  as for `Stream.push`; NaN is a step that is missing
        """
        forecasts: NDArray[np.float32] = self._stream.push(step, timestamp=timestamp)[0]
        self._take(numbers_of(step, self._names), self._expected)
        self._expected = float(forecasts[0])
        return forecasts

    def observe(self, step: ArrayLike, forecast: ArrayLike) -> None:
        """Take one step and the forecast that was made of it, where a stream of yours makes them.

        step      (measured,), or a number for a model of one column; NaN is one that is missing
        forecast  (horizon,) or a number: the first one is of this step; NaN where there is none

        Raises DtypeError, FeatureCountError, NonFiniteError (masked cells).
        """
        taken = _numbers("step", unlabelled("step", step, self._names), most=len(self._names))
        self._take(taken, float(_numbers("forecast", forecast, most=None)[0]))

    def _take(self, step: NDArray[np.float64], forecast: float) -> None:
        with np.errstate(over="ignore"):  # a state holds float32; beyond it becomes infinite, which is a gap
            value, expected = np.array([step[0], forecast], np.float64).astype(np.float32).tolist()
        self._seen.append((value, expected, self._is_strange(step)))

    def _is_strange(self, step: NDArray[np.float64]) -> bool:
        """Return whether a value lies outside what training saw of its column; never of a series it did not see."""
        if self._table is None:
            features = self._manifest.scaler.features
            columns = zip(step.tolist(), features, strict=False)
            return any(math.isfinite(value) and not one.low <= value <= one.high for value, one in columns)
        if self._row in (None, POOL_ROW):
            return False
        transforms = [one.transform for one in self._table.pool.features]
        offset, scale = self._table.offset[self._row].tolist(), self._table.scale[self._row].tolist()
        levels = [
            math.log1p(max(value, 0.0)) if transform == "log1p" else value
            for value, transform in zip(step.tolist(), transforms, strict=False)
        ]
        return any(abs(x - a) > DEVIATIONS * b for x, a, b in zip(levels, offset, scale, strict=False))

    def report(self) -> Drift:
        """Return whether the model still fits, by the steps that are kept.

        The verdict is `train again` if a share is beyond its limit and that is not chance (`drift.finding`). If the
        model keeps within the limits, this happens in at most one of a hundred reports on different weeks.
        """
        seen = np.array(self._seen, np.float64).reshape(-1, 3)  # (steps, 3)
        known = seen[np.isfinite(seen[:, 0])]
        judged = known[np.isfinite(known[:, 1])]
        if len(judged) < self._needed:
            return Drift(verdict="unknown", steps=len(judged), needed=self._needed)
        findings = (
            *self._errors(judged[:, 0], judged[:, 1]),
            self._found("inputs", known[:, 2] > 0, 0.0, INPUTS_LIMIT),
        )
        again = any(one.beyond for one in findings)
        return Drift(
            verdict="train again" if again else "steady", steps=len(judged), needed=self._needed, findings=findings
        )

    def _errors(self, values: NDArray[np.float64], forecasts: NDArray[np.float64]) -> list[Finding]:
        """Return what `values` (steps,) show against their `forecasts`; nothing where the model has no intervals."""
        split = self._manifest.intervals
        if split is None:
            return []
        level = self._manifest.level or split.default_level
        outside, _ = self._outside(values, forecasts, level)
        found = [self._found("coverage", outside, 1 - level, min(1 - level + COVERAGE_SLACK, 0.99))]
        least = split.levels[0]
        larger, above = self._outside(values, forecasts, least)
        found.append(self._found("size", larger, 1 - least, min(1 - least + SIZE_SLACK, 0.99)))
        side = above[larger]
        if len(side) >= LEAST_ERRORS:
            mostly = side if side.mean() >= 0.5 else ~side
            found.append(self._found("bias", mostly, 0.5, 0.5 + BIAS_SLACK))
        return found

    def _outside(
        self, values: NDArray[np.float64], forecasts: NDArray[np.float64], level: float
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which values lie outside the interval at `level`, and which above it: (steps,) each."""
        split = self._manifest.intervals
        assert split is not None  # noqa: S101  # for the type checker: `_errors` has looked
        row = None if self._row is None else np.array([self._row], np.int64)
        radius = radius_at(split, level, self._table, row).reshape(-1, len(split.radii[0]))[0, 0]
        with np.errstate(over="ignore"):  # an infinite bound is one that no value lies beyond
            interval = bounds(forecasts, radius, split.scale, counts=split.counts)
        above = values > interval.upper
        return above | (values < interval.lower), above

    def _found(self, sign: Sign, against: NDArray[np.bool_], promised: float, limit: float) -> Finding:
        split, spec = self._manifest.intervals, self._manifest.spec
        series = 1 if self._table is None else len(self._table) - 1
        heldout = math.inf if split is None or sign == "inputs" else max(split.windows / max(series, 1), 1.0)
        return finding(
            sign, against, promised=promised, limit=limit, lags=max(1, DAY_S // spec.step_s), heldout=heldout
        )

    def to_bytes(self) -> bytes:
        """Return the state, as `Stream.to_bytes` does, with the steps that are kept: 9 bytes for each."""
        seen = np.array(self._seen, np.float64).reshape(-1, 3)
        section = b"".join(
            (
                _SECTION.pack(len(seen), self._expected),
                seen[:, :2].astype("<f4").tobytes(),
                seen[:, 2].astype("u1").tobytes(),
            )
        )
        return write_state(self._stream.state(), None, {MONITOR: section})

    @classmethod
    def from_bytes(cls, model: Loaded, data: bytes, *, carry_over: bool = False) -> Monitor:
        """Return a monitor of `model` that continues from `to_bytes`.

        carry_over  as for `Stream.from_bytes`; what another model forecast is forgotten

        Raises FormatError (damaged, or another state), UsageError (the state of another model).
        """
        require_loaded(model)
        state = read_state(data)
        if MONITOR not in state.sections:
            raise FormatError("the state is of a stream or detector; expected what Monitor.to_bytes returned")
        monitor = cls(Stream.of_state(model, state.stream, carry_over=flag("carry_over", carry_over)), model)
        if len(state.stream.window) != 1:
            raise FormatError(f"the state is of {len(state.stream.window)} streams; a monitor has one")
        seen, expected = _unpacked(state.sections[MONITOR])
        if state.stream.digest == model.manifest.model_digest:
            monitor._expected = expected
            monitor._seen.extend((value, forecast, bool(strange)) for value, forecast, strange in seen)
        return monitor


def _unpacked(section: bytes) -> tuple[list[tuple[float, float, int]], float]:
    """Return (value, forecast, strange) of each step, and the forecast of the next one; raises FormatError."""
    if len(section) < _SECTION.size:
        raise FormatError("the state's part of the monitor is too short")
    count, expected = _SECTION.unpack_from(section)
    if len(section) != _SECTION.size + 9 * count:
        raise FormatError("the state's part of the monitor does not hold what it says it holds")
    numbers = np.frombuffer(section, "<f4", 2 * count, _SECTION.size).reshape(-1, 2).tolist()
    strange = np.frombuffer(section, "u1", count, _SECTION.size + 8 * count).tolist()
    return [(value, forecast, one) for (value, forecast), one in zip(numbers, strange, strict=True)], expected


def _numbers(name: str, given: object, *, most: int | None) -> NDArray[np.float64]:
    """Return `given` as float64 (n,) of at least one number, and at most `most`."""
    if has_masked(given):
        raise NonFiniteError(f"{name} has masked cells; expected real numbers, and NaN for a missing one")
    try:
        array = np.asarray(given)
        usable = array.dtype.kind in "iuf" and array.size > 0 and array.ndim < 3
        found: NDArray[np.float64] = array.astype(np.float64).reshape(-1) if usable else np.empty(0)
    except Exception:  # an object's own methods, or more elements than memory holds
        found = np.empty(0)
    if not len(found):
        raise DtypeError(f"{name} is {shown(given)}; expected real numbers, and NaN for a missing one")
    if most is not None and len(found) != most:
        raise FeatureCountError(f"{name} has {len(found)} numbers; this model takes {most}")
    return found
