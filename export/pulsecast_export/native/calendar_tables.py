"""The tables of a model's calendar in C: its clocks, and the holidays that it knows.

Columns of one period and one time ahead share a clock, so that sin and cos of an angle are computed together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from pulsecast.computing.calendars import known_times
from pulsecast.model.spec import WEEK_S, Calendar, ModelSpec

from ..c_text import float_text


@dataclass(frozen=True, kw_only=True)
class Clock:
    """A period, the seconds that it is ahead of a step, and the calendar's columns that it gives, by function."""

    period_s: int
    ahead_s: int
    columns: Mapping[str, int]


def calendar_tables(spec: ModelSpec) -> dict[str, str]:
    """Return the texts of the templates' tables; a model without a calendar leaves them out."""
    calendars = [feature.calendar for feature in spec.features if feature.calendar is not None]
    clocks = clocks_of(calendars, spec.step_s)
    first, last = known_times(spec)

    def row(of: Callable[[Clock], str]) -> str:
        return ", ".join(map(of, clocks)) or "0"

    return _holiday_tables(calendars, spec.step_s) | {
        "FIRST_KNOWN": str(first),
        "LAST_KNOWN": str(last),
        "CLOCKS": str(len(clocks)),
        "CLOCK_COLUMNS": row(_columns),
        "PERIODS": row(lambda clock: str(clock.period_s)),
        "AHEADS": row(lambda clock: str(clock.ahead_s % clock.period_s)),
        "BACKS": row(lambda clock: str(clock.period_s - spec.step_s % clock.period_s)),
        "QUARTERS": row(lambda clock: float_text(4 / clock.period_s)),
        "TURNS": row(lambda clock: float_text(np.pi / 2 / clock.period_s)),
    }


def clocks_of(calendars: Iterable[Calendar], step_s: int) -> list[Clock]:
    """Return the clocks of a calendar's columns in order; holidays have none.

    Two columns of one function, period and time ahead have a clock each.
    """
    found: dict[tuple[int, int, int], dict[str, int]] = {}  # (period, ahead, copy) -> columns by function
    for column, calendar in enumerate(calendars):
        if calendar.function == "holiday":
            continue
        # the weekend is that of a week, whatever the period says
        period_s = WEEK_S if calendar.function == "weekend" else calendar.period_s
        copies = (found.setdefault((period_s, calendar.ahead_steps * step_s, i), {}) for i in itertools.count())
        next(columns for columns in copies if calendar.function not in columns)[calendar.function] = column
    return [Clock(period_s=key[0], ahead_s=key[1], columns=columns) for key, columns in found.items()]


def _columns(clock: Clock) -> str:
    return f"{{{', '.join(str(clock.columns.get(function, -1)) for function in ('sin', 'cos', 'weekend'))}}}"


def _holiday_tables(calendars: Iterable[Calendar], step_s: int) -> dict[str, str]:
    rows: list[str] = []
    spans: list[tuple[int, ...]] = []
    for column, calendar in enumerate(calendars):
        if calendar.holidays is None:
            continue
        first = len(spans)
        spans += calendar.holidays.spans
        rows.append(f"{{{column}, {first}, {len(spans)}, INT64_C({calendar.ahead_steps * step_s})}}")
    pairs = [f"{{INT64_C({first}), INT64_C({stop})}}" for first, stop in spans]
    return {
        "HOLIDAYS": str(len(rows)),
        "HOLIDAY_ROWS": ", ".join(rows),
        "SPANS": str(max(len(spans), 1)),
        "SPAN_ROWS": ",\n".join(pairs) or "{0, 0}",
    }
