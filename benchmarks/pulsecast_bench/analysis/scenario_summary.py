"""Latencies of queries in MLPerf's scenarios, computed from the raw nanoseconds of `Result.scenarios` on reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..results.result import Result
from ..results.run import ScenarioRun, decode
from .statistics import Estimate, median_of_runs, percentiles

RANKS = (50.0, 90.0, 99.0)


@dataclass(frozen=True, kw_only=True)
class ScenarioRow:
    """An artifact in one scenario; latencies are from when a query was due, in nanoseconds.

    waiting        share of all latency before `predict` began
    windows_per_s  answered, over the phase
    target_qps     planned queries a second (`server`)
    generator      the program that issued the queries
    invalid        LoadGen's reasons why the run is invalid; None if it is valid or LoadGen did not issue it
    """

    artifact: str
    scenario: str
    processes: int
    queries: int
    p50_ns: Estimate
    p90_ns: Estimate
    p99_ns: Estimate
    waiting: float
    windows_per_s: Estimate
    target_qps: Estimate
    generator: str
    invalid: str | None


def scenario_rows(result: Result) -> tuple[ScenarioRow, ...]:
    """Return one row for each artifact and scenario that was measured, scenario by scenario."""
    keys = dict.fromkeys((run.case.scenario or "", run.case.artifact) for run in result.scenarios)
    order = {subject.artifact: i for i, subject in enumerate(result.subjects)}
    rows = []
    for scenario, artifact in sorted(keys, key=lambda key: (key[0], order[key[1]])):
        runs = [run for run in result.scenarios if (run.case.scenario, run.case.artifact) == (scenario, artifact)]
        rows.append(_row(runs, seed=result.config.seed))
    return tuple(rows)


def _row(runs: Sequence[ScenarioRun], *, seed: int) -> ScenarioRow:
    latencies = [decode(run.latencies) for run in runs]
    service = sum(int(decode(run.service).sum()) for run in runs)
    total = sum(int(calls.sum()) for calls in latencies)
    p50, p90, p99 = percentiles(latencies, RANKS, seed=seed)
    rates = [run.windows * 1e9 / run.wall_ns for run in runs if run.wall_ns]
    case = runs[0].case
    return ScenarioRow(
        artifact=case.artifact,
        scenario=case.scenario or "",
        processes=len(runs),
        queries=sum(map(len, latencies)),
        p50_ns=p50,
        p90_ns=p90,
        p99_ns=p99,
        waiting=float(np.clip(1 - service / total, 0, 1)) if total else 0.0,
        windows_per_s=median_of_runs(rates, seed=seed),
        target_qps=median_of_runs([run.target_qps for run in runs if run.target_qps is not None], seed=seed),
        generator=", ".join(dict.fromkeys(run.generator for run in runs)),
        invalid=_invalid(runs),
    )


def _invalid(runs: Sequence[ScenarioRun]) -> str | None:
    verdicts = [run.loadgen.get("Result is") for run in runs if run.loadgen]
    bad = [verdict for verdict in verdicts if verdict not in (None, "VALID")]
    return f"{len(bad)} of {len(runs)} runs are {bad[0]} to LoadGen" if bad else None
