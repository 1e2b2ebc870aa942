"""Windows: split in time, fitted without the held-out part, never across a gap or two series."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.engines import require

require("sklearn")

from pulsecast.computing import reference  # noqa: E402  the package above is needed first
from pulsecast.computing.calendars import complete  # noqa: E402
from pulsecast.errors import DataError  # noqa: E402
from pulsecast.model.spec import ModelSpec  # noqa: E402
from pulsecast_train.naive import compare_with_naive, naive_forecasts  # noqa: E402
from pulsecast_train.recipes.recipes import RECIPES, build_spec, fit_scaler  # noqa: E402
from pulsecast_train.recipes.train_config import TrainConfig  # noqa: E402
from pulsecast_train.series import Series  # noqa: E402
from pulsecast_train.windows import (  # noqa: E402
    Examples,
    Split,
    Steps,
    all_steps,
    boundary,
    raw_windows,
    split_windows,
    training_parts,
    truth,
)

HOUR = 3600
HELDOUT, VALIDATION = 0.25, 0.2


def series(values: np.ndarray, name: str = "a", start_s: int = 0) -> Series:
    return Series(name=name, metrics=("value",), start_s=start_s, step_s=HOUR, values=values.reshape(-1, 1))


def spec_of(recipe: str, *, window: int = 8, horizon: int = 2) -> ModelSpec:
    return build_spec(RECIPES[recipe], TrainConfig(recipe=recipe, window=window, horizon=horizon), ("value",), HOUR)


def ready(recipe: str, parts: list[Series], **options: int) -> tuple[ModelSpec, Steps, Split]:
    spec = spec_of(recipe, **options)
    scaler = fit_scaler(RECIPES[recipe], spec, training_parts(parts, HELDOUT))
    steps = all_steps(parts, spec, scaler)
    return spec, steps, split_windows(parts, spec, steps, HELDOUT, VALIDATION)


@pytest.fixture(params=["textbook", "recommended"])
def recipe(request: pytest.FixtureRequest) -> str:
    return str(request.param)


COUNTS = np.random.default_rng(0).poisson(50, 400).astype(float)


def test_the_split_is_in_time_and_every_window_has_one_use(recipe: str) -> None:
    spec, steps, split = ready(recipe, [series(COUNTS)])
    cut = boundary(400, HELDOUT)
    assert cut == 300
    context, horizon = spec.context, spec.horizon
    assert split.training[-1] < split.validation[0] < split.heldout[0]
    assert split.validation[-1] + context + horizon == cut  # its last target is the step before the boundary
    assert split.heldout[0] + context == cut  # its first target is the first held-out step
    assert split.heldout[-1] + context + horizon == 400
    fitted = len(split.training) + len(split.validation)
    assert len(split.validation) == round(fitted * VALIDATION)
    assert fitted + len(split.heldout) + horizon - 1 == len(
        steps.starts
    )  # those that straddle the boundary are left out


def test_nothing_that_is_fitted_changes_with_values_after_the_boundary(recipe: str) -> None:
    changed = COUNTS.copy()
    changed[300:] = 10_000
    results = []
    for values in (COUNTS, changed):
        parts = [series(values)]
        spec, steps, split = ready(recipe, parts)
        scaler = fit_scaler(RECIPES[recipe], spec, training_parts(parts, HELDOUT))
        training = Examples(steps, spec, split.training).gather(np.arange(len(split.training)))
        validation = Examples(steps, spec, split.validation).gather(np.arange(len(split.validation)))
        results.append((scaler, *training, *validation))
    assert results[0][0] == results[1][0]
    for one, other in zip(results[0][1:], results[1][1:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_last_training_step_does_matter(recipe: str) -> None:
    """The test above could pass without a real check: one step earlier, a change is found."""
    changed = COUNTS.copy()
    changed[299] = 10_000
    spec = spec_of(recipe)
    scalers = [
        fit_scaler(RECIPES[recipe], spec, training_parts([series(values)], HELDOUT)) for values in (COUNTS, changed)
    ]
    assert scalers[0] != scalers[1]


def test_no_window_crosses_a_gap_or_the_end_of_a_series(recipe: str) -> None:
    gap = COUNTS.copy()
    gap[150:153] = np.nan
    spec, steps, split = ready(recipe, [series(gap), series(COUNTS[:350] + 1000, "b")])
    for starts in (split.training, split.validation, split.heldout):
        reach = starts[:, np.newaxis] + np.arange(spec.context + spec.horizon)
        assert np.isfinite(steps.values[reach, 0]).all()
        assert (steps.series_at[reach] == steps.series_at[starts][:, np.newaxis]).all()
        large = steps.values[reach, 0] > 500
        assert (large.all(axis=1) | ~large.any(axis=1)).all()


def test_several_series_are_each_split_at_their_own_boundary(recipe: str) -> None:
    parts = [series(COUNTS), series(COUNTS[:320], "b", start_s=7 * HOUR)]
    spec, _, split = ready(recipe, parts)
    first = split.heldout[split.heldout < 400]
    second = split.heldout[split.heldout >= 400]
    assert first[0] + spec.context == 300
    assert second[0] + spec.context == 400 + 240


def test_several_series_share_one_scaler() -> None:
    parts = [series(np.linspace(0, 10, 200)), series(np.linspace(0, 1000, 200), "b")]
    scaler = fit_scaler(RECIPES["textbook"], spec_of("textbook"), training_parts(parts, HELDOUT))
    assert scaler.features[0].low == 0
    assert scaler.features[0].high == pytest.approx(1000 * 149 / 199, rel=1e-15)


def test_raw_windows_and_truth_are_what_the_series_holds(recipe: str) -> None:
    spec, steps, split = ready(recipe, [series(COUNTS)])
    starts = split.heldout[:3]
    windows, happened = raw_windows(steps, spec, starts), truth(steps, spec, starts)
    assert windows.values.dtype == np.float32
    assert (windows.time is not None) == spec.timed
    for row, start in enumerate(starts):
        np.testing.assert_array_equal(windows.values[row, :, 0], COUNTS[start : start + spec.context])
        if windows.time is not None:  # of the last step
            assert windows.time[row] == (start + spec.context - 1) * HOUR
        np.testing.assert_array_equal(happened[row], COUNTS[start + spec.context :][: spec.horizon])


def test_examples_are_what_the_runtime_computes_from_raw_windows(recipe: str) -> None:
    """Training makes channels from the whole series; a forecast makes them from one window: the same numbers."""
    parts = [series(COUNTS), series(COUNTS[::-1].copy(), "b")]
    spec, steps, split = ready(recipe, parts)
    scaler = fit_scaler(RECIPES[recipe], spec, training_parts(parts, HELDOUT))
    order = np.array([0, 5, len(split.training) - 1])
    inputs, targets = Examples(steps, spec, split.training).gather(order)
    starts = split.training[order]
    windows = raw_windows(steps, spec, starts)
    scaled = scaler.transform(complete(spec, windows.changed(windows.values.astype(np.float64))))
    # inputs are float32
    np.testing.assert_allclose(inputs, reference.channels(spec, scaled), rtol=0, atol=2e-6)
    back = reference.to_raw(replace(spec, floor=None), scaler, targets.astype(np.float64), scaled, inputs)
    # float32 targets of a scale of a few, brought back to values of about 50
    np.testing.assert_allclose(back, truth(steps, spec, starts), rtol=0, atol=1e-4)


def test_too_short_a_log_says_how_many_windows_it_gives() -> None:
    with pytest.raises(DataError, match=r"150 steps give \d+ windows held out, and 64 are needed: one window takes 8"):
        ready("textbook", [series(COUNTS[:150])], horizon=1)
    with pytest.raises(DataError, match=r"80 steps give \d+ windows to train on, and 64 are needed"):
        ready("textbook", [series(COUNTS[:80])], horizon=1)


# ----------------------------------------------------------------------------------------------------- naive forecasts


def test_naive_forecasts_are_exact_on_a_series_of_known_steps() -> None:
    values = np.arange(400.0)
    spec, steps, split = ready("textbook", [series(values)], horizon=30)
    naive = naive_forecasts(steps, spec, split.heldout)
    last = split.heldout + spec.context - 1.0
    np.testing.assert_array_equal(naive["last_value"], np.repeat(last[:, np.newaxis], 30, axis=1))
    ahead = np.arange(1, 31)
    # 24 steps before each step forecast, or 48 if that step is not yet known
    expected = last[:, np.newaxis] + ahead - np.where(ahead <= 24, 24, 48)
    np.testing.assert_array_equal(naive["seasonal_naive"], expected)


def test_a_season_that_repeats_is_forecast_without_error() -> None:
    values = np.tile(np.arange(24.0), 20)
    spec, steps, split = ready("textbook", [series(values)])
    naive = naive_forecasts(steps, spec, split.heldout)
    happened = truth(steps, spec, split.heldout)
    np.testing.assert_array_equal(naive["seasonal_naive"], happened)
    compared = compare_with_naive({"model": happened + 1}, happened, naive)
    assert compared["model"].mae == compared["model"].bias == 1.0
    assert compared["seasonal_naive"].mae == 0.0
    assert compared["last_value"].mae > 1


def test_a_season_is_never_taken_from_another_series_or_a_gap() -> None:
    parts = [series(COUNTS[:200]), series(COUNTS[:200] + 5000, "b")]
    spec, steps, _ = ready("textbook", parts)
    starts = np.array([200, 201, 220])  # the second series begins at step 200
    found = naive_forecasts(steps, spec, starts)["seasonal_naive"]
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[2], COUNTS[20 + 8 + np.arange(2) - 24] + 5000)


def test_errors_are_compared_over_windows_that_every_forecast_has() -> None:
    happened = np.zeros((3, 1))
    naive = {"last_value": np.array([[1.0], [1.0], [1.0]]), "seasonal_naive": np.array([[np.nan], [2.0], [2.0]])}
    compared = compare_with_naive({"model": np.array([[100.0], [3.0], [3.0]])}, happened, naive)
    assert {name: found.mae for name, found in compared.items()} == {
        "model": 3.0,
        "last_value": 1.0,
        "seasonal_naive": 2.0,
    }


def test_level_noise_moves_measured_levels_and_nothing_else() -> None:
    spec, steps, split = ready("recommended", [series(COUNTS)])
    examples = Examples(steps, spec, split.training)
    inputs, _ = examples.gather(np.arange(3))
    shifts = np.array([0.5, -1.0, 0.0])
    moved = examples.shifted(inputs, shifts)
    np.testing.assert_allclose(moved[:, :, 0] - inputs[:, :, 0], np.tile(shifts[:, np.newaxis], spec.window), atol=1e-6)
    np.testing.assert_array_equal(moved[:, :, 1:], inputs[:, :, 1:])
