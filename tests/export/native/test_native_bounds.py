"""Bounds of the native targets against `pulsecast.computing.intervals.bounds`, on every scale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import plain
from helpers.native_calls import NativeState, NativeStreams, answer, pointers, steps_of
from helpers.native_models import HERE, PATH_FLAGS, build, directory, require_processor, write_sources
from pulsecast.backends.native import NativeBackend
from pulsecast.backends.native_library import find_compiler
from pulsecast.computing.intervals import bounds
from pulsecast.errors import ConversionError
from pulsecast.model.radii import SplitConformal
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.stages.model_directory import ModelDirectory
from pulsecast_export.native.writer import sources

# forecasts of one window, a step of the horizon each: with a head of zeros they are its biases
LEVELS = np.array([-0.5, 0.0, 1e-7, 0.2, 0.5, 0.999, 1.0, 2.4, 7.0, 12.5, 99.9, 1e3, 54_321.0, 2e5, 3e6, 1e7])
RADII = np.array([0.0, 1e-3, 0.01, 0.1, 0.25, 0.7, 1.5, 3.0])
FORECASTS = np.repeat(LEVELS, len(RADII))  # (horizon,)
ROUNDING = 3e-6  # of a bound plus 1: float32's, at logarithms up to 19
SCALERS = {
    "log1p": FeatureScale(transform="log1p", offset=2.0, scale=1.5, low=0.0, high=1e8),
    "identity": FeatureScale(offset=64.0, scale=32.0, low=0.0, high=1e8),
}
SCALES = {"log1p counts": ("log1p", True), "log1p": ("log1p", False), "identity": ("identity", False)}


def constant_model(transform: str, scale: str, floor: float | None) -> ModelDirectory:
    """Return a model that forecasts FORECASTS for any window."""
    first = SCALERS[transform]
    spec = replace(plain.LEVEL_SPEC, units=(5,), network=None, horizon=len(FORECASTS), floor=floor)
    made = plain.make_model(replace(spec, horizon=1))
    raw = np.maximum(FORECASTS, -0.9)
    outputs = ((np.log1p(raw) if transform == "log1p" else raw) - first.offset) / first.scale
    weights = replace(
        made.weights,
        head_kernel=np.zeros((5, spec.horizon), np.float32),
        head_bias=outputs.astype(np.float32),
    )
    truth = np.zeros((len(made.windows), spec.horizon))
    model = directory(replace(made, spec=spec, scaler=Scaler(features=(first,)), weights=weights, truth=truth))
    kind, counts = SCALES[scale]
    intervals = SplitConformal(
        scale=kind,
        counts=counts,
        levels=(0.5, 0.8, 0.95),
        radii=(tuple(np.ones(spec.horizon)), tuple(np.tile(RADII, len(LEVELS))), tuple(9 * np.ones(spec.horizon))),
        windows=100,
    )
    return replace(model, record=replace(model.record, intervals=intervals))


def flags_of(path: str) -> tuple[str, ...]:
    """Return the flags of one instruction set: numbers without a vector soon compiled, AVX2 without those below it."""
    definitions = require_processor(path)
    return (*definitions, *(("-O0",) if path == "scalar" else (*PATH_FLAGS[path], "-DMODEL_BUILD_TIME")))


# a floor is one comparison: one instruction set has every floor, the other the usual one
@pytest.mark.parametrize(("path", "floor"), [("scalar", None), ("scalar", 0.0), ("scalar", 0.5), ("avx2", 0.0)])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("transform", SCALERS)
def test_bounds_are_those_of_the_default_level(transform, scale, floor, path, tmp_path: Path) -> None:
    flags = flags_of(path)
    model = constant_model(transform, scale, floor)
    spec, intervals = model.record.spec, model.record.intervals
    assert intervals.default_level == 0.8
    backend = NativeBackend(str(build(write_sources(model, "native", tmp_path), find_compiler(), *flags)), spec, 1)
    windows = model.heldout.windows.take(slice(40))
    forecast, lower, upper = backend.outputs(*windows.inputs)
    # float32 forecasts lie a rounding beside the exact ones, and so do radii
    exact = np.maximum(FORECASTS, -np.inf if floor is None else floor)
    assert np.abs(forecast - exact)[0].max() < 1e-6 * (1 + np.abs(exact)).max()
    radius = np.array(intervals.at(0.8))
    near = [_bounds(forecast[0], radius + shift, intervals) for shift in (0.0, -ROUNDING, ROUNDING)]
    if intervals.counts:
        for found, expected in ((lower[0], [x[0] for x in near]), (upper[0], [x[1] for x in near])):
            small = expected[0] < 0.1 / ROUNDING  # of larger counts a rounding is more than one
            assert np.any([found == each for each in expected], axis=0)[small].all()
            assert (found == expected[0])[small].mean() > 0.95
            assert (np.abs(found - expected[0]) <= 1 + ROUNDING * expected[0])[~small].all()
            assert np.array_equal(found, np.floor(found))
    else:
        for found, expected in zip((lower[0], upper[0]), near[0], strict=True):
            assert (np.abs(found - expected) <= ROUNDING * (1 + np.abs(expected))).all()
    assert (lower[0] <= upper[0]).all()
    if scale != "identity":
        assert (lower >= 0).all()
    assert np.array_equal(lower, np.repeat(lower[:1], 40, axis=0))  # of blocks and of single windows


def _bounds(
    forecast: NDArray[np.float32], radius: NDArray[np.float64], intervals: SplitConformal
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    found = bounds(forecast.astype(np.float64), np.maximum(radius, 0), intervals.scale, counts=intervals.counts)
    return found.lower, found.upper


def test_a_bound_that_is_not_wanted_is_left_alone(level_model: plain.PlainModel, tmp_path: Path) -> None:
    model = directory(level_model)
    spec, window = model.record.spec, model.heldout.windows.take([0])
    backend = NativeBackend(str(build(write_sources(model, "native", tmp_path), find_compiler(), *HERE)), spec, 1)
    whole, library = backend.outputs(*window.inputs), backend.library
    for wanted in ((True, False), (False, True), (False, False)):
        for count in (1, 40):
            windows = model.heldout.windows.take([0] * count)
            found = answer(count, spec.horizon)
            lower, upper = (
                array.ctypes.data if asked else None for array, asked in zip(found[2:], wanted, strict=True)
            )
            values = windows.values.ctypes.data
            library.model_predict_batch(values, None, None, count, found.forecast.ctypes.data, lower, upper)
            assert np.array_equal(found.forecast, np.repeat(whole[0], count, axis=0))
            for array, expected, asked in zip(found[2:], whole[1:], wanted, strict=True):
                assert np.array_equal(array, np.repeat(expected, count, axis=0)) if asked else (array == 7).all()


def test_without_intervals_bounds_are_not_touched(level_model: plain.PlainModel, tmp_path: Path) -> None:
    model = directory(level_model)
    model = replace(model, record=replace(model.record, intervals=None))
    spec, windows = model.record.spec, model.heldout.windows.take(slice(40))
    backend = NativeBackend(str(build(write_sources(model, "native", tmp_path), find_compiler(), *HERE)), spec, 1)
    assert backend.library.model_size(5) == 1
    assert len(backend.outputs(*windows.inputs)) == 1
    found = answer(40, spec.horizon)
    backend.library.model_predict_batch(windows.values.ctypes.data, None, None, 40, *pointers(*found[1:]))
    streams, state = NativeStreams(backend.library, spec), NativeState(backend.library, spec)
    answers = [found]
    for step, time in steps_of(spec, windows.take([0])):
        answers += [streams.push(step, time), state.step(step, time)]
    for each in answers:
        assert (each.lower == 7).all()
        assert (each.upper == 7).all()
        assert (each.forecast != 7).all()


def test_counts_on_the_scale_of_values_are_refused(level_model: plain.PlainModel) -> None:
    model = directory(level_model)
    wrong = replace(model.record.intervals, scale="identity")
    with pytest.raises(ConversionError, match="intervals of counts need the scale log1p"):
        sources(replace(model, record=replace(model.record, intervals=wrong)), "native")
