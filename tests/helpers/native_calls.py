"""States and streams of a native library, called as a host in C calls them."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import Windows

NEXT = -(2**63)  # MODEL_NEXT
STATE_BYTES, STREAM_BYTES, RESULTS, SERIES = 0, 1, 5, 6  # of model_size


class Answer(NamedTuple):
    """What a call returns, and its results (count, horizon)."""

    code: int
    forecast: NDArray[np.float32]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]


def answer(count: int, horizon: int) -> Answer:
    """Return results that hold 7 everywhere, so that one that is not written shows."""
    return Answer(0, *(np.full((count, horizon), 7, np.float32) for _ in range(3)))


def pointers(*arrays: NDArray[np.generic]) -> tuple[int, ...]:
    return tuple(array.ctypes.data for array in arrays)


def steps_of(spec: ModelSpec, window: Windows) -> list[tuple[NDArray[np.floating], int]]:
    """Return the steps of one window, each with its time; those of a model without a calendar begin at 0."""
    last = spec.step_s * (spec.context - 1) if window.time is None else int(window.time[0])
    first = last - spec.step_s * (spec.context - 1)
    return [(row, first + i * spec.step_s) for i, row in enumerate(window.values[0])]


class NativeState:
    """One `model_state`."""

    def __init__(self, library: ctypes.CDLL, spec: ModelSpec, series: int = 0) -> None:
        self.library, self.spec = library, spec
        self.memory = np.zeros(library.model_size(STATE_BYTES), np.uint8)
        library.model_reset(self.memory.ctypes.data, series)

    def step(self, values: ArrayLike, time: int) -> Answer:
        """Take one step."""
        row, found = np.asarray(values, np.float32).reshape(self.spec.measured), answer(1, self.spec.horizon)
        code = self.library.model_step(*pointers(self.memory, row), time, *pointers(*found[1:]))
        return found._replace(code=code)


class NativeStreams:
    """`count` streams, side by side in memory."""

    def __init__(self, library: ctypes.CDLL, spec: ModelSpec, count: int = 1, series: int = 0) -> None:
        self.library, self.spec, self.count = library, spec, count
        self.memory = np.zeros((count, library.model_size(STREAM_BYTES)), np.uint8)
        self.codes = [self.reset(i, series) for i in range(count)]

    def reset(self, at: int = 0, series: int = 0) -> int:
        """Forget every step of one stream."""
        return self.library.model_stream_reset(self.memory[at].ctypes.data, series)

    def push(self, values: ArrayLike, time: int) -> Answer:
        """Push one step onto all; `values` is (count, measured), or one step for all."""
        rows = np.broadcast_to(np.asarray(values, np.float32), (self.count, self.spec.measured))
        rows, found = np.ascontiguousarray(rows), answer(self.count, self.spec.horizon)
        memory, at = pointers(self.memory, rows)
        code = self.library.model_stream_push(memory, self.count, at, time, *pointers(*found[1:]))
        return found._replace(code=code)

    def settle(self) -> None:
        """Do the postponed work."""
        self.library.model_stream_settle(self.memory.ctypes.data, self.count)

    def save(self, at: int = 0) -> tuple[int, NDArray[np.float32], int]:
        """Return how many of the rows were seen, the rows (context, measured), and the time of the last one."""
        values = np.full((self.spec.context, self.spec.measured), 7, np.float32)
        time = np.zeros(1, np.int64)
        seen = self.library.model_stream_save(self.memory[at].ctypes.data, *pointers(values, time))
        return seen, values, int(time[0])
