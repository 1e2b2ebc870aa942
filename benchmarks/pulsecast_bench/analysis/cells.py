"""The figures of one case: latencies, rate and stability over its processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..results.result import Result
from ..results.run import Run, decode
from .statistics import Estimate, Stability, median_of_runs, percentiles, stability, throughput

RANKS = (50.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """An artifact at one batch; latencies are in nanoseconds per call.

    stable      None with too few requests to judge; `instability` says what differed, or what is missing
    medians_ns  the smallest and the largest median of its processes
    """

    batch: int
    processes: int
    calls: int
    p50_ns: Estimate
    p90_ns: Estimate
    p95_ns: Estimate
    p99_ns: Estimate
    p999_ns: Estimate
    windows_per_s: Estimate
    cpu_ns_per_window: float
    stable: bool | None
    instability: str | None
    medians_ns: tuple[float, float]


def cell_of(result: Result, runs: Sequence[Run]) -> Cell:
    """Return the figures of the processes of one case."""
    config, batch = result.config, runs[0].case.batch
    latencies = [decode(run.steady.latencies) for run in runs]
    p50, p90, p95, p99, p999 = percentiles(latencies, RANKS, seed=config.seed)
    judged = [
        stability(calls, run.steady.windows, config.window_calls) for calls, run in zip(latencies, runs, strict=True)
    ]
    stable = all_stable([one.stable for one in judged])
    calls = sum(map(len, latencies))
    medians = [float(np.median(one)) for one in latencies]
    return Cell(
        batch=batch,
        processes=len(runs),
        calls=calls,
        p50_ns=p50,
        p90_ns=p90,
        p95_ns=p95,
        p99_ns=p99,
        p999_ns=p999,
        windows_per_s=median_of_runs([throughput(one, batch) for one in latencies], seed=config.seed),
        cpu_ns_per_window=sum(run.steady.cpu_ns for run in runs) / (calls * batch),
        stable=stable,
        instability=_instability(judged, stable),
        medians_ns=(min(medians), max(medians)),
    )


def all_stable(judged: Sequence[bool | None]) -> bool | None:
    """Return False if any is, else None if any cannot be judged or there are none."""
    if False in judged:
        return False
    return None if None in judged or not judged else True


def _instability(judged: Sequence[Stability], stable: bool | None) -> str | None:
    """Return the number of unstable processes, and the reason of the worst one."""
    if stable:
        return None
    found = [one for one in judged if one.stable is stable]
    worst = max(found, key=lambda one: max(one.latency_ratio or 0.0, one.throughput_ratio or 0.0))
    return f"{len(found)} of {len(judged)} processes; {worst.reason}"
