"""A TensorProto as an array, and an array as one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...protocols.tensorflow_serving.signature import FLOAT, DataType, TensorInfo
from ...refusal import BAD_REQUEST, RefusedError

_MOST_DIMENSIONS, _MOST_NUMBERS = 8, 2**31  # of a shape, which may be of one number alone
_TYPED = {"float": "float_val", "int64": "int64_val"}  # the field of each type's numbers


def array_of(name: str, info: TensorInfo, tensor: Any) -> NDArray[Any]:
    """Return the numbers of a TensorProto; one alone stands for all of its shape, as in TensorFlow, without its memory.

    Raises RefusedError (400): another type, or as many numbers as do not fill the shape. TensorFlow would repeat the
    last one, leave out what is too much, or take zeros.
    """
    dtype = info.dtype
    if tensor.dtype != dtype.number:
        raise _refused(name, f"is of the type {_type_name(tensor)}; expected {dtype.name}")
    shape = tuple(one.size for one in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise _refused(name, "has no known shape; expected the number of rows, and so on")
    if len(shape) > _MOST_DIMENSIONS or math.prod(shape) > _MOST_NUMBERS:
        raise _refused(
            name, f"has {len(shape)} dimensions and {math.prod(shape):.3g} numbers; see the model's metadata"
        )
    found = _numbers(name, dtype, tensor)
    if found.size == 1:
        return np.broadcast_to(found.reshape(()), shape)
    if found.size != math.prod(shape):
        raise _refused(name, f"holds {found.size:,} numbers; its shape {list(shape)} takes {math.prod(shape):,}")
    return found.reshape(shape)


def _numbers(name: str, dtype: DataType, tensor: Any) -> NDArray[Any]:
    typed = getattr(tensor, _TYPED[dtype.word])
    if not tensor.tensor_content:
        return np.array(typed, dtype.numpy)
    if len(typed):
        raise _refused(name, f"holds both tensor_content and {_TYPED[dtype.word]}; expected one of them")
    if len(tensor.tensor_content) % dtype.numpy.itemsize:
        raise _refused(name, f"holds {len(tensor.tensor_content):,} bytes, which are not whole numbers of {dtype.name}")
    return np.frombuffer(tensor.tensor_content, dtype.numpy)


def _refused(name: str, said: str) -> RefusedError:
    return RefusedError(BAD_REQUEST, f"tensor parsing error: {name} {said}", param=name)


def _type_name(tensor: Any) -> str:
    known = tensor.DESCRIPTOR.fields_by_name["dtype"].enum_type.values_by_number
    return known[tensor.dtype].name if tensor.dtype in known else str(tensor.dtype)


def fill(tensor: Any, array: NDArray[np.float32]) -> None:
    """Write an array into a TensorProto, its numbers one by one as the original answers them."""
    tensor.dtype = FLOAT.number
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.float_val.extend(array.ravel().tolist())
