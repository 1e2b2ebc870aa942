"""What is done with rows before they become steps: cells to numbers, order, duplicates; counted or refused.

A log here is a frame with the columns of `ROW_COLUMNS`, `id` where one is named, and one float column per metric, whose
missing cells are null.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pulsecast.errors import DataError

from .data_report import MAX_LINES, Finding
from .log_config import LogConfig
from .timestamps import Where

ROW_COLUMNS = ("file", "line", "series", "t")  # file name; line in it; series name; microseconds since 1970, UTC


def numbers(cells: pl.Series, config: LogConfig, where: Where) -> pl.Series:
    """Return `cells` of a metric as Float64, null where they are empty or declared missing.

    Raises DataError at the first cell that is text, NaN or infinite, or, for a count, negative.
    """
    values = _cast(cells, config, where)
    declared = [float(cell) for cell in config.missing if _is_number(cell)]
    if declared:
        values = values.set(values.is_in(declared), None)
    if config.kind == "count":
        negative = (values < 0).arg_true()
        if len(negative):
            row = int(negative[0])
            raise DataError(
                f"{where(row)}: {cells.name} is {values[row]:g}, and a count is 0 or more; "
                f"use --kind gauge, or --missing {values[row]:g} if it marks a missing value"
            )
    return values


def stepped_back(log: pl.DataFrame) -> list[Finding]:
    """Return how many rows are earlier than the row before them in their series; reading sorts them."""
    back = log.filter(pl.col("t") < pl.col("t").shift(1).over("series"))
    return findings("out-of-order", "rows were earlier than the row before them and have been sorted", back)


def without_duplicates(
    log: pl.DataFrame, metrics: Sequence[str], config: LogConfig
) -> tuple[pl.DataFrame, list[Finding]]:
    """Return `log` with every event (by id) or sample (by timestamp) once; an event log without ids is kept whole.

    Raises DataError if copies differ and `config.on_conflict` is "refuse".
    """
    if config.events and config.id is None:
        shared = log.filter(~pl.struct("series", "t", *metrics).is_first_distinct())
        sentence = "rows equal another one and are kept as separate events, since no id column tells copies apart"
        return log, findings("same-instant-events", sentence, shared)
    key = ["series", "t"] if config.id is None else ["series", "id"]
    found: list[Finding] = []
    if config.id is not None:
        unnamed = log.filter(pl.col("id").is_null())
        found += findings("no-identity", "rows have no id and are kept, since copies cannot be recognised", unnamed)
    named = pl.lit(True) if config.id is None else pl.col("id").is_not_null()
    once = pl.struct(list(dict.fromkeys([*key, "t", *metrics]))).is_first_distinct()
    found += findings("exact-duplicate", "rows repeat an earlier one and have been dropped", log.filter(~once & named))
    log = log.filter(once | ~named)
    log, clashes = _without_conflicts(log, key, named, config)
    return log, found + clashes


def findings(policy: str, sentence: str, rows: pl.DataFrame) -> list[Finding]:
    """Return one finding per file that `rows` (columns file and line) come from; none if there are none."""
    parts = rows.select("file", "line").partition_by("file", maintain_order=True) if len(rows) else []
    return [
        Finding(
            policy=policy,
            sentence=sentence,
            rows=len(part),
            file=str(part["file"][0]),
            lines=tuple(int(line) for line in part["line"].sort()[:MAX_LINES]),
        )
        for part in parts
    ]


def _without_conflicts(
    log: pl.DataFrame, key: list[str], named: pl.Expr, config: LogConfig
) -> tuple[pl.DataFrame, list[Finding]]:
    clash = log.filter(pl.struct(key).is_duplicated() & named)
    if len(clash) == 0:
        return log, []
    what = "the same timestamp" if config.id is None else "the same id"
    other = "other values" if config.id is None else "another time or other values"
    if config.on_conflict == "refuse":
        pair = clash.join(clash.head(1), on=key, how="semi", maintain_order="left").select("file", "line").rows()[:2]
        places = f"{pair[0][0]} line {pair[0][1]} and {pair[1][0]} line {pair[1][1]}"
        raise DataError(f"{places} have {what} and {other}; choose --on-conflict first or last")
    copies = pl.struct(key)
    kept = copies.is_first_distinct() if config.on_conflict == "first" else copies.is_last_distinct()
    sentence = f"rows have {what} as another row and {other}; the {config.on_conflict} one in the file was kept"
    return log.filter(kept | ~named), findings("conflicting-duplicate", sentence, log.filter(~kept & named))


def _cast(cells: pl.Series, config: LogConfig, where: Where) -> pl.Series:
    if cells.dtype == pl.Boolean or cells.dtype.is_numeric() or cells.dtype == pl.Null:
        values = cells.cast(pl.Float64)
        if any(cell.strip().lower() == "nan" for cell in config.missing):
            values = values.fill_nan(None)
        if any(_is_infinite(cell) for cell in config.missing):
            values = values.set(values.is_infinite(), None)
        text = values
    elif cells.dtype == pl.String:
        text = cells.str.strip_chars()
        text = text.set(text.is_in(["", *config.missing]), None)
        values = text.cast(pl.Float64, strict=False)
    else:
        raise DataError(f"{where(0)}: column {cells.name} holds {cells.dtype}; expected numbers")
    wrong = ((values.is_null() & text.is_not_null()) | ~values.is_finite()).fill_null(value=False).arg_true()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{where(row)}: {cells.name} is {str(cells[row])[:40]!r}, not a finite number; mend the cell, or use "
            "--missing with that text if it marks a missing value"
        )
    return values


def _is_number(cell: str) -> bool:
    try:
        return abs(float(cell)) < float("inf")
    except ValueError:
        return False


def _is_infinite(cell: str) -> bool:
    try:
        return abs(float(cell)) == float("inf")
    except ValueError:
        return False
