"""The sums of the native targets: by pairs, of 8-bit weights, on one instruction set or another."""

from __future__ import annotations

import platform
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require_tool
from helpers.native_calls import NativeState, NativeStreams, steps_of
from helpers.native_models import (
    FLOAT32_ROUNDING,
    HERE,
    INTEGER_PATHS,
    ODD_SPEC,
    OUTPUT_ROUNDING,
    build,
    directory,
    require_c,
    require_processor,
    with_small_weights,
    write_sources,
)
from pulsecast.backends.native import NativeBackend
from pulsecast.backends.native_library import (
    find_compiler,
)
from pulsecast.computing import reference
from pulsecast_export.native.layers import PackedLayer, paired_bias, state_scale

require_c()


def alone(path: str) -> tuple[str, ...]:
    """Return the flags that leave out all instruction sets except `path`, which is the best of those left."""
    return HERE if path.startswith("avx512") else ()


@pytest.mark.parametrize("sums", ["by integers", "of floats"])
def test_8_bit_weights_give_the_same_bits_widened_beforehand_and_in_the_sums(sums, tmp_path):
    model = directory(plain.make_model(ODD_SPEC))
    folder, spec, windows = write_sources(model, "native-w8", tmp_path), model.record.spec, model.heldout.windows
    flags = (*HERE, *(("-DMODEL_FLOAT_SUMS",) if sums == "of floats" else ()))
    beforehand, within = (
        NativeBackend(str(build(folder, find_compiler(), *flags, flag)), spec, 1)
        for flag in ("-DMODEL_WIDE_BYTES=524288", "-DMODEL_WIDE_BYTES=0")
    )
    for count in (1, 40):
        some = windows.take(slice(count))
        assert np.array_equal(beforehand.predict(*some.inputs), within.predict(*some.inputs)), count


@pytest.mark.parametrize(
    "path",
    [pytest.param(name, marks=() if name in ("avx512", "scalar") else pytest.mark.soak) for name in INTEGER_PATHS],
)
def test_sums_by_integers_equal_those_of_floats_except_for_16_bit_layer_outputs(path, change_model, tmp_path):
    model = directory(change_model)
    folder, spec, windows = (
        write_sources(model, "native-w8", tmp_path),
        model.record.spec,
        model.heldout.windows.take(slice(70)),
    )
    integers, floats = (
        NativeBackend(str(build(folder, find_compiler(), *require_processor(path), *alone(path), *flags)), spec, 1)
        for flags in ((), ("-DMODEL_FLOAT_SUMS",))
    )
    assert (integers.engine, floats.engine) == (f"native {path}-int16", f"native {path}")
    apart = (
        np.abs(integers.predict(*windows.inputs) - floats.predict(*windows.inputs)).max() / model.record.scaler.range
    )
    assert 0 < apart < OUTPUT_ROUNDING


def test_gcc_has_no_remark_on_layers_that_fill_their_room(tmp_path):
    gcc = require_tool("gcc")
    spec = replace(plain.LEVEL_SPEC, units=(64, 47), network=None)
    folder = write_sources(directory(plain.make_model(spec)), "native-w8", tmp_path)
    build(folder, gcc, "-Wall", "-Wextra", "-Werror")  # all instruction sets


@pytest.mark.skipif(platform.machine() != "x86_64", reason="instruction sets of x86-64")
def test_widened_weights_take_the_stack_that_they_are_allowed(tmp_path):
    gcc = require_tool("gcc")
    folder = write_sources(directory(plain.make_model(ODD_SPEC)), "native-w8", tmp_path)
    first = 4 * 3 * 32 + 2 * 8 * 32  # floats of 3 inputs, pairs of 7 units, in 28 columns padded to 32
    allowed = first + 2 * 8 * 80 + 2 * 20 * 80  # pairs of 7 inputs and of 20 units
    frames = {}
    for limit in (0, allowed - 1, allowed):
        definitions = (f"-DMODEL_WIDE_BYTES={limit}", "-DMODEL_NO_AVX512", "-DMODEL_NO_AVX2")
        command = [gcc, "-std=c99", "-O2", "-fstack-usage", *definitions, "-c", "model.c"]
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
    window = model.heldout.windows.take(slice(1))
    found = NativeBackend(str(build(folder, find_compiler())), spec, 1).predict(*window.inputs)
    expected = reference.forecast(spec, model.record.scaler, model.weights, window)
    assert np.abs(found - expected).max() / model.record.scaler.range < OUTPUT_ROUNDING


# the compiler's target, the excluded paths, the path that then runs on x86-64, and the flags that a processor needs
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
    windows = level_model.windows.take(slice(40))
    np.testing.assert_array_equal(backends[0].predict(*windows.inputs), backends[1].predict(*windows.inputs))
    assert alone.stat().st_size < build(folder, compiler).stat().st_size


@pytest.fixture(params=["level", "change"])
def small_model(request, level_model, change_model):
    """Return a model whose weights are small enough for sums by pairs, as training makes them."""
    return with_small_weights({"level": level_model, "change": change_model}[request.param])


def test_sums_by_pairs_are_those_of_single_products_and_the_same_however_a_window_comes(small_model, tmp_path):
    folder = write_sources(directory(small_model), "native", tmp_path)
    windows = small_model.windows.take(slice(70))
    found = {}
    for path in ("avx512", "avx512-pairs"):
        library = build(folder, find_compiler(), *require_processor(path), *HERE)
        backend = NativeBackend(str(library), small_model.spec, 1)
        assert backend.engine == f"native {path}"
        found[path] = backend.predict(*windows.inputs)
    assert not np.array_equal(*found.values())  # both were there: they round differently
    apart = np.abs(found["avx512"] - found["avx512-pairs"]).max()
    assert apart < FLOAT32_ROUNDING * small_model.scaler.range
    # `backend` is the one that sums by pairs: alone, in a stream, and step by step it gives the bits of the batch
    for row in (0, 69):
        np.testing.assert_array_equal(backend.predict(*windows.take([row]).inputs)[0], found["avx512-pairs"][row])
    streams, state = NativeStreams(backend.library, small_model.spec), NativeState(backend.library, small_model.spec)
    for step, time in steps_of(small_model.spec, windows.take([0])):
        pushed, stepped = streams.push(step, time), state.step(step, time)
    np.testing.assert_array_equal(pushed.forecast[0], found["avx512-pairs"][0])
    np.testing.assert_array_equal(stepped.forecast[0], found["avx512-pairs"][0])


def test_large_weights_are_not_summed_by_pairs(small_model, tmp_path):
    first, *others = small_model.weights.layers
    large = replace(first, recurrent=first.recurrent * np.float32(16))
    model = replace(small_model, weights=replace(small_model.weights, layers=(large, *others)))
    folder = write_sources(directory(model), "native", tmp_path)
    library = build(folder, find_compiler(), *require_processor("avx512-pairs"), *HERE)
    assert NativeBackend(str(library), model.spec, 1).engine == "native avx512"


def test_the_bias_for_pairs_lacks_the_product_of_two_weights_of_every_three():
    recurrent = np.arange(1.0, 9.0, dtype=np.float32)[:, np.newaxis] * np.ones(16, np.float32)  # (8, 16): two triples
    kernel = np.full((3, 16), 10.0, np.float32)  # one triple
    bias = np.full(16, 1000.0, np.float32)
    layer = PackedLayer(inputs=3, units=8, columns=16, kernel=kernel, recurrent=recurrent, bias=bias)
    np.testing.assert_array_equal(paired_bias(layer, kernel_too=False), np.full(16, 1000.0 - 1 * 2 - 4 * 5, np.float32))
    np.testing.assert_array_equal(paired_bias(layer, kernel_too=True), np.full(16, 1000.0 - 22 - 100, np.float32))
