"""Percentiles, intervals, stability and overhead against values worked out by hand."""

import math

import numpy as np
import pytest

from pulsecast_bench.analysis.statistics import (
    BOOTSTRAP_RUNS,
    REQUIRED_CALLS,
    is_known,
    median_of_runs,
    paired_overhead,
    paired_ratio,
    percentiles,
    ratio_of_runs,
    stability,
    throughput,
)


def binomial_at_most_one(calls: int, share: float) -> float:
    return (1 - share) ** calls + calls * share * (1 - share) ** (calls - 1)


@pytest.mark.parametrize("rank", REQUIRED_CALLS)
def test_a_percentile_needs_enough_calls_that_two_surely_lie_above_it(rank: float) -> None:
    needed, share = REQUIRED_CALLS[rank], 1 - rank / 100
    assert binomial_at_most_one(needed, share) <= 0.01 < binomial_at_most_one(needed - 1, share)


@pytest.mark.parametrize("rank", REQUIRED_CALLS)
def test_one_call_fewer_gives_no_percentile_and_says_how_many_it_takes(rank: float) -> None:
    needed = REQUIRED_CALLS[rank]
    (few,) = percentiles([np.arange(1, needed)], [rank], seed=1)
    assert few.value is None
    assert few.reason == f"{needed - 1} calls; p{rank:g} needs {needed}"
    (enough,) = percentiles([np.arange(1, needed + 1)], [rank], seed=1)
    assert enough.value == math.ceil(rank * needed / 100)


def test_percentiles_are_those_of_all_processes_together() -> None:
    runs = [np.arange(1, 51), np.arange(51, 101)]
    p50, p90 = percentiles(runs, [50.0, 90.0], seed=1)
    assert (p50.value, p90.value) == (50.0, 90.0)


def test_few_processes_give_a_value_without_an_interval_and_the_reason() -> None:
    (p50,) = percentiles([np.arange(20)] * (BOOTSTRAP_RUNS - 1), [50.0], seed=1)
    assert (p50.value, p50.low, p50.high) == (9.0, None, None)
    assert p50.reason == "no interval: 4 processes, 5 are needed"


@pytest.mark.parametrize(
    ("levels", "known"),
    [
        ((100, 101, 102, 103, 110), True),  # five: the whole range is the interval
        ((100, 101, 102, 103, 111), False),
        ((100, 101, 102, 103, 104, 105, 106, 107, 108, 150), True),  # ten: one outlier is not in it
        ((100, 100, 100, 150), True),  # four have no interval, and no more are requested
    ],
)
def test_a_median_is_known_if_its_interval_is_at_most_a_tenth_wide(levels: tuple[int, ...], known: bool) -> None:
    assert is_known([np.full(100, level) for level in levels], seed=1) is known


def test_an_interval_spans_processes_that_differ_and_not_calls_that_do() -> None:
    alike = [np.arange(100) for _ in range(5)]  # calls differ, processes do not
    (p50,) = percentiles(alike, [50.0], seed=1)
    assert (p50.value, p50.low, p50.high) == (49.0, 49.0, 49.0)
    apart = [np.full(100, level) for level in (10, 20, 30, 40, 50)]
    (p50,) = percentiles(apart, [50.0], seed=1)
    # the median of five drawn processes is the lowest with probability 5.8 % and so lies within 2.5 and 97.5 %
    assert (p50.value, p50.low, p50.high) == (30.0, 10.0, 50.0)


def test_the_interval_of_a_percentile_of_equal_runs_is_that_of_the_median_over_runs() -> None:
    levels = [12.0, 11.0, 15.0, 13.0, 19.0, 14.0, 10.0]
    over_runs = median_of_runs(levels, seed=3)
    (pooled,) = percentiles([np.full(11, int(level)) for level in levels], [50.0], seed=3)
    assert (pooled.value, pooled.low, pooled.high) == (over_runs.value, over_runs.low, over_runs.high)


def test_the_same_seed_gives_the_same_interval() -> None:
    rng = np.random.default_rng(5)
    runs = [rng.integers(90, 200, 80) + 7 * i for i in range(12)]
    assert percentiles(runs, [50.0, 90.0], seed=4) == percentiles(runs, [50.0, 90.0], seed=4)


def test_a_median_of_nothing_says_that_nothing_was_measured() -> None:
    assert median_of_runs([], seed=1).reason == "not measured"


def test_throughput_counts_windows_and_not_calls() -> None:
    assert throughput(np.array([1_000_000, 3_000_000]), 64) == 32_000.0


@pytest.mark.parametrize(
    ("medians", "ratio", "stable"),
    [((100, 105, 110), 1.10, True), ((100, 105, 111), 1.11, False), ((111, 100, 100), 1.11, False)],
    ids=["at the limit", "slower", "faster"],
)
def test_three_windows_within_a_tenth_are_stable(medians: tuple[int, ...], ratio: float, stable: bool) -> None:
    calls = np.repeat(medians, 50)
    judged = stability(calls, [0, 50, 100], 50)
    assert judged.stable is stable
    assert judged.latency_ratio == pytest.approx(ratio)
    assert judged.throughput_ratio == pytest.approx(ratio)
    assert (judged.reason is None) == stable


def test_only_the_last_three_windows_decide() -> None:
    calls = np.repeat([500, 100, 101, 102], 50)
    assert stability(calls, [0, 50, 100, 150], 50).stable is True


def test_a_few_slow_calls_spoil_the_rate_and_not_the_median() -> None:
    calls = np.full(150, 100)
    calls[149] = 1100
    judged = stability(calls, [0, 50, 100], 50)
    assert judged.latency_ratio == 1.0
    assert judged.throughput_ratio == pytest.approx(1.2)
    assert judged.stable is False


def test_a_window_cut_short_does_not_count() -> None:
    calls = np.full(149, 100)
    judged = stability(calls, [0, 50, 100], 50)
    assert judged.stable is None
    assert judged.reason == "149 calls make 2 windows of 50 requests; 3 are needed"


def test_overhead_does_not_see_a_machine_that_becomes_slower_between_rounds() -> None:
    bare = np.repeat([100, 200, 150], 4)  # three rounds of two blocks of two calls
    assert paired_overhead(bare * 21 // 20, bare, 2) == pytest.approx(0.05)


def test_a_ratio_of_two_benchmarks_is_that_of_their_medians() -> None:
    ratio = ratio_of_runs([100, 102, 98, 101, 99], [110, 112, 108, 111, 109], seed=3)
    assert ratio.value == pytest.approx(1.10)
    assert ratio.low is not None
    assert ratio.high is not None
    # no draw's medians lie outside what was measured
    assert 108 / 102 <= ratio.low < 1.10 < ratio.high <= 112 / 98


def test_a_ratio_with_four_processes_on_a_side_has_no_interval_and_says_why() -> None:
    ratio = ratio_of_runs([100.0] * 5, [110.0] * 4, seed=3)
    assert (ratio.value, ratio.low, ratio.high) == (1.1, None, None)
    assert ratio.reason == "no interval: 4 processes, 5 are needed"


@pytest.mark.parametrize("values", [[], [0.0] * 5], ids=["nothing", "zero"])
def test_a_ratio_over_nothing_has_no_value(values: list[float]) -> None:
    assert ratio_of_runs(values, [1.0] * 5, seed=3).value is None


def test_a_paired_ratio_does_not_see_a_machine_that_is_slower_in_one_round() -> None:
    first = {0: 100.0, 1: 100.0, 2: 300.0, 3: 100.0, 4: 100.0}
    ratio = paired_ratio(first, {turn: 1.5 * value for turn, value in first.items()}, seed=3)
    assert (ratio.value, ratio.low, ratio.high) == (1.5, 1.5, 1.5)


def test_a_round_that_one_side_lacks_is_left_out_of_a_paired_ratio() -> None:
    assert paired_ratio({0: 1.0, 1: 100.0}, {0: 2.0}, seed=3).value == 2.0


@pytest.mark.parametrize(("slowdown", "processes"), [(1.0, 5), (1.2, 5), (1.2, 10)])
def test_the_interval_of_a_ratio_covers_the_true_one_about_as_often_as_it_says(slowdown: float, processes: int) -> None:
    rng = np.random.default_rng(11)
    trials, covered = 400, 0
    for _ in range(trials):
        first, second = np.exp(rng.normal(0, 0.05, (2, processes)))
        ratio = ratio_of_runs(list(first), list(slowdown * second), seed=3)
        assert ratio.low is not None
        assert ratio.high is not None
        covered += ratio.low <= slowdown <= ratio.high
    # 95 %, minus two standard errors of 400 trials and the cost of so few processes
    assert 0.91 <= covered / trials <= 0.99


def test_a_process_that_becomes_slower_never_makes_the_ratio_smaller() -> None:
    first, second = [100.0, 101, 102, 103, 104], [105.0, 106, 107, 108, 109]
    before = ratio_of_runs(first, second, seed=3)
    for i in range(5):
        raised = [value + 50 * (place == i) for place, value in enumerate(second)]
        after = ratio_of_runs(first, raised, seed=3)
        assert (after.value or 0) >= (before.value or 0)
        assert (after.low or 0) >= (before.low or 0)
        assert (after.high or 0) >= (before.high or 0)
