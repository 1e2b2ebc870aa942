"""The backends: one module per inference engine, found through one literal table and imported only when used.

A backend is a loaded artifact that turns raw windows and their times into raw forecasts. It does not check its input:
the `Forecaster` does. An app calls `Forecaster.predict`, with `interval` for bounds, and not a backend. It must be
stateless: the same window gives the same forecast after any earlier call, in any batch, and from any thread. A non-
finite row, and one of an unknown time, gives a non-finite forecast in that row only.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn, Protocol

from ..bundle.bundle import Bundle
from ..bundle.manifest import Artifact
from ..errors import EngineError, MissingExtraError, PulsecastError, SignatureError, ToleranceError, UsageError
from ..foundation.arguments import plain, shown
from ..foundation.quick_dataclass import dataclass

if TYPE_CHECKING:  # a native library is run without numpy
    import numpy as np
    from numpy.typing import NDArray


class Backend(Protocol):
    """One loaded artifact; `engine` is name and version, `device` is where it really runs (e.g. `CPU`)."""

    engine: str
    device: str

    def predict(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """Return raw forecasts (batch, horizon) for `pulsecast.model.windows.Windows.inputs`. They are not checked.

        They are C-contiguous, with all that the artifact takes and nothing else: values float32 (batch, context,
        measured), time int64 (batch,), series int64 (batch,). Other ones give an EngineError or a wrong number.
        """
        ...

    def outputs(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], ...]:
        """Return all that the artifact gives: (forecast,), or (forecast, lower, upper), each (batch, horizon).

        The inputs are those of `predict`, and are not checked either.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class BackendRow:
    """Where a backend lives and what it needs: the module has `open_artifact(bundle, artifact, threads)`."""

    module: str
    package: str | None  # the import that must exist
    extra: str | None  # the extra of this project that installs it


BACKENDS = {
    "numpy": BackendRow(module=".numpy_reference", package=None, extra=None),
    "onnx": BackendRow(module=".onnx", package="onnxruntime", extra="onnx"),
    "tflite": BackendRow(module=".tflite", package="ai_edge_litert", extra="tflite"),
    "savedmodel": BackendRow(module=".savedmodel", package="tensorflow", extra="savedmodel"),
    "native": BackendRow(module=".native", package=None, extra=None),  # a C compiler, or a library in the bundle
}

# The fastest engine at batch 1 first (`pulsecast bench` says how much). TensorFlow is never chosen
# for you: importing it takes seconds, and a single window takes longer than in numpy.
AUTO_ORDER = ("onnx", "tflite", "numpy")
UNTRUSTED = (
    "it is code, and the bundle's signature was not checked; pass the public key of its maker (key, --key), "
    "or trust_code (--trust-code) if you made the bundle yourself"
)


def is_installed(backend: str) -> bool:
    """Return whether the backend's engine can be imported, without importing it."""
    package = BACKENDS[backend].package
    return package is None or importlib.util.find_spec(package) is not None


def check_known(backend: str) -> None:
    """Raise UsageError, which lists the known names, unless `backend` is one of them."""
    if plain(backend) not in BACKENDS:
        raise UsageError(f"no backend {shown(backend)}; known: auto, {', '.join(BACKENDS)}")


def choose(bundle: Bundle, backend: str, artifact_id: str | None) -> Artifact:
    """Return the artifact to load.

    A named artifact wins. A named backend takes its first artifact in the manifest, the float32 one. `auto` takes the
    first of AUTO_ORDER whose engine is installed and for which the bundle has an artifact.
    """
    if (name := plain(backend)) != "auto":
        check_known(backend)
    backend = name or ""
    manifest = bundle.manifest
    if artifact_id is not None:
        artifact = manifest.artifact(artifact_id)
        if backend not in ("auto", artifact.backend):
            raise UsageError(f"artifact {artifact_id!r} is for backend {artifact.backend!r}, not {backend!r}")
        return artifact
    first = {artifact.backend: artifact for artifact in reversed(manifest.artifacts)}
    if backend == "auto":
        backend = next((b for b in AUTO_ORDER if b in first and is_installed(b)), "numpy")
    if backend not in first and manifest.spec.graph is not None:
        raise UsageError(
            f"this bundle has no artifact for backend {backend!r}: its network is a graph of Keras layers, which "
            f"engines alone compute. It has {', '.join(sorted(first))}: name one, such as backend={min(first)!r}, and "
            f"install its engine, such as pip install 'pulsecast[{BACKENDS[min(first)].extra}]'"
        )
    if backend not in first:
        raise UsageError(f"this bundle has no artifact for backend {backend!r}; it has {', '.join(sorted(first))}")
    return first[backend]


def is_trusted(bundle: Bundle, artifact: Artifact) -> bool:
    """Return True if loading `artifact` runs no code from the bundle, or only code covered by a verified signature.

    A native artifact is C or a library: its code may do all that this process may. The hashes of an unsigned bundle
    prove nothing about its maker, because they come with the bundle. All other artifacts are data to their engines.
    TensorFlow would run a SavedModel as a program, so only arithmetic is loaded from it.
    """
    return artifact.backend != "native" or bundle.signature.state == "verified"


def require_trust(bundle: Bundle, artifact: Artifact, *, trust_code: bool) -> None:
    """Raise SignatureError if `artifact` is code of a bundle whose signature was not checked, unless `trust_code`."""
    if not trust_code and not is_trusted(bundle, artifact):
        raise SignatureError(f"{artifact.id} is not run: {UNTRUSTED}")


def require_tolerance(artifact: Artifact, error: float) -> None:
    """Raise ToleranceError unless `error`, the golden's largest error over the range, is within the tolerance."""
    if not error <= artifact.tolerance.max_abs:
        raise ToleranceError(
            f"{artifact.id} does not reproduce its golden here: largest error / range is {error:.1e}, limit "
            f"{artifact.tolerance.max_abs:.1e}; `pulsecast verify` shows every check"
        )


def engine_of(artifact: Artifact) -> str:
    """Return what runs `artifact`, for a message: the engine's package, or the backend where there is none."""
    return BACKENDS[artifact.backend].package or artifact.backend


@contextlib.contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Raise EngineError, `what` and the first line of the reason, for an exception of any other type in the block."""
    try:
        yield
    except Exception as error:
        fail(what, error)


def fail(what: str, error: Exception) -> NoReturn:
    """Raise `error`, caught now, if it is a PulsecastError, or else EngineError: `what` and the first line of it.

    An engine may raise any exception. Around a call that does not fail, `try` costs nothing.
    """
    if isinstance(error, PulsecastError):
        raise error
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    raise EngineError(f"{what}: {reason}") from error


def open_backend(bundle: Bundle, artifact: Artifact, threads: int, *, trust_code: bool = False) -> Backend:
    """Return `artifact` loaded in its engine with `threads` threads for one call.

    Raises SignatureError if it is code of a bundle whose signature was not checked, unless `trust_code`;
    MissingExtraError if the engine is not installed, EngineError if it is broken or refuses the artifact.
    """
    require_trust(bundle, artifact, trust_code=trust_code)
    row, engine = BACKENDS[artifact.backend], engine_of(artifact)
    if not is_installed(artifact.backend):
        raise MissingExtraError(
            f"backend {artifact.backend!r} needs {row.package}, which is not installed: "
            f"pip install 'pulsecast[{row.extra}]'"
        )
    with engine_errors(f"{artifact.id} cannot be loaded by {engine}"):
        module = importlib.import_module(row.module, __package__)
        opened: Backend = module.open_artifact(bundle, artifact, threads)
    if bundle.manifest.format == 1:
        from .format_1 import Format1Backend

        return Format1Backend(opened, bundle.manifest.spec)
    return opened
