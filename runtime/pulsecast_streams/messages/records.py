"""What goes out: a forecast, an alarm, a dead letter, each an object of JSON with the fields stated here."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.manifest import Manifest
from pulsecast.forecasting.departures import REASONS, Anomaly
from pulsecast.forecasting.living.live_series import StepForecast

from ..refusal import RefusedError
from .received import Received

Record = Mapping[str, Any]
VERSION_CHARACTERS = 12  # of the model's digest


def forecast_record(
    manifest: Manifest, series: str, found: StepForecast, *, filled: int = 0, outside: bool = False
) -> Record:
    """Return the record of a forecast.

    time      unix seconds of the step that it was made at; its first number is for time + step_s
    arrival   next, gap or repeated: `pulsecast.StepForecast`
    missing, filled   steps before this one that are unknown, or that a policy filled in
    outside   a value of the step lies outside what training saw of it: its units may be others
    forecast, lower, upper   (horizon,) raw; null while the window is not whole
    level     of the bounds; null if the model has none
    adapted, adapted_lower, adapted_upper   only where the series adapts
    """
    record = {
        "series": series,
        "time": found.time,
        "step_s": manifest.spec.step_s,
        "arrival": found.arrival,
        "missing": found.missing,
        "filled": filled,
        "outside": outside,
        "forecast": _numbers(found.forecast),
        "lower": _numbers(found.lower),
        "upper": _numbers(found.upper),
        "level": None if found.lower is None else level_of(manifest),
        **of_model(manifest),
    }
    if found.adapted is not None:
        record |= {
            "adapted": _numbers(found.adapted),
            "adapted_lower": _numbers(found.adapted_lower),
            "adapted_upper": _numbers(found.adapted_upper),
        }
    return record


def alarm_record(manifest: Manifest, series: str, time: int, found: Anomaly, *, filled: bool) -> Record:
    """Return the record of a step that is flagged.

    expected      the forecast of this step; null where there was none
    lower, upper  what is flagged lies outside of these
    score         how far off it is, in radii; above 1 is outside
    reason, why   a key of `pulsecast`'s reasons, and what it says
    alarm         an incident begins here, or became twice as bad
    filled        the step is missing, and a policy filled it in
    """
    return {
        "series": series,
        "time": time,
        "value": _number(found.value),
        "expected": _number(found.forecast),
        "lower": _number(found.lower),
        "upper": _number(found.upper),
        "score": _number(found.score),
        "reason": found.reason,
        "why": None if found.reason is None else REASONS[found.reason],
        "alarm": bool(found.alarm),
        "filled": filled,
        **of_model(manifest),
    }


def dead_letter(manifest: Manifest, received: Received, error: RefusedError, most: int) -> Record:
    """Return the record of a message that was refused, and by which model."""
    return {**refused_message(received, error, most), **of_model(manifest)}


def refused_message(received: Received, error: RefusedError, most: int) -> Record:
    """Return the record of a message that was refused.

    code, reason  a key of `CODES`, and what was wrong, what was expected, what to do
    key, value    its bytes in base64, of `value` at most the first `most`; size_bytes says how many it had
    source        where the engine got it
    """
    key = received.key.encode("utf-8", "surrogatepass") if isinstance(received.key, str) else received.key
    return {
        "code": error.code,
        "reason": str(error),
        "key": None if key is None else base64.b64encode(key[:most]).decode("ascii"),
        "value": base64.b64encode(received.value[:most]).decode("ascii"),
        "size_bytes": len(received.value),
        "source": dict(received.source),
    }


def of_model(manifest: Manifest) -> Record:
    """Return what every record says of the model: its name, and the beginning of its digest."""
    return {"model": manifest.name, "version": manifest.model_digest[:VERSION_CHARACTERS]}


def level_of(manifest: Manifest) -> float | None:
    """Return the level of the bounds in a forecast; None if the model has no intervals."""
    return manifest.level or (None if manifest.intervals is None else manifest.intervals.default_level)


def _numbers(found: NDArray[np.floating] | None) -> list[float | None] | None:
    """Return numbers (horizon,), the shortest that read back as the same float, -0 as 0; None if there is none."""
    if found is None:
        return None
    found = found + found.dtype.type(0)  # -0 becomes 0
    numbers = found.tolist() if found.dtype == np.float64 else [float(str(one)) for one in found]
    if all(map(math.isfinite, numbers)):
        return numbers
    return None if np.isnan(found).all() else [one if math.isfinite(one) else None for one in numbers]


def _number(one: float | np.floating) -> float | None:
    return float(str(one)) + 0.0 if math.isfinite(one) else None
