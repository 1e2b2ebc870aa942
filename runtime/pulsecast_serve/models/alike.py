"""How many windows an engine may be given at once without a change of a single bit of any forecast."""

from __future__ import annotations

import numpy as np

from pulsecast.computing.calendars import known_times
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.model.windows import Windows

MOST = 16  # windows: more of them save little, and their proof takes 10 ms of an hourly model
_SEED = 7


def alike(model: Forecaster) -> int:
    """Return n, 1 to MOST: this engine forecasts 2 to n windows of one call to the last bit as each of them alone.

    The order in which an engine adds numbers depends on how many windows it is given, not on what they hold: some
    windows show it. Nothing is known of a GPU, whose order may change from call to call, and of format 1.
    """
    if model.backend.device != "CPU" or model.manifest.format == 1:
        return 1
    windows, forecast = _windows(model), model.backend.predict  # which warns of no range
    alone = np.concatenate([forecast(*windows.take([i]).inputs) for i in range(MOST)])  # (MOST, horizon)
    if not np.isfinite(alone).all():
        return 1
    for size in range(2, MOST + 1):
        if forecast(*windows.take(slice(0, size)).inputs).tobytes() != alone[:size].tobytes():
            return size - 1
    return MOST


def _windows(model: Forecaster) -> Windows:
    """Return MOST windows inside the range of training, of different series where there are several."""
    spec = model.manifest.spec
    first, last = known_times(spec)
    measured = model.manifest.scaler.features[: spec.measured]
    shares = np.random.default_rng(_SEED).random((MOST, spec.context, spec.measured))
    low, high = (np.array([getattr(one, name) for one in measured]) for name in ("low", "high"))
    return Windows(
        values=(low + shares * (high - low)).astype(np.float32),
        time=np.clip(np.arange(MOST, dtype=np.int64) * spec.step_s, first, last) if spec.timed else None,
        series=None if model.series is None else np.arange(MOST, dtype=np.int64) % len(model.series),
    )
