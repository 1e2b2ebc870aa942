"""A column of timestamps of any supported kind to microseconds since 1970, UTC; vectorised, one format per column.

The column comes in batches. All of it must have the form of its first batch. Fractions of a second are kept to the
microsecond; what is finer is cut off, which moves no row to another step, as steps are whole seconds.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pulsecast.errors import DataError

from .config import EPOCH_FORMATS, LogConfig
from .places import Counted, Places
from .text.edges import Edges
from .text.local_times import LocalClock, cell_text
from .text.times import (
    COMPACT,
    FAMILIES,
    IMPOSSIBLE,
    LONE_HOUR,
    TWITTER_FORMAT,
    UNIT_PER_S,
    compact,
    first_that_fits,
    iso_weeks,
    named_months,
    order_evidence,
    refuse_abbreviation,
    refuse_months,
    refuse_rounded,
    refuse_short_year_first,
    split_offset,
    unit_of,
)

MICROS = 1_000_000
MAX_UNPARSED = 0.001  # share of rows that may be dropped for an unreadable timestamp
FUTURE_TOLERANCE_S = 86_400
EARLIEST_S = 365 * 86_400  # all of 1970 is a wrong unit, not a date
_DAY_S = 86_400
_CLIP_S = 1e12  # keeps absurd epochs inside int64 microseconds; they are refused by the checks below
# The usual formats, read fast, without regular expressions.
_QUICK_FORMATS = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")
_ISO_CLOCKS = (" %I:%M %p", " %I:%M:%S %p")
_ISO_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d", *("%Y-%m-%d" + clock for clock in _ISO_CLOCKS))
_ISO_OFFSET = r"(?:[T ]\d{2}|:\d{2}(?:\.\d+)?(?: ?[AaPp][Mm])?) ?(Z|z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})$"
_CLOCKS = (" %H:%M", " %H:%M:%S", "", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S%.f")


class UnsettledOrderError(Exception):
    """No row of the first batch shows whether the month or the day comes first; the other batches may."""


@dataclass(kw_only=True, eq=False)
class TimeReader:
    """Reads a column of timestamps batch by batch; `format` is known once the first batch has been read.

    It counts `settled` rows that fit one order of day and month only and `short_years`, each
    with their first places, for the report.
    """

    config: LogConfig
    now_s: int
    format: str = ""
    order: str = ""  # "%d/%m/" or "%m/%d/", once settled
    rows: int = 0
    unreadable: Counted = field(default_factory=Counted)
    settled: Counted = field(default_factory=Counted)
    short_years: Counted = field(default_factory=Counted)
    earliest_us: int | None = None
    latest_us: int | None = None
    _family: str = ""
    clock: LocalClock = field(init=False)
    _edges: Edges = field(default_factory=Edges)
    _long_years: bool = False
    _hours: NDArray[np.int64] = field(default_factory=lambda: np.zeros(24, dtype=np.int64))
    _first_place: str = ""

    def __post_init__(self) -> None:
        self.clock = LocalClock(config=self.config)

    @property
    def no_time(self) -> Counted:
        """The rows before the first time and after the last one that hold no time at all."""
        return self._edges.rows()

    def read(self, cells: pl.Series, places: Places) -> pl.Series:
        """Return the instants of `cells`, Int64 microseconds since 1970, UTC, null where a cell is not a time.

        Raises DataError if one lies in 1970 or before or more than a day after `now_s`, if a naive one has no zone or
        falls into the hour that a clock change skips or repeats; UnsettledOrderError if the order of day and month is
        unknown and `order` has not been set.
        """
        self._first_place = self._first_place or places.where(0)
        micros = self._parse(cells, places)
        self.rows += len(cells)
        self._edges.note(cells, micros, places)
        for row in self.unreadable.add(micros.is_null(), places):
            self.unreadable.shown.append(f"{places.where(row)} ({_cell(cells, row)})")
        self._refuse_implausible(cells, micros, places)
        return micros

    def finish(self) -> None:
        """Raise DataError if over 0.1 % of all cells were not timestamps, or if all hours are those of half a day.

        Up to three rows without a digit before the first time, and as many after the last one, are no rows of the log.
        """
        edges = self._edges.rows().rows
        if 0 < edges == self.unreadable.rows < self.rows:
            self.unreadable = Counted()
        if self.config.repeated_hour == "both":
            self.clock.both.refuse_single(self._first_place.partition(" line ")[0].partition(" row ")[0])
        if self.unreadable.rows > MAX_UNPARSED * self.rows:
            raise DataError(
                f"{self.unreadable.rows} of {self.rows} rows have no timestamp that can be read as {self.format}, "
                f"more than 0.1 %: {', '.join(self.unreadable.shown)}; correct them or choose --time-format"
            )
        self._refuse_days_in_finer_steps()
        if self.config.time_format is None and self._hours[1:13].all() and not self._hours[[0, *range(13, 24)]].any():
            raise DataError(
                f"{self._first_place} and all rows after it have hours from 1 to 12, as on a 12-hour clock without AM "
                "and PM; write hours from 0 to 23, or choose --time-format to read them as they are"
            )

    def _refuse_days_in_finer_steps(self) -> None:
        step_s = self.config.step_s or _DAY_S
        several = self.earliest_us is not None and self.earliest_us != self.latest_us
        if self.config.events and self.clock.only_days and several and step_s % _DAY_S:
            raise DataError(
                f"{self._first_place} and all rows after it have days and no time of day; in steps of "
                f"{self.config.step} all events of a day would fall into its first step: choose --step 1d"
            )

    def _parse(self, cells: pl.Series, places: Places) -> pl.Series:
        time_format = self.config.time_format
        if cells.dtype in (pl.Datetime, pl.Date):
            if time_format is not None:
                raise DataError(f"column {cells.name} holds dates already; leave out --time-format")
            self.format = "typed"
            return self._typed(cells, places)
        if cells.dtype.is_numeric():
            whole = _whole(cells)
            stated = time_format in EPOCH_FORMATS or (time_format is None and self._family == "epoch")
            if stated or whole is None:
                return self._epoch(cells.cast(pl.Float64))
            cells = whole.cast(pl.String)
        elif cells.dtype not in (pl.String, pl.Null):
            raise DataError(f"column {cells.name} holds {cells.dtype}; expected timestamps")
        if time_format is None and self._family in ("", "iso-8601"):
            quick = self._quick(cells, places)
            if quick is not None:
                return quick
        text = cells.cast(pl.String).str.strip_chars()
        text = text.set(text == "", None)
        return self._inferred(text, places) if time_format is None else self._stated(text, time_format, places)

    def _stated(self, text: pl.Series, time_format: str, places: Places) -> pl.Series:
        if time_format in EPOCH_FORMATS:
            return self._epoch(text.cast(pl.Float64, strict=False))
        self.format = time_format
        return (self._digits if time_format in COMPACT.values() else self._by_format)(text, places)

    def _quick(self, cells: pl.Series, places: Places) -> pl.Series | None:
        """Read ISO 8601 in the format of most of `cells`, then the other cells; None if they are not ISO 8601."""
        text = cells.cast(pl.String)
        sample = text.head(1000)
        for quick in _QUICK_FORMATS:
            if sample.str.to_datetime(quick, strict=False, time_unit="us").null_count() <= 0.5 * len(sample):
                break
        else:
            return None
        # without a cache, since times repeat little: half the time
        local = text.str.to_datetime(quick, strict=False, time_unit="us", cache=False)
        self.format = self._family = "iso-8601"
        self._note_hours(local)
        micros = local.cast(pl.Int64) if quick.endswith("Z") else self.clock.to_utc(local, places)
        others = (local.is_null() & text.is_not_null()).arg_true()
        if len(others):
            stripped = text.gather(others).str.strip_chars()
            rest = self._iso(stripped.set(stripped == "", None), places.only(others))
            micros = micros.scatter(others, rest)
        return micros

    def _inferred(self, text: pl.Series, places: Places) -> pl.Series:
        if not self._family:
            hits = {family: int(text.str.contains(pattern).sum()) for family, pattern in FAMILIES.items()}
            best = max(hits, key=lambda name: hits[name])
            self.format = "any known format"
            if hits[best] == 0:
                return pl.repeat(None, len(text), dtype=pl.Int64, eager=True)
            self.format = self._family = best
        readers: dict[str, Callable[[pl.Series, Places], pl.Series]] = {
            "iso-8601": self._iso,
            "epoch": self._epoch_or_digits,
            "compact": self._digits,
            "slashes": self._slashes,
            "twitter": self._by_format,
            "iso-week": lambda cells, of: self.clock.to_utc(iso_weeks(cells), of),
            "named-month": self._named,
            "months": lambda cells, of: refuse_months(cells, of.where(0)),
        }
        if self._family == "twitter":
            self.format = TWITTER_FORMAT
        if self._family in ("iso-8601", "slashes"):
            refuse_abbreviation(text, places.where(0))
        return readers[self._family](text, places)

    def _epoch_or_digits(self, text: pl.Series, places: Places) -> pl.Series:
        """Read epochs, or dates without marks such as 2024010112: as epochs these lie far away, or in 1976."""
        if self.format not in UNIT_PER_S and (digits := compact(text)) is not None:
            self._family, self.format = "compact", digits[0]
            return self._digits(text, places)
        refuse_rounded(text, places.where(0))
        return self._epoch(text.cast(pl.Float64, strict=False))

    def _digits(self, text: pl.Series, places: Places) -> pl.Series:
        digits = next(digits for digits, known in COMPACT.items() if known == self.format)
        found = compact(text, digits=digits)
        return self.clock.to_utc(text.cast(pl.Datetime("us"), strict=False) if found is None else found[1], places)

    def _named(self, text: pl.Series, places: Places) -> pl.Series:
        base, offset = split_offset(text, r":\d{2}(?: ?[AaPp][Mm])? ?(Z|UTC|GMT|[+-]\d{2}:?\d{2})$")
        return self._shifted(named_months(base), offset, places)

    def _epoch(self, numbers: pl.Series) -> pl.Series:
        """Read `numbers` in the stated unit, or in the unit for which the first batch's median lies in this century."""
        numbers = numbers.set(~numbers.is_finite(), None)
        if self.format not in UNIT_PER_S:
            median = numbers.median()
            inferred = unit_of(median) if isinstance(median, float) else "epoch-s"
            self.format = self.config.time_format or inferred
            self._family = "epoch"
        seconds = numbers / float(UNIT_PER_S[self.format])
        return (seconds.clip(-_CLIP_S, _CLIP_S) * MICROS).round().cast(pl.Int64)

    def _iso(self, text: pl.Series, places: Places) -> pl.Series:
        """ISO 8601 with or without T, seconds, fraction, AM or PM, and offset; offsets may differ from row to row."""
        base, offset = split_offset(text, _ISO_OFFSET)
        base = base.str.replace(r"^(\d{4})[/.](\d{1,2})[/.]", "${1}-${2}-").str.replace("T", " ", literal=True)
        base = base.str.replace(r"^(\S+ \d{2})$", "${1}:00")  # an hour alone
        base = base.str.replace(r" ?([AaPp][Mm])$", " ${1}")
        local = first_that_fits(base, _ISO_FORMATS)
        self._note_hours(local)
        return self._shifted(local, offset, places)

    def _shifted(self, local: pl.Series, offset: pl.Series, places: Places) -> pl.Series:
        """Return the instants of local datetimes with an `offset` in minutes, or in the log's zone where it is null."""
        instants = local.cast(pl.Int64) - offset.fill_null(0) * 60 * MICROS
        instants = instants.set((offset == IMPOSSIBLE).fill_null(value=False), None)
        zoned = offset.is_not_null()
        return instants.zip_with(zoned, self.clock.to_utc(local.set(zoned, None), places))

    def _slashes(self, text: pl.Series, places: Places) -> pl.Series:
        """M/D/Y or D/M/Y: rows that fit only one order decide it."""
        day_first, month_first, ambiguous = order_evidence(text)
        if not self.order:
            refuse_short_year_first(text, places.where(0))
            if int(day_first.sum()) == int(month_first.sum()) and ambiguous is not None:
                raise UnsettledOrderError
            self.order = "%d/%m/" if day_first.sum() > month_first.sum() else "%m/%d/"
        self.format = "day/month/year" if self.order == "%d/%m/" else "month/day/year"
        text = text.str.replace(r"^(\d{1,2})[.-](\d{1,2})[.-]", "${1}/${2}/").str.replace(*LONE_HOUR)
        self.settled.add(day_first if self.order == "%d/%m/" else month_first, places)
        short = text.str.contains(r"^\d{1,2}/\d{1,2}/\d{2}(?: |$)")
        self._long_years |= bool((~short).any())
        self.short_years.add(short, places)
        # Two-digit years first: %Y would read 17 as the year 17.
        formats = tuple(self.order + year + clock for year in ("%y", "%Y") for clock in _CLOCKS)
        local = first_that_fits(text, formats)
        self._note_hours(local)
        return self.clock.to_utc(local, places)

    @property
    def mixed_years(self) -> Counted:
        """The rows with a two-digit year, where others have four digits."""
        return self.short_years if self._long_years else Counted()

    def _note_hours(self, local: pl.Series) -> None:
        if self._hours[0] or self._hours[13:].any():
            return  # a clock of 24 hours
        hours = local.drop_nulls().cast(pl.Int64).to_numpy() // (3600 * MICROS) % 24
        self._hours += np.bincount(hours, minlength=24)

    def _by_format(self, text: pl.Series, places: Places) -> pl.Series:
        time_format = self.format
        try:
            parsed = text.str.to_datetime(time_format, strict=False, time_unit="us")
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            reason = str(error).splitlines()[0][:200]
            raise DataError(f"time format {time_format!r} cannot be used: {reason}; correct --time-format") from error
        return self._typed(parsed, places)

    def _typed(self, times: pl.Series, places: Places) -> pl.Series:
        times = times.cast(pl.Datetime("us", getattr(times.dtype, "time_zone", None)))
        if getattr(times.dtype, "time_zone", None) is not None:
            return times.cast(pl.Int64)
        return self.clock.to_utc(times, places)

    def _refuse_implausible(self, cells: pl.Series, micros: pl.Series, places: Places) -> None:
        low, high = micros.min(), micros.max()
        if not isinstance(low, int) or not isinstance(high, int):
            return
        for bad, place in (
            (micros < EARLIEST_S * MICROS, "lies in 1970 or before"),
            (micros > (self.now_s + FUTURE_TOLERANCE_S) * MICROS, "lies in the future"),
        ):
            if bad.any():
                row = int(bad.arg_true()[0])
                epoch = "epoch" in self.format
                hint = "seconds and milliseconds are mixed or mistaken: choose" if epoch else "check"
                if epoch and (day := _spreadsheet_day(cells, row)):
                    hint = f"if it is a spreadsheet's number of {day}, write it as a date; else choose"
                read = f"timestamp {_cell(cells, row)}, read as {self.format}"
                raise DataError(f"{places.where(row)}: {read}, {place}; {hint} --time-format")
        self.earliest_us = low if self.earliest_us is None else min(low, self.earliest_us)
        self.latest_us = high if self.latest_us is None else max(high, self.latest_us)


def _whole(cells: pl.Series) -> pl.Series | None:
    """Return numbers as whole ones, None if some have a fraction or are too large."""
    if cells.dtype.is_integer():
        return cells
    known = cells.drop_nulls()
    if cells.dtype == pl.Boolean or not ((known == known.floor()) & (known.abs() < 2**53)).all():
        return None
    return cells.cast(pl.Int64)


def _spreadsheet_day(cells: pl.Series, row: int) -> str:
    """Return the date that a cell would be as a day number of a spreadsheet, "" if it is none."""
    try:
        days = float(cell_text(cells, row))
    except ValueError:
        return ""
    start = datetime.date(1899, 12, 30)
    return str(start + datetime.timedelta(days=int(days))) if 25_569 < days < 80_000 else ""


def _cell(cells: pl.Series, row: int) -> str:
    return "empty" if cells.is_null()[row] else repr(cell_text(cells, row))
