"""Steps that depart from what a model expected: how far outside the prediction interval, one by one, with numpy alone.

A step is judged by its residual, compared with those of the last days, by the rule and on the scale of
`RollingConformal`. This form is for one step ahead and thousands of residuals, which are kept sorted. With a
false-alarm rate of r, a step lies outside if it is not in the interval of coverage 1 - r. If a series behaves as it
did in the days that are kept, this happens to at most r of its ordinary steps. Conformal prediction guarantees this. It
needs at least 1 / r - 1 residuals; until then nothing is outside.

`watching.judge` asks more of a step than this.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from ..computing.intervals import bounds_of_one, residual_of_one
from ..errors import UsageError
from ..foundation.arguments import fraction, whole_number
from ..model.radii import IntervalScale
from ..model.spec import WEEK_S
from .watching.sorted_window import SortedWindow

KEPT_S = 2 * WEEK_S
MINIMUM_RESIDUALS = 200
SMALLEST_RADIUS = 1e-9

Reason = Literal["level", "step", "stuck", "cycle"]
# why a step is flagged; of several reasons the first one here is named. A state holds their numbers, from 1 on.
REASONS: dict[Reason, str] = {
    "level": "further from the median of the last two weeks than the level usually is",
    "step": "not to be expected from the steps before it",
    "stuck": "one value, repeated for longer than it usually is",
    "cycle": "a cycle of a few values, repeated exactly and for longer than it usually is",
}


class Anomaly(NamedTuple):
    """The judgement of one step; `lower` and `upper` are NaN, or `upper` is infinite, while it cannot be judged.

    forecast   made one step before; NaN where there was no whole window
    lower, upper  what is flagged lies outside of these: by the level if `reason` is `level`, or while only the level
               can be judged; else by the forecast
    score      how far the value is from what is ordinary, in radii, by the rule that finds it furthest: above 1 it lies
               outside, unless it is a count that rounding the bounds takes in; 0 if unjudged
    anomalous  the step is one of those that the false-alarm rate allows for, or a repetition; False if unjudged
    alarm      anomalous, and no step of the day before it was: an incident begins
    reason     why it is anomalous, a key of `REASONS`; None if it is not
    """

    value: float
    forecast: float
    lower: float
    upper: float
    score: float
    anomalous: bool
    alarm: bool
    reason: Reason | None = None


class Departure(NamedTuple):
    """The judgement of one step by its forecast; `upper` is infinite, and the score 0, while it cannot be judged."""

    lower: float
    upper: float
    score: float
    outside: bool


UNKNOWN = Departure(lower=math.nan, upper=math.inf, score=0.0, outside=False)


class Departures:
    """Judges values against given forecasts, one step after the other. One object per series."""

    def __init__(
        self, *, false_alarm_rate: float = 0.001, window: int = 4032, scale: IntervalScale = "log1p",
        counts: bool = False,
    ) -> None:  # fmt: skip
        """Start without residuals.

        false_alarm_rate  share of ordinary steps that may lie outside
        window            residuals kept, at least 1 / false_alarm_rate - 1
        scale, counts     as of the model's intervals

        Raises UsageError.
        """
        fraction("false-alarm rate", false_alarm_rate, such_as=0.001)
        needed = residuals_needed(false_alarm_rate)
        if whole_number("window", window) < needed:
            raise UsageError(
                f"window is {window} residuals; a false-alarm rate of {false_alarm_rate:g} takes at least {needed}"
            )
        self._rate = false_alarm_rate
        self._scale: IntervalScale = scale
        self._counts = counts
        self._window = SortedWindow(window)  # |residuals|

    def __len__(self) -> int:
        return len(self._window.ordered)

    def judge(self, forecast: float, value: float, share: float | None = None) -> Departure:
        """Return how far off the step is, and learn from it; neither of the two is NaN or infinite.

        share  of ordinary steps that may lie outside this time; None is the false-alarm rate
        """
        radius = radius_of(self._window.ordered, self._rate if share is None else share)
        lower, upper = bounds_of_one(forecast, radius, self._scale, counts=self._counts)
        distance = residual_of_one(forecast, value, self._scale)
        self._window.push(distance)
        outside = radius < math.inf and not lower <= value <= upper
        return Departure(lower, upper, ratio(distance, radius), outside)

    @property
    def residuals(self) -> list[float]:
        """The residuals that are kept, oldest first."""
        return list(self._window.recent)

    def resume(self, residuals: Iterable[float]) -> None:
        """Continue from what `residuals` of another object of this kind returned."""
        self._window.resume(residuals)


_SMALLEST_RATE = 1e-300
_ENDLESS = 1e18  # residuals: the inverse of a rate near zero is infinite


def residuals_needed(false_alarm_rate: float) -> int:
    """Return how many residuals must be known before a step can be flagged at this rate.

    >>> residuals_needed(0.001)
    999
    """
    return max(1, math.ceil(min(1.0 / max(false_alarm_rate, _SMALLEST_RATE), _ENDLESS) - 1.0 - 1e-9))


def default_window(step_s: int, false_alarm_rate: float) -> int:
    """Return how many residuals to keep: two weeks of steps, or twice what the rate takes if that is more.

    With exactly as many as the rate takes, one large residual would be the interval's edge until it is forgotten.

    >>> default_window(300, 0.001), default_window(3600, 0.001)
    (4032, 1998)
    """
    return max(KEPT_S // step_s, MINIMUM_RESIDUALS, 2 * residuals_needed(false_alarm_rate))


def default_rate(step_s: int) -> float:
    """Return the false-alarm rate of about one ordinary step a week, but no finer than 0.001 and no coarser than 0.01.

    >>> default_rate(300), round(default_rate(3600), 4), default_rate(86400)
    (0.001, 0.006, 0.01)
    """
    return min(max(step_s / WEEK_S, 0.001), 0.01)


def radius_of(ordered: Sequence[float], share: float) -> float:
    """Return the k-th smallest distance of those in order, k = ceil((n + 1) * (1 - share)), as `conformal_radius` does.

    >>> radius_of([0.1, 0.2, 0.3], 0.5), radius_of([0.1, 0.2, 0.3], 0.1)
    (0.2, inf)
    """
    rank = math.ceil((len(ordered) + 1) * (1.0 - share) - 1e-9)
    return ordered[rank - 1] if rank <= len(ordered) else math.inf


def ratio(distance: float, radius: float) -> float:
    """Return `distance` in radii; 0 while the radius is infinite.

    A series that was always forecast exactly has a radius of 0: any error is then far off.
    """
    return distance / max(radius, SMALLEST_RADIUS) if math.isfinite(radius) else 0.0
