"""Radii of prediction intervals as the manifest holds them; `pulsecast.intervals` says what they are."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal

from .errors import UsageError
from .quick_dataclass import dataclass

if TYPE_CHECKING:  # a manifest is read without numpy
    import numpy as np
    from numpy.typing import NDArray

    from .intervals import Interval

IntervalScale = Literal["log1p", "identity"]


@dataclass(frozen=True, kw_only=True)
class SplitConformal:
    """Radii for stateless intervals, as the manifest stores them.

    scale    where radii are distances: log1p(value), or the value itself
    counts   values are whole numbers, and so are the bounds: see `intervals.bounds`
    levels   coverages that radii exist for, ascending
    radii    for each level, one radius per horizon step
    windows  how many held-out windows they come from
    """

    scale: IntervalScale
    counts: bool
    levels: tuple[float, ...]
    radii: tuple[tuple[float, ...], ...]
    windows: int

    def __post_init__(self) -> None:
        problems, edges = [], (0.0, *self.levels, 1.0)
        if not self.levels or any(low >= high for low, high in itertools.pairwise(edges)):
            problems.append(f"levels are {self.levels}; expected ascending numbers between 0 and 1")
        if len(self.radii) != len(self.levels) or len({len(row) for row in self.radii}) != 1:
            problems.append("radii need one row per level, each with one number per horizon step")
        elif any(radius < 0 for row in self.radii for radius in row):
            problems.append("a radius is negative")
        if problems:
            raise ValueError("; ".join(problems))

    def interval(self, forecast: NDArray[np.floating], level: float) -> Interval:
        """Return the interval that covers with probability `level` around `forecast` (..., horizon).

        Raises UsageError, with the known ones, if there are no radii for `level`.
        """
        if level not in self.levels:
            known = ", ".join(f"{known:g}" for known in self.levels)
            raise UsageError(f"interval is {level!r}; this model has intervals for {known}")
        import numpy as np

        from .intervals import bounds

        radius = np.asarray(self.radii[self.levels.index(level)], np.float64)  # (horizon,)
        return bounds(forecast.astype(np.float64), radius, self.scale, counts=self.counts)
