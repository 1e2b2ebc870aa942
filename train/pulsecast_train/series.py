"""A regular series: the result of reading a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulsecast.foundation.arguments import whole_number
from pulsecast.model.radii import IntervalScale

_HOUR_S, _DAY_S = 3600, 86_400


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """Values of one or more metrics on an unbroken grid of steps.

    name      the file's stem, or the value of the series column
    metrics   names of the columns of `values`; the first one is forecast
    start_s   unix seconds (UTC) of the first step
    step_s    seconds from one step to the next
    values    float64 (steps, metrics), read-only; a missing step is NaN in every metric

    Raises ValueError if the parts do not fit each other.
    """

    name: str
    metrics: tuple[str, ...]
    start_s: int
    step_s: int
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64, order="C")  # (steps, metrics), a copy
        if not self.metrics or values.ndim != 2 or values.shape[1] != len(self.metrics):
            raise ValueError(
                f"series {self.name}: values have shape {values.shape}; expected (steps, {len(self.metrics)})"
            )
        if len(values) == 0:
            raise ValueError(f"series {self.name} has no steps")
        if self.step_s < 1:
            raise ValueError(f"series {self.name}: step_s is {self.step_s}; expected 1 or more")
        missing = np.isnan(values)
        if np.isinf(values).any() or (missing.any(axis=1) != missing.all(axis=1)).any():
            raise ValueError(f"series {self.name}: a step is neither finite nor NaN in every metric")
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """The unbroken stretches as (start, stop) indices into the steps, `stop` exclusive.

        >>> Series(name="a", metrics=("y",), start_s=0, step_s=60, values=[[1.0], [np.nan], [2.0], [3.0]]).segments
        ((0, 1), (2, 4))
        """
        finite = np.isfinite(self.values[:, 0])  # (steps,)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], finite, [False])).astype(np.int8)))
        return tuple((int(start), int(stop)) for start, stop in edges.reshape(-1, 2))

    @property
    def phase_s(self) -> int:
        """Seconds of each step after a multiple of the step: 1800 for hourly ones at half past."""
        return self.start_s % self.step_s

    def has_phase(self, phase_s: int) -> bool:
        """Return whether the steps lie on the grid of `phase_s`, up to a sixtieth of a step.

        Days may also be an hour apart from it, since the clock changes: local midnight is then another instant.
        Raises UsageError unless `phase_s` is a whole number from 0.
        """
        gap = abs(self.phase_s - whole_number("phase_s", phase_s, least=0))
        change = abs(min(gap, self.step_s - gap) - _HOUR_S)
        return gap <= self.step_s // 60 or (self.step_s % _DAY_S == 0 and change <= 60)

    def timestamps_s(self) -> NDArray[np.int64]:
        """Return the unix seconds (UTC) of every step: int64 (steps,)."""
        return self.start_s + self.step_s * np.arange(len(self.values), dtype=np.int64)


def interval_scale(series: Sequence[Series]) -> IntervalScale:
    """Return `log1p` if values are never negative, because errors of engagement are factors."""
    return "log1p" if all((_known(one) >= 0).all() for one in series) else "identity"


def are_counts(series: Sequence[Series]) -> bool:
    """Return whether all values are whole and not negative."""
    return all(bool(((_known(one) >= 0) & (_known(one) == np.round(_known(one)))).all()) for one in series)


def _known(series: Series) -> NDArray[np.float64]:
    values = series.values[:, 0]
    return values[np.isfinite(values)]
