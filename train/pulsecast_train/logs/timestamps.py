"""A column of timestamps of any supported kind to microseconds since 1970, UTC; vectorised, one format per column.

The column comes in batches. All of it must have the form of its first batch. Fractions of a second are kept to the
microsecond; what is finer is cut off, which moves no row to another step, as steps are whole seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pulsecast.errors import DataError

from .config import EPOCH_FORMATS, LogConfig
from .places import Counted, Places

MICROS = 1_000_000
MAX_UNPARSED = 0.001  # share of rows that may be dropped for an unreadable timestamp
FUTURE_TOLERANCE_S = 86_400
EARLIEST_S = 365 * 86_400  # all of 1970 is a wrong unit, not a date
_MAX_OFFSET_H = 14  # Kiribati
_CLIP_S = 1e12  # keeps absurd epochs inside int64 microseconds; they are refused by the checks below

# The form of a cell of each family; the family that fits most cells is the column's.
FAMILIES = {
    "iso-8601": r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}",
    "epoch": r"^[+-]?\d+(\.\d*)?([eE]\+?\d+)?$",
    "slashes": r"^\d{1,2}/\d{1,2}/\d{2}",
    "twitter": r"^[A-Z][a-z]{2} [A-Z][a-z]{2} +\d{1,2} ",
}
TWITTER_FORMAT = "%a %b %d %H:%M:%S %z %Y"
# The usual formats, read fast, without regular expressions.
_QUICK_FORMATS = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")
_ISO_CLOCKS = (" %I:%M %p", " %I:%M:%S %p")
_ISO_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d", *("%Y-%m-%d" + clock for clock in _ISO_CLOCKS))
_ISO_OFFSET = r"(?:[T ]\d{2}|:\d{2}(?:\.\d+)?(?: ?[AaPp][Mm])?) ?(Z|z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})$"
_CLOCKS = (" %H:%M", " %H:%M:%S", "", " %I:%M %p", " %I:%M:%S %p")


class UnsettledOrderError(Exception):
    """No row of the first batch shows whether the month or the day comes first; the other batches may."""


@dataclass(kw_only=True, eq=False)
class TimeReader:
    """Reads a column of timestamps batch by batch; `format` is known once the first batch has been read.

    It counts `settled` rows that fit one order of day and month only, `short_years` and `repeated` rows, each
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
    repeated: Counted = field(default_factory=Counted)
    earliest_us: int | None = None
    latest_us: int | None = None
    _family: str = ""
    _long_years: bool = False
    _hours: NDArray[np.int64] = field(default_factory=lambda: np.zeros(24, dtype=np.int64))
    _first_place: str = ""

    def read(self, cells: pl.Series, places: Places) -> pl.Series:
        """Return the instants of `cells`, Int64 microseconds since 1970, UTC, null where a cell is not a time.

        Raises DataError if one lies in 1970 or before or more than a day after `now_s`, if a naive one has no zone or
        falls into the hour that a clock change skips or repeats; UnsettledOrderError if the order of day and month is
        unknown and `order` has not been set.
        """
        self._first_place = self._first_place or places.where(0)
        micros = self._parse(cells, places)
        self.rows += len(cells)
        for row in self.unreadable.add(micros.is_null(), places):
            self.unreadable.shown.append(f"{places.where(row)} ({_cell(cells, row)})")
        self._refuse_implausible(cells, micros, places)
        return micros

    def finish(self) -> None:
        """Raise DataError if over 0.1 % of all cells were not timestamps, or if all hours are those of half a day."""
        if self.unreadable.rows > MAX_UNPARSED * self.rows:
            raise DataError(
                f"{self.unreadable.rows} of {self.rows} rows have no timestamp that can be read as {self.format}, "
                f"more than 0.1 %: {', '.join(self.unreadable.shown)}; correct them or choose --time-format"
            )
        if self.config.time_format is None and self._hours[1:13].all() and not self._hours[[0, *range(13, 24)]].any():
            raise DataError(
                f"{self._first_place} and all rows after it have hours from 1 to 12, as on a 12-hour clock without AM "
                "and PM; write hours from 0 to 23, or choose --time-format to read them as they are"
            )

    def _parse(self, cells: pl.Series, places: Places) -> pl.Series:
        time_format = self.config.time_format
        if cells.dtype in (pl.Datetime, pl.Date):
            if time_format is not None:
                raise DataError(f"column {cells.name} holds dates already; leave out --time-format")
            self.format = "typed"
            return self._typed(cells, places)
        if cells.dtype.is_numeric():
            if time_format is None or "%" not in time_format:
                return self._epoch(cells.cast(pl.Float64))
            cells = cells.cast(pl.String)
        elif cells.dtype not in (pl.String, pl.Null):
            raise DataError(f"column {cells.name} holds {cells.dtype}; expected timestamps")
        if time_format is None and self._family in ("", "iso-8601"):
            quick = self._quick(cells, places)
            if quick is not None:
                return quick
        text = cells.cast(pl.String).str.strip_chars()
        text = text.set(text == "", None)
        if time_format in EPOCH_FORMATS:
            return self._epoch(text.cast(pl.Float64, strict=False))
        if time_format is not None:
            self.format = time_format
            return self._by_format(text, time_format, places)
        return self._inferred(text, places)

    def _quick(self, cells: pl.Series, places: Places) -> pl.Series | None:
        """Read ISO 8601 in the format of most of `cells`, then the other cells; None if they are not ISO 8601."""
        text = cells.cast(pl.String)
        sample = text.head(1000)
        for quick in _QUICK_FORMATS:
            if sample.str.to_datetime(quick, strict=False, time_unit="us").null_count() <= 0.5 * len(sample):
                break
        else:
            return None
        local = text.str.to_datetime(quick, strict=False, time_unit="us")
        self.format = self._family = "iso-8601"
        self._note_hours(local)
        micros = local.cast(pl.Int64) if quick.endswith("Z") else self._to_utc(local, places)
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
        if self._family == "epoch":
            return self._epoch(text.cast(pl.Float64, strict=False))
        if self._family == "iso-8601":
            return self._iso(text, places)
        if self._family == "slashes":
            return self._slashes(text, places)
        self.format = TWITTER_FORMAT
        return self._by_format(text, TWITTER_FORMAT, places)

    def _epoch(self, numbers: pl.Series) -> pl.Series:
        """Read `numbers` in the stated unit, or in the unit for which the first batch's median lies in this century."""
        numbers = numbers.set(~numbers.is_finite(), None)
        if self.format not in EPOCH_FORMATS:
            median = numbers.median()
            inferred = "epoch-ms" if isinstance(median, float) and abs(median) >= 1e11 else "epoch-s"
            self.format = self.config.time_format or inferred
            self._family = "epoch"
        seconds = numbers / (1000.0 if self.format == "epoch-ms" else 1.0)
        return (seconds.clip(-_CLIP_S, _CLIP_S) * MICROS).round().cast(pl.Int64)

    def _iso(self, text: pl.Series, places: Places) -> pl.Series:
        """ISO 8601 with or without T, seconds, fraction, AM or PM, and offset; offsets may differ from row to row."""
        suffix = text.str.extract(_ISO_OFFSET)
        base = pl.select(pl.lit(text).str.replace(r" ?(?:Z|z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})$", "")).to_series()
        base = text.zip_with(suffix.is_null(), base)
        base = base.str.replace_all("/", "-", literal=True).str.replace("T", " ", literal=True)
        base = base.str.replace(r"^(\S+ \d{2})$", "${1}:00")  # an hour alone
        base = base.str.replace(r" ?([AaPp][Mm])$", " ${1}")
        local = _first_that_fits(base, _ISO_FORMATS)
        self._note_hours(local)
        digits = suffix.str.replace(":", "", literal=True)
        hours = digits.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)  # of "Z", "UTC" and "GMT": none
        minutes = digits.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
        sign = pl.select(pl.when(pl.lit(suffix).str.starts_with("-")).then(-1).otherwise(1)).to_series()
        shifted = local.cast(pl.Int64) - sign * (hours * 3600 + minutes * 60) * MICROS
        shifted = shifted.set((hours > _MAX_OFFSET_H) | (minutes > 59), None)
        zoned = suffix.is_not_null()
        naive = local.set(zoned, None)
        return shifted.zip_with(zoned, self._to_utc(naive, places))

    def _slashes(self, text: pl.Series, places: Places) -> pl.Series:
        """M/D/Y or D/M/Y: rows that fit only one order decide it."""
        day_first, month_first, ambiguous = order_evidence(text)
        if not self.order:
            if int(day_first.sum()) == int(month_first.sum()) and ambiguous is not None:
                raise UnsettledOrderError
            self.order = "%d/%m/" if day_first.sum() > month_first.sum() else "%m/%d/"
        self.format = self.order + "%Y"
        self.settled.add(day_first if self.order == "%d/%m/" else month_first, places)
        short = text.str.contains(r"^\d{1,2}/\d{1,2}/\d{2}(?: |$)")
        self._long_years |= bool((~short).any())
        self.short_years.add(short, places)
        # Two-digit years first: %Y would read 17 as the year 17.
        formats = tuple(self.order + year + clock for year in ("%y", "%Y") for clock in _CLOCKS)
        local = _first_that_fits(text, formats)
        self._note_hours(local)
        return self._to_utc(local, places)

    @property
    def mixed_years(self) -> Counted:
        """The rows with a two-digit year, where others have four digits."""
        return self.short_years if self._long_years else Counted()

    def _note_hours(self, local: pl.Series) -> None:
        if self._hours[0] or self._hours[13:].any():
            return  # a clock of 24 hours
        hours = local.drop_nulls().cast(pl.Int64).to_numpy() // (3600 * MICROS) % 24
        self._hours += np.bincount(hours, minlength=24)

    def _by_format(self, text: pl.Series, time_format: str, places: Places) -> pl.Series:
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
        return self._to_utc(times, places)

    def _to_utc(self, naive: pl.Series, places: Places) -> pl.Series:
        """Return naive local datetimes in the log's zone as Int64 microseconds, UTC."""
        zone = self.config.timezone
        if naive.null_count() == len(naive):
            return naive.cast(pl.Int64)
        if zone is None:
            row = int(naive.is_not_null().arg_true()[0])
            raise DataError(
                f"{places.where(row)}: {_text(naive, row)} carries no time zone; name the log's with --timezone, such "
                "as UTC"
            )
        if zone == "UTC":
            return naive.cast(pl.Int64)
        try:
            first = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
            second = naive.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
        except pl.exceptions.PolarsError as error:
            raise DataError(f"--timezone {zone!r} is not known; use a name such as UTC or Europe/Berlin") from error
        skipped = (first.is_null() & naive.is_not_null()).arg_true()
        if len(skipped):
            row = int(skipped[0])
            raise DataError(
                f"{places.where(row)}: {_text(naive, row)} does not exist in {zone}: its clock skips it; "
                "name another --timezone, or write the log's timestamps in UTC or with an offset"
            )
        twice = first != second
        if self.config.repeated_hour == "refuse" and twice.any():
            row = int(twice.arg_true()[0])
            raise DataError(
                f"{places.where(row)}: {_text(naive, row)} exists twice in {zone}: its clock is put back then; choose "
                "--repeated-hour first or second, or write the log's timestamps in UTC or with an offset"
            )
        self.repeated.add(twice, places)
        return (second if self.config.repeated_hour == "second" else first).cast(pl.Int64)

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
                read = f"timestamp {_cell(cells, row)}, read as {self.format}"
                raise DataError(f"{places.where(row)}: {read}, {place}; {hint} --time-format")
        self.earliest_us = low if self.earliest_us is None else min(low, self.earliest_us)
        self.latest_us = high if self.latest_us is None else max(high, self.latest_us)


def order_evidence(text: pl.Series) -> tuple[pl.Series, pl.Series, int | None]:
    """Return which of `text` have the day first, which the month, and the first row that could be either (or None).

    >>> day, month, either = order_evidence(pl.Series(["22/4/2018", "4/5/2018"]))
    >>> day.to_list(), month.to_list(), either
    ([True, False], [False, False], 1)
    """
    first = text.str.extract(r"^\s*(\d{1,2})/").cast(pl.Int64)
    second = text.str.extract(r"^\s*\d{1,2}/(\d{1,2})/").cast(pl.Int64)
    day_first = ((first > 12) & (second <= 12)).fill_null(value=False)
    month_first = ((second > 12) & (first <= 12)).fill_null(value=False)
    either = ((first != second) & (first <= 12) & (second <= 12)).arg_true()
    return day_first, month_first, int(either[0]) if len(either) else None


def unsettled_order(place: str, cell: object) -> DataError:
    """Return the error for a column in which no row shows whether the month or the day comes first."""
    return DataError(
        f"{place}: {str(cell)[:40]!r} can be month/day or day/month and no row decides it; "
        "choose --time-format, such as '%m/%d/%Y %H:%M' or '%d/%m/%Y %H:%M'"
    )


def _first_that_fits(text: pl.Series, formats: tuple[str, ...]) -> pl.Series:
    """Return naive datetimes; the first of `formats` that can read a cell reads it."""
    found: pl.Series = pl.repeat(None, len(text), dtype=pl.Datetime("us"), eager=True)
    for time_format in formats:
        open_cells = found.is_null() & text.is_not_null()
        if not open_cells.any():
            break
        parsed = text.set(~open_cells, None).str.to_datetime(time_format, strict=False, time_unit="us")
        found = found.zip_with(found.is_not_null(), parsed)
    return found


def _cell(cells: pl.Series, row: int) -> str:
    return "empty" if cells.is_null()[row] else repr(_text(cells, row))


def _text(cells: pl.Series, row: int) -> str:
    """Return a cell for a message; Python has no dates beyond the years 1 to 9999."""
    cell = cells.slice(row, 1)
    try:
        return str(cell[0])[:40]
    except (ValueError, OverflowError):
        return f"{cell.to_physical()[0]} {getattr(cells.dtype, 'time_unit', 'days')} since 1970"
