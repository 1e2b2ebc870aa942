"""Samples of whole months, quarters or years: they differ in length, and a step has one length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import DataError

_DAY_US = 86_400_000_000
_HALF_DAY_US = _DAY_US // 2
# words -> months between two samples
_PERIODS = {"months": 1, "quarters": 3, "years": 12}


def refuse_calendar_months(times_us: NDArray[np.int64]) -> None:
    """Raise DataError if sorted `times_us` (samples,), microseconds UTC, are the same day of months, or their ends."""
    times = np.unique(times_us)
    spacings = np.diff(times)
    if len(spacings) == 0 or np.median(spacings) < 27.5 * _DAY_US:
        return
    months = _months(times)
    if months is None:
        return
    steps = np.diff(months)  # (samples - 1,)
    for words, length in _PERIODS.items():
        same = float((steps == length).mean())
        if same >= 0.8 and (steps % length == 0).all() and (steps > 0).all():
            raise DataError(
                f"samples stand for calendar {words}, which differ in length ({_days(spacings)} days), and a step has "
                "one length; bring the log by days or weeks"
            )


def _months(times: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the number of the month of each time, None unless all are the same day of their months, or the last one.

    Times are in UTC: the first day of a month may begin on the day before, or on the day after.
    """
    for shift in (0, _HALF_DAY_US, -_HALF_DAY_US):  # midnight in London is on two days of UTC
        stamps = (times + shift).astype("datetime64[us]")
        months = stamps.astype("datetime64[M]")
        days = (stamps.astype("datetime64[D]") - months).astype(np.int64)
        lengths = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
        if len(np.unique(days)) == 1 or len(np.unique(lengths - days)) == 1:
            return np.asarray(months.astype(np.int64))
    return None


def _days(spacings: NDArray[np.int64]) -> str:
    days = np.rint(spacings / _DAY_US).astype(np.int64)
    return f"{days.min()}" if days.min() == days.max() else f"{days.min()} to {days.max()}"
