"""What a step is judged by: the level, repetitions, incidents, and the judge that puts them together."""

from __future__ import annotations

import numpy as np
import pytest

from pulsecast.computing.intervals import conformal_radius
from pulsecast.forecasting.departures import REASONS, residuals_needed
from pulsecast.forecasting.watching.incidents import Incidents, quiet_steps
from pulsecast.forecasting.watching.judge import Judge
from pulsecast.forecasting.watching.judge_state import pack_judge, unpack_judge
from pulsecast.forecasting.watching.levels import Levels, levels_kept
from pulsecast.forecasting.watching.repeats import Repeats

NAN = float("nan")
HOUR, DAY, FIVE_MINUTES = 3600, 86400, 300
STEPS_S = (1, 60, FIVE_MINUTES, HOUR, 7 * HOUR, DAY, 7 * DAY)


def rhythm(steps: int, seed: int = 1, level: float = 200.0) -> np.ndarray:
    """Return counts of hours with a day in them: (steps,)."""
    rng = np.random.default_rng(seed)
    return np.round(level * np.exp(0.6 * np.sin(np.arange(steps) * np.pi / 12) + rng.normal(0, 0.25, steps)))


# --- the level -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["log1p", "identity"])
def test_the_level_is_the_median_of_the_values_before_and_its_radius_a_rank_of_the_distances_before(scale: str) -> None:
    values = np.random.default_rng(2).normal(3, 40, 700).round(1)  # below 0 too: log1p takes that for 0
    levels, share = Levels(HOUR, 0.02, scale=scale), 0.02
    on_scale = np.log1p(np.maximum(values, 0)) if scale == "log1p" else values
    distances: list[float] = []
    for n, value in enumerate(values):
        score, outside = levels.judge(float(value), share)
        if n < 24:
            assert (score, outside, levels.bounds()[1]) == (0.0, False, np.inf)
            continue
        median, radius = np.median(on_scale[max(0, n - 336) : n]), conformal_radius(np.array(distances[-336:]), 0.98)
        distances.append(abs(on_scale[n] - median))
        if np.isfinite(radius):
            assert score == pytest.approx(distances[-1] / radius, rel=1e-5)
            edge = np.expm1(median + radius) if scale == "log1p" else median + radius
            assert levels.bounds()[1] == pytest.approx(edge, rel=1e-5)
        assert outside == (score > 1)
    assert len(levels) == 336


@pytest.mark.parametrize("step_s", STEPS_S)
def test_two_weeks_of_any_step_fit_into_a_bounded_memory(step_s: int) -> None:
    kept, every = levels_kept(step_s, 0.0005)
    assert kept == max(1999, min(4032, 14 * DAY // step_s))
    if step_s < HOUR:
        assert kept * every * step_s == pytest.approx(14 * DAY, rel=0.01)
    levels = Levels(step_s, 0.0005)
    for value in range(1, 60 * every if every > 1 else 400):
        levels.judge(float(value), 0.0005)
    kept_values = levels.state().values
    assert np.diff(kept_values).tolist() == [every] * (len(kept_values) - 1)


def test_a_level_is_outside_no_more_often_than_its_share_on_any_series_that_goes_on_as_it_did() -> None:
    for seed, share in ((1, 0.003), (2, 0.01)):
        levels = Levels(HOUR, share)
        found = [levels.judge(value, share)[1] for value in rhythm(8000, seed).tolist()]
        assert np.mean(found[400:]) < share + 3 * np.sqrt(share / 7600)
        assert levels.judge(5000.0, share)[1]


def test_a_value_beyond_float32_is_as_far_off_as_can_be_and_harms_nothing() -> None:
    levels = Levels(HOUR, 0.05, scale="identity")
    for value in rhythm(100).tolist():
        levels.judge(value, 0.05)
    for value in (1e300, -1e300):
        score, outside = levels.judge(value, 0.05)
        assert outside
        assert np.isfinite(score)
    assert not levels.judge(200.0, 0.05)[1]


# --- repetitions -----------------------------------------------------------------------------------------------------


def scores(values: list[float], repeats: Repeats) -> list[tuple[int, bool]]:
    return [(found.cycle, found.score > 1) for found in map(repeats.push, values)]


def test_nothing_is_told_before_two_hundred_values_are_known() -> None:
    repeats = Repeats(1000)
    assert not any(told for _, told in scores([9.0] * 199, repeats))
    assert scores([9.0], repeats) == [(1, True)]


def test_runs_are_told_from_the_twelfth_value_on_and_then_from_twice_the_longest_on() -> None:
    repeats = Repeats(1000)
    scores([float(n) for n in range(250)], repeats)
    assert [told for _, told in scores([-1.0] * 14, repeats)] == [False] * 11 + [True] * 3
    scores([float(n) for n in range(50)], repeats)
    assert [told for _, told in scores([-1.0] * 30, repeats)] == [False] * 27 + [True] * 3
    scores([float(n) for n in range(2100)], repeats)  # both are forgotten
    assert [told for _, told in scores([-1.0] * 12, repeats)] == [False] * 11 + [True]


@pytest.mark.parametrize("cycle", range(2, 13))
def test_a_cycle_is_told_by_its_own_length_and_a_constant_is_not_a_cycle(cycle: int) -> None:
    repeats = Repeats(1000)
    scores([float(n) for n in range(250)], repeats)
    found = scores([*np.resize(-1.0 - np.arange(cycle), cycle + 15).tolist()], repeats)
    assert [told for _, told in found] == [False] * (cycle + 10) + [True] * 5
    assert {length for length, told in found if told} == {cycle}
    scores([float(n) for n in range(50)], repeats)
    assert {length for length, told in scores([-9.0] * 80, repeats) if told} == {1}


@pytest.mark.parametrize("mean", [0.02, 0.1, 0.7, 3.0])
def test_chance_hardly_ever_repeats_itself_as_long_even_among_zeros(mean: float) -> None:
    told = 0
    for seed in range(10):
        repeats = Repeats(336)
        values = np.random.default_rng(seed).poisson(mean, 2000).astype(float).tolist()
        told += any(told for _, told in scores(values, repeats))
    assert told <= 5  # of ten series of twelve weeks: 0.04 a week
    assert mean < 1 or not told


def test_an_interruption_ends_a_run_and_it_counts_for_the_longest() -> None:
    repeats = Repeats(1000)
    scores([float(n) for n in range(250)], repeats)
    scores([-1.0] * 10, repeats)
    repeats.interrupt()
    assert [told for _, told in scores([-1.0] * 21, repeats)] == [False] * 19 + [True] * 2


# --- incidents -------------------------------------------------------------------------------------------------------


def test_an_incident_is_news_once_and_again_when_it_is_twice_as_bad() -> None:
    incidents = Incidents(quiet=3)
    told = [incidents.is_news(score) for score in (0.0, 2.0, 3.9, 0.0, 0.0, 4.0, 8.0, 1.1, 0, 0, 0, 1.1)]
    assert told == [False, True, False, False, False, False, True, False, False, False, False, True]
    everything = Incidents(quiet=0)
    assert [everything.is_news(score) for score in (3.0, 2.0, 2.0)] == [True, True, True]


def test_what_gets_worse_little_by_little_raises_one_alarm() -> None:
    incidents = Incidents(quiet=24)
    assert [n for n in range(500) if incidents.is_news(1.0 + 0.1 * n)] == [0]


def test_where_many_ordinary_steps_may_be_flagged_an_incident_is_short() -> None:
    assert [quiet_steps(HOUR, rate) for rate in (0.001, 1 / 168, 0.05, 0.5)] == [24, 24, 5, 0]
    assert [quiet_steps(step_s, 0.01) for step_s in (FIVE_MINUTES, DAY, 7 * DAY)] == [25, 1, 0]


# --- the judge -------------------------------------------------------------------------------------------------------


def judge_of(rate: float = 0.02, step_s: int = HOUR, **options: object) -> Judge:
    return Judge(false_alarm_rate=rate, step_s=step_s, **options)  # type: ignore[arg-type]


def heard(judge: Judge, values: np.ndarray, forecasts: np.ndarray) -> list:
    return [judge.judge(float(f), float(v)) for f, v in zip(forecasts, values, strict=True)]


def yesterday(values: np.ndarray) -> np.ndarray:
    return np.concatenate((np.full(24, NAN), values[:-24]))


@pytest.mark.parametrize("rate", [0.006, 0.02])
def test_of_ordinary_steps_all_reasons_together_flag_no_more_than_was_promised(rate: float) -> None:
    values = rhythm(8_000)
    found = heard(judge_of(rate), values, yesterday(values))
    flagged = np.array([one.anomalous for one in found])
    assert flagged.mean() < rate + 3 * np.sqrt(rate / 8_000)
    assert {one.reason for one in found if one.anomalous} == {"level", "step"}
    early = flagged[: 2 * residuals_needed(rate)]  # while one of them has all of the rate
    assert early.sum() < rate * len(early) + 3 * np.sqrt(rate * len(early)) + 1


def test_each_reason_is_named_and_the_bounds_are_its_own() -> None:
    values = rhythm(1200)
    judge, forecasts = judge_of(), yesterday(values)
    found = heard(judge, values, forecasts)
    assert all(one.reason is None for one in found if not one.anomalous)
    state = judge.state()

    def after(forecast: float, *next_values: float) -> object:
        again = judge_of()
        again.resume(judge.residuals, [], state)
        return [again.judge(forecast, value) for value in next_values][-1]

    level = after(5000.0, 5001.0)
    assert (level.reason, level.alarm) == ("level", True)
    assert 100 < level.lower < level.upper < 5001 or level.lower < 100 < level.upper < 5001
    step = after(60.0, 300.0)
    assert (step.reason, step.alarm) == ("step", True)
    assert step.lower < 60 < step.upper < 300
    assert after(200.0, *[200.0] * 12).reason == "stuck"
    assert after(200.0, *[190.0, 210.0] * 8).reason == "cycle"
    ordinary = after(200.0, 210.0)
    assert (ordinary.reason, ordinary.anomalous, ordinary.alarm) == (None, False, False)
    assert ordinary.lower < 200 < ordinary.upper


def test_the_return_from_a_burst_is_no_departure_and_teaches_nothing() -> None:
    values = rhythm(1200)
    judge = judge_of()
    heard(judge, values, yesterday(values))
    learnt = len(judge.residuals)
    burst = judge.judge(200.0, 9000.0)
    assert (burst.reason, burst.alarm) == ("level", True)
    kept = judge.residuals
    back = judge.judge(9000.0, 200.0)  # a forecast made of the burst
    assert (back.anomalous, back.alarm) == (False, False)
    assert judge.residuals == kept
    assert len(kept) == learnt  # as many as are kept
    heard(judge, values[:12], values[:12])
    assert judge.judge(60.0, 400.0).reason == "step"  # after half a day, a quarter of 1 / 0.02 steps


def test_a_series_that_is_too_short_for_both_is_judged_by_its_forecasts_alone_as_before() -> None:
    values = rhythm(220)
    judge = judge_of(0.01)
    heard(judge, values[:140], yesterday(values[:140]) + 1)
    assert len(judge.residuals) == 116  # 99 are needed for all of the rate, 199 for half of it
    assert judge.judge(20.0, 400.0).reason == "step"
    judge = judge_of(0.01)
    heard(judge, values[:140], np.full(140, NAN))  # without any forecast, by the level
    assert judge.judge(NAN, 9000.0).reason == "level"


def test_gaps_are_not_judged_and_after_one_the_level_still_is() -> None:
    values = rhythm(1000)
    judge = judge_of()
    heard(judge, values, yesterday(values))
    missing = judge.judge(200.0, NAN)
    assert (missing.score, missing.anomalous, missing.reason) == (0.0, False, None)
    assert judge.judge(NAN, 9000.0).reason == "level"
    judge.wait(500)
    assert judge.judge(NAN, 9000.0).alarm  # another incident


@pytest.mark.parametrize("scale", ["log1p", "identity"])
@pytest.mark.parametrize("step_s", [60, HOUR, DAY])
def test_a_state_goes_on_as_if_nothing_had_been(scale: str, step_s: int) -> None:
    values = rhythm(900) - (100 if scale == "identity" else 0)
    values[::17], values[650:690], values[700] = NAN, 5.0, 4000.0
    forecasts = yesterday(np.nan_to_num(values))
    one = judge_of(step_s=step_s, scale=scale, counts=scale == "log1p")
    heard(one, values[:620], forecasts[:620])
    for n in range(620, 740):
        other = judge_of(step_s=step_s, scale=scale, counts=scale == "log1p")
        state, reason = unpack_judge(pack_judge(one.state(), 3), len(REASONS))
        assert reason == 3
        other.resume(one.residuals, one.highest, state)
        assert other.state() == one.state()
        expected = one.judge(float(forecasts[n]), float(values[n]))
        assert repr(other.judge(float(forecasts[n]), float(values[n]))) == repr(expected)
        one = other
    assert scale == "identity" or step_s == 60 or expected.upper < np.inf
