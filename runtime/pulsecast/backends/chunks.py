"""Many windows in one call: a part after the other, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..model.network import GATES

if TYPE_CHECKING:
    from ..model.spec import ModelSpec

Predict = Callable[..., NDArray[np.float32]]
CHUNK_BYTES = 128 << 20
_GRAPH_NUMBERS = 2048  # of a step, where layers are an engine's own: more than those of any model in the tests
_BLOCK = 32  # windows that compiled kernels take at once: a part is a whole number of them


def windows_at_once(spec: ModelSpec) -> int:
    """Return how many windows an engine computes in about CHUNK_BYTES: gates and states of every step, in float64."""
    layers = sum(layer.cells * layer.units * (GATES[layer.kind] + 2) for layer in spec.recurrent)
    layers = layers if spec.graph is None else _GRAPH_NUMBERS
    numbers = spec.context * (len(spec.features) + len(spec.channels)) + spec.window * layers
    found = CHUNK_BYTES // (8 * numbers)
    return max(1, found // _BLOCK * _BLOCK or found)


def in_chunks(
    predict: Predict, at_once: int, values: NDArray[np.float32], *more: NDArray[np.int64] | None
) -> NDArray[np.float32]:
    """Return the forecasts (batch, horizon) of a backend's `predict`, `at_once` windows a call.

    A window's forecast is that of a smaller batch: some engines round a sum in another order in each size of batch.
    """
    return np.concatenate([predict(*part) for part in _parts(at_once, values, *more)])


def _parts(at_once: int, *given: NDArray[np.generic] | None) -> Iterator[list[NDArray[np.generic] | None]]:
    count = 0 if given[0] is None else len(given[0])
    for first in range(0, count, at_once):
        yield [None if one is None else one[first : first + at_once] for one in given]


def bounded(predict: Predict, spec: ModelSpec, batch: int) -> Predict:
    """Return `predict` for batches of `batch` windows; it is the same function where they fit into one call."""
    at_once = windows_at_once(spec)
    return predict if batch <= at_once else lambda values, *more: in_chunks(predict, at_once, values, *more)
