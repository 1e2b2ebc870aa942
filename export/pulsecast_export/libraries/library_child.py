"""The cross-compiling child: `python -m pulsecast_export.libraries.library_child MODEL FOLDER TARGET PLATFORM`.

Writes the library beside the target's source in FOLDER and prints its record as JSON; the last line of stderr is the
reason of a failure. A library for this platform is loaded, and one for another Linux runs in an emulator, if there is
one; both must pass the checks of every artifact. Of all others only the file is inspected.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from pulsecast.backends import Backend
from pulsecast.backends.native import NativeBackend
from pulsecast.backends.native_library import library_path
from pulsecast.bundle.golden import MINIMUM_WINDOWS
from pulsecast.bundle.manifest import Artifact, Library
from pulsecast.errors import ConversionError, PulsecastError
from pulsecast.forecasting.checks import check_backend, measure_parity
from pulsecast.forecasting.verification import ArtifactReport, require_passed
from pulsecast.foundation import strict_json
from pulsecast.foundation.private_folder import temporary_folder
from pulsecast.stages.model_directory import IMPORTED, ModelDirectory, read_model_directory
from pulsecast.stages.parent import die_with_parent

from ..converting.measuring_child import UNMEASURED
from ..golden_windows import reference_of, thinned
from ..native.gate import declared, limit_bytes, series_bytes
from ..targets import TARGETS, tolerance
from . import wasm
from .emulated import EmulatedBackend, find_emulator
from .libraries import PLATFORMS, compile_library, compile_runner, compiler, is_here
from .library_file import read_library

PROOF_WINDOWS = MINIMUM_WINDOWS  # an emulator takes about 10 ms for each
MACOS_LIBRARY = "/usr/lib/libSystem.B.dylib"


def main(arguments: list[str]) -> int:
    """Compile one target for one platform and check what was made."""
    model, folder, target_id, name = arguments
    try:
        print(json.dumps(strict_json.to_json(build(read_model_directory(Path(model)), Path(folder), target_id, name))))
    except (PulsecastError, OSError) as error:
        print(str(error).replace("\n", " "), file=sys.stderr)
        return 1
    return 0


def build(model: ModelDirectory, folder: Path, target_id: str, name: str) -> Library:
    """Return the record of the library for platform `name`, which is then in `folder`.

    Raises ConversionError if its file fails a check, ToleranceError or EngineError if it forecasts badly.
    """
    source = folder / TARGETS[target_id].path
    path = library_path(TARGETS[target_id].path, name)
    with temporary_folder() as work:
        data = compile_library(source, name, work)
    limit = limit_bytes(model.record.spec, series_bytes(source))
    if problems := file_problems(data, name, declared(source / "model.h"), limit):
        raise ConversionError("; ".join(problems))
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)
    if name == wasm.TAG:
        wasm.write_wrapper(source)
    return prove(model, target_id, name, folder / path)


def file_problems(data: bytes, name: str, interface: Iterable[str], limit: int) -> list[str]:
    """Return the problems of a library file for platform `name`, without running it."""
    problems = []
    try:
        if name == wasm.TAG:
            exported, all_needed = wasm.read_module(data)
        else:
            found = read_library(data)
            exported, all_needed = set(found.exported), set(found.needed)
            if found.platform != name:
                problems.append(f"the library is for {found.platform}")
    except ValueError as error:
        return [f"the library is {error}"]
    if exported != set(interface):
        problems.append(f"symbols that differ from model.h: {', '.join(sorted(exported ^ set(interface)))}")
    if needed := all_needed - ({MACOS_LIBRARY} if name.endswith("-macos") else set()):
        problems.append(f"needed from elsewhere: {', '.join(sorted(needed))}")
    if len(data) > limit:
        problems.append(f"the library has {len(data)} bytes; at most {limit} for this model")
    return problems


def prove(model: ModelDirectory, target_id: str, name: str, library: Path) -> Library:
    """Return the library's record after running it on held-out windows, if it can be run here."""
    target, record = TARGETS[target_id], model.record
    limits = tolerance(target, record.spec, imported=record.recipe == IMPORTED)
    artifact = Artifact(
        id=target_id,
        backend="native",
        path=target.path,
        precision=target.precision,
        units=target.units,
        max_batch=target.max_batch,
        tolerance=limits,
        parity=UNMEASURED,
    )
    with ExitStack() as stack:
        backend, proof = _opened(model, name, library, stack)
        found = Library(
            artifact=target_id,
            platform=name,
            path=library_path(target.path, name),
            proof=proof,
            compiler=compiler(),
            engine=backend.engine if backend else None,
        )
        return _proven(backend, model, artifact, found) if backend else found


def _opened(
    model: ModelDirectory, name: str, library: Path, stack: ExitStack
) -> tuple[Backend | None, Literal["run", "emulated", "built"]]:
    """Return a backend that runs the library here until `stack` is closed, and its kind; None if there is none."""
    spec = model.record.spec
    if name == wasm.TAG:
        node = wasm.find_node()
        return (stack.enter_context(wasm.node_backend(node, library, spec.horizon)), "run") if node else (None, "built")
    if is_here(name):
        return NativeBackend(str(library), spec, 1), "run"
    emulator = find_emulator(PLATFORMS[name].emulator)
    if emulator is None:
        return None, "built"
    work = stack.enter_context(temporary_folder())
    runner = work / "runner"
    runner.write_bytes(compile_runner(name, work))
    runner.chmod(0o700)
    return stack.enter_context(EmulatedBackend(emulator, runner, library, spec.horizon)), "emulated"


def _proven(backend: Backend, model: ModelDirectory, artifact: Artifact, found: Library) -> Library:
    """Return `found` with the measured error; raises ToleranceError if a check of the artifact fails."""
    golden = thinned(reference_of(model), PROOF_WINDOWS)
    parity = measure_parity(backend.predict(*golden.windows.inputs), golden)
    checks = check_backend(backend, model.record, artifact, golden, model.weights, model.table)
    report = ArtifactReport(artifact=artifact.id, engine=backend.engine, device=backend.device, checks=checks)
    require_passed((report,))
    return dataclasses.replace(found, max_abs=parity.max_abs)


if __name__ == "__main__":
    die_with_parent()
    sys.exit(main(sys.argv[1:]))
