"""When an incident begins, and when it gets much worse: what is news among the steps that are flagged."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ...model.spec import DAY_S

WORSE = 2.0  # times as far off as all that was flagged just before: what grows little by little is one incident


def quiet_steps(step_s: int, false_alarm_rate: float) -> int:
    """Return how many steps without a flagged one end an incident: a day, and less where many steps may be flagged.

    Ordinary steps are flagged too, once in 1 / rate steps. In a quarter of that time there is seldom one, so that most
    incidents do not begin in the shadow of an ordinary step.

    >>> quiet_steps(3600, 0.006), quiet_steps(300, 0.001), quiet_steps(3600, 0.05), quiet_steps(86400, 0.01)
    (24, 250, 5, 1)
    """
    return int(min(DAY_S // step_s, 0.25 / false_alarm_rate))  # of a rate near zero the second is infinite


class Incidents:
    """Finds what is news. One object per series."""

    def __init__(self, quiet: int) -> None:
        """Start with no incident; one ends when `quiet` steps have passed without a flagged one."""
        self._quiet = quiet
        self._step = 0
        self._highest: deque[tuple[int, float]] = deque()  # (step, score) that no later one reaches, highest first

    def is_news(self, score: float) -> bool:
        """Take the next step and return whether an incident begins with it, or gets worse.

        score  of a step that is flagged; 0 of one that is not
        """
        self._step += 1
        while self._highest and self._highest[0][0] < self._step - self._quiet:
            self._highest.popleft()
        if not score:
            return False
        news = not self._highest or score >= WORSE * self._highest[0][1]
        while self._highest and self._highest[-1][1] <= score:
            self._highest.pop()
        self._highest.append((self._step, score))
        return news

    @property
    def going(self) -> bool:
        """Whether one of the last `quiet` steps was flagged, so that the next step belongs to an incident."""
        return bool(self._highest) and self._highest[-1][0] > self._step - self._quiet

    def wait(self, steps: int) -> None:
        """Let steps pass of which nothing is known."""
        self._step += steps

    @property
    def highest(self) -> list[tuple[int, float]]:
        """The scores that later ones are compared with: how many steps ago, and the score, oldest first."""
        return [(self._step - step, score) for step, score in self._highest]

    def resume(self, highest: Iterable[tuple[int, float]]) -> None:
        """Continue from what `highest` of another object returned."""
        self._highest = deque((self._step - ago, score) for ago, score in highest if score > 0)
