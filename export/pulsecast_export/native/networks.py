"""A network beyond the plain stack as C: cells of LSTM and GRU, their layers, and the dense layers up to the head."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import ConversionError
from pulsecast.model.network import GATES, Activation, Dense, Network, Recurrent
from pulsecast.model.weights import CellWeights
from pulsecast.stages.model_directory import ModelDirectory

from ..c_text import array_text, padded
from ..quantisation import quantise_rows

_ACTIVATIONS: dict[Activation, str] = {
    "linear": "NO_ACTIVATION",
    "tanh": "TANH",
    "sigmoid": "SIGMOID",
    "relu": "RELU",
    "hard_sigmoid": "HARD_SIGMOID",
}
_MERGES = {"concat": "CONCAT", "sum": "SUM_OF_BOTH", "mul": "MUL", "ave": "AVE"}
Number = TypeVar("Number", np.float32, np.int8)
MOST_STACK = 1 << 17  # floats of the two sequences between layers, which lie on the stack: 512 kB


def network_tables(model: ModelDirectory, *, eight_bits: bool) -> str:
    """Return the constants of a network: its sizes, and weights of every cell and dense layer.

    Raises ConversionError for one whose sequences are too long for a stack, or that has a linear path.
    """
    spec, network, weights = model.record.spec, model.record.spec.network, model.weights
    if network.linear is not None:
        raise ConversionError("native has linear paths beside plain LSTM stacks only; choose onnx or tflite")
    row = max(padded(width) for width in _widths(network, len(spec.channels), spec.horizon))
    if 2 * spec.window * row > MOST_STACK:
        raise ConversionError(
            f"native keeps two sequences of {spec.window} steps and {row} outputs on the stack; expected at most "
            f"{MOST_STACK // 2:,} numbers in each: choose onnx or tflite"
        )
    owners = [layer for layer in network.recurrent for _ in range(layer.cells)]
    cells = [_cell(i, *pair, eight_bits=eight_bits) for i, pair in enumerate(zip(owners, weights.layers, strict=True))]
    named = [*network.dense, Dense(units=spec.horizon, activation=network.activation)]
    arrays = [*weights.dense, (weights.head_kernel, weights.head_bias)]
    dense = [_dense(i, layer, *pair) for i, (layer, pair) in enumerate(zip(named, arrays, strict=True))]
    columns = max(GATES[layer.kind] * padded(layer.units) for layer in network.recurrent)
    return (
        f"#define SEQUENCE_ROW {row} /* outputs of a step, padded to 16 */\n"
        f"#define MOST_PADDED {max(padded(layer.units) for layer in network.recurrent)}\n#define MOST_GATES {columns}\n"
        + "".join(text for text, _ in (*cells, *dense))
        + _rows("cell", "CELL", len(cells), [one for _, one in cells])
        + _rows("layer", "RECURRENT_LAYER", len(network.recurrent), _layers(network))
        + _rows("dense_layer", "DENSE_LAYER", len(dense), [one for _, one in dense])
        + f"#define RECURRENT_LAYERS {len(network.recurrent)}\n#define DENSE_LAYERS {len(dense)}\n"
    )


def _widths(network: Network, channels: int, horizon: int) -> list[int]:
    """Return how many numbers a step has before, between and behind the layers, both cells of a layer side by side."""
    recurrent = [layer.cells * layer.units for layer in network.recurrent]
    return [channels, *recurrent, *(layer.units for layer in network.dense), horizon]


def _layers(network: Network) -> list[str]:
    rows, first = [], 0
    for layer in network.recurrent:
        both, backwards = int(layer.direction == "both"), int(layer.direction == "backward")
        rows.append(f"{{{first}, {both}, {backwards}, {_MERGES[layer.merge]}}}")
        first += layer.cells
    return rows


def _cell(number: int, layer: Recurrent, weights: CellWeights, *, eight_bits: bool) -> tuple[str, str]:
    """Return the arrays of a cell, and its row of CELL."""
    gates = GATES[layer.kind]
    text, names = "", []
    for name, matrix in (("KERNEL", weights.kernel), ("RECURRENT", weights.recurrent)):
        if eight_bits:
            values, scale = quantise_rows(matrix, axis=0)
            text += _array("weight", f"{name}_{number}", _by_gate(values, gates))
            text += _array("float", f"{name}_SCALE_{number}", _by_gate(scale, gates))
        else:
            text += _array("weight", f"{name}_{number}", _by_gate(matrix, gates))
        names.append(f"{name}_SCALE_{number}" if eight_bits else "NULL")
    text += _array("float", f"BIAS_{number}", _by_gate(np.atleast_2d(weights.bias), gates))
    kinds = f"{int(layer.kind == 'gru')}, {int(layer.two_biases)}"
    functions = f"{_ACTIVATIONS[layer.activation]}, {_ACTIVATIONS[layer.gates]}"
    arrays = f"KERNEL_{number}, RECURRENT_{number}, {', '.join(names)}, BIAS_{number}"
    return text, f"{{{arrays}, {len(weights.kernel)}, {layer.units}, {kinds}, {functions}}}"


def _dense(number: int, layer: Dense, kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> tuple[str, str]:
    """Return the arrays of a dense layer, and its row of DENSE_LAYER."""
    text = _array("float", f"DENSE_{number}", _by_gate(kernel, 1))
    text += _array("float", f"DENSE_BIAS_{number}", _by_gate(bias[np.newaxis], 1))
    sizes = f"{len(kernel)}, {layer.units}, {_ACTIVATIONS[layer.activation]}"
    return text, f"{{DENSE_{number}, DENSE_BIAS_{number}, {sizes}}}"


def _by_gate(matrix: NDArray[Number], gates: int) -> NDArray[Number]:
    """Return a matrix (rows, gates * units) with the columns of each gate padded with zeros to 16."""
    units = matrix.shape[-1] // gates
    wide = np.zeros((len(matrix), gates, padded(units)), matrix.dtype)
    wide[..., :units] = matrix.reshape(len(matrix), gates, units)
    return wide.reshape(len(matrix), -1)


def _array(kind: str, name: str, numbers: NDArray[np.float32] | NDArray[np.int8]) -> str:
    return f"static const {kind} {name}[{numbers.size}] ALIGNED = {{{array_text(numbers.flat)}}};\n"


def _rows(kind: str, name: str, count: int, rows: list[str]) -> str:
    return f"static const {kind} {name}[{count}] = {{{', '.join(rows)}}};\n"
