"""Conformal intervals: the quantile's rank, coverage, both scales, counts, and the stream of truth."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pulsecast import Bundle, load
from pulsecast.computing.intervals import (
    LEVELS,
    RollingConformal,
    SplitConformal,
    bounds,
    bounds_of_few,
    bounds_of_one,
    conformal_radius,
    fit_split,
    residual_of_one,
    residuals,
    split_interval,
)
from pulsecast.errors import DtypeError, FormatError, InputError, NonFiniteError, UsageError

NO_FORECAST = {
    "text": (["1.0"], DtypeError),
    "None": ([None], DtypeError),
    "a truth value": ([True], DtypeError),
    "masked": (np.ma.array([1.0], mask=True), NonFiniteError),
}


@pytest.mark.parametrize(("forecast", "error"), NO_FORECAST.values(), ids=NO_FORECAST.keys())
def test_a_forecast_that_is_not_a_number_has_no_interval(forecast: object, error: type[InputError]) -> None:
    with pytest.raises(error, match="expected real numbers"):
        RollingConformal(horizon=1).interval(forecast, 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.ma.masked, np.ma.array(5.0, mask=True)], ids=["the constant", "an array"])
def test_a_masked_value_is_not_observed(value: object) -> None:
    with pytest.raises(
        NonFiniteError, match="value has masked cells; expected real numbers, and NaN for a missing one"
    ):
        RollingConformal(horizon=1).observe(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "level", "rank"),
    [(9, 0.9, 9), (19, 0.9, 18), (99, 0.9, 90), (100, 0.9, 91), (3, 0.5, 2), (10, 0.5, 6)],
)
def test_the_radius_is_the_smallest_that_covers_one_more_residual(count: int, level: float, rank: int) -> None:
    values = np.random.default_rng(count).permutation(np.arange(1.0, count + 1))
    assert conformal_radius(values, level) == rank


def test_too_few_residuals_give_an_infinite_radius_and_never_a_small_one() -> None:
    assert conformal_radius(np.arange(8.0), 0.9) == math.inf
    assert conformal_radius(np.array([]), 0.5) == math.inf


def test_split_radii_cover_new_residuals_of_the_same_kind_as_often_as_asked() -> None:
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(200):
        truth = rng.lognormal(3, 1, (121, 1))
        split = fit_split(np.full((120, 1), 20.0), truth[:120], "log1p", counts=False)
        assert split is not None
        interval = split_interval(split, np.array([20.0]), 0.9)
        covered.append(float(interval.lower[0] <= truth[120, 0] <= interval.upper[0]))
    # 200 draws of a coin of 0.9 lie in 0.9 +- 0.064 with three standard deviations
    assert np.mean(covered) == pytest.approx(0.9, abs=0.064)


def test_bounds_on_the_log_scale_are_factors_around_the_forecast() -> None:
    interval = bounds(np.array([99.0]), np.array([math.log(2)]), "log1p", counts=False)
    assert interval.lower[0] == pytest.approx(49.0, rel=1e-12)
    assert interval.upper[0] == pytest.approx(199.0, rel=1e-12)


@pytest.mark.parametrize(
    ("forecast", "radius", "scale", "lower", "upper"),
    [
        (10.4, 2.0, "identity", 9.0, 12.0),
        (0.4, 2.0, "identity", 0.0, 2.0),
        (0.0, 0.5, "log1p", 0.0, 0.0),
        (5.0, 0.0, "identity", 5.0, 5.0),
        (5.4, 0.2, "identity", 5.0, 6.0),  # no whole number in between
        (0.4, 0.2, "identity", 0.0, 1.0),
        (-0.4, 0.2, "identity", 0.0, 0.0),
        (40.0, np.log(41 / 30), "log1p", 29.0, 55.0),  # 41 * 41 / 30 = 56.03
        (40.0, np.inf, "log1p", 0.0, np.inf),
    ],
)
def test_bounds_of_counts_are_the_whole_numbers_in_between_and_stay_above_zero(
    forecast: float, radius: float, scale: str, lower: float, upper: float
) -> None:
    interval = bounds(np.array([forecast]), np.array([radius]), scale, counts=True)  # type: ignore[arg-type]
    assert (interval.lower[0], interval.upper[0]) == (lower, upper)


def test_bounds_of_counts_cover_exactly_the_counts_that_the_radius_covers() -> None:
    rng = np.random.default_rng(3)
    forecast, truth = rng.gamma(2.0, 3.0, 5000), rng.poisson(6.0, 5000).astype(float)
    real, whole = (bounds(forecast, np.array([0.7]), "log1p", counts=counts) for counts in (False, True))
    inside = [(truth >= found.lower) & (truth <= found.upper) for found in (real, whole)]
    np.testing.assert_array_equal(*inside)
    assert 0.5 < inside[0].mean() < 0.95


@pytest.mark.parametrize("truth", [1.0, 7.0, 123.0, 98_765.0])
def test_a_count_that_is_just_covered_is_so_after_rounding(truth: float) -> None:
    forecast = np.array([truth * 0.37])
    interval = bounds(forecast, residuals(forecast, np.array([truth]), "log1p"), "log1p", counts=True)
    assert interval.upper[0] == truth


def test_a_residual_is_exactly_the_radius_that_just_covers_it() -> None:
    forecast, truth = np.array([3.0, 50.0]), np.array([7.0, 20.0])
    interval = bounds(forecast, residuals(forecast, truth, "log1p"), "log1p", counts=False)
    assert interval.upper[0] == pytest.approx(7.0, rel=1e-12)
    assert interval.lower[1] == pytest.approx(20.0, rel=1e-12)


def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    split = fit_split(np.zeros((500, 1)), np.ones((500, 1)), "identity", counts=False)
    assert split is not None
    assert split.levels == LEVELS
    with pytest.raises(UsageError, match=r"interval is 0\.85; this model has intervals for 0\.5, 0\.6"):
        split_interval(split, np.array([1.0]), 0.85)


def test_levels_that_the_windows_are_too_few_for_are_left_out() -> None:
    split = fit_split(np.zeros((20, 2)), np.ones((20, 2)), "identity", counts=False)
    assert split is not None
    assert split.levels == (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    assert fit_split(np.zeros((0, 1)), np.zeros((0, 1)), "identity", counts=False) is None


@pytest.mark.parametrize(
    ("levels", "radii", "message"),
    [
        ((0.9, 0.5), ((1.0,), (2.0,)), "levels are"),
        ((0.5, 1.0), ((1.0,), (2.0,)), "levels are"),
        ((), (), "levels are"),
        ((0.5,), ((1.0,), (2.0,)), "one row per level"),
        ((0.5, 0.9), ((1.0,), (2.0, 3.0)), "one row per level"),
        ((0.5,), ((-1.0,),), "negative"),
    ],
)
def test_impossible_radii_are_refused(levels: object, radii: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitConformal(scale="log1p", counts=False, levels=levels, radii=radii, windows=9)  # type: ignore[arg-type]


def test_a_rolling_window_forgets_what_is_older_than_it() -> None:
    rolling = RollingConformal(horizon=1, window=5, scale="identity", start=[np.full(5, 100.0)])
    for _ in range(5):
        assert rolling.interval(np.array([0.0]), 0.5).upper[0] == 100.0 or rolling.radii(0.5)[0] == 1.0
        rolling.observe(1.0)
    assert rolling.radii(0.8).tolist() == [1.0]


def test_each_horizon_step_is_judged_by_the_forecast_made_that_many_steps_before() -> None:
    rolling = RollingConformal(horizon=3, window=10, scale="identity")
    truth = [10.0, 20.0, 30.0, 40.0]
    forecasts = [np.array([11.0, 22.0, 33.0]), np.array([21.0, 32.0, 43.0]), np.array([31.0, 42.0, 53.0])]
    for i, value in enumerate(truth):
        if i < len(forecasts):
            rolling.interval(forecasts[i], 0.5)
        rolling.observe(value)
    # one step ahead errs by 1 each time, two by 2, three by 3
    assert rolling.radii(0.5).tolist() == [1.0, 2.0, 3.0]


def test_a_missing_step_teaches_nothing_and_keeps_the_others_in_place() -> None:
    rolling = RollingConformal(horizon=2, window=10, scale="identity")
    rolling.interval(np.array([10.0, 20.0]), 0.5)
    rolling.observe(math.nan)
    rolling.observe(25.0)
    assert rolling.radii(0.5).tolist() == [math.inf, 5.0]


def test_rolling_intervals_follow_a_series_that_becomes_restless_and_split_ones_do_not() -> None:
    rng = np.random.default_rng(3)
    noise = np.concatenate([rng.normal(0, 1, 400), rng.normal(0, 4, 400)])
    split = fit_split(np.zeros((400, 1)), noise[:400, np.newaxis], "identity", counts=False)
    rolling = RollingConformal(horizon=1, window=100, scale="identity", start=[np.abs(noise[300:400])])
    assert split is not None
    hits = {"split": 0, "rolling": 0}
    for value in noise[400:]:
        for name, found in (
            ("split", split_interval(split, np.zeros(1), 0.9)),
            ("rolling", rolling.interval(np.zeros(1), 0.9)),
        ):
            hits[name] += int(found.lower[0] <= value <= found.upper[0])
        rolling.observe(float(value))
    assert hits["rolling"] / 400 > 0.85
    assert hits["split"] / 400 < 0.5


def test_a_forecast_of_another_horizon_is_refused() -> None:
    with pytest.raises(InputError, match=r"forecast has shape \(2,\); expected \(1,\)"):
        RollingConformal(horizon=1).interval(np.array([1.0, 2.0]), 0.9)


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, 90.0])
def test_a_coverage_that_is_not_a_probability_is_refused(level: float) -> None:
    with pytest.raises(UsageError, match="expected a number between 0 and 1"):
        RollingConformal(horizon=1).interval(np.array([1.0]), level)


# --- through a bundle ------------------------------------------------------------------------------------------------


def test_a_forecaster_gives_bounds_that_cover_its_heldout_part_as_often_as_asked(calendar_bundle: Path) -> None:
    model = load(calendar_bundle)
    golden = Bundle.open(calendar_bundle).golden()
    found = model.predict(golden.windows, interval=0.9)
    np.testing.assert_array_equal(found.forecast, model.predict(golden.windows).astype(np.float64))
    covered = ((golden.truth >= found.lower) & (golden.truth <= found.upper)).mean(axis=0)  # per horizon step
    # the radii come from these windows: ceil(97 * 0.9) = 88 of 96 are covered, and equal residuals may add a few
    assert (covered >= 88 / 96).all()
    assert (covered <= 1.0).all()
    assert (found.lower == np.floor(found.lower)).all()
    assert (found.lower <= found.forecast).all()
    assert (found.upper >= found.forecast).all()


def test_a_wider_coverage_gives_a_wider_interval(plain_bundle: Path) -> None:
    model = load(plain_bundle)
    windows = Bundle.open(plain_bundle).golden().windows
    narrow, wide = model.predict(windows, interval=0.5), model.predict(windows, interval=0.95)
    assert (wide.upper >= narrow.upper).all()
    assert (wide.lower <= narrow.lower).all()
    assert (wide.upper > narrow.upper).any()


def test_a_bundle_from_before_there_were_intervals_still_forecasts_and_says_what_it_lacks(
    plain_bundle: Path, copied: Callable[[Path], Path]
) -> None:
    bundle = copied(plain_bundle)
    document = json.loads((bundle / "manifest.json").read_text())
    del document["intervals"], document["level"]
    (bundle / "manifest.json").write_text(json.dumps(document))
    model = load(bundle)
    windows = Bundle.open(bundle).golden().windows
    np.testing.assert_array_equal(model.predict(windows), load(plain_bundle).predict(windows))
    with pytest.raises(UsageError, match="this bundle has no intervals"):
        model.predict(windows, interval=0.9)


def test_radii_of_another_horizon_are_refused_at_open(plain_bundle: Path, copied: Callable[[Path], Path]) -> None:
    bundle = copied(plain_bundle)
    document = json.loads((bundle / "manifest.json").read_text())
    document["intervals"]["radii"] = [[1.0, 2.0] for _ in document["intervals"]["radii"]]
    (bundle / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match="intervals have 2 steps; horizon is 1"):
        Bundle.open(bundle)


@pytest.mark.parametrize("scale", ["log1p", "identity"])
@pytest.mark.parametrize("counts", [True, False])
def test_one_number_has_the_bounds_and_the_residual_that_it_has_in_an_array(scale: str, counts: bool) -> None:
    draw = np.random.default_rng(4)
    forecasts = np.concatenate([draw.uniform(-3, 50, 400), [0.0, 1.0, 7.0, 1e6, 3e38]])
    radii = np.concatenate([draw.uniform(0, 2, 404), [np.inf]])
    expected = bounds(forecasts, radii, scale, counts=counts)  # type: ignore[arg-type]
    found = [bounds_of_one(f, r, scale, counts=counts) for f, r in zip(forecasts, radii, strict=True)]  # type: ignore[arg-type]
    # `math` and numpy round a logarithm differently in the last place
    np.testing.assert_allclose(found, np.stack(expected[1:], axis=1), rtol=1e-12, atol=1e-12)
    truth = forecasts[::-1]
    distances = [residual_of_one(f, y, scale) for f, y in zip(forecasts, truth, strict=True)]  # type: ignore[arg-type]
    np.testing.assert_allclose(distances, residuals(forecasts, truth, scale), rtol=1e-12, atol=1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", ["log1p", "identity"])
@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 8, 9])
def test_a_few_steps_have_the_bounds_that_they_have_in_an_array_bit_for_bit(
    scale: str, counts: bool, steps: int
) -> None:
    draw = np.random.default_rng(steps)
    for size in (1e-9, 0.3, 3.0, 40.0, 1e5, 1e30):
        for _ in range(60):
            forecast, radius = draw.normal(size, size, steps), np.abs(draw.normal(0, 1.0, steps))
            special = int(draw.integers(8))
            forecast[0] = {0: np.nan, 1: 0.0, 2: np.round(size)}.get(special, forecast[0])
            radius[0] = {3: np.inf, 4: 0.0, 5: 1e-9}.get(special, radius[0])
            with np.errstate(over="ignore", invalid="ignore"):
                expected = bounds(forecast[np.newaxis], radius[np.newaxis], scale, counts=counts)  # type: ignore[arg-type]
                found = bounds_of_few(forecast, radius, scale, counts=counts)  # type: ignore[arg-type]
            assert [one.tobytes() for one in found] == [expected.lower[0].tobytes(), expected.upper[0].tobytes()]


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("scale", ["log1p", "identity"])
def test_a_bound_at_nothing_is_0_and_never_minus_0(scale: str, counts: bool) -> None:
    forecast = np.array([0.0, -0.0, 1e-9, 0.2, 0.5, 1.0, 3.0, -1.0, -3.0])
    for radius in (0.0, -0.0, 1e-9, 0.2, 0.5, 1.0, 3.0):
        found = bounds(forecast, np.float64(radius), scale, counts=counts)
        ones = [bounds_of_one(float(one), radius, scale, counts=counts) for one in forecast]
        few = bounds_of_few(forecast, np.full(len(forecast), radius), scale, counts=counts)  # type: ignore[arg-type]
        few_one = [bounds_of_few(one[np.newaxis], np.array([radius]), scale, counts=counts) for one in forecast]  # type: ignore[arg-type]
        every = np.concatenate([found.lower, found.upper, *few, np.ravel(few_one), np.ravel(ones)])
        assert not np.signbit(every[every == 0]).any(), radius
