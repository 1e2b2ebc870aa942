"""`python -m pulsecast_bench.claims.reading`: reading a long event log here against `pandas.read_csv` on the same file.

Both read the whole file in a process of their own, in alternation, with the file in the page cache and their imports
done. pandas with its defaults only makes a table of it; pulsecast parses the times, drops repeated events by
id and returns the hourly series with its report. pandas is only a peer here; pulsecast does not depend on it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pulsecast.foundation import strict_json

from ..analysis.statistics import Estimate, median_of_runs

SPAN_S = 400 * 86_400
START_S = 1_704_067_200  # 2024-01-01T00:00:00Z
CHUNK = 1_000_000
DUPLICATES = 0.0075
TARGET_RATIO = 1.0


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One process: seconds of reading, and its peak memory, before (imports alone) and after."""

    seconds: float
    idle_bytes: int
    peak_bytes: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class ReadingCost:
    """Processes of both sides; the ratios are pulsecast over pandas, medians of the pairs."""

    rows: int
    file_bytes: int
    pandas: tuple[Reading, ...]
    pulsecast: tuple[Reading, ...]
    time_ratio: Estimate
    memory_ratio: Estimate


def measure_reading(*, rows: int, pairs: int) -> ReadingCost:
    """Return the cost of both readers on one generated log of `rows` rows."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.csv"
        write_log(log, rows)
        found: dict[str, list[Reading]] = {"pandas": [], "pulsecast": []}
        for pair in range(pairs):
            for side in sorted(found, reverse=pair % 2 == 1):
                _into_page_cache(log)
                found[side].append(_in_a_process(side, log))
        size = log.stat().st_size
    sides = list(zip(found["pulsecast"], found["pandas"], strict=True))
    return ReadingCost(
        rows=rows,
        file_bytes=size,
        pandas=tuple(found["pandas"]),
        pulsecast=tuple(found["pulsecast"]),
        time_ratio=median_of_runs([ours.seconds / theirs.seconds for ours, theirs in sides], seed=7),
        memory_ratio=median_of_runs([ours.peak_bytes / theirs.peak_bytes for ours, theirs in sides], seed=7),
    )


def write_log(path: Path, rows: int, *, seed: int = 7) -> None:
    """Write `rows` sorted events (0.75 % repeat the event before): timestamp, event_id, user_id, likes."""
    import polars as pl  # not at the top: the other side's process must load pandas only

    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        for first in range(0, rows, CHUNK):
            count = min(CHUNK, rows - first)
            # A chunk covers its share of the span, so that the whole file is sorted.
            low, high = (START_S + SPAN_S * at // rows for at in (first, first + count))
            seconds = np.sort(rng.integers(low, max(high, low + 1), count))
            copied = rng.random(count) < DUPLICATES
            copied[0] = False
            source = np.maximum.accumulate(np.where(copied, 0, np.arange(count)))  # (count,) the row each one repeats
            users, likes = rng.zipf(1.3, count) % 99_991, rng.geometric(0.25, count) - 1
            chunk = pl.DataFrame(
                {
                    "timestamp": pl.from_epoch(pl.Series(seconds), time_unit="s").dt.to_string("%Y-%m-%dT%H:%M:%SZ"),
                    "event_id": pl.Series(np.arange(first, first + count) + 10**15).cast(pl.String),
                    "user_id": users,
                    "likes": likes,
                }
            )
            chunk[source].write_csv(file, include_header=first == 0)


def read_with_pandas(path: Path) -> int:
    """Return the number of rows that `pandas.read_csv` finds with its defaults."""
    pandas = importlib.import_module("pandas")
    return len(pandas.read_csv(path))


def read_with_pulsecast(path: Path) -> int:
    """Return the number of rows that were read for an hourly series of distinct events."""
    from pulsecast_train.logs.config import LogConfig
    from pulsecast_train.logs.reader import read_log

    config = LogConfig(time="timestamp", id="event_id", events=True, step="1h")
    return read_log([path], config)[1].rows_read


SIDES: dict[str, Callable[[Path], int]] = {"pandas": read_with_pandas, "pulsecast": read_with_pulsecast}


def _in_a_process(side: str, log: Path) -> Reading:
    child = [sys.executable, "-m", "pulsecast_bench.claims.reading", "--side", side, "--log", str(log)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    answer = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return Reading(**json.loads(answer))


def _one_side(side: str, log: Path) -> Reading:
    importlib.import_module({"pandas": "pandas", "pulsecast": "pulsecast_train.logs.reader"}[side])
    idle = _peak_bytes()
    began = time.perf_counter()
    rows = SIDES[side](log)
    seconds = time.perf_counter() - began
    return Reading(seconds=seconds, idle_bytes=idle, peak_bytes=_peak_bytes(), rows=rows)


def _peak_bytes() -> int:
    """Return the peak memory of this process; getrusage would include the parent's memory at the fork."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _into_page_cache(path: Path) -> None:
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


def _text(cost: ReadingCost) -> str:
    lines = [
        f"{cost.rows:,} rows, {cost.file_bytes / 1e6:,.0f} MB of CSV, {len(cost.pandas)} processes of each in turn"
    ]
    for name, found in (("pandas.read_csv", cost.pandas), ("pulsecast", cost.pulsecast)):
        seconds, peak = (
            float(np.median([getattr(one, field) for one in found])) for field in ("seconds", "peak_bytes")
        )
        lines.append(f"{name:<16}{seconds:7.2f} s  {peak / 1e6:7,.0f} MB at most")
    lines.append(
        f"ratio           {cost.time_ratio.value:7.2f}    {cost.memory_ratio.value:7.2f}; target under 1 for time"
    )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Print both ratios; exit 1 if pulsecast takes longer, 6 if pandas is missing."""
    parser = argparse.ArgumentParser(prog="python -m pulsecast_bench.claims.reading", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.side:
        print(json.dumps(strict_json.to_json(_one_side(options.side, options.log))))
        return 0
    if importlib.util.find_spec("pandas") is None:
        print("error: this comparison needs pandas, which is not installed: pip install pandas", file=sys.stderr)
        return 6
    cost = measure_reading(rows=options.rows, pairs=options.pairs)
    print(json.dumps(strict_json.to_json(cost)) if options.format == "json" else _text(cost))
    return int((cost.time_ratio.value or 0.0) > TARGET_RATIO)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
