"""Each gate refuses its bad graph, names the target and says what it found."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from helpers import plain
from helpers.engines import load, require
from pulsecast.errors import ConversionError
from pulsecast_export.converting.gates import _GATES, check_target
from pulsecast_export.targets import TARGETS, Family

onnx = load("onnx")
TensorProto, helper, numpy_helper = onnx.TensorProto, onnx.helper, onnx.numpy_helper

SPEC = plain.LEVEL_SPEC


# ------------------------------------------------------------------------------------------------------------- ONNX


def onnx_layer(number: int, inputs: int, units: int, x: str) -> tuple[list[Any], list[Any]]:
    names = [f"W{number}", f"R{number}"]
    arrays = [np.ones((1, 4 * units, inputs), np.float32), np.ones((1, 4 * units, units), np.float32)]
    nodes = [
        helper.make_node("LSTM", [x, *names], [f"y{number}"], hidden_size=units),
        helper.make_node("Squeeze", [f"y{number}", "axis"], [f"x{number + 1}"]),
    ]
    return nodes, [numpy_helper.from_array(a, n) for a, n in zip(arrays, names, strict=True)]


def onnx_model(layers: int = 2) -> Any:
    """A graph that passes the gate: two LSTMs in a row."""
    nodes, initializers = [], [numpy_helper.from_array(np.array([1], np.int64), "axis")]
    inputs = 1
    for number, units in zip(range(layers), SPEC.units, strict=False):
        new, arrays = onnx_layer(number, inputs, units, "window" if number == 0 else f"x{number}")
        nodes += new
        initializers += arrays
        inputs = units
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, [50, "batch", 1])],
        [helper.make_tensor_value_info(f"x{layers}", TensorProto.FLOAT, None)],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def loop_instead_of_lstm() -> Any:
    model = onnx_model(1)
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["more"]), helper.make_node("Identity", ["h"], ["h2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h2", TensorProto.FLOAT, None),
        ],
    )
    model.graph.node.append(helper.make_node("Loop", ["axis", "", "x1"], ["looped"], body=body))
    return model


def of_another_domain() -> Any:
    model = onnx_model()
    model.graph.node.append(helper.make_node("FusedMatMul", ["x2", "x2"], ["z"], domain="com.microsoft"))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def with_weights_outside() -> Any:
    model = onnx_model()
    tensor = model.graph.initializer[1]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="weights.bin")
    return model


def changed(change: Callable[[Any], object]) -> Any:
    model = onnx_model()
    change(model)
    return model


BAD_ONNX: dict[str, tuple[Callable[[], Any], str]] = {
    "a Loop for an LSTM": (loop_instead_of_lstm, "1 LSTM operators for 2 layers; operators beyond .*: Loop"),
    "a missing LSTM": (lambda: onnx_model(1), "1 LSTM operators for 2 layers"),
    "an operator of Microsoft's domain": (of_another_domain, r"domains \['', 'com.microsoft'\]; expected the default"),
    "weights in another file": (with_weights_outside, "weights outside the file"),
    "an operator that is not needed": (
        lambda: changed(lambda m: m.graph.node.append(helper.make_node("Dropout", ["x2"], ["z"]))),
        "operators beyond the necessary ones: Dropout",
    ),
    "another opset": (lambda: changed(lambda m: setattr(m.opset_import[0], "version", 18)), r"opset \[18\], IR 8"),
    "a newer IR": (lambda: changed(lambda m: setattr(m, "ir_version", 10)), r"opset \[17\], IR 10"),
    "a path of the machine that made it": (
        lambda: changed(lambda m: setattr(m.graph.node[0], "doc_string", "/home/ann/train.py")),
        "model.onnx holds the path /home/ann",
    ),
}


def check_onnx(model: Any, folder: Path) -> str:
    path = folder / TARGETS["onnx"].path
    path.parent.mkdir()
    path.write_bytes(model.SerializeToString())
    return check_target("onnx", TARGETS["onnx"], SPEC, folder)


def test_two_fused_lstms_pass_the_onnx_gate_and_are_counted(tmp_path: Path) -> None:
    assert check_onnx(onnx_model(), tmp_path) == "2 LSTM, 2 Squeeze"


@pytest.mark.parametrize(("make", "sentence"), BAD_ONNX.values(), ids=BAD_ONNX.keys())
def test_the_onnx_gate_refuses(tmp_path: Path, make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ConversionError, match=f"^target onnx failed its gate: .*{sentence}.* .operators: "):
        check_onnx(make(), tmp_path)


# ----------------------------------------------------------------------------------------------------------- TFLite


def tflite_schema() -> Any:
    require("ai_edge_litert", "flatbuffers")
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def tflite_file(operators: list[tuple[str, Any]], *, variable: bool = False, custom: str | None = None) -> bytes:
    """A flatbuffer of these operators (name, options), enough for a gate to read."""
    import flatbuffers

    schema = tflite_schema()
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.operatorCodes, graph.operators = 3, [], []
    tensor = schema.TensorT()
    tensor.name, tensor.isVariable = b"state", variable
    graph.tensors = [tensor]
    for name, options in operators:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.customCode = custom if name == "CUSTOM" else None
        model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(model.operatorCodes) - 1
        if options is not None:
            operator.builtinOptionsType = schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions
            operator.builtinOptions = options
        graph.operators.append(operator)
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def fused(clip: float = 0.0) -> tuple[str, Any]:
    options = tflite_schema().UnidirectionalSequenceLSTMOptionsT()
    options.cellClip = clip
    return "UNIDIRECTIONAL_SEQUENCE_LSTM", options


def check_tflite(target: str, data: bytes, folder: Path) -> str:
    path = folder / TARGETS[target].path
    path.parent.mkdir()
    path.write_bytes(data)
    for name in TARGETS[target].beside:
        (folder / name).write_text("int x;\n")
    return check_target(target, TARGETS[target], SPEC, folder)


LOOP: list[tuple[str, Any]] = [("WHILE", None), ("FULLY_CONNECTED", None)]
BAD_TFLITE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "a custom operator": (
        "tflite",
        lambda: tflite_file([*LOOP, ("CUSTOM", None)], custom="MyOp"),
        "Flex or custom operators: b'MyOp'",
    ),
    "a Flex operator": (
        "tflite-w8",
        lambda: tflite_file([*LOOP, ("CUSTOM", None)], custom="FlexTensorListReserve"),
        "Flex or custom operators: b'FlexTensorListReserve'",
    ),
    "a variable tensor": ("tflite", lambda: tflite_file(LOOP, variable=True), "1 variable tensors: state would leak"),
    "an unrolled loop": ("tflite-fp16", lambda: tflite_file(LOOP[1:]), "not one loop over time"),
    "a loop per layer": ("tflite", lambda: tflite_file([*LOOP, *LOOP]), "not one loop over time"),
    "a fused LSTM, which has a state": ("tflite", lambda: tflite_file([*LOOP, fused()]), "not one loop over time"),
    "a clipped cell": ("tflite-int8", lambda: tflite_file([fused(), fused(10.0)]), "cell clip 10.0; expected off"),
    "a layer that was not fused": ("tflite-int8", lambda: tflite_file([fused()]), "1 fused LSTMs for 2 layers"),
    "Flex in the int8 file": (
        "tflite-int8",
        lambda: tflite_file([fused(), fused(), ("CUSTOM", None)], custom="FlexErf"),
        "Flex or custom operators: b'FlexErf'",
    ),
    "an operator that a microcontroller may lack": (
        "tflite-int8",
        lambda: tflite_file([fused(), fused(), ("WHILE", None)]),
        "operators that micro_io.h does not name: WHILE",
    ),
    "a path": (
        "tflite",
        lambda: tflite_file(LOOP) + b"/Users/ann/model.py",
        "model.tflite holds the path /Users/ann",
    ),
}


def test_one_loop_over_time_passes_the_tflite_gate(tmp_path: Path) -> None:
    assert check_tflite("tflite", tflite_file(LOOP), tmp_path) == "1 FULLY_CONNECTED, 1 WHILE"


def test_fused_layers_without_clip_pass_the_int8_gate(tmp_path: Path) -> None:
    assert check_tflite("tflite-int8", tflite_file([fused(), fused()], variable=True), tmp_path).startswith("2 UNIDIR")


def test_the_gate_looks_at_the_files_beside_an_artifact_too(tmp_path: Path) -> None:
    check_tflite("tflite-int8", tflite_file([fused(), fused()]), tmp_path)
    (tmp_path / "tflite" / "micro_io.c").write_text("/* /home/ann/model */")
    (tmp_path / "tflite" / "micro_io.h").unlink()
    both = "tflite/micro_io.h is missing; micro_io.c holds the path /home/ann"
    with pytest.raises(ConversionError, match=f"^target tflite-int8 failed its gate: {both}"):
        check_target("tflite-int8", TARGETS["tflite-int8"], SPEC, tmp_path)


@pytest.mark.parametrize(("target", "make", "sentence"), BAD_TFLITE.values(), ids=BAD_TFLITE.keys())
def test_the_tflite_gates_refuse(tmp_path: Path, target: str, make: Callable[[], bytes], sentence: str) -> None:
    tflite_schema()
    with pytest.raises(ConversionError, match=f"^target {target} failed its gate: .*{sentence}"):
        check_tflite(target, make(), tmp_path)


# ------------------------------------------------------------------------------------------------------- SavedModel


@pytest.fixture
def savedmodel(textbook_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(textbook_bundle / "savedmodel", tmp_path / "savedmodel") / "1"


def edit(path: Path, change: Callable[[Any], object]) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    change(saved.meta_graphs[0])
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())


BAD_SAVEDMODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a variable": (
        lambda p: edit(p, lambda m: m.object_graph_def.nodes[0].variable.SetInParent()),
        "variables",
    ),
    "a cuDNN operator": (
        lambda p: edit(p, lambda m: m.graph_def.node.add(name="x", op="CudnnRNNV3")),
        "operators CudnnRNNV3",
    ),
    "Python code": (
        lambda p: edit(p, lambda m: m.graph_def.library.function[0].node_def.add(name="x", op="EagerPyFunc")),
        "operators EagerPyFunc",
    ),
    "file access": (
        lambda p: edit(p, lambda m: m.graph_def.node.add(name="x", op="ReadFile")),
        "operators ReadFile",
    ),
    "another signature": (
        lambda p: edit(p, lambda m: m.signature_def["train"].SetInParent()),
        r"signatures \['serving_default', 'train'\]; expected serving_default",
    ),
    "no warm-up records": (
        lambda p: (p / "assets.extra" / "tf_serving_warmup_requests").unlink(),
        "no warm-up records",
    ),
    "a path": (
        lambda p: (p / "assets.extra" / "note").write_text("made in /root/models"),
        "note holds the path /root/models",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("damage", "sentence"), BAD_SAVEDMODELS.values(), ids=BAD_SAVEDMODELS.keys())
def test_the_savedmodel_gate_refuses(savedmodel: Path, damage: Callable[[Path], object], sentence: str) -> None:
    folder = savedmodel.parents[1]
    check_target("savedmodel", TARGETS["savedmodel"], SPEC, folder)
    damage(savedmodel)
    with pytest.raises(ConversionError, match=f"^target savedmodel failed its gate: .*{sentence}"):
        check_target("savedmodel", TARGETS["savedmodel"], SPEC, folder)


def test_every_family_has_a_gate_and_a_target() -> None:
    assert set(_GATES) == set(get_args(Family)) == {target.family for target in TARGETS.values()}
