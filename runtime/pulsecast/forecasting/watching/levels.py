"""How unusual a level is: the distance of a value from the median of the last two weeks.

The median does not ask what was to be expected from the steps before. A value far from it is unusual whatever led to
it. Distances are on the scale of the model's intervals: log1p for counts, since engagement varies by factors.

A value is outside if its distance is larger than all but a share of the last ones, as a residual is in `departures`. If
the series behaves as it did in these two weeks, at most that share of its ordinary steps is outside. All of it is a
function of the raw values, rounded to float32: a state holds four bytes for each.
"""

from __future__ import annotations

import math
from array import array

from ...computing.intervals import bounds_of_one
from ...model.radii import IntervalScale
from ...model.spec import DAY_S
from ..departures import KEPT_S, MINIMUM_RESIDUALS, UNKNOWN, Departure, radius_of, ratio, residuals_needed
from .judge_state import LevelsState
from .sorted_window import SortedWindow

_LARGEST = 3.4028234663852886e38  # that float32 holds
LEAST_VALUES = 24  # that a median takes, and a day
MOST_LEVELS = 4032  # two weeks of five minutes; of shorter steps every n-th value is kept


def levels_kept(step_s: int, rate: float) -> tuple[int, int]:
    """Return how many values are kept, and of how many steps each is one: the values of two weeks.

    Steps below five minutes would take too much memory, so that only every n-th is kept: a sample of the same two
    weeks. Long steps would be too few for a quantile: at least 200 are kept, and as many as `rate` takes.

    >>> levels_kept(3600, 0.003), levels_kept(300, 0.0005), levels_kept(60, 0.0005), levels_kept(86400, 0.005)
    ((336, 1), (4032, 1), (4032, 5), (200, 1))
    """
    steps = KEPT_S // step_s
    kept = max(min(steps, MOST_LEVELS), MINIMUM_RESIDUALS, residuals_needed(rate))
    return kept, max(1, steps // kept)


class Levels:
    """Judges values by their distance from the median of the last two weeks. One object per series."""

    def __init__(self, step_s: int, rate: float, *, scale: IntervalScale = "log1p", counts: bool = False) -> None:
        """Start with nothing known.

        step_s         seconds of a step
        rate           the finest share of steps that will be asked for
        scale, counts  as of the model's intervals
        """
        kept, self._every = levels_kept(step_s, rate)
        self.span = kept * self._every  # steps
        self._least = max(DAY_S // (step_s * self._every), LEAST_VALUES)
        self._scale: IntervalScale = scale
        self._counts = counts
        self._slot = array("f", [0.0])
        self._phase = 0  # values since one was kept
        self._values = SortedWindow(kept)  # raw
        self._distances = SortedWindow(kept)  # from the median before each of them

    def __len__(self) -> int:
        return len(self._distances.ordered)

    def judge(self, value: float, share: float) -> Departure:
        """Return how far `value` lies from the median, and learn from it.

        share  of ordinary steps that may lie outside; 0 judges nothing
        """
        number = self._in_float32(value)
        if len(self._values.ordered) < self._least:
            self._learn(number, None)
            return UNKNOWN
        median = self._median()
        distance = self._in_float32(abs(self._on_scale(number) - median))
        radius = radius_of(self._distances.ordered, share)
        self._learn(number, distance)
        middle = median if self._scale == "identity" else math.expm1(median)
        lower, upper = bounds_of_one(middle, radius, self._scale, counts=self._counts)
        return Departure(lower, upper, ratio(distance, radius), distance > radius)

    def _learn(self, number: float, distance: float | None) -> None:
        self._phase += 1
        if self._phase < self._every:
            return
        self._phase = 0
        self._values.push(number)
        if distance is not None:
            self._distances.push(distance)

    def _in_float32(self, number: float) -> float:
        self._slot[0] = min(max(number, -_LARGEST), _LARGEST)
        return self._slot[0]

    def _median(self) -> float:
        ordered = self._values.ordered
        half, odd = divmod(len(ordered), 2)
        upper = self._on_scale(ordered[half])
        return upper if odd else (self._on_scale(ordered[half - 1]) + upper) / 2

    def _on_scale(self, number: float) -> float:
        return number if self._scale == "identity" else math.log1p(max(number, 0.0))

    def state(self) -> LevelsState:
        """Return what is known."""
        values, distances = tuple(self._values.recent), tuple(self._distances.recent)
        return LevelsState(values=values, distances=distances, phase=self._phase)

    def resume(self, state: LevelsState) -> None:
        """Continue from what `state` of another object returned."""
        self._values.resume(state.values)
        self._distances.resume(state.distances)
        self._phase = state.phase % self._every
