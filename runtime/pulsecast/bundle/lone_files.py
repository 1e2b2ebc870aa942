"""The contract of a lone file: an ONNX or TFLite file, a SavedModel folder or C, read without any engine.

Only the way to the contract is followed; weights and graphs are not read. A file may come from anywhere, so every
length in it is checked against the file's size, and every loop has an end. Of a TFLite file the operators that are
not LiteRT's builtin ones are read too.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from ..errors import FormatError, IntegrityError, UsageError
from ..foundation.quick_dataclass import dataclass
from ..limits import MANIFEST_BYTES
from .contract import CONTRACT_FILE, CONTRACT_KEY, Contract, read_contract
from .manifest import MANIFEST_NAME
from .source import DirectorySource

if TYPE_CHECKING:
    from pathlib import Path

MAX_CONTRACT_BYTES = MANIFEST_BYTES  # a contract says a part of what a manifest does
SAVED_MODEL = "saved_model.pb"
# a model has about ten fields at its top and a few entries of metadata; more are not searched
_MOST_FIELDS = 10_000
_MOST_ENTRY_FIELDS = 16
_MOST_ENTRIES = 1000
_MOST_HEAD_BYTES = MAX_CONTRACT_BYTES + 4096  # of C: the contract stands in its first comment
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5  # wire types of protobuf
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2  # field numbers of ModelProto and StringStringEntryProto in onnx.proto
_OPERATOR_CODES, _BUFFERS, _METADATA = 1, 4, 6  # fields of Model in schema.fbs of TFLite
_OLD_CODE, _CUSTOM_NAME, _CODE = 0, 1, 3  # fields of OperatorCode there; the old code is of 8 bits, the new one of 32
_CUSTOM = 32  # of BuiltinOperator there
_NAME, _BUFFER = 0, 1  # fields of Metadata there
_DATA = 0  # field of Buffer there
_BESIDE = {"micro_io.c": "micro_io.h", "model.h": "model.c", "example.c": "model.c"}  # C that holds no contract
_IDENTIFIER = b"TFL3"  # at byte 4 of a TFLite file


def is_lone_file(path: Path) -> bool:
    """Return whether `path` looks like one artifact outside a bundle, by its ending or as a SavedModel folder."""
    if path.is_dir():
        return (path / SAVED_MODEL).is_file() and not (path / MANIFEST_NAME).exists()
    return path.suffix.lower() in _FINDERS


def lone_contract(path: Path) -> Contract:
    """Return the contract in the artifact at `path`.

    Raises UsageError if it holds none, FormatError if the file or its contract is damaged.
    """
    try:
        text = _of_folder(path) if path.is_dir() else _of_file(path)
    except (FormatError, IntegrityError) as error:
        raise FormatError(f"{path.name} is damaged: {error}") from error
    if text is None:
        instead = _BESIDE.get(path.name)
        raise UsageError(
            f"{path.name} holds no contract; "
            + (
                f"that of its model stands in {instead}, beside it"
                if instead
                else "expected a file that `pulsecast export` has written, in bundle format 2"
            )
        )
    return read_contract(text, where=f"the contract in {path.name}")


def custom_operators(model: bytes) -> tuple[str, ...]:
    """Return the names of a TFLite file's operators that are not builtin ones; raises FormatError if it is damaged.

    LiteRT brings kernels for some, such as Mfcc, which end the process if their options are not what they expect.
    """
    data = _Bytes(file=io.BytesIO(model), size=len(model))
    _check_identifier(data)
    found = []
    for code in _tables(data, _field(data, data.number(0, 4), _OPERATOR_CODES)):
        places = (_field(data, code, _OLD_CODE), 1), (_field(data, code, _CODE), 4)
        numbers = [data.number(at, count) for at, count in places if at is not None]
        named = _field(data, code, _CUSTOM_NAME)
        name = b"" if named is None else data.contract(*reversed(_vector(data, named)))
        if name or _CUSTOM in numbers:
            found.append(name[:60].decode("ascii", "replace") or "one without a name")
    return tuple(found)


def _of_folder(folder: Path) -> bytes | None:
    if not (folder / CONTRACT_FILE).exists():
        return None
    return DirectorySource(folder).read(CONTRACT_FILE, MAX_CONTRACT_BYTES)


def _of_file(path: Path) -> bytes | None:
    if not path.is_file():
        raise FormatError("it is not a plain file")
    with path.open("rb") as file:
        return _FINDERS[path.suffix.lower()](_Bytes(file=file, size=path.stat().st_size))


@dataclass(frozen=True, kw_only=True)
class _Bytes:
    """A file of `size` bytes, read where it is asked for."""

    file: BinaryIO
    size: int

    def take(self, at: int, count: int) -> bytes:
        """Return `count` bytes from byte `at`; raises FormatError if the file does not have them."""
        if min(at, count) < 0 or at + count > self.size:
            raise FormatError(f"it ends before byte {at + count}")
        self.file.seek(at)
        data = self.file.read(count)
        if len(data) != count:
            raise FormatError("it became shorter while it was read")
        return data

    def contract(self, at: int, count: int) -> bytes:
        """Return a contract's bytes; raises FormatError if it is too long."""
        if count > MAX_CONTRACT_BYTES:
            raise FormatError(f"its contract has {count} bytes; at most {MAX_CONTRACT_BYTES} are read")
        return self.take(at, count)

    def number(self, at: int, count: int, *, signed: bool = False) -> int:
        """Return the little-endian integer of `count` bytes at byte `at`."""
        return int.from_bytes(self.take(at, count), "little", signed=signed)


def _only(found: list[tuple[int, int]], data: _Bytes) -> bytes | None:
    """Return the bytes of the one place that was found, None without one; raises FormatError for several."""
    if len(found) > 1:
        raise FormatError(f"it holds {len(found)} contracts; expected one")
    return data.contract(*found[0]) if found else None


# --- ONNX: protobuf --------------------------------------------------------------------------------------------------


def _in_onnx(data: _Bytes) -> bytes | None:
    found = []
    for number, at, count in _fields(data, 0, data.size, _MOST_FIELDS):
        if number == _METADATA_PROPS:
            entry = {field: (start, size) for field, start, size in _fields(data, at, at + count, _MOST_ENTRY_FIELDS)}
            key = entry.get(_KEY, (0, 0))
            if key[1] == len(CONTRACT_KEY) and data.take(*key) == CONTRACT_KEY.encode("ascii"):
                found.append(entry.get(_VALUE, (0, 0)))
    return _only(found, data)


def _fields(data: _Bytes, at: int, stop: int, most: int) -> Iterator[tuple[int, int, int]]:
    """Yield (field number, first byte, bytes) of every field with a length between the bytes `at` and `stop`.

    Raises FormatError for what is not a protobuf message, and for one of more than `most` fields.
    """
    for _ in range(most):
        if at == stop:
            return
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        size = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind)
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind == _BYTES:
            size, at = _varint(data, at)
        elif size is None:
            raise FormatError(f"byte {at} is not the start of a field")
        if at + (size or 0) > stop:
            raise FormatError(f"field {number} ends at byte {at + (size or 0)}, beyond its message")
        if kind == _BYTES:
            yield number, at, size or 0
        at += size or 0
    if at != stop:
        raise FormatError(f"a message of it has more than {most} fields")


def _varint(data: _Bytes, at: int) -> tuple[int, int]:
    """Return the number at byte `at`, seven bits a byte, the lowest first, and the byte after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data.take(at, 1)[0]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise FormatError(f"the number before byte {at} has more than 64 bits")


# --- TFLite: FlatBuffers ---------------------------------------------------------------------------------------------


def _check_identifier(data: _Bytes) -> None:
    if data.take(4, 4) != _IDENTIFIER:
        raise FormatError(f"it does not have {_IDENTIFIER.decode()} at byte 4, as a TFLite file has")


def _in_tflite(data: _Bytes) -> bytes | None:
    _check_identifier(data)
    model = data.number(0, 4)
    found = []
    for entry in _tables(data, _field(data, model, _METADATA)):
        name, place = _field(data, entry, _NAME), _field(data, entry, _BUFFER)
        if name is not None and _named(data, name):
            found.append(_buffer(data, model, 0 if place is None else data.number(place, 4)))
    return _only(found, data)


def _named(data: _Bytes, field: int) -> bool:
    """Return whether the string that `field` refers to is the contract's key."""
    at = field + data.number(field, 4)
    return data.number(at, 4) == len(CONTRACT_KEY) and data.take(at + 4, len(CONTRACT_KEY)) == CONTRACT_KEY.encode()


def _buffer(data: _Bytes, model: int, index: int) -> tuple[int, int]:
    """Return (first byte, bytes) of the data of the model's buffer of this index."""
    buffers = _field(data, model, _BUFFERS)
    count, first = _vector(data, buffers) if buffers is not None else (0, 0)
    if index >= count:
        raise FormatError(f"its contract is in buffer {index} of {count}")
    at = first + 4 * index
    field = _field(data, at + data.number(at, 4), _DATA)
    if field is None:
        return 0, 0
    size, start = _vector(data, field)
    return start, size


def _field(data: _Bytes, table: int, index: int) -> int | None:
    """Return where the field of this index of the table at byte `table` stands, None if the table does not have it."""
    layout = table - data.number(table, 4, signed=True)
    if 4 + 2 * index + 2 > data.number(layout, 2):
        return None
    offset = data.number(layout + 4 + 2 * index, 2)
    return table + offset if offset else None


def _vector(data: _Bytes, field: int) -> tuple[int, int]:
    """Return (elements, first byte) of the vector that `field` refers to."""
    at = field + data.number(field, 4)
    return data.number(at, 4), at + 4


def _tables(data: _Bytes, field: int | None) -> Iterator[int]:
    """Yield where the tables of a vector of tables stand."""
    if field is None:
        return
    count, first = _vector(data, field)
    if count > _MOST_ENTRIES:
        raise FormatError(f"it has {count} entries of metadata, or of operators; at most {_MOST_ENTRIES} are read")
    for at in range(first, first + 4 * count, 4):
        yield at + data.number(at, 4)


# --- C ---------------------------------------------------------------------------------------------------------------


def _in_c(data: _Bytes) -> bytes | None:
    """Return the line of the first comment that begins as a JSON object does."""
    head = data.take(0, min(data.size, _MOST_HEAD_BYTES))
    comment = head.partition(b"*/")[0]
    if not comment.startswith(b"/*"):
        return None
    lines = [line.removeprefix(b" * ") for line in comment.splitlines() if line.startswith(b" * {")]
    if lines and comment == head:
        raise FormatError("its first comment does not end")
    if len(lines) > 1:
        raise FormatError(f"it holds {len(lines)} contracts; expected one")
    return lines[0] if lines else None


_FINDERS: dict[str, Callable[[_Bytes], bytes | None]] = {
    ".onnx": _in_onnx,
    ".tflite": _in_tflite,
    ".c": _in_c,
    ".h": _in_c,
}
