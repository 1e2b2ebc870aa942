"""Instants become steps; every added or lost value is counted."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pulsecast.errors import DataError
from pulsecast_train.logs.aggregation import aggregate_events, aggregate_samples, fill_gaps, usual_spacing_us

MICROS = 1_000_000
DAY0 = 16_000 * 86_400  # a midnight
NAN = float("nan")


def micros(seconds: list[float]) -> NDArray[np.int64]:
    return np.array([round((DAY0 + s) * MICROS) for s in seconds], dtype=np.int64)


def column(values: list[float]) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)[:, np.newaxis]


def listed(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values[:, 0]]


@pytest.mark.parametrize(
    ("spacings", "seconds"),
    [
        ([300] * 10, 300),
        ([298, 301, 300, 299, 302, 300] * 3, 300),
        ([600, 601, 600, 599, 366, 500], None),
        ([600, 601, 600, 599, 366, 578], 600),
        ([600, 601, 600, 599, 601, 600, 599, 366, 7200, 600], 600),
        ([300] * 5 + [600] * 5, None),
        ([330] * 10, 330),
        ([601] * 300, 601),
        ([90000] + [86400] * 8, 86400),
        ([60.7, 59.5, 60.3, 59.7, 60.3, 60.4, 59.5], 60),
        ([86400] * 20 + [82800, 90000], 86400),
        ([], None),
    ],
)
def test_the_usual_spacing_is_the_mode_of_most_or_nothing(spacings: list[float], seconds: int | None) -> None:
    times = micros(list(np.cumsum([0.0, *spacings])))
    assert usual_spacing_us(times) == (None if seconds is None else seconds * MICROS)


def test_samples_at_their_own_spacing_keep_their_values_and_their_phase() -> None:
    made = aggregate_samples(micros([173, 473, 773]), column([1, 2, 3]), kind="count", step_s=None)
    assert (made.start_s, made.step_s, listed(made.values)) == (DAY0 + 173, 300, [1, 2, 3])
    assert made.edges_dropped == made.merged == 0


def test_jitter_around_a_full_minute_makes_neither_holes_nor_doubles() -> None:
    jitter = [-0.4, 0.3, -0.2, 0.1, -0.3, 0.0, 0.4, -0.1]
    times = micros([60 * i + j for i, j in enumerate(jitter)])
    made = aggregate_samples(times, column(list(range(8))), kind="gauge", step_s=None)
    assert listed(made.values) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert (made.start_s, made.merged) == (DAY0, 0)


def test_a_pair_beside_a_hole_is_pulled_apart() -> None:
    # The fourth sample is late by more than half a step, the seventh early by more than half.
    times = micros([60 * i + {3: 31, 6: -31}.get(i, 0) for i in range(30)])
    made = aggregate_samples(times, column(list(range(30))), kind="count", step_s=60)
    assert listed(made.values) == list(range(30))
    assert made.merged == 0


@pytest.mark.parametrize(("kind", "expected"), [("count", [1, 5, 4, 5]), ("gauge", [1, 2.5, 4, 5])])
def test_an_extra_sample_is_added_to_a_count_and_averaged_into_a_gauge(kind: str, expected: list[float]) -> None:
    times = micros([0, 60, 70, 120, 180] + [240 + 60 * i for i in range(9)])
    made = aggregate_samples(times, column([1, 2, 3, 4, 5] + [0] * 9), kind=kind, step_s=60)  # type: ignore[arg-type]
    assert listed(made.values)[:4] == expected
    assert made.merged == 1


def test_a_coarser_step_sums_a_count_and_averages_a_gauge_and_drops_partial_edges() -> None:
    times = micros([2400 + 600 * i for i in range(16)])  # 00:40 to 03:10
    values = column(list(range(16)))
    count = aggregate_samples(times, values, kind="count", step_s=3600)
    gauge = aggregate_samples(times, values, kind="gauge", step_s=3600)
    assert listed(count.values) == [2 + 3 + 4 + 5 + 6 + 7, 8 + 9 + 10 + 11 + 12 + 13]
    assert listed(gauge.values) == [4.5, 10.5]
    assert count.start_s == gauge.start_s == DAY0 + 3600
    assert count.edges_dropped == gauge.edges_dropped == 2


def test_a_count_over_most_of_its_samples_is_scaled_up_and_over_fewer_is_missing() -> None:
    lost = {5, 8, 9}  # of four quarters an hour: one in the second, two in the third
    kept = [i for i in range(20) if i not in lost]
    made = aggregate_samples(micros([900 * i for i in kept]), column([3.0] * len(kept)), kind="count", step_s=3600)
    assert listed(made.values) == [12, 12, None, 12, 12]
    assert made.estimated == 1


def test_a_gauge_over_few_samples_is_their_mean_and_is_counted() -> None:
    kept = [i for i in range(20) if i not in (4, 5, 6)]
    values = [float(i) for i in kept]
    made = aggregate_samples(micros([900 * i for i in kept]), column(values), kind="gauge", step_s=3600)
    assert listed(made.values) == [1.5, 7, 9.5, 13.5, 17.5]
    assert (made.thin, made.estimated) == (1, 0)


def test_a_missing_cell_is_an_absent_sample() -> None:
    values = [1.0, NAN, 1.0, 1.0, 1.0, NAN, NAN, 1.0, 1.0, 1.0, 1.0, 1.0]
    made = aggregate_samples(micros([900 * i for i in range(12)]), column(values), kind="count", step_s=3600)
    assert listed(made.values) == [4, None, 4]


def test_weeks_begin_on_monday() -> None:
    monday = 1_736_121_600
    times = np.array([(monday - 2 * 86400 + 86400 * i) * MICROS for i in range(12)], dtype=np.int64)
    made = aggregate_samples(times, column([1.0] * 12), kind="count", step_s=604_800)
    assert (made.start_s, listed(made.values)) == (monday, [7])


def test_irregular_readings_of_a_gauge_are_averaged_where_they_fall() -> None:
    times = micros([0, 100, 1700, 3500, 3700, 9000, 10_790])
    made = aggregate_samples(times, column([1, 2, 3, 6, 5, 7, 9]), kind="gauge", step_s=3600)
    assert listed(made.values) == [3, 5, 8]


SAMPLES_REFUSED = {
    "two modes": (
        [300] * 5 + [600] * 5,
        "gauge",
        None,
        r"step cannot be inferred: .* 5m \(50%\), 10m \(50%\); choose --step",
    ),
    "one row": ([], "count", None, "there is only one timestamp"),
    "irregular counts": ([10, 700, 55, 3000], "count", 3600, "irregularly spaced .* use --events"),
    "a step finer than the samples": (
        [300] * 9,
        "count",
        60,
        "a step of 1m is finer than the samples, which are 5m apart",
    ),
    "no whole number of samples": ([300] * 9, "count", 420, r"a step of 7m holds 1.40 samples, which are 5m apart"),
    "a stray timestamp": ([1] * 9 + [30_000_000], "count", None, r"more than 20,000,000; look for a stray timestamp"),
    "below a second": ([0.25] * 9, "count", None, r"samples are 0.25s apart, not whole seconds; choose --step"),
}


@pytest.mark.parametrize(
    ("spacings", "kind", "step_s", "sentence"), SAMPLES_REFUSED.values(), ids=SAMPLES_REFUSED.keys()
)
def test_samples_whose_steps_are_not_clear_are_refused(
    spacings: list[float], kind: str, step_s: int | None, sentence: str
) -> None:
    times = micros(list(np.cumsum([0.0, *spacings])))
    with pytest.raises(DataError, match=sentence):
        aggregate_samples(times, column([1.0] * len(times)), kind=kind, step_s=step_s)  # type: ignore[arg-type]


def test_events_are_counted_per_step_and_an_empty_step_inside_is_zero() -> None:
    times = micros([50, 60, 60, 119.5, 240, 299.9, 310])
    made = aggregate_events(times, None, kind="count", step_s=60)
    assert listed(made.values) == [3, 0, 0, 2]
    assert (made.start_s, made.edges_dropped) == (DAY0 + 60, 2)


def test_an_edge_step_that_events_cover_to_one_percent_is_kept() -> None:
    made = aggregate_events(micros([0.5, 30, 70, 119.5]), None, kind="count", step_s=60)
    assert (made.start_s, listed(made.values), made.edges_dropped) == (DAY0, [2, 2], 0)


def test_values_of_events_add_up_or_average_and_an_empty_step_is_zero_or_missing() -> None:
    times = micros([0, 30, 130, 150, 179.9])
    values = column([1, 2, 3, NAN, 5])
    assert listed(aggregate_events(times, values, kind="count", step_s=60).values) == [3, 0, 8]
    assert listed(aggregate_events(times, values, kind="gauge", step_s=60).values) == [1.5, None, 4]


def test_a_step_whose_events_all_lack_their_value_is_missing() -> None:
    made = aggregate_events(micros([0, 70, 179.9]), column([1, NAN, 5]), kind="count", step_s=60)
    assert listed(made.values) == [1, None, 5]


def test_gaps_up_to_the_limit_are_interpolated_and_longer_ones_stay() -> None:
    made = fill_gaps(column([NAN, 1, NAN, NAN, 4, NAN, NAN, NAN, 8, NAN]), 2)
    assert listed(made.values) == [1, 2, 3, 4, None, None, None, 8]
    assert (made.trimmed_start, made.trimmed_end, made.gaps, made.gap_steps) == (1, 1, 1, 3)
    assert made.filled.tolist() == [1, 2]


def test_a_step_that_still_lacks_one_metric_is_missing_in_all() -> None:
    values = np.array([[1, 10], [NAN, NAN], [3, NAN], [4, 40]])
    made = fill_gaps(values, 1)
    assert np.isnan(made.values).tolist() == [[False] * 2, [True] * 2, [True] * 2, [False] * 2]
    assert (made.filled.tolist(), made.gap_steps) == ([], 2)


def test_nothing_is_filled_where_no_gap_is_allowed() -> None:
    assert listed(fill_gaps(column([1, NAN, 3]), 0).values) == [1, None, 3]
    assert len(fill_gaps(column([NAN, NAN]), 3).values) == 0
