"""Windows that hold the largest and the smallest numbers, and how far what an artifact gives for them is off.

An engine's own logarithm, exponential or sum may break near the end of float32, and a maximum or a saturated gate then
makes a plausible number of the NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..model.spec import ModelSpec
from ..model.windows import Windows

Array = NDArray[np.floating]
_FLOAT32 = np.finfo(np.float32)
LARGEST, NORMAL, DENORMAL = map(float, (_FLOAT32.max, _FLOAT32.smallest_normal, _FLOAT32.smallest_subnormal))
NUMBERS = (
    *(LARGEST, 3e38, 2.0**127, 1e38, 1e30, 2.0**63, 2.0**53, 2.0**31),
    *(2.0**24 + 2, 2.0**24 + 1, 2.0**24),  # from here on not every whole number is a float32
    *(NORMAL, 1e-40, DENORMAL, 0.0, -0.0, -DENORMAL, -NORMAL),
    *(-0.5, -1.0, -2.0, -(2.0**24), -(2.0**53), -1e30, -LARGEST),
)
# Float32 holds a logarithm in steps of its size times 1.2e-7. A step is as much of the forecast, and some operators on
# the way round by half of one each.
LOG_ROUNDING = 4 * float(_FLOAT32.eps)


def extreme_windows(window: Windows) -> Windows:
    """Return `window`, one, with each of NUMBERS at its first, its middle and its last step and at all steps.

    Then three with the largest number in turns with the least one, with a denormal, and with the window's own numbers.
    """
    last = window.values.shape[1] - 1
    at = (slice(0, 1), slice(last // 2, last // 2 + 1), slice(last, last + 1), slice(None))
    values = np.repeat(window.values, len(NUMBERS) * len(at) + 3, axis=0)  # (n, context, measured)
    for row, (number, steps) in enumerate((number, steps) for number in NUMBERS for steps in at):
        values[row, steps] = number
    values[-3:, ::2] = LARGEST
    values[-3, 1::2] = -LARGEST
    values[-2, 1::2] = DENORMAL
    return window.take([0] * len(values)).changed(values)


def largest_error(spec: ModelSpec, windows: Windows, found: NDArray[np.float32], expected: Array, unit: float) -> float:
    """Return the largest error of forecasts (batch, horizon) in fractions of `unit`, or of the forecast if it is more.

    NaN is not an error: it says that there is no forecast. A number where `expected` has none is an infinite one, and
    so is infinity. Layers that do not saturate add and subtract the numbers themselves, so their errors are of that
    size.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        size = np.maximum(unit, np.abs(expected))  # (batch, horizon)
        if spec.graph is not None or any(layer.activation in ("relu", "linear") for layer in spec.network.recurrent):
            size = np.maximum(size, np.abs(windows.values).max(axis=(1, 2)).astype(np.float64)[:, np.newaxis])
        error = np.abs(found.astype(np.float64) - expected) - log_rounding(expected)
        error = np.where(np.isfinite(expected), np.maximum(error, 0.0) / size, np.inf)
    return float(np.max(error, where=~np.isnan(found), initial=0.0))


def log_rounding(values: Array) -> Array:
    """Return the largest error that float32 makes of raw `values` by a logarithm and its inverse."""
    size: Array = np.abs(values)
    return LOG_ROUNDING * size * np.log1p(size)
