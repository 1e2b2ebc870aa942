"""A call and how long it took, in one form: of windows, of the steps of a stream, and of the bare engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from pulsecast.model.windows import Windows

from ..subjects.subject import Predict

Timed = Callable[[int], int]  # which turn it is -> nanoseconds of its call, with nothing else between the readings
_DISTINCT_INPUTS = 256  # of each batch, at most; and at most so many values:
_INPUT_VALUES = 4_000_000


def predicting(predict: Predict, inputs: Sequence[Windows]) -> Timed:
    """Return the call that an app makes for windows; turn after turn it takes the next of `inputs`."""
    clock, count = time.perf_counter_ns, len(inputs)

    def call(turn: int) -> int:
        batch = inputs[turn % count]
        values, timestamps = batch.values, batch.time
        began = clock()
        predict(values, timestamps=timestamps)
        return clock() - began

    return call


def rotation(windows: Windows, batch: int, *, seed: int) -> list[Windows]:
    """Return different batches of the held-out windows, `batch` windows each, in a seeded order.

    Every window is in them equally often, plus or minus one; a batch larger than the golden repeats windows.
    """
    rng = np.random.default_rng(seed)
    count = max(2, min(_DISTINCT_INPUTS, _INPUT_VALUES // (batch * windows.values[0].size)))
    rounds = -(-count * batch // len(windows))
    order = np.concatenate([rng.permutation(len(windows)) for _ in range(rounds)])[: count * batch]
    return [windows.take(rows) for rows in order.reshape(count, batch)]
