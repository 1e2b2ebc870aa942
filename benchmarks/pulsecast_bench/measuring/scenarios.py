"""Scenarios: queries that come by a rule, from LoadGen or from the loop here; both feed the same system under test.

The loop needs only numpy, for devices on which LoadGen cannot be installed. It is one thread: with one server and
arrival times that are known beforehand, a query that arrives during another's answer waits for its end, and its latency
counts from when it was due.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..results.case import SCENARIOS

Array = NDArray[np.float32]
Answer = Callable[[Sequence[int]], int]  # indices of held-out windows -> nanoseconds inside predict
_SPIN_NS = 200_000  # sleep is coarser than this: the rest of a wait polls the clock
LEAST_QUERIES = 100  # MLPerf's own minimum


@dataclass(frozen=True, kw_only=True)
class Load:
    """What to issue.

    windows      number of held-out windows to choose from
    least_s      until then, and until LEAST_QUERIES
    target_qps   queries a second in `server`
    expected_qps windows a second measured in the warm-up; they determine the windows of `offline`
    """

    scenario: str
    windows: int
    least_s: float
    target_qps: float
    expected_qps: float
    seed: int

    @property
    def offline_windows(self) -> int:
        """Windows of `offline`: enough for a tenth more than `least_s`, as in LoadGen."""
        return max(SCENARIOS["offline"].batch, int(1.1 * self.least_s * self.expected_qps))


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Nanoseconds of each query in the order of answering: due (from the start), from due to answered, in `predict`.

    `offline` has one query of many windows; its parts, answered one after the other, represent it.
    """

    due: Sequence[int]
    latencies: Sequence[int]
    service: Sequence[int]
    windows: int
    generator: str
    summary: dict[str, str]


def loop(load: Load, answer: Answer) -> Answered:
    """Issue the queries of `load` from this thread."""
    rng = np.random.default_rng(load.seed)
    if load.scenario == "server":
        return _open_loop(load, answer, rng)
    if load.scenario == "offline":
        return _all_at_once(load, answer, rng)
    return _closed_loop(load, answer, rng)


def arrivals_ns(target_qps: float, least_s: float, seed: int) -> list[int]:
    """Return when each query of a Poisson process is due, in nanoseconds from the start; one seed gives the same times.

    They continue until both `least_s` and LEAST_QUERIES are reached.
    """
    rng = np.random.default_rng(seed)
    due: list[int] = []
    clock = 0.0
    while clock < least_s * 1e9 or len(due) < LEAST_QUERIES:
        clock += rng.exponential(1e9 / target_qps)
        due.append(round(clock))
    return due


def _open_loop(load: Load, answer: Answer, rng: np.random.Generator) -> Answered:
    due = arrivals_ns(load.target_qps, load.least_s, load.seed)
    order = rng.integers(0, load.windows, len(due)).tolist()
    latencies, service = [], []
    began = time.perf_counter_ns()
    for at, window in zip(due, order, strict=True):
        _wait_until(began + at)
        service.append(answer((window,)))
        latencies.append(time.perf_counter_ns() - began - at)
    return _answered(due, latencies, service, len(due))


def _wait_until(moment_ns: int) -> None:
    left = moment_ns - time.perf_counter_ns()
    if left > _SPIN_NS:
        time.sleep((left - _SPIN_NS) / 1e9)
    while time.perf_counter_ns() < moment_ns:
        pass


def _closed_loop(load: Load, answer: Answer, rng: np.random.Generator) -> Answered:
    batch = SCENARIOS[load.scenario].batch
    due: list[int] = []
    latencies: list[int] = []
    service: list[int] = []
    began = now = time.perf_counter_ns()
    until = began + round(load.least_s * 1e9)
    while now < until or len(due) < LEAST_QUERIES:
        indices = rng.integers(0, load.windows, batch).tolist()
        issued = time.perf_counter_ns()
        service.append(answer(indices))
        now = time.perf_counter_ns()
        due.append(issued - began)
        latencies.append(now - issued)
    return _answered(due, latencies, service, len(due) * batch)


def _all_at_once(load: Load, answer: Answer, rng: np.random.Generator) -> Answered:
    batch, count = SCENARIOS["offline"].batch, load.offline_windows
    order = rng.integers(0, load.windows, count).tolist()
    latencies, service = [], []
    began = time.perf_counter_ns()
    for first in range(0, count, batch):
        service.append(answer(order[first : first + batch]))
        latencies.append(time.perf_counter_ns() - began)
    return _answered([0] * len(latencies), latencies, service, count)


def _answered(due: Sequence[int], latencies: Sequence[int], service: Sequence[int], windows: int) -> Answered:
    return Answered(
        due=due, latencies=latencies, service=service, windows=windows, generator="pulsecast loop", summary={}
    )
