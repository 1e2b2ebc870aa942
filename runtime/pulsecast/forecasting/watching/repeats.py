"""Values that repeat themselves: a stuck value, a pipe that delivers nothing new, a bot that posts by the clock.

What people do does not repeat itself to the last digit. Where equal values are usual, as zeros are at night, so are
runs of them; but the longest of m ordinary runs grows with the logarithm of m only, and the next one is twice as long
as all of them once in m * m / 2 times. A run of at least twice the longest one before is hardly chance. In hourly
counts of chance (Poisson) it comes 0.04 times a week where the mean is 0.02, 0.02 times where it is 0.7, and at 3 not
once a year.

A cycle of up to twelve steps counts as a repetition too: values that equal those of two, three ... steps before.
"""

from __future__ import annotations

from typing import NamedTuple

from ..departures import MINIMUM_RESIDUALS
from .judge_state import CYCLES, RepeatsState

FEWEST = 12  # values of a run that is worth telling


class Repeated(NamedTuple):
    """The run that a value belongs to: the steps of its cycle, and its length over the longest ordinary one."""

    cycle: int
    score: float


NOTHING = Repeated(cycle=0, score=0.0)


class Repeats:
    """Follows runs of values that equal those of one to twelve steps before. One object per series."""

    def __init__(self, span: int) -> None:
        """Start with nothing known; a run is remembered for `span` to 2 * `span` steps."""
        self._span = span
        self._recent: list[float] = []  # newest first
        self._age = self._known = 0
        self._runs, self._longest, self._before = [0] * CYCLES, [0] * CYCLES, [0] * CYCLES
        self._going = False  # a run does

    def push(self, value: float) -> Repeated:
        """Take the next value that is known and return how far beyond chance it repeats those before it.

        A score above 1 is a run of at least `FEWEST` values, and twice the longest one before.
        """
        self._known += self._known < MINIMUM_RESIDUALS
        self._age += 1
        if self._age > self._span:
            self._age, self._before, self._longest = 1, self._longest, [0] * CYCLES
        recent = self._recent
        found = self._follow(value) if self._going or value in recent else NOTHING
        recent.insert(0, value)
        del recent[CYCLES:]
        return found if self._known == MINIMUM_RESIDUALS else NOTHING

    def _follow(self, value: float) -> Repeated:
        runs, found = self._runs, NOTHING
        shorter = (
            0  # steps of the longest cycle that a run of a shorter one passes for: its values are no cycle of that
        )
        for at, earlier in enumerate(self._recent):
            run = runs[at]
            if earlier == value:
                runs[at] = run = (run or 1) + 1
                score = run / (max(FEWEST, 2 * max(self._longest[at], self._before[at])) - 1)
                if shorter <= at and score > found.score and found.score <= 1.0:
                    found = Repeated(cycle=at + 1, score=score)
                shorter = max(shorter, run - at - 1)
            elif run:
                runs[at] = 0
                self._longest[at] = max(self._longest[at], run)
        self._going = any(runs)
        return found

    def interrupt(self) -> None:
        """Forget the runs that go on, and the last values: unknown steps lie between them and the next one."""
        for at, run in enumerate(self._runs):
            self._longest[at] = max(self._longest[at], run)
        self._runs, self._recent, self._going = [0] * CYCLES, [], False

    def state(self) -> RepeatsState:
        """Return what is known."""
        return RepeatsState(
            recent=tuple(self._recent),
            age=self._age,
            known=self._known,
            runs=tuple(self._runs),
            longest=tuple(self._longest),
            before=tuple(self._before),
        )

    def resume(self, state: RepeatsState) -> None:
        """Continue from what `state` of another object returned."""
        self._recent = list(state.recent)
        self._age, self._known = state.age, min(state.known, MINIMUM_RESIDUALS)
        self._runs, self._longest, self._before = list(state.runs), list(state.longest), list(state.before)
        self._going = any(self._runs)
