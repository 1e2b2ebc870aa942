"""Backend `native`: the model as compiled C, through ctypes, which lets other threads run meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..bundle.bundle import Bundle
from ..bundle.manifest import Artifact
from ..model.spec import ModelSpec
from .native_library import find_library, open_library

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

BLOCK = 32  # windows that the kernels take at once on the widest instruction set


class NativeBackend:
    """One loaded library. Thread-safe: the library has no state of its own."""

    device = "CPU"

    def __init__(self, source: bytes | str, spec: ModelSpec, threads: int) -> None:
        """`source` is that of `open_library`."""
        self.library = open_library(source, spec)
        self.engine = f"native {self.library.model_isa().decode()}"
        self._horizon = spec.horizon
        self._predict_batch = self.library.model_predict_batch
        self._pool = _pool(threads) if threads > 1 else None
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


def _pool(threads: int) -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(threads)


def open_artifact(bundle: Bundle, artifact: Artifact, threads: int) -> NativeBackend:
    """Return the artifact's library, from the bundle or compiled once into the user's cache."""
    return NativeBackend(find_library(bundle, artifact.path), bundle.manifest.spec, threads)
