"""The first rows of a log with all its columns as text, and what kind of cells each column holds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pulsecast.errors import DataError

from ..config import LogConfig
from ..files import LogFile, source
from ..places import Places
from ..tables import first_rows
from ..text.numbers import MISSING_WORDS
from ..text.times import FAMILIES
from ..timestamps import TimeReader

MOST_ROWS = 20_000
_SHARE = 0.95  # of the filled cells make a column's kind
_NUMBER = r"^[-+(\u2212]?[\d.,'\u2019\u00a0\u202f ]*\d[\d.,]*(?:[eE][-+]?\d+)?\s?[%KkM]?\)?$"
_FLAG = r"^(?i:true|false|yes|no|t|f)$"
_CLOCK = r"^\d{1,2}:\d{2}(?::\d{2})?(?: ?[AaPp][Mm])?$"
_TIME_FORMS = "|".join(f"(?:{form})" for name, form in FAMILIES.items() if name not in ("epoch", "months"))
_YEARS = (1e9, 4.1e9)  # unix seconds from 2001 to 2099, in any unit


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its kind (time, clock, number, flag, text, empty), first values, and how many differ of `filled`."""

    name: str
    kind: str
    first: tuple[str, ...]
    filled: int
    distinct: int


@dataclass(frozen=True, kw_only=True)
class LookedFile:
    """One file: what separates its cells ("" in NDJSON, Parquet and workbooks), and its columns."""

    name: str
    separator: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """The first `rows` of a log: `frame` has its columns as text; `share` is the part of the file that they take."""

    name: str
    frame: pl.DataFrame
    columns: tuple[Column, ...]
    separator: str
    share: float

    def column(self, name: str) -> Column:
        """Return the column called `name`."""
        return next(one for one in self.columns if one.name == name)

    def times_us(self, column: str, config: LogConfig, now_s: int) -> NDArray[np.int64] | None:
        """Return the instants of a column as int64 (rows,) microseconds, as far as they can be read; else None."""
        zone = config.timezone or "UTC"
        lenient = LogConfig(time=column, timezone=zone, time_format=config.time_format, repeated_hour="first")
        reader = TimeReader(config=lenient, now_s=now_s, order=_order(self.frame[column]))
        places = Places(file=self.name, word="line", lines=np.arange(len(self.frame), dtype=np.int64))
        with suppress(DataError):
            found = reader.read(self.frame[column], places)
            return found.fill_null(-1).to_numpy() if found.null_count() < 0.05 * len(found) else None
        return None


def read_sample(log: LogFile, config: LogConfig) -> Sample:
    """Return the first rows of a log; raises DataError as reading it would."""
    raw = source(log, log.size_bytes, None)
    try:
        rows, separator, share = first_rows(log, config, raw, MOST_ROWS)
    finally:
        raw.close()
    return Sample(
        name=log.name,
        frame=rows,
        columns=tuple(_column(rows[name]) for name in rows.columns),
        separator=separator,
        share=share,
    )


def _column(cells: pl.Series) -> Column:
    text = cells.str.strip_chars()
    missing = text.str.to_lowercase().is_in(["", *MISSING_WORDS])
    filled = text.filter(~missing.fill_null(value=True))
    return Column(
        name=cells.name,
        kind=_kind(cells.name, filled),
        first=tuple(value[:24] for value in filled.head(3)),
        filled=len(filled),
        distinct=filled.n_unique(),
    )


def _kind(name: str, filled: pl.Series) -> str:
    if len(filled) == 0:
        return "empty"
    kinds = {"flag": _FLAG, "clock": _CLOCK, "time": _TIME_FORMS, "number": _NUMBER}
    for kind, form in kinds.items():
        if int(filled.str.contains(form).sum()) >= _SHARE * len(filled):
            fits = kind == "number" and _is_epoch(name, filled)
            return "time" if fits else kind
    return "text"


def _is_epoch(name: str, filled: pl.Series) -> bool:
    words = ("time", "date", "created", "stamp", "epoch", "_at", "ts", "utc")
    numbers = filled.cast(pl.Float64, strict=False).drop_nulls()
    if not any(word in name.lower() for word in words) or len(numbers) == 0:
        return False
    low, high = np.quantile(numbers.to_numpy(), (0.05, 0.95))
    return any(_YEARS[0] * unit <= low <= high <= _YEARS[1] * unit for unit in (1, 1e3, 1e6, 1e9))


def _order(cells: pl.Series) -> str:
    """Return an order of day and month that lets a sample be read; the reader of the log asks where none shows it."""
    first = cells.str.extract(r"^\s*(\d{1,2})[/.-]\d{1,2}[/.-]").cast(pl.Int64).max()
    return "%d/%m/" if isinstance(first, int) and first > 12 else "%m/%d/"


def columns_of(sample: Sample, kinds: Sequence[str]) -> list[Column]:
    """Return the columns of `kinds`."""
    return [one for one in sample.columns if one.kind in kinds]
