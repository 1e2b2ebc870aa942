"""The native targets, from fitted models: C against the float64 reference, its gate, its cache, its threads."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.native_calls import NativeState, NativeStreams
from helpers.native_fixtures import built_library
from helpers.native_models import (
    FLOAT32_ROUNDING,
    HERE,
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
from pulsecast.forecasting.checks import check_backend
from pulsecast.model.spec import Feature
from pulsecast.model.windows import Windows
from pulsecast.stages.model_directory import ModelDirectory, read_model_directory
from pulsecast_export.native.writer import sources

require_c()


REFUSED = {
    "float64": lambda v, t: (v.astype(np.float64), t),
    "strided": lambda v, t: (np.repeat(v, 2, axis=0)[::2], t),
    "Fortran order": lambda v, t: (np.asfortranarray(v), t),
    "a step too few": lambda v, t: (np.ascontiguousarray(v[:, 1:]), t),
    "without the feature axis": lambda v, t: (v[..., 0], t),
    "one time for all": lambda v, t: (v, t[:1]),
    "a time too many": lambda v, t: (v, np.append(t, t[:1])),
    "strided times": lambda v, t: (v, np.repeat(t, 2)[::2]),
    "one time, broadcast": lambda v, t: (v, np.broadcast_to(t[0], t.shape)),
    "times as floats": lambda v, t: (v, t.astype(np.float64)),
    "times of 32 bits": lambda v, t: (v, t.astype(np.int32)),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("threads", [1, 2])
def test_the_backend_refuses_what_the_library_would_misread(backend, model, change, threads):
    backend = NativeBackend(backend.source, model.record.spec, threads)
    windows = model.heldout.windows.take(slice(2 * BLOCK + 3))
    time = np.zeros(len(windows), np.int64) if windows.time is None else windows.time
    for call in (backend.predict, backend.outputs):
        with pytest.raises(EngineError, match=r"native library takes (float32|int64) \(.*\) in C order"):
            call(*change(windows.values, time))


def test_forecasts_are_the_reference_within_the_targets_tolerance(backend, model):
    windows, record = model.heldout.windows, model.record
    expected = reference.forecast(record.spec, record.scaler, model.weights, windows)
    error = np.abs(backend.predict(*windows.inputs) - expected).max() / record.scaler.range
    float32 = backend.artifact.precision == "float32"
    assert error < (FLOAT32_ROUNDING if float32 else backend.artifact.tolerance.max_abs)


def test_a_window_gives_the_same_bits_alone_and_in_a_batch_of_any_size(backend, model):
    windows = model.heldout.windows
    single = [backend.outputs(*windows.take([row]).inputs) for row in range(len(windows))]
    alone = [np.concatenate(found) for found in zip(*single, strict=True)]
    assert len(alone) == 3
    for count in (1, 2, 12, 13, 24, 31, 33, 47, len(windows)):
        together = backend.outputs(*windows.take(slice(count)).inputs)
        for found, expected in zip(together, alone, strict=True):
            assert np.array_equal(found, expected[:count]), count


def test_several_threads_give_the_bits_of_one(backend, model):
    rows = np.arange(3 * len(model.heldout.windows)) % len(model.heldout.windows)
    windows = model.heldout.windows.take(rows)  # more than threads * BLOCK, and not a multiple of it
    assert len(windows) > 3 * BLOCK
    several = NativeBackend(backend.library._name, model.record.spec, 3)
    for count in (1, BLOCK, BLOCK + 1, 2 * BLOCK + 5, len(windows) - 7, len(windows)):
        some = windows.take(slice(count))
        for found, expected in zip(several.outputs(*some.inputs), backend.outputs(*some.inputs), strict=True):
            assert np.array_equal(found, expected), count


def _broken(windows: Windows, row: int, step: int, feature: int, value: float) -> Windows:
    values = windows.values.copy()
    values[row, step, feature] = value
    return windows.changed(values)


def test_a_broken_row_is_nan_and_leaves_the_others_as_they_were(backend, model):
    windows = model.heldout.windows.take(slice(40))
    clean = backend.outputs(*windows.inputs)
    outside = (-1.0, -2.0) if model.record.scaler.features[0].transform == "log1p" else ()
    for value in (np.nan, np.inf, -np.inf, *outside):
        for found, before in zip(backend.outputs(*_broken(windows, 5, 7, 0, value).inputs), clean, strict=True):
            assert np.isnan(found[5]).all(), value
            assert np.array_equal(np.delete(found, 5, axis=0), np.delete(before, 5, axis=0)), value


def _broken_steps(model: ModelDirectory) -> list[tuple[int, int]]:
    """Return (step, column): each column at the first step, the last that only lags reach, the next, the last."""
    spec = model.record.spec
    steps = {0, spec.context - spec.window - 1, spec.context - spec.window, spec.context - 1} - {-1}
    return [(step, feature) for step in sorted(steps) for feature in range(spec.measured)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_any_value_of_the_context_that_is_not_finite_makes_the_forecast_nan(backend, model, value):
    windows = model.heldout.windows.take(slice(40))
    clean = backend.predict(*windows.inputs)
    for step, feature in _broken_steps(model):
        broken = _broken(windows, 5, step, feature, value)
        found = backend.predict(*broken.inputs)
        assert np.isnan(found[5]).all(), (step, feature)
        assert np.array_equal(np.delete(found, 5, axis=0), np.delete(clean, 5, axis=0)), (step, feature)
        assert np.isnan(backend.predict(*broken.take([5]).inputs)).all(), (step, feature)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_step_is_nan_in_a_stream_and_a_state_for_as_long_as_the_window_holds_it(backend, model, value):
    spec, library = model.record.spec, backend.library
    context = spec.context
    rows = np.concatenate([model.heldout.windows.values[0], model.heldout.windows.values[1]])
    times = plain.START_S + spec.step_s * np.arange(len(rows))
    streams = NativeStreams(library, spec)
    clean = [streams.push(row, time).forecast for row, time in zip(rows, times, strict=True)]
    for feature in range(spec.measured):
        for at in (0, context // 3, context - 1):
            broken = rows.copy()
            broken[at, feature] = value
            streams.reset()
            found = [streams.push(row, time) for row, time in zip(broken, times, strict=True)]
            silent = [bool(np.isnan(each.forecast).all()) for each in found]
            assert silent == [i < max(context - 1, at + context) for i in range(len(rows))], (feature, at)
            assert silent == [each.code == 1 for each in found]
            assert np.array_equal(found[at + context].forecast, clean[at + context]), (feature, at)
            state = NativeState(library, spec)
            for row, time in zip(broken[:context], times, strict=False):
                last = state.step(row, time)
            assert (last.code, np.isnan(last.forecast).all()) == (1, True), (feature, at)


def test_a_column_that_no_channel_reads_is_held_to_be_finite_too(level_model, tmp_path):
    features = (*level_model.spec.features, Feature(name="unread"))
    scaler = replace(level_model.scaler, features=(level_model.scaler.features[0],) * 2)
    windows = level_model.windows.changed(np.repeat(level_model.windows.values, 2, axis=2))  # (n, context, 2)
    fitted = replace(level_model, spec=replace(level_model.spec, features=features), scaler=scaler, windows=windows)
    model = directory(fitted)
    opened = NativeBackend(str(built_library(model, "native", tmp_path, *HERE)), model.record.spec, 1)
    for step in (0, model.record.spec.context - 1):
        broken = _broken(windows.take(slice(40)), 7, step, 1, np.nan)
        assert np.isnan(opened.predict(*broken.inputs)).all(axis=1).tolist() == [i == 7 for i in range(40)]
        assert np.isnan(opened.predict(*broken.take([7]).inputs)).all()


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
    # the network has a fifth of a recommended model's forecast, and the limits of 8-bit weights are wider
    factor = PERTURBATION if target_id == "native" else 1 + 5 * (PERTURBATION - 1)
    wrong = replace(first, recurrent=(first.recurrent * factor).astype(np.float32))
    perturbed = replace(trained, weights=replace(trained.weights, layers=(wrong, *others)))
    plausible = NativeBackend(
        str(built_library(perturbed, target_id, tmp_path / "wrong", *HERE)), spec, 1
    )  # it computes what it was made from, and its self-test says so
    failed = [
        check.name
        for check in check_backend(plausible, trained.record, row, golden, trained.weights)
        if not check.passed
    ]
    if target_id == "native":  # the limits of 8-bit weights are wider than what this does to some series
        assert "largest error / range" in failed
    mixed = write_sources(perturbed, target_id, tmp_path / "mixed")
    _swap_golden(mixed, sources(trained, target_id)["model.c"])
    with pytest.raises(EngineError, match="self-test failed; it does not compute this model"):
        open_library(str(build(mixed, find_compiler(), *HERE)), spec)
    # exports of the session's bundles verify the libraries of all instruction sets
    sound = NativeBackend(str(built_library(trained, target_id, tmp_path / "sound", *HERE)), spec, 1)
    assert [
        check for check in check_backend(sound, trained.record, row, golden, trained.weights) if not check.passed
    ] == []


def _swap_golden(folder: Path, other: str) -> None:
    """Give the source in `folder` the reference forecasts of another one."""
    pattern = re.compile(r"static const float GOLDEN_FORECASTS.*?;\n", re.DOTALL)
    own = (folder / "model.c").read_text("ascii")
    (folder / "model.c").write_text(pattern.sub(pattern.search(other).group(), own), "ascii")
