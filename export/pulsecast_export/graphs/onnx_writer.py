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
    """Store the network's weight matrices in `onnx` as int8 with one scale per output row; the rest stays float32.

    At session load an engine folds Cast and Mul into float32 weights: the arithmetic is float32. With dynamic
    quantisation of activations a window's forecast would depend on its neighbours; here it does not.
    """
    found = onnx.load(source)
    matrices = _matrices(found.graph, everywhere=model.record.spec.graph is not None)
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


def _matrices(graph: onnx.GraphProto, *, everywhere: bool) -> set[str]:
    """Return the names of weight matrices: W and R of an LSTM or GRU, B of a MatMul behind one, W of a convolution.

    everywhere  of a MatMul before recurrent layers, too: of a network, products of the calendar and of the linear path
                stand there, which stay as they are

    Producers come first.
    """
    found: set[str] = set()
    behind: set[str] = set()  # tensors that depend on a recurrent layer
    for node in graph.node:
        recurrent = node.op_type in ("LSTM", "GRU")
        if recurrent:
            found.update(node.input[1:3])
        elif node.op_type == "Conv" or (node.op_type == "MatMul" and (everywhere or node.input[0] in behind)):
            found.add(node.input[1])
        if recurrent or behind.intersection(node.input):
            behind.update(node.output)
    return found


def _row_axis(graph: onnx.GraphProto, name: str) -> int | tuple[int, ...]:
    # LSTM: (directions, 4*units, inputs), summed over inputs; MatMul: (units, horizon), summed over units; a
    # convolution: (filters, inputs, ...), summed over all but filters
    readers = {node.op_type for node in graph.node if name in node.input}
    return 2 if readers & {"LSTM", "GRU"} else (1, 2, 3) if "Conv" in readers else 0
