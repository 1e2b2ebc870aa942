"""A series between two steps, alive: what `step` does, without reading and writing its state for each of them.

It is the state that counts. A series that is resumed from the bytes of another one gives the same forecasts,
judgements and bytes as the other one that goes on, bit for bit.
"""

from __future__ import annotations

import operator
from typing import Literal, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...computing.calendars import known_times, require_known
from ...computing.intervals import bounds_of_few, radius_at
from ...errors import EngineError, InputError, TimeError, UsageError
from ...foundation.arguments import shown
from ...foundation.masked import has_masked
from ...foundation.quick_dataclass import dataclass
from ...model.spec import DAY_S, ModelSpec
from ..anomalies import AnomalyDetector
from ..departures import Anomaly
from ..streaming import Loaded, Stream

Arrival = Literal["next", "gap", "repeated", "late", "between"]
LONGEST_GAP_S = 366 * DAY_S  # or a window, if it is longer; a later time is taken for an error in it
# A window is replayed into an engine that takes single steps: about as much work as two forecasts of whole windows.
WARM = 2


@dataclass(frozen=True, kw_only=True)
class StepForecast:
    """What followed from a step.

    arrival   `next`: it came when it was due, or it is the first one.
              `gap`: steps before it are missing, for at most a year or a window. They count as unknown: there is no
              forecast until the window is whole.
              `repeated`: it has the time of the last step. The first value stands, and the answer is the one it gave.
              `late`: it is older than the last step. `between`: its time is not on the grid of steps. Neither changes
              the state, and there is no forecast.
    missing   steps that a gap left out
    time      unix seconds (UTC) of the step
    forecast  (horizon,) float32, raw, of the steps after it; NaN where there is none
    lower, upper  (horizon,) at the manifest's level; None if the model has no intervals
    adapted   (horizon,) the corrected forecast, and its bounds; None unless the series adapts
    """

    arrival: Arrival
    missing: int
    time: int
    forecast: NDArray[np.float32]
    lower: NDArray[np.floating] | None
    upper: NDArray[np.floating] | None
    adapted: NDArray[np.float32] | None = None
    adapted_lower: NDArray[np.floating] | None = None
    adapted_upper: NDArray[np.floating] | None = None


class Begun(NamedTuple):
    """How a series begins, or goes on: the options of `step`."""

    series: object = None
    false_alarm_rate: float | None = None
    carry_over: bool = False
    adapt: bool = False


class Taken(NamedTuple):
    """What followed from a step; `anomaly` is None for one that was late or between."""

    forecast: StepForecast
    anomaly: Anomaly | None


class LiveSeries:
    """One series that goes on from step to step. Not thread-safe: one thread takes its steps."""

    def __init__(self, model: Loaded, state: bytes | None, begun: Begun) -> None:
        """Go on from the bytes that `to_bytes` returned, or begin: None.

        Raises FormatError (a damaged state), UsageError (the state of another model, or of other options).
        """
        self.model = model
        self.adapts = begun.adapt
        self._spec = model.manifest.spec
        self._first, self._last = known_times(self._spec)
        self._detector = _detector(model, state, begun)
        self._bounds = _Bounds(model, self._detector)
        self._steps = 0  # that it took here
        self._broken = False  # an engine failed within a step

    @property
    def series(self) -> object:
        """The name of its series, or POOL; None where the bundle is of one series."""
        return None if self._detector.series is None else self._detector.series[0]

    @property
    def time(self) -> int | None:
        """Unix seconds (UTC) of the last step; None before a step had a time."""
        return None if self._detector.due is None else self._detector.due - self._spec.step_s

    def window(self) -> NDArray[np.float32]:
        """Return the last steps (context, columns), raw, oldest first; NaN where there was none."""
        found: NDArray[np.float32] = self._detector.window()[0]
        return found

    def to_bytes(self) -> bytes:
        """Return the state, as `AnomalyDetector.to_bytes` does. Raises EngineError after a step that failed."""
        self._require_whole()
        return self._detector.to_bytes()

    def require(self, begun: Begun) -> None:
        """Raise UsageError unless these are the options that it was begun with."""
        _require(self._detector, begun)

    def take(self, values: ArrayLike, time: SupportsIndex, *, sure: bool = False) -> Taken:
        """Return what follows from a step; see `step`. One that raises an error changes nothing.

        Where something else is `sure` that the time is not one of the future, a gap may be of any length.
        """
        time = self.checked(time)
        due = self._detector.due
        if due is not None and time != due:
            arrival = _arrival(time - due, self._spec.step_s)
            return self._after_gap(values, time, sure) if arrival == "gap" else self._unchanged(arrival, time)
        self._require_whole()
        self._broken = True
        try:
            anomaly = self._detector.push(values, timestamp=time)
        except InputError:  # nothing was taken
            self._broken = False
            raise
        self._steps += 1
        if self._steps == WARM:
            self._detector.hasten()
        self._broken = False
        return Taken(self._forecast("next", 0, time), anomaly)

    def _require_whole(self) -> None:
        """Raise EngineError if an engine failed within a step: nobody knows how much of it was taken."""
        if self._broken:
            raise EngineError("the series failed within a step: go on from the last state that was kept")

    def checked(self, time: SupportsIndex) -> int:
        """Return `time` as an int; raises TimeError unless it is a whole number, and a time that the model knows."""
        if type(time) is int and self._first <= time <= self._last:
            return time
        try:
            seconds = None if isinstance(time, bool) or has_masked(time) else operator.index(time)
        except Exception:  # not a number, or an object's own method
            seconds = None
        if seconds is None:
            raise TimeError(f"time is {shown(time)}; expected a whole number of unix seconds (UTC)")
        if not self._first <= seconds <= self._last:
            require_known(self._spec, np.array([seconds]))
        return seconds

    def _after_gap(self, values: ArrayLike, time: int, sure: bool) -> Taken:
        """Return what follows from a step before which some are missing."""
        detector = self._detector
        after_s = time - (detector.due or 0)
        if not sure:
            refuse_far(self._spec, after_s + self._spec.step_s)
        missing = after_s // self._spec.step_s
        before = self.to_bytes()
        try:
            if missing >= self._spec.context:  # nothing that is known reaches into the window
                detector.restart(missing)
            else:
                for _ in range(missing):
                    detector.skip()
            anomaly = detector.push(values, timestamp=time)
        except BaseException:
            self.go_back(before)
            raise
        return Taken(self._forecast("gap", missing, time), anomaly)

    def go_back(self, state: bytes) -> None:
        """Be again what returned `state` from `to_bytes`."""
        self._detector = AnomalyDetector.from_bytes(self.model, state, by_window=True)
        self._steps, self._broken = 0, False

    def _unchanged(self, arrival: Arrival, time: int) -> Taken:
        """Return the answer to a step that is not taken."""
        return Taken(self._forecast(arrival, 0, time), self._detector.judged if arrival == "repeated" else None)

    def _forecast(self, arrival: Arrival, missing: int, time: int) -> StepForecast:
        forecast, adapted = self._detector.forecasts.copy(), self._detector.adapted
        if arrival in ("late", "between"):
            forecast = np.full_like(forecast, np.nan)
            adapted = None if adapted is None else np.full_like(adapted, np.nan)
        lower, upper = self._bounds.of(forecast)
        adapted_lower, adapted_upper = (None, None) if adapted is None else self._bounds.of(adapted)
        return StepForecast(
            arrival=arrival, missing=missing, time=time, forecast=forecast, lower=lower, upper=upper,
            adapted=adapted, adapted_lower=adapted_lower, adapted_upper=adapted_upper,
        )  # fmt: skip


class _Bounds:
    """The intervals of one series at the manifest's level: its radii are looked up once."""

    def __init__(self, model: Loaded, detector: AnomalyDetector) -> None:
        self._split, self._radius = model.manifest.intervals, np.empty(0)
        if self._split is None:
            return
        row = None
        if model.series is not None and detector.series is not None:
            row = np.array([model.series.names.row(detector.series[0])], np.int64)
        level = model.manifest.level or self._split.default_level
        self._radius = radius_at(self._split, level, model.series, row).reshape(-1)  # (horizon,)

    def of(self, forecast: NDArray[np.float32]) -> tuple[NDArray[np.floating] | None, NDArray[np.floating] | None]:
        """Return lower and upper bounds (horizon,); None if the model has no intervals."""
        if self._split is None:
            return None, None
        return bounds_of_few(forecast.astype(np.float64), self._radius, self._split.scale, counts=self._split.counts)


def _detector(model: Loaded, state: bytes | None, begun: Begun) -> AnomalyDetector:
    if state is None:
        stream = Stream(model, 1, series=begun.series, by_window=True, adapt=begun.adapt)
        return AnomalyDetector(stream, model.manifest, false_alarm_rate=begun.false_alarm_rate)
    detector = AnomalyDetector.from_bytes(model, state, carry_over=begun.carry_over, by_window=True, adapt=begun.adapt)
    _require(detector, begun)
    return detector


def _require(detector: AnomalyDetector, begun: Begun) -> None:
    known = detector.series[0] if detector.series else None
    if begun.series not in (None, known):
        of = "one without a name" if known is None else repr(known)
        raise UsageError(f"series is {str(begun.series)[:60]!r}; the state is of {of}")
    if begun.false_alarm_rate not in (None, detector.false_alarm_rate):
        raise UsageError(
            f"false_alarm_rate is {begun.false_alarm_rate}; the state was begun with {detector.false_alarm_rate:g}, "
            "which holds for it"
        )


def _arrival(after_due_s: int, step_s: int) -> Arrival:
    """Return how a step comes that is not due."""
    if after_due_s % step_s:
        return "between"
    if after_due_s > 0:
        return "gap"
    return "repeated" if after_due_s == -step_s else "late"


def refuse_far(spec: ModelSpec, after_s: int) -> None:
    """Raise TimeError if a step comes so long after the last one that its time must be wrong."""
    if after_s > max(LONGEST_GAP_S, spec.context * spec.step_s):
        raise TimeError(
            f"the step comes {after_s / (365.25 * DAY_S):.1f} years after the last one; a gap has at most a year, or a "
            "window: correct its time, or begin again with state=None if it is right"
        )
