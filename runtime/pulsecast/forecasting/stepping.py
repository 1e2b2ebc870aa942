"""One pure function for engines of streams: a state and a step in, a forecast, a judgement and the next state out.

It keeps nothing between calls. The engine (Kafka, Flink, Beam, Spark, a database) keeps the bytes, by series.
"""

from __future__ import annotations

from typing import NamedTuple, SupportsIndex

from numpy.typing import ArrayLike

from ..foundation.arguments import flag
from .departures import Anomaly
from .living.live_series import Begun, LiveSeries, StepForecast
from .stream_state import require_loaded
from .streaming import Loaded


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
    options = Begun(series=series, false_alarm_rate=false_alarm_rate, carry_over=carry_over, adapt=flag("adapt", adapt))
    live = LiveSeries(model, state, options)
    forecast, anomaly = live.take(values, time)
    return Stepped(forecast=forecast, anomaly=anomaly, state=live.to_bytes())
