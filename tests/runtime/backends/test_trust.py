"""A native artifact is code: it runs only after a checked signature, or if the caller trusts it."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require
from helpers.native_models import require_c
from pulsecast import load, verify
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.packing import pack, sign
from pulsecast.errors import EngineError, FormatError, PulsecastError, SignatureError

REFUSED = "native is not run: it is code, and the bundle's signature was not checked; pass the public key of its maker"
NATIVE = dataclasses.replace(plain.numpy_artifact(), id="native", backend="native", path="native")


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the bundle's code would leave; libraries are kept beside it."""
    monkeypatch.setenv("PULSECAST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "mark"


@pytest.fixture
def hostile(level_model: plain.PlainModel, mark: Path, tmp_path: Path) -> Path:
    """A bundle with correct hashes whose C code leaves a mark as soon as it is loaded."""
    folder = tmp_path / "bundle"
    plain.write_bundle(folder, level_model)
    (folder / "native").mkdir()
    (folder / "native" / "model.h").write_text("")
    (folder / "native" / "model.c").write_text(
        "#include <stdio.h>\n__attribute__((constructor)) static void leave(void) {\n"
        f'    FILE *file = fopen({json.dumps(str(mark))}, "w");\n    if (file) fclose(file);\n}}\n'
    )
    plain.write_manifest(folder, level_model, (plain.numpy_artifact(), NATIVE))
    return folder


def keys(folder: Path) -> Path:
    require("cryptography")
    from pulsecast.bundle.signing import generate_key

    generate_key(folder / "key")
    return folder / "key"


WAYS: dict[str, Callable[[Path], object]] = {
    "loaded by backend": lambda bundle: load(bundle, backend="native"),
    "loaded by artifact": lambda bundle: load(bundle, artifact="native"),
    "verified by name": lambda bundle: verify(bundle, artifact="native"),
    "loaded from one file": lambda bundle: load(pack(bundle, bundle.with_suffix(".pulse")).path, backend="native"),
}


@pytest.mark.parametrize("way", WAYS)
def test_code_of_an_unsigned_bundle_is_neither_compiled_nor_run(way: str, hostile: Path, mark: Path) -> None:
    with pytest.raises(SignatureError, match=REFUSED):
        WAYS[way](hostile)
    assert not mark.exists()
    assert not mark.with_name("cache").exists()


def test_an_unchecked_signature_proves_nothing(hostile: Path, mark: Path, tmp_path: Path) -> None:
    sign(hostile, keys(tmp_path))
    with pytest.raises(SignatureError, match=REFUSED):
        load(hostile, backend="native")
    assert not mark.exists()


@pytest.mark.parametrize("vouching", ["the caller", "the key"])
def test_code_that_is_vouched_for_is_run(vouching: str, hostile: Path, mark: Path, tmp_path: Path) -> None:
    require_c()
    if vouching == "the key":
        sign(hostile, keys(tmp_path))
    key = tmp_path / "key.pub" if vouching == "the key" else None
    with pytest.raises(EngineError):  # it is not a model; but without this check the tests above could not fail
        load(hostile, backend="native", key=key, trust_code=key is None)
    assert mark.exists()


def test_verify_skips_code_and_says_why(hostile: Path, mark: Path) -> None:
    numpy, native = verify(hostile)
    assert numpy.passed
    assert numpy.skipped is None
    assert native.skipped is not None
    assert native.skipped.startswith("it is code")
    assert not mark.exists()


def test_auto_takes_no_code(hostile: Path, mark: Path) -> None:
    assert load(hostile, trust_code=True).artifact.id == "numpy"
    assert not mark.exists()


def test_a_wrong_key_is_not_made_good_by_trust(hostile: Path, mark: Path, tmp_path: Path) -> None:
    keys(tmp_path)
    with pytest.raises(SignatureError, match="the bundle is not signed"):
        load(hostile, backend="native", key=tmp_path / "key.pub", trust_code=True)
    assert not mark.exists()


def test_the_commands_run_no_code_unasked(
    hostile: Path, mark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("typer")
    from pulsecast_cli.app import run

    log = tmp_path / "log.csv"
    log.write_text("time,value\n2024-01-01T00:00:00Z,1\n")
    assert run(["predict", str(hostile), "--input", str(log), "--backend", "native"]) == 5
    assert "native is not run" in capsys.readouterr().err
    assert run(["verify", str(hostile), "--artifact", "native"]) == 5
    assert run(["verify", str(hostile)]) == 0
    assert "[-] native: skipped, it is code" in capsys.readouterr().out
    assert not mark.exists()


def test_the_benchmark_runs_no_code_unasked(hostile: Path, mark: Path) -> None:
    from pulsecast_bench.measuring.runner import _sort_out
    from pulsecast_bench.results.case import change, find_profile
    from pulsecast_bench.subjects.subject import Trust

    bundle, config = Bundle.open(hostile), change(find_profile("quick"), batches=(1,))
    chosen = bundle.manifest.artifacts
    skipped, measured = _sort_out(bundle, chosen, config, Trust())
    assert [artifact.id for artifact in measured] == ["numpy"]
    assert [one.reason.partition(",")[0] for one in skipped] == ["it is code"]
    assert _sort_out(bundle, chosen, config, Trust(code=True)) == ((), chosen)
    assert not mark.exists()


@pytest.mark.parametrize("wrong", [None, 7, b"bundle", ["bundle"]])
def test_a_bundle_that_is_not_a_path_is_one_sentence(wrong: object) -> None:
    with pytest.raises(PulsecastError, match=r"expected the path of a bundle, a folder or a \.pulse file"):
        load(wrong)  # type: ignore[arg-type]


def test_an_onnx_file_that_reads_other_files_is_refused(
    level_model: plain.PlainModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("onnx", "onnxruntime")
    import onnx

    raw = np.ones(4, np.float32).tobytes()
    tensor = onnx.TensorProto(name="bias", data_type=onnx.TensorProto.FLOAT, dims=[4], data_location="EXTERNAL")
    tensor.external_data.add(key="location", value="outside.bin")
    node = onnx.helper.make_node("Add", ["window", "bias"], ["forecast"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in ("window", "forecast")]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:], initializer=[tensor])
    opsets = [onnx.helper.make_opsetid("", 17)]
    folder = tmp_path / "bundle"
    plain.write_bundle(folder, level_model)
    (folder / "model.onnx").write_bytes(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )
    artifact = dataclasses.replace(plain.numpy_artifact(), id="onnx", backend="onnx", path="model.onnx")
    plain.write_manifest(folder, level_model, (plain.numpy_artifact(), artifact))
    (tmp_path / "outside.bin").write_bytes(raw)
    monkeypatch.chdir(tmp_path)  # at the place where ONNX Runtime would find it
    with pytest.raises(FormatError, match=r"model\.onnx keeps tensors in other files"):
        load(folder, backend="onnx")


def tflite_file(operator: str) -> bytes:
    """Return a TFLite file of one custom operator, from a window of 50 steps to a forecast."""
    require("ai_edge_litert", "flatbuffers")
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    code, node, graph, model = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT(), schema.ModelT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = operator
    node.opcodeIndex, node.inputs, node.outputs = 0, [0], [1]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [node], [0], [1]
    for name, shape in (("values", [1, 50, 1]), ("forecast", [1, 1])):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, schema.TensorType.FLOAT32, 0
        graph.tensors.append(tensor)
    model.version, model.operatorCodes, model.buffers, model.subgraphs = 3, [code], [schema.BufferT()], [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("operator", ["MyOp", "FlexErf", "Mfcc", "AudioSpectrogram", "TFLite_Detection_PostProcess"])
def test_a_tflite_file_of_custom_operators_is_refused_before_its_engine_has_it(
    operator: str, level_model: plain.PlainModel, tmp_path: Path
) -> None:
    """LiteRT brings kernels for some of them: without options Mfcc ended the process with a segmentation fault."""
    folder = tmp_path / "bundle"
    plain.write_bundle(folder, level_model)
    (folder / "model.tflite").write_bytes(tflite_file(operator))
    artifact = dataclasses.replace(plain.numpy_artifact(), id="tflite", backend="tflite", path="model.tflite")
    plain.write_manifest(folder, level_model, (plain.numpy_artifact(), artifact))
    with pytest.raises(FormatError, match=rf"model\.tflite has custom operators \({operator}\); expected LiteRT's bui"):
        load(folder, backend="tflite")
