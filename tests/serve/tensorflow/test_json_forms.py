"""JSON to tensors and back, by the rules of the original: its own cases restated, a row each."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pulsecast_serve.protocols.tensorflow_serving.answer import columnar_answer, numbers, row_answer
from pulsecast_serve.protocols.tensorflow_serving.document import read_document, value_text
from pulsecast_serve.protocols.tensorflow_serving.request import read_tensors
from pulsecast_serve.protocols.tensorflow_serving.signature import FLOAT, INT64, Signature, TensorInfo
from pulsecast_serve.refusal import RefusedError

NAN, INF = float("nan"), float("inf")


def signature(**types: Any) -> Signature:
    return Signature(inputs={name: TensorInfo(dtype=one, shape=(), node="") for name, one in types.items()}, outputs={})


ONE_INT, ONE_FLOAT = signature(a=INT64), signature(a=FLOAT)
TWO = signature(whole=INT64, real=FLOAT)
READ: list[tuple[Signature, str, dict[str, Any], bool]] = [
    (ONE_INT, '{"instances": [[1,2],[3,4],[5,6]]}', {"a": [[1, 2], [3, 4], [5, 6]]}, True),
    (ONE_INT, '\ufeff{"instances": [1]}', {"a": [1]}, True),
    (ONE_INT, '{"instances": [1, 2]}', {"a": [1, 2]}, True),
    (ONE_INT, '{"instances": [{"a": [1,2]}]}', {"a": [[1, 2]]}, True),
    (ONE_INT, '{"instances": [-9223372036854775808]}', {"a": [-(2**63)]}, True),
    (ONE_FLOAT, '{"instances": [1, 2.0, 3, 4, 5.003, 0.007, 0.0]}', {"a": [1, 2, 3, 4, 5.003, 0.007, 0]}, True),
    (ONE_FLOAT, '{"instances": [16777215, -16777215, 16777217.0]}', {"a": [16777215, -16777215, 16777216]}, True),
    (ONE_FLOAT, '{"instances": [NaN, Infinity, -Infinity]}', {"a": [NAN, INF, -INF]}, True),
    (ONE_FLOAT, '{"instances": [3.4028234663852886e38, 1e-50]}', {"a": [3.4028235e38, 0]}, True),
    (ONE_FLOAT, '{"instances": [[]]}', {"a": [[]]}, True),
    (ONE_INT, '{"inputs": [[[1,2],[3,4],[5,6]]]}', {"a": [[[1, 2], [3, 4], [5, 6]]]}, False),
    (ONE_INT, '{"inputs": {"a": [[[1,2],[3,4],[5,6]]]}}', {"a": [[[1, 2], [3, 4], [5, 6]]]}, False),
    (ONE_INT, '{"inputs": 7}', {"a": 7}, False),
    (ONE_INT, '{"inputs": {"a": [1], "b": "left alone"}}', {"a": [1]}, False),
    (
        TWO,
        ('{"instances": [{"whole": [[1,2],[3,4]], "real": [1.0, NaN]}, '
        '{"real": [2.0, Infinity], "whole": [[5,6],[7,8]]}]}'),
        {"whole": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], "real": [[1, NAN], [2, INF]]},
        True,
    ),
    (TWO, '{"inputs": {"whole": [[[1,2]]], "real": 0.5}}', {"whole": [[[1, 2]]], "real": 0.5}, False),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "text", "tensors", "as_rows"), READ)
def test_a_request_is_read_as_the_original_reads_it(
    asked: Signature, text: str, tensors: dict[str, Any], as_rows: bool
) -> None:
    found = read_tensors(read_document(text.encode()), asked)
    assert found.as_rows is as_rows
    assert found.tensors.keys() == tensors.keys()
    for name, own in tensors.items():
        dtype = asked.inputs[name].dtype.numpy
        assert found.tensors[name].dtype == dtype
        np.testing.assert_array_equal(found.tensors[name], np.array(own, dtype))


def test_a_large_request_is_read_like_a_small_one() -> None:
    values = np.random.default_rng(1).normal(200, 50, (64, 73, 8))
    found = read_tensors(read_document(json.dumps({"instances": values.tolist()}).encode()), ONE_FLOAT)
    np.testing.assert_array_equal(found.tensors["a"], values.astype(np.float32))


def test_a_damaged_request_is_read_or_refused_in_a_sentence() -> None:
    """Whatever else is raised would be answered 500."""
    random = np.random.default_rng(3)
    seeds = [text.encode() for _, text, _, _ in READ] + [b'{"instances": [{"b64": "a"}, [[1, null], {"a": true}]]}']
    alphabet = np.frombuffer(b'[]{},:"\\\x00\xff0129eE.-+ anIN\n', np.uint8)
    said, read = [], 0
    for turn in range(1500):
        body = np.frombuffer(seeds[turn % len(seeds)], np.uint8).copy()
        for _ in range(random.integers(1, 3)):
            body[random.integers(len(body))] = random.choice(alphabet)
        for asked in (ONE_INT, ONE_FLOAT, TWO):
            try:
                read_tensors(read_document(body.tobytes()), asked)
                read += 1
            except RefusedError as error:
                said.append(str(error))
    assert read > 50
    assert all(one.isprintable() and len(one) < 500 for one in said)


NUMBERS: list[tuple[float, str]] = [
    (9_000_000, "9e+06"), (999_999, "999999.0"), (0.5, "0.5"), (0.0003, "0.0003"), (0.00003, "3e-05"),
    (555_557.5, "555557.5"), (0.2, "0.2"), (3, "3.0"), (0, "0.0"), (-0.0, "-0.0"), (1_000_000, "1e+06"),
    (1_234_567, "1234567.0"), (16_777_216, "16777216.0"), (1 / 3, "0.333333343"), (123.456, "123.456"),
    (3.4028235e38, "3.40282347e+38"), (1e-45, "1.4013e-45"), (NAN, "NaN"), (INF, "Infinity"), (-INF, "-Infinity"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), NUMBERS)
def test_a_number_is_written_as_the_original_writes_it(value: float, text: str) -> None:
    assert numbers(np.array([value], np.float32)) == [text]


def test_every_number_reads_back_as_the_same_float32() -> None:
    bits = np.random.default_rng(2).integers(0, 2**32, 20_000, dtype=np.uint32)
    values: NDArray[np.float32] = bits.view(np.float32)
    values = values[np.isfinite(values)]
    texts = numbers(values)
    np.testing.assert_array_equal(np.array([json.loads(text) for text in texts], np.float32), values)
    assert all("." in text or "e" in text for text in texts)


FORECAST = np.array([[1, 2.5], [3, NAN]], np.float32)
WRITTEN: list[tuple[dict[str, NDArray[np.float32]], bool, str]] = [
    (
        {"forecast": FORECAST},
        True,
        """{
    "predictions": [[1.0, 2.5], [3.0, NaN]
    ]
}""",
    ),
    (
        {"upper": FORECAST + 1, "forecast": FORECAST},
        True,
        """{
    "predictions": [
        {
            "forecast": [1.0, 2.5],
            "upper": [2.0, 3.5]
        },
        {
            "forecast": [3.0, NaN],
            "upper": [4.0, NaN]
        }
    ]
}""",
    ),
    (
        {"forecast": FORECAST[:1]},
        False,
        """{
    "outputs": [
        [
            1.0,
            2.5
        ]
    ]
}""",
    ),
    (
        {"upper": FORECAST[:1, :1] + 1, "forecast": FORECAST[:1, :1]},
        False,
        """{
    "outputs": {
        "forecast": [
            [
                1.0
            ]
        ],
        "upper": [
            [
                2.0
            ]
        ]
    }
}""",
    ),
]


@pytest.mark.parametrize(("outputs", "as_rows", "text"), WRITTEN)
def test_an_answer_has_the_originals_form_to_the_last_space(
    outputs: dict[str, NDArray[np.float32]], as_rows: bool, text: str
) -> None:
    assert (row_answer if as_rows else columnar_answer)(outputs) == text


def test_a_value_in_a_sentence_is_short_and_is_json() -> None:
    assert value_text({"a": [1, None, True]}) == '{"a": [1, null, true]}'
    assert len(value_text([0] * 100_000)) < 100
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert value_text(deep).startswith(("[[[", "..."))
