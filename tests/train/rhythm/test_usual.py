"""Each day beside the same weekday of the weeks before, each week beside those before it."""

import numpy as np
import pytest

from helpers.engines import require

require("polars", "scipy")

from pulsecast_train.rhythm.usual import Period, periods, sentence  # noqa: E402
from pulsecast_train.series import Series  # noqa: E402

MONDAY = 1_736_121_600  # 2025-01-06T00:00Z
DAYS = 10 * 7


def series(values: np.ndarray, step_s: int = 3600, start: int = MONDAY) -> Series:
    return Series(name="a", metrics=("y",), start_s=start, step_s=step_s, values=values[:, np.newaxis])


def hourly() -> np.ndarray:
    """Return ten weeks of hours: 100 a step, half as much at the weekend, with some noise."""
    days = np.arange(DAYS * 24) // 24
    noise = np.random.default_rng(3).normal(0, 2, DAYS * 24)
    return np.where(days % 7 >= 5, 50.0, 100.0) + noise


def verdicts(found: tuple[Period, ...]) -> list[str]:
    return [one.verdict for one in found]


def test_a_weekend_is_usual_and_a_day_that_doubles_is_not() -> None:
    values = hourly()
    values[40 * 24 : 41 * 24] *= 2
    found = periods(series(values), "day")
    assert verdicts(found[:21]) == ["too early to say"] * 21
    assert [one.first for one in found if one.verdict not in ("as usual", "too early to say")] == ["2025-02-15"]
    odd = found[40]
    assert (odd.verdict, odd.mean) == ("higher", pytest.approx(100, rel=0.02))
    assert odd.low is not None
    assert odd.high is not None
    assert odd.low < 50 < odd.high < 65


def test_a_day_that_halves_and_a_week_that_doubles_are_told() -> None:
    values = hourly()
    values[40 * 24 : 41 * 24] /= 2
    values[56 * 24 : 63 * 24] *= 2
    assert periods(series(values), "day")[40].verdict == "lower"
    weeks = periods(series(values), "week")
    assert verdicts(weeks) == ["too early to say"] * 3 + ["as usual"] * 5 + ["higher", "as usual"]
    assert weeks[8].first == "2025-03-03"


def test_a_day_is_that_of_the_clock_and_one_with_missing_hours_is_incomplete() -> None:
    values = hourly()
    values[40 * 24 : 40 * 24 + 6] = np.nan
    found = periods(series(values), "day")
    assert (found[40].verdict, found[47].verdict) == ("incomplete", "as usual")
    local = periods(series(values), "day", "America/New_York")
    assert [(one.first, one.verdict) for one in (local[0], local[-1])] == [
        ("2025-01-05", "incomplete"), ("2025-03-16", "incomplete")
    ]  # fmt: skip


def test_days_of_one_step_and_values_that_may_be_negative_are_judged_too() -> None:
    daily = np.where(np.arange(DAYS) % 7 >= 5, 50.0, 100.0) + np.arange(DAYS) % 3
    daily[40] = 400.0
    assert verdicts(periods(series(daily, 86400), "day")).count("higher") == 1
    found = periods(series(daily - 90, 86400), "day")
    assert [one.first for one in found if one.verdict == "higher"] == ["2025-02-15"]


def test_a_level_that_was_never_zero_before_is_lower_without_a_division() -> None:
    values = hourly()
    values[-24:] = 0.0
    last = periods(series(values), "day")[-1]
    assert sentence(last).startswith("Sun 16 Mar 2025: lower than usual, 0 a step where ")
