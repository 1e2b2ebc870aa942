"""The network and the linear path as one model: fitted side by side, added by fixed shares that stand in the weights.

forecast = last value + 0.8 of the linear path + 0.2 of the network. A share chosen on validation data was unstable,
from 0.1 to 0.5, and no better.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.computing import reference
from pulsecast.computing.linear_path import linear_path
from pulsecast.model.linear import Linear
from pulsecast.model.series import POOL_ROW, Scaling, SeriesTable
from pulsecast.model.spec import ModelSpec
from pulsecast.model.weights import Weights
from pulsecast.model.windows import Windows
from pulsecast.stages.linear_alone import spec_alone, table_alone, weights_alone

from ..windows import Steps, raw_columns
from .linear import Kernel, own_kernel, pooled_kernel
from .linear_rows import Source
from .pooling import by_row
from .preparing import Prepared

LINEAR_SHARE = 0.8
PREDICT_BATCH = 1024
FLOAT32_BYTES = 4
MOST_TABLE_BYTES = 4_000_000  # of the kernels in a table: ten thousand series one hour ahead, or four hundred a day

Forward = Callable[[NDArray[Any]], NDArray[Any]]  # channels (n, window, channels) -> outputs (n, horizon)


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """What forecasts: a network in its own engine, and the linear path of `weights`, if there is one.

    weights  of which only the linear path is used here
    network  None where only the linear path alone is asked for
    """

    spec: ModelSpec
    scaling: Scaling
    weights: Weights
    network: Forward | None

    def forecasts(
        self, steps: Steps, starts: NDArray[np.int64], rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return raw forecasts (n, horizon) for the windows at `starts`, in float32; `rows` (n,) are of the table."""
        network = self.network
        if network is None:
            raise ValueError("this model has no network: ask for its linear path alone")
        spec, found = self.spec, [np.empty((0, self.spec.horizon), np.float32)]
        for first in range(0, len(starts), PREDICT_BATCH):
            part = slice(first, first + PREDICT_BATCH)
            columns = raw_columns(steps, spec, starts[part])
            time = steps.time[starts[part] + spec.context - 1]
            windows = Windows(values=columns, time=time, series=None if rows is None else rows[part])
            beside = linear_path(spec, self.scaling, self.weights, windows)
            scaler = self.scaling.of(windows)
            found.append(reference.through(spec, scaler, network, columns, beside).astype(np.float32))
        return np.concatenate(found)

    def alone(self) -> Model:
        """Return the linear path as a model of its own, with the whole share of the forecast."""
        scaling = self.scaling
        return Model(
            spec=spec_alone(self.spec),
            scaling=table_alone(scaling, LINEAR_SHARE) if isinstance(scaling, SeriesTable) else scaling,
            weights=weights_alone(self.weights, LINEAR_SHARE),
            network=lambda channels: np.zeros((len(channels), self.spec.horizon), channels.dtype),
        )


def share_head(network: Any) -> None:
    """Leave the Keras `network` with its share of the forecast beside a linear path: its head is made smaller."""
    head = network.get_layer("head")
    head.set_weights([np.asarray(one, np.float32) * np.float32(1 - LINEAR_SHARE) for one in head.get_weights()])


def with_share(kernel: Kernel) -> NDArray[np.float32]:
    """Return a kernel as a model with a network beside it holds it."""
    return (LINEAR_SHARE * kernel).astype(np.float32)


def own_kernels(spec: ModelSpec, linear: Linear, sources: Sequence[Source]) -> list[Kernel]:
    """Return the kernel (inputs, horizon) of each series of `sources`; one series alone is a pool of one.

    More series than a table may hold kernels of share the pool's.
    """
    pooled = pooled_kernel(spec, linear, sources)
    if not have_own_kernels(spec, linear, len(sources)):
        return [pooled] * len(sources)
    return [own_kernel(spec, linear, source, pooled) for source in sources]


def have_own_kernels(spec: ModelSpec, linear: Linear, series: int) -> bool:
    """Return whether a table of so many `series` may hold a kernel for each."""
    return series * linear.inputs(spec.measured) * spec.horizon * FLOAT32_BYTES <= MOST_TABLE_BYTES


def fit_path(prepared: Prepared) -> tuple[NDArray[np.float32] | None, SeriesTable | None]:
    """Return the linear path of a run: the weights' kernel, and the table of series with a kernel for each row.

    It is fitted on the windows of training and validation. The pool's kernel is fitted on windows that are scaled by
    themselves; where it serves all rows, on windows that are scaled either way. Without a linear path, the kernel is
    None, and the table is as it was.
    """
    spec, table, linear = prepared.spec, prepared.table, prepared.spec.linear
    if linear is None:
        return None, table
    starts = np.sort(np.concatenate([prepared.split.training, prepared.split.validation]))
    rows = prepared.rows(starts)
    if table is None or rows is None:
        source = Source(steps=prepared.steps, starts=starts, scaling=prepared.scaler)
        return with_share(own_kernels(spec, linear, [source])[0]), None
    series = [Source(steps=prepared.steps, starts=starts[at], scaling=table, row=rows[at[0]]) for at in by_row(rows)]
    unseen = [dataclasses.replace(source, row=POOL_ROW) for source in series]
    if not have_own_kernels(spec, linear, len(series)):
        return with_share(pooled_kernel(spec, linear, [*series, *unseen])), table
    kernels = np.stack(
        [with_share(kernel) for kernel in (pooled_kernel(spec, linear, unseen), *own_kernels(spec, linear, series))]
    )
    return kernels[POOL_ROW], dataclasses.replace(table, linear=kernels)


def path_weights(kernel: NDArray[np.float32] | None, horizon: int) -> Weights:
    """Return the weights of a linear path beside a network whose own weights are elsewhere."""
    head = np.zeros((0, horizon), np.float32)
    return Weights(layers=(), head_kernel=head, head_bias=np.zeros(horizon, np.float32), linear=kernel)
