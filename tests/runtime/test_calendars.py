"""Calendar features against an independent calendar: datetime's."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from pulsecast.calendars import calendar_values, unix_seconds
from pulsecast.errors import DtypeError
from pulsecast.spec import DAY_S, WEEK_S, Calendar

FIRST = datetime(2024, 2, 26, 0, 30, tzinfo=UTC)  # a Monday, before a leap day
MOMENTS = [FIRST + timedelta(hours=5 * i) for i in range(100)] + [datetime(1969, 12, 27, 12, tzinfo=UTC)]
SECONDS = np.array([int(moment.timestamp()) for moment in MOMENTS])


@pytest.mark.parametrize("ahead_steps", [0, 1, 3])
@pytest.mark.parametrize("step_s", [60, 3600, DAY_S])
def test_weekend_is_saturday_and_sunday_of_the_step_ahead(ahead_steps: int, step_s: int) -> None:
    weekend = Calendar(function="weekend", period_s=WEEK_S, ahead_steps=ahead_steps)
    later = [moment + timedelta(seconds=ahead_steps * step_s) for moment in MOMENTS]
    expected = [float(moment.weekday() >= 5) for moment in later]
    assert calendar_values(weekend, SECONDS, step_s).tolist() == expected


@pytest.mark.parametrize("function", ["sin", "cos"])
@pytest.mark.parametrize("period_s", [DAY_S // 2, DAY_S, WEEK_S])
def test_waves_follow_the_written_formula(function: str, period_s: int) -> None:
    calendar = Calendar(function=function, period_s=period_s, ahead_steps=2)  # type: ignore[arg-type]
    wave = {"sin": math.sin, "cos": math.cos}[function]
    expected = [wave(2 * math.pi * ((int(s) + 2 * 3600) % period_s) / period_s) for s in SECONDS]
    # float64 rounding of the angle, at most 2 pi, and of the wave
    np.testing.assert_allclose(calendar_values(calendar, SECONDS, 3600), expected, rtol=0, atol=4e-15)


def test_a_day_begins_with_sine_zero_and_cosine_one() -> None:
    midnight = np.array([int(datetime(2026, 5, 4, tzinfo=UTC).timestamp())])
    for function, expected in (("sin", 0.0), ("cos", 1.0)):
        calendar = Calendar(function=function, period_s=DAY_S, ahead_steps=0)  # type: ignore[arg-type]
        assert calendar_values(calendar, midnight, 3600).tolist() == [expected]


@pytest.mark.parametrize("unit", ["D", "h", "s", "ms", "us", "ns"])
def test_datetimes_of_any_unit_are_unix_seconds(unit: str) -> None:
    moments = np.array(["2026-01-02", "1969-12-31"], f"datetime64[{unit}]")
    assert unix_seconds(moments).tolist() == [1_767_312_000, -86_400]


def test_numbers_are_taken_as_unix_seconds() -> None:
    assert unix_seconds([1, 2]).dtype == np.int64
    assert unix_seconds(np.array([1.0, 2.0])).tolist() == [1, 2]


@pytest.mark.parametrize("bad", [["now"], [None], [True], [np.inf], [1j]])
def test_what_is_not_a_time_is_refused(bad: list[object]) -> None:
    with pytest.raises(DtypeError, match="timestamps are"):
        unix_seconds(bad)
