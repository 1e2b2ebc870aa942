"""The linear path's closed form: against naive solvers, by the runtime's own inputs, pooled, own and unseen."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers.engines import require

require("sklearn", "polars", "threadpoolctl")

from pulsecast.computing.linear_path import linear_inputs  # noqa: E402
from pulsecast.model.linear import Linear  # noqa: E402
from pulsecast.model.series import POOL_ROW, SeriesNames  # noqa: E402
from pulsecast.model.spec import ModelSpec  # noqa: E402
from pulsecast.model.windows import Windows  # noqa: E402
from pulsecast_train.fitting import linear, linear_rows  # noqa: E402
from pulsecast_train.fitting.linear import own_kernel, pooled_kernel, prior_scales  # noqa: E402
from pulsecast_train.fitting.linear_rows import Source, rows_of, together  # noqa: E402
from pulsecast_train.fitting.pooling import Member, fit_pool, prepare_member, table_of  # noqa: E402
from pulsecast_train.fitting.robust_ridge import best_alpha, huber_ridge, weighted_ridge  # noqa: E402
from pulsecast_train.recipes.recipes import RECIPES, build_spec  # noqa: E402
from pulsecast_train.recipes.train_config import TrainConfig  # noqa: E402
from pulsecast_train.series import Series  # noqa: E402
from pulsecast_train.windows import raw_columns  # noqa: E402

RECIPE, HOUR, MONDAY = RECIPES["recommended"], 3600, 1_736_121_600
Array = NDArray[np.float64]


def spec_for(*, horizon: int = 1, metrics: tuple[str, ...] = ("value",), step_s: int = HOUR) -> ModelSpec:
    return build_spec(RECIPE, TrainConfig(horizon=horizon, linear=True), metrics, step_s)


def path_of(spec: ModelSpec) -> Linear:
    assert spec.network.linear is not None
    return spec.network.linear


def rhythm(name: str, seed: int, *, size: float = 100, metrics: int = 1) -> Series:
    steps, noise = 500, 0.2
    random, hours = np.random.default_rng(seed), np.arange(steps)
    days = 0.6 * np.sin(2 * np.pi * hours / 24 + 1) - 0.4 * ((hours // 24) % 7 >= 5)
    columns = [size * np.exp(days + random.normal(0, noise, steps)) for _ in range(metrics)]
    names = ("value", "visits", "posts")[:metrics]
    return Series(name=name, metrics=names, start_s=MONDAY, step_s=HOUR, values=np.round(np.stack(columns, axis=1)))


def member_of(series: Series, spec: ModelSpec) -> Member:
    return prepare_member(series, RECIPE, spec, len(series.values), 0.0)


def source_of(member: Member) -> Source:
    return Source(steps=member.steps, starts=member.split.training, scaling=member.scaler)


def problem(rows: int = 60, inputs: int = 5, seed: int = 1) -> tuple[Array, Array, Array]:
    random = np.random.default_rng(seed)
    columns = random.normal(size=(rows, inputs)) @ random.normal(size=(inputs, inputs))
    targets = columns @ random.normal(size=inputs) + random.normal(0, 2, rows) + 3
    return columns, targets, random.uniform(0.2, 3, rows)


def naive_ridge(columns: Array, targets: Array, weights: Array, alpha: float) -> tuple[Array, float]:
    """Least squares with a row more for each weight's penalty; the intercept has none."""
    root = np.sqrt(weights)
    count = columns.shape[1]
    rows = np.concatenate([np.column_stack([columns, np.ones(len(columns))]) * root[:, np.newaxis],
                           np.column_stack([np.sqrt(alpha) * np.eye(count), np.zeros(count)])])  # fmt: skip
    found = np.linalg.lstsq(rows, np.concatenate([targets * root, np.zeros(count)]))[0]
    return found[:-1], float(found[-1])


@pytest.mark.parametrize("alpha", [0.01, 1.0, 1000.0])
def test_the_closed_form_is_that_of_a_naive_solver(alpha: float) -> None:
    columns, targets, weights = problem()
    found, level = weighted_ridge(columns, targets, weights, alpha)
    expected, expected_level = naive_ridge(columns, targets, weights, alpha)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert level == pytest.approx(expected_level, rel=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_the_penalty_is_the_best_one_when_each_row_is_left_out_of_a_fit_of_its_own(seed: int) -> None:
    columns, targets, weights = problem(40, 20, seed)
    weights, alphas = weights / weights.mean(), np.array([0.1, 1.0, 10.0, 100.0])
    losses = []
    for alpha in alphas:
        loss = 0.0
        for row in range(len(targets)):
            kept = np.arange(len(targets)) != row
            found, level = naive_ridge(columns[kept], targets[kept], weights[kept], alpha)
            loss += weights[row] * (targets[row] - columns[row] @ found - level) ** 2
        losses.append(loss)
    assert best_alpha(columns, targets, weights, alphas) == alphas[np.argmin(losses)]


def test_a_burst_moves_the_fit_little() -> None:
    columns, targets, _ = problem(200, 3)
    ones, burst = np.ones(200), targets.copy()
    burst[:10] += 60

    def error(fit: tuple[Array, float]) -> float:
        return float(np.abs(targets - columns @ fit[0] - fit[1])[10:].mean())

    clean = error(huber_ridge(columns, targets, ones, np.ones(3)))
    assert error(huber_ridge(columns, burst, ones, np.ones(3))) < 1.05 * clean
    assert error(weighted_ridge(columns, burst, ones, 0.01)) > 1.3 * clean  # squared errors do follow it


def test_columns_that_are_constant_or_left_out_have_no_weight() -> None:
    columns, targets, weights = problem()
    columns[:, 1] = 7.0
    found, _ = huber_ridge(columns, targets, weights, np.array([1.0, 1.0, 0.0, 1.0, 1.0]))
    assert found[1] == found[2] == 0
    assert np.count_nonzero(found) == 3


@pytest.mark.parametrize("targets", [np.zeros(60), np.where(np.arange(60) % 10, 0.0, 5.0)])
def test_what_hardly_ever_changes_is_forecast_not_to_change(targets: Array) -> None:
    columns, _, weights = problem()
    found, level = huber_ridge(columns, targets, weights, np.ones(5))
    assert np.abs(columns @ found + level).max() < 0.2
    assert np.isfinite([*found, level]).all()


@pytest.mark.parametrize(("horizon", "metrics", "step_s"), [(1, 1, HOUR), (30, 1, HOUR), (3, 3, HOUR), (9, 1, 86400)])
def test_a_fit_takes_the_inputs_that_a_forecast_takes(horizon: int, metrics: int, step_s: int) -> None:
    series = dataclasses.replace(rhythm("a", 1, metrics=metrics), step_s=step_s)
    spec = spec_for(horizon=horizon, metrics=series.metrics, step_s=step_s)
    member = member_of(series, spec)
    rows = rows_of(spec, path_of(spec), source_of(member))
    starts = member.split.training
    scaled = np.stack([member.steps.scaled[start : start + spec.context] for start in starts])
    time = member.steps.time[starts + spec.context - 1]
    expected = linear_inputs(spec, path_of(spec), scaled, time)
    for step in range(horizon):
        np.testing.assert_allclose(rows.inputs(step), expected[:, :, step], rtol=1e-12, atol=1e-12)
    level = member.steps.scaled[:, 0]
    ahead = starts[:, np.newaxis] + spec.context + np.arange(horizon)
    np.testing.assert_allclose(rows.changes, level[ahead] - level[starts + spec.context - 1][:, np.newaxis], atol=1e-12)
    last = series.values[starts + spec.context - 1, 0]
    np.testing.assert_allclose(rows.sizes, np.sqrt(1 + last) / np.sqrt(1 + last).mean(), rtol=1e-12)


def test_blocks_are_joined_in_order_and_many_windows_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_for(horizon=2)
    source = source_of(member_of(rhythm("a", 1), spec))
    whole = rows_of(spec, path_of(spec), source)
    monkeypatch.setattr(linear_rows, "BLOCK", 50)
    np.testing.assert_array_equal(rows_of(spec, path_of(spec), source).first, whole.first)
    monkeypatch.setattr(linear_rows, "MOST_ROWS", 40)
    few = rows_of(spec, path_of(spec), source)
    assert len(few.first) == 40
    assert {tuple(row) for row in few.first} < {tuple(row) for row in whole.first}
    np.testing.assert_array_equal(few.first[[0, -1]], whole.first[[0, -1]])


def test_a_gap_has_no_part_in_the_fit() -> None:
    spec = spec_for()
    series = rhythm("a", 1)
    values = series.values.copy()
    values[200:260] = np.nan
    rows = rows_of(spec, path_of(spec), source_of(member_of(dataclasses.replace(series, values=values), spec)))
    assert len(rows.first) == (200 - 73) + (240 - 73)
    assert np.isfinite(rows.first).all()
    assert np.isfinite(rows.changes).all()


def test_a_fit_on_the_waves_of_each_step_turned_back_to_the_first_is_the_same_fit() -> None:
    """sin(a + kw) is linear in sin a and cos a, and turning a pair of one prior scale leaves its penalty as it is."""
    steps, lag = 24 * 28, 5
    hours = np.arange(steps)
    targets = np.random.default_rng(1).normal(size=steps) + np.sin(2 * np.pi * hours / 24)

    def waves(at: Array) -> Array:
        return np.column_stack([f(2 * np.pi * m * at / 24) for m in (1, 2, 5) for f in (np.sin, np.cos)])

    scales = np.repeat([1.0, 1.0, 0.3], 2)
    direct, level = huber_ridge(waves(hours), targets, np.ones(steps), scales)
    later, other = huber_ridge(waves(hours + lag), targets, np.ones(steps), scales)
    turned = np.empty(6)
    for i, multiple in enumerate((1, 2, 5)):
        angle = 2 * np.pi * multiple * lag / 24
        sine, cosine = later[2 * i : 2 * i + 2]
        turned[2 * i] = sine * np.cos(angle) - cosine * np.sin(angle)
        turned[2 * i + 1] = sine * np.sin(angle) + cosine * np.cos(angle)
    np.testing.assert_allclose(turned, direct, atol=1e-9)
    assert other == pytest.approx(level, abs=1e-9)


def test_windows_of_no_known_series_are_scaled_by_themselves_alone() -> None:
    spec = spec_for(horizon=2)
    members = [member_of(rhythm("a", 1), spec), member_of(rhythm("b", 2, size=3000), spec)]
    pool = fit_pool(RECIPE, spec, [one.series.values for one in members])
    table = table_of(SeriesNames(names=("a", "b")), pool, members, spec)
    member = members[1]
    source = dataclasses.replace(source_of(member), scaling=table, row=POOL_ROW)
    rows, starts = rows_of(spec, path_of(spec), source), member.split.training
    columns = raw_columns(member.steps, spec, starts).astype(np.float64)
    scaler = table.of(Windows(values=columns, series=np.zeros(len(starts), np.int64)))  # type: ignore[arg-type]
    time = member.steps.time[starts + spec.context - 1]
    expected = linear_inputs(spec, path_of(spec), scaler.transform(columns), time)
    np.testing.assert_allclose(rows.first, expected[:, :, 0], atol=1e-12)
    level = np.log1p(member.series.values[:, 0])
    ahead = starts[:, np.newaxis] + spec.context + np.arange(2)
    changes = (level[ahead] - level[starts + spec.context - 1][:, np.newaxis]) / scaler.scale[:, :1]
    np.testing.assert_allclose(rows.changes, changes, atol=1e-12)
    own = rows_of(spec, path_of(spec), dataclasses.replace(source, row=2))
    np.testing.assert_allclose(own.first, rows_of(spec, path_of(spec), source_of(member)).first, atol=1e-12)


def test_the_own_kernel_is_the_pools_where_a_series_is_like_the_pool_and_its_own_where_it_is_not() -> None:
    spec = spec_for()
    like = [member_of(rhythm(name, seed), spec) for seed, name in enumerate("abc")]
    other = rhythm("d", 9)
    strange = dataclasses.replace(other, values=np.roll(other.values, 12, axis=0))  # its days are upside down
    sources = [source_of(one) for one in (*like, member_of(strange, spec))]
    pooled = pooled_kernel(spec, path_of(spec), sources)
    errors = {}
    for name, source in zip("abcd", sources, strict=True):
        rows = rows_of(spec, path_of(spec), source)
        own = own_kernel(spec, path_of(spec), source, pooled)
        errors[name] = [np.abs(rows.changes - rows.first @ kernel).mean() for kernel in (pooled, own)]
    assert all(own < 1.02 * pool for pool, own in errors.values())
    assert errors["d"][1] < 0.9 * errors["d"][0]


def test_a_pool_weighs_its_series_by_their_windows_not_by_their_sizes() -> None:
    spec = spec_for()
    small, large = rhythm("a", 1, size=20), rhythm("b", 1, size=20)
    parts = [rows_of(spec, path_of(spec), source_of(member_of(one, spec))) for one in (small, large)]
    both = together(parts)
    assert both.sizes.sum() == pytest.approx(len(both.sizes))
    assert parts[0].sizes.mean() == pytest.approx(1)


def test_the_same_data_give_the_same_kernel_bit_for_bit() -> None:
    spec = spec_for(horizon=2)
    source = source_of(member_of(rhythm("a", 1), spec))
    first, second = (pooled_kernel(spec, path_of(spec), [source, source]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (path_of(spec).inputs(1), 2)


def test_the_prior_is_wide_around_now_and_a_season_ago() -> None:
    spec = spec_for()
    scales = prior_scales(path_of(spec), 1, linear.OWN_DETAIL)
    lags = scales[:50]
    assert lags[0] == 1.0
    np.testing.assert_allclose(lags[[1, 23, 24, 47]], [1.0, 0.8**0.5 + 0.1, 0.8**0.5 + 0.1, 0.5 * 0.8**0.5 + 0.1])
    assert lags[12] == pytest.approx(0.9**12 + 0.1)
    assert scales[-1] == 0  # the intercept is not shrunk
    parts = path_of(spec).parts(1)
    waves = scales[parts["waves"]]
    np.testing.assert_array_equal(waves, [*[1.0] * 8, *[0.05] * 16, *[1.0] * 2])
    np.testing.assert_array_equal(scales[parts["weekend"]], [1.0, *[0.05] * 8])
    plain = prior_scales(path_of(spec), 1, 0.0)
    assert np.count_nonzero(plain) == 61  # the plain regression's inputs
    assert np.count_nonzero(scales) == 91  # the sine of the twelfth wave among them, constant with hourly steps
