"""Each day and each week beside those before it: was it as usual, and if not, by how much?

A day is compared with the same weekday of the weeks before, a week with the weeks before: by the median, and by how far
they usually lie from it. The scale is log1p, because engagement changes by factors; values that may be negative are
compared as they are.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pulsecast.model.spec import DAY_S

from ..series import Series
from .cycles import local_seconds
from .words import amount

COMPARED, LEAST = 8, 3  # periods before that are looked at, and that are needed
WHOLE = 0.9  # share of a period's steps that must be known; what is known then stands for all of it
SPREADS = 3.0  # of the usual distance from the median: beyond, a period is unusual
LEAST_SPREAD = 0.05  # of log1p, or of the median: totals that hardly differ are not all unusual
SPREAD_OF_MAD = 1.4826  # the standard deviation of normal numbers by their median distance

Verdict = Literal["as usual", "higher", "lower", "too early to say", "incomplete"]


@dataclass(frozen=True, kw_only=True)
class Period:
    """One day or week on a clock: its mean per step, and what was usual.

    first   its first date, ISO 8601
    mean    of its steps; None where too many are missing
    usual   median of the periods before; None where there are too few
    low, high  what would still have been as usual
    """

    kind: Literal["day", "week"]
    first: str
    mean: float | None
    usual: float | None
    low: float | None
    high: float | None
    verdict: Verdict


def periods(series: Series, kind: Literal["day", "week"], zone: str = "UTC") -> tuple[Period, ...]:
    """Return all days or weeks (from Monday) of the first metric of `series`, by the clock of `zone`, oldest first."""
    days = local_seconds(series.timestamps_s(), zone) // DAY_S
    length = 1 if kind == "day" else 7
    number = days if kind == "day" else (days + 3) // 7  # unix time began on a Thursday
    first, last = int(number[0]), int(number[-1])
    values = series.values[:, 0]
    known = np.isfinite(values)
    counts = np.bincount(number[known] - first, minlength=last - first + 1)
    sums = np.bincount(number[known] - first, weights=values[known], minlength=last - first + 1)
    due = max(1, length * DAY_S // series.step_s)
    means = np.where(counts >= WHOLE * due, sums / np.maximum(counts, 1), np.nan)  # (periods,)
    apart = 7 if kind == "day" else 1
    logs = bool((values[known] >= 0).all())
    before = [means[max(at % apart, at - COMPARED * apart) : at : apart] for at in range(len(means))]
    return tuple(
        _judged(kind, _date(first + at, kind), float(means[at]), before[at], logs=logs)
        for at in range(len(means))
        if counts[at]
    )


def _date(number: int, kind: str) -> str:
    day = number if kind == "day" else 7 * number - 3
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()


def _judged(
    kind: Literal["day", "week"], first: str, mean: float, before: NDArray[np.float64], *, logs: bool
) -> Period:
    before = before[np.isfinite(before)]
    if not np.isfinite(mean) or len(before) < LEAST:
        known = mean if np.isfinite(mean) else None
        verdict: Verdict = "incomplete" if known is None else "too early to say"
        return Period(kind=kind, first=first, mean=known, usual=None, low=None, high=None, verdict=verdict)
    levels = np.log1p(before) if logs else before
    middle = float(np.median(levels))
    least = LEAST_SPREAD * (1.0 if logs else max(abs(middle), 1e-9))
    reach = SPREADS * max(SPREAD_OF_MAD * float(np.median(np.abs(levels - middle))), least)
    low, usual, high = (float(np.expm1(level) if logs else level) for level in (middle - reach, middle, middle + reach))
    low = max(low, 0.0) if logs else low
    verdict = "higher" if mean > high else "lower" if mean < low else "as usual"
    return Period(kind=kind, first=first, mean=mean, usual=usual, low=low, high=high, verdict=verdict)


def sentence(found: Period) -> str:
    """Return a day or week in words.

    >>> sentence(Period(kind="day", first="2026-01-05", mean=30.0, usual=10.0, low=8.0, high=12.5, verdict="higher"))
    'Mon 05 Jan 2026: higher than usual, 30 a step where 8 to 12.5 is usual (3 times the median)'
    """
    date = datetime.date.fromisoformat(found.first)
    name = date.strftime("%a %d %b %Y") if found.kind == "day" else f"week from {date:%d %b %Y}"
    if found.mean is None or found.usual is None or found.low is None or found.high is None:
        return f"{name}: {found.verdict}"
    said = f"{amount(found.mean)} a step where {amount(found.low)} to {amount(found.high)} is usual"
    if found.verdict == "as usual":
        return f"{name}: as usual, {said}"
    times = f" ({found.mean / found.usual:.2g} times the median)" if found.usual > 0 else ""
    return f"{name}: {found.verdict} than usual, {said}{times}"
