"""The native model for browsers: `lib/wasm32/model.wasm`, compiled with the `ziglang` wheel, and its wrapper beside it.

The module imports nothing and exports model.h's functions, its memory, and `__heap_base`, above which memory is the
caller's. It needs WebAssembly SIMD, which browsers have had since 2023 and Node since 16.4. It is proven through the
wrapper under Node, by the checks of every other artifact.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import ConversionError, EngineError, MissingExtraError
from pulsecast.golden import Golden
from pulsecast.manifest import Artifact, Manifest
from pulsecast.spec import ModelSpec
from pulsecast.verification import ArtifactReport, check_backend, require_passed

from .native_gate import declared

TAG = "wasm32"
MODULE, WRAPPER = f"lib/{TAG}/model.wasm", f"lib/{TAG}/pulsecast.js"  # in the target's folder
TIMEOUT_S = 120
STACK_BYTES = 256 * 1024  # model_predict_batch takes up to 128 kB
FLAGS = (
    *("-target", "wasm32-freestanding", "-mcpu=generic+simd128", "-std=c99", "-O2", "-nostdlib"),
    *("-fno-unroll-loops", "-fvisibility=hidden", "-s"),
    *("-Wl,--no-entry", f"-Wl,-z,stack-size={STACK_BYTES}", "-Wl,--export=__heap_base"),
)


def build_wasm(folder: Path) -> None:
    """Compile `folder`/model.c to MODULE and put WRAPPER beside it; the same source gives the same bytes.

    Raises MissingExtraError without the `ziglang` wheel, ConversionError if the compiler fails.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise MissingExtraError(f"{TAG} needs ziglang, which is not installed: pip install 'pulsecast[cross]'")
    module = folder / MODULE
    module.parent.mkdir(parents=True, exist_ok=True)
    exports = (f"-Wl,--export={name}" for name in sorted(declared(folder / "model.h")))
    with tempfile.TemporaryDirectory(prefix="pulsecast-") as cache:
        command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, *exports, "model.c", "-o", str(module.absolute())]
        environment = os.environ | {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        try:
            done = subprocess.run(
                command,
                cwd=folder,  # no path of this machine gets into the module
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConversionError(f"{TAG}: the compiler cannot be run: {error}") from error
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), "no reason given")
        raise ConversionError(f"{TAG}: the compiler failed on model.c: {reason.strip()}")
    module.chmod(0o644)
    (folder / WRAPPER).write_bytes(files(__package__).joinpath("native", "pulsecast.js").read_bytes())


def verify_wasm(folder: Path, manifest: Manifest, artifact: Artifact, golden: Golden) -> None:
    """Check MODULE in the folder of `artifact` under Node, through its wrapper, as that artifact itself is checked.

    Raises ToleranceError for a failed check, MissingExtraError without Node: nothing is shipped unproven.
    """
    with node_backend(folder, manifest.spec) as backend:
        checks = check_backend(backend, manifest, artifact, golden)
    require_passed(
        (
            ArtifactReport(
                artifact=f"{artifact.id} for {TAG}", engine=backend.engine, device=backend.device, checks=checks
            ),
        )
    )


class NodeBackend:
    """A module in a Node process, asked through pipes."""

    device = "CPU"

    def __init__(self, process: subprocess.Popen[bytes], spec: ModelSpec) -> None:
        self.engine = "node"
        self._process = process
        self._horizon = spec.horizon

    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Backend.predict`."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise EngineError(f"{TAG}: Node was started without pipes")
        wanted = 4 * len(windows) * self._horizon
        try:
            stdin.write(struct.pack("<I", len(windows)) + windows.astype("<f4").tobytes())
            stdin.flush()
        except BrokenPipeError:
            answer = b""  # it ended; its last words say why
        else:
            answer = stdout.read(wanted)
        if len(answer) != wanted:
            _, said = self._process.communicate()
            reason = (said.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
            raise EngineError(f"{TAG}: Node failed on the module: {reason}")
        return np.frombuffer(answer, "<f4").reshape(len(windows), self._horizon).astype(np.float32)


@contextmanager
def node_backend(folder: Path, spec: ModelSpec) -> Iterator[NodeBackend]:
    """Yield the module in `folder` as a backend; raises MissingExtraError without Node."""
    node = shutil.which("node")
    if node is None:
        raise MissingExtraError(f"{TAG} is verified with Node.js, which is not installed: install node 18 or newer")
    with as_file(files(__package__).joinpath("native", "serve_windows.mjs")) as script:
        command = [node, str(script), str((folder / WRAPPER).absolute()), str((folder / MODULE).absolute())]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            yield NodeBackend(process, spec)
        finally:
            process.kill()
            process.communicate()
