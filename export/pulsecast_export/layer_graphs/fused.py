"""A layer graph as ONNX: tf2onnx converts all but the recurrent layers, whose marks become fused operators."""

from __future__ import annotations

from typing import Any

import onnx

from pulsecast.errors import ConversionError
from pulsecast.stages.model_directory import ModelDirectory

from ..graphs import graph
from ..graphs.network_onnx import Builder, fused_layer
from ..graphs.onnx_cleaning import OPSET, clean
from .form import Twins
from .tracing import traced
from .twins import MARK, Mark

_MARKED = "PyFunc"  # the operator that stands for a recurrent layer, in a domain of its own


def convert(model: ModelDirectory) -> onnx.ModelProto:
    """Return the whole forecast, cleaned: raw values in, raw forecasts out."""
    import tf2onnx

    twins = Twins(form="marked")
    signature = list(graph.signature(model).values())
    converted, _ = tf2onnx.convert.from_function(
        traced(model, twins), input_signature=signature, opset=OPSET, custom_op_handlers={_MARKED: (_kept, [])}
    )
    return clean(_fused(converted, twins.marks))


def _kept(context: Any, node: Any, name: str, arguments: Any) -> Any:
    """Let tf2onnx hand a mark on."""
    del context, name, arguments
    node.domain = MARK
    return node


def _fused(model: onnx.ModelProto, marks: list[Mark]) -> onnx.ModelProto:
    """Return the model with a fused operator in place of each mark."""
    build, nodes = Builder(), []
    renamed: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type != _MARKED:
            nodes.append(node)
            continue
        token = next(a.s.decode() for a in node.attribute if a.name == "token")
        mark = marks[int(token.removeprefix(MARK))]
        start = len(build.nodes)
        found = fused_layer(build, mark.layer, mark.cells, node.input[0], mark.window)
        nodes += build.nodes[start:]
        renamed |= dict(zip(node.output, found, strict=True))
    for node in nodes:
        if any(attribute.HasField("g") for attribute in node.attribute):
            raise ConversionError(f"the converter made a {node.op_type} with a graph inside")
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(build.constants)
    return model
