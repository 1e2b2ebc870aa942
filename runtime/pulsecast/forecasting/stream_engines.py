"""How a stream's forecasts are made: by the library's own streams, or by keeping the last steps and predicting."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..backends.chunks import bounded

if TYPE_CHECKING:
    from ..backends import Backend
    from ..model.spec import ModelSpec


NEXT = -(2**63)  # MODEL_NEXT of a library: the step has no time


class Engine(Protocol):
    """How a stream's forecasts are made. Rows are (streams, columns); a number stands for one stream of one column."""

    def push(self, rows: NDArray[np.float32] | float, time: int) -> NDArray[np.float32]:
        """Take a step of every stream and its time, and return forecasts (streams, horizon), an array of their own.

        The time is NEXT where steps have none.
        """

    def settle(self) -> None:
        """Do postponed work now."""

    def reset(self) -> None:
        """Forget every step."""

    def window(self) -> NDArray[np.float32]:
        """Return the last steps, (streams, context, columns), oldest first; NaN where none was seen."""

    def refill(self, window: NDArray[np.float32], time: int) -> None:
        """Continue from what `window` of an engine of the same model returned, after the step at `time`."""


class NativeEngine:
    """The library's own streams: memory that Python owns and the library works in.

    Steps and forecasts pass through arrays at fixed addresses, so the arguments of a call are made once: asking numpy
    for an address at every push takes longer than the forecast's own arithmetic.
    """

    def __init__(self, library: ctypes.CDLL, spec: ModelSpec, streams: int, series: NDArray[np.int64] | None) -> None:
        self._library = library
        self._spec = spec
        self._streams = streams
        self._series = series
        self._size = library.model_size(1)
        self._memory = np.zeros(streams * self._size, np.uint8)
        self._rows = np.zeros((streams, spec.measured), np.float32)
        self._forecasts = np.zeros((streams, spec.horizon), np.float32)
        self._address = self._memory.ctypes.data
        arrays = (self._memory, self._rows, self._forecasts)
        self._at, self._from, self._to = (ctypes.c_void_p(array.ctypes.data) for array in arrays)
        self._count = ctypes.c_size_t(streams)
        self._call = library.model_stream_push
        self._copy = self._forecasts.copy
        self.reset()

    def push(self, rows: NDArray[np.float32] | float, time: int) -> NDArray[np.float32]:
        if isinstance(rows, float):
            self._rows[0, 0] = rows
        else:
            self._rows[...] = rows
        self._call(self._at, self._count, self._from, time, self._to, None, None)
        return self._copy()

    def settle(self) -> None:
        self._library.model_stream_settle(self._at, self._count)

    def reset(self) -> None:
        for i in range(self._streams):
            row = 0 if self._series is None else int(self._series[i])
            self._library.model_stream_reset(self._address + i * self._size, row)

    def window(self) -> NDArray[np.float32]:
        window = np.empty((self._streams, self._spec.context, self._spec.measured), np.float32)
        for i, own in enumerate(window):
            self._library.model_stream_save(self._address + i * self._size, own.ctypes.data, None)
        return window

    def refill(self, window: NDArray[np.float32], time: int) -> None:
        self.reset()
        seen = np.flatnonzero(np.isfinite(window).any(axis=(0, 2)))
        first = int(seen[0]) if len(seen) else window.shape[1]
        for step in range(first, window.shape[1]):
            before = (window.shape[1] - 1 - step) * self._spec.step_s
            self.push(window[:, step], time if time == NEXT else time - before)


class WindowEngine:
    """Any backend: the last steps are kept and predicted as a window.

    Every step stands twice in the memory, `context` apart, so that the window is always one piece of it.
    """

    def __init__(
        self, spec: ModelSpec, backend: Backend, shape: tuple[int, int], series: NDArray[np.int64] | None
    ) -> None:
        self._predict = bounded(backend.predict, spec, shape[0])
        self._series = series
        self._timed = spec.timed and shape[1] == spec.measured
        self._context = spec.context
        self._memory = np.empty((shape[0], 2 * spec.context, shape[1]), np.float32)
        self._nothing = np.full((shape[0], spec.horizon), np.nan, np.float32)
        self._time = np.zeros(shape[0], np.int64)
        self._missing = np.full(shape[0], spec.context)  # pushes until the window is whole
        self._at = 0  # where the next step goes
        self.reset()

    def push(self, rows: NDArray[np.float32] | float, time: int) -> NDArray[np.float32]:
        if isinstance(rows, float):
            return self._push_number(rows, time)
        memory, at, context = self._memory, self._at, self._context
        memory[:, at] = rows
        memory[:, at + context] = rows
        self._at = at = at + 1 if at + 1 < context else 0
        self._time[...] = time
        self._missing = np.where(np.isfinite(memory[:, at - 1]).all(axis=1), np.maximum(self._missing - 1, 0), context)
        window = memory[:, at : at + context] if at else memory[:, context:]
        whole = self._missing == 0
        if whole.all():
            return self._ask(np.ascontiguousarray(window), self._time, self._series)
        forecasts = self._nothing.copy()
        if whole.any():
            series = None if self._series is None else self._series[whole]
            forecasts[whole] = self._ask(np.ascontiguousarray(window[whole]), self._time[whole], series)
        return forecasts

    def _push_number(self, value: float, time: int) -> NDArray[np.float32]:
        """Push a finite number onto one stream of one column; the general way takes three times as long."""
        memory, at, context = self._memory, self._at, self._context
        memory[0, at, 0] = value
        memory[0, at + context, 0] = value
        self._at = at = at + 1 if at + 1 < context else 0
        self._time[0] = time
        if self._missing[0] > 1:
            self._missing[0] -= 1
            return self._nothing.copy()
        self._missing[0] = 0
        return self._ask(memory[:, at : at + context] if at else memory[:, context:], self._time, self._series)

    def _ask(
        self, window: NDArray[np.float32], time: NDArray[np.int64], series: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        time_or_none = time if self._timed else None
        return self._predict(window, time_or_none) if series is None else self._predict(window, time_or_none, series)

    def settle(self) -> None:
        """Do nothing: this backend postpones no work."""

    def reset(self) -> None:
        self._memory[...] = np.nan  # steps never seen are gaps
        self._missing[...] = self._context
        self._at = 0

    def window(self) -> NDArray[np.float32]:
        return self._memory[:, self._at : self._at + self._context].copy()

    def refill(self, window: NDArray[np.float32], time: int) -> None:
        self._memory[...] = np.concatenate([window, window], axis=1)
        self._at = 0
        broken = ~np.isfinite(window).all(axis=2)  # (streams, context)
        self._missing = np.where(broken, np.arange(1, self._context + 1), 0).max(axis=1)
