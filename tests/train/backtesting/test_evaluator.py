"""The back-test: no leak from the future, results kept, and correct figures."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.engines import TRAIN, require
from helpers.heard import Heard

require(*TRAIN, "scipy")

from pulsecast.errors import DataError, UsageError  # noqa: E402
from pulsecast.foundation import strict_json  # noqa: E402
from pulsecast_train.backtesting import evaluator  # noqa: E402
from pulsecast_train.backtesting.backtest import (  # noqa: E402
    LINEAR,
    MODEL,
    Task,
    member_models,
    read_result,
    run_task,
)
from pulsecast_train.backtesting.config import EvaluateConfig  # noqa: E402
from pulsecast_train.backtesting.evaluator import evaluate_series, plan, resolved  # noqa: E402
from pulsecast_train.backtesting.folds import rolling_folds  # noqa: E402
from pulsecast_train.backtesting.result import Evaluation  # noqa: E402
from pulsecast_train.backtesting.scoring import is_copycat  # noqa: E402
from pulsecast_train.baselines import BASELINES  # noqa: E402
from pulsecast_train.fitting.combined import own_kernels, with_share  # noqa: E402
from pulsecast_train.fitting.linear_rows import Source  # noqa: E402
from pulsecast_train.fitting.pooling import prepare_member  # noqa: E402
from pulsecast_train.recipes.recipes import RECIPES, filled  # noqa: E402
from pulsecast_train.recipes.train_config import TrainConfig  # noqa: E402
from pulsecast_train.series import Series  # noqa: E402
from pulsecast_train.workers import Where  # noqa: E402

STEPS = 600
QUICK = filled(TrainConfig(units=(4, 4), window=12, epochs=1, seed=1))


def rhythm(name: str, seed: int, steps: int = STEPS) -> Series:
    hours = np.arange(steps)
    noise = np.random.default_rng(seed).normal(0, 8, steps)
    values = np.round(np.maximum(100 + 60 * np.sin(2 * np.pi * hours / 24) + noise, 0))
    return Series(name=name, metrics=("value",), start_s=1_736_121_600, step_s=3600, values=values[:, np.newaxis])


def task(method: str, series: tuple[Series, ...], fold: int = 1) -> Task:
    return Task(
        method=method, series=series, fold=fold, origins=5, horizon=2, train=dataclasses.replace(QUICK, horizon=2)
    )


def changed_from(series: Series, step: int) -> Series:
    """Return `series` with its values from `step` on shuffled and raised."""
    values = series.values.copy()
    values[step:] = np.random.default_rng(9).permutation(values[step:]) + 500
    return dataclasses.replace(series, values=values)


@pytest.mark.parametrize("method", list(BASELINES))
def test_no_baseline_knows_the_steps_after_its_forecast(method: str) -> None:
    if package := BASELINES[method][1]:
        require(package)
    series = rhythm("a", 1)
    fold = rolling_folds(STEPS, 5)[1]
    moment = fold.cut + 20
    whole = run_task(task(method, (series,)))[0]
    other = run_task(task(method, (changed_from(series, moment),)))[0]
    known = whole.targets <= moment  # a forecast whose first step is `moment` looks at the steps before it
    np.testing.assert_array_equal(whole.forecasts[known], other.forecasts[known])
    if method != "seasonal_naive_week":  # what changed lies less than a week back
        assert not np.array_equal(whole.forecasts[~known], other.forecasts[~known])


@pytest.mark.slow
def test_no_network_knows_the_steps_after_its_forecast_not_even_through_another_series() -> None:
    first, second = rhythm("a", 1), rhythm("b", 2)
    fold = rolling_folds(STEPS, 5)[1]
    whole = run_task(task(MODEL, (first, second)))[0]
    other = run_task(task(MODEL, (changed_from(first, fold.cut + 20), changed_from(second, fold.cut))))[0]
    known = whole.targets <= fold.cut + 20
    # the same weights in the same process: the same sums in any batch
    np.testing.assert_allclose(whole.forecasts[known], other.forecasts[known], rtol=1e-6)
    assert not np.allclose(whole.forecasts[~known], other.forecasts[~known])


def test_no_linear_path_knows_the_steps_after_its_forecast_not_even_through_another_series() -> None:
    first, second = rhythm("a", 1), rhythm("b", 2)
    fold = rolling_folds(STEPS, 5)[1]
    whole = run_task(task(LINEAR, (first, second)))[0]
    other = run_task(task(LINEAR, (changed_from(first, fold.cut + 20), changed_from(second, fold.cut))))[0]
    known = whole.targets <= fold.cut + 20
    np.testing.assert_allclose(whole.forecasts[known], other.forecasts[known], rtol=1e-6)
    assert not np.allclose(whole.forecasts[~known], other.forecasts[~known])


def test_the_errors_that_intervals_start_from_are_those_of_a_path_that_never_saw_the_validation_part() -> None:
    spec = task(MODEL, (rhythm("a", 1),)).spec
    linear = spec.network.linear
    assert linear is not None
    members = [
        prepare_member(rhythm(name, seed), RECIPES["recommended"], spec, 400, 0.2) for seed, name in enumerate("ab")
    ]
    for (late, early), member in zip(member_models(spec, members, None), members, strict=True):
        split = member.split
        for model, starts in ((early, split.training), (late, np.concatenate([split.training, split.validation]))):
            sources = [Source(steps=one.steps, starts=starts, scaling=one.scaler) for one in members]
            expected = with_share(own_kernels(spec, linear, sources)[members.index(member)])
            np.testing.assert_array_equal(model.weights.linear, expected)
        assert not np.array_equal(late.weights.linear, early.weights.linear)  # type: ignore[arg-type]


def test_the_linear_path_alone_is_evaluated_where_the_recipe_has_one() -> None:
    series = [rhythm("a", 1), rhythm("b", 2)]
    config = resolved(EvaluateConfig(train=QUICK, origins=2, seeds=2, baselines=()))
    pieces = [piece for piece in plan(series, config) if piece.task.method == LINEAR]
    assert [(piece.series, piece.seed) for piece in pieces] == [((0, 1), 0)] * 2  # one for each fold, for any seeds
    without = dataclasses.replace(config, train=dataclasses.replace(QUICK, linear=False))
    assert {piece.task.method for piece in plan(series, without)} == {"last_value", MODEL}


def test_the_scaler_of_a_fold_is_that_of_its_training_part_alone() -> None:
    series, cut = rhythm("a", 1), 300
    spec = task(MODEL, (series,)).spec
    recipe = RECIPES["recommended"]
    member = prepare_member(changed_from(series, cut), recipe, spec, cut, 0.1)
    logs = np.log1p(series.values[:cut, 0])
    assert member.scaler.features[0].offset == pytest.approx(logs.mean(), rel=1e-6)
    assert member.scaler.features[0].scale == pytest.approx(logs.std(), rel=1e-6)


def test_folds_expand_and_test_the_whole_second_half_once() -> None:
    folds = rolling_folds(1003, 7)
    assert [fold.stop for fold in folds[:-1]] == [fold.cut for fold in folds[1:]]
    assert (folds[0].cut, folds[-1].stop) == (502, 1003)


def test_a_copycat_is_distinguished_from_a_real_forecast() -> None:
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.normal(0, 1, 401))
    last, truth = values[:-1], values[1:, np.newaxis]
    late = last + np.concatenate(([0.0], 0.5 * np.diff(last)))  # follows the change before, which predicts nothing here
    assert is_copycat(late[np.newaxis, :, np.newaxis], truth, last)
    assert is_copycat(last[np.newaxis, :, np.newaxis], truth, last)
    knowing = last + 0.3 * (truth[:, 0] - last) + rng.normal(0, 0.5, 400)
    assert not is_copycat(knowing[np.newaxis, :, np.newaxis], truth, last)


@contextmanager
def in_this_process() -> Iterator[None]:
    """Let the pieces of evaluations in this block run here: a process of their own imports TensorFlow again."""

    def run_here(run: Any, tasks: Any, where: Where, on_result: Any) -> None:
        for i, task in enumerate(tasks):
            on_result(i, run(task))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluator, "run_tasks", run_here)
        yield


@pytest.mark.slow
def test_an_evaluation_goes_on_from_the_folds_it_has_and_ends_in_the_same_figures(tmp_path: Path) -> None:
    series = [rhythm("a", 1), rhythm("b", 2)]
    config = EvaluateConfig(train=QUICK, origins=2, seeds=1, baselines=("seasonal_naive_day",))
    heard = Heard()
    with in_this_process():
        first, _ = evaluate_series(series, config, tmp_path, Where(jobs=1), heard)
    assert "kept from before" not in heard.notes
    kept = sorted((tmp_path / "folds").glob("*.npz"))
    kept[0].write_bytes(b"damaged")
    kept[1].unlink()
    heard.steps.clear()
    second, _ = evaluate_series(series, config, tmp_path, Where(jobs=1), heard)
    assert heard.steps[0] == ("piece", len(kept) - 2, len(kept), "kept from before")
    assert second.horizons[0].series[0].errors["last_value"] == first.horizons[0].series[0].errors["last_value"]
    assert second.horizons[0].methods[0] == first.horizons[0].methods[0]
    read = strict_json.loads(Evaluation, (tmp_path / "evaluation.json").read_bytes(), where="evaluation.json")
    assert read == second
    naive = next(method for method in read.horizons[0].methods if method.name == "last_value")
    assert (naive.mae_ratio, naive.beaten, naive.dm_better) == (1.0, 0, 0)
    # one epoch of four units does not learn the rhythm: in both cases the words follow the figure
    model = next(method for method in read.horizons[0].methods if method.name == "model")
    assert ("DO NOT DEPLOY" in read.horizons[0].verdict) == (model.mae_ratio >= 1)


def test_a_series_too_short_for_its_folds_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"series a has 100 steps: fold 1 of 5 has .* windows to train on"):
        evaluate_series([rhythm("a", 1, 100)], EvaluateConfig(train=QUICK), tmp_path, Where(jobs=1))


def test_series_of_different_steps_are_refused(tmp_path: Path) -> None:
    other = dataclasses.replace(rhythm("b", 2), step_s=60)
    with pytest.raises(UsageError, match="the series have steps of 60, 3600 s"):
        evaluate_series([rhythm("a", 1), other], EvaluateConfig(train=QUICK), tmp_path, Where(jobs=1))


def test_a_damaged_result_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 not a zip")
    assert read_result(tmp_path / "x.npz", 1) is None
    assert read_result(tmp_path / "absent.npz", 1) is None


def test_smeared_forecasts_have_the_mean_that_was_before_the_cut_and_know_nothing_after_it() -> None:
    from pulsecast_train.backtesting.backtest import FoldForecasts
    from pulsecast_train.backtesting.derived import smear

    series = Series(
        name="a", metrics=("value",), start_s=0, step_s=3600,
        values=np.array([[0.0], [3.0], [9.0], [4.0], [1000.0], [1000.0]]),
    )  # fmt: skip
    found = FoldForecasts(
        targets=np.array([4]),
        forecasts=np.array([[9.0, 1.0]]),
        earlier_targets=np.array([1, 2]),
        earlier=np.array([[1.0, 4.0], [4.0, 0.0]]),
        epochs=1,
    )
    # one step ahead (1 + 3) / (1 + 1) and (1 + 9) / (1 + 4); two ahead (1 + 9) / (1 + 4) and (1 + 4) / (1 + 0)
    assert smear(found, series).forecasts.tolist() == [[10 * 2.0 - 1, 2 * 3.5 - 1]]
    assert smear(found, changed_from(series, 4)).forecasts.tolist() == [[19.0, 6.0]]


def test_adapted_forecasts_of_a_fold_know_nothing_after_each_of_them() -> None:
    from pulsecast.model.scaler import FeatureScale
    from pulsecast_train.backtesting.backtest import FoldForecasts
    from pulsecast_train.backtesting.derived import adapt
    from pulsecast_train.recipes.recipes import filled, spec_of

    series, scale = rhythm("a", 1), FeatureScale(transform="log1p", offset=5.0, scale=0.5, low=0.0, high=1000.0)
    spec, values = spec_of(filled(TrainConfig()), [series]), series.values[:, 0]
    earlier, targets = np.arange(100, 200), np.arange(200, 300)
    found = FoldForecasts(
        targets=targets,
        forecasts=values[targets - 1][:, np.newaxis] * 1.2,
        earlier_targets=earlier,
        earlier=values[earlier - 1][:, np.newaxis] * 1.2,
        epochs=1,
    )
    adapted = adapt(found, series, spec, scale).forecasts
    truth = values[targets][:, np.newaxis]
    assert np.abs(adapted - truth).mean() < 0.9 * np.abs(found.forecasts - truth).mean()
    later = adapt(found, changed_from(series, 250), spec, scale).forecasts
    np.testing.assert_array_equal(later[:51], adapted[:51])  # the forecast of step 250 is made before it
    assert (later[51:] != adapted[51:]).any()


@pytest.mark.slow
def test_an_evaluation_scores_forecasts_of_means_on_request(tmp_path: Path) -> None:
    series = [rhythm("a", 1)]
    config = EvaluateConfig(train=QUICK, origins=2, seeds=1, baselines=())
    with in_this_process():
        bare, _ = evaluate_series(series, config, tmp_path, Where(jobs=1))
    asked = dataclasses.replace(config, smearing=True, adapting=True)
    heard = Heard()
    found, _ = evaluate_series(series, asked, tmp_path, Where(jobs=1), heard)
    assert set(heard.notes) == {"kept from before"}  # it takes no training
    errors = found.horizons[0].series[0].errors
    assert set(errors) == {"last_value", "linear_path", "model", "model_for_means", "model_adapting"}
    assert errors["model"] == bare.horizons[0].series[0].errors["model"]
    assert errors["model_for_means"].bias != errors["model"].bias
    assert errors["model_adapting"] != errors["model"]
    named = {method.name: method for method in found.horizons[0].methods}
    assert "model_adapting" not in found.horizons[0].verdict
    assert named["model"].mean_rank <= 4  # the adapting one takes its place, and no other rank
    textbook = dataclasses.replace(asked, train=TrainConfig(recipe="textbook"))
    with pytest.raises(UsageError, match="smearing undoes a logarithm, and recipe textbook takes none"):
        evaluate_series(series, textbook, tmp_path, Where(jobs=1))
