"""Engagement logs to regular series, by stated policies: a repair is counted in the report, other faults are refused.

This module holds the order of the steps: files to rows (`row_reader`), rows sorted and without duplicates
(`row_policies`), rows to steps (`aggregation`), steps to `Series`.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pulsecast.computing.calendars import utc_text
from pulsecast.errors import DataError, UsageError
from pulsecast.foundation.arguments import StrPath, flag, instance, paths, shown, whole_number
from pulsecast.model.spec import YEAR_10000
from pulsecast.stages.progress import SILENT, Progress, require_progress

from ..series import Series
from ..zones import DAY_NAMES
from .aggregation import Buckets, Filled, Kind, Labels, aggregate_events, aggregate_samples, fill_gaps
from .config import LogConfig, step_text
from .data_report import DataReport, Finding, SeriesSummary
from .files import OnBytes, log_stem, open_log
from .looking.choices import UndecidedError
from .looking.number_kinds import JOINED, shown_kind
from .row_policies import (
    LogRows,
    capped_users,
    only_mature,
    refuse_growing,
    rising,
    same_instant_events,
    sorted_rows,
    stepped_back,
    without_copies,
    without_repeated_samples,
)
from .row_reader import FileRows, RowReader

SHOWN_FROM_BYTES = 64 << 20  # smaller logs are read too fast for a bar
_LONG = 50  # steps that "never falls" and "never changes" need
_DAY_S = 86_400
_THURSDAY = 3  # 1 January 1970
_FEW_DAYS_OFF = 3  # two weekends, one of them cut
_LONG_TAIL = 240  # steps that a comparison of whole days needs


class ReadLog(NamedTuple):
    """The series of one or more logs, and how they were read."""

    series: tuple[Series, ...]
    report: DataReport

    def __repr__(self) -> str:
        return self.report.text()


def read_log(
    logs: StrPath | Sequence[StrPath],
    config: LogConfig = LogConfig(),
    *,
    now_s: int | None = None,
    progress: Progress = SILENT,
    user_key: bytes | None = None,
    as_trained: bool = False,
) -> ReadLog:
    """Return the series in the logs at `logs` and what was found in them.

    Several files are several series, named by their stems, unless `config.series` names a column; all share step and
    metrics. `now_s` (unix seconds; default: the clock) is the present: a timestamp may be at most a day later.
    With a `user_key` the report names the busiest user of
    `config.user` by HMAC-SHA256 under that key; without it, no user is named. A category that no row has is refused,
    unless the log is read `as_trained`, for a model that knows it from another log.

    >>> read_log("Twitter_volume_AAPL.csv", LogConfig(timezone="UTC")).series  # doctest: +SKIP

    Raises DataError, in one sentence with file, line, value and remedy, if a log cannot be used as it is.
    """
    now_s = int(time.time()) if now_s is None else whole_number("now_s", now_s, least=0)
    if now_s >= YEAR_10000:
        raise UsageError(f"now_s is {shown(now_s)}; expected unix seconds, before the year 10000")
    files, as_trained = paths("logs", logs), flag("as_trained", as_trained)
    instance("config", config, LogConfig)
    require_progress(progress)
    if user_key is not None:
        instance("user_key", user_key, bytes)
    try:
        return _read_log(files, config, now_s, progress, user_key, as_trained=as_trained)
    except DataError as error:  # names and cells are shown in messages: no control character of theirs is
        if str(error).isprintable():
            raise
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(error))
        raise (error.placed(text) if isinstance(error, UndecidedError) else DataError(text)) from error


def _read_log(
    files: Sequence[Path],
    config: LogConfig,
    now_s: int,
    progress: Progress,
    user_key: bytes | None,
    *,
    as_trained: bool,
) -> ReadLog:
    _refuse_names(files, config)
    opened = [open_log(path) for path in files]
    reader = RowReader(
        config=config,
        now_s=now_s,
        total_bytes=sum(log.size_bytes for log in opened),
        on_bytes=_percent(progress),
        user_key=user_key,
        hash_key=secrets.randbits(63),
    )
    parts = [reader.read(log) for log in opened]
    if not as_trained:
        reader.refuse_absent_categories()
    metrics = parts[0].metrics
    _refuse_unequal_metrics(parts)
    rows, found, config = _clean_rows(reader, parts)
    made = [_make_series(name, frame, config, metrics) for name, frame in _by_series(rows, config)]
    _refuse_unequal_steps([one.series for one in made])
    report = DataReport(
        files=tuple(part.record for part in parts),
        rows_read=sum(part.record.rows for part in parts),
        findings=(
            *(f for part in parts for f in part.found),
            *found,
            *(f for one in made for f in one.found),
        ),
        series=tuple(one.summary for one in made),
        warnings=tuple(warning for one in made for warning in one.warnings),
        kind="" if config.kind == "inferred" else config.kind,
    )
    return ReadLog(series=tuple(one.series for one in made), report=report)


def _percent(progress: Progress) -> OnBytes:
    """Return a callback for bytes read that reports percent, for logs that take long to read."""
    done = shown = 0

    def on_bytes(count: int, total: int) -> None:
        nonlocal done, shown
        done += count
        while total >= SHOWN_FROM_BYTES and shown < min(100 * done // total, 100):
            shown += 1
            progress.advance("reading", shown, 100, "%")

    return on_bytes


@dataclass(frozen=True, kw_only=True, eq=False)
class _Made:
    series: Series
    summary: SeriesSummary
    found: list[Finding]
    warnings: list[str]


def _refuse_names(paths: Sequence[Path], config: LogConfig) -> None:
    if not paths:
        raise UsageError("no log is given; name one or more files")
    stems = [log_stem(path) for path in paths]
    repeated = sorted({stem for stem in stems if stems.count(stem) > 1})
    if repeated and config.series is None:
        raise UsageError(
            f"several files are called {', '.join(repeated)}; a series is named by its file, so rename them"
        )


def _clean_rows(reader: RowReader, parts: Sequence[FileRows]) -> tuple[LogRows, list[Finding], LogConfig]:
    """Return rows sorted by series and time, each event or sample once, repairs, and `config` with the kind shown."""
    names = parts[0].metrics
    rows, config = reader.rows(parts), reader.config
    found = stepped_back(rows)
    if config.id is not None:
        rows, more = without_copies(rows, config)
        found += more
    if config.maturity_s:
        rows, more = only_mature(rows, config.maturity_s)
        found += more
    if config.events and config.maturity is None and config.kind != "gauge":
        refuse_growing(rows)
    rows = sorted_rows(rows)
    if not config.events and config.id is None:
        rows, more = without_repeated_samples(rows, config)
        found += more
    elif config.events and config.id is None:
        found += same_instant_events(rows)
    if config.user is not None:
        found += reader.user_findings(rows)
        rows, more = capped_users(rows, config)
        found += more
    described = names[: len(names) - len(config.categories)]
    config = dataclasses.replace(config, kind=shown_kind(rows, described, config) or "inferred")
    if config.kind == "counter":
        rows, more = rising(rows, config)
        found += more
    return rows, found, config


def _by_series(rows: LogRows, config: LogConfig) -> Iterable[tuple[str, pl.DataFrame]]:
    """Yield the sorted rows of every series: by name if a column names them, else in the order of the files."""
    if len(rows.series) == 1:
        return [(rows.series[0], rows.frame)]
    codes, starts = np.unique(rows.frame["series"].to_numpy(), return_index=True)
    stops = [*starts[1:], len(rows.frame)]
    parts = {
        rows.series[code]: rows.frame[int(start) : int(stop)]
        for code, start, stop in zip(codes, starts, stops, strict=True)
    }
    return sorted(parts.items()) if config.series is not None else parts.items()


def _make_series(name: str, rows: pl.DataFrame, config: LogConfig, metrics: tuple[str, ...]) -> _Made:
    times_us = rows["t"].to_numpy()  # (rows,)
    columns = [column for column in rows.columns if column.startswith("metric ")]
    kind: Kind = "count" if config.kind == "inferred" else config.kind  # a step has one sample: it changes nothing
    values = rows.select(columns).fill_null(np.nan).to_numpy() if columns else None  # (rows, metrics)
    try:
        if config.events or values is None:  # events always have a step: LogConfig checked it
            buckets = aggregate_events(
                times_us, values, kind=kind, step_s=config.step_s or 0, labels=_labels(rows, config)
            )
        else:
            buckets = aggregate_samples(times_us, values, kind=kind, step_s=config.step_s, max_gap=config.max_gap)
    except UndecidedError as error:
        raise error.placed(f"series {name}: {error}") from error
    except DataError as error:
        raise DataError(f"series {name}: {error}") from error
    filled = fill_gaps(buckets.values, config.max_gap)
    if len(filled.values) == 0:
        step = step_text(buckets.step_s)
        raise DataError(f"series {name}: no step of {step} is complete and has a value; choose a shorter --step")
    start_s = buckets.start_s + filled.trimmed_start * buckets.step_s
    series = Series(name=name, metrics=metrics, start_s=start_s, step_s=buckets.step_s, values=filled.values)
    if config.phase_s is not None and not series.has_phase(config.phase_s):
        raise DataError(f"{off_grid_words(series)}; phase_s (--phase) says {config.phase_s:,}: correct one of the two")
    return _Made(
        series=series,
        summary=_summary(series, buckets, filled, JOINED[kind]),
        found=_step_findings(name, buckets, filled, config),
        warnings=[*_warnings(series, config), *_days_off(series, filled.filled)],
    )


def _labels(rows: pl.DataFrame, config: LogConfig) -> Labels | None:
    if config.category is None:
        return None
    codes = rows["category"].cast(pl.Int64).fill_null(-1).to_numpy()  # (rows,)
    return Labels(codes=codes, count=len(config.categories))


def _summary(series: Series, buckets: Buckets, filled: Filled, joined: str) -> SeriesSummary:
    first = series.values[:, 0]
    stamps = series.timestamps_s()
    return SeriesSummary(
        name=series.name,
        metrics=series.metrics,
        first=utc_text(int(stamps[0])),
        last=utc_text(int(stamps[-1])),
        step_s=series.step_s,
        steps=len(stamps),
        filled=len(filled.filled),
        gaps=filled.gaps,
        gap_steps=filled.gap_steps,
        edges_dropped=buckets.edges_dropped + filled.trimmed_start + filled.trimmed_end,
        minimum=float(np.nanmin(first)),
        median=float(np.nanmedian(first)),
        maximum=float(np.nanmax(first)),
        joined=joined,
    )


def _step_findings(name: str, buckets: Buckets, filled: Filled, config: LogConfig) -> list[Finding]:
    trimmed = filled.trimmed_start + filled.trimmed_end
    joined = {"gauge": "averaged", "counter": "replaced by the last one"}.get(config.kind, "added up")
    sentences = {
        "partial-edge": (buckets.edges_dropped, "first or last steps were covered only partly and have been dropped"),
        "missing-edge": (trimmed, "first or last steps had no value and have been dropped"),
        "merged-samples": (buckets.merged, f"samples shared the place of another one and were {joined}"),
        "spread-increment": (
            buckets.spread,
            "steps lacked a reading of their own and got an equal share of the counter's rise over the gap",
        ),
        "estimated-count": (buckets.estimated, "counts had 75 % or more of their samples and were scaled up"),
        "thin-mean": (buckets.thin, "means rest on fewer than 75 % of their samples"),
        "filled-gap": (
            len(filled.filled),
            f"missing steps (up to {config.max_gap} in a row) were filled by interpolation",
        ),
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


def off_grid_words(series: Series) -> str:
    """Return the beginning of a sentence about a series on another grid than expected."""
    return f"series {series.name}: steps come {series.phase_s:,} s after a whole step of {step_text(series.step_s)}"


def _refuse_unequal_metrics(parts: Sequence[FileRows]) -> None:
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


def _warnings(series: Series, config: LogConfig) -> Iterable[str]:
    described = len(series.metrics) - len(config.categories)  # a category may well be rare
    for metric, column in zip(series.metrics[:described], series.values.T[:described], strict=True):
        yield from (f"series {series.name}: {metric} {what}" for what in _oddities(column[np.isfinite(column)], config))
        if config.kind != "gauge":
            yield from (f"series {series.name}: {metric} {what}" for what in _cut_tail(column))


def _days_off(series: Series, filled: NDArray[np.int64]) -> Iterable[str]:
    """Yield a sentence if no value of one or two days of the week is the log's own: all were `filled` (steps,)."""
    if series.step_s != _DAY_S or len(filled) < _FEW_DAYS_OFF:
        return
    middles = series.timestamps_s() + _DAY_S // 2  # (steps,) within the day in zones up to 12 hours from UTC
    days = (middles // _DAY_S + _THURSDAY) % 7  # (steps,) 0 is a Monday
    own = np.delete(days, np.union1d(filled, np.flatnonzero(np.isnan(series.values[:, 0]))))
    off = np.setdiff1d(days[filled], own)
    if len(off):
        names = " and ".join(DAY_NAMES[day] for day in off)
        yield (
            f"series {series.name}: no {names} has a value in the log, so all of them are filled and forecasts "
            "learn from filled values; if nothing happens on these days, write rows with 0"
        )


def _cut_tail(column: NDArray[np.float64]) -> Iterable[str]:
    """Yield a sentence if the values (steps,) end far below all stretches before, as in a log cut too early."""
    width = 24 if len(column) >= _LONG_TAIL else len(column) // 10
    if width < 3:
        return
    sums = np.convolve(np.nan_to_num(column, nan=np.inf), np.ones(width), mode="valid")  # (steps - width + 1,)
    before = sums[:-width]
    if np.isfinite(before).any() and sums[-1] < 0.5 * before.min():
        yield (
            f"ends with {width} steps that add up to less than half of any such stretch before; if the log was cut "
            "while it was written, leave its end out"
        )


def _oddities(values: NDArray[np.float64], config: LogConfig) -> Iterable[str]:
    """Yield a sentence for everything unusual in the finite `values` (steps,) of one metric."""
    zeros, median, top = float((values == 0).mean()), float(np.median(values)), float(values.max())
    if values.min() == top:
        yield f"is {top:g} at every step"
        return
    if zeros > 0.5:
        yield f"is 0 at {zeros:.0%} of the steps; forecasts of such a series are rarely better than 0"
    if median > 0 and top > 100 * median:
        yield f"has a top value of {top:g}, {top / median:.4g} times its median"
    if (
        config.kind in ("inferred", "count")
        and not config.events
        and len(values) >= _LONG
        and (np.diff(values) >= 0).all()
    ):
        yield "never falls, as a running total does; for a running total choose --kind counter"
