"""Engines that take turns: the rounds of the programs that compare compiled C with other engines.

In every round each engine is timed once for each row, in an order that rotates, so that all run under the same
conditions; a ratio is taken within a round, and the median of the rounds is shown with its interval.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from pulsecast.model.windows import Windows

from ..analysis.statistics import Estimate, median_of_runs

INPUTS = 64  # different windows or batches, at most
Input = TypeVar("Input")
_AS_THEY_ARE: Mapping[str, Callable[[Windows], Any]] = {}


@dataclass(frozen=True, kw_only=True)
class Work:
    """A row of the table: `timers[name]()` measures one round and returns the microseconds of `windows` forecasts."""

    name: str
    windows: int
    timers: dict[str, Callable[[], float]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Microseconds a window of each name in every round; the ratio to the first name is taken within a round."""

    name: str
    rounds_us: dict[str, list[float]]

    def window_us(self, name: str) -> Estimate:
        """Return the median of the rounds of `name`, with its interval."""
        return median_of_runs(self.rounds_us[name], seed=7)

    def ratio(self, name: str) -> Estimate:
        """Return the time of `name` over the time of the first name."""
        return ratio(self.rounds_us[name], next(iter(self.rounds_us.values())))


def ratio(theirs: list[float], ours: list[float]) -> Estimate:
    """Return the median over rounds of theirs / ours, with its interval."""
    return median_of_runs([a / b for a, b in zip(theirs, ours, strict=True)], seed=7)


def predicting(
    calls: Mapping[str, Callable[[Any], object]],
    windows: Windows,
    batch: int,
    round_s: float,
    given: Mapping[str, Callable[[Windows], Any]] = _AS_THEY_ARE,
) -> Work:
    """Return the row of `batch` windows a call, drawn from `windows`; `calls` by name.

    given  what a call takes in their place, made outside its time
    """
    count = min(INPUTS, max(2, 4096 // batch))
    rng = np.random.default_rng(batch)
    inputs = [windows.take(rng.integers(0, len(windows), batch)) for _ in range(count)]
    timers = {
        name: timer(call, inputs if name not in given else [given[name](one) for one in inputs], nothing, round_s)
        for name, call in calls.items()
    }
    return Work(name=f"batch {batch}", windows=batch, timers=timers)


def nothing() -> None:
    """The work between calls that postpone nothing."""


def timer(
    call: Callable[[Input], object], inputs: Sequence[Input], between: Callable[[], object], seconds: float
) -> Callable[[], float]:
    """Return a timer of one round: the median microseconds of `call` on `inputs` in turn, `between` done untimed."""
    clock = time.perf_counter_ns
    turn = itertools.cycle(inputs)

    def measured() -> float:
        latencies: list[int] = []
        call(next(turn))  # refills the caches after another engine
        until = clock() + round(seconds * 1e9)
        ended = 0
        while ended < until or len(latencies) < 3:
            argument = next(turn)
            between()
            began = clock()
            call(argument)
            ended = clock()
            latencies.append(ended - began)
        return float(np.median(latencies)) / 1e3

    return measured


def estimate_text(estimate: Estimate) -> str:
    """Return a ratio as text, with its interval if there are enough rounds."""
    interval = f" ({estimate.low:.2f} to {estimate.high:.2f})" if estimate.low and estimate.high else ""
    return f"{estimate.value or 0:.2f}{interval}"


def add_round_options(parser: argparse.ArgumentParser, *, round_s: float, rounds: int = 9) -> None:
    """Add `--rounds` and `--round-seconds`, with checks of their ranges."""
    parser.add_argument("--rounds", type=count, default=rounds, help=f"at least 1; {rounds}")
    parser.add_argument(
        "--round-seconds", type=_seconds, default=round_s, help=f"for each engine in each row of a round; {round_s}"
    )


def count(text: str) -> int:
    """Return the number of rounds, or starts, that an option says."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count; expected 1, 2, ...")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds; expected 0 to 3600")
    return seconds


def take_rounds(works: list[Work], rounds: int) -> list[Row]:
    """Measure every work in `rounds` rounds, after one warm-up round."""
    rows = [Row(name=work.name, rounds_us={name: [] for name in work.timers}) for work in works]
    for turn in range(-1, rounds):  # the first round warms up
        for work, row in zip(works, rows, strict=True):
            names = list(work.timers)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                took_us = work.timers[name]() / work.windows
                if turn >= 0:
                    row.rounds_us[name].append(took_us)
    return rows
