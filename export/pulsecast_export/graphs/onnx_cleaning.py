"""A tf2onnx graph reduced to the necessary nodes, with names that do not change between runs."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from pulsecast.errors import ConversionError
from pulsecast.model.windows import INPUTS, OUTPUTS

OPSET = 17
IR_VERSION = 8
PRODUCER = "pulsecast"

Array = NDArray[np.generic]


def clean(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` without zero initial states, identities, dead nodes and unused weights, canonically named.

    Its inputs and outputs get the names of the contract, the outputs in that order. The result is checked by ONNX's
    checker.
    """
    graph = model.graph
    _drop_zero_initial_states(graph)
    _drop_identities(graph)
    _fuse_remainders(graph)
    nodes = _live_nodes(graph)
    rename = _canonical_names(graph, nodes)
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    cleaned = onnx.helper.make_graph(
        [_renamed(node, number, rename) for number, node in enumerate(nodes)],
        PRODUCER,
        [_value_info(given, rename[given.name]) for given in graph.input],
        [_value_info(found, rename[found.name]) for found in graph.output],
        [numpy_helper.from_array(constants[old], new) for old, new in rename.items() if old in constants],
    )
    result = onnx.helper.make_model(
        cleaned,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name=PRODUCER,
    )
    onnx.checker.check_model(result, full_check=True)
    return result


def _drop_zero_initial_states(graph: onnx.GraphProto) -> None:
    """An LSTM starts from zero by default; explicit zeros take eight nodes per layer to shape."""
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type != "LSTM":
            continue
        for position in (5, 6):  # initial_h, initial_c
            if position < len(node.input) and _is_zero(node.input[position], constants, producers):
                node.input[position] = ""
        while node.input and not node.input[-1]:
            del node.input[-1]


def _is_zero(name: str, constants: dict[str, Array], producers: dict[str, onnx.NodeProto]) -> bool:
    """Return whether a tensor is zero for any shape; unknown producers count as non-zero."""
    if name in constants:
        return not constants[name].any()
    node = producers.get(name)
    if node is None:
        return False
    if node.op_type in ("Expand", "Unsqueeze", "Squeeze", "Identity", "Reshape"):
        return _is_zero(node.input[0], constants, producers)
    if node.op_type == "ConstantOfShape":
        return all(not numpy_helper.to_array(a.t).any() for a in node.attribute if a.name == "value")
    return False


def _drop_identities(graph: onnx.GraphProto) -> None:
    """Let consumers read what an Identity copies; a graph output is read from the copied tensor itself."""
    copies = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}

    def original(name: str) -> str:
        while name in copies:
            name = copies[name]
        return name

    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = original(name)
    for output in graph.output:
        output.name = original(output.name)


def _fuse_remainders(graph: onnx.GraphProto) -> None:
    """Turn x - x / y * y into Mod.

    tf2onnx writes a floored remainder so, but ONNX cuts a quotient of integers towards zero: before 1970 it is wrong.
    Mod has the sign of the divisor, as a floored remainder has.
    """
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        product = producers.get(node.input[1]) if node.op_type == "Sub" else None
        quotient = producers.get(product.input[0]) if product is not None and product.op_type == "Mul" else None
        if product is None or quotient is None or quotient.op_type != "Div":
            continue
        if quotient.input[0] == node.input[0] and quotient.input[1] == product.input[1]:
            node.op_type = "Mod"
            node.input[1] = quotient.input[1]


def _live_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that the output needs, producers first; their order depends on the graph only.

    tf2onnx lists nodes and initializers in an order that differs from run to run.
    """
    producers = {name: node for node in graph.node for name in node.output if name}
    ordered: list[onnx.NodeProto] = []
    met: set[int] = set()

    def visit(name: str) -> None:
        node = producers.get(name)
        if node is None or id(node) in met:
            return
        met.add(id(node))
        for source in node.input:
            visit(source)
        ordered.append(node)

    for output in graph.output:
        visit(output.name)
    return ordered


def _canonical_names(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> dict[str, str]:
    """Return new tensor names: numbered in order of use, so that the same model always has the same bytes."""
    constants = {i.name for i in graph.initializer}
    rename = {given.name: given.name.removesuffix(":0") for given in graph.input}
    if foreign := set(rename.values()) - set(INPUTS):
        raise ConversionError(f"the converter named the graph's inputs {', '.join(sorted(foreign))}")
    rename |= {found.name: name for found, name in zip(graph.output, OUTPUTS, strict=False)}
    for number, node in enumerate(nodes):
        for name in node.input:
            if name in constants and name not in rename:
                rename[name] = f"constant_{sum(n in constants for n in rename)}"
        used = {name for other in nodes for name in other.input} | {output.name for output in graph.output}
        for i, name in enumerate(node.output):
            if name in used and name not in rename:
                rename[name] = f"{node.op_type.lower()}_{number}_{i}"
    return rename


def _renamed(node: onnx.NodeProto, number: int, rename: dict[str, str]) -> onnx.NodeProto:
    outputs = [rename.get(name, "") for name in node.output]  # an output without a reader is left out
    while outputs and not outputs[-1]:
        outputs.pop()
    result = onnx.helper.make_node(
        node.op_type,
        [rename[name] if name else "" for name in node.input],
        outputs,
        name=f"{node.op_type.lower()}_{number}",
    )
    result.attribute.extend(sorted(node.attribute, key=lambda attribute: attribute.name))
    return result


def _value_info(value: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    """Return the input or output under its new name, with an open first dimension called `batch`."""
    dims = [d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim]
    return onnx.helper.make_tensor_value_info(name, value.type.tensor_type.elem_type, ["batch", *dims[1:]])
