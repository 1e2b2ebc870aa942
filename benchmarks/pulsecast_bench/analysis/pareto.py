"""The Pareto front of the artifacts, and the one to choose within a budget.

Two latencies that differ by less than 5 %, or two RMSEs by less than 0.1 %, count as equal: repeated benchmarks differ
by that much. Sizes are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pulsecast.foundation.arguments import invalid, require_types

LATENCY_TIE = 1.05
RMSE_TIE = 1.001


@dataclass(frozen=True, kw_only=True)
class Point:
    """An artifact as a choice; less is better in everything.

    latency_ns       median of one call at the smallest batch
    latency_high_ns  upper end of its 95 % interval; the median itself if there is none
    rmse             raw units; rmse_change is relative to the float64 reference, 0.01 is 1 %
    rmse_change_high upper end of its interval; the change itself if there is none
    stable           at that batch; None if it could not be judged
    """

    artifact: str
    latency_ns: float
    latency_high_ns: float
    rmse: float
    rmse_change: float
    rmse_change_high: float
    size_bytes: int
    stable: bool | None


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most that is allowed; None means unlimited. `rmse_change` 0.01 is 1 % above the float64 reference."""

    latency_us: float | None = None
    rmse_change: float | None = None
    size_kb: float | None = None

    def __post_init__(self) -> None:
        require_types(self)
        wrong = [
            f"{option} is {value:g}; expected a number above 0"
            for option, value in (("--max-latency-us", self.latency_us), ("--max-size-kb", self.size_kb))
            if value is not None and not 0 < value < float("inf")
        ]
        if self.rmse_change is not None and not 0 <= self.rmse_change < float("inf"):
            wrong.append(f"--max-rmse-change is {self.rmse_change:g}; expected a share from 0, such as 0.01 for 1 %")
        if wrong:
            raise invalid(wrong)

    @property
    def stated(self) -> bool:
        """Whether there is any limit."""
        return any(limit is not None for limit in (self.latency_us, self.rmse_change, self.size_kb))


@dataclass(frozen=True, kw_only=True)
class Excess:
    """An exceeded limit: `factor` is the artifact's value over the limit; `text` has both."""

    limit: str
    factor: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The choice within a budget.

    artifact  None if nothing fits
    fits      everything that fits, the best first
    unstable  what would fit, but its measurement is unstable
    nearest   if nothing fits: the artifact that misses least, and by how much
    """

    artifact: str | None
    fits: tuple[str, ...]
    unstable: tuple[str, ...]
    nearest: str | None
    excess: tuple[Excess, ...]


def front(points: Sequence[Point]) -> tuple[str, ...]:
    """Return the artifacts that no other artifact dominates, in the order of `points`; all equal ones are kept."""
    return tuple(one.artifact for one in points if not any(dominates(other, one) for other in points))


def dominates(one: Point, other: Point) -> bool:
    """Return True if `one` is better than `other` in one measure and not worse in any."""
    sides = (
        _compared(one.latency_ns, other.latency_ns, LATENCY_TIE),
        _compared(one.rmse, other.rmse, RMSE_TIE),
        _compared(one.size_bytes, other.size_bytes, 1.0),
    )
    return max(sides) <= 0 and min(sides) < 0


def _compared(mine: float, theirs: float, tie: float) -> int:
    """Return -1 if mine is less, 1 if more, 0 if the two count as equal."""
    if max(mine, theirs) <= tie * min(mine, theirs) * (1 + 1e-12):  # 10.01 is 1.001 times 10
        return 0
    return -1 if mine < theirs else 1


def recommend(points: Sequence[Point], budget: Budget) -> Recommendation:
    """Return the fastest artifact within `budget`; of those as fast as it, the smallest, then the most accurate.

    An artifact fits if the upper end of each interval does. An unstable measurement is never recommended.
    """
    over = {point.artifact: excesses(point, budget) for point in points}
    within = [point for point in points if not over[point.artifact]]
    fits = _ranked([point for point in within if point.stable is not False])
    unstable = tuple(point.artifact for point in within if point.stable is False)
    missing = [point for point in points if over[point.artifact]]
    nearest = None
    if not fits and missing:
        nearest = min(missing, key=lambda point: _distance(over[point.artifact])).artifact
    return Recommendation(
        artifact=fits[0] if fits else None,
        fits=fits,
        unstable=unstable,
        nearest=nearest,
        excess=over[nearest] if nearest else (),
    )


def excesses(point: Point, budget: Budget) -> tuple[Excess, ...]:
    """Return every limit of `budget` that `point` exceeds, the worst first."""
    found = []
    if budget.latency_us is not None and point.latency_high_ns > budget.latency_us * 1e3:
        text = f"{point.latency_high_ns / 1e3:.4g} us where {budget.latency_us:g} us are allowed"
        found.append(Excess(limit="latency", factor=point.latency_high_ns / 1e3 / budget.latency_us, text=text))
    if budget.rmse_change is not None and point.rmse_change_high > budget.rmse_change:
        text = f"RMSE {point.rmse_change_high:+.2%} where {budget.rmse_change:+.2%} is allowed"
        found.append(Excess(limit="rmse", factor=(1 + point.rmse_change_high) / (1 + budget.rmse_change), text=text))
    if budget.size_kb is not None and point.size_bytes > budget.size_kb * 1e3:
        text = f"{point.size_bytes / 1e3:.4g} kB where {budget.size_kb:g} kB are allowed"
        found.append(Excess(limit="size", factor=point.size_bytes / 1e3 / budget.size_kb, text=text))
    return tuple(sorted(found, key=lambda excess: -excess.factor))


def _distance(over: tuple[Excess, ...]) -> float:
    """Return the largest factor by which a limit is exceeded."""
    return max(excess.factor for excess in over)


def _ranked(points: Sequence[Point]) -> tuple[str, ...]:
    """Return the order of preference: artifacts as fast as the fastest are ordered by size, then by RMSE."""
    left, order = list(points), []
    key: Callable[[Point], tuple[float, float, float]] = lambda point: (point.size_bytes, point.rmse, point.latency_ns)  # noqa: E731
    while left:
        fastest = min(point.latency_ns for point in left)
        best = min((point for point in left if point.latency_ns <= LATENCY_TIE * fastest), key=key)
        order.append(best.artifact)
        left.remove(best)
    return tuple(order)
