"""Networks beyond the plain stack as ONNX operators: one fused LSTM or GRU per layer, both directions in one.

tf2onnx recognises the plain LSTM loop only, so the operators are emitted from the weights; the parts before and after
them come from tf2onnx, from the same functions as for the plain stack. Run in a converter child process.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pulsecast.model.network import Activation, Recurrent
from pulsecast.model.weights import CellWeights
from pulsecast.stages.model_directory import ModelDirectory

from .onnx_cleaning import IR_VERSION, OPSET, clean

_ACTIVATIONS = {"linear": "Affine", "tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "hard_sigmoid": "HardSigmoid"}
_ALPHA_BETA = {"linear": (1.0, 0.0), "hard_sigmoid": (1 / 6, 0.5)}
# Keras' gate blocks in ONNX' order: LSTM i,f,c,o -> i,o,f,c; GRU z,r,h is the same
_ORDER = {"lstm": (0, 3, 1, 2), "gru": (0, 1, 2)}


def convert_network(model: ModelDirectory) -> onnx.ModelProto:
    """Return the whole forecast, cleaned: raw values and times in, raw forecasts out."""
    before, behind = _around(model)
    core = _core(model)
    joined = onnx.compose.merge_models(before, core, io_map=[("inputs", "core_inputs")])
    taken = {"core_outputs": "outputs", **{name: f"{name}_in" for name in _passing(model)}}
    needed = {given.name for given in behind.graph.input}
    joined = onnx.compose.merge_models(joined, behind, io_map=[pair for pair in taken.items() if pair[1] in needed])
    return clean(joined)


def _around(model: ModelDirectory) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return the graph from raw inputs to channels and the NaN tripwire, and the one from outputs to forecasts."""
    import tensorflow as tf
    import tf2onnx

    from . import graph

    spec, given, passing = model.record.spec, graph.signature(model), _passing(model)
    taken = [
        tf.TensorSpec([None, spec.horizon], tf.float32, name="outputs"),
        *(tf.TensorSpec([None, width], tf.float32, name=f"{name}_in") for name, width in passing.items()),
    ]

    def before(*inputs: Any) -> dict[str, Any]:
        found = graph.prepared(model, dict(zip(given, inputs, strict=True)))
        return {name: tf.identity(tensor) for name, tensor in found.items()}

    def behind(outputs: Any, *passed: Any) -> dict[str, Any]:
        return graph.results(model, outputs, dict(zip(passing, passed, strict=True)))

    def converted(function: Any, signature: list[Any], prefix: str) -> onnx.ModelProto:
        traced = tf.function(function, input_signature=signature)
        found, _ = tf2onnx.convert.from_function(traced, input_signature=signature, opset=OPSET)
        found.ir_version = IR_VERSION
        return _prefixed(found, prefix)

    return converted(before, list(given.values()), "before_"), converted(behind, taken, "behind_")


def _passing(model: ModelDirectory) -> dict[str, int]:
    """Return what passes the network by, `pulsecast_export.graphs.graph.prepared`: name -> width."""
    spec, table = model.record.spec, model.table
    found = {"guard": 1}
    if table is not None:
        found["frame"] = 2 if table.radii is None else 2 + spec.horizon
    if spec.linear is not None:
        return found | {"beside": spec.horizon}
    return found | ({"last": 1} if spec.target == "change" else {})


def _prefixed(model: onnx.ModelProto, prefix: str) -> onnx.ModelProto:
    """Return `model` with unique inner names; the names of its inputs and outputs stay."""
    return onnx.compose.add_prefix(
        model, prefix, rename_inputs=False, rename_outputs=False, rename_edges=True, rename_nodes=True
    )


class Builder:
    """Nodes and constants of the core, in order."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[np.generic]) -> str:
        name = f"core_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def add(self, operator: str, inputs: list[str], *, outputs: int = 1, **attributes: Any) -> list[str]:
        names = [f"core_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, name=f"core_{len(self.nodes)}", **attributes))
        return names


def _core(model: ModelDirectory) -> onnx.ModelProto:
    spec, weights = model.record.spec, model.weights
    network = spec.network
    build = Builder()
    cells = list(weights.layers)
    sequence = build.add("Transpose", ["core_inputs"], perm=[1, 0, 2])[0]  # (window, batch, channels)
    final = sequence
    for layer in network.recurrent:
        own, cells = cells[: layer.cells], cells[layer.cells :]
        sequence, final = fused_layer(build, layer, own, sequence, spec.window)
    for dense, (kernel, bias) in zip(network.dense, weights.dense, strict=True):
        final = _dense(build, final, kernel, bias, dense.activation)
    final = _dense(build, final, weights.head_kernel, weights.head_bias, network.activation)
    build.nodes[-1].output[0] = "core_outputs"
    del final
    graph = helper.make_graph(
        build.nodes,
        "core",
        [helper.make_tensor_value_info("core_inputs", TensorProto.FLOAT, ["batch", spec.window, len(spec.channels)])],
        [helper.make_tensor_value_info("core_outputs", TensorProto.FLOAT, ["batch", spec.horizon])],
        build.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def fused_layer(
    build: Builder, layer: Recurrent, cells: list[CellWeights], sequence: str, window: int
) -> tuple[str, str]:
    """Add one fused operator; return names of the outputs (window, batch, width) and the final one (batch, width)."""
    activations = [layer.gates, layer.activation, *([layer.activation] if layer.kind == "lstm" else [])] * layer.cells
    attributes: dict[str, Any] = {
        "hidden_size": layer.units,
        "direction": {"forward": "forward", "backward": "reverse", "both": "bidirectional"}[layer.direction],
    }
    if set(activations) - {"tanh", "sigmoid"}:
        # one alpha and beta for each function that takes them, in order
        pairs = [_ALPHA_BETA[a] for a in activations if a in _ALPHA_BETA]
        attributes["activations"] = [_ACTIVATIONS[a] for a in activations]
        if pairs:
            attributes |= {"activation_alpha": [a for a, _ in pairs], "activation_beta": [b for _, b in pairs]}
    elif activations != (["sigmoid", "tanh", "tanh"] if layer.kind == "lstm" else ["sigmoid", "tanh"]) * layer.cells:
        attributes["activations"] = [_ACTIVATIONS[a] for a in activations]
    if layer.kind == "gru" and layer.reset_after:
        attributes["linear_before_reset"] = 1
    order = _ORDER[layer.kind]
    kernel = np.stack([_rows(cell.kernel, order) for cell in cells])  # (directions, gates*units, inputs)
    recurrent = np.stack([_rows(cell.recurrent, order) for cell in cells])  # (directions, gates*units, units)
    bias = np.stack([_bias(cell.bias, order) for cell in cells])  # (directions, 2*gates*units)
    inputs = [sequence, build.constant(kernel), build.constant(recurrent), build.constant(bias)]
    every, last = build.add(
        layer.kind.upper(), inputs, outputs=2, **attributes
    )  # (window, dir, batch, units), (dir, ..)
    hidden = _merged(build, layer, every, axis=1)
    if layer.direction == "backward":  # Keras keeps the order of computation, ONNX the order of the steps
        turned = build.constant(np.arange(window - 1, -1, -1, dtype=np.int64))
        hidden = build.add("Gather", [hidden, turned], axis=0)[0]
    return hidden, _merged(build, layer, last, axis=0)


def _rows(matrix: NDArray[np.float32], order: tuple[int, ...]) -> NDArray[np.float32]:
    """Return Keras' (inputs, gates*units) as ONNX' (gates*units, inputs)."""
    blocks = np.split(matrix.T, len(order))
    return np.concatenate([blocks[i] for i in order])


def _bias(bias: NDArray[np.float32], order: tuple[int, ...]) -> NDArray[np.float32]:
    outer, inner = (bias[0], bias[1]) if bias.ndim == 2 else (bias, np.zeros_like(bias))
    return np.concatenate([_rows(part[np.newaxis], order)[:, 0] for part in (outer, inner)])


def _merged(build: Builder, layer: Recurrent, name: str, *, axis: int) -> str:
    """Return the directions on `axis`, merged as the layer says."""
    if layer.direction != "both":
        return build.add("Squeeze", [name, build.constant(np.array([axis]))])[0]
    parts = [build.add("Gather", [name, build.constant(np.array(i))], axis=axis)[0] for i in (0, 1)]
    if layer.merge == "concat":
        return build.add("Concat", parts, axis=-1)[0]
    if layer.merge == "mul":
        return build.add("Mul", parts)[0]
    total = build.add("Add", parts)[0]
    return build.add("Mul", [total, build.constant(np.array(0.5, np.float32))])[0] if layer.merge == "ave" else total


def _dense(
    build: Builder, x: str, kernel: NDArray[np.float32], bias: NDArray[np.float32], activation: Activation
) -> str:
    product = build.add("MatMul", [x, build.constant(kernel)])[0]
    total = build.add("Add", [product, build.constant(bias)])[0]
    if activation == "linear":
        return total
    attributes: dict[str, Any] = {"alpha": 1 / 6, "beta": 0.5} if activation == "hard_sigmoid" else {}
    return build.add(_ACTIVATIONS[activation], [total], **attributes)[0]
