"""Whether one forecast is better than another by more than chance: the Diebold-Mariano test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class DieboldMariano:
    """Statistic (negative: the first forecast has the smaller loss) and two-sided p-value."""

    statistic: float
    p_value: float

    @property
    def better(self) -> bool:
        """True if the first forecast is better at the level LEVEL."""
        return self.p_value < LEVEL and self.statistic < 0

    @property
    def worse(self) -> bool:
        """True if the first forecast is worse at the level LEVEL."""
        return self.p_value < LEVEL and self.statistic > 0


def diebold_mariano(first: NDArray[np.floating], second: NDArray[np.floating], horizon: int) -> DieboldMariano:
    """Compare losses (n,) of two forecasts made one step after another, each `horizon` steps ahead.

    The test of Diebold and Mariano (1995) with the small-sample correction and Student's t of Harvey, Leybourne and
    Newbold (1997). The long-run variance of the loss differences takes autocovariances up to horizon - 1, and at least
    up to the cube root of n, because real losses cluster; Bartlett weights keep it positive. Equal losses give p = 1.
    """
    from scipy.stats import t as student

    difference = np.asarray(first, np.float64) - second
    n = len(difference)
    if n < 3 or not difference.any():
        return DieboldMariano(statistic=0.0, p_value=1.0)
    centred = difference - difference.mean()
    lags = min(max(horizon - 1, math.floor(np.cbrt(n))), n - 2)
    variance = float(centred @ centred) / n
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag]) / n
    if variance <= np.finfo(np.float64).tiny:  # a constant difference: certain
        return DieboldMariano(statistic=math.copysign(math.inf, difference.mean()), p_value=0.0)
    correction = max(n + 1 - 2 * horizon + horizon * (horizon - 1) / n, 1.0) / n
    statistic = math.sqrt(correction) * float(difference.mean()) / math.sqrt(variance / n)
    return DieboldMariano(statistic=statistic, p_value=float(2 * student.sf(abs(statistic), n - 1)))
