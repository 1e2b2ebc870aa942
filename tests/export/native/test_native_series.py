"""A table of series in C: each row's scale and bounds, the pool's from its window, in windows, batches and streams."""

from __future__ import annotations

import ctypes
import re
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import plain
from helpers.native_calls import SERIES, NativeState, NativeStreams, answer, pointers
from helpers.native_models import HERE, ODD_SPEC, build, directory, require_processor, write_sources
from helpers.series_models import with_table
from pulsecast.backends.native import NativeBackend
from pulsecast.backends.native_library import compile_library, find_compiler, open_library
from pulsecast.computing import reference
from pulsecast.computing.intervals import bounds
from pulsecast.errors import EngineError
from pulsecast.forecasting.streaming import Stream
from pulsecast.model.series import LEAST_SPREAD, POOL, POOL_ROW
from pulsecast.model.spec import Channel, Feature
from pulsecast.model.windows import Windows
from pulsecast.stages.model_directory import ModelDirectory
from pulsecast_export.native.gate import limit_bytes, native_gate, series_bytes
from pulsecast_export.native.writer import series_table, sources

LEVEL_ROUNDING, CHANGE_ROUNDING = 2e-6, 1e-5  # of a window's unit: those of a float32 artifact
BOUND_ROUNDING = 3e-6  # of a bound plus 1
LOG_ROUNDING = 4e-7  # of a logarithm plus 1: some units in the last place
NAMES = ("a", "b", "c")
# two measured columns, a calendar, a lag on the second column
CHANGE_SPEC = replace(
    ODD_SPEC,
    features=(Feature(name="value"), Feature(name="other"), ODD_SPEC.features[1]),
    channels=(Channel(feature=0), Channel(feature=1), Channel(feature=2), Channel(feature=1, lag=3)),
)
LEVEL_SPEC = replace(plain.LEVEL_SPEC, units=(9,), network=None)
SPECS = {"change": CHANGE_SPEC, "level": LEVEL_SPEC}


def _case(name: str, path: str, *marks: pytest.MarkDecorator) -> object:
    return pytest.param((name, path), id=f"{name}-{path}", marks=marks)


CASES = [
    _case("change", "here"),
    _case("level", "scalar"),
    *(_case("change", path, pytest.mark.soak) for path in ("scalar", "sse2", "avx2", "avx512", "vector")),
    *(_case("level", path, pytest.mark.soak) for path in ("here", "sse2", "avx2", "avx512", "avx512-pairs")),
]


class Many:
    """A model with a table, and its library."""

    def __init__(self, model: ModelDirectory, library: Path) -> None:
        self.model, self.spec, self.table = model, model.record.spec, model.table
        self.backend = NativeBackend(str(library), self.spec, 1)
        self.rounding = CHANGE_ROUNDING if self.spec.target == "change" else LEVEL_ROUNDING

    def reference(self, windows: Windows) -> NDArray[np.float64]:
        return reference.forecast(self.spec, self.table, self.model.weights, windows)

    def windows(self, values: NDArray[np.floating], series: int) -> Windows:
        """Return `values` (n, context), the same in every measured column, as windows of one series."""
        count = len(values)
        stacked = np.repeat(values[..., np.newaxis], self.spec.measured, axis=2).astype(np.float32)
        given = self.model.heldout.windows.time
        times = None if given is None else np.resize(given, count)
        return Windows(values=stacked, time=times, series=np.full(count, series, np.int64))


@pytest.fixture(scope="module", params=CASES)
def many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Many:
    name, path = request.param
    flags = HERE if path == "here" else require_processor(path)
    model = with_table(directory(plain.make_model(SPECS[name])), NAMES)
    folder = write_sources(model, "native", tmp_path_factory.mktemp("series"))
    return Many(model, build(folder, find_compiler(), "-Wall", "-Wextra", "-Werror", *flags))


def test_every_row_and_the_pool_are_forecast_as_the_reference_with_bounds_of_their_own(many: Many) -> None:
    windows, unit = many.model.heldout.windows, many.model.heldout.unit
    found = many.backend.outputs(*windows.inputs)
    expected = many.reference(windows)
    assert np.abs((found[0] - expected) / unit[:, np.newaxis]).max() < many.rounding
    intervals = many.model.record.intervals
    level = intervals.levels.index(intervals.default_level)
    radius = many.table.radius(windows.series, level)
    near = bounds(expected, radius, intervals.scale, counts=intervals.counts)
    for one, other in zip(found[1:], (near.lower, near.upper), strict=True):
        assert (
            np.abs(one - other).max() <= 1 + BOUND_ROUNDING * np.abs(other).max()
        )  # a count that rounds the other way
        assert (one == other).mean() > 0.97


def test_a_batch_of_mixed_series_gives_the_bits_of_each_window_alone(many: Many) -> None:
    windows = many.model.heldout.windows
    found = many.backend.outputs(*windows.inputs)
    for at in range(len(windows)):
        alone = many.backend.outputs(*windows.take([at]).inputs)
        assert all(np.array_equal(a[at : at + 1], b) for a, b in zip(found, alone, strict=True)), at


def test_streams_of_mixed_series_give_the_bits_of_whole_windows_whatever_stands_beside_them(many: Many) -> None:
    spec, context = many.spec, many.spec.context
    rows = np.arange(40, dtype=np.int64) % (len(NAMES) + 1)  # a block of the widest vectors, and some
    values = np.random.default_rng(3).integers(0, 900, (context + 9, 40, spec.measured)).astype(np.float32)
    values[2, 4], values[context + 2, 8, 0], values[:, 12] = np.nan, -1.0, 3e38  # of the pool
    streams = NativeStreams(many.backend.library, spec, 40)
    assert [streams.reset(i, row) for i, row in enumerate(rows)] == [0] * 40
    for at in range(len(values)):
        now = plain.START_S + at * spec.step_s
        found = streams.push(values[at], now)
        if at % 3 == 0:
            streams.settle()
        if at + 1 < context:
            assert found.code == 40
            continue
        window = np.ascontiguousarray(values[at + 1 - context : at + 1].swapaxes(0, 1))
        expected = many.backend.outputs(window, np.full(40, now) if spec.timed else None, rows)
        assert found.code == np.isnan(expected[0]).any(axis=1).sum()
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(found[1:], expected, strict=True)), at
    alone = NativeStreams(many.backend.library, spec, 1, POOL_ROW)
    again = NativeStreams(many.backend.library, spec, 1, POOL_ROW)
    for at in range(len(values)):
        one = alone.push(values[at, 0], plain.START_S + at * spec.step_s)
    seen, kept, last = alone.save()
    assert seen == context
    for at in range(context):
        other = again.push(kept[at], last - (context - 1 - at) * spec.step_s)
    assert all(
        np.array_equal(a[:1], b) and np.array_equal(b, c) for a, b, c in zip(found[1:], one[1:], other[1:], strict=True)
    )


def test_a_gap_in_time_ends_a_pool_streams_window_and_settling_does_nothing(many: Many) -> None:
    spec, context = many.spec, many.spec.context
    stream = NativeStreams(many.backend.library, spec, 1, POOL_ROW)
    values = np.random.default_rng(5).integers(0, 900, (2 * context, spec.measured)).astype(np.float32)
    for at in range(2 * context):
        now = plain.START_S + (at + (3 if at >= context else 0)) * spec.step_s
        found = stream.push(values[at], now)
        assert found.code == (at + 1 not in (context, 2 * context)), at
        before = stream.memory.copy()
        stream.settle()
        assert np.array_equal(before, stream.memory)  # nothing was left to do
    window = values[np.newaxis, context:]
    expected = many.backend.outputs(window, np.array([now]) if spec.timed else None, np.zeros(1, np.int64))
    assert all(np.array_equal(a, b) for a, b in zip(found[1:], expected, strict=True))


def test_a_row_that_is_not_in_the_table_and_a_state_of_the_pool_give_nan(many: Many) -> None:
    library, spec, windows = many.backend.library, many.spec, many.model.heldout.windows
    assert library.model_size(SERIES) == len(NAMES) + 1
    sound = many.backend.outputs(*windows.inputs)
    series = windows.series.copy()
    wrong = {0: -1, 5: len(NAMES) + 1, 9: 2**40, 40: -(2**63)}
    for at, row in wrong.items():
        series[at] = row
        assert NativeStreams(library, spec, 1, row).codes == [1]
    for one, other in zip(many.backend.outputs(windows.values, windows.time, series), sound, strict=True):
        assert np.isnan(one[list(wrong)]).all()
        kept = np.delete(np.arange(len(series)), list(wrong))
        assert np.array_equal(one[kept], other[kept])
    missing = answer(len(windows), spec.horizon)
    times = None if windows.time is None else windows.time.ctypes.data
    where = pointers(*missing[1:])
    assert library.model_predict_batch(windows.values.ctypes.data, times, None, len(windows), *where) == len(windows)
    assert all(np.isnan(each).all() for each in missing[1:])
    pool, named = NativeState(library, spec, POOL_ROW), NativeState(library, spec, 1)
    last = plain.START_S if windows.time is None else int(windows.time[1])
    for at in range(spec.context):
        now = last - (spec.context - 1 - at) * spec.step_s
        assert pool.step(windows.values[1, at], now).code == 1
        found = named.step(windows.values[1, at], now)
    assert np.array_equal(found.forecast, sound[0][1:2])  # row 1


def test_the_pools_scale_holds_at_the_extremes_of_a_window(many: Many) -> None:
    context = many.spec.context
    burst = np.full(context, 3.0)
    burst[context // 2] = 5e6
    kinds = {
        "constant": np.full(context, 217.0),
        "zeros": np.zeros(context),
        "huge": 1e30 * (1 + np.arange(context) / context),
        "a burst": burst,
        "a step": np.where(np.arange(context) < context // 2, 0.0, 4e4),
        "hardly moves": 1000.0 + np.arange(context) % 2,
    }
    windows = many.windows(np.stack(list(kinds.values())), POOL_ROW)
    found, expected = many.backend.predict(*windows.inputs), many.reference(windows)
    for at, kind in enumerate(kinds):
        one = many.backend.predict(*windows.take([at]).inputs)
        assert np.array_equal(found[at : at + 1], one), kind
        error = np.abs(np.log1p(found[at].astype(np.float64)) - np.log1p(expected[at]))
        largest = np.log1p(windows.values[at].max())
        assert error.max() < LOG_ROUNDING * (1 + largest), kind
    for wrong in (np.nan, np.inf, -1.0, -2.0):
        broken = np.repeat(many.windows(np.full((1, context), 9.0), POOL_ROW).values, 33, axis=0)
        broken[7, 3, -1] = wrong
        given = many.windows(np.zeros((33, context)), POOL_ROW)
        answers = many.backend.outputs(broken, given.time, given.series)
        for each in answers:
            assert np.isnan(each).all(axis=1).tolist() == [at == 7 for at in range(33)], wrong


def test_the_pools_scale_is_that_of_the_rule_at_and_around_its_least_spread(many: Many) -> None:
    """Windows whose spread runs through LEAST_SPREAD: nothing jumps where the rule changes."""
    context = many.spec.context
    size = np.linspace(0.5 * LEAST_SPREAD, 1.5 * LEAST_SPREAD, 41)[:, np.newaxis]
    waves = np.expm1(4.0 + size * np.sqrt(2) * np.sin(2 * np.pi * np.arange(context) / context * 3))
    windows = many.windows(waves, POOL_ROW)
    found, expected = many.backend.predict(*windows.inputs), many.reference(windows)
    assert np.abs(found - expected).max() / many.table.unit[POOL_ROW] < many.rounding


def test_a_python_stream_over_names_and_the_pool_gives_predicts_bits_and_moves(many: Many) -> None:
    spec, record = many.spec, many.model.record
    manifest = SimpleNamespace(spec=spec, format=2, model_digest="a" * 64, series=record.series)
    loaded = SimpleNamespace(manifest=manifest, backend=many.backend, series=many.table)
    names = ("b", POOL, "a", POOL, "c")
    rows = np.array(many.table.names.rows(names, 5), np.int64)
    values = np.random.default_rng(8).integers(0, 700, (2 * spec.context, 5, spec.measured)).astype(np.float32)
    values[1, 1] = np.nan
    stream = Stream(loaded, series=names)
    by_window = Stream(loaded, series=names, by_window=True)
    for at in range(len(values)):
        now = plain.START_S + at * spec.step_s
        found = stream.push(values[at], timestamp=now)
        assert np.array_equal(found, by_window.push(values[at], timestamp=now), equal_nan=True), at
        if at == spec.context + 4:
            moved = Stream.from_bytes(loaded, stream.to_bytes())
            assert moved.series == names
        if at > spec.context + 4:
            assert np.array_equal(moved.push(values[at], timestamp=now), found), at
    window = np.ascontiguousarray(values[-spec.context :].swapaxes(0, 1))
    times = np.full(5, now) if spec.timed else None
    assert np.array_equal(found, many.backend.predict(window, times, rows))


@pytest.fixture(scope="module")
def table_model() -> ModelDirectory:
    return with_table(directory(plain.make_model(LEVEL_SPEC)), NAMES)


def test_the_self_test_covers_the_pool_and_a_named_series_each_in_its_own_unit(table_model, tmp_path: Path) -> None:
    text = sources(table_model, "native")["model.c"]
    assert "#define GOLDEN 2\n" in text
    scale = table_model.table.scale * np.float32(1.01)
    theirs = sources(replace(table_model, table=replace(table_model.table, scale=scale)), "native")
    pattern = re.compile(r"static const float GOLDEN_FORECASTS.*?;\n", re.DOTALL)
    (tmp_path / "model.c").write_text(pattern.sub(pattern.search(text).group(), theirs["model.c"]), "ascii")
    (tmp_path / "model.h").write_text(theirs["model.h"], "ascii")
    library = str(build(tmp_path, find_compiler(), "-DMODEL_SCALAR", "-O0"))
    assert ctypes.CDLL(library).model_selftest() == 2
    with pytest.raises(EngineError, match="self-test failed"):
        open_library(library, LEVEL_SPEC)


def test_the_table_holds_each_rows_own_numbers_and_the_pools_spread(table_model) -> None:
    found, table, intervals = series_table(table_model), table_model.table, table_model.record.intervals
    assert found.dtype == np.float32
    assert found[POOL_ROW, :2].tolist() == [0.0, table.scale[POOL_ROW, 0]]
    assert np.array_equal(found[:, :2], np.c_[table.offset, table.scale])
    level = intervals.levels.index(intervals.default_level)
    assert np.allclose(found[:, 2:], table.radii[:, level], rtol=0, atol=2e-6)
    assert (found[:, 2:] > table.radii[:, level]).all()  # counts: the slack
    bare = replace(table_model.record, intervals=None)
    assert series_table(replace(table_model, record=bare)).shape == (len(NAMES) + 1, 2)


def test_the_header_says_what_rows_are_only_where_there_is_a_table(table_model, level_model) -> None:
    header = sources(table_model, "native")["model.h"]
    assert "row n is the name on line n of the bundle's series.txt" in header
    assert "a model_state of the pool gives NaN always" in header
    assert "/* of the range of the window's series in training */" in header
    alone = sources(directory(level_model), "native")
    assert "series.txt" not in alone["model.h"]
    assert "#define GOLDEN_SERIES(i) 0\n" in alone["model.c"]


def test_ten_thousand_rows_are_written_fast_compile_and_may_be_as_large_as_they_are(tmp_path: Path) -> None:
    model = with_table(directory(plain.make_model(LEVEL_SPEC)), NAMES)
    count = 10_001
    rows = np.arange(count) % (len(NAMES) + 1)
    names = replace(model.table.names, names=tuple(f"series {n}" for n in range(1, count)))
    table = replace(
        model.table,
        names=names,
        offset=model.table.offset[rows],
        scale=model.table.scale[rows],
        unit=model.table.unit[rows],
        radii=model.table.radii[rows],
    )
    large = replace(model, table=table)
    begun = time.process_time()
    folder = write_sources(large, "native", tmp_path)
    assert time.process_time() - begun < 2
    library = tmp_path / "model.so"
    compile_library(find_compiler(), folder, library, ("-std=c99", "-O0", "-fPIC", "-shared", "-DMODEL_SCALAR"))
    backend = NativeBackend(str(library), LEVEL_SPEC, 1)
    windows = model.heldout.windows
    series = windows.series + 4 * 2400 * (windows.series > 0)  # the same row, far down in the table
    assert series.max() > 9000
    found = backend.predict(windows.values, windows.time, series)
    assert np.array_equal(found, backend.predict(*windows.inputs))
    assert series_bytes(folder) > 4 * count * 3
    assert limit_bytes(LEVEL_SPEC, series_bytes(folder)) == limit_bytes(LEVEL_SPEC) + series_bytes(folder)


@pytest.mark.soak
@pytest.mark.parametrize("target_id", ["native", "native-w8"])
def test_a_library_with_a_table_passes_the_gate(target_id: str, tmp_path: Path) -> None:
    model = with_table(directory(plain.make_model(replace(CHANGE_SPEC, units=(50, 50), network=None))), NAMES)
    folder = write_sources(model, target_id, tmp_path)
    assert native_gate(folder, model.record.spec)[0] == []
