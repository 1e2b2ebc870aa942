"""The tensors in a request of REST: rows under `instances`, or columns under `inputs`.

Lists are read level by level, since most requests are right; only one that is not is walked value by value, for the
sentence that says where. Unknown keys beside these two are left alone, as the original does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.model.windows import INPUTS, LARGEST_FLOAT32

from ...refusal import BAD_REQUEST, RefusedError
from .document import is_base64, type_word, value_text
from .signature import FLOAT, SIGNATURE, DataType, Signature, TensorInfo, Tensors

INSTANCES, COLUMNS, SIGNATURE_NAME = "instances", "inputs", "signature_name"
_MOST_DIMENSIONS = 8
_LARGEST_WHOLE = 2**24 - 1  # that float32 holds, as all below it
_INT64 = range(-(2**63), 2**63)
_NOT_BOTH = f"Not formatted correctly expecting only one of '{COLUMNS}' or '{INSTANCES}' keys to exist"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a request holds: the tensors of all inputs, and whether they came as rows."""

    tensors: Tensors
    as_rows: bool


def signature_name(document: Mapping[str, Any]) -> str:
    """Return the name of the signature that a request wants; raises RefusedError (400) if it is not text."""
    name = document.get(SIGNATURE_NAME, "")
    if not isinstance(name, str):
        raise _format_error(document, f"not formatted correctly. '{SIGNATURE_NAME}' key must be a string value.")
    return name or SIGNATURE


def read_tensors(document: Mapping[str, Any], signature: Signature) -> Asked:
    """Return the tensors of a request; raises RefusedError (400)."""
    if INSTANCES in document and COLUMNS in document:
        raise _format_error(document, _NOT_BOTH)
    if INSTANCES in document:
        instances = document[INSTANCES]
        if not isinstance(instances, list):
            raise _format_error(document, f"Expecting '{INSTANCES}' to be an list/array")
        if not instances:
            raise _format_error(document, f"No values in '{INSTANCES}' array")
        return Asked(tensors=_rows(instances, signature.inputs), as_rows=True)
    if COLUMNS in document:
        return Asked(tensors=_columns(document[COLUMNS], signature.inputs), as_rows=False)
    raise _refused(f"Missing '{COLUMNS}' or '{INSTANCES}' key")


def _refused(said: str) -> RefusedError:
    return RefusedError(BAD_REQUEST, said)


def _format_error(document: object, said: str) -> RefusedError:
    return _refused(f"JSON Value: {value_text(document)} {said}")


def _columns(given: object, inputs: Mapping[str, TensorInfo]) -> dict[str, NDArray[Any]]:
    if not isinstance(given, dict) or is_base64(given):
        if len(inputs) > 1:
            raise _refused(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        given = dict.fromkeys(inputs, given)
    for name in inputs:
        if name not in given:
            raise _refused(f"Missing named input: {name} in 'inputs' object.")
    for name in given.keys() & set(INPUTS) - inputs.keys():  # of any other name nobody expects an effect
        raise _refused(f"this model has no input {name}; it takes {', '.join(sorted(inputs))}")
    return {name: _tensor(given[name], info.dtype) for name, info in inputs.items()}


def _rows(instances: list[Any], inputs: Mapping[str, TensorInfo]) -> dict[str, NDArray[Any]]:
    """Return the tensors of rows: each row is an object of all inputs, or where there is one input, a value of it."""
    first = instances[0]
    if not isinstance(first, dict) and len(inputs) > 1:
        raise _refused(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    named = _is_object(first)
    if named and all(isinstance(row, dict) and row.keys() == inputs.keys() for row in instances):
        columns = {name: [row[name] for row in instances] for name in inputs}
    elif not named and not any(map(_is_object, instances)):
        columns = dict.fromkeys(inputs, instances)
    else:
        columns = {}
    found = {name: _uniform(column, inputs[name].dtype) for name, column in columns.items()}
    tensors = {name: array for name, array in found.items() if array is not None}
    if len(tensors) < len(inputs):
        _explain(instances, inputs, named=named)
    return tensors


def _is_object(value: object) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _explain(instances: Sequence[Any], inputs: Mapping[str, TensorInfo], *, named: bool) -> None:
    """Raise RefusedError for the first row that does not fit."""
    shapes: dict[str, tuple[int, ...]] = {}
    for place, row in enumerate(instances):
        if named and not _is_object(row):
            raise _refused(f"Expecting object but got list at item {place} of input list")
        if not named and _is_object(row):
            raise _refused(f"Expecting value/list but got object at item {place} of input list")
        items = row if named else dict.fromkeys(inputs, row)
        for name, item in items.items():
            try:
                _check_item(name, item, inputs, shapes)
            except RefusedError as error:
                key = f" key: {name}" if named else ""
                raise _refused(
                    f"Failed to process element: {place}{key} of 'instances' list. Error: INVALID_ARGUMENT: {error}"
                ) from None
        if items.keys() != inputs.keys():
            raise _refused(
                f"Failed to process element: {place} of 'instances' list. JSON object: {value_text(row)} keys must be "
                f"equal to: {','.join(sorted(inputs))}"
            )
    raise _refused("the rows of 'instances' do not fit together")  # what is checked above is what `_uniform` checks


def _check_item(name: str, item: object, inputs: Mapping[str, TensorInfo], shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise RefusedError unless `item` is a value of an input, in the shape that the first row has."""
    if name not in inputs:
        raise _refused(f"JSON object: does not have named input: {name}")
    shape = _shape(item)
    size = _check(item, shape, inputs[name].dtype)
    first = shapes.setdefault(name, shape)
    if size != int(np.prod(first)):
        raise _refused(f"Expecting tensor size: {int(np.prod(first))} but got: {size}")
    if shape != first:
        raise _refused(f"Expecting shape {_shape_text(first)} but got: {_shape_text(shape)}")


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _tensor(value: object, dtype: DataType) -> NDArray[Any]:
    """Return nested lists as a tensor; raises RefusedError."""
    found = _uniform(value, dtype)
    if found is None:
        _check(value, _shape(value), dtype)
        raise _refused("the lists do not fit together")  # what `_check` looks at is what `_uniform` looks at
    return found


def _shape(value: object) -> tuple[int, ...]:
    """Return the sizes of nested lists, by the first value of each; raises RefusedError if they are too deep."""
    sizes = []
    while isinstance(value, list):
        sizes.append(len(value))
        if len(sizes) > _MOST_DIMENSIONS:
            raise _refused(
                f"lists are nested more than {_MOST_DIMENSIONS} deep; see the model's metadata for its shapes"
            )
        if not value:
            break
        value = value[0]
    return tuple(sizes)


def _uniform(value: object, dtype: DataType) -> NDArray[Any] | None:
    """Return nested lists as a tensor, None unless all of them are alike and each number is one of `dtype`."""
    shape = _shape(value)
    level: list[Any] = [value]
    for size in shape:
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            return None
        level = list(itertools.chain.from_iterable(level))
    return _numbers(level, dtype, shape)


def _numbers(flat: list[Any], dtype: DataType, shape: tuple[int, ...]) -> NDArray[Any] | None:
    types = set(map(type, flat))
    whole = (one for one in flat if type(one) is int)
    if dtype is not FLOAT:
        fits = types <= {int} and all(one in _INT64 for one in whole)
    else:
        fits = types <= {int, float} and (int not in types or all(abs(one) <= _LARGEST_WHOLE for one in whole))
    if not fits:
        return None
    found = np.array(flat, np.float64 if dtype is FLOAT else np.int64).reshape(shape)
    if dtype is FLOAT and ((np.abs(found) > LARGEST_FLOAT32) & np.isfinite(found)).any():
        return None
    return found.astype(dtype.numpy)


def _check(value: object, shape: tuple[int, ...], dtype: DataType, level: int = 0) -> int:
    """Return how many numbers nested lists hold; raises RefusedError for the first one that does not fit `shape`."""
    if not isinstance(value, list):
        if level != len(shape):
            raise _refused(
                f"JSON Value: {value_text(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected at "
                f"level: {len(shape)}"
            )
        _check_number(value, dtype)
        return 1
    if level >= len(shape):
        raise _refused(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise _refused(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    return sum(_check(one, shape, dtype, level + 1) for one in value)


def _check_number(value: object, dtype: DataType) -> None:
    fits = type(value) is int and value in _INT64 if dtype is not FLOAT else type(value) in (int, float)
    if not fits:
        raise _refused(
            f"JSON Value: {value_text(value)} Type: {type_word(value)} is not of expected type: {dtype.word}"
        )
    if dtype is FLOAT and isinstance(value, int | float) and not _is_float32(value):
        raise _refused(f"Cannot convert JSON value: {value_text(value)} to {dtype.word} without loss of precision.")


def _is_float32(value: float) -> bool:
    """Return whether the protocol takes a number as float32: a whole one exactly, any other rounded."""
    return (
        abs(value) <= _LARGEST_WHOLE
        if isinstance(value, int)
        else abs(value) <= LARGEST_FLOAT32 or not math.isfinite(value)
    )
