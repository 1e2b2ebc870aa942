"""The judge of one series: the level, then the step, then repetitions; one alarm for an incident.

A false-alarm rate holds for all of it. The level and the step may each flag half of it. Until both have seen enough
for their half, the step alone may flag all of it; while it cannot, the level. Repetitions have no share: chance hardly
makes one (`repeats`).

While an incident lasts, the forecasts are made of it: after a burst they are too high, and the return to what is
ordinary would be the next departure. Until the incident has ended (`incidents`), steps are judged by their level only,
and their residuals are not learnt.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ...errors import UsageError
from ...foundation.arguments import fraction, whole_number
from ...model.radii import IntervalScale
from ..departures import UNKNOWN, Anomaly, Departures, Reason, default_window, residuals_needed
from .incidents import Incidents, quiet_steps
from .judge_state import JudgeState
from .levels import Levels
from .repeats import Repeats


class Judge:
    """Judges the steps of one series, with the forecasts that were made of them."""

    def __init__(
        self, *, false_alarm_rate: float, step_s: int, window: int | None = None, scale: IntervalScale = "log1p",
        counts: bool = False,
    ) -> None:  # fmt: skip
        """Start with nothing known.

        false_alarm_rate  share of ordinary steps that may be flagged
        step_s            seconds of a step
        window            residuals kept; None is `default_window` of half the rate
        scale, counts     as of the model's intervals

        Raises UsageError.
        """
        rate = fraction("false-alarm rate", false_alarm_rate, such_as=0.001)
        half = rate / 2 or rate  # half of the smallest number is 0
        self.window = default_window(step_s, half) if window is None else window
        self._half = half
        if whole_number("window", self.window) < residuals_needed(half):
            raise UsageError(
                f"window is {self.window} residuals; a false-alarm rate of {rate:g} takes at least "
                f"{residuals_needed(half)}, as half of it is for the forecasts"
            )
        self._needed, self._half_needed = residuals_needed(rate), residuals_needed(half)
        self._steps = Departures(false_alarm_rate=half, window=self.window, scale=scale, counts=counts)
        self._levels = Levels(step_s, half, scale=scale, counts=counts)
        self._repeats = Repeats(self._levels.span)
        self._incidents = Incidents(quiet_steps(step_s, rate))

    def judge(self, forecast: float, value: float) -> Anomaly:
        """Return what a step is whose value is known, and learn from it; a `forecast` may be NaN.

        A `value` of NaN is a step that is missing: it is neither judged nor learnt.
        """
        if not math.isfinite(value):
            self._incidents.wait(1)  # time goes on
            return _unjudged(forecast, value)
        expected = math.isfinite(forecast) and not self._incidents.going
        by_level, by_step = self._shares(expected=expected)
        reached, unusual = self._levels.judge(value, by_level)
        lower, upper, score, outside = self._steps.judge(forecast, value, by_step) if expected else UNKNOWN
        reason: Reason | None = "level" if unusual else "step" if outside else None
        if unusual or upper == math.inf:
            lower, upper = self._levels.bounds()
        score = max(score, reached)
        repeated = self._repeats.push(value)
        score = max(score, repeated.score)
        if reason is None and repeated.score > 1.0:
            reason = "stuck" if repeated.cycle == 1 else "cycle"
        news = self._incidents.is_news(0.0 if reason is None else score)
        return Anomaly(value, forecast, lower, upper, score, reason is not None, news, reason)

    def _shares(self, *, expected: bool) -> tuple[float, float]:
        """Return the shares of steps that the level and the step may flag now; 0 while one cannot judge.

        expected  there is a forecast to judge by
        """
        levels, steps = len(self._levels), len(self._steps)
        if levels >= self._half_needed and steps >= self._half_needed:
            return self._half, self._half
        if expected and steps >= self._needed:
            return 0.0, 2 * self._half
        return 2 * self._half if levels >= self._needed else 0.0, 0.0

    def wait(self, steps: int) -> None:
        """Let `steps` pass of which nothing is known, at least a whole window: what was learnt of levels stays."""
        self._incidents.wait(steps)
        self._repeats.interrupt()

    @property
    def residuals(self) -> list[float]:
        """The distances from forecasts that are kept, on their scale, oldest first."""
        return self._steps.residuals

    @property
    def highest(self) -> list[tuple[int, float]]:
        """The scores that decide what is news: how many steps ago, and the score."""
        return self._incidents.highest

    def state(self) -> JudgeState:
        """Return what was learnt beside these."""
        return JudgeState(levels=self._levels.state(), repeats=self._repeats.state())

    def resume(self, residuals: Iterable[float], highest: Iterable[tuple[int, float]], state: JudgeState) -> None:
        """Continue from what `residuals`, `highest` and `state` of another object returned."""
        self._steps.resume(residuals)
        self._incidents.resume(highest)
        self._levels.resume(state.levels)
        self._repeats.resume(state.repeats)


def _unjudged(forecast: float, value: float) -> Anomaly:
    return Anomaly(
        value=value, forecast=forecast, lower=math.nan, upper=math.nan, score=0.0, anomalous=False, alarm=False
    )
