"""How tensors are read, whatever carries them."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from pulsecast_serve.protocols.inference.tensors import DATATYPES, flattened, from_bytes, from_values, head
from pulsecast_serve.refusal import RefusedError


@pytest.mark.parametrize("datatype", [name for name, dtype in DATATYPES.items() if dtype is not None])
def test_bytes_of_every_datatype_are_read_little_endian(datatype: str) -> None:
    expected = np.array([[0, 1, 1], [1, 0, 1]], DATATYPES[datatype])
    found = from_bytes(head("x", datatype, [2, 3]), expected.tobytes())
    assert found.array.dtype == expected.dtype
    assert np.array_equal(found.array, expected)


def test_text_stands_behind_its_length_in_four_bytes() -> None:
    data = b"".join(struct.pack("<I", len(one)) + one for one in (b"a", b"", "é".encode()))
    assert from_bytes(head("x", "BYTES", [3]), data).data == [b"a", b"", "é".encode()]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "ends within one of its 2 elements"),
        (struct.pack("<I", 9) + b"a", "ends within"),
        (struct.pack("<II", 0, 2**32 - 1), "ends within"),
        (struct.pack("<II", 0, 0) + b"x", "1 bytes after its 2 elements"),
    ],
)
def test_text_of_a_wrong_length_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        from_bytes(head("x", "BYTES", [2]), data)


def test_a_huge_shape_takes_no_memory() -> None:
    with pytest.raises(RefusedError, match="has 4 bytes; FP32 of shape"):
        from_bytes(head("x", "FP32", [2**62, 2**62]), b"\0\0\0\0")
    with pytest.raises(RefusedError, match="ends within"):
        from_bytes(head("x", "BYTES", [2**62]), b"\0\0\0\0")


def test_values_keep_every_bit_that_their_datatype_has() -> None:
    assert from_values(head("x", "INT64", [2]), [2**63 - 1, -(2**63)]).array.tolist() == [2**63 - 1, -(2**63)]
    assert from_values(head("x", "UINT64", [1]), [2**64 - 1]).array.tolist() == [2**64 - 1]
    assert from_values(head("x", "FP64", [1]), [0.1]).array.tolist() == [0.1]
    assert from_values(head("x", "FP32", [1]), [0.1]).array[0] == np.float32(0.1)


@pytest.mark.parametrize(
    ("datatype", "values", "said"),
    [
        ("FP32", [1, None], r"x\[1\] is null"),
        ("FP32", [True, 1], r"x\[0\] is True; expected FP32"),
        ("FP32", ["1", 1], r"x\[0\] is '1'"),
        ("FP32", [0, 1e39], r"x\[1\] is a number beyond FP32"),
        ("FP64", [0, 10**400], r"x\[1\] is a number beyond FP64"),
        ("FP16", [0, 1], "sent as binary data only"),
        ("INT64", [1, 2.0], r"x\[1\] is 2.0; expected INT64"),
        ("INT64", [1, 2**63], r"x\[1\] is a number beyond INT64"),
        ("UINT8", [-1, 0], r"x\[0\] is a number beyond UINT8"),
        ("BOOL", [1, 0], r"x\[0\] is 1; expected BOOL"),
        ("BYTES", ["a", 1], "holds 1; expected text"),
        ("BYTES", ["a", "\ud800"], "not Unicode"),
        ("FP32", [1, 2, 3], "has 3 elements; its shape"),
    ],
)
def test_a_value_of_another_kind_is_refused(datatype: str, values: list[Any], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        from_values(head("x", datatype, [2]), values)


def test_a_byte_that_is_not_a_truth_is_refused() -> None:
    with pytest.raises(RefusedError, match="not 0 or 1"):
        from_bytes(head("x", "BOOL", [1]), b"\2")


def test_nested_data_is_read_in_row_major_order() -> None:
    of = head("x", "FP32", [2, 3])
    assert flattened(of, [[1, 2, 3], [4, 5, 6]]) == flattened(of, [1, 2, 3, 4, 5, 6]) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "data",
    [[[1, 2], [3, 4], [5, 6]], [[1, 2, 3], [4, 5]], [[1, 2, 3], 4, 5, 6], [[[1], [2], [3]], [[4], [5], [6]], []]],
)
def test_data_nested_in_another_shape_is_refused(data: list[Any]) -> None:
    with pytest.raises(RefusedError, match=r"nested in another shape than \[2, 3\]"):
        flattened(head("x", "FP32", [2, 3]), data)


@pytest.mark.parametrize("shape", [None, 3, [-1], [True], [1.0], ["1"], [2**63], [1] * 9])
def test_a_shape_is_a_short_list_of_whole_numbers(shape: object) -> None:
    with pytest.raises(RefusedError, match=r"shape|dimensions"):
        head("x", "FP32", shape)


def test_an_unknown_datatype_is_answered_with_the_known_ones() -> None:
    with pytest.raises(RefusedError, match=r"BF16.*; expected BOOL, UINT8.*FP32.*BYTES"):
        head("x", "BF16", [1])
