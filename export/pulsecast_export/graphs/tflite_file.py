"""A TFLite file as objects: its inputs and outputs by name, and text that stands in it. Run in a converter child."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pulsecast.bundle.contract import CONTRACT_KEY
from pulsecast.errors import ConversionError

SIGNATURE = "serving_default"


def unpacked(data: bytes) -> Any:
    """Return the file's objects."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(data, 0)


def packed(model: Any) -> bytes:
    """Return the file of these objects; the same objects give the same bytes."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def named(data: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Return the file with these inputs and outputs in this order, and one signature that names them.

    The converter puts arguments in an order of its own, under names that end with those of the function. Names of
    results end with their place in the function's order, as in `PartitionedCall:1`. Raises ConversionError for others.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = unpacked(data)
    graph = model.subgraphs[0]
    given = {_text(graph.tensors[i].name).rpartition("_")[2].partition(":")[0]: i for i in graph.inputs}
    found = {int(_text(graph.tensors[i].name).rpartition(":")[2] or 0): i for i in graph.outputs}
    if set(given) != set(inputs) or set(found) != set(range(len(outputs))):
        raise ConversionError(f"the converter named inputs {sorted(given)} and outputs {sorted(found)}")
    graph.inputs, graph.outputs = [given[name] for name in inputs], [found[i] for i in range(len(outputs))]
    signature = schema.SignatureDefT()
    signature.inputs = [_entry(schema, graph, name, i) for name, i in zip(inputs, graph.inputs, strict=True)]
    signature.outputs = [_entry(schema, graph, name, i) for name, i in zip(outputs, graph.outputs, strict=True)]
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    model.signatureDefs = [signature]
    return packed(model)


def _entry(schema: Any, graph: Any, name: str, index: int) -> Any:
    graph.tensors[index].name = name
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, int(index)
    return entry


def write_contract(path: Path, text: str) -> None:
    """Put the contract into the file's metadata, instead of the one that its source had."""
    from ai_edge_litert import schema_py_generated as schema

    model = unpacked(path.read_bytes())
    kept = [entry for entry in model.metadata or [] if _text(entry.name) != CONTRACT_KEY]
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(text.encode("ascii"), np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = CONTRACT_KEY, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*kept, entry]
    path.write_bytes(packed(model))


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
