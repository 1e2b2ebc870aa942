"""Alarms at every threshold at once, by the rule of the detector's incidents."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pulsecast.forecasting.watching.incidents import WORSE

JUST_ABOVE = float(np.nextafter(1.0, 2.0))  # a detector's own threshold: the interval holds its edge


def before_alarm(scores: NDArray[np.float64], quiet: int) -> NDArray[np.float64]:
    """Return for each step the threshold (steps,) above which it raises an alarm, by the rule of `Incidents`.

    It is the highest score of the `quiet` steps before it, or minus infinity if it is twice as far off.
    """
    if not quiet:
        return np.full(len(scores), -np.inf)
    shadow = sliding_window_view(np.concatenate((np.full(quiet, -np.inf), scores)), quiet)[:-1].max(axis=1)
    return np.where(scores >= WORSE * shadow, -np.inf, shadow)
