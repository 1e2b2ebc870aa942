"""One pure function for engines of streams: a state and a step in, a forecast, a judgement and the next state out.

It keeps nothing between calls. The engine (Kafka, Flink, Beam, Spark, a database) keeps the bytes, by series.
"""

from __future__ import annotations

import operator
from typing import Literal, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..computing.calendars import known_times, require_known
from ..errors import TimeError, UsageError
from ..foundation.arguments import flag, shown
from ..foundation.masked import has_masked
from ..foundation.quick_dataclass import dataclass
from ..model.spec import DAY_S, ModelSpec
from .anomalies import AnomalyDetector
from .departures import Anomaly
from .stream_state import require_loaded
from .streaming import Loaded, Stream

Arrival = Literal["next", "gap", "repeated", "late", "between"]
LONGEST_GAP_S = 366 * DAY_S  # or a window, if it is longer; a later time is taken for an error in it


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


class Stepped(NamedTuple):
    """The result of `step`; `anomaly` is None for a step that was late or between."""

    forecast: StepForecast
    anomaly: Anomaly | None
    state: bytes


def step(  # noqa: PLR0913  # an option is a parameter
    model: Loaded, state: bytes | None, values: ArrayLike, time: SupportsIndex, *, series: object = None,
    false_alarm_rate: float | None = None, carry_over: bool = False, adapt: bool = False,
) -> Stepped:  # fmt: skip
    """Return what follows from one step of one series; the same arguments always give the same result.

    model   what `pulsecast.load` returned
    state   the last result's; None starts a series
    values  (measured,), or a number for a model of one column, raw; NaN is a step that is known to be missing
    time    unix seconds (UTC) of the step, a whole number, of numpy too
    series  where the bundle holds several: the name of this one, as for `Forecaster.predict`; a state knows its own
    false_alarm_rate  of a new series, as for `Forecaster.detector`; a state has its own
    carry_over        accept the state of another model, as `Stream.from_bytes` does
    adapt             begin to adapt, as `Stream` does; a state that does so goes on

        state = None
        for second, value in measurements:
            forecast, anomaly, state = step(model, state, value, second)

    A step that is missing, late or repeated is not an error: `StepForecast.arrival` says what happened. Raises
    FormatError (a damaged state), UsageError (the state of another model), DtypeError, NonFiniteError (masked cells)
    and FeatureCountError (the values), TimeError (a time in milliseconds or finer, beyond the known holidays, or more
    than a year and a window after the last one).

    The last of these is an error because one wrong time in the future would make every true step after it `late`. If
    the time is right, begin again with state=None. Nothing can check the first time of a series so.
    """
    require_loaded(model)
    time = _seconds(model.manifest.spec, time)
    begun = _Begun(series=series, false_alarm_rate=false_alarm_rate, carry_over=carry_over, adapt=flag("adapt", adapt))
    detector = _detector(model, state, begun)
    due, step_s = detector.due, model.manifest.spec.step_s
    missing = 0
    if due is not None and time != due:
        arrival = _arrival(time - due, step_s)
        if arrival != "gap":
            return _unchanged(model, detector, arrival, time)
        _refuse_far(model.manifest.spec, time - due + step_s)
        missing = (time - due) // step_s
    if missing >= model.manifest.spec.context:  # nothing that is known reaches into the window
        detector.restart(missing)
    else:
        for _ in range(missing):
            detector.skip()
    anomaly = detector.push(values, timestamp=time)
    forecast = _forecast(model, detector, "gap" if missing else "next", missing, time)
    return Stepped(forecast=forecast, anomaly=anomaly, state=detector.to_bytes())


def _seconds(spec: ModelSpec, time: SupportsIndex) -> int:
    """Return `time` as an int; raises TimeError unless it is a whole number, and a time that `spec` knows."""
    try:
        seconds = None if isinstance(time, bool) or has_masked(time) else operator.index(time)
    except Exception:  # not a number, or an object's own method
        seconds = None
    if seconds is None:
        raise TimeError(f"time is {shown(time)}; expected a whole number of unix seconds (UTC)")
    first, last = known_times(spec)
    if not first <= seconds <= last:
        require_known(spec, np.array([seconds]))
    return seconds


def _refuse_far(spec: ModelSpec, after_s: int) -> None:
    """Raise TimeError if a step comes so long after the last one that its time must be wrong."""
    if after_s > max(LONGEST_GAP_S, spec.context * spec.step_s):
        raise TimeError(
            f"the step comes {after_s / (365.25 * DAY_S):.1f} years after the last one; a gap has at most a year, or a "
            "window: correct its time, or begin again with state=None if it is right"
        )


class _Begun(NamedTuple):
    """How a series begins, or goes on: the options of `step`."""

    series: object
    false_alarm_rate: float | None
    carry_over: bool
    adapt: bool


def _detector(model: Loaded, state: bytes | None, begun: _Begun) -> AnomalyDetector:
    series, false_alarm_rate = begun.series, begun.false_alarm_rate
    if state is None:
        stream = Stream(model, 1, series=series, by_window=True, adapt=begun.adapt)
        return AnomalyDetector(stream, model.manifest, false_alarm_rate=false_alarm_rate)
    detector = AnomalyDetector.from_bytes(model, state, carry_over=begun.carry_over, by_window=True, adapt=begun.adapt)
    known = detector.series[0] if detector.series else None
    if series not in (None, known):
        raise UsageError(
            f"series is {str(series)[:60]!r}; the state is of {'one without a name' if known is None else known!r}"
        )
    if false_alarm_rate not in (None, detector.false_alarm_rate):
        raise UsageError(
            f"false_alarm_rate is {false_alarm_rate}; the state was begun with {detector.false_alarm_rate:g}, "
            "which holds for it"
        )
    return detector


def _arrival(after_due_s: int, step_s: int) -> Arrival:
    """Return how a step comes that is not due."""
    if after_due_s % step_s:
        return "between"
    if after_due_s > 0:
        return "gap"
    return "repeated" if after_due_s == -step_s else "late"


def _unchanged(model: Loaded, detector: AnomalyDetector, arrival: Arrival, time: int) -> Stepped:
    """Return the answer to a step that is not taken."""
    repeated = arrival == "repeated"
    return Stepped(
        forecast=_forecast(model, detector, arrival, 0, time),
        anomaly=detector.judged if repeated else None,
        state=detector.to_bytes(),
    )


def _forecast(model: Loaded, detector: AnomalyDetector, arrival: Arrival, missing: int, time: int) -> StepForecast:
    made = [detector.forecasts, *([] if detector.adapted is None else [detector.adapted])]
    if arrival in ("late", "between"):
        made = [np.full_like(one, np.nan) for one in made]
    bounds = [_bounds(model, detector, one) for one in made]
    adapted, (low, high) = (made[1].copy(), bounds[1]) if len(made) > 1 else (None, (None, None))
    return StepForecast(
        arrival=arrival, missing=missing, time=time, forecast=made[0].copy(), lower=bounds[0][0], upper=bounds[0][1],
        adapted=adapted, adapted_lower=low, adapted_upper=high,
    )  # fmt: skip


def _bounds(
    model: Loaded, detector: AnomalyDetector, forecast: NDArray[np.float32]
) -> tuple[NDArray[np.floating] | None, NDArray[np.floating] | None]:
    """Return lower and upper bounds (horizon,) at the manifest's level; None if the model has no intervals."""
    if model.manifest.intervals is None:
        return None, None
    from ..computing.intervals import split_interval

    level = model.manifest.level or model.manifest.intervals.default_level
    row = None
    if model.series is not None and detector.series is not None:
        row = np.array([model.series.names.row(detector.series[0])], np.int64)
    found = split_interval(model.manifest.intervals, forecast[np.newaxis], level, model.series, row)
    return found.lower[0], found.upper[0]
