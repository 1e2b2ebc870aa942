"""`micro_io.c` compiled here and called, so that an export checks it before the bundle appears."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast.backends.native_library import compile_library, find_compiler
from pulsecast.backends.sealed_library import load_bytes
from pulsecast.bundle.golden import Golden
from pulsecast.computing import reference
from pulsecast.computing.calendars import complete, known_times
from pulsecast.computing.intervals import FLOAT32_SLACK, bounds
from pulsecast.computing.linear_path import linear_inputs, weighted
from pulsecast.errors import ConversionError, EngineError, MissingExtraError, ToleranceError
from pulsecast.foundation.private_folder import temporary_folder
from pulsecast.model.radii import IntervalScale, SplitConformal
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import Windows

from .writer import SOURCE

FLAGS = ("-std=c99", "-O2", "-fPIC", "-shared")
ROUNDING = 5e-7  # of a value's size: float32 rounds by 6e-8 in a logarithm, a difference and the angle of a wave each
BOUND_ROUNDING = 4e-7  # of a bound plus 1, and of the forecast plus 1 times e^radius: a product and a sum in float32
# of a linear path's |weights|, times their column's largest scaled value plus 1: bends triple an error, means add up
PATH_ROUNDING = 8 * ROUNDING
PLACES = 64  # in a window, at most, where a value that is not finite is tried
Array = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is around a full-integer file.

    linear  kernel of the linear path (inputs, horizon); None without one
    """

    spec: ModelSpec
    scaler: Scaler
    intervals: SplitConformal | None = None
    linear: NDArray[np.float32] | None = None


class MicroIo:
    """The two functions of a compiled `micro_io.c`, as `input` and `output` and over batches of windows."""

    def __init__(self, library: Path, spec: ModelSpec) -> None:
        self._spec = spec
        functions = load_bytes(library.read_bytes())  # also from a folder where nothing may run
        self.input, self.output = functions.micro_input, functions.micro_output
        self.input.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
        self.output.argtypes = (ctypes.c_void_p, ctypes.c_int64, *(ctypes.c_void_p,) * 4)
        self.output.restype = None

    def channels(self, windows: Windows) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return channels (n, window, channels), and which windows (n,) have a forecast."""
        values, times = _raw(windows)
        found = np.full((len(values), self._spec.window, len(self._spec.channels)), np.nan, np.float32)
        rows = zip(values, times.tolist(), found, strict=True)
        refused = [self.input(row.ctypes.data, time, to.ctypes.data) for row, time, to in rows]
        return found, np.array(refused) == 0

    def results(self, windows: Windows, outputs: Array) -> NDArray[np.float32]:
        """Return forecast, lower and upper, (3, n, horizon), for network `outputs` (n, horizon); NaN without bounds."""
        values, times = _raw(windows)
        given = np.ascontiguousarray(outputs, np.float32)
        found = np.full((3, *given.shape), np.nan, np.float32)
        for i, time in enumerate(times.tolist()):
            results = (found[k, i].ctypes.data for k in range(3))
            self.output(values[i].ctypes.data, time, given[i].ctypes.data, *results)
        return found


def _raw(windows: Windows) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return values and times as the functions take them; those of a model without a calendar are 0."""
    values = np.ascontiguousarray(windows.values, np.float32)
    return values, np.zeros(len(values), np.int64) if windows.time is None else windows.time


def compile_micro_io(folder: Path, command: Sequence[str], out: Path) -> None:
    """Compile the source in `folder` to a library at `out`; raises ConversionError with the compiler's first line."""
    try:
        compile_library(command, folder, out, FLAGS, (SOURCE, "-lm"))
    except EngineError as error:
        raise ConversionError(str(error)) from error


def check_micro_io(folder: Path, around: Surroundings, golden: Golden) -> None:
    """Check the source in `folder` on the windows of `golden`; without a C compiler nothing is checked.

    Raises ToleranceError if channels, forecasts or bounds differ, or if a window is taken that has no forecast;
    ConversionError if it does not compile.
    """
    try:
        command = find_compiler()
    except MissingExtraError:
        return
    with temporary_folder() as work:
        library = work / "micro_io.so"
        compile_micro_io(folder, command, library)
        functions = MicroIo(library, around.spec)
        problems = differences(functions, around, golden)
        problems += _taken(functions, around.spec, around.scaler, golden.windows)
    if problems:
        raise ToleranceError(f"{SOURCE} does not compute what the reference does: {'; '.join(problems)}")


def differences(functions: MicroIo, around: Surroundings, golden: Golden) -> list[str]:
    """Return what differs from numpy by more than float32 rounding, over the windows of `golden`."""
    windows, spec, scaler, intervals = golden.windows, around.spec, around.scaler, around.intervals
    columns = complete(spec, windows.changed(windows.values.astype(np.float64)))  # (n, context, features)
    found, fine = functions.channels(windows)
    problems = [] if fine.all() else [f"{int((~fine).sum())} of {len(fine)} windows are refused"]
    error = np.abs(found - reference.channels(spec, scaler.transform(columns)))
    if not (error <= channel_rounding(spec, scaler, columns)).all():
        problems.append(f"channels differ by up to {error.max():.1e}")
    outputs = outputs_for(around, windows, golden.reference)
    results = functions.results(windows, outputs)
    error = np.abs(results[0] - golden.reference)
    if not (error <= forecast_rounding(around, columns, golden.reference)).all():
        problems.append(f"forecasts differ by up to {error.max():.1e}")
    if not (np.isnan(results[1:]).all() if intervals is None else bounds_agree(results, intervals)):
        problems.append("bounds are not those of the forecasts")
    return problems


def bounds_agree(results: Array, intervals: SplitConformal) -> bool:
    """Return whether forecast, lower and upper, (3, n, horizon), are an interval up to float32 rounding.

    Bounds of counts are exact, except where an edge of the interval is a whole number up to rounding.
    """
    forecast = results[0].astype(np.float64)
    radius = np.array(intervals.at(intervals.default_level))
    exact = bounds(forecast, radius, intervals.scale, counts=False)
    allowed = [_bound_rounding(forecast, radius * way, intervals.scale) for way in (-1, 1)]
    if not intervals.counts:
        pairs = zip(results[1:], exact[1:], allowed, strict=True)
        return all(_is_near(found, expected, rounding) for found, expected, rounding in pairs)
    unsure = np.zeros(forecast.shape, bool)
    for bound, way in ((exact.lower, -1), (exact.upper, 1)):
        edge = bound + way * FLOAT32_SLACK * (bound + 1)
        unsure |= np.abs(edge - np.round(edge)) <= BOUND_ROUNDING * (bound + 2)
    whole = bounds(forecast, radius, intervals.scale, counts=True)
    return all(_is_near(found, expected, unsure) for found, expected in zip(results[1:], whole[1:], strict=True))


def _bound_rounding(forecast: Array, radius: Array, scale: IntervalScale) -> Array:
    """Return the largest float32 error of bounds that lie `radius` above the forecasts (n, horizon)."""
    if scale == "log1p":
        return BOUND_ROUNDING * ((np.maximum(forecast, 0) + 1) * np.exp(radius) + 1)
    return BOUND_ROUNDING * (np.abs(forecast) + np.abs(radius) + 2)


def _is_near(found: Array, expected: Array, allowed: Array) -> bool:
    """Return whether bounds are the expected ones; those beyond float32 are only very large."""
    beyond = expected >= np.finfo(np.float32).max
    with np.errstate(invalid="ignore"):
        return bool(np.where(beyond, found >= 1e38, np.abs(found - expected) <= allowed).all())


def _taken(functions: MicroIo, spec: ModelSpec, scaler: Scaler, windows: Windows) -> list[str]:
    """Return what is wrong with the choice of windows that have a forecast: by their values, and by their time."""
    problems = []
    size = spec.context * spec.measured
    places = np.unique(np.linspace(0, size - 1, min(size, PLACES)).astype(int))
    broken = windows.take([0] * len(places))
    for special in (np.nan, np.inf):
        broken.values.reshape(len(places), size)[np.arange(len(places)), places] = special
        channels, fine = functions.channels(broken)
        if fine.any() or channels.any():
            problems.append(f"{int(fine.sum())} of {len(fine)} windows with a value of {special} are taken")
    if windows.time is not None:
        first, last = known_times(spec)
        times = np.array([first - 1, first, last, last + 1, int(np.abs(windows.time).max()) * 1000])
        at = Windows(values=np.repeat(windows.values[:1], len(times), axis=0), time=times)
        with np.errstate(invalid="ignore"):
            expected = np.isfinite(scaler.transform(complete(spec, at))).all(axis=(1, 2))
        wrong = times[functions.channels(at)[1] != expected]
        if len(wrong):
            problems.append(f"windows are taken or refused wrongly at {', '.join(map(str, wrong))}")
    return problems


def channel_rounding(spec: ModelSpec, scaler: Scaler, columns: Array) -> Array:
    """Return the largest float32 error of each channel, (n, 1, channels), for raw `columns` (n, context, features)."""
    sizes = _sizes(scaler, columns)
    rows = [sizes[channel.feature] * (2 if channel.lag else 1) for channel in spec.channels]  # each (n,)
    return ROUNDING * np.stack(rows, axis=-1)[:, np.newaxis]


def forecast_rounding(around: Surroundings, columns: Array, forecasts: Array) -> Array:
    """Return the largest error of float32 in raw `forecasts` (n, horizon) that are made from outputs."""
    spec, first, linear = around.spec, around.scaler.features[0], around.spec.linear
    rounding = ROUNDING * _size(first, forecasts)
    if spec.target == "change":
        rounding = rounding + ROUNDING * _size(first, columns[:, -1:, 0])
    if linear is not None and around.linear is not None:
        sizes, weights = np.stack(_sizes(around.scaler, columns), axis=1) + 1, np.abs(around.linear)
        other = linear.parts(spec.measured)["others"]  # two rows for each further column
        of_column = [np.delete(weights, other, axis=0).sum(axis=0)]
        of_column += [weights[row : row + 2].sum(axis=0) for row in range(other.start, other.stop, 2)]
        rounding = rounding + PATH_ROUNDING * first.scale * (sizes[:, : spec.measured] @ np.stack(of_column))
    return rounding * (1 + np.abs(forecasts) if first.transform == "log1p" else 1)


def outputs_for(around: Surroundings, windows: Windows, forecasts: Array) -> Array:
    """Return the network's outputs (n, horizon) that give these raw `forecasts`."""
    spec, first, linear = around.spec, around.scaler.features[0], around.spec.linear
    outputs = (_level(first, forecasts) - first.offset) / first.scale
    if spec.target == "level":
        return outputs
    exact = windows.changed(windows.values.astype(np.float64))
    scaled = around.scaler.transform(complete(spec, exact))
    outputs = outputs - scaled[:, -1:, 0]
    if linear is None or around.linear is None:
        return outputs
    return outputs - weighted(linear_inputs(spec, linear, scaled, windows.time), around.linear)


def _sizes(scaler: Scaler, columns: Array) -> list[Array]:
    """Return the largest size of what is rounded in each scaled feature, (n,) each."""
    return [_size(scale, columns[..., i]).max(axis=1) / scale.scale for i, scale in enumerate(scaler.features)]


def _size(scale: FeatureScale, raw: Array) -> Array:
    """Return the size of what is rounded when `raw` is scaled, before it is divided by the scale."""
    return np.abs(_level(scale, raw)) + abs(scale.offset) + 1


def _level(scale: FeatureScale, raw: Array) -> Array:
    return np.log1p(raw) if scale.transform == "log1p" else raw
