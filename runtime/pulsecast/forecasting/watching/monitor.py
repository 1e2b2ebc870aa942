"""A monitor: what a model forecast for a series in the last weeks, what came, and whether to train again."""

from __future__ import annotations

import math
import struct
from collections import deque

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...computing.frames import numbers_of, unlabelled
from ...errors import DtypeError, FeatureCountError, FormatError, NonFiniteError
from ...foundation.arguments import flag, shown
from ...foundation.masked import has_masked
from ...model.series import Pool
from ..copies import Reduced
from ..stream_state import MONITOR, read_state, require_loaded, write_state
from ..streaming import Loaded, Stream
from .drift import Drift
from .promises import Promises

_SECTION = struct.Struct("<If")  # steps, and the forecast of the next one


class Monitor:
    """Follows one series and the forecasts that were made of it. Not thread-safe; one object per series.

    monitor = model.monitor()
    for second, value in measurements:
        monitor.push(value, timestamp=second)
    print(monitor.report())
    """

    def __init__(self, stream: Stream, model: Loaded) -> None:
        """Start with a stream of one series of `model` that has seen nothing yet."""
        self._stream = stream
        self._names = model.manifest.spec.measured_names
        table = model.series
        row = None if table is None or stream.series is None else table.names.row(stream.series[0])
        self._promises = Promises(model, row)
        # value, its forecast, whether it is strange
        self._seen: deque[tuple[float, float, bool]] = deque(maxlen=self._promises.kept)
        self._expected = math.nan

    def __reduce__(self) -> Reduced:
        return type(self).from_bytes, (self._stream.model, self.to_bytes())

    def __deepcopy__(self, memo: object = None) -> Monitor:
        """Return a monitor that goes on from the same steps, of the same loaded model."""
        del memo
        return self.from_bytes(self._stream.model, self.to_bytes())

    __copy__ = __deepcopy__

    @property
    def series(self) -> tuple[str | Pool, ...] | None:
        """The name of the series, as a tuple of one; None where the bundle is of one series."""
        return self._stream.series

    @property
    def due(self) -> int | None:
        """The time of the next step in unix seconds (UTC), None before a step had one."""
        return self._stream.due

    def push(self, step: ArrayLike, *, timestamp: object = None) -> NDArray[np.float32]:
        """Take one step, compare it with its forecast, and return the next forecasts (horizon,).

        step, timestamp  as for `Stream.push`; NaN is a step that is missing
        """
        forecasts: NDArray[np.float32] = self._stream.push(step, timestamp=timestamp)[0]
        self._take(numbers_of(step, self._names), self._expected)
        self._expected = float(forecasts[0])
        return forecasts

    def observe(self, step: ArrayLike, forecast: ArrayLike) -> None:
        """Take one step and the forecast that was made of it, where a stream of yours makes them.

        step      (measured,), or a number for a model of one column; NaN is one that is missing
        forecast  (horizon,) or a number: the first one is of this step; NaN where there is none

        Raises DtypeError, FeatureCountError, NonFiniteError (masked cells).
        """
        taken = _numbers("step", unlabelled("step", step, self._names), most=len(self._names))
        self._take(taken, float(_numbers("forecast", forecast, most=None)[0]))

    def _take(self, step: NDArray[np.float64], forecast: float) -> None:
        with np.errstate(over="ignore"):  # a state holds float32; beyond it becomes infinite, which is a gap
            value, expected = np.array([step[0], forecast], np.float64).astype(np.float32).tolist()
        self._seen.append((value, expected, self._promises.strange(step.tolist())))

    def report(self) -> Drift:
        """Return whether the model still fits, by the steps that are kept: `Promises.report`."""
        return self._promises.report(np.array(self._seen, np.float64).reshape(-1, 3))

    def to_bytes(self) -> bytes:
        """Return the state, as `Stream.to_bytes` does, with the steps that are kept: 9 bytes for each."""
        seen = np.array(self._seen, np.float64).reshape(-1, 3)
        section = b"".join(
            (
                _SECTION.pack(len(seen), self._expected),
                seen[:, :2].astype("<f4").tobytes(),
                seen[:, 2].astype("u1").tobytes(),
            )
        )
        return write_state(self._stream.state(), None, {MONITOR: section})

    @classmethod
    def from_bytes(cls, model: Loaded, data: bytes, *, carry_over: bool = False) -> Monitor:
        """Return a monitor of `model` that continues from `to_bytes`.

        carry_over  as for `Stream.from_bytes`; what another model forecast is forgotten

        Raises FormatError (damaged, or another state), UsageError (the state of another model).
        """
        require_loaded(model)
        state = read_state(data)
        if MONITOR not in state.sections:
            raise FormatError("the state is of a stream or detector; expected what Monitor.to_bytes returned")
        monitor = cls(Stream.of_state(model, state.stream, carry_over=flag("carry_over", carry_over)), model)
        if len(state.stream.window) != 1:
            raise FormatError(f"the state is of {len(state.stream.window)} streams; a monitor has one")
        seen, expected = _unpacked(state.sections[MONITOR])
        if state.stream.digest == model.manifest.model_digest:
            monitor._expected = expected
            monitor._seen.extend((value, forecast, bool(strange)) for value, forecast, strange in seen)
        return monitor


def _unpacked(section: bytes) -> tuple[list[tuple[float, float, int]], float]:
    """Return (value, forecast, strange) of each step, and the forecast of the next one; raises FormatError."""
    if len(section) < _SECTION.size:
        raise FormatError("the state's part of the monitor is too short")
    count, expected = _SECTION.unpack_from(section)
    if len(section) != _SECTION.size + 9 * count:
        raise FormatError("the state's part of the monitor does not hold what it says it holds")
    numbers = np.frombuffer(section, "<f4", 2 * count, _SECTION.size).reshape(-1, 2).tolist()
    strange = np.frombuffer(section, "u1", count, _SECTION.size + 8 * count).tolist()
    return [(value, forecast, one) for (value, forecast), one in zip(numbers, strange, strict=True)], expected


def _numbers(name: str, given: object, *, most: int | None) -> NDArray[np.float64]:
    """Return `given` as float64 (n,) of at least one number, and at most `most`."""
    if has_masked(given):
        raise NonFiniteError(f"{name} has masked cells; expected real numbers, and NaN for a missing one")
    try:
        array = np.asarray(given)
        one = array.ndim < 2 or (array.ndim == 2 and len(array) == 1)  # what `predict` returns for one window, too
        usable = array.dtype.kind in "iuf" and array.size > 0 and one
        found: NDArray[np.float64] = array.astype(np.float64).reshape(-1) if usable else np.empty(0)
    except Exception:  # an object's own methods, or more elements than memory holds
        found = np.empty(0)
    if not len(found):
        raise DtypeError(f"{name} is {shown(given)}; expected real numbers, and NaN for a missing one")
    if most is not None and len(found) != most:
        raise FeatureCountError(f"{name} has {len(found)} numbers; this model takes {most}")
    return found
