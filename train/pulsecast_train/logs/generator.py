"""A seeded engagement log with exact hourly truth: for the demo, and to prove that reading a log loses nothing.

Events come from a rate with a daily and a weekly rhythm and a slow trend; some of them set off others (a self-exciting
process with a mean delay of 20 minutes), and a few go viral. The messy log holds the faults of real ones, in about the
rates measured on public logs; none of them changes the true counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import StrPath, flag, one_path, shown, whole_number
from pulsecast.foundation.whole_file import check_file_free

from .config import LogConfig

MOST_DAYS = 36_525  # a century
START_S = 1_736_121_600  # 2025-01-06T00:00:00Z, a Monday
STEP_S = 3600
COLUMNS = ("timestamp", "event_id", "user_id", "likes")
GENERATED_LOG = LogConfig(time="timestamp", id="event_id", events=True, step="1h")  # how to read the generated log
_BASE_RATE = 32.0  # immigrant events an hour; with their offspring about twice that
_REPLIES = 0.45  # mean direct offspring of an event; below 1, or bursts never end
_DELAY_S = 1200.0
_VIRAL_PER_DAY = 0.15
_OFFSETS_S = (0, 7200, -18_000, 19_800)  # Z, +02:00, -05:00, +05:30
_OTHER_OFFSET, _DUPLICATE, _DISPLACED = 0.1, 0.0075, 0.0013  # shares of rows
_MISSING_CELLS, _EMPTY_TIMESTAMPS = 2, 2


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneratedTruth:
    """The exact content of the log: `counts` int64 (steps,) of events, and the number of rows with each fault.

    rows               lines below the header
    exact_duplicates   rows that repeat an earlier one
    stepped_back       rows with a timestamp before the row above's (of rows with a timestamp)
    missing_cells      empty cells in `likes`
    empty_timestamps   rows without a timestamp; their events are not counted
    other_offsets      rows whose timestamp is not written in UTC
    """

    start_s: int
    step_s: int
    counts: NDArray[np.int64]
    rows: int
    exact_duplicates: int = 0
    stepped_back: int = 0
    missing_cells: int = 0
    empty_timestamps: int = 0
    other_offsets: int = 0


def generate_log(path: StrPath, *, seed: int = 7, days: int = 60, messy: bool = True) -> GeneratedTruth:
    """Write an event log of `days` days (CSV with COLUMNS) to `path` and return its truth.

    The same seed writes the same bytes. Raises UsageError if it cannot be written, or `days` is not 1 to MOST_DAYS.
    """
    target, messy = one_path("path", path), flag("messy", messy)
    check_file_free(target, force=True)  # a pipe would wait for its reader
    days, seed = whole_number("days", days), whole_number("seed", seed, least=0)
    if days > MOST_DAYS:
        raise UsageError(f"days is {shown(days)}; expected at most {MOST_DAYS:,}")
    rng = np.random.default_rng(seed)
    seconds = _event_seconds(rng, days)  # (events,) since START_S, sorted
    counts = np.bincount(seconds // STEP_S, minlength=days * 24).astype(np.int64)  # (steps,)
    log = _columns(rng, seconds)
    faults: dict[str, int] = {}
    if messy:
        log, faults = _messy(rng, log)
    written = log.select(_written_time(), *COLUMNS[1:])
    try:
        written.write_csv(target)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror or error}") from None
    return GeneratedTruth(start_s=START_S, step_s=STEP_S, counts=counts, rows=len(log), **faults)


def _event_seconds(rng: np.random.Generator, days: int) -> NDArray[np.int64]:
    """Draw event times; one event opens the first hour and one closes the last, so both are covered fully."""
    span = days * 86_400
    hours = np.arange(days * 24)
    daily = 1 + 0.6 * np.sin(2 * np.pi * (hours % 24 - 10) / 24) + 0.2 * np.sin(4 * np.pi * (hours % 24 - 8) / 24)
    weekly = np.where(hours // 24 % 7 >= 5, 0.7, 1.1)
    trend = 1 + 0.25 * hours / hours[-1] + 0.1 * np.sin(2 * np.pi * hours / (24 * 30))
    drawn = rng.poisson(_BASE_RATE * daily * weekly * trend)  # (hours,)
    parents = np.repeat(hours, drawn) * 3600.0 + rng.uniform(0, 3600, drawn.sum())
    viral = rng.uniform(0, span, rng.poisson(_VIRAL_PER_DAY * days))
    burst = np.repeat(viral, rng.integers(50, 250, len(viral)))
    generations = [parents, burst + rng.exponential(3 * _DELAY_S, len(burst))]
    children = np.concatenate(generations)
    while len(children):
        children = np.repeat(children, rng.poisson(_REPLIES, len(children)))
        children = children + rng.exponential(_DELAY_S, len(children))
        generations.append(children)
    times = np.concatenate([[0.0, span - 1.0], *generations])
    return np.sort(times[times < span].astype(np.int64))


def _columns(rng: np.random.Generator, seconds: NDArray[np.int64]) -> pl.DataFrame:
    events = len(seconds)
    salt = int(rng.integers(1 << 40))
    identity = (np.arange(events, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)) >> np.uint64(12)
    return pl.DataFrame(
        {
            "t": START_S + seconds,
            "offset": np.zeros(events, dtype=np.int64),
            "event_id": pl.Series(identity).cast(pl.String),
            "user_id": pl.Series(rng.zipf(1.5, events) % 9973).cast(pl.String),
            "likes": pl.Series(rng.geometric(0.25, events) - 1),
        }
    )


def _messy(rng: np.random.Generator, log: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return `log` with faults and the number of rows with each."""
    events = len(log)
    foreign = rng.random(events) < _OTHER_OFFSET
    offsets = np.where(foreign, rng.choice(_OFFSETS_S[1:], events), 0)
    likes = log["likes"].scatter(rng.choice(events, _MISSING_CELLS, replace=False), None)
    log = log.with_columns(offset=pl.Series(offsets), likes=likes)
    place = np.arange(events, dtype=np.float64)
    late = rng.choice(events, round(_DISPLACED * events), replace=False)
    place[late] += rng.uniform(1, 200, len(late))
    repeated = rng.choice(events, round(_DUPLICATE * events), replace=False)
    undated = rng.choice(events, _EMPTY_TIMESTAMPS, replace=False)
    lost = log[undated].with_columns(
        t=pl.lit(None, dtype=pl.Int64), offset=pl.lit(0, dtype=pl.Int64), event_id="lost-" + pl.col("event_id")
    )
    log = pl.concat([log, log[repeated], lost])
    place = np.concatenate([place, place[repeated] + rng.uniform(1, 200, len(repeated)), undated + 0.5])
    log = log[np.argsort(place, kind="stable")]
    dated = log["t"].drop_nulls().to_numpy()
    return log, {
        "exact_duplicates": len(repeated),
        "stepped_back": int((np.diff(dated) < 0).sum()),
        "missing_cells": int(log["likes"].null_count()),
        "empty_timestamps": len(undated),
        "other_offsets": int((log["offset"] != 0).sum()),
    }


def _written_time() -> pl.Expr:
    """ISO 8601 with the row's own offset; UTC is written Z."""
    text = pl.from_epoch(pl.col("t") + pl.col("offset"), time_unit="s").dt.to_string("%Y-%m-%dT%H:%M:%S")
    suffix = pl.col("offset").replace_strict({0: "Z", 7200: "+02:00", -18_000: "-05:00", 19_800: "+05:30"})
    return (text + suffix).alias(COLUMNS[0])
