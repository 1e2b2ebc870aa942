"""Exact sliding windows: push one step, get the forecast that `predict` gives for the window that this step completes.

A recurrent state that is carried on makes another model than the one trained on windows. A stream therefore gives the
forecast of the whole window: with backend `native` bit for bit at the cost of one time step, on every other backend by
keeping the last steps and calling `predict`.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..computing.calendars import known_times, require_known, unix_seconds, with_calendar
from ..computing.frames import unlabelled
from ..errors import DtypeError, FeatureCountError, InputError, NonFiniteError, TimeError, UsageError
from ..foundation.arguments import flag, shown, whole_number
from ..foundation.masked import read_array, unreadable
from ..model.series import Pool, SeriesTable, refuse_series, scaling_of
from ..model.windows import LARGEST_FLOAT32
from .copies import Reduced, resumed
from .corrector import Correctors
from .stream_engines import NEXT, Engine, NativeEngine, WindowEngine
from .stream_state import StreamState, read_state, require_loaded, write_state

if TYPE_CHECKING:
    from ..backends import Backend
    from ..bundle.manifest import Manifest

_FLOAT32 = np.dtype(np.float32)


class Loaded(Protocol):
    """What a stream needs of a `Forecaster`."""

    @property
    def manifest(self) -> Manifest:
        """What the bundle says about itself."""

    @property
    def backend(self) -> Backend:
        """The engine that runs it."""

    @property
    def series(self) -> SeriesTable | None:
        """The table of series; None where the bundle is of one series."""


class Stream:
    """One or several sliding windows that advance together. Not thread-safe: one thread pushes.

    A row that holds NaN is a gap in that stream: its forecasts are NaN until the gap has left the window.
    """

    def __init__(
        self, model: Loaded, streams: int | None = None, *, series: object = None, by_window: bool = False,
        adapt: bool = False,
    ) -> None:  # fmt: skip
        """Start `streams` windows of `model` that have seen nothing; None is one, or one for each of the names.

        series     of the windows, as for `Forecaster.predict`
        by_window  forecast whole windows, also where the backend could advance them by a step
        adapt      go on learning: `adapted` then has corrected forecasts beside the exact ones, see `Corrector`
        """
        manifest, backend = model.manifest, model.backend
        spec = manifest.spec
        self.model, self.by_window = model, by_window
        self._manifest = manifest
        self._spec = spec
        self._streams = _count(streams, series)
        self._ready_made = manifest.format == 1 and spec.timed  # calendar columns are pushed, too
        self._columns = len(spec.features) if self._ready_made else spec.measured
        self._shape = (self._streams, self._columns)
        self._plain = not self._ready_made
        self._single: bool = self._streams == self._columns == 1
        self._step_s = spec.step_s
        self._first, self._last = known_times(spec)
        self._due: int | None = None  # the time of the next step, once one had a time
        library = None if by_window else getattr(backend, "library", None)
        try:
            self._names, rows = _of_series(model.series, series, self._streams)
            self._rows_of_series = rows
            self._engine: Engine = (
                WindowEngine(spec, backend, self._shape, rows)
                if library is None
                else NativeEngine(library, spec, self._streams, rows)
            )
        except (MemoryError, OverflowError, ValueError) as error:  # numpy's ValueError: more bytes than an address has
            raise UsageError(f"streams is {shown(streams)}: there is no memory for so many") from error
        self._push = self._engine.push
        self._correctors: Correctors | None = None
        if flag("adapt", adapt):
            self._correctors = Correctors(spec, scaling_of(manifest.scaler, model.series), rows, self._streams)

    def __reduce__(self) -> Reduced:
        return resumed, (type(self), self.model, self.to_bytes(), self.by_window)

    def __deepcopy__(self, memo: object = None) -> Stream:
        """Return a stream that goes on from the same steps, of the same loaded model."""
        del memo
        return self.from_bytes(self.model, self.to_bytes(), by_window=self.by_window)

    __copy__ = __deepcopy__

    @property
    def series(self) -> tuple[str | Pool, ...] | None:
        """The names of the windows' series; None where the bundle is of one series."""
        return self._names

    @property
    def due(self) -> int | None:
        """The time of the next step in unix seconds (UTC), None before a step had one."""
        return self._due

    @property
    def adapted(self) -> NDArray[np.float32] | None:
        """The corrected forecasts (streams, horizon) after the last step, raw; None unless the stream adapts.

        They are the exact ones where nothing better is known, and NaN where those are.
        """
        return None if self._correctors is None else self._correctors.corrected.astype(np.float32)

    def push(self, steps: ArrayLike, *, timestamp: object = None) -> NDArray[np.float32]:
        """Take one step of every stream and return forecasts (streams, horizon); NaN where there is no whole window.

        steps      (streams, measured), or (measured,) for one stream, or a number for one stream of one column
        timestamp  of this step (datetime64 or unix seconds, UTC), needed where the model has a calendar. It must come
                   one step after the last one. After a step with a timestamp every step needs one, until the stream is
                   reset.

        A bundle of format 1 also takes (streams, features) without timestamps, its calendar columns ready-made.

        A missing value is NaN, never None. Raises FeatureCountError, DtypeError, NonFiniteError (masked cells),
        TimeError (missing, or not the next time); the stream is then unchanged.
        """
        time = timestamp if type(timestamp) is int else _seconds(timestamp)
        if time is None or time != self._due or time > self._last:
            self._check_time(time)
        given: object = steps
        at = NEXT if time is None else time
        if (
            self._single
            and (isinstance(given, float) or type(given) is int)
            and -LARGEST_FLOAT32 <= given <= LARGEST_FLOAT32
        ):
            rows: NDArray[np.float32] | float = float(given)  # NaN, a gap, goes the general way
        elif type(given) is np.ndarray and given.dtype == _FLOAT32 and given.shape == self._shape and self._plain:
            rows = given
        else:
            rows = self._rows(steps, time)
        forecasts = self._push(rows, at)
        if time is not None:
            self._due = time + self._step_s
        if self._correctors is not None:
            values = np.asarray(rows, np.float32).reshape(self._shape)[:, 0]
            self._correctors.step(values, forecasts, time, self._engine.window)
        return forecasts

    def skip(self) -> None:
        """Take one step of which nothing is known: a gap in every stream."""
        made = self._push(np.full(self._shape, np.nan, np.float32), NEXT if self._due is None else self._due)
        if self._correctors is not None:
            self._correctors.step(np.full(self._streams, np.nan), made, self._due, self._engine.window)
        if self._due is not None:
            self._due += self._step_s

    def hasten(self) -> None:
        """Advance by single steps from now on, if the backend can: the steps of the window are replayed once."""
        library = getattr(self.model.backend, "library", None)
        if library is None or isinstance(self._engine, NativeEngine) or self._ready_made:
            return
        engine = NativeEngine(library, self._spec, self._streams, self._rows_of_series)
        engine.refill(self._engine.window(), NEXT if self._due is None else self._due - self._step_s)
        self._engine, self._push = engine, engine.push

    def window(self) -> NDArray[np.float32]:
        """Return the last steps (streams, context, columns), raw, oldest first; NaN where there was none."""
        return self._engine.window()

    def settle(self) -> None:
        """Do the postponed work now, so that the next push answers sooner."""
        self._engine.settle()

    def reset(self) -> None:
        """Forget every step; needed after a gap in time. What a stream that adapts has learnt stays."""
        self._due = None
        self._engine.reset()
        if self._correctors is not None:
            self._correctors.wait()

    def to_bytes(self) -> bytes:
        """Return the state: the steps of the current window, in raw units, and whose they are.

        It is small, and any version, backend and platform continues from it: see FORMAT.md, "Stream state".
        """
        return write_state(self.state())

    def state(self) -> StreamState:
        """Return the state as a record."""
        return StreamState(
            digest=self._manifest.model_digest,
            step_s=self._step_s,
            time=None if self._due is None else self._due - self._step_s,
            window=self._engine.window(),
            series=self._names,
            learnt=None if self._correctors is None else self._correctors.state(),
        )

    @classmethod
    def from_bytes(
        cls, model: Loaded, data: bytes, *, carry_over: bool = False, by_window: bool = False, adapt: bool = False
    ) -> Stream:
        """Return a stream of `model` that continues from `to_bytes`.

        carry_over  accept the state of another model that takes the same columns at the same step, such as a newer one:
                    the steps that it holds are replayed. A longer context has no forecast until it is filled, and
                    what was learnt of the other model's errors is forgotten.
        adapt       begin to adapt, if the state is of a stream that did not; one that did goes on

        Raises FormatError (damaged, or not a stream's state), UsageError (the state of another model).
        """
        return cls.of_state(model, read_state(data).stream, carry_over=carry_over, by_window=by_window, adapt=adapt)

    @classmethod
    def of_state(
        cls, model: Loaded, state: StreamState, *, carry_over: bool = False, by_window: bool = False,
        adapt: bool = False,
    ) -> Stream:  # fmt: skip
        """Return a stream that continues from a state's record, as `from_bytes` does."""
        require_loaded(model)
        manifest, by_window = model.manifest, flag("by_window", by_window)
        state.require(manifest, carry_over=flag("carry_over", carry_over))
        adapt = flag("adapt", adapt) or state.learnt is not None
        stream = cls(model, len(state.window), series=state.series, by_window=by_window, adapt=adapt)
        window = np.full((len(state.window), manifest.spec.context, stream._columns), np.nan, np.float32)
        kept = min(window.shape[1], state.window.shape[1])
        window[:, window.shape[1] - kept :] = state.window[:, state.window.shape[1] - kept :]
        stream._engine.refill(window, NEXT if state.time is None else state.time)
        stream._due = None if state.time is None else state.time + manifest.spec.step_s
        if state.learnt is not None and stream._correctors is not None and state.digest == manifest.model_digest:
            stream._correctors.resume(state.learnt, window, state.time)
        return stream

    def _rows(self, steps: ArrayLike, time: int | None) -> NDArray[np.float32]:
        """Return `steps` as the engine takes them; raises DtypeError, NonFiniteError and FeatureCountError."""
        count = self._spec.measured if time is not None else self._columns
        names = [feature.name for feature in self._spec.features[:count]]
        try:
            array, masked = read_array(unlabelled("steps", steps, names))
        except InputError:
            raise
        except ValueError as error:
            raise DtypeError("steps are ragged; every stream needs the same number of features") from error
        except Exception as error:  # an object's own methods
            raise DtypeError(f"{unreadable('steps', steps, error)}; expected real numbers") from None
        if masked:
            raise NonFiniteError("steps have masked cells; expected real numbers, and NaN for a missing one")
        if array.dtype.kind not in "iuf":
            raise DtypeError(f"steps are {array.dtype}; expected real numbers, and NaN for a missing one")
        with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is a gap
            rows = array.astype(np.float32, copy=False)
        rows = rows.reshape(1, -1) if rows.ndim < 2 else rows
        if rows.shape != (self._streams, count):
            raise FeatureCountError(f"steps have shape {rows.shape}; this stream takes ({self._streams}, {count})")
        if self._ready_made and time is not None:
            return with_calendar(self._spec, rows, np.full(self._streams, time)).astype(np.float32)
        return rows

    def _check_time(self, time: int | None) -> None:
        """Raise TimeError unless a step at `time` may come now."""
        if time is None:
            if self._due is not None:
                raise TimeError(
                    "the step has no timestamp, but the last one had: pass one with every step of this stream, or "
                    "reset it"
                )
            if self._spec.timed and not self._ready_made:
                raise TimeError(
                    "this model has a calendar and the time is missing: pass timestamp, unix seconds (UTC) or "
                    "datetime64, with every step"
                )
            return
        if self._due is not None and time != self._due:
            raise TimeError(
                f"the step comes {time - self._due + self._step_s} s after the last one; this model takes one every "
                f"{self._step_s} s: push NaN for missing steps, or reset"
            )
        if self._spec.timed or not self._first <= time <= self._last:
            require_known(self._spec, np.array([time]))  # of any size: int64 holds only known times


def _count(streams: int | None, series: object) -> int:
    """Return how many windows a stream has."""
    if streams is not None:
        return whole_number("streams", streams)
    if isinstance(series, str) or not isinstance(series, Sized):
        return 1
    try:
        return len(series)
    except Exception:  # an object's own method, or an array of no dimension
        raise UsageError(f"series is {shown(series)}; expected a name, or one for each stream") from None


def _of_series(
    table: SeriesTable | None, series: object, streams: int
) -> tuple[tuple[str | Pool, ...] | None, NDArray[np.int64] | None]:
    """Return the names of the streams' series and their rows; None where the bundle is of one series."""
    if table is None:
        refuse_series(series)
        return None, None
    rows = table.names.rows(series, streams)
    return tuple(map(table.names.name, rows)), np.array(rows, np.int64)


def _seconds(timestamp: object) -> int | None:
    """Return a time as unix seconds; raises DtypeError, and TimeError unless it is one time."""
    if timestamp is None:
        return None
    seconds = unix_seconds(timestamp)
    if seconds.ndim:
        raise TimeError(f"timestamp has shape {seconds.shape}; expected one time, that of this step")
    return int(seconds)
