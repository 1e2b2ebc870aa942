"""Every instruction set and compiler against the golden of trained models; memory and arithmetic under sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require_tool
from helpers.native_calls import NativeState, NativeStreams, steps_of
from helpers.native_models import (
    COMPILERS,
    ODD_SPEC,
    PATHS,
    artifact,
    build,
    directory,
    isa,
    require_emulator,
    require_processor,
    write_sources,
)
from pulsecast.backends.native import NativeBackend
from pulsecast.forecasting.checks import check_backend
from pulsecast.stages.model_directory import ModelDirectory, read_model_directory

pytestmark = [pytest.mark.slow, pytest.mark.soak]

# Runs every exported function: the self-test, blocks that are whole and partly filled, a state, and as many streams as
# fill a block, with a gap, a late step, and a stream that is rebuilt from what another one saved.
MAIN = """
#include "model.h"
#include <stdio.h>
enum { WINDOWS = 70, STREAMS = 37, SIZE = MODEL_CONTEXT * MODEL_MEASURED };
static float windows[WINDOWS][SIZE], batch[3][WINDOWS][MODEL_HORIZON], one[3][MODEL_HORIZON];
static int64_t times[WINDOWS];
static model_state state;
static model_stream streams[STREAMS], rebuilt;
static int differ;
static void compare(const float *forecast, const float *lower, const float *upper, int window) {
    int j;
    for (j = 0; j < MODEL_HORIZON; j++) {
        differ += forecast[j] != batch[0][window][j];
        if (MODEL_RESULTS > 1) differ += lower[j] != batch[1][window][j];
        if (MODEL_RESULTS > 1) differ += upper[j] != batch[2][window][j];
    }
}
static void push(int64_t time, size_t step, int compared) {
    static float rows[STREAMS][MODEL_MEASURED], out[3][STREAMS][MODEL_HORIZON];
    size_t n, j;
    for (n = 0; n < STREAMS; n++)
        for (j = 0; j < MODEL_MEASURED; j++) rows[n][j] = windows[n][step * MODEL_MEASURED + j];
    model_stream_push(streams, STREAMS, rows[0], time, out[0][0], out[1][0], out[2][0]);
    for (n = 0; compared && n < STREAMS; n++) compare(out[0][n], out[1][n], out[2][n], (int)n);
}
int main(void) {
    size_t counts[] = {1, 3, 4, 7, 8, 13, 16, 31, 32, 33, WINDOWS}, n, i, j;
    const int64_t end = 1736121600, begin = end - (int64_t)(MODEL_CONTEXT - 1) * MODEL_STEP_SECONDS;
    static float saved[SIZE];
    int64_t last;
    for (i = 0; i < WINDOWS; i++) {
        times[i] = i < STREAMS ? end : end + (int64_t)i * 40000;
        for (j = 0; j < SIZE; j++) windows[i][j] = (float)((i * 7 + j * 3) % 11);
    }
    for (n = 0; n < sizeof counts / sizeof *counts; n++) {
        model_predict_batch(windows[0], times, NULL, counts[n], batch[0][0], batch[1][0], batch[2][0]);
        for (i = 0; i < counts[n]; i++) {
            model_predict(windows[i], times[i], 0, one[0], one[1], one[2]);
            compare(one[0], one[1], one[2], (int)i);
        }
    }
    model_reset(&state, 0);
    for (i = 0; i < MODEL_CONTEXT; i++)
        model_step(&state, windows[2] + i * MODEL_MEASURED, begin + (int64_t)i * MODEL_STEP_SECONDS, one[0], one[1],
                   one[2]);
    compare(one[0], one[1], one[2], 2);
    for (i = 0; i < STREAMS; i++) model_stream_reset(streams + i, 0);
    for (i = 0; i < 5; i++) push(begin + ((int64_t)i - 1000) * MODEL_STEP_SECONDS, i, 0);
    for (i = 0; i < MODEL_CONTEXT; i++) { /* after a gap */
        push(begin + (int64_t)i * MODEL_STEP_SECONDS, i, i + 1 == MODEL_CONTEXT);
        if (i % 2) model_stream_settle(streams, STREAMS);
        if (i % 3 == 0) push(begin, 0, 0); /* late */
    }
    model_stream_save(streams + 3, saved, &last);
    model_stream_reset(&rebuilt, 0);
    for (i = 0; i < MODEL_CONTEXT; i++)
        model_stream_push(&rebuilt, 1, saved + i * MODEL_MEASURED,
                          last - (int64_t)(MODEL_CONTEXT - 1 - i) * MODEL_STEP_SECONDS, one[0], one[1], one[2]);
    compare(one[0], one[1], one[2], 3);
    printf("%s %d %d\\n", model_isa(), model_selftest(), differ);
    return 0;
}
"""


@pytest.fixture(scope="module", params=["textbook", "recommended"])
def trained(request: pytest.FixtureRequest) -> ModelDirectory:
    return read_model_directory(request.getfixturevalue(f"{request.param}_model"))


@pytest.fixture(scope="module", params=["native", "native-w8"])
def source(
    request: pytest.FixtureRequest, trained: ModelDirectory, tmp_path_factory: pytest.TempPathFactory
) -> SimpleNamespace:
    folder = write_sources(trained, request.param, tmp_path_factory.mktemp("native"))
    row = artifact(request.param, trained.record.spec)
    return SimpleNamespace(folder=folder, model=trained, artifact=row)


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("path", PATHS)
def test_every_path_passes_verification_and_streams_its_own_bits(source, path: str, compiler: str) -> None:
    library = build(source.folder, require_tool(compiler), *require_processor(path))
    record = source.model.record
    backend = NativeBackend(str(library), record.spec, 1)
    assert backend.engine == f"native {isa(path, source.folder)}"
    golden = plain.from_directory(source.model).golden()
    checks = check_backend(backend, record, source.artifact, golden, source.model.weights)
    assert [check for check in checks if not check.passed] == []
    windows = golden.windows.take(slice(2))
    streams, state = NativeStreams(backend.library, record.spec, 40), NativeState(backend.library, record.spec)
    alone = backend.outputs(*windows.take([0]).inputs)
    for step, time in steps_of(record.spec, windows.take([0])):
        pushed, stepped = streams.push(step, time), state.step(step, time)
    for found, again, expected in zip(pushed[1:], stepped[1:], alone, strict=False):
        np.testing.assert_array_equal(found, np.repeat(expected, 40, axis=0))
        np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("path", PATHS)
def test_sanitizers_find_no_fault_in_any_path(source, path: str) -> None:
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
    definitions = require_processor(path)
    assert (
        _run_main(source.folder, [require_tool("gcc"), *flags, *definitions], []) == f"{isa(path, source.folder)} 0 0"
    )


@pytest.mark.parametrize("widened", [(), ("-DMODEL_WIDE_BYTES=0",)], ids=["widened", "as stored"])
@pytest.mark.parametrize("path", PATHS)
def test_sanitizers_find_no_fault_where_units_are_odd(path: str, widened: tuple[str, ...], tmp_path: Path) -> None:
    folder = write_sources(directory(plain.make_model(ODD_SPEC)), "native-w8", tmp_path)
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", *widened)
    compiler = [require_tool("gcc"), *flags, *require_processor(path)]
    assert _run_main(folder, compiler, []) == f"{isa(path, folder)} 0 0"


def test_aarch64_passes_the_self_test_in_an_emulator(source) -> None:
    compiler, emulator = require_tool("aarch64-linux-gnu-gcc"), require_emulator("qemu-aarch64")
    assert _run_main(source.folder, [compiler, "-static"], [emulator]) == "neon 0 0"


def _run_main(folder: Path, compiler: list[str], runner: list[str]) -> str:
    """Return the output of MAIN, built with `compiler` and its flags and run by `runner`."""
    (folder / "main.c").write_text(MAIN, encoding="ascii")
    command = [*compiler, "-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "model.c", "main.c", "-o", "main"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    done = subprocess.run([*runner, "./main"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
