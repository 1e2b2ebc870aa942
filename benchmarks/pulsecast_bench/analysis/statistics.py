"""Statistics of raw nanoseconds. A report's figures are computed here, on reading; none is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Latencies = NDArray[np.int64]  # (calls,) nanoseconds

# Calls that a percentile needs: the least q with P(Binomial(q, 1 - p) <= 1) <= 0.01. This is LoadGen's rule for early
# stopping (99 % sure that at least two calls lie above the percentile).
REQUIRED_CALLS = {50.0: 11, 90.0: 64, 95.0: 130, 99.0: 662, 99.9: 6636}
JUDGED_WINDOWS = 3
STABLE_RATIO = 1.10
BOOTSTRAP_DRAWS = 2000
# With fewer processes an interval consists of their own two or three values and does not predict the next one.
BOOTSTRAP_RUNS = 5
CONFIDENCE = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its 95 % bootstrap interval over processes; `reason` explains a None."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stability:
    """Of the last three windows of requests, largest over smallest; `stable` is None if there are too few."""

    latency_ratio: float | None
    throughput_ratio: float | None
    stable: bool | None
    reason: str | None


def percentiles(runs: Sequence[Latencies], ranks: Sequence[float], *, seed: int) -> tuple[Estimate, ...]:
    """Return a percentile of all runs' calls together for each of `ranks` (keys of REQUIRED_CALLS).

    A percentile is the latency of a real call: the smallest one that at least `rank` percent of the calls do not
    exceed. The interval resamples whole runs, because calls of one process are alike.
    """
    pooled = np.concatenate(runs) if runs else np.empty(0, np.int64)
    order = np.argsort(pooled, kind="stable")
    ordered = pooled[order]
    run_of = np.repeat(np.arange(len(runs)), [len(run) for run in runs])[order]
    intervals = _percentile_intervals(ordered, run_of, len(runs), ranks, seed)
    found = []
    for rank, interval in zip(ranks, intervals, strict=True):
        needed = REQUIRED_CALLS[rank]
        if len(ordered) < needed:
            found.append(Estimate(value=None, reason=f"{len(ordered)} calls; p{rank:g} needs {needed}"))
            continue
        value = float(ordered[_nearest_rank(len(ordered), rank)])
        low, high = interval or (None, None)
        found.append(Estimate(value=value, low=low, high=high, reason=None if interval else _few_runs(len(runs))))
    return tuple(found)


def is_known(runs: Sequence[Latencies], *, seed: int) -> bool:
    """Return True if the median's interval is at most STABLE_RATIO wide, or if there are too few `runs` for one.

    >>> is_known([np.full(100, level) for level in (10, 10, 10, 11, 11)], seed=7)
    True
    """
    (median,) = percentiles(runs, (50.0,), seed=seed)
    return median.low is None or median.high is None or median.high <= STABLE_RATIO * median.low


def _nearest_rank(count: int, rank: float) -> int:
    return max(0, int(np.ceil(rank * count / 100 - 1e-9)) - 1)


def _percentile_intervals(
    ordered: Latencies, run_of: NDArray[np.int64], runs: int, ranks: Sequence[float], seed: int
) -> list[tuple[float, float] | None]:
    if runs < BOOTSTRAP_RUNS or not len(ordered):
        return [None] * len(ranks)
    draws, times = _draws(runs, seed)
    values = np.empty((len(draws), len(ranks)))
    for i, weights in enumerate(draws):
        below = np.cumsum(weights[run_of])
        at = np.searchsorted(below, np.asarray(ranks) / 100 * below[-1] - 1e-9)
        values[i] = ordered[np.minimum(at, len(ordered) - 1)]
    return [_interval(column, times) for column in values.T]


def _draws(runs: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (distinct draws, runs): how often each run is in a draw with replacement; and how often it occurs."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(runs, np.full(runs, 1 / runs), size=BOOTSTRAP_DRAWS)
    distinct, times = np.unique(drawn, axis=0, return_counts=True)
    return distinct, times


def _interval(values: NDArray[np.float64], times: NDArray[np.int64]) -> tuple[float, float]:
    spread = np.sort(np.repeat(values, times))
    low, high = np.quantile(spread, CONFIDENCE, method="inverted_cdf")
    return float(low), float(high)


def _few_runs(runs: int) -> str:
    return f"no interval: {runs} processes, {BOOTSTRAP_RUNS} are needed"


def median_of_runs(values: Sequence[float], *, seed: int) -> Estimate:
    """Return the median over processes of one value each."""
    if not values:
        return Estimate(value=None, reason="not measured")
    array = np.asarray(values, np.float64)
    if len(array) < BOOTSTRAP_RUNS:
        return Estimate(value=float(np.median(array)), reason=_few_runs(len(array)))
    draws, times = _draws(len(array), seed)
    medians = np.array([np.median(np.repeat(array, draw)) for draw in draws])
    low, high = _interval(medians, times)
    return Estimate(value=float(np.median(array)), low=low, high=high)


def ratio_of_runs(first: Sequence[float], second: Sequence[float], *, seed: int) -> Estimate:
    """Return median(second) / median(first) of two benchmarks' processes, one value each.

    The two were not measured side by side, so each side's processes are resampled separately.

    >>> ratio_of_runs([100.0] * 5, [110.0] * 5, seed=7)
    Estimate(value=1.1, low=1.1, high=1.1, reason=None)
    """
    if not first or not second:
        return Estimate(value=None, reason="not measured")
    sides = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if min(sides[0].min(), sides[1].min()) <= 0:
        return Estimate(value=None, reason="a ratio needs values above 0")
    value = float(np.median(sides[1]) / np.median(sides[0]))
    fewest = min(map(len, sides))
    if fewest < BOOTSTRAP_RUNS:
        return Estimate(value=value, reason=_few_runs(fewest))
    rng = np.random.default_rng(seed)
    below, above = (np.median(rng.choice(side, (BOOTSTRAP_DRAWS, len(side))), axis=1) for side in sides)
    low, high = np.quantile(above / below, CONFIDENCE, method="inverted_cdf")
    return Estimate(value=value, low=float(low), high=float(high))


def paired_ratio(first: Mapping[int, float], second: Mapping[int, float], *, seed: int) -> Estimate:
    """Return the median over rounds of second / first; keys are rounds; a round on one side only is skipped.

    Processes of one round run within seconds of each other, so the machine's changes affect both.

    >>> paired_ratio({0: 100.0, 1: 200.0}, {0: 110.0, 1: 220.0, 2: 1.0}, seed=7).value
    1.1
    """
    return median_of_runs([second[turn] / first[turn] for turn in sorted(first.keys() & second.keys())], seed=seed)


def throughput(latencies: Latencies, batch: int) -> float:
    """Return windows per second of a closed loop with one caller, without its own few hundred nanoseconds per call.

    >>> throughput(np.array([1_000_000, 3_000_000]), 8)
    4000.0
    """
    return float(batch * len(latencies) * 1e9 / latencies.sum())


def paired_overhead(runtime: Latencies, bare: Latencies, block: int) -> float:
    """Return by how much `runtime` calls take longer than `bare` ones: 0.05 is 5 %.

    In each round of 2 * block calls a side the medians are compared, and the median of these ratios is taken: a change
    of the machine's speed affects both sides of a round.

    >>> paired_overhead(np.array([11, 11, 22, 22]), np.array([10, 10, 20, 20]), 1)
    0.10000000000000009
    """
    rounds = np.median(runtime.reshape(-1, 2 * block), axis=1) / np.median(bare.reshape(-1, 2 * block), axis=1)
    return float(np.median(rounds)) - 1


def stability(latencies: Latencies, windows: Sequence[int], least: int) -> Stability:
    """Judge the last three windows of requests; `windows` are their first calls, and one of fewer than `least` calls
    (the limit cut it short) does not count.
    """
    parts = [part for part in np.split(latencies, list(windows[1:])) if len(part) >= least][-JUDGED_WINDOWS:]
    if len(parts) < JUDGED_WINDOWS:
        reason = f"{len(latencies)} calls make {len(parts)} windows of {least} requests; {JUDGED_WINDOWS} are needed"
        return Stability(latency_ratio=None, throughput_ratio=None, stable=None, reason=reason)
    latency = _ratio([float(np.median(part)) for part in parts])
    rate = _ratio([throughput(part, 1) for part in parts])
    stable = latency <= STABLE_RATIO and rate <= STABLE_RATIO
    differ = f"the last {JUDGED_WINDOWS} windows differ by {latency:.2f}x in latency, {rate:.2f}x in rate"
    return Stability(latency_ratio=latency, throughput_ratio=rate, stable=stable, reason=None if stable else differ)


def _ratio(values: Sequence[float]) -> float:
    return max(values) / min(values)
