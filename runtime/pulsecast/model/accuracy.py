"""Point errors of forecasts in raw units: one formula each, used by training, verification and benchmarks alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..foundation.quick_dataclass import dataclass

if TYPE_CHECKING:  # a manifest is read without numpy
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Errors over all windows and horizon steps, in raw units.

    mae   mean |forecast - truth|
    rmse  sqrt(mean (forecast - truth)^2)
    bias  mean (forecast - truth)
    """

    mae: float
    rmse: float
    bias: float


def accuracy(forecasts: NDArray[np.floating], truth: NDArray[np.floating]) -> Accuracy:
    """Return the errors of `forecasts` against `truth`, both (n, horizon).

    >>> accuracy(np.array([[3.0], [1.0]]), np.array([[1.0], [1.0]]))
    Accuracy(mae=1.0, rmse=1.4142135623730951, bias=1.0)
    """
    import numpy as np

    error = np.asarray(forecasts, np.float64) - truth
    return Accuracy(
        mae=float(np.mean(np.abs(error))), rmse=float(np.sqrt(np.mean(error**2))), bias=float(np.mean(error))
    )


def relative_change(measured: float, ideal: float) -> float:
    """Return measured / ideal - 1; where `ideal` is 0, 0 if `measured` is too and else 1."""
    return measured / ideal - 1 if ideal > 0 else float(measured > 0)
