"""The linear path's kernel in closed form: a pool's, each series' own, and both of them mixed.

Two differently biased regressions for every step ahead, and their mean. The first one has all inputs; large values
count for more; it is fitted on the pool, and then on what that leaves of each series. The second one has lags and the
main waves only, and is fitted on each series alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pulsecast.model.linear import Linear
from pulsecast.model.spec import ModelSpec

from ..recipes.linear_path import MAIN_HARMONICS
from .linear_rows import MOST_ROWS, Rows, Source, rows_of, together
from .robust_ridge import huber_ridge

Kernel = NDArray[np.float64]  # (inputs, horizon)

# prior scales of standardised weights, beside lags and calendar, which have about 1
POOLED_DETAIL, OWN_DETAIL = 0.3, 0.05  # bends, finer waves of the day, the weekend's own shape of the day
OTHER = 0.3  # further measured columns
OWN_SHARE, OWN_SHARE_AHEAD = 0.75, 0.5  # of a series' own kernel in its mix with the pool's: one step ahead, and more


def pooled_kernel(spec: ModelSpec, linear: Linear, sources: Sequence[Source]) -> Kernel:
    """Return the kernel (inputs, horizon) that serves all series of `sources` alike."""
    windows = sum(len(source.starts) for source in sources)
    share = min(MOST_ROWS / windows, 1.0)
    rows = together([rows_of(spec, linear, source.thinned(share)) for source in sources])
    scales = prior_scales(linear, spec.measured, POOLED_DETAIL)
    return _fitted(spec, rows, scales, rows.sizes)


def own_kernel(spec: ModelSpec, linear: Linear, source: Source, pooled: Kernel) -> Kernel:
    """Return the kernel (inputs, horizon) of one series: the pool's, what that leaves of the series, and its own."""
    rows = rows_of(spec, linear, source)
    detailed = prior_scales(linear, spec.measured, OWN_DETAIL)
    plain = prior_scales(linear, spec.measured, 0.0)
    deviation = _fitted(spec, rows, detailed, rows.sizes, beside=pooled)
    alone = _fitted(spec, rows, plain, np.ones(len(rows.sizes)))
    share = OWN_SHARE if spec.horizon == 1 else OWN_SHARE_AHEAD
    return share * (pooled + deviation + alone) / 2 + (1 - share) * pooled


def _fitted(
    spec: ModelSpec, rows: Rows, scales: NDArray[np.float64], weights: NDArray[np.float64],
    beside: Kernel | None = None,
) -> Kernel:  # fmt: skip
    """Return the kernel of a regression for each step ahead, of what the kernel `beside` leaves.

    On one thread: products of this size gain nothing from more, lose much on a busy machine (63 s instead of 6 on two
    cores), and then the sums would depend on the number of cores.
    """
    kernel = np.empty((rows.first.shape[1], spec.horizon))
    with threadpool_limits(limits=1, user_api="blas"):
        for step in range(spec.horizon):
            inputs, left = rows.inputs(step), rows.changes[:, step]
            left = left if beside is None else left - inputs @ beside[:, step]
            kernel[:, step], kernel[-1, step] = huber_ridge(inputs, left, weights, scales)
    return kernel


def prior_scales(linear: Linear, measured: int, detail: float) -> NDArray[np.float64]:
    """Return the prior scale (inputs,) of each input; 0 leaves one out, and the constant, which is the intercept."""
    parts = linear.parts(measured)
    scales = np.zeros(linear.inputs(measured))
    scales[parts["lags"]] = _lag_scales(linear)
    scales[parts["others"]] = OTHER
    scales[parts["bends"]] = detail
    main = [1.0 if wave.multiple <= MAIN_HARMONICS else detail for wave in linear.waves]
    scales[parts["waves"]] = np.repeat(main, 2)
    scales[parts["weekend"]] = detail
    if linear.weekend_waves is not None:
        scales[parts["weekend"].start] = 1.0
    return scales


def _lag_scales(linear: Linear) -> NDArray[np.float64]:
    """Return the prior scales (lags,): 1 for the level; a change counts more the nearer it is to now, or to a season.

    Around a season both the step that is forecast and the one before it count.
    """
    lag = np.arange(1, linear.lags + 1)
    near = [np.power(0.9, lag - 1)]
    if linear.season:
        near += [share * np.power(0.8, np.abs(lag - linear.season * n - 0.5)) for n, share in ((1, 1.0), (2, 0.5))]
    scales: NDArray[np.float64] = np.max(near, axis=0) + 0.1
    scales[0] = 1.0
    return scales
