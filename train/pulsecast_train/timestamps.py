"""A column of timestamps of any supported kind to microseconds since 1970, UTC; vectorised, one format per column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from pulsecast.errors import DataError

MICROS = 1_000_000
MAX_UNPARSED = 0.001  # share of rows that may be dropped because their timestamp cannot be read
FUTURE_TOLERANCE_S = 86_400
EARLIEST_S = 365 * 86_400  # all of 1970 is a wrong unit, not a date
_MAX_OFFSET_H = 14  # Kiribati
_CLIP_S = 1e12  # keeps absurd epochs inside int64 microseconds; they are refused by the checks below

# What a cell of each family looks like; the family that fits most cells is the column's.
FAMILIES = {
    "iso-8601": r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}",
    "epoch": r"^[+-]?\d+(\.\d*)?([eE]\+?\d+)?$",
    "slashes": r"^\d{1,2}/\d{1,2}/\d{2}",
    "twitter": r"^[A-Z][a-z]{2} [A-Z][a-z]{2} +\d{1,2} ",
}
TWITTER_FORMAT = "%a %b %d %H:%M:%S %z %Y"
_ISO_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_ISO_OFFSET = r"(?:[T ]\d{2}|:\d{2}(?:\.\d+)?) ?(Z|z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})$"
_CLOCKS = (" %H:%M", " %H:%M:%S", "", " %I:%M %p", " %I:%M:%S %p")

Where = Callable[[int], str]  # row index -> "log.csv line 7"


@dataclass(frozen=True, kw_only=True)
class ParsedTimes:
    """`epoch_us`: Int64 microseconds since 1970, UTC, null where a cell is not a time; `format`: how they were read."""

    epoch_us: pl.Series
    format: str


def parse_times(
    cells: pl.Series, *, time_format: str | None, timezone: str | None, now_s: int, where: Where
) -> ParsedTimes:
    """Return the instants of `cells` (text, numbers, dates or datetimes).

    Raises DataError if more than 0.1 % of the cells are not timestamps, if one lies in 1970 or before or more than a
    day after `now_s`, if a naive one has no `timezone` or falls into the hour that a clock change skips or repeats, or
    if day and month cannot be told apart.
    """
    found = _parse(cells, time_format, timezone, where)
    _refuse_unparsed(cells, found, where)
    _refuse_implausible(cells, found, now_s, where)
    return found


def _parse(cells: pl.Series, time_format: str | None, timezone: str | None, where: Where) -> ParsedTimes:
    if cells.dtype in (pl.Datetime, pl.Date):
        if time_format is not None:
            raise DataError(f"column {cells.name} holds dates already; leave out --time-format")
        return ParsedTimes(epoch_us=_typed(cells, timezone, where), format="typed")
    if cells.dtype.is_numeric():
        if time_format is not None and "%" in time_format:
            cells = cells.cast(pl.String)
        else:
            return _epoch(cells.cast(pl.Float64), time_format)
    elif cells.dtype not in (pl.String, pl.Null):
        raise DataError(f"column {cells.name} holds {cells.dtype}; expected timestamps")
    text = cells.cast(pl.String).str.strip_chars()
    text = text.set(text == "", None)
    if time_format in ("epoch-s", "epoch-ms"):
        return _epoch(text.cast(pl.Float64, strict=False), time_format)
    if time_format is not None:
        return ParsedTimes(epoch_us=_by_format(text, time_format, timezone, where), format=time_format)
    return _inferred(text, timezone, where)


def _inferred(text: pl.Series, timezone: str | None, where: Where) -> ParsedTimes:
    hits = {family: int(text.str.contains(pattern).sum()) for family, pattern in FAMILIES.items()}
    family = max(hits, key=lambda name: hits[name])
    if hits[family] == 0:
        return ParsedTimes(epoch_us=pl.repeat(None, len(text), dtype=pl.Int64, eager=True), format="any known format")
    if family == "epoch":
        return _epoch(text.cast(pl.Float64, strict=False), None)
    if family == "iso-8601":
        return ParsedTimes(epoch_us=_iso(text, timezone, where), format=family)
    if family == "slashes":
        return _slashes(text, timezone, where)
    return ParsedTimes(epoch_us=_by_format(text, TWITTER_FORMAT, timezone, where), format=TWITTER_FORMAT)


def _epoch(numbers: pl.Series, time_format: str | None) -> ParsedTimes:
    """Read `numbers` as the stated unit, or as the one that puts their median into this century."""
    numbers = numbers.set(~numbers.is_finite(), None)
    if time_format is None:
        median = numbers.median()
        time_format = "epoch-ms" if isinstance(median, float) and abs(median) >= 1e11 else "epoch-s"
    seconds = numbers / (1000.0 if time_format == "epoch-ms" else 1.0)
    micros = (seconds.clip(-_CLIP_S, _CLIP_S) * MICROS).round().cast(pl.Int64)
    return ParsedTimes(epoch_us=micros, format=time_format)


def _iso(text: pl.Series, timezone: str | None, where: Where) -> pl.Series:
    """ISO 8601 with or without T, seconds, fraction and offset; offsets may differ from row to row."""
    suffix = text.str.extract(_ISO_OFFSET)
    base = pl.select(pl.lit(text).str.replace(r" ?(?:Z|z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})$", "")).to_series()
    base = text.zip_with(suffix.is_null(), base)
    base = base.str.replace_all("/", "-", literal=True).str.replace("T", " ", literal=True)
    base = base.str.replace(r"^(\S+ \d{2})$", "${1}:00")  # an hour alone
    local = _first_that_fits(base, _ISO_FORMATS)
    digits = suffix.str.replace(":", "", literal=True)
    hours = digits.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)  # of "Z", "UTC" and "GMT": none
    minutes = digits.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0)
    sign = pl.select(pl.when(pl.lit(suffix).str.starts_with("-")).then(-1).otherwise(1)).to_series()
    shifted = local.cast(pl.Int64) - sign * (hours * 3600 + minutes * 60) * MICROS
    shifted = shifted.set((hours > _MAX_OFFSET_H) | (minutes > 59), None)
    zoned = suffix.is_not_null()
    naive = local.set(zoned, None)
    return shifted.zip_with(zoned, _to_utc(naive, timezone, where))


def _slashes(text: pl.Series, timezone: str | None, where: Where) -> ParsedTimes:
    """M/D/Y or D/M/Y: the rows that only fit one order settle it."""
    first = text.str.extract(r"^(\d{1,2})/").cast(pl.Int64)
    second = text.str.extract(r"^\d{1,2}/(\d{1,2})/").cast(pl.Int64)
    day_first, month_first = int((first > 12).sum()), int((second > 12).sum())
    if day_first == month_first and bool((first != second).any()):
        row = int((first != second).arg_true()[0])
        raise DataError(
            f"{where(row)}: {text[row]!r} can be month/day or day/month and no row settles it; "
            "choose --time-format, such as '%m/%d/%Y %H:%M' or '%d/%m/%Y %H:%M'"
        )
    order = "%d/%m/" if day_first > month_first else "%m/%d/"
    # Two-digit years first: %Y would take 17 for the year 17.
    local = _first_that_fits(text, tuple(order + year + clock for year in ("%y", "%Y") for clock in _CLOCKS))
    return ParsedTimes(epoch_us=_to_utc(local, timezone, where), format=order + "%Y")


def _first_that_fits(text: pl.Series, formats: tuple[str, ...]) -> pl.Series:
    """Return naive datetimes; each cell by the first of `formats` that reads it."""
    found: pl.Series = pl.repeat(None, len(text), dtype=pl.Datetime("us"), eager=True)
    for time_format in formats:
        open_cells = found.is_null() & text.is_not_null()
        if not open_cells.any():
            break
        parsed = text.set(~open_cells, None).str.to_datetime(time_format, strict=False, time_unit="us")
        found = found.zip_with(found.is_not_null(), parsed)
    return found


def _by_format(text: pl.Series, time_format: str, timezone: str | None, where: Where) -> pl.Series:
    try:
        parsed = text.str.to_datetime(time_format, strict=False, time_unit="us")
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"time format {time_format!r} cannot be used: {reason}; mend --time-format") from error
    return _typed(parsed, timezone, where)


def _typed(times: pl.Series, timezone: str | None, where: Where) -> pl.Series:
    times = times.cast(pl.Datetime("us", getattr(times.dtype, "time_zone", None)))
    if getattr(times.dtype, "time_zone", None) is not None:
        return times.cast(pl.Int64)
    return _to_utc(times, timezone, where)


def _to_utc(naive: pl.Series, timezone: str | None, where: Where) -> pl.Series:
    """Return naive local datetimes in `timezone` as Int64 microseconds, UTC."""
    if naive.null_count() == len(naive):
        return naive.cast(pl.Int64)
    if timezone is None:
        row = int(naive.is_not_null().arg_true()[0])
        raise DataError(f"{where(row)}: {naive[row]} carries no time zone; name the log's with --timezone, such as UTC")
    if timezone == "UTC":
        return naive.cast(pl.Int64)
    try:
        zoned = naive.dt.replace_time_zone(timezone, ambiguous="null", non_existent="null")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"--timezone {timezone!r} is not known; use a name such as UTC or Europe/Berlin") from error
    lost = zoned.is_null() & naive.is_not_null()
    if lost.any():
        row = int(lost.arg_true()[0])
        raise DataError(
            f"{where(row)}: {naive[row]} does not exist or exists twice in {timezone}, whose clock changes then; "
            "write the log's timestamps in UTC or with an offset"
        )
    return zoned.cast(pl.Int64)


def _refuse_unparsed(cells: pl.Series, found: ParsedTimes, where: Where) -> None:
    bad = found.epoch_us.is_null().arg_true()
    if len(bad) <= MAX_UNPARSED * len(cells):
        return
    shown = ", ".join(f"{where(int(row))} ({_cell(cells, int(row))})" for row in bad[:3])
    raise DataError(
        f"{len(bad)} of {len(cells)} rows have no timestamp that can be read as {found.format}, "
        f"more than 0.1 %: {shown}; mend them or choose --time-format"
    )


def _refuse_implausible(cells: pl.Series, found: ParsedTimes, now_s: int, where: Where) -> None:
    early = (found.epoch_us < EARLIEST_S * MICROS).arg_true()
    late = (found.epoch_us > (now_s + FUTURE_TOLERANCE_S) * MICROS).arg_true()
    for rows, place in ((early, "lies in 1970 or before"), (late, "lies in the future")):
        if len(rows):
            row = int(rows[0])
            hint = "seconds and milliseconds are mixed or mistaken: choose" if "epoch" in found.format else "check"
            raise DataError(
                f"{where(row)}: timestamp {_cell(cells, row)}, read as {found.format}, {place}; {hint} --time-format"
            )


def _cell(cells: pl.Series, row: int) -> str:
    value = cells[row]
    return "empty" if value is None else repr(str(value)[:40])
