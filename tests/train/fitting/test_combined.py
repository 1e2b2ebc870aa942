"""The network and the linear path as one model, and the path as a model of its own."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import TRAIN, require

require(*TRAIN)

from pulsecast.computing import reference  # noqa: E402
from pulsecast.computing.calendars import complete  # noqa: E402
from pulsecast.computing.linear_path import linear_path  # noqa: E402
from pulsecast.errors import FormatError, UsageError  # noqa: E402
from pulsecast.model.accuracy import accuracy  # noqa: E402
from pulsecast.stages.linear_alone import linear_alone  # noqa: E402
from pulsecast.stages.model_directory import (  # noqa: E402
    KERAS_NAME,
    MODEL_NAME,
    RIDGE_NAME,
    ModelDirectory,
    read_model_directory,
)
from pulsecast_train.baselines import installed_baselines  # noqa: E402
from pulsecast_train.fitting.combined import FLOAT32_BYTES, MOST_TABLE_BYTES, have_own_kernels  # noqa: E402
from pulsecast_train.fitting.peers import PEERS  # noqa: E402
from pulsecast_train.recipes.recipes import RECIPES, build_spec, filled  # noqa: E402
from pulsecast_train.recipes.train_config import TrainConfig  # noqa: E402
from pulsecast_train.run import accuracy_text  # noqa: E402

ROUNDING = 1e-5  # of the range: float32 against the float64 reference
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(recommended_model: Path) -> ModelDirectory:
    return read_model_directory(recommended_model)


def largest_error(model: ModelDirectory) -> float:
    found = reference.forecast(model.record.spec, model.scaling, model.weights, model.heldout.windows)
    return float(np.abs(found - model.heldout.trained).max()) / model.record.scaler.range


def test_keras_file_weights_and_heldout_forecasts_are_one_model(model: ModelDirectory, recommended_model: Path) -> None:
    import keras

    record, windows = model.record, model.heldout.windows
    network = keras.models.load_model(recommended_model / KERAS_NAME)
    kernel, bias = network.get_layer("head").get_weights()
    np.testing.assert_array_equal(kernel, model.weights.head_kernel)
    np.testing.assert_array_equal(bias, model.weights.head_bias)
    beside = linear_path(record.spec, record.scaler, model.weights, windows)
    columns = complete(record.spec, windows).astype(np.float32)
    made = reference.through(record.spec, record.scaler, lambda x: np.asarray(network(x)), columns, beside)
    np.testing.assert_allclose(made, model.heldout.trained, rtol=1e-5)
    assert largest_error(model) < ROUNDING


def test_the_path_alone_forecasts_what_training_measured(model: ModelDirectory) -> None:
    assert model.record.linear is not None
    alone = linear_alone(model)
    assert (alone.record.spec.units, set(alone.weights.arrays(alone.record.spec.network))) == ((), {"linear.kernel"})
    assert largest_error(alone) < ROUNDING
    np.testing.assert_allclose(alone.weights.linear * np.float32(0.8), model.weights.linear, rtol=1e-6)  # type: ignore[operator]
    assert np.abs(alone.heldout.trained - model.heldout.trained).max() > 100 * ROUNDING * model.record.scaler.range
    rows, own = model.record.heldout.forecasts, alone.record.heldout.forecasts
    assert own["model"] == rows["linear_path"]
    assert list(own) == [name for name in rows if name != "linear_path"]
    assert alone.record.intervals is not None
    assert alone.record.intervals != model.record.intervals
    if len(alone.heldout.truth) == alone.record.heldout.windows:  # all windows are kept
        errors = accuracy(alone.heldout.trained, alone.heldout.truth)
        assert own["model"].mae == pytest.approx(errors.mae, rel=0.05)  # without those that no naive forecast has


def test_the_peers_stand_beside_the_model_and_the_verdict_names_what_to_export(model: ModelDirectory) -> None:
    heldout = model.record.heldout
    peers = [name for name in PEERS if name in installed_baselines()]
    assert list(heldout.forecasts) == ["model", "linear_path", *peers, "last_value", "seasonal_naive"]
    worse = dataclasses.replace(heldout.forecasts["model"], mae=1e9)
    text = accuracy_text(
        dataclasses.replace(heldout, forecasts={**heldout.forecasts, "model": worse}), Path("my model")
    )
    assert "does NOT beat linear path, ridge log calendar" in text
    assert "`pulsecast export 'my model' --model ridge --out BUNDLE` makes a bundle of the linear path alone" in text
    better = dataclasses.replace(worse, mae=0.0)
    best = accuracy_text(dataclasses.replace(heldout, forecasts={**heldout.forecasts, "model": better}), Path("m"))
    assert "the model beats every simpler forecast by MAE" in best
    assert "--model ridge" not in best


def test_a_model_without_a_path_has_no_ridge_model(textbook_model: Path) -> None:
    model = read_model_directory(textbook_model)
    assert (model.record.linear, model.ridge, model.weights.linear) == (None, None, None)
    assert not (textbook_model / RIDGE_NAME).exists()
    with pytest.raises(UsageError, match=r"has no linear path beside its network, .* --recipe recommended"):
        linear_alone(model)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"share": 1.5}, "share is 1.5; expected a number between 0 and 1"),
        ({"share": 0}, "share is 0"),
        ({"more": 1}, "more"),
    ],
)
def test_a_record_that_does_not_fit_its_path_is_refused(
    recommended_model: Path, copied: Callable[[Path], Path], change: dict[str, object], said: str
) -> None:
    folder = copied(recommended_model)
    document = json.loads((folder / MODEL_NAME).read_text())
    document["linear"] |= change
    (folder / MODEL_NAME).write_text(json.dumps(document))
    with pytest.raises(FormatError, match=said):
        read_model_directory(folder)


def test_a_ridge_file_that_was_changed_or_is_missing_is_refused(
    recommended_model: Path, copied: Callable[[Path], Path]
) -> None:
    folder = copied(recommended_model)
    (folder / RIDGE_NAME).write_bytes(b"PK")
    with pytest.raises(FormatError, match=r"was changed after training: ridge\.npz"):
        read_model_directory(folder)
    (folder / RIDGE_NAME).unlink()
    with pytest.raises(FormatError, match=r"has no ridge\.npz"):
        read_model_directory(folder)


def test_a_table_holds_kernels_for_as_many_series_as_fit() -> None:
    spec = build_spec(RECIPES["recommended"], filled(TrainConfig(horizon=24)), ("value",), 3600)
    linear = spec.network.linear
    assert linear is not None
    most = MOST_TABLE_BYTES // (FLOAT32_BYTES * linear.inputs(1) * 24)
    assert (have_own_kernels(spec, linear, most), have_own_kernels(spec, linear, most + 1)) == (True, False)
    assert 400 < most < 500
