"""Recipes: the textbook one to the letter, the inputs that each makes of a series, and how scalers are fitted."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.engines import require

require("sklearn")

from pulsecast.errors import DataError, UsageError  # noqa: E402  the package above is needed first
from pulsecast.model.scaler import FeatureScale  # noqa: E402
from pulsecast.model.spec import Channel, ModelSpec  # noqa: E402
from pulsecast_train.recipes.recipes import (  # noqa: E402
    RECIPES,
    Recipe,
    build_spec,
    calendar_features,
    find_recipe,
    fit_scaler,
    season_lag,
    season_steps,
)
from pulsecast_train.recipes.train_config import TrainConfig  # noqa: E402

TEXTBOOK, RECOMMENDED = RECIPES["textbook"], RECIPES["recommended"]
HOUR, DAY, WEEK = 3600, 86_400, 604_800


def test_textbook_is_the_published_tutorial_to_the_letter() -> None:
    tutorial = Recipe(
        transform="identity",
        scaling="minmax",
        target="level",
        changes=False,
        calendar=False,
        nonnegative=False,
        pool=False,
        linear=False,
        loss="mse",
        epochs=50,
        validation_fraction=0.0,
        patience=0,
        averaging=0.0,
        level_noise=0.0,
    )
    assert RECIPES["textbook"] == tutorial
    config = TrainConfig(recipe="textbook")
    assert (config.batch_size, config.heldout_fraction, config.dropout, config.learning_rate) == (64, 0.2, 0.0, 1e-3)
    spec = build_spec(TEXTBOOK, config, ("value",), HOUR)
    assert (spec.window, spec.units, spec.horizon, spec.target) == (50, (50, 50), 1, "level")
    assert [feature.name for feature in spec.features] == ["value"]
    assert spec.channels == (Channel(feature=0),)
    assert (spec.context, spec.floor) == (50, None)


def test_recommended_adds_changes_and_the_calendar_of_the_next_step() -> None:
    spec = build_spec(RECOMMENDED, TrainConfig(), ("value",), HOUR)
    names = [feature.name for feature in spec.features]
    assert names[0] == "value"
    cycles = ("day", "half_day", "third_day", "quarter_day", "week")
    assert names[1:] == [*(f"{cycle}_{wave}" for cycle in cycles for wave in ("sin", "cos")), "weekend"]
    assert all(feature.calendar.ahead_steps == 1 for feature in spec.features[1:] if feature.calendar)
    levels = [Channel(feature=i) for i in range(12)]
    assert list(spec.channels) == [*levels, Channel(feature=0, lag=1), Channel(feature=0, lag=23)]
    assert (spec.target, spec.floor, spec.context) == ("change", 0.0, 73)


def test_each_metric_has_its_own_changes() -> None:
    spec = build_spec(RECOMMENDED, TrainConfig(), ("posts", "likes"), HOUR)
    assert spec.measured == 2
    assert [(c.feature, c.lag) for c in spec.channels if c.lag] == [(0, 1), (0, 23), (1, 1), (1, 23)]


@pytest.mark.parametrize(
    ("step_s", "steps", "lag"),
    [
        (300, 288, (287,)),
        (HOUR, 24, (23,)),
        (6 * HOUR, 4, (3,)),
        (DAY // 2, 2, ()),
        (DAY, 7, (6,)),
        (7 * HOUR, 24, (23,)),
        (WEEK, None, ()),
        (11 * HOUR, None, ()),
    ],
)
def test_the_season_is_a_day_or_else_a_week(step_s: int, steps: int | None, lag: tuple[int, ...]) -> None:
    assert season_steps(step_s) == steps
    assert season_lag(step_s) == lag


@pytest.mark.parametrize(
    ("step_s", "names"),
    [
        (6 * HOUR, ["day_sin", "day_cos", "week_sin", "week_cos", "weekend"]),  # two steps do not show half a day
        (DAY, ["week_sin", "week_cos", "weekend"]),
        (WEEK, []),
    ],
)
def test_cycles_that_the_step_cannot_show_are_left_out(step_s: int, names: list[str]) -> None:
    assert [feature.name for feature in calendar_features(step_s)] == names


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no recipe 'best'; known: textbook, recommended"):
        find_recipe("best")


# ------------------------------------------------------------------------------------------------------------- scalers


def level_spec(*metrics: str) -> ModelSpec:
    return build_spec(TEXTBOOK, TrainConfig(recipe="textbook"), metrics or ("value",), HOUR)


def test_textbook_scales_the_training_part_to_zero_and_one() -> None:
    training = [np.array([[10.0], [30.0]]), np.array([[np.nan], [50.0]])]
    scaler = fit_scaler(TEXTBOOK, level_spec(), training)
    assert scaler.features == (FeatureScale(offset=10.0, scale=40.0, low=10.0, high=50.0),)
    assert scaler.transform(np.array([[10.0], [50.0], [60.0]])).ravel().tolist() == [0.0, 1.0, 1.25]


def test_recommended_standardises_logarithms_and_leaves_the_calendar() -> None:
    values = np.expm1(np.array([[1.0], [3.0]]))
    scaler = fit_scaler(RECOMMENDED, build_spec(RECOMMENDED, TrainConfig(), ("value",), HOUR), [values])
    first, *calendar = scaler.features
    assert (first.transform, first.offset, first.scale) == ("log1p", 2.0, 1.0)
    assert (first.low, first.high) == (values.min(), values.max())
    assert all(feature.is_identity for feature in calendar)


def test_every_metric_has_its_own_scale() -> None:
    scaler = fit_scaler(TEXTBOOK, level_spec("posts", "likes"), [np.array([[0.0, 5.0], [4.0, 13.0]])])
    assert [(f.offset, f.scale) for f in scaler.features] == [(0.0, 4.0), (5.0, 8.0)]


def test_constants_are_float32_numbers() -> None:
    scale = fit_scaler(TEXTBOOK, level_spec(), [np.array([[0.1], [0.7]])]).features[0]
    assert (scale.offset, scale.scale) == (float(np.float32(0.1)), float(np.float32(0.7 - 0.1)))


def test_a_constant_metric_is_not_divided_by_zero() -> None:
    for recipe in (TEXTBOOK, RECOMMENDED):
        spec = build_spec(recipe, TrainConfig(), ("value",), HOUR)
        assert fit_scaler(recipe, spec, [np.full((5, 1), 3.0)]).features[0].scale == 1.0


def test_logarithms_of_negative_values_are_refused_with_the_way_out() -> None:
    spec = build_spec(RECOMMENDED, TrainConfig(), ("value",), HOUR)
    with pytest.raises(DataError, match=r"value goes down to -2, and the recipe takes logarithms .*--recipe textbook"):
        fit_scaler(RECOMMENDED, spec, [np.array([[-2.0], [5.0]])])


@pytest.mark.parametrize(
    ("low", "high", "sentence"),
    [
        (
            1e8,
            1e8 + 100,
            r"runs from 1e\+08 to 1e\+08: float32 rounds such values by 4.0e-02 of their range .limit 1e-06",
        ),
        (1e6, 1e6 + 10_000, "float32 rounds such values by 3.1e-06 of their range"),
        (0.0, 1e36, r"value reaches 1e\+36, too large for float32; rescale it"),
    ],
)
def test_values_too_coarse_for_float32_are_refused_with_the_figure(low: float, high: float, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        fit_scaler(TEXTBOOK, level_spec(), [np.array([[low], [high]])])


def test_large_values_with_a_large_range_are_taken() -> None:
    assert fit_scaler(TEXTBOOK, level_spec(), [np.array([[1e6], [3e6]])]).range == 2e6


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"window": 0}, "window is 0; expected at least 1"),
        ({"epochs": 0, "batch_size": 0}, "epochs is 0; expected at least 1; batch_size is 0"),
        ({"units": ()}, "units must name at least one layer"),
        ({"units": (50, 99_999_999)}, "units name a layer of 99999999; expected at most 4096"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected a positive number"),
        ({"dropout": 1.0}, "dropout is 1.0; expected 0 or more and under 1"),
        ({"heldout_fraction": 0.0}, "heldout_fraction is 0.0; expected between 0 and 1"),
        ({"heldout_fraction": float("nan")}, "heldout_fraction is nan"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0"),
        ({"patience": -1}, "patience is -1; expected 0 or more"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"averaging": -1.0, "level_noise": -2.0}, "averaging is -1.0; expected 0 or more; level_noise is -2.0"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(TrainConfig(), **change)  # type: ignore[arg-type]


def test_a_metric_that_no_bundle_may_name_is_refused_before_training() -> None:
    with pytest.raises(
        DataError, match=r"a metric's name 'a\\x1b\[2J' holds characters that cannot be printed; rename"
    ):
        build_spec(TEXTBOOK, TrainConfig(), ("a\x1b[2J",), HOUR)


def test_a_size_that_no_reader_takes_is_refused_before_training() -> None:
    with pytest.raises(UsageError, match="window is 100001; expected at most 100000"):
        build_spec(TEXTBOOK, TrainConfig(window=100_001), ("value",), HOUR)
