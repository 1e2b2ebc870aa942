"""Ridge regression under Huber's loss: a closed form solved a few times, its penalty chosen by leaving each row out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ALPHAS = tuple(10.0**power for power in range(-2, 6))
PASSES = 5
CHOOSING_PASSES = 2  # the first ones choose a penalty; the others keep it
# A residual beyond so many times the median of their sizes counts by its size, below it by its square. For normal
# errors that is one standard deviation.
HUBER = 1.5
LEAST_SPREAD = 1e-7  # of a column that is not constant; inputs are scaled numbers of about 1, waves and tanh
LEAST_LEFT = 1e-9  # of 1 - leverage


def huber_ridge(inputs: Array, targets: Array, weights: Array, scales: Array) -> tuple[Array, float]:
    """Return the weights (inputs,) and the intercept of a regression of `targets` (n,) on `inputs` (n, inputs).

    weights  (n,) how much each row counts, positive
    scales   (inputs,) prior scale of a standardised column's weight: 0 leaves the column out

    A column that is constant over the rows has the weight 0.
    """
    spread = inputs.std(axis=0)
    used = (scales > 0) & (spread > LEAST_SPREAD)
    factor = scales[used] / spread[used]
    columns = inputs[:, used] * factor  # (n, used)
    counted, alpha = weights, 0.0
    for number in range(PASSES):
        now = counted / counted.mean()
        if number < CHOOSING_PASSES:
            alpha = best_alpha(columns, targets, now, np.array(ALPHAS))
        found, level = weighted_ridge(columns, targets, now, alpha)
        size = np.abs(targets - columns @ found - level)
        threshold = HUBER * float(np.median(size))
        if not threshold > 0:  # most rows are forecast exactly
            break
        counted = weights * (threshold / np.maximum(size, threshold))
    result = np.zeros(inputs.shape[1])
    result[used] = found * factor
    return result, level


def weighted_ridge(columns: Array, targets: Array, weights: Array, alpha: float) -> tuple[Array, float]:
    """Return the weights (columns,), shrunk by `alpha`, and the intercept, which is not shrunk; `weights` (n,)."""
    _, _, gram, moment, (centre, level) = _normal(columns, targets, weights)
    found = np.asarray(np.linalg.solve(gram + alpha * np.eye(len(gram)), moment), np.float64)
    return found, level - float(centre @ found)


def best_alpha(columns: Array, targets: Array, weights: Array, alphas: Array) -> float:
    """Return that one of `alphas` with the least weighted squared error of each row by a fit on all the others.

    That fit's error is residual / (1 - leverage); all penalties share one eigendecomposition of the Gram matrix.
    """
    inputs, changes, gram, moment, _ = _normal(columns, targets, weights)
    values, vectors = np.linalg.eigh(gram)
    shrunk = 1 / (np.maximum(values, 0.0)[:, np.newaxis] + alphas)  # (columns, alphas)
    turned = inputs @ vectors  # (n, columns)
    residuals = changes[:, np.newaxis] - turned @ ((vectors.T @ moment)[:, np.newaxis] * shrunk)  # (n, alphas)
    leverage = weights[:, np.newaxis] * (np.square(turned) @ shrunk + 1 / weights.sum())
    left_out = residuals / np.maximum(1 - leverage, LEAST_LEFT)
    return float(alphas[np.argmin(weights @ np.square(left_out))])


def _normal(columns: Array, targets: Array, weights: Array) -> tuple[Array, Array, Array, Array, tuple[Array, float]]:
    """Return centred columns and targets, their Gram matrix and moments, and both centres; all means are weighted."""
    total = weights.sum()
    centre, level = weights @ columns / total, float(weights @ targets / total)
    inputs, changes = columns - centre, targets - level
    gram, moment = inputs.T @ (inputs * weights[:, np.newaxis]), inputs.T @ (weights * changes)
    return inputs, changes, gram, moment, (centre, level)
