"""What a model promised of one series, and what came: the shares from which a verdict follows.

It holds no steps. A `Monitor` keeps them in memory, and a server keeps them in a store.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...computing.intervals import bounds, radius_at
from ...foundation.quick_dataclass import dataclass
from ...model.series import POOL_ROW
from ...model.spec import DAY_S, WEEK_S
from ..streaming import Loaded
from .drift import Drift, Finding, Sign, finding

LEAST_STEPS, MOST_STEPS = 100, 4032
LEAST_ERRORS = 30  # that a side is asked of
COVERAGE_SLACK = 0.05  # of the interval: a series is well covered up to there
SIZE_SLACK = 0.1  # of the errors above the held-out median
BIAS_SLACK = 0.2  # of the larger errors on one side: skewed series have a little
INPUTS_LIMIT = 0.01  # of the values outside what training saw: a rare record is no drift
DEVIATIONS = 5.0  # a table of series holds means and deviations, not extremes


def steps_watched(step_s: int) -> tuple[int, int]:
    """Return how many steps are looked at, four weeks or so, and how many a verdict takes.

    >>> steps_watched(3600), steps_watched(300), steps_watched(86400)
    ((672, 100), (4032, 288), (200, 100))
    """
    kept = min(max(4 * WEEK_S // step_s, 2 * LEAST_STEPS), MOST_STEPS)
    return kept, min(max(LEAST_STEPS, DAY_S // step_s), kept)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many steps were as promised; all 0 where the model has no intervals.

    judged  steps with a value and a forecast
    inside  of them, the values inside the interval at the manifest's level
    larger  of them, the errors larger than the lowest level's radius
    above   of the larger errors, those of values above the forecast
    """

    judged: int = 0
    inside: int = 0
    larger: int = 0
    above: int = 0


class Promises:
    """What a model promised of one series."""

    def __init__(self, model: Loaded, row: int | None) -> None:
        """Take a loaded model, and the row of the series in its table; None where the bundle is of one series."""
        self._manifest = model.manifest
        self._table = model.series
        self._row = row
        self.kept, self.needed = steps_watched(model.manifest.spec.step_s)

    def strange(self, step: list[float]) -> bool:
        """Return whether a value lies outside what training saw of its column; never of a series it did not see.

        step  (measured,) raw; NaN is a value that is missing
        """
        if self._table is None:
            features = self._manifest.scaler.features
            columns = zip(step, features, strict=False)
            return any(math.isfinite(value) and not one.low <= value <= one.high for value, one in columns)
        if self._row in (None, POOL_ROW):
            return False
        transforms = [one.transform for one in self._table.pool.features]
        offset, scale = self._table.offset[self._row].tolist(), self._table.scale[self._row].tolist()
        levels = [
            math.log1p(max(value, 0.0)) if transform == "log1p" else value
            for value, transform in zip(step, transforms, strict=False)
        ]
        return any(abs(x - a) > DEVIATIONS * b for x, a, b in zip(levels, offset, scale, strict=False))

    def report(self, seen: NDArray[np.float64]) -> Drift:
        """Return whether the model still fits, by what was seen.

        seen  (steps, 3): the value of a step, the forecast made one step before it, and whether it is `strange`; NaN
              where there was none

        The verdict is `train again` if a share is beyond its limit and that is not chance (`drift.finding`). If the
        model keeps within the limits, this happens in at most one of a hundred reports on different weeks.
        """
        known = seen[np.isfinite(seen[:, 0])]
        judged = known[np.isfinite(known[:, 1])]
        if len(judged) < self.needed:
            return Drift(verdict="unknown", steps=len(judged), needed=self.needed)
        findings = (
            *self._errors(judged[:, 0], judged[:, 1]),
            self._found("inputs", known[:, 2] > 0, 0.0, INPUTS_LIMIT),
        )
        again = any(one.beyond for one in findings)
        return Drift(
            verdict="train again" if again else "steady", steps=len(judged), needed=self.needed, findings=findings
        )

    def counts(self, seen: NDArray[np.float64]) -> Counts:
        """Return how many of the steps `seen` (steps, 3) were as promised."""
        judged = seen[np.isfinite(seen[:, :2]).all(axis=1)]
        split = self._manifest.intervals
        if split is None:
            return Counts()
        outside, _ = self._outside(judged[:, 0], judged[:, 1], self._level)
        larger, above = self._outside(judged[:, 0], judged[:, 1], split.levels[0])
        return Counts(
            judged=len(judged),
            inside=int((~outside).sum()),
            larger=int(larger.sum()),
            above=int((larger & above).sum()),
        )

    @property
    def _level(self) -> float:
        split = self._manifest.intervals
        return self._manifest.level or (0.0 if split is None else split.default_level)

    def _errors(self, values: NDArray[np.float64], forecasts: NDArray[np.float64]) -> list[Finding]:
        """Return what `values` (steps,) show against their `forecasts`; nothing where the model has no intervals."""
        split = self._manifest.intervals
        if split is None:
            return []
        level = self._level
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
