"""The front, with ties, and the recommendation within a budget."""

import dataclasses
import itertools

import pytest

from helpers import rounds
from pulsecast_bench.analysis.pareto import Budget, Point, dominates, front, recommend
from pulsecast_bench.reporting.choosing import recommended
from pulsecast_bench.reporting.section import measured


def point(
    artifact: str, us: float, rmse: float = 10.0, size: int = 100_000, *, stable: bool | None = True, high: float = 1.0
) -> Point:
    return Point(
        artifact=artifact,
        latency_ns=us * 1e3,
        latency_high_ns=us * 1e3 * high,
        rmse=rmse,
        rmse_change=rmse / 10 - 1,
        rmse_change_high=rmse / 10 - 1,
        size_bytes=size,
        stable=stable,
    )


def test_what_is_slower_and_larger_and_worse_is_not_on_the_front() -> None:
    points = [point("fast", 100), point("small", 200, size=50_000), point("beaten", 210, rmse=10.1, size=50_000)]
    assert front(points) == ("fast", "small")


def test_equals_are_all_kept() -> None:
    assert front([point("a", 100), point("b", 100), point("c", 104)]) == ("a", "b", "c")


def test_a_difference_counts_from_5_percent_of_latency_and_a_thousandth_of_rmse() -> None:
    assert not dominates(point("a", 100), point("b", 105))
    assert dominates(point("a", 100), point("b", 105.1))
    assert not dominates(point("a", 100), point("b", 100, rmse=10.01))
    assert dominates(point("a", 100), point("b", 100, rmse=10.02))


def test_one_byte_less_at_equal_speed_and_accuracy_wins() -> None:
    assert front([point("a", 100), point("b", 104, size=99_999)]) == ("b",)


def test_no_grid_of_near_ties_leaves_an_empty_front_or_one_that_beats_itself() -> None:
    grid = [
        point(f"{us}-{rmse}-{size}", us, rmse, size)
        for us, rmse, size in itertools.product((100, 103, 106, 109), (10.0, 10.008, 10.016), (1000, 1001))
    ]
    kept = [one for one in grid if one.artifact in front(grid)]
    assert kept
    assert not any(dominates(one, other) for one, other in itertools.permutations(kept, 2))


def test_the_recommendation_is_the_fastest_that_fits_and_the_smallest_as_fast() -> None:
    points = [point("a", 100, size=90_000), point("b", 104, size=40_000), point("c", 200, size=10_000)]
    found = recommend(points, Budget(latency_us=300))
    assert (found.artifact, found.fits) == ("b", ("b", "a", "c"))
    assert recommend(points, Budget(size_kb=20)).artifact == "c"


def test_the_upper_end_of_the_interval_must_fit() -> None:
    points = [point("a", 100, high=1.2)]
    assert recommend(points, Budget(latency_us=110)).artifact is None
    assert recommend(points, Budget(latency_us=120)).artifact == "a"


def test_what_did_not_settle_is_named_and_not_recommended() -> None:
    found = recommend([point("a", 100, stable=False), point("b", 300)], Budget(latency_us=200))
    assert (found.artifact, found.unstable, found.nearest) == (None, ("a",), "b")


def test_when_nothing_fits_the_nearest_is_the_one_that_misses_least() -> None:
    points = [point("a", 150, size=300_000), point("b", 120, size=100_000), point("c", 400, size=10_000)]
    found = recommend(points, Budget(latency_us=100, size_kb=80))
    assert (found.artifact, found.nearest) == (None, "b")
    assert [excess.limit for excess in found.excess] == ["size", "latency"]
    assert found.excess[0].text == "100 kB where 80 kB are allowed"
    assert found.excess[0].factor == pytest.approx(1.25)


def test_accuracy_is_a_limit_of_its_own() -> None:
    found = recommend([point("a", 100, rmse=10.3)], Budget(rmse_change=0.02))
    assert found.excess[0].text == "RMSE +3.00% where +2.00% is allowed"
    assert recommend([point("a", 100, rmse=9.9)], Budget(rmse_change=0.0)).artifact == "a"


@pytest.mark.parametrize("wrong", [{"latency_us": 0.0}, {"size_kb": -1.0}, {"rmse_change": -0.1}])
def test_a_budget_of_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="--max-"):
        Budget(**wrong)


def test_a_peer_is_measured_but_never_recommended() -> None:
    result = rounds.result({"onnx": (200,) * 5, "other": (50,) * 5})
    subjects = tuple(
        dataclasses.replace(one, kind="peer") if one.artifact == "other" else one for one in result.subjects
    )
    (part,) = measured([dataclasses.replace(result, subjects=subjects)])
    assert part.summary.front == ("other",)
    assert recommended(part, Budget(latency_us=300))[0] == "Take onnx (200 us, RMSE +0.00%, 125 kB)."
