"""The forms in which a column can write times, and how a form becomes local datetimes; vectorised."""

from __future__ import annotations

import datetime
import re
from typing import Never

import numpy as np
import polars as pl

from pulsecast.errors import DataError

from ..looking.choices import Reading, UndecidedError, undecided

# The form of a cell of each family; the family that fits most cells is the column's.
FAMILIES = {
    "iso-8601": r"^\d{4}[-/.]\d{1,2}[-/.]\d{1,2}",
    "epoch": r"^[+-]?\d+(\.\d*)?([eE]\+?\d+)?$",
    "slashes": r"^\d{1,2}[/.-]\d{1,2}[/.-]\d{2}",
    "twitter": r"^[A-Z][a-z]{2} [A-Z][a-z]{2} +\d{1,2} .*\d{4}$",
    "iso-week": r"^\d{4}-?W\d{1,2}(?:-?[1-7])?$",
    "named-month": r"^(?:[A-Za-z]{3,9},? )?"
    r"(?:\d{1,2}[ /-][A-Za-z]{3,9}\.?,?[ /-]\d{4}|[A-Za-z]{3,9}\.? \d{1,2},? \d{4})\b",
    "months": r"^(?:\d{4}[-/.]\d{1,2}|\d{1,2}[/.-]\d{4}|[A-Za-z]{3,9}[ -]\d{4}|\d{4}[ -]?Q[1-4]|Q[1-4][ /-]?\d{4})$",
}
TWITTER_FORMAT = "%a %b %d %H:%M:%S %z %Y"
UNIT_PER_S = {"epoch-s": 1, "epoch-ms": 10**3, "epoch-us": 10**6, "epoch-ns": 10**9}
COMPACT = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # digits -> format
_CLOCKS = (" %H:%M", " %H:%M:%S", " %H:%M:%S%.f", "", " %I:%M %p", " %I:%M:%S %p")
LONE_HOUR = (r" (\d{1,2}) ?([AaPp][Mm])$", " ${1}:00 ${2}")  # pattern of an hour alone, and what it becomes
_DATES_WITH_NAMES = ("%d %b %Y", "%b %d %Y", "%d %B %Y", "%B %d %Y")
_ABBREVIATION = r"\d ?([A-Z]{2,5})$"
_KNOWN_SUFFIXES = ("AM", "PM", "UTC", "GMT", "Z")
_MAX_OFFSET_H = 14  # Kiribati
IMPOSSIBLE = 10**6  # minutes
_ROUNDED_DIGITS = 6  # a spreadsheet shows so many digits of a long number at most


def unit_of(median: float) -> str:
    """Return the unit of epochs whose median is `median`: the one that puts it into the years 1973 to 5138."""
    size = abs(median)
    return next(unit for unit, limit in zip(UNIT_PER_S, (1e11, 1e14, 1e17, np.inf), strict=True) if size < limit)


def compact(text: pl.Series, *, digits: int | None = None) -> tuple[str, pl.Series] | None:
    """Return the format and the local datetimes of cells such as 2024010112, None unless nearly all numbers are such.

    >>> compact(pl.Series(["2024010112", "2024010113"]))[0]
    '%Y%m%d%H'
    """
    bare = text.str.replace(r"\.0*$", "")
    lengths = bare.drop_nulls().str.len_chars()
    length = digits or (int(lengths.mode()[0]) if len(lengths) else 0)
    if length not in COMPACT:
        return None
    parts = (bare.set(bare.str.len_chars() != length, None) + "0" * (14 - length)).str.replace(
        r"^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$", "${1}-${2}-${3} ${4}:${5}:${6}"
    )
    found = parts.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    found = found.set(~found.dt.year().is_between(1971, 2200), None)
    numbers = int(bare.str.contains(r"^\d+$").sum())  # other cells are no times of any form: units, totals
    if digits is None and (len(found) - found.null_count() < 0.999 * numbers or numbers == 0):
        return None
    return COMPACT[length], found


def refuse_rounded(text: pl.Series, place: str) -> None:
    """Raise DataError if epochs are written as a spreadsheet rounds them, such as 1.70E+09."""
    powers = text.filter(text.str.contains(r"[eE]").fill_null(value=False))
    if len(powers) == 0:
        return
    digits = powers.str.replace(r"[eE].*$", "").str.replace_all(r"\D", "").str.len_chars().max()
    if isinstance(digits, int) and digits <= _ROUNDED_DIGITS:
        raise DataError(
            f"{place}: {powers[0]!r} is a time that a spreadsheet has rounded to {digits} digits, so its last ones are "
            "lost; export the log again, without opening it in a spreadsheet"
        )


def iso_weeks(text: pl.Series) -> pl.Series:
    """Return the first day of ISO weeks such as 2024-W05, or the day of 2024-W05-3."""
    known = {cell: _iso_week(cell) for cell in text.drop_nulls().unique()}
    return text.replace_strict(known, default=None, return_dtype=pl.Datetime("us"))


def _iso_week(cell: str) -> datetime.datetime | None:
    found = re.fullmatch(r"(\d{4})-?W(\d{1,2})(?:-?([1-7]))?", cell)
    try:
        return found and datetime.datetime.fromisocalendar(int(found[1]), int(found[2]), int(found[3] or 1))
    except ValueError:
        return None


def named_months(text: pl.Series) -> pl.Series:
    """Return local datetimes of cells such as 5 Jan 2024 14:00, Jan 5, 2024 2:00 PM or 05/Jan/2024:14:00:00."""
    plain = text.str.replace(r"^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? ", "")
    plain = (
        plain.str.replace(r"(\d{4}):", "${1} ").str.replace_all(r"[,/.]", " ").str.replace_all(r"([A-Za-z])-", "${1} ")
    )
    plain = (
        plain.str.replace(r"^(\d{1,2})-", "${1} ").str.replace_all(r"\s+", " ").str.replace(r" ?([AaPp][Mm])$", " ${1}")
    )
    plain = plain.str.replace(*LONE_HOUR)
    return first_that_fits(plain, tuple(date + clock for date in _DATES_WITH_NAMES for clock in _CLOCKS))


def split_offset(text: pl.Series, pattern: str) -> tuple[pl.Series, pl.Series]:
    """Return cells without the offset that `pattern` finds at their end, and the offsets in minutes, null for none.

    An offset that is nowhere on Earth is IMPOSSIBLE.
    """
    suffix = text.str.extract(pattern)
    base = pl.select(pl.lit(text).str.replace(r" ?(?:Z|z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})$", "")).to_series()
    digits = suffix.str.replace(":", "", literal=True)
    hours = digits.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)  # of "Z", "UTC" and "GMT": none
    minutes = digits.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    sign = pl.select(pl.when(pl.lit(suffix).str.starts_with("-")).then(-1).otherwise(1)).to_series()
    offset = (sign * (hours * 60 + minutes)).set((hours > _MAX_OFFSET_H) | (minutes > 59), IMPOSSIBLE)
    return text.zip_with(suffix.is_null(), base), offset.set(suffix.is_null(), None)


def refuse_abbreviation(text: pl.Series, place: str) -> None:
    """Raise DataError if most cells end in a zone such as PST or CEST: several zones share such letters."""
    letters = text.head(1000).str.extract(_ABBREVIATION).drop_nulls()
    letters = letters.filter(~letters.is_in(_KNOWN_SUFFIXES))
    if len(letters) > 0.5 * min(len(text), 1000):
        raise DataError(
            f"{place}: the zone {letters[0]} of {text.drop_nulls()[0][:40]!r} is an abbreviation, which several zones "
            f"share; write times in UTC or with an offset, or choose --timezone with a --time-format that ends in "
            f"{letters[0]}"
        )


def refuse_months(text: pl.Series, place: str) -> Never:
    """Raise DataError: cells of this form are whole months or quarters."""
    raise DataError(
        f"{place}: {text.drop_nulls()[0][:40]!r} is a calendar month or quarter, and these differ in length; bring a "
        "log by days or weeks"
    )


def order_evidence(text: pl.Series) -> tuple[pl.Series, pl.Series, int | None]:
    """Return which of `text` have the day first, which the month, and the first row that could be either (or None).

    >>> day, month, either = order_evidence(pl.Series(["22/4/2018", "4/5/2018"]))
    >>> day.to_list(), month.to_list(), either
    ([True, False], [False, False], 1)
    """
    first = text.str.extract(r"^\s*(\d{1,2})[/.-]").cast(pl.Int64)
    second = text.str.extract(r"^\s*\d{1,2}[/.-](\d{1,2})[/.-]").cast(pl.Int64)
    day_first = ((first > 12) & (second <= 12)).fill_null(value=False)
    month_first = ((second > 12) & (first <= 12)).fill_null(value=False)
    either = ((first != second) & (first <= 12) & (second <= 12)).arg_true()
    return day_first, month_first, int(either[0]) if len(either) else None


def unsettled_order(place: str, cell: object) -> UndecidedError:
    """Return the error for a column in which no row shows whether the month or the day comes first."""
    clock, (one, two), year = _clock_of(str(cell))
    return undecided(
        f"{place}: {str(cell)[:40]!r} can be month/day or day/month and no row decides it; "
        "choose --time-format, such as '%m/%d/%Y %H:%M' or '%d/%m/%Y %H:%M'",
        [
            Reading(words=f"{words} comes first", changes={"time_format": f"{a}{one}{b}{two}{year}{clock}"})
            for words, a, b in (("the day", "%d", "%m"), ("the month", "%m", "%d"))
        ],
        "most countries write the day first",
    )


def refuse_short_year_first(text: pl.Series, place: str) -> None:
    """Raise UndecidedError if the first two digits may be the year: they stay, while the last ones run as days do."""
    parts = [text.str.extract(rf"^(?:\d{{1,2}}[/.-]){{{i}}}(\d{{1,2}})(?:[/.-]|[ T]|$)") for i in range(3)]
    numbers = [part.cast(pl.Int64) for part in parts]
    known = numbers[0].is_not_null() & numbers[1].is_not_null() & numbers[2].is_not_null()
    if not known.all():
        return
    fits = ((numbers[1] <= 12) & numbers[2].is_between(1, 31) & (parts[0].str.len_chars() == 2)).all()
    if not fits or numbers[0].n_unique() > 3 or numbers[2].n_unique() <= max(numbers[0].n_unique(), 3):
        return
    clock, (one, two), _ = _clock_of(str(text[0]))
    raise undecided(
        f"{place}: {str(text[0])[:40]!r} may begin with the year, as its first number stays and its last one runs like "
        "days; choose --time-format, such as '%y/%m/%d' or '%d/%m/%y'",
        [
            Reading(words=words, changes={"time_format": f"{a}{one}%m{two}{b}{clock}"})
            for words, a, b in (("the year comes first", "%y", "%d"), ("the day comes first", "%d", "%y"))
        ],
    )


def _clock_of(cell: str) -> tuple[str, tuple[str, str], str]:
    """Return the format of a cell's clock, the marks between the parts of its date, and the format of its year."""
    found = re.match(r"\s*\d{1,2}([/.-])\d{1,2}([/.-])(\d{4}|\d{2})(.*)", cell)
    if found is None:
        return " %H:%M", ("/", "/"), "%Y"
    rest = found[4].strip()
    clock = "" if not rest else "%H:%M" + (":%S" if rest.count(":") == 2 else "")
    if rest[-2:].lower() in ("am", "pm"):
        clock = clock.replace("%H", "%I") + (" %p" if rest[-3:-2] == " " else "%p")
    lead = found[4][: len(found[4]) - len(found[4].lstrip())]
    return lead + clock, (found[1], found[2]), "%Y" if len(found[3]) == 4 else "%y"


def first_that_fits(text: pl.Series, formats: tuple[str, ...]) -> pl.Series:
    """Return naive datetimes; the first of `formats` that can read a cell reads it."""
    found: pl.Series = pl.repeat(None, len(text), dtype=pl.Datetime("us"), eager=True)
    for time_format in formats:
        open_cells = found.is_null() & text.is_not_null()
        if not open_cells.any():
            break
        parsed = text.set(~open_cells, None).str.to_datetime(time_format, strict=False, time_unit="us")
        found = found.zip_with(found.is_not_null(), parsed)
    return found
