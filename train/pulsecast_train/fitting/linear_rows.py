"""What the linear path is fitted on: its inputs by the runtime's own definition, and the changes that followed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pulsecast.bundle.golden import evenly
from pulsecast.computing.linear_path import linear_inputs
from pulsecast.model.linear import Linear
from pulsecast.model.scaler import level_of
from pulsecast.model.series import POOL_ROW, Scaling, SeriesTable
from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import Windows

from ..windows import Steps

BLOCK = 1024  # windows that are looked at together: of a day of minutes they take 13 MB for each column
MOST_ROWS = 100_000  # of one fit; of more windows so many are taken, evenly. For a hundred weights more bring nothing


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Windows to fit on: the first steps of their contexts (n,) in `steps`, and how they are scaled.

    scaling  a scaler, or a table of series
    row      of the table; its windows are scaled by themselves in row 0, as those of a series that training never saw
    """

    steps: Steps
    starts: NDArray[np.int64]
    scaling: Scaling
    row: int = POOL_ROW

    def thinned(self, share: float) -> Source:
        """Return an even share of the windows, at least one."""
        kept = evenly(len(self.starts), max(round(len(self.starts) * share), 1))
        return dataclasses.replace(self, starts=self.starts[kept])


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Inputs and what followed, n rows.

    first    (n, inputs) the inputs of the first step that is forecast
    weekend  (n, horizon) whether each step is on a weekend, 1 or 0; None where that is not an input
    changes  (n, horizon) scaled changes from the last value
    sizes    (n,) how much a row counts where larger values count for more; 1 on average over each series
    """

    linear: Linear
    measured: int
    first: NDArray[np.float64]
    weekend: NDArray[np.float64] | None
    changes: NDArray[np.float64]
    sizes: NDArray[np.float64]

    def inputs(self, step: int) -> NDArray[np.float64]:
        """Return the inputs (n, inputs) of step `step` from 0: only the weekend's differ."""
        if step == 0 or self.weekend is None or self.linear.weekend_waves is None:
            return self.first
        found, parts = self.first.copy(), self.linear.parts(self.measured)
        waves = self.first[:, parts["waves"]][:, : 2 * self.linear.weekend_waves]
        ones = np.ones((len(waves), 1))
        found[:, parts["weekend"]] = self.weekend[:, step : step + 1] * np.concatenate([ones, waves], axis=1)
        return found


def rows_of(spec: ModelSpec, linear: Linear, source: Source) -> Rows:
    """Return the rows of at most MOST_ROWS windows of `source`, from the first to the last."""
    source = source.thinned(min(MOST_ROWS / max(len(source.starts), 1), 1.0))
    blocks = list(_blocks(spec, linear, source))
    first, weekend, changes = (np.concatenate(part) for part in zip(*blocks, strict=True))
    last = source.starts + spec.context - 1
    return Rows(
        linear=linear,
        measured=spec.measured,
        first=first,
        weekend=None if linear.weekend_waves is None else weekend,
        changes=changes,
        sizes=_sizes(source, last),
    )


def together(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all `parts`, one after the other."""
    weekend = [one.weekend for one in parts if one.weekend is not None]
    return dataclasses.replace(
        parts[0],
        first=np.concatenate([one.first for one in parts]),
        weekend=np.concatenate(weekend) if weekend else None,
        changes=np.concatenate([one.changes for one in parts]),
        sizes=np.concatenate([one.sizes for one in parts]),
    )


_Block = tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]


def _blocks(spec: ModelSpec, linear: Linear, source: Source) -> Iterator[_Block]:
    """Yield inputs of the first step, the weekend of every step, and the changes, block by block."""
    steps = source.steps
    raw = sliding_window_view(steps.values, spec.context + spec.horizon, axis=0)  # (windows, features, steps)
    weekend = linear.parts(spec.measured)["weekend"]
    for at in range(0, len(source.starts), BLOCK):
        part = source.starts[at : at + BLOCK]
        columns = raw[part].swapaxes(1, 2)  # (n, context + horizon, features)
        scaled = _scaled(source, columns, spec)
        time = steps.time[part + spec.context - 1]
        inputs = linear_inputs(spec, linear, scaled[:, : spec.context], time)  # (n, inputs, horizon)
        ahead = inputs[:, weekend.start, :] if linear.weekend_waves is not None else np.zeros((len(part), spec.horizon))
        changes = scaled[:, spec.context :, 0] - scaled[:, spec.context - 1, :1]
        yield inputs[:, :, 0].copy(), ahead, changes


def _scaled(source: Source, columns: NDArray[np.float64], spec: ModelSpec) -> NDArray[np.float64]:
    """Return scaled columns; where windows are scaled by themselves, what followed has no part in it."""
    rows = np.full(len(columns), source.row, np.int64)
    windows = Windows(values=columns[:, : spec.context], series=rows)
    return source.scaling.of(windows).transform(columns).astype(np.float64)


def _sizes(source: Source, last: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (1 + value)^(1/2) of each window's last step over its mean in the series; 1 without a logarithm."""
    scaler = source.scaling.pool if isinstance(source.scaling, SeriesTable) else source.scaling
    if scaler.features[0].transform != "log1p":
        return np.ones(len(last))
    found = np.exp(level_of(scaler.features[0], source.steps.values[last, 0]) / 2)
    _, series = np.unique(source.steps.series_at[last], return_inverse=True)
    means = np.bincount(series, weights=found) / np.bincount(series)
    return np.asarray(found / means[series], np.float64)
