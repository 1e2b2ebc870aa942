"""The linear path in C: its folded kernel, its calendar at any time, its place beside layers or alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import plain
from helpers.native_calls import NativeState, NativeStreams
from helpers.native_models import (
    FLOAT32_ROUNDING,
    ODD_PATH,
    ODD_SPEC,
    PATHS,
    build,
    directory,
    require_c,
    require_processor,
    write_sources,
)
from helpers.series_models import with_table
from pulsecast.backends.native import NativeBackend
from pulsecast.backends.native_library import find_compiler, open_library
from pulsecast.computing import reference
from pulsecast.computing.linear_path import linear_inputs
from pulsecast.errors import EngineError, UsageError
from pulsecast.model.linear import Linear, Wave
from pulsecast.model.network import Network, plain_stack
from pulsecast.model.spec import DAY_S, WEEK_S, YEAR_1, YEAR_10000, Channel, Feature, ModelSpec
from pulsecast.model.windows import Windows
from pulsecast.stages.model_directory import ModelDirectory
from pulsecast_export.linear_kernel import folded
from pulsecast_export.native.gate import limit_bytes, native_gate, series_bytes
from pulsecast_export.native.writer import sources
from pulsecast_export.targets import fitting

require_c()

FAST = ("-DMODEL_SCALAR", "-O0")  # compiles in a third of a second
COLUMNS = (Feature(name="value"), Feature(name="other"), ODD_SPEC.features[1])
CHANNELS = (*(Channel(feature=i) for i in range(3)), Channel(feature=1, lag=3))


def _alone(linear: Linear, **changes: object) -> ModelSpec:
    return replace(ODD_SPEC, **{"units": (), "network": Network(recurrent=(), linear=linear), **changes})


def _beside(linear: Linear, **changes: object) -> ModelSpec:
    return replace(ODD_SPEC, **{"units": (5,), "network": plain_stack((5,), linear), **changes})


LONGEST = Wave(period_s=2**31 - 1, multiple=64)
SPECS = {
    "alone": _alone(ODD_PATH, features=COLUMNS, channels=CHANNELS),
    "alone, without a calendar": _alone(Linear(lags=2), features=COLUMNS[:2], channels=CHANNELS[:2], window=3),
    "the weekend of many steps": _beside(Linear(lags=4, weekend_waves=0), horizon=70, step_s=50_000),
    "waves of one step": _beside(
        Linear(lags=16, season=2, waves=(LONGEST, Wave(period_s=1), *ODD_PATH.waves)), horizon=1, step_s=10_000_019
    ),
    "a window of one step": _beside(replace(ODD_PATH, lags=2, season=2), window=1),
    "without a calendar": _beside(
        Linear(lags=13, season=12), features=COLUMNS[:2], channels=(*CHANNELS[:2], CHANNELS[3]), horizon=3
    ),
}
PERTURBATION = 0.1  # of each weight of a kernel: the forecast stays plausible


def _opened(model: ModelDirectory, folder: Path, *flags: str) -> NativeBackend:
    write_sources(model, "native", folder)
    library = build(folder, find_compiler(), "-Wall", "-Wextra", "-Werror", *flags)
    return NativeBackend(str(library), model.record.spec, 1)


def _error(model: ModelDirectory, found: NDArray[np.float32], windows: Windows) -> float:
    expected = reference.forecast(model.record.spec, model.scaling, model.weights, windows)
    return float(np.abs(found - expected).max() / model.record.scaler.range)


@pytest.fixture(scope="module", params=SPECS)
def model(request: pytest.FixtureRequest) -> ModelDirectory:
    return directory(plain.make_model(SPECS[request.param]))


@pytest.fixture(scope="module", params=["fast", *(pytest.param(path, marks=pytest.mark.soak) for path in PATHS)])
def backend(request: pytest.FixtureRequest, model: ModelDirectory, tmp_path_factory: pytest.TempPathFactory):
    flags = FAST if request.param == "fast" else require_processor(request.param)
    return _opened(model, tmp_path_factory.mktemp("linear"), *flags)


@pytest.mark.parametrize("linear", [ODD_PATH, Linear(lags=13), Linear(lags=3, season=2, weekend_waves=0)])
@pytest.mark.parametrize("measured", [1, 3])
def test_the_folded_kernel_weighs_values_as_the_paths_own_weighs_differences(linear: Linear, measured: int) -> None:
    features = (*(Feature(name=f"column {i}") for i in range(measured)), ODD_SPEC.features[1])
    spec = _beside(linear, features=features, channels=tuple(Channel(feature=i) for i in range(measured + 1)))
    rng = np.random.default_rng(2)
    kernel = rng.standard_normal((linear.inputs(measured), spec.horizon)).astype(np.float32)
    scaled, time = rng.standard_normal((20, spec.context, measured + 1)), plain.START_S + 40_000 * np.arange(20)
    inputs = linear_inputs(spec, linear, scaled, time)  # (n, inputs, horizon)
    part = {name: inputs[:, rows] for name, rows in linear.parts(measured).items()}
    steps = scaled[:, -linear.steps :, 0, np.newaxis].repeat(spec.horizon, axis=2)
    columns = scaled[:, -2:, 1:measured, np.newaxis].repeat(spec.horizon, axis=3)
    before = (part["weekend"], part["bias"], part["waves"], steps[:, :-1], columns[:, 0], part["bends"][:, 5:])
    values = np.concatenate([*before, steps[:, -1:], columns[:, 1], part["bends"][:, :5]], axis=1)
    expected = np.einsum("nih,ih->nh", inputs, kernel)
    np.testing.assert_allclose(np.einsum("nih,ih->nh", values, folded(linear, kernel, measured)), expected, atol=3e-6)


def test_windows_alone_and_in_a_batch_are_forecast_as_the_reference_does(backend: NativeBackend, model) -> None:
    windows = model.heldout.windows
    found = backend.outputs(*windows.inputs)
    assert _error(model, found[0], windows) < FLOAT32_ROUNDING
    for row in range(0, len(windows), 7):
        for together, alone in zip(found, backend.outputs(*windows.take([row]).inputs), strict=True):
            assert np.array_equal(together[row], alone[0]), row


def test_a_stream_and_a_state_give_the_bits_of_windows(backend: NativeBackend, model) -> None:
    spec, library = model.record.spec, backend.library
    streams, alone, state = NativeStreams(library, spec, 20), NativeStreams(library, spec), NativeState(library, spec)
    values = np.random.default_rng(6).integers(0, 900, (2 * spec.context + 3, 20, spec.measured)).astype(np.float32)
    gap = spec.context + 2  # 3 steps are missing before this one
    for at in range(len(values)):
        time = plain.START_S + (at + 3 * (at >= gap)) * spec.step_s
        found, one = streams.push(values[at], time), alone.push(values[at, 7], time)
        stepped = state.step(values[at, 7], time)
        if at % 3 == 0:
            streams.settle()
        whole = spec.context <= at + 1 <= gap or at + 1 >= gap + spec.context
        assert (found.code, one.code) == ((0, 0) if whole else (20, 1)), at
        if not whole:
            continue
        window = np.ascontiguousarray(values[at + 1 - spec.context : at + 1].swapaxes(0, 1))
        expected = backend.outputs(window, np.full(20, time) if spec.timed else None)
        assert all(np.array_equal(a, b) for a, b in zip(found[1:], expected, strict=True)), at
        assert np.array_equal(one.forecast, found.forecast[7:8]), at
        if at + 1 == spec.context:
            assert np.array_equal(stepped.forecast, one.forecast)


def test_the_calendar_of_the_path_holds_at_any_time(backend: NativeBackend, model) -> None:
    spec = model.record.spec
    if not spec.timed:
        return
    edges = [0, -1, -WEEK_S, DAY_S, 2 * DAY_S, 4 * DAY_S, YEAR_1, YEAR_10000 - 1, 4_102_444_800]
    times = np.array([edge + apart for edge in edges for apart in (-spec.step_s, -1, 0, 1, spec.step_s)])
    times = times[(times >= YEAR_1) & (times < YEAR_10000)]
    rows = np.zeros(len(times), np.int64)
    windows = Windows(values=model.heldout.windows.take(rows).values, time=times)
    found = backend.predict(*windows.inputs)
    assert _error(model, found, windows) < FLOAT32_ROUNDING
    assert len(np.unique(found)) > 3
    for time in (1_736_121_600_000, YEAR_1 - 1, YEAR_10000, -(2**63)):
        assert np.isnan(backend.predict(windows.values[:1], np.array([time]))).all(), time


def test_a_broken_step_gives_nan_wherever_the_path_reads_it(backend: NativeBackend, model) -> None:
    windows = model.heldout.windows.take(slice(20))
    clean = backend.predict(*windows.inputs)
    for step in range(model.record.spec.context):
        values = windows.values.copy()
        values[3, step, -1] = np.nan if step % 2 else np.inf
        found = backend.predict(*windows.changed(values).inputs)
        assert np.isnan(found[3]).all(), step
        assert np.array_equal(np.delete(found, 3, axis=0), np.delete(clean, 3, axis=0)), step


@pytest.mark.parametrize("name", ["alone", "waves of one step"])
def test_a_perturbed_kernel_fails_the_self_test(name: str, tmp_path: Path) -> None:
    model = directory(plain.make_model(SPECS[name]))
    factors = np.random.default_rng(1).normal(1, PERTURBATION, model.weights.linear.shape)
    kernel = (model.weights.linear * factors).astype(np.float32)
    write_sources(replace(model, weights=replace(model.weights, linear=kernel)), "native", tmp_path)
    pattern = re.compile(r"static const float GOLDEN_FORECASTS.*?;\n", re.DOTALL)
    own, right = (tmp_path / "model.c").read_text("ascii"), sources(model, "native")["model.c"]
    (tmp_path / "model.c").write_text(pattern.sub(pattern.search(right).group(), own), "ascii")
    with pytest.raises(EngineError, match="self-test failed"):
        open_library(str(build(tmp_path, find_compiler(), *FAST)), model.record.spec)


@pytest.mark.parametrize("own", [True, False], ids=["of its own", "of all"])
def test_several_series_have_a_path_alone_each(own: bool, tmp_path: Path) -> None:
    model = with_table(directory(plain.make_model(SPECS["alone"])))
    if not own:
        model = replace(model, table=replace(model.table, linear=None))
    windows, unit = model.heldout.windows, model.heldout.unit
    backend = _opened(model, tmp_path, *FAST)
    expected = reference.forecast(model.record.spec, model.table, model.weights, windows)
    found = backend.predict(*windows.inputs)
    assert (np.abs(found - expected) / unit[:, np.newaxis]).max() < FLOAT32_ROUNDING
    if not own:
        assert "#define PATH_KERNELS 1 " in (tmp_path / "model.c").read_text("ascii")
    kernels = 4 * 4 * 2 * folded(ODD_PATH, model.weights.linear, 2).shape[0]  # 4 rows, horizon 2
    shared = write_sources(replace(model, table=replace(model.table, linear=None)), "native", tmp_path / "shared")
    assert series_bytes(tmp_path) - series_bytes(shared) == (kernels if own else 0)


def test_a_path_without_layers_passes_the_gate_and_says_what_it_is(tmp_path: Path) -> None:
    model = directory(plain.make_model(SPECS["alone"]))
    folder = write_sources(model, "native", tmp_path)
    assert native_gate(folder, model.record.spec)[0] == []
    assert "a linear forecaster in portable C99" in (folder / "model.h").read_text("ascii")


def test_8_bit_weights_of_a_path_without_layers_are_refused() -> None:
    spec = SPECS["alone"]
    chosen, reasons = fitting((), ("native", "native-w8"), spec, many=False)
    assert chosen == ("native",)
    assert "native-w8 exists for a model with recurrent layers only" in reasons[0]
    with pytest.raises(UsageError, match="native-w8 exists for a model with recurrent layers only"):
        fitting(("native-w8",), ("native-w8",), spec, many=False)


def test_a_librarys_limit_counts_the_numbers_of_its_path() -> None:
    bare = replace(plain.CHANGE_SPEC, units=(128, 64), network=None)
    beside = replace(bare, network=plain_stack((128, 64), plain.LINEAR))
    assert limit_bytes(beside) - limit_bytes(bare) == 4 * 2 * (50 + 6 + 26 + 9 + 1)
