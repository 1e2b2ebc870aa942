"""Writers of the ONNX targets. Run in a converter child process."""

from __future__ import annotations

import logging
from pathlib import Path

import onnx
from onnx import numpy_helper

from pulsecast.stages.model_directory import ModelDirectory

from ..quantisation import quantise_rows
from .onnx_cleaning import OPSET, clean


def write_onnx(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Convert the forecast with tf2onnx and write it cleaned: float32, raw units, dynamic batch."""
    from .network_onnx import convert_network

    del source
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    converted = _convert_plain(model) if model.record.spec.network.is_plain else convert_network(model)
    path.write_bytes(converted.SerializeToString(deterministic=True))


def _convert_plain(model: ModelDirectory) -> onnx.ModelProto:
    import tf2onnx

    from . import graph, stacks

    function = graph.traced(model, stacks.tensor_list_stack)
    signature = list(graph.signature(model).values())
    converted, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    return clean(converted)


def write_onnx_w8(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Store the weight matrices of `onnx` as int8 with one scale per output row; biases and scaler stay float32.

    At session load an engine folds Cast and Mul into float32 weights: the arithmetic is float32. With dynamic
    quantisation of activations a window's forecast would depend on its neighbours; here it does not.
    """
    del model
    found = onnx.load(source)
    matrices = {name for node in found.graph.node for name in _matrices(node)}
    kept, added, head = [], [], []
    for initializer in found.graph.initializer:
        if initializer.name not in matrices:
            kept.append(initializer)
            continue
        quantised, scale = quantise_rows(numpy_helper.to_array(initializer), _row_axis(found.graph, initializer.name))
        name = initializer.name
        added += [
            numpy_helper.from_array(quantised, f"{name}_int8"),
            numpy_helper.from_array(scale, f"{name}_scale"),
        ]
        head += [
            onnx.helper.make_node(
                "Cast", [f"{name}_int8"], [f"{name}_cast"], name=f"{name}_cast", to=onnx.TensorProto.FLOAT
            ),
            onnx.helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [name], name=f"{name}_dequantise"),
        ]
    nodes = [*head, *found.graph.node]
    del found.graph.node[:]
    del found.graph.initializer[:]
    found.graph.node.extend(nodes)
    found.graph.initializer.extend([*kept, *added])
    onnx.checker.check_model(found, full_check=True)
    path.write_bytes(found.SerializeToString(deterministic=True))


def _matrices(node: onnx.NodeProto) -> list[str]:
    """Return the names of a node's weight matrices: W and R of an LSTM or GRU, B of a MatMul, W of a convolution."""
    if node.op_type in ("LSTM", "GRU"):
        return list(node.input[1:3])
    return [node.input[1]] if node.op_type in ("MatMul", "Conv") else []


def _row_axis(graph: onnx.GraphProto, name: str) -> int | tuple[int, ...]:
    # LSTM: (directions, 4*units, inputs), summed over inputs; MatMul: (units, horizon), summed over units; a
    # convolution: (filters, inputs, ...), summed over all but filters
    readers = {node.op_type for node in graph.node if name in node.input}
    return 2 if readers & {"LSTM", "GRU"} else (1, 2, 3) if "Conv" in readers else 0
