"""Columns that stand together or were damaged on the way: a date with its hour, ids that a spreadsheet has rounded."""

from __future__ import annotations

import polars as pl

from pulsecast.errors import DataError

from ..places import Places

_POWER = r"^\d(?:[.,]\d+)?[eE]\+\d{2}$"
_SHOWN_DIGITS = 16  # of ids that a spreadsheet shows as they are
_KEPT_DIGITS = 15  # of a number in a spreadsheet; the others become 0
_MOST_EXACT = 2**53  # of a number in a Parquet column of floats


def refuse_rounded_ids(cells: pl.Series, places: Places, column: str, *, plus: bool) -> None:
    """Raise DataError if ids look rounded, as 1.70E+18 or with zeros at their ends: different ones are then alike.

    plus  a cell may hold a plus sign
    """
    if cells.dtype.is_float():
        large = (cells.abs() >= _MOST_EXACT).fill_null(value=False).arg_true()
        row = int(large[0]) if len(large) else None
    else:
        row = rounded_row(cells.cast(pl.String), plus=plus)
    if row is None:
        return
    raise DataError(
        f"{places.where(row)}: a cell of {column} is a number that lost its last digits, as a spreadsheet rounds ids, "
        f"so different ones are alike; leave its option out, or export the log again with {column} as text"
    )


def rounded_row(text: pl.Series, *, plus: bool = True) -> int | None:
    """Return the first row of `text` that looks rounded, None if none does; `plus` as above."""
    if plus and text.str.contains("+", literal=True).any():
        powers = text.str.contains(_POWER).fill_null(value=False)
        if powers.any():
            return int(powers.arg_true()[0])
    if not (text.str.len_bytes() > _SHOWN_DIGITS).any():
        return None
    long = text.str.contains(r"^\d{17,}$").fill_null(value=False)
    if long.sum() < 2:
        return None
    tails = text.filter(long).str.slice(_KEPT_DIGITS)
    if not tails.str.contains("^0+$").all() or text.filter(long).n_unique() < 2:
        return None
    return int(long.arg_true()[0])


def with_time_of_day(dates: pl.Series, times: pl.Series, places: Places) -> pl.Series:
    """Return a column of times from one of dates and one of hours (0 to 23) or times of day.

    Raises DataError for an hour beyond 23, and for a date that has a time of its own.
    """
    date, clock = dates.cast(pl.String).str.strip_chars(), times.cast(pl.String).str.strip_chars()
    date = date.str.replace(r"[T ]00:00(:00(\.0+)?)?$", "")
    clock = clock.str.replace(r"^(\d{1,2})(?:\.0+)?$", "${1}:00").str.replace(r"^(\d):", "0${1}:")
    timed = date.str.contains(r"\d:\d\d|T\d\d").fill_null(value=False)
    late = clock.str.contains(r"^(2[4-9]|[3-9]\d):").fill_null(value=False)
    for bad, said in (
        (timed, f"column {dates.name} has a time of day of its own; leave --time-of-day out"),
        (
            late,
            f"column {times.name} has an hour beyond 23, so hours may be named by their ends; write them from 0 to 23",
        ),
    ):
        if bad.any():
            raise DataError(f"{places.where(int(bad.arg_true()[0]))}: {said}")
    compact = date.str.replace(r"^(\d{4})(\d\d)(\d\d)$", "${1}-${2}-${3}")
    joined: pl.Series = compact + " " + clock
    return joined.alias(dates.name)
