"""Every instruction set and compiler against the golden of trained models; memory and arithmetic under sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require_tool
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
from pulsecast.forecasting.streaming import Stream
from pulsecast.forecasting.verification import check_backend
from pulsecast.stages.model_directory import ModelDirectory, read_model_directory

pytestmark = [pytest.mark.slow, pytest.mark.soak]

# Runs every exported function once: the self-test, blocks that are whole and partly filled, state and stream.
MAIN = """
#include "model.h"
#include <stdio.h>
static float windows[70][MODEL_CONTEXT * MODEL_FEATURES], batch[70][MODEL_HORIZON], one[MODEL_HORIZON];
static model_state state;
static model_stream streams[3];
int main(void) {
    size_t counts[] = {1, 3, 4, 7, 8, 13, 16, 31, 32, 33, 70}, n, i, j;
    size_t steps = 2 * MODEL_CONTEXT + 5;
    int differ = 0;
    for (i = 0; i < 70; i++)
        for (j = 0; j < MODEL_CONTEXT * MODEL_FEATURES; j++) windows[i][j] = (float)((i * 7 + j * 3) % 11);
    for (n = 0; n < sizeof counts / sizeof *counts; n++) {
        model_predict_batch(windows[0], counts[n], batch[0]);
        for (i = 0; i < counts[n]; i++) {
            model_predict(windows[i], one);
            for (j = 0; j < MODEL_HORIZON; j++) differ += one[j] != batch[i][j];
        }
    }
    model_reset(&state);
    for (i = 0; i < MODEL_CONTEXT; i++) model_step(&state, windows[2] + i * MODEL_FEATURES, one);
    for (j = 0; j < MODEL_HORIZON; j++) differ += one[j] != batch[2][j];
    for (i = 0; i < 3; i++) model_stream_reset(streams + i);
    for (i = 0; i < steps; i++) {
        float rows[3][MODEL_FEATURES], out[3][MODEL_HORIZON];
        for (n = 0; n < 3; n++)
            for (j = 0; j < MODEL_FEATURES; j++) {
                size_t back = steps - 1 - i;
                rows[n][j] = back < MODEL_CONTEXT ? windows[n][(MODEL_CONTEXT - 1 - back) * MODEL_FEATURES + j] : 1.0f;
            }
        model_stream_push(streams, 3, rows[0], out[0]);
        if (i % 2) model_stream_settle(streams, 3);
        if (i + 1 == steps)
            for (n = 0; n < 3; n++)
                for (j = 0; j < MODEL_HORIZON; j++) differ += out[n][j] != batch[n][j];
    }
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
    checks = check_backend(backend, record, source.artifact, golden)
    assert [check for check in checks if not check.passed] == []
    window = golden.windows[:1]  # (1, context, features)
    stream = Stream(record.spec, source.artifact.id, backend, 1)
    for step in (*window[0][::-1], *window[0]):
        last = stream.push(step)
    np.testing.assert_array_equal(last, backend.predict(window))


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
