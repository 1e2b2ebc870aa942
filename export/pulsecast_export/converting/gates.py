"""Gates on a converted graph: the operators it must consist of. A failed gate names the target and its findings.

Run in the converter child process, right after the writer, so that a bad graph never leaves it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pulsecast.errors import ConversionError
from pulsecast.model.spec import ModelSpec

from ..layer_graphs.kinds import cells, fused_layers
from ..native.gate import native_gate
from ..targets import Target

# The operators of a cleaned forecast, its calendar and its bounds.
ONNX_OPERATORS = {
    "Add", "Cast", "Ceil", "Concat", "Cos", "Div", "Equal", "Exp", "Floor", "Gather", "GreaterOrEqual", "Log", "LSTM",
    "MatMul", "Max", "Min", "Mod", "Mul", "Reciprocal", "ReduceSum", "Reshape", "Sin", "Slice", "Split", "Sqrt",
    "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
# also allowed in networks beyond the plain stack, and with a linear path
ONNX_NETWORK_OPERATORS = {"GRU", "HardSigmoid", "Relu", "Sigmoid", "Tanh"}
ONNX_LINEAR_OPERATORS = {"Tanh"}
# also allowed in graphs of Keras layers
ONNX_GRAPH_OPERATORS = ONNX_NETWORK_OPERATORS | {
    "And", "AveragePool", "Clip", "ConstantOfShape", "Conv", "Elu", "Expand", "Gemm", "GlobalAveragePool",
    "GlobalMaxPool", "Greater", "Identity", "LeakyRelu", "Less", "MaxPool", "Neg", "Not", "Or", "Pad", "Pow", "Range",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "Resize", "Selu", "Shape", "Softmax", "Softplus", "Softsign",
    "Where",
}  # fmt: skip
# what a program on a microcontroller must have; micro_io.h names them
INT8_OPERATORS = {"DEQUANTIZE", "FULLY_CONNECTED", "QUANTIZE", "STRIDED_SLICE", "UNIDIRECTIONAL_SEQUENCE_LSTM"}
_ABSOLUTE_PATH = re.compile(rb"(?:/(?:home|root|tmp|usr|opt|var|work|Users|mnt|private)/|[A-Z]:\\\\Users\\\\)[\w.@-]+")


def check_target(target_id: str, target: Target, spec: ModelSpec, folder: Path) -> str:
    """Return the census of `target`'s operators; raises ConversionError if a gate fails."""
    gate = _GATES[target.family]
    problems, census = gate(folder / target.path, spec)
    problems += [f"{name} is missing" for name in target.beside if not (folder / name).is_file()]
    problems += [line for name in (target.path, *target.beside) for line in _paths_inside(folder / name)]
    if problems:
        raise ConversionError(f"target {target_id} failed its gate: {'; '.join(problems)} (operators: {census})")
    return census


def onnx_gate(path: Path, spec: ModelSpec) -> tuple[list[str], str]:
    """One fused LSTM operator per layer, only known operators of the default domain, opset and IR as promised.

    In a network beyond the plain stack a fused GRU counts as well, and a few more activations are known.
    """
    import onnx

    from ..graphs.onnx_cleaning import IR_VERSION, OPSET

    model = onnx.load(path, load_external_data=False)
    counts = Counter(node.op_type for node in model.graph.node)
    problems = []
    fused = counts["LSTM"] + (0 if spec.is_plain else counts["GRU"])
    least, most = (len(spec.units),) * 2 if spec.graph is None else fused_layers(spec.graph)
    if not least <= fused <= most:
        problems.append(f"{fused} LSTM operators for {most} layers")
    if unknown := sorted(set(counts) - ONNX_OPERATORS - _beyond_plain(spec)):
        problems.append(f"operators beyond the necessary ones: {', '.join(unknown)}")
    domains = {node.domain for node in model.graph.node} | {o.domain for o in model.opset_import}
    if domains != {""}:
        problems.append(f"domains {sorted(domains)}; expected the default one only")
    if [o.version for o in model.opset_import] != [OPSET] or model.ir_version > IR_VERSION:
        problems.append(f"opset {[o.version for o in model.opset_import]}, IR {model.ir_version}")
    if any(i.data_location == onnx.TensorProto.EXTERNAL for i in model.graph.initializer):
        problems.append("weights outside the file")
    return problems, _text(counts)


def _beyond_plain(spec: ModelSpec) -> set[str]:
    """Return the operators of ONNX that a model may have beside those of the plain stack."""
    if spec.graph is not None:
        return ONNX_GRAPH_OPERATORS
    more = set() if spec.is_plain else ONNX_NETWORK_OPERATORS
    return more if spec.linear is None else more | ONNX_LINEAR_OPERATORS


def tflite_gate(path: Path, spec: ModelSpec) -> tuple[list[str], str]:
    """Builtin operators only, no state tensors, so a stateless engine can run the file.

    The plain stack runs in one loop over time; a network beyond it in one loop for each cell; a linear path in none.
    """
    counts, variables, foreign, _ = _tflite_facts(path)
    problems = [f"Flex or custom operators: {', '.join(foreign)}"] if foreign else []
    if variables:
        problems.append(f"{variables} variable tensors: state would leak from window to window")
    if spec.graph is not None:
        loops = cells(spec.graph)
    else:
        loops = min(1, spec.network.cells) if spec.is_plain else spec.network.cells
    if counts["WHILE"] != loops or counts["UNIDIRECTIONAL_SEQUENCE_LSTM"]:
        problems.append("not one loop over time" if loops == 1 else f"not {loops} loops over time")
    return problems, _text(counts)


def int8_gate(path: Path, spec: ModelSpec) -> tuple[list[str], str]:
    """One fused LSTM per layer without cell clip, and only the builtin operators that micro_io.h names."""
    counts, _, foreign, clips = _tflite_facts(path)
    problems = [f"Flex or custom operators: {', '.join(foreign)}"] if foreign else []
    if unknown := sorted(set(counts) - INT8_OPERATORS - {"CUSTOM"}):
        problems.append(f"operators that micro_io.h does not name: {', '.join(unknown)}")
    if counts["UNIDIRECTIONAL_SEQUENCE_LSTM"] != len(spec.units):
        problems.append(f"{counts['UNIDIRECTIONAL_SEQUENCE_LSTM']} fused LSTMs for {len(spec.units)} layers")
    if any(clips):
        problems.append(f"cell clip {max(clips)}; expected off")
    return problems, _text(counts)


def savedmodel_gate(path: Path, spec: ModelSpec) -> tuple[list[str], str]:
    """A graph with one signature, without variables, Python objects, file access or GPU-only operators."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    meta = saved.meta_graphs[0]
    nodes = [*meta.graph_def.node, *(n for f in meta.graph_def.library.function for n in f.node_def)]
    counts = Counter(node.op for node in nodes)
    bad = [op for op in counts if re.search("Cudnn|PyFunc|VarHandle|ReadFile|Matching", op)]
    problems = [f"operators {', '.join(bad)}"] if bad else []
    names = sorted(set(meta.signature_def) - {"__saved_model_init_op"})
    if names != ["serving_default"]:
        problems.append(f"signatures {names}; expected serving_default")
    if any(o.HasField("variable") for o in meta.object_graph_def.nodes):
        problems.append("variables")
    if not (path / "assets.extra" / "tf_serving_warmup_requests").is_file():
        problems.append("no warm-up records")
    del spec
    return problems, _text(Counter({op: n for op, n in counts.items() if op in ("While", "StatelessWhile", "MatMul")}))


def _tflite_facts(path: Path) -> tuple[Counter[str], int, list[str], list[float]]:
    """Return operator counts, number of variable tensors, foreign operators and the cell clips of fused LSTMs."""
    from ai_edge_litert import schema_py_generated as schema

    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    counts: Counter[str] = Counter()
    variables, foreign, clips = 0, [], []
    for subgraph in model.subgraphs:
        variables += sum(bool(tensor.isVariable) for tensor in subgraph.tensors)
        for operator in subgraph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            counts[names[code.builtinCode]] += 1
            if code.customCode or names[code.builtinCode] == "CUSTOM":
                foreign.append(str(code.customCode))
            if names[code.builtinCode] == "UNIDIRECTIONAL_SEQUENCE_LSTM":
                clips.append(float(operator.builtinOptions.cellClip))
    return counts, variables, foreign, clips


def _paths_inside(path: Path) -> list[str]:
    """Return a problem for every file that holds an absolute path, because it can reveal the machine and the user."""
    files = sorted(p for p in (path, *path.rglob("*")) if p.is_file())
    found = [(file, _ABSOLUTE_PATH.search(file.read_bytes())) for file in files]
    return [f"{file.name} holds the path {match.group().decode(errors='replace')}" for file, match in found if match]


def _text(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {op}" for op, n in sorted(counts.items()))


_GATES: dict[str, Callable[[Path, ModelSpec], tuple[list[str], str]]] = {
    "savedmodel": savedmodel_gate,
    "onnx": onnx_gate,
    "tflite": tflite_gate,
    "tflite-int8": int8_gate,
    "native": native_gate,
}
