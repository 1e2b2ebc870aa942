"""A model's linear path as a model of its own: what `export --model ridge` makes a bundle of."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..model.network import Network
from ..model.series import SeriesTable
from ..model.spec import ModelSpec
from ..model.weights import Weights
from .model_directory import ModelDirectory


def linear_alone(model: ModelDirectory) -> ModelDirectory:
    """Return `model` without its network: its linear path, with the whole share of the forecast.

    Errors, intervals and `trained` are those of the path alone, as training measured them. Raises UsageError if the
    model has no linear path beside a network.
    """
    record, ridge = model.record, model.ridge
    if record.linear is None or ridge is None:
        raise UsageError(
            f"model {record.name} has no linear path beside its network, so there is no ridge model in it; train with "
            "--recipe recommended, or export it without --model"
        )
    linear = record.linear
    return dataclasses.replace(
        model,
        record=dataclasses.replace(
            record, spec=spec_alone(record.spec), heldout=linear.heldout, intervals=linear.intervals, linear=None
        ),
        weights=weights_alone(model.weights, linear.share),
        heldout=dataclasses.replace(model.heldout, trained=ridge.trained),
        table=None if model.table is None else table_alone(model.table, linear.share, ridge.radii),
        ridge=None,
    )


def spec_alone(spec: ModelSpec) -> ModelSpec:
    """Return the spec of the linear path of a model of `spec`."""
    return dataclasses.replace(spec, units=(), network=Network(recurrent=(), linear=spec.linear))


def weights_alone(weights: Weights, share: float) -> Weights:
    """Return the weights of the linear path that has `share` of a model with `weights`."""
    if weights.linear is None:
        raise ValueError("these weights have no linear path")
    horizon = weights.linear.shape[1]
    return Weights(
        layers=(),
        head_kernel=np.zeros((0, horizon), np.float32),
        head_bias=np.zeros(horizon, np.float32),
        linear=_whole(weights.linear, share),
    )


def table_alone(table: SeriesTable, share: float, radii: NDArray[np.float64] | None = None) -> SeriesTable:
    """Return the table of series of the linear path that has `share`, with these `radii`."""
    linear = None if table.linear is None else _whole(table.linear, share)
    return dataclasses.replace(table, linear=linear, radii=radii)


def _whole(kernel: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    return (kernel.astype(np.float64) / share).astype(np.float32)
