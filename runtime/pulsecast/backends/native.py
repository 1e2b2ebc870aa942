"""Backend `native`: the model as compiled C, through ctypes, which lets other threads run meanwhile."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..errors import EngineError
from ..manifest import Artifact
from ..native_library import find_library
from ..spec import ModelSpec

BLOCK = 32  # windows that the kernels take at once on the widest instruction set


class NativeBackend:
    """One loaded library. Thread-safe: the library has no state of its own."""

    device = "CPU"

    def __init__(self, path: str, spec: ModelSpec, threads: int) -> None:
        self.library = open_library(path, spec)
        self.engine = f"native {self.library.model_isa().decode()}"
        self._horizon = spec.horizon
        self._predict_batch = self.library.model_predict_batch
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._threads = threads

    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Backend.predict`."""
        count = len(windows)
        forecasts = np.empty((count, self._horizon), np.float32)
        if self._pool is None or count <= BLOCK:
            self._run(windows, forecasts)
        else:
            share = -(-count // (self._threads * BLOCK)) * BLOCK
            parts = [slice(first, first + share) for first in range(0, count, share)]
            list(self._pool.map(lambda part: self._run(windows[part], forecasts[part]), parts))
        return forecasts

    def _run(self, windows: NDArray[np.float32], forecasts: NDArray[np.float32]) -> None:
        # the array interface is the fastest way to an address; both arrays live until the call is over
        self._predict_batch(
            windows.__array_interface__["data"][0], len(windows), forecasts.__array_interface__["data"][0]
        )


def open_library(path: str, spec: ModelSpec) -> ctypes.CDLL:
    """Return the library at `path` with its functions typed; raises EngineError unless it is this model's and works."""
    library = ctypes.CDLL(path)
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    signatures = {
        "model_predict": (ctypes.c_int, (pointer, pointer)),
        "model_predict_batch": (size, (pointer, size, pointer)),
        "model_reset": (None, (pointer,)),
        "model_step": (ctypes.c_int, (pointer, pointer, pointer)),
        "model_stream_reset": (None, (pointer,)),
        "model_stream_push": (size, (pointer, size, pointer, pointer)),
        "model_stream_settle": (None, (pointer, size)),
        "model_selftest": (ctypes.c_int, ()),
        "model_isa": (ctypes.c_char_p, ()),
        "model_info": (size, (ctypes.c_int,)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    shape = tuple(library.model_info(i) for i in (2, 3, 4))
    expected = (spec.context, len(spec.features), spec.horizon)
    if shape != expected:
        raise EngineError(f"the library takes (context, features, horizon) {shape}; the manifest says {expected}")
    if failed := library.model_selftest():
        raise EngineError(f"the library's self-test failed on {failed} windows; it does not compute this model here")
    return library


def open_artifact(bundle: Bundle, artifact: Artifact, threads: int) -> NativeBackend:
    """Return the artifact's library, from the bundle or compiled once into the user's cache."""
    return NativeBackend(str(find_library(bundle, artifact.path)), bundle.manifest.spec, threads)
