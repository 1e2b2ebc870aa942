"""Inputs and outputs of each file have the names, order and types of the contract, which stands in the file itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.engines import EXPORT, require
from helpers.graph_models import TARGETS, Converted
from helpers.trained import BUNDLES, bundle_of, model_of
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.contract import CONTRACT_KEY, Contract, contract_text, read_contract
from pulsecast.bundle.lone_files import lone_contract
from pulsecast.model.windows import INPUTS
from pulsecast.stages.model_directory import read_model_directory
from pulsecast_export.contracts import contract_of
from pulsecast_export.targets import TARGETS as ROWS

pytestmark = pytest.mark.slow
SIGNATURE = "serving_default"


def file_of(converted: Converted, target: str) -> Path:
    return converted.folder / "bundle" / ROWS[target].path


def contract(converted: Converted, target: str) -> Contract:
    return contract_of(read_model_directory(converted.folder / "model"), target)


def taken(converted: Converted) -> list[tuple[str, type, list[int]]]:
    """Name, type and shape of each input, in order; -1 is any batch."""
    spec = converted.spec
    values = ("values", np.float32, [-1, spec.context, spec.measured])
    return [values, ("time", np.int64, [-1])] if spec.timed else [values]


def given(converted: Converted) -> list[str]:
    return ["forecast", "lower", "upper"] if converted.case.intervals else ["forecast"]


def by_name(converted: Converted) -> dict[str, Any]:
    """Three windows by the names of the inputs."""
    windows = converted.case.model.windows.take(slice(3))
    return {name: array for name, array in zip(INPUTS, windows.inputs, strict=True) if array is not None}


def test_an_onnx_file_has_the_inputs_and_outputs_of_the_contract_in_its_order(converted: Converted) -> None:
    import onnx

    graph = onnx.load(file_of(converted, "onnx")).graph
    found = [
        (
            one.name,
            onnx.helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type).type,
            [-1 if dim.dim_param == "batch" else dim.dim_value for dim in one.type.tensor_type.shape.dim],
        )
        for one in graph.input
    ]
    assert found == taken(converted)
    assert [one.name for one in graph.output] == given(converted)
    for one in graph.output:
        assert one.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        assert [dim.dim_value for dim in one.type.tensor_type.shape.dim][1:] == [converted.spec.horizon]


def test_a_tflite_file_has_them_as_tensors_and_in_its_signature(converted: Converted) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file_of(converted, "tflite")))
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    assert [(one["name"], one["dtype"], list(one["shape_signature"])) for one in inputs] == taken(converted)
    assert [(one["name"], one["dtype"]) for one in outputs] == [(name, np.float32) for name in given(converted)]
    signature = interpreter.get_signature_list()[SIGNATURE]
    assert sorted(signature["inputs"]) == sorted(name for name, _, _ in taken(converted))
    assert sorted(signature["outputs"]) == sorted(given(converted))


def test_a_tflite_signature_gives_each_output_its_own_name(converted: Converted) -> None:
    """The converter orders results by itself; the names must follow."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file_of(converted, "tflite")))
    for tensor in interpreter.get_input_details():
        interpreter.resize_tensor_input(tensor["index"], [3, *tensor["shape"][1:]])
    interpreter.allocate_tensors()
    found = interpreter.get_signature_runner(SIGNATURE)(**by_name(converted))
    windows = converted.case.model.windows.take(slice(3))
    for name, expected in zip(given(converted), converted.backend("tflite").outputs(*windows.inputs), strict=True):
        np.testing.assert_array_equal(found[name], expected)


def test_a_savedmodel_has_them_in_its_signature(converted: Converted) -> None:
    import tensorflow as tf

    model = tf.saved_model.load(str(file_of(converted, "savedmodel")))
    assert list(model.signatures) == [SIGNATURE]
    signature = model.signatures[SIGNATURE]
    found = {
        name: (one.dtype.as_numpy_dtype, [-1 if size is None else size for size in one.shape])
        for name, one in signature.structured_input_signature[1].items()
    }
    assert found == {name: (dtype, shape) for name, dtype, shape in taken(converted)}
    assert sorted(signature.structured_outputs) == sorted(given(converted))
    answers = signature(**{name: tf.constant(array) for name, array in by_name(converted).items()})
    windows = converted.case.model.windows.take(slice(3))
    expected = converted.backend("savedmodel").outputs(*windows.inputs)
    for name, array in zip(given(converted), expected, strict=True):
        np.testing.assert_array_equal(answers[name].numpy(), array)


@pytest.mark.parametrize("target", TARGETS)
def test_the_contract_in_a_file_is_that_of_its_model(converted: Converted, target: str) -> None:
    found = lone_contract(file_of(converted, target))
    assert found == contract(converted, target)
    assert found.artifact == target
    assert set(found.outputs) == set(given(converted))
    manifest = Bundle.open(converted.folder / "bundle").manifest
    assert (found.digest, found.level) == (manifest.digest, manifest.level)


@BUNDLES
def test_every_artifact_of_a_bundle_holds_its_own_contract(recipe: str, request: pytest.FixtureRequest) -> None:
    """Files that are made from others too, such as those of 8-bit weights."""
    path, model = bundle_of(recipe, request), model_of(recipe, request)
    manifest = Bundle.open(path).manifest
    for artifact in manifest.artifacts:
        if artifact.backend not in ("numpy", "native"):
            found = lone_contract(path / artifact.path)
            assert found == contract_of(model, artifact.id)
            assert (found.artifact, found.precision, found.units) == (artifact.id, artifact.precision, artifact.units)
            assert found.digest == manifest.digest


def test_the_libraries_of_each_format_find_the_same_text(recommended_bundle: Path, recommended_model: Path) -> None:
    require(*EXPORT)
    import onnx
    from ai_edge_litert import schema_py_generated as schema

    model = read_model_directory(recommended_model)
    onnx_file = onnx.load(recommended_bundle / ROWS["onnx"].path)
    texts = {entry.key: entry.value for entry in onnx_file.metadata_props}
    assert texts == {CONTRACT_KEY: contract_text(contract_of(model, "onnx"))}
    for target in ("tflite", "tflite-fp16", "tflite-w8", "tflite-int8"):
        tflite = schema.ModelT.InitFromPackedBuf((recommended_bundle / ROWS[target].path).read_bytes(), 0)
        (entry,) = [one for one in tflite.metadata if one.name == CONTRACT_KEY.encode()]
        text = bytes(tflite.buffers[entry.buffer].data)
        assert read_contract(text, where=target) == contract_of(model, target)


def test_files_of_one_model_share_a_digest_that_no_other_model_has(
    textbook_bundle: Path, recommended_bundle: Path
) -> None:
    digests = [
        {lone_contract(path / ROWS[target].path).digest for target in (*TARGETS, "onnx-w8", "tflite-int8")}
        for path in (textbook_bundle, recommended_bundle)
    ]
    assert [len(one) for one in digests] == [1, 1]
    assert digests[0] != digests[1]
