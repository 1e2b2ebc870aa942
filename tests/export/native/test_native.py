"""The native targets, from fitted models: C against the float64 reference, its gate, its cache, its threads."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.native_fixtures import built_library
from helpers.native_models import (
    FLOAT32_ROUNDING,
    PERTURBATION,
    artifact,
    build,
    directory,
    require_c,
    write_sources,
)
from pulsecast.backends.native import BLOCK, NativeBackend
from pulsecast.backends.native_library import (
    find_compiler,
    open_library,
)
from pulsecast.computing import reference
from pulsecast.errors import EngineError
from pulsecast.forecasting.streaming import Stream
from pulsecast.forecasting.verification import check_backend
from pulsecast.model.spec import Feature
from pulsecast.stages.model_directory import ModelDirectory, read_model_directory
from pulsecast_export.native.writer import sources

require_c()


def test_forecasts_are_the_reference_within_the_targets_tolerance(backend, model):
    windows, record = model.heldout.windows, model.record
    expected = reference.forecast(record.spec, record.scaler, model.weights, windows.astype(np.float64))
    error = np.abs(backend.predict(windows) - expected).max() / record.scaler.range
    float32 = backend.artifact.precision == "float32"
    assert error < (FLOAT32_ROUNDING if float32 else backend.artifact.tolerance.max_abs)


def test_a_window_gives_the_same_bits_alone_and_in_a_batch_of_any_size(backend, model):
    windows = model.heldout.windows
    alone = np.concatenate([backend.predict(window[np.newaxis]) for window in windows])
    for count in (1, 2, 12, 13, 24, 31, 33, 47, len(windows)):
        assert np.array_equal(backend.predict(windows[:count]), alone[:count]), count


def test_several_threads_give_the_bits_of_one(backend, model):
    windows = np.concatenate([model.heldout.windows] * 3)  # more than threads * BLOCK, and not a multiple of it
    assert len(windows) > 3 * BLOCK
    several = NativeBackend(backend.library._name, model.record.spec, 3)
    for count in (1, BLOCK, BLOCK + 1, 2 * BLOCK + 5, len(windows) - 7, len(windows)):
        assert np.array_equal(several.predict(windows[:count]), backend.predict(windows[:count])), count


def test_a_broken_row_is_nan_and_leaves_the_others_as_they_were(backend, model):
    windows = model.heldout.windows[:40].copy()
    clean = backend.predict(windows)
    outside = (-1.0, -2.0) if model.record.scaler.features[0].transform == "log1p" else ()
    for value in (np.nan, np.inf, -np.inf, *outside):
        broken = windows.copy()
        broken[5, 7, 0] = value
        found = backend.predict(broken)
        assert np.isnan(found[5]).all(), value
        assert np.array_equal(np.delete(found, 5, axis=0), np.delete(clean, 5, axis=0)), value


def _broken_steps(model: ModelDirectory) -> list[tuple[int, int]]:
    """Return (step, feature): each feature at the first step, the last that only lags reach, the next, the last."""
    spec = model.record.spec
    steps = {0, spec.context - spec.window - 1, spec.context - spec.window, spec.context - 1} - {-1}
    return [(step, feature) for step in sorted(steps) for feature in range(len(spec.features))]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_any_value_of_the_context_that_is_not_finite_makes_the_forecast_nan(backend, model, value):
    windows = model.heldout.windows[:40]
    clean = backend.predict(windows)
    for step, feature in _broken_steps(model):
        broken = windows.copy()
        broken[5, step, feature] = value
        found = backend.predict(broken)
        assert np.isnan(found[5]).all(), (step, feature)
        assert np.array_equal(np.delete(found, 5, axis=0), np.delete(clean, 5, axis=0)), (step, feature)
        assert np.isnan(backend.predict(broken[5:6])).all(), (step, feature)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_step_is_nan_in_a_stream_and_a_state_for_as_long_as_the_window_holds_it(backend, model, value):
    spec, library = model.record.spec, backend.library
    context, features = spec.context, len(spec.features)
    rows = np.concatenate([model.heldout.windows[0], model.heldout.windows[1]])
    state = np.zeros(library.model_info(0), np.uint8)
    forecast = np.zeros(spec.horizon, np.float32)
    stream = Stream(model.record.spec, "native", backend, 1)
    clean = [stream.push(row) for row in rows]
    for feature in range(features):
        for at in (0, context // 3, context - 1):
            broken = rows.copy()
            broken[at, feature] = value
            stream.reset()
            found = [stream.push(row) for row in broken]
            silent = [bool(np.isnan(row).all()) for row in found]
            assert silent == [i < max(context - 1, at + context) for i in range(len(rows))], (feature, at)
            assert np.array_equal(found[at + context], clean[at + context]), (feature, at)
            library.model_reset(state.ctypes.data)
            for row in broken[:context]:
                answer = library.model_step(state.ctypes.data, row.ctypes.data, forecast.ctypes.data)
            assert (answer, np.isnan(forecast).all()) == (1, True), (feature, at)


def test_a_feature_that_no_channel_reads_is_held_to_be_finite_too(level_model, tmp_path):
    features = (*level_model.spec.features, Feature(name="unread"))
    scaler = replace(level_model.scaler, features=(level_model.scaler.features[0],) * 2)
    windows = np.repeat(level_model.windows, 2, axis=2)  # (n, context, 2)
    fitted = replace(level_model, spec=replace(level_model.spec, features=features), scaler=scaler, windows=windows)
    model = directory(fitted)
    opened = NativeBackend(str(built_library(model, "native", tmp_path)), model.record.spec, 1)
    for step in (0, model.record.spec.context - 1):
        broken = windows[:40].copy()
        broken[7, step, 1] = np.nan
        assert np.isnan(opened.predict(broken)).all(axis=1).tolist() == [i == 7 for i in range(40)]
        assert np.isnan(opened.predict(broken[7:8])).all()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["textbook", "recommended"])
@pytest.mark.parametrize("target_id", ["native", "native-w8"])
def test_a_trained_model_passes_and_a_perturbed_one_fails_selftest_and_verification(
    recipe: str, target_id: str, request: pytest.FixtureRequest, tmp_path: Path
):
    trained = read_model_directory(request.getfixturevalue(f"{recipe}_model"))
    spec, golden = trained.record.spec, plain.from_directory(trained).golden()
    row = artifact(target_id, spec)
    first, *others = trained.weights.layers
    wrong = replace(first, recurrent=(first.recurrent * PERTURBATION).astype(np.float32))
    perturbed = replace(trained, weights=replace(trained.weights, layers=(wrong, *others)))
    plausible = NativeBackend(
        str(built_library(perturbed, target_id, tmp_path / "wrong")), spec, 1
    )  # it computes what it was made from, and its self-test says so
    failed = [check.name for check in check_backend(plausible, trained.record, row, golden) if not check.passed]
    if target_id == "native":  # the limits of 8-bit weights are wider than what this does to some series
        assert "largest error / range" in failed
    mixed = write_sources(perturbed, target_id, tmp_path / "mixed")
    _swap_golden(mixed, sources(trained, target_id)["model.c"])
    with pytest.raises(EngineError, match="self-test failed; it does not compute this model"):
        open_library(str(build(mixed, find_compiler())), spec)
    sound = NativeBackend(str(built_library(trained, target_id, tmp_path / "sound")), spec, 1)
    assert [check for check in check_backend(sound, trained.record, row, golden) if not check.passed] == []


def _swap_golden(folder: Path, other: str) -> None:
    """Give the source in `folder` the reference forecasts of another one."""
    pattern = re.compile(r"static const float GOLDEN_FORECASTS.*?;\n", re.DOTALL)
    own = (folder / "model.c").read_text("ascii")
    (folder / "model.c").write_text(pattern.sub(pattern.search(other).group(), own), "ascii")
