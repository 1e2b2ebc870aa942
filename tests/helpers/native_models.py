"""Native models for tests: a fitted or trained model as C, compiled with a test's options."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require_tool
from pulsecast import Forecaster, load
from pulsecast.backends import native_library
from pulsecast.backends.native_library import compile_library
from pulsecast.bundle.bundle import entry_for
from pulsecast.bundle.manifest import MANIFEST_NAME, Artifact, HeldOut, parse_manifest
from pulsecast.computing.intervals import fit_split
from pulsecast.foundation import strict_json
from pulsecast.model.linear import Linear, Wave
from pulsecast.model.network import plain_stack
from pulsecast.model.spec import DAY_S, WEEK_S, Calendar, Channel, Feature, ModelSpec
from pulsecast.stages.model_directory import HeldOutWindows, ModelDirectory, ModelRecord
from pulsecast_export.native.writer import sources
from pulsecast_export.targets import TARGETS, tolerance

AnyModel = TypeVar("AnyModel", plain.PlainModel, ModelDirectory)
COMPILERS = ("gcc", "clang")
FLOAT32_ROUNDING = 1e-5  # of the range: float32 arithmetic through two layers, and log1p and its inverse around them
OUTPUT_ROUNDING = 1e-4  # of the range: outputs of layers as 16-bit integers
PERTURBATION = 1.2  # of one layer's recurrent weights: the forecast stays plausible, the accuracy is worse
INTEGER_PATHS = ("avx512", "avx2", "sse2", "scalar")  # those that sum 8-bit weights by integers
# the macros that enable an instruction set and no better one; and its name on x86-64 processors
PATHS = {
    "avx512": (("-DMODEL_PAIRS=0",), "avx512f"),
    "avx512-pairs": (("-DMODEL_PAIRS=1",), "avx512f"),
    "avx2": (("-DMODEL_NO_AVX512",), "avx2"),
    "sse2": (("-DMODEL_NO_AVX512", "-DMODEL_NO_AVX2"), "sse2"),
    "vector": (("-DMODEL_VECTOR",), None),
    "scalar": (("-DMODEL_SCALAR",), None),
}
LANES = {"avx512": 16, "avx2": 8, "sse2": 4, "vector": 4, "scalar": 1}  # of a vector
# a library of a test's own functions, which include model.c: what they do not call is static, so it is not compiled
ALONE = ("-std=c99", "-O2", "-w", "-shared", "-fPIC", "-DMODEL_API=static")
# for those functions; the kernels carry theirs
PATH_FLAGS = {"avx512": ("-mavx512f",), "avx2": ("-mavx2", "-mfma")}
# The best instruction set of this processor and no other: a third of the time. `test_native_sums` shows that such a
# library gives the bits of the one that chooses, which bundles have.
HERE = ("-DMODEL_BUILD_TIME", "-march=native")
_BUILT: dict[tuple[str, ...], bytes] = {}  # by compiler, flags and sources
# two periods; a multiple that is less than the one before, and the largest; a season that looks back further than lags
ODD_PATH = Linear(
    lags=6,
    season=9,
    waves=(
        *(Wave(period_s=DAY_S, multiple=m) for m in (1, 7, 3)),
        *(Wave(period_s=WEEK_S, multiple=m) for m in (2, 64)),
    ),
    weekend_waves=2,
)
# sizes that fill no vector: the last one of a layer and of a window is partly padding
ODD_SPEC = ModelSpec(
    window=13,
    features=(
        Feature(name="value"),
        Feature(name="day_sin", calendar=Calendar(function="sin", period_s=DAY_S)),
    ),
    channels=(Channel(feature=0), Channel(feature=1), Channel(feature=0, lag=3)),
    units=(7, 20),
    horizon=2,
    step_s=plain.STEP_S,
    target="change",
    floor=0.0,
    network=plain_stack((7, 20), ODD_PATH),
)


def cc_here() -> str:
    """Return $CC for what compiles by itself, such as `load`: the usual compiler, and HERE."""
    return shlex.join([*native_library.find_compiler(), *HERE])


def require_c() -> None:
    """Skip what calls this unless one of the runtime's C compilers is installed; in CI fail it."""
    require_tool(*native_library.COMPILERS)


def require_emulator(name: str) -> str:
    """Return the path of qemu's program `name`, the static one if there is no other; skip or fail without."""
    return require_tool(name, f"{name}-static")


def require_processor(path: str) -> tuple[str, ...]:
    """Return the definitions for a path of PATHS, or skip the test if the processor lacks it."""
    definitions, flag = PATHS[path]
    if flag is not None:
        flags = Path("/proc/cpuinfo").read_text("ascii", "replace").split() if platform.machine() == "x86_64" else []
        if missing := {flag, *(("avx512_vnni",) if flag == "avx512f" else ())} - set(flags):
            pytest.skip(f"this processor has no {', '.join(sorted(missing))}")
    return definitions


def isa(path: str, folder: Path) -> str:
    """Return the instruction set that a library of the sources in `folder` reports.

    Large weights are not summed by pairs, and 8-bit weights are summed by integers if possible.
    """
    source = (folder / "model.c").read_text("ascii")
    plain_path = path.removesuffix("-pairs")
    if "#define WEIGHTS8 1" in source:
        return f"{plain_path}-int16" if plain_path in INTEGER_PATHS else plain_path
    return path if "#define SMALL_WEIGHTS 1" in source else plain_path


def directory(model: plain.PlainModel) -> ModelDirectory:
    """Return a fitted model as training would have left it."""
    golden = model.golden()
    record = ModelRecord(
        format=2,
        name='odd "name" */',
        recipe="plain",
        spec=model.spec,
        scaler=model.scaler,
        heldout=HeldOut(windows=len(model.windows), forecasts={}),
        provenance=plain.PROVENANCE,
        files={},
        intervals=fit_split(golden.reference, golden.truth, "log1p", counts=True),
    )
    return ModelDirectory(
        record=record,
        weights=model.weights,
        heldout=HeldOutWindows(windows=golden.windows, truth=golden.truth, trained=golden.trained),
        calibration=model.calibration,
    )


def with_small_weights(model: AnyModel) -> AnyModel:
    """Return `model` with half its weights: small enough for sums by pairs, as training makes them."""
    half = np.float32(0.5)
    layers = tuple(
        replace(one, kernel=one.kernel * half, recurrent=one.recurrent * half) for one in model.weights.layers
    )
    return replace(model, weights=replace(model.weights, layers=layers))


def write_sources(model: ModelDirectory, target: str, folder: Path) -> Path:
    """Write model.c and model.h into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in sources(model, target).items():
        (folder / name).write_text(text, encoding="ascii")
    return folder


def build(folder: Path, compiler: str | Sequence[str], *flags: str) -> Path:
    """Return the library that `compiler` makes of the sources in `folder`, under a name of its own.

    The same sources are compiled once in a process: a compiler takes seconds for them.
    """
    program, *options = [compiler] if isinstance(compiler, str) else compiler
    command = (program, *options, *flags)
    out = folder / f"{Path(program).name}{''.join((*options, *flags))}.so"
    made_of = (*command, *((folder / name).read_text("ascii") for name in ("model.c", "model.h")))
    if made_of not in _BUILT:
        compile_library(command, folder, out)
        _BUILT[made_of] = out.read_bytes()
    out.write_bytes(_BUILT[made_of])
    return out


def artifact(target_id: str, spec: ModelSpec) -> Artifact:
    """Return the manifest's row of a native target, before anything is measured of it."""
    target = TARGETS[target_id]
    return Artifact(
        id=target_id,
        backend="native",
        path=target.path,
        precision=target.precision,
        units="raw",
        max_batch=None,
        tolerance=tolerance(target, spec),
        parity=plain.NO_PARITY,
    )


def add_native(bundle: Path, model: plain.PlainModel, target_id: str = "native") -> None:
    """Give a bundle of `model`, made by `plain.write_bundle`, the artifact `target_id`."""
    target = TARGETS[target_id]
    if not (bundle / target.path).exists():
        write_sources(directory(model), target_id, bundle / target.path)
    manifest = parse_manifest((bundle / MANIFEST_NAME).read_bytes())
    paths = sorted(p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file())
    entries = tuple(entry_for(bundle, path) for path in paths if path != MANIFEST_NAME)
    manifest = replace(manifest, artifacts=(*manifest.artifacts, artifact(target_id, model.spec)), files=entries)
    (bundle / MANIFEST_NAME).write_text(strict_json.dumps(manifest), encoding="utf-8")


@contextmanager
def loaded_native(model: plain.PlainModel, folder: Path) -> Iterator[Forecaster]:
    """Yield `model` compiled by `load`, in a bundle and a cache below `folder`."""
    require_c()
    plain.write_bundle(folder / "bundle", model)
    add_native(folder / "bundle", model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULSECAST_CACHE", str(folder / "cache"))
        patch.setenv("CC", cc_here())
        yield load(folder / "bundle", backend="native", trust_code=True)
