"""Exact sliding windows: push one step, get the forecast that `predict` gives for the window that this step completes.

A recurrent state that is carried on makes another model than the one trained on windows. A stream therefore gives the
forecast of the whole window: with backend `native` bit for bit at the cost of one time step, on every other backend by
keeping the last steps and calling `predict`.
"""

from __future__ import annotations

import ctypes
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..computing.calendars import unix_seconds, with_calendar
from ..errors import DtypeError, FeatureCountError, InputError, UsageError
from ..foundation.arguments import whole_number
from ..foundation.quick_dataclass import dataclass

if TYPE_CHECKING:
    from ..backends import Backend
    from ..model.spec import ModelSpec

_FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A stream's whole state, for `Stream.restore` on a stream of the same model, backend and number of streams."""

    artifact: str
    streams: int
    time_s: int | None
    state: bytes


class Stream:
    """One or several sliding windows that advance together. Not thread-safe: one thread pushes.

    A row that holds NaN is a gap in that stream: its forecasts are NaN until the gap has left the window.
    """

    def __init__(self, spec: ModelSpec, artifact: str, backend: Backend, streams: int) -> None:
        """Start `streams` windows that have seen nothing; `backend` runs the artifact of the id `artifact`."""
        streams = whole_number("streams", streams)
        self._spec = spec
        self._artifact = artifact
        self._streams = streams
        self._shape = (streams, len(self._spec.features))
        self._time_s: int | None = None
        library = getattr(backend, "library", None)
        try:
            self._engine: _NativeEngine | _WindowEngine = (
                _NativeEngine(library, self._shape) if library is not None else _WindowEngine(spec, backend, streams)
            )
        except (MemoryError, ValueError) as error:  # numpy's ValueError: more bytes than an address has
            raise UsageError(f"streams is {streams}: there is no memory for so many") from error
        self.reset()

    def push(self, steps: ArrayLike, *, timestamp: object = None) -> NDArray[np.float32]:
        """Take one step of every stream and return forecasts (streams, horizon); NaN where there is no whole window.

        steps      (streams, features), or (features,) for one stream
        timestamp  of this step (datetime64 or unix seconds, UTC); with it `steps` hold the measured features only, and
                   it must come one step after the last one. After a step with a timestamp every step needs one, until
                   the stream is reset.

        Raises FeatureCountError, DtypeError, InputError (not the next time); the stream is then unchanged.
        """
        if timestamp is None:
            if self._time_s is not None:
                raise InputError(
                    "the step has no timestamp, but the last one had: pass one with every step of this stream, or "
                    "reset it"
                )
            if type(steps) is np.ndarray and steps.shape == self._shape and steps.dtype == _FLOAT32:
                return self._engine.push(steps)
            return self._engine.push(self._rows(steps, len(self._spec.features)))
        rows = self._rows(steps, self._spec.measured)
        seconds = unix_seconds(timestamp)
        if seconds.ndim:
            raise InputError(f"timestamp has shape {seconds.shape}; expected one time, that of this step")
        self._check_next(int(seconds))
        times = np.full(self._streams, seconds)
        forecasts = self._engine.push(with_calendar(self._spec, rows, times).astype(np.float32))
        self._time_s = int(seconds)
        return forecasts

    def _rows(self, steps: ArrayLike, count: int) -> NDArray[np.float32]:
        """Return `steps` as (streams, count); raises DtypeError and FeatureCountError."""
        try:
            if np.asarray(steps).dtype.kind in "SU":  # numpy would read the number in a text
                raise ValueError("they are text")
            rows = np.asarray(steps, np.float32)
        except (ValueError, TypeError) as error:
            raise DtypeError(f"steps are not an array of real numbers: {error}") from error
        rows = rows.reshape(1, -1) if rows.ndim < 2 else rows
        if rows.shape != (self._streams, count):
            raise FeatureCountError(f"steps have shape {rows.shape}; this stream takes ({self._streams}, {count})")
        return rows

    def settle(self) -> None:
        """Do the postponed work now, so that the next push answers sooner."""
        self._engine.settle()

    def reset(self) -> None:
        """Forget every step; needed after a gap in time."""
        self._time_s = None
        self._engine.reset()

    def snapshot(self) -> Snapshot:
        """Return the state; `restore` continues from it exactly."""
        return Snapshot(
            artifact=self._artifact, streams=self._streams, time_s=self._time_s, state=self._engine.snapshot()
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Continue from `snapshot`; raises UsageError if it is of another artifact or number of streams."""
        if (snapshot.artifact, snapshot.streams) != (self._artifact, self._streams):
            raise UsageError(
                f"the snapshot is of {snapshot.streams} streams of {snapshot.artifact!r}; "
                f"this is {self._streams} of {self._artifact!r}"
            )
        self._engine.restore(snapshot.state)
        self._time_s = snapshot.time_s

    def _check_next(self, seconds: int) -> None:
        if self._time_s is not None and seconds != self._time_s + self._spec.step_s:
            raise InputError(
                f"the step comes {seconds - self._time_s} s after the last one; this model takes one every "
                f"{self._spec.step_s} s: push NaN for missing steps, or reset"
            )


class _NativeEngine:
    """The library's own streams: memory that Python owns and the library works in.

    Steps and forecasts pass through arrays at fixed addresses, so the arguments of a call are made once: asking numpy
    for an address at every push takes longer than the forecast's own arithmetic.
    """

    def __init__(self, library: ctypes.CDLL, shape: tuple[int, int]) -> None:
        self._library = library
        self._streams = shape[0]
        self._size = library.model_info(1)
        self._memory = np.zeros(self._streams * self._size, np.uint8)
        self._rows = np.zeros(shape, np.float32)
        self._forecasts = np.zeros((self._streams, library.model_info(4)), np.float32)
        self._address = self._memory.ctypes.data
        arrays = (self._memory, self._rows, self._forecasts)
        memory, rows, forecasts = (ctypes.c_void_p(array.ctypes.data) for array in arrays)
        count = ctypes.c_size_t(self._streams)
        self._push = partial(library.model_stream_push, memory, count, rows, forecasts)
        self._settle = partial(library.model_stream_settle, memory, count)
        self._copy = self._forecasts.copy

    def push(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        self._rows[:] = rows
        self._push()
        return self._copy()

    def settle(self) -> None:
        self._settle()

    def reset(self) -> None:
        for i in range(self._streams):
            self._library.model_stream_reset(self._address + i * self._size)

    def snapshot(self) -> bytes:
        self.settle()
        return self._memory.tobytes()

    def restore(self, state: bytes) -> None:
        _check_length(state, self._memory.nbytes)
        self._memory[:] = np.frombuffer(state, np.uint8)


class _WindowEngine:
    """Any backend: the last steps are kept and predicted as a window."""

    def __init__(self, spec: ModelSpec, backend: Backend, streams: int) -> None:
        self._predict = backend.predict
        self._horizon = spec.horizon
        # steps never seen are NaN, as gaps are; (streams, context, features)
        self._steps = np.full((streams, spec.context, len(spec.features)), np.nan, np.float32)

    def push(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        self._steps = np.concatenate([self._steps[:, 1:], rows[:, np.newaxis]], axis=1)
        forecasts = np.full((len(rows), self._horizon), np.nan, np.float32)
        whole = np.isfinite(self._steps).all(axis=(1, 2))
        if whole.any():
            forecasts[whole] = self._predict(np.ascontiguousarray(self._steps[whole]))
        return forecasts

    def settle(self) -> None:
        """Do nothing: this backend postpones no work."""

    def reset(self) -> None:
        self._steps[:] = np.nan

    def snapshot(self) -> bytes:
        return self._steps.tobytes()

    def restore(self, state: bytes) -> None:
        _check_length(state, self._steps.nbytes)
        self._steps = np.frombuffer(state, np.float32).reshape(self._steps.shape).copy()


def _check_length(state: bytes, expected: int) -> None:
    if len(state) != expected:
        raise UsageError(f"the snapshot holds {len(state)} bytes; this backend takes {expected}")
