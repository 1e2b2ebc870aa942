"""Engagement logs to regular series, by a stated policy: a repair is counted in the report, everything else refused.

What belongs here is the order of the steps: files to columns (`log_files`), cells to instants (`timestamps`) and
numbers, rows sorted and without duplicates (`row_policies`), rows to steps (`aggregation`), steps to `Series`.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pulsecast.errors import DataError, UsageError

from .aggregation import Buckets, Filled, aggregate_events, aggregate_samples, fill_gaps
from .data_report import DataReport, FileRecord, Finding, SeriesSummary
from .log_config import LogConfig, plain, step_text
from .log_files import LogFile, choose_columns, log_stem, open_log, read_columns
from .row_policies import findings, numbers, stepped_back, without_duplicates
from .series import Series
from .timestamps import ParsedTimes, parse_times

ROW_COUNT = "events"  # name of the metric that counts rows
_TOTALS = ("likes", "favorites", "favourites", "reactions", "shares", "retweets", "comments", "replies", "ups")
_LONG = 50  # steps from which "never falls" and "never changes" say something


def read_log(
    paths: Sequence[Path], config: LogConfig, *, now_s: int | None = None
) -> tuple[tuple[Series, ...], DataReport]:
    """Return the series in the logs at `paths` and what was found in them.

    Several files are several series, named by their stems, unless `config.series` names a column; all share step and
    metrics. `now_s` (unix seconds; default: the clock) is what a timestamp may not be later than, by more than a day.

    >>> series, report = read_log([Path("Twitter_volume_AAPL.csv")], LogConfig(timezone="UTC"))  # doctest: +SKIP

    Raises DataError, in one sentence with file, line, value and remedy, if a log cannot be used as it is.
    """
    now_s = int(time.time()) if now_s is None else now_s
    _refuse_names([Path(path) for path in paths], config)
    parts = [_read_file(Path(path), config, now_s) for path in paths]
    metrics = parts[0].metrics
    _refuse_unequal_metrics(parts)
    log, found = _clean_rows(pl.concat([part.rows for part in parts]), config, metrics)
    made = [_make_series(name, rows, config, metrics) for name, rows in _by_series(log, config)]
    _refuse_unequal_steps([one.series for one in made])
    report = DataReport(
        files=tuple(part.record for part in parts),
        rows_read=sum(part.record.rows for part in parts),
        findings=(*(f for part in parts for f in part.found), *found, *(f for one in made for f in one.found)),
        series=tuple(one.summary for one in made),
        warnings=(*_final_totals(config), *(warning for one in made for warning in _warnings(one.series, config))),
    )
    return tuple(one.series for one in made), report


@dataclass(frozen=True, kw_only=True, eq=False)
class _FileRows:
    """The rows of one file, in its order, as `row_policies` describes them."""

    record: FileRecord
    rows: pl.DataFrame
    metrics: tuple[str, ...]
    found: list[Finding]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Made:
    series: Series
    summary: SeriesSummary
    found: list[Finding]


def _refuse_names(paths: Sequence[Path], config: LogConfig) -> None:
    if not paths:
        raise UsageError("no log is named; give one or more files")
    stems = [log_stem(path) for path in paths]
    repeated = sorted({stem for stem in stems if stems.count(stem) > 1})
    if repeated and config.series is None:
        raise UsageError(
            f"several files are called {', '.join(repeated)}; a series is named by its file, so rename them"
        )


def _read_file(path: Path, config: LogConfig, now_s: int) -> _FileRows:
    log = open_log(path)
    columns = choose_columns(log, config)
    frame = read_columns(log, columns.needed)
    cells = frame[columns.time]
    times = parse_times(cells, time_format=config.time_format, timezone=config.timezone, now_s=now_s, where=log.where)
    record = FileRecord(
        name=log.name,
        sha256=log.sha256,
        bytes=log.size_bytes,
        rows=len(frame),
        time_column=columns.time,
        time_format=times.format,
    )
    rows, found = _dated(_rows(log, frame, times, config, columns.metrics), columns.metrics)
    return _FileRows(record=record, rows=rows, metrics=columns.metrics or (ROW_COUNT,), found=found)


def _dated(rows: pl.DataFrame, metrics: Sequence[str]) -> tuple[pl.DataFrame, list[Finding]]:
    """Return the rows that have an instant, and what is missing in them."""
    undated = rows.filter(pl.col("t").is_null())
    found = findings("unparsable-timestamp", "rows have no readable timestamp and have been dropped", undated)
    rows = rows.filter(pl.col("t").is_not_null())
    for metric in metrics:
        sentence = f"cells of {metric} are empty or declared missing"
        found += findings("missing-cell", sentence, rows.filter(pl.col(_column(metric)).is_null()))
    return rows, found


def _rows(
    log: LogFile, frame: pl.DataFrame, times: ParsedTimes, config: LogConfig, metrics: Sequence[str]
) -> pl.DataFrame:
    columns = {
        "file": pl.repeat(log.name, len(frame), dtype=pl.String, eager=True),
        "line": pl.arange(log.first_line, len(frame) + log.first_line, eager=True).cast(pl.Int64),
        "series": pl.repeat(log.stem, len(frame), dtype=pl.String, eager=True),
        "t": times.epoch_us,
    }
    if config.series is not None:
        columns["series"] = frame[config.series].cast(pl.String).str.strip_chars()
        empty = (columns["series"].is_null() | (columns["series"] == "")).arg_true()
        if len(empty):
            raise DataError(f"{log.where(int(empty[0]))}: {config.series} is empty; every row names its series")
    if config.id is not None:
        columns["id"] = frame[config.id].cast(pl.String)
    for metric in metrics:
        columns[_column(metric)] = numbers(frame[metric], config, log.where)
    return pl.DataFrame(columns)


def _column(metric: str) -> str:
    """Name a metric's column so that it cannot collide with those of `row_policies.ROW_COLUMNS`."""
    return f"metric {metric}"


def _clean_rows(log: pl.DataFrame, config: LogConfig, metrics: Sequence[str]) -> tuple[pl.DataFrame, list[Finding]]:
    """Return rows sorted by time within their series, each event or sample once."""
    columns = [_column(metric) for metric in metrics if _column(metric) in log.columns]
    found = stepped_back(log)
    log, duplicates = without_duplicates(log, columns, config)
    return log.sort("t", maintain_order=True), found + duplicates


def _by_series(log: pl.DataFrame, config: LogConfig) -> Iterable[tuple[str, pl.DataFrame]]:
    """Yield the rows of every series: by name where a column names them, else in the order of the files."""
    parts = {str(key[0]): part for key, part in log.partition_by("series", as_dict=True, maintain_order=True).items()}
    return sorted(parts.items()) if config.series is not None else parts.items()


def _make_series(name: str, rows: pl.DataFrame, config: LogConfig, metrics: tuple[str, ...]) -> _Made:
    times_us = rows["t"].to_numpy()  # (rows,)
    columns = [_column(metric) for metric in metrics if _column(metric) in rows.columns]
    values = rows.select(columns).fill_null(np.nan).to_numpy() if columns else None  # (rows, metrics)
    try:
        if config.events or values is None:  # events always have a step: LogConfig saw to it
            buckets = aggregate_events(times_us, values, kind=config.kind, step_s=config.step_s or 0)
        else:
            buckets = aggregate_samples(times_us, values, kind=config.kind, step_s=config.step_s)
    except DataError as error:
        raise DataError(f"series {name}: {error}") from error
    filled = fill_gaps(buckets.values, config.max_gap)
    if len(filled.values) == 0:
        step = step_text(buckets.step_s)
        raise DataError(f"series {name}: no step of {step} is complete and has a value; choose a finer --step")
    start_s = buckets.start_s + filled.trimmed_start * buckets.step_s
    series = Series(name=name, metrics=metrics, start_s=start_s, step_s=buckets.step_s, values=filled.values)
    return _Made(
        series=series, summary=_summary(series, buckets, filled), found=_step_findings(name, buckets, filled, config)
    )


def _summary(series: Series, buckets: Buckets, filled: Filled) -> SeriesSummary:
    first = series.values[:, 0]
    stamps = series.timestamps_s()
    return SeriesSummary(
        name=series.name,
        metrics=series.metrics,
        first=_iso(int(stamps[0])),
        last=_iso(int(stamps[-1])),
        step_s=series.step_s,
        steps=len(stamps),
        filled=filled.filled,
        gaps=filled.gaps,
        gap_steps=filled.gap_steps,
        edges_dropped=buckets.edges_dropped + filled.trimmed_start + filled.trimmed_end,
        minimum=float(np.nanmin(first)),
        median=float(np.nanmedian(first)),
        maximum=float(np.nanmax(first)),
    )


def _step_findings(name: str, buckets: Buckets, filled: Filled, config: LogConfig) -> list[Finding]:
    trimmed = filled.trimmed_start + filled.trimmed_end
    joined = "added up" if config.kind == "count" else "averaged"
    sentences = {
        "partial-edge": (buckets.edges_dropped, "first or last steps were covered in part and have been dropped"),
        "missing-edge": (trimmed, "first or last steps had no value and have been dropped"),
        "merged-samples": (buckets.merged, f"samples shared the place of another one and were {joined}"),
        "estimated-count": (buckets.estimated, "counts had 75 % or more of their samples and were scaled up"),
        "thin-mean": (buckets.thin, "means rest on fewer than 75 % of their samples"),
        "filled-gap": (filled.filled, f"missing steps (up to {config.max_gap} in a row) were filled by interpolation"),
        "gap": (
            filled.gap_steps,
            f"missing steps (over {config.max_gap} in a row) were left open and split the series",
        ),
    }
    return [
        Finding(policy=policy, sentence=f"series {name}: {sentence}", rows=count)
        for policy, (count, sentence) in sentences.items()
        if count
    ]


def _refuse_unequal_metrics(parts: Sequence[_FileRows]) -> None:
    for part in parts[1:]:
        if part.metrics != parts[0].metrics:
            raise DataError(
                f"{parts[0].record.name} has metrics {', '.join(parts[0].metrics)} and {part.record.name} has "
                f"{', '.join(part.metrics)}; name them with --metric"
            )


def _refuse_unequal_steps(series: Sequence[Series]) -> None:
    for one in series[1:]:
        if one.step_s != series[0].step_s:
            raise DataError(
                f"series {series[0].name} has steps of {step_text(series[0].step_s)} and series {one.name} of "
                f"{step_text(one.step_s)}; choose one --step"
            )


def _final_totals(config: LogConfig) -> list[str]:
    """Warn of totals summed by the time of their post: they hold what readers did later, so they leak the future."""
    totals = [metric for metric in config.metrics if plain(metric) in _TOTALS]
    if not (config.events and config.kind == "count" and totals):
        return []
    warning = (
        f"{', '.join(totals)} summed by the time of the row: if these are totals a post gathered later (8 % of them "
        "arrive within 6 hours), the series tells the future and forecasts from it are not real"
    )
    return [warning]


def _warnings(series: Series, config: LogConfig) -> Iterable[str]:
    for metric, column in zip(series.metrics, series.values.T, strict=True):
        yield from (f"series {series.name}: {metric} {what}" for what in _oddities(column[np.isfinite(column)], config))


def _oddities(values: NDArray[np.float64], config: LogConfig) -> Iterable[str]:
    """Yield what is unusual about the finite `values` (steps,) of one metric."""
    zeros, median, top = float((values == 0).mean()), float(np.median(values)), float(values.max())
    if values.min() == top:
        yield f"is {top:g} at every step"
        return
    if zeros > 0.5:
        yield f"is 0 at {zeros:.0%} of the steps; forecasts of such a series are rarely better than 0"
    if median > 0 and top > 100 * median:
        yield f"has a top value of {top:g}, {top / median:.0f} times its median"
    if config.kind == "count" and not config.events and len(values) >= _LONG and (np.diff(values) >= 0).all():
        yield "never falls, as a running total does; a count is what was added in each step"


def _iso(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
