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
from ...model.windows import LARGEST_FLOAT32
from ..departures import KEPT_S, MINIMUM_RESIDUALS, radius_of, ratio, residuals_needed
from .judge_state import LevelsState
from .sorted_window import SortedWindow

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
        self._logarithmic = scale == "log1p"
        self._counts = counts
        self._slot = array("f", [0.0])
        self._phase = 0  # values since one was kept
        self._last = (0.0, math.inf)  # median and radius
        self._values = SortedWindow(kept)  # raw
        self._distances = SortedWindow(kept)  # from the median before each of them

    def __len__(self) -> int:
        return len(self._distances.ordered)

    def judge(self, value: float, share: float) -> tuple[float, bool]:
        """Return how many radii `value` lies from the median, and whether it is outside; and learn from it.

        share  of ordinary steps that may lie outside; 0 judges nothing
        """
        number, ordered = self._in_float32(value), self._values.ordered
        if len(ordered) < self._least:
            self._learn(number, None)
            return 0.0, False
        half, odd = divmod(len(ordered), 2)
        if self._logarithmic:
            median = _log1p(ordered[half]) if odd else (_log1p(ordered[half - 1]) + _log1p(ordered[half])) / 2
            distance = abs(_log1p(number) - median)
        else:
            median = ordered[half] if odd else (ordered[half - 1] + ordered[half]) / 2
            distance = abs(number - median)
        distance = self._in_float32(distance)
        radius = radius_of(self._distances.ordered, share)
        self._last = (median, radius)
        self._learn(number, distance)
        return ratio(distance, radius), distance > radius

    def bounds(self) -> tuple[float, float]:
        """Return the lowest and the highest raw value that would not have been outside when the last one was judged."""
        median, radius = self._last
        middle = math.expm1(median) if self._logarithmic else median
        return bounds_of_one(middle, radius, "log1p" if self._logarithmic else "identity", counts=self._counts)

    def _learn(self, number: float, distance: float | None) -> None:
        self._phase += 1
        if self._phase < self._every:
            return
        self._phase = 0
        self._values.push(number)
        if distance is not None:
            self._distances.push(distance)

    def _in_float32(self, number: float) -> float:
        slot = self._slot
        slot[0] = number
        found = slot[0]
        return found if -LARGEST_FLOAT32 <= found <= LARGEST_FLOAT32 else math.copysign(LARGEST_FLOAT32, number)

    def state(self) -> LevelsState:
        """Return what is known."""
        values, distances = tuple(self._values.recent), tuple(self._distances.recent)
        return LevelsState(values=values, distances=distances, phase=self._phase)

    def resume(self, state: LevelsState) -> None:
        """Continue from what `state` of another object returned."""
        self._values.resume(state.values)
        self._distances.resume(state.distances)
        self._phase = state.phase % self._every


def _log1p(number: float) -> float:
    return math.log1p(number) if number > 0.0 else 0.0
