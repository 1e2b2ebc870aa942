"""Steps that depart from what a model expected: how far outside the prediction interval, one by one, with numpy alone.

A step is judged by its residual, compared with those of the last days, by the rule and on the scale of
`RollingConformal`. This form is for one step ahead and thousands of residuals, which are kept sorted. With a
false-alarm rate of r, a step is an anomaly if it lies outside the interval of coverage 1 - r. If a series behaves as it
did in the days that are kept, this happens to at most r of its ordinary steps. Conformal prediction guarantees this. It
needs at least 1 / r - 1 residuals; until then nothing is flagged.

A departure of hours is one incident, not an alarm for every step: within a day another alarm is raised only for a step
that is further off than all before it.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ..computing.intervals import bounds_of_one, residual_of_one
from ..errors import UsageError
from ..foundation.arguments import fraction, whole_number
from ..model.radii import IntervalScale
from ..model.spec import WEEK_S

KEPT_S = 2 * WEEK_S
MINIMUM_RESIDUALS = 200
SMALLEST_RADIUS = 1e-9


class Anomaly(NamedTuple):
    """The judgement of one step; `lower` and `upper` are NaN, or `upper` is infinite, while it cannot be judged.

    score      distance from the forecast in radii of the interval: above 1 the value lies outside, unless it is a count
               that rounding the bounds takes in; 0 if unjudged
    anomalous  the value lies outside the interval of the false-alarm rate that was chosen; False if unjudged
    alarm      anomalous, and no step of the last day was as far off: an incident begins or gets worse
    """

    value: float
    forecast: float
    lower: float
    upper: float
    score: float
    anomalous: bool
    alarm: bool


class Incidents:
    """Finds what is news: a score above all of the `quiet` steps before it. One object per series."""

    def __init__(self, quiet: int) -> None:
        """Start with nothing known; 0 steps of quiet make everything news."""
        self._quiet = quiet
        self._step = 0
        self._highest: deque[tuple[int, float]] = deque()  # (step, score) that no later one reaches, highest first

    def is_news(self, score: float) -> bool:
        """Take the next step's score and return whether it is news."""
        self._step += 1
        while self._highest and self._highest[0][0] < self._step - self._quiet:
            self._highest.popleft()
        news = not self._highest or score > self._highest[0][1]
        while self._highest and self._highest[-1][1] <= score:
            self._highest.pop()
        self._highest.append((self._step, score))
        return news

    @property
    def highest(self) -> list[tuple[int, float]]:
        """The scores that later ones are compared with: how many steps ago, and the score, oldest first."""
        return [(self._step - step, score) for step, score in self._highest]

    def wait(self, steps: int) -> None:
        """Let steps pass of which nothing is known."""
        self._step += steps

    def resume(self, highest: Sequence[tuple[int, float]]) -> None:
        """Continue from what `highest` of another object returned."""
        self._highest = deque((self._step - ago, score) for ago, score in highest)


class Departures:
    """Judges values against given forecasts, one step after the other. One object per series."""

    def __init__(
        self, *, false_alarm_rate: float = 0.001, window: int = 4032, scale: IntervalScale = "log1p",
        counts: bool = False, quiet: int = 0,
    ) -> None:  # fmt: skip
        """Start without residuals.

        false_alarm_rate  share of ordinary steps that may be flagged
        window            residuals kept, at least 1 / false_alarm_rate - 1
        scale, counts     as of the model's intervals
        quiet             steps after an alarm in which only a step that is further off raises another one

        Raises UsageError.
        """
        fraction("false-alarm rate", false_alarm_rate, such_as=0.001)
        needed = residuals_needed(false_alarm_rate)
        if whole_number("window", window) < needed:
            raise UsageError(
                f"window is {window} residuals; a false-alarm rate of {false_alarm_rate:g} takes at least {needed}"
            )
        self._level = 1.0 - false_alarm_rate
        self._scale: IntervalScale = scale
        self._counts = counts
        self._window = window
        self._incidents = Incidents(quiet)
        self._recent: deque[float] = deque()  # |residuals|, oldest first
        self._sorted: list[float] = []  # the same, smallest first

    def judge(self, forecast: float, value: float) -> Anomaly:
        """Return what the step is, and learn from it; a step with a NaN is neither judged nor learnt."""
        if not (math.isfinite(forecast) and math.isfinite(value)):
            self._incidents.is_news(0.0)  # time goes on
            return Anomaly(
                value=value, forecast=forecast, lower=math.nan, upper=math.nan, score=0.0, anomalous=False, alarm=False
            )
        radius = self._radius()
        lower, upper = bounds_of_one(forecast, radius, self._scale, counts=self._counts)
        distance = residual_of_one(forecast, value, self._scale)
        self._learn(distance)
        score, anomalous = _ratio(distance, radius), radius < math.inf and not lower <= value <= upper
        news = self._incidents.is_news(score if anomalous else 0.0)  # only what is flagged can begin an incident
        return Anomaly(
            value=value,
            forecast=forecast,
            lower=lower,
            upper=upper,
            score=score,
            anomalous=anomalous,
            alarm=anomalous and news,
        )

    def _radius(self) -> float:
        """Return the k-th smallest residual, k = ceil((n + 1) * level), as `conformal_radius` does."""
        rank = math.ceil((len(self._sorted) + 1) * self._level - 1e-9)
        return self._sorted[rank - 1] if rank <= len(self._sorted) else math.inf

    def _learn(self, distance: float) -> None:
        if len(self._recent) == self._window:
            del self._sorted[bisect.bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(distance)
        bisect.insort(self._sorted, distance)

    def wait(self, steps: int) -> None:
        """Let steps pass of which nothing is known."""
        self._incidents.wait(steps)

    @property
    def residuals(self) -> list[float]:
        """The residuals that are kept, oldest first."""
        return list(self._recent)

    @property
    def highest(self) -> list[tuple[int, float]]:
        """The scores that decide what is news: how many steps ago, and the score."""
        return self._incidents.highest

    def resume(self, residuals: Sequence[float], highest: Sequence[tuple[int, float]]) -> None:
        """Continue from what `residuals` and `highest` of another object of this kind returned."""
        self._recent = deque(residuals)
        self._sorted = sorted(residuals)
        self._incidents.resume(highest)


_ENDLESS = 1e18  # residuals: the inverse of a rate near zero is infinite


def residuals_needed(false_alarm_rate: float) -> int:
    """Return how many residuals must be known before a step can be flagged at this rate.

    >>> residuals_needed(0.001)
    999
    """
    return max(1, math.ceil(min(1.0 / false_alarm_rate, _ENDLESS) - 1.0 - 1e-9))


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


def _ratio(distance: float, radius: float) -> float:
    # a series that was forecast exactly has a radius of 0: any error is then far off
    return distance / max(radius, SMALLEST_RADIUS) if math.isfinite(radius) else 0.0
