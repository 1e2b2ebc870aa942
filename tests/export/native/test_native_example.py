"""The files beside the C model: the example and its Makefile; threads under a sanitizer; damaged inputs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import lacking, require_tool, require_tools
from helpers.native_models import COMPILERS, HERE, ODD_SPEC, directory, write_sources
from helpers.series_models import with_table
from pulsecast.backends.native import NativeBackend
from pulsecast.computing import reference
from pulsecast.model.windows import Windows
from pulsecast.stages.model_directory import ModelDirectory
from pulsecast_export.native.writer import write_native, write_native_w8

require_tools("make")

pytestmark = pytest.mark.slow
STRICT = "CFLAGS=-std=c99 -O1 -Wall -Wextra -pedantic -Werror"

# Threads that share only the model: state between calls would be a race.
THREADS = """
#include "model.h"
#include <pthread.h>
#include <stdio.h>
static float windows[40][MODEL_CONTEXT * MODEL_MEASURED], expected[3][40][MODEL_HORIZON];
static int64_t times[40];
static void *run(void *differ) {
    static _Thread_local model_stream stream;
    float found[3][40][MODEL_HORIZON], one[3][MODEL_HORIZON];
    int i, j, k, turn;
    for (turn = 0; turn < 5; turn++) {
        model_predict_batch(windows[0], times, NULL, 40, found[0][0], found[1][0], found[2][0]);
        for (k = 0; k < 3; k++)
            for (i = 0; i < 40; i++)
                for (j = 0; j < MODEL_HORIZON; j++) *(int *)differ += found[k][i][j] != expected[k][i][j];
        model_stream_reset(&stream, 0);
        for (i = 0; i < MODEL_CONTEXT; i++)
            model_stream_push(&stream, 1, windows[turn] + i * MODEL_MEASURED,
                              times[turn] - (MODEL_CONTEXT - 1 - i) * MODEL_STEP_SECONDS, one[0], one[1], one[2]);
        for (k = 0; k < 3; k++)
            for (j = 0; j < MODEL_HORIZON; j++) *(int *)differ += one[k][j] != expected[k][turn][j];
        *(int *)differ += model_selftest();
    }
    return 0;
}
int main(void) {
    pthread_t threads[4];
    int differ[4] = {0}, i, j;
    for (i = 0; i < 40; i++) {
        times[i] = 1736121600 + i * MODEL_STEP_SECONDS;
        for (j = 0; j < MODEL_CONTEXT * MODEL_MEASURED; j++) windows[i][j] = (float)((i * 7 + j * 3) % 11);
    }
    model_predict_batch(windows[0], times, NULL, 40, expected[0][0], expected[1][0], expected[2][0]);
    for (i = 0; i < 4; i++) pthread_create(threads + i, 0, run, differ + i);
    for (i = 0; i < 4; i++) pthread_join(threads[i], 0);
    printf("%d\\n", differ[0] + differ[1] + differ[2] + differ[3]);
    return 0;
}
"""
# Any bytes as windows, times and steps: no fault, and the same bits alone, in a batch and as a stream.
FUZZ = """
#include "model.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
enum { MOST = 20, SIZE = MODEL_CONTEXT * MODEL_MEASURED };
typedef struct found {
    float forecast[MODEL_HORIZON], lower[MODEL_HORIZON], upper[MODEL_HORIZON];
} found;
static int same(const float *a, const float *b) {
    int j, as = 1;
    for (j = 0; j < MODEL_HORIZON; j++) as &= a[j] == b[j] || (a[j] != a[j] && b[j] != b[j]);
    return as;
}
static void fill(void *to, size_t bytes, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)to)[i] = size ? data[i % size] : 0;
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static model_stream stream;
    model_state state;
    found one, stepped;
    size_t count = size ? data[0] % MOST + 1 : 1, i, t;
    float *windows = malloc(count * SIZE * sizeof(float)), *batch = malloc(3 * count * MODEL_HORIZON * sizeof(float));
    float *lower = batch + count * MODEL_HORIZON, *upper = lower + count * MODEL_HORIZON, saved[SIZE];
    int64_t *times = malloc(count * sizeof(int64_t)), last;
    fill(windows, count * SIZE * sizeof(float), data, size);
    fill(times, count * sizeof(int64_t), data, size);
    if (size % 2) /* plausible values, of which a few are as the bytes have them */
        for (i = 0; i < count * SIZE; i++)
            if (data[i % size] > 3) windows[i] = (float)data[i % size];
    if (size % 3) /* and times: those of one window after the other */
        for (i = 0; i < count; i++) times[i] = (int64_t)(i + size % 1000) * MODEL_CONTEXT * MODEL_STEP_SECONDS;
    size_t broken = model_predict_batch(windows, times, NULL, count, batch, lower, upper), alone = 0;
    for (i = 0; i < count; i++) {
        alone += (size_t)model_predict(windows + i * SIZE, times[i], 0, one.forecast, one.lower, one.upper);
        if (!same(one.forecast, batch + i * MODEL_HORIZON)) abort();
        if (!same(one.lower, lower + i * MODEL_HORIZON) || !same(one.upper, upper + i * MODEL_HORIZON)) abort();
    }
    if (alone != broken) abort();
    model_reset(&state, 0);
    model_stream_reset(&stream, 0);
    for (i = 0; i < 2 && i < count; i++)
        for (t = 0; t < MODEL_CONTEXT; t++) {
            const float *step = windows + i * SIZE + t * MODEL_MEASURED;
            const int64_t back = (int64_t)(MODEL_CONTEXT - 1 - t) * MODEL_STEP_SECONDS;
            const int64_t time = size % 3 ? times[i] - back : times[t % count];
            if (!i) model_step(&state, step, time, stepped.forecast, stepped.lower, stepped.upper);
            model_stream_push(&stream, 1, step, time, one.forecast, one.lower, one.upper);
            if (data && t % 3 == 0) model_stream_settle(&stream, 1);
        }
    model_stream_save(&stream, saved, &last);
    if (size % 3) {
        if (!same(one.forecast, batch + (i - 1) * MODEL_HORIZON)) abort();
        if (!same(one.lower, lower + (i - 1) * MODEL_HORIZON)) abort();
        if (!same(stepped.forecast, batch) || !same(stepped.upper, upper)) abort();
    }
    free(windows);
    free(batch);
    free(times);
    return 0;
}
"""


@pytest.fixture(scope="module")
def model() -> ModelDirectory:
    return directory(plain.make_model(ODD_SPEC))


WRITERS = {"native": write_native, "native-w8": write_native_w8}


@pytest.fixture(scope="module", params=WRITERS)
def folder(request: pytest.FixtureRequest, model: ModelDirectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("bundle")
    WRITERS[request.param](model, base / request.param, None)
    return base / request.param


def _run(command: list[str], folder: Path, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, input=given, capture_output=True, text=True, check=False, env=os.environ | environment
    )


@pytest.mark.parametrize(
    ("folder", "compiler"),
    [
        ("native", "gcc"),
        ("native-w8", "clang"),
        pytest.param("native", "clang", marks=pytest.mark.soak),
        pytest.param("native-w8", "gcc", marks=pytest.mark.soak),
    ],
    indirect=["folder"],
)
def test_the_example_prints_the_forecasts_of_a_csv(folder: Path, model: ModelDirectory, compiler: str) -> None:
    program = f"{require_tool(compiler)} {' '.join(HERE)}" if compiler == "gcc" else require_tool(compiler)
    made = _run(["make", f"CC={program}", STRICT, "all", "check"], folder)  # that of Clang is of all instruction sets
    assert made.returncode == 0, made.stderr
    spec, values = model.record.spec, model.heldout.windows.values[:2]  # (2, context, measured)
    context, steps = spec.context, values.reshape(-1, spec.measured)
    times = plain.START_S + spec.step_s * np.arange(len(steps))
    csv = "time,value\n" + "".join(f"{time},{row[0]:.9g}\r\n" for time, row in zip(times, steps, strict=True))
    said = _run(["./example"], folder, csv)
    assert said.returncode == 0, said.stderr
    rows = [line.split(",") for line in said.stdout.splitlines()]
    assert [int(row[0]) for row in rows] == times[context - 1 :].tolist()
    sliding = np.stack([steps[i : i + context] for i in range(len(steps) - context + 1)])
    backend = NativeBackend(str(folder / "model.so"), spec, 1)
    found = np.array([row[1:] for row in rows], np.float32)
    expected = backend.outputs(np.ascontiguousarray(sliding), times[context - 1 :])
    np.testing.assert_array_equal(found, np.concatenate(expected, axis=1))  # forecasts, lower, upper
    lines = csv.splitlines()
    said = _run(["./example"], folder, "\n".join(lines[1:4] + lines[5:]) + "\n")  # no heading, and a step is missing
    assert (said.returncode, said.stderr) == (0, "")
    assert [int(line.split(",")[0]) for line in said.stdout.splitlines()] == times[context + 3 :].tolist()
    _run(["make", "clean"], folder)


@pytest.mark.parametrize(
    "folder", ["native", pytest.param("native-w8", marks=pytest.mark.soak)], indirect=True
)  # one program reads the lines of both
def test_the_example_refuses_a_line_that_is_not_a_step(folder: Path) -> None:
    program = f"{require_tool('gcc')} -DMODEL_SCALAR"
    assert _run(["make", STRICT, f"CC={program}", "example"], folder).returncode == 0
    for line in ("7200", "7200,2,3", "7200,x", "", "7200,", "x,2", ",2"):
        said = _run(["./example"], folder, f"3600,2\n{line}\n")
        assert (said.returncode, said.stdout) == (1, ""), line
        assert said.stderr == "line 2 is not a time and 1 numbers separated by commas\n"
    for time in ("3600", "0", "7201", "7199"):
        said = _run(["./example"], folder, f"3600,2\n{time},2\n")
        assert (said.returncode, said.stdout) == (1, ""), time
        assert said.stderr == "line 2: its time is not 3600 s, or a multiple, after the last one\n"
    for time in (1736121600000, 253402300800, -62135596801):
        said = _run(["./example"], folder, f"{time},2\n")
        assert (said.returncode, said.stdout) == (1, ""), time
        assert said.stderr == "line 1: its time lies beyond the years 1 to 9999; it takes unix seconds\n"
    _run(["make", "clean"], folder)


@pytest.mark.soak
def test_the_example_forecasts_the_series_of_a_row_and_the_pool_without_one(tmp_path: Path) -> None:
    many = with_table(directory(plain.make_model(ODD_SPEC)), ("a", "b"))
    write_native(many, tmp_path / "native", None)
    folder, spec, window = tmp_path / "native", many.record.spec, many.heldout.windows.values[0]
    assert _run(["make", f"CC={require_tool(*COMPILERS)}", STRICT, "all"], folder).returncode == 0
    times = plain.START_S + spec.step_s * np.arange(spec.context)
    csv = "".join(f"{time},{row[0]:.9g}\n" for time, row in zip(times, window, strict=True))
    for words, row in (((), 0), (("0",), 0), (("2",), 2)):
        asked = Windows(values=window[np.newaxis], time=times[-1:], series=np.array([row], np.int64))
        (expected,) = reference.forecast(spec, many.table, many.weights, asked)
        said = _run(["./example", *words], folder, csv)
        assert said.returncode == 0, said.stderr
        found = np.array(said.stdout.split(",")[1 : 1 + spec.horizon], np.float64)
        assert np.allclose(found, expected, rtol=1e-5, atol=0)
    refused = _run(["./example", "3"], folder, csv)
    assert refused.returncode == 1
    assert refused.stderr == "no series 3; expected 0 to 2\n"


def test_threads_share_nothing(model: ModelDirectory, tmp_path: Path) -> None:
    folder = write_sources(model, "native", tmp_path)
    (folder / "threads.c").write_text(THREADS, encoding="ascii")
    flags = ["-std=c11", "-O1", "-g", "-fsanitize=thread", *HERE, "-pthread", "threads.c", "model.c", "-o", "threads"]
    built = _run([require_tool("gcc"), *flags], folder)
    if built.returncode and "tsan" in built.stderr:
        lacking("this compiler has no thread sanitizer")
    assert built.returncode == 0, built.stderr
    said = _run(["./threads"], folder)
    assert (said.returncode, said.stdout) == (0, "0\n"), said.stderr


@pytest.mark.soak
@pytest.mark.parametrize("target", ["native", "native-w8"])
@pytest.mark.parametrize("path", ["", "-DMODEL_SCALAR", "-DMODEL_VECTOR"])
def test_no_bytes_make_it_fail(model: ModelDirectory, target: str, path: str, tmp_path: Path) -> None:
    folder = write_sources(model, target, tmp_path)
    (folder / "fuzz.c").write_text(FUZZ, encoding="ascii")
    sanitizers = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    flags = ["-std=c99", "-O2", "-g", *sanitizers, *([path] if path else [])]
    built = _run([require_tool("clang"), *flags, "fuzz.c", "model.c", "-o", "fuzz"], folder)
    if built.returncode and "fuzzer" in built.stderr:
        lacking("this clang has no libFuzzer")
    assert built.returncode == 0, built.stderr
    said = _run(["./fuzz", "-runs=500", "-max_len=8192", "-seed=7", "-len_control=0"], folder)
    assert said.returncode == 0, said.stderr[-2000:]
