"""The scoring rule of the Numenta Anomaly Benchmark (Lavin and Ahmad, 2015), written from its published definition.

Each labelled anomaly has a window. The first alarm in a window earns up to one point: an earlier alarm earns more. A
window without an alarm costs a point. Every alarm outside costs a fraction, which is smaller just after a window. The
sum is put on a scale: 0 is a detector without alarms, 100 one that flags only the first step of each window. It may be
negative. Steps of the probationary part are not scored. An alarm does not count for its neighbours: there is no point
adjustment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PROBATION_FRACTION = 0.15
PROBATION_STEPS_OF = 5000  # the fraction is of at most this many steps: a long file does not get a longer time to learn
STEEPNESS = 5.0
FAR_BEHIND = 3.0  # window widths after a window; from there on a false alarm has its full cost


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The most that an alarm in a window earns, and the costs of a false alarm and of a missed window."""

    hit: float
    false_alarm: float
    miss: float


PROFILES = {
    "standard": Profile(hit=1.0, false_alarm=0.11, miss=1.0),
    "reward low FP": Profile(hit=1.0, false_alarm=0.22, miss=1.0),
    "reward low FN": Profile(hit=1.0, false_alarm=0.11, miss=2.0),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """One series' anomaly scores and its labelled windows: first and last step of each, in order of time.

    scores  (steps,); a step raises an alarm at a threshold that its score reaches
    before  (steps,); and that this does not reach: the highest score of the steps that belong to one incident with it
    """

    scores: NDArray[np.float64]
    windows: tuple[tuple[int, int], ...]
    before: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        edges = [edge for window in self.windows for edge in window]
        if edges != sorted(edges) or any(not 0 <= edge < len(self.scores) for edge in edges):
            raise ValueError(f"windows are {self.windows}; expected first and last steps in order, within the series")
        if np.isnan(self.scores).any():
            raise ValueError("a score is NaN; give 0 to a step that cannot be judged")

    @property
    def scored_windows(self) -> tuple[tuple[int, int], ...]:
        """The windows that do not end in the probationary part."""
        return tuple(window for window in self.windows if window[1] >= probation(len(self.scores)))

    def alarms(self, threshold: float) -> NDArray[np.bool_]:
        """Return whether each step raises an alarm at `threshold`: (steps,)."""
        raised = self.scores >= threshold
        return raised if self.before is None else raised & (self.before < threshold)

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Whether each step lies in a window: (steps,)."""
        found = np.zeros(len(self.scores), bool)
        for first, last in self.windows:
            found[first : last + 1] = True
        return found


def probation(steps: int) -> int:
    """Return the number of unscored steps at the start of a series of `steps` steps.

    >>> probation(4000), probation(15902)
    (600, 750)
    """
    return int(PROBATION_FRACTION * min(steps, PROBATION_STEPS_OF))


def position_value(position: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return the value of an alarm before weighting: near 1 at a window's start (-1), 0 at its end (0), then less.

    It is 2 / (1 + exp(5 * position)) - 1, and -1 from three window widths behind the end.
    """
    at = np.asarray(position, np.float64)
    return np.where(at >= FAR_BEHIND, -1.0, 2.0 / (1.0 + np.exp(STEEPNESS * np.minimum(at, FAR_BEHIND))) - 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Gains:
    """The gain from an alarm on each scored step; all (steps,).

    scores, before  the step raises one at thresholds up to its score that are above `before`
    window          its window, -1 if there is none
    value           its value
    """

    scores: NDArray[np.float64]
    before: NDArray[np.float64]
    window: NDArray[np.int64]
    value: NDArray[np.float64]


def gains(series: Labelled, profile: Profile) -> Gains:
    """Return every scored step's gain; within a window only the largest gain of an alarm counts."""
    steps = np.arange(len(series.scores))
    position = np.full(len(steps), FAR_BEHIND)  # of steps outside, in widths of the window before
    number = np.full(len(steps), -1)
    for first, last in series.windows:
        width = last - first + 1
        position[last + 1 :] = (steps[last + 1 :] - last) / max(width - 1, 1)
    value = profile.false_alarm * position_value(position)
    for i, (first, last) in enumerate(series.scored_windows):
        inside = slice(first, last + 1)
        number[inside] = i
        relative = -(last - steps[inside] + 1) / (last - first + 1)
        value[inside] = profile.hit * position_value(relative) / position_value(-1.0)
    scored = slice(probation(len(steps)), None)
    before = np.full(len(steps), -np.inf) if series.before is None else series.before
    return Gains(scores=series.scores[scored], before=before[scored], window=number[scored], value=value[scored])


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """A corpus' NAB score (n,) as the threshold falls through `thresholds` (n,): steps at or above it are flagged."""

    thresholds: NDArray[np.float64]
    scores: NDArray[np.float64]

    def at(self, threshold: float) -> float:
        """Return the score where every step whose score is at least `threshold` is flagged."""
        flagged = int(np.searchsorted(-self.thresholds, -threshold, side="right"))
        return float(self.scores[flagged - 1]) if flagged else 0.0

    def best(self) -> tuple[float, float]:
        """Return the threshold with the highest score, and that score; an infinite one flags nothing and scores 0."""
        at = int(np.argmax(self.scores)) if len(self.scores) else 0
        if not len(self.scores) or self.scores[at] <= 0.0:
            return float("inf"), 0.0
        return float(self.thresholds[at]), float(self.scores[at])


def score_curve(corpus: Sequence[Labelled], profile: Profile) -> Curve:
    """Return the corpus' NAB score for every threshold; one threshold holds for all of its series."""
    found = [gains(series, profile) for series in corpus]
    windows = sum(len(series.scored_windows) for series in corpus)
    if not windows:
        raise ValueError("the corpus has no labelled window after its probationary parts; there is nothing to score")
    edges = np.concatenate([edge[one.scores > one.before] for one in found for edge in (one.scores, one.before)])
    thresholds = np.unique(edges[edges > -np.inf])[::-1]  # between two of them no alarm begins or ends
    total = np.zeros(len(thresholds))  # above the score of a detector without alarms
    for series, one in zip(corpus, found, strict=True):
        loud = one.scores > one.before
        outside = loud & (one.window < 0)
        total += _sum_from(one.scores[outside], one.value[outside], thresholds)
        total -= _sum_from(one.before[outside], one.value[outside], thresholds)
        for i in range(len(series.scored_windows)):
            inside = loud & (one.window == i)
            total += profile.miss + _best_at(one, inside, thresholds, profile)
    nothing, perfect = -profile.miss * windows, profile.hit * windows
    return Curve(thresholds=thresholds, scores=100.0 * total / (perfect - nothing))


def _sum_from(
    edges: NDArray[np.float64], values: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return for each of `thresholds` the sum of the `values` whose edge reaches it."""
    order = np.argsort(-edges, kind="stable")
    sums = np.concatenate(([0.0], np.cumsum(values[order])))
    reached: NDArray[np.float64] = sums[np.searchsorted(-edges[order], -thresholds, side="right")]
    return reached


def _best_at(
    one: Gains, inside: NDArray[np.bool_], thresholds: NDArray[np.float64], profile: Profile
) -> NDArray[np.float64]:
    """Return for each of `thresholds` the largest value of an alarm `inside`, or the cost of a miss."""
    best = np.full(len(thresholds), -profile.miss)
    for score, before, value in zip(one.scores[inside], one.before[inside], one.value[inside], strict=True):
        raised = slice(*np.searchsorted(-thresholds, [-score, -before]))
        best[raised] = np.maximum(best[raised], value)
    return best
