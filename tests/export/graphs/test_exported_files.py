"""The content of the exported files, checked with the libraries that will read them."""

import getpass
import hashlib
import io
import os
import platform
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require
from helpers.outside import warm
from helpers.trained import BUNDLES, bundle_of, model_of
from pulsecast.bundle.bundle import Bundle
from pulsecast.computing.calendars import complete
from pulsecast.model.windows import INPUTS
from pulsecast.stages.model_directory import ModelDirectory, read_model_directory
from pulsecast_export.exporter import export_model
from pulsecast_export.targets import TARGETS, find_targets

pytestmark = pytest.mark.slow


# ------------------------------------------------------------------------------------------------------------- bytes


@pytest.fixture(scope="module")
def again(recommended_model: Path, recommended_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second export of the model that `recommended_bundle` was made from, by the product's own children."""
    out = tmp_path_factory.mktemp("again") / "bundle"
    export_model(recommended_model, out)
    return out


def hashes(path: Path) -> dict[str, str]:
    files = (p for p in path.rglob("*") if p.is_file())
    return {p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_exporting_twice_gives_the_same_bytes_in_every_file(recommended_bundle: Path, again: Path) -> None:
    """The calendar, the bounds and the contracts in the files included."""
    assert hashes(recommended_bundle) == hashes(again)


def secrets(log: Path) -> dict[str, bytes]:
    """Words that must not be in any file: its maker, its place, and the users of the log."""
    ids = sorted({line.split(",")[1] for line in log.read_text().splitlines()[1:200]}, key=len)[-3:]
    found = {f"event id {i}": i.encode() for i in ids}
    found |= {"host name": platform.node().encode(), "home": str(Path.home()).encode()}
    user = getpass.getuser()
    if len(user) > 3 and user != "root":  # `root` is a word of TensorFlow's own
        found["user name"] = user.encode()
    for name, path in (("repository", Path(__file__).parents[3]), ("environment", Path(sys.prefix)), ("log", log)):
        found[f"path of the {name}"] = str(path.parent if name == "log" else path).encode()
    return {name: text for name, text in found.items() if len(text) > 4}


def contents(path: Path) -> dict[str, bytes]:
    """Every file's bytes by name, and those of the members of every .npz."""
    found = {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}
    for name, data in list(found.items()):
        if name.endswith(".npz"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                found |= {f"{name}:{member.filename}": archive.read(member) for member in archive.infolist()}
                found |= {
                    f"{name}:{member.filename}:extra": member.extra + member.comment for member in archive.filelist
                }
    return found


@BUNDLES
@pytest.mark.parametrize("kind", ["bundle", "model"])
def test_no_file_reveals_its_place_maker_or_data_owners(
    recipe: str, kind: str, engagement_log: Path, request: pytest.FixtureRequest
) -> None:
    path = Path(request.getfixturevalue(f"{recipe}_{kind}"))
    told = [
        (file, secret)
        for file, data in contents(path).items()
        for secret, text in secrets(engagement_log).items()
        if text in data
    ]
    assert told == []
    paths = re.compile(rb"(?<![\w.])/(?:home|root|tmp|usr|opt|var|work|Users|mnt|private)/\w+")
    assert [(file, paths.search(data)) for file, data in contents(path).items() if paths.search(data)] == []


# -------------------------------------------------------------------------------------------------------------- ONNX


def onnx_by_hand(model: ModelDirectory) -> bytes:
    """The scaled network as six nodes, made from the weights without a converter."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    spec, arrays, nodes = model.record.spec, {"squeeze": np.array([1], np.int64)}, []
    nodes.append(helper.make_node("Transpose", ["channels"], ["x0"], perm=[1, 0, 2]))
    for number, layer in enumerate(model.weights.layers):
        units = layer.units

        def iofc(array: np.ndarray, units: int = units) -> np.ndarray:
            i, f, c, o = (array[..., block * units : (block + 1) * units] for block in range(4))
            return np.concatenate([i, o, f, c], axis=-1)

        arrays[f"W{number}"] = iofc(layer.kernel).T[np.newaxis]
        arrays[f"R{number}"] = iofc(layer.recurrent).T[np.newaxis]
        arrays[f"B{number}"] = np.concatenate([iofc(layer.bias), np.zeros(4 * units, np.float32)])[np.newaxis]
        last = number == len(model.weights.layers) - 1
        outputs = ["", f"h{number}"] if last else [f"y{number}"]
        inputs = [f"x{number}", f"W{number}", f"R{number}", f"B{number}"]
        nodes.append(helper.make_node("LSTM", inputs, outputs, hidden_size=units))
        axis = "squeeze" if not last else "first"
        nodes.append(helper.make_node("Squeeze", [outputs[-1], axis], [f"x{number + 1}"]))
    arrays |= {"first": np.array([0], np.int64), "K": model.weights.head_kernel, "b": model.weights.head_bias}
    nodes.append(helper.make_node("Gemm", [f"x{len(model.weights.layers)}", "K", "b"], ["outputs"]))
    graph = helper.make_graph(
        nodes,
        "by_hand",
        [helper.make_tensor_value_info("channels", TensorProto.FLOAT, ["batch", spec.window, len(spec.channels)])],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["batch", spec.horizon])],
        [numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in arrays.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return bytes(made.SerializeToString())


@BUNDLES
def test_the_onnx_file_computes_what_six_nodes_made_by_hand_do(recipe: str, request: pytest.FixtureRequest) -> None:
    import onnxruntime as ort

    from pulsecast.computing import reference
    from pulsecast.computing.linear_path import linear_path

    model, path = model_of(recipe, request), bundle_of(recipe, request)
    spec, scaler = model.record.spec, model.record.scaler
    windows = model.heldout.windows
    scaled = scaler.transform(complete(spec, windows.changed(windows.values.astype(np.float64))))
    channels = reference.channels(spec, scaled)
    by_hand = ort.InferenceSession(onnx_by_hand(model), providers=["CPUExecutionProvider"])
    assert len(by_hand.get_inputs()) == 1
    outputs = by_hand.run(None, {"channels": channels.astype(np.float32)})[0].astype(np.float64)
    beside = linear_path(spec, model.scaling, model.weights, windows)
    outputs = outputs if beside is None else outputs + beside(scaled)
    expected = reference.to_raw(spec, scaler, outputs, scaled, channels)
    exported = ort.InferenceSession((path / "onnx" / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    given = {name: array for name, array in zip(INPUTS, windows.inputs, strict=True) if array is not None}
    found = exported.run(["forecast"], given)[0]
    # both in float32 in one engine: twice what each may differ from float64
    limit = 2 * TARGETS["onnx"].level.max_abs if recipe == "textbook" else 2 * TARGETS["onnx"].change.max_abs
    np.testing.assert_allclose(found, expected, rtol=0, atol=limit * scaler.range)


@BUNDLES
@pytest.mark.parametrize("name", ["model.onnx", "model.w8.onnx"])
def test_onnx_files_hold_two_lstms_one_domain_and_everything_inside(
    recipe: str, name: str, request: pytest.FixtureRequest
) -> None:
    import onnx

    model = onnx.load(bundle_of(recipe, request) / "onnx" / name, load_external_data=False)
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("LSTM") == 2
    assert {"Loop", "Scan", "If"}.isdisjoint(operators)
    assert {node.domain for node in model.graph.node} == {""}
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert model.ir_version == 8
    assert all(not i.external_data for i in model.graph.initializer)
    names = ["values"] if recipe == "textbook" else ["values", "time"]
    assert [i.name for i in model.graph.input] == names
    assert {i.type.tensor_type.shape.dim[0].dim_param for i in model.graph.input} == {"batch"}
    assert [o.name for o in model.graph.output] == ["forecast", "lower", "upper"]


@BUNDLES
def test_the_8_bit_onnx_file_is_small_and_its_matrices_are_int8(recipe: str, request: pytest.FixtureRequest) -> None:
    import onnx

    folder = bundle_of(recipe, request) / "onnx"
    assert (folder / "model.w8.onnx").stat().st_size < 0.4 * (folder / "model.onnx").stat().st_size
    model = onnx.load(folder / "model.w8.onnx")
    eight_bit = [i for i in model.graph.initializer if i.data_type == onnx.TensorProto.INT8]
    assert len(eight_bit) == 5  # two matrices a layer and the head's
    floats = [i for i in model.graph.initializer if i.data_type == onnx.TensorProto.FLOAT]
    spec = model_of(recipe, request).record.spec
    # biases and scales, and the calendar's constants: a number for each column and step
    most = max(8 * 50, spec.context * (len(spec.features) - spec.measured))
    assert max(onnx.numpy_helper.to_array(i).size for i in floats) <= most


# ------------------------------------------------------------------------------------------------------------ TFLite


@BUNDLES
@pytest.mark.parametrize("name", ["model.tflite", "model.fp16.tflite", "model.w8.tflite"])
def test_tflite_files_hold_no_state_and_builtin_operators_only(
    recipe: str, name: str, request: pytest.FixtureRequest
) -> None:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf((bundle_of(recipe, request) / "tflite" / name).read_bytes(), 0)
    assert sum(bool(t.isVariable) for graph in model.subgraphs for t in graph.tensors) == 0
    assert [code.customCode for code in model.operatorCodes if code.customCode] == []
    assert schema.BuiltinOperator.CUSTOM not in [code.builtinCode for code in model.operatorCodes]


@BUNDLES
@pytest.mark.parametrize("name", ["model.tflite", "model.fp16.tflite", "model.w8.tflite"])
def test_tflite_files_run_in_the_engine_that_takes_no_variables(
    recipe: str, name: str, request: pytest.FixtureRequest
) -> None:
    """LiteRT's CompiledModel, the successor of the interpreter; it must give what the interpreter gives."""
    require("ai_edge_litert")
    from ai_edge_litert.compiled_model import CompiledModel

    from pulsecast import load

    path = bundle_of(recipe, request)
    model = CompiledModel.from_file(str(path / "tflite" / name))
    golden = Bundle.open(path).golden()
    window = golden.windows.take(slice(1))
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    inputs[0].write(window.values.ravel())
    if window.time is not None:
        inputs[1].write(window.time.view(np.int32))  # its Python writes no int64; a buffer is bytes
    model.run_by_index(0, inputs, outputs)
    found = outputs[0].read(golden.reference.shape[1], np.float32)
    artifact = next(t for t, row in TARGETS.items() if row.path.endswith(name))
    expected = load(path, artifact=artifact).predict(window)[0]
    scaler = Bundle.open(path).manifest.scaler
    np.testing.assert_allclose(found, expected, rtol=0, atol=TARGETS["tflite"].change.max_abs * scaler.range)


@BUNDLES
def test_the_int8_file_clips_neither_its_cells_nor_its_forecasts_and_is_small(
    recipe: str, request: pytest.FixtureRequest
) -> None:
    from ai_edge_litert import schema_py_generated as schema

    folder = bundle_of(recipe, request) / "tflite"
    model = schema.ModelT.InitFromPackedBuf((folder / "model.int8.tflite").read_bytes(), 0)
    fused = schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM
    clips = [
        operator.builtinOptions.cellClip
        for operator in model.subgraphs[0].operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode == fused
    ]
    assert clips == [0.0, 0.0]
    # an int8 head would cut off every forecast beyond the range of the calibration windows
    heads = [
        operator
        for operator in model.subgraphs[0].operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.FULLY_CONNECTED
    ]
    assert len(heads) == 1
    kernel, bias = (model.subgraphs[0].tensors[index] for index in heads[0].inputs[1:])
    weights = Bundle.open(bundle_of(recipe, request)).weights()
    for tensor, expected in ((kernel, weights.head_kernel.T), (bias, weights.head_bias)):
        assert tensor.type == schema.TensorType.FLOAT32
        found = np.frombuffer(bytes(model.buffers[tensor.buffer].data), "<f4").reshape(tensor.shape)
        np.testing.assert_array_equal(found, expected)
    assert (folder / "model.int8.tflite").stat().st_size < 0.4 * (folder / "model.tflite").stat().st_size


# ------------------------------------------------------------------------------------------------------ chosen targets


def test_a_target_made_from_another_is_exported_without_it(textbook_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with warm.converters():
        manifest = export_model(textbook_model, out, targets=("onnx-w8",)).manifest
    assert [artifact.id for artifact in manifest.artifacts] == ["numpy", "onnx-w8"]
    expected = ["MODEL_CARD.md", "golden.npz", "manifest.json", "onnx/model.w8.onnx", "weights.npz"]
    assert sorted(hashes(out)) == expected
    assert Bundle.open(out).manifest == manifest


EVERY_PRECISION = ("onnx", "onnx-w8", "tflite", "tflite-fp16", "tflite-w8", "tflite-int8")


def test_raw_values_in_the_millions_pass_every_precision(textbook_model: Path, tmp_path: Path) -> None:
    """The network sees the usual scaled values; only the scaler's constants are large (1e6 to 3e6)."""
    require("tensorflow", "tf2onnx", "ai_edge_quantizer")
    from pulsecast.forecasting.verification import require_passed, verify

    trained = plain.from_directory(read_model_directory(textbook_model))
    plain.write_model_directory(tmp_path / "model", plain.rescaled(trained, 1e6, 3e6))
    with warm.converters():
        export_model(tmp_path / "model", tmp_path / "bundle", targets=EVERY_PRECISION)
    require_passed(verify(tmp_path / "bundle"))
    manifest = Bundle.open(tmp_path / "bundle").manifest
    assert manifest.scaler.range == 2e6
    precisions = {TARGETS[target].precision for target in find_targets(())}
    assert {artifact.precision for artifact in manifest.artifacts} == precisions


KILLED = """
import os, signal, sys
from pathlib import Path
from pulsecast_export.exporter import export_model
class Killing:
    def tell(self, line):
        if line.startswith(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
    def advance(self, what, done, total, note=""):
        pass
export_model(Path(sys.argv[1]), Path(sys.argv[2]), targets=("onnx",), force=True, progress=Killing())
"""


def test_an_export_that_is_killed_leaves_the_old_bundle_and_the_next_one_clears_up(
    textbook_model: Path, tmp_path: Path
) -> None:
    """Kills between the two steps of the folder's swap are tested with `whole_directory`."""
    out = tmp_path / "bundle"
    plain.write_bundle(out, plain.make_model(plain.LEVEL_SPEC))
    old = hashes(out)
    for stage in ("converting", "verifying"):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", KILLED, str(textbook_model), str(out), stage]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert hashes(out) == old
        assert Bundle.open(out).manifest.name == "plain"
        assert len(list(tmp_path.iterdir())) == 3  # and the lock file and the unfinished files of the killed process
    with warm.converters():
        manifest = export_model(textbook_model, out, targets=("onnx",), force=True).manifest
    assert Bundle.open(out).manifest == manifest
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
