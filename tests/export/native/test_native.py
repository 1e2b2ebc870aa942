"""The native targets, from fitted models: C against the float64 reference, its gate, its cache, its threads."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import plain
from helpers.native_models import (
    INTEGER_PATHS,
    ODD_SPEC,
    build,
    directory,
    require_processor,
    with_small_weights,
    write_sources,
)
from pulsecast.backends.native import BLOCK, NativeBackend
from pulsecast.backends.native_library import (
    CACHE_VARIABLE,
    cache_folder,
    compile_library,
    compiled,
    find_compiler,
    open_library,
)
from pulsecast.bundle.manifest import Artifact
from pulsecast.computing import reference
from pulsecast.errors import EngineError, MissingExtraError
from pulsecast.forecasting.streaming import Stream
from pulsecast.forecasting.verification import check_backend
from pulsecast.model.spec import Feature
from pulsecast.stages.model_directory import ModelDirectory, read_model_directory
from pulsecast_export.native.gate import LIMIT_BYTES, declared, limit_bytes, native_gate, symbol_problems
from pulsecast_export.native.writer import PackedLayer, paired_bias, sources, state_scale
from pulsecast_export.targets import TARGETS, tolerance

pytestmark = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler")

# of the range: float32 arithmetic through two layers, and log1p and its inverse around them
FLOAT32_ROUNDING = 1e-5
OUTPUT_ROUNDING = 1e-4  # of the range: outputs of layers as 16-bit integers
PERTURBATION = 1.2  # of one layer's recurrent weights: the forecast stays plausible, the accuracy is worse


def artifact(target_id: str, model: ModelDirectory) -> Artifact:
    target = TARGETS[target_id]
    return Artifact(
        id=target_id,
        backend="native",
        path=target.path,
        precision=target.precision,
        units="raw",
        max_batch=None,
        tolerance=tolerance(target, model.record.spec),
        parity=plain.NO_PARITY,
    )


# the fitted level has a head of large weights, which makes more of an 8-bit error than training does
CASES = (
    ("odd", "native"),
    ("odd", "native-w8"),
    ("level", "native"),
    ("change", "native"),
    ("change", "native-w8"),
)


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture(scope="module")
def model(case: tuple[str, str], request: pytest.FixtureRequest) -> ModelDirectory:
    if case[0] == "odd":
        return directory(plain.make_model(ODD_SPEC))
    return directory(request.getfixturevalue(f"{case[0]}_model"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def backend(case: tuple[str, str], model: ModelDirectory, cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    opened = NativeBackend(str(_compiled(model, case[1])), model.record.spec, 1)
    opened.artifact = artifact(case[1], model)
    return opened


def _compiled(model: ModelDirectory, target_id: str) -> Path:
    return compiled({name: text.encode() for name, text in sources(model, target_id).items()}, find_compiler())


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


@pytest.mark.parametrize("sums", ["by integers", "of floats"])
def test_8_bit_weights_give_the_same_bits_widened_beforehand_and_in_the_sums(sums, tmp_path):
    model = directory(plain.make_model(ODD_SPEC))
    folder, spec, windows = write_sources(model, "native-w8", tmp_path), model.record.spec, model.heldout.windows
    flags = ("-DMODEL_FLOAT_SUMS",) if sums == "of floats" else ()
    beforehand, within = (
        NativeBackend(str(build(folder, find_compiler(), *flags, flag)), spec, 1)
        for flag in ("-DMODEL_WIDE_BYTES=524288", "-DMODEL_WIDE_BYTES=0")
    )
    for count in (1, 40):
        assert np.array_equal(beforehand.predict(windows[:count]), within.predict(windows[:count])), count


@pytest.mark.parametrize(
    "path",
    [pytest.param(name, marks=() if name in ("avx512", "scalar") else pytest.mark.soak) for name in INTEGER_PATHS],
)
def test_sums_by_integers_are_those_of_floats_but_for_16_bits_of_a_layers_output(path, change_model, tmp_path):
    model = directory(change_model)
    folder, spec, windows = write_sources(model, "native-w8", tmp_path), model.record.spec, model.heldout.windows[:70]
    integers, floats = (
        NativeBackend(str(build(folder, find_compiler(), *require_processor(path), *flags)), spec, 1)
        for flags in ((), ("-DMODEL_FLOAT_SUMS",))
    )
    assert (integers.engine, floats.engine) == (f"native {path}-int16", f"native {path}")
    apart = np.abs(integers.predict(windows) - floats.predict(windows)).max() / model.record.scaler.range
    assert 0 < apart < OUTPUT_ROUNDING


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_gcc_has_no_remark_on_layers_that_fill_their_room(tmp_path):
    spec = replace(plain.LEVEL_SPEC, units=(64, 47), network=None)
    folder = write_sources(directory(plain.make_model(spec)), "native-w8", tmp_path)
    build(folder, "gcc", "-Wall", "-Wextra", "-Werror")  # all instruction sets


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="instruction sets of x86-64")
def test_widened_weights_take_the_stack_that_they_are_allowed(tmp_path):
    folder = write_sources(directory(plain.make_model(ODD_SPEC)), "native-w8", tmp_path)
    first = 4 * 3 * 32 + 2 * 8 * 32  # floats of 3 inputs, pairs of 7 units, in 28 columns padded to 32
    allowed = first + 2 * 8 * 80 + 2 * 20 * 80  # pairs of 7 inputs and of 20 units
    frames = {}
    for limit in (0, allowed - 1, allowed):
        definitions = (f"-DMODEL_WIDE_BYTES={limit}", "-DMODEL_NO_AVX512", "-DMODEL_NO_AVX2")
        command = ["gcc", "-std=c99", "-O2", "-fstack-usage", *definitions, "-c", "model.c"]
        subprocess.run(command, cwd=folder, check=True)
        usage = (folder / "model.su").read_text("ascii")
        frames[limit] = int(re.search(r":stream_settle_sse2\t(\d+)", usage).group(1))
    assert frames[allowed - 1] == frames[0]
    assert allowed <= frames[allowed] - frames[0] < allowed + 1024


def test_an_output_is_scaled_so_that_no_column_of_weights_takes_a_sum_past_32_bits():
    def layer(units: int, value: int, inputs: int = 1) -> PackedLayer:
        matrices = [np.full((rows, 16), value, np.int8) for rows in (inputs, units)]
        zeros = np.zeros(16, np.float32)
        return PackedLayer(
            inputs=inputs, units=units, columns=16, kernel=matrices[0], recurrent=matrices[1], bias=zeros
        )

    assert state_scale([layer(516, -127)]) == 32767  # 516 * 127 * 32767 is just below 2^31
    assert state_scale([layer(517, -127)]) == (2**31 - 1) // (517 * 127) < 32767
    assert state_scale([layer(4096, 1)]) == 32767
    assert state_scale([layer(50, 127, inputs=4096)]) == 32767  # the first layer's inputs are not summed by integers
    assert state_scale([layer(50, 1), layer(50, 127, inputs=4096)]) == (2**31 - 1) // (4096 * 127)
    assert state_scale([layer(50, 0)]) == 32767


@pytest.mark.slow
@pytest.mark.soak
def test_sums_of_the_largest_8_bit_weights_stay_within_32_bits(tmp_path):
    units, spec = 600, replace(plain.LEVEL_SPEC, units=(600,), network=None)
    made = plain.make_model(spec)
    (first,) = made.weights.layers
    # every weight of a column is the largest that 8 bits hold; the cells fill up, and the units put out 0.97
    bias = np.repeat([20.0, 20.0, 20.0, 3.0], units)  # i, f, c, o
    recurrent = np.full_like(first.recurrent, 1e-3)
    layer = replace(first, kernel=np.zeros_like(first.kernel), recurrent=recurrent, bias=bias.astype(np.float32))
    model = directory(replace(made, weights=replace(made.weights, layers=(layer,))))
    folder = write_sources(model, "native-w8", tmp_path)
    window = model.heldout.windows[:1]
    found = NativeBackend(str(build(folder, find_compiler())), spec, 1).predict(window)
    expected = reference.forecast(spec, model.record.scaler, model.weights, window.astype(np.float64))
    assert np.abs(found - expected).max() / model.record.scaler.range < OUTPUT_ROUNDING


# what the compiler is told to build for, what is left out, what of x86-64 then runs, and which flags a processor needs
BUILD_TIME = {
    "avx512": (("-mavx512f", "-DMODEL_PAIRS=0"), ("-DMODEL_PAIRS=0",), "avx512f"),
    "avx2": (("-mavx2", "-mfma"), ("-DMODEL_NO_AVX512",), "fma"),
    "avx2, AVX-512 left out": (("-mavx512f", "-mfma", "-DMODEL_NO_AVX512"), ("-DMODEL_NO_AVX512",), "avx512f"),
    "sse2": ((), ("-DMODEL_NO_AVX512", "-DMODEL_NO_AVX2"), "sse2"),
    "sse2, AVX2 left out": (("-mavx2", "-mfma", "-DMODEL_NO_AVX2"), ("-DMODEL_NO_AVX512", "-DMODEL_NO_AVX2"), "fma"),
}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="instruction sets of x86-64")
@pytest.mark.parametrize("case", BUILD_TIME)
def test_a_library_of_one_instruction_set_gives_the_bits_of_the_one_that_chooses(case, level_model, tmp_path):
    compiler, (flags, left_out, needed) = find_compiler(), BUILD_TIME[case]
    if needed not in Path("/proc/cpuinfo").read_text("ascii", "replace").split():
        pytest.skip(f"this processor has no {needed}")
    folder = write_sources(directory(level_model), "native", tmp_path)
    alone = build(folder, compiler, "-Werror", *flags, "-DMODEL_BUILD_TIME")
    chosen = build(folder, compiler, *left_out)
    backends = [NativeBackend(str(library), level_model.spec, 1) for library in (alone, chosen)]
    assert [backend.engine for backend in backends] == [f"native {case.partition(',')[0]}"] * 2
    windows = level_model.windows[:40]
    np.testing.assert_array_equal(backends[0].predict(windows), backends[1].predict(windows))
    assert alone.stat().st_size < build(folder, compiler).stat().st_size


@pytest.fixture(params=["level", "change"])
def small_model(request, level_model, change_model):
    """Return a model whose weights are small enough for sums by pairs, as training makes them."""
    return with_small_weights({"level": level_model, "change": change_model}[request.param])


def test_sums_by_pairs_are_those_of_single_products_and_the_same_however_a_window_comes(small_model, tmp_path):
    folder = write_sources(directory(small_model), "native", tmp_path)
    windows = small_model.windows[:70]
    found = {}
    for path in ("avx512", "avx512-pairs"):
        library = build(folder, find_compiler(), *require_processor(path))
        backend = NativeBackend(str(library), small_model.spec, 1)
        assert backend.engine == f"native {path}"
        found[path] = backend.predict(windows)
    assert not np.array_equal(*found.values())  # both were there: they round differently
    apart = np.abs(found["avx512"] - found["avx512-pairs"]).max()
    assert apart < FLOAT32_ROUNDING * small_model.scaler.range
    # `backend` is the one that sums by pairs: alone, in a stream, and step by step it gives the bits of the batch
    for row in (0, 69):
        np.testing.assert_array_equal(backend.predict(windows[row : row + 1])[0], found["avx512-pairs"][row])
    manifest = SimpleNamespace(spec=small_model.spec)
    stream = Stream(manifest.spec, "native", backend, 1)
    for step in (*windows[5][::-1], *windows[0]):
        last = stream.push(step)
    np.testing.assert_array_equal(last[0], found["avx512-pairs"][0])
    np.testing.assert_array_equal(_stepped(backend.library, windows[0], small_model.spec.horizon), last[0])


def _stepped(library, window, horizon):
    """Return the forecast (horizon,) of `model_step` after every step of a window."""
    state, forecast = np.zeros(library.model_info(0), np.uint8), np.zeros(horizon, np.float32)
    library.model_reset(ctypes.c_void_p(state.ctypes.data))
    for step in np.ascontiguousarray(window, np.float32):
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (state, step, forecast)]
        library.model_step(*pointers)
    return forecast


def test_large_weights_are_not_summed_by_pairs(small_model, tmp_path):
    first, *others = small_model.weights.layers
    large = replace(first, recurrent=first.recurrent * np.float32(16))
    model = replace(small_model, weights=replace(small_model.weights, layers=(large, *others)))
    folder = write_sources(directory(model), "native", tmp_path)
    library = build(folder, find_compiler(), *require_processor("avx512-pairs"))
    assert NativeBackend(str(library), model.spec, 1).engine == "native avx512"


def test_the_bias_for_pairs_lacks_the_product_of_two_weights_of_every_three():
    recurrent = np.arange(1.0, 9.0, dtype=np.float32)[:, np.newaxis] * np.ones(16, np.float32)  # (8, 16): two triples
    kernel = np.full((3, 16), 10.0, np.float32)  # one triple
    bias = np.full(16, 1000.0, np.float32)
    layer = PackedLayer(inputs=3, units=8, columns=16, kernel=kernel, recurrent=recurrent, bias=bias)
    np.testing.assert_array_equal(paired_bias(layer, kernel_too=False), np.full(16, 1000.0 - 1 * 2 - 4 * 5, np.float32))
    np.testing.assert_array_equal(paired_bias(layer, kernel_too=True), np.full(16, 1000.0 - 22 - 100, np.float32))


def test_several_threads_give_the_bits_of_one(backend, model):
    windows = np.concatenate([model.heldout.windows] * 3)  # more than threads * BLOCK, and no multiple of it
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
    opened = NativeBackend(str(_built(model, "native", tmp_path)), model.record.spec, 1)
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
    spec, golden, row = trained.record.spec, plain.from_directory(trained).golden(), artifact(target_id, trained)
    first, *others = trained.weights.layers
    wrong = replace(first, recurrent=(first.recurrent * PERTURBATION).astype(np.float32))
    perturbed = replace(trained, weights=replace(trained.weights, layers=(wrong, *others)))
    plausible = NativeBackend(
        str(_built(perturbed, target_id, tmp_path / "wrong")), spec, 1
    )  # it computes what it was made from, and its self-test says so
    failed = [check.name for check in check_backend(plausible, trained.record, row, golden) if not check.passed]
    if target_id == "native":  # the limits of 8-bit weights are wider than what this does to some series
        assert "largest error / range" in failed
    mixed = write_sources(perturbed, target_id, tmp_path / "mixed")
    _swap_golden(mixed, sources(trained, target_id)["model.c"])
    with pytest.raises(EngineError, match="self-test failed; it does not compute this model"):
        open_library(str(build(mixed, find_compiler())), spec)
    sound = NativeBackend(str(_built(trained, target_id, tmp_path / "sound")), spec, 1)
    assert [check for check in check_backend(sound, trained.record, row, golden) if not check.passed] == []


def _swap_golden(folder: Path, other: str) -> None:
    """Give the source in `folder` the reference forecasts of another one."""
    pattern = re.compile(r"static const float GOLDEN_FORECASTS.*?;\n", re.DOTALL)
    own = (folder / "model.c").read_text("ascii")
    (folder / "model.c").write_text(pattern.sub(pattern.search(other).group(), own), "ascii")


def _built(model: ModelDirectory, target_id: str, folder: Path) -> Path:
    return build(write_sources(model, target_id, folder), find_compiler())


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["textbook", "recommended"])
@pytest.mark.parametrize("target_id", ["native", "native-w8"])
def test_a_trained_model_passes_the_gate_below_200_kilobytes(recipe, target_id, request, tmp_path, monkeypatch):
    trained = read_model_directory(request.getfixturevalue(f"{recipe}_model"))
    folder = write_sources(trained, target_id, tmp_path)
    assert limit_bytes(trained.record.spec) == LIMIT_BYTES
    problems, census = native_gate(folder, trained.record.spec)
    assert problems == []
    assert int(census.split()[2]) <= LIMIT_BYTES
    monkeypatch.setattr("pulsecast_export.native.gate.LIMIT_BYTES", 50_000)
    problems, _ = native_gate(folder, trained.record.spec)
    assert re.fullmatch(r"the library has \d+ bytes; at most 50000 for this model", "; ".join(problems))


def test_a_larger_model_may_have_its_numbers_and_its_code():
    larger = replace(plain.LEVEL_SPEC, units=(128, 64), network=None)
    numbers = 4 * ((1 + 128 + 2) * 512 + (128 + 64 + 2) * 256 + 65 + (50 + 1))
    assert limit_bytes(larger) == numbers + 72_000 + 26_000


@pytest.mark.skipif(shutil.which("nm") is None, reason="no nm")
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("#include <math.h>\n", ""),
        (
            "#include <math.h>\nMODEL_API float model_extra(float x) { return expf(x); }\n",
            "symbols that differ from model.h: model_extra; functions needed from elsewhere: expf",
        ),
        (
            "#include <stdlib.h>\nMODEL_API void *model_extra(size_t n) { return malloc(n); }\n",
            "symbols that differ from model.h: model_extra; functions needed from elsewhere: malloc",
        ),
    ],
    ids=["clean", "libm", "malloc"],
)
def test_the_gate_refuses_a_library_that_needs_libm_or_malloc(body, problem, level_model, tmp_path):
    folder = write_sources(directory(level_model), "native", tmp_path)
    with (folder / "model.c").open("a", encoding="ascii") as file:
        file.write(f"#ifdef CHOOSE /* not where the file includes itself */\n{body}#endif\n")
    library = build(folder, find_compiler(), "-fno-builtin")
    assert "; ".join(symbol_problems(library, declared(folder / "model.h"))) == problem
    problems, _ = native_gate(folder, level_model.spec)
    assert "; ".join(problems) == problem


def test_the_same_model_gives_the_same_source(model):
    assert sources(model, "native") == sources(model, "native")


def test_without_a_compiler_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(MissingExtraError, match="install a C compiler, or load another backend"):
        find_compiler()


@pytest.mark.parametrize(
    ("program", "remark"),
    [
        ("false", "the C compiler false failed on model.c: exit code 1, without a message"),
        ("true", "the C compiler true reported success but wrote no library"),
    ],
)
def test_a_compiler_that_makes_nothing_is_named(program, remark, tmp_path):
    with pytest.raises(EngineError, match=remark):
        compile_library([shutil.which(program)], tmp_path, tmp_path / "model.so")


COMPILE = """
import sys
from pathlib import Path
from pulsecast.backends.native_library import compiled, find_compiler
folder = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(compiled({name: (folder / name).read_bytes() for name in ("model.c", "model.h")}, find_compiler()))
"""


@pytest.mark.slow
def test_processes_that_compile_one_source_at_once_get_one_whole_library(level_model, tmp_path):
    folder = write_sources(directory(level_model), "native", tmp_path / "source")
    environment = os.environ | {CACHE_VARIABLE: str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", COMPILE, str(folder)]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) for _ in range(3)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:  # all have imported and wait: they compile at the same time
        worker.stdin.write("\n")
        worker.stdin.flush()
    answers = [worker.communicate()[0].strip() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    (library,) = (tmp_path / "cache" / "native").iterdir()  # nothing unfinished is left
    assert answers == [str(library)] * 3
    assert open_library(str(library), level_model.spec).model_selftest() == 0


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o750, 0o701])
def test_a_cache_that_is_open_to_others_is_refused(mode, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    (tmp_path / "native").mkdir()
    (tmp_path / "native").chmod(mode)
    with pytest.raises(EngineError, match=rf"is open to others \(mode {mode:o}; expected 700\)"):
        cache_folder()


def test_a_cache_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    owner = os.getuid()
    cache_folder()
    monkeypatch.setattr("os.getuid", lambda: owner + 1)  # to this user the folder is a stranger's
    with pytest.raises(EngineError, match="belongs to another user, so a library in it cannot be trusted"):
        cache_folder()


def test_a_link_is_no_cache_and_a_new_cache_is_private(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "new"))
    assert cache_folder().stat().st_mode & 0o777 == 0o700
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "native").symlink_to(tmp_path / "new" / "native")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "linked"))
    with pytest.raises(EngineError, match="is not a folder"):
        cache_folder()
