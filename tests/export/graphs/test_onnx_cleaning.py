"""Cleaning: unnecessary nodes are removed, the numbers stay, and the order of the source does not matter."""

import numpy as np
import pytest

from helpers.engines import load

onnx = load("onnx")
ort = load("onnxruntime")

from pulsecast.errors import ConversionError  # noqa: E402  the packages above are needed first
from pulsecast_export.graphs.onnx_cleaning import clean  # noqa: E402
from pulsecast_export.graphs.onnx_writer import quantise_rows  # noqa: E402

helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto
UNITS = 3


def source(*, shuffled: bool = False, zero: float = 0.0, given: str = "values:0") -> "onnx.ModelProto":
    """An LSTM with spelled-out initial states, copies, a dead branch and two unused weights."""
    rng = np.random.default_rng(0)
    arrays = {
        "W": rng.normal(size=(1, 4 * UNITS, 2)).astype(np.float32),
        "R": rng.normal(size=(1, 4 * UNITS, UNITS)).astype(np.float32),
        "B": rng.normal(size=(1, 8 * UNITS)).astype(np.float32),
        "state": np.full((1, 1, UNITS), zero, np.float32),
        "axis": np.array([0], np.int64),
        "K": rng.normal(size=(UNITS, 1)).astype(np.float32),
        "unused": np.ones(5, np.float32),
    }
    nodes = [
        helper.make_node("Identity", [given], ["copy"]),
        helper.make_node("Identity", ["copy"], ["copy2"]),
        helper.make_node("Transpose", ["copy2"], ["steps"], perm=[1, 0, 2]),
        helper.make_node("Identity", ["state"], ["h0"]),
        helper.make_node("LSTM", ["steps", "W", "R", "B", "", "h0", "h0"], ["y", "h", "c"], hidden_size=UNITS),
        helper.make_node("Squeeze", ["h", "axis"], ["last"]),
        helper.make_node("Neg", ["last"], ["dead"]),
        helper.make_node("MatMul", ["last", "K"], ["product"]),
        helper.make_node("Sub", ["copy", "copy"], ["nothing"]),
        helper.make_node("ReduceSum", ["nothing"], ["sum"], keepdims=0),
        helper.make_node("Add", ["product", "sum"], ["added"]),
        helper.make_node("Identity", ["added"], ["out"]),
    ]
    names = list(arrays)
    if shuffled:
        nodes = [nodes[i] for i in (0, 1, 8, 9, 3, 2, 4, 5, 7, 6, 10, 11)]
        names = names[::-1]
    graph = helper.make_graph(
        nodes,
        "source",
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, [1, 4, 2])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(arrays[name], name) for name in names],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: "onnx.ModelProto", name: str) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {name: np.arange(8, dtype=np.float32).reshape(1, 4, 2)})[0])


def test_only_the_necessary_nodes_are_left_and_the_numbers_stay() -> None:
    model = clean(source())
    operators = [node.op_type for node in model.graph.node]
    assert operators == ["Transpose", "LSTM", "Squeeze", "MatMul", "Sub", "ReduceSum", "Add"]
    lstm = model.graph.node[1]
    assert (len(lstm.input), list(lstm.output)) == (4, ["", "lstm_1_1"])
    assert len(model.graph.initializer) == 5
    assert [(i.name, i.type.tensor_type.shape.dim[0].dim_param) for i in model.graph.input] == [("values", "batch")]
    assert [o.name for o in model.graph.output] == ["forecast"]
    np.testing.assert_array_equal(run(model, "values"), run(source(), "values:0"))


def test_an_initial_state_that_is_not_zero_stays() -> None:
    model = clean(source(zero=0.5))
    assert len(model.graph.node[1].input) == 7
    np.testing.assert_array_equal(run(model, "values"), run(source(zero=0.5), "values:0"))


def test_the_order_of_the_source_does_not_change_a_byte() -> None:
    one, other = clean(source()), clean(source(shuffled=True))
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


def remainder(period: int) -> "onnx.ModelProto":
    """A remainder as tf2onnx writes it, x - x / period * period, of three outputs the middle one."""
    nodes = [
        helper.make_node("Div", ["time", "period"], ["quotient"]),
        helper.make_node("Mul", ["quotient", "period"], ["product"]),
        helper.make_node("Sub", ["time", "product"], ["rest"]),
        helper.make_node("Add", ["time", "period"], ["later"]),
        helper.make_node("Sub", ["time", "period"], ["sooner"]),
    ]
    graph = helper.make_graph(
        nodes,
        "remainder",
        [helper.make_tensor_value_info("time", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info(name, TensorProto.INT64, [1]) for name in ("later", "rest", "sooner")],
        [numpy_helper.from_array(np.array([period], np.int64), "period")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_remainder_is_that_of_a_floored_division_before_1970_too() -> None:
    """ONNX cuts a quotient of integers towards zero: as tf2onnx writes it, the remainder of -1 is -1."""
    times = np.array([-90_001, -86_400, -1, 0, 1, 86_399, 86_400, 253_402_300_799], np.int64)

    def rests(model: "onnx.ModelProto", name: str) -> np.ndarray:
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return np.concatenate([session.run([name], {"time": times[i : i + 1]})[0] for i in range(len(times))])

    model = clean(remainder(86_400))
    assert [node.op_type for node in model.graph.node] == ["Add", "Mod", "Sub"]
    np.testing.assert_array_equal(rests(model, "lower"), times % 86_400)
    assert (rests(remainder(86_400), "rest") != times % 86_400).sum() == 2


def test_outputs_keep_their_order_under_the_names_of_the_contract() -> None:
    model = clean(remainder(7))
    assert [o.name for o in model.graph.output] == ["forecast", "lower", "upper"]
    assert [node.op_type for node in model.graph.node] == ["Add", "Mod", "Sub"]
    assert [node.output[0] for node in model.graph.node] == ["forecast", "lower", "upper"]


def test_an_input_that_the_contract_does_not_know_is_refused() -> None:
    with pytest.raises(ConversionError, match="the converter named the graph's inputs window"):
        clean(source(given="window"))


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_are_quantised_to_half_a_step_each_by_its_own_scale(axis: int) -> None:
    matrix = np.random.default_rng(1).normal(0, [[1], [100], [0.01]], (3, 40)).astype(np.float32)
    if axis == 0:
        matrix = matrix.T
    quantised, scale = quantise_rows(matrix, axis=axis)
    assert quantised.dtype == np.int8
    assert np.abs(quantised).max(axis=axis).tolist() == [127] * 3
    # half a step, and float32 rounding of the division
    assert (np.abs(quantised * scale - matrix) <= scale * 0.50001).all()


def test_a_row_of_zeros_is_quantised_to_zeros() -> None:
    quantised, scale = quantise_rows(np.zeros((1, 4), np.float32), axis=1)
    assert (quantised.any(), scale.tolist()) == (False, [[1.0]])
