"""`python -m pulsecast_bench.native.instructions`: instructions that the native model executes, counted by Callgrind.

Times on a busy machine do not show a change of a few percent; counted instructions are the same every time. For
each recipe a model of its shape (with numbers from a seed; no count depends on them) is generated, compiled here, and
run under Valgrind, whose processor has AVX2 and no AVX-512: this path is counted, and for the recommended recipe also
the one with 8-bit weights and the paths of SSE2 and of a processor without vectors. Only instructions within the named
call count, per forecast:

    predict  one window           batch   windows of a batch of 64
    answer   a settled push       settle  the work postponed by a push

The counts are compared with `benchmarks/instructions.json`: exit 1 if any differs by more than 2 %. A count depends on
the compiler: with another version than the baseline's the difference is only shown. `--update` writes the baseline.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast.backends.native_library import compile_library, find_compiler
from pulsecast.bundle.manifest import HeldOut, Provenance
from pulsecast.errors import EngineError, MissingExtraError, PulsecastError
from pulsecast.foundation import strict_json
from pulsecast.foundation.whole_file import write_whole
from pulsecast.model.radii import SplitConformal
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.weights import CellWeights, Weights
from pulsecast.model.windows import Windows
from pulsecast.stages.model_directory import HeldOutWindows, ModelDirectory, ModelRecord

BASELINE = Path(__file__).resolve().parents[2] / "instructions.json"
LIMIT = 0.02
TIMEOUT_S = 120
BATCH = 64
# work -> the function that is counted, and forecasts of one call
WORKS = {
    "predict": ("model_predict", 1),
    "batch": ("model_predict_batch", BATCH),
    "answer": ("model_stream_push", 1),
    "settle": ("model_stream_settle", 1),
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A counted model: its shape's recipe, its target, the compiler's options, and which of WORKS."""

    recipe: str
    target: str = "native"
    flags: tuple[str, ...] = ()
    works: tuple[str, ...] = tuple(WORKS)


WINDOWS = ("predict", "batch")
SUBJECTS = {
    "textbook": Subject(recipe="textbook"),
    "recommended": Subject(recipe="recommended"),
    "8-bit weights": Subject(recipe="recommended", target="native-w8", works=WINDOWS),
    "sse2": Subject(recipe="recommended", flags=("-DMODEL_NO_AVX512", "-DMODEL_NO_AVX2"), works=WINDOWS),
    "scalar": Subject(recipe="recommended", flags=("-DMODEL_SCALAR",), works=WINDOWS),
}
# Steps are multiples of 1/8 in 1...9: any scaler takes them, and the arithmetic does not depend on their values. Bounds
# are asked for.
_RUNNER = f"""
#include "model.h"
#include <stdlib.h>
static float windows[{BATCH}][MODEL_CONTEXT * MODEL_MEASURED], found[3][{BATCH} * MODEL_HORIZON];
static int64_t times[{BATCH}];
static model_stream stream;
static int64_t now = 1736121600;
static void push(const float *values) {{
    model_stream_push(&stream, 1, values, now += MODEL_STEP_SECONDS, found[0], found[1], found[2]);
}}
int main(int count, char **argument) {{
    long i, j, n = count > 2 ? atol(argument[2]) : 0;
    for (i = 0; i < {BATCH}; i++) {{
        times[i] = now + i * MODEL_STEP_SECONDS;
        for (j = 0; j < MODEL_CONTEXT * MODEL_MEASURED; j++)
            windows[i][j] = 1.0f + 0.125f * (float)((i * 7 + j * 13) % 64);
    }}
    model_stream_reset(&stream, 0);
    for (i = 0; i < (argument[1][0] == 's' ? MODEL_CONTEXT : 0); i++) push(windows[0] + i * MODEL_MEASURED);
    model_stream_settle(&stream, 1);
    for (i = 0; i < n; i++) {{
        if (argument[1][0] == 'p') model_predict(windows[i % {BATCH}], now, 0, found[0], found[1], found[2]);
        if (argument[1][0] == 'b')
            model_predict_batch(windows[0], times, NULL, {BATCH}, found[0], found[1], found[2]);
        if (argument[1][0] == 's') {{
            push(windows[i % {BATCH}]);
            model_stream_settle(&stream, 1);
        }}
    }}
    return found[0][0] != found[0][0];
}}
"""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Instructions per forecast, name of SUBJECTS -> work -> count; the other fields say what they belong to.

    shapes  name -> the model's shape
    path    the default counted instruction set
    """

    compiler: str
    valgrind: str
    machine: str
    path: str
    shapes: Mapping[str, str]
    counts: Mapping[str, Mapping[str, int]]


def count_instructions() -> Counts:
    """Count the works of every model of SUBJECTS.

    Raises MissingExtraError without Valgrind or a C compiler, EngineError if the program fails under it.
    """
    if shutil.which("valgrind") is None:
        raise MissingExtraError("instructions are counted by Valgrind, which is not installed: install valgrind")
    compiler = find_compiler()
    counts, shapes = {}, {}
    for name, subject in SUBJECTS.items():
        model = model_of(subject.recipe)
        spec = model.record.spec
        shapes[name] = f"{spec.window} steps, {len(spec.channels)} channels, {spec.units} units, {spec.horizon} ahead"
        with tempfile.TemporaryDirectory(prefix="pulsecast-") as folder:
            program = _build(model, subject.target, [*compiler, *subject.flags], Path(folder))
            counts[name] = {work: _count(program, work) for work in subject.works}
    return Counts(
        compiler=_first_line([*compiler, "--version"]),
        valgrind=_first_line(["valgrind", "--version"]),
        machine=platform.machine(),
        path="avx2" if platform.machine() == "x86_64" else "the only one",
        shapes=shapes,
        counts=counts,
    )


def model_of(recipe: str) -> ModelDirectory:
    """Return a model of the shape that `recipe` gives to an hourly series, with weights from a seed."""
    from pulsecast_train.recipes.recipes import build_spec, find_recipe
    from pulsecast_train.recipes.train_config import TrainConfig

    row = find_recipe(recipe)
    spec = build_spec(row, TrainConfig(recipe=recipe), ("value",), 3600)
    measured = FeatureScale(transform=row.transform, offset=1.5, scale=2.0, low=1.0, high=9.0)
    rng = np.random.default_rng(6)

    def numbers(*shape: int) -> NDArray[np.float32]:
        return (0.1 * rng.standard_normal(shape)).astype(np.float32)

    layers, inputs = [], len(spec.channels)
    for units in spec.units:
        layers.append(
            CellWeights(kernel=numbers(inputs, 4 * units), recurrent=numbers(units, 4 * units), bias=numbers(4 * units))
        )
        inputs = units
    path = spec.linear
    windows = Windows(
        values=rng.uniform(1, 9, (4, spec.context, spec.measured)).astype(np.float32),
        time=1_736_121_600 + 3600 * np.arange(4) if spec.timed else None,
    )
    nothing = np.zeros((len(windows), spec.horizon))
    record = ModelRecord(
        format=2,
        name="instructions",
        recipe=recipe,
        spec=spec,
        scaler=Scaler(features=(measured, *(FeatureScale() for _ in spec.features[1:]))),
        heldout=HeldOut(windows=len(windows), forecasts={}),
        provenance=Provenance(versions={}, platform="", seed=6, training={}, data={}),
        files={},
        intervals=SplitConformal(
            scale="log1p", counts=True, levels=(0.9,), radii=((0.25,) * spec.horizon,), windows=len(windows)
        ),
    )
    return ModelDirectory(
        record=record,
        weights=Weights(
            layers=tuple(layers),
            head_kernel=numbers(inputs, spec.horizon),
            head_bias=numbers(spec.horizon),
            linear=None if path is None else numbers(path.inputs(spec.measured), spec.horizon),
        ),
        heldout=HeldOutWindows(windows=windows, truth=nothing, trained=nothing.astype(np.float32)),
        calibration=windows,
    )


def _build(model: ModelDirectory, target: str, command: list[str], folder: Path) -> Path:
    from pulsecast_export.native.writer import sources

    for name, text in sources(model, target).items():
        (folder / name).write_text(text, encoding="ascii")
    (folder / "runner.c").write_text(_RUNNER, encoding="ascii")
    # as pulsecast.backends.native_library compiles, but not stripped: Callgrind needs names
    compile_library(command, folder, folder / "runner", ("-std=c99", "-O2", "-fno-unroll-loops", "runner.c"))
    return folder / "runner"


def _count(program: Path, work: str) -> int:
    """Return the instructions of one forecast: those of three calls minus those of one, halved."""
    function, forecasts = WORKS[work]
    mode = "stream" if function.startswith("model_stream") else work
    once, thrice = (_callgrind(program, function, mode, calls) for calls in (1, 3))
    return round((thrice - once) / 2 / forecasts)


def _callgrind(program: Path, function: str, mode: str, calls: int) -> int:
    out = program.with_name("callgrind.out")
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", f"--toggle-collect={function}"]
    done = subprocess.run(
        [*command, str(program), mode, str(calls)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    found = re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.MULTILINE) if out.exists() else None
    if done.returncode or found is None:
        raise EngineError(f"the model failed under Valgrind (exit {done.returncode}): {done.stderr[-300:].strip()}")
    return int(found.group(1))


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or [""])[0].strip()


def compared(found: Counts, baseline: Counts | None) -> tuple[list[str], bool]:
    """Return a table of counts beside the baseline's, and whether a comparable one differs by more than LIMIT."""
    known = baseline.counts if baseline else {}
    comparable = baseline is not None and (found.compiler, found.machine) == (baseline.compiler, baseline.machine)
    shapes = baseline.shapes if baseline else {}
    lines = [f"{found.compiler}, {found.valgrind}, {found.machine}, path {found.path}"]
    if baseline is not None and not comparable:
        lines.append(f"baseline: {baseline.compiler}, {baseline.machine}: differences may be the compiler's")
    changed = False
    for name, counts in found.counts.items():
        for work, count in counts.items():
            same = shapes.get(name) == found.shapes[name]
            before = known.get(name, {}).get(work) if same else None
            text = f"{name:14}{work:10}{count:>12,}"
            if before is None:
                lines.append(f"{text}   no baseline for this shape")
                continue
            change = count / before - 1
            over = abs(change) > LIMIT
            changed |= over and comparable
            lines.append(f"{text}{change:>+10.2%}{f'   CHANGED by more than {LIMIT:.0%}' if over else ''}")
    return lines, changed


def main(arguments: list[str]) -> int:
    """Print the counts beside the baseline's; 1 if one of them changed or cannot be counted."""
    parser = argparse.ArgumentParser(
        prog="python -m pulsecast_bench.native.instructions",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--baseline", type=Path, default=BASELINE)
    parser.add_argument("--update", action="store_true", help="write the baseline instead of comparing with it")
    options = parser.parse_args(arguments)
    try:
        found = count_instructions()
        baseline = (
            strict_json.loads(Counts, options.baseline.read_bytes(), where=options.baseline.name)
            if options.baseline.exists() and not options.update
            else None
        )
        lines, changed = compared(found, baseline)
        if options.update:
            write_whole(options.baseline, json.dumps(strict_json.to_json(found), indent=2) + "\n", force=True)
    except PulsecastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return int(changed and not options.update)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
