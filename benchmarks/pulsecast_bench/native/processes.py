"""The measurements of `pulsecast_bench.native.limits` in processes of their own: a stream in C, and cold starts.

The C program pushes the golden's steps, one a call with `model_stream_settle` before it, untimed, and prints the median
nanoseconds of a push, with bounds; the time between two readings of the clock with no work in between is subtracted,
because a push takes little longer.

A cold start is the time from before Python is started until it has printed its first forecast: through
`pulsecast.load`, which verifies every engine in the same way and imports numpy, and bare, with the least that each
engine needs. Bare `native` is `pulsecast.load_native`, which needs no numpy and still checks every hash and itself;
bare `onnx` is ONNX Runtime alone on the same file, without pulsecast and its checks. All read bytecode from a cache of
this measurement, as from an installed package.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from pulsecast.backends.native_library import compile_library, find_compiler, library_path, platform_tag
from pulsecast.backends.native_store import CACHE_VARIABLE
from pulsecast.bundle.bundle import Bundle, entry_for
from pulsecast.bundle.manifest import MANIFEST_NAME, SIGNATURE_NAME, Artifact, parse_manifest
from pulsecast.errors import EngineError
from pulsecast.foundation import strict_json

from .sources import write_sources

TIMEOUT_S = 120
_STREAM = r"""
#define _POSIX_C_SOURCE 199309L
#include "model.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}
static int order(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}
static long nothing[20000], pushed[20000];
static model_stream stream;
int main(int count, char **argument) {
    static float steps[4096][MODEL_MEASURED];
    float found[3][MODEL_HORIZON], sum = 0.0f;
    int64_t time = 1736121600;
    long i, began, n = count > 1 ? atol(argument[1]) : 0;
    long rows = (long)fread(steps, sizeof steps[0], 4096, stdin);
    if (n < 1 || n > 20000 || rows < 1) return 2;
    model_stream_reset(&stream, 0);
    for (i = 0; i < MODEL_CONTEXT; i++)
        model_stream_push(&stream, 1, steps[i % rows], time += MODEL_STEP_SECONDS, found[0], found[1], found[2]);
    for (i = 0; i < n; i++) {
        model_stream_settle(&stream, 1);
        began = now();
        model_stream_push(&stream, 1, steps[(MODEL_CONTEXT + i) % rows], time += MODEL_STEP_SECONDS, found[0], found[1],
                          found[2]);
        pushed[i] = now() - began;
        sum += found[0][0];
        began = now();
        nothing[i] = now() - began;
    }
    qsort(pushed, (size_t)n, sizeof pushed[0], order);
    qsort(nothing, (size_t)n, sizeof nothing[0], order);
    printf("%ld %d\n", pushed[n / 2] - nothing[n / 2], sum == sum);
    return 0;
}
"""
# each takes a bundle, an artifact of it, a window's float32 numbers in a file, and the time of its last step
THROUGH_LOAD = """
import sys
import numpy as np
import pulsecast
model = pulsecast.load(sys.argv[1], artifact=sys.argv[2], threads=1, trust_code=True)
spec = model.manifest.spec
window = np.fromfile(sys.argv[3], np.float32).reshape(1, spec.context, spec.measured)
time = [int(sys.argv[4])] if spec.timed else None
print(model.predict(window, timestamps=time)[0, 0], flush=True)
"""
WITHOUT_NUMPY = """
import sys
from array import array
import pulsecast
model = pulsecast.load_native(sys.argv[1], artifact=sys.argv[2], trust_code=True)
with open(sys.argv[3], "rb") as file:
    window = array("f", file.read())
print(model.predict(window, int(sys.argv[4]))[0][0], flush=True)
"""
BARE_ONNX = """
import sys
import numpy as np
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(f"{sys.argv[1]}/onnx/model.onnx", options, providers=["CPUExecutionProvider"])
given = {"values": np.fromfile(sys.argv[3], np.float32), "time": np.array([int(sys.argv[4])])}
taken = {each.name: given[each.name].reshape(1, *each.shape[1:]) for each in session.get_inputs()}
print(session.run(None, taken)[0][0, 0], flush=True)
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """A way to a first forecast: the bundle to load, its artifact, the program, and a folder of caches."""

    bundle: Path
    artifact: str
    program: str
    cache: Path


def build_stream_program(bundle: Bundle, artifact: Artifact, folder: Path) -> list[str]:
    """Return the command that pushes steps from stdin through the compiled model; built in `folder`."""
    write_sources(bundle, artifact.id, folder)
    (folder / "stream.c").write_text(_STREAM, encoding="ascii")
    compile_library(find_compiler(), folder, folder / "stream", ("-std=c99", "-O2", "stream.c"))
    return [str(folder / "stream")]


def stream_push_us(program: list[str], steps: np.ndarray[tuple[int, ...], np.dtype[np.float32]], pushes: int) -> float:
    """Return the median microseconds of `pushes` settled pushes in C, with the rows of `steps` in turn."""
    done = subprocess.run(
        [*program, str(pushes)], input=steps[:4096].tobytes(), capture_output=True, timeout=TIMEOUT_S, check=False
    )
    said = done.stdout.split()
    if done.returncode or len(said) != 2 or said[1] != b"1":
        raise EngineError(f"the program that streams in C failed (exit {done.returncode}, {said!r})")
    return int(said[0]) / 1e3


def cold_starts(bundle: Path, artifacts: tuple[str, ...], folder: Path) -> dict[str, dict[str, Start]]:
    """Return the starts to compare, by row and name: those of `artifacts` through `load`, and the bare ones.

    `native` has its library in the bundle; `native compiled` finds it in the cache of compiled ones.
    """
    bundles = {
        "native": _with_library(bundle, folder / "prebuilt"),
        "native compiled": _without_libraries(bundle, folder / "source"),
    }

    def start(name: str, program: str) -> Start:
        artifact = name.partition(" ")[0]
        return Start(bundle=bundles.get(name, bundle), artifact=artifact, program=program, cache=folder / "cache")

    native, others = tuple(bundles), tuple(name for name in artifacts if name not in bundles)
    through_load = {name: start(name, THROUGH_LOAD) for name in (*native, *others)}
    bare = {name: start(name, WITHOUT_NUMPY) for name in native}
    if "onnx" in others:
        bare["onnx"] = start("onnx", BARE_ONNX)
    return {"cold start": through_load, "cold start, bare": bare}


def first_forecast_us(start: Start, window: Path, time_s: int) -> float:
    """Return the microseconds from before Python starts until it has forecast `window`, which ends at `time_s`."""
    environment = os.environ | {
        CACHE_VARIABLE: str(start.cache / "libraries"),
        "PYTHONPYCACHEPREFIX": str(start.cache / "bytecode"),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", start.program, str(start.bundle), start.artifact, str(window), str(time_s)]
    began = time.perf_counter_ns()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out = process.stdout.readline() if process.stdout else b""
        ended = time.perf_counter_ns()
        _, error = process.communicate(timeout=TIMEOUT_S)
    if process.returncode or not out.strip():
        raise EngineError(f"a first forecast of {start.artifact} failed: {error.decode(errors='replace')[-300:]}")
    return (ended - began) / 1e3


def _with_library(bundle: Path, copy: Path) -> Path:
    shutil.copytree(bundle, copy)
    manifest = Bundle.open(copy).manifest
    artifact = manifest.artifact("native")
    library = copy / library_path(artifact.path, platform_tag())
    if not library.exists():
        library.parent.mkdir(parents=True)
        compile_library(find_compiler(), copy / artifact.path, library)
    _list_files(copy)
    return copy


def _without_libraries(bundle: Path, copy: Path) -> Path:
    shutil.copytree(bundle, copy)
    artifact = Bundle.open(copy).manifest.artifact("native")
    shutil.rmtree(copy / artifact.path / "lib", ignore_errors=True)
    _list_files(copy)
    return copy


def _list_files(folder: Path) -> None:
    """Update the manifest's list of files; a signature of the old manifest is removed."""
    (folder / SIGNATURE_NAME).unlink(missing_ok=True)
    manifest = parse_manifest((folder / MANIFEST_NAME).read_bytes())
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    entries = tuple(entry_for(folder, path) for path in paths if path != MANIFEST_NAME)
    text = strict_json.dumps(dataclasses.replace(manifest, files=entries))
    (folder / MANIFEST_NAME).write_text(text, encoding="utf-8")
