"""TF Serving warm-up records, encoded by hand: a `PredictionLog` in protobuf's wire format inside a TFRecord.

Byte for byte what tensorflow-serving-api writes (a test compares them), without depending on it. Field numbers are
those of tensorflow_serving/apis/{prediction_log,predict,model}.proto and tensorflow/core/framework/tensor.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_DT_FLOAT, _DT_INT64 = 1, 9
_CONTENT, _FLOAT_VAL, _INT64_VAL = 4, 5, 10  # fields of TensorProto
_LENGTH_DELIMITED = 2
_CRC32C = 0x82F63B78  # Castagnoli polynomial, reflected


def predict_log(model: str, signature: str, inputs: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return a PredictionLog of a request to `model`'s `signature` with float32 and int64 `inputs` by name."""
    spec = _field(1, model.encode()) + _field(3, signature.encode())
    entries = [_field(1, name.encode()) + _field(2, _tensor(inputs[name])) for name in sorted(inputs)]  # key, value
    request = _field(1, spec) + b"".join(_field(2, entry) for entry in entries)
    return _field(6, _field(1, request))  # PredictionLog.predict_log.request


def _tensor(value: NDArray[np.generic]) -> bytes:
    kind, dtype = (_DT_INT64, "<i8") if value.dtype.kind == "i" else (_DT_FLOAT, "<f4")
    shape = b"".join(_field(2, _varint_field(1, size)) for size in value.shape)
    return _varint_field(1, kind) + _field(2, shape) + _numbers(value.astype(dtype))


def _numbers(value: NDArray[np.generic]) -> bytes:
    """Return a tensor's numbers as TensorFlow writes them: a single one in a field of its type, others as bytes."""
    if value.size != 1:
        return _field(_CONTENT, value.tobytes())
    if value.dtype.kind == "f":
        return _field(_FLOAT_VAL, value.tobytes())
    return _field(_INT64_VAL, _varint(int(value.item()) % 2**64))  # two's complement


def tfrecord(data: bytes) -> bytes:
    """Return `data` framed as one TFRecord: length, masked CRC of the length, data, masked CRC of the data."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked_crc(length)) + data + struct.pack("<I", _masked_crc(data))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(data)) + data


def _varint_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_CRC32C if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc_table()


def _masked_crc(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
