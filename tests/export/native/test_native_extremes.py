"""The largest and the smallest numbers through every way into a native library, on every instruction set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.native_calls import NativeState, NativeStreams, answer, pointers, steps_of
from helpers.native_models import PATHS, artifact, build, directory, require_processor, write_sources
from pulsecast.backends.native import NativeBackend
from pulsecast.backends.native_library import find_compiler
from pulsecast.bundle.golden import Golden
from pulsecast.computing import reference
from pulsecast.forecasting.checks import check_backend
from pulsecast.forecasting.extremes import extreme_windows, largest_error
from pulsecast.stages.model_directory import ModelDirectory


def _windows(model: ModelDirectory):
    return extreme_windows(model.heldout.windows.take([3]))


def _golden(model: ModelDirectory) -> Golden:
    record, heldout = model.record, model.heldout
    expected = reference.forecast(record.spec, record.scaler, model.weights, heldout.windows)
    return Golden(windows=heldout.windows, truth=heldout.truth, reference=expected, trained=heldout.trained)


def test_one_call_a_batch_and_streams_give_the_same_bits_and_count_the_same_nans(backend, model):
    windows, spec, library = _windows(model), model.record.spec, backend.library
    batch = backend.outputs(*windows.inputs)
    assert not np.isinf(batch).any()
    for row in range(len(windows)):
        one, found = windows.take([row]), answer(1, spec.horizon)
        time = 0 if one.time is None else int(one.time[0])
        code = library.model_predict(*pointers(one.values), time, 0, *pointers(*found[1:]))
        assert code == np.isnan(found.forecast).any(), row
        for single, many in zip(found[1:], batch, strict=True):
            np.testing.assert_array_equal(single[0], many[row])
    streams = NativeStreams(library, spec, len(windows))
    for step, (_, time) in enumerate(steps_of(spec, windows.take([0]))):
        found = streams.push(windows.values[:, step], time)
    for pushed, many in zip(found[1:], batch, strict=True):
        np.testing.assert_array_equal(pushed, many)
    assert found.code == np.isnan(batch[0]).any(axis=1).sum()


def test_a_state_gives_the_bits_of_a_window_of_extreme_numbers(backend, model):
    windows, spec = _windows(model), model.record.spec
    batch = backend.outputs(*windows.inputs)
    for row in range(0, len(windows), 7):
        state = NativeState(backend.library, spec)
        for values, time in steps_of(spec, windows.take([row])):
            found = state.step(values, time)
        assert found.code == np.isnan(batch[0][row]).any()
        for stepped, many in zip(found[1:], batch, strict=True):
            np.testing.assert_array_equal(stepped[0], many[row])


@pytest.mark.soak
@pytest.mark.parametrize("target", ["native", "native-w8"])
@pytest.mark.parametrize("path", PATHS)
def test_every_instruction_set_gives_the_reference_or_nan(path: str, target: str, change_model, tmp_path: Path) -> None:
    flags = require_processor(path)
    model = directory(change_model)
    record, windows = model.record, _windows(model)
    library = build(write_sources(model, target, tmp_path), find_compiler(), *flags)
    backend = NativeBackend(library.read_bytes(), record.spec, 1)
    row = artifact(target, record.spec)
    expected = reference.forecast(record.spec, record.scaler, model.weights, windows)
    error = largest_error(record.spec, windows, backend.predict(*windows.inputs), expected, record.scaler.range)
    assert error <= row.tolerance.max_abs
    checks = check_backend(backend, record, row, _golden(model), model.weights)
    assert [check.passed for check in checks if "extreme" in check.name] == [True, True]


def test_a_forecast_beyond_float32_is_nan_with_its_bounds_and_counted(
    change_model: plain.PlainModel, tmp_path: Path
) -> None:
    """The last value is near float32's end, and the growth of the second step takes its forecast over it."""
    growth = np.float32([0, 0.9 / change_model.scaler.features[0].scale])  # 2.5 times
    weights = replace(change_model.weights, head_bias=change_model.weights.head_bias + growth)
    model = directory(replace(change_model, weights=weights))
    library = build(write_sources(model, "native", tmp_path), find_compiler(), "-O0", "-DMODEL_SCALAR")  # soon compiled
    backend = NativeBackend(library.read_bytes(), model.record.spec, 1)
    windows = model.heldout.windows.take(slice(20))
    values = windows.values.copy()
    values[:, -1] = 1.5e38
    windows = windows.changed(values)
    found = backend.outputs(*windows.inputs)
    assert np.isfinite(found[0][:, 0]).all()
    assert np.isfinite(found[1][:, 0]).all()
    assert all(np.isnan(one[:, 1]).all() for one in found)
    arrays = [np.zeros((20, 2), np.float32) for _ in range(3)]
    given = pointers(windows.values, windows.time)
    assert backend.library.model_predict_batch(*given, None, 20, *pointers(*arrays)) == 20
