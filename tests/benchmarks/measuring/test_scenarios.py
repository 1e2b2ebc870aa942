"""Queries of each scenario are answered and timed by the same rule with either issuer."""

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from helpers.engines import require
from pulsecast_bench.measuring.scenarios import LEAST_QUERIES, Answer, Answered, Load, arrivals_ns, loop

Issue = Callable[[Load, Answer], Answered]
LOAD = Load(scenario="server", windows=96, least_s=0.05, target_qps=2000.0, expected_qps=4000.0, seed=7)
BUSY_NS = 1_500_000  # of a slow answer: three times what is between two queries of LOAD


def _loadgen() -> Issue:
    require("mlperf_loadgen")
    from pulsecast_bench.measuring.loadgen import loadgen

    return loadgen


def _issuers() -> list[pytest.param]:
    return [pytest.param(lambda: loop, id="loop"), pytest.param(_loadgen, id="loadgen")]


class Counting:
    """Answers at once, or after `busy_ns` of work, and remembers its queries."""

    def __init__(self, busy_ns: int = 0) -> None:
        self.asked: list[list[int]] = []
        self._busy_ns = busy_ns

    def __call__(self, indices: Sequence[int]) -> int:
        began = time.perf_counter_ns()
        self.asked.append(list(indices))
        while time.perf_counter_ns() - began < self._busy_ns:
            pass
        return time.perf_counter_ns() - began


@pytest.mark.parametrize("issuer", _issuers())
@pytest.mark.parametrize(("scenario", "batch"), [("single-stream", 1), ("multi-stream", 8), ("server", 1)])
def test_every_query_holds_the_windows_of_its_scenario_and_is_counted_once(
    issuer: Callable[[], Issue], scenario: str, batch: int
) -> None:
    system = Counting(busy_ns=100_000)
    answered = issuer()(dataclasses.replace(LOAD, scenario=scenario), system)
    assert {len(indices) for indices in system.asked} == {batch}
    assert len(system.asked) == len(answered.due) == len(answered.latencies) == len(answered.service)
    assert answered.windows == batch * len(system.asked)
    assert len(system.asked) >= LEAST_QUERIES
    assert {index for indices in system.asked for index in indices} <= set(range(96))
    assert all(latency >= spent for latency, spent in zip(answered.latencies, answered.service, strict=True))


def test_both_ask_for_as_many_windows_offline() -> None:
    load = dataclasses.replace(LOAD, scenario="offline", least_s=0.2, expected_qps=1000.0)
    counts = []
    for issue in (loop, _loadgen()):
        system = Counting()
        answered = issue(load, system)
        counts.append(answered.windows)
        assert sum(map(len, system.asked)) == answered.windows
        assert max(map(len, system.asked)) == 64
        assert sorted(answered.latencies) == list(answered.latencies)  # the later part waited for the earlier ones
        assert set(answered.due) == {0}
    assert counts == [220, 220]  # a tenth more than 0.2 s of 1,000 windows a second


def test_both_issue_a_poisson_process_of_the_same_rate() -> None:
    # 2,000 arrivals: the mean gap has a standard error of 2.2 %, so 11 % is five of them; its deviation equals it
    load = dataclasses.replace(LOAD, target_qps=10_000.0, least_s=0.2)
    for issue in (loop, _loadgen()):
        due = np.array(issue(load, Counting()).due)
        gaps = np.diff(np.sort(due))
        assert abs(gaps.mean() / 1e5 - 1) < 0.11
        assert abs(gaps.std() / gaps.mean() - 1) < 0.2


@pytest.mark.parametrize("issuer", _issuers())
def test_a_server_that_is_too_slow_shows_its_queue_in_the_latency(issuer: Callable[[], Issue]) -> None:
    # 100 queries due in about 50 ms, each worked on for 1.5 ms: the last is answered after at least 150 ms, so that it
    # waited; a clock that starts when work starts would show 1.5 ms for all of them.
    answered = issuer()(LOAD, Counting(busy_ns=BUSY_NS))
    count = len(answered.due)
    worked = count * BUSY_NS
    last_due = max(answered.due)
    assert answered.latencies[-1] >= worked - last_due - BUSY_NS
    assert answered.latencies[-1] > 10 * BUSY_NS
    assert np.median(answered.latencies) > 3 * np.median(answered.service)


def test_arrivals_are_decided_by_the_seed_and_go_on_until_both_least_ones_are_met() -> None:
    assert arrivals_ns(1000, 0.01, 7) == arrivals_ns(1000, 0.01, 7)
    assert arrivals_ns(1000, 0.01, 7) != arrivals_ns(1000, 0.01, 8)
    assert len(arrivals_ns(1000, 0.01, 7)) == LEAST_QUERIES
    assert arrivals_ns(1000, 1.0, 7)[-1] >= 1e9


def test_an_answer_that_fails_ends_a_loadgen_run_with_its_reason() -> None:
    def broken(_: Sequence[int]) -> int:
        raise RuntimeError("no engine")

    with pytest.raises(RuntimeError, match="no engine"):
        _loadgen()(dataclasses.replace(LOAD, scenario="single-stream", least_s=0.0), broken)
