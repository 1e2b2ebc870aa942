"""What a running server costs its callers, computed from `Result.wires` on reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..results.case import Case
from ..results.result import Result
from ..results.run import WireRun, decode
from .cells import all_stable
from .statistics import Estimate, Stability, median_of_runs, paired_ratio, percentiles, stability

RANKS = (50.0, 90.0, 99.0)


@dataclass(frozen=True, kw_only=True)
class WireRow:
    """A server in one protocol, asked over `connections` at once; one window a request.

    requests_per_s  answered, over the phase
    over_in_process median latency over that of `against` in a process of the same round, at the smallest batch
    client_ns       processor time that a caller took for each request: it is part of every latency
    deviation       largest difference of an answer from `against` in the callers' process, over the training range
    wrong           answers that differ by more than its tolerance
    """

    protocol: str
    connections: int
    against: str | None
    processes: int
    answers: int
    p50_ns: Estimate
    p90_ns: Estimate
    p99_ns: Estimate
    requests_per_s: Estimate
    over_in_process: Estimate
    client_ns: float | None
    deviation: float | None
    wrong: int
    stable: bool | None
    instability: str | None
    failures: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in a sentence."""
        return f"{self.protocol} at {self.connections} connection{'s' if self.connections > 1 else ''}"


def wire_rows(result: Result) -> tuple[WireRow, ...]:
    """Return one row for each number of connections, also where every process failed."""
    cases = [run.case for run in result.wires]
    cases += [one.case for one in result.failures if one.case.connections is not None]
    return tuple(_row(result, case) for case in sorted(dict.fromkeys(cases), key=lambda case: case.connections or 0))


def _row(result: Result, case: Case) -> WireRow:
    runs, seed = [run for run in result.wires if run.case == case], result.config.seed
    latencies = [decode(run.latencies) for run in runs]
    p50, p90, p99 = percentiles(latencies, RANKS, seed=seed)
    answers = sum(map(len, latencies))
    judged = [
        stability(calls, run.windows, result.config.window_calls) for calls, run in zip(latencies, runs, strict=True)
    ]
    rates = [len(calls) * 1e9 / run.wall_ns for calls, run in zip(latencies, runs, strict=True)]
    return WireRow(
        protocol=case.artifact,
        connections=case.connections or 1,
        against=runs[0].against if runs else None,
        processes=len(runs),
        answers=answers,
        p50_ns=p50,
        p90_ns=p90,
        p99_ns=p99,
        requests_per_s=median_of_runs(rates, seed=seed),
        over_in_process=_over_in_process(result, runs),
        client_ns=sum(run.cpu_ns for run in runs) / answers if answers else None,
        deviation=max((run.deviation for run in runs), default=None),
        wrong=sum(run.wrong for run in runs),
        stable=all_stable([one.stable for one in judged]),
        instability=_instability(judged),
        failures=tuple(f"process {one.repeat + 1}: {one.reason}" for one in result.failures if one.case == case),
    )


def _over_in_process(result: Result, runs: Sequence[WireRun]) -> Estimate:
    """Return the ratio to the artifact's own process of the same round: a slow minute meets both."""
    if not runs:
        return Estimate(value=None, reason="not measured")
    inside = {
        run.repeat: float(np.median(decode(run.steady.latencies)))
        for run in result.runs
        if run.case.artifact == runs[0].against and run.case.leading and run.case.batch == 1
    }
    if not inside:
        return Estimate(value=None, reason=f"{runs[0].against} was not measured with one window a call")
    asked = {run.repeat: float(np.median(decode(run.latencies))) for run in runs}
    return paired_ratio(inside, asked, seed=result.config.seed)


def _instability(judged: Sequence[Stability]) -> str | None:
    worst = [one for one in judged if one.stable is not True]
    if not worst:
        return None
    chosen = max(worst, key=lambda one: (one.stable is False, one.latency_ratio or 0.0, one.throughput_ratio or 0.0))
    return f"{len(worst)} of {len(judged)} processes; {chosen.reason}"
