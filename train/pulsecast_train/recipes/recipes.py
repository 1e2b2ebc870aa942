"""Recipes: how values become network inputs and targets, and how the network is fitted. One literal table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from pulsecast.bundle.manifest import check_printable
from pulsecast.errors import DataError, UsageError
from pulsecast.model.network import plain_stack
from pulsecast.model.scaler import FeatureScale, Scaler, Transform
from pulsecast.model.spec import DAY_S, WEEK_S, Calendar, Channel, Feature, ModelSpec
from pulsecast.plain_text import listed

from ..series import Series
from .holiday_calendar import holiday_features
from .linear_path import linear_of
from .train_config import TrainConfig

# Above this, float32 rounds raw values too coarsely for a parity limit of 2e-6 of the range.
FLOAT32_COARSENESS_LIMIT = 1e-6


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A row of RECIPES.

    transform, scaling  of measured features, fitted on the training part only
    target              the network forecasts a scaled level, or the change from the last scaled value
    changes             add the channels `change from the step before` and `change from a season ago`
    calendar            add calendar features of the step being forecast
    nonnegative         refuse negative values, and never forecast one
    pool                several series train one network with a scaler per series, not with one common scaler
    linear              add a linear path beside the network, fitted in closed form
    """

    transform: Transform
    scaling: Literal["minmax", "standard"]
    target: Literal["level", "change"]
    changes: bool
    calendar: bool
    nonnegative: bool
    pool: bool
    linear: bool
    loss: str
    epochs: int
    validation_fraction: float
    patience: int
    averaging: float
    level_noise: float


RECIPES = {
    # The published tutorial to the letter: min-max, level in, level out, MSE, 50 epochs of 64, nothing else.
    "textbook": Recipe(
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
    ),
    # Measured on seven hourly tweet series and ten subreddits over five origins: the MAE of the linear path alone is
    # 0.790 and 0.793 of that of repeating the last value, that of the network alone 0.805 and 0.843.
    "recommended": Recipe(
        transform="log1p",
        scaling="standard",
        target="change",
        changes=True,
        calendar=True,
        nonnegative=True,
        pool=True,
        linear=True,
        loss="narrow_huber",
        epochs=50,
        validation_fraction=0.1,
        patience=8,
        averaging=5.0,
        level_noise=0.6,
    ),
}


def find_recipe(name: str) -> Recipe:
    """Return a row of RECIPES; raises UsageError that lists them."""
    if name not in RECIPES:
        raise UsageError(f"no recipe {name!r}; known: {', '.join(RECIPES)}")
    return RECIPES[name]


def filled(config: TrainConfig) -> TrainConfig:
    """Return `config` with every None replaced by the recipe's value; raises UsageError on a contradiction."""
    recipe = find_recipe(config.recipe)
    values = {
        name: getattr(recipe, name)
        for name in ("epochs", "loss", "validation_fraction", "patience", "averaging", "level_noise", "pool", "linear")
        if getattr(config, name) is None
    }
    config = dataclasses.replace(config, **values)
    if config.patience and not config.validation_fraction:
        raise UsageError("patience needs a validation part; pass --validation-fraction as well, e.g. 0.1")
    if config.level_noise and recipe.target != "change":
        raise UsageError(
            f"level_noise would blur the forecasts of recipe {config.recipe}; it is for forecasts of changes"
        )
    if config.linear and recipe.target != "change":
        raise UsageError(
            f"a linear path forecasts changes, and recipe {config.recipe} forecasts levels; leave linear out, or use "
            "--recipe recommended"
        )
    if config.holidays and not recipe.calendar:
        raise UsageError(f"recipe {config.recipe} has no calendar to put holidays in; use --recipe recommended")
    if config.holiday_zone != "UTC" and not config.holidays:
        raise UsageError(f"holiday zone {config.holiday_zone} is for holidays; name them with --holidays, such as US")
    return config


def refuse_pool(config: TrainConfig) -> None:
    """Raise UsageError if several series cannot share one model of `config`'s recipe, each with a scale of its own.

    A series that training never saw is scaled by its window, and that rule is known for standard scores of log1p.
    """
    recipe = find_recipe(config.recipe)
    if (recipe.transform, recipe.scaling) != ("log1p", "standard"):
        raise UsageError(
            f"recipe {config.recipe} cannot pool series: only standard scores of log1p have a rule for a series that "
            "training never saw; leave --pool out, or use --recipe recommended"
        )


def spec_of(config: TrainConfig, series: Sequence[Series]) -> ModelSpec:
    """Return the spec of a model that `config` trains on `series`, which share metrics and step."""
    first = series[0]
    recipe = find_recipe(config.recipe)
    return build_spec(recipe, config, first.metrics, first.step_s, holiday_features(config, series))


def build_spec(
    recipe: Recipe, config: TrainConfig, metrics: tuple[str, ...], step_s: int, holidays: tuple[Feature, ...] = ()
) -> ModelSpec:
    """Return the spec of a model of this recipe over a series with these metrics and step.

    Raises DataError for a metric that no bundle may name, UsageError for sizes that no reader takes.
    """
    if problems := listed(check_printable(metrics)):
        raise DataError(f"a metric's name {problems}; rename its column")
    calendars = (*calendar_features(step_s), *holidays) if recipe.calendar else ()
    features = (*(Feature(name=name) for name in metrics), *calendars)
    levels = tuple(Channel(feature=i) for i in range(len(features)))
    lags = (1, *season_lag(step_s)) if recipe.changes else ()
    changes = tuple(Channel(feature=i, lag=lag) for i in range(len(metrics)) for lag in lags)
    try:
        spec = ModelSpec(
            window=config.window,
            features=features,
            channels=levels + changes,
            units=config.units,
            horizon=config.horizon,
            step_s=step_s,
            target=recipe.target,
            floor=0.0 if recipe.nonnegative else None,
        )
        if not config.linear:
            return spec
        linear = linear_of(spec, season_steps(step_s) or 0)
        return dataclasses.replace(spec, network=plain_stack(config.units, linear))
    except ValueError as error:
        raise UsageError(str(error)) from error


def calendar_features(step_s: int) -> tuple[Feature, ...]:
    """Return the day's and week's phase of the next step, without cycles for which the step is too long."""
    # a day's shape has sharp turns (working hours, evenings), which its first two waves alone would blur
    days = (("day", DAY_S), ("half_day", DAY_S // 2), ("third_day", DAY_S // 3), ("quarter_day", DAY_S // 4))
    periods = (*days, ("week", WEEK_S))
    waves = tuple(
        Feature(name=f"{name}_{function}", calendar=Calendar(function=function, period_s=period))
        for name, period in periods
        if period > 2 * step_s
        for function in _WAVES
    )
    weekend = Feature(name="weekend", calendar=Calendar(function="weekend", period_s=WEEK_S))
    return (*waves, weekend) if step_s <= DAY_S else waves


_WAVES: tuple[Literal["sin", "cos"], ...] = ("sin", "cos")


def season_steps(step_s: int) -> int | None:
    """Return the steps of the shortest season that the step divides: a day, else a week, else None."""
    return next((period // step_s for period in (DAY_S, WEEK_S) if step_s < period and period % step_s == 0), None)


def season_lag(step_s: int) -> tuple[int, ...]:
    """Return, as a tuple of at most one, the lag from a step to the one a season before the step after it."""
    steps = season_steps(step_s)
    return (steps - 1,) if steps is not None and steps > 2 else ()


def fit_scaler(recipe: Recipe, spec: ModelSpec, training: Sequence[NDArray[np.float64]]) -> Scaler:
    """Return the scaler fitted on the training parts, each (steps, measured), pooled; calendar features stay unscaled.

    Raises DataError if the recipe takes no negative values and there are some, or if values are so large compared with
    their range that float32, in which every artifact computes, rounds them too coarsely.
    """
    pooled = np.concatenate(training)  # (steps, measured)
    pooled = pooled[np.isfinite(pooled[:, 0])]
    scales = [_fit_one(recipe, feature.name, pooled[:, i]) for i, feature in enumerate(spec.features[: spec.measured])]
    untouched = [FeatureScale() for _ in spec.features[spec.measured :]]
    return Scaler(features=(*scales, *untouched))


def _fit_one(recipe: Recipe, name: str, values: NDArray[np.float64]) -> FeatureScale:
    low, high = float(values.min()), float(values.max())
    if recipe.nonnegative and low < 0:
        raise DataError(
            f"{name} goes down to {low:g}, and the recipe takes logarithms of values of at least 0; use --recipe "
            "textbook"
        )
    column = (np.log1p(values) if recipe.transform == "log1p" else values).reshape(-1, 1)
    if recipe.scaling == "minmax":
        fitted = MinMaxScaler().fit(column)
        offset, scale = float(fitted.data_min_[0]), float(fitted.data_range_[0])
    else:
        standard = StandardScaler().fit(column)
        offset, scale = float(standard.mean_[0]), float(np.sqrt(standard.var_[0]))
    _check_float32(recipe, name, low, high)
    # float32 numbers, so that reference and graphs compute with the same constants; a constant column has no scale
    return FeatureScale(
        transform=recipe.transform,
        offset=float(np.float32(offset)),
        scale=float(np.float32(scale)) if np.float32(scale) > np.finfo(np.float32).tiny else 1.0,
        low=low,
        high=high,
    )


def _check_float32(recipe: Recipe, name: str, low: float, high: float) -> None:
    largest = max(abs(low), abs(high))
    if largest > np.finfo(np.float32).max / 1e3:
        raise DataError(f"{name} reaches {largest:g}, too large for float32; rescale it, e.g. to thousands")
    if high > low:
        coarseness = float(np.spacing(np.float32(largest))) / 2 / (high - low)
        if coarseness > FLOAT32_COARSENESS_LIMIT:
            raise DataError(
                f"{name} runs from {low:g} to {high:g}: float32 rounds such values by {coarseness:.1e} of their range "
                f"(limit {FLOAT32_COARSENESS_LIMIT:.0e}); subtract a constant from it first"
            )
