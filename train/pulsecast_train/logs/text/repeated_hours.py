"""Both rows of an hour that a clock change repeats, told apart by their order in the file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pulsecast.errors import DataError

from ..places import Places

_HOUR_US = 3_600_000_000


@dataclass(kw_only=True, eq=False)
class BothHours:
    """Which rows are of the second hour: of two rows with one local time the later one, in a file in order of time."""

    _seen: dict[tuple[int, int], int] = field(default_factory=dict)  # (series, local time) -> rows

    def second(self, naive: pl.Series, twice: pl.Series, series: pl.Series | None, places: Places) -> pl.Series:
        """Return which rows of a batch lie in the second hour; `twice` are those whose local time exists twice.

        Raises DataError if a local time stands more than twice, or if the rows around it are not in order of time.
        """
        rows = twice.fill_null(value=False).arg_true().to_numpy()
        times = naive.cast(pl.Int64).fill_null(0).to_numpy()  # (rows,)
        codes = np.zeros(len(naive), dtype=np.int64) if series is None else series.cast(pl.Int64).to_numpy()
        falls = _falls(times, codes)
        later = np.zeros(len(naive), dtype=np.bool_)
        for row in rows:
            key = (int(codes[row]), int(times[row]))
            self._seen[key] = count = self._seen.get(key, 0) + 1
            if count > 2:
                raise DataError(
                    f"{places.where(int(row))}: its local time exists twice and stands here for the third time; write "
                    "the log's timestamps in UTC or with an offset"
                )
            direction = falls[codes[row]]
            if direction is None:
                raise DataError(
                    f"{places.where(int(row))}: its local time exists twice, and the file is not in order of time, "
                    "which would say which row is of the second hour; sort it as it was written, or write the log's "
                    "timestamps in UTC or with an offset"
                )
            later[row] = (count == 2) != direction
        return pl.Series(later)

    def refuse_single(self, file: str) -> None:
        """Raise DataError if a repeated local time stands only once: it could be of either hour."""
        single = [time for (_, time), count in self._seen.items() if count == 1]
        if single:
            stamp = str(np.datetime64(min(single), "us"))[:16].replace("T", " ")
            raise DataError(
                f"{file}: {stamp} exists twice on its clock and stands only once in the log, so --repeated-hour both "
                "cannot tell which it is; choose first or second"
            )


def _falls(times: NDArray[np.int64], codes: NDArray[np.int64]) -> dict[int, bool | None]:
    """Return for each series whether its times fall (newest first), None if they are in no order.

    Where the clock is put back, times in order go back by an hour at most.
    """
    found: dict[int, bool | None] = {}
    for code in np.unique(codes):
        steps = np.diff(times[(codes == code) & (times != 0)])
        rises, falls = bool((steps >= -_HOUR_US).all()), bool((steps <= _HOUR_US).all())
        whole = int(steps.sum())
        found[int(code)] = None if not (rises or falls) else (whole < 0 if rises and falls else falls)
    return found
