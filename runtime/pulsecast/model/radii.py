"""Radii of prediction intervals as the manifest holds them; `pulsecast.computing.intervals` uses them."""

from __future__ import annotations

import itertools
from dataclasses import field
from typing import Literal

from .. import limits
from ..errors import UsageError
from ..foundation import strict_json
from ..foundation.arguments import shown
from ..foundation.quick_dataclass import dataclass
from ..plain_text import listed

IntervalScale = Literal["log1p", "identity"]


@dataclass(frozen=True, kw_only=True)
class SplitConformal:
    """Radii for stateless intervals, as the manifest stores them.

    scale    where radii are distances: log1p(value), or the value itself
    counts   values are whole numbers, and so are the bounds: see `pulsecast.computing.intervals.bounds`
    levels   coverages that radii exist for, ascending
    radii    for each level, one radius per horizon step
    windows  how many held-out windows they come from
    """

    scale: IntervalScale
    counts: bool
    levels: tuple[float, ...] = field(metadata=strict_json.most(limits.LEVELS))
    radii: tuple[tuple[float, ...], ...] = field(metadata=strict_json.most(limits.LEVELS, limits.HORIZON_STEPS))
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
            raise ValueError(listed(problems))

    def at(self, level: float) -> tuple[float, ...]:
        """Return the radii that cover with probability `level`, one per horizon step, on the scale.

        Raises UsageError, with the known levels, if there are none for `level`.
        """
        try:
            level = float(level)
        except Exception:  # an argument's own methods may raise anything
            raise UsageError(f"interval is {shown(level)}; expected a number, such as 0.9") from None
        if level not in self.levels:
            known = ", ".join(f"{known:g}" for known in self.levels)
            raise UsageError(f"interval is {level!r}; this model has intervals for {known}")
        return self.radii[self.levels.index(level)]

    @property
    def default_level(self) -> float:
        """The level that artifacts give bounds at: 0.9, or the next lower one there is, or the lowest."""
        return max((level for level in self.levels if level <= 0.9), default=self.levels[0])
