"""What is answered to a step, in JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.forecasting.departures import Anomaly
from pulsecast.forecasting.living.live_series import StepForecast, Taken

from ...models.served import Served
from ..bodies import shortest
from ..timeseries_words import finite
from .request import Step

Window = Callable[[], NDArray[np.float32]]
_LATE = "the step is older than the last one, and was not taken"
_BEYOND = "a value or the time lies outside what the model takes"


def answer(served: Served, step: Step, stepped: Taken, window: Window, *, outside: bool) -> dict[str, object]:
    """Return the answer to a step that was pushed.

    window   gives the last steps (context, columns), where the answer says what is missing
    outside  a value lies outside what training saw
    """
    forecast = stepped.forecast
    return {
        "time": step.time,
        "arrival": forecast.arrival,
        "missing": forecast.missing,
        "values": values(step),
        "outside_training_range": outside,
        **_forecast(served, forecast.forecast, forecast.lower, forecast.upper),
        "no_forecast": _why(stepped, window),
        "anomaly": None if stepped.anomaly is None else _anomaly(stepped.anomaly),
        "adapted": _adapted(served, forecast),
        "model_version": str(served.version),
    }


def repeated(last: Mapping[str, Any], step: Step) -> dict[str, object]:
    """Return the answer to a step with the time of the last one: what that one was answered, since it stands."""
    return {**last, "arrival": "repeated", "differs": last["values"] != values(step)}


def values(step: Step) -> list[float | None]:
    """Return the values of a step as they are kept, in float32; None for one that is missing."""
    return [None if math.isnan(one) else shortest(np.array([one]))[0] for one in step.values]


def _forecast(
    served: Served,
    forecast: NDArray[np.float32],
    lower: NDArray[np.floating] | None,
    upper: NDArray[np.floating] | None,
) -> dict[str, object]:
    known = bool(np.isfinite(forecast).all())
    interval = None
    if known and lower is not None and upper is not None:
        manifest = served.model.manifest
        level = manifest.level or (manifest.intervals.default_level if manifest.intervals else None)
        interval = {"level": level, "lower": finite(lower), "upper": finite(upper)}
    return {"forecast": shortest(forecast) if known else None, "interval": interval}


def _adapted(served: Served, forecast: StepForecast) -> dict[str, object] | None:
    if forecast.adapted is None:
        return None
    return _forecast(served, forecast.adapted, forecast.adapted_lower, forecast.adapted_upper)


def _why(stepped: Taken, window: Window) -> str | None:
    """Return why there is no forecast; None if there is one."""
    if stepped.forecast.arrival == "late":
        return _LATE
    if np.isfinite(stepped.forecast.forecast).all():
        return None
    steps = window()
    broken = np.flatnonzero(~np.isfinite(steps).all(axis=1))
    if not len(broken):
        return _BEYOND
    return f"the window is not whole: {int(broken[-1]) + 1} more steps fill its {len(steps)}"


def _anomaly(found: Anomaly) -> dict[str, object]:
    numbers = {
        "value": found.value, "expected": shortest(np.array([found.forecast]))[0], "lower": found.lower,
        "upper": found.upper, "score": found.score,
    }  # fmt: skip
    said = {name: one + 0.0 if math.isfinite(one) else None for name, one in numbers.items()}
    return {**said, "anomalous": found.anomalous, "alarm": found.alarm, "reason": found.reason}
