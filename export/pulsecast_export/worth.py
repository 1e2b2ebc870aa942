"""Whether a model is worth deploying: remarks on its own errors. Equal artifacts of a useless model are useless."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.golden import Golden
from pulsecast.bundle.manifest import HeldOut

HARDLY = 0.01  # of the truth's spread: a forecast that moves less is a constant to its readers


def remarks(heldout: HeldOut, golden: Golden) -> tuple[str, ...]:
    """Return a sentence for each reason not to deploy a model; none for one that beats the last value and moves."""
    return (*_against_last_value(heldout), *_hardly_moving(golden))


def worth(heldout: HeldOut) -> str:
    """Return the errors of a model and of the last value in words; empty where they were not measured."""
    forecasts = heldout.forecasts
    if "model" not in forecasts or "last_value" not in forecasts:
        return ""
    errors = f"{forecasts['model'].mae:,.4g}, of the last value {forecasts['last_value'].mae:,.4g}"
    return f"MAE of the model {errors}, on {heldout.windows:,} held-out windows in raw units"


def _against_last_value(heldout: HeldOut) -> list[str]:
    model, naive = heldout.forecasts.get("model"), heldout.forecasts.get("last_value")
    if model is None or naive is None or model.mae <= naive.mae:
        return []
    times = f", {model.mae / naive.mae:,.3g} times as large" if naive.mae > 0 else ""
    said = (
        f"this model loses to repeating the last value: MAE {model.mae:,.4g} against {naive.mae:,.4g}{times}, on "
        f"{heldout.windows:,} held-out windows. Its artifacts are equal to it, and as bad: check units, scaling and "
        "the order of columns, or train it again"
    )
    return [said]


def _hardly_moving(golden: Golden) -> list[str]:
    unit = golden.unit[:, np.newaxis]
    found, truth = _spread(golden.reference / unit), _spread(golden.truth / unit)
    if not found < HARDLY * truth:
        return []
    said = (
        f"its forecasts hardly move: their spread is {found / truth:.1e} of that of the truth. A network that was "
        "trained on values without scaling does that: train it on scaled ones, and give the scaler with --scaler"
    )
    return [said]


def _spread(values: NDArray[np.float64]) -> float:
    return float(np.mean(np.abs(values - np.median(values))))
