"""Backend `native`: the model as compiled C, through ctypes, which lets other threads run meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.bundle import Bundle
from ..bundle.manifest import Artifact
from ..errors import EngineError
from ..model.spec import ModelSpec
from ..model.windows import SERIES, TIME, VALUES
from .forks import renew_after_fork
from .native_library import find_library, open_library

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

RESULTS = 5  # `model_size` of it: arrays that a forecast gives, 1 or 3
FLOAT32, INT64 = np.dtype(np.float32), np.dtype(np.int64)
BLOCK = 32  # windows that the kernels take at once on the widest instruction set


class NativeBackend:
    """One loaded library. Thread-safe: the library has no state of its own. A forked process starts its own threads."""

    device = "CPU"

    def __init__(self, source: bytes | str, spec: ModelSpec, threads: int) -> None:
        """`source` is that of `open_library`."""
        self.library = open_library(source, spec)
        self.engine = f"native {self.library.model_isa().decode()}"
        self._horizon = spec.horizon
        self._window = spec.context, spec.measured
        self._bounded = self.library.model_size(RESULTS) == 3
        self._predict_batch = self.library.model_predict_batch
        self._pool = _pool(threads) if threads > 1 else None
        self._threads = threads
        if self._pool is not None:
            renew_after_fork(self)

    def predict(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """See `Backend.predict`."""
        forecasts = np.empty((len(values), self._horizon), np.float32)
        self._shared((values, time, series), (forecasts, None, None))
        return forecasts

    def outputs(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], ...]:
        """See `Backend.outputs`."""
        if not self._bounded:
            return (self.predict(values, time, series),)
        found = tuple(np.empty((len(values), self._horizon), np.float32) for _ in range(3))
        self._shared((values, time, series), found)
        return found

    def after_fork(self) -> None:
        """See `Renewed`."""
        self._pool = _pool(self._threads)

    def _shared(self, given: Arrays, results: Arrays) -> None:
        """Fill `results`, with several threads if there are several blocks."""
        count = _length(given)
        if self._pool is None or count <= BLOCK:
            self._run(given, results)
            return
        self._addresses(given)  # the whole first: a part of a longer array would pass
        share = -(-count // (self._threads * BLOCK)) * BLOCK
        parts = [slice(first, first + share) for first in range(0, count, share)]
        list(self._pool.map(lambda part: self._run(_rows(given, part), _rows(results, part)), parts))

    def _run(self, given: Arrays, results: Arrays) -> None:
        self._predict_batch(*self._addresses(given), _length(given), *map(_own, results))

    def _addresses(self, given: Arrays) -> tuple[int | None, int | None, int | None]:
        """Return where the inputs lie; raises EngineError unless they are what the library takes."""
        values, time, series = given
        count = _length(given)
        return (
            _address(VALUES, values, FLOAT32, (count, *self._window)),
            _address(TIME, time, INT64, (count,)),
            _address(SERIES, series, INT64, (count,)),
        )


Arrays = tuple[NDArray[np.generic] | None, ...]


def _own(array: NDArray[np.generic] | None) -> int | None:
    """Return where an array that was made here lies."""
    return None if array is None else array.ctypes.data  # the arrays live until the call is over


def _address(name: str, array: NDArray[np.generic] | None, dtype: np.dtype[Any], shape: tuple[int, ...]) -> int | None:
    """Return where the numbers of `array` lie; raises EngineError unless they lie as the library reads them."""
    if array is None:
        return None
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        order = "" if array.flags.c_contiguous else ", not in C order"
        raise EngineError(
            f"{name}: {array.dtype} {array.shape}{order}; the native library takes {dtype} {shape} in C order. "
            "Forecaster.predict takes any form"
        )
    return array.ctypes.data


def _length(arrays: Arrays) -> int:
    return 0 if arrays[0] is None else len(arrays[0])


def _rows(arrays: Arrays, part: slice) -> Arrays:
    return tuple(None if array is None else array[part] for array in arrays)


class Format1NativeBackend:
    """A library of a bundle of format 1, for `Format1Backend`: whole columns in, a forecast out."""

    device = "CPU"

    def __init__(self, source: bytes, spec: ModelSpec) -> None:
        self._library = open_library(source, spec, older=True)
        self.engine = f"native {self._library.model_isa().decode()}"
        self._horizon = spec.horizon
        self._window = spec.context, len(spec.features)

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return forecasts (batch, horizon) for all columns of windows, (batch, context, features)."""
        forecasts = np.empty((len(values), self._horizon), np.float32)
        self._library.model_predict_batch(
            _address(VALUES, values, FLOAT32, (len(values), *self._window)),
            len(values),
            _own(forecasts),
        )
        return forecasts


def _pool(threads: int) -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(threads)


def open_artifact(bundle: Bundle, artifact: Artifact, threads: int) -> NativeBackend | Format1NativeBackend:
    """Return the artifact's library, from the bundle or compiled once into the user's cache."""
    library, spec = find_library(bundle, artifact.path), bundle.manifest.spec
    return Format1NativeBackend(library, spec) if bundle.manifest.format == 1 else NativeBackend(library, spec, threads)
