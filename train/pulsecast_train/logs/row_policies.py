"""The treatment of rows before they become steps: cells to numbers, order, duplicates; counted or refused.

Rows are kept small, because there may be ten million: names as numbers, identities as 64-bit hashes with a new random
key for every reading. In a log of ten million rows the chance that two different ids share a hash is 3 in a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from pulsecast.errors import DataError

from .config import LogConfig
from .data_report import MAX_LINES, Finding
from .looking.choices import Reading, undecided

YOUNG_US, OLD_US = 12 * 3_600_000_000, 3 * 86_400_000_000  # ages at which totals have a third of their end, and all
_MOST_CLASHES = 0.2  # of the rows, for a choice between copies
ENOUGH_EVENTS = 20  # of each age, to compare


@dataclass(frozen=True, kw_only=True, eq=False)
class LogRows:
    """The rows of one or more files.

    frame    file (UInt16) and series (UInt32), indices into `files` and `series`; line (UInt32); t (Int64,
             microseconds since 1970, UTC); id and user (UInt64 hashes, null where empty) where such a column is named;
             category (UInt8, null for a kind that is not counted) likewise; one Float64 per name in `metrics`,
             null where missing
    """

    frame: pl.DataFrame
    files: tuple[str, ...]
    series: tuple[str, ...]
    metrics: tuple[str, ...]

    @property
    def said(self) -> tuple[str, ...]:
        """Columns in which copies of a row agree, besides its time."""
        return (*self.metrics, *(name for name in ("category",) if name in self.frame.columns))

    def only(self, frame: pl.DataFrame) -> LogRows:
        """Return these rows with another frame."""
        return replace(self, frame=frame)

    def where(self, row: int) -> str:
        """Return how a message names row `row` of the frame."""
        return f"{self.files[self.frame['file'][row]]} line {self.frame['line'][row]}"

    def findings(self, policy: str, sentence: str, rows: pl.DataFrame) -> list[Finding]:
        """Return one finding per file that `rows` (columns file and line) come from; none if there are none."""
        parts = rows.select("file", "line").partition_by("file", maintain_order=True) if len(rows) else []
        return [
            Finding(
                policy=policy,
                sentence=sentence,
                rows=len(part),
                file=self.files[part["file"][0]],
                lines=tuple(part["line"].bottom_k(MAX_LINES).sort().to_list()),
            )
            for part in parts
        ]


def stepped_back(rows: LogRows) -> list[Finding]:
    """Return the number of rows earlier than the row before them in their series; reading sorts them."""
    if len(rows.series) == 1 and rows.frame["t"].is_sorted():
        return []
    earlier = pl.col("t") < (pl.col("t").shift(1) if len(rows.series) == 1 else pl.col("t").shift(1).over("series"))
    sentence = "rows were earlier than the row before them and have been sorted"
    return rows.findings("out-of-order", sentence, rows.frame.filter(earlier))


def sorted_rows(rows: LogRows) -> LogRows:
    """Return the rows by series and time; those of one instant keep the order of their files."""
    frame = rows.frame
    if len(rows.series) == 1:
        return rows if frame["t"].is_sorted() else rows.only(frame.sort("t", maintain_order=True))
    return rows.only(frame.sort("series", "t", maintain_order=True))


def without_copies(rows: LogRows, config: LogConfig) -> tuple[LogRows, list[Finding]]:
    """Return the rows with every event once, identified by id; rows without an id are kept.

    Raises DataError if copies differ and `config.on_conflict` is "refuse".
    """
    ids = rows.frame["id"]
    found = rows.findings(
        "no-identity",
        "rows have no id and are kept, because their copies cannot be recognised",
        rows.frame.filter(ids.is_null()) if ids.null_count() else rows.frame.head(0),
    )
    at = _repeated(ids).arg_true()
    bare = rows.only(rows.frame.drop("id"))
    dropped: list[int] = []
    if len(at):
        copies = rows.frame[at].insert_column(0, at.alias("row"))
        words = ("the same id", "another time or other values")
        dropped, more = _copies(rows, copies, ["id"], config, words)
        found += more
    return bare.only(_without(bare.frame, dropped)), found


def without_repeated_samples(rows: LogRows, config: LogConfig) -> tuple[LogRows, list[Finding]]:
    """Return sorted rows with every instant of a series once; raises DataError as `without_copies` does."""
    shared = _same_instant(rows)
    if not shared.any():
        return rows, []
    copies = rows.frame.with_row_index("row").filter(shared)
    words = ("the same timestamp", "other values")
    dropped, found = _copies(rows, copies, ["series", "t"], config, words)
    return rows.only(_without(rows.frame, dropped)), found


def same_instant_events(rows: LogRows) -> list[Finding]:
    """Return the number of sorted rows that equal another one; without ids, they are separate events."""
    copies = rows.frame.filter(_same_instant(rows))
    repeated = copies.filter(~pl.struct("series", "t", *rows.said).is_first_distinct()) if len(copies) else copies
    sentence = "rows equal another one and are kept as separate events, because no id column identifies copies"
    return rows.findings("same-instant-events", sentence, repeated)


def _repeated(keys: pl.Series) -> pl.Series:
    """Return which of `keys` (UInt64) occur more than once; sorting takes a tenth of the time of a hash table."""
    known = np.sort(keys.drop_nulls().to_numpy())
    twice = pl.Series(np.unique(known[1:][known[1:] == known[:-1]]), dtype=pl.UInt64)
    return keys.is_in(twice.implode()).fill_null(value=False)


def _same_instant(rows: LogRows) -> pl.Series:
    """Return which of the sorted rows share series and time with a neighbour."""
    t, series = rows.frame["t"].to_numpy(), rows.frame["series"].to_numpy()
    same = (t[1:] == t[:-1]) & (series[1:] == series[:-1])  # (rows - 1,)
    return pl.Series(np.concatenate(([False], same)) | np.concatenate((same, [False])), dtype=pl.Boolean)


def _conflict(message: str, clashing: int, rows: LogRows) -> DataError:
    """Return the error for copies that disagree; where most rows do, keeping one of each would lose the log."""
    if clashing > _MOST_CLASHES * len(rows.frame):
        return DataError(
            f"{message}, which drops rows: {clashing:,} of {len(rows.frame):,} disagree. If a column names several "
            "series, pass --series-column; if each row is an event, --events --step 1d; if another column has the "
            "hour, --time-of-day"
        )
    keep = (("the first copy is right", "first"), ("the last copy is right", "last"))
    return undecided(message, [Reading(words=words, changes={"on_conflict": which}) for words, which in keep])


def _without(frame: pl.DataFrame, rows: Sequence[int]) -> pl.DataFrame:
    if not rows:
        return frame
    kept = np.ones(len(frame), dtype=np.bool_)
    kept[np.asarray(rows, dtype=np.int64)] = False
    return frame.filter(pl.Series(kept))


def _copies(
    rows: LogRows, copies: pl.DataFrame, key: list[str], config: LogConfig, words: tuple[str, str]
) -> tuple[list[int], list[Finding]]:
    """Return which rows of the log to drop, of the `copies` that share a `key`, and the sentence about them."""
    same, other = words
    once = copies.select(pl.struct(list(dict.fromkeys([*key, "t", *rows.said]))).is_first_distinct()).to_series()
    exact, left = copies.filter(~once), copies.filter(once)
    found = rows.findings("exact-duplicate", "rows repeat an earlier one and have been dropped", exact)
    dropped = exact["row"].to_list()
    clash = left.filter(pl.struct(key).is_duplicated())
    if len(clash) and config.on_conflict == "refuse":
        first = clash.join(clash.head(1), on=key, how="semi", maintain_order="left")
        places = " and ".join(
            f"{rows.files[file]} line {line}" for file, line in first.select("file", "line").rows()[:2]
        )
        raise _conflict(f"{places} have {same} and {other}; choose --on-conflict first or last", len(clash), rows)
    if len(clash):
        copy = pl.struct(key)
        kept = copy.is_first_distinct() if config.on_conflict == "first" else copy.is_last_distinct()
        losers = clash.filter(~kept)
        sentence = f"rows have {same} as another row and {other}; the {config.on_conflict} one in the file was kept"
        found += rows.findings("conflicting-duplicate", sentence, losers)
        dropped += losers["row"].to_list()
    return dropped, found


def only_mature(rows: LogRows, lag_s: int) -> tuple[LogRows, list[Finding]]:
    """Return the rows at the times when their values were complete, without rows that are not complete yet.

    Raises DataError if none is.
    """
    latest, lag = rows.frame["t"].max(), lag_s * 1_000_000
    moved = rows.frame.with_columns(pl.col("t") + lag)
    young = moved.filter(pl.col("t") > latest)
    if len(young) == len(moved):
        raise DataError(f"{rows.where(0)} and all other rows are younger than the maturity; shorten --maturity")
    sentence = "rows were not complete by the end of the log (maturity) and have been dropped"
    return rows.only(moved.filter(pl.col("t") <= latest)), rows.findings("immature", sentence, young)


def refuse_growing(rows: LogRows) -> None:
    """Raise DataError if the youngest events have far smaller values than old ones: totals that posts still collect."""
    if not rows.metrics or len(rows.frame) == 0:
        return
    times = rows.frame["t"].to_numpy()
    age_us = pl.Series(times.max() - times)
    for metric in rows.metrics:
        young = rows.frame[metric].filter(age_us <= YOUNG_US).drop_nulls()
        old = rows.frame[metric].filter(age_us >= OLD_US).drop_nulls()
        if min(len(young), len(old)) < ENOUGH_EVENTS:
            continue
        now, then = float(young.median()), float(old.median())  # type: ignore[arg-type]
        if 0 <= now < 0.5 * then:
            raise DataError(
                f"{rows.where(int(times.argmax()))}: {metric.removeprefix('metric ')} of events of the last 12 "
                f"hours has a median of {now:g}, and {then:g} before, as totals have that events collect later; choose "
                "--maturity, such as 2d, or --maturity 0 if each value is final when its row is written"
            )


def capped_users(rows: LogRows, config: LogConfig) -> tuple[LogRows, list[Finding]]:
    """Return the sorted rows with at most `config.user_cap` of one user in one step, the first ones; counted."""
    if config.user_cap is None or config.step_s is None:
        return rows, []
    keys = ["series", pl.col("t") // (config.step_s * 1_000_000), "user"]
    place = pl.int_range(pl.len(), dtype=pl.UInt32).over(keys)
    over = rows.frame.select((place >= config.user_cap) & pl.col("user").is_not_null()).to_series()
    sentence = f"rows were beyond {config.user_cap} of one user in one step and have been dropped"
    return rows.only(rows.frame.filter(~over)), rows.findings("user-cap", sentence, rows.frame.filter(over))


def rising(rows: LogRows, config: LogConfig) -> tuple[LogRows, list[Finding]]:
    """Return sorted readings of counters that never fall: the count before a restart is added to the readings after it.

    Raises DataError at the first fall unless `config.allow_reset`.
    """
    found: list[Finding] = []
    frame = rows.frame
    for metric in rows.metrics:
        before = pl.col(metric).forward_fill().over("series").shift(1).over("series")
        frame = frame.with_columns(before.alias("before"))
        falls = frame.select((pl.col(metric) < pl.col("before")).fill_null(value=False)).to_series()
        fallen = frame.filter(falls)
        if len(fallen) and not config.allow_reset:
            row = fallen.row(0, named=True)
            raise DataError(
                f"{rows.files[row['file']]} line {row['line']}: {metric.removeprefix('metric ')} falls from "
                f"{row['before']:g} to {row[metric]:g}, and a counter never falls; use --kind gauge for a number that "
                "may fall, or --allow-reset if it restarted from 0"
            )
        sentence = f"readings of {metric.removeprefix('metric ')} fell and were taken as a new start from 0"
        found += rows.findings("counter-reset", sentence, fallen)
        lost = pl.when(falls).then(pl.col("before")).otherwise(0.0)
        frame = frame.with_columns(lost.alias("lost")).with_columns(
            pl.col(metric) + pl.col("lost").cum_sum().over("series")
        )
    return rows.only(frame.drop("before", "lost", strict=False)), found
