"""A call and how long it took, in one form: of windows, of the steps of a stream, and of the bare engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from pulsecast.model.series import SeriesNames
from pulsecast.model.windows import Windows

from ..subjects.subject import Predict, asked

Timed = Callable[[int], int]  # which turn it is -> nanoseconds of its call, with nothing else between the readings
_DISTINCT_INPUTS = 256  # of each batch, at most; and at most so many values:
_INPUT_VALUES = 4_000_000


def predicting(predict: Predict, inputs: Sequence[Windows], names: SeriesNames | None = None) -> Timed:
    """Return the call that an app makes for windows; turn after turn it takes the next of `inputs`.

    names  of the series, where there are several and `predict` takes names, not rows
    """
    clock, count = time.perf_counter_ns, len(inputs)
    if inputs[0].series is not None:
        return _predicting_series(predict, inputs, names)

    def call(turn: int) -> int:
        batch = inputs[turn % count]
        values, timestamps = batch.values, batch.time
        began = clock()
        predict(values, timestamps=timestamps)
        return clock() - began

    return call


def _predicting_series(predict: Predict, inputs: Sequence[Windows], names: SeriesNames | None) -> Timed:
    clock, count, series = time.perf_counter_ns, len(inputs), [asked(batch, names) for batch in inputs]

    def call(turn: int) -> int:
        batch, of = inputs[turn % count], series[turn % count]
        values, timestamps = batch.values, batch.time
        began = clock()
        predict(values, timestamps=timestamps, series=of)
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
