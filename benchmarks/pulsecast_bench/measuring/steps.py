"""Steps as an app pushes them: one value after the other, each one step of time after the last, without an end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from pulsecast.computing.calendars import known_times
from pulsecast.errors import UsageError
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.model.series import Pool
from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import Windows

from ..results.case import Call
from ..subjects.subject import Array

Row = float | Array  # a number for one stream of one column, else (columns,) or (streams, columns)
_DISTINCT_VALUES = 4_000_000  # of all rows together, at most


class Push(Protocol):
    """`Stream.push` and `AnomalyDetector.push`."""

    def __call__(self, steps: Row, /, *, timestamp: object = None) -> object:
        """Take one step of every stream."""
        ...


class Steps:
    """A stream that was filled with real values, and its next steps.

    Filling is not timed: a stream has no forecast before it holds a whole window. Where the calendar's known time ends,
    the stream is emptied and filled anew, which is not timed either.
    """

    def __init__(
        self,
        push: Push,
        empty: Callable[[], object],
        rows: Sequence[Row],
        times: range | None,
        context: int,
        *,
        settle: Callable[[], object] | None = None,
    ) -> None:
        """Fill an empty stream.

        push, empty  of the stream
        settle       called before every push, untimed: an app does it while it waits for the next value
        rows         values to push, again and again
        times        of the steps, unix seconds; None for a model without a calendar
        context      steps of a whole window
        """
        self._push = push
        self._empty = empty
        self._rows = rows
        self._times = times
        self._context = context
        self._settle = settle
        self._pushed = self._since_empty = 0
        self.fill(context)

    def timed(self, turn: int) -> int:
        """Push the next step, whichever `turn` it is, and return the nanoseconds of the push."""
        del turn
        if self._times is not None and self._since_empty == len(self._times):
            self._empty()
            self._since_empty = 0
            self.fill(self._context)
        clock, push, (row, second) = time.perf_counter_ns, self._push, self._next()
        if self._settle is not None:
            self._settle()
        began = clock()
        push(row, timestamp=second)
        return clock() - began

    def fill(self, steps: int) -> None:
        """Push so many steps."""
        for _ in range(steps):
            row, second = self._next()
            self._push(row, timestamp=second)

    def _next(self) -> tuple[Row, int | None]:
        row = self._rows[self._pushed % len(self._rows)]
        second = None if self._times is None else self._times[self._since_empty]
        self._pushed += 1
        self._since_empty += 1
        return row, second


def steps_of(forecaster: Forecaster, call: Call, windows: Windows, streams: int, *, seed: int) -> Steps:
    """Return filled streams of a loaded model, or its detector, with values of the held-out `windows`.

    A detector has also learnt as many residuals as it keeps, as after some weeks: finding a place among them is part of
    every push.
    """
    spec = forecaster.manifest.spec
    series, windows = _one_series(forecaster, windows)
    rows, times = rows_of(windows, streams, seed=seed), times_of(spec, windows)
    if call != "detector":
        stream = forecaster.stream(streams, series=series)
        settle = None if call == "back_to_back" else stream.settle
        return Steps(stream.push, stream.reset, rows, times, spec.context, settle=settle)
    detector = forecaster.detector(series=series)
    found = Steps(
        detector.push, lambda: detector.restart(spec.context), rows, times, spec.context, settle=detector.settle
    )
    for _ in range(detector.memory * 3 // 2):  # steps of an incident are not learnt
        found.timed(0)
    return found


def _one_series(forecaster: Forecaster, windows: Windows) -> tuple[str | Pool | None, Windows]:
    """Return the series that most of `windows` are of, and its windows; None and all of them where there is one."""
    if forecaster.series is None or windows.series is None:
        return None, windows
    row = int(np.bincount(windows.series).argmax())
    return forecaster.series.names.name(row), windows.take(np.flatnonzero(windows.series == row))


def rows_of(windows: Windows, streams: int, *, seed: int) -> list[Row]:
    """Return steps of `streams` streams: the values of all windows, window after window in a seeded order.

    Where a window ends, the next one begins: the values jump there, which changes no arithmetic. Each stream begins
    with another window.
    """
    count, context, columns = windows.values.shape
    order = np.random.default_rng(seed).permutation(count)
    series = np.ascontiguousarray(windows.values[order]).reshape(-1, columns)  # (count * context, columns)
    if streams == 1:
        return series[:, 0].tolist() if columns == 1 else list(series)
    length = min(len(series), max(2, _DISTINCT_VALUES // (streams * columns)))
    first = context * (np.arange(streams) % count)  # (streams,)
    places = (np.arange(length)[:, np.newaxis] + first) % len(series)  # (length, streams)
    return list(series[places])


def times_of(spec: ModelSpec, windows: Windows) -> range | None:
    """Return the times of steps, from the first held-out one on; None if the windows have none.

    Raises UsageError if the calendar does not know the time of even one forecast.
    """
    if windows.time is None:
        return None
    times = range(int(windows.time.min()), known_times(spec)[1] + 1, spec.step_s)
    if len(times) <= spec.context:
        raise UsageError(
            f"the calendar is known for {len(times)} steps after the first held-out one; a stream takes more than "
            f"{spec.context}: train again on a log that covers it"
        )
    return times
