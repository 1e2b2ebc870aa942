"""Layers as the kernels read them: gates scaled, columns padded, weights quantised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pulsecast.model.weights import CellWeights, Weights

from ..c_text import padded
from ..quantisation import quantise_rows

TRIPLE = 3  # inputs of one sum by pairs, as in kernels/sums.c.in
# Largest sum of |w0 w1| over a column's pairs for which pairs are summed. Trained models have 1.4 to 2.2; with 3 the
# error of a forecast is 1.3 times that of single products, with 6 it is 1.7 times, with 50 2.4 times, with 190 7 times.
MOST_PAIRED = 4.0
# sigmoid(x) = 1 / (1 + 2^z) with z = -x / ln 2, tanh(x) = (1 - 2^z) / (1 + 2^z) with z = -2 x / ln 2
_SIGMOID, _TANH = -1 / np.log(2), -2 / np.log(2)
Number = TypeVar("Number", np.float32, np.int8)
_GATE_FACTORS = (_SIGMOID, _SIGMOID, _TANH, _SIGMOID)  # of i, f, c, o


@dataclass(frozen=True, kw_only=True)
class PackedLayer:
    """A layer as the kernels read it.

    kernel     (inputs, columns) float32 or int8
    recurrent  (units, columns) likewise
    bias       (columns,), with 8-bit weights followed by the ratio of the kernel's scale to the recurrent weights' one
    scale      (columns,) of the recurrent weights, or None for float32
    """

    inputs: int
    units: int
    columns: int
    kernel: NDArray[np.float32] | NDArray[np.int8]
    recurrent: NDArray[np.float32] | NDArray[np.int8]
    bias: NDArray[np.float32]
    scale: NDArray[np.float32] | None = None


def for_kernels(layer: CellWeights) -> PackedLayer:
    """Return `layer` multiplied by its gates' factors (in float64)."""
    factors = np.repeat(_GATE_FACTORS, layer.units)  # (4*units,)
    kernel, recurrent, bias = (
        _wide((matrix.astype(np.float64) * factors).astype(np.float32))
        for matrix in (layer.kernel, layer.recurrent, layer.bias)
    )
    return PackedLayer(
        inputs=len(layer.kernel),
        units=layer.units,
        columns=len(bias),
        kernel=kernel,
        recurrent=recurrent,
        bias=bias,
    )


def are_small(layers: Sequence[PackedLayer]) -> bool:
    """Return whether sums by pairs are accurate enough: no column's |w0 w1| add up to more than MOST_PAIRED."""
    products = (np.abs(_pair_products(matrix)) for matrix in _between_units(layers))  # (triples, columns) each
    return all(product.sum(axis=0).max(initial=0.0) <= MOST_PAIRED for product in products)


def _between_units(layers: Sequence[PackedLayer]) -> list[NDArray[np.float32] | NDArray[np.int8]]:
    """Return the matrices (inputs, columns) with outputs of a layer as inputs: all except the first layer's kernel."""
    return [layer.recurrent for layer in layers] + [layer.kernel for layer in layers[1:]]


def _pair_products(matrix: NDArray[np.float32] | NDArray[np.int8]) -> NDArray[np.float64]:
    """Return w0 w1 of every triple of inputs, (triples, columns)."""
    columns = matrix.shape[-1]
    triples = matrix[: len(matrix) // TRIPLE * TRIPLE].astype(np.float64).reshape(-1, TRIPLE, columns)
    return np.asarray(triples[:, 0] * triples[:, 1])


def paired_bias(layer: PackedLayer, *, kernel_too: bool) -> NDArray[np.float32]:
    """Return the bias (columns,) minus the surplus of sums by pairs in every window: w0 w1 of all triples of inputs.

    The kernel of a first layer is never summed by pairs. The sums are made in float64.
    """
    matrices = [layer.recurrent, layer.kernel] if kernel_too else [layer.recurrent]
    total = layer.bias.astype(np.float64)
    for matrix in matrices:
        total = total - _pair_products(matrix).sum(axis=0)
    return np.asarray(total.astype(np.float32))


def for_kernels8(layer: CellWeights) -> PackedLayer:
    """Return `layer` with int8 weights, quantised as in the other 8-bit targets: one scale for each column."""
    factors = np.repeat(_GATE_FACTORS, layer.units)  # (4*units,)
    kernel, kernel_scale = quantise_rows(layer.kernel, axis=0)
    recurrent, scale = quantise_rows(layer.recurrent, axis=0)
    bias, ratio = layer.bias / scale[0].astype(np.float64), kernel_scale[0] / scale[0].astype(np.float64)
    return PackedLayer(
        inputs=len(kernel),
        units=layer.units,
        columns=padded(4 * layer.units),
        kernel=_wide(kernel),
        recurrent=_wide(recurrent),
        bias=np.concatenate([_wide(bias.astype(np.float32)), _wide(ratio.astype(np.float32))]),
        scale=_wide((scale[0] * factors).astype(np.float32)),
    )


def state_scale(layers: Sequence[PackedLayer]) -> float:
    """Return the integer for an output of 1 in sums by integers: 32767, or less if a column could overflow 32 bits."""
    largest = max(int(np.abs(matrix.astype(np.int64)).sum(axis=0).max()) for matrix in _between_units(layers))
    return float(min(2**15 - 1, (2**31 - 1) // max(largest, 1)))


def _wide(matrix: NDArray[Number]) -> NDArray[Number]:
    """Return `matrix` with zeros after its last columns."""
    columns = matrix.shape[-1]
    wide = np.zeros((*matrix.shape[:-1], padded(columns)), matrix.dtype)
    wide[..., :columns] = matrix
    return wide


def dequantised(weights: Weights) -> Weights:
    """Return the values of 8-bit weights: with them the self-test needs no wider tolerance than float32's."""

    def rounded(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        values, scale = quantise_rows(matrix, axis=0)
        return (values * scale).astype(np.float32)

    layers = tuple(
        replace(layer, kernel=rounded(layer.kernel), recurrent=rounded(layer.recurrent)) for layer in weights.layers
    )
    return replace(weights, layers=layers)
