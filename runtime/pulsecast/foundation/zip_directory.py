"""The size of a zip file's list of members, before `zipfile` reads it: a million members take it a gigabyte."""

from __future__ import annotations

import struct
import zipfile
from typing import BinaryIO

_END, _END_BYTES, _COMMENT_BYTES = b"PK\x05\x06", 22, 65_535
_LOCATOR, _LOCATOR_BYTES = b"PK\x06\x07", 20
_END_64, _END_64_BYTES = b"PK\x06\x06", 56
_TAIL_BYTES = _END_64_BYTES + _LOCATOR_BYTES + _END_BYTES + _COMMENT_BYTES


def open_zip(file: BinaryIO, *, directory_bytes: int) -> zipfile.ZipFile:
    """Return the zip file in `file`, whose list of members has at most `directory_bytes`.

    Raises BadZipFile if it is longer, or if the file is damaged in whatever way; NotImplementedError for a version of
    the format that Python does not know; OSError from the disk.
    """
    size = _directory_bytes(file)
    if size > directory_bytes:
        raise zipfile.BadZipFile(f"its list of members has {size} bytes; at most {directory_bytes} are read")
    try:
        return zipfile.ZipFile(file)
    except (OSError, NotImplementedError):
        raise
    except Exception as error:  # ValueError, struct.error, OverflowError: what its readers make of damage
        raise zipfile.BadZipFile(str(error) or type(error).__name__) from error


def _directory_bytes(file: BinaryIO) -> int:
    """Return the size that the end record states; 0 if there is none, which `zipfile` refuses."""
    length = file.seek(0, 2)
    file.seek(max(length - _TAIL_BYTES, 0))
    tail = file.read(_TAIL_BYTES)
    plain = len(tail) - _END_BYTES
    at = plain if tail[-_END_BYTES:].startswith(_END) and tail.endswith(b"\0\0") else tail.rfind(_END)
    if at < 0 or len(tail) < at + _END_BYTES:
        return 0
    (size,) = struct.unpack("<I", tail[at + 12 : at + 16])
    locator = at - _LOCATOR_BYTES
    if locator >= 0 and tail.startswith(_LOCATOR, locator):
        record = locator - _END_64_BYTES
        if record < 0 or not tail.startswith(_END_64, record):
            return 1 << 64  # elsewhere: some versions of Python would read it there
        (size,) = struct.unpack("<Q", tail[record + 40 : record + 48])
    return int(size)
