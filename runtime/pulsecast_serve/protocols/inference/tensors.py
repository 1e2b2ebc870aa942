"""Tensors as they travel: read from JSON, from bytes or from typed lists of gRPC, by one set of rules."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.foundation.arguments import shown
from pulsecast.model.windows import LARGEST_FLOAT32

from ...refusal import BAD_REQUEST, RefusedError

BYTES = "BYTES"
# little-endian, as the protocol's binary form is; None is text, each element behind its length
DATATYPES: Mapping[str, np.dtype[Any] | None] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
    BYTES: None,
}
INTEGERS = tuple(name for name in DATATYPES if "INT" in name)
FLOATS = tuple(name for name in DATATYPES if name.startswith("FP"))
# datatype -> what JSON has for its elements
_KINDS: Mapping[str, frozenset[type]] = {
    "BOOL": frozenset({bool}),
    **dict.fromkeys(INTEGERS, frozenset({int})),
    **dict.fromkeys(FLOATS, frozenset({int, float})),
}
_LIMITS: Mapping[str, tuple[int, int]] = {
    name: (int(np.iinfo(DATATYPES[name]).min), int(np.iinfo(DATATYPES[name]).max)) for name in INTEGERS
}
_MOST_DIMENSIONS = 8
_LARGEST = 2**63 - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Tensor:
    """A tensor: `data` holds its elements in row-major order, (n,), or a list of n bytes objects for BYTES."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: NDArray[Any] | list[bytes]

    @property
    def array(self) -> NDArray[Any]:
        """The elements in their shape; of BYTES, as objects."""
        flat = self.data if isinstance(self.data, np.ndarray) else np.array(self.data, object)
        return flat.reshape(self.shape)


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a request says about a tensor before its elements."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)


def head(name: object, datatype: object, shape: object) -> Head:
    """Return the checked head of a tensor; raises RefusedError (400)."""
    if not isinstance(name, str) or not name:
        raise refused(f"the name of an input is {shown(name)}; expected text", "inputs")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise refused(f"the datatype of {shown(name)} is {shown(datatype)}; expected {', '.join(DATATYPES)}", name)
    if not isinstance(shape, list | tuple) or not all(type(one) is int and 0 <= one <= _LARGEST for one in shape):
        raise refused(f"the shape of {shown(name)} is {shown(shape)}; expected a list of whole numbers", name)
    if len(shape) > _MOST_DIMENSIONS:
        raise refused(f"{shown(name)} has {len(shape)} dimensions; expected at most {_MOST_DIMENSIONS}", name)
    return Head(name=name, datatype=datatype, shape=tuple(shape))


def refused(text: str, name: str) -> RefusedError:
    """Return the error of a tensor."""
    return RefusedError(BAD_REQUEST, text, param=name)


def from_bytes(of: Head, data: bytes | memoryview) -> Tensor:
    """Return the tensor whose elements `data` holds in binary form; raises RefusedError (400)."""
    dtype = DATATYPES[of.datatype]
    if dtype is None:
        return _made(of, list(_texts(of, memoryview(data))))
    if len(data) != of.count * dtype.itemsize:
        raise refused(
            f"{shown(of.name)} has {len(data):,} bytes; {of.datatype} of shape {list(of.shape)} takes "
            f"{of.count * dtype.itemsize:,}",
            of.name,
        )
    if of.datatype == "BOOL" and not set(bytes(data)) <= {0, 1}:
        raise refused(f"{shown(of.name)} holds a byte that is not 0 or 1; expected BOOL", of.name)
    return _made(of, np.frombuffer(data, dtype))


def _texts(of: Head, data: memoryview) -> Iterator[bytes]:
    """Yield elements of BYTES, each of which stands behind its length in 4 bytes."""
    place = 0
    for _ in range(of.count):
        begin = place + 4
        length = struct.unpack_from("<I", data, place)[0] if begin <= len(data) else len(data)
        place = begin + length
        if place > len(data):
            raise refused(f"{shown(of.name)} ends within one of its {of.count:,} elements of BYTES", of.name)
        yield bytes(data[begin:place])
    if place != len(data):
        raise refused(f"{shown(of.name)} has {len(data) - place:,} bytes after its {of.count:,} elements", of.name)


def from_values(of: Head, values: Sequence[Any]) -> Tensor:
    """Return the tensor of flat `values`, numbers, booleans or text; raises RefusedError (400)."""
    if len(values) != of.count:
        raise refused(
            f"{shown(of.name)} has {len(values):,} elements; its shape {list(of.shape)} has {of.count:,}", of.name
        )
    if of.datatype == BYTES:
        return _made(of, [_text(of, one) for one in values])
    if of.datatype == "FP16":
        raise refused(f"{shown(of.name)} is FP16, which is sent as binary data only; send FP32", of.name)
    kinds = _KINDS[of.datatype]
    if not kinds.issuperset(map(type, values)):
        place, bad = next((i, one) for i, one in enumerate(values) if type(one) not in kinds)
        what = "null, a missing value" if bad is None else shown(bad)
        raise refused(f"{of.name}[{place}] is {what}; expected {of.datatype}", of.name)
    return _made(of, _numbers(of, values))


def _numbers(of: Head, values: Sequence[Any]) -> NDArray[Any]:
    """Return `values` in the datatype of `of`, whose range they must be in; float32 is rounded to."""
    dtype = DATATYPES[of.datatype]
    if of.datatype in INTEGERS:
        least, most = _LIMITS[of.datatype]
        if values and not (least <= min(values) and max(values) <= most):
            raise _beyond(of, next(i for i, one in enumerate(values) if not least <= one <= most))
        return np.array(values, dtype)
    if of.datatype == "BOOL":
        return np.array(values, dtype)
    try:
        exact = np.array(values, np.float64)
    except OverflowError:  # a whole number beyond float64
        raise _beyond(of, next(i for i, one in enumerate(values) if abs(one) > 10**308)) from None
    if np.vdot(exact, exact) < LARGEST_FLOAT32:  # then each of them is far below it
        return exact.astype(dtype)
    with np.errstate(over="ignore"):
        found = exact.astype(dtype)
    if not np.isfinite(found).all():
        lost = np.flatnonzero(np.isinf(found) & np.isfinite(exact))
        if len(lost):
            raise _beyond(of, int(lost[0]))
    return found


def _beyond(of: Head, place: int) -> RefusedError:
    return refused(f"{of.name}[{place}] is a number beyond {of.datatype}", of.name)


def _text(of: Head, one: object) -> bytes:
    if isinstance(one, bytes):
        return one
    if isinstance(one, str):
        try:
            return one.encode("utf-8")
        except UnicodeEncodeError:  # half of a pair
            raise refused(f"{shown(of.name)} holds text that is not Unicode", of.name) from None
    raise refused(f"{shown(of.name)} holds {shown(one)}; expected text (BYTES)", of.name)


def _made(of: Head, data: NDArray[Any] | list[bytes]) -> Tensor:
    return Tensor(name=of.name, datatype=of.datatype, shape=of.shape, data=data)


def flattened(of: Head, data: object) -> list[Any]:
    """Return the elements of `data`, which is flat, or nested as its shape says; raises RefusedError (400)."""
    if not isinstance(data, list):
        raise refused(f"the data of {shown(of.name)} is missing, or not a list", of.name)
    if not data or type(data[0]) is not list:  # a list behind a number is refused with the elements
        return data
    level: list[Any] = data
    for depth, size in enumerate(of.shape):
        inner = [level] if depth == 0 else level
        if not all(isinstance(one, list) and len(one) == size for one in inner):
            break
        level = list(chain.from_iterable(inner))
    else:
        return level
    raise refused(f"the data of {shown(of.name)} is nested in another shape than {list(of.shape)}", of.name)
