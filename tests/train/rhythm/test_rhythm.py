"""Daily and weekly cycles: known ones are found with their values, noise is not said to have any."""

import numpy as np
import pytest

from helpers.engines import require

require("polars", "statsmodels")

from pulsecast.errors import DataError, UsageError  # noqa: E402
from pulsecast_train.rhythm import cycles as rhythm_module  # noqa: E402
from pulsecast_train.rhythm.cycles import Cycle, Rhythm, find_rhythm  # noqa: E402
from pulsecast_train.rhythm.words import words  # noqa: E402
from pulsecast_train.series import Series  # noqa: E402

MONDAY_S = 1_736_121_600  # 2025-01-06T00:00:00Z


def series(levels: np.ndarray, *, step_s: int = 3600, start_s: int = MONDAY_S) -> Series:
    """Return a series whose log1p is `levels` (steps,)."""
    return Series(name="a", metrics=("value",), start_s=start_s, step_s=step_s, values=np.expm1(levels)[:, np.newaxis])


def clock(weeks: float, step_s: int = 3600) -> tuple[np.ndarray, np.ndarray]:
    """Return hour of the day and day of the week of every step."""
    seconds = np.arange(round(weeks * 604_800 / step_s)) * step_s
    return seconds % 86_400 / 3600, seconds // 86_400 % 7


def noise(count: int, seed: int, memory: float = 0.6) -> np.ndarray:
    shocks, found = np.random.default_rng(seed).normal(0, 1, count), np.zeros(count)
    for t in range(1, count):
        found[t] = memory * found[t - 1] + shocks[t]
    return found


def known(weeks: float, *, step_s: int = 3600, loud: float = 0.01) -> np.ndarray:
    """The level in the hour from 20 h is four times that from 8 h, half as high at weekends, on a growing trend."""
    hours, days = clock(weeks, step_s)
    middle = 20.5 - step_s / 7200  # of the samples in the hour from 20 to 21
    day = np.log(2) * np.cos(2 * np.pi * (hours - middle) / 24)
    week = np.where(days >= 5, np.log(0.5), 0.0)
    trend = np.linspace(0, 1, len(hours))
    return 6 + day + week + trend + loud * noise(len(hours), 1)


@pytest.mark.parametrize("step_s", [3600, 300])
def test_a_known_rhythm_is_found_with_its_hours_days_and_ratios(step_s: int) -> None:
    found = find_rhythm(series(known(8, step_s=step_s), step_s=step_s))
    assert (found.day.sure, found.day.peak, found.day.quiet) == (True, 20, 8)
    assert found.day.strength is not None
    assert found.day.strength > 0.95
    # hours are means over a curve, of values and not of their logarithms, hence the hundredths
    assert max(found.day.profile) / min(found.day.profile) == pytest.approx(4.0, rel=0.05)
    assert (found.week.sure, found.week.periods) == (True, 8)
    assert np.prod(found.week.profile) == pytest.approx(1.0)
    weekdays, weekend = np.array(found.week.profile[:5]), np.array(found.week.profile[5:])
    assert weekend.mean() / weekdays.mean() == pytest.approx(0.5, rel=0.05)
    assert "Day: a strong rhythm" in words(found)[0]
    assert "Busiest at 20:00-21:00 UTC" in words(found)[0]
    assert "quietest at 08:00-09:00" in words(found)[0]


def test_strength_is_the_published_formula() -> None:
    hours, _ = clock(8)
    cycle, rest = np.sin(2 * np.pi * hours / 24), np.random.default_rng(4).normal(0, 1, len(hours))
    found = find_rhythm(series(8 + 0.1 * cycle + 0.1 * rest))
    # 1 - var(rest) / var(cycle + rest), where a mean week of eight takes an eighth of the rest's variance with it, and
    # the trend a few hundredths more: hence the tolerance
    assert found.day.strength == pytest.approx(1 - 0.875 / (0.5 + 0.875), abs=0.05)


@pytest.mark.parametrize("memory", [0.0, 0.95])
def test_noise_of_any_memory_is_said_to_have_no_rhythm(memory: float) -> None:
    found = find_rhythm(series(8 + 0.1 * noise(8 * 168, 3, memory)))
    assert (found.day.sure, found.week.sure) == (False, False)
    assert "Day: no rhythm beyond chance" in words(found)[0]
    assert "Week: no rhythm beyond chance" in words(found)[1]


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 1.0])
def test_of_sixty_logs_without_rhythm_few_are_said_to_have_one(monkeypatch: pytest.MonkeyPatch, memory: float) -> None:
    monkeypatch.setattr(rhythm_module, "TURNS", 99)
    monkeypatch.setattr(rhythm_module, "_strengths", lambda _grid: {})  # not tested here, and most of the time
    logs = 60
    levels = [8 + 0.05 * noise(4 * 168 + 50, seed, memory) + 0.001 * np.arange(4 * 168 + 50) for seed in range(logs)]
    found = [find_rhythm(series(one, start_s=MONDAY_S + 5 * 3600)) for one in levels]
    for name in ("day", "week"):
        p = np.array([getattr(one, name).p for one in found])
        # of 60 at a true rate of 0.05 more than 9, at 0.01 more than 4 are seen less than once in a thousand times
        assert (p <= 0.05).sum() <= 9
        assert (p <= 0.01).sum() <= 4
        assert np.median(p) > 0.3


def test_a_trend_alone_is_not_a_rhythm() -> None:
    levels = np.linspace(4, 8, 6 * 168) + 0.01 * np.random.default_rng(0).normal(0, 1, 6 * 168)
    found = find_rhythm(series(levels))
    assert not found.day.sure
    assert not found.week.sure


def test_a_log_too_short_for_a_week_says_so_and_still_describes_the_day() -> None:
    found = find_rhythm(series(known(10 / 7)))
    assert (found.day.sure, found.day.peak) == (True, 20)
    assert (found.week.p, found.week.profile) == (None, ())
    assert words(found)[1].startswith("Week: too short; 1 week seen whole")
    shorter = find_rhythm(series(known(3 / 7)))
    assert words(shorter)[0] == "Day: too short; 1 day seen whole beside its trend, at least 7 are needed."


def test_daily_steps_show_a_week_and_no_hours() -> None:
    _, days = clock(10, 86_400)
    levels = 5 + np.where(days == 2, 0.7, 0.0) + 0.1 * np.random.default_rng(1).normal(0, 1, len(days))
    found = find_rhythm(series(levels, step_s=86_400))
    assert words(found)[0] == "Day: steps of a day do not show its hours."
    assert (found.week.sure, found.week.peak) == (True, 2)
    assert "Busiest on Wednesday" in words(found)[1]


def test_hours_and_days_are_those_of_the_requested_clock_through_its_changes() -> None:
    # eight weeks across the change to summer time of 2025-03-30 in Berlin; the peak is at 20 h there on every day
    seconds = 1_740_355_200 + 3600 * np.arange(8 * 168)  # 2025-02-24T00:00:00Z
    local = seconds + np.where(seconds < 1_743_296_400, 3600, 7200)
    levels = 6 + np.cos(2 * np.pi * (local % 86_400 / 3600 - 20) / 24)
    levels += 0.1 * np.random.default_rng(1).normal(0, 1, len(levels))
    berlin = find_rhythm(series(levels, start_s=1_740_355_200), zone="Europe/Berlin")
    utc = find_rhythm(series(levels, start_s=1_740_355_200))
    assert berlin.day.peak == 20
    assert "Busiest at 20:00-21:00 Europe/Berlin" in words(berlin)[0]
    assert utc.day.peak in (18, 19)
    assert max(berlin.day.profile) > max(utc.day.profile)
    with pytest.raises(UsageError, match="clock is 'Mars/Phobos'; expected a name"):
        find_rhythm(series(levels), zone="Mars/Phobos")


def test_gaps_are_left_out() -> None:
    levels = known(8)
    levels[500:560] = np.nan
    levels[700] = np.nan
    found = find_rhythm(series(levels))
    assert (found.day.peak, found.day.quiet, found.day.sure, found.week.sure) == (20, 8, True, True)
    assert found.day.periods == 56 - 2 - 4  # without the two at the edges and the four that the gap touches


def test_negative_values_are_described_by_differences() -> None:
    hours, _ = clock(6)
    values = 10 * np.cos(2 * np.pi * (hours - 6) / 24) + noise(len(hours), 2)
    found = find_rhythm(Series(name="net", metrics=("v",), start_s=MONDAY_S, step_s=3600, values=values[:, np.newaxis]))
    assert (found.factors, found.day.peak) == (False, 6)
    assert max(found.day.profile) == pytest.approx(10.0, abs=0.5)
    assert "apart" in words(found)[0]


def test_a_constant_series_has_no_rhythm_and_long_steps_are_refused() -> None:
    found = find_rhythm(series(np.full(6 * 168, 3.0)))
    assert (found.day.sure, found.week.sure, found.day.strength) == (False, False, 0.0)
    with pytest.raises(DataError, match="has steps of 604800 s; a rhythm shows in steps of a day or less"):
        find_rhythm(series(np.full(60, 3.0), step_s=604_800))


def test_the_same_log_gives_the_same_figures() -> None:
    first, second = (find_rhythm(series(known(5))) for _ in range(2))
    assert isinstance(first, Rhythm)
    assert isinstance(first.day, Cycle)
    assert first == second
